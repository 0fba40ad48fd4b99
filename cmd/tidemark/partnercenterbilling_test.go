package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// billedTenant is a partner with one customer, whose usage is written down by hand.
type billedTenant struct {
	*tenant
	feeds fakemicrosoft.Fixed
	at    time.Time
}

func newBilledTenant(t *testing.T, o fakemicrosoft.Options) *billedTenant {
	t.Helper()
	const customer, entitlement = "0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01", "c0ffee00-1111-4222-8333-444455556666"
	feeds := fakemicrosoft.Fixed{}
	plan := &fakemicrosoft.Subscription{ID: "a21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5", OfferID: fakemicrosoft.PlanOffer + ":0001", Status: "active", BillingType: "usage",
		Entitlements: []*fakemicrosoft.Entitlement{{ID: entitlement, Status: "active"}}}
	p := &fakemicrosoft.Partner{TenantID: "9d0c1f5e-1111-4222-8333-444455556666", Currencies: []string{"EUR"}, Usage: feeds,
		Customers: []*fakemicrosoft.Customer{{ID: customer, Name: "Noordzee", Relationship: "reseller", Currency: "EUR", Subscriptions: []*fakemicrosoft.Subscription{plan}}}}
	o.Export.Polls = -1
	e := newTenant(t, p, o)
	b := &billedTenant{tenant: e, feeds: feeds, at: time.Date(2026, 11, 25, 2, 30, 0, 0, time.UTC)}
	e.now = func() time.Time { return b.at }
	return b
}

func (b *billedTenant) line(day, cost, currency string) fakemicrosoft.Line {
	return fakemicrosoft.Line{PartnerID: "9d0c1f5e-1111-4222-8333-444455556666", CustomerID: "0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01",
		EntitlementID: "c0ffee00-1111-4222-8333-444455556666", ChargeStartDate: day[:7] + "-01T00:00:00Z", UsageDate: day + "T00:00:00Z", MeterCategory: "Storage",
		UnitType: "1 GB", Quantity: "1", ChargeType: "new", BillingPreTaxTotal: cost, BillingCurrency: currency}
}

func (b *billedTenant) bill(id, currency string) {
	b.server.Update(func(p *fakemicrosoft.Partner) {
		p.Invoices = append(p.Invoices, fakemicrosoft.Invoice{ID: id, Currency: currency, Month: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)})
	})
}

// configure changes a text of the configuration.
func (b *billedTenant) configure(old, now string) {
	b.t.Helper()
	path := filepath.Join(b.dir, "tidemark.yaml")
	config, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(config), old, now, 1)), 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// night extracts and wants an exit code, and a text in what is said.
func (b *billedTenant) night(code int, want string) {
	b.t.Helper()
	if got, out := b.tidemark("extract"); got != code || !strings.Contains(out, want) {
		b.t.Errorf("%s: exit %d, want %d and %q:\n%s", b.at.Format(time.DateOnly), got, code, want, out)
	}
	b.at = b.at.Add(24 * time.Hour)
}

// costs compares what a month costs, as metrics tell it.
func (b *billedTenant) costs(month, want string) {
	b.t.Helper()
	_, out := b.tidemark("metrics", "--period", month, "--format", "json")
	var m struct {
		Cost []struct{ Currency, Value string }
	}
	if err := json.Unmarshal([]byte(out[:strings.LastIndex(out, "}")+1]), &m); err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	var got []string
	for _, c := range m.Cost {
		got = append(got, c.Value+" "+c.Currency)
	}
	if all := strings.Join(got, ", "); all != want {
		b.t.Errorf("%s: %s costs %q, want %q", b.at.Format(time.DateOnly), month, all, want)
	}
}

func current(currency string) fakemicrosoft.Feed {
	return fakemicrosoft.Feed{Currency: currency, Period: "current"}
}

