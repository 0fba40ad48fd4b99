package partnercenter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// handMade is a partner with usage written down by hand.
func handMade(lines ...fakemicrosoft.Line) *fakemicrosoft.Partner {
	return &fakemicrosoft.Partner{TenantID: "9D0C1F5E-1111-4222-8333-444455556666", Currencies: []string{"EUR"},
		Usage: fakemicrosoft.Fixed{{Currency: "EUR", Period: "current"}: lines}}
}

func line(change func(*fakemicrosoft.Line)) fakemicrosoft.Line {
	l := fakemicrosoft.Line{CustomerID: "0A3F4C1E-5B7D-4F0E-9A11-2C6D8E9F0A01", CustomerName: "Noordzee", EntitlementID: "C0FFEE00-1111-4222-8333-444455556666",
		EntitlementDescription: "nzl-prod", ChargeStartDate: "2026-11-01T00:00:00Z", ChargeEndDate: "2026-11-30T23:59:59Z", UsageDate: "2026-11-09T00:00:00Z",
		MeterCategory: "Storage", MeterSubCategory: "Blob Storage", MeterID: "5F0C7C77-1D1F-4C55-9D52-7E1F6A9B3C10", MeterRegion: "EU West",
		ConsumedService: "Microsoft.Storage", Unit: "1 GB/Month", UnitType: "1 GB/Month", Quantity: "3.214", ChargeType: "new",
		BillingPreTaxTotal: "0.04", BillingCurrency: "EUR", PricingPreTaxTotal: "0.0524", PricingCurrency: "USD"}
	if change != nil {
		change(&l)
	}
	return l
}

// shown is a row as text: the fields that a line decides.
func shown(u data.Usage) string {
	text := func(p *string) string {
		if p == nil {
			return "-"
		}
		return *p
	}
	number := func(d *data.Decimal) string {
		if d == nil {
			return "-"
		}
		return d.String()
	}
	sub := "-"
	if u.SubscriptionID != nil {
		sub = string(*u.SubscriptionID)
	}
	credit := "-"
	if u.PartnerCreditApplied != nil {
		credit = fmt.Sprint(*u.PartnerCreditApplied, " ", number(u.PartnerCreditRate))
	}
	return strings.Join([]string{u.Day.String(), string(u.CustomerID), sub, u.Category, text(u.Service), text(u.Unit), u.Currency, string(u.ChargeCategory),
		text(u.BillingPeriod), number(u.Quantity), number(u.Cost), number(u.CostUSD), credit}, " | ")
}

