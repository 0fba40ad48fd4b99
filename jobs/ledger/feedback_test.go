package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTakeFeedback_EachAnswerOnce(t *testing.T) {
	l, c := newLedger(t)
	until := c.now().Add(30 * 24 * time.Hour)
	first := Feedback{ID: "a", At: c.now(), Recipient: "Anna@Partner.example", Customer: "c1", Action: "snooze", Report: "r", Until: &until, Stood: `{"band":"High"}`}
	second := Feedback{ID: "b", At: c.now().Add(time.Hour), Recipient: "bram@partner.example", Customer: "c1", Action: "called", Report: "s", Stood: "{}"}
	for i, f := range []Feedback{first, second, first, {ID: "a", At: second.At, Customer: "c2", Action: "called"}} {
		if fresh := must[bool](t)(l.TakeFeedback(ctx, f)); fresh != (i < 2) {
			t.Errorf("answer %d is fresh: %v", i, fresh)
		}
	}
	first.Recipient = "anna@partner.example"
	for _, q := range []struct {
		since time.Time
		limit int
		want  []Feedback
	}{
		{time.Time{}, 9, []Feedback{second, first}},
		{time.Time{}, 1, []Feedback{second}},
		{second.At, 9, []Feedback{second}},
		{second.At.Add(time.Hour), 9, nil},
	} {
		if diff := cmp.Diff(q.want, must[[]Feedback](t)(l.Feedback(ctx, q.since, q.limit))); diff != "" {
			t.Errorf("%d since %s: want -, got +:\n%s", q.limit, q.since, diff)
		}
	}
}

func TestDeliveries_OfOneReport(t *testing.T) {
	l, c := newLedger(t)
	for _, report := range []string{"r1", "r2"} {
		m := mail("run", report+"@partner.example", c.now().Add(time.Hour))
		m.ID, m.Report = report, report
		must[int](t)(l.Enqueue(ctx, "run", []Mail{m}))
	}
	got := must[[]Delivery](t)(l.Deliveries(ctx, Query{Report: "r2"}))
	if len(got) != 1 || got[0].ID != "r2" {
		t.Errorf("deliveries of report r2: %+v", got)
	}
}
