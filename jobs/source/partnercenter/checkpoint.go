package partnercenter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"tidemark/data"
)

// checkpoint is what an extraction has read so far, so that one that was stopped
// goes on where it was. It is a folder:
//
//	lock               held while an extraction runs
//	answers.jsonl      a header line, then one line for each answer
//	blobs/*.json.gz    usage files that are whole, with what they hold beside them
//	billed.json        the invoices that the archive has; stays when the rest goes
//
// It holds customers' names and usage, no secret, and only its owner may read it.
type checkpoint struct {
	dir string

	mu      sync.Mutex
	file    *os.File
	lock    *flock.Flock
	answers map[string]json.RawMessage
	resumed bool // there were answers of an earlier run
}

// ErrBusy says that another extraction uses the work folder.
var ErrBusy = errors.New("another extraction is running")

const checkpointVersion = 1

type checkpointHeader struct {
	Version int       `json:"version"`
	For     string    `json:"for"` // what is extracted; another answer set otherwise
	Started time.Time `json:"started"`
	Exports time.Time `json:"exports,omitzero"` // since when its exports are ordered, where that was on an earlier day
}

// exportsSince is when the first export may have been ordered.
func (h checkpointHeader) exportsSince() time.Time {
	if h.Exports.IsZero() {
		return h.Started
	}
	return h.Exports
}

type answerLine struct {
	Key    string          `json:"key"`
	Answer json.RawMessage `json:"answer"`
}

// keepFor is how long the answers of a stopped extraction count: then they are
// too old to be called a snapshot of a day, and secured addresses have ended.
const keepFor = 20 * time.Hour

var errNewerCheckpoint = errors.New("it was written by a newer tidemark")

// openCheckpoint locks the folder and reads what is there. Answers for
// something else, or too old ones, are removed.
func openCheckpoint(dir, what string, now time.Time) (*checkpoint, error) {
	if err := os.MkdirAll(filepath.Join(dir, "blobs"), 0o700); err != nil {
		return nil, err
	}
	c := &checkpoint{dir: dir, answers: map[string]json.RawMessage{}, lock: flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))}
	locked, err := c.lock.TryLock()
	if err == nil && !locked {
		err = ErrBusy
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := c.load(what, now); err != nil {
		return nil, errors.Join(fmt.Errorf("read checkpoint %s: %w", c.path(), err), c.lock.Unlock())
	}
	return c, nil
}

func (c *checkpoint) path() string { return filepath.Join(c.dir, "answers.jsonl") }

