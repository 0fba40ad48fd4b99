package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	netmail "net/mail"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports/mail"
	"tidemark/transform/churn"
)

// openLedger opens the ledger of the configuration, by default tidemark.db
// beside it. The caller must Close it.
func (a *app) openLedger(ctx context.Context, c *config) (*ledger.Ledger, error) {
	path := c.ledgerPath()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return ledger.Open(ctx, path, ledger.Options{Now: a.now, Owner: fmt.Sprintf("%s/%d", host, os.Getpid()),
		Dead: func(owner string) bool { return gone(host, owner) }})
}

func (c *config) ledgerPath() string { return c.path(cmp.Or(c.Ledger.Path, "tidemark.db")) }

// gone reports whether an owner, named HOST/PID, was a process of this machine
// that has ended: a crash then need not wait for its lease.
func gone(host, owner string) bool {
	pid, ours := strings.CutPrefix(owner, host+"/")
	n, err := strconv.Atoi(pid)
	if !ours || err != nil || host == "unknown" || runtime.GOOS == "windows" {
		return false
	}
	p, err := os.FindProcess(n)
	if err != nil {
		return false
	}
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// secret returns what env:NAME or file:PATH stands for.
func (a *app) secret(c *config, key, value string) (string, error) {
	if name, found := strings.CutPrefix(value, "env:"); found {
		if v := a.getenv(name); v != "" {
			return v, nil
		}
		return "", usagef("%s: the environment has no %s", key, name)
	}
	if path, found := strings.CutPrefix(value, "file:"); found {
		b, err := os.ReadFile(c.path(path))
		if err != nil {
			return "", usagef("%s: %w", key, err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return "", nil
}

// certificates are those of a file that a key of the configuration names; nil for none.
func (c *config) certificates(key, path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.path(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return b, nil
}

// sender makes the sender of the configuration.
func (a *app) sender(c *config) (mail.Sender, error) {
	switch c.Mail.Kind {
	case "smtp":
	case "graph":
		return a.graphSender(c)
	default:
		return mail.Files{Dir: c.outbox()}, nil
	}
	m := c.Mail.SMTP
	password, err := a.secret(c, "mail.smtp.password", m.Password)
	if err != nil {
		return nil, err
	}
	ca, err := c.certificates("mail.smtp.ca", m.CA)
	if err != nil {
		return nil, err
	}
	o := mail.SMTPOptions{Host: m.Host, Port: m.Port, TLS: m.TLS, CA: ca, Auth: m.Auth, Username: m.Username, Password: password, Now: a.now}
	if m.Auth == "xoauth2" {
		tenant, err := a.tenant(c)
		if err != nil {
			return nil, err
		}
		o.Token = tenant.ExchangeToken
	}
	return mail.NewSMTP(o)
}

func (c *config) outbox() string { return c.path(cmp.Or(c.Mail.Out, "outbox")) }

// within is how long a mail is tried.
func (c *config) within() time.Duration {
	d, _ := time.ParseDuration(c.Mail.Within) // validated with the configuration
	return cmp.Or(d, jobs.DefaultDeliverWithin)
}

// pace is how many mails a minute the host takes, 0 for any number.
func (c *config) pace() int {
	if c.Mail.Pace > 0 {
		return c.Mail.Pace
	}
	if c.isExchange() {
		return jobs.ExchangePace
	}
	return 0
}

// alarms wires the ways to reach the operators.
func (a *app) alarms(c *config) (jobs.Alarms, error) {
	al := jobs.Alarms{Log: a.log(), Client: &http.Client{Timeout: 20 * time.Second}}
	var err error
	if al.Webhook, err = a.secret(c, "operators.webhook", c.Operators.Webhook); err != nil {
		return al, err
	}
	if al.Ping, err = a.secret(c, "operators.ping", c.Operators.Ping); err != nil {
		return al, err
	}
	if len(c.Operators.Mail) > 0 {
		al.Mail = func(ctx context.Context, subject, text string) error { return a.mailOperators(ctx, c, subject, text) }
	}
	return al, nil
}

// mailOperators sends a plain mail to every operator.
func (a *app) mailOperators(ctx context.Context, c *config, subject, text string) (err error) {
	from, err := netmail.ParseAddress(cmp.Or(c.Mail.From, defaultFrom))
	if err != nil {
		return err
	}
	sender, err := a.sender(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sender.Close()) }()
	now := a.now().UTC()
	var failed []error
	for i, to := range c.Operators.Mail {
		_, domain, _ := strings.Cut(from.Address, "@")
		id, err := mail.NewMessageID(domain, "alarm", subject, now.String(), to)
		if err != nil {
			return err
		}
		eml, err := mail.Message{From: *from, To: netmail.Address{Address: to}, Subject: subject, Text: text, HTML: alarmHTML(text),
			MessageID: id, Date: now, ReportID: "alarm"}.Seal()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("alarm-%s-%d", now.Format("20060102t150405.000000"), i)
		if r := sender.Send(ctx, mail.Envelope{From: from.Address, To: to, Name: name}, eml, func() error { return nil }); r.Err != nil {
			failed = append(failed, fmt.Errorf("to %s: %w", to, r.Err))
		}
	}
	if len(failed) < len(c.Operators.Mail) { // somebody was told
		for _, err := range failed {
			a.log().Error("alarm not delivered", "way", "mail", "err", err)
		}
		return nil
	}
	return errors.Join(failed...)
}

// runner wires the configured jobs to the ledger. The caller must call the
// returned function when done.
func (a *app) runner(ctx context.Context, c *config) (*jobs.Runner, func() error, error) {
	l, err := a.openLedger(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	r, err := a.runnerOn(c, l)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return r, l.Close, nil
}

// runnerOn wires the configured jobs to an open ledger.
func (a *app) runnerOn(c *config, l *ledger.Ledger) (*jobs.Runner, error) {
	alarms, err := a.alarms(c)
	if err != nil {
		return nil, err
	}
	r := &jobs.Runner{Ledger: l, Now: a.now, Log: a.log(), Alarms: alarms,
		Deliver: func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) { return a.goOn(ctx, c, l, run) }}
	if a.board != nil {
		r.Watch = a.board.Watch()
	}
	for _, j := range c.Jobs {
		job, err := a.job(c, l, j)
		if err != nil {
			return nil, err
		}
		r.Jobs = append(r.Jobs, job)
	}
	if len(c.Jobs) > 0 && (alarms.Mail != nil || alarms.Webhook != "") {
		heartbeat, err := a.heartbeat(c, l, alarms)
		if err != nil {
			return nil, err
		}
		r.Jobs = append(r.Jobs, heartbeat)
	}
	return r, nil
}

// heartbeat is the job that tells the operators once a week that tidemark is
// alive, with its status: silence is then a sign in itself.
func (a *app) heartbeat(c *config, l *ledger.Ledger, alarms jobs.Alarms) (jobs.Job, error) {
	s, err := jobs.ParseSchedule("0 9 * * MON", c.Partner.Timezone)
	return jobs.Job{Name: "heartbeat", Schedule: s, CatchUp: "latest", Execute: func(ctx context.Context, _ *ledger.Run) (jobs.Outcome, error) {
		st, err := a.status(ctx, c, l)
		if err != nil {
			return jobs.Outcome{}, err
		}
		var text strings.Builder
		quiet := *a
		quiet.stdout = &text
		quiet.printStatus(st)
		if !alarms.Say(ctx, "tidemark: alive", text.String()) {
			return jobs.Outcome{}, errors.New("nobody could be told that tidemark is alive")
		}
		return jobs.Outcome{}, nil
	}}, err
}

// job wires one configured job.
func (a *app) job(c *config, l *ledger.Ledger, j jobConfig) (jobs.Job, error) {
	s, err := jobs.ParseSchedule(j.Cron, cmp.Or(j.Timezone, c.Partner.Timezone))
	if err != nil {
		return jobs.Job{}, fmt.Errorf("job %s: %w", j.Name, err)
	}
	job := jobs.Job{Name: j.Name, Schedule: s, Do: j.Do, Role: j.Role, After: j.After, Otherwise: j.Otherwise, CatchUp: j.CatchUp, Send: j.Send}
	if j.Wait != "" {
		if job.Wait, err = time.ParseDuration(j.Wait); err != nil {
			return job, fmt.Errorf("job %s: %w", j.Name, err)
		}
	}
	if j.Do == "extract" {
		job.Execute = func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) { return a.runExtract(ctx, c, run) }
		return job, nil
	}
	if j.Do == "train" {
		job.Execute = func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) { return a.runTrain(ctx, c, run) }
		return job, nil
	}
	if j.Do == "inbox" {
		job.Execute = func(ctx context.Context, _ *ledger.Run) (jobs.Outcome, error) { return a.runInbox(ctx, c, l) }
		return job, nil
	}
	m, err := a.mailing(c, j)
	if err != nil {
		return job, err
	}
	job.Period = m.period
	job.Execute = func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) {
		m := m.at(run.Slot)
		m.only, m.again = run.Only, run.Again
		if s.Next(run.Slot.Add(-time.Second)).Equal(run.Slot) {
			m.previous = s.Previous(run.Slot)
		}
		return a.runDigest(ctx, c, l, run, m)
	}
	return job, nil
}

func (a *app) runExtract(ctx context.Context, c *config, run *ledger.Run) (jobs.Outcome, error) {
	a = a.watched(run)
	arc, err := a.openArchive(ctx, c, false)
	if err != nil {
		return jobs.Outcome{}, err
	}
	x, err := a.extraction(ctx, c, arc, nil, a.today(), 0)
	if err != nil {
		return jobs.Outcome{}, err
	}
	x.Progress = a.tellTally
	out, err := a.extract(ctx, x)
	if errors.Is(err, jobs.ErrRefused) {
		err = jobs.Permanent{Err: err}
	}
	return jobs.Outcome{Result: out, Warnings: out.Warnings}, err
}

func (a *app) runTrain(ctx context.Context, c *config, run *ledger.Run) (jobs.Outcome, error) {
	told, err := a.train(ctx, c, run.Job, jobs.ChurnQuery{SettleDays: c.settleDays(), Horizon: churn.DefaultHorizon})
	if errors.Is(err, churn.ErrNoLabels) {
		return jobs.Outcome{Warnings: []string{err.Error()}}, nil // the archive is too young; the prior goes on
	}
	return jobs.Outcome{Result: told}, err
}

// alarmHTML is the HTML part of an alarm: the same text.
func alarmHTML(text string) string {
	return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>tidemark</title></head><body><pre style="font-size:14px;white-space:pre-wrap;">` +
		html.EscapeString(text) + "</pre></body></html>"
}
