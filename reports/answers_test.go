package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/reports/chart"
	"tidemark/transform/churn"
)

// mailedOn is the day of the mails with answers.
const mailedOn = data.Day(20774) // 2026-11-17

// answered are links to answer by, and answers if there are any.
func answered(given ...Feedback) *Answers {
	return &Answers{On: mailedOn, To: "reports@partner.example", Given: given, Token: func(report string, id data.CustomerID, a Action) string {
		return fmt.Sprintf("tm1.%048X", []byte(report[:8]+string(id)+string(a[:2])))[:52]
	}}
}

// said is an answer to the report of a week before, about a customer that stood as the
// fixture has it.
func said(d *Document, id data.CustomerID, a Action) Feedback {
	f := Feedback{ID: string(id) + string(a), Customer: id, Action: a, On: mailedOn - 5, Stood: StandingOf(d.AtRisk, id)}
	if a == Snooze {
		f.Until = new(f.On + SnoozeDays)
	}
	return f
}

func TestRender_WithAnswers(t *testing.T) {
	for _, locale := range []string{"nl", "en"} {
		in := fixtureInput(t, SalesAgent, locale)
		in.Answers = answered(said(in.Document, "c01", Called), said(in.Document, "c02", NotMine), said(in.Document, "c03", Snooze), said(in.Document, "c05", FalseAlarm))
		_, r := render(t, in)
		golden(t, "sales_agent_answered_"+locale+".html", r.HTML)
		golden(t, "sales_agent_answered_"+locale+".txt", "Subject: "+r.Subject+"\n\n"+r.Text)
		checkMail(t, r.HTML)

		in = fixtureInput(t, AdminAgent, locale)
		in.Answers = &Answers{On: mailedOn, Questions: []Question{{"c01", "Anna@partner.example", mailedOn - 5}}}
		_, r = render(t, in)
		golden(t, "admin_agent_asked_"+locale+".txt", "Subject: "+r.Subject+"\n\n"+r.Text)
		checkMail(t, r.HTML)
	}
}

// names are the customers that a sales mail lists to be called.
func listed(d Digest) (names []string) {
	for _, c := range d.Sections[0].Calls {
		names = append(names, c.Name)
	}
	return names
}

func TestAnswers_WhoIsListed(t *testing.T) {
	const bakery, water = data.CustomerID("c02"), data.CustomerID("c03") // of high and of medium risk
	until := mailedOn
	for name, c := range map[string]struct {
		about  data.CustomerID
		action Action
		change func(*Feedback)
		listed bool
		note   string
	}{
		"called":                                     {bakery, Called, nil, true, "noted: called on 12 Nov"},
		"called long ago":                            {bakery, Called, func(f *Feedback) { f.On = mailedOn - noteShown - 1 }, true, ""},
		"not theirs":                                 {bakery, NotMine, nil, false, ""},
		"not theirs, and worse":                      {bakery, NotMine, func(f *Feedback) { f.Stood = Stood{Band: churn.BandLow} }, false, ""},
		"snoozed":                                    {bakery, Snooze, nil, false, ""},
		"snoozed until today":                        {bakery, Snooze, func(f *Feedback) { f.Until = &until }, true, "noted: snoozed on 12 Nov"},
		"snoozed, and the risk rose":                 {bakery, Snooze, func(f *Feedback) { f.Stood.Band = churn.BandMedium }, true, "noted: snoozed on 12 Nov; the risk has risen since"},
		"snoozed, and it stopped":                    {bakery, Snooze, func(f *Feedback) { f.Stood.Stops = nil }, true, "noted: snoozed on 12 Nov; stopped anew since"},
		"snoozed, used again, and it stopped":        {bakery, Snooze, func(f *Feedback) { f.Stood.Stops = map[data.SubscriptionID]data.Day{"s02": mailedOn - 20} }, true, "noted: snoozed on 12 Nov; stopped anew since"},
		"a false alarm":                              {water, FalseAlarm, nil, false, ""},
		"a false alarm, and it stopped":              {bakery, FalseAlarm, func(f *Feedback) { f.Stood.Stops = nil }, false, ""},
		"a false alarm, and the risk rose":           {water, FalseAlarm, func(f *Feedback) { f.Stood.Band = churn.BandLow }, true, "noted: false alarm on 12 Nov; the risk has risen since"},
		"a false alarm, forgotten":                   {water, FalseAlarm, func(f *Feedback) { f.On = mailedOn - answerCounts - 1 }, true, ""},
		"of a customer that is nobody's in the mail": {"c99", NotMine, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := fixtureInput(t, SalesAgent, "en")
			f := said(in.Document, c.about, c.action)
			if c.change != nil {
				c.change(&f)
			}
			in.Answers = answered(f)
			d, _ := render(t, in)
			who := in.Document.Background.Customers[c.about].Name
			at := slices.Index(listed(d), who)
			if who == "" {
				if want, _ := render(t, fixtureInput(t, SalesAgent, "en")); !slices.Equal(listed(d), listed(want)) || d.Headline != want.Headline || len(d.Sections[0].Aside) > 0 {
					t.Errorf("listed are %q", listed(d))
				}
				return
			}
			if (at >= 0) != c.listed {
				t.Fatalf("listed are %q, aside %q", listed(d), d.Sections[0].Aside)
			}
			if at >= 0 && d.Sections[0].Calls[at].Noted != c.note {
				t.Errorf("noted is %q, want %q", d.Sections[0].Calls[at].Noted, c.note)
			}
			if len(d.Sections[0].Aside) > 0 == c.listed {
				t.Errorf("aside %q", d.Sections[0].Aside)
			}
		})
	}
}

