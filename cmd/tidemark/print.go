package main

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

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

// printCoverage says which days the numbers are about.
func (a *app) printCoverage(d reports.Coverage, compared reports.Compared) {
	known := "complete"
	if !d.Complete {
		known = fmt.Sprintf("%d of %d days known, %d of %d before; %d compared with %d", d.KnownDays, d.Period.Days(), d.PreviousKnownDays, d.Previous.Days(),
			compared.Days, compared.PreviousDays)
	}
	a.printf("period   %s to %s, compared with %s to %s (%s)\n", d.Period.From, d.Period.To, d.Previous.From, d.Previous.To, known)
	a.printf("known at %s, usage complete up to %s\n\n", d.KnownAt.Format("2006-01-02T15:04:05Z07:00"), orDash(d.Watermark))
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
			a.printf("%-28s %16s %16s %10s\n", "cost "+printable(c.Currency), orDash(c.Value), orDash(c.Previous), percent(c.Change))
		}
		a.printf("\ncost by category\n")
		for _, c := range d.ByCategory {
			a.printf("  %-26.26s %16s %16s %10s %s\n", printable(cmp.Or(c.Category, "(none)")), orDash(c.Value), orDash(c.Previous), percent(c.Change), printable(c.Currency))
		}
	}
	a.printf("\ntop customers\n")
	for _, t := range d.TopCustomers {
		if t.Category == nil {
			a.printf("  %d  %-40.40s %s\n", t.Rank, printable(cmp.Or(string(t.Name), string(t.CustomerID))), amountOf(t))
		}
	}
	if d.Details != nil {
		a.printDetails(d)
	}
	a.printf("\nsubscriptions without usage: %d, at risk or with a state: %d; the rows are in --format json, csv and parquet\n", len(d.WithoutUsage), len(d.AtRisk))
}

// amountOf is what a customer is ranked by.
func amountOf(t reports.TopCustomer) string {
	if t.TopCost != nil && t.Cost != nil {
		return t.Cost.String() + " " + printable(orDash(t.Currency))
	}
	return orDash(t.Quantity) + " " + printable(orDash(t.Unit))
}
