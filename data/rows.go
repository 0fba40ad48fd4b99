package data

// The row types, as sources yield them and as parquet-go writes them. A column
// that may be unknown is a pointer: parquet-go turns the zero of an optional
// plain value into NULL, and a cost of 0 and an unknown cost are different
// facts. The partition day is not in the file (Delta's convention).

// Usage is what one meter measured, or one charge, on one day. Several rows may
// share all keys; they are added.
type Usage struct {
	Day Day `parquet:"-"` // UTC day of the usage

	CustomerID     CustomerID      `parquet:"customer_id,dict"`
	SubscriptionID *SubscriptionID `parquet:"subscription_id,optional,dict"` // nil: the cost counts for the customer only
	Category       string          `parquet:"category,dict"`                 // Azure meter category, else FOCUS ServiceCategory; "" = none given
	Service        *string         `parquet:"service,optional,dict"`
	MeterID        *string         `parquet:"meter_id,optional,dict"`
	Region         *string         `parquet:"region,optional,dict"`
	Unit           *string         `parquet:"unit,optional,dict"`
	Currency       string          `parquet:"currency,dict"` // ISO 4217 in upper case
	ChargeCategory ChargeCategory  `parquet:"charge_category,dict"`
	BillingPeriod  *string         `parquet:"billing_period,optional,dict"` // e.g. "2026-11"
	Quantity       *Decimal        `parquet:"quantity,optional,decimal(18:38)"`
	Cost           *Decimal        `parquet:"cost,optional,decimal(18:38)"`
	EffectiveCost  *Decimal        `parquet:"effective_cost,optional,decimal(18:38)"` // amortised; churn features use it
	CostUSD        *Decimal        `parquet:"cost_usd,optional,decimal(18:38)"`

	// Microsoft's partner earned credit, already taken off the cost. FOCUS has it
	// as x_PartnerCreditApplied and x_PartnerCreditRate, the billing export of
	// Partner Center as PartnerEarnedCreditPercentage.
	PartnerCreditApplied *bool    `parquet:"partner_credit_applied,optional"`
	PartnerCreditRate    *Decimal `parquet:"partner_credit_rate,optional,decimal(18:38)"` // share of the price, 0.15 for 15 %

	Origin Origin `parquet:"-"`
}

// Origin is what a source knows about where a usage row comes from, beside the
// row itself. It is not stored with the row.
type Origin struct {
	Scope            string  // part of the source restated as a whole, e.g. a billing account; "" = the source as one
	CustomerName     *string // a name the usage carries, for sources without inventory
	SubscriptionName *string
}

// UsageDaily is the rollup of one customer's usage on one day: one row per
// distinct key of the first six fields. Sums are null where no row had a value.
type UsageDaily struct {
	Day Day `parquet:"-"`

	CustomerID     CustomerID      `parquet:"customer_id,dict"`
	SubscriptionID *SubscriptionID `parquet:"subscription_id,optional,dict"`
	Category       string          `parquet:"category,dict"`
	Unit           *string         `parquet:"unit,optional,dict"`
	Currency       string          `parquet:"currency,dict"`
	ChargeCategory ChargeCategory  `parquet:"charge_category,dict"`

	Cost          *Decimal `parquet:"cost,optional,decimal(18:38)"`
	EffectiveCost *Decimal `parquet:"effective_cost,optional,decimal(18:38)"`
	CostUSD       *Decimal `parquet:"cost_usd,optional,decimal(18:38)"`
	Quantity      *Decimal `parquet:"quantity,optional,decimal(18:38)"`

	Rows      int64 `parquet:"rows"`       // usage rows rolled up
	UsageRows int64 `parquet:"usage_rows"` // of them with charge category usage and quantity > 0
	CostRows  int64 `parquet:"cost_rows"`  // of them with a cost
	USDRows   int64 `parquet:"usd_rows"`   // of these with a cost in USD, too
	Services  int32 `parquet:"services"`   // distinct services
}

