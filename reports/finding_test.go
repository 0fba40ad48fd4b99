package reports

import (
	"strings"
	"testing"

	"tidemark/data"
)

// TestFindings_OfACreditSayWhichWayItWent has totals below zero, of which a share
// would say the opposite.
func TestFindings_OfACreditSayWhichWayItWent(t *testing.T) {
	for _, c := range []struct{ value, previous, finding, sentence string }{
		{"-1103", "-1470", "Azure cost in EUR higher than in 30 Oct–5 Nov", "was −€1,103, and −€1,470 in 30 Oct–5 Nov"},
		{"-1470", "-1103", "Azure cost in EUR lower than in 30 Oct–5 Nov", "was −€1,470, and −€1,103 in 30 Oct–5 Nov"},
		{"50", "-100", "Azure cost in EUR higher than in 30 Oct–5 Nov", "was €50.00, and −€100 in 30 Oct–5 Nov"},
		{"20", "0", "Azure cost in EUR higher than in 30 Oct–5 Nov", "was €20.00, and €0.00 in 30 Oct–5 Nov"},
		{"-100", "-100", "Azure cost in EUR the same as in 30 Oct–5 Nov", "was −€100, and −€100 in 30 Oct–5 Nov"},
		{"-20", "100", "Azure cost in EUR 120% lower than in 30 Oct–5 Nov", "was −€20.00, −120% against 30 Oct–5 Nov"},
	} {
		in := fixtureInput(t, GlobalAdmin, "en")
		in.Document.Cost = []Cost{newCost("EUR", new(dec(t, c.value)), new(dec(t, c.previous)))}
		in.Document.Background.Trend = nil
		d, r := render(t, in)
		if !strings.Contains(r.Text, c.finding+"\n") || !strings.Contains(d.Sections[0].Lines[0], c.sentence) {
			t.Errorf("%s after %s: want %q and %q in %q and\n%s", c.value, c.previous, c.finding, c.sentence, d.Sections[0].Lines[0], r.Text)
		}
		if c.previous[0] == '-' && strings.Contains(strings.Split(r.Text, "Top 5")[0], "%") && strings.Contains(d.Sections[0].Lines[0], "%") {
			t.Errorf("%s after %s: a share of a credit in %q", c.value, c.previous, d.Sections[0].Lines[0])
		}
	}
}

// TestGlobalMail_ExplainsACostByWhatWentTheSameWay has the customer that left out
// of this period's top five, and one in it that went the other way.
func TestGlobalMail_ExplainsACostByWhatWentTheSameWay(t *testing.T) {
	in := fixtureInput(t, GlobalAdmin, "en")
	in.Document.Cost = []Cost{newCost("EUR", new(dec(t, "5000")), new(dec(t, "4000")))}
	d, _ := render(t, in)
	if got, want := d.Sections[0].Lines[0], "mostly from Storage (+€12.12) and Stadsarchief Leiden (+€1,460)."; !strings.HasSuffix(got, want) {
		t.Errorf("a rise is explained by %q, want %q at its end", got, want)
	}
}

// TestMail_AfterAnother has a last mail that left a week out, one of days that
// this mail is about, too, and one of the days before. Whatever is said of the
// period does not depend on it.
func TestMail_AfterAnother(t *testing.T) {
	for _, c := range []struct {
		until     string // of the last mail
		sold, off string // since then
	}{
		{"2026-10-29", "3 subscriptions sold", "2 subscriptions suspended or deprovisioned"},
		{"2026-11-05", "2 subscriptions sold", "1 subscription suspended or deprovisioned"},
		{"2026-11-10", "1 subscription sold", ""},
	} {
		for _, role := range []Role{AdminAgent, UserAdmin, GlobalAdmin} {
			in := fixtureInput(t, role, "en")
			subs := in.Document.Background.Subscriptions
			for id, created := range map[data.SubscriptionID]string{"s05": "2026-11-01", "s06": "2026-11-08", "s07": "2026-11-11"} {
				s := subs[id]
				s.Created = new(day(t, created))
				subs[id] = s
			}
			gone := subs["s20"]
			gone.Status, gone.Endings = data.StatusSuspended, []data.Day{day(t, "2026-11-02")}
			subs["s20"] = gone
			alone, _ := render(t, in)

			in.Last = &LastMail{ReportID: "before", Sent: day(t, c.until) + 3, Until: day(t, c.until), Scope: map[data.CustomerID]bool{"c01": true, "c03": true},
				Risk: map[data.SubscriptionID]PreviousRisk{"s03": in.Document.Background.PreviousRisk["s03"]}}
			d, _ := render(t, in)
			if d.Subject != alone.Subject {
				t.Errorf("%s after %s: subject %q, without an earlier mail %q", role, c.until, d.Subject, alone.Subject)
			}
			since := ""
			for _, s := range d.Sections {
				switch s.ID {
				case "since":
					since = strings.Join(s.Lines, "\n")
				case "hand", "sentences":
					if got, want := strings.Join(s.Lines, "\n"), strings.Join(alone.Sections[0].Lines, "\n"); got != want {
						t.Errorf("%s after %s says of the period\n%s\nwithout an earlier mail\n%s", role, c.until, got, want)
					}
				}
			}
			for _, want := range []string{c.sold, c.off, "1 customer newly at risk: Noordzee Logistiek",
				"2 customers at risk that your last mail was not about: Bakkerij De Korenaar and Huisartsenpost Eemland"} {
				if !strings.Contains(since, want) {
					t.Errorf("%s after %s: %q is not in\n%s", role, c.until, want, since)
				}
			}
			if c.off == "" && strings.Contains(since, "suspended") {
				t.Errorf("%s after %s: what the last mail told is told again:\n%s", role, c.until, since)
			}
		}
	}
}