func TestUsage_LineByLine(t *testing.T) {
	const plain = "2026-11-09 | 0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01 | c0ffee00-1111-4222-8333-444455556666 | Storage | Microsoft.Storage | 1 GB/Month | EUR | usage | 2026-11 | 3.214 | 0.04 | 0.0524 | -"
	with := func(old, now string) string { return strings.Replace(plain, old, now, 1) }
	tests := []struct {
		name   string
		change func(*fakemicrosoft.Line)
		want   string // a row, or the column and reason of a refusal
	}{
		{"as it should be", nil, plain},
		{"a zero entitlement is none", func(l *fakemicrosoft.Line) { l.EntitlementID = "00000000-0000-0000-0000-000000000000" }, with("c0ffee00-1111-4222-8333-444455556666", "-")},
		{"an empty entitlement is none", func(l *fakemicrosoft.Line) { l.EntitlementID = "" }, with("c0ffee00-1111-4222-8333-444455556666", "-")},
		{"late usage belongs to the period that bills it", func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate = "2026-10-01T00:00:00Z", "2026-10-31T00:00:00Z"
		}, with("2026-11-09", "2026-10-31")},
		{"a day with an offset is its UTC day", func(l *fakemicrosoft.Line) { l.UsageDate = "2026-11-09T23:30:00-02:00" }, with("2026-11-09", "2026-11-10")},
		{"without a category the product stands in", func(l *fakemicrosoft.Line) { l.MeterCategory, l.ProductName = "", "Blob Storage" }, with("Storage |", "Blob Storage |")},
		{"a refund is a credit", func(l *fakemicrosoft.Line) { l.ChargeType, l.BillingPreTaxTotal = "refund", "-0.04" }, strings.Replace(with("usage", "credit"), "0.04", "-0.04", 1)},
		{"22 digits are exact to the 18th decimal", func(l *fakemicrosoft.Line) { l.BillingPreTaxTotal = "120.5682999999995904716" }, with("0.04", "120.568299999999590472")},
		{"an exponent is a number", func(l *fakemicrosoft.Line) { l.Quantity = "1.5E-7" }, with("3.214", "0.00000015")},
		{"partner earned credit", func(l *fakemicrosoft.Line) { l.PartnerEarnedCreditPercentage = "15" }, strings.TrimSuffix(plain, "-") + "true 0.15"},
		{"no partner earned credit", func(l *fakemicrosoft.Line) { l.PartnerEarnedCreditPercentage = "0" }, strings.TrimSuffix(plain, "-") + "false 0.00"},
		{"no pricing currency, no dollars", func(l *fakemicrosoft.Line) { l.PricingCurrency = "" }, with("0.0524", "-")},
		{"no customer", func(l *fakemicrosoft.Line) { l.CustomerID = "" }, "CustomerId: missing: every row needs one"},
		{"no day", func(l *fakemicrosoft.Line) { l.UsageDate = "soon" }, "UsageDate: not a date: want YYYY-MM-DDTHH:MM:SSZ"},
		{"another currency than asked for", func(l *fakemicrosoft.Line) { l.BillingCurrency = "GBP" }, "BillingCurrency: not the currency that was asked for, EUR"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A line of the newest month stands beside, which decides about the period.
			s := newSide(t, handMade(line(nil), line(test.change)), fakemicrosoft.Options{})
			var tally data.Tally
			var got []string
			for row, err := range s.source().Usage(t.Context(), nil, &tally) {
				var bad *data.RowError
				switch {
				case errors.As(err, &bad):
					got = append(got, bad.Column+": "+bad.Reason)
					if (bad.Day == nil) != (bad.Column == "UsageDate") {
						t.Errorf("bad %s: day %v", bad.Column, bad.Day)
					}
					if bad.Line != 2 || !strings.HasPrefix(bad.File, "unbilled usage in EUR, current period/") {
						t.Errorf("place %s:%d", bad.File, bad.Line)
					}
				case err != nil:
					t.Fatal(err)
				default:
					got = append(got, shown(row))
				}
			}
			if diff := cmp.Diff([]string{plain, test.want}, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestUsage_MissingColumns(t *testing.T) {
	for _, column := range []string{"ChargeStartDate", "EntitlementId", "MeterCategory", "PricingPreTaxTotal"} {
		t.Run(column, func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.server.Script(fakemicrosoft.MissingColumn(column).EveryNth(1))
			u := s.usage(s.source(), nil)
			if len(u.Rows) == 0 || len(u.Bad) > 0 {
				t.Errorf("%d rows, bad %q", len(u.Rows), u.Bad)
			}
		})
	}
}

// TestUsage_WhatIsUnbilledFollowsTheRemoteCalendar asks in the first hour of a
// month, while the remote side still calls the month before the current one.
func TestUsage_WhatIsUnbilledFollowsTheRemoteCalendar(t *testing.T) {
	var month []fakemicrosoft.Line
	for day := range 29 {
		month = append(month, line(func(l *fakemicrosoft.Line) { l.UsageDate = fmt.Sprintf("2026-11-%02dT00:00:00Z", day+1) }))
	}
	s := newSide(t, handMade(month...), fakemicrosoft.Options{})
	s.clock.at = time.Date(2026, 12, 1, 0, 20, 0, 0, time.UTC)
	u := s.usage(s.source(), nil)
	if len(u.Rows) != 29 || *u.Rows[0].BillingPeriod != "2026-11" {
		t.Errorf("rows %v", u.Rows)
	}
}

// TestUsage_AnExportThatHasTheMonthBeforeAsWellIsLeft: until the remote side changes over,
// "current" has all of the month before beside the new days. It is neither month alone.
func TestUsage_AnExportThatHasTheMonthBeforeAsWellIsLeft(t *testing.T) {
	var lines []fakemicrosoft.Line
	for day := range 30 {
		lines = append(lines, line(func(l *fakemicrosoft.Line) { l.UsageDate = fmt.Sprintf("2026-11-%02dT00:00:00Z", day+1) }))
	}
	for day := range 3 {
		lines = append(lines, line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate = "2026-12-01T00:00:00Z", fmt.Sprintf("2026-12-%02dT00:00:00Z", day+1)
		}))
	}
	s := newSide(t, handMade(lines...), fakemicrosoft.Options{})
	s.clock.at = time.Date(2026, 12, 4, 2, 30, 0, 0, time.UTC)
	u := s.usage(s.source(), nil)
	if len(u.Rows) != 0 || !slices.ContainsFunc(u.Tally.Warnings, func(w string) bool {
		return strings.Contains(w, "it still has all of 2026-11 beside what is new")
	}) {
		t.Errorf("%d rows, warnings %q", len(u.Rows), u.Tally.Warnings)
	}
}

