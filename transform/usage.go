package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"tidemark/data"
)

// usage is what the usage_daily rows of the compared days add up to.
type usage struct {
	customers, subscriptions      *IDs
	categories, units, currencies IDs

	money bool // the inputs have money columns
	usd   bool // every row with a cost has a cost in USD

	customerUsed     [2][]bool // by side and customer: had usage
	subscriptionUsed [2][]bool
	lastUsage        []maybeDay // by subscription, as far as Inputs.Daily tells

	costs      groups[costKey, costSums]
	quantities groups[quantityKey, amounts]
	byDay      groups[dayKey, Sum] // of both periods
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

func (a *amounts) add(side int, v decimal128.Num, known bool) {
	a.rows[side]++
	if known {
		a.sums[side].Add(v)
	}
}

func (a *amounts) merge(o amounts) {
	for side := range 2 {
		a.rows[side] += o.rows[side]
		a.sums[side].Merge(o.sums[side])
	}
}

// costSums is a cost in the currency of the key and in USD.
type costSums struct{ cost, usd amounts }

func readUsage(in Inputs, days *comparison, customers, subscriptions *IDs) (*usage, error) {
	u := &usage{customers: customers, subscriptions: subscriptions, money: !in.NoMoney, usd: true}
	for _, rec := range in.Daily {
		u.money = u.money && ColumnsOf(rec).Has("cost")
	}
	calendar := newCalendar(in, days)
	for _, rec := range in.Daily {
		if err := u.add(rec, calendar); err != nil {
			return nil, fmt.Errorf("usage: %w", err)
		}
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

// atLeast returns a list of at least n elements.
func atLeast[T any](list []T, n int) []T {
	if n <= len(list) {
		return list
	}
	return append(list, make([]T, n-len(list))...)
}

// dailyColumns are the columns of a usage_daily record.
type dailyColumns struct {
	*Columns
	day                                              Column[arrow.Date32]
	customer, subscription, category, unit, currency IDColumn
	charge                                           IDColumn
	usageRows                                        Column[int64]
	quantity, cost, usd                              Column[decimal128.Num]
	costRows, usdRows                                Column[int64]
	usage, tax                                       int32 // ids in charge
}

func (u *usage) columns(rec arrow.Record) (dailyColumns, error) {
	var charges IDs
	c := dailyColumns{Columns: ColumnsOf(rec), usage: charges.ID(string(data.ChargeUsage)), tax: charges.ID(string(data.ChargeTax))}
	c.day, c.usageRows = c.Days("usage_date"), c.Int64s("usage_rows")
	c.customer, c.subscription = c.IDs("customer_id", u.customers), c.IDs("subscription_id", u.subscriptions)
	c.category, c.unit = c.IDs("category", &u.categories), c.IDs("unit", &u.units)
	c.currency, c.charge = c.IDs("currency", &u.currencies), c.IDs("charge_category", &charges)
	c.quantity = c.Decimals("quantity")
	if u.money {
		c.cost, c.usd = c.Decimals("cost"), c.Decimals("cost_usd")
		c.costRows, c.usdRows = c.Int64s("cost_rows"), c.Int64s("usd_rows")
	}
	return c, c.Err()
}

func (u *usage) add(rec arrow.Record, days *calendar) error {
	c, err := u.columns(rec)
	if err != nil {
		return err
	}
	for i := range c.Rows() {
		d, _ := c.day.At(i)
		side, ok := days.of(data.Day(d))
		if !ok {
			continue
		}
		customer := c.customer.At(i)
		if n, _ := c.usageRows.At(i); n > 0 {
			u.mark(side, data.Day(d), customer, c.subscription.At(i))
		}
		if side == earlier {
			continue
		}
		charge, category := c.charge.At(i), c.category.At(i)
		if charge == c.usage {
			v, known := c.quantity.At(i)
			u.quantities.at(quantityKey{customer, category, c.unit.At(i)}).add(side, v, known)
		}
		if u.money && charge != c.tax {
			u.addCost(side, costKey{customer, category, c.currency.At(i)}, &c, i)
		}
	}
	return nil
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

// addCost adds the cost of row i to its group.
func (u *usage) addCost(side int, key costKey, c *dailyColumns, i int) {
	cell := u.costs.at(key)
	cost, known := c.cost.At(i)
	cell.cost.add(side, cost, known)
	usd, knownUSD := c.usd.At(i)
	cell.usd.add(side, usd, knownUSD)
	costs, _ := c.costRows.At(i)
	inUSD, _ := c.usdRows.At(i)
	u.usd = u.usd && costs == inUSD
	if known {
		d, _ := c.day.At(i)
		u.byDay.at(dayKey{data.Day(d), key.currency}).Add(cost)
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
