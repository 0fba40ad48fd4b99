package jobs

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
	"tidemark/transform/churn"
)

const answersTo = "reports@partner.example"

var answerKey = []byte(strings.Repeat("k", MinAnswerKey))

// exchange mails anna week after week, and takes her answers.
type exchange struct {
	t     *testing.T
	e     estate
	lab   *lab
	d     Deliverer
	plant *plant
	runs  int
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	x := &exchange{t: t, e: smallEstate()}
	x.lab = x.e.archived(t)
	s := &scripted{answers: map[string][]mail.Outcome{}}
	x.d, x.plant = post(t, 0, s)
	s.now = x.plant.now
	return x
}

// mail sends the report of the week that ends on a day, and returns it as its reader sees it.
func (x *exchange) mail(end data.Day) (row data.Report, text string) {
	x.t.Helper()
	x.plant.pass(7 * 24 * time.Hour)
	x.runs++
	weekly(x.t, x.lab, x.e, x.d, x.plant.begun("run"+string(rune('0'+x.runs))), end, func(d *Digests) {
		given, _, err := ReadAnswers(context.Background(), x.plant.ledger, reports.SalesAgent, data.DayOf(d.Date))
		if err != nil {
			x.t.Fatal(err)
		}
		d.Answers = &Answers{To: answersTo, Key: answerKey, Given: given}
	})
	rows := x.lab.reports()
	row = rows[len(rows)-1]
	eml, err := x.lab.arc.Kept(context.Background(), "mails", row.EMLSHA256)
	if err != nil {
		x.t.Fatal(err)
	}
	return row, decoded(x.t, eml)
}

func (x *exchange) feedback() Feedback {
	return Feedback{Ledger: x.plant.ledger, Archive: x.lab.arc, Key: answerKey}
}

func (x *exchange) take(token, from string, at time.Time) FeedbackOutcome {
	x.t.Helper()
	out, err := x.feedback().Take(context.Background(), token, from, at)
	if err != nil {
		x.t.Fatal(err)
	}
	return out
}

func (x *exchange) stored() []ledger.Feedback {
	x.t.Helper()
	all, err := x.plant.ledger.Feedback(context.Background(), time.Time{}, answersHeld)
	if err != nil {
		x.t.Fatal(err)
	}
	return all
}

