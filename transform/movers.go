package transform

import (
	"cmp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// moversSchema is the schema of Details.Movers: for each direction ("grew"
// first, then "fell") and currency up to five customers by the difference of
// their cost, and of each the category whose cost moved most in that direction.
// The category is null where of no category a difference that way is known.
func moversSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "direction", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "rank", Type: arrow.PrimitiveTypes.Int32},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType()},
		{Name: "previous", Type: data.DecimalType()},
		{Name: "difference", Type: data.DecimalType()},
		{Name: "category", Type: data.DictType(), Nullable: true},
		{Name: "category_value", Type: data.DecimalType(), Nullable: true},
		{Name: "category_previous", Type: data.DecimalType(), Nullable: true},
		{Name: "category_difference", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

// The directions of a mover.
const (
	grew = 1
	fell = -1
)

// mover is a customer whose cost in a currency moved.
type mover struct {
	customer, currency int32
	moved
	category int32 // NoID: none is known that moved that way
	of       moved // the category
}

// moved is an amount whose difference is known.
type moved struct {
	amounts
	by Sum
}

// difference returns by how much an amount moved; known is false where a side is
// not known.
func (a amounts) difference() (m moved, known bool) {
	if !a.known(current) || !a.known(previous) {
		return m, false
	}
	return moved{a, a.sums[current].minus(a.sums[previous])}, true
}

// movers ranks the customers by the difference of their cost, in each currency
// apart. A customer of whom rows exist and none states a cost on one side is in
// no ranking.
func (c *computation) movers() (arrow.Record, error) {
	var totals groups[costKey, amounts]
	for i, k := range c.usage.costs.keys {
		totals.at(costKey{k.customer, NoID, k.currency}).merge(c.usage.costs.at(i))
	}
	var all []mover
	for i, k := range totals.keys {
		if m, known := totals.values[i].difference(); known {
			all = append(all, mover{customer: k.customer, currency: k.currency, moved: m, category: NoID})
		}
	}
	w := newWriter(c.mem, moversSchema())
	defer w.release()
	for _, direction := range []int{grew, fell} {
		var first []mover
		for _, currency := range c.usage.currencies.sorted() {
			first = append(first, c.topMovers(all, currency, direction)...)
		}
		c.explain(first, direction)
		rank := int32(0)
		for i, m := range first {
			if rank++; i > 0 && first[i-1].currency != m.currency {
				rank = 1
			}
			c.writeMover(w, m, direction, rank)
		}
	}
	return w.finish()
}

// topMovers returns the customers that moved most in a direction and currency.
func (c *computation) topMovers(all []mover, currency int32, direction int) []mover {
	var list []mover
	for _, m := range all {
		if m.currency == currency && m.by.Sign() == direction {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b mover) int {
		return cmp.Or(
			direction*b.by.Cmp(a.by),
			cmp.Compare(c.customerName(a.customer), c.customerName(b.customer)),
			cmp.Compare(c.usage.customers.Text(a.customer), c.usage.customers.Text(b.customer)))
	})
	return list[:min(topPlaces, len(list))]
}

// explain finds for each mover the category that moved most the same way; of
// equal ones the first by name.
func (c *computation) explain(movers []mover, direction int) {
	at := map[costKey]*mover{}
	for i, m := range movers {
		at[costKey{m.customer, NoID, m.currency}] = &movers[i]
	}
	category := c.usage.categories.ranks()
	for i, k := range c.usage.costs.keys {
		m := at[costKey{k.customer, NoID, k.currency}]
		if m == nil {
			continue
		}
		of, known := c.usage.costs.at(i).difference()
		if !known || of.by.Sign() != direction {
			continue
		}
		further := cmp.Or(direction*of.by.Cmp(m.of.by), category.cmp(m.category, k.category))
		if m.category == NoID || further > 0 {
			m.category, m.of = k.category, of
		}
	}
}

func (c *computation) writeMover(w *writer, m mover, direction int, rank int32) {
	name := "cost of customer " + quoted(c.usage.customers.Text(m.customer)) + " in " + c.usage.currencies.Text(m.currency)
	if direction == grew {
		w.text("grew")
	} else {
		w.text("fell")
	}
	w.id(m.currency, &c.usage.currencies)
	w.int32(rank)
	w.id(m.customer, c.usage.customers)
	w.moved(m.moved, name)
	w.id(m.category, &c.usage.categories)
	if m.category == NoID {
		w.null()
		w.null()
		w.null()
		return
	}
	w.moved(m.of, name+" of category "+quoted(c.usage.categories.Text(m.category)))
}

// moved writes both sides and the difference.
func (w *writer) moved(m moved, name string) {
	w.amount(m.amounts, current, name)
	w.amount(m.amounts, previous, "previous "+name)
	w.sum(m.by, "difference of the "+name)
}
