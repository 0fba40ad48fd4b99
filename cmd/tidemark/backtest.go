package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/transform/churn"
)

func (a *app) churnBacktestCommand() *cobra.Command {
	var o backtestOptions
	cmd := &cobra.Command{
		Use:   "backtest",
		Short: "Say how good the scores of earlier days would have been, on your own archive",
		Long: `Score earlier days (origins) as they would have been scored then, and compare with
what came true. The prior needs no labels; the trained model learns anew for each
origin, only from outcomes that were known on it. Beside them stand what everybody
tries first: recency, RFM and the drop of usage, fitted to the same outcomes.

AUC within date is the chance that a lost subscription stands above a kept one on
the list of one day: 0.5 is worth nothing; "in common" is the same on the days that
all of them could score, to compare them by; where the models differ in rows, the
other measures follow on those in common as well. ECE is how far the percentages are
from what came true. Lift says how many times as many losses the highest tenth holds.

Nothing is changed in the archive.`,
		Example: `  tidemark churn backtest
  tidemark churn backtest --origins 2026-03-01:28:6 --model prior
  tidemark churn backtest --format json --predictions predictions.csv --page backtest.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.backtest(cmd.Context(), o) },
	}
	o.add(cmd)
	cmd.Flags().StringVar(&o.origins, "origins", "", "days to score: `FROM:STEP:N`, e.g. 2026-03-01:28:6, or a file with one day a line (default: the newest six, a horizon apart)")
	cmd.Flags().StringVar(&o.model, "model", "both", "prior, trained or both")
	pathFlag(cmd, &o.predictions, "predictions", "write every prediction to `FILE`, as CSV")
	asOfFlag(cmd, &o.asOf)
	pathFlag(cmd, &o.page, "page", "write a page with charts to `FILE`")
	formatFlag(cmd, &o.format, "text", "text", "json")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains([]string{"prior", "trained", "both"}, o.model) {
			return usagef("--model %q: want prior, trained or both", o.model)
		}
		return nil
	}
	return cmd
}

// backtestOptions are the flags of `churn backtest`.
type backtestOptions struct {
	churnFlags
	origins, model, predictions, page, format string
	asOf                                      moment
}

func (a *app) backtest(ctx context.Context, o backtestOptions) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	q, err := o.query(c)
	if err != nil {
		return err
	}
	days, err := parseOrigins(o.origins)
	if err != nil {
		return err
	}
	want := []string{"prior", "trained"}
	if o.model != "both" {
		want = []string{o.model}
	}
	view, err := a.view(ctx, c, o.asOf.at)
	if err != nil {
		return err
	}
	in, err := jobs.ChurnInputs(ctx, view, q)
	if err != nil {
		return err
	}
	if in.Subscriptions != nil {
		defer in.Subscriptions.Release()
	}
	asked := days
	if asked == nil {
		days = defaultOrigins(in.On, q.Horizon)
	}
	b, err := churn.RunBacktest(in, q.Horizon, days, want)
	if err != nil {
		return err
	}
	if asked == nil {
		b.Skipped = []data.Day{} // a short history is no fault of what nobody asked for
	}
	if len(b.Models) == 0 {
		return fmt.Errorf("backtest: the outcome of no origin is known: an origin must lie in the history and %d days before %s; use --origins or --watermark", q.Horizon, in.On)
	}
	if o.predictions != "" {
		err = jobs.WriteFile(o.predictions, predictionsCSV(b, want))
	}
	if o.page != "" && err == nil {
		err = a.backtestPage(o.page, b)
	}
	if err != nil {
		return err
	}
	if o.format == "json" {
		return a.printJSON(b)
	}
	a.printBacktest(b)
	return nil
}

// defaultOrigins are the newest six days whose outcome is known, a horizon apart.
func defaultOrigins(watermark data.Day, horizon int) []data.Day {
	const most = 6
	var days []data.Day
	for i := range most {
		days = append(days, watermark-data.Day((most-i)*horizon))
	}
	return days
}

// parseOrigins reads FROM:STEP:N, or the file of that name.
func parseOrigins(text string) ([]data.Day, error) {
	if text == "" {
		return nil, nil
	}
	if parts := strings.Split(text, ":"); len(parts) == 3 {
		from, err := parseDayFlag("--origins", parts[0])
		step, errStep := strconv.Atoi(parts[1])
		n, errN := strconv.Atoi(parts[2])
		const most = 1000
		if err != nil {
			return nil, err
		}
		if errStep != nil || errN != nil || step < 1 || n < 1 || n > most || step > 3650 {
			return nil, usagef("--origins %q: want FROM:STEP:N, e.g. 2026-03-01:28:6, with at most %d origins", text, most)
		}
		var days []data.Day
		for i := range n {
			days = append(days, from+data.Day(i*step))
		}
		return days, nil
	}
	raw, err := os.ReadFile(text)
	if err != nil {
		return nil, usagef("--origins: want FROM:STEP:N or a file with one day a line: %w", err)
	}
	var days []data.Day
	var bad []error
	for i, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		day, err := data.ParseDay(line)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s:%d: %q is %w", text, i+1, line, err))
			continue
		}
		days = append(days, day)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	if len(days) == 0 {
		return nil, fmt.Errorf("%s: no day in it", text)
	}
	slices.Sort(days)
	return slices.Compact(days), nil
}

// predictionsCSV has one line for each prediction of the models asked for.
func predictionsCSV(b *churn.Backtest, models []string) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	lines := [][]string{{"subscription_id", "origin", "score", "label", "model"}}
	for _, name := range models {
		for _, p := range b.Models[name].Predictions {
			label := "0"
			if p.Churned {
				label = "1"
			}
			lines = append(lines, []string{reports.Guarded(p.Subscription), p.On.String(), strconv.FormatFloat(p.Score, 'f', 4, 64), label, name})
		}
	}
	_ = w.WriteAll(lines) // into memory
	return out.Bytes()
}

func (a *app) printBacktest(b *churn.Backtest) {
	a.printf("horizon %d days, %d origins", b.Horizon, len(b.Origins))
	if n := len(b.Origins); n > 0 {
		a.printf(" from %s to %s", b.Origins[0], b.Origins[n-1])
	}
	a.printf("\n")
	if len(b.Skipped) > 0 {
		a.printf("%d origins are left out: their outcome is not known yet, or they lie outside the history\n", len(b.Skipped))
	}
	if len(b.Untrained) > 0 {
		a.printf("on %d origins no outcome was known yet: the trained model is the prior there\n", len(b.Untrained))
	}
	if b.NoSignal > 0 {
		a.printf("on %d origins the trained model would have given no scores: past churn did not follow usage\n", b.NoSignal)
	}
	a.printf("\n%-11s %-22s %9s %-22s %7s %7s %7s %9s %6s %9s %7s\n", "model", "AUC within date", "in common", "AUC pooled", "PR-AUC", "Brier", "ECE", "precision", "lift", "base rate", "rows")
	for _, name := range churn.BacktestModels() {
		m, there := b.Models[name]
		if !there {
			continue
		}
		a.printf("%-11s %-22s %9s %-22s %7s %7.4f %7.4f %9.3f %6s %9.4f %7d\n", name, span(m.AUCWithin, m.WithinInterval), figure(m.AUCCommon), span(m.AUCPooled, m.PooledInterval),
			figure(m.PRAUC), m.Brier, m.ECE, m.PrecisionTop10, figure(m.LiftTop10), m.BaseRate, m.Rows)
	}
	a.printCommon(b)
	for _, name := range []string{"prior", "trained"} {
		m, there := b.Models[name]
		if !there {
			continue
		}
		a.printf("\nreliability of %s: of each tenth by score, what was predicted and what came true\n", name)
		for _, bin := range m.Reliability {
			a.printf("  %6d rows  %6.1f %%  %6.1f %%\n", bin.Rows, bin.Predicted*100, bin.Observed*100)
		}
	}
}

// printCommon compares the models on the rows that all of them have, where that is not all.
func (a *app) printCommon(b *churn.Backtest) {
	if b.SameRows() {
		return
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(b.Models)), func(m churn.Measures) bool { return m.Common != nil }) {
		a.printf("\nthe models are judged on different rows and have none in common\n")
		return
	}
	a.printf("\nthe models are judged on different rows; on those in common:\n%-11s %7s %7s %6s %7s\n", "model", "Brier", "ECE", "lift", "rows")
	for _, name := range churn.BacktestModels() {
		if c := b.Models[name].Common; c != nil {
			a.printf("%-11s %7.4f %7.4f %6s %7d\n", name, c.Brier, c.ECE, figure(c.LiftTop10), c.Rows)
		}
	}
}

func span(v *float64, i *[2]float64) string {
	if i == nil {
		return figure(v)
	}
	return fmt.Sprintf("%s (%.3f to %.3f)", figure(v), i[0], i[1])
}

func figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *v)
}
