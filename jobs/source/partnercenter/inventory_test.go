package partnercenter

import (
	"fmt"
	"strings"
	"testing"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestSubscriptions_OneCustomerWhoIsClosedToTheRole is told as that customer's, and
// everybody else is read.
func TestSubscriptions_OneCustomerWhoIsClosedToTheRole(t *testing.T) {
	for _, alone := range []bool{false, true} { // there is no other resource to try a token of
		for _, refusal := range []fakemicrosoft.Refusal{{Status: 403, Code: "900150"}, {Status: 401, Code: "400"}, {Status: 401}} {
			p := smallPartner()
			p.Customers[3].Refuse = &refusal
			s := newSide(t, p, fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{NoAADGraph: alone}})
			inv := s.inventory(s.source())
			s.isTruth(inv)
			want := strings.Join(strings.Fields(fmt.Sprintf("%s %d %s true", strings.ToLower(p.Customers[3].ID), refusal.Status, refusal.Code)), " ")
			if len(inv.Refused) != 1 || inv.Refused[0] != want {
				t.Errorf("refused %q, want %q", inv.Refused, want)
			}
		}
	}
	t.Run("nor is it the sign-in's where every token is refused", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{NoAADGraph: true}})
		s.server.Script(fakemicrosoft.ExpiredToken().EveryNth(1))
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "answered 401") || strings.Contains(err.Error(), "sign in") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("but it is where the sign-in fails meanwhile", func(t *testing.T) {
		p := smallPartner()
		p.Customers[3].Refuse = &fakemicrosoft.Refusal{Status: 401, Code: "400"}
		s := newSide(t, p, fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.Failing(503).On(fakemicrosoft.Login, "token").At(5).Repeated(-1)) // that of the other resource
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "sign in") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a token that nobody takes any more ends the extraction", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.ExpiredToken().At(12).Repeated(-1))
		_, err := readInventory(t.Context(), s.source())
		if err == nil || !strings.Contains(err.Error(), "the token is refused") {
			t.Errorf("err = %v", err)
		}
		// What was read is kept, and nobody counts as refusing.
		s.server.ClearScript()
		inv := s.inventory(s.source())
		s.isTruth(inv)
		if len(inv.Refused) > 0 {
			t.Errorf("refused %q", inv.Refused)
		}
	})
	t.Run("nor does one without the MFA claim", func(t *testing.T) {
		s := newSide(t, smallPartner(), fakemicrosoft.Options{})
		s.server.Script(fakemicrosoft.NoMFA().On(fakemicrosoft.API, "/subscriptions").At(2).Repeated(-1))
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "multi-factor authentication") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("where everybody is, it is the partner's", func(t *testing.T) {
		p := smallPartner()
		for _, c := range p.Customers {
			c.Refuse = &fakemicrosoft.Refusal{Status: 403, Code: "900150"}
		}
		s := newSide(t, p, fakemicrosoft.Options{})
		if _, err := readInventory(t.Context(), s.source()); err == nil || !strings.Contains(err.Error(), "give the consenting user the role Admin agent") {
			t.Errorf("err = %v", err)
		}
	})
}

// TestInventory_RenewalsCountAsRequests has many customers refuse every token: what is
// sent once more keeps to the budget, and is told.
func TestInventory_RenewalsCountAsRequests(t *testing.T) {
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 400, Azure: 400, Lines: 1, Days: 2, Today: start})
	for i := range 100 {
		p.Customers[4*i+1].Refuse = &fakemicrosoft.Refusal{Status: 401, Code: "400"}
	}
	s := newSide(t, p, fakemicrosoft.Options{})
	s.options.Parallel = 1 // beside others, one that is under way could pass into a window that is full by then
	source := s.source()
	s.isTruth(s.inventory(source))
	sent := s.server.Count(fakemicrosoft.API) + s.server.Count(fakemicrosoft.Login)
	if got := source.Stats(); got.Requests != int64(sent) || got.Retries > 0 {
		t.Errorf("told of %d requests, %d again; %d were sent, none too many", got.Requests, got.Retries, sent)
	}
}
