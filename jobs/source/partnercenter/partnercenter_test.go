package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/datatest"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// clock moves only when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	at    time.Time
	slept time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.slept = c.at.Add(d), c.slept+d
	return ctx.Err()
}

// marker is part of every secret of the fake.
const marker = "MARKED-SECRET-7f3a"

var start = time.Date(2026, 11, 25, 2, 30, 0, 0, time.UTC)

// side is the fake Microsoft side and a client of it.
type side struct {
	t       *testing.T
	clock   *clock
	partner *fakemicrosoft.Partner
	server  *fakemicrosoft.Server
	options Options
}

func newSide(t *testing.T, partner *fakemicrosoft.Partner, o fakemicrosoft.Options) *side {
	t.Helper()
	s := &side{t: t, clock: &clock{at: start}, partner: partner}
	o.Marker = marker
	s.server = fakemicrosoft.NewWith(partner, s.clock.now, o)
	at, err := s.server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Error(err)
		}
		if leaks := s.server.Leaks(); len(leaks) > 0 {
			t.Errorf("tokens went where they do not belong: %+v", leaks)
		}
	})
	s.options = Options{
		Credentials: microsoft.Credentials{Tenant: partner.TenantID, ClientID: "11111111-2222-4333-8444-555555555555", Secret: "client-secret" + marker},
		Endpoints:   microsoft.Endpoints{Login: at.Login, API: at.API, Graph: at.Graph},
		Currencies:  []string{"EUR"}, Work: filepath.Join(t.TempDir(), "work"), Now: s.clock.now, Sleep: s.clock.sleep, PageSize: 7,
	}
	return s
}

func smallPartner() *fakemicrosoft.Partner {
	return fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 20, Azure: 45, Lines: 3, Days: 27, Today: start})
}

