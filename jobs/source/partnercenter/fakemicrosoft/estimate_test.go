package fakemicrosoft_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestUsageRecords_AreForUsersAndDifferByOffer(t *testing.T) {
	p := oneCustomer()
	id, plan, legacy := p.Customers[0].ID, p.Customers[0].Subscriptions[0].ID, p.Customers[0].Subscriptions[1].ID
	line := Line{CustomerID: id, SubscriptionID: plan, MeterID: "m1", MeterName: "D2 v3", MeterCategory: "Virtual Machines", Unit: "1 Hour",
		ResourceURI: "/subscriptions/c0ffee00/x/Web01", Quantity: "23.5", BillingPreTaxTotal: "1.84", PricingPreTaxTotal: "1.9999999999", BillingCurrency: "EUR"}
	p.Currencies, p.Customers[0].Currency = []string{"EUR"}, "EUR"
	p.Usage = Fixed{{Currency: "EUR", Period: "current"}: {line, line}}
	f := start(t, p, Options{})
	app, user := f.token(ResourceAPI), f.userToken(ResourceAPI)
	base := f.at.API + "/v1/customers/" + id
	for _, path := range []string{"/usagesummary", "/customers/usagerecords"} {
		wantStatus(t, f.get(f.at.API+"/v1"+path, app), 403, "900150")
	}
	all := f.get(f.at.API+"/v1/customers/usagerecords", user).object(t)["items"].([]any)[0].(map[string]any)
	if all["totalCost"] != json.Number("3.68") || all["usdTotalCost"] != json.Number("3.9999999998") || all["currencyCode"] != "EUR" ||
		all["isUpgraded"] != true || all["resourceId"] != id || all["id"] != id {
		t.Errorf("customer %v", all)
	}
	subs := f.get(base+"/subscriptions/usagerecords", user).object(t)["items"].([]any)
	one, two := subs[0].(map[string]any), subs[1].(map[string]any)
	if len(subs) != 2 || one["currencyCode"] != "EUR" || one["currencyLocale"] != nil || two["currencyLocale"] != "fr-FR" || two["currencyCode"] != nil {
		t.Errorf("subscriptions %v", subs)
	}
	m := first(f.get(base+"/subscriptions/"+plan+"/meterusagerecords", user).object(t))
	if m["quantityUsed"] != json.Number("47") || m["category"] != "Virtual Machines" || m["unit"] != "1 Hour" {
		t.Errorf("meter %v", m)
	}
	r := first(f.get(base+"/subscriptions/"+plan+"/resourceusagerecords", user).object(t))
	if r["resourceUri"] != line.ResourceURI || r["name"] != "Web01" {
		t.Errorf("resource %v", r)
	}
	s := f.get(base+"/subscriptions/"+plan+"/usagesummary", user).object(t)
	if s["billingStartDate"] != "2026-02-01T00:00:00+00:00" || s["billingEndDate"] != "2026-02-28T23:59:59+00:00" {
		t.Errorf("plan's period %v", s)
	}
	s = f.get(base+"/subscriptions/"+legacy+"/usagesummary", user).object(t)
	if s["billingStartDate"] != "2026-01-11T00:00:00-07:00" {
		t.Errorf("legacy period %v", s)
	}
	wantStatus(t, f.get(base+"/subscriptions/"+legacy+"/usagerecords/resources", app), 200, "120.5682999999995904716")
	wantStatus(t, f.get(base+"/subscriptions/"+plan+"/usagerecords/resources", app), 400, "800011")
	wantStatus(t, f.get(base+"/usagesummary", user), 200, "CustomerUsageSummary")
	wantStatus(t, f.get(f.at.API+"/v1/usagesummary", user), 200, `"customersWithUsageBasedSubscription":0`)
}

func TestUtilizations_PageByTokenOnly(t *testing.T) {
	p := oneCustomer()
	f := start(t, p, Options{Usage: UsageOptions{NotReady: 1}})
	tok := f.token(ResourceAPI)
	base := f.at.API + "/v1/customers/" + p.Customers[0].ID + "/subscriptions/"
	url := base + p.Customers[0].Subscriptions[1].ID + "/utilizations/azure"
	query := "?start_time=2026-02-03T00:00:00Z&end_time=2026-02-06T00:00:00Z&granularity=Daily&show_details=true&size=4"
	a := f.get(url+query, tok)
	if a.status != 204 || a.header.Get("Retry-After") != "30" || a.body != "" {
		t.Fatalf("not ready: %d %v %q", a.status, a.header, a.body)
	}
	o := f.get(url+query, tok).object(t)
	items := o["items"].([]any)
	next := o["links"].(map[string]any)["next"].(map[string]any)
	if len(items) != 4 || o["totalCount"] != json.Number("4") || !strings.HasSuffix(next["uri"].(string), "/utilizations/azure?seek_operation=Next") {
		t.Fatalf("page %v", o)
	}
	if it := items[0].(map[string]any); it["usageStartTime"] != "2026-02-02T00:00:00+00:00" || it["instanceData"] == nil {
		t.Errorf("first %v", it)
	}
	seek := []string{"MS-ContinuationToken", o["continuationToken"].(string)}
	f.Script(NoContentUntil(15 * time.Minute))
	a = f.get(url+"?seek_operation=Next", tok, seek...)
	if a.status != 204 || a.header.Get("Retry-After") != "Tue, 10 Feb 2026 06:15:00 GMT" {
		t.Errorf("in mid-paging: %d %v", a.status, a.header)
	}
	o = f.get(url+"?seek_operation=Next", tok, seek...).object(t)
	if len(o["items"].([]any)) != 2 || o["links"].(map[string]any)["next"] != nil {
		t.Errorf("last page %v", o)
	}
	wantStatus(t, f.get(url+"?start_time=x", tok), 400, "800002")
	wantStatus(t, f.get(base+p.Customers[0].Subscriptions[0].ID+"/utilizations/azure"+query, tok), 400, "800011")
	hourly := strings.ReplaceAll(query, "Daily&show_details=true&size=4", "hourly&show_details=false")
	o = f.get(url+hourly, tok).object(t)
	if n := len(o["items"].([]any)); n != 144 || first(o)["instanceData"] != nil {
		t.Errorf("hourly: %d records, %v", n, first(o))
	}
}

func ExampleNewPartner() {
	p := NewPartner(1, Size{Customers: 2, Days: 3, Today: time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)})
	n := 0
	feed := Feed{Currency: "EUR", Period: "current", Today: time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)}
	for blob := range p.Usage.Blobs(feed) {
		for range p.Usage.Lines(feed, blob) {
			n++
		}
	}
	fmt.Println(p.Customers[0].Name, len(p.Customers[0].Subscriptions), n > 0)
	// Output: Noordzee Logistiek 2 true
}