// tokensOf are the tokens of a mail's links, by the human text before them.
func tokensOf(t *testing.T, text string) map[string]string {
	t.Helper()
	tokens := map[string]string{}
	for _, m := range regexp.MustCompile(`href="(mailto:[^"]*)"`).FindAllStringSubmatch(text, -1) {
		u, err := url.Parse(html.UnescapeString(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		subject := u.Query().Get("subject")
		token, _ := FindToken(subject)
		if u.Opaque != answersTo || token == "" || len(subject) >= 150 || strings.Contains(strings.ToLower(m[1]), "lost") {
			t.Errorf("link %s, subject %q", m[1], subject)
		}
		tokens[strings.TrimSpace(strings.TrimSuffix(subject, "["+token+"]"))] = token
	}
	return tokens
}

func TestFeedback_TheNextMailHeedsIt(t *testing.T) {
	for _, c := range []struct {
		link, inNext string
		listed       bool
	}{
		{"Gebeld", "genoteerd: gebeld op ", true},
		{"Niet van mij", "Volgens uw antwoord niet van u: Lost", false},
		{"30 dagen stil", "1 klant stil tot ", false},
		{"Vals alarm", "1 vals alarm volgens uw antwoord, tot het risico stijgt", false},
	} {
		x := newExchange(t)
		end := x.e.window().To
		_, first := x.mail(end - 3)
		tokens := tokensOf(t, first)
		if len(tokens) != 4 {
			t.Fatalf("the mail has the links %v, want four:\n%s", tokens, first)
		}
		if out := x.take(tokens[c.link], "Anna <ANNA@partner.example>", x.plant.now()); out != FeedbackTaken {
			t.Fatalf("%s: %s", c.link, out)
		}
		before := x.stored()
		if out := x.take(tokens[c.link], anna, x.plant.now().Add(time.Hour)); out != FeedbackRepeated {
			t.Errorf("%s once more: %s", c.link, out)
		}
		if after := x.stored(); len(after) != 1 || after[0].At != before[0].At || after[0].Recipient != anna || after[0].Customer != "lost" {
			t.Errorf("stored %+v, then %+v", before, after)
		}
		_, second := x.mail(end)
		if !strings.Contains(strings.Join(strings.Fields(second), " "), c.inNext) {
			t.Errorf("after %s the mail lacks %q:\n%s", c.link, c.inNext, second)
		}
		if listed := strings.Contains(second, "1. Lost"); listed != c.listed {
			t.Errorf("after %s the customer is listed: %v", c.link, listed)
		}
		// Without the key every mail is made again.
		for _, row := range x.lab.reports() {
			r, err := Reproduce(context.Background(), x.lab.arc, row, nil, Maker{Producer: "test"})
			if err != nil || !r.OK() || !r.Rendering.OK {
				t.Errorf("after %s, report %s: %+v, %v", c.link, row.ReportID, r, err)
			}
			if strings.Contains(row.Request, string(answerKey)) {
				t.Error("the key is in the archive")
			}
		}
	}
}

func TestTake_NothingElseCounts(t *testing.T) {
	x := newExchange(t)
	end := x.e.window().To
	row, first := x.mail(end - 3)
	other, second := x.mail(end)
	now := x.plant.now()
	good := tokensOf(t, first)["Gebeld"]
	if tokensOf(t, second)["Gebeld"] == good || row.ReportID == other.ReportID {
		t.Fatal("two reports have the same link")
	}
	parsed, ok := parseToken(good)
	if !ok || parsed.String() != good {
		t.Fatalf("%s is read as %+v", good, parsed)
	}
	bad := map[string]string{}
	for i := range len(good) * 8 { // every bit of the letters
		b := []byte(good)
		b[i/8] ^= 1 << (i % 8)
		bad[string(b)] = "a bit of the text"
	}
	raw, err := base32.StdEncoding.DecodeString(strings.TrimPrefix(good, tokenPrefix))
	if err != nil || len(raw) != tokenBytes {
		t.Fatal(err, len(raw))
	}
	for i := range len(raw) * 8 { // every bit of what they mean
		b := append([]byte(nil), raw...)
		b[i/8] ^= 1 << (i % 8)
		bad[tokenPrefix+base32.StdEncoding.EncodeToString(b)] = "a bit of the token"
	}
	for _, action := range reports.Actions()[1:] {
		p := parsed
		p.action = action
		bad[p.String()] = "another action"
	}
	p := parsed
	p.report = other.ReportID
	bad[p.String()] = "another report"
	p = parsed
	p.customer = 1 - p.customer
	bad[p.String()] = "another customer"
	for key, why := range map[string][]byte{"another recipient": keyOfReport(answerKey, row.ReportID, bram), "another key": keyOfReport([]byte("x"), row.ReportID, anna)} {
		p := parsed
		recipient := anna
		if key == "another recipient" {
			recipient = bram
		}
		p.mac = reportKey(why).mac(p.report, recipient, "lost", p.action)
		bad[p.String()] = key
	}
	p = answerToken{row.ReportID, 0, reports.Called, keyOfReport(answerKey, row.ReportID, anna).mac(row.ReportID, anna, "kept", reports.Called)}
	bad[p.String()] = "a customer that was not to be called, signed with what the archive keeps"
	for token, why := range bad {
		if out := x.take(token, anna, now); out != FeedbackForged && out != FeedbackUnknown {
			t.Errorf("%s, %s: %s", why, token, out)
		}
	}
	for _, from := range []string{bram, "", "anna", anna + ", " + bram, "undisclosed:;", `"anna@partner.example" <eve@evil.example>`, "anna@partner.example.evil.example", "Anna <anna@partner.example> <x@y.example>"} {
		if out := x.take(good, from, now); out != FeedbackForeign {
			t.Errorf("from %q: %s", from, out)
		}
	}
	if out := x.take(good, anna, now.Add(AnswerWithin)); out != FeedbackExpired {
		t.Errorf("too late: %s", out)
	}
	if all := x.stored(); len(all) != 0 {
		t.Fatalf("stored %+v", all)
	}
	// The control: the same token is taken when it is hers, in time.
	if out := x.take(good, anna, now); out != FeedbackTaken {
		t.Errorf("the good one: %s", out)
	}
}

// TestTake_OnlyWhatLeft has the same report in every state of a delivery.
func TestTake_OnlyWhatLeft(t *testing.T) {
	for _, state := range ledger.DeliveryStates() {
		x := newExchange(t)
		_, text := x.mail(x.e.window().To)
		token := tokensOf(t, text)["Gebeld"]
		all, err := x.plant.ledger.Deliveries(context.Background(), ledger.Query{Recipient: anna})
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if err := x.plant.ledger.Advance(context.Background(), &all[0], ledger.Sent, state, ""); err != nil {
			t.Fatal(err)
		}
		want := FeedbackUnknown
		if state == ledger.Sent || state == ledger.Unknown || state == ledger.Bounced {
			want = FeedbackTaken
		}
		if out := x.take(token, anna, x.plant.now()); out != want {
			t.Errorf("a report that is %s: %s, want %s", state, out, want)
		}
	}
}

func TestReadAnswers_OfOnePersonAreOnesOwn(t *testing.T) {
	l := newPlant(t, time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)).ledger
	at := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	for i, f := range []ledger.Feedback{
		{Recipient: anna, Customer: "c1", Action: "not_mine", At: at.Add(-time.Hour)},
		{Recipient: bram, Customer: "c1", Action: "called", At: at},
		{Recipient: bram, Customer: "c2", Action: "not_mine", At: at.Add(-2 * time.Hour)},
		{Recipient: bram, Customer: "c2", Action: "called", At: at.Add(-time.Hour)}, // changed his mind
		{Recipient: anna, Customer: "c3", Action: "called", At: at.Add(-400 * 24 * time.Hour)},
	} {
		f.ID, f.Stood = string(rune('a'+i)), "{}"
		if _, err := l.TakeFeedback(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	given, questions, err := ReadAnswers(context.Background(), l, reports.SalesAgent, data.DayOf(at))
	if err != nil || questions != nil || len(given) != 2 || len(given[anna]) != 1 || given[anna][0].Action != reports.NotMine || len(given[bram]) != 2 {
		t.Errorf("given %+v, questions %+v, %v", given, questions, err)
	}
	given, questions, err = ReadAnswers(context.Background(), l, reports.AdminAgent, data.DayOf(at))
	if err != nil || given != nil || len(questions) != 1 || questions[0].By != anna || questions[0].Customer != "c1" {
		t.Errorf("given %+v, questions %+v, %v", given, questions, err)
	}
	for _, role := range []reports.Role{reports.UserAdmin, reports.GlobalAdmin} {
		if given, questions, err = ReadAnswers(context.Background(), l, role, data.DayOf(at)); err != nil || given != nil || questions != nil {
			t.Errorf("%s is given %v, %v, %v", role, given, questions, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	good := answerToken{"abcdefghijklmnop", 7, reports.Snooze, [tokenMAC]byte{1, 2, 3}}.String()
	for _, s := range []string{good, "", "tm1.", good[:51], good + "A", strings.ToLower(good), "tm2" + good[3:], "Re: Gebeld [" + good + "]", "[" + good + "][" + good + "]", good[:20] + "\n" + good[21:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if token, ok := parseToken(s); ok && token.String() != s {
			t.Errorf("%q is read as %+v, which is written %q", s, token, token.String())
		}
		token, found := FindToken(s)
		letters := strings.ToUpper(strings.Join(strings.Fields(s), ""))
		if token != "" && (!found || len(token) != len(good) || !strings.Contains(letters, strings.ToUpper(token))) {
			t.Errorf("in %q it finds %q, %v", s, token, found)
		}
	})
}

// TestFindToken_AsMailProgramsLeaveIt has subjects as they come back.
func TestFindToken_AsMailProgramsLeaveIt(t *testing.T) {
	good := answerToken{"abcdefghijklmnop", 7, reports.Snooze, [tokenMAC]byte{1, 2, 3}}.String()
	for subject, want := range map[string]string{
		"Gebeld [" + good + "]":                             good,
		"Re: Fwd: Gebeld [" + good + "]":                    good,
		"Gebeld [" + good[:17] + " " + good[17:] + "]":      good, // folded
		"Gebeld [" + good[:17] + "\t" + good[17:] + "]":     good,
		"Gebeld%20%5B" + good + "%5D":                       good, // a link taken as it stands
		"gebeld [" + strings.ToLower(good) + "]":            good,
		"Gebeld [" + good[:len(good)-1] + "]":               "damaged",
		"Gebeld [" + good + "A]":                            "damaged",
		"Gebeld " + good:                                    "damaged",
		"Gebeld [" + good + "] Niet van mij [" + good + "]": "damaged",
		"Gebeld":                   "",
		"What is [tm1.x] to mean?": "",
	} {
		token, found := FindToken(subject)
		if want == "damaged" && token == "" && found || want == "" && !found || found && token == want {
			continue
		}
		t.Errorf("in %q it finds %q, %v, want %q", subject, token, found, want)
	}
}

// TestIsFrom_WhateverTheNameIsWrittenIn has one address under names of all kinds.
func TestIsFrom_WhateverTheNameIsWrittenIn(t *testing.T) {
	for _, header := range []string{"ANNA@partner.example", "=?Windows-1252?Q?Ann=E9?= <anna@partner.example>", "=?koi8-r?B?4c7OwQ==?= <anna@partner.example>", "Ann\xe9 <anna@partner.example>",
		`"=?utf-8?Q?Anna?=" <anna@partner.example>`, "team: Anna <anna@partner.example>;", `"anna@other.example" <anna@partner.example>`} {
		if !isFrom(header, anna) {
			t.Errorf("%q is not from %s", header, anna)
		}
	}
	for _, header := range []string{"=?Windows-1252?Q?anna=40partner.example?= <eve@evil.example>", "=?utf-16?B?AGE=?= <eve@evil.example>", "=?x?Q?anna=40partner.example?=", "Ann\xe9@partner.example"} {
		if isFrom(header, anna) {
			t.Errorf("%q is from %s", header, anna)
		}
	}
}

// TestDigests_AnAnswerIsItsAuthorsAlone has two agents of one customer: what anna answered
// leaves bram's mail as it is to the last byte, and is no secret to the admin agent.
func TestDigests_AnAnswerIsItsAuthorsAlone(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	end := e.window().To
	spec, err := data.ParsePeriod(data.Period{From: end - 6, To: end}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(context.Background(), l.view(), Query{Period: spec, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	owners, err := reports.ReadOwnership("owners.csv", strings.NewReader("customer_id,address\nlost,"+anna+"\nlost,"+bram+"\nkept,"+bram+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	on := data.DayOf(e.mails(t, p, reports.SalesAgent).Date)
	stood := reports.Stood{Band: "High"}
	mails := func(role reports.Role, answers *Answers) map[string]Built {
		d := e.mails(t, p, role)
		d.Ownership, d.Answers = owners, answers
		d.Recipients = []reports.Recipient{{Address: anna, Name: "Anna", Role: reports.SalesAgent}, {Address: bram, Role: reports.SalesAgent}, {Address: coen, Role: reports.AdminAgent}, {Address: "umut@partner.example", Role: reports.UserAdmin}}
		all := map[string]Built{}
		for b, err := range d.Build(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			all[b.Recipient.Address] = b
		}
		return all
	}
	none := &Answers{To: answersTo, Key: answerKey}
	given := &Answers{To: answersTo, Key: answerKey, Questions: []reports.Question{{Customer: "lost", By: anna, On: on}},
		Given: map[string][]reports.Feedback{anna: {
			{ID: "a", Customer: "lost", Action: reports.NotMine, On: on, Stood: stood},
			{ID: "b", Customer: "kept", Action: reports.Called, On: on, Stood: stood}}}} // was hers once
	before, after := mails(reports.SalesAgent, none), mails(reports.SalesAgent, given)
	if string(before[bram].EML) != string(after[bram].EML) {
		t.Error("anna's answer changes bram's mail")
	}
	text := decoded(t, after[anna].EML)
	if strings.Contains(text, "1. Lost") || !strings.Contains(text, "niet van u: Lost") || !strings.Contains(decoded(t, before[anna].EML), "1. Lost") {
		t.Errorf("anna's mail reads:\n%s", text)
	}
	if kept := after[anna].answers.Given; len(kept) != 1 || strings.Contains(text, "Kept") || strings.Contains(text, "kept") {
		t.Errorf("of a customer that is not hers the report has %+v:\n%s", kept, text)
	}
	if text := decoded(t, mails(reports.AdminAgent, given)[coen].EML); !strings.Contains(strings.Join(strings.Fields(text), " "), "Toewijzing: volgens Anna is Lost niet van hen") {
		t.Errorf("the admin agent's mail reads:\n%s", text)
	}
	if strings.Contains(decoded(t, mails(reports.UserAdmin, given)["umut@partner.example"].EML), "Toewijzing: volgens") {
		t.Error("somebody else is asked whose the customer is")
	}
}

// TestRecord_KeepsWhatAnswersCountFrom follows a false alarm from mail to mail.
func TestRecord_KeepsWhatAnswersCountFrom(t *testing.T) {
	x := newExchange(t)
	end := x.e.window().To
	_, first := x.mail(end - 3)
	if out := x.take(tokensOf(t, first)["Vals alarm"], anna, x.plant.now()); out != FeedbackTaken {
		t.Fatal(out)
	}
	x.mail(end)
	rows := x.lab.reports()
	var secrets []string
	for _, row := range rows {
		var req request
		if err := json.Unmarshal([]byte(row.Request), &req); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string(req.Answers.Secret))
	}
	if len(secrets) != 2 || secrets[0] == secrets[1] || secrets[0] == "" || secrets[0] == string(keyOfReport(answerKey, rows[0].ReportID, bram)) {
		t.Error("one report's secret signs answers to another")
	}
	id := x.stored()[0].ID
	last, err := lastMail(rows[1], data.DayOf(x.plant.now()))
	if err != nil || last.Counted[id] != "High" || last.Bands["lost"] != "High" || last.Bands["kept"] != "Low" {
		t.Fatalf("%+v, %v", last, err)
	}
	given, _, err := ReadAnswers(context.Background(), x.plant.ledger, reports.SalesAgent, last.Sent+7)
	if err != nil {
		t.Fatal(err)
	}
	doc := &reports.Document{Background: reports.Background{Customers: map[data.CustomerID]reports.Customer{"lost": {}}}}
	for counted, want := range map[churn.Band]churn.Band{"High": "High", "Low": "Low"} {
		last.Counted[id] = counted
		d := Digests{Role: reports.SalesAgent, Date: (last.Sent + 7).Time(), Answers: &Answers{Given: given}}
		if in := d.answers(reports.Recipient{Address: anna}, doc, &last); len(in.Given) != 1 || in.Given[0].Stood.Band != want {
			t.Errorf("after a mail that counted from %s: %+v", counted, in.Given)
		}
	}
}
