package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"tidemark/data"
)

// usage is what the rows of the compared days add up to.
type usage struct {
	customers, subscriptions      *IDs
	categories, units, currencies IDs
	charges                       IDs

	money bool // the inputs have money columns
	usd   bool // every row with a cost has a cost in USD

	customerUsed     [2][]bool // by side and customer: had usage
	subscriptionUsed [2][]bool
	lastUsage        []maybeDay // by subscription, as far as the rows tell

	costs      list[costKey]
	usds       sides // the same costs in USD, as long as usd holds
	quantities list[quantityKey]
	byDay      groups[dayKey, Sum] // of both periods

	spots  spots
	noted  use     // the last that was noted
	differ []int32 // reused: whether a row differs from the one before
	starts []int32 // reused: what runs returns

	targets [blockRuns]target
}

type costKey struct{ customer, category, currency int32 }

type quantityKey struct{ customer, category, unit int32 }

type dayKey struct {
	day      data.Day
	currency int32
}

// amounts is a sum for each side.
type amounts struct {
	rows [2]int64 // with and without an amount
	sums [2]Sum
}

func (a *amounts) merge(o amounts) {
	for side := range 2 {
		a.rows[side] += o.rows[side]
		a.sums[side].Merge(o.sums[side])
	}
}

func newUsage(in Inputs, customers, subscriptions *IDs) *usage {
	u := &usage{customers: customers, subscriptions: subscriptions, money: !in.NoMoney, usd: true, noted: use{side: nowhere}}
	for _, rec := range in.Daily {
		u.money = u.money && ColumnsOf(rec).Has("cost")
	}
	return u
}

func readUsage(in Inputs, days *comparison, customers, subscriptions *IDs) (*usage, error) {
	u := newUsage(in, customers, subscriptions)
	if err := u.readAll(in, days); err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	for side := range 2 {
		u.customerUsed[side] = atLeast(u.customerUsed[side], customers.Len())
		u.subscriptionUsed[side] = atLeast(u.subscriptionUsed[side], subscriptions.Len())
	}
	if in.Usage == nil {
		u.lastUsage = atLeast(u.lastUsage, subscriptions.Len())
		return u, nil
	}
	return u, u.readSpan(in.Usage)
}

// readSpan takes the last usage days from Inputs.Usage.
func (u *usage) readSpan(rec arrow.Record) error {
	c := ColumnsOf(rec)
	id, last := c.IDs("subscription_id", u.subscriptions), c.Days("last_usage")
	if c.Err() != nil {
		return fmt.Errorf("usage span: %w", c.Err())
	}
	u.lastUsage = nil
	for i := range c.Rows() {
		n := id.At(i)
		u.lastUsage = atLeast(u.lastUsage, int(n)+1)
		u.lastUsage[n] = dayAt(last, i)
	}
	u.lastUsage = atLeast(u.lastUsage, u.subscriptions.Len())
	return nil
}

func (u *usage) usedSubscriptions() (n [2]int64) {
	for side, used := range u.subscriptionUsed {
		for _, was := range used {
			if was {
				n[side]++
			}
		}
	}
	return n
}

// atLeast returns a list of at least n elements.
func atLeast[T any](list []T, n int) []T {
	if n <= len(list) {
		return list
	}
	return append(list, make([]T, n-len(list))...)
}

// usageColumns are the columns of a usage_daily or of a usage record.
type usageColumns struct {
	*Columns
	day                                                      Column[arrow.Date32]
	customer, subscription, category, unit, currency, charge IDColumn
	quantity, cost, usd                                      Column[decimal128.Num]
	usage, tax                                               int32 // ids in charge

	raw                          bool          // usage: the columns below are not there
	usageRows, costRows, usdRows Column[int64] // of a usage_daily record
}

// RawColumns are the columns of usage that Metrics reads from Inputs.Raw.
func RawColumns() []string {
	return []string{"usage_date", "customer_id", "subscription_id", "category", "unit", "currency", "charge_category", "quantity", "cost", "cost_usd"}
}

