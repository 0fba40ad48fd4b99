package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
	"tidemark/reports/mail"
)

// plant is a runner under test with a clock that the test moves.
type plant struct {
	t      *testing.T
	file   string
	mu     sync.Mutex
	clock  time.Time
	ledger *ledger.Ledger
	runner *Runner
	starts int
}

func newPlant(t *testing.T, start time.Time, jobs ...Job) *plant {
	t.Helper()
	p := &plant{t: t, file: filepath.Join(t.TempDir(), "tidemark.db"), clock: start}
	p.restart(jobs...)
	return p
}

func (p *plant) now() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.clock }

func (p *plant) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = p.clock.Add(d)
}

// restart is another process on the same ledger.
func (p *plant) restart(jobs ...Job) {
	p.t.Helper()
	p.starts++
	l, err := ledger.Open(context.Background(), p.file, ledger.Options{Now: p.now, Owner: fmt.Sprint("process ", p.starts)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			p.t.Error(err)
		}
	})
	p.ledger = l
	p.runner = &Runner{Ledger: l, Jobs: jobs, Now: p.now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// begun is a run of a job that has just begun.
func (p *plant) begun(job string) *ledger.Run {
	p.t.Helper()
	run, err := p.ledger.Begin(context.Background(), job, p.now(), "", "")
	if err != nil || run == nil {
		p.t.Fatalf("begin %s: %v, %v", job, run, err)
	}
	return run
}

// turn plans and works off everything that is due.
func (p *plant) turn() {
	p.t.Helper()
	if err := p.runner.Plan(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	for {
		worked, err := p.runner.Work(context.Background(), "")
		if err != nil {
			p.t.Fatal(err)
		}
		if !worked {
			return
		}
	}
}

func testJob(t *testing.T, name, cron string, execute func(*ledger.Run) error) Job {
	t.Helper()
	return Job{Name: name, Schedule: schedule(t, cron, "Europe/Amsterdam"), Execute: func(_ context.Context, run *ledger.Run) (Outcome, error) {
		return Outcome{}, execute(run)
	}}
}

func TestRunner_TwoYearsOfOperationWithFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	done := map[string]int{}
	execute := func(run *ledger.Run) error {
		switch rng.IntN(20) {
		case 0:
			return errors.New("the source is down")
		case 1:
			panic("a bug")
		}
		done[run.ID]++
		return nil
	}
	all := []Job{testJob(t, "nightly", "30 2 * * *", execute), testJob(t, "weekly", "0 7 * * MON", execute), testJob(t, "monthly", "0 8 1 * *", execute)}
	all[0].CatchUp = "all"
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := newPlant(t, start, all...)
	for end := start.AddDate(2, 0, 0); p.now().Before(end); {
		p.turn()
		p.pass(20 * time.Minute)
		switch rng.IntN(400) {
		case 0: // the program is started anew
			p.restart(all...)
		case 1: // the machine is down for up to four days
			p.pass(time.Duration(rng.IntN(96)) * time.Hour)
			p.restart(all...)
		}
	}
	p.turn()
	for _, j := range all {
		runs, err := p.ledger.Runs(context.Background(), j.Name, 5000)
		if err != nil {
			t.Fatal(err)
		}
		states := map[ledger.RunState]int{}
		slots := map[time.Time]bool{}
		for _, r := range runs {
			states[r.State]++
			slots[r.Slot] = true
			if (r.State == ledger.Done) != (done[r.ID] == 1) || done[r.ID] > 1 {
				t.Errorf("%s is %s and was done %d times", r.ID, r.State, done[r.ID])
			}
			if r.State == ledger.Skipped && r.Note == "" {
				t.Errorf("%s was skipped without a reason", r.ID)
			}
		}
		// Every slot of the calendar is there: done, failed or skipped, never lost.
		for slot := j.Schedule.Next(start); slot.Before(p.now().Add(-time.Hour)); slot = j.Schedule.Next(slot) {
			if !slots[slot.UTC()] {
				t.Errorf("%s: the slot %s is lost", j.Name, slot)
			}
		}
		t.Logf("%s: %v", j.Name, states)
	}
}

// TestRunner_TwoYearsOfMailWithFaults sends three people a mail each week over a
// relay that refuses, puts off, loses answers and is down, while the program is
// stopped and started anew in between. What arrived is counted by the relay alone.
func TestRunner_TwoYearsOfMailWithFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	arrived := map[string]int{} // by delivery
	var stop context.CancelFunc
	sender := sendFunc(func(e mail.Envelope, dot func() error) mail.Result {
		failed := func(o mail.Outcome, down bool) mail.Result {
			return mail.Result{Outcome: o, Reply: "no", Err: errors.New("no"), Down: down}
		}
		n := rng.IntN(100)
		switch {
		case n < 3:
			return failed(mail.Unsent, true)
		case n < 15:
			return failed(mail.Unsent, false)
		case n < 18:
			return failed(mail.Refused, false)
		}
		if err := dot(); err != nil {
			return mail.Result{Outcome: mail.Unsent, Err: err}
		}
		if n == 99 { // lost, not taken
			return failed(mail.Unknown, false)
		}
		arrived[e.Name]++
		if n == 98 { // lost, taken
			return failed(mail.Unknown, false)
		}
		if n > 90 {
			stop()
		}
		return mail.Result{Outcome: mail.Sent, Reply: "250 ok"}
	})
	var p *plant
	deliver := func(ctx context.Context, run *ledger.Run) (Outcome, error) {
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		d := Deliverer{Ledger: p.ledger, Sender: sender, Now: p.now, Log: p.runner.Log, Wait: func(ctx context.Context, _ time.Time) error { return ctx.Err() }}
		out, err := d.Deliver(ctx, run.ID, func(d ledger.Delivery) string { return d.ID })
		if err == nil && !out.AllSent() {
			err = ErrNotAccepted
		}
		return Outcome{Result: SendResult{Delivered: out}}, err
	}
	weekly := testJob(t, "weekly", "0 7 * * MON", nil)
	weekly.CatchUp = "all"
	weekly.Execute = func(ctx context.Context, run *ledger.Run) (Outcome, error) {
		var mails []ledger.Mail
		for i := range 3 {
			mails = append(mails, ledger.Mail{EML: []byte("x"), Delivery: ledger.Delivery{ID: fmt.Sprint(run.ID, i), Kind: kindDigest, Role: "sales_agent",
				Period: run.ID, Recipient: fmt.Sprintf("p%d@partner.example", i), Deadline: p.now().Add(DefaultDeliverWithin)}})
		}
		if _, err := p.ledger.Enqueue(ctx, run.ID, mails); err != nil {
			return Outcome{}, err
		}
		if _, err := p.ledger.Clear(ctx, run, "{}", time.Time{}); err != nil {
			return Outcome{}, err
		}
		return deliver(ctx, run)
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p = newPlant(t, start, weekly)
	for end := start.AddDate(2, 0, 0); p.now().Before(end); {
		p.runner.Deliver = deliver
		p.turn()
		step := 6 * time.Hour
		if waits, err := p.ledger.LastIn(t.Context(), "weekly", ledger.Queued); err != nil {
			t.Fatal(err)
		} else if waits != nil {
			step = 17 * time.Minute
		}
		p.pass(step)
		if rng.IntN(100) == 0 {
			p.pass(time.Duration(rng.IntN(40)) * time.Hour)
			p.restart(weekly)
		}
	}
	all, err := p.ledger.Deliveries(t.Context(), ledger.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	states := map[ledger.DeliveryState]int{}
	for _, d := range all {
		states[d.State]++
		n := arrived[d.ID]
		if d.State == ledger.Sent && n != 1 || d.State == ledger.Refused && n != 0 || d.State == ledger.Unknown && n > 1 || n > 1 {
			t.Errorf("%s is %s and arrived %d times", d.ID, d.State, n)
		}
	}
	weeks := 0
	for slot := weekly.Schedule.Next(start); slot.Before(p.now()); slot = weekly.Schedule.Next(slot) {
		weeks++
	}
	if len(all) != 3*weeks || states[ledger.Sent]+states[ledger.Refused]+states[ledger.Unknown] != len(all) || states[ledger.Unknown] == 0 || states[ledger.Refused] == 0 {
		t.Errorf("%d deliveries in %d weeks: %v; want three a week, each with an end", len(all), weeks, states)
	}
	t.Log(states)
}

// sendFunc is a Sender that is a function.
type sendFunc func(e mail.Envelope, dot func() error) mail.Result

func (sendFunc) Close() error { return nil }
func (f sendFunc) Send(_ context.Context, e mail.Envelope, _ []byte, dot func() error) mail.Result {
	return f(e, dot)
}

func TestRunner_CatchUp(t *testing.T) {
	for mode, want := range map[string]string{
		"latest": "skipped skipped done", "": "skipped skipped done", "all": "done done done", "none": "skipped skipped skipped",
	} {
		j := testJob(t, "weekly", "0 7 * * MON", func(*ledger.Run) error { return nil })
		j.CatchUp = mode
		p := newPlant(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), j)
		p.runner.Window = 60 * 24 * time.Hour
		p.turn() // first seen
		p.pass(22 * 24 * time.Hour)
		p.turn()
		runs, err := p.ledger.Runs(context.Background(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := len(runs) - 1; i >= 0; i-- {
			if !strings.HasPrefix(runs[i].Note, "first seen") {
				got = append(got, string(runs[i].State))
			}
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("catch_up %q: %s, want %s", mode, s, want)
		}
	}
}

func TestRunner_WaitsForTheJobBefore(t *testing.T) {
	for _, c := range []struct {
		name, otherwise string
		nightly         error
		want            ledger.RunState
	}{
		{"a good night", "send", nil, ledger.Done},
		{"a bad night, sent all the same after the wait", "send", Permanent{errors.New("down")}, ledger.Done},
		{"a bad night, skipped after the wait", "skip", Permanent{errors.New("down")}, ledger.Skipped},
	} {
		var at time.Time
		var p *plant
		nightly := testJob(t, "nightly", "30 2 * * *", func(*ledger.Run) error { return c.nightly })
		weekly := testJob(t, "weekly", "0 7 * * MON", func(*ledger.Run) error { at = p.now(); return nil })
		weekly.After, weekly.Wait, weekly.Otherwise = "nightly", 3*time.Hour, c.otherwise
		p = newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), nightly, weekly)
		for range 24 * 6 {
			p.turn()
			p.pass(10 * time.Minute)
		}
		r, err := p.ledger.Newest(context.Background(), "weekly", p.now())
		if c.want == ledger.Skipped {
			r, err = p.ledger.LastIn(context.Background(), "weekly", ledger.Skipped)
		}
		if err != nil || r == nil || r.State != c.want {
			t.Fatalf("%s: %+v, %v, want %s", c.name, r, err, c.want)
		}
		late := at.Sub(r.Slot)
		if c.want == ledger.Done && (c.nightly == nil && late > 20*time.Minute || c.nightly != nil && late < 3*time.Hour) {
			t.Errorf("%s: ran %s after its slot", c.name, late)
		}
	}
}

// TestServe_NoJobWaitsForAnother has a run that goes on for as long as the test.
func TestServe_NoJobWaitsForAnother(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	other := make(chan struct{})
	slow := testJob(t, "slow", "0 7 * * *", nil)
	slow.Execute = func(ctx context.Context, _ *ledger.Run) (Outcome, error) { <-ctx.Done(); return Outcome{}, ctx.Err() }
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), slow, testJob(t, "other", "5 7 * * *", func(*ledger.Run) error { close(other); return nil }))
	p.turn()
	p.pass(18*time.Hour + time.Minute) // the slow one is due
	served := make(chan error)
	go func() { served <- p.runner.Serve(ctx, time.Millisecond, nil) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for began := false; !began; p.pass(time.Second) {
		<-tick.C
		r, err := p.ledger.LastIn(ctx, "slow", ledger.Running)
		if err != nil {
			t.Fatal(err)
		}
		began = r != nil
	}
	for ran := false; !ran; p.pass(time.Second) {
		select {
		case <-other:
			ran = true
		case <-tick.C:
		}
		if p.now().After(time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)) {
			t.Error("the other job waits for the slow one")
			break
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if r, err := p.ledger.LastIn(context.Background(), "slow", ledger.Queued); err != nil || r == nil || r.Note != "stopped before its end" {
		t.Errorf("the slow run after the stop: %+v, %v", r, err)
	}
}

// TestServe_OneExtractionAtATime has two jobs that extract at the same minute.
func TestServe_OneExtractionAtATime(t *testing.T) {
	meet := make(chan struct{})
	var all []Job
	for _, name := range []string{"a", "b"} {
		j := testJob(t, name, "0 7 * * *", func(*ledger.Run) error {
			select {
			case meet <- struct{}{}:
				t.Error("two extract at a time")
			case <-meet:
			case <-time.After(50 * time.Millisecond):
			}
			return nil
		})
		j.Do = "extract"
		all = append(all, j)
	}
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), all...)
	p.turn()
	p.pass(18*time.Hour + time.Minute)
	if err := p.runner.Plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	var working sync.WaitGroup
	for range all {
		working.Go(func() {
			if worked, err := p.runner.Work(t.Context(), ""); err != nil || !worked {
				t.Errorf("worked %v, %v", worked, err)
			}
		})
	}
	working.Wait()
	for _, j := range all {
		if r, err := p.ledger.LastIn(t.Context(), j.Name, ledger.Done); err != nil || r == nil {
			t.Errorf("%s did not end well: %v, %v", j.Name, r, err)
		}
	}
	// Whoever waits does not outlive the stop.
	var t2 turn
	if _, err := t2.take(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := t2.take(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("waited on: %v", err)
	}
}

