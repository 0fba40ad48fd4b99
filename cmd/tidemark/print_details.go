package main

import (
	"cmp"
	"fmt"

	"tidemark/data"
	"tidemark/reports"
)

// printGroups prints a row for each group and currency.
func (a *app) printGroups(g reports.Groups, compared reports.Compared) {
	a.printCoverage(g.Coverage, compared)
	label := func(group reports.Group) string {
		switch {
		case group.CustomerID != nil:
			return cmp.Or(string(*group.Name), "(no name)")
		case group.Category != nil:
			return cmp.Or(*group.Category, "(none)")
		}
		return group.Currency
	}
	width := widest(g.Groups, label)
	a.printf("%s %16s %16s %10s\n", fit("cost by "+string(g.GroupBy), width), "value", "previous", "change")
	for _, group := range g.Groups {
		id := ""
		if group.CustomerID != nil {
			id = "  " + string(*group.CustomerID)
		}
		a.printf("%s %16s %16s %10s %s%s%s\n", fit(label(group), width), cents(group.Value), cents(group.Previous), percent(group.Change),
			printable(group.Currency), printable(id), because(group.Reason))
	}
}

// because is the reason of a number that is missing.
func because(reason *string) string {
	if reason == nil {
		return ""
	}
	return "  " + *reason
}

// printDetails prints the details of a document, but for the series: they are for
// machines.
func (a *app) printDetails(d *reports.Document) {
	a.printf("\nquantities\n")
	label := func(q reports.Quantity) string {
		if q.Unit == nil {
			return cmp.Or(q.Category, "(none)")
		}
		return cmp.Or(q.Category, "(none)") + ", " + *q.Unit
	}
	width := widest(d.Details.Quantities, label)
	for _, q := range d.Details.Quantities {
		a.printf("  %s %20s %20s %10s%s\n", fit(label(q), width), orDash(q.Value), orDash(q.Previous), percent(q.Change), because(q.Reason))
	}
	if d.Details.DetailCosts != nil {
		a.printMovers("grew most", d.Details.Grew, d.Details.Compared)
		a.printMovers("fell most", d.Details.Fell, d.Details.Compared)
	}
	a.printCategories("categories new", d.Details.CategoriesNew, d.Details.Compared)
	a.printCategories("categories lost", d.Details.CategoriesLost, d.Details.Compared)
	a.printTrend(d.Details.Trend)
	if d.Details.DetailCosts != nil {
		a.printf("\ncost by day: %d rows by category, %d by customer; the rows are in --format json, csv and parquet\n",
			len(d.Details.ByDayCategory), len(d.Details.ByDayCustomer))
	}
}

func (a *app) printMovers(title string, movers []reports.Mover, compared reports.Compared) {
	a.printf("\n%s%s\n", title, because(compared.Reason))
	for _, m := range movers {
		a.printf("  %d  %s %16s %16s %16s %s  %s\n", m.Rank, fit(cmp.Or(string(m.Name), "(no name)"), 40), cents(&m.Value), cents(&m.Previous),
			signed(m.Difference), printable(m.Currency), printable(string(m.CustomerID)))
		if m.Category != nil {
			a.printf("     most in %s %16s %16s %16s\n", fit(cmp.Or(m.Category.Name, "(none)"), 32), cents(&m.Category.Value), cents(&m.Category.Previous),
				signed(m.Category.Difference))
		}
	}
}

func signed(d data.Decimal) string {
	if d.Sign() > 0 {
		return "+" + cents(&d)
	}
	return cents(&d)
}

// printCategories prints the categories of all customers together, and of how
// many customers there are more.
func (a *app) printCategories(title string, uses []reports.CategoryUse, compared reports.Compared) {
	a.printf("\n%s%s\n", title, because(compared.Reason))
	of := 0
	for _, u := range uses {
		if u.CustomerID != nil {
			of++
			continue
		}
		a.printf("  %s\n", printable(cmp.Or(u.Category, "(none)")))
	}
	if uses != nil {
		a.printf("  of single customers: %d; the rows are in --format json, csv and parquet\n", of)
	}
}

func (a *app) printTrend(trend []reports.TrendOfPeriod) {
	a.printf("\n%-24s %10s %10s %14s  cost\n", "trend", "known days", "customers", "subscriptions")
	for _, t := range trend {
		line := fmt.Sprintf("%s to %s %10d %10s %14s", t.Period.From, t.Period.To, t.KnownDays, orDash(t.Customers), orDash(t.Subscriptions))
		if t.TrendCosts != nil {
			separator := "  "
			for _, c := range t.Cost {
				if c.Category == nil {
					line += fmt.Sprintf("%s%s %s", separator, cents(&c.Value), printable(c.Currency))
					separator = ", "
				}
			}
		}
		a.printf("%s%s\n", line, because(t.Reason))
	}
}