func (s *side) source() *Source {
	s.t.Helper()
	source, err := New(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return source
}

// inventory is what was read of customers and subscriptions.
type inventory struct {
	Customers     []data.Customer
	Subscriptions []data.Subscription
	Refused       []string
	LeftOut       map[string]int64
	Warnings      []string
}

func (s *side) inventory(source *Source) inventory {
	s.t.Helper()
	inv, err := readInventory(s.t.Context(), source)
	if err != nil {
		s.t.Fatal(err)
	}
	return inv
}

func readInventory(ctx context.Context, source *Source) (inv inventory, err error) {
	var customers, subscriptions data.Tally
	for c, err := range source.Customers(ctx, &customers) {
		if err != nil {
			return inv, err
		}
		inv.Customers = append(inv.Customers, c)
	}
	for sub, err := range source.Subscriptions(ctx, &subscriptions) {
		var refused *data.CustomerError
		switch {
		case errors.As(err, &refused):
			inv.Refused = append(inv.Refused, fmt.Sprintf("%s %s %v", refused.CustomerID, refused.Reason, refused.Permanent))
		case err != nil:
			return inv, err
		default:
			inv.Subscriptions = append(inv.Subscriptions, sub)
		}
	}
	inv.LeftOut, inv.Warnings = map[string]int64{}, slices.Concat(customers.Warnings, subscriptions.Warnings)
	for _, t := range []data.Tally{customers, subscriptions} {
		for reason, n := range t.LeftOut {
			inv.LeftOut[reason] += n
		}
	}
	return inv, nil
}

// truth is the inventory as the fake's partner has it, told without the client.
func (s *side) truth() (customers, subscriptions []string) {
	for _, c := range s.partner.Customers {
		if c.Relationship != "reseller" {
			continue
		}
		customers = append(customers, strings.ToLower(c.ID)+" "+strings.TrimSpace(c.Name))
		if c.Refuse != nil {
			continue
		}
		for _, sub := range c.Subscriptions {
			if sub.Legacy() {
				subscriptions = append(subscriptions, strings.ToLower(c.ID+" "+sub.EntitlementID))
			}
			for _, e := range sub.Entitlements {
				subscriptions = append(subscriptions, strings.ToLower(c.ID+" "+e.ID))
			}
		}
	}
	slices.Sort(customers)
	slices.Sort(subscriptions)
	return customers, subscriptions
}

// isTruth compares an inventory with what the partner has.
func (s *side) isTruth(inv inventory) {
	s.t.Helper()
	var customers, subscriptions []string
	for _, c := range inv.Customers {
		customers = append(customers, string(c.CustomerID)+" "+*c.Name)
	}
	for _, sub := range inv.Subscriptions {
		subscriptions = append(subscriptions, string(sub.CustomerID)+" "+string(sub.SubscriptionID))
	}
	slices.Sort(subscriptions)
	wantCustomers, wantSubscriptions := s.truth()
	if diff := cmp.Diff(wantCustomers, customers); diff != "" {
		s.t.Errorf("customers: partner -, read +:\n%s", diff)
	}
	if diff := cmp.Diff(wantSubscriptions, subscriptions); diff != "" {
		s.t.Errorf("subscriptions: partner -, read +:\n%s", diff)
	}
}

func TestSource_KeepsTheContract(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	datatest.TestSource(t, func(t *testing.T) data.UsageSource { return s.source() })
}

func TestInventory_IsWhatThePartnerHas(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	inv := s.inventory(s.source())
	s.isTruth(inv)
	if inv.LeftOut["subscription that is not Azure's"] == 0 {
		t.Errorf("no licence was left out: %v", inv.LeftOut)
	}
}

// TestInventory_SequentialPages reads the same inventory by pages of any size: each
// page is asked for once, after the one before and by the way that this one tells.
func TestInventory_SequentialPages(t *testing.T) {
	for size, pages := range map[int]int{1: 20, 7: 3, 10: 2, 19: 2, 20: 1, 500: 1} {
		t.Run(fmt.Sprintf("pages of %d", size), func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.options.PageSize = size
			want := []string{""} // continuation tokens: none for the first page, then what each page tells
			s.server.Script(fakemicrosoft.Fault{Name: "look", Host: fakemicrosoft.API, Path: "/customers\\?", Every: 1, Edit: func(body []byte) []byte {
				var page struct {
					Token string `json:"continuationToken"`
				}
				if err := json.Unmarshal(microsoft.WithoutBOM(body), &page); err != nil {
					t.Error(err)
				}
				want = append(want, page.Token)
				return body
			}})
			s.isTruth(s.inventory(s.source()))
			var asked []string
			for _, r := range s.server.Requests() {
				if r.Path == "/v1/customers" {
					asked = append(asked, r.Header.Get("MS-ContinuationToken"))
				}
			}
			if last := len(want) - 1; len(asked) != pages || !slices.Equal(asked, want[:last]) || want[last] != "" {
				t.Errorf("%d pages, asked for by %q, told %q", len(asked), asked, want)
			}
		})
	}
}

// TestInventory_TwoSequentialReadsAreEqual reads again once the first is done with.
func TestInventory_TwoSequentialReadsAreEqual(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	read := func() inventory {
		t.Helper()
		source := s.source()
		inv := s.inventory(source)
		if err := source.Done(); err != nil {
			t.Fatal(err)
		}
		return inv
	}
	first, before := read(), s.server.Count(fakemicrosoft.API)
	if diff := cmp.Diff(first, read()); diff != "" {
		t.Errorf("first -, second +:\n%s", diff)
	}
	if n := s.server.Count(fakemicrosoft.API); n != 2*before {
		t.Errorf("%d requests, then %d: the second is no reading of its own", before, n-before)
	}
}

