package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
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

// namedCount is one count of the document with its key.
type namedCount struct {
	key string
	reports.Count
}

func allCounts(d *reports.Document) []namedCount {
	return []namedCount{
		{"subscriptions_sold", d.SubscriptionsSold}, {"customers_with_usage", d.CustomersWithUsage},
		{"customers_without_usage", d.CustomersWithoutUsage}, {"new_customers", d.NewCustomers},
		{"subscriptions_renewed", d.SubscriptionsRenewed}, {"at_risk_high", d.Counts.AtRiskHigh},
		{"subscriptions_without_usage", d.Counts.WithoutUsage}, {"active_at_end", d.Counts.ActiveAtEnd},
		{"deprovisioned", d.Counts.Deprovisioned},
	}
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

// printMetrics prints the document as tables.
func (a *app) printMetrics(d *reports.Document) {
	known := "complete"
	if !d.Complete {
		known = fmt.Sprintf("%d of %d days known, %d of %d before", d.KnownDays, d.Period.Days(), d.PreviousKnownDays, d.Previous.Days())
	}
	a.printf("period   %s to %s, compared with %s to %s (%s)\n", d.Period.From, d.Period.To, d.Previous.From, d.Previous.To, known)
	a.printf("known at %s, usage complete up to %s\n\n", d.KnownAt.Format("2006-01-02T15:04:05Z07:00"), orDash(d.Watermark))
	a.printf("%-28s %16s %16s %10s\n", "", "value", "previous", "change")
	for _, c := range allCounts(d) {
		reason := ""
		if c.Reason != nil {
			reason = "  " + *c.Reason
		}
		a.printf("%-28s %16s %16s %10s%s\n", c.key, orDash(c.Value), orDash(c.Previous), percent(c.Change), reason)
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
	a.printf("\nsubscriptions without usage: %d, at risk or with a state: %d; the rows are in --format json and csv\n", len(d.WithoutUsage), len(d.AtRisk))
}

// amountOf is what a customer is ranked by.
func amountOf(t reports.TopCustomer) string {
	if t.TopCost != nil && t.Cost != nil {
		return t.Cost.String() + " " + printable(orDash(t.Currency))
	}
	return orDash(t.Quantity) + " " + printable(orDash(t.Unit))
}

// printMetricsCSV writes the document as one long table: a row per figure.
func printMetricsCSV(w io.Writer, d *reports.Document) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"metric", "date", "category", "customer_id", "subscription_id", "name", "currency", "unit", "rank", "value", "previous", "change", "note"}}
	add := func(metric string, cells map[string]string) {
		row := make([]string, len(rows[0]))
		row[0] = metric
		for i, name := range rows[0] {
			if text, found := cells[name]; found {
				row[i] = text
			}
		}
		rows = append(rows, row)
	}
	for _, c := range allCounts(d) {
		add(c.key, map[string]string{"value": plain(c.Value), "previous": plain(c.Previous), "change": plain(c.Change), "note": plain(c.Reason)})
	}
	if d.Costs != nil {
		for _, c := range d.Cost {
			add("cost", costCells(c))
		}
		for _, c := range d.ByCategory {
			cells := costCells(c.Cost)
			cells["category"] = reports.Guarded(c.Category)
			add("cost_by_category", cells)
		}
		for _, c := range d.ByDay {
			add("cost_by_day", map[string]string{"date": c.Date.String(), "currency": reports.Guarded(c.Currency), "value": c.Value.String()})
		}
	}
	for _, t := range d.TopCustomers {
		cells := map[string]string{"category": reports.Guarded(plain(t.Category)), "customer_id": reports.Guarded(string(t.CustomerID)), "name": reports.Guarded(string(t.Name)),
			"rank": strconv.Itoa(t.Rank), "previous": plain(t.Previous), "value": plain(t.Quantity), "unit": reports.Guarded(plain(t.Unit))}
		if t.TopCost != nil && t.Cost != nil {
			cells["value"], cells["currency"] = plain(t.Cost), reports.Guarded(plain(t.Currency))
		}
		add("top_customers", cells)
	}
	for _, s := range d.AtRisk {
		add("at_risk", map[string]string{"customer_id": reports.Guarded(string(s.CustomerID)), "subscription_id": reports.Guarded(string(s.SubscriptionID)),
			"name": reports.Guarded(string(s.Name)), "value": plain(s.Score), "note": string(s.State)})
	}
	for _, s := range d.WithoutUsage {
		add("subscriptions_without_usage", map[string]string{"customer_id": reports.Guarded(string(s.CustomerID)), "subscription_id": reports.Guarded(string(s.SubscriptionID)),
			"name": reports.Guarded(string(s.Name)), "date": plain(s.LastUsage), "value": plain(s.DaysIdle)})
	}
	for _, c := range d.ChurnByDate {
		add("active", map[string]string{"date": c.Date.String(), "value": fmt.Sprint(c.Active)})
		add("deprovisioned_on", map[string]string{"date": c.Date.String(), "value": fmt.Sprint(c.Deprovisioned)})
	}
	return out.WriteAll(rows)
}

func costCells(c reports.Cost) map[string]string {
	return map[string]string{"currency": reports.Guarded(c.Currency), "value": plain(c.Value), "previous": plain(c.Previous), "change": plain(c.Change)}
}

// plain writes a value for a machine; unknown is empty.
func plain[T any](v *T) string {
	switch v := any(v).(type) {
	case *string:
		if v != nil {
			return *v
		}
	case *float64:
		if v != nil {
			return strconv.FormatFloat(*v, 'f', -1, 64)
		}
	case *data.Decimal:
		if v != nil {
			return v.String()
		}
	case *data.Day:
		if v != nil {
			return v.String()
		}
	case *int:
		if v != nil {
			return strconv.Itoa(*v)
		}
	case *int64:
		if v != nil {
			return strconv.FormatInt(*v, 10)
		}
	}
	return ""
}
