package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// A checkpoint is the state of a table at a version as one Parquet file, so that
// other readers need not replay the log from its beginning. This package does:
// it checks the chain of every entry. _last_checkpoint is a hint where the newest
// one is (Delta protocol, "Checkpoints" and "Last Checkpoint File").
//
// Nothing in a checkpoint is new. Verify makes each again from the log.

// checkpointRow is one action; all fields but one are null.
type checkpointRow struct {
	Txn      *checkpointTxn      `parquet:"txn,optional"`
	Add      *checkpointAdd      `parquet:"add,optional"`
	Remove   *checkpointRemove   `parquet:"remove,optional"`
	MetaData *checkpointMetaData `parquet:"metaData,optional"`
	Protocol *checkpointProtocol `parquet:"protocol,optional"`
}

type checkpointTxn struct {
	AppID       string `parquet:"appId"`
	Version     int64  `parquet:"version"`
	LastUpdated *int64 `parquet:"lastUpdated,optional"`
}

type checkpointAdd struct {
	Path             string            `parquet:"path"`
	PartitionValues  map[string]string `parquet:"partitionValues"`
	Size             int64             `parquet:"size"`
	ModificationTime int64             `parquet:"modificationTime"`
	DataChange       bool              `parquet:"dataChange"`
	Stats            string            `parquet:"stats"`
	Tags             map[string]string `parquet:"tags"`
}

type checkpointRemove struct {
	Path                 string            `parquet:"path"`
	DeletionTimestamp    int64             `parquet:"deletionTimestamp"`
	DataChange           bool              `parquet:"dataChange"`
	ExtendedFileMetadata bool              `parquet:"extendedFileMetadata"`
	PartitionValues      map[string]string `parquet:"partitionValues"`
	Size                 int64             `parquet:"size"`
}

type checkpointMetaData struct {
	ID               string            `parquet:"id"`
	Format           checkpointFormat  `parquet:"format"`
	SchemaString     string            `parquet:"schemaString"`
	PartitionColumns []string          `parquet:"partitionColumns,list"`
	Configuration    map[string]string `parquet:"configuration"`
	CreatedTime      *int64            `parquet:"createdTime,optional"`
}

type checkpointFormat struct {
	Provider string            `parquet:"provider"`
	Options  map[string]string `parquet:"options"`
}

type checkpointProtocol struct {
	MinReaderVersion int32 `parquet:"minReaderVersion"`
	MinWriterVersion int32 `parquet:"minWriterVersion"`
}

// lastCheckpoint is _last_checkpoint.
type lastCheckpoint struct {
	Version int64 `json:"version"`
	Size    int64 `json:"size"` // rows
}

func (l lastCheckpoint) encode() []byte {
	return fmt.Appendf(nil, `{"version":%d,"size":%d}`, l.Version, l.Size)
}

func checkpointKey(t Table, version int64) string {
	return fmt.Sprintf("%s%020d.checkpoint.parquet", logFolder(t), version)
}

func lastCheckpointKey(t Table) string { return logFolder(t) + "_last_checkpoint" }

// checkpointer replays the actions of a log into the rows of a checkpoint. A
// remove stays for ever: the tables keep deleted files for a hundred years.
type checkpointer struct {
	protocol *protocol
	metaData *metaData
	txns     map[string]*txn
	adds     map[string]*add
	removes  map[string]*remove
}

func newCheckpointer() *checkpointer {
	return &checkpointer{txns: map[string]*txn{}, adds: map[string]*add{}, removes: map[string]*remove{}}
}

func (c *checkpointer) take(actions []action) {
	for _, a := range actions {
		c.protocol, c.metaData = cmp.Or(a.Protocol, c.protocol), cmp.Or(a.MetaData, c.metaData)
		if a.Txn != nil {
			c.txns[a.Txn.AppID] = a.Txn
		}
		if a.Remove != nil {
			delete(c.adds, a.Remove.Path)
			c.removes[a.Remove.Path] = a.Remove
		}
		if a.Add != nil {
			delete(c.removes, a.Add.Path)
			c.adds[a.Add.Path] = a.Add
		}
	}
}

// rows returns the state in a fixed order.
func (c *checkpointer) rows() []checkpointRow {
	var rows []checkpointRow
	if p := c.protocol; p != nil {
		rows = append(rows, checkpointRow{Protocol: &checkpointProtocol{int32(p.MinReaderVersion), int32(p.MinWriterVersion)}})
	}
	if m := c.metaData; m != nil {
		rows = append(rows, checkpointRow{MetaData: &checkpointMetaData{m.ID, checkpointFormat{m.Format.Provider, m.Format.Options},
			m.SchemaString, m.PartitionColumns, m.Configuration, &m.CreatedTime}})
	}
	for _, t := range inOrder(c.txns) {
		rows = append(rows, checkpointRow{Txn: &checkpointTxn{t.AppID, t.Version, &t.LastUpdated}})
	}
	for _, r := range inOrder(c.removes) {
		rows = append(rows, checkpointRow{Remove: &checkpointRemove{r.Path, r.DeletionTimestamp, false, r.ExtendedFileMetadata, r.PartitionValues, r.Size}})
	}
	for _, a := range inOrder(c.adds) {
		rows = append(rows, checkpointRow{Add: &checkpointAdd{a.Path, a.PartitionValues, a.Size, a.ModificationTime, false, a.Stats, a.Tags}})
	}
	return rows
}

