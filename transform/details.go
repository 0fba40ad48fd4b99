package transform

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// notStated is the reason of an amount that is null although there are rows:
// none of them states it.
const notStated = "not_stated"

// Details holds the tables that are only computed when Inputs.Details asks for
// them. Columns marked ? may be null; reason? says why one of them is:
// "not_stated" (rows exist and none states the amount), or what Tables says of a
// previous period that is unknown. The cost tables are nil for inputs without
// money columns. The records belong to the Tables.
type Details struct {
	CostByDayCategory arrow.Record // date, category, currency, value?, reason?: known days of the period, for each category and currency with a cost in it
	CostByDayCustomer arrow.Record // date, customer_id, currency, value?, reason?: likewise
	Quantities        arrow.Record // category, unit?, value?, previous?, reason?: usage of all customers
	Movers            arrow.Record // moversSchema; nil while the previous period is unknown
	Categories        arrow.Record // change "new" or "lost", customer_id?, category: null customer is all together; nil while the previous period is unknown
}

func (d *Details) records() []*arrow.Record {
	return []*arrow.Record{&d.CostByDayCategory, &d.CostByDayCustomer, &d.Quantities, &d.Movers, &d.Categories}
}

// Compared returns the known days of the period and the days of the previous
// period that they are compared with. While there is nothing to compare with,
// reason says why: "not_observed_before: DATE" or "no_known_day".
func (in Inputs) Compared() (days, before []data.Day, reason string) {
	c, err := compare(in)
	if err != nil {
		return nil, nil, noKnownDay
	}
	return c.known, c.before, c.unknown
}

func costByDayCategorySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "category", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "reason", Type: data.DictType(), Nullable: true},
	}, nil)
}

func costByDayCustomerSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "reason", Type: data.DictType(), Nullable: true},
	}, nil)
}

func quantitiesSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "category", Type: data.DictType()},
		{Name: "unit", Type: data.DictType(), Nullable: true},
		{Name: "value", Type: data.DecimalType(), Nullable: true},
		{Name: "previous", Type: data.DecimalType(), Nullable: true},
		{Name: "reason", Type: data.DictType(), Nullable: true},
	}, nil)
}

func categoriesSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "change", Type: data.DictType()},
		{Name: "customer_id", Type: data.DictType(), Nullable: true},
		{Name: "category", Type: data.DictType()},
	}, nil)
}

// details fills Tables.Details when it is asked for.
func (c *computation) details(t *Tables) error {
	if !c.in.Details {
		return nil
	}
	t.Details = &Details{}
	rows, err := c.readDetails()
	if err != nil {
		return err
	}
	compared, money := c.days.unknown == "", c.usage.money
	for _, table := range []struct {
		to     *arrow.Record
		make   func() (arrow.Record, error)
		wanted bool
	}{
		{&t.Details.CostByDayCategory, func() (arrow.Record, error) { return c.costByDayCategory(rows) }, money},
		{&t.Details.CostByDayCustomer, func() (arrow.Record, error) { return c.costByDayCustomer(rows) }, money},
		{&t.Details.Quantities, c.quantities, true},
		{&t.Details.Movers, c.movers, money && compared},
		{&t.Details.Categories, func() (arrow.Record, error) { return c.categoryChanges(rows) }, compared},
	} {
		if !table.wanted {
			continue
		}
		if *table.to, err = table.make(); err != nil {
			return err
		}
	}
	return nil
}

// detailRows is what a second look at the rows of the compared days adds up to.
type detailRows struct {
	categories, customers groups[seriesKey, stated]
	used                  groups[categoryUse, [2]bool] // by side
	anybody               groups[categoryUse, [2]bool] // the same of all customers together
}

// seriesKey is a day of one series: what is a category or a customer.
type seriesKey struct {
	day            data.Day
	what, currency int32
}

// stated is a sum, and how many rows there were with and without an amount.
type stated struct {
	rows int64
	sum  Sum
}

func (s *stated) add(v Sum) {
	s.rows++
	s.sum.Merge(v)
}

// categoryUse is a category that a customer, or NoID for anybody, used.
type categoryUse struct{ customer, category int32 }

func (c *computation) readDetails() (*detailRows, error) {
	d, days := &detailRows{}, newCalendar(c.in, c.days)
	for _, share := range c.in.shares() {
		for rec, err := range share(c.usage.wanted) {
			if err == nil {
				err = c.addDetails(d, rec, days)
			}
			if err != nil {
				return nil, fmt.Errorf("usage: %w", err)
			}
		}
	}
	return d, nil
}

func (c *computation) addDetails(d *detailRows, rec arrow.Record, days *calendar) error {
	cols, err := c.usage.columns(rec)
	if err != nil {
		return err
	}
	for i := range cols.Rows() {
		on, _ := cols.day.At(i)
		side, counts := days.of(data.Day(on))
		if !counts || side == earlier {
			continue
		}
		customer, category, charge := cols.customer.At(i), cols.category.At(i), cols.charge.At(i)
		if cols.used(i, cols.usage == charge) {
			d.anybody.at(categoryUse{NoID, category})[side] = true
			d.used.at(categoryUse{customer, category})[side] = true
		}
		if side != current || !c.usage.money || charge == cols.tax {
			continue
		}
		var cost Sum
		if v, known := cols.cost.At(i); known {
			cost.Add(v)
		}
		currency := cols.currency.At(i)
		d.categories.at(seriesKey{data.Day(on), category, currency}).add(cost)
		d.customers.at(seriesKey{data.Day(on), customer, currency}).add(cost)
	}
	return nil
}

