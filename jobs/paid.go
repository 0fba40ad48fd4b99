package jobs

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// paidReach is how long before the last day that can be judged a report is looked
// for.
const paidReach = 92

// DidItPay reads back the newest scores that reports stated whose horizon is over
// at the end of a portfolio's period, and says what became of the subscriptions.
// It is nil while there are none.
func DidItPay(ctx context.Context, view *archive.View, p *reports.Portfolio) (*reports.Outcome, error) {
	in := p.Inputs
	until := in.Until()
	scores, err := storedScores(ctx, view, until)
	if err != nil || len(scores) == 0 {
		return nil, err
	}
	out, err := outcomeOfScores(in, scores)
	if err != nil {
		return nil, fmt.Errorf("read stored scores back: %w", err)
	}
	return out, nil
}

// storedScores returns the scores of the newest reports whose horizon is over.
func storedScores(ctx context.Context, view *archive.View, until data.Day) (map[data.SubscriptionID]reports.AtRisk, error) {
	scores := map[data.SubscriptionID]reports.AtRisk{}
	newest := data.Day(-1 << 30)
	for row, err := range view.ReportsIn(ctx, data.Period{From: until - paidReach, To: until}) {
		if err != nil {
			return nil, err
		}
		// Scores are of a day in the period.
		if row.PeriodFrom+churn.DefaultHorizon > until || row.PeriodTo < newest {
			continue
		}
		stated, err := statedRisks(row)
		if err != nil {
			return nil, err
		}
		for _, a := range stated {
			switch {
			case a.State != churn.StateScored || a.Score == nil || a.Band == nil || a.Origin+data.Day(a.HorizonDays) > until || a.Origin < newest:
				continue
			case a.Origin > newest:
				newest = a.Origin
				clear(scores)
			}
			scores[a.SubscriptionID] = a
		}
	}
	return scores, nil
}

// outcomeOfScores says of scores of one day what became of the subscriptions in
// their horizon. Lost is what was suspended or ended, or not used on any known
// day; without enough known days nothing is said.
func outcomeOfScores(in transform.Inputs, scores map[data.SubscriptionID]reports.AtRisk) (*reports.Outcome, error) {
	var out reports.Outcome
	for _, a := range scores {
		out.Origin, out.HorizonDays = a.Origin, a.HorizonDays
	}
	horizon := data.Period{From: out.Origin + 1, To: out.Origin + data.Day(out.HorizonDays)}
	if 2*len(in.Known(horizon)) < out.HorizonDays {
		return nil, nil
	}
	used, err := transform.Used(in, horizon)
	if err != nil {
		return nil, err
	}
	latest, err := transform.Latest(memory.DefaultAllocator, in.Inventory, horizon.To)
	if err != nil {
		return nil, err
	}
	defer latest.Release()
	ended, err := transform.EndedIn(latest, horizon)
	if err != nil {
		return nil, err
	}
	for id, a := range scores {
		lost := ended[id] || !used[id]
		out.Scored++
		if lost {
			out.Lost++
		}
		if *a.Band == churn.BandHigh || *a.Band == churn.BandMedium {
			out.Flagged++
			if lost {
				out.FlaggedLost++
			}
		}
	}
	return &out, nil
}