// TestPage_HeadingsAreFindings: what a chart shows stands above it.
func TestPage_HeadingsAreFindings(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	d, r := render(t, in)
	page := string(r.Page)
	for _, f := range d.Page.Figures {
		if len(f.Option) > 0 && f.Finding == "" {
			t.Errorf("chart %s says nothing", f.ID)
		}
	}
	const finding, numbers = "Azure cost in EUR 8% lower than in 30 Oct–5 Nov, the first fall in 7 weeks",
		"€3,924 in 6–12 Nov, €4,288 in 30 Oct–5 Nov, the same days. By day: 6 Nov €590, 7 Nov €512, 8 Nov €498, 9 Nov €575, 10 Nov €572, 11 Nov €581, 12 Nov €596."
	for _, want := range []string{
		">" + finding + "</h2>", ">Azure purchase cost by day in EUR. " + numbers,
		">Storage, in EUR: most by Stadsarchief Leiden, €250</h2>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	text := strings.Join(strings.Fields(r.Text), " ")
	for _, want := range []string{numbers, "€100 a day at most, €0.00 now"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, r.Text)
		}
	}
	if strings.Contains(text, "most by Stadsarchief") {
		t.Error("a chart of the page only is in the mail")
	}

	in.Document.Period.To += 3
	for i := range 3 {
		in.Document.ByDay = append(in.Document.ByDay, DayCost{Date: in.Document.Period.To - data.Day(2-i), Currency: "EUR", Value: dec(t, "600")})
	}
	_, r = render(t, in)
	if text := strings.Join(strings.Fields(r.Text), " "); !strings.Contains(text, "Most on 13 Nov €600, least on 8 Nov €498.") {
		t.Errorf("the highest and the lowest day are not in\n%s", r.Text)
	}
}

// TestPage_OfCreditsNamesNoMost has categories that are credits, of which the first of a
// ranking is the smallest.
func TestPage_OfCreditsNamesNoMost(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	for i, cost := range []string{"-2", "-30"} {
		in.Document.TopCustomers = append(in.Document.TopCustomers, TopCustomer{Category: new("Credits"), Rank: i + 1, CustomerID: "c08", Name: "Stadsarchief Leiden",
			TopCost: &TopCost{Currency: new("EUR"), Cost: new(dec(t, cost))}, Previous: new(dec(t, "-1"))})
	}
	d, _ := render(t, in)
	found := false
	for _, f := range d.Page.Figures {
		found = found || f.Finding == "Credits, in EUR: credits only, the smallest that of Stadsarchief Leiden, −€2.00"
		if strings.Contains(f.Finding, "most by") && strings.Contains(f.Finding, "−") {
			t.Errorf("the smallest credit is the most: %s", f.Finding)
		}
	}
	if !found {
		t.Error("no chart says that there are credits only")
	}
}

// TestGlobalMail_CountsFurtherCurrenciesInASentenceOfTheirOwn has nine that the first
// sentence has no room for.
func TestGlobalMail_CountsFurtherCurrenciesInASentenceOfTheirOwn(t *testing.T) {
	for locale, want := range map[string]string{"en": ". There are 9 more currencies.", "nl": ". Er zijn nog 9 valuta's."} {
		in := fixtureInput(t, GlobalAdmin, locale)
		addCurrencies(t, in.Document, 12)
		d, _ := render(t, in)
		if got := d.Sections[0].Lines[0]; !strings.HasSuffix(got, want) || strings.Contains(got, " and 9") {
			t.Errorf("%q does not end with %q", got, want)
		}
	}
}
