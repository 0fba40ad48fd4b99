package churn

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// HistoryColumns are the columns of usage_daily that ReadHistory reads.
func HistoryColumns() []string {
	return []string{"usage_date", "subscription_id", "category", "usage_rows", "currency", "charge_category", "cost", "effective_cost"}
}

// Detail is what a stored score holds beside what was shown.
type Detail struct {
	BaseRate      float64            `json:"base_rate"` // mean score of the portfolio
	Logit         float64            `json:"logit"`     // of the score before it was bounded
	Reference     float64            `json:"reference"` // with the contributions it adds up to the logit
	Contributions map[Group]float64  `json:"contributions"`
	Features      map[string]float64 `json:"features"`
	Protective    []Group            `json:"protective"` // what speaks against a loss, the strongest first
	WhyNow        *Change            `json:"why_now,omitempty"`
	Quiet         bool               `json:"quiet"` // the whole portfolio was quieter in the last week
}

// Stored returns the rows of an assessment as the archive keeps them, but for what it was
// made from.
func Stored(rec arrow.Record) ([]data.Score, error) {
	at := map[string]int{}
	for i, f := range rec.Schema().Fields() {
		at[f.Name] = i
	}
	text := func(name string, i int) *string {
		if c := rec.Column(at[name]); c.IsValid(i) {
			return new(c.ValueStr(i))
		}
		return nil
	}
	number := func(name string, i int) *float64 {
		if c := rec.Column(at[name]).(*array.Float64); c.IsValid(i) {
			return new(c.Value(i))
		}
		return nil
	}
	rows := make([]data.Score, rec.NumRows())
	for i := range rows {
		r := data.Score{Day: data.Day(rec.Column(at["origin"]).(*array.Date32).Value(i)), CustomerID: data.CustomerID(*text("customer_id", i)),
			SubscriptionID: data.SubscriptionID(*text("subscription_id", i)), Horizon: rec.Column(at["horizon_days"]).(*array.Int32).Value(i),
			State: *text("state", i), Band: text("band", i), Model: *text("model", i), Reasons: *text("reasons", i), Flags: *text("flags", i)}
		if c := rec.Column(at["idle_days"]).(*array.Int32); c.IsValid(i) {
			r.IdleDays = new(c.Value(i))
		}
		if p := number("score", i); p != nil {
			d, _, err := data.ParseDecimal(strconv.FormatFloat(*p, 'f', 4, 64))
			if err != nil {
				return nil, fmt.Errorf("score of %s: %w", r.SubscriptionID, err)
			}
			told := Detail{BaseRate: *number("base_rate", i), Logit: *number("logit", i), Reference: *number("reference", i),
				Quiet: rec.Column(at["quiet"]).(*array.Boolean).Value(i)}
			for name, into := range map[string]any{"contributions": &told.Contributions, "features": &told.Features, "protective": &told.Protective, "why_now": &told.WhyNow} {
				if doc := text(name, i); doc != nil && err == nil {
					err = json.Unmarshal([]byte(*doc), into)
				}
			}
			doc, marshalErr := json.Marshal(told)
			err = errors.Join(err, marshalErr)
			if err != nil {
				return nil, fmt.Errorf("score of %s: %w", r.SubscriptionID, err)
			}
			r.Score, r.Detail = &d, new(string(doc))
		}
		rows[i] = r
	}
	return rows, nil
}
