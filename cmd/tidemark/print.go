package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"

	"tidemark/data"
	"tidemark/reports"
)

// printable makes a name safe for a terminal: control and format characters,
// escapes and text direction among them, become spaces.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return r
	}, s)
}

func orDash[T any](v *T) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprint(*v)
}

func percent(c *float64) string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100**c)
}

// fit makes a name a cell of a table: as wide as that, what does not fit cut off.
func fit(s string, width int) string {
	s = printable(s)
	if reports.Columns(s) > width {
		s = reports.FirstColumns(s, width-1) + "…"
	}
	return s + strings.Repeat(" ", width-reports.Columns(s))
}

// widest is the width of a column that takes all names, but for those that are very long.
func widest[T any](rows []T, name func(T) string) int {
	width := 26
	for _, row := range rows {
		width = max(width, reports.Columns(name(row)))
	}
	return min(width, 60)
}

// cents is an amount of money for people, in hundredths; "-" for none. The other formats have all digits.
func cents(d *data.Decimal) string {
	if d == nil {
		return "-"
	}
	const places = 10_000_000_000_000_000 // after the second one
	if units, ok := d.MulRatio(1, places); ok {
		if rounded, ok := units.MulRatio(places, 1); ok {
			return rounded.String()
		}
	}
	return d.String()
}

// printCoverage says which days the numbers are about.
func (a *app) printCoverage(d reports.Coverage, compared reports.Compared) {
	known := "complete"
	if !d.Complete {
		known = fmt.Sprintf("%d of %d days known, %d of %d before; %d compared with %d", d.KnownDays, d.Period.Days(), d.PreviousKnownDays, d.Previous.Days(),
			compared.Days, compared.PreviousDays)
	}
	a.printf("period   %s to %s, compared with %s to %s (%s)\n", d.Period.From, d.Period.To, d.Previous.From, d.Previous.To, known)
	a.printf("known at %s, usage complete up to %s\n\n", d.KnownAt.Format(time.RFC3339Nano), orDash(d.Watermark))
}

// printMetrics prints the document as tables.
func (a *app) printMetrics(d *reports.Document) {
	a.printCoverage(d.Coverage, d.Background.Compared)
	a.printf("%-28s %16s %16s %10s\n", "", "value", "previous", "change")
	for _, c := range d.AllCounts() {
		reason := ""
		if c.Reason != nil {
			reason = "  " + *c.Reason
		}
		a.printf("%-28s %16s %16s %10s%s\n", c.Key, orDash(c.Value), orDash(c.Previous), percent(c.Change), reason)
	}
	if d.Costs != nil {
		for _, c := range d.Cost {
			a.printf("%-28s %16s %16s %10s\n", "cost "+printable(c.Currency), cents(c.Value), cents(c.Previous), percent(c.Change))
		}
		a.printf("\ncost by category\n")
		name := func(c reports.CategoryCost) string { return cmp.Or(c.Category, "(none)") }
		width := widest(d.ByCategory, name)
		for _, c := range d.ByCategory {
			a.printf("  %s %16s %16s %10s %s\n", fit(name(c), width), cents(c.Value), cents(c.Previous), percent(c.Change), printable(c.Currency))
		}
	}
	a.printf("\ntop customers\n")
	for _, t := range d.TopCustomers {
		if t.Category == nil {
			a.printf("  %d  %s %s\n", t.Rank, fit(cmp.Or(string(t.Name), string(t.CustomerID)), 40), amountOf(t))
		}
	}
	if d.Details != nil {
		a.printDetails(d)
	}
	a.printf("\nsubscriptions without usage: %d, at risk or with a state: %d; the rows, and amounts to the last digit, are in --format json, csv and parquet\n", len(d.WithoutUsage), len(d.AtRisk))
}

// amountOf is what a customer is ranked by.
func amountOf(t reports.TopCustomer) string {
	if t.TopCost != nil && t.Cost != nil {
		return fmt.Sprintf("%16s %s", cents(t.Cost), printable(orDash(t.Currency)))
	}
	return fmt.Sprintf("%16s %s", orDash(t.Quantity), printable(orDash(t.Unit)))
}
