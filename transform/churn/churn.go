// Package churn scores how likely a subscription is lost, or goes without any
// usage, in the next weeks, and says why. The score is tidemark's own; it is
// never presented as Microsoft's.
package churn

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Model scores every subscription of a portfolio as of one day.
type Model interface {
	// Name is stored beside every score, e.g. "rules-1".
	Name() string
	// Assess returns one row per subscription (Schema) created on or before
	// in.On, in order of id; those that ended by then are rows in their state.
	// The caller must Release the record.
	Assess(mem memory.Allocator, in Inputs) (arrow.Record, error)
}

// HistoryDays is how many days up to and including Inputs.On a model looks
// back: what Inputs.Daily must cover.
const HistoryDays = 112

// DefaultHorizon is the number of days a score looks ahead.
const DefaultHorizon = 28

// Inputs is what a score is made from. Records are borrowed. Nothing after On
// is looked at, and a day that is not in Known is unknown, never silent.
type Inputs struct {
	On            data.Day
	Horizon       int            // days ahead; 0 means DefaultHorizon
	Known         []data.Day     // known days at or before On, in order
	Daily         []arrow.Record // usage_daily rows (data.UsageDailySchema, money columns not needed)
	Subscriptions arrow.Record   // one row per subscription (data.SubscriptionsSchema)
}

// State says whether a subscription has a score or why it has none.
type State string

// The states of an assessment.
const (
	StateScored    State = "scored"
	StateNew       State = "new"     // less than 7 days old
	StateDormant   State = "dormant" // active, no usage in the last known days, as many as the horizon has
	StateSuspended State = "suspended"
	StateEnded     State = "ended"
	StateNoSignal  State = "no_signal" // less than 7 known days, or neither active nor used
)

// Band is the label of a score.
type Band string

// The bands, from the highest risk down.
const (
	BandHigh   Band = "High"
	BandMedium Band = "Medium"
	BandLow    Band = "Low"
)

// Reason is one finding behind a score, in numbers; reports put it in words.
// The reasons column holds a JSON array of them, the strongest first.
type Reason struct {
	Code  string    `json:"code"`            // "stop", "silence", "trend", "activity", "services" or "tenure"
	Since *data.Day `json:"since,omitempty"` // last day with usage
	Days  int       `json:"days,omitempty"`  // e.g. days of silence, used days, services gone, days of age
	Usual int       `json:"usual,omitempty"` // what Days is compared with: the longest earlier pause, used days before; of a stop the days it ran
	Of    int       `json:"of,omitempty"`    // out of, e.g. 28 days, 6 services
	Names []string  `json:"names,omitempty"` // e.g. the categories no longer used
}

// Schema is the schema of an assessment: nullable score and band exist only in
// state scored; idle_days is null when no usage is known at all.
func Schema() *arrow.Schema {
	text := arrow.BinaryTypes.String
	return arrow.NewSchema([]arrow.Field{
		{Name: "subscription_id", Type: data.DictType()},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "state", Type: data.DictType()},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "band", Type: data.DictType(), Nullable: true},
		{Name: "origin", Type: arrow.FixedWidthTypes.Date32},
		{Name: "horizon_days", Type: arrow.PrimitiveTypes.Int32},
		{Name: "calibrated", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "model", Type: data.DictType()},
		{Name: "idle_days", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "reasons", Type: text},
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