func TestRunner_MailsThatWaitHoldNoLease(t *testing.T) {
	var waits error = Later{Until: time.Date(2026, 11, 16, 6, 1, 0, 0, time.UTC), Mails: 1, Why: "greylisted"}
	weekly := testJob(t, "weekly", "0 7 * * MON", nil)
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), weekly)
	tried := 0
	p.runner.Deliver = func(context.Context, *ledger.Run) (Outcome, error) {
		tried++
		return Outcome{}, waits
	}
	p.runner.Jobs[0].Execute = func(ctx context.Context, run *ledger.Run) (Outcome, error) {
		_, err := p.ledger.Clear(ctx, run, "{}", time.Time{})
		return Outcome{}, errors.Join(err, waits)
	}
	p.turn()
	p.pass(18 * time.Hour)
	p.turn()
	r, err := p.ledger.LastIn(t.Context(), "weekly", ledger.Queued)
	if err != nil || r == nil || r.Owner != "" || r.Tries != 0 || !r.Due.Equal(time.Date(2026, 11, 16, 6, 1, 0, 0, time.UTC)) || !strings.Contains(r.Note, "greylisted") {
		t.Fatalf("the run whose mails wait: %+v, %v", r, err)
	}
	p.turn()
	if tried != 0 {
		t.Errorf("tried %d times before they are due", tried)
	}
	p.pass(time.Minute)
	waits = nil
	p.turn()
	if r, err := p.ledger.Newest(t.Context(), "weekly", p.now()); err != nil || tried != 1 || r.State != ledger.Done {
		t.Errorf("tried %d times: %+v, %v", tried, r, err)
	}
}

