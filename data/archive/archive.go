package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Options are the settings of an archive; Now is required.
type Options struct {
	Producer   string           // names the program in every commit, e.g. "tidemark 1.2.0"
	Now        func() time.Time // the clock that known_at comes from
	Allocator  memory.Allocator // for what is read; nil means Go's
	TempDir    string           // where the external sort spills; empty means the system's
	BufferRows int              // usage rows held in memory before they spill; 0 means 200,000
}

// Archive is the tables in one bucket. Several processes may use it at once.
type Archive struct {
	bucket Bucket
	o      Options
}

// Open opens the archive in a bucket. An empty bucket is an empty archive.
func Open(_ context.Context, b Bucket, o Options) (*Archive, error) {
	if o.Now == nil {
		return nil, errors.New("open archive: no clock given")
	}
	if o.Allocator == nil {
		o.Allocator = memory.DefaultAllocator
	}
	if o.BufferRows == 0 {
		o.BufferRows = 200_000
	}
	return &Archive{b, o}, nil
}

// History yields the commits of a table from the first to the newest, with the
// chain checked: an entry that does not hash to what it or its successor says
// is an error.
func (a *Archive) History(ctx context.Context, t Table) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		s := newState(t)
		for entry, err := range a.entries(ctx, t) {
			previous := s.head
			if err == nil {
				err = s.apply(entry.version, entry.bytes)
			}
			switch {
			case err != nil:
			case s.last.Previous != previous:
				err = errors.New("does not continue the entry before it")
			case s.last.Self != selfHash(entry.bytes):
				err = errors.New("was changed: its content does not match its own hash")
			}
			if err != nil {
				err = fmt.Errorf("read %s: %w", t.logKey(entry.version), err)
			}
			if !yield(s.last, err) || err != nil {
				return
			}
		}
	}
}

// Head is the newest log entry of a table.
type Head struct {
	Version int64  `json:"version"`
	SHA256  string `json:"sha256"`
}

// seal is 16 hex digits over the heads of all tables.
func seal(heads map[Table]Head) string {
	h := sha256.New()
	for _, t := range Tables() {
		if head, found := heads[t]; found {
			h.Write(fmt.Appendf(nil, "%s %d %s\n", t, head.Version, head.SHA256))
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// RunRecord is runs/<run>.json: the heads of all tables after a run, chained to
// the record of the run before it.
type RunRecord struct {
	Run      string         `json:"run"`
	Job      string         `json:"job"`
	Source   string         `json:"source"`
	Producer string         `json:"producer"`
	Started  time.Time      `json:"started"`
	Finished time.Time      `json:"finished"`
	Heads    map[Table]Head `json:"heads"`
	Seal     string         `json:"seal"`
	Previous *RunLink       `json:"previous"` // null for the first run
}

// RunLink names the record of an earlier run.
type RunLink struct {
	Run    string `json:"run"`
	SHA256 string `json:"sha256"`
}

// lastRun returns the link to the newest run record, nil when there is none.
func (a *Archive) lastRun(ctx context.Context) (*RunLink, error) {
	newest := ""
	for key, err := range a.bucket.List(ctx, "runs/") {
		if err != nil {
			return nil, err
		}
		newest = key
	}
	if newest == "" {
		return nil, nil
	}
	b, err := a.readAll(ctx, newest)
	if err != nil {
		return nil, err
	}
	var r RunRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", newest, err)
	}
	sum := sha256.Sum256(b)
	return &RunLink{r.Run, hex.EncodeToString(sum[:])}, nil
}

// put writes a small object whole.
func (a *Archive) put(ctx context.Context, key string, content []byte) error {
	o, err := a.bucket.Create(ctx, key)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	if _, err := o.Write(content); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", key, err), o.Abort())
	}
	if err := o.Commit(); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}
