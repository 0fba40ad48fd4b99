package partnercenter

import (
	"fmt"
	"maps"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// nights are extractions one after the other into an archive in little, which has
// of each month and currency what was read of it last.
type nights struct {
	*side
	feeds   fakemicrosoft.Fixed
	archive map[string]string
	months  map[string]Month // by the same keys
	known   map[data.Day]bool
	awaited map[data.Day]bool
}

// newNights begins with a line of the current month in euros.
func newNights(t *testing.T, o fakemicrosoft.Options) *nights {
	t.Helper()
	p := handMade(line(nil))
	return &nights{newSide(t, p, o), p.Usage.(fakemicrosoft.Fixed), map[string]string{}, map[string]Month{}, map[data.Day]bool{}, map[data.Day]bool{}}
}

// pass reads one night and is there for the next.
func (n *nights) pass() usageRead {
	n.t.Helper()
	source := n.source()
	n.tell(source)
	u := n.usage(source, nil)
	n.keep(u)
	n.tell(source)
	if err := source.Done(); err != nil {
		n.t.Fatal(err)
	}
	n.clock.at = n.clock.at.Add(24 * time.Hour)
	return u
}

// tell tells a source what is archived.
func (n *nights) tell(source *Source) {
	var months []Month
	for key, content := range n.archive {
		m := n.months[key]
		m.Content = content
		m.Period, m.Currency, _ = strings.Cut(key, " ")
		months = append(months, m)
	}
	source.Archived(months, slices.Collect(maps.Keys(n.known)), slices.Collect(maps.Keys(n.awaited)))
}

// keep archives what was read. Of the days that are covered those become known that
// no currency is awaited for.
func (n *nights) keep(u usageRead) {
	days := map[string]map[data.Day]bool{}
	for key := range u.byPeriod() {
		n.months[key], days[key] = Month{}, map[data.Day]bool{}
	}
	maps.Copy(n.archive, u.byPeriod())
	for _, row := range u.Rows {
		key := *row.BillingPeriod + " " + row.Currency
		m := n.months[key]
		days[key][row.Day] = true
		n.months[key] = Month{Rows: m.Rows + 1, Days: len(days[key]), Last: max(m.Last, row.Day)}
	}
	for _, p := range u.Tally.Covers {
		for day := range p.All() {
			n.awaited[day] = !n.known[day] && slices.ContainsFunc(u.Tally.Awaits, func(a data.Awaited) bool { return a.Days.Contains(day) })
			n.known[day] = !n.awaited[day]
		}
	}
	maps.DeleteFunc(n.awaited, func(_ data.Day, awaited bool) bool { return !awaited })
	maps.DeleteFunc(n.known, func(_ data.Day, known bool) bool { return !known })
}

// has compares a month of the archive.
func (n *nights) has(period, want string) {
	n.t.Helper()
	if got := n.archive[period]; got != want {
		n.t.Errorf("%s: the archive has %s: %q, want %q", n.clock.at.Format(time.DateOnly), period, got, want)
	}
}

// bill adds an invoice of a month, with usage that costs so much; "" for none.
func (n *nights) bill(id, currency string, month time.Month, cost string) {
	first := time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)
	n.server.Update(func(p *fakemicrosoft.Partner) {
		p.Invoices = append(p.Invoices, fakemicrosoft.Invoice{ID: id, Currency: currency, Month: first})
	})
	n.pay(id, currency, month, cost)
}

// pay sets the usage of an invoice.
func (n *nights) pay(id, currency string, month time.Month, cost string) {
	first := time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)
	delete(n.feeds, fakemicrosoft.Feed{Invoice: id})
	if cost != "" {
		n.feeds[fakemicrosoft.Feed{Invoice: id}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate = first.Format(time.RFC3339), first.AddDate(0, 0, 8).Format(time.RFC3339)
			l.BillingPreTaxTotal, l.BillingCurrency = cost, currency
		})}
	}
}