func TestRunner_APersonsRunIsNoSlotOfTheSchedule(t *testing.T) {
	n := 0
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), testJob(t, "nightly", "30 2 * * *", func(*ledger.Run) error { n++; return nil }))
	p.turn()
	run, err := p.ledger.Begin(t.Context(), "nightly", p.now().AddDate(1, 0, 0), "", "") // a slot far off
	if err != nil || run == nil {
		t.Fatal(run, err)
	}
	if err := p.ledger.Finish(t.Context(), run, ledger.Done, "", ""); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p.pass(24 * time.Hour)
		p.turn()
	}
	if n != 3 {
		t.Errorf("ran in %d of 3 nights", n)
	}
}

func TestRunner_CatchUpAfterAPause(t *testing.T) {
	for mode, want := range map[string]string{"": "skipped skipped done", "latest": "skipped skipped done", "all": "done done done", "none": "skipped skipped skipped"} {
		j := testJob(t, "weekly", "0 7 * * MON", func(*ledger.Run) error { return nil })
		j.CatchUp = mode
		p := newPlant(t, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), j)
		p.turn()
		if err := p.ledger.Pause(t.Context(), "weekly", "holiday"); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.pass(24 * time.Hour)
			p.turn()
		}
		if err := p.ledger.Resume(t.Context(), "weekly"); err != nil {
			t.Fatal(err)
		}
		p.turn()
		runs, err := p.ledger.Runs(t.Context(), "weekly", 3)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range runs {
			got = append([]string{string(r.State)}, got...)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("catch_up %q: %s, want %s", mode, s, want)
		}
	}
}

