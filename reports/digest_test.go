package reports

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/transform/churn"
)

// crowd is a fixture with many risky customers, categories, days and unused
// subscriptions, all with long names.
func crowd(t testing.TB, n int, money bool) *Document {
	t.Helper()
	d := newFixture(t, money)
	long := strings.Repeat("Waterleidingmaatschappij & Zonen <BV> ", 9)
	for i := range n {
		id := data.CustomerID(fmt.Sprintf("x%04d", i))
		r := risk{customer: long, subscription: long, score: .9, before: .5, band: churn.BandHigh, wasBand: churn.BandMedium, monthly: "123456.789",
			reasons: fixtureRisks(t)[0].reasons}
		d.Background.Customers[id] = Customer{Name: fmt.Sprintf("%d %s", i, long), Contact: long, Phone: "010 555 01 23"}
		for j := range 3 {
			addFixtureRisk(t, d, id, data.SubscriptionID(fmt.Sprintf("x%04d-%d", i, j)), r)
		}
		d.WithoutUsage = append(d.WithoutUsage, WithoutUsage{SubscriptionID: data.SubscriptionID(fmt.Sprintf("x%04d-0", i)), CustomerID: id, Name: Name(long), Status: data.StatusActive})
		for rank := range 5 {
			top := TopCustomer{Category: new(fmt.Sprintf("Category %d %s", i, long)), Rank: rank + 1, CustomerID: id, Name: Name(long), Previous: new(dec(t, "12")), Quantity: new(dec(t, "99")), Unit: new("GB")}
			if money {
				top.TopCost, top.Quantity, top.Unit = &TopCost{Currency: new("EUR"), Cost: new(dec(t, "99"))}, nil, nil
			}
			d.TopCustomers = append(d.TopCustomers, top)
		}
	}
	d.Period.To = d.Period.From + 30
	d.ChurnByDate = nil
	for i := range 31 {
		d.ChurnByDate = append(d.ChurnByDate, ChurnDay{d.Period.From + data.Day(i), 12345, int64(i % 3)})
	}
	return d
}

// checkWordsBeforeCharts returns what stands before the first chart.
func checkWordsBeforeCharts(t *testing.T, d Digest) string {
	t.Helper()
	d.Shown = true
	html, err := renderHTML(d)
	if err != nil {
		t.Fatal(err)
	}
	chart := strings.Index(html, `<img src="cid:cost_by_day`) // those beside calls are no charts
	text := visible(t, html[:max(chart, 0)])
	if n := len(strings.Fields(text)); chart < 0 || n > 350 {
		t.Errorf("there are %d words before the charts, want at most 350:\n%s", n, text)
	}
	return text
}

func TestMail_OfALargePortfolioStaysShort(t *testing.T) {
	for _, role := range Roles() {
		in := fixtureInput(t, role, "nl")
		in.Document = crowd(t, 300, role.Policy().ShowMoney)
		for i := range 60 {
			in.Agents = append(in.Agents, Recipient{Address: fmt.Sprintf("agent%d@partner.example", i), Name: "Agent With A Rather Long Name"})
		}
		d, r := render(t, in)
		checkMail(t, r.HTML)
		checkText(t, r.Text)
		if n := len(d.Attachment.Rows); n < 900 {
			t.Errorf("%s: the attachment has %d rows, want all", role, n)
		}
		if role != SalesAgent {
			continue
		}
		before := checkWordsBeforeCharts(t, d)
		calls := len(d.Sections[0].Calls)
		if more := fmt.Sprintf("nog %d in de bijlage", 304-calls); calls > maxCalls || !strings.Contains(before, more) {
			t.Errorf("%d calls, and %q is missing", calls, more)
		}
	}
}

