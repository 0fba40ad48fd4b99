package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"golang.org/x/sync/errgroup"

	"tidemark/data"
)

// Table names one Delta table of the archive; it is also its folder.
type Table string

// The tables of an archive.
const (
	Customers     Table = "customers"
	Subscriptions Table = "subscriptions"
	UsageTable    Table = "usage"
	UsageDaily    Table = "usage_daily"
	UsagePast     Table = "usage_past"
	Reports       Table = "reports"
	Scores        Table = "scores"
	Trainings     Table = "trainings"
)

// Tables returns every table in the order of their names.
func Tables() []Table {
	return []Table{Customers, Reports, Scores, Subscriptions, Trainings, UsageTable, UsageDaily, UsagePast}
}

// DataTables returns the tables that reports are computed from, in the order of
// their names.
func DataTables() []Table { return []Table{Customers, Subscriptions, UsageTable, UsageDaily} }

// Columns returns the names of a table's columns, the day first; nil for a table
// that there is not.
func (t Table) Columns() []string {
	schemas := map[Table]*arrow.Schema{Customers: data.CustomersSchema(), Reports: data.ReportsSchema(), Subscriptions: data.SubscriptionsSchema(),
		UsageTable: data.UsageSchema(), UsageDaily: data.UsageDailySchema(), UsagePast: data.UsagePastSchema(), Scores: data.ScoresSchema(), Trainings: data.TrainingsSchema()}
	schema := schemas[t]
	if schema == nil {
		return nil
	}
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// Options are the settings of an Archive.
type Options struct {
	Producer   string           // program and version, recorded with every commit, e.g. "tidemark 1.2.0"
	Now        func() time.Time // the clock; only runs need it
	Allocator  memory.Allocator // for what is read; nil means the Go heap
	TempDir    string           // where the external sort spills; empty means the system's
	BufferRows int              // usage rows held before they spill; 0 means 200,000

	CheckpointEvery int64 // commits of a table between two checkpoints; 0 means 100
}

const (
	defaultBufferRows      = 200_000
	defaultCheckpointEvery = 100
)

// Archive is a set of Delta tables in a Bucket. It may be used by several
// goroutines.
type Archive struct {
	bucket  Bucket
	opts    Options
	layouts map[Table]*layout

	piecesFrom int64 // from which size on a file has hashes of its pieces
	loadedUpTo int64 // up to which size pieces stay in memory from their hash to their decoding

	empty bool // nothing was here when it was opened

	mu     sync.Mutex
	newest map[Table]*state // what was last replayed; a state never changes
}

// ErrConflict says that another run committed the same part of a table since
// this one looked. Nothing of the commit is visible; run again.
var ErrConflict = errors.New("another run committed the same part in between; run again")

// Open opens the archive in a bucket, an empty one too. It checks the chain of every table's log,
// and that none lacks what the newest run record names.
func Open(ctx context.Context, b Bucket, o Options) (*Archive, error) {
	if o.Allocator == nil {
		o.Allocator = memory.NewGoAllocator()
	}
	if o.BufferRows <= 0 {
		o.BufferRows = defaultBufferRows
	}
	if o.CheckpointEvery <= 0 {
		o.CheckpointEvery = defaultCheckpointEvery
	}
	layouts, err := newLayouts()
	if err != nil {
		return nil, err
	}
	a := &Archive{bucket: b, opts: o, layouts: layouts, piecesFrom: defaultPiecesFrom, loadedUpTo: defaultLoadedUpTo, newest: map[Table]*state{}}
	last, recorded, err := a.lastRecord(ctx) // before the logs, to which other runs add
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	var logs errgroup.Group
	logs.SetLimit(runtime.GOMAXPROCS(0))
	failed := make([]error, len(Tables())) // the first in the order of the tables is told
	for i, t := range Tables() {
		logs.Go(func() error {
			_, failed[i] = a.refresh(ctx, t)
			return nil
		})
	}
	if err = cmp.Or(logs.Wait(), cmp.Or(failed...)); err == nil {
		err = a.hasHeads(last)
	}
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a.empty = !recorded && !slices.ContainsFunc(Tables(), func(t Table) bool { return a.newest[t].version() >= 0 })
	return a, nil
}

// Empty reports whether nothing was there when the archive was opened: no log and no run record.
func (a *Archive) Empty() bool { return a.empty }

// History yields every commit of a table, the oldest first.
func (a *Archive) History(ctx context.Context, t Table) iter.Seq2[Commit, error] {
	if _, err := a.layout(t); err != nil {
		return func(yield func(Commit, error) bool) { yield(Commit{}, err) }
	}
	return a.commits(ctx, emptyState(t))
}
