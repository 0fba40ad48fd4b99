package fakemicrosoft_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// analytics asks the analytics API as a user.
func (f *fixture) analytics(tok, path string, query ...string) map[string]any {
	f.t.Helper()
	v := url.Values{}
	for i := 0; i < len(query); i += 2 {
		v.Set(query[i], query[i+1])
	}
	a := f.get(f.at.API+"/partner/v1/analytics/"+path+"?"+v.Encode(), tok)
	wantStatus(f.t, a, 200, `"@nextLink"`)
	return a.object(f.t)
}

func analyticsPartner() *Partner {
	p := oneCustomer()
	p.Currencies = []string{"EUR"}
	line := func(day, category, quantity string) Line {
		return Line{CustomerID: p.Customers[0].ID, CustomerName: "Noordzee", EntitlementID: "c0ffee00-1111-4222-8333-444455556666",
			UsageDate: day + "T00:00:00Z", MeterCategory: category, Unit: "1 GB", Quantity: quantity}
	}
	p.Usage = Fixed{
		{Currency: "EUR", Period: "last"}:    {line("2026-01-30", "Storage", "4.9")},
		{Currency: "EUR", Period: "current"}: {line("2026-02-02", "Storage", "10.2"), line("2026-02-03", "Storage", "1"), line("2026-02-03", "Bandwidth", "7")},
	}
	return p
}

func TestAnalytics_IsForUsersAndWritesItsOwnWay(t *testing.T) {
	f := start(t, analyticsPartner(), Options{})
	wantStatus(t, f.get(f.at.API+"/partner/v1/analytics/subscriptions", f.token(ResourceAPI)), 403, "900150")
	tok := f.userToken(ResourceAPI)
	row := f.analytics(tok, "usage/azure")["Value"].([]any)[0].(map[string]any)
	if row["customerTenantId"] != "0A3F4C1E-5B7D-4F0E-9A11-2C6D8E9F0A01" || row["usageDate"] != "2026-01-30T00:00:00" ||
		row["quantity"] != json.Number("4") || row["meterSubcategory"] != "None" {
		t.Errorf("usage %v", row)
	}
	row = f.analytics(tok, "subscriptions")["Value"].([]any)[0].(map[string]any)
	if row["status"] != "ACTIVE" || row["subscriptionType"] != "Azure" || row["lastUsageDate"] != "2026-02-03T00:00:00" ||
		row["creationDate"] != "2024-03-11T08:15:00" || row["id"] != "C0FFEE00-1111-4222-8333-444455556666" || row["commitmentEndDate"] != nil {
		t.Errorf("subscription %v", row)
	}
}

func TestAnalytics_GroupsFiltersAndPages(t *testing.T) {
	f := start(t, analyticsPartner(), Options{})
	tok := f.userToken(ResourceAPI)
	o := f.analytics(tok, "usage/azure", "groupby", "customerTenantId,meterCategory", "filter", "meterCategory eq 'Storage'")
	row := o["Value"].([]any)[0].(map[string]any)
	if o["TotalCount"] != json.Number("1") || row["quantity"] != json.Number("15") || len(row) != 3 {
		t.Errorf("grouped %v", o)
	}
	o = f.analytics(tok, "usage/azure", "groupby", "usageDate", "aggregationLevel", "month", "orderby", "quantity desc")
	row = o["Value"].([]any)[0].(map[string]any)
	if row["usageDate"] != "2026-02-01T00:00:00" || row["quantity"] != json.Number("18") {
		t.Errorf("by month %v", o)
	}
	o = f.analytics(tok, "usage/azure", "filter", "usageDate le cast('2026-02-02', Edm.DateTimeOffset) and meterCategory ne 'x' or quantity eq 7")
	if o["TotalCount"] != json.Number("3") {
		t.Errorf("filtered %v", o)
	}
	o = f.analytics(tok, "subscriptions", "groupBy", "subscriptionType", "filter", "contains(customerName,'noord') and autoRenewEnabled eq false")
	row = o["Value"].([]any)[0].(map[string]any)
	if row["subscriptionCount"] != "2" {
		t.Errorf("counts %v", o)
	}
	o = f.analytics(tok, "usage/azure", "top", "3")
	next, _ := o["@nextLink"].(string)
	if len(o["Value"].([]any)) != 3 || !strings.HasPrefix(next, f.at.API+"/partner/v1/analytics/usage/azure?") {
		t.Fatalf("first page %v", o)
	}
	o = f.get(next, tok).object(t)
	if len(o["Value"].([]any)) != 1 || o["@nextLink"] != nil || o["TotalCount"] != json.Number("4") {
		t.Errorf("last page %v", o)
	}
	for _, bad := range []string{"meterCategory", "a xx 'b'", "a eq 'b' junk", "(a eq 'b'"} {
		wantStatus(t, f.get(f.at.API+"/partner/v1/analytics/usage/azure?filter="+url.QueryEscape(bad), tok), 400, "3000")
	}
}