// dollars has the partner bill in dollars as well, since the current month.
func (n *nights) dollars() {
	n.options.Currencies = []string{"EUR", "USD"}
	n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "current"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) { l.BillingCurrency = "USD" })}
}

// closeList lets the app not list invoices: those of the configuration are read.
func (n *nights) closeList(ids ...string) {
	n.options.Invoices = ids
	n.server.Script(fakemicrosoft.Refused(403, "900150").On(fakemicrosoft.API, "/v1/invoices").EveryNth(1))
}

func warns(u usageRead, want string) bool {
	return strings.Contains(strings.Join(u.Tally.Warnings, "\n"), want)
}

func TestUsage_AnInvoiceThatAnswersNoDataLosesNothing(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.bill("G000000001", "EUR", time.October, "5")
	n.pass()
	n.bill("G000000002", "EUR", time.October, "-1.5")
	n.pay("G000000001", "EUR", time.October, "")
	for range 5 { // it has its data back on a later night, beyond all patience
		if u := n.pass(); !warns(u, "invoice G000000001 has no usage any more, but the archive has some of it: 2026-10 stays as it is") {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", "1 rows, 5.00")
	}
	t.Run("nor where days are asked for", func(t *testing.T) {
		day := data.Period{From: n.day("2026-10-09"), To: n.day("2026-10-09")}
		if u := n.usage(n.source(), &day); len(u.Rows) > 0 || len(u.Tally.Covers) > 0 {
			t.Errorf("read %v, covers %v", u.byPeriod(), u.Tally.Covers)
		}
	})
	n.pay("G000000001", "EUR", time.October, "5")
	if u := n.pass(); len(u.Tally.Warnings) > 0 {
		t.Errorf("warnings %q", u.Tally.Warnings)
	}
	n.has("2026-10 EUR", "2 rows, 3.50")
}

// TestUsage_WhateverInvoicesAnswer has invoices come, give their usage or none, night
// by night: what an invoice gave once stays in the archive.
func TestUsage_WhateverInvoicesAnswer(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Log: -1})
	current := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
	last := fakemicrosoft.Feed{Currency: "EUR", Period: "last"}
	rapid.Check(t, func(r *rapid.T) {
		const most = 3
		n.clock.at, n.options.Work = start, filepath.Join(t.TempDir(), "work")
		n.archive, n.months, n.known, n.awaited = map[string]string{}, map[string]Month{}, map[data.Day]bool{}, map[data.Day]bool{}
		n.server.Update(func(p *fakemicrosoft.Partner) { p.Invoices = nil })
		maps.DeleteFunc(n.feeds, func(f fakemicrosoft.Feed, _ []fakemicrosoft.Line) bool { return f != current })
		before, listed := uint(0), 0 // invoices in the archive's October, as bits
		for night := range rapid.IntRange(2, 4).Draw(r, "nights") {
			for listed < most && rapid.Bool().Draw(r, "another invoice") {
				listed++
				n.bill(fmt.Sprint("G", listed), "EUR", time.October, "")
			}
			for i := range listed {
				cost := ""
				if rapid.IntRange(0, 3).Draw(r, "data") > 0 {
					cost = fmt.Sprint(1 << i)
				}
				n.pay(fmt.Sprint("G", i+1), "EUR", time.October, cost)
			}
			delete(n.feeds, last)
			if rapid.Bool().Draw(r, "unbilled") {
				n.feeds[last] = []fakemicrosoft.Line{october("1000")}
			}
			n.pass()
			if rapid.Bool().Draw(r, "no more patience") {
				n.clock.at = n.clock.at.Add(patience)
			}
			var rows int
			var cost float64
			if got := n.archive["2026-10 EUR"]; got != "" {
				if _, err := fmt.Sscanf(got, "%d rows, %f", &rows, &cost); err != nil {
					r.Fatal(err)
				}
			}
			now := uint(cost)
			if now >= 1000 {
				now = 0
			}
			if lost := before &^ now; lost != 0 || now != 0 && bits.OnesCount(now) != rows {
				r.Fatalf("night %d: October was of the invoices %b, now it is %d rows, %v", night+1, before, rows, cost)
			}
			before = now
		}
	})
}

