package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports/mail"
)

// withLedger runs f with the configuration's ledger.
func (a *app) withLedger(ctx context.Context, f func(*config, *ledger.Ledger) error) (err error) {
	c, err := a.config()
	if err != nil {
		return err
	}
	l, err := a.openLedger(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return f(c, l)
}

// sendResult is what a digest run says about itself; ok is false for others.
func sendResult(r ledger.Run) (out jobs.SendResult, ok bool) {
	return out, r.Result != "" && json.Unmarshal([]byte(r.Result), &out) == nil && out.Batch != nil
}

func (a *app) jobsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "jobs",
		Short:   "List the jobs with their last run and the next five times",
		Example: "  tidemark jobs\n  tidemark jobs pause weekly-sales --why holiday",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error { return a.listJobs(cmd.Context(), c, l, format) })
		},
	}
	formatFlag(cmd, &format, "text", "text", "json")
	var why string
	pause := &cobra.Command{Use: "pause JOB", Short: "Keep a job from running; its slots wait", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeJobs,
		Example: "  tidemark jobs pause weekly-sales --why holiday",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				if !slices.ContainsFunc(c.Jobs, func(j jobConfig) bool { return j.Name == args[0] }) {
					return usagef("there is no job %q; `tidemark jobs` lists them", args[0])
				}
				return l.Pause(cmd.Context(), args[0], why)
			})
		}}
	pause.Flags().StringVar(&why, "why", "", "`REASON`, shown by jobs and status")
	resume := &cobra.Command{Use: "resume JOB", Short: "End a pause", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeJobs,
		Example: "  tidemark jobs resume weekly-sales",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(_ *config, l *ledger.Ledger) error { return l.Resume(cmd.Context(), args[0]) })
		}}
	cmd.AddCommand(pause, resume)
	return cmd
}

// jobListing is the JSON of `jobs`.
type jobListing struct {
	Name    string      `json:"name"`
	Do      string      `json:"do"`
	Cron    string      `json:"cron"`
	Next    []time.Time `json:"next"`
	Last    *ledger.Run `json:"last"`
	Paused  *string     `json:"paused"`
	Warning string      `json:"warning,omitempty"`
}

func (a *app) listJobs(ctx context.Context, c *config, l *ledger.Ledger, format string) error {
	paused, err := l.Paused(ctx)
	if err != nil {
		return err
	}
	all := []jobListing{}
	for _, j := range c.Jobs {
		job, err := a.job(c, l, j)
		if err != nil {
			return err
		}
		listing := jobListing{Name: j.Name, Do: j.Do, Cron: j.Cron, Warning: job.Schedule.Warning()}
		for at := job.Schedule.Next(a.now()); len(listing.Next) < 5 && !at.IsZero(); at = job.Schedule.Next(at) {
			listing.Next = append(listing.Next, at)
		}
		if listing.Last, err = l.Newest(ctx, j.Name, a.now()); err != nil {
			return err
		}
		if note, found := paused[j.Name]; found {
			listing.Paused = &note
		}
		all = append(all, listing)
	}
	if format == "json" {
		return a.printJSON(all)
	}
	for _, j := range all {
		a.printf("%s  %s  %q\n", printable(j.Name), j.Do, j.Cron)
		if j.Paused != nil {
			a.printf("  paused: %s\n", printable(*j.Paused))
		}
		if j.Warning != "" {
			a.printf("  warning: %s\n", printable(j.Warning))
		}
		if j.Last != nil {
			a.printf("  last  %s  %s  %s\n", j.Last.Slot.Format(time.RFC3339), j.Last.State, printable(j.Last.Note))
		}
		for _, at := range j.Next {
			a.printf("  next  %s\n", at.Format("Mon 2006-01-02 15:04 MST"))
		}
	}
	if len(all) == 0 {
		a.printf("no jobs are configured; add jobs to %s\n", c.file)
	}
	return nil
}

