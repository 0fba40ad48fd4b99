package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/transform/churn"
)

func (a *app) churnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "Churn risk of subscriptions",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.churnScoreCommand())
	return cmd
}

func (a *app) churnScoreCommand() *cobra.Command {
	var on, asOf, format string
	cmd := &cobra.Command{
		Use:   "score [--on DAY]",
		Short: "Score every subscription as of a day, with reasons",
		Long: `Score every subscription as of a day (default: the watermark), with reasons.

The score is tidemark's own estimate that the subscription is lost or goes
without any usage in the next four weeks. It looks at activity only, is not
calibrated, and never looks at a day after the watermark.`,
		Example: "  tidemark churn score\n  tidemark churn score --on 2026-11-12 --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			period := "latest-1d"
			if on != "" {
				day, err := parseDayFlag("--on", on)
				if err != nil {
					return err
				}
				period = day.String()
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			p, err := a.portfolio(cmd.Context(), c, figures{period: period, asOf: asOf})
			if err != nil {
				return err
			}
			defer p.Release()
			doc, err := jobs.Figures(p)
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printJSON(scores{On: doc.Period.To, Model: churn.Rules().Name(), HorizonDays: churn.DefaultHorizon, AtRisk: doc.AtRisk})
			}
			a.printScores(doc)
			return nil
		},
	}
	cmd.Flags().StringVar(&on, "on", "", "`DAY` the scores are made for (default: the watermark)")
	cmd.Flags().StringVar(&asOf, "as-of", "", "what was known at `TIME`: a day or an RFC 3339 time")
	formatFlag(cmd, &format, "table", "table", "json")
	return cmd
}

// scores is the JSON of `churn score`; its rows are those of `metrics`.
type scores struct {
	On          data.Day         `json:"on"`
	Model       string           `json:"model"`
	HorizonDays int              `json:"horizon_days"`
	AtRisk      []reports.AtRisk `json:"at_risk"`
}

func (a *app) printScores(doc *reports.Document) {
	a.printf("as of %s, next %d days, own estimate, not calibrated\n", doc.Period.To, churn.DefaultHorizon)
	a.printf("%-8s %-6s %-38s %s\n", "score", "band", "subscription", "name, reasons")
	for _, s := range doc.AtRisk {
		score, band := string(s.State), ""
		if s.Score != nil {
			score = fmt.Sprintf("%.4f", *s.Score)
		}
		if s.Band != nil {
			band = string(*s.Band)
		}
		a.printf("%-8s %-6s %-38s %s\n", score, band, printable(string(s.SubscriptionID)), printable(cmp.Or(string(s.Name), "-")))
		for _, r := range s.Reasons {
			a.printf("%54s %s\n", "", printable(r.Text))
		}
	}
}