// TestUsage_ACurrencyWithoutAzureHoldsNoneUp has invoices in dollars that hold
// licences only.
func TestUsage_ACurrencyWithoutAzureHoldsNoneUp(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.dollars()
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000003", "USD", time.October, "")
	for _, want := range []string{"", "", "", "1 rows, 5.00"} {
		n.pass()
		n.has("2026-10 EUR", want)
	}
	if u := n.pass(); len(u.Tally.Warnings) > 0 {
		t.Errorf("warnings %q", u.Tally.Warnings)
	}
	t.Run("one that comes late is still read", func(t *testing.T) {
		n.pay("G000000003", "USD", time.October, "9")
		n.pass()
		n.has("2026-10 EUR", "1 rows, 5.00")
		n.has("2026-10 USD", "1 rows, 9.00")
	})
	t.Run("nor when filling back", func(t *testing.T) {
		n := newNights(t, fakemicrosoft.Options{})
		n.dollars()
		n.options.Backfill = 6
		for month := time.June; month <= time.October; month++ {
			n.bill(fmt.Sprintf("G00000001%02d", month), "EUR", month, "5")
			n.bill(fmt.Sprintf("G00000002%02d", month), "USD", month, "")
		}
		u := n.pass()
		for _, month := range []string{"2026-06", "2026-07", "2026-08"} {
			n.has(month+" EUR", "1 rows, 5.00")
			if !warns(u, "is too old for some to come: "+month+" is read without it") {
				t.Errorf("warnings %q", u.Tally.Warnings)
			}
		}
		n.has("2026-09 EUR", "")
		n.options.Backfill = 0
		for range 3 {
			n.pass()
		}
		n.has("2026-09 EUR", "1 rows, 5.00")
		n.has("2026-10 EUR", "1 rows, 5.00")
	})
}

// TestUsage_AWaitingCurrencyHoldsTheOthersUp has one of two invoices in euros without
// data, at the beginning of a month, when nothing of it is there yet in euros.
func TestUsage_AWaitingCurrencyHoldsTheOthersUp(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.options.Currencies = []string{"EUR", "USD"}
	delete(n.feeds, fakemicrosoft.Feed{Currency: "EUR", Period: "current"})
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000002", "EUR", time.October, "")
	n.bill("G000000003", "USD", time.October, "9")
	n.pass()
	if diff := cmp.Diff(map[string]string{}, n.archive); diff != "" {
		t.Errorf("want -, archive +:\n%s", diff)
	}
	n.pay("G000000002", "EUR", time.October, "2")
	n.pass()
	n.has("2026-10 EUR", "2 rows, 7.00")
	n.has("2026-10 USD", "1 rows, 9.00")
}

// TestUsage_AMonthThatWaitsIsNotReplacedByWhatIsUnbilled has one of two invoices
// come: what is still unbilled is the other's only.
func TestUsage_AMonthThatWaitsIsNotReplacedByWhatIsUnbilled(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	last := fakemicrosoft.Feed{Currency: "EUR", Period: "last"}
	n.feeds[last] = []fakemicrosoft.Line{october("5"), october("7")}
	n.pass()
	n.has("2026-10 EUR", "2 rows, 12.00")
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000003", "EUR", time.October, "")
	n.feeds[last] = []fakemicrosoft.Line{october("7")}
	if u := n.pass(); !warns(u, "2026-10 stays as it is; it is waited for until 2026-11-29 02:30 UTC") {
		t.Errorf("warnings %q", u.Tally.Warnings)
	}
	n.has("2026-10 EUR", "2 rows, 12.00")
	n.pay("G000000003", "EUR", time.October, "8")
	n.pass()
	n.has("2026-10 EUR", "2 rows, 13.00")
}

