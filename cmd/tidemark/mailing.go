package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"slices"
	"time"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
)

// mailing is what a digest job mails.
func (a *app) mailing(c *config, j jobConfig) (m mailing, err error) {
	m.send = j.Send
	if m.period, err = data.ParsePeriod(j.Period); err == nil {
		m.zone, err = time.LoadLocation(cmp.Or(j.Timezone, c.Partner.Timezone))
	}
	if err == nil {
		m.role, err = reports.ParseRole(j.Role)
	}
	if err != nil {
		err = fmt.Errorf("job %s: %w", j.Name, err)
	}
	return m, err
}

// mailing is one digest to be built and, with send, delivered.
type mailing struct {
	role   reports.Role
	period data.PeriodSpec
	zone   *time.Location
	ref    data.Day // what relative periods count from
	asOf   *time.Time
	send   bool
	only   string
	again  string

	previous time.Time // slot of the schedule before the run's; zero for a run that is none of the schedule
}

// at is the mailing for a slot: relative periods count from it in the job's zone.
func (m mailing) at(slot time.Time) mailing {
	m.ref = data.DayOf(slot.In(m.zone))
	return m
}

// The keys of alarms that are not of a job.
const (
	alarmMail       = "mail"
	alarmStandstill = "standstill"
	alarmReload     = "reload"
)

// deliverer wires the delivery; the function closes its connection.
func (a *app) deliverer(c *config, l *ledger.Ledger) (jobs.Deliverer, func() error, error) {
	from, err := netmail.ParseAddress(cmp.Or(c.Mail.From, defaultFrom))
	if err != nil {
		return jobs.Deliverer{}, nil, fmt.Errorf("mail.from: %w", err)
	}
	sender, err := a.sender(c)
	if err != nil {
		return jobs.Deliverer{}, nil, err
	}
	d := jobs.Deliverer{Ledger: l, Sender: sender, From: from.Address, DailyLimit: c.Mail.DailyLimit, Divert: c.Mail.Divert, AllowDomains: c.Mail.AllowDomains,
		Pace: c.pace(), Wait: jobs.Sleep(a.now), Now: a.now, Log: a.log()}
	alarms, err := a.alarms(c)
	if err != nil {
		return d, nil, err
	}
	logged := func(err error) {
		if err != nil {
			a.log().Error("alarm", "err", err)
		}
	}
	d.Trouble = func(ctx context.Context, run, reply string) {
		logged(alarms.Raise(ctx, l, alarmMail, "mail cannot leave", "tidemark: mail cannot leave",
			fmt.Sprintf("Run %s: no mail leaves.\nThe next hop says: %s\n\nThey are tried again. Next: tidemark deliveries --run %[1]s --state pending\n", run, reply)))
	}
	d.Works = func(ctx context.Context) {
		logged(alarms.Clear(ctx, l, alarmMail, "tidemark: mail leaves again", "Mail leaves again."))
	}
	if c.Mail.DKIM.Key == "" {
		return d, sender.Close, nil
	}
	key, err := a.secret(c, "mail.dkim.key", c.Mail.DKIM.Key)
	if err != nil {
		return d, nil, err
	}
	signer, err := mail.NewDKIM(c.Mail.DKIM.Domain, c.Mail.DKIM.Selector, []byte(key), a.now)
	if err != nil {
		return d, nil, err
	}
	d.Sign = signer.Sign
	return d, sender.Close, nil
}

func (a *app) runDigest(ctx context.Context, c *config, l *ledger.Ledger, run *ledger.Run, m mailing) (out jobs.Outcome, err error) {
	a = a.watched(run)
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return out, err
	}
	view, err := arc.View(ctx, m.asOf)
	if err != nil {
		return out, err
	}
	p, err := jobs.Load(ctx, view, jobs.Query{Period: m.period, Ref: m.ref, SettleDays: c.settleDays(), Trend: true})
	if err != nil {
		return out, err
	}
	defer p.Release()
	to, err := a.recipients(ctx, c, true)
	if err != nil {
		return out, err
	}
	if err := a.tellOfEmptyRoles(ctx, c, l, to.found); err != nil {
		return out, err
	}
	d, err := a.digests(ctx, c, arc, p, to, m.role)
	if err != nil {
		return out, err
	}
	d.Only = m.only
	recorder := a.recorder(c, arc, run.Job, &run.Slot)
	if !m.send {
		return out, a.writeBuilt(ctx, d, c.outbox(), a.writeEML, recorder)
	}
	d.Divert = c.Mail.Divert
	deliverer, done, err := a.deliverer(c, l)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, done()) }()
	deliverer.Steps = a.steps()
	s := jobs.Sending{Ledger: l, Run: run, Again: m.again, Brake: c.brake(), Deliverer: deliverer, Recorder: recorder, Within: c.within(), Steps: deliverer.Steps}
	if m.period.FollowsWatermark() {
		s.Previous = m.previous
	}
	result, err := s.Send(ctx, d)
	a.warnOfMissing(d.Charts)
	return a.sent(ctx, c, l, result, err, d.Without...)
}

// goOn delivers the stored mails of a run that was stopped, or released, or whose
// mails wait for another try.
func (a *app) goOn(ctx context.Context, c *config, l *ledger.Ledger, run *ledger.Run) (out jobs.Outcome, err error) {
	a = a.watched(run)
	deliverer, done, err := a.deliverer(c, l)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, done()) }()
	deliverer.Steps = a.steps()
	result, err := jobs.Sending{Ledger: l, Run: run, Deliverer: deliverer}.Resume(ctx)
	return a.sent(ctx, c, l, result, err)
}

// sent is what a run of mails says about itself, and what its mails went without.
func (a *app) sent(ctx context.Context, c *config, l *ledger.Ledger, result jobs.SendResult, err error, without ...string) (jobs.Outcome, error) {
	if told := a.tellOfStandstill(context.WithoutCancel(ctx), c, l, result); err == nil {
		err = told
	}
	return jobs.Outcome{Result: result, Warnings: slices.Concat(without, result.Unwritten, result.Skipped)}, err
}

// tellOfStandstill tells the operators that usage stands still, once, and once
// that it comes in again.
func (a *app) tellOfStandstill(ctx context.Context, c *config, l *ledger.Ledger, out jobs.SendResult) error {
	if out.Batch == nil {
		return nil
	}
	alarms, err := a.alarms(c)
	if err != nil {
		return err
	}
	last := out.Batch.Period.To
	what := "usage stands still since " + last.String()
	switch {
	case len(out.Still) > 0:
		return alarms.Raise(ctx, l, alarmStandstill, what, "tidemark: usage stands still",
			fmt.Sprintf("No usage after %s has come in since the last reports. %d people are sent a mail that says so instead of a report.\n\nNext: tidemark runs\n", last, len(out.Still)))
	case out.Delivered.Sent > 0:
		raised, err := l.Alarms(ctx)
		if err != nil || slices.ContainsFunc(raised, func(al ledger.Alarm) bool { return al.Key == alarmStandstill && al.Message == what }) {
			return err // the run reports what stands still, to those who had not got that
		}
		return alarms.Clear(ctx, l, alarmStandstill, "tidemark: usage comes in again", fmt.Sprintf("Usage is known up to %s.", last))
	}
	return nil
}

// brake are the thresholds of the configuration.
func (c *config) brake() jobs.Brake {
	b := c.Mail.Brake
	return jobs.Brake{MaxChange: b.MaxChange, MaxUsageDrop: b.MaxUsageDrop, MaxRecipientDrop: b.MaxRecipientDrop, MaxAssignedDrop: b.MaxAssignedDrop}
}
