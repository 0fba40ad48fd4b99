package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/jobs/ledger"
	"tidemark/reports/mail"
)

// scripted is a Sender that answers by recipient.
type scripted struct {
	answers map[string][]mail.Outcome // used up in order; none left: Sent
	got     []string
	at      []time.Time
	now     func() time.Time
	after   func(to string) // is called when a mail has arrived; nil: nothing is
	down    bool            // nobody can be reached
	tries   int
}

func (*scripted) Close() error { return nil }

func (s *scripted) Send(_ context.Context, e mail.Envelope, _ []byte, dot func() error) mail.Result {
	s.tries++
	if s.down {
		return mail.Result{Outcome: mail.Unsent, Reply: "connection refused", Err: errors.New("connection refused"), Down: true}
	}
	outcome := mail.Sent
	if next := s.answers[e.To]; len(next) > 0 {
		outcome, s.answers[e.To] = next[0], next[1:]
	}
	if outcome == mail.Sent || outcome == mail.Unknown {
		if err := dot(); err != nil {
			return mail.Result{Outcome: mail.Unsent, Err: err}
		}
		s.got, s.at = append(s.got, e.To), append(s.at, s.now())
	}
	if outcome == mail.Sent {
		if s.after != nil {
			s.after(e.To)
		}
		return mail.Result{Outcome: outcome, Reply: "250 ok"}
	}
	return mail.Result{Outcome: outcome, Reply: "scripted", Err: errors.New("scripted")}
}

// post is a ledger with a run of mails and a deliverer whose waiting moves the
// clock.
func post(t *testing.T, people int, s *scripted) (Deliverer, *plant) {
	t.Helper()
	return postWithin(t, people, s, 12*time.Hour)
}

// postWithin is post with mails that are tried for a while.
func postWithin(t *testing.T, people int, s *scripted, within time.Duration) (Deliverer, *plant) {
	t.Helper()
	p := newPlant(t, time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC))
	s.now = p.now
	var mails []ledger.Mail
	for i := range people {
		mails = append(mails, ledger.Mail{EML: []byte("x"), Delivery: ledger.Delivery{ID: fmt.Sprint("id", i), Kind: kindDigest, Role: "sales_agent",
			Period: "p", Recipient: fmt.Sprintf("p%d@partner.example", i), Deadline: p.now().Add(within)}})
	}
	if _, err := p.ledger.Enqueue(context.Background(), "run", mails); err != nil {
		t.Fatal(err)
	}
	return Deliverer{Ledger: p.ledger, Sender: s, Now: p.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Wait: func(ctx context.Context, until time.Time) error {
			if d := until.Sub(p.now()); d > 0 {
				p.pass(d)
			}
			return ctx.Err()
		}}, p
}

// delivered works the run off, taking it up again whenever its mails are due.
func delivered(t *testing.T, d Deliverer, p *plant) Delivered {
	t.Helper()
	for {
		got, err := d.Deliver(context.Background(), "run", FileOf)
		var later Later
		if err == nil {
			return got
		} else if !errors.As(err, &later) || !later.Until.After(p.now()) || later.Mails != got.Pending {
			t.Fatalf("%+v, %v", got, err)
		}
		p.pass(later.Until.Sub(p.now()))
	}
}

func TestDeliver_AFailingRecipientHoldsNobody(t *testing.T) {
	s := &scripted{answers: map[string][]mail.Outcome{
		"p0@partner.example": {mail.Refused}, "p1@partner.example": {mail.Unsent, mail.Unsent}, "p2@partner.example": {mail.Unknown},
	}}
	d, p := post(t, 5, s)
	trouble := 0
	d.Trouble = func(context.Context, string, string) { trouble++ }
	start := p.now()
	got := delivered(t, d, p)
	if diff := cmp.Diff(got, Delivered{Sent: 3, Failed: 1, Unknown: 1}); diff != "" {
		t.Errorf("outcomes (-got +want):\n%s", diff)
	}
	if trouble != 0 {
		t.Errorf("trouble was raised %d times for one recipient", trouble)
	}
	// The unknown one and the three that were sent went out once; the one that
	// was put off twice came last, after one and five minutes.
	if diff := cmp.Diff(s.got, []string{"p2@partner.example", "p3@partner.example", "p4@partner.example", "p1@partner.example"}); diff != "" {
		t.Errorf("order (-got +want):\n%s", diff)
	}
	if late := s.at[3].Sub(start); late != 6*time.Minute {
		t.Errorf("the mail put off twice left after %s, want 6m", late)
	}
}