func (u *usage) columns(rec arrow.Record) (usageColumns, error) {
	c := usageColumns{Columns: ColumnsOf(rec), usage: u.charges.ID(string(data.ChargeUsage)), tax: u.charges.ID(string(data.ChargeTax))}
	c.raw = !c.Has("usage_rows")
	c.day = c.Days("usage_date")
	c.customer, c.subscription = c.IDs("customer_id", u.customers), c.IDs("subscription_id", u.subscriptions)
	c.category, c.unit = c.IDs("category", &u.categories), c.IDs("unit", &u.units)
	c.currency, c.charge = c.IDs("currency", &u.currencies), c.IDs("charge_category", &u.charges)
	c.quantity = c.Decimals("quantity")
	if u.money {
		c.cost, c.usd = c.Decimals("cost"), c.Decimals("cost_usd")
	}
	if !c.raw {
		c.usageRows = c.Int64s("usage_rows")
	}
	if !c.raw && u.money {
		c.costRows, c.usdRows = c.Int64s("cost_rows"), c.Int64s("usd_rows")
	}
	return c, c.Err()
}

// used reports whether there was usage in rows [from, to): one of usage itself, or one that
// a row of usage_daily was made from.
func (c *usageColumns) used(from, to int, charge int32) bool {
	if c.raw && charge != c.usage {
		return false
	}
	for i := from; i < to; i++ {
		if !c.raw {
			if n, _ := c.usageRows.At(i); n > 0 {
				return true
			}
		} else if v, known := c.quantity.At(i); known && v.Sign() > 0 {
			return true
		}
	}
	return false
}

// inUSD reports whether every cost in rows [from, to) is known in USD, too.
func (c *usageColumns) inUSD(from, to int) bool {
	for i := from; i < to; i++ {
		costs, inUSD := int64(0), int64(0)
		if c.raw {
			if _, costKnown := c.cost.At(i); costKnown {
				costs = 1
			}
			if _, known := c.usd.At(i); known {
				inUSD = costs
			}
		} else {
			costs, _ = c.costRows.At(i)
			inUSD, _ = c.usdRows.At(i)
		}
		if costs != inUSD {
			return false
		}
	}
	return true
}

// runs notes where rows begin that are of another day or have other texts than the row before:
// files are sorted, so that most rows repeat it. The last element is the number of rows.
func (u *usage) runs(c *usageColumns) []int32 {
	n := c.Rows()
	u.differ = atLeast(u.differ[:0], n)
	clear(u.differ)
	differ(u.differ, &c.customer, &c.subscription, &c.category, &c.unit, &c.currency, &c.charge)
	days := c.day.values[:n]
	u.starts = u.starts[:0]
	for i, differs := range u.differ {
		if i == 0 || differs != 0 || days[i] != days[i-1] {
			u.starts = append(u.starts, int32(i))
		}
	}
	return append(u.starts, int32(n))
}

// use says that a subscription was used; the side is earlier for a day that is not compared.
type use struct {
	side                   int
	day                    data.Day
	customer, subscription int32
}

// target is where the rows of one day with the same texts are added up.
type target struct {
	counts                bool // false: the day does not count
	side                  int
	day                   data.Day
	customer, sub, charge int32
	quantity, cost        int32 // numbers of groups, nowhere for none

	category, unit, currency int32
}

const nowhere = -1

// targetOf says what the rows from row i on are of, and not yet where they are added up.
func (u *usage) targetOf(c *usageColumns, i int, days *calendar) (t target) {
	d, _ := c.day.At(i)
	t.quantity, t.cost = nowhere, nowhere
	if t.side, t.counts = days.of(data.Day(d)); !t.counts {
		return t
	}
	t.day, t.customer, t.sub, t.charge = data.Day(d), c.customer.At(i), c.subscription.At(i), c.charge.At(i)
	t.category, t.unit, t.currency = c.category.At(i), c.unit.At(i), c.currency.At(i)
	return t
}

// locate finds the groups of a target.
func (u *usage) locate(t *target, usage, tax int32) {
	if !t.counts || t.side == earlier {
		return
	}
	at := u.spots.at(t.customer, t.category, t.unit, t.currency)
	if t.charge == usage {
		t.quantity = u.quantityOf(at)
	}
	if u.money && t.charge != tax {
		t.cost = u.costOf(at)
	}
}