// UsagePast is what usage_daily comes to from the first day that it has up to a day: one row
// for each subscription that has rows, with Appeared; one for each of its currencies, with
// Currency and Cost; and one without a subscription for each category that was used by one.
type UsagePast struct {
	Until Day `parquet:"-"`

	SubscriptionID *SubscriptionID `parquet:"subscription_id,optional,dict"`
	Category       *string         `parquet:"category,optional,dict"`
	Currency       *string         `parquet:"currency,optional,dict"`

	Appeared   *int32 `parquet:"appeared,optional"`         // as which of the subscriptions it came first, counted from 0
	FirstUsage *Day   `parquet:"first_usage,optional,date"` // of the subscription or the category; nil: never used
	LastUsage  *Day   `parquet:"last_usage,optional,date"`
	// Used has a character for each day from FirstUsage to LastUsage: 1 for one with usage.
	Used *string `parquet:"used,optional"`
	// Cost is what the usage of the days cost, effective where that is known and a day's never
	// below 0: the days added up in their order as 64-bit floating point, in the fewest digits that give it back.
	Cost *string `parquet:"cost,optional"`
}

// Customer is one customer as an inventory snapshot found it.
type Customer struct {
	CustomerID CustomerID `parquet:"customer_id,dict"`
	Name       *string    `parquet:"name,optional"`
	Domain     *string    `parquet:"domain,optional"`
	Country    *string    `parquet:"country,optional,dict"`
	FirstSeen  *Day       `parquet:"first_seen,optional,date"`
	Contact    *string    `parquet:"contact,optional"`
	Phone      *string    `parquet:"phone,optional"`
	Email      *string    `parquet:"email,optional"`
	Source     string     `parquet:"source,dict"` // the source's kind, e.g. "tables"

	// What could not be read of the customer's subscriptions, which then are the
	// last ones known: all nil when they were read.
	Refused       *string `parquet:"refused,optional,dict"`       // why, e.g. "403 20002"
	RefusedSince  *Day    `parquet:"refused_since,optional,date"` // first snapshot of those that were refused for this reason
	RefusedNights *int32  `parquet:"refused_nights,optional"`     // how many these are; 0 for a cause that passes
}

// UnreachableNights is after how many snapshots with the same permanent refusal
// a customer is no longer expected.
const UnreachableNights = 3

// Unreachable reports whether the customer is no longer expected to be read.
func (c Customer) Unreachable() bool {
	return c.RefusedNights != nil && *c.RefusedNights >= UnreachableNights
}

// Subscription is one Azure subscription as an inventory snapshot found it.
type Subscription struct {
	SubscriptionID SubscriptionID `parquet:"subscription_id,dict"`
	CustomerID     CustomerID     `parquet:"customer_id,dict"`
	PlanID         *string        `parquet:"plan_id,optional,dict"`
	Name           *string        `parquet:"name,optional"`
	Offer          *string        `parquet:"offer,optional,dict"`
	Status         Status         `parquet:"status,dict"`
	Created        *Day           `parquet:"created,optional,date"`
	CreatedBasis   *Basis         `parquet:"created_basis,optional,dict"` // nil when Created is nil
	CommitmentEnd  *Day           `parquet:"commitment_end,optional,date"`
	AutoRenew      *bool          `parquet:"auto_renew,optional"`
	RenewedAt      *Day           `parquet:"renewed_at,optional,date"`
	EndedAt        *Day           `parquet:"ended_at,optional,date"` // the day it became suspended or deprovisioned
	Trial          *bool          `parquet:"trial,optional"`
	FirstUsage     *Day           `parquet:"first_usage,optional,date"` // kept up at extraction, not read from a source
	LastUsage      *Day           `parquet:"last_usage,optional,date"`
}

