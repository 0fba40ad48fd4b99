package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Commit is one entry of a table's log.
type Commit struct {
	Table            Table     `json:"table"`
	Version          int64     `json:"version"`
	KnownAt          time.Time `json:"known_at"`
	Operation        string    `json:"operation"` // e.g. "WRITE" or "PRUNE"
	Run              string    `json:"run"`
	Job              string    `json:"job"`
	Source           string    `json:"source"`
	Producer         string    `json:"producer"`
	RowsIn           int64     `json:"rows_in"`
	RowsOut          int64     `json:"rows_out"`
	Quarantined      int64     `json:"quarantined"`
	QuarantineSHA256 string    `json:"quarantine_sha256"` // of quarantine/<run>/<table>.jsonl; empty when there is none
	UsageVersion     *int64    `json:"usage_version"`     // usage_daily: the usage version it was rolled up from; usage_past: the usage_daily version
	Added            []Part    `json:"added"`
	Removed          []string  `json:"removed"` // paths below the table's folder
	Deleted          []Deleted `json:"deleted"`
	Superseded       []string  `json:"superseded"` // usage: paths of pruned parts that were restated since, so that their rollups go
	Previous         string    `json:"previous"`   // SHA-256 of the entry before; empty in the first
	SHA256           string    `json:"sha256"`     // of this entry, what the next one names as Previous

	id, schema string // of the table, when this entry sets them
}

// Deleted is a file that was given up for good: nothing that is kept refers to
// it any more.
type Deleted struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// state is a table at one version. It never changes.
type state struct {
	table Table
	heads []head          // of every version up to this one
	parts map[string]Part // active, by path
	order []Part          // the same in order, once the state is replayed

	id, schema string // of the table, as the log has them

	pruned  map[partID]Part   // what a prune took out, and nothing brought back or restated
	deleted map[string]string // files that were given up for good, by key: when and by whom
}

// opPrune is the operation of commits that take out what is past its retention.
const opPrune = "PRUNE"

// head is what is kept of every commit.
type head struct {
	version int64
	knownAt time.Time
	sha256  string
	run     string
	usage   *int64

	quarantined int64
}

func emptyState(t Table) *state {
	return &state{table: t, parts: map[string]Part{}, pruned: map[partID]Part{}, deleted: map[string]string{}}
}

// version returns the version of the table, -1 before the first commit.
func (s *state) version() int64 { return int64(len(s.heads)) - 1 }

// head returns the newest head; the zero head for an empty table.
func (s *state) head() head {
	if len(s.heads) == 0 {
		return head{version: -1}
	}
	return s.heads[len(s.heads)-1]
}

// sorted returns the active parts in order.
func (s *state) sorted() []Part { return slices.Clone(s.inOrder()) }

// inOrder is sorted for callers that change nothing: a table of years has thousands of parts.
func (s *state) inOrder() []Part {
	if s.order != nil {
		return s.order
	}
	return slices.SortedFunc(maps.Values(s.parts), compareParts)
}

// byID returns the active parts by identity.
func (s *state) byID() map[partID]Part {
	parts := make(map[partID]Part, len(s.parts))
	for _, p := range s.parts {
		parts[p.id()] = p
	}
	return parts
}

