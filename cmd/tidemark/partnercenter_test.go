package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// tenant is a partner of the fake Microsoft side, and a folder with tidemark for it.
type tenant struct {
	t      *testing.T
	dir    string
	now    func() time.Time
	server *fakemicrosoft.Server
	source string          // of the configuration, up to what it is to give: "{kind: partnercenter, …"
	said   strings.Builder // all that tidemark ever printed
}

func newTenant(t *testing.T, p *fakemicrosoft.Partner, o fakemicrosoft.Options) *tenant {
	t.Helper()
	o.Marker = secretMark
	e := &tenant{t: t, dir: t.TempDir(), now: time.Now}
	e.server = fakemicrosoft.NewWith(p, func() time.Time { return e.now() }, o)
	at, err := e.server.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.server.Close(); err != nil {
			t.Error(err)
		}
	})
	e.source = fmt.Sprintf("{kind: partnercenter, tenant: %s, client_id: %s, client_secret: env:TIDEMARK_CLIENT_SECRET, endpoints: {login: %q, api: %q, graph: %q}",
		p.TenantID, fakemicrosoft.DefaultClient, at.Login, at.API, at.Graph)
	e.write("tidemark.yaml", "source: "+e.source+", currencies: [EUR]}\n")
	return e
}

// write puts a file into the folder.
func (e *tenant) write(name, text string) {
	e.t.Helper()
	path := filepath.Join(e.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		e.t.Fatal(err)
	}
}

func (e *tenant) secret() string { return "client-secret" + secretMark }

// tidemark runs a command and returns its exit code and output.
func (e *tenant) tidemark(args ...string) (int, string) {
	e.t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append(args, "--config", filepath.Join(e.dir, "tidemark.yaml"), "-v"), environment{stdout: &out, stderr: &errs, now: e.now,
		getenv: func(name string) string { return map[string]string{"TIDEMARK_CLIENT_SECRET": e.secret()}[name] }})
	e.said.WriteString(out.String() + errs.String())
	return code, out.String() + errs.String()
}

func (e *tenant) must(args ...string) string {
	e.t.Helper()
	code, out := e.tidemark(args...)
	if code != exitDone {
		e.t.Fatalf("tidemark %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// parts are the active files of a table of the archive.
func (e *tenant) parts(table archive.Table) []archive.Part {
	e.t.Helper()
	arc, err := archive.Open(e.t.Context(), archive.NewDir(filepath.Join(e.dir, "archive")), archive.Options{})
	if err != nil {
		e.t.Fatal(err)
	}
	view, err := arc.View(e.t.Context(), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return view.Parts(table)
}

func smallTenant(today time.Time) *fakemicrosoft.Partner {
	return fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 9, Azure: 20, Lines: 2, Days: 40, Today: today})
}

func TestPartnerCenter_FromCheckToMail(t *testing.T) {
	p := smallTenant(time.Now())
	e := newTenant(t, p, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Budget: fakemicrosoft.BudgetOptions{Requests: -1}})
	_, out := e.tidemark("check")
	for _, want := range []string{"sign-in for Partner Center: app-only", "9 on the first page", "PartnerBilling.Read.All", "usage would be read"} {
		if !strings.Contains(out, want) {
			t.Errorf("check lacks %q:\n%s", want, out)
		}
	}
	out = e.must("extract")
	if !strings.Contains(out, "9 customers") || !strings.Contains(out, "--backfill 6") {
		t.Errorf("extract says:\n%s", out)
	}
	if out = e.must("extract"); !strings.Contains(out, "nothing new") {
		t.Errorf("the second extract says:\n%s", out)
	}
	e.must("metrics", "--period", "last-30d")
	e.must("archive", "verify")

	// A customer leaves: for three nights its refusal is told, then no more. A line cannot be read.
	e.server.Update(func(p *fakemicrosoft.Partner) {
		p.Customers[2].Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "20002"}
		p.Usage = withLine{p.Usage, fakemicrosoft.Line{CustomerID: p.Customers[0].ID, BillingCurrency: "euros"}}
	})
	code, out := e.tidemark("extract")
	if code != exitWarnings || !strings.Contains(out, "could not be read") || !strings.Contains(out, "code 20002") || !strings.Contains(out, "usage rows are in quarantine") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	e.write("tidemark.yaml", "source: "+e.source+", currencies: [EUR]}\nrecipients: [{address: ada@partner.example, name: Ada, role: admin_agent}]\n")
	if code, out := e.tidemark("report", "--role", "admin_agent", "--period", "last-30d", "--out", filepath.Join(e.dir, "preview")); code != exitDone && code != exitWarnings {
		t.Errorf("exit %d:\n%s", code, out)
	}

	// Secrets that are refused are told without being named.
	e.server.Expire()
	e.server.Script(fakemicrosoft.NumberCode(400, 2000).On(fakemicrosoft.API, "/v1/customers"))
	if code, out = e.tidemark("extract"); code != exitFailed || !strings.Contains(out, "code 2000") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	e.server.Script(fakemicrosoft.RefusedSAS().Repeated(-1))
	if code, out = e.tidemark("extract"); code != exitFailed || !strings.Contains(out, "run again later") {
		t.Errorf("exit %d:\n%s", code, out)
	}

	// What was read before is kept: the next run asks only for who was refused.
	e.server.ClearScript()
	before := e.server.Count(fakemicrosoft.API)
	if code, out = e.tidemark("extract"); code != exitWarnings || e.server.Count(fakemicrosoft.API) != before+1 {
		t.Errorf("exit %d after %d more requests:\n%s", code, e.server.Count(fakemicrosoft.API)-before, out)
	}
	e.holdsNoSecret()
	if leaks := e.server.Leaks(); len(leaks) > 0 {
		t.Errorf("tokens went where they do not belong: %+v", leaks)
	}
}

