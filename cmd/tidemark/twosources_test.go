package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data/archive"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// usageInFiles is a configuration whose usage comes from files; inventory is its
// source of inventory, if any.
func usageInFiles(inventory, exclude string) string {
	config := "sources:\n  usage: {kind: tables, path: ./in, exclude: [" + exclude + "]}\n"
	if inventory != "" {
		config += "  inventory: " + inventory + "\n"
	}
	return config
}

// useUntil writes usage of subscriptions for so many days up to yesterday.
func (e *tenant) useUntil(days int, of ...[2]string) {
	e.t.Helper()
	text := "usage_date,customer_id,subscription_id,category,quantity,cost,currency\n"
	for day := days; day > 0; day-- {
		for _, u := range of {
			text += fmt.Sprintf("%s,%s,%s,Storage,1,2.5,EUR\n", e.now().UTC().AddDate(0, 0, -day).Format(time.DateOnly), u[0], u[1])
		}
	}
	e.write("in/usage.csv", text)
}

// firstOf is a customer's first Azure subscription.
func firstOf(c *fakemicrosoft.Customer) [2]string {
	for _, s := range c.Subscriptions {
		for _, e := range s.Entitlements {
			return [2]string{c.ID, e.ID}
		}
	}
	return [2]string{c.ID, ""}
}

// quick is a fake side without waiting.
var quick = fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Budget: fakemicrosoft.BudgetOptions{Requests: -1}}

// TestTwoSources_AnExcludedCustomerWhoRefuses names the customer beside the usage
// alone: the inventory's source leaves it out, too.
func TestTwoSources_AnExcludedCustomerWhoRefuses(t *testing.T) {
	p := smallTenant(time.Now())
	e := newTenant(t, p, quick)
	gone := p.Customers[2]
	gone.Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "20002"}
	e.useUntil(40, firstOf(p.Customers[0]))
	e.write("tidemark.yaml", usageInFiles(e.source+"}", strings.ToUpper(gone.ID)))
	e.must("extract")
	parts := e.parts(archive.Subscriptions)
	if c := parts[len(parts)-1].Coverage; c.Expected != 8 || c.Read != 8 || c.Failed != 0 {
		t.Errorf("coverage %+v", c)
	}
	for _, r := range e.server.Requests() {
		if strings.Contains(strings.ToLower(r.Path), strings.ToLower(gone.ID)) {
			t.Errorf("asked for %s", r.Path)
		}
	}
	if code, out := e.tidemark("check"); code == exitUsage || strings.Contains(out, "problem") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
}

// TestTwoSources_CheckAsksForNoPermissionThatNobodyNeeds has usage in files: the app
// needs none of Graph's.
func TestTwoSources_CheckAsksForNoPermissionThatNobodyNeeds(t *testing.T) {
	o := quick
	o.DenyGraph = true
	p := smallTenant(time.Now())
	for _, c := range p.Customers[:6] {
		c.Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "20002"} // they have left
	}
	e := newTenant(t, p, o)
	e.useUntil(40, firstOf(p.Customers[7]))
	e.write("tidemark.yaml", usageInFiles(e.source+"}", ""))
	code, out := e.tidemark("check")
	if code == exitUsage || strings.Contains(out, "PartnerBilling") || strings.Contains(out, "problem") || !strings.Contains(out, "Azure subscriptions of the first customer") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, out := e.tidemark("extract"); code != exitWarnings || !strings.Contains(out, "9 customers") {
		t.Errorf("extract: exit %d\n%s", code, out)
	}
	e.write("tidemark.yaml", "source: "+e.source+", currencies: [EUR]}\n")
	if code, out := e.tidemark("check"); code != exitUsage || !strings.Contains(out, "PartnerBilling.Read.All") {
		t.Errorf("with usage of Graph: exit %d\n%s", code, out)
	}
}

// TestTwoSources_AnInventoryThatIsAddedLater begins with usage alone: what idled when
// the inventory was added is neither sold nor a new customer's, what comes then is.
func TestTwoSources_AnInventoryThatIsAddedLater(t *testing.T) {
	at := time.Date(2026, time.November, 10, 2, 30, 0, 0, time.UTC)
	p := smallTenant(at)
	for _, c := range p.Customers {
		for _, s := range c.Subscriptions {
			s.Created = at.AddDate(-1, 0, 0)
		}
	}
	e := newTenant(t, p, quick)
	e.now = func() time.Time { return at }
	night := func(days int) {
		t.Helper()
		at = at.AddDate(0, 0, days)
		e.useUntil(60, firstOf(p.Customers[0]), firstOf(p.Customers[1]))
		e.must("extract")
	}
	e.write("tidemark.yaml", usageInFiles("", ""))
	night(0)
	e.write("tidemark.yaml", usageInFiles(e.source+"}", ""))
	night(1)
	e.server.Update(func(p *fakemicrosoft.Partner) {
		plan := *p.Customers[3].Subscriptions[0]
		plan.ID, plan.OfferID, plan.Entitlements = "00000013-1111-4222-8333-444455556666", fakemicrosoft.PlanOffer+":X", []*fakemicrosoft.Entitlement{{ID: "00000023-1111-4222-8333-444455556666", Status: "active"}}
		p.Customers = append(p.Customers, &fakemicrosoft.Customer{ID: "00000003-1111-4222-8333-444455556666", Name: "New", Relationship: "reseller", Currency: "EUR", Subscriptions: []*fakemicrosoft.Subscription{&plan}})
	})
	night(1)
	var m struct {
		Sold metricJSON `json:"subscriptions_sold"`
		New  metricJSON `json:"new_customers"`
	}
	_, out := e.tidemark("metrics", "--period", "2026-11-05..2026-11-12", "--format", "json")
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := []int{m.Sold.Value, m.New.Value}; !slices.Equal(got, []int{1, 1}) {
		t.Errorf("sold and new = %v, want one of each\n%s", got, out)
	}
}

// TestPartnerCenter_LostRightsAreToldEveryNight has the partner's agreement end, one
// customer having left: no night is quiet about it.
func TestPartnerCenter_LostRightsAreToldEveryNight(t *testing.T) {
	at := time.Date(2026, time.November, 10, 2, 30, 0, 0, time.UTC)
	p := smallTenant(at)
	e := newTenant(t, p, quick)
	e.now = func() time.Time { return at }
	e.must("extract")
	snapshots := len(e.parts(archive.Subscriptions))
	e.server.Update(func(p *fakemicrosoft.Partner) {
		for i, c := range p.Customers {
			c.Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "900124"}
			if i == 4 {
				c.Refuse.Code = "20002"
			}
		}
	})
	for night := range 5 {
		at = at.AddDate(0, 0, 1)
		code, out := e.tidemark("extract")
		if code != exitFailed || !strings.Contains(out, "the Microsoft Partner Agreement is not accepted: accept it in Partner Center") {
			t.Errorf("night %d: exit %d\n%s", night, code, out)
		}
	}
	if code, out := e.tidemark("check"); code != exitUsage || !strings.Contains(out, "Partner Agreement") {
		t.Errorf("check: exit %d\n%s", code, out)
	}
	if n := len(e.parts(archive.Subscriptions)); n != snapshots {
		t.Errorf("%d snapshots more", n-snapshots)
	}
}
