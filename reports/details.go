package reports

import (
	"cmp"

	"tidemark/data"
	"tidemark/transform"
)

// Details is what a document has beside its numbers where it is asked for. An
// amount that is null has a reason: "not_stated" (rows exist and none states
// it), or that of Compared. The lists that compare are null while there is
// nothing to compare with, and empty where nothing moved.
type Details struct {
	Compared     Compared `json:"compared"`
	*DetailCosts          // nil: without money

	Quantities     []Quantity      `json:"quantities"`
	CategoriesNew  []CategoryUse   `json:"categories_new"`  // usage now, and none on the compared days before
	CategoriesLost []CategoryUse   `json:"categories_lost"` // usage on the compared days before, and none now
	Trend          []TrendOfPeriod `json:"trend"`           // the oldest first, the period itself last
}

// Compared says how many days are compared with how many.
type Compared struct {
	Days         int     `json:"days"`          // known days of the period
	PreviousDays int     `json:"previous_days"` // days of the previous period that they are compared with
	Reason       *string `json:"reason"`        // why there are none: "not_observed_before: DATE" or "no_known_day"
}

// DetailCosts holds what only details with money have.
type DetailCosts struct {
	ByDayCategory []DayCategoryCost `json:"cost_by_day_category"`
	ByDayCustomer []DayCustomerCost `json:"cost_by_day_customer"`
	Grew          []Mover           `json:"grew"`
	Fell          []Mover           `json:"fell"`
}

// DaySum is the cost of one known day in one currency: 0 where there is no row,
// null where rows exist and none states a cost.
type DaySum struct {
	Currency string        `json:"currency"`
	Value    *data.Decimal `json:"value"`
	Reason   *string       `json:"reason"`
}

// DayCategoryCost is the cost of one category on one known day.
type DayCategoryCost struct {
	Date     data.Day `json:"date"`
	Category string   `json:"category"`
	DaySum
}

// DayCustomerCost is the cost of one customer on one known day.
type DayCustomerCost struct {
	Date       data.Day        `json:"date"`
	CustomerID data.CustomerID `json:"customer_id"`
	Name       Name            `json:"name"`
	DaySum
}

// Quantity is what all customers used of one category, in one unit.
type Quantity struct {
	Category string        `json:"category"`
	Unit     *string       `json:"unit"`
	Value    *data.Decimal `json:"value"`
	Previous *data.Decimal `json:"previous"`
	Change   *float64      `json:"change"`
	Reason   *string       `json:"reason"`
}

// Mover is one of the five customers whose cost in a currency moved most one way.
type Mover struct {
	Currency   string          `json:"currency"`
	Rank       int             `json:"rank"`
	CustomerID data.CustomerID `json:"customer_id"`
	Name       Name            `json:"name"`
	Moved
	Category *MovedCategory `json:"category"` // that moved most the same way; null: none is known
}

// MovedCategory is a category of a customer that moved.
type MovedCategory struct {
	Name string `json:"name"`
	Moved
}

// Moved is a cost of which both sides are known.
type Moved struct {
	Value      data.Decimal `json:"value"`
	Previous   data.Decimal `json:"previous"`
	Difference data.Decimal `json:"difference"`
	Change     *float64     `json:"change"`
}

// CategoryUse is a category that a customer used on one side of the comparison
// only; nobody else did either where CustomerID is nil.
type CategoryUse struct {
	CustomerID *data.CustomerID `json:"customer_id"`
	Name       Name             `json:"name"`
	Category   string           `json:"category"`
}

// TrendOfPeriod is one period of the trend. Everything is null, for a reason,
// where no day of it is known.
type TrendOfPeriod struct {
	Period        data.Period `json:"period"`
	KnownDays     int         `json:"known_days"`
	Complete      bool        `json:"complete"` // every day is known
	Customers     *int64      `json:"customers_with_usage"`
	Subscriptions *int64      `json:"subscriptions_with_usage"`
	*TrendCosts               // nil: without money
	Reason        *string     `json:"reason"`
}

// TrendCosts holds what only a trend with money has.
type TrendCosts struct {
	Cost []TrendCost `json:"cost"` // of all categories first, then of each; those that are stated
}

func (d *Document) addDetails(in transform.Inputs, tables *transform.Tables) error {
	days, before, reason := in.Compared()
	compared := Compared{Days: len(days), PreviousDays: len(before)}
	if reason != "" {
		compared.Reason = &reason
	}
	d.Background.Compared = compared
	if tables.Details == nil {
		return nil
	}
	d.Details = &Details{Compared: compared}
	for _, step := range []func(*transform.Details) error{d.addSeries, d.addQuantities, d.addMovers, d.addCategories} {
		if err := step(tables.Details); err != nil {
			return err
		}
	}
	d.addTrendDetails(in)
	return nil
}

func (d *Document) name(id data.CustomerID) Name { return Name(d.Background.Customers[id].Name) }

