package reports

import (
	"strings"
	"testing"

	"tidemark/transform/churn"
)

// TestPulse_SaysThatItIsOfTheSubscriptionsAtRisk has a customer with a subscription at low
// risk, whose cost is in the line above.
func TestPulse_SaysThatItIsOfTheSubscriptionsAtRisk(t *testing.T) {
	for locale, want := range map[string][2]string{
		"en": {"€100 a day at most, €0.00 now", "1 subscription at risk: €100 a day at most, €0.00 now"},
		"nl": {"Hoogstens € 100 per dag, nu € 0,00", "1 abonnement met risico: hoogstens € 100 per dag, nu € 0,00"},
	} {
		first := func(in BuildInput) *Picture {
			d, _ := render(t, in)
			return d.Sections[0].Calls[0].Pulse
		}
		in := fixtureInput(t, SalesAgent, locale)
		plain := func(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }
		if got := plain(first(in).Text); got != want[0] {
			t.Errorf("of all subscriptions: %q, want %q", got, want[0])
		}
		addFixtureRisk(t, in.Document, "c01", "s90", risk{subscription: "kantoor", score: .02, before: .02, band: churn.BandLow, wasBand: churn.BandLow, monthly: "4000"})
		p := first(in)
		if got := plain(p.Text); got != want[1] {
			t.Errorf("of one of two subscriptions: %q, want %q", got, want[1])
		}
		if about, _, _ := strings.Cut(want[1], ":"); !strings.Contains(p.Alt, ". "+about+": Azure") {
			t.Errorf("the picture says %q", p.Alt)
		}
	}
}
