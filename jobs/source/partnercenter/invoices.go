package partnercenter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// invoice is an invoice of Partner Center, as far as it is used.
type invoice struct {
	ID       string `json:"id"`
	Date     text   `json:"invoiceDate"`
	From     text   `json:"billingPeriodStartDate"`
	To       text   `json:"billingPeriodEndDate"`
	Currency string `json:"currencyCode"`

	unlisted bool // the archive has usage of it, the list has it no more
}

// month is the billing period by the invoice; "" when it does not say.
func (i invoice) month() string {
	day := dayOf(i.From)
	if day == nil {
		return ""
	}
	return monthOf(*day)
}

// about is the billing period, or the month before the invoice was made.
func (i invoice) about() string {
	if month := i.month(); month != "" {
		return month
	}
	if made := dayOf(i.Date); made != nil {
		return monthOf(firstOfMonth(*made) - 1)
	}
	return ""
}

// usageInvoice is how the ids of invoices begin that hold usage of Azure plans.
const usageInvoice = "G"

// listInvoices returns the invoices with usage of Azure plans, the newest last.
// Where the app may not list them, those that the configuration names stand in.
func (s *Source) listInvoices(ctx context.Context, tally *data.Tally) ([]invoice, error) {
	var named []invoice
	for _, id := range s.o.Invoices {
		named = append(named, invoice{ID: strings.ToUpper(strings.TrimSpace(id))})
	}
	s.stopped = "the list of invoices is not whole"
	all, err := readAll[invoice](ctx, s.pc, s.cp, "/v1/invoices?size=200&offset=0")
	var refused *retry.StatusError
	switch {
	case errors.As(err, &refused) && (refused.Status == http.StatusForbidden || refused.Status == http.StatusNotFound):
		if len(named) == 0 {
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("invoices cannot be listed (answered %d): billed usage is not read; give the app that right, or name invoices in source.invoices", refused.Status))
		}
		return s.withKnown(named), nil
	case err != nil:
		return nil, fmt.Errorf("list invoices: %w", err)
	}
	seen, other := map[string]bool{}, map[string]int{}
	var wanted []invoice
	for _, inv := range slices.Concat(all, named) {
		inv.ID, inv.Currency = strings.TrimSpace(inv.ID), strings.ToUpper(inv.Currency)
		if !strings.HasPrefix(strings.ToUpper(inv.ID), usageInvoice) || seen[inv.ID] {
			continue
		}
		seen[inv.ID] = true
		if inv.Currency != "" && !slices.Contains(s.currencies, inv.Currency) {
			other[inv.Currency]++
			continue
		}
		wanted = append(wanted, inv)
	}
	for _, currency := range slices.Sorted(maps.Keys(other)) {
		tally.Warnings = append(tally.Warnings, fmt.Sprintf("%d invoices are in %s, which source.currencies does not name: their usage is not read", other[currency], microsoft.Shorten(currency)))
	}
	for _, inv := range s.withKnown(wanted)[len(wanted):] {
		if inv.unlisted = true; !seen[inv.ID] {
			wanted = append(wanted, inv)
		}
	}
	slices.SortStableFunc(wanted, func(a, b invoice) int { return cmp.Or(cmp.Compare(a.month(), b.month()), cmp.Compare(a.ID, b.ID)) })
	return wanted, nil
}

// withKnown adds the invoices that the archive has: one that is named, or listed
// alone by now, may be of the same month, and replaces it together with them.
func (s *Source) withKnown(named []invoice) []invoice {
	named = slices.Clip(named)
	for _, id := range slices.Sorted(maps.Keys(s.billed)) {
		known := s.billed[id]
		first, err := data.ParseDay(known.Period + "-01")
		if err != nil || !slices.Contains(s.currencies, known.Currency) || slices.ContainsFunc(named, func(i invoice) bool { return i.ID == id }) {
			continue
		}
		named = append(named, invoice{ID: id, Currency: known.Currency, From: text(first.String()), To: text(data.MonthOf(first).To.String())})
	}
	return named
}

// invoicesFor returns the invoices whose usage is to be read, and the others:
// to be read are those of the last two billing periods, and of the months to fill
// back, that the archive lacks; with days given, all of the periods of these days.
// Those of the others that one with usage replaces together are read with it.
func (s *Source) invoicesFor(ctx context.Context, want *data.Period, tally *data.Tally) (todo, others []invoice, err error) {
	known, err := s.cp.readBilled()
	if err != nil {
		return nil, nil, err
	}
	s.billed, s.stale = known, map[string]bool{}
	for id, b := range known {
		switch has, found := s.month(b.Currency, b.Period); {
		case b.Period == "" || s.archived == nil:
		case !found:
			delete(known, id) // of another archive, or one that was put back
		case b.Content != "" && b.Content != has.Content:
			s.stale[id] = true // put back to what it was before the invoice
		}
	}
	all, err := s.listInvoices(ctx, tally)
	if err != nil {
		return nil, nil, err
	}
	since := s.monthsBack(max(s.o.Backfill, usualMonths))
	wanted := map[string]bool{} // periods of which all invoices are read
	for _, inv := range all {
		if want != nil && (inv.month() == "" || inv.overlaps(*want)) {
			wanted[inv.period()] = true
		}
	}
	for _, inv := range all {
		lacking := want == nil && (known[inv.ID].Period == "" || s.stale[inv.ID]) && (inv.about() == "" || inv.about() >= since)
		if lacking || wanted[inv.period()] {
			todo = append(todo, inv)
		} else {
			others = append(others, inv)
		}
	}
	return todo, others, nil
}

// usualMonths is how many billing periods every extraction looks at.
const usualMonths = 2

// monthsBack is the month so many before the current one.
func (s *Source) monthsBack(n int) string {
	first := firstOfMonth(data.DayOf(s.o.Now().UTC()))
	for range n {
		first = firstOfMonth(first - 1)
	}
	return monthOf(first)
}

// period tells apart what invoices replace together. One that does not say its
// month stands alone.
func (i invoice) period() string {
	return i.Currency + " " + cmp.Or(i.month(), i.ID)
}

// overlaps reports whether the invoice's period has one of the days.
func (i invoice) overlaps(p data.Period) bool {
	from := dayOf(i.From)
	if from == nil {
		return true
	}
	to := dayOf(i.To)
	if to == nil || *to < *from {
		to = from
	}
	return *from <= p.To && *to >= p.From
}
