package fakemicrosoft_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const (
	unbilled = "/v1.0/reports/partners/billing/usage/unbilled/export"
	billed   = "/v1.0/reports/partners/billing/usage/billed/export"
	current  = `{"currencyCode":"EUR","billingPeriod":"current","attributeSet":"full"}`
)

// export starts an export and polls until it is not running.
func (f *fixture) export(tok, path, body string) (o map[string]any, polls int) {
	f.t.Helper()
	a := f.do(http.MethodPost, f.at.Graph+path, tok, body)
	if a.status != 202 || !strings.HasPrefix(a.header.Get("Location"), f.at.Graph+"/v1.0/reports/partners/billing/operations/") {
		f.t.Fatalf("export: %d %s %v", a.status, a.body, a.header)
	}
	for {
		poll := f.get(a.header.Get("Location"), tok)
		polls++
		o = poll.object(f.t)
		if poll.status != 200 {
			f.t.Fatalf("poll: %d %s", poll.status, poll.body)
		}
		if o["status"] != "running" && o["status"] != "notStarted" {
			return o, polls
		}
		if poll.header.Get("Retry-After") == "" || o["@odata.type"] != "#microsoft.graph.partners.billing.runningOperation" {
			f.t.Fatalf("running: %v %s", poll.header, poll.body)
		}
	}
}

// manifest reads the manifest of an export that is done.
func (f *fixture) manifest(tok string, op map[string]any) map[string]any {
	f.t.Helper()
	link, ok := op["resourceLocation@odata.navigationLink"].(string)
	if !ok {
		f.t.Fatalf("operation %v", op)
	}
	return f.get(link, tok).object(f.t)
}

func blobURLs(m map[string]any) []string {
	var urls []string
	for _, b := range m["blobs"].([]any) {
		urls = append(urls, fmt.Sprintf("%s/%s?%s", m["rootDirectory"], b.(map[string]any)["name"], m["sasToken"]))
	}
	return urls
}

func TestExport_GoesFromPostToLines(t *testing.T) {
	f := start(t, nil, Options{Export: ExportOptions{Polls: 2}})
	tok := f.token(ResourceGraph)
	op, polls := f.export(tok, unbilled, current)
	if polls != 3 || op["status"] != "succeeded" || op["@odata.type"] != "#microsoft.graph.partners.billing.exportSuccessOperation" {
		t.Fatalf("after %d polls: %v", polls, op)
	}
	if op["createdDateTime"] != "2026-02-10T06:00:00" {
		t.Errorf("createdDateTime %v, want no Z", op["createdDateTime"])
	}
	m := f.manifest(tok, op)
	if m["schemaVersion"] != "1" || m["partitionType"] != "Default" || m["blobCount"] != json.Number("9") || m["eTag"] == "" {
		t.Errorf("manifest %v", m)
	}
	seen := map[string]int{}
	for _, u := range blobURLs(m) {
		a := f.get(u, "")
		wantStatus(t, a, 200, "")
		for _, l := range lines(t, a.body) {
			seen[l["UsageDate"].(string)]++
			if l["InvoiceNumber"] != "" || l["BillingCurrency"] != "EUR" || l["PartnerId"] != f.p.TenantID {
				t.Fatalf("line %v", l)
			}
		}
	}
	if len(seen) != 9 || seen["2026-02-01T00:00:00Z"] == 0 || seen["2026-02-09T00:00:00Z"] == 0 {
		t.Errorf("days %v, want 1 to 9 February", seen)
	}
	if len(f.Leaks()) != 0 {
		t.Errorf("leaks %v", f.Leaks())
	}
}