func TestSalesMail_ReadsAsAgreed(t *testing.T) {
	d, r := render(t, fixtureInput(t, SalesAgent, "nl"))
	if want := "4 klanten bellen: € 4.317 per maand loopt risico (6–12 nov)"; r.Subject != want {
		t.Errorf("subject %q, want %q", r.Subject, want)
	}
	if want := "Noordzee Logistiek: draaide 8 weken elke dag; niets meer sinds 5 nov · 1 klant hersteld"; d.Preheader != want {
		t.Errorf("preheader %q, want %q", d.Preheader, want)
	}
	rest := visible(t, r.HTML)
	for _, want := range []string{
		"4 klanten bellen: € 4.317 per maand loopt risico", "Polder Cloud · Cijfers over 6–12 nov",
		"1. Noordzee Logistiek", "Hoog 72 % (vorige periode 31 %)", "kans op verlies in 4 weken, eigen schatting",
		"± € 1.980 van € 2.750 Azure-inkoop per maand", "• Draaide 8 weken elke dag; niets meer sinds 5 nov",
		"• 2 van 6 services gestopt: Virtual Machines, SQL Database", "Vraag of de omgeving bewust is stopgezet.", "Bel Ilse Vermeer: 010 555 01 23",
		"2. Waterschap Delfland Zuid", "3. Bakkerij De Korenaar", "4. Huisartsenpost Eemland",
		"Sinds de vorige periode", "Abonnementen zonder gebruik", "Samenvatting", "Top 5 klanten in categorie", "Azure-abonnementen die risico lopen",
		"Verloop van Azure-abonnement", "Aantal klanten", "Retentie van Azure-abonnement", "nog niet bekend: eerste momentopname 2 nov",
		"Klanten gelezen: 7 van 7.", "Azure-inkoop van de partner en een schatting tot ze gefactureerd zijn", d.ReportID, "9f2c4e17ab03d5566871",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("%q is not in the rest of the mail: %s", want, rest)
		}
		rest = after
	}
}

func TestTextPart_HasEveryFactOfTheHTML(t *testing.T) {
	for _, role := range Roles() {
		_, r := render(t, fixtureInput(t, role, "en"))
		text := strings.Join(strings.Fields(strings.NewReplacer("-", "").Replace(r.Text)), " ")
		for fact := range strings.FieldsSeq(strings.NewReplacer("-", "").Replace(visible(t, r.HTML))) {
			if !strings.Contains(text, fact) {
				t.Errorf("%s: %q of the HTML is not in the text", role, fact)
			}
		}
	}
}

func TestMail_QuietAndUnknownAreDifferent(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	quiet := in.Document.AtRisk[5:8]
	in.Document.AtRisk = quiet
	_, r := render(t, in)
	if want := "All quiet: nobody needs a call (6–12 Nov)"; r.Subject != want || !strings.Contains(r.Text, "None of the 7 customers is at high or medium risk.") {
		t.Errorf("a quiet week has the subject %q and reads:\n%s", r.Subject, r.Text)
	}
	checkMail(t, r.HTML)

	in = fixtureInput(t, SalesAgent, "en")
	in.Document.AtRisk, in.Document.Background.PreviousRisk = nil, nil
	in.Document.Background.Scored, in.Document.Background.PreviousScored = false, false
	_, r = render(t, in)
	if strings.Contains(r.Text, "quiet") || !strings.Contains(r.Subject, "Risk not known yet") ||
		!strings.Contains(r.Text, "not known yet: first snapshot 2 Nov") {
		t.Errorf("a portfolio that was never scored has the subject %q and reads:\n%s", r.Subject, r.Text)
	}
}

func TestMail_LateUsageIsSaid(t *testing.T) {
	in := fixtureInput(t, AdminAgent, "en")
	in.Document.Watermark, in.Document.Complete, in.Document.KnownDays = new(day(t, "2026-11-08")), false, 3
	_, r := render(t, in)
	for _, want := range []string{"known up to 8 Nov", "usage is late", "Usage is 7 days behind: complete up to 8 Nov.", "Known: 3 of 7 days"} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%q is missing in:\n%s", want, r.Text)
		}
	}
}