func TestRunner_APausedJobGoesOnAfterResume(t *testing.T) {
	n := 0
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), testJob(t, "nightly", "30 2 * * *", func(*ledger.Run) error { n++; return nil }))
	p.turn()
	if err := p.ledger.Pause(context.Background(), "nightly", "holiday"); err != nil {
		t.Fatal(err)
	}
	p.pass(24 * time.Hour)
	p.turn()
	if n != 0 {
		t.Fatal("a paused job ran")
	}
	if err := p.ledger.Resume(context.Background(), "nightly"); err != nil {
		t.Fatal(err)
	}
	p.turn()
	if n != 1 {
		t.Errorf("ran %d times after resume, want 1", n)
	}
}

// station is the outside: a webhook and a dead-man switch.
type station struct {
	mu   sync.Mutex
	said []string
	text string // of the last message
	down bool
}

func (s *station) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/hook") {
		if s.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		// What a Workflows webhook of Teams takes:
		// https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
		var body struct {
			Type, Text  string
			Attachments []struct {
				ContentType string
				Content     struct {
					Type string
					Body []struct{ Type, Text string }
				}
			}
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Text == "" || body.Type != "message" || len(body.Attachments) != 1 ||
			body.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || body.Attachments[0].Content.Type != "AdaptiveCard" ||
			len(body.Attachments[0].Content.Body) != 2 || body.Attachments[0].Content.Body[0].Type != "TextBlock" || body.Attachments[0].Content.Body[1].Text == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.text = body.Text
		s.said = append(s.said, "hook: "+strings.SplitN(body.Text, "\n", 2)[0])
		return
	}
	s.said = append(s.said, "ping: "+r.URL.Path)
}

