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
	usd   bool // and every row with a cost has a cost in USD

	customerUsed     [2][]bool // by side and customer: had usage
	subscriptionUsed [2][]bool
	lastUsage        []maybeDay // by subscription, as far as the rows tell

	costs      list[costKey]
	usds       sides // the same costs in USD, as long as usd holds
	quantities list[quantityKey]
	byDay      groups[dayKey, Sum] // of both periods

	spots  spots
	rows   int64    // that were added
	noted  use      // the last that was noted
	lines  rowLines // reused: what the rows of a record are of
	differ []int32  // reused: whether a row differs from the one before
	starts []int32  // reused: what segments returns
	none   []byte   // reused: a bitmap in which no bit is set
	spotOf []int32  // reused: the spots of the rows

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
	u := &usage{customers: customers, subscriptions: subscriptions, money: !in.NoMoney, noted: use{side: nowhere}}
	for _, rec := range in.Daily {
		u.money = u.money && ColumnsOf(rec).Has("cost")
	}
	u.usd = u.money
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

// RawColumns are the columns of usage that Metrics reads from Inputs.Raw at first.
func RawColumns() []string {
	return append(moneylessColumns(), "cost", "cost_usd")
}

func moneylessColumns() []string {
	return []string{"usage_date", "customer_id", "subscription_id", "category", "unit", "currency", "charge_category", "quantity"}
}

// wanted are the columns of usage that are still read.
func (u *usage) wanted() []string {
	switch {
	case !u.money:
		return moneylessColumns()
	case !u.usd:
		return append(moneylessColumns(), "cost")
	}
	return RawColumns()
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
		c.cost = c.Decimals("cost")
		if u.usd {
			c.usd = c.Decimals("cost_usd")
		}
	} else {
		c.cost = Column[decimal128.Num]{values: c.quantity.values, valid: validity{bits: u.noBits(c.Rows())}, none: true}
	}
	if !c.raw {
		c.usageRows = c.Int64s("usage_rows")
	}
	if !c.raw && u.money {
		c.costRows, c.usdRows = c.Int64s("cost_rows"), c.Int64s("usd_rows")
	}
	return c, c.Err()
}

// noBits returns a bitmap in which none of n bits is set.
func (u *usage) noBits(n int) []byte {
	u.none = atLeast(u.none, n/8+1)
	return u.none
}

// used reports whether there was usage in a row: one of usage itself, or one that a row of
// usage_daily was made from.
func (c *usageColumns) used(i int, isUsage bool) bool {
	if !c.raw {
		n, _ := c.usageRows.At(i)
		return n > 0
	}
	v, known := c.quantity.At(i)
	return isUsage && known && v.Sign() > 0
}

// inUSD reports whether the cost of a row, or all that it was made from, is known in USD, too.
func (c *usageColumns) inUSD(i int) bool {
	if c.raw {
		_, costKnown := c.cost.At(i)
		_, known := c.usd.At(i)
		return known || !costKnown
	}
	costs, _ := c.costRows.At(i)
	inUSD, _ := c.usdRows.At(i)
	return costs == inUSD
}

// Total adds up the amounts that rows [from, to) state.
func Total(c *Column[decimal128.Num], from, to int) (s Sum) {
	if c.none {
		return Sum{}
	}
	for null := range c.valid.nulls(from, to) {
		s.Merge(sumUp(c.values[from:null]))
		from = null + 1
	}
	s.Merge(sumUp(c.values[from:to]))
	return s
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