// TestInventory_WhateverGoesWrong reads the same inventory although one thing
// after another goes wrong on the way.
func TestInventory_WhateverGoesWrong(t *testing.T) {
	faults := map[string][]fakemicrosoft.Fault{
		"429 storms":                     {fakemicrosoft.TooMany(3).Repeated(2), fakemicrosoft.TooMany(20).EveryNth(5).Repeated(3), fakemicrosoft.TooManyUntil(90 * time.Second).At(20)},
		"5xx":                            {fakemicrosoft.Failing(500), fakemicrosoft.Failing(503).At(9), fakemicrosoft.Failing(502).At(20).Repeated(3)},
		"401 mid-way":                    {fakemicrosoft.ExpiredToken().At(12), fakemicrosoft.ExpiredToken().At(30)},
		"204 mid-paging":                 {fakemicrosoft.NoContent(4).On(fakemicrosoft.API, "seek"), fakemicrosoft.NoContentUntil(15*time.Minute).On(fakemicrosoft.API, "seek").At(2)},
		"dropped before an answer":       {fakemicrosoft.Dropped().At(2), fakemicrosoft.Dropped().At(15)},
		"dropped body":                   {fakemicrosoft.CutAt(40).At(1), fakemicrosoft.CutAt(1).At(8), fakemicrosoft.CutAt(200).At(21)},
		"slow body":                      {fakemicrosoft.Slow(1, nil).At(1), fakemicrosoft.Slow(3, nil).EveryNth(7)},
		"duplicate page":                 {fakemicrosoft.DuplicatePage().On(fakemicrosoft.API, "seek").At(2)},
		"reordered page":                 {fakemicrosoft.ReorderedPage().EveryNth(1)},
		"unknown field":                  {fakemicrosoft.UnknownField().EveryNth(1)},
		"byte order mark":                {fakemicrosoft.BOM().EveryNth(2)},
		"sign-in that fails for a while": {fakemicrosoft.Failing(503).On(fakemicrosoft.Login, "token").Repeated(2)},
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.server.Script(faults[name]...)
			s.isTruth(s.inventory(s.source()))
			if left := s.server.Pending(); len(left) > 0 {
				t.Errorf("faults that never struck: %q", left)
			}
		})
	}
}

// usage is what was read of usage.
type usageRead struct {
	Rows  []data.Usage
	Bad   []string
	Tally data.Tally
}

func (s *side) usage(source *Source, want *data.Period) usageRead {
	s.t.Helper()
	var u usageRead
	for row, err := range source.Usage(s.t.Context(), want, &u.Tally) {
		var bad *data.RowError
		switch {
		case errors.As(err, &bad):
			u.Bad = append(u.Bad, bad.Error())
		case err != nil:
			s.t.Fatal(err)
		default:
			u.Rows = append(u.Rows, row)
		}
	}
	return u
}

// byPeriod adds up cost by billing period, and counts the rows.
func (u usageRead) byPeriod() map[string]string {
	cost, rows := map[string]data.Decimal{}, map[string]int{}
	for _, row := range u.Rows {
		key := *row.BillingPeriod + " " + row.Currency
		cost[key], _ = cost[key].Add(*row.Cost)
		rows[key]++
	}
	out := map[string]string{}
	for key := range rows {
		out[key] = fmt.Sprintf("%d rows, %s", rows[key], cost[key])
	}
	return out
}

// feedTotals adds up the fake's lines by decimal text, without the client.
func (s *side) feedTotals(f fakemicrosoft.Feed) string {
	s.t.Helper()
	f.Today, f.Version = s.clock.now(), 1
	n, cost := 0, data.Decimal{}
	for b := range s.partner.Usage.Blobs(f) {
		for line := range s.partner.Usage.Lines(f, b) {
			d, _, err := data.ParseDecimal(string(line.BillingPreTaxTotal))
			if err != nil {
				s.t.Fatal(err)
			}
			cost, _ = cost.Add(d)
			n++
		}
	}
	return fmt.Sprintf("%d rows, %s", n, cost)
}

