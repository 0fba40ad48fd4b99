package reports

import (
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// TestMails_AgreeWithTheCountOnWhatEnded has snapshots without ended_at: what ended is told
// by a status, by rows that are missing, and by a subscription that came back.
func TestMails_AgreeWithTheCountOnWhatEnded(t *testing.T) {
	const first, second, third = worldFrom + 7, worldFrom + 10, worldFrom + 12
	status := map[string][3]string{ // by subscription, in each snapshot; empty: not in it
		"kept":      {"active", "active", "active"},
		"suspended": {"active", "suspended", "suspended"},
		"deleted":   {"active", "active", "deprovisioned"},
		"vanished":  {"active", "", ""},
		"back":      {"active", "suspended", "active"},
		"long gone": {"suspended", "suspended", "suspended"},
	}
	owner := map[string]string{"kept": "Blijver", "suspended": "Blijver", "deleted": "Blijver", "back": "Blijver", "vanished": "Vertrokken", "long gone": "Lang weg"}
	w := world{customers: []worldCustomer{{id: "blijver", name: "Blijver", factor: 1, subscriptions: []worldSubscription{
		{id: "kept", name: "kept", status: "active", category: "Storage", days: []bool{true, true, true, true, true, true, true, true}, cost: 100, score: -1}}}}}
	p := w.portfolio(t, memory.DefaultAllocator)
	defer p.Release()
	p.Inputs.Inventory[0].Customers.Release()
	p.Inputs.Inventory[0].Subscriptions.Release()
	p.Inputs.Inventory = nil
	for i, on := range []data.Day{first, second, third} {
		var customers, subscriptions []map[string]any
		for _, name := range []string{"Blijver", "Vertrokken", "Lang weg"} {
			customers = append(customers, map[string]any{"snapshot_date": on.String(), "customer_id": name, "name": name, "source": "tables"})
		}
		for id, s := range status {
			if s[i] != "" {
				subscriptions = append(subscriptions, map[string]any{"snapshot_date": on.String(), "subscription_id": id, "customer_id": owner[id], "name": id,
					"status": s[i], "created": "2026-01-02"})
			}
		}
		snapshot := func(schema *arrow.Schema, rows []map[string]any) arrow.Record {
			return record(t, memory.DefaultAllocator, schema, rows)
		}
		p.Inputs.Inventory = append(p.Inputs.Inventory, transform.Snapshot{Day: on, Customers: snapshot(data.CustomersSchema(), customers),
			Subscriptions: snapshot(data.SubscriptionsSchema(), subscriptions)})
	}

	mail := func(role Role) (*Document, Digest) {
		doc, err := p.Document(memory.DefaultAllocator, Everyone(), role.Policy().ShowMoney)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := renderLight(t, BuildInput{Document: doc, Role: role, Recipient: Recipient{Address: "anna@partner.example", Role: role, Locale: "en"}, Ownership: w.ownership()})
		return doc, d
	}
	section := func(d Digest, id string) string {
		for _, s := range d.Sections {
			if s.ID == id {
				return strings.Join(s.Lines, "\n")
			}
		}
		return ""
	}
	doc, admin := mail(AdminAgent)
	if n := valueOf(doc.Counts.Deprovisioned); n != 4 {
		t.Fatalf("%d subscriptions were suspended or deprovisioned, want 4", n)
	}
	if got, want := section(admin, "hand"), "4 subscriptions suspended or deprovisioned in this period: back (Blijver)"; !strings.Contains(got, want) {
		t.Errorf("%q is not what the admin agent is told: %s", want, got)
	}
	if !strings.Contains(admin.Subject, "4 subscriptions suspended") {
		t.Errorf("the subject counts other ones: %s", admin.Subject)
	}
	_, sales := mail(SalesAgent)
	want := "suspended (Blijver): suspended or deprovisioned on 7 Nov\nvanished (Vertrokken): suspended or deprovisioned on 7 Nov\n" +
		"deleted (Blijver): suspended or deprovisioned on 9 Nov"
	if got := section(sales, "lost"); got != want {
		t.Errorf("lost is\n%s\nwant\n%s", got, want)
	}
	if got, want := section(sales, "since"), "1 subscription suspended or deprovisioned: back (Blijver)"; !strings.Contains(got, want) {
		t.Errorf("%q is not in what changed: %s", want, got)
	}
	_, global := mail(GlobalAdmin)
	if got, want := section(global, "sentences"), "1 customer was lost: Vertrokken."; !strings.Contains(got, want) {
		t.Errorf("%q is not in\n%s", want, got)
	}
	if got, want := section(global, "since"), "4 subscriptions suspended or deprovisioned"; !strings.Contains(got, want) {
		t.Errorf("%q is not in\n%s", want, got)
	}
}

// TestSalesMail_OfLossesOnlyDoesNotSayThatNothingChanged has ends that stand under the
// calls, and nothing beside.
func TestSalesMail_OfLossesOnlyDoesNotSayThatNothingChanged(t *testing.T) {
	for locale, want := range map[string]string{"en": "Nothing else has changed.", "nl": "Verder is er niets veranderd."} {
		in := fixtureInput(t, SalesAgent, locale)
		in.Last = &LastMail{ReportID: "before", Sent: in.Document.Period.From, Until: in.Document.Period.From - 1, Scope: map[data.CustomerID]bool{}, Risk: map[data.SubscriptionID]PreviousRisk{}}
		for _, a := range in.Document.AtRisk {
			in.Last.Scope[a.CustomerID], in.Last.Risk[a.SubscriptionID] = true, PreviousRisk{State: a.State, Score: a.Score, Band: bandOf(a)}
		}
		d, _ := render(t, in)
		for _, s := range d.Sections {
			if s.ID == "since" && strings.Join(s.Lines, "|") != want {
				t.Errorf("beside losses the mail says %q, want %q", s.Lines, want)
			}
		}
	}
}
