package main

import (
	"fmt"

	"tidemark/jobs"
	"tidemark/reports/chart"
	"tidemark/templates"
	"tidemark/transform/churn"
)

// backtestPage writes the backtest as one page that loads nothing.
func (a *app) backtestPage(file string, b *churn.Backtest) error {
	script, _ := templates.ChartScript()
	in := chart.PageInput{Layout: templates.Layout("page.html"), Script: script, Lang: "en", Title: "Backtest of the churn score",
		Lead: fmt.Sprintf("next %d days, %d origins", b.Horizon, len(b.Origins)), Accent: "#0b6e4f", Data: "Data",
		NoCharts: "This build draws no charts; the tables hold every number.",
		Lines: []string{"AUC within date is the chance that a lost subscription stands above a kept one on the list of one day; 0.5 is worth nothing. On the days in common all models could score: compare them by that.",
			"ECE is how far the percentages are from what came true. Lift says how many times as many losses the highest tenth holds."},
		Footer: []string{producer()}}
	table := chart.Table{Head: []string{"Model", "AUC within date (95 %)", "on the days in common", "AUC pooled (95 %)", "PR-AUC", "Brier", "ECE", "Precision, top tenth", "Lift, top tenth", "Base rate", "Rows"}}
	common := chart.Table{Head: []string{"On the rows in common", "Brier", "ECE", "Lift, top tenth", "Rows"}}
	var names []string
	auc := chart.Series{Name: "AUC within date", Colour: "#0b6e4f"}
	for _, name := range churn.BacktestModels() {
		m, there := b.Models[name]
		if !there {
			continue
		}
		table.Rows = append(table.Rows, []string{name, span(m.AUCWithin, m.WithinInterval), figure(m.AUCCommon), span(m.AUCPooled, m.PooledInterval), figure(m.PRAUC),
			fmt.Sprintf("%.4f", m.Brier), fmt.Sprintf("%.4f", m.ECE), fmt.Sprintf("%.3f", m.PrecisionTop10), figure(m.LiftTop10), fmt.Sprintf("%.4f", m.BaseRate), fmt.Sprint(m.Rows)})
		if c := m.Common; c != nil && !b.SameRows() {
			common.Rows = append(common.Rows, []string{name, fmt.Sprintf("%.4f", c.Brier), fmt.Sprintf("%.4f", c.ECE), figure(c.LiftTop10), fmt.Sprint(c.Rows)})
		}
		if m.AUCWithin != nil {
			names, auc.Values = append(names, name), append(auc.Values, *m.AUCWithin)
		}
	}
	f := chart.Figure{ID: "models", Title: "Models side by side", Tables: []chart.Table{table}}
	if len(common.Rows) > 0 {
		f.Tables = append(f.Tables, common)
	}
	if len(names) > 0 {
		definition, err := chart.Ranking(names, auc)
		if err != nil {
			return err
		}
		if f.Option, err = chart.Option(definition, chart.Numbers{}); err != nil {
			return err
		}
	}
	in.Figures = append(in.Figures, f)
	for _, name := range []string{"prior", "trained"} {
		if m, there := b.Models[name]; there {
			f, err := reliability(name, m)
			if err != nil {
				return err
			}
			in.Figures = append(in.Figures, f)
		}
	}
	html, err := chart.Page(in)
	if err != nil {
		return err
	}
	return jobs.WriteFile(file, html)
}

// reliability shows what was predicted beside what came true, by tenth.
func reliability(name string, m churn.Measures) (chart.Figure, error) {
	var tenths []string
	predicted, observed := chart.Series{Name: "Predicted, %"}, chart.Series{Name: "Came true, %", Colour: "#0b6e4f"}
	table := chart.Table{Head: []string{"Tenth by score", "Predicted", "Came true", "Rows"}}
	for i, b := range m.Reliability {
		tenths = append(tenths, fmt.Sprint(i+1))
		predicted.Values, observed.Values = append(predicted.Values, b.Predicted*100), append(observed.Values, b.Observed*100)
		table.Rows = append(table.Rows, []string{fmt.Sprint(i + 1), fmt.Sprintf("%.1f %%", b.Predicted*100), fmt.Sprintf("%.1f %%", b.Observed*100), fmt.Sprint(b.Rows)})
	}
	f := chart.Figure{ID: "reliability_" + name, Title: "Reliability of " + name, Tables: []chart.Table{table}}
	definition, err := chart.Compared(tenths, predicted, observed)
	if err == nil {
		f.Option, err = chart.Option(definition, chart.Numbers{})
	}
	return f, err
}
