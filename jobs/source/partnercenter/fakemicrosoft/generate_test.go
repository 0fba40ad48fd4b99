package fakemicrosoft_test

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestNewPartner_IsTheSameForTheSameSeed(t *testing.T) {
	size := Size{Customers: 30, Azure: 75, Days: 40, Today: today}
	a, b, c := NewPartner(5, size), NewPartner(5, size), NewPartner(6, size)
	if !reflect.DeepEqual(a.Customers, b.Customers) || a.TenantID == c.TenantID {
		t.Error("the seed does not decide")
	}
	sums := func(p *Partner) string {
		var s strings.Builder
		feed := Feed{Currency: "EUR", Period: "current", Today: today}
		for blob := range p.Usage.Blobs(feed) {
			for l := range p.Usage.Lines(feed, blob) {
				s.WriteString(l.EntitlementID + l.UsageDate + l.Quantity + l.BillingPreTaxTotal)
			}
		}
		return s.String()
	}
	if x := sums(a); x != sums(b) || x == "" {
		t.Error("the usage is not the same")
	}
}

func TestNewPartner_HoldsWhatExtractionsMeet(t *testing.T) {
	p := NewPartner(5, Size{Customers: 40, Azure: 95, Days: 40, Today: today})
	id := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	n, seen, names := 0, map[string]int{}, ""
	for _, c := range p.Customers {
		names += c.Name
		if !id.MatchString(c.ID) {
			t.Errorf("customer id %s", c.ID)
		}
		for _, s := range c.Subscriptions {
			seen[s.BillingType]++
			seen[s.Status]++
			seen[fmt.Sprint("legacy ", s.Legacy())]++
			n += len(s.Entitlements)
			for _, e := range s.Entitlements {
				seen["entitlement "+e.Status]++
				if !id.MatchString(e.ID) {
					t.Errorf("entitlement id %s", e.ID)
				}
			}
		}
	}
	if n != 95 {
		t.Errorf("got %d Azure subscriptions, want 95", n)
	}
	for _, k := range []string{"usage", "license", "active", "suspended", "deleted", "legacy true", "entitlement active", "entitlement disabled"} {
		if seen[k] == 0 {
			t.Errorf("no %s in %v", k, seen)
		}
	}
	for _, part := range []string{`"`, "<script>", "=cmd|", "\n", "\u202e", "日本"} {
		if !strings.Contains(names, part) {
			t.Errorf("no %q in a name", part)
		}
	}
}