func TestDeliver_AMailThatIsNeverTakenFailsAtItsDeadline(t *testing.T) {
	always := make([]mail.Outcome, 100)
	for i := range always {
		always[i] = mail.Unsent
	}
	d, p := post(t, 1, &scripted{answers: map[string][]mail.Outcome{"p0@partner.example": always}})
	start := p.now()
	if got := delivered(t, d, p); got.Failed != 1 || p.now().Sub(start) > 12*time.Hour {
		t.Errorf("%+v after %s", got, p.now().Sub(start))
	}
}

func TestDeliver_NoMailLeavesAfterItsDeadline(t *testing.T) {
	s := &scripted{}
	d, p := post(t, 1, s)
	p.pass(12*time.Hour + time.Minute) // nobody served
	if got := delivered(t, d, p); got != (Delivered{Failed: 1}) || s.tries != 0 {
		t.Errorf("%+v after %d tries", got, s.tries)
	}
	del, err := p.ledger.Delivery(t.Context(), "id0")
	if err != nil || !strings.HasPrefix(del.Reply, "not accepted in time: ") {
		t.Errorf("reply %q, %v", del.Reply, err)
	}
}

// TestDeliver_WhatOurOwnLimitsPutOffIsTriedLonger has mails whose time would be
// over before it is their turn.
func TestDeliver_WhatOurOwnLimitsPutOffIsTriedLonger(t *testing.T) {
	for name, set := range map[string]func(*Deliverer){
		"pace":        func(d *Deliverer) { d.Pace = 1 },
		"daily limit": func(d *Deliverer) { d.DailyLimit = 1 },
	} {
		s := &scripted{}
		d, p := postWithin(t, 4, s, 30*time.Second)
		set(&d)
		if got := delivered(t, d, p); got.Sent != 4 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Asked twice about the same wait it is counted once.
	d, p := post(t, 2, &scripted{})
	d.DailyLimit = 1
	for range 3 {
		if _, err := d.Deliver(t.Context(), "run", FileOf); !errors.As(err, new(Later)) {
			t.Fatal(err)
		}
	}
	left, err := p.ledger.Deliveries(t.Context(), ledger.Query{State: ledger.Pending})
	if err != nil || len(left) != 1 || left[0].Deadline.Sub(p.now()) > 36*time.Hour+time.Second {
		t.Errorf("left %+v, %v; want a deadline 24 h later than 12 h from now", left, err)
	}
}

// TestDeliver_WhatIsSaidIsNotCutOffByTheStop stops the run with its first mail.
func TestDeliver_WhatIsSaidIsNotCutOffByTheStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &scripted{after: func(string) { cancel() }}
	d, _ := post(t, 2, s)
	said := errors.New("nothing")
	d.Works = func(ctx context.Context) { said = ctx.Err() }
	if _, err := d.Deliver(ctx, "run", FileOf); !errors.Is(err, context.Canceled) || said != nil {
		t.Errorf("deliver %v, said %v", err, said)
	}
}