func (d *Document) addSeries(tables *transform.Details) error {
	if !d.Background.Money {
		return nil
	}
	costs := &DetailCosts{ByDayCategory: []DayCategoryCost{}, ByDayCustomer: []DayCustomerCost{}}
	d.Details.DetailCosts = costs
	r := reader{table: "cost by day and category", rec: tables.CostByDayCategory}
	date, category, sum := required(r.day("date")), required(r.text("category")), daySums(&r)
	for i := range r.rows() {
		costs.ByDayCategory = append(costs.ByDayCategory, DayCategoryCost{date(i), category(i), sum(i)})
	}
	q := reader{table: "cost by day and customer", rec: tables.CostByDayCustomer}
	date, customer, sum := required(q.day("date")), required(q.text("customer_id")), daySums(&q)
	for i := range q.rows() {
		id := data.CustomerID(customer(i))
		costs.ByDayCustomer = append(costs.ByDayCustomer, DayCustomerCost{date(i), id, d.name(id), sum(i)})
	}
	return cmp.Or(r.err, q.err)
}

func daySums(r *reader) func(int) DaySum {
	currency, value, reason := required(r.text("currency")), r.decimal("value"), r.text("reason")
	return func(i int) DaySum { return DaySum{currency(i), value(i), reason(i)} }
}

func (d *Document) addQuantities(tables *transform.Details) error {
	d.Details.Quantities = []Quantity{}
	r := reader{table: "quantities", rec: tables.Quantities}
	category, unit := required(r.text("category")), r.text("unit")
	value, previous, reason := r.decimal("value"), r.decimal("previous"), r.text("reason")
	for i := range r.rows() {
		d.Details.Quantities = append(d.Details.Quantities, Quantity{Category: category(i), Unit: unit(i),
			Value: value(i), Previous: previous(i), Change: newCost("", value(i), previous(i)).Change, Reason: reason(i)})
	}
	return r.err
}

func (d *Document) addMovers(tables *transform.Details) error {
	if tables.Movers == nil {
		return nil
	}
	costs := d.Details.DetailCosts
	costs.Grew, costs.Fell = []Mover{}, []Mover{}
	r := reader{table: "movers", rec: tables.Movers}
	direction, currency, rank := required(r.text("direction")), required(r.text("currency")), required(r.int32("rank"))
	customer, category := required(r.text("customer_id")), r.text("category")
	all, one := movedOf(&r, ""), movedOf(&r, "category_")
	for i := range r.rows() {
		id := data.CustomerID(customer(i))
		m := Mover{Currency: currency(i), Rank: rank(i), CustomerID: id, Name: d.name(id), Moved: all(i)}
		if name := category(i); name != nil {
			m.Category = &MovedCategory{*name, one(i)}
		}
		if direction(i) == "grew" {
			costs.Grew = append(costs.Grew, m)
		} else {
			costs.Fell = append(costs.Fell, m)
		}
	}
	return r.err
}

func movedOf(r *reader, prefix string) func(int) Moved {
	value, previous := required(r.decimal(prefix+"value")), required(r.decimal(prefix+"previous"))
	difference := required(r.decimal(prefix + "difference"))
	return func(i int) Moved {
		now, before := value(i), previous(i)
		return Moved{now, before, difference(i), newCost("", &now, &before).Change}
	}
}

func (d *Document) addCategories(tables *transform.Details) error {
	if tables.Categories == nil {
		return nil
	}
	d.Details.CategoriesNew, d.Details.CategoriesLost = []CategoryUse{}, []CategoryUse{}
	r := reader{table: "categories new and lost", rec: tables.Categories}
	change, customer, category := required(r.text("change")), r.text("customer_id"), required(r.text("category"))
	for i := range r.rows() {
		use := CategoryUse{Category: category(i)}
		if id := customer(i); id != nil {
			use.CustomerID = new(data.CustomerID(*id))
			use.Name = d.name(*use.CustomerID)
		}
		if change(i) == "new" {
			d.Details.CategoriesNew = append(d.Details.CategoriesNew, use)
		} else {
			d.Details.CategoriesLost = append(d.Details.CategoriesLost, use)
		}
	}
	return r.err
}

// addTrendDetails tells the trend of the background.
func (d *Document) addTrendDetails(in transform.Inputs) {
	d.Details.Trend = []TrendOfPeriod{}
	for _, p := range d.Background.Trend {
		t := TrendOfPeriod{Period: p.Period, KnownDays: p.Known, Complete: p.Complete(), Customers: p.Customers, Subscriptions: p.Subscriptions}
		if d.Background.Money {
			t.TrendCosts = &TrendCosts{p.Cost}
		}
		switch {
		case p.Known == 0 && p.Period.To < in.Extracted[0]:
			t.Reason = new("not_observed_before: " + in.Extracted[0].String())
		case p.Known == 0:
			t.Reason = new("no_known_day")
		case t.TrendCosts != nil && p.Cost == nil:
			t.Cost = []TrendCost{}
		}
		d.Details.Trend = append(d.Details.Trend, t)
	}
}
