package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/transform/churn"
)

func (a *app) churnCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "Churn risk of subscriptions: score, train, backtest",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.churnScoreCommand(), a.churnTrainCommand(), a.churnBacktestCommand())
	return cmd
}

func (a *app) churnScoreCommand() *cobra.Command {
	var on, asOf, format string
	var explain bool
	cmd := &cobra.Command{
		Use:   "score [--on DAY]",
		Short: "Score every subscription as of a day, with reasons",
		Long: `Score every subscription as of a day (default: the watermark), with reasons.

The score is tidemark's own estimate of the probability that the subscription is
lost or goes without any usage in the next four weeks. Until ` + "`tidemark churn train`" + `
has seen enough of your own churn it is not calibrated on it. It never looks at
a day after the watermark. docs/churn.md tells the method.`,
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
			s := scores{On: doc.Period.To, Model: p.Model, HorizonDays: churn.DefaultHorizon, AtRisk: doc.AtRisk, Customers: customerRisks(doc.AtRisk)}
			for _, r := range doc.AtRisk {
				s.HorizonDays, s.Calibrated = r.HorizonDays, r.Calibrated
			}
			if format == "json" {
				return a.printJSON(s)
			}
			var stored []data.Score
			if explain && p.Scores != nil {
				if stored, err = churn.Stored(p.Scores); err != nil {
					return err
				}
			}
			return a.printScores(s, stored)
		},
	}
	cmd.Flags().StringVar(&on, "on", "", "`DAY` the scores are made for (default: the watermark)")
	cmd.Flags().StringVar(&asOf, "as-of", "", "what was known at `TIME`: a day or an RFC 3339 time")
	cmd.Flags().BoolVar(&explain, "explain", false, "with what each group of features adds to a score, and what speaks against a loss (table only)")
	formatFlag(cmd, &format, "table", "table", "json")
	return cmd
}

// scores is the JSON of `churn score`; its rows are those of `metrics`.
type scores struct {
	On          data.Day         `json:"on"`
	Model       string           `json:"model"`
	HorizonDays int              `json:"horizon_days"`
	Calibrated  bool             `json:"calibrated"`
	AtRisk      []reports.AtRisk `json:"at_risk"`
	Customers   []customerRisk   `json:"customers"`
}

// customerRisk is a customer's scores taken together.
type customerRisk struct {
	CustomerID data.CustomerID `json:"customer_id"`
	Scored     int             `json:"scored"`   // subscriptions
	AnyLoss    float64         `json:"any_loss"` // probability that at least one of them is lost, if they were independent
}

func customerRisks(all []reports.AtRisk) []customerRisk {
	at := map[data.CustomerID]int{}
	list := []customerRisk{}
	for _, r := range all {
		if r.Score == nil {
			continue
		}
		i, found := at[r.CustomerID]
		if !found {
			i = len(list)
			at[r.CustomerID] = i
			list = append(list, customerRisk{CustomerID: r.CustomerID})
		}
		c := &list[i]
		c.Scored++
		c.AnyLoss = 1 - (1-c.AnyLoss)*(1-*r.Score)
	}
	return list
}

func (a *app) printScores(s scores, stored []data.Score) error {
	details := map[data.SubscriptionID]*string{}
	for _, row := range stored {
		details[row.SubscriptionID] = row.Detail
	}
	calibrated := "own estimate, not calibrated on your churn"
	if s.Calibrated {
		calibrated = "own estimate, calibrated on your churn"
	}
	a.printf("as of %s, next %d days, %s; model %s\n", s.On, s.HorizonDays, calibrated, churn.ShortName(s.Model))
	a.printf("%-8s %-6s %-38s %s\n", "score", "band", "subscription", "name, reasons")
	for _, s := range s.AtRisk {
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
		for _, f := range s.Flags {
			a.printf("%54s %s\n", "", printable(f.Text))
		}
		if detail := details[s.SubscriptionID]; detail != nil {
			if err := a.printParts(*detail); err != nil {
				return err
			}
		}
	}
	return nil
}

// printParts shows how a score adds up.
func (a *app) printParts(detail string) error {
	var d churn.Detail
	if err := json.Unmarshal([]byte(detail), &d); err != nil {
		return err
	}
	a.printf("%54s logit %.4f = %.4f", "", d.Logit, d.Reference)
	for _, group := range slices.Sorted(maps.Keys(d.Contributions)) {
		a.printf(" %+.4f %s", d.Contributions[group], group)
	}
	a.printf("\n")
	if len(d.Protective) > 0 {
		a.printf("%54s against a loss: %v\n", "", d.Protective)
	}
	return nil
}