func TestUsage_DaysThatAreAskedFor(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	want := data.Period{From: s.day("2026-10-30"), To: s.day("2026-11-02")}
	all := s.usage(s.source(), nil)
	s.options.Work = t.TempDir()
	some := s.usage(s.source(), &want)
	n := 0
	for _, row := range all.Rows {
		if want.Contains(row.Day) {
			n++
		}
	}
	if len(some.Rows) != n || n == 0 {
		t.Errorf("%d rows, want %d", len(some.Rows), n)
	}
}

func TestSubscriptions_ARefusalIsOneCustomers(t *testing.T) {
	p := smallPartner()
	p.Customers[3].Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "20002"}
	p.Customers[8].Refuse = &fakemicrosoft.Refusal{Status: 500, Code: "800003"}
	s := newSide(t, p, fakemicrosoft.Options{})
	inv := s.inventory(s.source())
	s.isTruth(inv)
	want := []string{strings.ToLower(p.Customers[3].ID) + " 403 20002 no commerce relationship true", strings.ToLower(p.Customers[8].ID) + " 500 800003 false"}
	slices.Sort(want)
	if diff := cmp.Diff(want, inv.Refused); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestSubscriptions_WhenNobodyCanBeReadItIsThePartners(t *testing.T) {
	p := smallPartner()
	for _, c := range p.Customers {
		c.Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "900124"}
	}
	s := newSide(t, p, fakemicrosoft.Options{})
	if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "Microsoft Partner Agreement is not accepted") {
		t.Errorf("err = %v", err)
	}
}

// TestSubscriptions_WhoHasGoneDoesNotHideThePartners has some customers who have
// left, and all others refuse: what those say is told, not three nights of refusals.
func TestSubscriptions_WhoHasGoneDoesNotHideThePartners(t *testing.T) {
	for name, test := range map[string]struct {
		gone, others fakemicrosoft.Refusal
		want         string // in the error; "" for none
	}{
		"the partner's agreement, one left":      {fakemicrosoft.Refusal{Status: 403, Code: "20002"}, fakemicrosoft.Refusal{Status: 403, Code: "900124"}, "none of 17 customers can be read, beside 3 who have left"},
		"the partner's status, no tenant":        {fakemicrosoft.Refusal{Status: 404, Code: "60003"}, fakemicrosoft.Refusal{Status: 403, Code: "900149"}, "programme status"},
		"a code that has that of one who left":   {fakemicrosoft.Refusal{Status: 403, Code: "20002"}, fakemicrosoft.Refusal{Status: 403, Code: "120002"}, "code 120002"},
		"the remote side fails for everybody":    {fakemicrosoft.Refusal{Status: 403, Code: "20002"}, fakemicrosoft.Refusal{Status: 500, Code: "800003"}, "code 800003"},
		"everybody has left, each for their own": {fakemicrosoft.Refusal{Status: 403, Code: "20002"}, fakemicrosoft.Refusal{Status: 404, Code: "60003"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := smallPartner()
			for i, c := range p.Customers {
				c.Refuse = &test.others
				if i%7 == 3 {
					c.Refuse = &test.gone
				}
			}
			s := newSide(t, p, fakemicrosoft.Options{})
			inv, err := readInventory(t.Context(), s.source())
			switch {
			case test.want == "" && (err != nil || len(inv.Refused) != len(p.Customers)):
				t.Errorf("err = %v, %d refused", err, len(inv.Refused))
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("err = %v, want %q in it", err, test.want)
			}
			// One who can be read shows that it is not everybody's.
			s.server.Update(func(p *fakemicrosoft.Partner) { p.Customers[0].Refuse = nil })
			if inv, err := readInventory(t.Context(), s.source()); err != nil || len(inv.Refused) != len(p.Customers)-1 {
				t.Errorf("with one who can be read: err = %v, %d refused", err, len(inv.Refused))
			}
		})
	}
}