// kept returns, in order, the parts that a prune took out of usage and whose
// rollup, of those given by identity, is still there.
func (s *state) kept(rollups map[partID]Part) (all []Part) {
	for id, p := range s.pruned {
		if _, there := rollups[id]; there {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, compareParts)
	return all
}

// advance takes in a commit. The receiver must not be shared yet.
func (s *state) advance(c Commit) error {
	for _, path := range c.Removed {
		if _, active := s.parts[path]; !active {
			return fmt.Errorf("log entry %s: %w: it removes %s, which is not part of the table", entryKey(c.Table, c.Version), errLog, path)
		}
		if p := s.parts[path]; c.Operation == opPrune {
			s.pruned[p.id()] = p
		}
		delete(s.parts, path)
	}
	for _, p := range c.Added {
		s.parts[p.Path] = p
		delete(s.pruned, p.id())
	}
	if len(c.Superseded) > 0 {
		gone := map[string]bool{}
		for _, path := range c.Superseded {
			gone[path] = true
		}
		maps.DeleteFunc(s.pruned, func(_ partID, p Part) bool { return gone[p.Path] })
	}
	for _, d := range c.Deleted {
		s.deleted[d.Key] = fmt.Sprintf("pruned on %s by run %s", c.KnownAt.Format(time.DateOnly), c.Run)
	}
	s.heads = append(s.heads, head{c.Version, c.KnownAt, c.SHA256, c.Run, c.UsageVersion, c.Quarantined})
	if c.schema != "" {
		s.id, s.schema = c.id, c.schema
	}
	return nil
}

// clone returns a state that can advance.
func (s *state) clone() *state {
	next := *s
	next.order = nil
	next.heads, next.parts = slices.Clone(s.heads), maps.Clone(s.parts)
	next.pruned, next.deleted = maps.Clone(s.pruned), maps.Clone(s.deleted)
	return &next
}

// refresh returns the newest state of a table, replaying only what is new.
func (a *Archive) refresh(ctx context.Context, t Table) (*state, error) {
	a.mu.Lock()
	known := a.newest[t]
	a.mu.Unlock()
	if known == nil {
		known = emptyState(t)
	}
	s, err := a.replay(ctx, known, -1)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if before := a.newest[t]; before == nil || before.version() < s.version() {
		a.newest[t] = s
	}
	return s, nil
}

// replay returns the state at version last, or the newest for a negative one,
// starting from a known state.
func (a *Archive) replay(ctx context.Context, from *state, last int64) (*state, error) {
	s := from
	for c, err := range a.commits(ctx, from) {
		if err != nil {
			return nil, err
		}
		if last >= 0 && c.Version > last {
			break
		}
		if s == from {
			s = from.clone()
		}
		if err := s.advance(c); err != nil {
			return nil, err
		}
	}
	if s != from {
		s.order = s.sorted()
	}
	if last > s.version() {
		return nil, fmt.Errorf("table %s: %w: it ends at version %d, version %d is missing", from.table, errLog, s.version(), last)
	}
	return s, nil
}

func logFolder(t Table) string { return string(t) + "/_delta_log/" }

func entryKey(t Table, version int64) string {
	return fmt.Sprintf("%s%020d.json", logFolder(t), version)
}

// commits yields the commits of a table after a known state, and checks that
// none is missing and that each names the one before it. A listing may not show
// the newest entry yet, or show one twice; so after the last that is listed the
// next one is asked for by its name.
func (a *Archive) commits(ctx context.Context, from *state) iter.Seq2[Commit, error] {
	return func(yield func(Commit, error) bool) {
		listed := from.version()
		for info, err := range a.bucket.List(ctx, logFolder(from.table)) {
			if err != nil {
				yield(Commit{}, fmt.Errorf("list %s: %w", logFolder(from.table), err))
				return
			}
			for isEntry(info.Key) && info.Key > entryKey(from.table, listed) {
				listed++ // also over a gap, which reading will find
			}
		}
		version, previous := from.version()+1, from.head().sha256
		var buffers entryBuffers
		for ; ; version++ {
			c, err := a.readEntry(ctx, from.table, version, previous, &buffers)
			if version > listed && errors.Is(err, fs.ErrNotExist) {
				return
			}
			if !yield(c, err) || err != nil {
				return
			}
			previous = c.SHA256
		}
	}
}

// isEntry tells log entries from what other programs leave in the folder.
func isEntry(key string) bool {
	digits, isJSON := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], ".json")
	return isJSON && len(digits) == 20 && strings.Trim(digits, "0123456789") == ""
}