// TestUsage_NamedInvoices has the app not list invoices, so that nobody knows which
// month and currency one without data is of.
func TestUsage_NamedInvoices(t *testing.T) {
	t.Run("one that waits holds what is billed back", func(t *testing.T) {
		n := newNights(t, fakemicrosoft.Options{})
		n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5"), october("7")}
		n.pay("G000000001", "EUR", time.October, "5")
		n.closeList("G000000001", "G000000003")
		if u := n.pass(); !warns(u, "every billed month, since nobody knows which one it is of, stays as it is") {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", "")
		n.pay("G000000003", "EUR", time.October, "8")
		n.pass()
		n.has("2026-10 EUR", "2 rows, 13.00")
	})
	t.Run("one that waits does not hold the current month", func(t *testing.T) {
		n := newNights(t, fakemicrosoft.Options{})
		current := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
		n.pay("G000000001", "EUR", time.October, "5")
		n.closeList("G000000001", "G000000003")
		for _, want := range []string{"1 rows, 0.04", "2 rows, 0.08", "3 rows, 0.12"} {
			n.pass()
			n.has("2026-11 EUR", want)
			n.feeds[current] = append(n.feeds[current], line(nil))
		}
	})
	t.Run("a currency that is new needs no invoice", func(t *testing.T) {
		n := newNights(t, fakemicrosoft.Options{})
		n.dollars()
		n.pay("G000000001", "EUR", time.October, "5")
		n.closeList("G000000001")
		if u := n.pass(); len(u.Tally.Warnings) > 0 {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", "1 rows, 5.00")
	})
	t.Run("one brings along those that the archive has from a list", func(t *testing.T) {
		n := newNights(t, fakemicrosoft.Options{})
		n.bill("G000000001", "EUR", time.October, "5")
		n.pass()
		n.pay("G000000002", "EUR", time.October, "-1.5")
		n.closeList("G000000002")
		n.pass()
		n.has("2026-10 EUR", "2 rows, 3.50")
	})
}

// TestUsage_AnInvoiceWithoutAnyDateHoldsNoCurrentMonth has a listed invoice say neither
// its month nor its day.
func TestUsage_AnInvoiceWithoutAnyDateHoldsNoCurrentMonth(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000002", "EUR", time.October, "")
	n.server.Script(fakemicrosoft.MissingField("invoiceDate").On(fakemicrosoft.API, "/v1/invoices").EveryNth(1))
	n.pass()
	current := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
	n.feeds[current] = append(n.feeds[current], line(nil))
	n.pass()
	n.has("2026-11 EUR", "2 rows, 0.08")
	n.has("2026-10 EUR", "")
}

// TestUsage_AMonthIsDownloadedForNewUsageOnly has an invoice without data beside one
// that the archive has.
func TestUsage_AMonthIsDownloadedForNewUsageOnly(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000002", "GBP", time.October, "5") // a currency that is not read: the next one states its month, too
	n.bill("G000000003", "EUR", time.October, "")
	for range 4 {
		n.pass()
	}
	n.has("2026-10 EUR", "1 rows, 5.00")
	before := n.server.Count(fakemicrosoft.Blob)
	n.pass()
	if got := n.server.Count(fakemicrosoft.Blob) - before; got != 1 {
		t.Errorf("%d files were downloaded, want that of the current month", got)
	}
	n.pay("G000000003", "EUR", time.October, "8")
	n.pass()
	n.has("2026-10 EUR", "2 rows, 13.00")
}

// TestUsage_ACurrencyThatStallsHasItsDaysWaitFor has the euros answer "No data" while
// the dollars go on: what the euros would say of these days nobody knows.
func TestUsage_ACurrencyThatStallsHasItsDaysWaitFor(t *testing.T) {
	euros := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
	november := data.MonthOf(data.DayOf(start))
	begin := func(t *testing.T) *nights {
		n := newNights(t, fakemicrosoft.Options{})
		n.dollars()
		n.clock.at = time.Date(2026, 11, 10, 2, 30, 0, 0, time.UTC)
		if u := n.pass(); len(u.Tally.Awaits) > 0 || len(u.Tally.Warnings) > 0 {
			t.Errorf("awaits %v, warnings %q", u.Tally.Awaits, u.Tally.Warnings)
		}
		delete(n.feeds, euros)
		n.clock.at = time.Date(2026, 11, 25, 2, 30, 0, 0, time.UTC)
		return n
	}
	waits := func(t *testing.T, u usageRead) {
		t.Helper()
		want := []data.Awaited{{Days: november, Scope: "9d0c1f5e-1111-4222-8333-444455556666 eur"}}
		if diff := cmp.Diff(want, u.Tally.Awaits); diff != "" || !warns(u, "usage in EUR ends with 2026-11-09, that in other currencies goes on") {
			t.Errorf("want -, awaits +:\n%swarnings %q", diff, u.Tally.Warnings)
		}
	}
	t.Run("until it is there again", func(t *testing.T) {
		n := begin(t)
		lines := []fakemicrosoft.Line{line(nil), line(nil)}
		for range 2 {
			waits(t, n.pass())
			n.has("2026-11 EUR", "1 rows, 0.04")
		}
		n.feeds[euros] = lines
		if u := n.pass(); len(u.Tally.Awaits) > 0 || len(u.Tally.Warnings) > 0 {
			t.Errorf("awaits %v, warnings %q", u.Tally.Awaits, u.Tally.Warnings)
		}
		n.has("2026-11 EUR", "2 rows, 0.08")
	})
	t.Run("for a month at most", func(t *testing.T) {
		n := begin(t)
		waits(t, n.pass())
		dollars := line(func(l *fakemicrosoft.Line) { l.BillingCurrency = "USD" })
		n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "last"}] = []fakemicrosoft.Line{dollars}
		n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "current"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate, l.BillingCurrency = "2026-12-01T00:00:00Z", "2026-12-05T00:00:00Z", "USD"
		})}
		for n.clock.at = time.Date(2026, 12, 9, 2, 30, 0, 0, time.UTC); n.clock.at.Day() <= 10; {
			if u := n.pass(); len(u.Tally.Awaits) != 2 {
				t.Errorf("awaits %v", u.Tally.Awaits)
			}
		}
		// The dollars' invoice has the last word; then nothing of November is read any more.
		n.feeds[fakemicrosoft.Feed{Invoice: "G000000009"}] = []fakemicrosoft.Line{dollars}
		n.bill("G000000008", "GBP", time.November, "")
		n.server.Update(func(p *fakemicrosoft.Partner) {
			p.Invoices = append(p.Invoices, fakemicrosoft.Invoice{ID: "G000000009", Currency: "USD", Month: november.From.Time()})
		})
		if u := n.pass(); len(u.Tally.Awaits) > 0 || len(n.awaited) > 0 || !warns(u, "usage in EUR ends with 2026-11-09 and is not waited for any more") {
			t.Errorf("awaits %v, warnings %q", u.Tally.Awaits, u.Tally.Warnings)
		}
		n.has("2026-11 EUR", "1 rows, 0.04")
	})
	t.Run("nor longer where nothing of the month is read", func(t *testing.T) {
		n := begin(t)
		waits(t, n.pass())
		n.clock.at = time.Date(2027, 1, 20, 2, 30, 0, 0, time.UTC)
		n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "current"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate, l.BillingCurrency = "2027-01-01T00:00:00Z", "2027-01-15T00:00:00Z", "USD"
		})}
		if u := n.pass(); len(u.Tally.Awaits) > 0 || len(n.awaited) > 0 || !warns(u, "not waited for any more: what follows in 2026-11") {
			t.Errorf("awaits %v, still %d days, warnings %q", u.Tally.Awaits, len(n.awaited), u.Tally.Warnings)
		}
		if u := n.pass(); len(u.Tally.Warnings) > 0 {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
	})
	t.Run("also where it has late usage only", func(t *testing.T) {
		n := begin(t)
		n.clock.at = time.Date(2026, 12, 2, 2, 30, 0, 0, time.UTC)
		n.feeds[euros] = []fakemicrosoft.Line{late()}
		n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "last"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) { l.BillingCurrency = "USD" })}
		delete(n.feeds, fakemicrosoft.Feed{Currency: "USD", Period: "current"})
		waits(t, n.pass())
	})
	t.Run("and where the month has begun without it", func(t *testing.T) {
		n := begin(t)
		n.clock.at = time.Date(2026, 12, 3, 2, 30, 0, 0, time.UTC)
		n.feeds[fakemicrosoft.Feed{Currency: "USD", Period: "current"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate, l.BillingCurrency = "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z", "USD"
		})}
		if u := n.pass(); len(u.Tally.Awaits) != 1 || u.Tally.Awaits[0].Days.From != n.day("2026-12-01") {
			t.Errorf("awaits %v, covers %v", u.Tally.Awaits, u.Tally.Covers)
		}
	})
}