func TestInventory_Odd(t *testing.T) {
	t.Run("an empty partner", func(t *testing.T) {
		s := newSide(t, &fakemicrosoft.Partner{TenantID: "9d0c1f5e-1111-4222-8333-444455556666"}, fakemicrosoft.Options{})
		inv := s.inventory(s.source())
		u := s.usage(s.source(), nil)
		if len(inv.Customers)+len(inv.Subscriptions)+len(u.Rows) != 0 {
			t.Errorf("read %v, %v", inv, u)
		}
	})
	t.Run("customers that are only advised are left out", func(t *testing.T) {
		p := smallPartner()
		p.Customers[2].Relationship, p.Customers[5].Relationship = "advisor", "none"
		s := newSide(t, p, fakemicrosoft.Options{})
		inv := s.inventory(s.source())
		s.isTruth(inv)
		if inv.LeftOut["customer with the relationship advisor"] != 1 || inv.LeftOut["customer with the relationship none"] != 1 {
			t.Errorf("left out %v", inv.LeftOut)
		}
	})
	t.Run("excluded customers are not asked for", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.options.Exclude = []string{strings.ToUpper(s.partner.Customers[4].ID)}
		source := s.source()
		inv := s.inventory(source)
		if len(inv.Customers) != 19 {
			t.Errorf("%d customers", len(inv.Customers))
		}
		for _, r := range s.server.Requests() {
			if strings.Contains(strings.ToLower(r.Path), strings.ToLower(s.partner.Customers[4].ID)) {
				t.Errorf("asked for %s", r.Path)
			}
		}
	})
	t.Run("a status that nobody knows", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.UnknownStatus("resting").On(fakemicrosoft.API, "azureEntitlements").EveryNth(1))
		inv := s.inventory(s.source())
		s.isTruth(inv)
		unknown := 0
		for _, sub := range inv.Subscriptions {
			if sub.Status == data.StatusUnknown {
				unknown++
			}
		}
		if unknown == 0 || len(inv.Warnings) != 1 || !strings.Contains(inv.Warnings[0], `the status "resting", which is not known`) {
			t.Errorf("%d unknown, warnings %q", unknown, inv.Warnings)
		}
	})
	t.Run("fields that are missing", func(t *testing.T) {
		for _, field := range []string{"companyProfile", "relationshipToPartner", "friendlyName", "commitmentEndDate", "attributes", "autoRenewEnabled"} {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.server.Script(fakemicrosoft.MissingField(field).EveryNth(1))
			if inv := s.inventory(s.source()); len(inv.Customers) != 20 || len(inv.Subscriptions) < 40 {
				t.Errorf("without %s: %d customers, %d subscriptions", field, len(inv.Customers), len(inv.Subscriptions))
			}
		}
	})
	t.Run("pages that lead in a circle", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.DuplicatePage().On(fakemicrosoft.API, "seek").EveryNth(1))
		if _, err := readInventory(t.Context(), s.source()); !errors.Is(err, errEndless) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("204 in mid-paging for ever is no end", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.NoContent(1).On(fakemicrosoft.API, "seek").EveryNth(1))
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "204") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestStatuses(t *testing.T) {
	for text, want := range map[string]string{"active": "active", "Suspended": "suspended", "deleted": "deprovisioned", "expired": "expired",
		"pending": "pending", "disabled": "suspended", "none": "unknown", "": "unknown"} {
		if got, known := statusOf(textOf(text)); string(got) != want || !known {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func textOf(s string) text { return text(s) }

func TestBackfill_SaysHowMuchBeforeItReads(t *testing.T) {
	s := newSide(t, fakemicrosoft.NewPartner(4, fakemicrosoft.Size{Customers: 5, Days: 220, Today: start}), fakemicrosoft.Options{})
	s.options.Backfill = 6
	source := s.source()
	offer, err := source.Backfill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if offer.Invoices != 6 || offer.Blobs < 150 {
		t.Errorf("offer %+v", offer)
	}
	for _, r := range s.server.Requests() {
		if r.Host == fakemicrosoft.Blob && r.Method != "HEAD" {
			t.Fatalf("%s %s before anybody said yes", r.Method, r.Path)
		}
	}
	u := s.usage(source, nil)
	if offer.Bytes < u.Tally.TotalBytes/2 || offer.Bytes > u.Tally.TotalBytes {
		t.Errorf("offered %d bytes, downloaded %d with the current month", offer.Bytes, u.Tally.TotalBytes)
	}
	months := map[string]bool{}
	for _, row := range u.Rows {
		months[*row.BillingPeriod] = true
	}
	if len(months) != 7 {
		t.Errorf("months %v", months)
	}
}

// TestUsage_ALaterInvoiceOfAPeriodBringsTheOthersAlong has a second invoice for a
// month that the archive has: what it replaces is the month as a whole.
func TestUsage_ALaterInvoiceOfAPeriodBringsTheOthersAlong(t *testing.T) {
	of := func(cost string) []fakemicrosoft.Line {
		return []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
			l.ChargeStartDate, l.UsageDate, l.BillingPreTaxTotal = "2026-10-01T00:00:00Z", "2026-10-09T00:00:00Z", cost
		})}
	}
	october := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	p := handMade(line(nil))
	p.Usage.(fakemicrosoft.Fixed)[fakemicrosoft.Feed{Invoice: "G000000001"}] = of("5")
	p.Usage.(fakemicrosoft.Fixed)[fakemicrosoft.Feed{Invoice: "G000000002"}] = of("-1.5")
	p.Invoices = []fakemicrosoft.Invoice{{ID: "G000000001", Currency: "EUR", Month: october}}
	s := newSide(t, p, fakemicrosoft.Options{})
	for _, want := range []map[string]string{
		{"2026-10 EUR": "1 rows, 5.00", "2026-11 EUR": "1 rows, 0.04"},
		{"2026-11 EUR": "1 rows, 0.04"},
		{"2026-10 EUR": "2 rows, 3.50", "2026-11 EUR": "1 rows, 0.04"},
	} {
		source := s.source()
		if diff := cmp.Diff(want, s.usage(source, nil).byPeriod()); diff != "" {
			t.Errorf("want -, read +:\n%s", diff)
		}
		if err := source.Done(); err != nil {
			t.Fatal(err)
		}
		if _, has := want["2026-10 EUR"]; !has {
			s.server.Update(func(p *fakemicrosoft.Partner) {
				p.Invoices = append(p.Invoices, fakemicrosoft.Invoice{ID: "G000000002", Currency: "EUR", Month: october})
			})
		}
	}
}

