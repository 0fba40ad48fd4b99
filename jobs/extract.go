package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
)

// DefaultMaxBad is the share of bad rows above which an extraction is refused.
const DefaultMaxBad = 0.01

// ErrRefused says that an extraction was refused as a whole: nothing was
// committed, the quarantine says why.
var ErrRefused = errors.New("extraction refused, nothing was committed")

// Extract takes one snapshot of the sources into the archive. It is safe to
// repeat: rows that the archive already has commit nothing.
type Extract struct {
	Archive   *archive.Archive
	Usage     data.UsageSource
	Inventory data.InventorySource // nil: customers and subscriptions are derived from the usage

	Days         *data.Period // usage days to take; nil: every day of the input
	InventoryDay data.Day     // snapshot day, the UTC day of the run

	Run     string    // run id, unique
	Started time.Time // when the run began

	// Exclude are customers that are left out of every table. What the archive has
	// of their usage stays, and is restated.
	Exclude map[data.CustomerID]bool

	MaxBad   float64           // share of bad rows that is accepted per table; 0 means DefaultMaxBad
	Progress func(*data.Tally) // called now and then while usage is read; nil for none
}

// Extracted is what a run of Extract did.
type Extracted struct {
	Run         string              `json:"run"`
	Days        *data.Period        `json:"days"`        // usage days that count as extracted now, nil when there were none
	Read        int64               `json:"rows_read"`   // wanted usage rows, bad ones included
	Quarantined map[string]int64    `json:"quarantined"` // bad rows by table
	LeftOut     map[string]int64    `json:"left_out"`    // rows skipped on purpose by reason
	Rounded     int64               `json:"rounded"`     // values with more than 18 decimals
	Customers   int                 `json:"customers"`
	Subs        int                 `json:"subscriptions"`
	Committed   []archive.Committed `json:"committed"` // per table, unchanged ones included
	Seal        string              `json:"seal"`      // over the archive's heads after the run
	Warnings    []string            `json:"warnings"`
	Notes       []string            `json:"notes"` // worth telling, nothing to do about
}

// Changed reports whether the run committed anything.
func (e Extracted) Changed() bool {
	return slices.ContainsFunc(e.Committed, func(c archive.Committed) bool { return c.Changed })
}

// extraction is one run of Extract in progress.
type extraction struct {
	Extract
	run   *archive.Run
	tally data.Tally
	out   Extracted

	customers     []data.Customer
	subscriptions []data.Subscription
	named         int                                     // customers that the inventory has, bad rows included
	refused       map[data.CustomerID]*data.CustomerError // of them those that could not be read
	unreachable   int                                     // of these those no longer expected
	carried       int                                     // last known subscriptions of customers that refused
	unread        map[archive.Table]*unread               // bad rows of the inventory
	badDays       map[data.Day]int                        // bad usage rows by day
	undated       int                                     // bad usage rows whose day cannot be read
	leftOut       map[string]int64
	seen          observed // what the usage says about ids and names
}

// Extract reads, checks and commits. An error that wraps ErrRefused left the
// archive as it was, but for the quarantine file.
func (e Extract) Extract(ctx context.Context) (Extracted, error) {
	if e.MaxBad == 0 {
		e.MaxBad = DefaultMaxBad
	}
	run, err := e.Archive.Begin(ctx, archive.RunInfo{ID: e.Run, Job: "extract", Source: e.kinds(), Started: e.Started})
	if err != nil {
		return Extracted{}, err
	}
	x := &extraction{Extract: e, run: run, seen: newObserved(), refused: map[data.CustomerID]*data.CustomerError{}, unread: map[archive.Table]*unread{}, badDays: map[data.Day]int{}, leftOut: map[string]int64{}}
	x.out = Extracted{Run: e.Run, Quarantined: map[string]int64{}}
	if err := x.all(ctx); err != nil {
		return x.out, errors.Join(err, run.Abort())
	}
	return x.out, nil
}

