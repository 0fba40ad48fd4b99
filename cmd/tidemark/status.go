package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// status is everything on one screen.
type status struct {
	Watermark *data.Day                    `json:"watermark"`
	Seal      string                       `json:"seal"`
	Jobs      []jobStatus                  `json:"jobs"`
	Mail      map[ledger.DeliveryState]int `json:"deliveries"`
	Waiting   int                          `json:"waiting"` // mails that nobody tries
	Alarms    []ledger.Alarm               `json:"alarms"`
	DiskFree  *uint64                      `json:"disk_free_bytes"` // where the archive lies; null: cannot be told
	Broken    []string                     `json:"broken"`          // what is wrong now
	Warnings  []string                     `json:"warnings"`        // what is wrong soon
	Notes     []string                     `json:"notes"`           // what deserves a look, without being wrong
}

type jobStatus struct {
	Name    string      `json:"name"`
	Success *time.Time  `json:"last_success"`
	Last    *ledger.Run `json:"last"`
	UpTo    *data.Day   `json:"watermark"` // last day of usage in what it did last with success; null: none
	Next    time.Time   `json:"next"`
	Known   bool        `json:"known"` // a slot of it was planned or run
	Paused  bool        `json:"paused"`
	Overdue *time.Time  `json:"overdue"` // since when a slot waits that nobody runs; null: none does
}

func (a *app) statusCommand() *cobra.Command {
	var check bool
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Everything on one screen; --check for monitors",
		Long: `Everything on one screen: last success and next time of every job, the
watermark, deliveries that need a person, alarms.

With --check one line, and the exit code of a monitor: 0 well, 1 warning
(unknown or failed deliveries, paused jobs, jobs that never ran, usage that
stands still, any other alarm, a full disk, a secret that ends within 30 days),
2 critical (a job
failed, is held, or waits for more than half an hour because nobody serves; mails
wait that nobody sends, or cannot leave; configuration, ledger or archive cannot
be read).`,
		Example: "  tidemark status\n  tidemark status --check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return a.checkStatus(cmd.Context())
			}
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				s, err := a.status(cmd.Context(), c, l)
				switch {
				case err != nil:
					return err
				case format == "json":
					return a.printJSON(s)
				}
				a.printStatus(s)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "one line, exit code 0, 1 or 2")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) status(ctx context.Context, c *config, l *ledger.Ledger) (status, error) {
	return a.statusOf(ctx, c, l, func() (*archive.View, error) { return a.view(ctx, c, nil) })
}

// statusOf is status for whoever has the archive open.
func (a *app) statusOf(ctx context.Context, c *config, l *ledger.Ledger, newest func() (*archive.View, error)) (status, error) {
	s := status{Jobs: []jobStatus{}, Broken: []string{}}
	view, err := newest()
	switch {
	case err == nil:
		s.Watermark, s.Seal = jobs.Watermark(view, c.settleDays()), view.Seal()
	case errors.Is(err, fs.ErrNotExist):
		s.Notes = append(s.Notes, err.Error())
	default:
		s.Broken = append(s.Broken, err.Error())
	}
	if len(c.Jobs) == 0 {
		s.Notes = append(s.Notes, "no jobs are configured: add jobs, and run `tidemark serve`")
	}
	if s.Mail, err = l.Counts(ctx, ""); err != nil {
		return s, err
	}
	if s.Waiting, err = l.Waiting(ctx, a.now().Add(-overdueAfter)); err != nil {
		return s, err
	}
	if s.Alarms, err = l.Alarms(ctx); err != nil {
		return s, err
	}
	paused, err := l.Paused(ctx)
	if err != nil {
		return s, err
	}
	for _, j := range c.Jobs {
		js, err := a.jobStatus(ctx, c, l, j)
		if err != nil {
			return s, err
		}
		_, js.Paused = paused[j.Name]
		if js.Success != nil && j.Do == "extract" {
			js.UpTo = s.Watermark
		}
		s.Jobs = append(s.Jobs, js)
	}
	s.Warnings = a.soon(c, &s)
	if c.Operators.Webhook == "" && c.Operators.Ping == "" {
		s.Notes = append(s.Notes, "alarms have no second way: set operators.webhook or operators.ping, mail cannot report that mail is down")
	}
	return s, nil
}

// The limits from which a monitor is told.
const (
	leastDisk   = 2 << 30 // bytes
	expiryAlarm = 30      // days
)

