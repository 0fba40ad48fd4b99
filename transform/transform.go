// Package transform turns archived columns into period metrics. What computes
// takes and returns Arrow records; sums are exact 128-bit integers, and one that
// does not fit is refused by name.
//
//  1. [Rollup] adds the raw usage of one day up to usage_daily rows, once, when
//     the day is extracted; [UsageSpan] finds the first and last usage days;
//  2. [Index] and [InputsWithoutMoney] cut the inputs down to
//     what a recipient may see, before anything is computed from them;
//  3. [Metrics] computes every metric of a period and of the period before it,
//     and the [Details] behind them where they are asked for; [Latest] gives
//     the subscriptions as of a day, for scores and owners.
//
// [Columns], [IDs] and [Sum] are what they are made of: columns found by name,
// texts as dense ids across dictionaries, and sums that no order can overflow.
//
// What a record holds is stated by the schemas in package data and by the
// field comments of [Tables]. Who calls a function that returns a record or a
// *Tables must Release it.
package transform

import (
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// Inputs is what the metrics of one period are computed from. The records are
// borrowed: Metrics neither keeps nor releases them.
type Inputs struct {
	Period data.Period

	// Watermark is the last day whose usage counts as complete; nil when no
	// usage is archived.
	Watermark *data.Day
	// Extracted are the days with a successful usage extraction, in order, days
	// with zero rows included. A day is known when it is one of them and not
	// after the watermark.
	Extracted []data.Day

	// NoMoney says that no cost may be computed, whatever columns there are.
	NoMoney bool

	// Daily holds usage_daily rows (data.UsageDailySchema) that cover at least
	// the period and the previous one; rows of other or unknown days are
	// ignored. Without the money columns no cost is computed. A record of days
	// before the previous period may go without unit, quantity and services, and
	// without what only metrics read: Metrics passes it over.
	Daily []arrow.Record

	// Raw holds rows of usage in place of Daily. Each is read by a goroutine of its own, and
	// how the rows are spread over them changes nothing. The figures are those of Daily,
	// if Daily was rolled up from these rows.
	Raw []RawRows

	// Others names customers with rows on days before those of Daily
	// (CustomersSchema); nil: nobody asks for them.
	Others arrow.Record

	// Inventory holds the snapshots that say what existed, oldest first: those
	// from the last one at or before the previous period's first day up to the
	// newest of all.
	Inventory []Snapshot
	// FirstSnapshot is the day of the archive's oldest inventory snapshot; nil
	// when there is none.
	FirstSnapshot *data.Day

	// Usage gives for each subscription the first and the last day with usage
	// at or before Period.To (UsageSpanSchema), as far as the archive knows.
	// Nil means that only Daily is known.
	Usage arrow.Record

	// History is what History made of the periods of Trend; nil: there are no
	// trends.
	History arrow.Record

	// Details asks for Tables.Details, which reports have no use for. The rows are
	// then read a second time, so Raw must yield them again.
	Details bool
}

// RawRows yields rows of usage with at least the columns of data.UsageSchema that are wanted. What
// is wanted shrinks on the way, so that it pays to ask again before each file, in the goroutine that
// yields the records.
type RawRows func(wanted func() []string) iter.Seq2[arrow.Record, error]

// Snapshot is the inventory that one extraction found.
type Snapshot struct {
	Day           data.Day
	Customers     arrow.Record // data.CustomersSchema
	Subscriptions arrow.Record // data.SubscriptionsSchema

	// Source is the MainSource of all customers, however few of them Customers has
	// left; empty: that of Customers.
	Source string
}

// Known returns the known days of p in order.
func (in Inputs) Known(p data.Period) []data.Day {
	var days []data.Day
	for _, d := range in.Extracted {
		if p.Contains(d) && in.IsKnown(d) {
			days = append(days, d)
		}
	}
	return days
}

// Until returns the last day of the period that can be known. There must be a
// watermark.
func (in Inputs) Until() data.Day { return min(in.Period.To, *in.Watermark) }

// IsKnown reports whether d was extracted and is not after the watermark.
func (in Inputs) IsKnown(d data.Day) bool {
	if in.Watermark == nil || d > *in.Watermark {
		return false
	}
	_, found := slices.BinarySearch(in.Extracted, d)
	return found
}

// UsageSpanSchema is the schema of Inputs.Usage.
func UsageSpanSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "subscription_id", Type: data.DictType()},
		{Name: "first_usage", Type: arrow.FixedWidthTypes.Date32},
		{Name: "last_usage", Type: arrow.FixedWidthTypes.Date32},
	}, nil)
}

// Tables holds the metrics of a period. The records belong to the caller of
// Metrics, who must Release the Tables. Columns marked ? may be null. The cost
// tables are nil for inputs without money columns.
//
// A count is null where the archive cannot know it, and reason says why:
// "not_observed_before: DATE", "no_known_day" (no day of the previous period
// that could be compared is known), "no_inventory" or "not_applicable"; it
// speaks of the value if that is null, else of the previous. An amount is null
// where rows exist and none states it, or where its previous is unknown; it is 0
// where there are no rows. Tax counts nowhere as cost.
type Tables struct {
	Period, Previous  data.Period
	Watermark         *data.Day
	KnownDays         int
	PreviousKnownDays int       // known days of the previous period, compared or not
	Complete          bool      // every day of both periods is known
	UsedSubscriptions [2]int64  // subscriptions with usage on the compared days of the period and of the previous one
	FirstUsageDay     *data.Day // first extracted day
	FirstSnapshot     *data.Day // nil without inventory

	Summary        arrow.Record // key, value? int64, previous? int64, reason?: one row per count of product
	Cost           arrow.Record // currency, value? decimal, previous? decimal: order by currency
	CostByCategory arrow.Record // category, currency, value?, previous?
	CostByCustomer arrow.Record // customer_id, currency, value?, previous?: those with a stated cost on either side
	CostByDay      arrow.Record // date, currency, value, previous?: known days of the period; previous is that of the same day of the previous period
	TopCustomers   arrow.Record // category?, rank int32, customer_id, currency?, cost?, previous?, quantity?, unit?: null category first
	WithoutUsage   arrow.Record // subscription_id, customer_id, name?, status, created?, last_usage?, days_idle? int32: longest idle first, never used last
	ChurnByDate    arrow.Record // date, active int64, deprovisioned int64, bridged bool: every day of the period, no row without inventory
	NewCustomers   arrow.Record // customer_id, since date: customers behind new_customers
	Trend          arrow.Record // period_from, period_to, known_days int64, customers_with_usage? int64, subscriptions_with_usage? int64: oldest first; null without a known day; nil without history
	Details        *Details     // nil unless Inputs.Details asks for them
	TrendCost      arrow.Record // period_from, category?, currency, value: in that order, null category over all and first; no row where no cost is known; nil without history
}