// TestFeedback_RisesFromTheLowestPoint has a customer that was at high risk when it was
// called a false alarm, came down, and rose again: it stays listed after that.
func TestFeedback_RisesFromTheLowestPoint(t *testing.T) {
	f := Feedback{ID: "f", Customer: "c", Action: FalseAlarm, On: mailedOn - 21, Stood: Stood{Band: churn.BandHigh}}
	weeks := []churn.Band{churn.BandHigh, churn.BandLow, churn.BandHigh, churn.BandHigh}
	want := []churn.Band{churn.BandHigh, churn.BandLow, churn.BandLow, churn.BandLow}
	counted := map[string]churn.Band{}
	for i, band := range weeks {
		f2 := f.After(LastMail{Sent: f.On + data.Day(7*i), Bands: map[data.CustomerID]churn.Band{"c": band}, Counted: counted})
		if f2.Stood.Band != want[i] {
			t.Errorf("after week %d it counts from %s, want %s", i, f2.Stood.Band, want[i])
		}
		counted = map[string]churn.Band{"f": f2.Stood.Band}
	}
	if f2 := f.After(LastMail{Sent: f.On - 1, Bands: map[data.CustomerID]churn.Band{"c": churn.BandLow}}); f2.Stood.Band != churn.BandHigh {
		t.Error("a mail before the answer changes it")
	}
}

func TestAnswers_AllAside(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	in.Answers = answered()
	for _, id := range []data.CustomerID{"c01", "c02", "c03", "c05"} {
		in.Answers.Given = append(in.Answers.Given, said(in.Document, id, Snooze))
	}
	d, r := render(t, in)
	checkMail(t, r.HTML)
	checkText(t, r.Text)
	if want := "Nobody left to call: 4 customers at risk are set aside (6–12 Nov)"; d.Subject != want {
		t.Errorf("subject %q, want %q", d.Subject, want)
	}
	if strings.Contains(r.Text, "None of the") || strings.Contains(r.Text, "quiet") || strings.Contains(r.Text, "mailto") || !strings.Contains(r.Text, "4 customers snoozed until 12 Dec") {
		t.Errorf("the mail reads:\n%s", r.Text)
	}
}

func TestAnswers_LinksOfALargePortfolioKeepTheMailShort(t *testing.T) {
	for _, locale := range []string{"nl", "en"} {
		in := fixtureInput(t, SalesAgent, locale)
		in.Document = crowd(t, 300, true)
		in.Answers = answered(said(in.Document, "x0001", NotMine), said(in.Document, "x0002", Snooze), said(in.Document, "x0003", FalseAlarm))
		d, r := render(t, in)
		checkMail(t, r.HTML)
		checkText(t, r.Text)
		checkWordsBeforeCharts(t, d)
		if n := len(d.Sections[0].Calls); n < 3 { // of names as long as there are
			t.Errorf("%s: only %d calls fit", locale, n)
		} else {
			t.Logf("%s: %d calls, %d bytes", locale, n, len(r.HTML))
		}
	}
}

func TestAnswers_TextHasEveryFactOfTheHTML(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	in.Answers = answered(said(in.Document, "c01", Called), said(in.Document, "c02", NotMine), said(in.Document, "c03", Snooze))
	_, r := render(t, in)
	checkText(t, r.Text)
	text := strings.Join(strings.Fields(strings.NewReplacer("-", "").Replace(r.Text)), " ")
	for fact := range strings.FieldsSeq(strings.NewReplacer("-", "").Replace(visible(t, r.HTML))) {
		if !strings.Contains(text, fact) {
			t.Errorf("%q of the HTML is not in the text", fact)
		}
	}
}

