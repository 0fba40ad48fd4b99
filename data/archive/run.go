package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"tidemark/data"
)

// RunInfo says which run writes to the archive.
type RunInfo struct {
	ID      string // unique and sorting by time, [a-z0-9.-], e.g. "20261116t023107z-k3v9q2"
	Job     string
	Source  string
	Started time.Time
}

// Run is one extraction being archived. It is used by one goroutine; Finish or
// Abort ends it.
type Run struct {
	a          *Archive
	info       RunInfo
	sorter     *sorter
	staged     Staged
	scopes     map[scopeKey]Feed // which feed delivers a customer
	quarantine map[Table]*bytes.Buffer
	saved      map[Table]string // SHA-256 of the quarantine file
	files      int
}

// Staged is what a run has taken in so far.
type Staged struct {
	Rows        int64
	First, Last data.Day // days with rows, when Rows > 0
}

type scopeKey struct{ source, currency, customer string }

// Begin starts a run.
func (a *Archive) Begin(ctx context.Context, info RunInfo) (*Run, error) {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`).MatchString(info.ID) {
		return nil, fmt.Errorf("begin run %q: the id may hold a-z, 0-9, dot and hyphen only", info.ID)
	}
	return &Run{a: a, info: info, sorter: &sorter{dir: a.o.TempDir, limit: a.o.BufferRows}, scopes: map[scopeKey]Feed{},
		quarantine: map[Table]*bytes.Buffer{}, saved: map[Table]string{}}, ctx.Err()
}

// AddUsage takes one usage row in. Rows are sorted on disk, so memory does not
// grow with their number. A customer that two scopes of one source and currency
// deliver is an error that names both.
func (r *Run) AddUsage(row data.Usage, feed Feed) error {
	key := scopeKey{feed.Source, feed.Currency, string(row.CustomerID)}
	if other, found := r.scopes[key]; !found {
		r.scopes[key] = feed
	} else if other != feed {
		return fmt.Errorf("archive usage: customer %q is delivered by two feeds, %s and %s; leave one of them out", row.CustomerID, other, feed)
	}
	if r.staged.Rows == 0 || row.Day < r.staged.First {
		r.staged.First = row.Day
	}
	if r.staged.Rows == 0 || row.Day > r.staged.Last {
		r.staged.Last = row.Day
	}
	r.staged.Rows++
	return r.sorter.add(func(b []byte) []byte { return encodeUsage(b, row, feed) })
}

// Staged returns what was taken in so far.
func (r *Run) Staged() Staged { return r.staged }

// quarantined is one line of a quarantine file.
type quarantined struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Column string `json:"column"`
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

// Quarantine keeps a row aside that could not be accepted.
func (r *Run) Quarantine(t Table, e *data.RowError) error {
	if r.quarantine[t] == nil {
		r.quarantine[t] = &bytes.Buffer{}
	}
	enc := json.NewEncoder(r.quarantine[t])
	enc.SetEscapeHTML(false)
	return enc.Encode(quarantined(*e))
}

// SaveQuarantine writes quarantine/<run>/<table>.jsonl for the rows that were
// kept aside. The commits do it too; a run that is refused calls it itself.
func (r *Run) SaveQuarantine(ctx context.Context) error {
	for _, t := range Tables() {
		content := r.quarantine[t]
		if content == nil || r.saved[t] != "" {
			continue
		}
		if err := r.a.put(ctx, "quarantine/"+r.info.ID+"/"+string(t)+".jsonl", content.Bytes()); err != nil {
			return err
		}
		sum := sha256.Sum256(content.Bytes())
		r.saved[t] = hex.EncodeToString(sum[:])
	}
	return nil
}

// Delivery says what an extraction of one table delivered.
type Delivery struct {
	Source string      // the source's kind
	Days   data.Period // usage: the days that the run restates
	Full   bool        // usage: no days were selected, the delivered scopes are complete

	RowsIn, RowsOut, Quarantined int64
	Expected, Read, Failed       int // customers
}

func (d Delivery) tags() map[string]string {
	return map[string]string{"source": d.Source, "expected": strconv.Itoa(d.Expected), "read": strconv.Itoa(d.Read),
		"failed": strconv.Itoa(d.Failed), "complete": strconv.FormatBool(d.Failed == 0)}
}

// Committed is what a commit changed.
type Committed struct {
	Table     Table `json:"table"`
	Version   int64 `json:"version"` // the newest version, also when nothing changed; -1: no commit yet
	Changed   bool  `json:"changed"`
	Added     int   `json:"added"`
	Removed   int   `json:"removed"`
	Unchanged int   `json:"unchanged"` // files whose content was delivered again
	Rows      int64 `json:"rows"`      // in the files added
}

// nextPath names the run's next data file.
func (r *Run) nextPath(t Table, day data.Day, feed string) string {
	r.files++
	slug := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(feed, "-")
	return fmt.Sprintf("%s=%s/part-%s-%s-%04d.parquet", t.partition(), day, slug[:min(len(slug), 40)], r.info.ID, r.files)
}

// Finish writes runs/<run>.json and ends the run.
func (r *Run) Finish(ctx context.Context) (RunRecord, error) {
	if err := r.SaveQuarantine(ctx); err != nil {
		return RunRecord{}, err
	}
	previous, err := r.a.lastRun(ctx)
	if err != nil {
		return RunRecord{}, fmt.Errorf("finish run %s: %w", r.info.ID, err)
	}
	view, err := r.a.View(ctx, nil)
	if err != nil {
		return RunRecord{}, fmt.Errorf("finish run %s: %w", r.info.ID, err)
	}
	record := RunRecord{Run: r.info.ID, Job: r.info.Job, Source: r.info.Source, Producer: r.a.o.Producer, Started: r.info.Started.UTC(),
		Finished: r.a.o.Now().UTC(), Heads: view.heads(), Seal: view.Seal(), Previous: previous}
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return RunRecord{}, err
	}
	if err := r.a.put(ctx, "runs/"+r.info.ID+".json", append(b, '\n')); err != nil {
		return RunRecord{}, err
	}
	return record, r.sorter.close()
}

// Abort ends the run without a record and removes what it spilled. What it
// committed before stays.
func (r *Run) Abort() error { return r.sorter.close() }

// ErrConflict says that another run committed the same part at the same time.
var ErrConflict = errors.New("another run committed the same days; run again")

// change is what one commit does to a table.
type change struct {
	add          []addedFile
	remove       []Part
	usageVersion *int64
	delivery     Delivery
	unchanged    int
}

// commit appends a change to the table's log. If another run commits first, the
// change is made on top of that one, unless both touch the same part.
func (r *Run) commit(ctx context.Context, t Table, base *state, c change) (Committed, error) {
	out := Committed{Table: t, Version: base.version, Added: len(c.add), Removed: len(c.remove), Unchanged: c.unchanged}
	if len(c.add) == 0 && len(c.remove) == 0 && c.usageVersion == nil {
		return out, nil
	}
	if err := r.SaveQuarantine(ctx); err != nil {
		return Committed{}, err
	}
	for now := base; ; {
		entry, err := r.entry(t, now, c)
		if err != nil {
			return Committed{}, err
		}
		won, err := r.a.putEntry(ctx, t.logKey(now.version+1), entry)
		if err != nil {
			return Committed{}, fmt.Errorf("commit %s: %w", t, err)
		}
		if won {
			out.Version, out.Changed = now.version+1, true
			for _, add := range c.add {
				rows, _ := strconv.ParseInt(add.Tags["rows"], 10, 64) // written by us a moment ago
				out.Rows += rows
			}
			return out, nil
		}
		if now, err = r.a.replay(ctx, t, -1, nil); err != nil {
			return Committed{}, err
		}
		if conflicts(base, now, c) {
			return Committed{}, fmt.Errorf("commit %s: %w", t, ErrConflict)
		}
	}
}

// conflicts reports whether a part that the change adds or removes is not as it
// was when the change was planned.
func conflicts(base, now *state, c change) bool {
	touched := map[identity]bool{}
	for _, p := range c.remove {
		touched[p.identity()] = true
	}
	for _, add := range c.add {
		if p, err := partOf(base.table, add); err == nil {
			touched[p.identity()] = true
		}
	}
	for path, p := range now.parts {
		if _, before := base.parts[path]; !before && touched[p.identity()] {
			return true
		}
	}
	return slices.ContainsFunc(c.remove, func(p Part) bool { _, still := now.parts[p.Path]; return !still })
}

// putEntry puts a log entry if its version is free. A reply that was lost is
// settled by reading the entry back: what stands there decides.
func (a *Archive) putEntry(ctx context.Context, key string, entry []byte) (won bool, err error) {
	err = a.put(ctx, key, entry)
	if err == nil {
		return true, nil
	}
	there, readErr := a.readAll(ctx, key)
	switch {
	case readErr != nil:
		return false, err
	case bytes.Equal(there, entry):
		return true, nil
	}
	return false, nil
}

// entry builds the commit file that follows a state.
func (r *Run) entry(t Table, s *state, c change) ([]byte, error) {
	known := r.a.o.Now().UTC().Truncate(time.Microsecond)
	if s.version >= 0 && !known.After(s.last.KnownAt) {
		known = s.last.KnownAt.Add(time.Microsecond)
	}
	actions := []action{{CommitInfo: &Commit{Timestamp: known.UnixMilli(), Operation: "WRITE", Version: s.version + 1, KnownAt: known,
		Run: r.info.ID, Source: c.delivery.Source, Producer: r.a.o.Producer, RowsIn: c.delivery.RowsIn, RowsOut: c.delivery.RowsOut,
		Quarantined: c.delivery.Quarantined, Quarantine: r.saved[t], UsageVersion: c.usageVersion, Previous: s.head}}}
	if s.version < 0 {
		first, err := tableActions(t, known)
		if err != nil {
			return nil, err
		}
		actions = append(actions, first...)
	}
	actions = append(actions, action{Txn: &txn{"tidemark/" + string(t), s.version + 1}})
	for _, p := range c.remove {
		actions = append(actions, action{Remove: &removal{Path: p.Path, DeletionTimestamp: known.UnixMilli(), DataChange: true,
			ExtendedFileMetadata: true, PartitionValues: p.add.PartitionValues, Size: p.Size}})
	}
	for i := range c.add {
		actions = append(actions, action{Add: &c.add[i]})
	}
	return encode(actions)
}

// tableActions are the protocol and metaData that a table begins with. The
// retention settings keep other engines from cleaning audit history up.
func tableActions(t Table, created time.Time) ([]action, error) {
	schema, err := t.sparkSchema()
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256([]byte(string(t) + created.String()))
	h := hex.EncodeToString(id[:16])
	return []action{{Protocol: &protocol{1, 2}}, {MetaData: &metaData{
		ID:     h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:],
		Format: formatSpec{"parquet", map[string]string{}}, SchemaString: schema, PartitionColumns: []string{t.partition()},
		Configuration: map[string]string{"delta.logRetentionDuration": "interval 36500 days",
			"delta.deletedFileRetentionDuration": "interval 36500 days", "delta.enableExpiredLogCleanup": "false"},
		CreatedTime: created.UnixMilli(),
	}}}, nil
}
