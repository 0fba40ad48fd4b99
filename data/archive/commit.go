package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Committed is what one commit did to a table.
type Committed struct {
	Table     Table `json:"table"`
	Version   int64 `json:"version"` // after it; -1 when the table is still empty
	Changed   bool  `json:"changed"` // false: nothing differed, so nothing was committed
	Added     int   `json:"added"`   // files
	Removed   int   `json:"removed"`
	Unchanged int   `json:"unchanged"` // files delivered again with equal content
	Rows      int64 `json:"rows"`      // rows of the files added
	// Dropped are feeds that had rows of the days delivered and were not delivered
	// again: their files of these days went.
	Dropped []Feed `json:"dropped,omitempty"`
}

// plan is what a commit is to do to a state.
type plan struct {
	adds      []written
	removes   []Part
	unchanged int
	dropped   []Feed // as in Committed
	always    bool   // commit also when no file changes

	superseded []string // paths of pruned parts that are restated
}

// change is a commit in the making. Because another run may commit first, it is
// not a list of files but a way to make one from any state.
type change struct {
	info    commitInfo // all but times and hashes
	plan    func(*state) (plan, error)
	touches func(Part) bool // whether this change decides about a part
}

// errLost says that another run took the version that was to be committed.
var errLost = errors.New("another run committed this version")

// maxAttempts bounds how often a commit starts over because others were faster.
const maxAttempts = 20

// commit makes a change to a table, starting from the state it was prepared on.
func (r *Run) commit(ctx context.Context, base *state, c change) (Committed, error) {
	for range maxAttempts {
		done, err := r.attempt(ctx, base, c)
		if !errors.Is(err, errLost) {
			return done, err
		}
		next, err := r.archive.refresh(ctx, base.table)
		if err != nil {
			return Committed{}, err
		}
		if p, found := disputed(base, next, c.touches); found {
			return Committed{}, fmt.Errorf("commit %s, %s of feed %s: %w", base.table, p.Day, p.Feed, ErrConflict)
		}
		base = next
	}
	return Committed{}, fmt.Errorf("commit %s: %w", base.table, ErrConflict)
}

// disputed finds a part that another run changed between two states although
// this change decides about it.
func disputed(before, after *state, touches func(Part) bool) (Part, bool) {
	for _, pair := range [][2]*state{{before, after}, {after, before}} {
		for path, p := range pair[0].parts {
			if _, kept := pair[1].parts[path]; !kept && touches(p) {
				return p, true
			}
		}
	}
	return Part{}, false
}

// attempt plans and commits on one state. The error is errLost when another run
// was faster.
func (r *Run) attempt(ctx context.Context, base *state, c change) (Committed, error) {
	p, err := c.plan(base)
	if err != nil {
		return Committed{}, err
	}
	done := Committed{Table: base.table, Version: base.version(), Unchanged: p.unchanged}
	if len(p.adds) == 0 && len(p.removes) == 0 && len(p.superseded) == 0 && !p.always {
		return done, nil
	}
	entry, err := r.entry(base, c.info, p)
	if err != nil {
		return Committed{}, err
	}
	if err := r.put(ctx, entryKey(base.table, base.version()+1), entry); err != nil {
		return Committed{}, err
	}
	done.Version, done.Changed, done.Added, done.Removed = base.version()+1, true, len(p.adds), len(p.removes)
	done.Dropped = p.dropped
	for _, w := range p.adds {
		done.Rows += w.part.Rows
	}
	return done, nil
}

// entry writes the log entry that follows a state.
func (r *Run) entry(base *state, info commitInfo, p plan) ([]byte, error) {
	l := r.archive.layouts[base.table]
	at := r.now(base.head().knownAt)
	version := base.version() + 1
	info.Superseded = p.superseded
	info.Timestamp, info.KnownAt, info.Previous = at.UnixMilli(), at.Format(knownAtForm), base.head().sha256
	actions := []action{{CommitInfo: &info}}
	meta, err := newMetaData(l, base.id, at)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		actions = append(actions, action{Protocol: &protocol{1, 2}})
	} else if err := evolves(base.schema, meta.SchemaString); err != nil {
		return nil, fmt.Errorf("commit %s: %w", base.table, err)
	}
	if base.schema != meta.SchemaString {
		actions = append(actions, action{MetaData: meta})
	}
	actions = append(actions, action{Txn: &txn{"tidemark/" + string(base.table), version, at.UnixMilli()}})
	for _, gone := range p.removes {
		actions = append(actions, action{Remove: newRemove(l, gone, at)})
	}
	for _, w := range p.adds {
		a, err := newAdd(l, w, at)
		if err != nil {
			return nil, err
		}
		actions = append(actions, action{Add: a})
	}
	return encodeEntry(actions)
}

// now returns the clock, in microseconds, but later than a time before.
func (r *Run) now(after time.Time) time.Time {
	at := r.archive.opts.Now().UTC().Truncate(time.Microsecond)
	if !at.After(after) {
		at = after.Add(time.Microsecond)
	}
	return at
}

// put writes a small file under a key that nobody has taken; errLost when
// somebody has. An error of Commit alone does not tell whether the file is
// there, so the key is read again before anything is said.
func (r *Run) put(ctx context.Context, key string, b []byte) error {
	object, err := r.archive.bucket.Create(ctx, key)
	if err != nil {
		return fmt.Errorf("commit %s: %w", key, err)
	}
	if _, err := object.Write(b); err != nil {
		return errors.Join(fmt.Errorf("commit %s: %w", key, err), object.Abort())
	}
	err = object.Commit()
	if err == nil {
		return nil
	}
	there, readErr := readAll(ctx, r.archive.bucket, key)
	switch {
	case errors.Is(readErr, fs.ErrNotExist):
		return fmt.Errorf("commit %s: %w", key, err)
	case readErr != nil:
		return fmt.Errorf("commit %s: %w; whether it was committed could not be read: run again", key, errors.Join(err, readErr))
	case bytes.Equal(there, b):
		return nil
	}
	return fmt.Errorf("commit %s: %w", key, errLost)
}