func TestDeliver_RulesOfTheLastLook(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*Deliverer)
		want Delivered
	}{
		"a domain that is not allowed":      {func(d *Deliverer) { d.AllowDomains = []string{"other.example"} }, Delivered{Failed: 1}},
		"an allowed domain in another case": {func(d *Deliverer) { d.AllowDomains = []string{"PARTNER.example"} }, Delivered{Sent: 1}},
		"a suppressed address": {func(d *Deliverer) {
			if err := d.Ledger.Suppress(context.Background(), "P0@partner.example", "asked for it"); err != nil {
				t.Fatal(err)
			}
		}, Delivered{}},
		"a mail made before divert was set": {func(d *Deliverer) { d.Divert = "ops@partner.example" }, Delivered{Failed: 1}},
	} {
		s := &scripted{}
		d, _ := post(t, 1, s)
		c.set(&d)
		got, err := d.Deliver(context.Background(), "run", FileOf)
		if err != nil || got != c.want || len(s.got) != c.want.Sent {
			t.Errorf("%s: %+v, %v, %v", name, got, s.got, err)
		}
	}
}

func TestDeliver_KeepsPaceAndDailyLimit(t *testing.T) {
	s := &scripted{}
	d, p := post(t, 60, s)
	d.Pace = 25
	delivered(t, d, p)
	for i := range s.at {
		if i >= 25 && s.at[i].Sub(s.at[i-25]) < time.Minute {
			t.Fatalf("mails %d to %d left within %s", i-25, i, s.at[i].Sub(s.at[i-25]))
		}
	}
	s = &scripted{}
	d, p = post(t, 25, s)
	d.DailyLimit = 10
	delivered(t, d, p)
	for i := range s.at {
		if i >= 10 && s.at[i].Sub(s.at[i-10]) < 24*time.Hour {
			t.Fatalf("mails %d to %d left within %s", i-10, i, s.at[i].Sub(s.at[i-10]))
		}
	}
	if len(s.got) != 25 {
		t.Errorf("%d mails left, want 25", len(s.got))
	}
}

func TestAllowed_ADomainIsTheSameHoweverItIsWritten(t *testing.T) {
	for _, c := range []struct {
		address, domain string
		want            bool
	}{
		{"a@partner.example", "PARTNER.example", true},
		{"a@müller.example", "xn--mller-kva.example", true},
		{"a@XN--MLLER-kva.example", "Müller.example", true},
		{"a@evil.example", "partner.example", false},
		{"a@sub.partner.example", "partner.example", false},
		{"a@partner.example.evil.example", "partner.example", false},
		{"a@not a domain", "not a domain", false},
	} {
		if got := Allowed(c.address, []string{c.domain}); got != c.want {
			t.Errorf("%s in %s: %v", c.address, c.domain, got)
		}
	}
}

// TestDeliver_ARelayThatIsDownIsAskedOnceATime has forty mails for it: the batch
// waits for the one that is tried, and operators hear of it once and of its end.
func TestDeliver_ARelayThatIsDownIsAskedOnceATime(t *testing.T) {
	s := &scripted{down: true}
	d, p := post(t, 40, s)
	trouble, works := 0, 0
	d.Trouble = func(context.Context, string, string) { trouble++ }
	d.Works = func(context.Context) { works++ }
	start := p.now()
	for i, want := range []time.Duration{time.Minute, 6 * time.Minute, 21 * time.Minute, 81 * time.Minute} {
		got, err := d.Deliver(context.Background(), "run", FileOf)
		var later Later
		if !errors.As(err, &later) || later.Until.Sub(start) != want || got.Pending != 40 || s.tries != i+1 || later.Why != "connection refused" {
			t.Fatalf("after %d tries: %+v, %v; want it to wait until %s", s.tries, got, err, start.Add(want))
		}
		p.pass(later.Until.Sub(p.now()))
	}
	if trouble != 2 || works != 0 {
		t.Errorf("trouble was told %d times, want at the third and fourth try", trouble)
	}
	s.down = false
	if got := delivered(t, d, p); got.Sent != 40 || works != 1 {
		t.Errorf("%+v, the end of it was told %d times", got, works)
	}
}