// TestPartnerCenter_AMonthIsNeverReplacedByLess has invoices and periods answer "No
// data" when they should not.
func TestPartnerCenter_AMonthIsNeverReplacedByLess(t *testing.T) {
	t.Run("an invoice that the archive has", func(t *testing.T) {
		b := newBilledTenant(t, fakemicrosoft.Options{})
		first, second := fakemicrosoft.Feed{Invoice: "G000000001"}, fakemicrosoft.Feed{Invoice: "G000000002"}
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
		b.feeds[first] = []fakemicrosoft.Line{b.line("2026-10-09", "5", "EUR")}
		b.bill("G000000001", "EUR")
		b.night(exitDone, "")
		b.bill("G000000002", "EUR")
		usage := b.feeds[first]
		b.feeds[second] = []fakemicrosoft.Line{b.line("2026-10-11", "-1.5", "EUR")}
		delete(b.feeds, first)
		b.night(exitWarnings, "invoice G000000001 has no usage any more, but the archive has some of it: 2026-10 stays as it is")
		b.costs("2026-10", "5.00 EUR")
		if code, out := b.tidemark("extract", "--day", "2026-10-09"); code != exitFailed || !strings.Contains(out, "nothing was extracted") {
			t.Errorf("exit %d:\n%s", code, out)
		}
		b.costs("2026-10", "5.00 EUR")
		b.feeds[first] = usage
		b.night(exitDone, "")
		b.costs("2026-10", "3.50 EUR")
		b.must("archive", "verify")
	})
	t.Run("the last period, in the first days of a month", func(t *testing.T) {
		b := newBilledTenant(t, fakemicrosoft.Options{})
		b.at = time.Date(2026, 11, 30, 2, 30, 0, 0, time.UTC)
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-01", "1", "EUR"), b.line("2026-11-10", "7", "EUR"), b.line("2026-11-29", "8", "EUR")}
		b.night(exitDone, "")
		b.at = b.at.Add(24 * time.Hour)
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-30", "0.5", "EUR")}
		b.night(exitWarnings, "it has usage of 2026-11 only, late or from before the remote side changes over: that month stays as it is")
		b.costs("2026-11", "8.00 EUR") // up to the 26th, which is what is settled
	})
	t.Run("the last period, on the first day with an early correction", func(t *testing.T) {
		b := newBilledTenant(t, fakemicrosoft.Options{})
		b.at = time.Date(2026, 11, 30, 2, 30, 0, 0, time.UTC)
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-01", "1", "EUR"), b.line("2026-11-10", "7", "EUR"), b.line("2026-11-29", "8", "EUR")}
		b.night(exitDone, "")
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-30", "0.5", "EUR"), b.line("2026-11-05", "-0.2", "EUR")}
		b.night(exitWarnings, "it has usage of 2026-11 only, late or from before the remote side changes over: that month stays as it is")
		b.costs("2026-11", "8.00 EUR")
	})
}

// TestPartnerCenter_TheOfferToFillBack says what it reads, and why it reads nothing.
func TestPartnerCenter_TheOfferToFillBack(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
	for month := time.February; month <= time.October; month++ {
		id := fmt.Sprintf("G0000000%02d", month)
		b.feeds[fakemicrosoft.Feed{Invoice: id}] = []fakemicrosoft.Line{b.line(fmt.Sprintf("2026-%02d-09", month), "5", "EUR")}
		b.server.Update(func(p *fakemicrosoft.Partner) {
			p.Invoices = append(p.Invoices, fakemicrosoft.Invoice{ID: id, Currency: "EUR", Month: time.Date(2026, month, 1, 0, 0, 0, 0, time.UTC)})
		})
	}
	b.night(exitDone, "`tidemark extract --backfill 6` reads the billed usage of the last six months")
	if code, out := b.tidemark("extract", "--backfill", "6", "--yes"); code != exitDone || !strings.Contains(out, "backfill: 4 billed invoices from 2026-05 on") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	b.server.Script(fakemicrosoft.Refused(403, "900150").On(fakemicrosoft.API, "/v1/invoices").EveryNth(1))
	want := "backfill: invoices cannot be listed (answered 403)"
	if code, out := b.tidemark("extract", "--backfill", "9", "--yes"); code != exitWarnings || !strings.Contains(out, want) || strings.Contains(out, "no billed invoice that the archive lacks") {
		t.Errorf("exit %d, want %q:\n%s", code, want, out)
	}
}