func (a *app) runsCommand() *cobra.Command {
	var job, format string
	var limit int
	cmd := &cobra.Command{
		Use:     "runs",
		Short:   "List what was run, the newest first",
		Example: "  tidemark runs\n  tidemark runs --job nightly --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withLedger(cmd.Context(), func(_ *config, l *ledger.Ledger) error {
				runs, err := l.Runs(cmd.Context(), job, limit)
				if err != nil {
					return err
				}
				if format == "json" {
					return a.printJSON(runs)
				}
				for _, r := range runs {
					took := ""
					if r.Started != nil && r.Finished != nil {
						took = r.Finished.Sub(*r.Started).Round(time.Second).String()
					}
					a.printf("%-44s %-8s try %d  %-6s %s\n", printable(r.ID), r.State, r.Tries, took, printable(r.Note))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&job, "job", "", "only runs of this `JOB`")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this `MANY`")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release RUN", Short: "Let a held run go on and deliver its mails", Args: cobra.ExactArgs(1),
		Long:    "Let a held run go on. `serve` delivers its mails, exactly those that were sealed\nwhen it was held, or makes them when it was held before it had any; `run JOB --slot\nT` does it at once. A digest from the command line that was held before it had any\nis not released: run it again.",
		Example: "  tidemark release weekly-sales@2026-11-16T06:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error { return a.release(cmd.Context(), c, l, args[0]) })
		},
	}
}

func (a *app) dropCommand() *cobra.Command {
	return &cobra.Command{
		Use: "drop RUN", Short: "Give a held run up: nobody is mailed", Args: cobra.ExactArgs(1),
		Example: "  tidemark drop weekly-sales@2026-11-16T06:00:00Z",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				n, err := l.DropRun(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				a.printf("dropped: %d mails of %s are never sent\n", n, args[0])
				return a.decided(cmd.Context(), c, l)
			})
		},
	}
}

func (a *app) deliveriesCommand() *cobra.Command {
	var q ledger.Query
	var state, format string
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List who got what",
		Long: `List who got what, the newest first.

sent means that the next hop accepted the mail. unknown means that the answer was
lost: it may have arrived; it is never sent again by itself. Look, then decide
with resend, mark-sent or give-up.`,
		Example: "  tidemark deliveries --state unknown\n  tidemark deliveries --recipient anna@partner.example",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.State = ledger.DeliveryState(state)
			if state != "" && !slices.Contains(ledger.DeliveryStates(), q.State) {
				return usagef("--state %q: want one of %v", state, ledger.DeliveryStates())
			}
			return a.withLedger(cmd.Context(), func(_ *config, l *ledger.Ledger) error {
				all, err := l.Deliveries(cmd.Context(), q)
				if err != nil {
					return err
				}
				if format == "json" {
					return a.printJSON(all)
				}
				return a.printDeliveries(cmd.Context(), l, all)
			})
		},
	}
	cmd.Flags().StringVar(&q.Run, "run", "", "only deliveries of this `RUN`")
	cmd.Flags().StringVar(&q.Recipient, "recipient", "", "only to this `ADDRESS`")
	cmd.Flags().StringVar(&state, "state", "", "only in this `STATE`: pending, sending, dot, sent, failed, bounced, unknown, diverted, given_up, dropped")
	formatFlag(cmd, &format, "text", "text", "json")
	cmd.AddCommand(a.deliveryShowCommand(), a.deliveryResendCommand(), a.deliveryMarkCommand(), a.deliveryGiveUpCommand(),
		a.suppressCommand(), a.unsuppressCommand())
	return cmd
}

// printDeliveries lists deliveries, those that wait with what they wait for.
func (a *app) printDeliveries(ctx context.Context, l *ledger.Ledger, all []ledger.Delivery) error {
	states := map[string]ledger.RunState{} // by run
	for _, d := range all {
		waits := ""
		if d.State == ledger.Pending {
			if _, known := states[d.Run]; !known {
				run, err := l.Run(ctx, d.Run)
				if err != nil && !errors.Is(err, ledger.ErrNotFound) {
					return err
				}
				states[d.Run] = run.State
			}
			switch states[d.Run] {
			case ledger.Queued, ledger.Running:
				waits = "next try " + d.Due.UTC().Format(time.RFC3339) + "  "
			case ledger.Held:
				waits = "held: tidemark release " + printable(d.Run) + "  "
			}
		}
		a.printf("%-9s %-32s %-12s %s  %s\n  %s  %s%s\n", d.State, printable(d.Recipient), d.Role, d.Period, d.ID, printable(d.Subject), waits, printable(d.Reply))
	}
	return nil
}