func TestAlarms_AreHeardOutsideOnceAndRecoveryOnce(t *testing.T) {
	s := &station{}
	server := httptest.NewServer(s)
	defer server.Close()
	var jobErr error
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), testJob(t, "nightly", "30 2 * * *", func(*ledger.Run) error { return jobErr }))
	mails := 0
	p.runner.Alarms = Alarms{Webhook: server.URL + "/hook", Ping: server.URL + "/ping/", Client: server.Client(), Log: p.runner.Log,
		Mail: func(context.Context, string, string) error { mails++; return errors.New("smtp is down too") }}
	day := func(err error) string {
		jobErr = err
		s.said = nil
		p.pass(24 * time.Hour)
		p.turn()
		return strings.Join(s.said, ", ")
	}
	p.turn()
	down := Permanent{errors.New("sign-in: the secret has expired")}
	for i, want := range []struct {
		err  error
		said string
	}{
		{nil, "ping: /ping/nightly/start, ping: /ping/nightly"},
		{down, "ping: /ping/nightly/start, ping: /ping/nightly/fail, hook: tidemark: nightly failed"},
		{down, "ping: /ping/nightly/start, ping: /ping/nightly/fail"},
		{nil, "ping: /ping/nightly/start, ping: /ping/nightly, hook: tidemark: nightly works again"},
		{nil, "ping: /ping/nightly/start, ping: /ping/nightly"},
	} {
		if got := day(want.err); got != want.said {
			t.Errorf("day %d: %s, want %s", i, got, want.said)
		}
	}
	if mails != 2 {
		t.Errorf("%d operator mails were tried, want 2", mails)
	}
}