func (u *usage) add(rec arrow.Record, days *calendar) error {
	c, err := u.columns(rec)
	if err != nil {
		return err
	}
	starts := u.runs(&c)
	for len(starts) > 1 {
		n := min(len(starts)-1, blockRuns)
		u.addBlock(&c, starts[:n+1], days)
		starts = starts[n:]
	}
	return nil
}

// blockRuns is how many runs are added up step by step. Each step goes over all of them with
// little to do, so that the processor can wait for the memory of several at once.
const blockRuns = 512

func (u *usage) addBlock(c *usageColumns, starts []int32, days *calendar) {
	targets := u.targets[:len(starts)-1]
	for run := range targets {
		targets[run] = u.targetOf(c, int(starts[run]), days)
	}
	for run := range targets {
		u.locate(&targets[run], c.usage, c.tax)
	}
	for run := range targets {
		t := &targets[run]
		if use := (use{t.side, t.day, t.customer, t.sub}); t.counts && use != u.noted && c.used(int(starts[run]), int(starts[run+1]), t.charge) {
			u.mark(use.side, use.day, use.customer, use.subscription)
			u.noted = use
		}
	}
	for run := range targets {
		if t := &targets[run]; t.quantity != nowhere {
			from, to := int(starts[run]), int(starts[run+1])
			u.quantities.sums.add(t.side, t.quantity, int64(to-from), total(&c.quantity, from, to))
		}
	}
	for run := range targets {
		if t := &targets[run]; t.cost != nowhere {
			u.addCost(t, c, int(starts[run]), int(starts[run+1]))
		}
	}
}

// total adds up the amounts that rows [from, to) state.
func total(c *Column[decimal128.Num], from, to int) Sum {
	switch {
	case c.none:
		return Sum{}
	case c.valid.bits == nil:
		return sumUp(c.values[from:to])
	}
	return sumValid(c.values[from:to], c.valid.bits, c.valid.offset+from)
}

// mark notes that there was usage.
func (u *usage) mark(side int, d data.Day, customer, subscription int32) {
	if side != earlier {
		u.customerUsed[side] = atLeast(u.customerUsed[side], int(customer)+1)
		u.customerUsed[side][customer] = true
	}
	if subscription == NoID {
		return
	}
	if side != earlier {
		u.subscriptionUsed[side] = atLeast(u.subscriptionUsed[side], int(subscription)+1)
		u.subscriptionUsed[side][subscription] = true
	}
	u.lastUsage = atLeast(u.lastUsage, int(subscription)+1)
	if last := &u.lastUsage[subscription]; !last.known || last.Day < d {
		*last = maybeDay{d, true}
	}
}

// addCost adds the cost of rows [from, to) to its groups.
func (u *usage) addCost(t *target, c *usageColumns, from, to int) {
	cost := total(&c.cost, from, to)
	u.costs.sums.add(t.side, t.cost, int64(to-from), cost)
	if u.usd && !c.inUSD(from, to) {
		u.usd, u.usds = false, sides{} // nobody asks for them
	}
	if u.usd {
		u.usds.add(t.side, t.cost, int64(to-from), total(&c.usd, from, to))
	}
	if cost.Count() > 0 { // only days with a known cost have a group
		u.byDay.at(dayKey{t.day, t.currency}).Merge(cost)
	}
}

// earlier is the side of a known day that is not compared: it counts for the
// last usage only.
const earlier = 2

// calendar tells which side a day is on. Rows of a day mostly follow each
// other, so it remembers the last answer.
type calendar struct {
	in    Inputs
	sides map[data.Day]int

	last     data.Day
	asked    bool
	lastSide int
	lastOK   bool
}

func newCalendar(in Inputs, days *comparison) *calendar {
	c := &calendar{in: in, sides: map[data.Day]int{}}
	for side, list := range [][]data.Day{current: days.known, previous: days.before} {
		for _, d := range list {
			c.sides[d] = side
		}
	}
	return c
}

// of returns the side of a day; ok is false for a day that does not count.
func (c *calendar) of(d data.Day) (side int, ok bool) {
	if c.asked && d == c.last {
		return c.lastSide, c.lastOK
	}
	c.last, c.asked = d, true
	if c.lastSide, c.lastOK = c.sides[d]; !c.lastOK {
		c.lastSide, c.lastOK = earlier, d <= c.in.Period.To && c.in.IsKnown(d)
	}
	return c.lastSide, c.lastOK
}