func TestMail_CurrenciesAreNeverAdded(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	in.Document.AtRisk[0].MonthlyCost = []data.Money{{Currency: "USD", Amount: dec(t, "1000")}}
	in.Document.AtRisk[0].ExpectedLoss = []data.Money{{Currency: "USD", Amount: dec(t, "720")}}
	_, r := render(t, in)
	if want := "€2,337 + $720 a month at risk"; !strings.Contains(r.Subject, want) {
		t.Errorf("subject %q, want %q in it", r.Subject, want)
	}
}

func TestReportID_FollowsFromTheFacts(t *testing.T) {
	id := func(change func(*BuildInput)) string {
		in := fixtureInput(t, SalesAgent, "nl")
		change(&in)
		d, err := Build(in)
		if err != nil {
			t.Fatal(err)
		}
		return d.ReportID
	}
	base := id(func(*BuildInput) {})
	if len(base) != 16 || base != id(func(in *BuildInput) { in.Recipient.Address = " ANNA@partner.example" }) {
		t.Errorf("id %q: want 16 characters, the same for the same address", base)
	}
	for name, change := range map[string]func(*BuildInput){
		"another role":      func(in *BuildInput) { in.Role = UserAdmin },
		"another recipient": func(in *BuildInput) { in.Recipient.Address = "bram@partner.example" },
		"another period":    func(in *BuildInput) { in.Document.Period.To-- },
		"another version":   func(in *BuildInput) { in.Document.Versions["usage"]++ },
		"another time":      func(in *BuildInput) { in.Document.KnownAt = in.Document.KnownAt.Add(time.Nanosecond) },
	} {
		if id(change) == base {
			t.Errorf("%s has the same id", name)
		}
	}
}

func TestBuild_RefusesWhatItCannotSay(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "xx")
	if _, err := Build(in); err == nil {
		t.Error("an unknown language was accepted")
	}
	in = fixtureInput(t, SalesAgent, "en")
	in.Role = "owner"
	if _, err := Build(in); err == nil {
		t.Error("an unknown role was accepted")
	}
	in = fixtureInput(t, SalesAgent, "en")
	in.Document.AtRisk[0].ExpectedLoss = eur(t, "99999999999999999999")
	in.Document.AtRisk[1].ExpectedLoss = eur(t, "99999999999999999999")
	if _, err := Build(in); err == nil {
		t.Error("a sum that overflows was accepted")
	}
}