func TestAlarms_NameWhoGotNoMailAndWhatTheyWouldHaveGot(t *testing.T) {
	s := &station{}
	server := httptest.NewServer(s)
	defer server.Close()
	m := newMailroom(t)
	m.runner.Alarms = Alarms{Webhook: server.URL + "/hook", Client: server.Client(), Log: m.runner.Log}
	m.sender.answers = map[string][]mail.Outcome{bram: {mail.Refused}, coen: {mail.Unknown}}
	if _, err := m.ask(t.Context(), "weekly", "", ""); !errors.Is(err, ErrNotAccepted) {
		t.Fatal(err)
	}
	for _, want := range []string{"1 mails were sent.", "1 failed:\n  bram@partner.example: scripted", "1 unknown, may have arrived:\n  coen@partner.example", "Next: tidemark deliveries --run weekly@", "Since 2026-11-16T"} {
		if !strings.Contains(s.text, want) {
			t.Errorf("the alarm of mails that were not accepted does not say %q:\n%s", want, s.text)
		}
	}
	m.brake = holdsAll
	if _, err := m.ask(t.Context(), "weekly", "", "again"); !errors.Is(err, ErrHeld) {
		t.Fatal(err)
	}
	for _, want := range []string{"held", "3 not sent yet:\n", "  anna@partner.example\n", "Next: tidemark release weekly@"} {
		if !strings.Contains(s.text, want) {
			t.Errorf("the alarm of a held run does not say %q:\n%s", want, s.text)
		}
	}
	if n := strings.Count(s.text, "Sample: "); n != 3 {
		t.Errorf("%d samples, want 3:\n%s", n, s.text)
	}
}

// TestAlarms_RecoveryIsToldAtTheEndOfServe has the context end as soon as a mail is written.
func TestAlarms_RecoveryIsToldAtTheEndOfServe(t *testing.T) {
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC))
	ctx, stop := context.WithCancel(t.Context())
	var told []string
	a := Alarms{Mail: func(ctx context.Context, subject, _ string) error {
		if subject == "right" {
			stop()
		}
		if ctx.Err() == nil {
			told = append(told, subject)
		}
		return ctx.Err()
	}}
	if err := errors.Join(a.Raise(ctx, p.ledger, "reload", "what", "wrong", "text"), a.Clear(ctx, p.ledger, "reload", "right", "text")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "wrong, right" {
		t.Errorf("told %q", told)
	}
}

// TestAlarms_NameACommandThatWorks has jobs of the configuration and a digest from
// the command line, which no other command can make.
func TestAlarms_NameACommandThatWorks(t *testing.T) {
	s := &station{}
	server := httptest.NewServer(s)
	defer server.Close()
	m := newMailroom(t)
	m.runner.Alarms = Alarms{Webhook: server.URL + "/hook", Client: server.Client(), Log: m.runner.Log}
	m.roles = nil
	for job, want := range map[string]string{"weekly": "Next: tidemark release weekly@", "digest-admin_agent": "Next: tidemark drop digest-admin_agent@"} {
		if _, err := m.ask(t.Context(), job, "", ""); !errors.Is(err, ErrHeld) {
			t.Fatal(err)
		}
		if !strings.Contains(s.text, want) {
			t.Errorf("the alarm of %s, held without a mail, does not say %q:\n%s", job, want, s.text)
		}
	}
}

// TestAlarms_AreSaidAgainUntilSomebodyHears has no way that works for two nights.
func TestAlarms_AreSaidAgainUntilSomebodyHears(t *testing.T) {
	s := &station{down: true}
	server := httptest.NewServer(s)
	defer server.Close()
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), testJob(t, "nightly", "30 2 * * *", func(*ledger.Run) error { return Permanent{errors.New("down")} }))
	p.runner.Alarms = Alarms{Webhook: server.URL + "/hook", Client: server.Client(), Log: p.runner.Log}
	p.turn()
	for i, want := range []int{0, 0, 1, 1} {
		s.down = i < 2
		p.pass(24 * time.Hour)
		p.turn()
		if len(s.said) != want {
			t.Errorf("night %d: heard %q, want %d", i, s.said, want)
		}
	}
	if !strings.Contains(s.text, "Since 2026-11-16T") {
		t.Errorf("what is heard does not say since when:\n%s", s.text)
	}
}

