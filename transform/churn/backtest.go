package churn

import (
	"fmt"
	"math"
	"slices"

	"tidemark/data"
)

// Measures say how good predictions were. AUC within date is the mean over the origins,
// weighted by churned × kept / all: the list that somebody sees on one day.
type Measures struct {
	AUCWithin      *float64    `json:"auc_within"`          // null: nobody churned, or everybody
	WithinInterval *[2]float64 `json:"auc_within_interval"` // 95 %, by bootstrap over subscriptions
	AUCCommon      *float64    `json:"auc_within_common"`   // within date, on the origins that all models of the backtest have
	AUCPooled      *float64    `json:"auc_pooled"`
	PooledInterval *[2]float64 `json:"auc_pooled_interval"`
	PRAUC          *float64    `json:"pr_auc"` // average precision
	Brier          float64     `json:"brier"`
	ECE            float64     `json:"ece"`             // ten bins of equal size
	PrecisionTop10 float64     `json:"precision_top10"` // of the highest tenth within each origin
	LiftTop10      *float64    `json:"lift_top10"`
	BaseRate       float64     `json:"base_rate"`
	Rows           int         `json:"rows"`
	Origins        int         `json:"origins"`
	Reliability    []Bin       `json:"reliability"`
	Common         *Common     `json:"in_common"` // null: no origin is in common

	Predictions []Prediction `json:"-"`
}

// Common is how good predictions were on the origins that all models of the backtest have:
// there all are judged on the same rows.
type Common struct {
	Brier     float64  `json:"brier"`
	ECE       float64  `json:"ece"`
	LiftTop10 *float64 `json:"lift_top10"`
	Rows      int      `json:"rows"`
}

// Backtest is what scores of earlier days would have been worth.
type Backtest struct {
	Horizon   int                 `json:"horizon_days"`
	Origins   []data.Day          `json:"origins"`
	Skipped   []data.Day          `json:"origins_without_outcome"` // too near to the end to be judged
	Untrained []data.Day          `json:"origins_without_labels"`  // trained fell back on the prior there
	NoSignal  int                 `json:"origins_no_signal"`       // on so many the trained model would have given no scores
	Models    map[string]Measures `json:"models"`                  // "prior", "trained", "recency", "rfm", "drop_ratio"
}

// The models of a backtest, in the order in which they are shown.
func BacktestModels() []string { return []string{"prior", "trained", "recency", "rfm", "drop_ratio"} }

// RunBacktest scores the origins given as they would have been scored then, and compares
// with what came true by in.On. A trained model learns, for each origin anew, from the
// outcomes that were known on it; so do the simple methods beside it. want holds "prior",
// "trained" or both.
func RunBacktest(in Inputs, horizon int, origins []data.Day, want []string) (*Backtest, error) {
	c, err := newCache(in, horizon)
	if err != nil {
		return nil, err
	}
	out := &Backtest{Horizon: horizon, Models: map[string]Measures{}, Origins: []data.Day{}, Skipped: []data.Day{}, Untrained: []data.Day{}}
	all := map[string][]Prediction{}
	last := c.place(in.On)
	for _, day := range origins {
		o := c.place(day)
		if c.knownDays(0, o) < leastAge || o+c.h > last || o+c.h >= c.days {
			out.Skipped = append(out.Skipped, day)
			continue
		}
		out.Origins = append(out.Origins, day)
		if err := c.backtest(o, want, all, out); err != nil {
			return nil, fmt.Errorf("backtest %s: %w", day, err)
		}
	}
	common := inCommon(all)
	for name, p := range all {
		m := measure(p)
		if shared := slices.DeleteFunc(slices.Clone(p), func(x Prediction) bool { return !common[x.On] }); len(shared) > 0 {
			g := grade(shared)
			m.AUCCommon, m.Common = number(g.within(g.sorted(true), nil)), inCommonOf(g, len(shared))
		}
		out.Models[name] = m
	}
	return out, nil
}

func inCommonOf(g *graded, rows int) *Common {
	_, ece := g.reliability()
	_, lift := g.top()
	return &Common{Brier: g.brier(), ECE: ece, LiftTop10: number(lift), Rows: rows}
}

// SameRows reports whether all models were judged on the same rows, so that every measure
// compares them.
func (b *Backtest) SameRows() bool {
	for _, m := range b.Models {
		if m.Common == nil || m.Common.Rows != m.Rows {
			return false
		}
	}
	return true
}

// inCommon returns the origins on which every model made predictions: the simple methods have
// none before the first outcome is known, and comparing them needs the same rows.
func inCommon(all map[string][]Prediction) map[data.Day]bool {
	models := map[data.Day]int{}
	for _, p := range all {
		last := data.Day(math.MinInt32)
		for _, x := range p { // of one origin after the other
			if x.On != last {
				models[x.On]++
				last = x.On
			}
		}
	}
	common := map[data.Day]bool{}
	for day, n := range models {
		common[day] = n == len(all)
	}
	return common
}

func (c *cache) backtest(o int, want []string, all map[string][]Prediction, out *Backtest) error {
	for _, name := range want {
		m := &Model{terms: c.terms, file: modelFile{Kind: KindPrior, Terms: c.betas()}}
		if name == "trained" {
			var l learned
			var err error
			if m, l, err = c.trainedOn(o); err != nil {
				return err
			}
			if l.noGood {
				out.NoSignal++
			}
			if l.kind == KindPrior {
				out.Untrained = append(out.Untrained, c.History.on(o))
			}
		}
		if p := c.predict(m, o); len(p) > 0 {
			all[name] = append(all[name], p...)
		}
	}
	for _, b := range simpleMethods() {
		score, err := b.fit(c, o)
		if err != nil {
			return err
		}
		if score == nil {
			continue
		}
		if p := c.predictions(o, score); len(p) > 0 {
			all[b.name] = append(all[b.name], p...)
		}
	}
	return nil
}

func measure(p []Prediction) Measures {
	g := grade(p)
	byOrigin, pooled := g.sorted(true), g.sorted(false)
	m := Measures{Brier: g.brier(), BaseRate: g.baseRate(), Rows: len(p), Origins: len(byOrigin), Predictions: p}
	m.AUCWithin, m.WithinInterval = g.interval(byOrigin).json()
	m.AUCPooled, m.PooledInterval = g.interval(pooled).json()
	m.PRAUC = number(g.averagePrecision())
	m.Reliability, m.ECE = g.reliability()
	precision, lift := g.top()
	m.PrecisionTop10, m.LiftTop10 = precision, number(lift)
	return m
}

// number is nil for what is no number: nobody churned.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func (i Interval) json() (*float64, *[2]float64) {
	if i.Low == nil {
		return i.Value, nil
	}
	return i.Value, &[2]float64{*i.Low, *i.High}
}
