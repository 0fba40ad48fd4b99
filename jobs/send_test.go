package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
)

// mailroom is a runner whose jobs mail one week's digest to three admin agents.
type mailroom struct {
	*plant
	t      *testing.T
	sender *scripted
	brake  Brake
	roles  []reports.Recipient
	steps  Steps
}

// holdsAll is a brake that holds whatever it is asked about: any number of
// recipients is too few.
var holdsAll = Brake{MaxRecipientDrop: -1}

const anna, bram, coen = "anna@partner.example", "bram@partner.example", "coen@partner.example"

func newMailroom(t *testing.T) *mailroom {
	t.Helper()
	e := smallEstate()
	l := e.archived(t)
	spec, err := data.ParsePeriod(data.Period{From: e.window().To - 6, To: e.window().To}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(context.Background(), l.view(), Query{Period: spec})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	m := &mailroom{t: t, sender: &scripted{answers: map[string][]mail.Outcome{}}}
	for _, address := range []string{anna, bram, coen} {
		m.roles = append(m.roles, reports.Recipient{Address: address, Role: reports.AdminAgent})
	}
	d, plant := post(t, 0, m.sender)
	m.plant = plant
	sending := func(run *ledger.Run) Sending {
		d.Steps = m.steps
		return Sending{Steps: m.steps, Ledger: plant.ledger, Run: run, Deliverer: d, Recorder: l.recorder(), Again: run.Again, Brake: m.brake}
	}
	plant.runner.Deliver = func(ctx context.Context, run *ledger.Run) (Outcome, error) {
		out, err := sending(run).Resume(ctx)
		return Outcome{Result: out}, err
	}
	plant.runner.Jobs = []Job{testJob(t, "weekly", "0 7 * * MON", nil)}
	plant.runner.Jobs[0].Execute = func(ctx context.Context, run *ledger.Run) (Outcome, error) {
		mails := e.mails(t, p, reports.AdminAgent)
		mails.Recipients, mails.Only = m.roles, run.Only
		out, err := sending(run).Send(ctx, mails)
		return Outcome{Result: out}, err
	}
	return m
}

// ask runs the job for a person, now, under its name or as an unscheduled digest.
func (m *mailroom) ask(ctx context.Context, job, only, again string) (SendResult, error) {
	m.t.Helper()
	m.pass(time.Second)
	run, err := m.ledger.Begin(context.Background(), job, m.now(), only, again)
	if err != nil || run == nil {
		m.t.Fatalf("begin: %v, %v", run, err)
	}
	j := m.runner.Jobs[0]
	j.Name = job
	jobErr, err := m.runner.Execute(ctx, j, run)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.result(run.ID), jobErr
}

func (m *mailroom) result(id string) (out SendResult) {
	m.t.Helper()
	run, err := m.ledger.Run(context.Background(), id)
	if err == nil && run.Result != "" {
		err = json.Unmarshal([]byte(run.Result), &out)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// got is who has a mail, in order of address.
func (m *mailroom) got() string { return strings.Join(slices.Sorted(slices.Values(m.sender.got)), " ") }

func (m *mailroom) delivery(address string, edition int) ledger.Delivery {
	m.t.Helper()
	all, err := m.ledger.Deliveries(context.Background(), ledger.Query{Recipient: address})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, d := range all {
		if d.Edition == edition {
			return d
		}
	}
	m.t.Fatalf("no edition %d for %s", edition, address)
	return ledger.Delivery{}
}

func TestSend_OnlyWhatWasSentIsThere(t *testing.T) {
	m := newMailroom(t)
	m.sender.answers = map[string][]mail.Outcome{bram: {mail.Refused}, coen: {mail.Unknown}}
	if out, err := m.ask(t.Context(), "weekly", "", ""); !errors.Is(err, ErrNotAccepted) || out.Delivered != (Delivered{Sent: 1, Failed: 1, Unknown: 1}) {
		t.Fatalf("first run: %+v, %v", out, err)
	}
	out, err := m.ask(t.Context(), "weekly", "", "")
	if !errors.Is(err, ErrNotAccepted) || !slices.Equal(out.Already, []string{anna}) || len(out.Open) != 2 ||
		!strings.Contains(out.Open[0], bram+": failed: scripted; decide with `tidemark deliveries resend ") || !strings.HasPrefix(out.Open[1], coen+": unknown") {
		t.Errorf("the same again: %+v, %v", out, err)
	}
	if got := m.got(); got != anna+" "+coen {
		t.Errorf("got: %s", got)
	}
}

func TestSend_ARunThatWasStoppedIsGoneOnWith(t *testing.T) {
	for _, c := range []struct {
		name string
		goOn func(*mailroom)
	}{
		{"by the next run of anybody", func(m *mailroom) {
			if out, err := m.ask(m.t.Context(), "digest-admin_agent", "", ""); err != nil || out.Delivered.Sent != 2 || len(out.Already) != 1 {
				m.t.Errorf("the same command once more: %+v, %v", out, err)
			}
			m.turn()
		}},
		{"by serve, though no job has its name", (*mailroom).turn},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMailroom(t)
			m.turn() // first seen
			ctx, cancel := context.WithCancel(t.Context())
			m.sender.after = func(string) { cancel() }
			if _, err := m.ask(ctx, "digest-admin_agent", "", ""); !errors.Is(err, context.Canceled) {
				t.Fatalf("the stopped run: %v", err)
			}
			if len(m.sender.got) != 1 {
				t.Fatalf("got before the stop: %s", m.got())
			}
			if r, err := m.ledger.LastIn(t.Context(), "digest-admin_agent", ledger.Queued); err != nil || r == nil || !strings.Contains(r.Result, `"sent":1,"failed":0,"unknown":0,"pending":2`) {
				t.Errorf("what the stopped run says of itself: %+v, %v", r, err)
			}
			m.pass(time.Minute)
			c.goOn(m)
			if got := m.got(); got != anna+" "+bram+" "+coen {
				t.Errorf("got: %s", got)
			}
			if n, err := m.ledger.Waiting(t.Context(), m.now().Add(time.Hour)); err != nil || n != 0 {
				t.Errorf("%d mails wait, %v", n, err)
			}
			runs, err := m.ledger.Runs(t.Context(), "digest-admin_agent", 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				if r.State != ledger.Done {
					t.Errorf("run %s is %s: %s", r.ID, r.State, r.Note)
				}
			}
		})
	}
}

// TestSend_AMailThatWaitsStaysWithItsRun until the run that wants to deliver it may: a run has a
// mail that waits, and somebody asks for the same digest.
func TestSend_AMailThatWaitsStaysWithItsRun(t *testing.T) {
	const dora = "dora@partner.example" // whose mail the second run makes
	for _, c := range []struct {
		name  string
		ask   func(*testing.T, *mailroom) error // the second run
		want  error
		ended ledger.RunState // how it has ended in the end
	}{
		{"the other is stopped while it makes mails", func(t *testing.T, m *mailroom) error {
			ctx, cancel := context.WithCancel(t.Context())
			m.steps = func(string, int, int) { cancel() }
			_, err := m.ask(ctx, "digest-admin_agent", "", "")
			m.steps = nil
			return err
		}, context.Canceled, ledger.Skipped},
		{"the other is held", func(t *testing.T, m *mailroom) error {
			m.brake = holdsAll
			_, err := m.ask(t.Context(), "digest-admin_agent", "", "")
			return err
		}, ErrHeld, ledger.Held},
		{"the other delivers it", func(t *testing.T, m *mailroom) error {
			_, err := m.ask(t.Context(), "digest-admin_agent", "", "")
			return err
		}, nil, ledger.Done},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMailroom(t)
			m.turn() // first seen
			if _, err := m.ask(t.Context(), "weekly", "", ""); err != nil {
				t.Fatal(err)
			}
			m.sender.got, m.sender.answers[bram] = nil, []mail.Outcome{mail.Unsent}
			var later Later
			if _, err := m.ask(t.Context(), "weekly", "", "the figures were wrong"); !errors.As(err, &later) {
				t.Fatalf("the first run: %v", err)
			}
			m.roles = append(m.roles, reports.Recipient{Address: dora, Role: reports.AdminAgent})
			if err := c.ask(t, m); !errors.Is(err, c.want) {
				t.Fatalf("the second run: %v, want %v", err, c.want)
			}
			m.pass(time.Hour)
			m.turn()
			want := anna + " " + bram + " " + coen
			if c.want == nil {
				want += " " + dora
			}
			if got := m.got(); got != want {
				t.Errorf("got: %s, want %s", got, want)
			}
			for job, want := range map[string]ledger.RunState{"weekly": ledger.Done, "digest-admin_agent": c.ended} {
				runs, err := m.ledger.Runs(t.Context(), job, 1)
				if err != nil || len(runs) != 1 || runs[0].State != want {
					t.Errorf("runs of %s: %+v, %v, want it %s", job, runs, err, want)
				} else if out := m.result(runs[0].ID); out.Delivered.Pending != 0 {
					t.Errorf("%s says that mails wait: %+v", job, out.Delivered)
				}
			}
		})
	}
}