func TestBrake_HoldsWhatLooksWrong(t *testing.T) {
	money := func(s string) map[string]data.Decimal { return map[string]data.Decimal{"EUR": *decimal(s)} }
	week := data.Period{From: day0, To: day0 + 6}
	good := Batch{Period: week, Cost: money("1000"), Active: new(int64(100)), WithUsage: new(int64(50)), Recipients: 10}
	for _, c := range []struct {
		name   string
		change func(*Batch)
		held   string
	}{
		{"the same again", func(*Batch) {}, ""},
		{"a little less of everything", func(b *Batch) {
			b.Cost, b.Active, b.WithUsage, b.Recipients = money("700"), new(int64(70)), new(int64(41)), 6
		}, ""},
		{"cost halved", func(b *Batch) { b.Cost = money("500") }, "cost in EUR"},
		{"cost doubled", func(b *Batch) { b.Cost = money("2000") }, "cost in EUR"},
		{"a currency gone", func(b *Batch) { b.Cost = nil }, "cost in EUR"},
		{"subscriptions gone", func(b *Batch) { b.Active = new(int64(50)) }, "active subscriptions"},
		{"customers silent", func(b *Batch) { b.WithUsage = new(int64(30)) }, "customers with usage"},
		{"recipients halved", func(b *Batch) { b.Recipients = 5 }, "recipients"},
		{"a month of the same daily cost", func(b *Batch) { b.Period.To, b.Cost = day0+29, money("4200") }, ""},
		{"more of everything", func(b *Batch) { b.WithUsage, b.Recipients = new(int64(90)), 30 }, ""},
	} {
		now := good
		c.change(&now)
		why := strings.Join(Brake{}.Check(now, good), "; ")
		if (why == "") != (c.held == "") || !strings.Contains(why, c.held) {
			t.Errorf("%s: %q, want %q", c.name, why, c.held)
		}
	}
}

// TestServe_AnotherRunnerTakesOver has a run of a job go on that the next configuration has
// no more, and an extraction of that wait for it all the same.
func TestServe_AnotherRunnerTakesOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	began, release, later := make(chan struct{}), make(chan struct{}), make(chan bool, 1)
	slow := testJob(t, "slow", "0 7 * * *", nil)
	slow.Do, slow.Execute = "extract", func(context.Context, *ledger.Run) (Outcome, error) { close(began); <-release; return Outcome{}, nil }
	p := newPlant(t, time.Date(2026, 11, 15, 12, 0, 0, 0, time.UTC), slow)
	p.turn()
	released := false
	next := testJob(t, "next", "0 7 * * *", nil)
	next.Do, next.Execute = "extract", func(context.Context, *ledger.Run) (Outcome, error) { later <- released; return Outcome{}, nil }
	if err := p.ledger.Skip(ctx, "next", p.now(), "known before"); err != nil {
		t.Fatal(err)
	}
	p.pass(18*time.Hour + time.Minute)
	runners, served := make(chan *Runner, 1), make(chan error)
	go func() { served <- p.runner.Serve(ctx, time.Millisecond, runners) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	until := func(what string, done func() bool) {
		for range 20_000 {
			if done() {
				return
			}
			p.pass(2 * time.Millisecond) // less than a lease in all
			<-tick.C
		}
		t.Fatal(what)
	}
	until("the slow job does not begin", func() bool {
		select {
		case <-began:
			return true
		default:
			return false
		}
	})
	runners <- &Runner{Ledger: p.ledger, Jobs: []Job{next}, Now: p.now, Log: p.runner.Log}
	until("the other runner's job does not begin", func() bool {
		r, err := p.ledger.LastIn(ctx, "next", ledger.Running)
		if err != nil {
			t.Fatal(err)
		}
		return r != nil
	})
	released = true
	close(release)
	if waited := <-later; !waited {
		t.Error("two extractions ran at a time")
	}
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if r, err := p.ledger.LastIn(t.Context(), "slow", ledger.Done); err != nil || r == nil {
		t.Errorf("the run of the job that is no more: %v, %v", r, err)
	}
}