// entryBuffers are the memory of a log entry, used again for the next.
type entryBuffers struct{ text, bare []byte }

func (a *Archive) readEntry(ctx context.Context, t Table, version int64, previous string, buffers *entryBuffers) (Commit, error) {
	key := entryKey(t, version)
	var err error
	if buffers.text, err = readInto(ctx, buffers.text, a.bucket, key); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", errMissing, err)
		}
		return Commit{}, fmt.Errorf("read log entry %s: %w", key, err)
	}
	buffers.bare = appendWithoutStats(buffers.bare[:0], buffers.text)
	c, err := a.parseEntry(t, version, buffers.text, buffers.bare)
	if err == nil && c.Previous != previous {
		err = fmt.Errorf("%w: it follows an entry with hash %.16s, but the one before it has %.16s: one of them was replaced", errLog, c.Previous, previous)
	}
	if err != nil {
		return Commit{}, fmt.Errorf("log entry %s: %w", key, err)
	}
	return c, nil
}

// parseEntry reads a log entry from its text without statistics.
func (a *Archive) parseEntry(t Table, version int64, b, bare []byte) (Commit, error) {
	actions, info, err := parseActions(bare)
	if err == nil {
		err = checkSelf(b, info)
	}
	if err != nil {
		return Commit{}, err
	}
	knownAt, err := time.Parse(knownAtForm, info.KnownAt)
	if err != nil {
		return Commit{}, fmt.Errorf("%w: known_at: %w", errLog, err)
	}
	c := Commit{Table: t, Version: version, KnownAt: knownAt, Operation: info.Operation, Deleted: info.Deleted, Superseded: info.Superseded, Run: info.Run, Job: info.Job, Source: info.Source,
		Producer: info.EngineInfo, RowsIn: info.RowsIn, RowsOut: info.RowsOut, Quarantined: info.Quarantined,
		QuarantineSHA256: info.QuarantineSHA256, UsageVersion: info.UsageVersion, Previous: info.Previous, SHA256: hexSum(b)}
	for _, act := range actions {
		if act.MetaData != nil {
			c.id, c.schema = act.MetaData.ID, act.MetaData.SchemaString
		}
		if act.Remove != nil {
			path, err := decodePath(act.Remove.Path)
			if err != nil {
				return Commit{}, fmt.Errorf("%w: remove: %w", errLog, err)
			}
			c.Removed = append(c.Removed, path)
		}
		if act.Add != nil {
			p, err := act.Add.part(a.layouts[t])
			if err != nil {
				return Commit{}, fmt.Errorf("%w: %w", errLog, err)
			}
			c.Added = append(c.Added, p)
		}
	}
	return c, nil
}

// appendWithoutStats appends the text of an entry without the statistics of the files that it
// adds: they are half of it, and a replay has no use for them.
func appendWithoutStats(out, b []byte) []byte {
	const field = `,"stats":"` // in a JSON text the quotes of a string's inside have a backslash before them
	for {
		at := bytes.Index(b, []byte(field))
		if at < 0 {
			return append(out, b...)
		}
		end := at + len(field)
		for end < len(b) && b[end] != '"' {
			if b[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(b) {
			return append(out, b...) // no JSON: whoever decodes it says so
		}
		out, b = append(out, b[:at]...), b[end+1:]
	}
}

func readAll(ctx context.Context, b Bucket, key string) ([]byte, error) {
	return readInto(ctx, []byte{}, b, key)
}

// readInto is readAll into memory that is used again, as far as it is large enough.
func readInto(ctx context.Context, memory []byte, b Bucket, key string) ([]byte, error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	out := slices.Grow(memory[:0], int(r.Size()))[:r.Size()]
	n, err := r.ReadAt(out, 0)
	if n == len(out) {
		err = nil // io.ReaderAt may say io.EOF at the end
	}
	if closed := r.Close(); err == nil {
		err = closed
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return out, err
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
