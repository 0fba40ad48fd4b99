package main

import (
	"context"

	"github.com/spf13/cobra"

	"tidemark/data/archive"
	"tidemark/jobs"
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

// churnFlags say on what models are trained and tried.
type churnFlags struct {
	watermark     string
	horizon       int
	window, least int
}

func (f *churnFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.watermark, "watermark", "", "last `DAY` whose usage is complete (default: the newest with usage minus source.settle_days)")
	cmd.Flags().StringVar(&f.watermark, "on", "", "the same as --watermark: the `DAY` it is done as of")
	cmd.MarkFlagsMutuallyExclusive("watermark", "on")
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
	var dry bool
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Fit the churn model to your own churn, and say which model is used from now on",
		Long: `Fit the churn model to what became of your own subscriptions, and keep it in the
archive by its hash, with the versions of the data it was made from.

It learns from every week whose outcome is known. With fewer than 20 lost or 20
kept subscriptions only the level of the scores becomes yours. When 20 or more of
them were lost lately and usage did not tell them from the others, no scores are
given at all: --dry-run says so beforehand and changes nothing. The model in use
stays when it judges the newest day whose outcome is known better than one made on
that day, when it was made as of a later day than the new one, and when the new one
is for another horizon than 28 days or a population of its own: reports tell of 28
days and of everybody used in them.

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
			train := a.train
			if dry {
				train = a.tryTraining
			}
			told, err := train(cmd.Context(), c, "churn train", q)
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
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would come of it and change nothing")
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// tryTraining is train, but the model in use stays.
func (a *app) tryTraining(ctx context.Context, c *config, _ string, q jobs.ChurnQuery) (told training, err error) {
	view, err := a.view(ctx, c, nil)
	if err != nil {
		return told, err
	}
	trained, err := jobs.TryTraining(ctx, view, q)
	if err != nil {
		return told, err
	}
	told = trainingOf(trained)
	told.DryRun = true
	return told, nil
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
	return trainingOf(trained), nil
}

func trainingOf(t jobs.Trained) training {
	return training{Model: t.Model.Name(), Kind: t.Model.Kind(), Used: t.Used.Name(), Previous: t.Previous.Name(),
		Why: t.Why, NoSignal: t.Model.NoSignal(), Training: t.Model.Training()}
}

// training is the JSON of `churn train`.
type training struct {
	Model    string         `json:"model"` // SHA-256 of its file under models/
	Kind     churn.Kind     `json:"kind"`
	Used     string         `json:"used"`
	Previous string         `json:"previous"`
	Why      string         `json:"why"`
	NoSignal bool           `json:"no_signal"`
	DryRun   bool           `json:"dry_run"` // nothing was changed: Used would be in use
	Training churn.Training `json:"training"`
}

func (a *app) printTraining(t training) {
	tr := t.Training
	a.printf("model     %s (%s)\n", churn.ShortName(t.Model), t.Kind)
	a.printf("outcomes  of %d subscriptions, %d lost (%d rows of %d days up to %s, %d of them losses)\n", tr.Subscriptions, tr.Lost, tr.Rows, tr.Origins, tr.Last, tr.Churned)
	a.printf("out of time, on the newest of them: AUC within date %s, Brier %.4f on %s\n", interval(tr.AUC), tr.Brier, tr.Last)
	inUse := "in use   "
	if t.DryRun {
		inUse = "would use" // nothing was changed
	}
	a.printf("%s %s: %s\n", inUse, churn.ShortName(t.Used), t.Why)
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
