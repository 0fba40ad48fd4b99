package transform

import (
	"cmp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// The tables of Tables. A value is null where rows exist and none has an
// amount; without any row it is 0.
func costSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

func costByCategorySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "category", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

func costByCustomerSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

func costByDaySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType()},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

// amount writes one side of an amount: 0 where there was no row, but only of
// something whose cost is known on the other side.
func (w *writer) amount(a amounts, side int, name string) {
	if a.rows[side] == 0 && a.sums[1-side].Count() > 0 {
		w.decimal(data.Decimal{})
		return
	}
	w.sum(a.sums[side], name)
}

// previous writes the previous side of an amount, null where it is unknown.
func (c *computation) previous(w *writer, a amounts, name string) {
	if c.days.unknown != "" {
		w.null()
		return
	}
	w.amount(a, previous, "previous "+name)
}

// categoryCurrency is the key of costByCategory; category is NoID in cost.
type categoryCurrency struct{ category, currency int32 }

// costsBy adds the costs of all customers up by a key.
func (c *computation) costsBy(key func(costKey) categoryCurrency) groups[categoryCurrency, amounts] {
	var by groups[categoryCurrency, amounts]
	for i, k := range c.usage.costs.keys {
		by.at(key(k)).merge(c.usage.costs.at(i))
	}
	return by
}

// order returns the groups by category and currency.
func (c *computation) order(keys []categoryCurrency) []int {
	category, currency := c.usage.categories.ranks(), c.usage.currencies.ranks()
	return sorted(keys, func(a, b categoryCurrency) int {
		return cmp.Or(category.cmp(a.category, b.category), currency.cmp(a.currency, b.currency))
	})
}

func (c *computation) cost() (arrow.Record, error) {
	w := newWriter(c.mem, costSchema())
	defer w.release()
	by := c.costsBy(func(k costKey) categoryCurrency { return categoryCurrency{NoID, k.currency} })
	for _, i := range c.order(by.keys) {
		if a := by.values[i]; a.sums[current].Count()+a.sums[previous].Count() == 0 {
			continue // no row states a cost: a currency is not even known
		}
		name := "cost in " + c.usage.currencies.Text(by.keys[i].currency)
		w.id(by.keys[i].currency, &c.usage.currencies)
		w.amount(by.values[i], current, name)
		c.previous(w, by.values[i], name)
	}
	return w.finish()
}

func (c *computation) costByCategory() (arrow.Record, error) {
	w := newWriter(c.mem, costByCategorySchema())
	defer w.release()
	by := c.costsBy(func(k costKey) categoryCurrency { return categoryCurrency{k.category, k.currency} })
	for _, i := range c.order(by.keys) {
		k := by.keys[i]
		name := "cost of category " + quoted(c.usage.categories.Text(k.category)) + " in " + c.usage.currencies.Text(k.currency)
		w.id(k.category, &c.usage.categories)
		w.id(k.currency, &c.usage.currencies)
		w.amount(by.values[i], current, name)
		c.previous(w, by.values[i], name)
	}
	return w.finish()
}

// costByCustomer has a row for every customer and currency with a stated cost in
// either period: who has left is in it, too.
func (c *computation) costByCustomer() (arrow.Record, error) {
	w := newWriter(c.mem, costByCustomerSchema())
	defer w.release()
	var by groups[costKey, amounts]
	for i, k := range c.usage.costs.keys {
		by.at(costKey{k.customer, NoID, k.currency}).merge(c.usage.costs.at(i))
	}
	customer, currency := c.usage.customers.ranks(), c.usage.currencies.ranks()
	for _, i := range sorted(by.keys, func(a, b costKey) int {
		return cmp.Or(customer.cmp(a.customer, b.customer), currency.cmp(a.currency, b.currency))
	}) {
		a, k := by.values[i], by.keys[i]
		if a.sums[current].Count()+a.sums[previous].Count() == 0 {
			continue
		}
		name := "cost of customer " + quoted(c.usage.customers.Text(k.customer)) + " in " + c.usage.currencies.Text(k.currency)
		w.id(k.customer, c.usage.customers)
		w.id(k.currency, &c.usage.currencies)
		w.amount(a, current, name)
		c.previous(w, a, name)
	}
	return w.finish()
}

// costByDay has a row for every known day and every currency with a cost in the
// period.
func (c *computation) costByDay() (arrow.Record, error) {
	w := newWriter(c.mem, costByDaySchema())
	defer w.release()
	currencies := c.currencies()
	for _, d := range c.days.known {
		for _, currency := range currencies {
			w.day(d)
			w.id(currency, &c.usage.currencies)
			c.costOf(w, d, currency)
			if same := c.days.periods[previous].From + d - c.in.Period.From; slices.Contains(c.days.before, same) {
				c.costOf(w, same, currency)
			} else {
				w.null()
			}
		}
	}
	return w.finish()
}

// costOf writes the cost of a compared day, 0 where no row states one.
func (c *computation) costOf(w *writer, d data.Day, currency int32) {
	if sum := *c.usage.byDay.at(dayKey{d, currency}); sum.Count() > 0 {
		w.sum(sum, "cost of "+d.String()+" in "+c.usage.currencies.Text(currency))
	} else {
		w.decimal(data.Decimal{})
	}
}

// currencies returns the currencies with a cost in the period, in order.
func (c *computation) currencies() []int32 {
	used := make([]bool, c.usage.currencies.Len())
	for i, k := range c.usage.costs.keys {
		used[k.currency] = used[k.currency] || c.usage.costs.at(i).sums[current].Count() > 0
	}
	return slices.DeleteFunc(c.usage.currencies.sorted(), func(id int32) bool { return !used[id] })
}