// daily is usage of the current month: every Azure subscription, every day up to
// yesterday.
type daily []struct{ customer, entitlement string }

func (d daily) Blobs(f fakemicrosoft.Feed) int {
	if f.Period == "current" && f.Today.Day() > 1 {
		return 1
	}
	return 0
}

func (d daily) Lines(f fakemicrosoft.Feed, _ int) iter.Seq[*fakemicrosoft.Line] {
	return func(yield func(*fakemicrosoft.Line) bool) {
		month := f.Today.Format("2006-01")
		for day := 1; day < f.Today.Day(); day++ {
			for _, u := range d {
				l := fakemicrosoft.Line{CustomerID: u.customer, EntitlementID: u.entitlement, ChargeStartDate: month + "-01T00:00:00Z",
					UsageDate: fmt.Sprintf("%s-%02dT00:00:00Z", month, day), MeterCategory: "Storage", Unit: "1 GB", Quantity: "2", BillingPreTaxTotal: "1.5", BillingCurrency: "EUR"}
				if !yield(&l) {
					return
				}
			}
		}
	}
}

// TestPartnerCenter_HistoryFromSnapshots has a partner change between nights, one
// of them after a gap, and compares the metrics with what happened.
func TestPartnerCenter_HistoryFromSnapshots(t *testing.T) {
	day := func(month time.Month, d int) time.Time { return time.Date(2026, month, d, 2, 30, 0, 0, time.UTC) }
	guid := func(n int) string { return fmt.Sprintf("%08d-1111-4222-8333-444455556666", n) }
	customer := func(n int, plan *fakemicrosoft.Subscription) *fakemicrosoft.Customer {
		return &fakemicrosoft.Customer{ID: guid(n), Name: fmt.Sprintf("Customer %d", n), Relationship: "reseller", Currency: "EUR", Subscriptions: []*fakemicrosoft.Subscription{plan}}
	}
	plan := func(n int, created, ends time.Time, entitlements ...int) *fakemicrosoft.Subscription {
		s := &fakemicrosoft.Subscription{ID: guid(n), OfferID: fakemicrosoft.PlanOffer + ":X", OfferName: "Azure plan", Status: "active", BillingType: "usage", Created: created, CommitmentEnd: ends, AutoRenew: true}
		for _, e := range entitlements {
			s.Entitlements = append(s.Entitlements, &fakemicrosoft.Entitlement{ID: guid(e), FriendlyName: fmt.Sprintf("sub %d", e), Status: "active"})
		}
		return s
	}
	first, second := plan(11, day(time.January, 5), day(time.November, 20), 21, 22), plan(12, day(time.February, 5), day(time.November, 30), 23)
	p := &fakemicrosoft.Partner{TenantID: guid(99), Currencies: []string{"EUR"}, Customers: []*fakemicrosoft.Customer{customer(1, first), customer(2, second)},
		Usage: daily{{guid(1), guid(21)}, {guid(1), guid(22)}, {guid(2), guid(23)}}}
	e := newTenant(t, p, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}})
	night := func(at time.Time, change func(*fakemicrosoft.Partner)) {
		t.Helper()
		e.now = func() time.Time { return at }
		if change != nil {
			e.server.Update(change)
		}
		e.must("extract")
	}
	night(day(time.November, 3), nil)
	night(day(time.November, 4), func(*fakemicrosoft.Partner) { first.Entitlements[1].Status = "suspended" })
	// No night for six days. Then: a new customer, a new subscription of an old one, a renewal, a customer gone.
	night(day(time.November, 10), func(p *fakemicrosoft.Partner) {
		first.Entitlements = append(first.Entitlements, &fakemicrosoft.Entitlement{ID: guid(24), Status: "active"})
		first.CommitmentEnd = day(time.December, 20)
		p.Customers = []*fakemicrosoft.Customer{p.Customers[0], customer(3, plan(13, day(time.March, 5), day(time.December, 31), 25))}
	})
	night(day(time.November, 15), nil)

	var m struct {
		Sold    metricJSON `json:"subscriptions_sold"`
		New     metricJSON `json:"new_customers"`
		Renewed metricJSON `json:"subscriptions_renewed"`
		Counts  struct {
			Active metricJSON `json:"active_at_end"`
			Gone   metricJSON `json:"deprovisioned"`
		} `json:"counts"`
		Churn []struct {
			Date          string `json:"date"`
			Deprovisioned *int   `json:"deprovisioned"`
		} `json:"churn_by_date"`
	}
	_, out := e.tidemark("metrics", "--period", "2026-11-04..2026-11-11", "--format", "json")
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := []int{m.Sold.Value, m.New.Value, m.Renewed.Value, m.Counts.Active.Value, m.Counts.Gone.Value}
	// Sold: 24 and 25, first seen on the 10th. New: customer 3. Renewed: one plan. Active at
	// the end: 21, 24, 25. Gone: 22 suspended on the 4th, 23 missing since the 10th.
	if want := []int{2, 1, 1, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("sold, new, renewed, active, gone = %v, want %v\n%s", got, want, out)
	}
	for _, c := range m.Churn {
		want := map[string]int{"2026-11-04": 1, "2026-11-10": 1}[c.Date]
		if c.Deprovisioned == nil || *c.Deprovisioned != want {
			t.Errorf("%s: deprovisioned %v, want %d", c.Date, c.Deprovisioned, want)
		}
	}
}

func TestUnfinished_IsAWarningThatSaysHowToGoOn(t *testing.T) {
	var errs bytes.Buffer
	a := &app{environment: environment{stderr: &errs}}
	err := a.unfinished(fmt.Errorf("read subscriptions: %w", &data.Unfinished{Err: errors.New("the time allowed is over"), After: time.Hour, Done: "310 of 5000 customers are read"}))
	if exitCode(err) != exitWarnings || !strings.Contains(errs.String(), "310 of 5000 customers are read; run again to go on there") {
		t.Errorf("exit %d: %s", exitCode(err), errs.String())
	}
}

type metricJSON struct {
	Value int `json:"value"`
}
