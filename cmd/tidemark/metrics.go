package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/reports"
)

// figures are the flags of every command that computes from the archive.
type figures struct {
	period  string
	asOf    moment
	trend   bool // for a report
	details bool
}

func (f *figures) add(cmd *cobra.Command, standard string) {
	cmd.Flags().StringVar(&f.period, "period", standard, "`PERIOD`: 2026-11-20, 2026-11-06..2026-11-12, 2026-11, 2026-W46, last-week, last-month, last-30d or latest-7d")
	asOfFlag(cmd, &f.asOf)
	if standard == "" {
		_ = cmd.MarkFlagRequired("period") // the flag exists
	}
}

// portfolio reads what the flags ask for. The caller must Release it.
func (a *app) portfolio(ctx context.Context, c *config, f figures) (*reports.Portfolio, error) {
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return a.portfolioOf(ctx, c, arc, f)
}

// portfolioOf is portfolio from an archive that is open.
func (a *app) portfolioOf(ctx context.Context, c *config, arc *archive.Archive, f figures) (*reports.Portfolio, error) {
	if _, err := data.ParsePeriod(f.period); err != nil {
		return nil, usagef("--period: %w", err)
	}
	view, err := viewAsOf(ctx, arc, f.asOf.at)
	if err != nil {
		return nil, err
	}
	return a.portfolioIn(ctx, c, view, f)
}

// portfolioIn is portfolio from a view, whatever the flags say of the time.
func (a *app) portfolioIn(ctx context.Context, c *config, view *archive.View, f figures) (*reports.Portfolio, error) {
	spec, err := data.ParsePeriod(f.period)
	if err != nil {
		return nil, usagef("--period: %w", err)
	}
	return jobs.Load(ctx, view, jobs.Query{Period: spec, Ref: a.today(), SettleDays: c.settleDays(), Trend: f.trend, Details: f.details})
}

func (a *app) view(ctx context.Context, c *config, asOf *time.Time) (*archive.View, error) {
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return viewAsOf(ctx, arc, asOf)
}

// metricsFlags are the flags of `tidemark metrics`.
type metricsFlags struct {
	figures
	groupBy, format, out string
	fromRaw              bool
}