// TestUsage_AnArchiveThatWasPutBackIsCorrected has the archive as it was before an
// invoice, and the work folder as it was after.
func TestUsage_AnArchiveThatWasPutBackIsCorrected(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.clock.at = time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC)
	n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5")}
	n.pass()
	before := n.archive["2026-10 EUR"]
	n.bill("G000000001", "EUR", time.October, "12")
	n.pass()
	n.has("2026-10 EUR", "1 rows, 12.00")
	if u := n.pass(); u.byPeriod()["2026-10 EUR"] != "" {
		t.Errorf("read %v: October is there already", u.byPeriod())
	}
	n.archive["2026-10 EUR"] = before
	n.pay("G000000001", "EUR", time.October, "")
	for range 5 { // however long the invoice has no data, what is unbilled is not all
		if u := n.pass(); !warns(u, "invoice G000000001 has no usage any more") {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", before)
	}
	n.pay("G000000001", "EUR", time.October, "12")
	n.pass()
	n.has("2026-10 EUR", "1 rows, 12.00")
	if u := n.pass(); u.byPeriod()["2026-10 EUR"] != "" || len(u.Tally.Warnings) > 0 {
		t.Errorf("read %v, warnings %q", u.byPeriod(), u.Tally.Warnings)
	}
}

// TestUsage_TheRestOfAMonthIsNotAllOfIt has a first run find one of two invoices, and the
// other's usage unbilled.
func TestUsage_TheRestOfAMonthIsNotAllOfIt(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("7")}
	n.bill("G000000001", "EUR", time.October, "5")
	n.bill("G000000002", "EUR", time.October, "")
	for range 2 {
		if u := n.pass(); !warns(u, "invoice G000000002 has no usage yet: 2026-10 stays as it is") {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", "")
	}
	n.pay("G000000002", "EUR", time.October, "7")
	n.pass()
	n.has("2026-10 EUR", "2 rows, 12.00")
}