// soon says what will go wrong: a disk that is nearly full, secrets that end.
func (a *app) soon(c *config, s *status) []string {
	warnings := []string{}
	if free, ok := diskFree(c.dir); ok {
		s.DiskFree = &free
		if free < leastDisk {
			warnings = append(warnings, fmt.Sprintf("%d MiB are free on the disk", free>>20))
		}
	}
	for _, e := range c.Operators.Expiry {
		on, err := data.ParseDay(e.On)
		if left := int(on - a.today()); err == nil && left < expiryAlarm {
			warnings = append(warnings, fmt.Sprintf("%s ends on %s, in %d days", e.What, on, left))
		}
	}
	return warnings
}

func (a *app) jobStatus(ctx context.Context, c *config, l *ledger.Ledger, j jobConfig) (jobStatus, error) {
	js := jobStatus{Name: j.Name}
	job, err := a.job(c, l, j)
	if err != nil {
		return js, err
	}
	js.Next = job.Schedule.Next(a.now())
	if js.Last, err = l.Newest(ctx, j.Name, a.now()); err != nil {
		return js, err
	}
	for _, state := range []ledger.RunState{ledger.Done, ledger.Warned} {
		r, err := l.LastIn(ctx, j.Name, state)
		if err != nil {
			return js, err
		}
		if r != nil && (js.Success == nil || r.Finished.After(*js.Success)) {
			js.Success, js.UpTo = r.Finished, nil
			if out, ok := sendResult(*r); ok {
				js.UpTo = &out.Batch.Period.To
			}
		}
	}
	if _, js.Known, err = l.LastSlot(ctx, j.Name); err != nil {
		return js, err
	}
	js.Overdue, err = a.overdue(ctx, l, job.Schedule, j.Name)
	return js, err
}

// overdueAfter is how long a slot may wait before a monitor is told.
const overdueAfter = 30 * time.Minute

// overdue returns since when a slot of a job waits that should have begun: one
// that nobody planned, or that nobody took. A job that was never planned does not
// wait: its slots count from the first `serve`.
func (a *app) overdue(ctx context.Context, l *ledger.Ledger, schedule jobs.Schedule, name string) (*time.Time, error) {
	latest := a.now().Add(-overdueAfter)
	running, err := l.LastIn(ctx, name, ledger.Running)
	if err != nil || running != nil && running.Lease.After(a.now()) {
		return nil, err // the next waits for it
	}
	newest, err := l.LastIn(ctx, name, ledger.Queued)
	if err != nil {
		return nil, err
	}
	if newest != nil && newest.Due.Before(latest) {
		return &newest.Due, nil
	}
	last, ok, err := l.LastSlot(ctx, name)
	if err != nil || !ok {
		return nil, err
	}
	if next := schedule.Next(last).UTC(); next.Before(latest) {
		return &next, nil
	}
	return nil, nil
}

// level is a monitor's: 0 well, 1 warning, 2 critical, with what is wrong.
func (s status) level() (int, []string) {
	level := 0
	var why []string
	raise := func(to int, format string, args ...any) {
		level = max(level, to)
		why = append(why, fmt.Sprintf(format, args...))
	}
	for _, b := range s.Broken {
		raise(2, "%s", b)
	}
	told := map[string]bool{} // alarms of jobs that are named anyway
	for _, j := range s.Jobs {
		if j.Overdue != nil && !j.Paused {
			raise(2, "%s waits since %s: is `tidemark serve` running?", j.Name, j.Overdue.Format("2006-01-02T15:04Z"))
		}
		if j.Last != nil && (j.Last.State == ledger.Failed || j.Last.State == ledger.Held) {
			raise(2, "%s is %s", j.Name, j.Last.State)
			told[jobs.AlarmOf(j.Name)] = true
		}
		if j.Paused {
			raise(1, "%s is paused", j.Name)
		}
		if !j.Known {
			raise(1, "%s never ran and no slot of it is planned: is `tidemark serve` running?", j.Name)
		}
	}
	if s.Waiting > 0 {
		raise(2, "mails that wait and nobody sends: %d: is `tidemark serve` running?", s.Waiting)
	}
	for _, al := range s.Alarms {
		switch {
		case al.Key == alarmMail:
			raise(2, "%s since %s", al.Message, al.Since.Format("2006-01-02T15:04Z"))
		case al.Key == alarmStandstill:
			raise(1, "%s", al.Message)
		case !told[al.Key]:
			raise(1, "alarm %s since %s: %s", al.Key, al.Since.Format("2006-01-02T15:04Z"), al.Message)
		}
	}
	for _, w := range s.Warnings {
		raise(1, "%s", w)
	}
	if n := s.Mail[ledger.Unknown] + s.Mail[ledger.Dot]; n > 0 {
		raise(1, "deliveries unknown: %d", n)
	}
	if n := s.Mail[ledger.Refused]; n > 0 {
		raise(1, "deliveries failed: %d", n)
	}
	if n := s.Mail[ledger.Bounced]; n > 0 {
		raise(1, "deliveries that came back: %d", n)
	}
	return level, why
}