// TestSend_ADroppedEditionTakesNothingAway has a mail that waits, another edition of it that is
// held, and a person who drops that.
func TestSend_ADroppedEditionTakesNothingAway(t *testing.T) {
	m := newMailroom(t)
	m.turn()
	if _, err := m.ask(t.Context(), "weekly", "", ""); err != nil {
		t.Fatal(err)
	}
	m.sender.got, m.sender.answers[bram] = nil, []mail.Outcome{mail.Unsent}
	var later Later
	if _, err := m.ask(t.Context(), "weekly", "", "the figures were wrong"); !errors.As(err, &later) {
		t.Fatal(err)
	}
	m.brake = holdsAll
	if _, err := m.ask(t.Context(), "digest-admin_agent", "", "wrong again"); !errors.Is(err, ErrHeld) {
		t.Fatal(err)
	}
	held, err := m.ledger.LastIn(t.Context(), "digest-admin_agent", ledger.Held)
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	if _, err := m.ledger.DropRun(t.Context(), held.ID); err != nil {
		t.Fatal(err)
	}
	m.pass(time.Hour)
	m.turn()
	if got := m.got(); got != anna+" "+bram+" "+coen {
		t.Errorf("got: %s", got)
	}
}

// TestAlarms_AnEarlierRunThatEndsWellEndsNoAlarm of a later one of its job.
func TestAlarms_AnEarlierRunThatEndsWellEndsNoAlarm(t *testing.T) {
	m := newMailroom(t)
	m.turn()
	m.sender.answers[bram] = []mail.Outcome{mail.Unsent, mail.Refused}
	var later Later
	if _, err := m.ask(t.Context(), "weekly", "", ""); !errors.As(err, &later) {
		t.Fatal(err)
	}
	if _, err := m.ask(t.Context(), "weekly", "", ""); !errors.Is(err, ErrNotAccepted) {
		t.Fatal(err)
	}
	m.pass(time.Hour)
	m.turn() // the first one ends, which has no mail any more
	runs, err := m.ledger.Runs(t.Context(), "weekly", 5)
	if err != nil {
		t.Fatal(err)
	}
	ended := 0
	for _, r := range runs {
		if r.State == ledger.Done {
			ended++
		}
	}
	alarms, err := m.ledger.Alarms(t.Context())
	if err != nil || ended != 1 || len(alarms) != 1 || alarms[0].Key != AlarmOf("weekly") {
		t.Errorf("%d runs ended well, alarms %+v, %v", ended, alarms, err)
	}
}

