package partnercenter

import (
	"slices"
	"strings"
	"testing"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// both is a source of inventory and of usage.
var both = Probing{Inventory: true, Usage: true}

// probe returns what works, and what does not: problems, and warnings as such.
func (s *side) probe(p Probing) (ok, told []string) {
	s.t.Helper()
	p.OK = func(f string) { ok = append(ok, f) }
	p.Warn = func(w string) { told = append(told, "warning: "+w) }
	p.Problem = func(err error) { told = append(told, "problem: "+err.Error()) }
	s.source().Probe(s.t.Context(), p)
	return ok, told
}

func TestProbe_StartsNothing(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	ok, told := s.probe(both)
	if len(told) > 0 || len(ok) != 7 {
		t.Errorf("ok %q, told %q", ok, told)
	}
	for _, r := range s.server.Requests() {
		if r.Host != fakemicrosoft.Login && r.Method != "GET" {
			t.Errorf("%s %s: a check starts nothing", r.Method, r.Path)
		}
	}
}

// TestProbe_AsksForWhatIsNeeded takes permissions away that the source needs, or
// does not need, for what it is to give.
func TestProbe_AsksForWhatIsNeeded(t *testing.T) {
	noGraph, noAPI := fakemicrosoft.Options{DenyGraph: true}, fakemicrosoft.Options{DenyAPI: true}
	inventory, usage := Probing{Inventory: true}, Probing{Usage: true}
	for name, test := range map[string]struct {
		options    fakemicrosoft.Options
		of         Probing
		currencies []string
		want       []string // beginnings of what is told, in order
	}{
		"no permission for billing":                       {noGraph, both, []string{"EUR"}, []string{"problem: permission for billing exports: "}},
		"no permission for billing, usage only":           {noGraph, usage, []string{"EUR"}, []string{"problem: permission for billing exports: "}},
		"no permission for billing, usage from elsewhere": {noGraph, inventory, nil, nil},
		"the same, with currencies that nobody needs":     {noGraph, inventory, []string{"EUR"}, nil},
		"no permission for billing, no currencies":        {noGraph, both, nil, nil},
		"no right in Partner Center":                      {noAPI, both, []string{"EUR"}, []string{"problem: customers: ", "warning: invoices cannot be listed"}},
		"no right in Partner Center, inventory only":      {noAPI, inventory, nil, []string{"problem: customers: "}},
		"no right in Partner Center, usage only":          {noAPI, usage, []string{"EUR"}, []string{"warning: invoices cannot be listed"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, smallPartner(), test.options)
			s.options.Currencies = test.currencies
			_, told := s.probe(test.of)
			if !slices.EqualFunc(told, test.want, strings.HasPrefix) {
				t.Errorf("told %q, want %q", told, test.want)
			}
			if test.of.Usage && test.currencies != nil {
				return
			}
			for _, r := range s.server.Requests() {
				if r.Host == fakemicrosoft.Graph {
					t.Errorf("asked Graph for %s", r.Path)
				}
			}
		})
	}
}

// TestProbe_CustomersWhoRefuse tells as a problem only what an extraction would fail of.
func TestProbe_CustomersWhoRefuse(t *testing.T) {
	left, none, agreement := fakemicrosoft.Refusal{Status: 403, Code: "20002"}, fakemicrosoft.Refusal{Status: 404, Code: "60003"}, fakemicrosoft.Refusal{Status: 403, Code: "900124"}
	for name, test := range map[string]struct {
		refuse func(i int) *fakemicrosoft.Refusal
		told   string // beginning of what is told; "" for nothing
		ok     string // in what works
	}{
		"the first six have left": {func(i int) *fakemicrosoft.Refusal {
			if i < 6 {
				return &left
			}
			return nil
		}, "", "Azure subscriptions of the first customer"},
		"two refuse otherwise": {func(i int) *fakemicrosoft.Refusal {
			if i < 2 {
				return &agreement
			}
			return nil
		}, "", "Azure subscriptions of the first customer"},
		"everybody on the page has left": {func(i int) *fakemicrosoft.Refusal {
			if i%2 == 0 {
				return &left
			}
			return &none
		}, "warning: subscriptions and Azure entitlements: not known, since the 7 customers tried have left", "usage would be read"},
		"one has left, the others refuse": {func(i int) *fakemicrosoft.Refusal {
			if i == 0 {
				return &left
			}
			return &agreement
		}, "problem: subscriptions and Azure entitlements: customer ", "usage would be read"},
		"one refuses, the others have left": {func(i int) *fakemicrosoft.Refusal {
			if i == 0 {
				return &agreement
			}
			return &left
		}, "problem: subscriptions and Azure entitlements: customer ", "usage would be read"},
	} {
		t.Run(name, func(t *testing.T) {
			p := smallPartner()
			for i, c := range p.Customers {
				c.Refuse = test.refuse(i)
			}
			s := newSide(t, p, fakemicrosoft.Options{})
			ok, told := s.probe(both)
			if all := strings.Join(told, "\n"); (test.told == "") != (all == "") || !strings.HasPrefix(all, test.told) {
				t.Errorf("told %q, want %q", told, test.told)
			}
			if !strings.Contains(strings.Join(ok, "\n"), test.ok) {
				t.Errorf("ok %q lacks %q", ok, test.ok)
			}
		})
	}
	t.Run("only the one who is not resold to can be read", func(t *testing.T) {
		p := smallPartner()
		for _, c := range p.Customers {
			c.Relationship = "microsoft_support"
		}
		p.Customers[0].Relationship, p.Customers[0].Refuse = "reseller", &agreement
		s := newSide(t, p, fakemicrosoft.Options{})
		if _, told := s.probe(both); len(told) != 1 || !strings.Contains(told[0], "Partner Agreement") {
			t.Errorf("told %q", told)
		}
	})
}

// TestProbe_LeavesNothingForTheExtraction checks that what was only tried is read
// again.
func TestProbe_LeavesNothingForTheExtraction(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	if _, told := s.probe(both); len(told) > 0 {
		t.Errorf("told %q", told)
	}
	s.server.Update(func(p *fakemicrosoft.Partner) {
		for _, c := range p.Customers {
			for _, sub := range c.Subscriptions {
				if sub.Plan() {
					sub.Entitlements = append(sub.Entitlements, &fakemicrosoft.Entitlement{ID: "00000000" + sub.ID[8:], Status: "active"})
				}
			}
		}
	})
	s.isTruth(s.inventory(s.source()))
}
