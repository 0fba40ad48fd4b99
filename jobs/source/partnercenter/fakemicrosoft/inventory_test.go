package fakemicrosoft_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// ids returns the ids of a page's items and the uri and token of the next page.
func ids(t *testing.T, a answer) (ids []string, uri, token string) {
	t.Helper()
	o := a.object(t)
	for _, it := range o["items"].([]any) {
		ids = append(ids, it.(map[string]any)["id"].(string))
	}
	next, ok := o["links"].(map[string]any)["next"].(map[string]any)
	if !ok {
		return ids, "", ""
	}
	h := next["headers"].([]any)[0].(map[string]any)
	if h["key"] != "MS-ContinuationToken" || h["value"] != o["continuationToken"] {
		t.Errorf("next %v", next)
	}
	return ids, next["uri"].(string), h["value"].(string)
}

// allCustomers follows the links, with fixed-up prefixes.
func (f *fixture) allCustomers(tok, size string) (all, uris []string) {
	f.t.Helper()
	url, cont := f.at.API+"/v1/customers?size="+size, ""
	for {
		var h []string
		if cont != "" {
			h = []string{"MS-ContinuationToken", cont}
		}
		page, uri, next := ids(f.t, f.get(url, tok, h...))
		all = append(all, page...)
		if uri == "" {
			return all, uris
		}
		uris = append(uris, uri)
		url, cont = f.at.API+"/v1/"+strings.TrimPrefix(strings.TrimPrefix(uri, "/"), "v1/"), next
	}
}

func TestCustomers_PageByTokenAndMixTheirPrefixes(t *testing.T) {
	f := start(t, nil, Options{})
	all, uris := f.allCustomers(f.token(ResourceAPI), "2")
	if len(all) != 7 {
		t.Fatalf("got %d customers, want 7", len(all))
	}
	for i, c := range f.p.Customers {
		if all[i] != c.ID {
			t.Errorf("customer %d: got %s, want %s", i, all[i], c.ID)
		}
	}
	want := []string{"/customers?size=2&seekOperation=Next", "customers?size=2&seekOperation=Next", "/v1/customers?size=2&seekOperation=Next"}
	if !slices.Equal(uris, want) {
		t.Errorf("got %q, want %q", uris, want)
	}
}

func TestCustomers_CapTheirSizeAndRefuseNonsense(t *testing.T) {
	f := start(t, nil, Options{PageSize: 3})
	tok := f.token(ResourceAPI)
	if got, _ := f.allCustomers(tok, "5000"); len(got) != 7 {
		t.Errorf("got %d customers, want 7", len(got))
	}
	if n := f.Count(API); n != 3 {
		t.Errorf("got %d requests, want 3 pages", n)
	}
	wantStatus(t, f.get(f.at.API+"/v1/customers?size=x", tok), 400, "800002")
	wantStatus(t, f.get(f.at.API+"/v1/customers?size=2&seekOperation=Next", tok), 400, "800002")
}

func TestCustomers_OfAnEmptyPartner(t *testing.T) {
	f := start(t, &Partner{TenantID: "9d0c1f5e-0000-4000-8000-000000000001"}, Options{})
	a := f.get(f.at.API+"/v1/customers?size=40", f.token(ResourceAPI), "MS-RequestId", "r1", "MS-CorrelationId", "c1")
	wantStatus(t, a, 200, `"items":[]`)
	if a.header.Get("MS-RequestId") != "r1" || a.header.Get("MS-CorrelationId") != "c1" || a.header.Get("MS-CV") == "" {
		t.Errorf("headers %v", a.header)
	}
	if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
}

// oneCustomer is a partner whose one customer has a plan, a legacy subscription and licences.
func oneCustomer() *Partner {
	created := time.Date(2024, 3, 11, 8, 15, 0, 0, time.UTC)
	return &Partner{TenantID: "9d0c1f5e-0000-4000-8000-000000000001", Name: "Polder Cloud", Customers: []*Customer{{
		ID: "0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01", Name: "Noordzee \"Logistiek\" <BV>", Domain: "noordzee.example", Relationship: "reseller",
		Subscriptions: []*Subscription{
			{ID: "a21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5", OfferID: PlanOffer + ":DZH318Z0BMTN", Status: "suspended", BillingType: "usage",
				Created: created, SuspensionReasons: []string{"PastDue"}, PartnerID: "5100001",
				Entitlements: []*Entitlement{{ID: "c0ffee00-1111-4222-8333-444455556666", FriendlyName: "nzl-prod", Status: "active"}}},
			{ID: "b21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5", OfferID: LegacyOffer, Status: "active", BillingType: "usage", Created: created,
				EntitlementID: "d0ffee00-1111-4222-8333-444455556666"},
			{ID: "c21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5", OfferID: "CFQ", Status: "active", BillingType: "license", Created: created},
		}}}}
}