// churnFlags say on what models are trained and tried.
type churnFlags struct {
	watermark     string
	horizon       int
	window, least int
}

func (f *churnFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.watermark, "watermark", "", "last `DAY` whose usage is complete (default: the newest with usage minus source.settle_days)")
	cmd.Flags().IntVar(&f.horizon, "horizon", churn.DefaultHorizon, "`DAYS` that a score looks ahead: 28, 56 or 84, others for foreign data")
	cmd.Flags().IntVar(&f.window, "active-window", 0, "who is scored: those used within so many `DAYS` (default: the horizon)")
	cmd.Flags().IntVar(&f.least, "active-min", 1, "... on at least `N` of them")
}

func (f *churnFlags) query(c *config) (q jobs.ChurnQuery, err error) {
	q = jobs.ChurnQuery{SettleDays: c.settleDays(), Horizon: f.horizon, Population: churn.Population{Window: f.window, Least: f.least}}
	if f.watermark != "" {
		day, err := parseDayFlag("--watermark", f.watermark)
		if err != nil {
			return q, err
		}
		q.Watermark = &day
	}
	const longest = 3650
	switch {
	case f.horizon < 4 || f.horizon > longest:
		return q, usagef("--horizon %d: want 4 to %d days", f.horizon, longest)
	case f.window < 0 || f.window > longest:
		return q, usagef("--active-window %d: want up to %d days", f.window, longest)
	case f.least < 1:
		return q, usagef("--active-min %d: want at least 1", f.least)
	}
	return q, nil
}

func (a *app) churnTrainCommand() *cobra.Command {
	var f churnFlags
	var format string
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Fit the churn model to your own churn, and say which model is used from now on",
		Long: `Fit the churn model to what became of your own subscriptions, and keep it in the
archive by its hash, with the versions of the data it was made from.

It learns from every week whose outcome is known. With fewer than 20 lost or 20
kept subscriptions among them only the level of the scores becomes yours. When
the newest outcomes cannot be told from chance by usage, no scores are given at
all. The model in use stays when it judges the newest day whose outcome is known
better than one made on that day, and when the new one is for another horizon than
28 days: reports tell of that one alone.

Run it once a month, e.g. by a job with ` + "`do: train`" + `.`,
		Example: "  tidemark churn train\n  tidemark churn train --watermark 2026-11-20 --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			q, err := f.query(c)
			if err != nil {
				return err
			}
			told, err := a.train(cmd.Context(), c, "churn train", q)
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printJSON(told)
			}
			a.printTraining(told)
			return nil
		},
	}
	f.add(cmd)
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

func (a *app) train(ctx context.Context, c *config, job string, q jobs.ChurnQuery) (told training, err error) {
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return told, err
	}
	info := archive.RunInfo{ID: a.newRunID(), Job: job, Source: "tidemark", Started: a.now()}
	trained, err := jobs.Train(ctx, arc, info, q, a.now(), producer())
	if err != nil {
		return told, err
	}
	return training{Model: trained.Model.Name(), Kind: trained.Model.Kind(), Used: trained.Used.Name(), Previous: trained.Previous.Name(),
		Why: trained.Why, NoSignal: trained.Model.NoSignal(), Training: trained.Model.Training()}, nil
}

// training is the JSON of `churn train`.
type training struct {
	Model    string         `json:"model"` // SHA-256 of its file under models/
	Kind     churn.Kind     `json:"kind"`
	Used     string         `json:"used"`
	Previous string         `json:"previous"`
	Why      string         `json:"why"`
	NoSignal bool           `json:"no_signal"`
	Training churn.Training `json:"training"`
}

func (a *app) printTraining(t training) {
	tr := t.Training
	a.printf("model     %s (%s)\n", churn.ShortName(t.Model), t.Kind)
	a.printf("outcomes  %d of %d days up to %s, %d lost\n", tr.Rows, tr.Origins, tr.Last, tr.Churned)
	a.printf("out of time, on the newest of them: AUC within date %s, Brier %.4f on %s\n", interval(tr.AUC), tr.Brier, tr.Last)
	a.printf("in use    %s: %s\n", churn.ShortName(t.Used), t.Why)
	if t.Used != t.Model {
		return
	}
	if t.Previous != t.Used {
		a.printf("before    %s\n", churn.ShortName(t.Previous))
	}
}

func interval(i churn.Interval) string {
	if i.Value == nil {
		return "unknown (nobody was lost, or everybody)"
	}
	if i.Low == nil {
		return figure(i.Value)
	}
	return span(i.Value, &[2]float64{*i.Low, *i.High})
}
