package transform

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// ErrNoKnownDay says that there is no usage to speak of in a period: none of
// its days was extracted, or all lie after the watermark.
var ErrNoKnownDay = errors.New("no known day in the period")

// The reasons of a number that is null. The first is followed by a day.
const (
	notObservedBefore = "not_observed_before: "
	noKnownDay        = "no_known_day"
	noInventory       = "no_inventory"
	notApplicable     = "not_applicable"
)

// Metrics computes every metric of a period and of the period before it.
//
// Usage and cost are those of the known days, compared with the same days of
// the previous period: the same offset, in a month the same day of the month.
// When every day of both periods is known, all of both count, so that a month
// is compared with the whole of a shorter or longer one. Facts of the inventory
// (sold, new, renewed, active, deprovisioned) are those of all days.
//
// A period without a known day is an error that wraps ErrNoKnownDay. A sum
// that needs more than 38 digits is an error that names it and wraps
// data.ErrOverflow; nothing is ever rounded or wrapped around. The caller must
// Release the tables.
func Metrics(mem memory.Allocator, in Inputs) (*Tables, error) {
	t, err := metrics(mem, in)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", in.Period, err)
	}
	return t, nil
}

func metrics(mem memory.Allocator, in Inputs) (*Tables, error) {
	days, err := compare(in)
	if err != nil {
		return nil, err
	}
	var customers, subscriptions IDs
	inv, err := readInventory(in.Inventory, &customers, &subscriptions)
	if err != nil {
		return nil, err
	}
	in.Daily = slices.DeleteFunc(slices.Clone(in.Daily), isEarlier)
	use, err := readUsage(in, days, &customers, &subscriptions)
	if err != nil {
		return nil, err
	}
	c := &computation{mem: mem, in: in, days: days, inventory: inv, usage: use}
	t := &Tables{
		Period: in.Period, Previous: in.Period.Previous(), Watermark: in.Watermark,
		KnownDays: len(days.known), PreviousKnownDays: len(in.Known(in.Period.Previous())), Complete: days.complete,
		UsedSubscriptions: use.usedSubscriptions(), FirstUsageDay: new(in.Extracted[0]), FirstSnapshot: c.firstSnapshot(),
	}
	if err := c.fill(t); err != nil {
		t.Release()
		return nil, err
	}
	return t, nil
}

// isEarlier reports whether a record has only what is read of the days before the previous
// period.
func isEarlier(rec arrow.Record) bool {
	c := ColumnsOf(rec)
	return c.Has("usage_rows") && !c.Has("unit") && !c.Has("quantity") && !c.Has("services")
}

// Release gives back the records.
func (t *Tables) Release() {
	all := []*arrow.Record{
		&t.Summary, &t.Cost, &t.CostByCategory, &t.CostByCustomer, &t.CostByDay,
		&t.TopCustomers, &t.WithoutUsage, &t.ChurnByDate, &t.NewCustomers, &t.Trend, &t.TrendCost,
	}
	if t.Details != nil {
		all = append(all, t.Details.records()...)
	}
	for _, rec := range all {
		if *rec != nil {
			(*rec).Release()
			*rec = nil
		}
	}
}

// computation is what all tables are made from.
type computation struct {
	mem       memory.Allocator
	in        Inputs
	days      *comparison
	inventory *inventory
	usage     *usage
}

func (c *computation) fill(t *Tables) (err error) {
	for _, table := range []struct {
		to    *arrow.Record
		make  func() (arrow.Record, error)
		money bool
	}{
		{&t.Summary, c.summary, false},
		{&t.Cost, c.cost, true},
		{&t.CostByCategory, c.costByCategory, true},
		{&t.CostByCustomer, c.costByCustomer, true},
		{&t.CostByDay, c.costByDay, true},
		{&t.TopCustomers, c.topCustomers, false},
		{&t.WithoutUsage, c.withoutUsageTable, false},
		{&t.ChurnByDate, c.churnByDate, false},
		{&t.NewCustomers, c.newCustomersTable, false},
	} {
		if table.money && !c.usage.money {
			continue
		}
		if *table.to, err = table.make(); err != nil {
			return err
		}
	}
	if err := c.details(t); err != nil {
		return err
	}
	return c.trends(t)
}

func (c *computation) firstSnapshot() *data.Day {
	if c.in.FirstSnapshot == nil && len(c.in.Inventory) > 0 {
		return new(c.in.Inventory[0].Day)
	}
	return c.in.FirstSnapshot
}

// A metric has two sides.
const (
	current  = 0
	previous = 1
)

// comparison holds the days that are compared.
type comparison struct {
	periods  [2]data.Period
	known    []data.Day // known days of the period
	before   []data.Day // the same days of the previous period, as far as they are known
	unknown  string     // why there is no previous; empty when there is one
	complete bool
}

// compare decides which days count.
func compare(in Inputs) (*comparison, error) {
	p := in.Period
	c := &comparison{periods: [2]data.Period{p, p.Previous()}, known: in.Known(p)}
	if len(c.known) == 0 {
		return nil, ErrNoKnownDay
	}
	before := in.Known(c.periods[previous])
	if len(c.known) == p.Days() && len(before) == c.periods[previous].Days() {
		c.before, c.complete = before, true
		return c, nil
	}
	first := in.Extracted[0]
	for _, d := range c.known {
		same := c.periods[previous].From + d - p.From
		switch {
		case same > c.periods[previous].To: // a 31st has no like in a shorter month
		case same < first:
			c.before, c.unknown = nil, notObservedBefore+first.String()
			return c, nil
		case in.IsKnown(same):
			c.before = append(c.before, same)
		}
	}
	if len(c.before) == 0 {
		c.unknown = noKnownDay
	}
	return c, nil
}

// lastOf returns the last day that counts on a side; ok is false when the
// previous side is unknown.
func (c *comparison) lastOf(side int) (d data.Day, ok bool) {
	days := c.known
	if side == previous {
		days = c.before
	}
	if len(days) == 0 {
		return 0, false
	}
	return days[len(days)-1], true
}
