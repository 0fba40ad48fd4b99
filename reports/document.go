package reports

import (
	"encoding/json"
	"time"

	"tidemark/data"
	"tidemark/transform/churn"
)

// Document is the numbers of a period for one scope. Its JSON is the output of
// `tidemark metrics --format json`: money as decimal strings, days in ISO form,
// the unknown as null. A document without money has no key about cost at all.
type Document struct {
	Coverage
	Summary
	Counts Counts `json:"counts"`
	*Costs        // nil: without money

	TopCustomers []TopCustomer  `json:"top_customers"`
	AtRisk       []AtRisk       `json:"at_risk"`
	WithoutUsage []WithoutUsage `json:"subscriptions_without_usage"`
	ChurnByDate  []ChurnDay     `json:"churn_by_date"`

	Details *Details `json:"details,omitempty"` // nil unless Portfolio.Inputs.Details asks for them

	Background Background `json:"-"`
}

// Coverage says which days the numbers are about and what was known.
type Coverage struct {
	Period            data.Period      `json:"period"`
	Previous          data.Period      `json:"previous"`
	Watermark         *data.Day        `json:"watermark"`
	KnownDays         int              `json:"known_days"`
	PreviousKnownDays int              `json:"previous_known_days"`
	Complete          bool             `json:"complete"`
	KnownAt           time.Time        `json:"known_at"`
	Versions          map[string]int64 `json:"versions"`
}

// Count is a number with that of the previous period. Value and Previous are
// nil where the archive cannot know them; Reason then says why.
type Count struct {
	Value    *int64   `json:"value"`
	Previous *int64   `json:"previous"`
	Change   *float64 `json:"change"` // (value - previous) / previous, four decimals
	Reason   *string  `json:"reason"` // e.g. "not_observed_before: 2026-11-02"
}

// Summary holds the counts of the page's summary.
type Summary struct {
	SubscriptionsSold     Count `json:"subscriptions_sold"`
	CustomersWithUsage    Count `json:"customers_with_usage"`
	CustomersWithoutUsage Count `json:"customers_without_usage"`
	NewCustomers          Count `json:"new_customers"`
	SubscriptionsRenewed  Count `json:"subscriptions_renewed"`
}

// Counts holds the further counts.
type Counts struct {
	AtRiskHigh    Count `json:"at_risk_high"`
	WithoutUsage  Count `json:"subscriptions_without_usage"`
	ActiveAtEnd   Count `json:"active_at_end"`
	Deprovisioned Count `json:"deprovisioned"`
}

// Costs holds what only a document with money has.
type Costs struct {
	Cost       []Cost         `json:"cost"`
	ByCategory []CategoryCost `json:"cost_by_category"`
	ByDay      []DayCost      `json:"cost_by_day"`
}

// Cost is the cost in one currency.
type Cost struct {
	Currency string        `json:"currency"`
	Value    *data.Decimal `json:"value"`
	Previous *data.Decimal `json:"previous"`
	Change   *float64      `json:"change"`
}

// by is how much the cost changed; known is false where it is not known.
func (c Cost) by() (change data.Decimal, known bool) {
	if c.Value == nil || c.Previous == nil {
		return change, false
	}
	return c.Value.Sub(*c.Previous)
}

// share is the change as a share of what it was; nil where that is unknown, or not above
// zero, since of a credit a share says nothing.
func (c Cost) share() *float64 {
	if c.Previous == nil || c.Previous.Sign() <= 0 {
		return nil
	}
	return c.Change
}

// CategoryCost is the cost of one category in one currency.
type CategoryCost struct {
	Category string `json:"category"`
	Cost
}

// CustomerCost is the cost of one customer in one currency.
type CustomerCost struct {
	CustomerID data.CustomerID
	Cost
}

// DayCost is the cost of one known day in one currency.
type DayCost struct {
	Date     data.Day     `json:"date"`
	Currency string       `json:"currency"`
	Value    data.Decimal `json:"value"`

	Previous *data.Decimal `json:"-"` // of the same day of the previous period; nil: unknown
}

// TopCustomer is a customer's place in a category, or over all categories when
// Category is nil. It is ranked by cost in one currency, or by quantity in one
// unit.
type TopCustomer struct {
	Category   *string         `json:"category"`
	Rank       int             `json:"rank"`
	CustomerID data.CustomerID `json:"customer_id"`
	Name       Name            `json:"name"`
	*TopCost                   // nil: without money
	Previous   *data.Decimal   `json:"previous"`
	Quantity   *data.Decimal   `json:"quantity"`
	Unit       *string         `json:"unit"`
}

// TopCost is the cost a customer is ranked by; both are nil in a ranking by
// quantity.
type TopCost struct {
	Currency *string       `json:"currency"`
	Cost     *data.Decimal `json:"cost"`
}

// Name is a name as archived; one that is unknown is empty, and null in JSON.
type Name string

// MarshalJSON writes null for an unknown name.
func (n Name) MarshalJSON() ([]byte, error) {
	if n == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(n))
}

