package transform

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// side says which of the two periods a number belongs to.
type side int

const (
	current side = iota
	before
)

// pair is a sum in both periods.
type pair [2]sum

// usage is the daily rows of the days that count, added up by everything the
// metrics ask for. Ids are dense.
type usage struct {
	ids, texts *idTable // customers and subscriptions; categories, currencies, units

	money     bool
	customers [2]map[int32]bool // with usage
	subs      [2]map[int32]bool
	last      map[int32]data.Day // last day with usage in all rows, known or not, up to the last known day

	cost       map[int32]*pair    // by currency
	byCategory map[[2]int32]*pair // by category and currency
	byDay      map[dayCurrency]*sum
	byCustomer map[[3]int32]*pair // by customer, category (null: all) and currency
	usd        map[int32]*pair    // by customer, in USD
	allUSD     bool               // every row with a cost has one in USD
	quantity   map[[3]int32]*pair // by customer, category and unit
	categories map[int32]bool     // with rows that are not tax
	costed     map[int32]bool     // categories with any cost
}

type dayCurrency struct {
	day      data.Day
	currency int32
}

// readUsage adds up the rows of the known and the compared days.
func readUsage(daily []arrow.Record, known, compared []data.Day) (*usage, error) {
	u := &usage{ids: newIDTable(), texts: newIDTable(), customers: [2]map[int32]bool{{}, {}}, subs: [2]map[int32]bool{{}, {}},
		last: map[int32]data.Day{}, cost: map[int32]*pair{}, byCategory: map[[2]int32]*pair{}, byDay: map[dayCurrency]*sum{},
		byCustomer: map[[3]int32]*pair{}, usd: map[int32]*pair{}, allUSD: true, quantity: map[[3]int32]*pair{},
		categories: map[int32]bool{}, costed: map[int32]bool{}}
	sides := map[data.Day]side{}
	for _, d := range compared {
		sides[d] = before
	}
	for _, d := range known {
		sides[d] = current
	}
	for i, rec := range daily {
		has := decimalColumn(rec, "cost") != nil
		if i == 0 {
			u.money = has
		}
		u.money = u.money && has
		if err := u.read(rec, sides, known[len(known)-1]); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// batch is the columns of one record of daily rows.
type batch struct {
	days                                                     *array.Date32
	customer, subscription, category, unit, currency, charge idColumn
	usageRows                                                *array.Int64
	cost, usd, quantity                                      *array.Decimal128
}

func (u *usage) columns(rec arrow.Record) (b batch, err error) {
	if b.days, err = columnAs[*array.Date32](rec, "usage_date"); err != nil {
		return b, err
	}
	if b.usageRows, err = columnAs[*array.Int64](rec, "usage_rows"); err != nil {
		return b, err
	}
	for _, c := range []struct {
		name  string
		table *idTable
		to    *idColumn
	}{
		{"customer_id", u.ids, &b.customer}, {"subscription_id", u.ids, &b.subscription}, {"category", u.texts, &b.category},
		{"unit", u.texts, &b.unit}, {"currency", u.texts, &b.currency}, {"charge_category", u.texts, &b.charge},
	} {
		if *c.to, err = c.table.column(rec, c.name); err != nil {
			return b, err
		}
	}
	b.cost, b.usd, b.quantity = decimalColumn(rec, "cost"), decimalColumn(rec, "cost_usd"), decimalColumn(rec, "quantity")
	return b, nil
}

func (u *usage) read(rec arrow.Record, sides map[data.Day]side, last data.Day) error {
	b, err := u.columns(rec)
	if err != nil {
		return err
	}
	tax, used := u.texts.of(string(data.ChargeTax)), u.texts.of(string(data.ChargeUsage))
	for i := range int(rec.NumRows()) {
		day := data.Day(b.days.Value(i))
		if day > last {
			continue
		}
		customer, sub := b.customer.at(i), b.subscription.at(i)
		if b.usageRows.Value(i) > 0 && sub != null {
			u.last[sub] = max(u.last[sub], day)
		}
		at, counts := sides[day]
		if !counts {
			continue
		}
		if b.usageRows.Value(i) > 0 {
			u.customers[at][customer] = true
			if sub != null {
				u.subs[at][sub] = true
			}
		}
		charge := b.charge.at(i)
		if charge == tax {
			continue
		}
		category := b.category.at(i)
		u.categories[category] = true
		if charge == used && b.quantity != nil && !b.quantity.IsNull(i) {
			entry(u.quantity, [3]int32{customer, category, b.unit.at(i)})[at].add(b.quantity.Value(i))
		}
		if b.cost != nil && !b.cost.IsNull(i) {
			u.addCost(b, i, at, day, customer, category)
		}
	}
	return nil
}

// addCost adds the cost of one row to every sum that it counts in.
func (u *usage) addCost(b batch, i int, at side, day data.Day, customer, category int32) {
	currency, n := b.currency.at(i), b.cost.Value(i)
	u.costed[category] = true
	entry(u.cost, currency)[at].add(n)
	entry(u.byCategory, [2]int32{category, currency})[at].add(n)
	entry(u.byCustomer, [3]int32{customer, category, currency})[at].add(n)
	entry(u.byCustomer, [3]int32{customer, null, currency})[at].add(n)
	if at == current {
		entry(u.byDay, dayCurrency{day, currency}).add(n)
	}
	if b.usd == nil || b.usd.IsNull(i) {
		u.allUSD = false
		return
	}
	entry(u.usd, customer)[at].add(b.usd.Value(i))
}

// entry returns the value of a key, made when it is not there.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}

func (u *usage) usedCustomer(at side, id string) bool {
	n, found := u.ids.find(id)
	return found && u.customers[at][n]
}

func (u *usage) usedSubscription(at side, id string) bool {
	n, found := u.ids.find(id)
	return found && u.subs[at][n]
}

// lastUsage is the last day with usage in the rows read, nil for none.
func (u *usage) lastUsage(id string) *data.Day {
	if n, found := u.ids.find(id); found {
		if day, used := u.last[n]; used {
			return &day
		}
	}
	return nil
}
