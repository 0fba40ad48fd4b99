package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"strconv"
	"time"

	"tidemark/data"
)

// One line of a commit is one action (Delta protocol, "Actions").
type action struct {
	CommitInfo *Commit    `json:"commitInfo,omitempty"`
	Protocol   *protocol  `json:"protocol,omitempty"`
	MetaData   *metaData  `json:"metaData,omitempty"`
	Txn        *txn       `json:"txn,omitempty"`
	Remove     *removal   `json:"remove,omitempty"`
	Add        *addedFile `json:"add,omitempty"`
}

type protocol struct {
	MinReaderVersion int `json:"minReaderVersion"`
	MinWriterVersion int `json:"minWriterVersion"`
}

type metaData struct {
	ID               string            `json:"id"`
	Format           formatSpec        `json:"format"`
	SchemaString     string            `json:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns"`
	Configuration    map[string]string `json:"configuration"`
	CreatedTime      int64             `json:"createdTime"`
}

type formatSpec struct {
	Provider string            `json:"provider"`
	Options  map[string]string `json:"options"`
}

type txn struct {
	AppID   string `json:"appId"`
	Version int64  `json:"version"`
}

type addedFile struct {
	Path             string            `json:"path"`
	PartitionValues  map[string]string `json:"partitionValues"`
	Size             int64             `json:"size"`
	ModificationTime int64             `json:"modificationTime"`
	DataChange       bool              `json:"dataChange"`
	Stats            string            `json:"stats"`
	Tags             map[string]string `json:"tags"`
}

type removal struct {
	Path                 string            `json:"path"`
	DeletionTimestamp    int64             `json:"deletionTimestamp"`
	DataChange           bool              `json:"dataChange"`
	ExtendedFileMetadata bool              `json:"extendedFileMetadata"`
	PartitionValues      map[string]string `json:"partitionValues"`
	Size                 int64             `json:"size"`
}

// Commit is the commitInfo of one log entry: what an audit needs to know of it.
type Commit struct {
	Timestamp    int64     `json:"timestamp"` // known_at in milliseconds
	Operation    string    `json:"operation"` // WRITE
	Version      int64     `json:"tidemarkVersion"`
	KnownAt      time.Time `json:"known_at"`
	Run          string    `json:"run"`
	Source       string    `json:"source"`
	Producer     string    `json:"producer"`
	RowsIn       int64     `json:"rows_in"`
	RowsOut      int64     `json:"rows_out"`
	Quarantined  int64     `json:"quarantined"`
	Quarantine   string    `json:"quarantine_sha256,omitempty"`
	UsageVersion *int64    `json:"usage_version,omitempty"` // usage_daily: the usage version it was rolled from
	Previous     string    `json:"previous"`                // SHA-256 of the preceding log entry, "" for the first
	Self         string    `json:"self"`                    // SHA-256 of this entry with self empty
}

// Part is one active file of a table.
type Part struct {
	Table         Table
	Day           data.Day
	Path          string // relative to the table's folder
	Size          int64
	Rows          int64
	SHA256        string
	ContentSHA256 string // of the canonical text of the sorted rows
	Feed          string // Feed.String
	Source, Scope string
	BillingPeriod string
	From          string // usage_daily: SHA-256 of the usage file it was rolled from
	Expected      int    // customers of the extraction: expected, read, failed
	Read, Failed  int
	Complete      bool

	add addedFile
}

// identity is what at most one active file of a table has.
type identity struct {
	day           data.Day
	feed          string
	billingPeriod string
}

func (p Part) identity() identity { return identity{p.Day, p.Feed, p.BillingPeriod} }

// state is a table as of one version: the log replayed.
type state struct {
	table   Table
	version int64 // -1: no commit yet
	head    string
	last    Commit
	parts   map[string]Part // active files by path
}

func newState(t Table) *state { return &state{table: t, version: -1, parts: map[string]Part{}} }

// apply replays one commit file on the state.
func (s *state) apply(version int64, entry []byte) error {
	sum := sha256.Sum256(entry)
	var info *Commit
	for dec := json.NewDecoder(bytes.NewReader(entry)); ; {
		var a action
		if err := dec.Decode(&a); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		switch {
		case a.Protocol != nil && (a.Protocol.MinReaderVersion > 1 || a.Protocol.MinWriterVersion > 2):
			return errors.New("the table needs a newer Delta protocol than reader 1, writer 2")
		case a.CommitInfo != nil:
			info = a.CommitInfo
		case a.Remove != nil:
			delete(s.parts, a.Remove.Path)
		case a.Add != nil:
			part, err := partOf(s.table, *a.Add)
			if err != nil {
				return err
			}
			s.parts[part.Path] = part
		}
	}
	if info == nil {
		return errors.New("a commit without commitInfo: written by another program")
	}
	s.version, s.head, s.last = version, hex.EncodeToString(sum[:]), *info
	return nil
}

