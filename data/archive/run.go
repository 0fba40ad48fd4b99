package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// RunInfo says who writes, and why.
type RunInfo struct {
	ID      string // unique; letters, digits, '.', '_' and '-'
	Job     string // e.g. "extract"
	Source  string // e.g. "tables"
	Started time.Time
}

// Run is one extraction that writes. It is used by one goroutine and must end
// with Finish or Abort; only what was committed before is in the archive.
type Run struct {
	archive *Archive
	info    RunInfo
	folder  string // of temporaries; made when it is first needed

	usage      *sorter
	key        []byte // reused
	staged     Staged
	feeds      map[Feed]bool
	scopes     map[chargedIn][]claim
	quarantine map[Table]*quarantine
	files      int               // data files begun
	kept       map[string]string // hashes of small files that the record names, by key
	added      int               // commits of added rows begun
	ended      bool
}

var errEnded = errors.New("the run has ended")

// chargedIn is what may belong to one scope only on a day: what is charged for in
// a billing period.
type chargedIn struct {
	source string
	charged
	billing string
}

// claim is the days for which a scope delivers something.
type claim struct {
	scope string
	days  data.DaySet
}

// Staged is what a run has taken in so far.
type Staged struct {
	Rows        int64
	First, Last data.Day // of the usage rows; both 0 without one
	Feeds       []Feed   // in order
	Quarantined map[Table]int64
}

// Delivery says what a commit is made from, and what it restates.
type Delivery struct {
	Source string // kind of the source
	// Days is what a delivery of usage restates: what the archive has of these
	// days and is not delivered again goes.
	Days data.Period
	// Full says that the delivery is all there is of each (scope, billing
	// period) in it: other days of those go too, and rows may lie before Days.
	Full bool

	// Covers are the days among them that the source is complete for; nil for
	// all. A day without a row that is not covered stays unknown.
	Covers []data.Period
	// Restates are the scopes and billing periods that are delivered in every
	// currency. Of others a delivery restates the currencies that it has.
	Restates []data.Restated
	// Awaits are days for which a part of the source is behind: those among Days
	// that were not known before do not become known.
	Awaits []data.Awaited

	Expected int // customers the source was asked for
	Read     int // of them read as a whole
	Failed   int // of them not, or not as a whole; a bad row counts as one
	// FailedOn are the bad rows of a delivery of usage by day, beside Failed.
	FailedOn map[data.Day]int
	// Undated are its bad rows that may be of any day.
	Undated int

	RowsIn      int64 // rows read, bad ones included
	RowsOut     int64 // rows given to the archive
	Quarantined int64 // bad rows
}

func (d Delivery) coverage() Coverage { return Coverage{d.Expected, d.Read, d.Failed} }

// coverageOn is the coverage of a day with that many bad rows. There are never
// more failed customers than are expected, unless nobody knows how many are.
func (d Delivery) coverageOn(bad int) Coverage {
	c := Coverage{d.Expected, max(0, d.Read-bad), d.Failed + bad}
	if c.Expected > 0 {
		c.Failed = min(c.Failed, c.Expected)
	}
	return c
}