// AtRisk is the risk of one subscription.
type AtRisk struct {
	SubscriptionID data.SubscriptionID `json:"subscription_id"`
	CustomerID     data.CustomerID     `json:"customer_id"`
	Name           Name                `json:"name"`
	State          churn.State         `json:"state"`
	Score          *float64            `json:"score"` // four decimals
	Band           *churn.Band         `json:"band"`
	Origin         data.Day            `json:"origin"`
	HorizonDays    int                 `json:"horizon_days"`
	Calibrated     bool                `json:"calibrated"`
	Model          string              `json:"model"`
	BaseRate       *float64            `json:"base_rate"`              // mean score of the portfolio, four decimals
	Reasons        []Reason            `json:"reasons"`                // at most three, the strongest first
	WhyNow         *WhyNow             `json:"why_now"`                // null: it did not rise in the last week
	Flags          []Flag              `json:"flags"`                  // facts of the contract, beside the score
	MonthlyCost    []data.Money        `json:"monthly_cost,omitzero"`  // nil: without money
	ExpectedLoss   []data.Money        `json:"expected_loss,omitzero"` // monthly cost times score

	IdleDays *int `json:"-"` // nil: no usage known at all
	Quiet    bool `json:"-"` // the whole portfolio was quieter in the last week
}

// WhyNow says which finding made a score rise since a week before.
type WhyNow struct {
	Code   string  `json:"code"`
	Before float64 `json:"before"`
}

// Flag is a fact of the contract.
type Flag struct {
	Code string `json:"code"`
	Text string `json:"text"` // in the document's language

	Finding churn.Flag `json:"-"`
}

// Reason is one finding behind a score.
type Reason struct {
	Code string `json:"code"`
	Text string `json:"text"` // in the document's language

	Finding churn.Reason `json:"-"`
}

// WithoutUsage is a subscription that existed in the period, is active, and
// had no usage on the known days.
type WithoutUsage struct {
	SubscriptionID data.SubscriptionID `json:"subscription_id"`
	CustomerID     data.CustomerID     `json:"customer_id"`
	Name           Name                `json:"name"`
	Status         data.Status         `json:"status"`
	Created        *data.Day           `json:"created"`
	LastUsage      *data.Day           `json:"last_usage"`
	DaysIdle       *int                `json:"days_idle"`
}

// ChurnDay is what was active and what ended on one day.
type ChurnDay struct {
	Date          data.Day `json:"date"`
	Active        int64    `json:"active"`
	Deprovisioned int64    `json:"deprovisioned"`
}

// Background is what reports say beside the numbers. It is not part of the
// JSON.
type Background struct {
	Language      string // of Reason.Text, e.g. "en"
	Money         bool
	Customers     map[data.CustomerID]Customer         // those in scope
	Subscriptions map[data.SubscriptionID]Subscription // of those customers
	New           map[data.CustomerID]data.Day         // customers behind new_customers, and since when
	MonthlyCost   map[data.SubscriptionID][]data.Money // nil without money
	CustomerCost  []CustomerCost                       // of every customer with a cost in either period; nil without money

	Scored         bool                                 // the end of the period could be scored
	PreviousScored bool                                 // so could the end of the previous period
	NoSignal       bool                                 // nothing is scored, because past churn did not follow usage
	PreviousRisk   map[data.SubscriptionID]PreviousRisk // at that end

	Trend []TrendPeriod                    // the period and those before it, the oldest first; empty: not asked for
	Days  map[data.CustomerID]CustomerDays // of the subscriptions at risk of customers to call, on Known
	Known []data.Day                       // known days of the last weeks, up to the end of the period

	Compared      Compared
	FirstSnapshot *data.Day // the oldest inventory snapshot
	Seal          string
	Freshness     Freshness // failed customers in scope only
}

// Customer is what reports say about a customer.
type Customer struct {
	Name, Contact, Phone, Email string // as archived; empty: unknown
}

// Subscription is what reports say about a subscription.
type Subscription struct {
	CustomerID data.CustomerID
	Name       string      // as archived; empty: unknown
	Status     data.Status // on the last day of the period
	Created    *data.Day
	Endings    []data.Day // on which it was suspended or deprovisioned up to then, the first first
}

// PreviousRisk is the risk of a subscription at the end of an earlier period.
type PreviousRisk struct {
	State churn.State
	Score *float64
	Band  churn.Band // empty without a score
}

// TrendPeriod is what is known of one period of the trend.
type TrendPeriod struct {
	Period        data.Period
	Known         int    // days
	Customers     *int64 // with usage; nil: no day is known
	Subscriptions *int64 // with usage
	Cost          []TrendCost
}

// Complete reports whether every day of the period is known: others are compared
// with nothing.
func (p TrendPeriod) Complete() bool { return p.Known == p.Period.Days() }

// TrendCost is the cost of a category in one currency, or of all of them.
type TrendCost struct {
	Category *string      `json:"category"` // nil: all
	Currency string       `json:"currency"`
	Value    data.Decimal `json:"value"`
}

// CustomerDays is how much of Azure subscriptions of a customer used, day by day.
type CustomerDays struct {
	Services map[data.Day]int64                   // used on a day
	Cost     map[string]map[data.Day]data.Decimal // of what was used, by currency; nil without money
}
