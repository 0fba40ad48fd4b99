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
	today  dayKey  // of todays
	todays Sum     // what is not yet in byDay
	noted  use     // the last that was noted
	differ []int32 // reused: whether a row differs from the one before
	starts []int32 // reused: what runs returns

	block block
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

const nowhere = -1

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
	u.endDay()
	return nil
}

// blockRuns is how many runs are added up step by step. Each step goes over all of them with
// little to do, so that the processor can wait for the memory of several at once.
const blockRuns = 512

// block is the runs that are being added up, column by column.
type block struct {
	customer, subscription, category, unit, currency, charge [blockRuns]int32
	day                                                      [blockRuns]data.Day
	side                                                     [blockRuns]int8 // nowhere for a day that does not count
	spot                                                     [blockRuns]int32
}

func (u *usage) addBlock(c *usageColumns, starts []int32, days *calendar) {
	b, n := &u.block, len(starts)-1
	counted := false
	for run := range n {
		d := data.Day(c.day.values[starts[run]])
		b.day[run], b.side[run] = d, nowhere
		if side, counts := days.of(d); counts {
			b.side[run], counted = int8(side), true
		}
	}
	if !counted {
		return // what is on such days alone is not known here
	}
	c.customer.pick(b.customer[:n], starts)
	c.subscription.pick(b.subscription[:n], starts)
	c.category.pick(b.category[:n], starts)
	c.unit.pick(b.unit[:n], starts)
	c.currency.pick(b.currency[:n], starts)
	c.charge.pick(b.charge[:n], starts)
	for run := range n {
		if b.spot[run] = nowhere; b.side[run] == current || b.side[run] == previous {
			b.spot[run] = u.spots.of(b.customer[run], u.spots.kinds.of(kind{b.category[run], b.unit[run], b.currency[run]}))
		}
	}
	for run := range n {
		use := use{int(b.side[run]), b.day[run], b.customer[run], b.subscription[run]}
		if use.side != nowhere && use != u.noted && c.used(int(starts[run]), int(starts[run+1]), b.charge[run]) {
			u.mark(use.side, use.day, use.customer, use.subscription)
			u.noted = use
		}
	}
	for run := range n {
		if b.spot[run] != nowhere {
			u.addRun(c, run, int(starts[run]), int(starts[run+1]))
		}
	}
}

// addRun adds rows [from, to), which are a run of the block, to the sums of their spot.
func (u *usage) addRun(c *usageColumns, run, from, to int) {
	b := &u.block
	side := int(b.side[run])
	sums := u.spots.sums[side].at(b.spot[run])
	if b.charge[run] == c.usage {
		sums.quantityRows += int64(to - from)
		sums.quantity.Merge(total(&c.quantity, from, to))
	}
	if !u.money || b.charge[run] == c.tax {
		return
	}
	cost := total(&c.cost, from, to)
	sums.costRows += int64(to - from)
	sums.cost.Merge(cost)
	if u.usd && !c.inUSD(from, to) {
		u.usd, u.spots.usds = false, sides{} // nobody asks for them
	}
	if u.usd {
		u.spots.usds.add(side, b.spot[run], int64(to-from), total(&c.usd, from, to))
	}
	if key := (dayKey{b.day[run], b.currency[run]}); key != u.today {
		u.endDay()
		u.today = key
	}
	u.todays.Merge(cost)
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

// endDay adds the cost of the rows so far, which were of one day and currency, to that day.
func (u *usage) endDay() {
	if u.todays.Count() > 0 { // only days with a known cost have a group
		u.byDay.at(u.today).Merge(u.todays)
	}
	u.todays = Sum{}
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
