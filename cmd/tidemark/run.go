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

What was delivered already for the period is not sent again, and the output says
who has it; --again sends it once more and records why. With --slot the job runs
for that nominal time: relative periods count from it. --from and --to run every
slot of the schedule in those days, the oldest first.`,
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
			period, err := days.period()
			if err != nil {
				return err
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			if period != nil {
				return a.backfill(cmd.Context(), c, args[0], *period)
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
		return usagef("there is no job %q; `tidemark jobs` lists them", name)
	}
	job := r.Jobs[i]
	if only != "" || again != "" {
		if job, err = a.narrowed(c, r.Ledger, c.Jobs[i], only, again); err != nil {
			return err
		}
	}
	return a.execute(ctx, r, job, slot, again)
}

// backfill runs every slot of the job's schedule in a range of days, in its zone.
func (a *app) backfill(ctx context.Context, c *config, name string, days data.Period) error {
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
		if err := a.runJob(ctx, c, name, slot, "", ""); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// narrowed is a digest job for one recipient, or for a second time.
func (a *app) narrowed(c *config, l *ledger.Ledger, j jobConfig, only, again string) (jobs.Job, error) {
	if j.Do != "digest" {
		return jobs.Job{}, usagef("job %s makes no mails: --only and --again are for digests", j.Name)
	}
	job, err := a.job(c, l, j)
	if err != nil {
		return job, err
	}
	m, err := a.mailing(c, j)
	if err != nil {
		return job, err
	}
	recipients, err := c.recipients()
	if err != nil {
		return job, err
	}
	if only != "" && !slices.ContainsFunc(jobs.WithRole(recipients, m.role), func(r reports.Recipient) bool { return strings.EqualFold(r.Address, only) }) {
		return job, usagef("--only %s: job %s mails no such recipient", only, j.Name)
	}
	m.only, m.again = only, again
	job.Execute = func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) {
		return a.runDigest(ctx, c, l, run, m.at(run.Slot))
	}
	return job, nil
}

// execute enters a run, claims it and runs it to its end, and says what became
// of it.
func (a *app) execute(ctx context.Context, r *jobs.Runner, job jobs.Job, slot time.Time, note string) error {
	id := ledger.RunID(job.Name, slot)
	if _, err := r.Ledger.Plan(ctx, job.Name, []time.Time{slot}); err != nil {
		return err
	}
	if err := r.Ledger.Reopen(ctx, id, note); err != nil {
		return err
	}
	run, err := r.Ledger.ClaimRun(ctx, id)
	if err != nil {
		return err
	}
	if run == nil {
		if there, err := r.Ledger.Run(ctx, id); err == nil && there.State == ledger.Held {
			return fmt.Errorf("run %s: %w: decide with `tidemark release %[1]s` or `tidemark drop %[1]s`", id, jobs.ErrHeld)
		}
		return fmt.Errorf("run %s: %w; `tidemark runs` shows it", id, errBusy)
	}
	r.Tries = 1 // a person watches: no second try by itself
	jobErr, err := r.Execute(ctx, job, run)
	if err != nil {
		return err
	}
	ended, err := r.Ledger.Run(ctx, id)
	if err != nil {
		return err
	}
	a.printRun(ended)
	if jobErr == nil && ended.State == ledger.Warned {
		return errWarnings
	}
	return jobErr
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

func (a *app) serveCommand() *cobra.Command {
	var tick time.Duration
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the configured jobs on their schedules until told to stop",
		Long: `Run the configured jobs on their schedules until SIGINT or SIGTERM. What has
begun to leave is then finished, the rest goes on at the next start. Several
processes may serve one ledger.`,
		Example: "  tidemark serve",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, err := a.config()
			if err != nil {
				return err
			}
			r, done, err := a.runner(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			a.log().Info("serving", "jobs", len(r.Jobs))
			return r.Serve(cmd.Context(), tick)
		},
	}
	cmd.Flags().DurationVar(&tick, "tick", 5*time.Second, "how often to look for due slots")
	return cmd
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