// TestUsage_InvoicesThatAreNamed has the list of invoices closed to the app: those
// of the configuration are read, and their usage is not there twice.
func TestUsage_InvoicesThatAreNamed(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.Refused(403, "900150").On(fakemicrosoft.API, "/v1/invoices").EveryNth(1))
	for _, inv := range s.partner.Invoices {
		s.options.Invoices = append(s.options.Invoices, strings.ToLower(inv.ID))
	}
	s.isAllUsage(s.usage(s.source(), nil))
}

// TestUsage_SomeDaysOfAnInvoiceDoNotMakeItRead asks for a day of a billed month
// first: the whole month is still read afterwards.
func TestUsage_SomeDaysOfAnInvoiceDoNotMakeItRead(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	source := s.source()
	s.usage(source, &data.Period{From: s.day("2026-10-30"), To: s.day("2026-10-30")})
	if err := source.Done(); err != nil {
		t.Fatal(err)
	}
	s.isAllUsage(s.usage(s.source(), nil))
}

// TestUsage_AnArchiveWithoutItHasItReadAgain forgets the archive, not the work
// folder.
func TestUsage_AnArchiveWithoutItHasItReadAgain(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	for range 2 {
		source := s.source()
		source.Archived(nil, nil, nil)
		s.isAllUsage(s.usage(source, nil))
		if err := source.Done(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsage_ThePeriodHoweverItIsWritten has lines that no quick look finds the
// period in.
func TestUsage_ThePeriodHoweverItIsWritten(t *testing.T) {
	for name, line := range map[string]string{
		"as always":           `{"ChargeStartDate":"2026-11-01T00:00:00Z","BillingCurrency":"EUR"}`,
		"with blanks":         `{ "ChargeStartDate" : "2026-11-01T00:00:00Z", "BillingCurrency" : "eur" }`,
		"in another case":     `{"chargestartdate":"2026-11-01T00:00:00Z","billingcurrency":"EUR"}`,
		"by the usage's date": `{"UsageDate":"2026-11-09T00:00:00Z","BillingCurrency":"EUR"}`,
	} {
		if month, currency := periodOf([]byte(line)); month != "2026-11" || currency != "EUR" {
			t.Errorf("%s: %q, %q", name, month, currency)
		}
	}
	for _, line := range []string{"", "{}", "not JSON", `{"ChargeStartDate":"soon"}`} {
		if month, _ := periodOf([]byte(line)); month != "" {
			t.Errorf("%q: %q", line, month)
		}
	}
}

// TestUsage_AnInvoiceThatIsNotReadyIsAskedForAgain has the export of an invoice
// without data for a night.
func TestUsage_AnInvoiceThatIsNotReadyIsAskedForAgain(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.OperationFailed().On(fakemicrosoft.Graph, "/billed/export").EveryNth(1))
	source := s.source()
	s.usage(source, nil)
	if err := source.Done(); err != nil {
		t.Fatal(err)
	}
	s.server.ClearScript()
	s.isAllUsage(s.usage(s.source(), nil))
}

// TestSubscriptions_AnAnswerWithoutItemsIsNone has an empty object in the place of
// one customer's list.
func TestSubscriptions_AnAnswerWithoutItemsIsNone(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.Fault{Name: "empty", Host: fakemicrosoft.API, Path: "/" + s.partner.Customers[6].ID + "/subscriptions\\?", Edit: func([]byte) []byte { return []byte("{}") }, Every: 1})
	inv := s.inventory(s.source())
	if len(inv.Refused) != 1 || !strings.Contains(inv.Refused[0], "no whole answer false") {
		t.Errorf("refused %q", inv.Refused)
	}
}

// TestUsage_AMonthWithoutAnExportIsNotCovered has the last month neither unbilled
// nor billed yet: its days stay unknown.
func TestUsage_AMonthWithoutAnExportIsNotCovered(t *testing.T) {
	p := handMade(line(nil))
	p.Invoices = []fakemicrosoft.Invoice{{ID: "G000000001", Currency: "EUR", Month: time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)}}
	p.Usage.(fakemicrosoft.Fixed)[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) {
		l.ChargeStartDate, l.UsageDate = "2026-09-01T00:00:00Z", "2026-09-09T00:00:00Z"
	})}
	s := newSide(t, p, fakemicrosoft.Options{})
	u := s.usage(s.source(), nil)
	want := []data.Period{{From: s.day("2026-09-01"), To: s.day("2026-09-30")}, {From: s.day("2026-11-01"), To: s.day("2026-11-25")}}
	if diff := cmp.Diff(want, u.Tally.Covers); diff != "" {
		t.Errorf("want -, covers +:\n%s", diff)
	}
}

