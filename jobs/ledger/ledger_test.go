package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var ctx = context.Background()

func open(t *testing.T, file, owner string, c *clock) *Ledger {
	t.Helper()
	l, err := openStore(t, file, Options{Now: c.now, Owner: owner, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func newLedger(t *testing.T) (*Ledger, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
	return open(t, filepath.Join(t.TempDir(), "tidemark.db"), "a", c), c
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOpen_StartedManyTimesAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "path with spaces?", "..", "tidemark.db")
	c := &clock{t: time.Unix(0, 0)}
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() {
			l, err := openStore(t, filepath.Clean(file), Options{Now: c.now, Owner: fmt.Sprint(i)})
			if err == nil {
				err = l.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestOpen_ALedgerIsForItsOwnerOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidemark.db")
	l, err := Open(ctx, file, Options{Now: time.Now, Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("files %q, %v; want the ledger and its log", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

func TestOpen_RefusesALedgerOfANewerProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidemark.db")
	c := &clock{t: time.Unix(0, 0)}
	l := open(t, file, "a", c)
	if _, err := l.db.ExecContext(ctx, `INSERT INTO schema_version (version, applied) VALUES (99, 0)`); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(t, file, Options{Now: c.now, Owner: "b"}); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("error %v, want one that names version 99", err)
	}
}

func TestPlan_ASlotIsPlannedOnce(t *testing.T) {
	l, c := newLedger(t)
	slots := []time.Time{c.now(), c.now().Add(time.Hour)}
	if n := must[int](t)(l.Plan(ctx, "nightly", slots)); n != 2 {
		t.Errorf("planned %d, want 2", n)
	}
	if n := must[int](t)(l.Plan(ctx, "nightly", slots)); n != 0 {
		t.Errorf("planned %d again, want 0", n)
	}
	last, ok, err := l.LastPlanned(ctx, "nightly")
	if err != nil || !ok || !last.Equal(slots[1]) {
		t.Errorf("last slot %v, %v, %v", last, ok, err)
	}
}

// TestBegin_WhatAPersonAsksForIsNoSlotOfTheSchedule until the schedule comes to
// the same time.
func TestBegin_WhatAPersonAsksForIsNoSlotOfTheSchedule(t *testing.T) {
	l, c := newLedger(t)
	slot := c.now().Add(2 * time.Hour)
	r := must[*Run](t)(l.Begin(ctx, "weekly", slot, "anna@partner.example", "she deleted it"))
	if r == nil || !r.Asked || r.Only != "anna@partner.example" || r.Again != "she deleted it" || r.State != Running {
		t.Fatalf("begun %+v", r)
	}
	if other := must[*Run](t)(l.Begin(ctx, "weekly", c.now(), "", "")); other != nil {
		t.Errorf("a second run of the job has begun: %+v", other)
	}
	if _, err := l.Run(ctx, RunID("weekly", c.now())); !errors.Is(err, ErrNotFound) {
		t.Errorf("a run that could not begin is in the ledger: %v", err)
	}
	if err := l.Finish(ctx, r, Done, "", "{}"); err != nil {
		t.Fatal(err)
	}
	if last, ok, err := l.LastPlanned(ctx, "weekly"); err != nil || ok {
		t.Errorf("last planned slot %v, %v, %v; want none", last, ok, err)
	}
	if n := must[int](t)(l.Plan(ctx, "weekly", []time.Time{slot})); n != 1 {
		t.Errorf("the slot is planned %d times, want once", n)
	}
	if got := must[Run](t)(l.Run(ctx, r.ID)); got.State != Done || got.Asked {
		t.Errorf("the planned slot is %+v, want it done as it was", got)
	}
	if last, ok, err := l.LastPlanned(ctx, "weekly"); err != nil || !ok || !last.Equal(slot) {
		t.Errorf("last planned slot %v, %v, %v", last, ok, err)
	}
	again := must[*Run](t)(l.Begin(ctx, "weekly", slot, "", ""))
	if again == nil || again.Tries != 1 || again.Only != "" || again.Result != "" {
		t.Errorf("begun anew %+v", again)
	}
}

func TestClaim_OneRunOfAJobAtATime(t *testing.T) {
	l, c := newLedger(t)
	must[int](t)(l.Plan(ctx, "nightly", []time.Time{c.now(), c.now().Add(time.Second), c.now().Add(time.Hour)}))
	c.pass(time.Minute)
	first := must[*Run](t)(l.Claim(ctx, ""))
	if first == nil || first.Attempt != 1 || first.Owner != "a" {
		t.Fatalf("first claim %+v", first)
	}
	if again := must[*Run](t)(l.Claim(ctx, "")); again != nil {
		t.Fatalf("a second run of the job is claimed: %+v", again)
	}
	if err := l.Finish(ctx, first, Done, "", "{}"); err != nil {
		t.Fatal(err)
	}
	if second := must[*Run](t)(l.Claim(ctx, "nightly")); second == nil || second.ID == first.ID {
		t.Errorf("after the first: %+v", second)
	}
	if third := must[*Run](t)(l.Claim(ctx, "")); third != nil {
		t.Errorf("a run that is not due is claimed: %+v", third)
	}
}

func TestClaim_ManyProcessesNeverShareARun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidemark.db")
	c := &clock{t: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
	first := open(t, file, "p0", c)
	for i := range 40 {
		must[int](t)(first.Plan(ctx, fmt.Sprintf("job%d", i), []time.Time{c.now()}))
	}
	var mu sync.Mutex
	claimed := map[string]string{}
	var wg sync.WaitGroup
	for i := range 4 {
		l := open(t, file, fmt.Sprint("p", i+1), c)
		wg.Go(func() {
			for {
				r, err := l.Claim(ctx, "")
				if err != nil {
					t.Error(err)
					return
				}
				if r == nil {
					return
				}
				mu.Lock()
				if other, found := claimed[r.ID]; found {
					t.Errorf("%s is claimed by %s and %s", r.ID, other, r.Owner)
				}
				claimed[r.ID] = r.Owner
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(claimed) != 40 {
		t.Errorf("%d runs claimed, want 40", len(claimed))
	}
}

func TestLease_AnOwnerThatSleptIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidemark.db")
	c := &clock{t: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
	a, b := open(t, file, "a", c), open(t, file, "b", c)
	must[int](t)(a.Plan(ctx, "weekly", []time.Time{c.now()}))
	old := must[*Run](t)(a.Claim(ctx, ""))
	c.pass(30 * time.Second)
	if err := a.Renew(ctx, old); err != nil {
		t.Fatal(err)
	}
	c.pass(45 * time.Second)
	if r := must[*Run](t)(b.Claim(ctx, "")); r != nil {
		t.Fatalf("a renewed run is taken over: %+v", r)
	}
	c.pass(30 * time.Second)
	r := must[*Run](t)(b.Claim(ctx, ""))
	if r == nil || r.Attempt != 2 {
		t.Fatalf("after the lease: %+v", r)
	}
	for name, err := range map[string]error{"renew": a.Renew(ctx, old), "finish": a.Finish(ctx, old, Done, "", ""), "requeue": a.Requeue(ctx, old, c.now(), "")} {
		if !errors.Is(err, ErrTakenOver) {
			t.Errorf("%s by the old owner: %v, want taken over", name, err)
		}
	}
	if err := b.Finish(ctx, r, Done, "", ""); err != nil {
		t.Error(err)
	}
	// However often the run begins anew or is given back, no holder after the
	// sleeper has its number.
	refused := func(when string) {
		t.Helper()
		for name, err := range map[string]error{"renew": a.Renew(ctx, old), "clear": cleared(a, old, c.now()), "finish": a.Finish(ctx, old, Done, "", "")} {
			if !errors.Is(err, ErrTakenOver) {
				t.Errorf("%s: %s by the old owner: %v, want taken over", when, name, err)
			}
		}
	}
	r = must[*Run](t)(b.Begin(ctx, "weekly", old.Slot, "", ""))
	refused("begun anew")
	must[int](t)(b.Enqueue(ctx, r.ID, []Mail{mail(r.ID, "a@partner.example", c.now().Add(time.Hour))}))
	d := must[*Delivery](t)(b.Next(ctx, r.ID))
	if err := errors.Join(b.Advance(ctx, d, Sending, Refused, "550 no"), b.Finish(ctx, r, Warned, "", "")); err != nil {
		t.Fatal(err)
	}
	if err := b.Again(ctx, d.ID, c.now().Add(time.Hour), "again"); err != nil {
		t.Fatal(err)
	}
	old = must[*Run](t)(a.Claim(ctx, ""))
	if err := a.Postpone(ctx, old, c.now(), "waits"); err != nil {
		t.Fatal(err)
	}
	if r = must[*Run](t)(b.Claim(ctx, "")); r == nil || r.Tries != 1 {
		t.Errorf("after a postponement: %+v, want its first try", r)
	}
	refused("given back")
}

func TestRaiseAlarm_OneOfManyRunsSaysIt(t *testing.T) {
	l, c := newLedger(t)
	raise := func(message string) bool {
		t.Helper()
		_, fresh, err := l.RaiseAlarm(ctx, "mail", message)
		if err != nil {
			t.Fatal(err)
		}
		return fresh
	}
	said := func(told bool) {
		t.Helper()
		if err := l.AlarmSaid(ctx, "mail", "down", told); err != nil {
			t.Fatal(err)
		}
	}
	if !raise("down") || raise("down") {
		t.Error("while one says it another does too, or nobody does")
	}
	said(false)
	if !raise("down") || raise("down") {
		t.Error("after one that reached nobody: want one more to say it")
	}
	c.pass(time.Hour)
	if !raise("down") {
		t.Error("whoever was to say it is gone, and nobody else does")
	}
	said(true)
	c.pass(time.Hour)
	if raise("down") {
		t.Error("said again")
	}
	if !raise("refused") {
		t.Error("another reason is not said")
	}
	said(false) // late, and of the reason before
	if raise("refused") {
		t.Error("said again after a word about another reason")
	}
}

func mail(run, recipient string, deadline time.Time) Mail {
	return Mail{Delivery: Delivery{ID: recipient + "@id", Kind: "digest", Role: "sales_agent", Period: "2026-11-06..2026-11-12", Recipient: recipient,
		Deadline: deadline, Subject: "s", Report: "r"}, EML: []byte("mail to " + recipient)}
}

func TestEnqueue_TheSameReportReachesNobodyTwice(t *testing.T) {
	l, c := newLedger(t)
	deadline := c.now().Add(time.Hour)
	if n := must[int](t)(l.Enqueue(ctx, "run1", []Mail{mail("run1", "Anna@Partner.example", deadline), mail("run1", "bram@partner.example", deadline)})); n != 2 {
		t.Fatalf("stored %d, want 2", n)
	}
	again := mail("run2", "anna@partner.EXAMPLE", deadline)
	again.ID = "other@id"
	if n := must[int](t)(l.Enqueue(ctx, "run2", []Mail{again})); n != 0 {
		t.Errorf("the same report to the same person is stored %d times more", n)
	}
	again.Edition = 1
	if n := must[int](t)(l.Enqueue(ctx, "run2", []Mail{again})); n != 1 {
		t.Errorf("another edition is stored %d times, want 1", n)
	}
	older := func() []Delivery {
		return must[[]Delivery](t)(l.Deliveries(ctx, Query{Run: "run1", Recipient: "ANNA@partner.example"}))
	}
	if d := older(); len(d) != 1 || d[0].State != Pending {
		t.Errorf("the older edition, before the other may leave: %+v", d)
	}
	run3 := must[*Run](t)(l.Begin(ctx, "digest", c.now(), "", ""))
	third := mail(run3.ID, "anna@partner.example", deadline)
	third.ID, third.Edition = "third@id", 2
	must[int](t)(l.Enqueue(ctx, run3.ID, []Mail{third}))
	if err := cleared(l, run3, deadline); err != nil {
		t.Fatal(err)
	}
	d := older()
	if len(d) != 1 || d[0].State != Dropped || d[0].Reply != "superseded by edition 2" {
		t.Fatalf("the older edition, which had not left: %+v", d)
	}
	if eml := must[[]byte](t)(l.EML(ctx, d[0].SHA256)); string(eml) != "mail to Anna@Partner.example" {
		t.Errorf("sealed bytes %q", eml)
	}
}

func TestDelivery_WhatACrashLeavesIsSettled(t *testing.T) {
	l, c := newLedger(t)
	deadline := c.now().Add(time.Hour)
	var mails []Mail
	for i := range 3 {
		mails = append(mails, mail("run", fmt.Sprintf("p%d@partner.example", i), deadline))
	}
	must[int](t)(l.Enqueue(ctx, "run", mails))
	sending, dot := must[*Delivery](t)(l.Next(ctx, "run")), must[*Delivery](t)(l.Next(ctx, "run"))
	if err := l.Advance(ctx, dot, Sending, Dot, ""); err != nil {
		t.Fatal(err)
	}
	if n := must[int64](t)(l.Recover(ctx, "run")); n != 1 {
		t.Errorf("%d unknown, want 1", n)
	}
	want := map[DeliveryState]int{Pending: 2, Unknown: 1}
	if diff := cmp.Diff(must[map[DeliveryState]int](t)(l.Counts(ctx, "run")), want); diff != "" {
		t.Errorf("states (-got +want):\n%s", diff)
	}
	// The owner that slept may not go past the dot any more; an answer that it
	// has received is still the truth.
	if err := l.Advance(ctx, sending, Sending, Dot, ""); !errors.Is(err, ErrTakenOver) {
		t.Errorf("the dot of a delivery that was given back: %v, want taken over", err)
	}
	if err := l.Settle(ctx, dot, Sent, "250 2.0.0 Ok: queued as ABC"); err != nil {
		t.Errorf("a late answer: %v", err)
	}
	// The next attempt has another number: the old one cannot touch it.
	next := must[*Delivery](t)(l.Next(ctx, "run"))
	old := *next
	old.Attempt--
	if err := l.Advance(ctx, &old, Sending, Dot, ""); !errors.Is(err, ErrTakenOver) {
		t.Errorf("an old attempt: %v, want taken over", err)
	}
}

func TestRetry_EndsAtTheDeadline(t *testing.T) {
	l, c := newLedger(t)
	must[int](t)(l.Enqueue(ctx, "run", []Mail{mail("run", "a@partner.example", c.now().Add(10*time.Minute))}))
	d := must[*Delivery](t)(l.Next(ctx, "run"))
	if err := l.Retry(ctx, d, c.now().Add(5*time.Minute), "450 later"); err != nil {
		t.Fatal(err)
	}
	if d := must[*Delivery](t)(l.Next(ctx, "run")); d != nil {
		t.Fatalf("taken before it is due: %+v", d)
	}
	due, ok, err := l.NextDue(ctx, "run")
	if err != nil || !ok || !due.Equal(c.now().Add(5*time.Minute)) {
		t.Errorf("due %v, %v, %v", due, ok, err)
	}
	c.pass(5 * time.Minute)
	d = must[*Delivery](t)(l.Next(ctx, "run"))
	if err := l.Retry(ctx, d, c.now().Add(15*time.Minute), "450 later"); err != nil {
		t.Fatal(err)
	}
	if got := must[Delivery](t)(l.Delivery(ctx, d.ID)); got.State != Refused {
		t.Errorf("after the deadline: %s, want failed", got.State)
	}
}

func TestPrune_KeepsWhatIsStillNeeded(t *testing.T) {
	l, c := newLedger(t)
	finish := func(slot time.Time, states ...DeliveryState) {
		t.Helper()
		must[int](t)(l.Plan(ctx, "weekly", []time.Time{slot}))
		r := must[*Run](t)(l.Claim(ctx, ""))
		for i, s := range states {
			m := mail(r.ID, fmt.Sprintf("p%d@partner.example", i), c.now().Add(time.Hour))
			m.ID, m.Period = fmt.Sprint(r.ID, i), r.ID
			must[int](t)(l.Enqueue(ctx, r.ID, []Mail{m}))
			d := must[*Delivery](t)(l.Next(ctx, r.ID))
			if err := l.Advance(ctx, d, Sending, s, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Finish(ctx, r, Done, "", ""); err != nil {
			t.Fatal(err)
		}
		c.pass(7 * 24 * time.Hour)
	}
	finish(c.now(), Sent)
	finish(c.now(), Sent, Unknown)
	finish(c.now(), Sent)
	if _, _, err := l.Prune(ctx, c.now()); err != nil {
		t.Fatal(err)
	}
	runs := must[[]Run](t)(l.Runs(ctx, "", 10))
	if len(runs) != 2 {
		t.Errorf("%d runs left, want the newest and the one with an unknown delivery", len(runs))
	}
	if diff := cmp.Diff(must[map[DeliveryState]int](t)(l.Counts(ctx, "")), map[DeliveryState]int{Unknown: 1}); diff != "" {
		t.Errorf("deliveries (-got +want):\n%s", diff)
	}
}

func TestPause_SlotsWaitUntilResume(t *testing.T) {
	l, c := newLedger(t)
	if err := l.Pause(ctx, "weekly", "holiday"); err != nil {
		t.Fatal(err)
	}
	must[int](t)(l.Plan(ctx, "weekly", []time.Time{c.now()}))
	if r := must[*Run](t)(l.Claim(ctx, "")); r != nil {
		t.Fatalf("a paused job runs: %+v", r)
	}
	if err := l.Resume(ctx, "weekly"); err != nil {
		t.Fatal(err)
	}
	if r := must[*Run](t)(l.Claim(ctx, "")); r == nil {
		t.Error("a resumed job does not run")
	}
}

// TestAgain_ARunIsDeliveredByItsHolderOnly asks for one mail of a run once more,
// in every state of the run.
func TestAgain_ARunIsDeliveredByItsHolderOnly(t *testing.T) {
	l, c := newLedger(t)
	r := must[*Run](t)(l.Begin(ctx, "weekly", c.now(), "", ""))
	deadline := c.now().Add(time.Hour)
	must[int](t)(l.Enqueue(ctx, r.ID, []Mail{mail(r.ID, "a@partner.example", deadline), mail(r.ID, "b@partner.example", deadline)}))
	d := must[*Delivery](t)(l.Next(ctx, r.ID))
	if err := l.Advance(ctx, d, Sending, Refused, "550 no"); err != nil {
		t.Fatal(err)
	}
	again := func() error { return l.Again(ctx, d.ID, deadline, "resend: asked for") }
	if err := again(); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("of a running run: %v", err)
	}
	if err := l.Finish(ctx, r, Held, "cost halved", "{}"); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil || !strings.Contains(err.Error(), "is held") {
		t.Errorf("of a held run: %v", err)
	}
	if n := must[int](t)(l.Waiting(ctx, c.now().Add(time.Hour))); n != 0 {
		t.Errorf("%d mails of a held run count as waiting", n)
	}
	if err := l.Release(ctx, r.ID, c.now().Add(9*time.Hour), "released"); err != nil {
		t.Fatal(err)
	}
	if n := must[int](t)(l.Waiting(ctx, c.now().Add(time.Minute))); n != 1 {
		t.Errorf("%d mails wait for somebody who serves, want 1", n)
	}
	if err := l.Pause(ctx, "weekly", "holiday"); err != nil {
		t.Fatal(err)
	}
	if n := must[int](t)(l.Waiting(ctx, c.now().Add(time.Minute))); n != 0 {
		t.Errorf("%d mails of a paused job count as waiting", n)
	}
	if err := l.Resume(ctx, "weekly"); err != nil {
		t.Fatal(err)
	}
	r = must[*Run](t)(l.Claim(ctx, ""))
	if r == nil || !r.Cleared {
		t.Fatalf("the released run: %+v", r)
	}
	if d := must[*Delivery](t)(l.Next(ctx, r.ID)); !d.Deadline.Equal(c.now().Add(9 * time.Hour)) {
		t.Errorf("a released mail is tried until %s", d.Deadline)
	} else if err := l.Advance(ctx, d, Sending, Sent, ""); err != nil {
		t.Fatal(err)
	}
	if err := l.Finish(ctx, r, Warned, "", "{}"); err != nil {
		t.Fatal(err)
	}
	if err := again(); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil || !strings.Contains(err.Error(), "is pending") {
		t.Errorf("twice: %v", err)
	}
	if r := must[*Run](t)(l.Claim(ctx, "")); r == nil || !r.Cleared || r.Note != "resend: asked for" {
		t.Errorf("the run of a mail to be sent again: %+v", r)
	}
}

// cleared clears a run, which takes over the mails of others that wait.
func cleared(l *Ledger, r *Run, deadline time.Time, waiting ...Delivery) error {
	left, err := l.Clear(ctx, r, "{}", deadline, waiting...)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d are left", len(left))
	}
	return err
}

// TestClear_LeavesARunWithoutMailsToBeSettled takes the two mails of a run that waits.
func TestClear_LeavesARunWithoutMailsToBeSettled(t *testing.T) {
	l, c := newLedger(t)
	old := must[*Run](t)(l.Begin(ctx, "digest", c.now(), "", ""))
	must[int](t)(l.Enqueue(ctx, old.ID, []Mail{mail(old.ID, "a@partner.example", c.now().Add(time.Hour)), mail(old.ID, "b@partner.example", c.now().Add(time.Hour))}))
	if err := errors.Join(cleared(l, old, c.now()), l.Postpone(ctx, old, c.now().Add(time.Minute), "2 mails wait")); err != nil {
		t.Fatal(err)
	}
	taker := must[*Run](t)(l.Begin(ctx, "other", c.now(), "", ""))
	for _, d := range must[[]Delivery](t)(l.Deliveries(ctx, Query{Run: old.ID})) {
		if empty := must[[]string](t)(l.Emptied(ctx)); len(empty) != 0 {
			t.Errorf("%v are empty while a mail waits", empty)
		}
		if r := must[*Run](t)(l.Claim(ctx, "digest")); r != nil {
			t.Errorf("%s is due while a mail of it waits", r.ID)
		}
		if err := cleared(l, taker, c.now().Add(time.Hour), d); err != nil {
			t.Fatal(err)
		}
		if err := cleared(l, taker, c.now().Add(time.Hour), d); err == nil {
			t.Error("a mail was taken that another run has now")
		}
	}
	if empty := must[[]string](t)(l.Emptied(ctx)); !slices.Equal(empty, []string{old.ID}) {
		t.Errorf("empty are %v, want %s", empty, old.ID)
	}
	if r := must[*Run](t)(l.Claim(ctx, "digest")); r == nil || r.ID != old.ID {
		t.Errorf("due is %+v, want %s", r, old.ID)
	}
}

func TestClear_TakesNoMailFromWhoeverMayDeliverIt(t *testing.T) {
	l, c := newLedger(t)
	old := must[*Run](t)(l.Begin(ctx, "digest", c.now(), "", ""))
	must[int](t)(l.Enqueue(ctx, old.ID, []Mail{mail(old.ID, "a@partner.example", c.now().Add(time.Minute))}))
	id := must[[]Delivery](t)(l.Deliveries(ctx, Query{}))[0].ID
	begin := func(job string) *Run { return must[*Run](t)(l.Begin(ctx, job, c.now(), "", "")) }
	take := func(r *Run) bool {
		return cleared(l, r, c.now().Add(time.Hour), must[Delivery](t)(l.Delivery(ctx, id))) == nil
	}
	taker := begin("new")
	if take(taker) {
		t.Error("taken from a running run")
	}
	if err := l.Postpone(ctx, old, c.now(), "stopped"); err != nil {
		t.Fatal(err)
	}
	if !take(taker) {
		t.Error("not taken from a run that stopped")
	}
	if d := must[Delivery](t)(l.Delivery(ctx, id)); d.Run != taker.ID || !d.Deadline.Equal(c.now().Add(time.Hour)) {
		t.Errorf("taken %+v", d)
	}
	taken, newer := must[*Delivery](t)(l.Next(ctx, taker.ID)), begin("newer")
	if err := l.Postpone(ctx, taker, c.now().Add(time.Hour), "gone"); err != nil {
		t.Fatal(err)
	}
	if take(newer) || taken == nil {
		t.Error("taken while it is being sent")
	}
	must[int64](t)(l.Recover(ctx, newer.ID)) // whoever was sending it is gone
	if !take(newer) {
		t.Error("not taken after the crash")
	}
	// Whoever lost its run takes nothing any more.
	late := *newer
	late.Attempt--
	if take(&late) {
		t.Error("taken by an attempt that was taken over")
	}
}
