package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/transform/churn"
)

func (a *app) churnScoreCommand() *cobra.Command {
	var on, format string
	var asOf moment
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
			c, err := a.readingConfig()
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
			s, err := scoresOf(p, doc)
			if err != nil {
				return err
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
	asOfFlag(cmd, &asOf)
	a.archiveFlag(cmd)
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
	NoSignal    bool             `json:"no_signal"` // past churn does not follow usage here: nothing is scored
	BaseRate    *float64         `json:"base_rate"` // mean score; null: nothing is scored
	AtRisk      []reports.AtRisk `json:"at_risk"`
	Customers   []customerRisk   `json:"customers"`
}

func scoresOf(p *reports.Portfolio, doc *reports.Document) (scores, error) {
	s := scores{On: doc.Period.To, Model: p.Model, HorizonDays: churn.DefaultHorizon, NoSignal: p.NoSignal, AtRisk: doc.AtRisk}
	for _, r := range doc.AtRisk {
		s.HorizonDays, s.Calibrated = r.HorizonDays, r.Calibrated && !p.NoSignal
		if r.BaseRate != nil {
			s.BaseRate = r.BaseRate
		}
	}
	var err error
	s.Customers, err = customerRisks(doc)
	return s, err
}

// customerRisk is a customer's scores taken together.
type customerRisk struct {
	CustomerID  data.CustomerID `json:"customer_id"`
	Name        string          `json:"name"`          // empty: unknown
	Scored      int             `json:"scored"`        // subscriptions
	AnyLoss     float64         `json:"any_loss"`      // probability that at least one of them is lost, if they were independent
	MoneyAtRisk []data.Money    `json:"money_at_risk"` // their expected losses a month, by currency
}

// customerRisks adds the scored subscriptions up by customer, the highest risk first.
func customerRisks(doc *reports.Document) ([]customerRisk, error) {
	at := map[data.CustomerID]int{}
	list := []customerRisk{}
	for _, r := range doc.AtRisk {
		if r.Score == nil {
			continue
		}
		i, found := at[r.CustomerID]
		if !found {
			i = len(list)
			at[r.CustomerID] = i
			list = append(list, customerRisk{CustomerID: r.CustomerID, Name: doc.Background.Customers[r.CustomerID].Name, MoneyAtRisk: []data.Money{}})
		}
		c := &list[i]
		c.Scored++
		c.AnyLoss = 1 - (1-c.AnyLoss)*(1-*r.Score)
		for _, loss := range r.ExpectedLoss {
			if err := c.add(loss); err != nil {
				return nil, err
			}
		}
	}
	slices.SortStableFunc(list, func(a, b customerRisk) int { return cmp.Compare(b.AnyLoss, a.AnyLoss) })
	return list, nil
}

// add adds money at risk to that of its currency, in order of currency.
func (c *customerRisk) add(m data.Money) error {
	i, found := slices.BinarySearchFunc(c.MoneyAtRisk, m.Currency, func(have data.Money, want string) int { return cmp.Compare(have.Currency, want) })
	if !found {
		c.MoneyAtRisk = slices.Insert(c.MoneyAtRisk, i, m)
		return nil
	}
	sum, ok := c.MoneyAtRisk[i].Amount.Add(m.Amount)
	if !ok {
		return fmt.Errorf("money at risk of customer %s: %w", c.CustomerID, data.ErrOverflow)
	}
	c.MoneyAtRisk[i].Amount = sum
	return nil
}

// basis says what the scores rest on, or why there are none.
func (s scores) basis() string {
	switch {
	case s.NoSignal:
		return "no scores: past churn does not follow usage here, says the last training"
	case s.Calibrated:
		return "own estimate, calibrated on your churn"
	}
	return "own estimate, not calibrated on your churn"
}

// beside is how far the lines under a row of the table are set in.
const beside = 54

func (a *app) printScores(s scores, stored []data.Score) error {
	details := map[data.SubscriptionID]*string{}
	for _, row := range stored {
		details[row.SubscriptionID] = row.Detail
	}
	a.printf("as of %s, next %d days, %s; model %s\n", s.On, s.HorizonDays, s.basis(), churn.ShortName(s.Model))
	if s.BaseRate != nil {
		a.printf("the average of all scores is %.4f; at stake is the score times the cost of a month\n", *s.BaseRate)
	}
	a.printf("%-8s %-6s %-38s %s\n", "score", "band", "subscription", "name, at stake, reasons")
	for _, s := range s.AtRisk {
		score, band := string(s.State), ""
		if s.Score != nil {
			score = fmt.Sprintf("%.4f", *s.Score)
		}
		if s.Band != nil {
			band = string(*s.Band)
		}
		a.printf("%-8s %-6s %-38s %s\n", score, band, printable(string(s.SubscriptionID)), printable(cmp.Or(string(s.Name), "-")))
		if len(s.ExpectedLoss) > 0 {
			a.printf("%*s at stake %s\n", beside, "", amounts(s.ExpectedLoss))
		}
		for _, r := range s.Reasons {
			a.printf("%*s %s\n", beside, "", printable(r.Text))
		}
		for _, f := range s.Flags {
			a.printf("%*s %s\n", beside, "", printable(f.Text))
		}
		if detail := details[s.SubscriptionID]; detail != nil {
			if err := a.printParts(*detail); err != nil {
				return err
			}
		}
	}
	if len(s.Customers) == 0 {
		return nil
	}
	a.printf("\n%-8s %6s %20s %-38s %s\n", "any loss", "scored", "at stake", "customer", "name")
	for _, c := range s.Customers {
		a.printf("%-8.4f %6d %20s %-38s %s\n", c.AnyLoss, c.Scored, amounts(c.MoneyAtRisk), printable(string(c.CustomerID)), printable(cmp.Or(c.Name, "-")))
	}
	return nil
}

// amounts is money in all its currencies, to the cent.
func amounts(list []data.Money) string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%.2f %s", m.Amount.Float64(), printable(m.Currency)))
	}
	return strings.Join(out, " + ")
}

// printParts shows how a score adds up.
func (a *app) printParts(detail string) error {
	var d churn.Detail
	if err := json.Unmarshal([]byte(detail), &d); err != nil {
		return err
	}
	a.printf("%*s logit %.4f = %.4f", beside, "", d.Logit, d.Reference)
	for _, group := range slices.Sorted(maps.Keys(d.Contributions)) {
		a.printf(" %+.4f %s", d.Contributions[group], group)
	}
	a.printf("\n")
	if len(d.Protective) > 0 {
		a.printf("%*s against a loss: %v\n", beside, "", d.Protective)
	}
	return nil
}
