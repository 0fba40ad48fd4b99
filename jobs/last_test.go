package jobs

import (
	"context"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
)

// weekly sends the sales agents' digest of the week that ends on a day.
func weekly(t *testing.T, l *lab, e estate, d Deliverer, run *ledger.Run, end data.Day, also ...func(*Digests)) SendResult {
	t.Helper()
	ctx := context.Background()
	spec, err := data.ParsePeriod(data.Period{From: end - 6, To: end}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(ctx, l.view(), Query{Period: spec, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	mails := e.mails(t, p, reports.SalesAgent)
	mails.Date = d.Now().Add(-time.Duration(end%2) * 12 * time.Hour) // every other week the evening before it is stored
	if mails.Last, err = LastMails(ctx, d.Ledger, l.arc, reports.SalesAgent, p.Inputs.Period); err != nil {
		t.Fatal(err)
	}
	for _, f := range also {
		f(&mails)
	}
	recorder := l.recorder()
	recorder.SettleDays = 0
	out, err := Sending{Ledger: d.Ledger, Run: run, Deliverer: d, Recorder: recorder}.Send(ctx, mails)
	if err != nil && len(out.Failed) > 0 {
		t.Fatalf("%v: %v", err, out.Failed)
	}
	return out
}

// TestLastMails_ComparesWithWhatThisPersonWasSent mails three weeks: anna is sent
// the first two, of which the second does not get through.
func TestLastMails_ComparesWithWhatThisPersonWasSent(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	s := &scripted{answers: map[string][]mail.Outcome{"anna@partner.example": {mail.Sent, mail.Refused, mail.Sent}}}
	d, plant := post(t, 0, s)
	s.now = plant.now
	end := e.window().To
	for i, week := range []data.Day{end - 14, end - 7, end} {
		plant.pass(7 * 24 * time.Hour)
		weekly(t, l, e, d, plant.begun("run"+string(rune('1'+i))), week)
	}
	rows := l.reports()
	if len(rows) != 3 {
		t.Fatalf("%d reports, want 3", len(rows))
	}
	first, second, third := rows[0], rows[1], rows[2]
	if first.Previous != nil || second.Previous == nil || *second.Previous != first.ReportID || third.Previous == nil || *third.Previous != first.ReportID {
		t.Errorf("previous reports %v, %v, %v; want none, and twice the first, which alone arrived", first.Previous, second.Previous, third.Previous)
	}
	for i, row := range rows {
		eml, err := l.arc.Kept(context.Background(), "mails", row.EMLSHA256)
		if err != nil {
			t.Fatal(err)
		}
		text := decoded(t, eml)
		if got := strings.Contains(text, "Sinds uw vorige mail"); got != (i > 0) {
			t.Errorf("mail %d says that it compares with the last mail: %v", i+1, got)
		}
		if i > 0 && !strings.Contains(text, "Vergeleken met uw mail van 23 nov") {
			t.Errorf("mail %d does not say which mail it compares with:\n%s", i+1, text)
		}
		r, err := Reproduce(context.Background(), l.arc, row, nil, Maker{Producer: "test"})
		if err != nil || !r.OK() {
			t.Errorf("mail %d: %+v, %v", i+1, r, err)
		}
	}
	// The risk that stands behind "last mail" is that of the first mail.
	last, err := LastMails(context.Background(), plant.ledger, l.arc, reports.SalesAgent, data.Period{From: end + 1, To: end + 7})
	if err != nil || last["anna@partner.example"].ReportID != third.ReportID || len(last["anna@partner.example"].Risk) != 2 {
		t.Errorf("last mails %+v, %v", last, err)
	}
	if last, err = LastMails(context.Background(), plant.ledger, l.arc, reports.UserAdmin, data.Period{From: end + 1, To: end + 7}); err != nil || len(last) != 0 {
		t.Errorf("another role: %+v, %v", last, err)
	}
}

func TestMailedIn_CountsWhatLeftInThePeriod(t *testing.T) {
	e := smallEstate()
	l := e.archived(t)
	s := &scripted{answers: map[string][]mail.Outcome{"anna@partner.example": {mail.Sent, mail.Refused, mail.Sent}}}
	d, plant := post(t, 0, s)
	s.now = plant.now
	end := e.window().To
	for i, week := range []data.Day{end - 14, end - 7, end} {
		plant.pass(7 * 24 * time.Hour) // 23 and 30 November, 7 December
		weekly(t, l, e, d, plant.begun("run"+string(rune('1'+i))), week)
	}
	for period, want := range map[string]int{"2026-11": 1, "2026-12": 1, "2026-11-23..2026-12-07": 2, "2026-10": 0} {
		p, err := parseDeliveryPeriod(period)
		if err != nil {
			t.Fatal(err)
		}
		got, err := MailedIn(context.Background(), plant.ledger, p)
		if err != nil {
			t.Fatal(err)
		}
		if want == 0 && len(got) != 0 || want > 0 && (len(got) != 1 || got[0] != reports.Mailed{Role: reports.SalesAgent, Sent: want}) {
			t.Errorf("%s: %+v, want %d sales mails", period, got, want)
		}
	}
}