func TestExport_KnowsPeriodsInvoicesAndAttributeSets(t *testing.T) {
	p := NewPartner(2, Size{Customers: 5, Days: 70, Currencies: []string{"EUR", "USD"}, Today: time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)})
	f := start(t, p, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	if len(p.Invoices) != 4 { // December and January, two currencies
		t.Fatalf("invoices %v", p.Invoices)
	}
	read := func(path, body string) map[string]any {
		op, _ := f.export(tok, path, body)
		return lines(t, f.get(blobURLs(f.manifest(tok, op))[0], "").body)[0]
	}
	if l := read(unbilled, `{"currencyCode":"USD","billingPeriod":"last"}`); l["UsageDate"] != "2026-01-01T00:00:00Z" ||
		l["BillingCurrency"] != "USD" || l["MeterCategory"] == nil {
		t.Errorf("last %v", l)
	}
	inv := p.Invoices[1]
	l := read(billed, `{"invoiceId":"`+inv.ID+`","attributeSet":"basic"}`)
	if l["InvoiceNumber"] != inv.ID || l["BillingCurrency"] != inv.Currency || !strings.HasPrefix(l["UsageDate"].(string), "2025-12") {
		t.Errorf("billed %v", l)
	}
	if _, has := l["MeterCategory"]; has || l["EntitlementId"] == nil {
		t.Errorf("basic %v", l)
	}
	op, _ := f.export(tok, unbilled, `{"currencyCode":"GBP","billingPeriod":"current"}`)
	e, _ := op["error"].(map[string]any)
	if op["status"] != "failed" || e["code"] != "5000" || e["message"] != "No data available" {
		t.Errorf("empty period: %v", op)
	}
	for _, bad := range []string{"", "{}", `{"currencyCode":"EUR","billingPeriod":"previous"}`, `{"currencyCode":"EUR","billingPeriod":"last","attributeSet":"x"}`} {
		wantStatus(t, f.do(http.MethodPost, f.at.Graph+unbilled, tok, bad), 400, "badRequest")
	}
	wantStatus(t, f.get(f.at.Graph+"/v1.0/reports/partners/billing/operations/x", tok), 404, "itemNotFound")
}

