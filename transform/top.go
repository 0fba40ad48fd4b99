package transform

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// topPlaces is how many customers a ranking names.
const topPlaces = 5

func topCustomersSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "category", Type: data.DictType(), Nullable: true},
		{Name: "rank", Type: arrow.PrimitiveTypes.Int32},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "currency", Type: data.DictType(), Nullable: true},
		{Name: "cost", Type: data.DecimalType(), Nullable: true},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
		{Name: "quantity", Type: data.DecimalType(), Nullable: true},
		{Name: "unit", Type: data.DictType(), Nullable: true},
	}, nil)
}

// rankingKey names one ranking: by cost in a currency or by quantity in a unit.
type rankingKey struct {
	category   int32 // NoID: all together
	byQuantity bool
	measure    int32 // a currency, or a unit
}

// ranked is one customer in a ranking.
type ranked struct {
	customer int32
	amounts
}

// topCustomers ranks the customers with an amount in the period: per category
// and currency by cost; per category and unit by the quantity of its usage
// where no row of the category has a cost in the period; and over all
// categories per currency, or in USD alone when there are several currencies
// and every row with a cost has one in USD. All categories come first, then
// each in order; within one the currencies or units in order.
func (c *computation) topCustomers() (arrow.Record, error) {
	w := newWriter(c.mem, topCustomersSchema())
	defer w.release()
	rankings := c.rankings()
	for _, key := range c.rankingOrder(rankings.keys) {
		c.writeRanking(w, key, *rankings.at(key))
	}
	return w.finish()
}

func (c *computation) rankings() groups[rankingKey, []ranked] {
	u := c.usage
	var all groups[rankingKey, []ranked]
	add := func(k rankingKey, customer int32, a amounts) {
		if a.sums[current].Count() > 0 {
			list := all.at(k)
			*list = c.place(*list, ranked{customer, a})
		}
	}
	hasCost := make([]bool, u.categories.Len())
	for i, k := range u.costs.keys {
		cost := u.costs.at(i)
		hasCost[k.category] = hasCost[k.category] || cost.sums[current].Count() > 0
		add(rankingKey{k.category, false, k.currency}, k.customer, cost)
	}
	totals := c.totals()
	for i, k := range totals.keys {
		add(rankingKey{NoID, false, k.currency}, k.customer, totals.values[i])
	}
	for i, k := range u.quantities.keys {
		if !hasCost[k.category] {
			add(rankingKey{k.category, true, k.unit}, k.customer, u.quantities.at(i))
		}
	}
	return all
}

// totals adds the costs of each customer up over all categories.
func (c *computation) totals() groups[costKey, amounts] {
	u := c.usage
	var by groups[costKey, amounts]
	inUSD := u.usd && len(c.currencies()) > 1
	usd := NoID
	if inUSD {
		usd = u.currencies.ID("USD")
	}
	for i, k := range u.costs.keys {
		if inUSD {
			by.at(costKey{k.customer, NoID, usd}).merge(u.usds.at(i))
		} else {
			by.at(costKey{k.customer, NoID, k.currency}).merge(u.costs.at(i))
		}
	}
	return by
}

func (c *computation) rankingOrder(keys []rankingKey) []rankingKey {
	category, currency, unit := c.usage.categories.ranks(), c.usage.currencies.ranks(), c.usage.units.ranks()
	order := slices.Clone(keys)
	slices.SortFunc(order, func(a, b rankingKey) int {
		if a.category != b.category {
			return category.cmp(a.category, b.category)
		}
		if a.byQuantity { // one category is ranked either by cost or by quantity
			return unit.cmp(a.measure, b.measure)
		}
		return currency.cmp(a.measure, b.measure)
	})
	return order
}

func (c *computation) writeRanking(w *writer, key rankingKey, list []ranked) {
	for i, r := range list {
		what := "cost"
		if key.byQuantity {
			what = "quantity"
		}
		name := what + " of customer " + quoted(c.usage.customers.Text(r.customer))
		w.id(key.category, &c.usage.categories)
		w.int32(int32(i + 1))
		w.id(r.customer, c.usage.customers)
		if key.byQuantity {
			w.null()
			w.null()
			c.previous(w, r.amounts, name)
			w.sum(r.sums[current], name)
			w.id(key.measure, &c.usage.units)
			continue
		}
		w.id(key.measure, &c.usage.currencies)
		w.sum(r.sums[current], name)
		c.previous(w, r.amounts, name)
		w.null()
		w.null()
	}
}

// place puts a customer into a ranking, which names no more than topPlaces.
func (c *computation) place(list []ranked, r ranked) []ranked {
	at, _ := slices.BinarySearchFunc(list, r, c.compareRanked)
	if at == topPlaces {
		return list
	}
	return slices.Insert(list[:min(len(list), topPlaces-1)], at, r)
}

// compareRanked is the order of a ranking: the higher amount, then name, then id.
func (c *computation) compareRanked(a, b ranked) int {
	if by := b.sums[current].Cmp(a.sums[current]); by != 0 {
		return by
	}
	return cmp.Or(
		cmp.Compare(c.customerName(a.customer), c.customerName(b.customer)),
		cmp.Compare(c.usage.customers.Text(a.customer), c.usage.customers.Text(b.customer)))
}

// customerName returns the newest name, or the id of a customer without one.
func (c *computation) customerName(id int32) string {
	if name, found := c.inventory.names[id]; found {
		return name
	}
	return c.usage.customers.Text(id)
}

// quoted makes any text fit for an error message.
func quoted(s string) string { return strconv.Quote(s) }
