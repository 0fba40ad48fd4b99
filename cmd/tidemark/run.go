package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports"
)

// errBusy ends a command whose job is held by another run.
var errBusy = errors.New("another run holds the job")

func (a *app) runCommand() *cobra.Command {
	var slot, only, again string
	var days dayFlags
	cmd := &cobra.Command{
		Use:   "run JOB",
		Short: "Run a configured job now",
		Long: `Run a configured job now, as the scheduler would.

What was sent already for the period is not sent again, and the output says who
has it; what an earlier run left unsent goes out, and what failed is named (exit
12). --again sends once more and records why; an edition that has not left yet is
replaced. With --slot the job runs for that nominal time, which has come: relative
periods count from it. --from and --to run every slot of the schedule in those
days, the oldest first.

Mails that the relay puts off are waited for. Stopped in between, the run goes on
with ` + "`tidemark serve`" + ` or with the same command once more.`,
		Example: `  tidemark run nightly
  tidemark run weekly-sales --slot 2026-11-16T07:00:00+01:00
  tidemark run weekly-sales --from 2026-10-01 --to 2026-10-31
  tidemark run weekly-sales --only anna@partner.example --again "she deleted it"`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeJobs,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := a.now().Truncate(time.Second)
			if slot != "" {
				t, err := time.Parse(time.RFC3339, slot)
				if err != nil {
					return usagef("--slot %q: want a time such as 2026-11-16T07:00:00+01:00", slot)
				}
				at = t
			}
			if at.After(a.now()) {
				return usagef("--slot %s lies in the future", slot)
			}
			period, err := days.period()
			if err != nil {
				return err
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			if period != nil {
				return a.backfill(cmd.Context(), c, args[0], *period, only, again)
			}
			return a.runJob(cmd.Context(), c, args[0], at, only, again)
		},
	}
	cmd.Flags().StringVar(&days.from, "from", "", "with --to: run every slot of the schedule from this `DAY`")
	cmd.Flags().StringVar(&days.to, "to", "", "last `DAY` of a backfill")
	cmd.Flags().StringVar(&slot, "slot", "", "nominal `TIME` of the run (default: now)")
	cmd.Flags().StringVar(&only, "only", "", "only this recipient's `ADDRESS`")
	cmd.Flags().StringVar(&again, "again", "", "send what was delivered already once more; `WHY` is recorded")
	return cmd
}

