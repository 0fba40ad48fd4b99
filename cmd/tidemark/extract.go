package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/jobs"
)

func (a *app) extractCommand() *cobra.Command {
	var days dayFlags
	var inventoryDay, format string
	var fill fillFlags
	cmd := &cobra.Command{
		Use:   "extract [--day D | --from D --to D]",
		Short: "Take a snapshot of the sources into the archive; safe to repeat",
		Long: `Take a snapshot of the sources into the archive.

It is safe to repeat: what the archive already has commits nothing. Rows that
cannot be accepted go to quarantine; if more than one in a hundred is bad
(source.max_bad), the whole extraction is refused and nothing is committed.
--day, --from and --to select usage days only; the inventory is always read as
it is now.

A source that reads over a network (partnercenter) keeps what it has read: an
extraction that was stopped goes on there, and one whose time is over ends with
exit 3. --backfill reads billed usage of the months before as well; it first says
how much that is.`,
		Example: `  tidemark extract
  tidemark extract --day 2026-11-20
  tidemark extract --from 2026-11-01 --to 2026-11-20 --format json
  tidemark extract --backfill 6`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			period, err := days.period()
			if err != nil {
				return err
			}
			if period != nil && period.To > a.today() {
				return usagef("%s has not come yet: a day in the future would count as extracted without usage", period.To)
			}
			day := a.today()
			if inventoryDay != "" {
				if day, err = parseDayFlag("--inventory-day", inventoryDay); err != nil {
					return err
				}
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			arc, err := a.openArchive(cmd.Context(), c, false)
			if err != nil {
				return err
			}
			x, err := a.extraction(cmd.Context(), c, arc, period, day, fill.months)
			if err != nil {
				return err
			}
			if err := a.confirmBackfill(cmd, x.Usage, fill); err != nil {
				return err
			}
			view, err := arc.View(cmd.Context(), nil)
			if err != nil {
				return err
			}
			progress := a.progress("extract")
			x.Progress = progress.update
			out, err := a.extract(cmd.Context(), x)
			progress.done()
			if err != nil {
				return a.unfinished(err)
			}
			if format == "json" {
				err = a.printJSON(out)
			} else {
				a.printExtracted(out)
				a.offerBackfill(x.Usage, len(view.UsageDays()) == 0, fill)
			}
			if err != nil {
				return err
			}
			return a.warn(out.Warnings)
		},
	}
	days.add(cmd)
	fill.add(cmd)
	cmd.Flags().StringVar(&inventoryDay, "inventory-day", "", "snapshot `DAY` of the inventory (default: today in UTC)")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) printExtracted(out jobs.Extracted) {
	days := "no usage days"
	if out.Days != nil {
		days = out.Days.From.String() + " to " + out.Days.To.String()
	}
	a.printf("run %s: %s, %d usage rows read, %d customers, %d subscriptions\n", out.Run, days, out.Read, out.Customers, out.Subs)
	reasons, total := 0, int64(0)
	for _, reason := range slices.Sorted(maps.Keys(out.LeftOut)) {
		n, unit := out.LeftOut[reason], "files"
		if !strings.HasPrefix(reason, "file ") { // files as a whole, whose rows nobody counted
			unit, reasons, total = "rows", reasons+1, total+n
		}
		a.printf("left out: %d %s, %s\n", n, unit, reason)
	}
	if reasons > 1 {
		a.printf("left out in all: %d rows\n", total)
	}
	if out.Rounded > 0 {
		a.printf("rounded half-even to 18 decimals: %d values\n", out.Rounded)
	}
	for _, table := range slices.Sorted(maps.Keys(out.Quarantined)) {
		if n := out.Quarantined[table]; n > 0 {
			a.printf("quarantined: %d %s rows\n", n, table)
		}
	}
	for _, note := range out.Notes {
		a.printf("note: %s\n", note)
	}
	if !out.Changed() {
		a.printf("nothing new: no commit\n")
		return
	}
	for _, c := range out.Committed {
		if c.Changed {
			a.printf("%-14s version %d: %d files added, %d removed, %d unchanged, %d rows\n", c.Table, c.Version, c.Added, c.Removed, c.Unchanged, c.Rows)
		}
	}
	a.printf("seal %s\n", out.Seal)
}