func (e Extract) kinds() string {
	if e.Inventory == nil || e.Inventory.Kind() == e.Usage.Kind() {
		return e.Usage.Kind()
	}
	return e.Inventory.Kind() + "+" + e.Usage.Kind()
}

func (x *extraction) all(ctx context.Context) error {
	if err := x.readInventory(ctx); err != nil {
		return err
	}
	if err := x.readUsage(ctx); err != nil {
		return err
	}
	if err := x.commitUsage(ctx); err != nil {
		return err
	}
	if err := x.commitInventory(ctx); err != nil {
		return err
	}
	record, err := x.run.Finish(ctx)
	if err != nil {
		return err
	}
	x.out.Seal = record.Seal
	for reason, n := range x.tally.LeftOut {
		x.leftOut[reason] += n
	}
	x.out.LeftOut, x.out.Rounded = x.leftOut, x.tally.Rounded
	x.out.Warnings, x.out.Notes = append(x.out.Warnings, x.tally.Warnings...), append(x.out.Notes, x.tally.Notes...)
	for _, table := range []archive.Table{archive.Customers, archive.Subscriptions, archive.UsageTable} {
		if n := x.out.Quarantined[string(table)]; n > 0 {
			x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("%d %s rows are in quarantine: see quarantine/%s/%s.jsonl in the archive", n, table, x.Run, table))
		}
	}
	return nil
}

func (x *extraction) readInventory(ctx context.Context) error {
	if x.Inventory == nil {
		return nil
	}
	var err error
	var customers, subscriptions data.Tally
	x.customers, err = collect(x, archive.Customers, &customers, x.Inventory.Customers(ctx, &customers), customerID)
	if err != nil {
		return err
	}
	x.subscriptions, err = collect(x, archive.Subscriptions, &subscriptions, x.Inventory.Subscriptions(ctx, &subscriptions), ownerOf)
	if err != nil {
		return err
	}
	x.named = len(x.customers) + int(x.out.Quarantined[string(archive.Customers)])
	for i := range x.customers {
		x.customers[i].Source = x.Inventory.Kind()
	}
	if err := x.refuseBad(ctx, archive.Customers, int64(len(x.customers))); err != nil {
		return err
	}
	if err := x.refuseBad(ctx, archive.Subscriptions, int64(len(x.subscriptions))); err != nil {
		return err
	}
	if err := x.completeInventory(ctx); err != nil {
		return err
	}
	return x.refuseEmptied(ctx)
}

// refuseEmptied refuses an inventory that has nothing where the one before had
// rows: that is a broken input, not a partner who lost every customer at once.
func (x *extraction) refuseEmptied(ctx context.Context) error {
	view, err := x.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	for table, rows := range map[archive.Table]int{archive.Customers: len(x.customers), archive.Subscriptions: len(x.subscriptions)} {
		parts := view.Parts(table)
		if n := len(parts); rows == 0 && n > 0 && parts[n-1].Rows > 0 {
			err := fmt.Errorf("read %s: the input has no row, the inventory of %s had %d: %w; mend the input and run again",
				table, parts[n-1].Day, parts[n-1].Rows, ErrRefused)
			return errors.Join(err, x.run.Refuse(ctx, fmt.Sprintf("%s: the input has no row", table)))
		}
	}
	return nil
}

// collect gathers the good rows of an inventory table, which is small enough
// for memory, and quarantines the others.
func collect[T any](x *extraction, table archive.Table, tally *data.Tally, rows iter.Seq2[T, error], owner func(T) data.CustomerID) ([]T, error) {
	var good []T
	for row, err := range rows {
		switch {
		case err == nil && x.Exclude[owner(row)], x.ofExcluded(table, err):
			tally.Skip("excluded customer")
		case err == nil:
			good = append(good, row)
		default:
			if err := x.quarantine(table, err); err != nil {
				return nil, err
			}
		}
	}
	for reason, n := range tally.LeftOut {
		x.leftOut[string(table)+": "+reason] += n
	}
	x.out.Warnings, x.out.Notes = append(x.out.Warnings, tally.Warnings...), append(x.out.Notes, tally.Notes...)
	return good, nil
}

