package reports

import (
	"fmt"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/transform/churn"
)

func day(t testing.TB, s string) data.Day {
	t.Helper()
	d, err := data.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dec(t testing.TB, s string) data.Decimal {
	t.Helper()
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func eur(t testing.TB, s string) []data.Money {
	t.Helper()
	return []data.Money{{Currency: "EUR", Amount: dec(t, s)}}
}

// risk is one row of the fixture.
type risk struct {
	customer, contact, phone string
	subscription             string
	score, before            float64 // negative: none
	band, wasBand            churn.Band
	monthly                  string
	reasons                  []churn.Reason
}

func fixtureRisks(t testing.TB) []risk {
	t.Helper()
	since := new(day(t, "2026-11-05"))
	stop := churn.Reason{Code: "stop", Since: since, Days: 7, Usual: 56}
	silence := churn.Reason{Code: "silence", Since: new(day(t, "2026-10-31")), Days: 12, Usual: 2}
	services := churn.Reason{Code: "services", Days: 2, Of: 6, Names: []string{"Virtual Machines", "SQL Database"}}
	trend := churn.Reason{Code: "trend", Days: 6, Of: 28, Usual: 19}
	return []risk{
		{"Noordzee Logistiek", "Ilse Vermeer", "010 555 01 23", "productie", .72, .31, churn.BandHigh, churn.BandMedium, "2750", []churn.Reason{stop, services}},
		{"Bakkerij De Korenaar", "", "+31 20 555 08 80", "kassa", .58, .12, churn.BandHigh, churn.BandLow, "1840.50", []churn.Reason{silence}},
		{"Waterschap Delfland Zuid", "J. de Boer", "015 555 77 00", "sensoren", .46, .44, churn.BandMedium, churn.BandMedium, "2460", []churn.Reason{trend, services}},
		{"Waterschap Delfland Zuid", "J. de Boer", "015 555 77 00", "archief", .33, .11, churn.BandMedium, churn.BandLow, "300", []churn.Reason{trend}},
		{"Huisartsenpost Eemland", "", "", "dossiers", .41, -1, churn.BandMedium, "", "95.20", []churn.Reason{silence}},
		{"Kwekerij Zonnedauw", "K. Aalders", "0174 555 210", "kas-3", .03, .37, churn.BandLow, churn.BandMedium, "512", nil},
		{"Drukkerij Van Rijn", "P. van Rijn", "071 555 66 10", "webshop", .02, .02, churn.BandLow, churn.BandLow, "1210", nil},
		{"Stadsarchief Leiden", "", "071 555 00 01", "scans", .05, .04, churn.BandLow, churn.BandLow, "8400.75", nil},
	}
}

// newFixture is a week of a small sales agent.
func newFixture(t testing.TB, money bool) *Document {
	t.Helper()
	d := &Document{Background: Background{Money: money, Scored: true, PreviousScored: true,
		Customers: map[data.CustomerID]Customer{}, Subscriptions: map[data.SubscriptionID]Subscription{},
		PreviousRisk: map[data.SubscriptionID]PreviousRisk{}, FirstSnapshot: new(day(t, "2026-11-02")),
		Seal: "9f2c4e17ab03d5566871", Freshness: Freshness{Extracted: new(day(t, "2026-11-15")), Sources: []string{"tables"}}}}
	d.Coverage = Coverage{Period: data.Period{From: day(t, "2026-11-06"), To: day(t, "2026-11-12")},
		Previous:  data.Period{From: day(t, "2026-10-30"), To: day(t, "2026-11-05")},
		Watermark: new(day(t, "2026-11-12")), KnownDays: 7, PreviousKnownDays: 7, Complete: true,
		KnownAt:  time.Date(2026, 11, 16, 2, 31, 7, 0, time.UTC),
		Versions: map[string]int64{"customers": 9, "subscriptions": 9, "usage": 12, "usage_daily": 12}}
	if money {
		d.Background.MonthlyCost = map[data.SubscriptionID][]data.Money{}
	}
	customers := map[string]data.CustomerID{}
	for i, r := range fixtureRisks(t) {
		customer, found := customers[r.customer]
		if !found {
			customer = data.CustomerID(fmt.Sprintf("c%02d", i+1))
			customers[r.customer] = customer
		}
		d.Background.Customers[customer] = Customer{Name: r.customer, Contact: r.contact, Phone: r.phone}
		addFixtureRisk(t, d, customer, data.SubscriptionID(fmt.Sprintf("s%02d", i+1)), r)
	}
	addFixtureStates(t, d)
	addFixtureNumbers(t, d)
	addFixtureHistory(t, d)
	if money {
		addFixtureCosts(t, d)
	}
	if err := d.SetLanguage("en"); err != nil {
		t.Fatal(err)
	}
	return d
}

func addFixtureRisk(t testing.TB, d *Document, customer data.CustomerID, id data.SubscriptionID, r risk) {
	t.Helper()
	a := AtRisk{SubscriptionID: id, CustomerID: customer, Name: Name(r.subscription), State: churn.StateScored, Score: new(r.score),
		Band: new(r.band), Origin: d.Period.To, HorizonDays: 28, Model: "rules-1", Reasons: []Reason{}, Flags: []Flag{}, IdleDays: new(1)}
	for _, f := range r.reasons {
		a.Reasons = append(a.Reasons, Reason{Code: f.Code, Finding: f})
	}
	if d.Background.Money {
		d.Background.MonthlyCost[id] = eur(t, r.monthly)
	}
	d.Background.Subscriptions[id] = Subscription{CustomerID: customer, Name: r.subscription, Status: data.StatusActive, Created: new(day(t, "2025-03-04"))}
	if err := d.complete(&a); err != nil {
		t.Fatal(err)
	}
	d.AtRisk = append(d.AtRisk, a)
	if r.before >= 0 {
		d.Background.PreviousRisk[id] = PreviousRisk{State: churn.StateScored, Score: new(r.before), Band: r.wasBand}
	}
}

// addFixtureStates adds subscriptions with a state instead of a score.
func addFixtureStates(t testing.TB, d *Document) {
	t.Helper()
	for i, s := range []struct {
		customer data.CustomerID
		name     string
		state    churn.State
		status   data.Status
		idle     *int
		ended    []data.Day
	}{
		{"c06", "test-omgeving", churn.StateDormant, data.StatusActive, new(41), nil},
		{"c07", "proef", churn.StateDormant, data.StatusActive, nil, nil},
		{"c08", "oud-archief", churn.StateSuspended, data.StatusSuspended, new(9), []data.Day{day(t, "2026-11-09")}},
		{"c01", "nieuw-magazijn", churn.StateNew, data.StatusActive, new(0), nil},
	} {
		id := data.SubscriptionID(fmt.Sprintf("s%02d", 20+i))
		d.Background.Subscriptions[id] = Subscription{CustomerID: s.customer, Name: s.name, Status: s.status, Endings: s.ended}
		a := AtRisk{SubscriptionID: id, CustomerID: s.customer, Name: Name(s.name), State: s.state, Origin: d.Period.To, HorizonDays: 28,
			Model: "rules-1", Reasons: []Reason{}, Flags: []Flag{}, IdleDays: s.idle}
		if err := d.complete(&a); err != nil {
			t.Fatal(err)
		}
		d.AtRisk = append(d.AtRisk, a)
		if s.state == churn.StateDormant {
			w := WithoutUsage{SubscriptionID: id, CustomerID: s.customer, Name: Name(s.name), Status: s.status, DaysIdle: s.idle}
			if s.idle != nil {
				w.LastUsage = new(d.Period.To - data.Day(*s.idle))
			}
			d.WithoutUsage = append(d.WithoutUsage, w)
			d.Background.PreviousRisk[id] = PreviousRisk{State: churn.StateScored, Score: new(.1), Band: churn.BandLow}
		}
	}
}

func addFixtureNumbers(t testing.TB, d *Document) {
	t.Helper()
	n := func(value, previous int64) Count { return newCount(&value, &previous, nil) }
	d.SubscriptionsSold, d.CustomersWithUsage, d.CustomersWithoutUsage = n(2, 1), n(7, 8), n(1, 0)
	d.Background.New = map[data.CustomerID]data.Day{"c05": day(t, "2026-11-08")}
	d.NewCustomers = newCount(new(int64(1)), nil, new(notObservedBefore+"2026-11-02"))
	d.SubscriptionsRenewed = newCount(nil, nil, new(notObservedBefore+"2026-11-02"))
	d.Counts = Counts{AtRiskHigh: n(2, 0), WithoutUsage: n(2, 1), ActiveAtEnd: n(11, 11), Deprovisioned: n(1, 0)}
	for i := range 7 {
		c := ChurnDay{Date: d.Period.From + data.Day(i), Active: 11}
		if i == 3 {
			c.Deprovisioned = 1
		}
		d.ChurnByDate = append(d.ChurnByDate, c)
	}
	if d.Background.Money {
		return
	}
	for i, id := range []data.CustomerID{"c08", "c01", "c03"} {
		d.TopCustomers = append(d.TopCustomers, TopCustomer{Category: new("Storage"), Rank: i + 1, CustomerID: id,
			Name: Name(d.Background.Customers[id].Name), Quantity: new(data.DecimalFromInt(int64(9000 - 2100*i))), Previous: new(data.DecimalFromInt(8000)), Unit: new("GB")})
	}
}

func addFixtureCosts(t testing.TB, d *Document) {
	t.Helper()
	p := func(s string) *data.Decimal { return new(dec(t, s)) }
	d.Costs = &Costs{Cost: []Cost{newCost("EUR", p("3924.119"), p("4288.40"))}, ByDay: []DayCost{}}
	for i, v := range []string{"590.10", "512.44", "498.005", "575.20", "571.90", "580.774", "595.70"} {
		before := p([]string{"610", "604.2", "540", "598", "640.10", "651.05", "645.05"}[i])
		d.ByDay = append(d.ByDay, DayCost{d.Period.From + data.Day(i), "EUR", dec(t, v), before})
	}
	d.ByCategory = []CategoryCost{
		{"SQL Database", newCost("EUR", p("610"), p("655"))},
		{"Storage", newCost("EUR", p("310.1234567891"), p("298"))},
		{"Virtual Machines", newCost("EUR", p("3003.9955432109"), p("3335.40"))},
	}
	for _, c := range [][3]string{{"c01", "430.20", "800"}, {"c02", "402.75", "410"}, {"c03", "644", "700"}, {"c06", "0", "512"},
		{"c07", "282.30", "300"}, {"c08", "1960.17", "500"}} {
		d.Background.CustomerCost = append(d.Background.CustomerCost, CustomerCost{data.CustomerID(c[0]), newCost("EUR", p(c[1]), p(c[2]))})
	}
	for _, top := range []struct {
		category *string
		ids      []data.CustomerID
		costs    []string
	}{
		{nil, []data.CustomerID{"c08", "c03", "c01", "c02", "c07"}, []string{"1960.17", "644", "430.2", "402.75", "282.3"}},
		{new("Storage"), []data.CustomerID{"c08", "c02"}, []string{"250.10", "60.0234567891"}},
		{new("Virtual Machines"), []data.CustomerID{"c08", "c03", "c01"}, []string{"1500", "640", "420"}},
	} {
		for i, id := range top.ids {
			d.TopCustomers = append(d.TopCustomers, TopCustomer{Category: top.category, Rank: i + 1, CustomerID: id,
				Name: Name(d.Background.Customers[id].Name), TopCost: &TopCost{Currency: new("EUR"), Cost: p(top.costs[i])}, Previous: p("500")})
		}
	}
}

// addFixtureHistory adds eight weeks: growth until the last, and days on which the
// customers to call did less and less.
func addFixtureHistory(t testing.TB, d *Document) {
	t.Helper()
	weeks := []string{"", "", "", "", "3512.40", "3590", "3644.17", "3701.90", "3850", "4010.02", "4288.40", "3924.119"}
	p := d.Period
	for i := range weeks {
		cost := weeks[len(weeks)-1-i]
		w := TrendPeriod{Period: p}
		if cost != "" {
			w.Known, w.Customers, w.Subscriptions = 7, new(int64(8-i/3)), new(int64(13-i))
			if d.Background.Money {
				w.Cost = []TrendCost{{nil, "EUR", dec(t, cost)}, {new("Virtual Machines"), "EUR", dec(t, "3"+cost[1:])}}
			}
		}
		d.Background.Trend = append([]TrendPeriod{w}, d.Background.Trend...)
		p = p.Previous()
	}
	d.Background.Days = map[data.CustomerID]CustomerDays{}
	for i := range 56 {
		on := d.Period.To - data.Day(55-i)
		if i == 20 {
			continue // nobody knows
		}
		d.Background.Known = append(d.Background.Known, on)
		for c, id := range []data.CustomerID{"c01", "c02", "c03", "c05"} {
			days, found := d.Background.Days[id]
			if !found {
				days = CustomerDays{Services: map[data.Day]int64{}, Cost: map[string]map[data.Day]data.Decimal{}}
				if d.Background.Money {
					days.Cost["EUR"] = map[data.Day]data.Decimal{}
				}
				d.Background.Days[id] = days
			}
			if i >= 49-5*c { // silent since
				continue
			}
			days.Services[on] = int64(6 - c)
			if d.Background.Money {
				days.Cost["EUR"][on] = dec(t, fmt.Sprintf("%d.25", 90-10*c+(i*7)%11-30*(i%7/5)))
			}
		}
	}
}

// fixtureInput is what the report of a role is built from.
func fixtureInput(t testing.TB, role Role, locale string) BuildInput {
	t.Helper()
	in := BuildInput{Document: newFixture(t, role.Policy().ShowMoney), Role: role,
		Recipient: Recipient{Address: "anna@partner.example", Name: "Anna de Vries", Role: role, Locale: locale},
		Partner:   Partner{Name: "Polder Cloud", Accent: "#0b6e4f", Locale: "nl"}}
	switch role {
	case AdminAgent:
		in.Ownership = &Ownership{owners: map[data.CustomerID][]string{
			"c01": {"anna@partner.example"}, "c02": {"anna@partner.example"}, "c03": {"bram@partner.example"},
			"c05": {"bram@partner.example"}, "c06": {"gone@partner.example"}, "c07": {"anna@partner.example", "bram@partner.example"}}}
		in.Agents = []Recipient{{Address: "bram@partner.example", Name: "Bram Bos"}, {Address: "Anna@partner.example", Name: "Anna de Vries"}}
		in.Document.Background.Freshness.Failed = []FailedCustomer{{ID: "c07", Reason: "403"}}
		in.Document.Background.Freshness.Quarantined = 3
	case GlobalAdmin:
		in.Mailed = []Mailed{{SalesAgent, 12, 1}, {AdminAgent, 2, 0}, {UserAdmin, 1, 0}}
		in.Outcome = &Outcome{Origin: day(t, "2026-10-12"), HorizonDays: 28, Scored: 352, Lost: 11, Flagged: 12, FlaggedLost: 5}
	}
	return in
}