func (a *app) runJob(ctx context.Context, c *config, name string, slot time.Time, only, again string) (err error) {
	r, done, err := a.runner(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	i := slices.IndexFunc(c.Jobs, func(j jobConfig) bool { return j.Name == name })
	if i < 0 {
		return a.runStored(ctx, r, name, slot)
	}
	if only != "" || again != "" {
		if err := a.canNarrow(ctx, c, c.Jobs[i], only); err != nil {
			return err
		}
	}
	return a.execute(ctx, r, r.Jobs[i], slot, only, again)
}

// runStored goes on with a run whose mails are stored and may leave, of a job that
// is not configured: a digest from the command line that was stopped or released.
func (a *app) runStored(ctx context.Context, r *jobs.Runner, name string, slot time.Time) error {
	id := ledger.RunID(name, slot)
	stored, err := r.Ledger.Run(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && !(stored.State == ledger.Queued && stored.Cleared) {
		return usagef("there is no job %q; `tidemark jobs` lists them", name)
	} else if err != nil {
		return err
	}
	run, err := r.Ledger.ClaimRun(ctx, id)
	if err != nil {
		return err
	}
	if run == nil {
		return fmt.Errorf("run %s: %w; `tidemark runs` shows it", id, errBusy)
	}
	return a.finish(ctx, r, jobs.Job{Name: name}, run)
}

// backfill runs every slot of the job's schedule in a range of days, in its zone.
func (a *app) backfill(ctx context.Context, c *config, name string, days data.Period, only, again string) error {
	i := slices.IndexFunc(c.Jobs, func(j jobConfig) bool { return j.Name == name })
	if i < 0 {
		return usagef("there is no job %q; `tidemark jobs` lists them", name)
	}
	s, err := jobs.ParseSchedule(c.Jobs[i].Cron, cmp.Or(c.Jobs[i].Timezone, c.Partner.Timezone))
	if err != nil {
		return err
	}
	var failed []error
	for slot := s.Next(days.From.Time().Add(-36 * time.Hour)); data.DayOf(slot) <= days.To && !slot.After(a.now()); slot = s.Next(slot) {
		if data.DayOf(slot) < days.From {
			continue
		}
		if err := a.runJob(ctx, c, name, slot, only, again); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// canNarrow refuses what --only and --again cannot mean for a job.
func (a *app) canNarrow(ctx context.Context, c *config, j jobConfig, only string) error {
	if j.Do != "digest" {
		return usagef("job %s makes no mails: --only and --again are for digests", j.Name)
	}
	m, err := a.mailing(c, j)
	if err != nil || only == "" {
		return err
	}
	to, err := a.recipients(ctx, c, false)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(jobs.WithRole(to.all, m.role), func(r reports.Recipient) bool { return strings.EqualFold(r.Address, only) }) {
		return usagef("--only %s: job %s mails no such recipient", only, j.Name)
	}
	return nil
}

// execute begins a run, runs it to its end, and says what became of it.
func (a *app) execute(ctx context.Context, r *jobs.Runner, job jobs.Job, slot time.Time, only, again string) error {
	id := ledger.RunID(job.Name, slot)
	run, err := r.Ledger.Begin(ctx, job.Name, slot, only, again)
	switch {
	case err != nil:
		return err
	case run == nil:
		if there, err := r.Ledger.Run(ctx, id); err == nil && there.State == ledger.Held {
			return fmt.Errorf("run %s: %w: decide with `tidemark release %[1]s` or `tidemark drop %[1]s`", id, jobs.ErrHeld)
		}
		return fmt.Errorf("run %s: %w; `tidemark runs` shows it", id, errBusy)
	case run.Only != only || run.Again != again:
		err := usagef("run %s waits already, for %s; let it end, or give another --slot", id, cmp.Or(run.Only, "everybody"))
		return errors.Join(err, r.Ledger.Postpone(ctx, run, run.Due, run.Note))
	}
	return a.finish(ctx, r, job, run)
}

// finish runs a claimed run to its end, however long its mails must wait, and says
// what became of it. Runs whose last mails it took over end with it.
func (a *app) finish(ctx context.Context, r *jobs.Runner, job jobs.Job, run *ledger.Run) error {
	err := a.toItsEnd(ctx, r, job, run)
	if ctx.Err() != nil {
		return err
	}
	if settling := settleEmptied(ctx, r); settling != nil { // serve, or the next command, does it
		a.log().Warn("runs whose mails were taken over wait to be ended", "err", settling)
	}
	return err
}

// settleEmptied ends the runs that wait for mails which others took over, as if they had
// delivered them.
func settleEmptied(ctx context.Context, r *jobs.Runner) error {
	r.Tries = 0 // nobody watches these
	ids, err := r.Ledger.Emptied(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		run, err := r.Ledger.ClaimRun(ctx, id)
		if err == nil && run != nil {
			_, err = r.Execute(ctx, jobs.Job{Name: run.Job}, run) // how it ended is in its own record
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// toItsEnd runs a claimed run until none of its mails waits any more.
func (a *app) toItsEnd(ctx context.Context, r *jobs.Runner, job jobs.Job, run *ledger.Run) error {
	r.Tries = 1 // a person watches: no second try by itself
	id := run.ID
	for {
		jobErr, err := r.Execute(ctx, job, run)
		if err != nil {
			return err
		}
		ended, err := r.Ledger.Run(context.WithoutCancel(ctx), id)
		if err != nil {
			return err
		}
		a.printRun(ended)
		var later jobs.Later
		switch {
		case errors.As(jobErr, &later):
		case jobErr == nil && ended.State == ledger.Queued:
			return fmt.Errorf("run %s %s; `tidemark serve` takes it up", id, ended.Note)
		case jobErr == nil && ended.State == ledger.Warned:
			return errWarnings
		default:
			return a.interrupted(jobErr, ended)
		}
		if err := jobs.Sleep(a.now)(ctx, later.Until); err != nil {
			return a.interrupted(err, ended)
		}
		if run, err = r.Ledger.ClaimRun(ctx, id); err != nil {
			return err
		}
		if run != nil {
			continue
		}
		if ended, err = r.Ledger.Run(ctx, id); err != nil {
			return err
		}
		switch {
		case ended.State == ledger.Queued || ended.State == ledger.Running:
			return fmt.Errorf("run %s: %w and goes on with it; `tidemark runs` shows it", id, errBusy)
		case jobs.NotAccepted(ended.State, ended.Note):
			err = fmt.Errorf("%s: %w", id, jobs.ErrNotAccepted)
		case ended.State == ledger.Warned:
			err = errWarnings
		case ended.State != ledger.Done:
			err = fmt.Errorf("run %s is %s: %s", id, ended.State, ended.Note)
		}
		a.printRun(ended)
		return err
	}
}

// interrupted adds to the error of a run that was stopped what is left of it.
func (a *app) interrupted(err error, run ledger.Run) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	left := "nobody was mailed"
	if run.Cleared {
		left = "`tidemark deliveries --run " + run.ID + "` shows who has not got a mail yet"
	}
	return fmt.Errorf("run %s was stopped; %s. `tidemark serve` or the same command once more goes on with it: %w", run.ID, left, context.Canceled)
}

// printRun says what a run did.
func (a *app) printRun(r ledger.Run) {
	a.printf("%s  %s\n", r.ID, r.State)
	if r.Note != "" {
		a.printf("  %s\n", printable(r.Note))
	}
	out, ok := sendResult(r)
	if !ok {
		return
	}
	a.printf("  %d sent, %d diverted, %d failed, %d unknown, %d pending\n", out.Delivered.Sent, out.Delivered.Diverted, out.Delivered.Failed, out.Delivered.Unknown, out.Delivered.Pending)
	for _, who := range out.Already {
		a.printf("  has it already: %s\n", printable(who))
	}
	for _, who := range out.Open {
		a.printf("  not delivered: %s\n", printable(who))
	}
	for _, who := range out.Skipped {
		a.printf("  skipped: %s\n", printable(who))
	}
	for _, who := range out.Failed {
		a.printf("  not built: %s\n", printable(who))
	}
	for _, sample := range out.Samples {
		if r.State == ledger.Held {
			a.printf("  sample: %s\n", printable(sample))
		}
	}
	if r.State == ledger.Held {
		a.printf("  decide: tidemark release %s   or: tidemark drop %[1]s\n", r.ID)
	}
}

// completeJobs completes the names of configured jobs.
func (a *app) completeJobs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	c, err := a.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, j := range c.Jobs {
		names = append(names, j.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