// monitorError carries the exit code of a monitor.
type monitorError struct {
	code int
}

func (monitorError) Error() string { return "status" }

// checkStatus prints one line, whatever goes wrong: a monitor reads nothing else.
func (a *app) checkStatus(ctx context.Context) error {
	var s status
	err := a.withLedger(ctx, func(c *config, l *ledger.Ledger) (err error) {
		s, err = a.status(ctx, c, l)
		return err
	})
	if err != nil {
		a.printf("CRITICAL: %s\n", printable(strings.Join(strings.Fields(err.Error()), " ")))
		return monitorError{2}
	}
	level, why := s.level()
	word := []string{"OK", "WARNING", "CRITICAL"}[level]
	line := word + ": " + s.usage()
	for _, j := range s.Jobs {
		if j.Success != nil {
			line += fmt.Sprintf(", %s %s%s", j.Name, j.Success.Format("2006-01-02T15:04Z"), j.upTo())
		}
	}
	if len(why) > 0 {
		line += "; " + strings.Join(why, "; ")
	}
	a.printf("%s\n", printable(line))
	if level > 0 {
		return monitorError{level}
	}
	return nil
}

// upTo says which day of usage the job's last success reached, if any.
func (j jobStatus) upTo() string {
	if j.UpTo == nil {
		return ""
	}
	return " up to " + j.UpTo.String()
}

// usage says up to which day it is complete.
func (s status) usage() string {
	if s.Watermark == nil {
		return "no usage is archived yet"
	}
	return "usage complete up to " + s.Watermark.String()
}

func (a *app) printStatus(s status) {
	a.printf("%s\n", s.usage())
	if s.Seal != "" {
		a.printf("archive has seal %s\n", s.Seal)
	}
	for _, j := range s.Jobs {
		success, last := "never", "-"
		if j.Success != nil {
			success = j.Success.Format(time.RFC3339)
		}
		if j.Last != nil {
			last = fmt.Sprintf("%s %s", j.Last.State, printable(j.Last.Note))
		}
		if j.Overdue != nil {
			last += fmt.Sprintf(" WAITS since %s: is `tidemark serve` running?", j.Overdue.Format(time.RFC3339))
		}
		a.printf("%-20s last success %-20s next %-22s %s\n", printable(j.Name), success+j.upTo(), j.Next.Format("Mon 2006-01-02 15:04 MST"), last)
	}
	for _, state := range []ledger.DeliveryState{ledger.Unknown, ledger.Dot, ledger.Refused, ledger.Bounced, ledger.Pending, ledger.Sending, ledger.Sent, ledger.Diverted} {
		if n := s.Mail[state]; n > 0 {
			a.printf("deliveries %-9s %d\n", state, n)
		}
	}
	if s.Waiting > 0 {
		a.printf("deliveries waiting   %d: nobody sends them, is `tidemark serve` running?\n", s.Waiting)
	}
	for _, al := range s.Alarms {
		a.printf("ALARM since %s  %s: %s\n", al.Since.Format(time.RFC3339), printable(al.Key), printable(al.Message))
	}
	if s.DiskFree != nil {
		a.printf("disk free %d GiB\n", *s.DiskFree>>30)
	}
	for _, b := range s.Broken {
		a.printf("BROKEN  %s\n", printable(b))
	}
	for _, w := range s.Warnings {
		a.printf("WARNING  %s\n", printable(w))
	}
	for _, n := range s.Notes {
		a.printf("note  %s\n", printable(n))
	}
}

// isMonitor returns the exit code of a monitor's verdict.
func isMonitor(err error) (int, bool) {
	var m monitorError
	ok := errors.As(err, &m)
	return m.code, ok
}