func (c *computation) costByDayCategory(d *detailRows) (arrow.Record, error) {
	w := newWriter(c.mem, costByDayCategorySchema())
	defer w.release()
	c.series(w, &d.categories, &c.usage.categories, "category")
	return w.finish()
}

func (c *computation) costByDayCustomer(d *detailRows) (arrow.Record, error) {
	w := newWriter(c.mem, costByDayCustomerSchema())
	defer w.release()
	c.series(w, &d.customers, c.usage.customers, "customer")
	return w.finish()
}

// series writes a row for every known day and everything with a cost in the
// period: 0 on a day without a row, null where rows exist and none states a cost.
func (c *computation) series(w *writer, by *groups[seriesKey, stated], names *IDs, what string) {
	var all groups[seriesKey, stated] // of no day
	places := make(map[seriesKey]int, len(by.keys))
	for i, k := range by.keys {
		places[k] = i
		all.at(seriesKey{what: k.what, currency: k.currency}).add(by.values[i].sum)
	}
	name, currency := names.ranks(), c.usage.currencies.ranks()
	order := sorted(all.keys, func(a, b seriesKey) int {
		return cmp.Or(name.cmp(a.what, b.what), currency.cmp(a.currency, b.currency))
	})
	for _, day := range c.days.known {
		for _, i := range order {
			k := all.keys[i]
			if all.values[i].sum.Count() == 0 {
				continue
			}
			w.day(day)
			w.id(k.what, names)
			w.id(k.currency, &c.usage.currencies)
			at, found := places[seriesKey{day, k.what, k.currency}]
			switch {
			case !found:
				w.decimal(data.Decimal{})
				w.null()
			case by.values[at].sum.Count() == 0:
				w.null()
				w.text(notStated)
			default:
				w.sumNamed(by.values[at].sum, func() string {
					return "cost of " + what + " " + quoted(names.Text(k.what)) + " on " + day.String() + " in " + c.usage.currencies.Text(k.currency)
				})
				w.null()
			}
		}
	}
}

// quantities has a row for every category and unit with usage on either side.
func (c *computation) quantities() (arrow.Record, error) {
	w := newWriter(c.mem, quantitiesSchema())
	defer w.release()
	var by groups[quantityKey, amounts]
	for i, k := range c.usage.quantities.keys {
		by.at(quantityKey{NoID, k.category, k.unit}).merge(c.usage.quantities.at(i))
	}
	category, unit := c.usage.categories.ranks(), c.usage.units.ranks()
	for _, i := range sorted(by.keys, func(a, b quantityKey) int {
		return cmp.Or(category.cmp(a.category, b.category), unit.cmp(a.unit, b.unit))
	}) {
		k, a := by.keys[i], by.values[i]
		name := "quantity of category " + quoted(c.usage.categories.Text(k.category))
		w.id(k.category, &c.usage.categories)
		w.id(k.unit, &c.usage.units)
		w.amount(a, current, name)
		c.previous(w, a, name)
		w.reason(c.why(a))
	}
	return w.finish()
}

// known reports whether a side of an amount is a number in the tables.
func (a amounts) known(side int) bool {
	return a.sums[side].Count() > 0 || a.rows[side] == 0 && a.sums[1-side].Count() > 0
}

// why says why an amount is null, of the value if that is, else of the previous;
// it is empty when both are known.
func (c *computation) why(a amounts) string {
	switch {
	case !a.known(current):
		return notStated
	case c.days.unknown != "":
		return c.days.unknown
	case !a.known(previous):
		return notStated
	}
	return ""
}

// sumNamed is sum where so many are written that their names are only made for an
// error.
func (w *writer) sumNamed(s Sum, name func() string) {
	if _, err := s.Decimal(""); err != nil {
		w.sum(s, name())
		return
	}
	w.sum(s, "")
}

// reason writes a reason, null for none.
func (w *writer) reason(s string) {
	if s == "" {
		w.null()
		return
	}
	w.text(s)
}

// categoryChanges has the categories with usage on one side only: the new ones
// first, and of each all customers together before each by id.
func (c *computation) categoryChanges(d *detailRows) (arrow.Record, error) {
	w := newWriter(c.mem, categoriesSchema())
	defer w.release()
	customer, category := c.usage.customers.ranks(), c.usage.categories.ranks()
	keys, used := slices.Concat(d.anybody.keys, d.used.keys), slices.Concat(d.anybody.values, d.used.values)
	order := sorted(keys, func(a, b categoryUse) int {
		return cmp.Or(customer.cmp(a.customer, b.customer), category.cmp(a.category, b.category))
	})
	for _, change := range []struct {
		name string
		used [2]bool
	}{
		{"new", [2]bool{current: true}},
		{"lost", [2]bool{previous: true}},
	} {
		for _, i := range order {
			if used[i] != change.used {
				continue
			}
			w.text(change.name)
			w.id(keys[i].customer, c.usage.customers)
			w.id(keys[i].category, &c.usage.categories)
		}
	}
	return w.finish()
}