func TestSend_AnotherEditionReplacesOneThatHasNotLeft(t *testing.T) {
	m := newMailroom(t)
	m.sender.answers[bram] = []mail.Outcome{mail.Unsent}
	var later Later
	if out, err := m.ask(t.Context(), "weekly", "", ""); !errors.As(err, &later) || later.Mails != 1 || out.Delivered.Sent != 2 {
		t.Fatalf("first run: %+v, %v", out, err)
	}
	if out, err := m.ask(t.Context(), "other", bram, "the figures were wrong"); err != nil || out.Delivered.Sent != 1 {
		t.Fatalf("again: %+v, %v", out, err)
	}
	m.pass(time.Hour)
	m.turn()
	if got := m.got(); got != anna+" "+bram+" "+coen {
		t.Errorf("got: %s", got)
	}
	if first := m.delivery(bram, 0); first.State != ledger.Dropped || first.Reply != "superseded by edition 1" {
		t.Errorf("the first edition is %s: %s", first.State, first.Reply)
	}
}

func TestSend_AReleasedRunThatHadNoMailsMakesThem(t *testing.T) {
	m := newMailroom(t)
	everybody := m.roles
	m.roles = nil
	if _, err := m.ask(t.Context(), "weekly", "", ""); !errors.Is(err, ErrHeld) {
		t.Fatalf("a role without recipients: %v", err)
	}
	m.roles = everybody
	held, err := m.ledger.LastIn(t.Context(), "weekly", ledger.Held)
	if err != nil || held == nil {
		t.Fatal(held, err)
	}
	if err := m.ledger.Release(t.Context(), held.ID, m.now().Add(time.Hour), Released); err != nil {
		t.Fatal(err)
	}
	m.turn()
	if got := m.got(); got != anna+" "+bram+" "+coen {
		t.Errorf("got: %s", got)
	}
}

