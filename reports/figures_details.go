package reports

import (
	"tidemark/data"
)

// figures returns the details in the long form of a document; none for nil.
func (d *Details) figures() []Figure {
	if d == nil {
		return nil
	}
	out := []Figure{{Metric: "compared_days", Value: whole(new(int64(d.Compared.Days))), Previous: whole(new(int64(d.Compared.PreviousDays))),
		Note: d.Compared.Reason, bare: true}}
	if d.DetailCosts != nil {
		for _, c := range d.ByDayCategory {
			f := c.figure("cost_by_day_category", c.Date)
			f.Category = new(c.Category)
			out = append(out, f)
		}
		for _, c := range d.ByDayCustomer {
			f := c.figure("cost_by_day_customer", c.Date)
			f.CustomerID, f.Name = new(c.CustomerID), c.Name.known()
			out = append(out, f)
		}
		out = append(out, d.movers("grew", d.Grew)...)
		out = append(out, d.movers("fell", d.Fell)...)
	}
	for _, q := range d.Quantities {
		out = append(out, Figure{Metric: "quantities", Category: new(q.Category), Unit: q.Unit, Value: q.Value, Previous: q.Previous,
			Change: q.Change, Note: q.Reason})
	}
	out = append(out, d.categories("categories_new", d.CategoriesNew)...)
	out = append(out, d.categories("categories_lost", d.CategoriesLost)...)
	for _, p := range d.Trend {
		out = append(out, p.figures()...)
	}
	return out
}

func (s DaySum) figure(metric string, on data.Day) Figure {
	return Figure{Metric: metric, Date: new(on), Currency: new(s.Currency), Value: s.Value, Note: s.Reason}
}

// movers has a row for each customer, followed by one for its category; a single
// one with the reason where nothing could be compared.
func (d *Details) movers(metric string, movers []Mover) []Figure {
	if movers == nil {
		return []Figure{{Metric: metric, Note: d.Compared.Reason}}
	}
	var out []Figure
	for _, m := range movers {
		f := Figure{Metric: metric, CustomerID: new(m.CustomerID), Name: m.Name.known(), Currency: new(m.Currency), Rank: new(int32(m.Rank))}
		out = append(out, f.moved(m.Moved))
		if m.Category != nil {
			f.Metric, f.Category = metric+"_category", new(m.Category.Name)
			out = append(out, f.moved(m.Category.Moved))
		}
	}
	return out
}

func (f Figure) moved(m Moved) Figure {
	f.Value, f.Previous, f.Change = &m.Value, &m.Previous, m.Change
	return f
}

// categories has a row for each category, or a single one with the reason where
// nothing could be compared.
func (d *Details) categories(metric string, uses []CategoryUse) []Figure {
	if uses == nil {
		return []Figure{{Metric: metric, Note: d.Compared.Reason}}
	}
	var out []Figure
	for _, u := range uses {
		out = append(out, Figure{Metric: metric, Category: new(u.Category), CustomerID: u.CustomerID, Name: u.Name.known()})
	}
	return out
}

func (p TrendOfPeriod) figures() []Figure {
	from := new(p.Period.From)
	out := []Figure{
		{Metric: "trend_known_days", Date: from, Value: whole(new(int64(p.KnownDays))), bare: true},
		{Metric: "trend_customers_with_usage", Date: from, Value: whole(p.Customers), Note: p.Reason, bare: true},
		{Metric: "trend_subscriptions_with_usage", Date: from, Value: whole(p.Subscriptions), Note: p.Reason, bare: true},
	}
	if p.TrendCosts == nil {
		return out
	}
	if p.Cost == nil {
		return append(out, Figure{Metric: "trend_cost", Date: from, Note: p.Reason})
	}
	for _, c := range p.Cost {
		f := Figure{Metric: "trend_cost", Date: from, Category: c.Category, Currency: new(c.Currency), Value: new(c.Value)}
		if c.Category != nil {
			f.Metric = "trend_cost_by_category"
		}
		out = append(out, f)
	}
	return out
}
