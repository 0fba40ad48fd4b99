package fakemicrosoft

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Size says how large a made-up partner is. Zero fields have a default.
type Size struct {
	Customers   int       // 20
	Azure       int       // Azure subscriptions of all customers together; two per customer
	Lines       int       // lines of usage a day and Azure subscription; 4
	Days        int       // days of usage up to yesterday; 35
	BlobsPerDay int       // 1
	Currencies  []string  // EUR
	Today       time.Time // required
}

func (z Size) withDefaults() Size {
	set := func(n *int, d int) {
		if *n == 0 {
			*n = d
		}
	}
	set(&z.Customers, 20)
	set(&z.Azure, 2*z.Customers)
	set(&z.Lines, 4)
	set(&z.Days, 35)
	set(&z.BlobsPerDay, 1)
	if len(z.Currencies) == 0 {
		z.Currencies = []string{"EUR"}
	}
	z.Today = day(z.Today)
	return z
}

// NewPartner makes up a partner; the same seed and size give the same partner.
// Its customers' names include hostile ones. Azure subscriptions are spread over
// the customers' Azure plans; every tenth customer has a legacy one beside, every
// third one has licences.
func NewPartner(seed uint64, z Size) *Partner {
	z = z.withDefaults()
	r := rand.New(rand.NewPCG(seed, 0x7469646d))
	p := &Partner{TenantID: guid(r), Name: "Polder Cloud", MpnID: "4812345", Currencies: z.Currencies, Directory: newDirectory()}
	for i := range z.Customers {
		n := z.Azure / z.Customers
		if i < z.Azure%z.Customers {
			n++
		}
		p.Customers = append(p.Customers, newCustomer(r, i, n, z))
	}
	u := newGenerated(r, p, z)
	p.Usage = u
	p.Invoices = u.invoices()
	return p
}

func newCustomer(r *rand.Rand, i, azure int, z Size) *Customer {
	names := names()
	c := &Customer{ID: guid(r), Country: pick(r, "NL", "BE", "DE", "FR", "JP"), Relationship: "reseller",
		Name: names[i%len(names)], Domain: fmt.Sprintf("customer%d.example", i), Currency: z.Currencies[i%len(z.Currencies)]}
	if i >= len(names) {
		c.Name = fmt.Sprintf("%s %d", c.Name, i/len(names)+1)
	}
	if azure > 0 {
		c.Subscriptions = append(c.Subscriptions, newPlan(r, i, azure, z.Today))
	}
	if i%10 == 9 {
		created := z.Today.AddDate(-4, 0, -i%90)
		c.Subscriptions = append(c.Subscriptions, &Subscription{ID: guid(r), OfferID: LegacyOffer, OfferName: "Microsoft Azure",
			FriendlyName: fmt.Sprintf("legacy-%d", i), Status: "active", BillingType: "usage", BillingCycle: "monthly",
			EntitlementID: guid(r), Created: created, EffectiveStart: created, CommitmentEnd: created.AddDate(100, 0, 0),
			AutoRenew: true, Quantity: 1})
	}
	if i%3 == 0 {
		created := z.Today.AddDate(-1, 0, -i%200)
		c.Subscriptions = append(c.Subscriptions, &Subscription{ID: guid(r), OfferID: "CFQ7TTC0LH18:0001:CFQ7TTC0K971",
			OfferName: "Microsoft 365 Business Basic", FriendlyName: "Microsoft 365 Business Basic", Status: "active",
			BillingType: "license", BillingCycle: "monthly", TermDuration: "P1Y", Created: created, EffectiveStart: created,
			CommitmentEnd: created.AddDate(2, 0, 0), AutoRenew: true, Quantity: 5 + r.IntN(200)})
	}
	return c
}

func newPlan(r *rand.Rand, i, azure int, today time.Time) *Subscription {
	created := today.AddDate(0, 0, -1-r.IntN(900)).Add(8*time.Hour + 15*time.Minute)
	s := &Subscription{ID: guid(r), OfferID: PlanOffer + ":DZH318Z0BMTN", OfferName: "Azure plan", FriendlyName: "Azure plan",
		Status: "active", BillingType: "usage", BillingCycle: "monthly", TermDuration: "P1M", Created: created,
		EffectiveStart: day(created), CommitmentEnd: day(created).AddDate(100, 0, 0), AutoRenew: true, Quantity: 1,
		PartnerID: fmt.Sprint(5100000 + i%7)}
	switch i % 17 {
	case 5:
		s.Status, s.SuspensionReasons = "suspended", []string{"Customer_cancellation"}
	case 11:
		s.Status = "deleted"
	}
	for k := range azure {
		e := &Entitlement{ID: guid(r), FriendlyName: fmt.Sprintf("sub-%d-%d", i, k), Status: "active"}
		if s.Status != "active" || r.IntN(12) == 0 {
			e.Status = pick(r, "suspended", "disabled", "deleted")
		}
		s.Entitlements = append(s.Entitlements, e)
	}
	return s
}

// names are customers' names as people give them, some of them hostile to
// whoever prints them without care.
func names() []string {
	return []string{
		"Noordzee Logistiek", "Tulpenveld BV", `O'Brien "& Sons" <Ltd>`, "<script>alert(1)</script>", `=cmd|'/c calc'!A0`,
		"Zeile eins\nZeile zwei", "שלום\u202eevil\u202c GmbH", "日本データ株式会社", "Café Zoë, Éclair; S.A.", "tab\tand, comma \\ slash",
		"Windmolen Energie", "Grachten Media", "Delta Werken NV", "Kaasmarkt Coöperatie", "Polder Pakket",
		"Duin & Strand", "Haven Staal", "Kanaal Data", "Molen IT", "Waddenzee Zorg",
	}
}

// guid returns a lower-case GUID.
func guid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%x%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, 8+b>>62, b>>48&0xfff, b&0xffffffffffff)
}

func pick(r *rand.Rand, s ...string) string { return s[r.IntN(len(s))] }

// day cuts t to its UTC day.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// month returns the first day of t's month.
func month(t time.Time) time.Time {
	return time.Date(t.UTC().Year(), t.UTC().Month(), 1, 0, 0, 0, 0, time.UTC)
}

// fold is how ids are compared.
func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
