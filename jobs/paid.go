package jobs

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// paidReach is how long before the last day that can be judged scores are looked for.
const paidReach = 92

// DidItPay reads back the newest stored scores whose horizon is over
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

// storedScores returns the scores of the newest day whose horizon is over: all that were
// stored, whoever was mailed about which of them. Of a day that was scored more than once
// they are those that were told first, with the least hindsight.
func storedScores(ctx context.Context, view *archive.View, until data.Day) (map[data.SubscriptionID]data.Score, error) {
	scores := map[data.SubscriptionID]data.Score{}
	var told data.Score // one of them
	var knownAt time.Time
	for row, err := range view.ScoresIn(ctx, data.Period{From: until - paidReach, To: until}) {
		if err != nil {
			return nil, err
		}
		if row.State != string(churn.StateScored) || row.Score == nil || row.Band == nil || row.Day+data.Day(row.Horizon) > until {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, row.KnownAt)
		if err != nil {
			return nil, fmt.Errorf("score of %s on %s: %w", row.SubscriptionID, row.Day, err)
		}
		order := cmp.Compare(row.Day, told.Day)
		if len(scores) == 0 {
			order = 1
		} else if order == 0 {
			order = cmp.Or(knownAt.Compare(at), cmp.Compare(told.Model, row.Model), cmp.Compare(told.Versions, row.Versions), cmp.Compare(told.Producer, row.Producer))
		}
		switch {
		case order < 0:
			continue
		case order > 0:
			told, knownAt = row, at
			clear(scores)
		}
		scores[row.SubscriptionID] = row
	}
	return scores, nil
}

// outcomeOfScores says of scores of one day what became of the subscriptions in
// their horizon. Lost is what was suspended or ended, or not used on any known
// day; without enough known days nothing is said.
func outcomeOfScores(in transform.Inputs, scores map[data.SubscriptionID]data.Score) (*reports.Outcome, error) {
	var out reports.Outcome
	for _, a := range scores {
		out.Origin, out.HorizonDays = a.Day, int(a.Horizon)
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
		if *a.Band == string(churn.BandHigh) || *a.Band == string(churn.BandMedium) {
			out.Flagged++
			if lost {
				out.FlaggedLost++
			}
		}
	}
	return &out, nil
}