func (a *app) deliveryShowCommand() *cobra.Command {
	var eml bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one delivery, or with --eml the sealed mail", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries show abc@partner.example --eml > mail.eml",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(_ *config, l *ledger.Ledger) error {
				d, err := l.Delivery(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if !eml {
					return a.printJSON(d)
				}
				raw, err := l.EML(cmd.Context(), d.SHA256)
				if err == nil {
					_, err = a.stdout.Write(raw)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&eml, "eml", false, "print the sealed mail")
	return cmd
}

func (a *app) deliveryResendCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "resend ID", Short: "Send a failed, bounced or unknown delivery once more, with the same Message-ID", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries resend abc@partner.example --why 'not in her mailbox'",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.resend(cmd.Context(), c, args[0], why)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "`REASON`, recorded")
	_ = cmd.MarkFlagRequired("why") // the flag exists
	return cmd
}

// resend queues the delivery and its run, and delivers it under the run's lease.
func (a *app) resend(ctx context.Context, c *config, id, why string) (err error) {
	r, done, err := a.runner(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if err := r.Ledger.Again(ctx, id, a.now().Add(c.within()), "again: "+why); err != nil {
		return err
	}
	d, err := r.Ledger.Delivery(ctx, id)
	if err != nil {
		return err
	}
	run, err := r.Ledger.ClaimRun(ctx, d.Run)
	if err != nil {
		return err
	}
	if run == nil {
		return fmt.Errorf("run %s: %w; it is sent by the next `tidemark serve`", d.Run, errBusy)
	}
	ended := a.finish(ctx, r, jobs.Job{Name: run.Job}, run)
	if d, err = r.Ledger.Delivery(context.WithoutCancel(ctx), id); err != nil {
		return err
	}
	a.printf("%s  %s  %s\n", d.ID, d.State, printable(d.Reply))
	if d.State != ledger.Sent && d.State != ledger.Diverted {
		return errors.Join(ended, fmt.Errorf("resend %s: %w", id, jobs.ErrNotAccepted))
	}
	return nil
}

func (a *app) deliveryMarkCommand() *cobra.Command {
	return &cobra.Command{
		Use: "mark-sent ID", Short: "Record that an unknown delivery did arrive", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries mark-sent abc@partner.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				if err := l.Mark(cmd.Context(), args[0], ledger.Sent, "marked as sent by a person", ledger.Unknown); err != nil {
					return err
				}
				return a.decided(cmd.Context(), c, l)
			})
		},
	}
}

func (a *app) deliveryGiveUpCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "give-up ID", Short: "Leave a failed, bounced or unknown delivery at that: status warns of it no more", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries give-up abc@partner.example --why 'has left the company'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				if err := l.Mark(cmd.Context(), args[0], ledger.GivenUp, "given up: "+why, ledger.Refused, ledger.Bounced, ledger.Unknown); err != nil {
					return err
				}
				return a.decided(cmd.Context(), c, l)
			})
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "`REASON`, recorded")
	_ = cmd.MarkFlagRequired("why") // the flag exists
	return cmd
}

func (a *app) suppressCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "suppress ADDRESS", Short: "Never mail an address until unsuppress", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries suppress anna@partner.example --why 'asked for it on 17 Nov'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := mail.CheckAddress(args[0]); err != nil {
				return usagef("%w", err)
			}
			return a.withLedger(cmd.Context(), func(_ *config, l *ledger.Ledger) error { return l.Suppress(cmd.Context(), args[0], why) })
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "`REASON`, recorded with every mail that does not leave")
	_ = cmd.MarkFlagRequired("why") // the flag exists
	return cmd
}

func (a *app) unsuppressCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unsuppress ADDRESS", Short: "Mail an address again", Args: cobra.ExactArgs(1),
		Example: "  tidemark deliveries unsuppress anna@partner.example",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withLedger(cmd.Context(), func(c *config, l *ledger.Ledger) error {
				if err := l.Unsuppress(cmd.Context(), args[0]); err != nil {
					return err
				}
				alarms, err := a.alarms(c)
				if err != nil {
					return err
				}
				address := strings.ToLower(args[0])
				return alarms.Clear(cmd.Context(), l, jobs.AlarmOfSuppressed(address), "tidemark: "+address+" is mailed again", address+" is mailed again.")
			})
		},
	}
}