func TestGlobalMail_BeginsWithFourSentences(t *testing.T) {
	d, _ := render(t, fixtureInput(t, GlobalAdmin, "en"))
	want := []string{
		"Azure purchase cost was €3,924, −8.5% against 30 Oct–5 Nov, mostly from Virtual Machines (−€331), SQL Database (−€45.00) and Kwekerij Zonnedauw (−€512).",
		"1 customer was won; no customer was lost.",
		"Expected loss is €4,777 a month; at the same purchase cost it was €2,738 in the previous period.",
		"Of 12 subscriptions flagged on 12 Oct, 5 were lost or silent within 4 weeks and 7 kept (42% lost); of all 352 scored 3% were lost.",
	}
	if got := d.Sections[0].Lines; strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestGlobalMail_NamesALostCustomer(t *testing.T) {
	in := fixtureInput(t, GlobalAdmin, "en")
	for id, s := range in.Document.Background.Subscriptions {
		if s.CustomerID == "c08" {
			s.Status, s.Endings = data.StatusDeprovisioned, []data.Day{in.Document.Period.To}
			in.Document.Background.Subscriptions[id] = s
		}
	}
	d, _ := render(t, in)
	if want := "1 customer was won; 1 customer was lost: Stadsarchief Leiden."; d.Sections[0].Lines[1] != want {
		t.Errorf("got %q, want %q", d.Sections[0].Lines[1], want)
	}
	in.Mailed = nil
	if _, r := render(t, in); !strings.Contains(r.Text, "Nobody was mailed in this period.") {
		t.Error("a run that mailed nobody does not say so")
	}
}

func TestGlobalMail_SaysWhetherItPaid(t *testing.T) {
	in := fixtureInput(t, GlobalAdmin, "en")
	for _, c := range []struct {
		*Outcome
		want string
	}{
		{nil, "Whether the calls paid off is not known yet: there are no stored scores whose four weeks are over."},
		{&Outcome{Origin: day(t, "2026-10-12"), HorizonDays: 28, Scored: 40, Lost: 1}, "No subscription was flagged on 12 Oct; of all 40 scored 3% were lost."},
		{&Outcome{Origin: day(t, "2026-10-12"), HorizonDays: 28, Scored: 1, Lost: 1, Flagged: 1, FlaggedLost: 1},
			"Of 1 subscription flagged on 12 Oct, 1 was lost or silent within 4 weeks and 0 kept (100% lost); of 1 scored 100% was lost."},
	} {
		in.Outcome = c.Outcome
		if d, _ := render(t, in); d.Sections[0].Lines[3] != c.want {
			t.Errorf("got  %q\nwant %q", d.Sections[0].Lines[3], c.want)
		}
	}
}

// TestSalesMail_WithNothingToSayIsFiveLines takes away everything that there is to
// say, and gives it back one by one.
func TestSalesMail_WithNothingToSayIsFiveLines(t *testing.T) {
	quiet := func() BuildInput {
		in := fixtureInput(t, SalesAgent, "en")
		d := in.Document
		d.AtRisk = slices.DeleteFunc(d.AtRisk, func(a AtRisk) bool { return risky(bandOf(a)) || a.State == churn.StateDormant })
		for id, s := range d.Background.Subscriptions {
			if len(s.Endings) > 0 || d.Background.PreviousRisk[id].Band == churn.BandMedium {
				delete(d.Background.Subscriptions, id)
				delete(d.Background.PreviousRisk, id)
			}
		}
		d.SubscriptionsSold.Value, d.WithoutUsage = new(int64(0)), nil
		return in
	}
	d, r := render(t, quiet())
	want := "All quiet: nobody needs a call\nPolder Cloud · Figures for 6–12 Nov\n\nNone of the 7 customers is at high or medium risk.\n" +
		"No customer newly at risk, recovered or lost since 30 Oct–5 Nov.\nAzure cost in EUR 8% lower than in 30 Oct–5 Nov, the first fall in 7 weeks.\n"
	if got, _, _ := strings.Cut(r.Text, "\n\n--"); strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	checkMail(t, r.HTML)
	if len(d.AllPictures()) != 0 || len(d.Page.Figures) < 6 || len(d.Attachment.Rows) == 0 {
		t.Errorf("%d pictures, %d figures on the page, %d rows attached", len(d.AllPictures()), len(d.Page.Figures), len(d.Attachment.Rows))
	}
	for name, say := range map[string]func(*Document){
		"sold":          func(d *Document) { d.SubscriptionsSold.Value = new(int64(1)) },
		"without usage": func(d *Document) { d.WithoutUsage = newFixture(t, true).WithoutUsage },
		"not read":      func(d *Document) { d.Background.Freshness.Failed = []FailedCustomer{{ID: "c07"}} },
		"not scored":    func(d *Document) { d.Background.Scored = false },
		"lost": func(d *Document) {
			s := d.Background.Subscriptions["s08"]
			s.Status, s.Endings = data.StatusSuspended, []data.Day{d.Period.From}
			d.Background.Subscriptions["s08"] = s
		},
		"at risk": func(d *Document) {
			d.AtRisk = append(d.AtRisk, newFixture(t, true).AtRisk[0])
		},
	} {
		in := quiet()
		say(in.Document)
		if d, _ := render(t, in); len(d.Sections) < 5 {
			t.Errorf("%s: the mail says nothing of it: %d sections", name, len(d.Sections))
		}
	}
}

// TestMail_ThatUsageStandsStill has no finding, whoever reads it.
func TestMail_ThatUsageStandsStill(t *testing.T) {
	for _, role := range Roles() {
		for _, locale := range []string{"nl", "en"} {
			in := fixtureInput(t, role, locale)
			in.Still = &Still{Sent: day(t, "2026-11-16"), On: day(t, "2026-11-23")}
			d, r := render(t, in)
			checkMail(t, r.HTML)
			checkText(t, r.Text)
			want := map[string]string{"nl": "Geen gebruik na 12 nov: de aanvoer staat stil (23 nov)", "en": "No usage after 12 Nov: the feed stands still (23 Nov)"}[locale]
			if r.Subject != want || len(d.Attachment.Rows) > 0 || len(r.Images) > 0 {
				t.Errorf("%s %s: subject %q, %d rows attached", role, locale, r.Subject, len(d.Attachment.Rows))
			}
			for _, c := range in.Document.Background.Customers {
				if strings.Contains(r.HTML+r.Text+string(r.Page), c.Name) && c.Name != "Drukkerij Van Rijn" { // which the admin's freshness names: it could not be read
					t.Errorf("%s %s: the mail names %s", role, locale, c.Name)
				}
			}
		}
	}
}

// TestMail_OfFourHundredCustomersFits has sixty of them at risk.
func TestMail_OfFourHundredCustomersFits(t *testing.T) {
	for _, role := range Roles() {
		for _, locale := range []string{"nl", "en"} {
			in := fixtureInput(t, role, locale)
			d := in.Document
			for i := range 400 - len(d.Background.Customers) {
				id := data.CustomerID(fmt.Sprintf("x%04d", i))
				r := fixtureRisks(t)[i%5]
				r.customer = fmt.Sprintf("%s %d", r.customer, i)
				if i >= 60-4 {
					r.score, r.before, r.band, r.wasBand, r.reasons = .03, .02, churn.BandLow, churn.BandLow, nil
				}
				d.Background.Customers[id] = Customer{Name: r.customer, Contact: "Contact " + r.customer, Phone: "010 555 01 23"}
				addFixtureRisk(t, d, id, data.SubscriptionID(fmt.Sprintf("x%04d-0", i)), r)
			}
			slices.SortFunc(d.AtRisk, compareRisk)
			digest, r := render(t, in)
			checkMail(t, r.HTML)
			t.Logf("%s %s: %d bytes, %d calls", role, locale, len(r.HTML), len(digest.Sections[0].Calls))
			if role != SalesAgent {
				continue
			}
			checkWordsBeforeCharts(t, digest)
			calls := digest.Sections[0]
			for _, c := range calls.Calls {
				if c.Step == "" || len(c.Reasons) == 0 || c.Money == "" {
					t.Errorf("%s: call %d has no question, reason or amount: %+v", locale, c.Rank, c)
				}
			}
			if rest := 60 - len(calls.Calls); len(calls.Calls) < 7 || !strings.Contains(calls.More, fmt.Sprint(rest)) {
				t.Errorf("%s: %d calls and %q", locale, len(calls.Calls), calls.More)
			}
		}
	}
}

func TestUserAdmin_HasNoMoneyAnywhere(t *testing.T) {
	for _, role := range Roles() { // hidden money makes any role the same
		in := fixtureInput(t, role, "nl")
		in.Document = newFixture(t, false)
		_, r := render(t, in)
		for form, s := range map[string]string{"subject": r.Subject, "HTML": r.HTML, "text": r.Text, "CSV": string(r.CSV)} {
			for _, word := range []string{"€", "EUR", "nkoop", "kosten", "erlies per maand"} {
				if strings.Contains(s, word) {
					t.Errorf("%s: the %s without money holds %q", role, form, word)
				}
			}
		}
	}
}

func TestShare_IsBetweenNothingAndAll(t *testing.T) {
	for _, c := range []struct {
		value, widest float64
		want          int
	}{{0, 10, 0}, {-5, 10, 0}, {0.001, 10, 1}, {5, 10, 50}, {10, 10, 100}, {20, 10, 100}, {5, 0, 0}, {5, math.Inf(1), 1}} {
		if got := share(c.value, c.widest); got != c.want {
			t.Errorf("share(%v, %v) = %d, want %d", c.value, c.widest, got, c.want)
		}
	}
}