// TestUsage_ANewCurrencyHoldsNoMonthUpForEver has no invoice to say that the dollars have
// nothing of October, nor that they have.
func TestUsage_ANewCurrencyHoldsNoMonthUpForEver(t *testing.T) {
	euros := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
	for name, closed := range map[string]bool{"invoices cannot be listed": true, "none is listed yet": false} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, fakemicrosoft.Options{})
			if closed {
				n.closeList()
			}
			n.feeds[euros] = []fakemicrosoft.Line{october("5")}
			n.clock.at = time.Date(2026, 10, 31, 2, 30, 0, 0, time.UTC)
			n.options.Currencies = []string{"EUR", "USD"}
			n.pass()
			n.dollars()
			n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5"), october("7")}
			n.feeds[euros] = []fakemicrosoft.Line{line(nil)}
			n.clock.at = time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC)
			for _, want := range []string{"1 rows, 5.00", "2 rows, 12.00", "2 rows, 12.00"} { // they may still come until the fourth
				n.pass()
				n.has("2026-10 EUR", want)
			}
		})
	}
}

// TestUsage_AnInvoiceThatIsNotListedAnyMore has another one of its month come: both
// together are the month.
func TestUsage_AnInvoiceThatIsNotListedAnyMore(t *testing.T) {
	begin := func(t *testing.T) *nights {
		n := newNights(t, fakemicrosoft.Options{})
		n.bill("G000000001", "EUR", time.October, "5")
		n.pass()
		n.server.Update(func(p *fakemicrosoft.Partner) { p.Invoices = nil })
		if u := n.pass(); len(u.Tally.Warnings) > 0 {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.bill("G000000002", "EUR", time.October, "-1.5")
		return n
	}
	t.Run("is read with it", func(t *testing.T) {
		n := begin(t)
		if u := n.pass(); !warns(u, "invoice G000000001 is not listed any more, but has its usage: 2026-10 is read with it") {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
		n.has("2026-10 EUR", "2 rows, 3.50")
		if u := n.pass(); len(u.Tally.Warnings) > 0 {
			t.Errorf("warnings %q", u.Tally.Warnings)
		}
	})
	t.Run("and where it is gone the month stays", func(t *testing.T) {
		for _, status := range []int{400, 404} {
			n := begin(t)
			n.server.Script(fakemicrosoft.Refused(status, "notFound").On(fakemicrosoft.Graph, "/billed/export").EveryNth(2)) // the known one's, as the second
			if u := n.pass(); !warns(u, "invoice G000000001 has no usage any more") {
				t.Errorf("warnings %q", u.Tally.Warnings)
			}
			n.has("2026-10 EUR", "1 rows, 5.00")
		}
	})
}

// TestUsage_LateUsageOfAnOlderMonthInAnInvoice has one that does not state its month hold
// lines of an older one only.
func TestUsage_LateUsageOfAnOlderMonthInAnInvoice(t *testing.T) {
	begin := func(t *testing.T) *nights {
		n := newNights(t, fakemicrosoft.Options{})
		n.feeds[fakemicrosoft.Feed{Invoice: "G000000002"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate, l.BillingPreTaxTotal = "2026-08-01T00:00:00Z", "2026-08-09T00:00:00Z", "-1.5"
		})}
		return n
	}
	list := func(n *nights, august bool) {
		usage := n.feeds[fakemicrosoft.Feed{Invoice: "G000000002"}]
		if august {
			n.bill("G000000001", "EUR", time.August, "5")
		} else {
			n.bill("G000000001", "GBP", time.August, "5")
		}
		n.bill("G000000002", "EUR", time.October, "") // every second one has no billing period
		n.feeds[fakemicrosoft.Feed{Invoice: "G000000002"}] = usage
	}
	t.Run("has that month's own read with it", func(t *testing.T) {
		n := begin(t)
		list(n, true)
		n.pass()
		n.has("2026-08 EUR", "2 rows, 3.50")
		if u := n.pass(); len(u.Tally.Warnings) > 0 || u.byPeriod()["2026-08 EUR"] != "" {
			t.Errorf("read %v, warnings %q", u.byPeriod(), u.Tally.Warnings)
		}
	})
	t.Run("and does not speak of the month it is made for", func(t *testing.T) {
		n := begin(t)
		list(n, true)
		n.dollars()
		n.bill("G000000003", "USD", time.October, "9")
		n.pass()
		n.has("2026-10 USD", "1 rows, 9.00")
		n.bill("G000000004", "GBP", time.October, "")
		n.bill("G000000005", "USD", time.October, "2") // nor once the archive has it
		n.pass()
		n.has("2026-10 USD", "2 rows, 11.00")
	})
	t.Run("is not that month without it", func(t *testing.T) {
		n := begin(t)
		list(n, false)
		if u := n.pass(); !warns(u, "invoice G000000002 has late usage of 2026-08 only, and no invoice of that month has any: it stays as it is") || len(u.Tally.Covers) != 1 {
			t.Errorf("covers %v, warnings %q", u.Tally.Covers, u.Tally.Warnings)
		}
		n.has("2026-08 EUR", "")
	})
}

// TestUsage_NoDayIsKnownBesideACurrencyWithoutExport has currencies come and go, night by
// night: a day becomes known only by an export of each that is in use.
func TestUsage_NoDayIsKnownBesideACurrencyWithoutExport(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Log: -1})
	n.options.Currencies = []string{"EUR", "USD"}
	rapid.Check(t, func(r *rapid.T) {
		n.archive, n.months, n.known, n.awaited = map[string]string{}, map[string]Month{}, map[data.Day]bool{}, map[data.Day]bool{}
		n.clock.at, n.options.Work = time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC), filepath.Join(t.TempDir(), "work")
		clear(n.feeds)
		lines, known := map[string][]fakemicrosoft.Line{}, map[data.Day]bool{}
		for range rapid.IntRange(2, 5).Draw(r, "nights") {
			day, gave := n.clock.at.AddDate(0, 0, -1).Format(time.RFC3339), map[string]bool{}
			for _, currency := range n.options.Currencies {
				feed := fakemicrosoft.Feed{Currency: currency, Period: "current"}
				lines[currency] = append(lines[currency], line(func(l *fakemicrosoft.Line) { l.UsageDate, l.BillingCurrency = day, currency }))
				delete(n.feeds, feed)
				if gave[currency] = rapid.IntRange(0, 2).Draw(r, currency+" has data") > 0; gave[currency] {
					n.feeds[feed] = lines[currency]
				}
			}
			used := map[string]bool{}
			for key := range n.archive {
				_, currency, _ := strings.Cut(key, " ")
				used[currency] = true
			}
			u := n.pass()
			for _, p := range u.Tally.Covers {
				for day := range p.All() {
					for currency := range used {
						if !known[day] && !n.awaited[day] && !gave[currency] {
							r.Fatalf("%s is known without %s", day, currency)
						}
					}
					known[day] = known[day] || !n.awaited[day]
				}
			}
			if gave["EUR"] && gave["USD"] && len(n.awaited) > 0 {
				r.Fatalf("both have data, and %d days wait", len(n.awaited))
			}
			n.clock.at = n.clock.at.AddDate(0, 0, rapid.IntRange(0, 3).Draw(r, "days passed"))
		}
	})
}