// TestAnswers_ChangeTheCallsAlone draws portfolios and answers about anybody's customers.
func TestAnswers_ChangeTheCallsAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		given := []Feedback{}
		var questions []Question
		for _, c := range append(w.customers, worldCustomer{id: "cust-99-q"}) {
			if !rapid.Bool().Draw(rt, "answered") {
				continue
			}
			f := Feedback{ID: c.id, Customer: data.CustomerID(c.id), Action: rapid.SampledFrom(Actions()).Draw(rt, "action"),
				On:    mailedOn - data.Day(rapid.IntRange(0, 400).Draw(rt, "days ago")),
				Stood: Stood{Band: rapid.SampledFrom([]churn.Band{"", churn.BandLow, churn.BandMedium, churn.BandHigh}).Draw(rt, "band")}}
			if f.Action == Snooze {
				f.Until = new(f.On + SnoozeDays)
			}
			given, questions = append(given, f), append(questions, Question{f.Customer, "anna@partner.example", f.On})
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		p := w.portfolio(t, mem)
		defer p.Release()
		owners := w.ownership()
		for _, role := range Roles() {
			scope := Everyone()
			if role.Policy().OwnOnly {
				scope = owners.Scope("anna@partner.example")
			}
			doc, err := p.Document(mem, scope, role.Policy().ShowMoney)
			if err != nil {
				rt.Fatal(err)
			}
			in := BuildInput{Document: doc, Role: role, Recipient: Recipient{Address: "anna@partner.example", Role: role, Locale: "en"},
				Partner: Partner{Name: "Polder Cloud"}, Ownership: owners, Agents: []Recipient{{Address: "anna@partner.example"}}}
			plain, _ := renderLight(t, in)
			in.Answers = answered(given...)
			in.Answers.Questions = questions
			heeded, mail := renderLight(t, in)
			for _, c := range w.customers {
				if role == SalesAgent && c.owner != "anna@partner.example" && (strings.Contains(mail.all(), c.name) || strings.Contains(mail.all(), c.id)) {
					rt.Fatalf("%s of another agent's is in the mail", c.name)
				}
			}
			if diff := differing(t, plain, heeded); role == SalesAgent && diff != "" && diff != "calls" || role == AdminAgent && diff != "" && diff != "hand" || role != SalesAgent && role != AdminAgent && diff != "" {
				rt.Fatalf("%s: answers change the sections %s", role, diff)
			}
			if role != SalesAgent {
				continue
			}
			was := listed(plain)
			for _, name := range listed(heeded) {
				if !slices.Contains(was, name) {
					rt.Fatalf("answers make %s appear", name)
				}
			}
			if set := len(was) - len(listed(heeded)); set > 0 != (len(heeded.Sections[0].Aside) > 0) {
				rt.Fatalf("%d are set aside, and the mail says %q", set, heeded.Sections[0].Aside)
			}
		}
	})
}

// differing names the sections of two digests that differ, and what else of them holds
// numbers.
func differing(t *testing.T, x, y Digest) string {
	t.Helper()
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var out []string
	if len(x.Sections) != len(y.Sections) {
		return "count"
	}
	for i := range x.Sections {
		if text(x.Sections[i]) != text(y.Sections[i]) {
			out = append(out, x.Sections[i].ID)
		}
	}
	if text(x.Attachment) != text(y.Attachment) {
		out = append(out, "attachment")
	}
	for _, p := range []*Page{&x.Page, &y.Page} { // which repeats these sections
		p.Figures = slices.DeleteFunc(slices.Clone(p.Figures), func(f chart.Figure) bool { return f.ID == "hand" || f.ID == "calls" })
	}
	if text(x.Page) != text(y.Page) {
		out = append(out, "page")
	}
	if text(x.Freshness) != text(y.Freshness) {
		out = append(out, "freshness")
	}
	return strings.Join(out, " ")
}

func TestAdminMail_AsksWhoseCustomersAre(t *testing.T) {
	in := fixtureInput(t, AdminAgent, "en")
	in.Answers = &Answers{On: mailedOn, Questions: []Question{
		{"c01", "Anna@partner.example", mailedOn - 5},
		{"c03", "anna@partner.example", mailedOn - 5}, // bram's by now
		{"c99", "anna@partner.example", mailedOn - 5}, // gone
	}}
	d, r := render(t, in)
	checkMail(t, r.HTML)
	if n := strings.Count(r.Text, "is not theirs"); n != 1 || !strings.Contains(d.Headline, "1 question of ownership") {
		t.Errorf("%d questions, headline %q:\n%s", n, d.Headline, r.Text)
	}
	for range 2 * maxQuestions {
		in.Answers.Questions = append(in.Answers.Questions, in.Answers.Questions[0])
	}
	_, r = render(t, in)
	if n := strings.Count(r.Text, "is not theirs"); n != maxQuestions || !strings.Contains(r.Text, "and 6 more questions of ownership") {
		t.Errorf("%d questions:\n%s", n, r.Text)
	}
}