// Begin starts a run. It writes nothing yet.
func (a *Archive) Begin(ctx context.Context, info RunInfo) (*Run, error) {
	if a.opts.Now == nil {
		return nil, errors.New("begin run: the archive was opened without a clock, for reading only")
	}
	if ok, _ := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`, info.ID); !ok {
		return nil, fmt.Errorf("begin run %q: an id has 1 to 100 letters, digits, '.', '_' and '-'", info.ID)
	}
	_, err := readAll(ctx, a.bucket, runKey(info.ID))
	if err == nil {
		return nil, fmt.Errorf("begin run %s: %w: every run needs an id of its own", info.ID, fs.ErrExist)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("begin run %s: %w", info.ID, err)
	}
	r := &Run{archive: a, info: info, feeds: map[Feed]bool{}, scopes: map[chargedIn][]claim{}, quarantine: map[Table]*quarantine{}, kept: map[string]string{}}
	r.usage = newSorter(r.tempDir, a.opts.BufferRows)
	return r, nil
}

// tempDir returns the run's own folder for temporaries.
func (r *Run) tempDir() (string, error) {
	if r.folder != "" {
		return r.folder, nil
	}
	folder, err := os.MkdirTemp(r.archive.opts.TempDir, "tidemark-"+r.info.ID+"-*")
	if err != nil {
		return "", err
	}
	r.folder = folder
	return folder, nil
}

// Staged returns what the run has taken in so far.
func (r *Run) Staged() Staged {
	s := r.staged
	s.Feeds = slices.SortedFunc(maps.Keys(r.feeds), func(a, b Feed) int { return strings.Compare(a.String(), b.String()) })
	s.Quarantined = map[Table]int64{}
	for t, q := range r.quarantine {
		s.Quarantined[t] = q.rows
	}
	return s
}

// commitInfo begins the commitInfo of one of the run's commits.
func (r *Run) commitInfo(t Table, d Delivery, mode string) commitInfo {
	info := commitInfo{
		Operation: "WRITE", Parameters: map[string]string{"mode": mode}, EngineInfo: r.archive.opts.Producer,
		Run: r.info.ID, Job: r.info.Job, Source: d.Source, RowsIn: d.RowsIn, RowsOut: d.RowsOut, Quarantined: d.Quarantined,
	}
	if q := r.quarantine[t]; q != nil {
		info.QuarantineSHA256 = q.sha256
	}
	return info
}

// newPath returns the path of the run's next data file.
func (r *Run) newPath(l *layout, id partID) string {
	r.files++
	return fmt.Sprintf("%s=%s/part-%s-%s-%04d.parquet", l.partition, id.day,
		slug(id.feed.Source+" "+id.feed.Scope+" "+id.feed.Currency), r.info.ID, r.files)
}

// RunRecord is runs/<run>.json, which ends a run.
type RunRecord struct {
	Run        string               `json:"run"`
	Job        string               `json:"job"`
	Source     string               `json:"source"`
	Producer   string               `json:"producer"`
	Started    time.Time            `json:"started"`
	Finished   time.Time            `json:"finished"` // later than of every run before
	Heads      map[Table]Head       `json:"heads"`
	Seal       string               `json:"seal"`
	Quarantine map[Table]Quarantine `json:"quarantine,omitempty"`
	// Files are the hashes, by key, of the checkpoints and holds that no earlier
	// record has.
	Files map[string]string `json:"files,omitempty"`
	// Previous are the records that no record named yet: mostly one, that of the
	// run before; several after runs that ended at the same time.
	Previous []RunRef `json:"previous"`
	// Unfinished are runs that committed and left no record, as this one found
	// them: they died, or were still going on.
	Unfinished []string `json:"unfinished,omitempty"`
	Refused    string   `json:"refused,omitempty"` // why the run committed nothing
	Self       string   `json:"self"`              // SHA-256 of this file with self empty
}

// RunRef names the record of a run.
type RunRef struct {
	Run    string `json:"run"`
	SHA256 string `json:"sha256"` // of its file
}

// Head is the newest entry of a table's log.
type Head struct {
	Version int64     `json:"version"`
	KnownAt time.Time `json:"known_at"`
	SHA256  string    `json:"sha256"`
}

// Quarantine is one quarantine file of a run.
type Quarantine struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

const runFolder = "runs/"

func runKey(id string) string { return runFolder + id + ".json" }

// Finish writes the record of the run and removes its temporaries. A run that
// committed nothing leaves a record, too.
func (r *Run) Finish(ctx context.Context) (RunRecord, error) { return r.end(ctx, "") }

// Refuse ends a run that committed nothing with a record that says why, so that
// its quarantine is accounted for.
func (r *Run) Refuse(ctx context.Context, why string) error {
	_, err := r.end(ctx, why)
	return err
}

func (r *Run) end(ctx context.Context, refused string) (RunRecord, error) {
	if err := r.saveQuarantine(ctx); err != nil {
		return RunRecord{}, err
	}
	record, err := r.record(ctx)
	if err != nil {
		return RunRecord{}, fmt.Errorf("finish run %s: %w", r.info.ID, err)
	}
	record.Refused = refused
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return RunRecord{}, err
	}
	b = withSelf(append(b, '\n'))
	if err := r.put(ctx, runKey(r.info.ID), b); err != nil {
		return RunRecord{}, err
	}
	return record, r.Abort()
}

// record is the record of the run, but for its own hash.
func (r *Run) record(ctx context.Context) (RunRecord, error) {
	newest, err := r.archive.newestStates(ctx)
	if err != nil {
		return RunRecord{}, err
	}
	before, err := r.archive.records(ctx)
	if err != nil {
		return RunRecord{}, err
	}
	checkpoints, err := r.checkpoints(ctx, newest, before.files())
	if err != nil {
		return RunRecord{}, fmt.Errorf("%w; what it committed stands, run again", err)
	}
	record := RunRecord{Run: r.info.ID, Job: r.info.Job, Source: r.info.Source, Producer: r.archive.opts.Producer,
		Started: r.info.Started.UTC(), Finished: r.now(before.finished()), Heads: heads(newest), Files: checkpoints,
		Previous: before.tips(), Unfinished: before.unfinished(newest, r.info.ID)}
	maps.Copy(record.Files, r.kept)
	record.Seal = seal(record.Heads)
	for t, q := range r.quarantine {
		if record.Quarantine == nil {
			record.Quarantine = map[Table]Quarantine{}
		}
		record.Quarantine[t] = Quarantine{q.rows, q.sha256}
	}
	return record, nil
}

// Abort removes the run's temporaries and nothing else. What was committed
// stays. After Finish it does nothing.
func (r *Run) Abort() error {
	if r.ended {
		return nil
	}
	r.ended = true
	err := r.usage.close()
	for _, q := range r.quarantine {
		err = errors.Join(err, q.close())
	}
	if r.folder != "" {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}