func TestLines_AreTheTruthAndRoundDown(t *testing.T) {
	f := start(t, nil, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	op, _ := f.export(tok, unbilled, current)
	got := lines(t, f.get(blobURLs(f.manifest(tok, op))[0], "").body)
	feed := Feed{Currency: "EUR", Period: "current", Version: 1, Today: f.clock.t}
	i := 0
	for want := range f.p.Usage.Lines(feed, 0) {
		l := got[i]
		if l["EntitlementId"] != want.EntitlementID || l["Quantity"] != json.Number(want.Quantity) ||
			l["BillingPreTaxTotal"] != json.Number(want.BillingPreTaxTotal) || l["CustomerName"] != want.CustomerName {
			t.Fatalf("line %d: got %v, want %+v", i, l, want)
		}
		var q, price, rate, total float64
		for s, v := range map[string]*float64{want.Quantity: &q, want.EffectiveUnitPrice: &price, want.PCToBCExchangeRate: &rate, want.BillingPreTaxTotal: &total} {
			if _, err := fmt.Sscan(s, v); err != nil {
				t.Fatal(err)
			}
		}
		if exact := q * price * rate; total > exact+1e-9 || total < exact-0.0101 {
			t.Fatalf("line %d: total %v is not %v rounded down", i, total, exact)
		}
		i++
	}
	if i != len(got) || i == 0 {
		t.Errorf("got %d lines, want %d", len(got), i)
	}
}

func TestLines_OfAFixedFeed(t *testing.T) {
	p := oneCustomer()
	hostile := "a\"b\\c\nd\x01é<日本>\u202e"
	p.Usage = Fixed{{Currency: "EUR", Period: "current"}: {{CustomerName: hostile, Quantity: "120.5682999999995904716", Tags: `{"a":"b"}`}}}
	f := start(t, p, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	op, _ := f.export(tok, unbilled, current)
	l := lines(t, f.get(blobURLs(f.manifest(tok, op))[0], "").body)[0]
	if l["CustomerName"] != hostile || l["Quantity"] != json.Number("120.5682999999995904716") || l["Tags"] != `{"a":"b"}` || l["UnitPrice"] != nil {
		t.Errorf("got %v", l)
	}
}

func TestBlobs_WantALiveSignatureOfTheirDirectory(t *testing.T) {
	f := start(t, nil, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	op, _ := f.export(tok, unbilled, current)
	m := f.manifest(tok, op)
	u := blobURLs(m)[0]
	plain, _, _ := strings.Cut(u, "?")
	wantStatus(t, f.get(plain, ""), 403, "AuthenticationFailed")
	wantStatus(t, f.get(strings.Replace(u, "se=2026", "se=2027", 1), ""), 403, "AuthenticationFailed")
	wantStatus(t, f.get(strings.Replace(u, "part-00000", "part-99999", 1), ""), 404, "BlobNotFound")
	other, _ := f.export(tok, unbilled, `{"currencyCode":"EUR","billingPeriod":"last"}`)
	theirs, _, _ := strings.Cut(blobURLs(f.manifest(tok, other))[0], "?")
	wantStatus(t, f.get(theirs+"?"+m["sasToken"].(string), ""), 403, "AuthorizationFailure")
	f.clock.t = f.clock.t.Add(13 * time.Hour)
	wantStatus(t, f.get(u, ""), 403, "Signature not valid in the specified time frame")
	wantStatus(t, f.get(blobURLs(f.manifest(f.token(ResourceGraph), op))[0], ""), 200, "") // read again, signed again
}

func TestExportFaults(t *testing.T) {
	f := start(t, nil, Options{Export: ExportOptions{Polls: -1}})
	tok := f.token(ResourceGraph)
	f.Script(OperationFailed(), Running(4), Completed(), InlineManifest())
	if op, _ := f.export(tok, unbilled, current); op["status"] != "failed" {
		t.Errorf("operation-failed: %v", op)
	}
	if op, polls := f.export(tok, unbilled, current); polls != 5 || op["status"] != "succeeded" {
		t.Errorf("running: %d polls, %v", polls, op)
	}
	if op, _ := f.export(tok, unbilled, current); op["status"] != "completed" {
		t.Errorf("completed: %v", op)
	}
	op, _ := f.export(tok, unbilled, current)
	m, ok := op["resourceLocation"].(map[string]any)
	if !ok || op["resourceLocation@odata.navigationLink"] != nil {
		t.Fatalf("inline-manifest: %v", op)
	}
	wantStatus(t, f.get(blobURLs(m)[0], ""), 200, "")

	op, _ = f.export(tok, unbilled, current)
	before := f.manifest(tok, op)
	f.Script(ChangedETag())
	after := f.manifest(tok, op)
	if before["eTag"] == after["eTag"] || before["rootDirectory"] == after["rootDirectory"] {
		t.Errorf("changed-etag: %v, then %v", before["eTag"], after["eTag"])
	}
	wantStatus(t, f.get(blobURLs(before)[0], ""), 200, "")
	wantStatus(t, f.get(blobURLs(after)[0], ""), 200, "")
	f.Script(ExpiredSAS())
	wantStatus(t, f.get(blobURLs(f.manifest(tok, op))[0], ""), 403, "Signature not valid")
	f.Script(RefusedSAS(), UnknownColumn(), MissingColumn("EntitlementId"), CutAt(200).On(Blob, ""))
	wantStatus(t, f.get(blobURLs(after)[0], ""), 403, "AuthenticationFailed")
	if l := lines(t, f.get(blobURLs(after)[0], "").body)[0]; l["SomethingNew"] == nil {
		t.Errorf("unknown-column: %v", l)
	}
	if l := lines(t, f.get(blobURLs(after)[0], "").body)[0]; l["EntitlementId"] != nil || l["CustomerId"] == nil {
		t.Errorf("missing-column: %v", l)
	}
	if a := f.get(blobURLs(after)[0], ""); len(a.body) != 200 || a.err == nil {
		t.Errorf("cut: got %d bytes and %v", len(a.body), a.err)
	}
}