// TestPartnerCenter_AnArchiveThatWasPutBack has a copy of before an invoice in its
// place: the invoice is read again.
func TestPartnerCenter_AnArchiveThatWasPutBack(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.at = time.Date(2026, 11, 5, 2, 30, 0, 0, time.UTC)
	last := fakemicrosoft.Feed{Currency: "EUR", Period: "last"}
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-04", "1", "EUR")}
	b.feeds[last] = []fakemicrosoft.Line{b.line("2026-10-09", "5", "EUR")}
	b.night(exitDone, "")
	archive, before := filepath.Join(b.dir, "archive"), filepath.Join(t.TempDir(), "archive")
	if err := os.CopyFS(before, os.DirFS(archive)); err != nil {
		t.Fatal(err)
	}
	b.feeds[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{b.line("2026-10-09", "12", "EUR")}
	b.bill("G000000001", "EUR")
	b.night(exitDone, "")
	b.costs("2026-10", "12.00 EUR")
	if err := errors.Join(os.RemoveAll(archive), os.Rename(before, archive)); err != nil {
		t.Fatal(err)
	}
	b.costs("2026-10", "5.00 EUR")
	b.night(exitDone, "")
	b.costs("2026-10", "12.00 EUR")
}

// TestPartnerCenter_ACurrencyThatStalls has the euros answer "No data" while the dollars
// go on: no report has the days on which only the dollars are known.
func TestPartnerCenter_ACurrencyThatStalls(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.configure("[EUR]", "[EUR, USD]")
	b.at = time.Date(2026, 11, 10, 2, 30, 0, 0, time.UTC)
	use := func(currency string, from, to int) {
		for day := from; day <= to; day++ {
			b.feeds[current(currency)] = append(b.feeds[current(currency)], b.line(fmt.Sprintf("2026-11-%02d", day), "1", currency))
		}
	}
	use("EUR", 1, 9)
	use("USD", 1, 9)
	b.night(exitDone, "")
	b.at = time.Date(2026, 11, 25, 2, 30, 0, 0, time.UTC)
	euros := b.feeds[current("EUR")]
	delete(b.feeds, current("EUR"))
	use("USD", 10, 24)
	b.night(exitWarnings, "usage in EUR ends with 2026-11-09, that in other currencies goes on: days of 2026-11")
	week := []string{"metrics", "--period", "2026-11-12..2026-11-18"}
	if code, out := b.tidemark(week...); code != exitNoKnownDay {
		t.Errorf("exit %d:\n%s", code, out)
	}
	b.feeds[current("EUR")] = euros
	use("EUR", 10, 24)
	b.night(exitDone, "")
	b.costs("2026-11-12..2026-11-18", "7.00 EUR, 7.00 USD")
	b.must("archive", "verify")
}

// TestPartnerCenter_LicencesInAnotherCurrency has invoices in dollars without usage:
// the euros are read as soon as nobody waits any more, and no night warns from then on.
func TestPartnerCenter_LicencesInAnotherCurrency(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.configure("[EUR]", "[EUR, USD]")
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
	b.feeds[current("USD")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "USD")}
	b.feeds[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{b.line("2026-10-09", "5", "EUR")}
	b.bill("G000000001", "EUR")
	b.bill("G000000003", "USD")
	for range 3 {
		b.night(exitWarnings, "invoice G000000003 has no usage yet: 2026-10 stays as it is; it is waited for until 2026-11-28 02:30 UTC")
	}
	b.night(exitDone, "")
	b.night(exitDone, "")
	b.costs("2026-10", "5.00 EUR")
}

// TestPartnerCenter_UsageWhoseTimeIsOver says how far it was, and goes on.
func TestPartnerCenter_UsageWhoseTimeIsOver(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
	b.configure("currencies:", "time_limit: 1m, currencies:")
	b.server.Script(fakemicrosoft.TooMany(900).On(fakemicrosoft.Graph, "/export").EveryNth(1))
	b.night(exitWarnings, "after 1m0s: unbilled usage in EUR, last period is not prepared yet; run again to go on there")
	b.server.ClearScript()
	b.night(exitDone, "1 usage rows read")
}

// TestPartnerCenter_AsAUser signs in to Partner Center with a refresh token, and to
// Graph as the app, in a cloud of its own.
func TestPartnerCenter_AsAUser(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{AppGraph: true, Login: fakemicrosoft.LoginOptions{Cloud: "usgov"}})
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
	b.configure("currencies:", "cloud: usgov, refresh_token: file:refresh-token, currencies:")
	if err := os.WriteFile(filepath.Join(b.dir, "refresh-token"), []byte("refresh-token"+secretMark), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, out := b.tidemark("check"); !strings.Contains(out, "sign-in for Partner Center: app+user") || !strings.Contains(out, "sign-in for Microsoft Graph: app-only") {
		t.Errorf("check says:\n%s", out)
	}
	b.night(exitDone, "1 usage rows read, 1 customers, 1 subscriptions")
	if leaks := b.server.Leaks(); len(leaks) > 0 {
		t.Errorf("tokens went where they do not belong: %+v", leaks)
	}
}

// TestPartnerCenter_OneCustomerIsClosed has a customer refuse as if the role or the
// token were at fault: everybody else, and all usage, is read.
func TestPartnerCenter_OneCustomerIsClosed(t *testing.T) {
	for _, alone := range []bool{false, true} { // Partner Center's own tokens are the only ones to be had
		b := newBilledTenant(t, fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{NoAADGraph: alone}})
		b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
		closed := &fakemicrosoft.Customer{ID: "7be1d2c3-8c44-4b6a-b2f0-6f1e2d3c4b02", Name: "Zuiderzee", Relationship: "reseller", Currency: "EUR"}
		b.server.Update(func(p *fakemicrosoft.Partner) { p.Customers = append(p.Customers, closed) })
		for _, refusal := range []fakemicrosoft.Refusal{{Status: 403, Code: "900150"}, {Status: 401, Code: "400"}} {
			closed.Refuse = &refusal
			b.night(exitWarnings, "1 usage rows read, 2 customers, 1 subscriptions")
		}
		closed.Refuse = nil
		b.night(exitDone, "")
	}
}

// TestPartnerCenter_ANamedInvoiceWithoutData is waited for, and the current month is read
// all the same.
func TestPartnerCenter_ANamedInvoiceWithoutData(t *testing.T) {
	b := newBilledTenant(t, fakemicrosoft.Options{})
	b.configure("currencies: [EUR]", "currencies: [EUR], invoices: [G000000003]")
	b.server.Script(fakemicrosoft.Refused(403, "900150").On(fakemicrosoft.API, "/v1/invoices").EveryNth(1))
	b.feeds[current("EUR")] = []fakemicrosoft.Line{b.line("2026-11-09", "1", "EUR")}
	b.night(exitWarnings, "1 usage rows read")
	b.feeds[current("EUR")] = append(b.feeds[current("EUR")], b.line("2026-11-24", "2", "EUR"))
	b.night(exitWarnings, "2 usage rows read")
	b.feeds[current("EUR")] = append(b.feeds[current("EUR")], b.line("2026-11-25", "4", "EUR"))
	b.night(exitWarnings, "3 usage rows read")
}