// isAllUsage compares what was read with the newest of each billing period.
func (s *side) isAllUsage(u usageRead) {
	s.t.Helper()
	want := map[string]string{"2026-11 EUR": s.feedTotals(fakemicrosoft.Feed{Currency: "EUR", Period: "current"})}
	for _, inv := range s.partner.Invoices {
		want[inv.Month.Format("2006-01")+" EUR"] = s.feedTotals(fakemicrosoft.Feed{Currency: "EUR", Invoice: inv.ID})
	}
	if diff := cmp.Diff(want, u.byPeriod()); diff != "" || len(u.Bad) > 0 {
		s.t.Errorf("partner -, read +:\n%s%q", diff, u.Bad)
	}
}

func TestUsage_BilledReplacesUnbilled(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	u := s.usage(s.source(), nil)
	s.isAllUsage(u)
	want := []data.Period{{From: s.day("2026-10-01"), To: s.day("2026-10-31")}, {From: s.day("2026-11-01"), To: s.day("2026-11-25")}}
	if !slices.Equal(u.Tally.Covers, want) {
		t.Errorf("covers %v, want %v", u.Tally.Covers, want)
	}
}

func (s *side) day(text string) data.Day {
	s.t.Helper()
	d, err := data.ParseDay(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func TestUsage_InvoicesThatTheArchiveHasAreNotReadAgain(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	source := s.source()
	s.usage(source, nil)
	if err := source.Done(); err != nil {
		t.Fatal(err)
	}
	u := s.usage(s.source(), nil)
	want := map[string]string{
		"2026-11 EUR": s.feedTotals(fakemicrosoft.Feed{Currency: "EUR", Period: "current"}),
	}
	if diff := cmp.Diff(want, u.byPeriod()); diff != "" {
		t.Errorf("partner -, read +:\n%s", diff)
	}
}

func TestUsage_WhateverGoesWrong(t *testing.T) {
	faults := map[string][]fakemicrosoft.Fault{
		"runs for long":                    {fakemicrosoft.Running(40)},
		"completed instead of succeeded":   {fakemicrosoft.Completed().EveryNth(1)},
		"manifest inline":                  {fakemicrosoft.InlineManifest().EveryNth(1)},
		"signature ended":                  {fakemicrosoft.ExpiredSAS()},
		"signature ends in between":        {fakemicrosoft.RefusedSAS().At(5)},
		"another version in between":       {fakemicrosoft.RefusedSAS().At(5), fakemicrosoft.ChangedETag().At(2)},
		"blobs in another order":           {fakemicrosoft.ReorderedPage().On(fakemicrosoft.Graph, "/manifests/")},
		"unknown column":                   {fakemicrosoft.UnknownColumn().EveryNth(1)},
		"body of a blob cut":               {fakemicrosoft.CutAt(100).On(fakemicrosoft.Blob, ""), fakemicrosoft.CutAt(30).On(fakemicrosoft.Blob, "").At(4)},
		"blob dropped":                     {fakemicrosoft.Dropped().On(fakemicrosoft.Blob, "").At(3)},
		"blob in small pieces":             {fakemicrosoft.Slow(11, nil).On(fakemicrosoft.Blob, "").EveryNth(9)},
		"graph is busy":                    {fakemicrosoft.TooMany(7).On(fakemicrosoft.Graph, "").EveryNth(3)},
		"graph fails":                      {fakemicrosoft.Failing(504).On(fakemicrosoft.Graph, "").EveryNth(4)},
		"token ends in between":            {fakemicrosoft.ExpiredToken().On(fakemicrosoft.Graph, "").At(4)},
		"the list of invoices is cut":      {fakemicrosoft.CutAt(10).On(fakemicrosoft.API, "invoices")},
		"the body of the operation is cut": {fakemicrosoft.CutAt(10).On(fakemicrosoft.Graph, "operations")},
	}
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, smallPartner(), fakemicrosoft.Options{})
			s.server.Script(faults[name]...)
			s.isAllUsage(s.usage(s.source(), nil))
			if left := s.server.Pending(); len(left) > 0 {
				t.Errorf("faults that never struck: %q", left)
			}
		})
	}
}
