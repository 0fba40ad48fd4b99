// Package churn scores how likely a subscription is lost, or goes without any
// usage, in the next weeks, and says why. The score is tidemark's own; it is
// never presented as Microsoft's. docs/churn.md tells the method.
//
// A History is read from usage_daily; a Model assesses a portfolio as of a day;
// Train fits a model to what became of earlier days, and Backtest says how good
// a model would have been.
package churn

import (
	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
	"tidemark/transform"
)

// DefaultHorizon is the number of days a score looks ahead.
const DefaultHorizon = 28

// State says whether a subscription has a score or why it has none.
type State string

// The states of an assessment.
const (
	StateScored    State = "scored"
	StateNew       State = "new"     // less than 7 days old
	StateDormant   State = "dormant" // active, no usage on the last known days, as many as the horizon has
	StateSuspended State = "suspended"
	StateEnded     State = "ended"
	StateNoSignal  State = "no_signal" // too few known days, neither active nor used, or past churn did not follow usage
)

// Band is the label of a score.
type Band string

// The bands, from the highest risk down. High is 0.30 and above, or four times the base
// rate if that is 0.10 or more; Medium is twice the base rate and above, and 0.15 and above
// whatever the base rate: in a small portfolio one bad case lifts it.
const (
	BandHigh   Band = "High"
	BandMedium Band = "Medium"
	BandLow    Band = "Low"
)

func bandOf(score, base float64) Band {
	switch {
	case score >= .30, score >= .10 && score >= 4*base:
		return BandHigh
	case score >= .15, score >= 2*base:
		return BandMedium
	}
	return BandLow
}

// Population says who gets a score: those used on at least Least of the last Window known days.
type Population struct {
	Window int // days; 0 means the horizon
	Least  int // days; 0 means 1
}

// Usual reports whether it is everybody used in the horizon: whom reports tell of.
func (p Population) Usual() bool { return p.Window == 0 && p.Least <= 1 }

// Inputs is what a score is made from. Records are borrowed. Nothing after On is looked at,
// and a day that is not known is unknown, never silent.
type Inputs struct {
	On            data.Day
	History       *History
	Subscriptions arrow.Record // one row per subscription (data.SubscriptionsSchema); nil: those of the history
	// Statuses say what status subscriptions had on earlier days; nil: the one they have on On.
	Statuses   *transform.Statuses
	Population Population // of training and backtest; a model scores those it was trained on
}

// Schema is the schema of an assessment: the columns from score to features are
// null but in state scored; idle_days is null when no usage is known at all.
func Schema() *arrow.Schema {
	text, number := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64
	return arrow.NewSchema([]arrow.Field{
		{Name: "subscription_id", Type: data.DictType()},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "state", Type: data.DictType()},
		{Name: "score", Type: number, Nullable: true},
		{Name: "band", Type: data.DictType(), Nullable: true},
		{Name: "origin", Type: arrow.FixedWidthTypes.Date32},
		{Name: "horizon_days", Type: arrow.PrimitiveTypes.Int32},
		{Name: "calibrated", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "model", Type: data.DictType()},
		{Name: "idle_days", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "reasons", Type: text},                        // JSON array of Reason, the strongest first, at most one a group
		{Name: "why_now", Type: text, Nullable: true},        // JSON of a Change; null: nothing rose
		{Name: "protective", Type: text, Nullable: true},     // JSON array of groups that speak against a loss
		{Name: "flags", Type: text},                          // JSON array of Flag: facts of the contract
		{Name: "base_rate", Type: number, Nullable: true},    // mean score of the portfolio
		{Name: "quiet", Type: arrow.FixedWidthTypes.Boolean}, // the whole portfolio was quieter this week
		{Name: "logit", Type: number, Nullable: true},        // of the score before it was bounded
		{Name: "reference", Type: number, Nullable: true},    // what the logit is made of beside the contributions
		{Name: "contributions", Type: text, Nullable: true},  // JSON object by group; with reference they add up to logit
		{Name: "features", Type: text, Nullable: true},       // JSON object by name
	}, nil)
}

// MonthlyCostSchema is the schema of MonthlyCost.
func MonthlyCostSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "subscription_id", Type: data.DictType()},
		{Name: "currency", Type: data.DictType()},
		{Name: "monthly_cost", Type: data.DecimalType()},
	}, nil)
}
