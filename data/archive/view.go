package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// View is what was known at a time: each table at one version. It never
// changes, and any number of goroutines may use it.
type View struct {
	archive *Archive
	states  map[Table]*state // without the tables that were empty
}

// View returns what was known at a time, nil for now: the newest usage_daily
// that was committed by then with the usage version it was rolled up from, and
// the newest of every other table. An empty archive is an empty View.
func (a *Archive) View(ctx context.Context, asOf *time.Time) (*View, error) {
	newest, err := a.settled(ctx)
	if err != nil {
		return nil, err
	}
	v := &View{archive: a, states: map[Table]*state{}}
	if past := newest[UsagePast]; past != nil {
		v.states[UsagePast] = past // whatever the time: it is known by what it was made from
	}
	for _, t := range []Table{Customers, Reports, Scores, Subscriptions, Trainings, UsageDaily} {
		if s := newest[t]; s != nil {
			if err := v.pick(ctx, s, lastVersion(s, asOf)); err != nil {
				return nil, err
			}
		}
	}
	daily := v.states[UsageDaily]
	if daily == nil {
		return v, nil
	}
	named := daily.head().usage
	if named == nil {
		return nil, fmt.Errorf("log entry %s: %w: it names no usage version", entryKey(UsageDaily, daily.version()), errLog)
	}
	usage, err := a.refresh(ctx, UsageTable)
	if err != nil {
		return nil, err
	}
	return v, v.pick(ctx, usage, *named)
}

// settled returns the newest states, as they were at one time: another run may
// commit while this one goes from table to table, and what it then sees was never
// the state of the archive. So it looks until two looks agree.
func (a *Archive) settled(ctx context.Context) (map[Table]*state, error) {
	before, err := a.newestStates(ctx)
	if err != nil {
		return nil, err
	}
	for range maxAttempts {
		now, err := a.newestStates(ctx)
		if err != nil {
			return nil, err
		}
		if maps.EqualFunc(before, now, func(a, b *state) bool { return a.version() == b.version() }) {
			return now, nil
		}
		before = now
	}
	return before, nil
}

// lastVersion returns the newest version that was known at a time, -1 for none.
func lastVersion(s *state, asOf *time.Time) int64 {
	if asOf == nil {
		return s.version()
	}
	for _, h := range slices.Backward(s.heads) {
		if !h.knownAt.After(*asOf) {
			return h.version
		}
	}
	return -1
}

// ViewAt returns the data tables at the versions given; a table that is not
// named is empty.
func (a *Archive) ViewAt(ctx context.Context, versions map[Table]int64) (*View, error) {
	v := &View{archive: a, states: map[Table]*state{}}
	for t, version := range versions {
		if !slices.Contains(DataTables(), t) {
			return nil, fmt.Errorf("there is no data table %q", t)
		}
		newest, err := a.refresh(ctx, t)
		if err != nil {
			return nil, err
		}
		if err := v.pick(ctx, newest, version); err != nil {
			return nil, err
		}
	}
	past, err := a.refresh(ctx, UsagePast)
	if err != nil {
		return nil, err
	}
	v.states[UsagePast] = past
	return v, nil
}

// pick takes a table at a version into the view.
func (v *View) pick(ctx context.Context, newest *state, version int64) error {
	switch {
	case version < 0:
		return nil
	case version == newest.version():
		v.states[newest.table] = newest
		return nil
	}
	s, err := v.archive.replay(ctx, emptyState(newest.table), version)
	if err != nil {
		return err
	}
	v.states[newest.table] = s
	return nil
}

// Versions returns the version of every data table that has one.
func (v *View) Versions() map[Table]int64 {
	versions := map[Table]int64{}
	for t, s := range v.data() {
		versions[t] = s.version()
	}
	return versions
}

// data yields the data tables of the view in the order of their names.
func (v *View) data() iter.Seq2[Table, *state] {
	return func(yield func(Table, *state) bool) {
		for _, t := range DataTables() {
			if s := v.states[t]; s != nil && !yield(t, s) {
				return
			}
		}
	}
}

// Version returns the version of a table, -1 for one that is empty.
func (v *View) Version(t Table) int64 {
	if s := v.states[t]; s != nil {
		return s.version()
	}
	return -1
}

// KnownAt returns when the newest commit of data in the view became known; the
// zero time for an empty view.
func (v *View) KnownAt() (newest time.Time) {
	for _, s := range v.data() {
		if at := s.head().knownAt; at.After(newest) {
			newest = at
		}
	}
	return newest
}

// Seal returns 16 hex digits over the newest log entry of every data table, and
// so over everything before them; empty for an empty view.
func (v *View) Seal() string {
	return seal(heads(v.states))
}