func (a *app) metricsCommand() *cobra.Command {
	var f metricsFlags
	cmd := &cobra.Command{
		Use:   "metrics --period P",
		Short: "Print every metric of a period, with the previous period and the change",
		Long: `Print every metric of Partner Center's Azure usage page for a period.

Usage and cost count known days only: days that were extracted and are not
after the watermark, the newest usage day minus source.settle_days (3 with
--archive alone). Amounts of two currencies are never added. The days before the
periods are read, too: who was there before, and what a score looks back on.

--details adds the cost of each day by category and by customer, quantities by
unit, the five customers per currency that grew and that fell most and the
category that moved most, categories new and lost, and the trend over twelve
periods. --group-by prints the cost of each customer, category or currency
instead, the highest of each currency first.

--from-raw computes the figures of the period and of the one before once more
from usage, the rows as they were delivered, and says so; it fails with the
first that differs. Scores and the trend before these periods are not computed
again.

json has the keys of docs/metrics.md; csv and parquet are one long table, a row
per figure, with the columns described there: in parquet amounts are
DECIMAL(38,18) and days DATE, in csv a text that a spreadsheet would take for a
formula stands behind an apostrophe. What is unknown is null or empty, and a
reason stands beside it. --out makes the folder of its file, and replaces the file
only when all is written; a name that ends with .json, .csv or .parquet asks for that
format, unless --format does.`,
		Example: `  tidemark metrics --period latest-7d
  tidemark metrics --period latest-7d --details
  tidemark metrics --period 2026-10 --group-by customer --out october.csv
  tidemark metrics --period 2026-10 --details --out october.parquet
  tidemark metrics --period 2026-10 --from-raw
  tidemark metrics --period 2026-W46 --as-of 2026-11-16 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("format") {
				f.format = formatOf(f.out)
			}
			return a.metrics(cmd.Context(), f)
		},
	}
	f.add(cmd, "")
	cmd.Flags().BoolVar(&f.details, "details", false, "also series by day, quantities, who grew and fell most, categories new and lost, and the trend")
	groups := []string{string(reports.ByCustomer), string(reports.ByCategory), string(reports.ByCurrency)}
	cmd.Flags().Var(newChoice(&f.groupBy, "", groups), "group-by", "the cost by `KEY` and currency instead: "+orList(groups))
	_ = cmd.RegisterFlagCompletionFunc("group-by", cobra.FixedCompletions(groups, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().BoolVar(&f.fromRaw, "from-raw", false, "also compute both periods from the rows of usage that usage_daily was made from, and fail where a figure differs")
	pathFlag(cmd, &f.out, "out", "`FILE` to write or replace (default: print)")
	a.archiveFlag(cmd)
	formatFlag(cmd, &f.format, "table", "table", "json", "csv", "parquet")
	return cmd
}

// formatOf is the format that the name of a file asks for.
func formatOf(file string) string {
	switch ext := strings.ToLower(filepath.Ext(file)); ext {
	case ".json", ".csv", ".parquet":
		return ext[1:]
	}
	return "table"
}

// collectSooner has memory collected when half as much as is in use was taken since, unless the user
// set that: most of what is read lies in memory that is used again, so that this saves a fifth of
// the peak and costs little time.
func (a *app) collectSooner() {
	if a.getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

func (a *app) metrics(ctx context.Context, f metricsFlags) error {
	switch {
	case f.details && f.groupBy != "":
		return usagef("--details stands beside --group-by: ask for one of them")
	case f.format == "parquet" && f.out == "" && isTerminal(a.stdout):
		return usagef("--format parquet is binary, and this is a terminal: give --out FILE, or redirect the output")
	}
	a.collectSooner()
	c, err := a.readingConfig()
	if err != nil {
		return err
	}
	view, err := a.view(ctx, c, f.asOf.at)
	if err != nil {
		return err
	}
	p, err := a.portfolioIn(ctx, c, view, f.figures)
	if err != nil {
		return err
	}
	defer p.Release()
	doc, err := jobs.Figures(p)
	if err != nil {
		return err
	}
	if f.fromRaw {
		proof, err := jobs.ProveFromRaw(ctx, view, p, doc)
		if err != nil {
			return err
		}
		a.log().Info("usage and usage_daily agree", "figures", proof.Figures, "rows", proof.Rows, "files", proof.Files)
	}
	if f.out == "" {
		return a.printFigures(doc, f)
	}
	var content bytes.Buffer
	to := *a
	to.stdout = &content
	if err := to.printFigures(doc, f); err != nil {
		return err
	}
	if err := jobs.WriteFile(f.out, content.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", f.out, err)
	}
	a.printf("wrote %s\n", f.out)
	return nil
}

// printFigures prints a document, or its groups, in the format asked for.
func (a *app) printFigures(doc *reports.Document, f metricsFlags) error {
	if f.groupBy != "" {
		groups := doc.GroupBy(reports.GroupKey(f.groupBy))
		return a.printAs(f.format, groups, groups.Figures, doc.Coverage, func() { a.printGroups(groups, doc.Background.Compared) })
	}
	return a.printAs(f.format, doc, doc.Figures, doc.Coverage, func() { a.printMetrics(doc) })
}

// printAs prints v as JSON, the figures as a long table, or the table for people.
func (a *app) printAs(format string, v any, figures func() []reports.Figure, coverage reports.Coverage, table func()) error {
	switch format {
	case "json":
		return a.printJSON(v)
	case "csv":
		return reports.WriteFiguresCSV(a.stdout, figures())
	case "parquet":
		content, err := reports.FiguresParquet(coverage, figures())
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(content)
		return err
	}
	table()
	return nil
}

// isTerminal reports whether what is written goes to a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
