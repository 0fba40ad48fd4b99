package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
)

// defaultMailDays is for how many days sealed mails are kept: seven years.
const defaultMailDays = 2555

func (c *config) retention() archive.Retention {
	r := c.Archive.Retention
	keep := archive.Retention{Mails: defaultMailDays, Tables: map[archive.Table]int{archive.Customers: r.Customers, archive.Reports: r.Reports, archive.Scores: r.Scores,
		archive.Subscriptions: r.Subscriptions, archive.UsageTable: r.Usage, archive.UsageDaily: r.UsageDaily}}
	if r.Mails != nil {
		keep.Mails = *r.Mails
	}
	return keep
}

func (a *app) archivePruneCommand() *cobra.Command {
	var apply bool
	var format string
	cmd := &cobra.Command{
		Use:   "prune [--apply]",
		Short: "Remove what is past its retention; without --apply only say what would go",
		Long: `Remove what is past its retention, by archive.retention in the configuration: for
each table, and for mails, a number of days; no number keeps for ever (mails:
2555 days, seven years). Without --apply nothing is changed.

For N days after a day, what was known of it can be read as of any time. A day
that lies more than N days back leaves the table by a commit. A file goes from the
disk when the newest version has it no more and its day lies more than N days
back, or it was superseded more than N days ago. Raw usage may be kept shorter
than its rollup, from which all figures are computed. What nothing refers to goes
after a week, unfinished files after a day. What is held stays. What goes is
written into the log first, so that ` + "`tidemark archive verify`" + ` does not miss it.
A source that delivers the same days again brings them back.`,
		Example: "  tidemark archive prune\n  tidemark archive prune --apply",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.prune(cmd.Context(), c, apply, format)
		},
	}
	cmd.Flags().BoolVar(&apply, "apply", false, "remove it; without, only say what would go")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) prune(ctx context.Context, c *config, apply bool, format string) error {
	var pruned []archive.Pruned
	err := a.archiveRun(ctx, c, "prune", apply, func(r *archive.Run) (err error) {
		pruned, err = r.Prune(ctx, c.retention(), apply)
		return err
	})
	if err != nil {
		return err
	}
	if format == "json" {
		return a.printJSON(pruned)
	}
	a.printf("%-14s %6s %8s %14s %6s\n", "", "days", "files", "bytes", "held")
	for _, p := range pruned {
		a.printf("%-14s %6d %8d %14d %6d\n", p.What, p.Days, p.Files, p.Bytes, p.Held)
	}
	if !apply {
		a.printf("nothing was removed; `tidemark archive prune --apply` removes it\n")
	}
	return nil
}

// archiveRun does something to the archive as a run; with record it leaves one.
func (a *app) archiveRun(ctx context.Context, c *config, job string, record bool, do func(*archive.Run) error) error {
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return err
	}
	r, err := arc.Begin(ctx, archive.RunInfo{ID: a.newRunID(), Job: job, Source: "tidemark", Started: a.now()})
	if err != nil {
		return err
	}
	err = do(r)
	if err == nil && record {
		_, err = r.Finish(ctx)
	}
	return errors.Join(err, r.Abort())
}

func (a *app) archiveHoldCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Keep what an audit needs from being pruned",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.holdAddCommand(), a.holdListCommand(), a.holdRemoveCommand())
	return cmd
}

func (a *app) holdAddCommand() *cobra.Command {
	var reason, from, to, table string
	cmd := &cobra.Command{
		Use:     "add --reason TEXT [--from D] [--to D] [--table T]",
		Short:   "Hold days of a table, or everything",
		Example: "  tidemark archive hold add --reason \"tax audit 2025\" --from 2025-01-01 --to 2025-12-31",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h := archive.Hold{Reason: reason, Table: archive.Table(table)}
			for _, f := range []struct {
				flag, text string
				day        **data.Day
			}{{"--from", from, &h.From}, {"--to", to, &h.To}} {
				if f.text == "" {
					continue
				}
				d, err := data.ParseDay(f.text)
				if err != nil {
					return usagef("%s: %w", f.flag, err)
				}
				*f.day = &d
			}
			if h.From != nil && h.To != nil && *h.To < *h.From {
				return usagef("--to %s is before --from %s", *h.To, *h.From)
			}
			if h.Table != "" && !slices.Contains(archive.Tables(), h.Table) {
				return usagef("--table %q: want one of %v", h.Table, archive.Tables())
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			err = a.archiveRun(cmd.Context(), c, "hold", true, func(r *archive.Run) (err error) {
				h, err = r.AddHold(cmd.Context(), h)
				return err
			})
			if err == nil {
				a.printHold(h)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; `TEXT` is kept with the hold")
	cmd.Flags().StringVar(&from, "from", "", "first `DAY` that is held (default: all)")
	cmd.Flags().StringVar(&to, "to", "", "last `DAY` that is held (default: all)")
	cmd.Flags().StringVar(&table, "table", "", "`TABLE` that is held (default: all); reports holds the mails, too")
	_ = cmd.MarkFlagRequired("reason") // the flag exists
	return cmd
}

func (a *app) holdListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "list", Short: "List the holds, those removed among them", Example: "  tidemark archive hold list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, arc, err := a.configured(cmd.Context())
			if err != nil {
				return err
			}
			holds, err := arc.Holds(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printJSON(holds)
			}
			for _, h := range holds {
				a.printHold(h)
			}
			if len(holds) == 0 {
				a.printf("nothing is held\n")
			}
			return nil
		},
	}
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) holdRemoveCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "remove HOLD --reason TEXT", Short: "End a hold; it stays on record", Example: "  tidemark archive hold remove h-20261125-1 --reason \"audit closed\"", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			var h archive.Hold
			err = a.archiveRun(cmd.Context(), c, "hold", true, func(r *archive.Run) (err error) {
				h, err = r.LiftHold(cmd.Context(), args[0], reason)
				return err
			})
			if err == nil {
				a.printHold(h)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; `TEXT` is kept with the hold")
	_ = cmd.MarkFlagRequired("reason") // the flag exists
	return cmd
}

func (a *app) printHold(h archive.Hold) {
	what := "every table"
	if h.Table != "" {
		what = string(h.Table)
	}
	a.printf("%s  %s, %s to %s: %s", h.ID, what, dayOr(h.From, "the first day"), dayOr(h.To, "the last"), printable(h.Reason))
	if h.Lifted != nil {
		a.printf("; removed on %s: %s", h.Lifted.Format(time.DateOnly), printable(h.Because))
	}
	a.printf("\n")
}

func dayOr(d *data.Day, otherwise string) string {
	if d == nil {
		return otherwise
	}
	return d.String()
}

// listOrphans prints what nothing in the archive refers to.
func (a *app) listOrphans(ctx context.Context, format string) error {
	c, err := a.readingConfig()
	if err != nil {
		return err
	}
	path, err := c.archivePath(true)
	if err != nil {
		return err
	}
	orphans, err := archive.Orphans(ctx, archive.NewDir(path))
	if err != nil {
		return err
	}
	if format == "json" {
		return a.printJSON(orphans)
	}
	for _, o := range orphans {
		a.printf("%s  %12d bytes  %s: %s\n", o.ModTime.UTC().Format(time.RFC3339), o.Size, printable(o.Key), o.Why)
	}
	if len(orphans) == 0 {
		a.printf("nothing is unreferenced\n")
	}
	return nil
}