// TestSend_WhatTheBrakeLetGoIsNotHeldForItsRest stops a run after its first mail:
// what is left of it is no batch to compare.
func TestSend_WhatTheBrakeLetGoIsNotHeldForItsRest(t *testing.T) {
	m := newMailroom(t)
	m.turn()
	if _, err := m.ask(t.Context(), "weekly", "", ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.sender.after = func(string) { cancel() }
	if _, err := m.ask(ctx, "weekly", "", "the figures were wrong"); !errors.Is(err, context.Canceled) {
		t.Fatalf("the stopped run: %v", err)
	}
	m.brake = holdsAll
	m.turn()
	if len(m.sender.got) != 6 {
		t.Errorf("%d mails arrived, want 6", len(m.sender.got))
	}
}

func TestSend_WhoIsSuppressedIsLeftOutAndSaid(t *testing.T) {
	m := newMailroom(t)
	if err := m.ledger.Suppress(t.Context(), bram, "asked for it"); err != nil {
		t.Fatal(err)
	}
	out, err := m.ask(t.Context(), "weekly", "", "")
	if err != nil || !slices.Equal(out.Skipped, []string{bram + ": suppressed: asked for it"}) || out.Delivered.Sent != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if err := m.ledger.Unsuppress(t.Context(), bram); err != nil {
		t.Fatal(err)
	}
	if out, err := m.ask(t.Context(), "weekly", "", ""); err != nil || out.Delivered.Sent != 1 || m.got() != anna+" "+bram+" "+coen {
		t.Errorf("after unsuppress: %+v, %v", out, err)
	}
}

// TestSend_WhatWasAskedIsKeptByWhoeverTakesOver kills a run for one recipient
// before its mail is made.
func TestSend_WhatWasAskedIsKeptByWhoeverTakesOver(t *testing.T) {
	m := newMailroom(t)
	m.turn()
	if run, err := m.ledger.Begin(t.Context(), "weekly", m.now(), bram, "she deleted it"); err != nil || run == nil {
		t.Fatal(run, err)
	}
	m.pass(2 * ledger.DefaultLease)
	m.turn()
	if got := m.got(); got != bram {
		t.Errorf("got: %q, want the one who was asked for", got)
	}
}

// TestBrake_RemembersALongTime has a thousand runs of other jobs since the last
// batch of the role.
func TestBrake_RemembersALongTime(t *testing.T) {
	m := newMailroom(t)
	if _, err := m.ask(t.Context(), "weekly", "", ""); err != nil {
		t.Fatal(err)
	}
	var slots []time.Time
	for i := range 1100 {
		slots = append(slots, m.now().Add(time.Duration(i+1)*time.Second))
	}
	if _, err := m.ledger.Plan(t.Context(), "hourly", slots); err != nil {
		t.Fatal(err)
	}
	m.pass(time.Hour)
	m.roles = m.roles[:1]
	if _, err := m.ask(t.Context(), "weekly", "", "again"); !errors.Is(err, ErrHeld) {
		t.Errorf("a third of the recipients after 1100 runs: %v, want it held", err)
	}
}

// TestSend_TellsHowFarItIs makes and delivers three mails.
func TestSend_TellsHowFarItIs(t *testing.T) {
	m := newMailroom(t)
	var told []string
	m.steps = func(step string, done, of int) { told = append(told, fmt.Sprintf("%s %d/%d", step, done, of)) }
	if _, err := m.ask(t.Context(), "weekly", "", ""); err != nil {
		t.Fatal(err)
	}
	want := []string{"make mails 1/3", "make mails 2/3", "make mails 3/3", "deliver mails 0/3", "deliver mails 1/3", "deliver mails 2/3", "deliver mails 3/3"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Error(diff)
	}
}