// TestUsage_AnExportThatFailedIsOrderedAnew has one fail for a reason of its own.
func TestUsage_AnExportThatFailedIsOrderedAnew(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.server.Script(fakemicrosoft.Fault{Name: "failed", Host: fakemicrosoft.Graph, Path: "/unbilled/export", Export: &fakemicrosoft.ExportFault{Fail: "1001", Message: "Internal error"}})
	var err error
	for _, err = range s.source().Usage(t.Context(), nil, &data.Tally{}) {
		if err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "code 1001") {
		t.Fatalf("err = %v", err)
	}
	s.isAllUsage(s.usage(s.source(), nil))
}

// TestCheckpoint_AnotherDayIsAnotherInventory goes on after midnight: a snapshot of
// the day before would pass for one of today.
func TestCheckpoint_AnotherDayIsAnotherInventory(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.clock.at = time.Date(2026, 11, 25, 23, 50, 0, 0, time.UTC)
	source := s.source()
	s.inventory(source)
	s.usage(source, nil)
	asked := s.server.Count(fakemicrosoft.API)
	blobs := s.server.Count(fakemicrosoft.Blob)
	s.clock.at = s.clock.at.Add(20 * time.Minute)
	source = s.source()
	s.isTruth(s.inventory(source))
	s.usage(source, nil)
	if n := s.server.Count(fakemicrosoft.API) - asked; n < 20 {
		t.Errorf("%d requests: the inventory of the day before was taken", n)
	}
	if n := s.server.Count(fakemicrosoft.Blob) - blobs; n != 0 {
		t.Errorf("%d blobs were downloaded again", n)
	}
}

