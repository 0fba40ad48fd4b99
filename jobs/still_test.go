package jobs

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/reports"
)

// TestSend_SaysThatUsageStandsStill has three Mondays without a new day of usage,
// the first of which is worked twice.
func TestSend_SaysThatUsageStandsStill(t *testing.T) {
	ctx := context.Background()
	e := smallEstate()
	l := e.archived(t)
	s := &scripted{}
	d, plant := post(t, 0, s)
	s.now = plant.now
	recorder := l.recorder()
	send := func(name string, latest bool) SendResult {
		t.Helper()
		latestWeek, err := data.ParsePeriod("latest-7d")
		if err != nil {
			t.Fatal(err)
		}
		p, err := Load(ctx, l.view(), Query{Period: latestWeek})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Release()
		mails := e.mails(t, p, reports.SalesAgent)
		mails.Date = plant.now()
		recorder.SettleDays, recorder.Run.ID = 0, name
		sending := Sending{Ledger: d.Ledger, Run: plant.begun(name), Deliverer: d, Recorder: recorder}
		if latest {
			sending.Previous = plant.now().Add(-7 * 24 * time.Hour)
		}
		out, err := sending.Send(ctx, mails)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return out
	}
	anna := []string{"anna@partner.example"}
	if out := send("monday1", true); out.Delivered.Sent != 1 || out.Still != nil {
		t.Errorf("first Monday: %+v", out)
	}
	if out := send("monday1-caught-up", true); out.Delivered.Sent != 0 || out.Still != nil || !slices.Equal(out.Already, anna) {
		t.Errorf("another slot that is worked at the same time: %+v", out)
	}
	plant.pass(3 * 24 * time.Hour)
	if out := send("by-hand", false); out.Delivered.Sent != 0 || !slices.Equal(out.Already, anna) {
		t.Errorf("a run by hand: %+v", out)
	}
	plant.pass(4 * 24 * time.Hour)
	if out := send("monday2", true); out.Delivered.Sent != 1 || !slices.Equal(out.Still, anna) || out.Already != nil {
		t.Errorf("second Monday: %+v", out)
	}
	if out := send("monday2-other-job", true); out.Delivered.Sent != 0 {
		t.Errorf("the same Monday again: %+v", out)
	}
	plant.pass(7 * 24 * time.Hour)
	if out := send("monday3", true); out.Delivered.Sent != 1 || !slices.Equal(out.Still, anna) {
		t.Errorf("third Monday: %+v", out)
	}

	rows := l.reports()
	if len(rows) < 3 {
		t.Fatalf("%d reports are recorded, want 3", len(rows))
	}
	second := rows[1]
	eml, err := l.arc.Kept(ctx, "mails", second.EMLSHA256)
	if err != nil {
		t.Fatal(err)
	}
	text := decoded(t, eml)
	for _, want := range []string{"de aanvoer staat stil", "Uw rapport van 16 nov gaat over dezelfde dagen en geldt nog."} {
		if !strings.Contains(text, want) {
			t.Errorf("the mail of the second Monday does not say %q:\n%s", want, text)
		}
	}
	for _, never := range []string{"Lost", "s-lost", "bellen", ".csv", "image/png"} {
		if strings.Contains(text, never) {
			t.Errorf("the mail of the second Monday holds %q", never)
		}
	}
	for _, row := range rows {
		r, err := Reproduce(ctx, l.arc, row, nil, Maker{Producer: "test"})
		if err != nil || !r.OK() {
			t.Errorf("report %s: %+v, %v", row.ReportID, r, err)
		}
	}
	last, err := LastMails(ctx, plant.ledger, l.arc, reports.SalesAgent, data.Period{From: e.window().To + 1, To: e.window().To + 7})
	if err != nil || last["anna@partner.example"].ReportID != rows[0].ReportID {
		t.Errorf("the next report compares with %+v, want the first, which had findings; %v", last, err)
	}
}