// TestUsage_AMonthThatIsWholeIsNotWarnedOf has one currency invoiced before the other, whose
// usage is not exported any more until its invoice comes: the archive has all of it.
func TestUsage_AMonthThatIsWholeIsNotWarnedOf(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	dollars := func(l *fakemicrosoft.Line) { l.BillingCurrency = "USD" }
	n.dollars()
	n.closeList("G000000001")
	last := fakemicrosoft.Feed{Currency: "USD", Period: "last"}
	n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5")}
	usd := october("9")
	dollars(&usd)
	n.feeds[last] = []fakemicrosoft.Line{usd}
	n.clock.at = time.Date(2026, 11, 3, 2, 30, 0, 0, time.UTC)
	n.pass()
	n.has("2026-10 USD", "1 rows, 9.00")
	delete(n.feeds, last)
	n.pay("G000000001", "EUR", time.October, "6")
	n.clock.at = time.Date(2026, 11, 9, 2, 30, 0, 0, time.UTC)
	u := n.pass()
	n.has("2026-10 EUR", "1 rows, 6.00")
	if warns(u, "usage in USD ends") {
		t.Errorf("warnings %q", u.Tally.Warnings)
	}
	clear(n.known) // of a night between that failed
	n.clock.at = time.Date(2026, 11, 10, 2, 30, 0, 0, time.UTC)
	n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = nil
	n.pay("G000000002", "EUR", time.October, "1")
	n.options.Invoices = []string{"G000000001", "G000000002"}
	if u := n.pass(); !warns(u, "usage in USD ends with 2026-10-") {
		t.Errorf("warnings %q", u.Tally.Warnings)
	}
}