func inOrder[T any](m map[string]*T) []*T {
	all := make([]*T, 0, len(m))
	for _, key := range sortedKeysOf(m) {
		all = append(all, m[key])
	}
	return all
}

func sortedKeysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// encodeCheckpoint writes the rows as a Parquet file.
func encodeCheckpoint(rows []checkpointRow) ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[checkpointRow](&b, parquet.CreatedBy("tidemark", "1", "archive"), parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false), parquet.Compression(&parquet.Snappy), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain))
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// decodeCheckpoint reads what encodeCheckpoint wrote; never a panic, whatever
// the bytes are.
func decodeCheckpoint(b []byte) (rows []checkpointRow, err error) {
	defer func() {
		if p := recover(); p != nil { // parquet-go panics on some damage
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	want := parquet.SchemaOf(checkpointRow{})
	if got := f.Schema(); !parquet.EqualNodes(got, want) {
		return nil, fmt.Errorf("%w: its columns are not those of a checkpoint", ErrSchema)
	}
	rows = make([]checkpointRow, f.NumRows())
	r := parquet.NewGenericReader[checkpointRow](f)
	n, err := r.Read(rows)
	if n == len(rows) {
		err = nil // io.EOF may come with the last rows
	}
	return rows, errors.Join(err, r.Close())
}

// checkpoints makes sure that every checkpoint that is due is there, and returns
// the hashes of those that no run record has yet. The commits they are made of
// stand, whatever happens here.
func (r *Run) checkpoints(ctx context.Context, tables map[Table]*state, recorded map[string]string) (map[string]string, error) {
	fresh := map[string]string{}
	for _, t := range Tables() {
		if s := tables[t]; s != nil {
			if err := r.checkpoint(ctx, s, recorded, fresh); err != nil {
				return nil, fmt.Errorf("checkpoint %s: %w", t, err)
			}
		}
	}
	return fresh, nil
}

func (r *Run) checkpoint(ctx context.Context, s *state, recorded, fresh map[string]string) error {
	every := r.archive.opts.CheckpointEvery
	newest := s.version() / every * every
	due := newest > 0 && recorded[checkpointKey(s.table, newest)] == ""
	if newest > 0 && !due {
		// Of two runs that ended side by side the slower one may have put an
		// older name there.
		b, err := readAll(ctx, r.archive.bucket, lastCheckpointKey(s.table))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var last lastCheckpoint
		due = json.Unmarshal(b, &last) != nil || last.Version != newest
	}
	if !due {
		return nil
	}
	var last lastCheckpoint
	err := r.archive.checkpointed(ctx, s.table, newest, every, func(version int64, rows []checkpointRow) error {
		last = lastCheckpoint{version, int64(len(rows))}
		key := checkpointKey(s.table, version)
		if recorded[key] != "" {
			return nil
		}
		sum, err := r.putCheckpoint(ctx, key, rows)
		fresh[key] = sum
		return err
	})
	if err != nil {
		return err
	}
	return r.archive.bucket.Replace(ctx, lastCheckpointKey(s.table), last.encode())
}

// checkpointed replays a log and calls do with the state at every version that
// has a checkpoint, up to the newest.
func (a *Archive) checkpointed(ctx context.Context, t Table, newest, every int64, do func(version int64, rows []checkpointRow) error) error {
	c := newCheckpointer()
	for v := range newest + 1 {
		b, err := readAll(ctx, a.bucket, entryKey(t, v))
		if err != nil {
			return err
		}
		actions, _, err := decodeEntry(b)
		if err != nil {
			return fmt.Errorf("%s: %w", entryKey(t, v), err)
		}
		if c.take(actions); v > 0 && v%every == 0 {
			if err := do(v, c.rows()); err != nil {
				return err
			}
		}
	}
	return nil
}

// putCheckpoint writes a checkpoint, or makes sure that the one another run
// wrote is the same, and returns the hash of what is there. No record vouches
// for that one: it is compared, never decoded.
func (r *Run) putCheckpoint(ctx context.Context, key string, rows []checkpointRow) (sha256 string, err error) {
	b, err := encodeCheckpoint(rows)
	if err != nil {
		return "", err
	}
	if err = r.put(ctx, key, b); !errors.Is(err, errLost) {
		return hexSum(b), err
	}
	there, err := readAll(ctx, r.archive.bucket, key)
	if err == nil && !bytes.Equal(there, b) {
		err = fmt.Errorf("%s: %w", key, errOtherCheckpoint)
	}
	return hexSum(b), err
}

var errOtherCheckpoint = errors.New("no run record has its hash, and it is not what this program makes of the log: remove it, a run makes it again")

// sameCheckpoint compares a checkpoint with the state that the log gives.
func sameCheckpoint(b []byte, want []checkpointRow) error {
	got, err := decodeCheckpoint(b)
	if err == nil && !reflect.DeepEqual(got, want) {
		err = fmt.Errorf("%w: it is not the state that the log gives", ErrDamaged)
	}
	return err
}