// seal hashes the versions and the hashes of the data tables' heads.
func seal(heads map[Table]Head) string {
	var lines strings.Builder
	for _, t := range DataTables() {
		if h, found := heads[t]; found {
			fmt.Fprintf(&lines, "%s %d %s\n", t, h.Version, h.SHA256)
		}
	}
	if lines.Len() == 0 {
		return ""
	}
	return hexSum([]byte(lines.String()))[:16]
}

// Parts returns the active files of a table in the order of day and feed.
func (v *View) Parts(t Table) []Part { return slices.Clone(v.parts(t)) }

// parts is Parts for callers that change nothing.
func (v *View) parts(t Table) []Part {
	if s := v.states[t]; s != nil {
		return s.inOrder()
	}
	return nil
}

// DayState is one day whose usage was extracted.
type DayState struct {
	Day   data.Day
	Rows  int64 // of usage_daily; 0: extracted, and there was no usage
	Parts int

	Awaits string // the scope that is behind, as in Part; empty for a day that was extracted
}

// UsageDays returns the days whose usage was extracted, in order, those whose
// rollup alone is kept among them. A day for which a part of the source is behind is
// none.
func (v *View) UsageDays() []DayState {
	return slices.DeleteFunc(v.ArchivedDays(), func(d DayState) bool { return d.Awaits != "" })
}

// ArchivedDays returns the days of which there is usage, in order, those for which
// a part of the source is behind among them.
func (v *View) ArchivedDays() []DayState {
	var days []DayState
	for _, p := range v.parts(UsageDaily) {
		if len(days) == 0 || days[len(days)-1].Day != p.Day {
			days = append(days, DayState{Day: p.Day})
		}
		last := &days[len(days)-1]
		last.Rows += p.Rows
		last.Awaits = cmp.Or(last.Awaits, p.Awaits)
		last.Parts++
	}
	return days
}

// UsageParts returns the parts of usage, in order, and then those that were pruned and
// whose rollup is there: of these there is no file any more, their figures count.
func (v *View) UsageParts() []Part {
	parts := v.Parts(UsageTable)
	if usage, daily := v.states[UsageTable], v.states[UsageDaily]; usage != nil && daily != nil {
		parts = append(parts, usage.kept(daily.byID())...)
	}
	return parts
}

// Restated returns what the view has of the scopes and billing periods of a source,
// in no order. What was pruned is among it for as long as its rollup is there.
func (v *View) Restated(source string) []data.Restated {
	all := map[feedPeriod]data.Restated{}
	for _, p := range v.UsageParts() {
		if p.Feed.Source != source || p.Feed.Scope == "" || p.Rows == 0 {
			continue
		}
		key := feedPeriod{scope: p.Feed.Scope, billing: p.BillingPeriod}
		has := all[key]
		has.Scope, has.Period, has.Last = p.Feed.Scope, p.BillingPeriod, max(has.Last, p.Day)
		if p.AsOf.After(has.AsOf) {
			has.AsOf = p.AsOf
		}
		if p.AsOf.After(has.Full) && !p.SomeDays {
			has.Full = p.AsOf
		}
		all[key] = has
	}
	return slices.Collect(maps.Values(all))
}

// Snapshots returns the days that have a snapshot of an inventory table, in
// order.
func (v *View) Snapshots(t Table) []data.Day {
	var days []data.Day
	for _, p := range v.parts(t) {
		days = append(days, p.Day)
	}
	return slices.Compact(days)
}

// Snapshot returns the snapshot of an inventory table of one day as one record,
// with the columns named, else all. The caller must Release it.
func (v *View) Snapshot(ctx context.Context, t Table, day data.Day, columns ...string) (arrow.Record, error) {
	if t != Customers && t != Subscriptions {
		return nil, fmt.Errorf("table %s has no snapshots", t)
	}
	l := v.archive.layouts[t]
	parts := v.parts(t)
	at, found := slices.BinarySearchFunc(parts, day, func(p Part, d data.Day) int { return int(p.Day - d) })
	if !found {
		return nil, fmt.Errorf("table %s has no snapshot of %s", t, day)
	}
	return v.whole(ctx, l, parts[at], columns)
}

func (a *Archive) layout(t Table) (*layout, error) {
	if l := a.layouts[t]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("there is no table %q", t)
}

// CopyFile copies the file of a part as it is, once its size and hash are found
// to be what the log says.
func (v *View) CopyFile(ctx context.Context, t Table, p Part, w io.Writer) error {
	l, err := v.archive.layout(t)
	if err != nil {
		return err
	}
	f, err := v.archive.open(ctx, l, p)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.NewSectionReader(f.reader, 0, p.Size))
	if err = errors.Join(err, f.close()); err != nil {
		return fmt.Errorf("copy %s: %w", f.key, err)
	}
	return nil
}
