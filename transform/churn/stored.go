package churn

import (
	"encoding/json"
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

// detail is what a stored score holds beside what was shown.
type detail struct {
	BaseRate      *float64        `json:"base_rate"`
	Logit         *float64        `json:"logit"`
	Reference     *float64        `json:"reference"`
	Contributions json.RawMessage `json:"contributions"`
	Features      json.RawMessage `json:"features"`
	Protective    json.RawMessage `json:"protective"`
	WhyNow        json.RawMessage `json:"why_now,omitempty"`
	Quiet         bool            `json:"quiet"`
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
			told := detail{BaseRate: number("base_rate", i), Logit: number("logit", i), Reference: number("reference", i),
				Contributions: raw(text("contributions", i)), Features: raw(text("features", i)), Protective: raw(text("protective", i)),
				WhyNow: raw(text("why_now", i)), Quiet: rec.Column(at["quiet"]).(*array.Boolean).Value(i)}
			doc, err := json.Marshal(told)
			if err != nil {
				return nil, fmt.Errorf("score of %s: %w", r.SubscriptionID, err)
			}
			r.Score, r.Detail = &d, new(string(doc))
		}
		rows[i] = r
	}
	return rows, nil
}

func raw(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	return json.RawMessage(*text)
}