// partOf reads an add action back.
func partOf(t Table, a addedFile) (Part, error) {
	day, err := data.ParseDay(a.PartitionValues[t.partition()])
	if err != nil {
		return Part{}, fmt.Errorf("add %s: partition %q is %w", a.Path, a.PartitionValues[t.partition()], err)
	}
	p := Part{Table: t, Day: day, Path: a.Path, Size: a.Size, SHA256: a.Tags["sha256"],
		ContentSHA256: a.Tags["content_sha256"], Feed: a.Tags["feed"], Source: a.Tags["source"], Scope: a.Tags["scope"],
		BillingPeriod: a.Tags["billing_period"], From: a.Tags["from_sha256"], Complete: a.Tags["complete"] == "true", add: a}
	p.Rows, err = strconv.ParseInt(a.Tags["rows"], 10, 64)
	for tag, n := range map[string]*int{"expected": &p.Expected, "read": &p.Read, "failed": &p.Failed} {
		if err == nil {
			*n, err = strconv.Atoi(a.Tags[tag])
		}
	}
	if err != nil {
		return Part{}, fmt.Errorf("add %s: tags: %w", a.Path, err)
	}
	return p, nil
}

// replay reads the table's log up to limit (-1: all of it) or up to the last
// commit known at asOf.
func (a *Archive) replay(ctx context.Context, t Table, limit int64, asOf *time.Time) (*state, error) {
	s := newState(t)
	for entry, err := range a.entries(ctx, t) {
		if err != nil {
			return nil, err
		}
		if limit >= 0 && entry.version > limit {
			break
		}
		if asOf != nil {
			if known, err := knownAt(entry.bytes); err != nil {
				return nil, fmt.Errorf("read %s: %w", t.logKey(entry.version), err)
			} else if known.After(*asOf) {
				break
			}
		}
		if err := s.apply(entry.version, entry.bytes); err != nil {
			return nil, fmt.Errorf("read %s: %w", t.logKey(entry.version), err)
		}
	}
	return s, nil
}

type logEntry struct {
	version int64
	bytes   []byte
}

// entries yields the commit files of a table in order. The log has no gaps:
// the first version that is missing is the end.
func (a *Archive) entries(ctx context.Context, t Table) iter.Seq2[logEntry, error] {
	return func(yield func(logEntry, error) bool) {
		for version := int64(0); ; version++ {
			b, err := a.readAll(ctx, t.logKey(version))
			if errors.Is(err, fs.ErrNotExist) {
				return
			}
			if !yield(logEntry{version, b}, err) || err != nil {
				return
			}
		}
	}
}

// readAll reads a small object whole.
func (a *Archive) readAll(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := a.bucket.Open(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	b := make([]byte, r.Size())
	_, err = r.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, errors.Join(err, r.Close())
}

func knownAt(entry []byte) (time.Time, error) {
	for dec := json.NewDecoder(bytes.NewReader(entry)); ; {
		var a action
		if err := dec.Decode(&a); err != nil {
			return time.Time{}, fmt.Errorf("no commitInfo: %w", err)
		}
		if a.CommitInfo != nil {
			return a.CommitInfo.KnownAt, nil
		}
	}
}

// encode writes the actions as a commit file whose commitInfo carries its own
// hash.
func encode(actions []action) ([]byte, error) {
	info := actions[0].CommitInfo
	info.Self = ""
	blank, err := marshalLines(actions)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(blank)
	info.Self = hex.EncodeToString(sum[:])
	return marshalLines(actions)
}

func marshalLines(actions []action) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, a := range actions {
		if err := enc.Encode(a); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// selfHash recomputes the hash that a commit file carries of itself.
func selfHash(entry []byte) string {
	blank := regexp.MustCompile(`"self":"[0-9a-f]{64}"`).ReplaceAll(entry, []byte(`"self":""`))
	sum := sha256.Sum256(blank)
	return hex.EncodeToString(sum[:])
}