func (c *checkpoint) load(what string, now time.Time) error {
	f, err := os.OpenFile(c.path(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	c.file = f
	whole, header, err := c.read(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	age, ordered := now.Sub(header.Started), now.Sub(header.exportsSince())
	day, today := data.DayOf(header.Started.UTC()), data.DayOf(now.UTC())
	inventory, exports := day == today && age <= keepFor, ordered <= keepFor
	sameMonth := monthOf(day) == monthOf(today) // or what was ordered as current is last
	switch {
	case header.Version == 0 || header.For != what || age < -time.Hour || !sameMonth || !inventory && !exports:
		return c.begin(what, now)
	case !inventory || !exports:
		return c.partly(header, now, inventory, exports)
	}
	c.resumed = len(c.answers) > 0
	if err := f.Truncate(whole); err != nil { // what a crash left behind of a line
		return err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return err
}

// read takes in the whole lines; whole is where they end.
func (c *checkpoint) read(f *os.File) (whole int64, h checkpointHeader, err error) {
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, h, nil
		}
		if err != nil {
			return 0, h, err
		}
		if whole == 0 {
			if json.Unmarshal(line, &h) != nil || h.Version < 1 {
				return 0, checkpointHeader{}, nil // not even a header: begin anew
			}
			if h.Version > checkpointVersion {
				return 0, h, fmt.Errorf("%w (version %d, this one knows %d): use that one, or remove the folder to begin anew", errNewerCheckpoint, h.Version, checkpointVersion)
			}
		} else {
			var a answerLine
			if json.Unmarshal(line, &a) != nil {
				return whole, h, nil // damaged: what follows is read again
			}
			c.answers[a.Key] = a.Answer
		}
		whole += int64(len(line))
	}
}

// partly keeps the inventory of a checkpoint that was begun today, and exports, with
// their files, that are not too old by their first day, however often they were gone
// on with since.
func (c *checkpoint) partly(h checkpointHeader, now time.Time, inventory, exports bool) error {
	kept, begun := c.answers, checkpointHeader{Version: checkpointVersion, For: h.For, Started: now.UTC()}
	c.answers = map[string]json.RawMessage{}
	if inventory {
		begun.Started = h.Started
	}
	if begun.Exports = h.exportsSince(); !exports {
		begun.Exports = now.UTC()
		if err := c.dropBlobs(); err != nil {
			return err
		}
	}
	if err := c.restart(begun); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		if keep := strings.Contains(key, "operation "); keep && !exports || !keep && !inventory {
			continue
		}
		c.answers[key] = kept[key]
		if err := c.append(answerLine{key, kept[key]}); err != nil {
			return err
		}
	}
	c.resumed = len(c.answers) > 0
	return nil
}

// restart empties the file but for a header.
func (c *checkpoint) restart(h checkpointHeader) error {
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return c.append(h)
}

// begin starts anew: every answer and blob goes, the list of invoices stays.
func (c *checkpoint) begin(what string, now time.Time) error {
	c.answers, c.resumed = map[string]json.RawMessage{}, false
	if err := c.dropBlobs(); err != nil {
		return err
	}
	return c.restart(checkpointHeader{Version: checkpointVersion, For: what, Started: now.UTC()})
}

func (c *checkpoint) dropBlobs() error {
	if err := os.RemoveAll(c.blobs()); err != nil {
		return err
	}
	return os.Mkdir(c.blobs(), 0o700)
}

func (c *checkpoint) blobs() string { return filepath.Join(c.dir, "blobs") }

func (c *checkpoint) append(v any) error {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	if _, err := c.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write checkpoint %s: %w", c.path(), err)
	}
	return c.file.Sync()
}

// close gives the folder back; what was read stays for the next run.
func (c *checkpoint) close() error {
	return errors.Join(c.file.Close(), c.lock.Unlock())
}

// clear removes what was read: it is in the archive.
func (c *checkpoint) clear() error {
	return errors.Join(os.Remove(c.path()), os.RemoveAll(c.blobs()))
}

// forgetful is a checkpoint that has no answers and keeps none: what is only tried
// is no part of an extraction.
func forgetful(dir string) *checkpoint { return &checkpoint{dir: dir} }

// once returns the answer that the checkpoint has for a key, or asks and keeps
// the answer.
func once[T any](c *checkpoint, key string, ask func() (T, error)) (T, error) {
	if c.file == nil {
		return ask()
	}
	c.mu.Lock()
	kept, found := c.answers[key]
	c.mu.Unlock()
	var v T
	if found && string(kept) != "null" && json.Unmarshal(kept, &v) == nil {
		return v, nil
	}
	v, err := ask()
	if err != nil {
		return v, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[key] = b
	return v, c.append(answerLine{key, b})
}

// forget has what a key stands for asked for again.
func (c *checkpoint) forget(key string) error {
	if c.file == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.answers, key)
	return c.append(answerLine{key, json.RawMessage("null")})
}

// billed is an invoice whose usage the archive has.
type billed struct {
	Currency string    `json:"currency"`
	Period   string    `json:"period"` // e.g. "2026-10"; empty for one without data, which was asked for first when it was read
	ETag     string    `json:"etag"`
	Read     time.Time `json:"read"`
	Content  string    `json:"content,omitempty"` // of the period, as the archive had it with this invoice; empty: not known
}

func (c *checkpoint) billedPath() string { return filepath.Join(c.dir, "billed.json") }

// readBilled returns the invoices that the archive has, by id.
func (c *checkpoint) readBilled() (map[string]billed, error) {
	all := map[string]billed{}
	b, err := os.ReadFile(c.billedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; restore it from a copy, or remove it to have every invoice read again, and where the list of invoices is closed name all of a month in source.invoices", c.billedPath(), err)
	}
	return all, nil
}

func (c *checkpoint) writeBilled(all map[string]billed) error {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return data.ReplaceFile(c.billedPath(), append(b, '\n'), 0o600)
}