func TestSubscriptions_TellPlanLegacyAndLicences(t *testing.T) {
	p := oneCustomer()
	f := start(t, p, Options{})
	tok := f.token(ResourceAPI)
	base := f.at.API + "/v1/customers/0A3F4C1E-5B7D-4F0E-9A11-2C6D8E9F0A01" // ids count without regard to case
	items := f.get(base+"/subscriptions", tok).object(t)["items"].([]any)
	plan, legacy, licence := items[0].(map[string]any), items[1].(map[string]any), items[2].(map[string]any)
	if plan["status"] != "suspended" || plan["creationDate"] != "2024-03-11T08:15:00Z" || plan["partnerId"] != "5100001" ||
		plan["entitlementId"] != nil || plan["suspensionReasons"].([]any)[0] != "PastDue" {
		t.Errorf("plan %v", plan)
	}
	if legacy["entitlementId"] != "d0ffee00-1111-4222-8333-444455556666" || licence["billingType"] != "license" {
		t.Errorf("legacy %v, licence %v", legacy, licence)
	}
	for _, segment := range []string{"azureEntitlements", "azureentitlements"} {
		a := f.get(base+"/subscriptions/a21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5/"+segment, tok)
		e := a.object(t)["items"].([]any)[0].(map[string]any)
		if e["id"] != "c0ffee00-1111-4222-8333-444455556666" || e["subscriptionId"] != "a21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5" ||
			e["friendlyName"] != "nzl-prod" || e["status"] != "active" {
			t.Errorf("entitlement %v", e)
		}
	}
	wantStatus(t, f.get(base+"/subscriptions/c21e0b77-4c10-4d9b-8e35-90f1c2d3e4f5/azureEntitlements", tok), 400, "800011")
	wantStatus(t, f.get(base, tok), 200, `"allowDelegatedAccess":true`)
	wantStatus(t, f.get(base, tok), 200, `"companyName":"Noordzee \"Logistiek\" <BV>"`)
}

func TestErrors_HaveTheirDocumentedCodes(t *testing.T) {
	p := oneCustomer()
	f := start(t, p, Options{})
	tok := f.token(ResourceAPI)
	base := f.at.API + "/v1/customers/"
	id := p.Customers[0].ID
	wantStatus(t, f.get(base+"not-a-guid/subscriptions", tok), 400, `"code":"900118"`)
	wantStatus(t, f.get(base+"ffffffff-5b7d-4f0e-9a11-2c6d8e9f0a01/subscriptions", tok), 404, `"code":"60003"`)
	wantStatus(t, f.get(base+id+"/subscriptions/ffffffff-5b7d-4f0e-9a11-2c6d8e9f0a01/azureEntitlements", tok), 404, `"code":"20003"`)
	wantStatus(t, f.get(base+id+"/nothing", tok), 404, `"code":"1000"`)
	wantStatus(t, f.do(http.MethodPost, base+id, tok, "{}"), 405, "")
	p.Customers[0].Refuse = &Refusal{Status: 403, Code: "20002"}
	wantStatus(t, f.get(base+id+"/subscriptions", tok), 403, `"code":"20002"`)
	p.Customers[0].Refuse, p.Customers[0].Relationship = nil, "none"
	wantStatus(t, f.get(base+id+"/subscriptions", tok), 403, `"code":"20002"`)
}

func TestBudget_ThrottlesInAnotherShapeUntilTheWindowEnds(t *testing.T) {
	f := start(t, oneCustomer(), Options{Budget: BudgetOptions{Requests: 2, Window: 10 * time.Second}})
	tok := f.token(ResourceAPI)
	subs := f.at.API + "/v1/customers/" + f.p.Customers[0].ID + "/subscriptions"
	wantStatus(t, f.get(f.at.API+"/v1/customers", tok), 200, "")
	wantStatus(t, f.get(subs, tok), 200, "")
	f.clock.t = f.clock.t.Add(3500 * time.Millisecond)
	a := f.get(subs, tok)
	wantStatus(t, a, 429, `{"statusCode":429,"message":"Rate limit is exceeded. Try again in 7 seconds."}`)
	if a.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After %q, want 7", a.header.Get("Retry-After"))
	}
	f.clock.t = f.clock.t.Add(7 * time.Second)
	wantStatus(t, f.get(subs, tok), 200, "")
}

func TestUpdate_LetsCustomersComeAndGo(t *testing.T) {
	f := start(t, nil, Options{})
	tok := f.token(ResourceAPI)
	gone := f.p.Customers[0].ID
	f.Update(func(p *Partner) { p.Customers = append(p.Customers[1:], oneCustomer().Customers...) })
	wantStatus(t, f.get(f.at.API+"/v1/customers/"+gone+"/subscriptions", tok), 404, "60003")
	wantStatus(t, f.get(f.at.API+"/v1/customers/0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01/subscriptions", tok), 200, "a21e0b77")
	if all, _ := f.allCustomers(tok, "3"); len(all) != 7 || all[0] == gone {
		t.Errorf("got %q", all)
	}
}

func TestInvoices_NameTheBilledMonths(t *testing.T) {
	f := start(t, nil, Options{})
	it := first(f.get(f.at.API+"/v1/invoices", f.token(ResourceAPI)).object(t))
	if it["id"] != f.p.Invoices[0].ID || it["currencyCode"] != "EUR" || it["billingPeriodStartDate"] != "2026-01-01T00:00:00Z" {
		t.Errorf("got %v", it)
	}
}