// Report is one mail that was built: what it said, to whom, and from what it was
// made, so that it can be told years later how a number in it came about.
type Report struct {
	Day Day `parquet:"-"` // UTC day on which it was built

	ReportID   string  `parquet:"report_id"`
	MessageID  string  `parquet:"message_id"` // without brackets
	Role       string  `parquet:"role,dict"`
	Recipient  string  `parquet:"recipient"` // address in lower case
	Edition    int32   `parquet:"edition"`   // above 0 for what was sent again
	Job        *string `parquet:"job,optional,dict"`
	Slot       *string `parquet:"slot,optional"` // nominal time of the job's run, RFC 3339
	PeriodFrom Day     `parquet:"period_from,date"`
	PeriodTo   Day     `parquet:"period_to,date"`
	Scope      string  `parquet:"scope"`    // JSON array of the customer ids in it, sorted
	Versions   string  `parquet:"versions"` // JSON object: version of each table it was computed from
	KnownAt    string  `parquet:"known_at"` // of the newest of them, RFC 3339
	Seal       string  `parquet:"seal"`     // over those versions
	Model      *string `parquet:"model,optional,dict"`
	Previous   *string `parquet:"previous_report,optional"` // the report before of this role and person
	Config     *string `parquet:"config_sha256,optional"`   // of the files that it was made with, under inputs/
	Ownership  *string `parquet:"ownership_sha256,optional"`
	Recipients *string `parquet:"recipients_sha256,optional"`
	Producer   string  `parquet:"producer,dict"`
	Request    string  `parquet:"request"`    // JSON: everything else that the mail was made from
	Document   string  `parquet:"document"`   // JSON: its numbers, as `metrics --format json` has them
	Digest     string  `parquet:"digest"`     // JSON: its finished texts
	EMLSHA256  string  `parquet:"eml_sha256"` // of the sealed bytes, under mails/
}

// Score is the assessment of one subscription as of a day, as somebody was told it.
type Score struct {
	Day Day `parquet:"-"` // UTC day that the score is as of

	CustomerID     CustomerID     `parquet:"customer_id,dict"`
	SubscriptionID SubscriptionID `parquet:"subscription_id,dict"`
	Horizon        int32          `parquet:"horizon_days"`
	State          string         `parquet:"state,dict"`                    // e.g. "scored"
	Score          *Decimal       `parquet:"score,optional,decimal(18:38)"` // probability with four decimals; nil without one
	Band           *string        `parquet:"band,optional,dict"`            // e.g. "High"
	Model          string         `parquet:"model,dict"`                    // its name; of a trained one the SHA-256 of its file under models/
	IdleDays       *int32         `parquet:"idle_days,optional"`            // nil: no usage known at all
	Reasons        string         `parquet:"reasons"`                       // JSON array
	Flags          string         `parquet:"flags"`                         // JSON array, facts of the contract
	Detail         *string        `parquet:"detail,optional"`               // JSON object: logit, contributions, features, base rate, why now
	Versions       string         `parquet:"versions,dict"`                 // JSON object: version of each table it was computed from
	KnownAt        string         `parquet:"known_at,dict"`                 // of the newest of them, RFC 3339
	Producer       string         `parquet:"producer,dict"`
}

// Training is one run of `churn train`: what it made, and which model was in use afterwards.
type Training struct {
	Day Day `parquet:"-"` // UTC day on which it ran

	TrainedAt string `parquet:"trained_at"`   // RFC 3339
	Model     string `parquet:"model_sha256"` // of the file under models/
	Used      string `parquet:"used"`         // SHA-256 of the model in use from then on, or "prior"
	Why       string `parquet:"why"`
	Horizon   int32  `parquet:"horizon_days"`
	Training  string `parquet:"training"` // JSON object: rows, events, accuracy
	Versions  string `parquet:"versions"`
	KnownAt   string `parquet:"known_at"`
	Producer  string `parquet:"producer"`
}

// Optional returns nil for an empty text and else a pointer to it: in every
// source an empty field means unknown.
func Optional[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}
