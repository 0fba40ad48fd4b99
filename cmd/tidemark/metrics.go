package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/reports"
)

// figures are the flags of every command that computes from the archive.
type figures struct {
	period, asOf string
	trend        bool // for a report
}

func (f *figures) add(cmd *cobra.Command, standard string) {
	cmd.Flags().StringVar(&f.period, "period", standard, "`PERIOD`: 2026-11-20, 2026-11-06..2026-11-12, 2026-11, 2026-W46, last-week, last-month, last-30d or latest-7d")
	cmd.Flags().StringVar(&f.asOf, "as-of", "", "what was known at `TIME`: a day or an RFC 3339 time")
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
	spec, err := data.ParsePeriod(f.period)
	if err != nil {
		return nil, usagef("--period: %w", err)
	}
	asOf, err := parseAsOf(f.asOf)
	if err != nil {
		return nil, err
	}
	view, err := viewAsOf(ctx, arc, asOf)
	if err != nil {
		return nil, err
	}
	return jobs.Load(ctx, view, jobs.Query{Period: spec, Ref: a.today(), SettleDays: c.settleDays(), Trend: f.trend})
}

func (a *app) view(ctx context.Context, c *config, asOf *time.Time) (*archive.View, error) {
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return viewAsOf(ctx, arc, asOf)
}

func (a *app) metricsCommand() *cobra.Command {
	var f figures
	var format string
	cmd := &cobra.Command{
		Use:   "metrics --period P",
		Short: "Print every metric of a period, with the previous period and the change",
		Long: `Print every metric of Partner Center's Azure usage page for a period.

Usage and cost count known days only: days that were extracted and are not
after the watermark, the newest usage day minus source.settle_days. Amounts of
two currencies are never added.`,
		Example: `  tidemark metrics --period latest-7d
  tidemark metrics --period 2026-10 --format json
  tidemark metrics --period 2026-W46 --as-of 2026-11-16 --format csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			p, err := a.portfolio(cmd.Context(), c, f)
			if err != nil {
				return err
			}
			defer p.Release()
			doc, err := jobs.Figures(p)
			if err != nil {
				return err
			}
			switch format {
			case "json":
				return a.printJSON(doc)
			case "csv":
				return printMetricsCSV(a.stdout, doc)
			}
			a.printMetrics(doc)
			return nil
		},
	}
	f.add(cmd, "")
	formatFlag(cmd, &format, "table", "table", "json", "csv")
	return cmd
}