// october is a line of that month.
func october(cost string) fakemicrosoft.Line {
	return line(func(l *fakemicrosoft.Line) {
		l.ChargeStartDate, l.UsageDate, l.BillingPreTaxTotal = "2026-10-01T00:00:00Z", "2026-10-09T00:00:00Z", cost
	})
}

// TestUsage_HalfAMonthDoesNotReplaceTheWhole has one of two invoices of a month
// without data for two nights. Nobody knows whether what is unbilled is all of it.
func TestUsage_HalfAMonthDoesNotReplaceTheWhole(t *testing.T) {
	month := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	p := handMade(line(nil))
	usage := p.Usage.(fakemicrosoft.Fixed)
	usage[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5"), october("7")}
	usage[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{october("5")}
	p.Invoices = []fakemicrosoft.Invoice{{ID: "G000000001", Currency: "EUR", Month: month}, {ID: "G000000003", Currency: "EUR", Month: month}}
	for night, want := range []string{"", "", "2 rows, 13.00"} {
		t.Run(fmt.Sprint("night ", night+1), func(t *testing.T) {
			if night == 2 {
				usage[fakemicrosoft.Feed{Invoice: "G000000003"}] = []fakemicrosoft.Line{october("8")}
			}
			s := newSide(t, p, fakemicrosoft.Options{})
			if got := s.usage(s.source(), nil).byPeriod()["2026-10 EUR"]; got != want {
				t.Errorf("October: %s, want %s", got, want)
			}
		})
	}
	t.Run("one that never has data is not waited for", func(t *testing.T) {
		delete(usage, fakemicrosoft.Feed{Invoice: "G000000003"})
		s := newSide(t, p, fakemicrosoft.Options{})
		for night, want := range []string{"", "", "", "", "1 rows, 5.00"} {
			source := s.source()
			if got := s.usage(source, nil).byPeriod()["2026-10 EUR"]; got != want {
				t.Errorf("night %d: October: %s, want %s", night+1, got, want)
			}
			if err := source.Done(); err != nil {
				t.Fatal(err)
			}
			s.clock.at = s.clock.at.Add(23 * time.Hour)
		}
	})
}

// TestUsage_AFewLinesDoNotDecideAboutThePeriod has a line of a month to come among
// many.
func TestUsage_AFewLinesDoNotDecideAboutThePeriod(t *testing.T) {
	lines := []fakemicrosoft.Line{line(func(l *fakemicrosoft.Line) { l.ChargeStartDate = "2026-12-01T00:00:00Z" })}
	for range 5 { // a date that means never is no month, however many lines there are
		lines = append(lines, line(func(l *fakemicrosoft.Line) { l.ChargeStartDate = "9999-12-31T00:00:00Z" }))
	}
	for range 35 {
		lines = append(lines, line(nil))
	}
	p := handMade(lines...)
	p.Invoices = []fakemicrosoft.Invoice{{ID: "G000000001", Currency: "EUR", Month: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}}
	p.Usage.(fakemicrosoft.Fixed)[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{october("5"), line(nil)}
	s := newSide(t, p, fakemicrosoft.Options{})
	want := map[string]string{"2026-10 EUR": "2 rows, 5.04", "2026-11 EUR": "41 rows, 1.64"}
	if diff := cmp.Diff(want, s.usage(s.source(), nil).byPeriod()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestUsage_AMonthIsWholeInEveryCurrency has the dollars of a month come later than
// the euros.
func TestUsage_AMonthIsWholeInEveryCurrency(t *testing.T) {
	month := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	dollars := func(l fakemicrosoft.Line) fakemicrosoft.Line { l.BillingCurrency = "USD"; return l }
	p := handMade(line(nil))
	usage := p.Usage.(fakemicrosoft.Fixed)
	usage[fakemicrosoft.Feed{Currency: "USD", Period: "current"}] = []fakemicrosoft.Line{dollars(line(nil))}
	usage[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{october("5")}
	p.Invoices = []fakemicrosoft.Invoice{{ID: "G000000001", Currency: "EUR", Month: month}, {ID: "G000000003", Currency: "USD", Month: month}}
	s := newSide(t, p, fakemicrosoft.Options{})
	s.options.Currencies = []string{"EUR", "USD"}
	source := s.source()
	u := s.usage(source, nil)
	if _, has := u.byPeriod()["2026-10 EUR"]; has || len(u.Tally.Warnings) != 2 {
		t.Errorf("read %v, warnings %q", u.byPeriod(), u.Tally.Warnings)
	}
	if err := source.Done(); err != nil {
		t.Fatal(err)
	}
	usage[fakemicrosoft.Feed{Invoice: "G000000003"}] = []fakemicrosoft.Line{dollars(october("9"))}
	want := map[string]string{"2026-10 EUR": "1 rows, 5.00", "2026-10 USD": "1 rows, 9.00", "2026-11 EUR": "1 rows, 0.04", "2026-11 USD": "1 rows, 0.04"}
	if diff := cmp.Diff(want, s.usage(s.source(), nil).byPeriod()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestCheckpoint_AnotherMonthBeginsAnew stops after the current month was ordered
// and goes on in the next one, whose last month it is.
func TestCheckpoint_AnotherMonthBeginsAnew(t *testing.T) {
	s := newSide(t, fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 5, Lines: 2, Days: 20, Today: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}), fakemicrosoft.Options{})
	s.partner.Invoices = nil
	s.clock.at = time.Date(2026, 11, 30, 23, 50, 0, 0, time.UTC)
	s.usage(s.source(), nil)
	s.clock.at = s.clock.at.Add(20 * time.Minute)
	u := s.usage(s.source(), nil)
	if got, want := u.byPeriod()["2026-11 EUR"], s.feedTotals(fakemicrosoft.Feed{Currency: "EUR", Period: "last"}); got != want {
		t.Errorf("November: %s, want %s", got, want)
	}
}