// ofExcluded reports whether an error is of a customer who is left out: nothing is
// expected of one, so nothing of one is missing.
func (x *extraction) ofExcluded(table archive.Table, err error) bool {
	var refused *data.CustomerError
	var bad *data.RowError
	switch {
	case errors.As(err, &refused):
		return x.Exclude[refused.CustomerID]
	case errors.As(err, &bad):
		return table == archive.Customers && x.Exclude[data.CustomerID(bad.ID)]
	}
	return false
}

// quarantine keeps a bad row aside, and a customer who could not be read in
// mind; any other error is returned as it is.
func (x *extraction) quarantine(table archive.Table, err error) error {
	var refused *data.CustomerError
	if errors.As(err, &refused) {
		x.refused[refused.CustomerID] = refused
		return nil
	}
	var bad *data.RowError
	if !errors.As(err, &bad) {
		return fmt.Errorf("read %s: %w", table, err)
	}
	x.out.Quarantined[string(table)]++
	switch {
	case table != archive.UsageTable:
		x.noteUnread(table, bad)
	case bad.Day != nil:
		x.badDays[*bad.Day]++
	default:
		x.undated++
	}
	return x.run.Quarantine(table, bad)
}

// lateUsage is why rows are left out that come with a later billing period.
const lateUsage = "late usage of days that the source does not cover"

func within(periods []data.Period, day data.Day) bool {
	return slices.ContainsFunc(periods, func(p data.Period) bool { return p.Contains(day) })
}

// progressEvery is how many rows pass between two calls of Progress.
const progressEvery = 4096

func (x *extraction) readUsage(ctx context.Context) error {
	good := int64(0)
	view, err := x.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	known := map[data.Day]bool{}
	for _, d := range view.ArchivedDays() {
		known[d.Day] = true
	}
	archived, err := x.archivedDays(ctx, view)
	if err != nil {
		return err
	}
	for row, err := range x.Usage.Usage(ctx, x.Days, &x.tally) {
		if err != nil {
			if err := x.quarantine(archive.UsageTable, err); err != nil {
				return err
			}
			continue
		}
		if x.Exclude[row.CustomerID] && !archived[row.CustomerID].Contains(row.Day) {
			x.tally.Skip("usage of an excluded customer")
			continue
		}
		// Late usage of a day before what the input covers belongs to the archive
		// only if that has the day: alone it would pass for all of the day's usage.
		if c := x.tally.Covers; c != nil && !within(c, row.Day) && (x.Days != nil || !known[row.Day]) {
			x.tally.Skip(lateUsage)
			continue
		}
		feed := archive.Feed{Source: x.Usage.Kind(), Scope: row.Origin.Scope, Currency: row.Currency}
		if err := x.run.AddUsage(row, feed); err != nil {
			return err
		}
		if x.Inventory == nil {
			x.seen.add(row)
		}
		if good++; x.Progress != nil && good%progressEvery == 0 {
			x.Progress(&x.tally)
		}
	}
	x.out.Read = x.tally.Read
	return x.refuseBad(ctx, archive.UsageTable, good)
}

// refuseBad refuses the extraction when too large a share of a table's rows is
// bad: then the input is probably not what somebody meant to give.
func (x *extraction) refuseBad(ctx context.Context, table archive.Table, good int64) error {
	bad := x.out.Quarantined[string(table)]
	total := bad + good
	if bad == 0 || float64(bad) <= x.MaxBad*float64(total) {
		return nil
	}
	err := fmt.Errorf("read %s: %d of %d rows are bad (%.1f %%, accepted are %.1f %%): %w; see quarantine/%s/%s.jsonl in the archive, mend the input and run again",
		table, bad, total, 100*float64(bad)/float64(total), 100*x.MaxBad, ErrRefused, x.Run, table)
	return errors.Join(err, x.run.Refuse(ctx, fmt.Sprintf("%s: %d of %d rows are bad", table, bad, total)))
}
