package archive

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// View is what was known at one time. It does not change.
type View struct {
	a      *Archive
	states map[Table]*state
}

// DayState is what the archive has of one usage day.
type DayState struct {
	Day      data.Day
	Rows     int64 // 0: extracted, without usage
	Complete bool  // no part of the day lacks a customer
}

// View returns what was known at asOf, nil for now: the newest rollup known
// then and the usage version that it was made from, and the newest inventory.
// An empty archive is an empty View.
func (a *Archive) View(ctx context.Context, asOf *time.Time) (*View, error) {
	v := &View{a: a, states: map[Table]*state{}}
	for _, t := range []Table{Customers, Subscriptions, UsageDaily} {
		s, err := a.replay(ctx, t, -1, asOf)
		if err != nil {
			return nil, err
		}
		v.states[t] = s
	}
	v.states[UsageTable] = newState(UsageTable)
	if named := v.states[UsageDaily].last.UsageVersion; named != nil {
		s, err := a.replay(ctx, UsageTable, *named, nil)
		if err != nil {
			return nil, err
		}
		v.states[UsageTable] = s
	}
	return v, nil
}

func (v *View) heads() map[Table]Head {
	heads := map[Table]Head{}
	for t, s := range v.states {
		if s.version >= 0 {
			heads[t] = Head{s.version, s.head}
		}
	}
	return heads
}

// Versions returns the version of each table that has one.
func (v *View) Versions() map[Table]int64 {
	versions := map[Table]int64{}
	for t, head := range v.heads() {
		versions[t] = head.Version
	}
	return versions
}

// Seal returns 16 hex digits over the heads of all tables: two archives with
// the same seal have the same history.
func (v *View) Seal() string { return seal(v.heads()) }

// KnownAt returns when the newest commit of the view was made; the zero time
// for an empty archive.
func (v *View) KnownAt() time.Time {
	var newest time.Time
	for _, s := range v.states {
		if s.version >= 0 && s.last.KnownAt.After(newest) {
			newest = s.last.KnownAt
		}
	}
	return newest
}

// Parts returns the active files of a table by day, feed and billing period.
func (v *View) Parts(t Table) []Part { return sortedParts(v.states[t]) }

// UsageDays returns the days with a successful usage extraction, in order.
func (v *View) UsageDays() []DayState {
	var days []DayState
	for _, p := range v.Parts(UsageTable) {
		if n := len(days); n == 0 || days[n-1].Day != p.Day {
			days = append(days, DayState{Day: p.Day, Complete: true})
		}
		last := &days[len(days)-1]
		last.Rows += p.Rows
		last.Complete = last.Complete && p.Complete
	}
	return days
}

// Snapshots returns the days with an inventory of table t, in order.
func (v *View) Snapshots(t Table) []data.Day {
	var days []data.Day
	for _, p := range v.Parts(t) {
		days = append(days, p.Day)
	}
	return slices.Compact(days)
}

// Snapshot reads the inventory of a day; a day without one is an error. The
// caller must Release the record.
func (v *View) Snapshot(ctx context.Context, t Table, day data.Day) (arrow.Record, error) {
	if _, found := slices.BinarySearch(v.Snapshots(t), day); !found {
		return nil, fmt.Errorf("read %s: there is no snapshot of %s", t, day)
	}
	for rec, err := range v.Scan(ctx, t, data.Period{From: day, To: day}) {
		if err != nil {
			return nil, err
		}
		rec.Retain()
		return rec, nil
	}
	return emptyRecord(v.a, t.Schema()), nil
}

func emptyRecord(a *Archive, schema *arrow.Schema) arrow.Record {
	b := array.NewRecordBuilder(a.o.Allocator, schema)
	defer b.Release()
	return b.NewRecord()
}

// Scan yields the rows of a table whose day lies in p, a record per row group,
// ordered by day: the wanted columns in table order (none: all). A record is
// valid until the next one; Retain it to keep it.
func (v *View) Scan(ctx context.Context, t Table, p data.Period, columns ...string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for _, part := range v.Parts(t) {
			if !p.Contains(part.Day) || part.Rows == 0 {
				continue
			}
			for rec, err := range v.a.readPart(ctx, part, columns) {
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}
}

// Customers yields the newest customer inventory row by row.
func (v *View) Customers(ctx context.Context) iter.Seq2[data.Customer, error] {
	return newest(ctx, v, Customers, customerRows)
}

// Subscriptions yields the newest subscription inventory row by row.
func (v *View) Subscriptions(ctx context.Context) iter.Seq2[data.Subscription, error] {
	return newest(ctx, v, Subscriptions, subscriptionRows)
}

func newest[T any](ctx context.Context, v *View, t Table, rows func(arrow.Record) iter.Seq[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		days := v.Snapshots(t)
		if len(days) == 0 {
			return
		}
		rec, err := v.Snapshot(ctx, t, days[len(days)-1])
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		defer rec.Release()
		for row := range rows(rec) {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Last returns the newest commit of a table; ok is false while it has none.
func (v *View) Last(t Table) (c Commit, ok bool) {
	s := v.states[t]
	return s.last, s.version >= 0
}

// Sources returns the kinds of the sources that the active inventory and usage
// come from, in order.
func (v *View) Sources() []string {
	var kinds []string
	for _, t := range []Table{Customers, UsageTable} {
		for _, p := range v.states[t].parts {
			kinds = append(kinds, p.Source)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}
