package fakemicrosoft

import (
	"iter"
	"time"
)

// Partner is what Microsoft knows of one partner: the truth that a Server tells.
type Partner struct {
	TenantID   string // 9d0c1f5e-...
	Name       string
	MpnID      string // 4812345
	Customers  []*Customer
	Currencies []string  // billing currencies that have usage
	Invoices   []Invoice // billed months, oldest first
	Usage      Usage     // daily rated usage; nil means none
	Directory  Directory // the partner's own people
}

// Customer is a customer of the partner.
type Customer struct {
	ID            string // the customer's tenant
	Name          string
	Domain        string
	Country       string // NL
	Relationship  string // reseller; none: the relationship was ended
	Currency      string // in which this customer's usage is billed
	Subscriptions []*Subscription
	// Refuse, if set, answers every call below this customer.
	Refuse *Refusal
}

// Refusal is an error answer in the Partner Center API's usual shape.
type Refusal struct {
	Status      int    // 403
	Code        string // 20002
	Description string
}

// Subscription is a commerce subscription: an Azure plan with Azure subscriptions
// inside, a legacy Azure offer, or licences.
type Subscription struct {
	ID                string // for an Azure plan: the plan, not an Azure subscription
	OfferID           string // DZH318Z0BPS6:0001:..., MS-AZR-0145P
	OfferName         string
	FriendlyName      string
	Status            string // active; one that nobody knows is sent as it stands
	BillingType       string // usage, license
	BillingCycle      string // monthly
	TermDuration      string // P1M, P1Y, P3Y
	EntitlementID     string // legacy Azure: the Azure subscription
	Created           time.Time
	EffectiveStart    time.Time
	CommitmentEnd     time.Time
	AutoRenew         bool
	Trial             bool
	SuspensionReasons []string
	PartnerID         string
	Quantity          int
	Entitlements      []*Entitlement
}

// Plan tells whether s is an Azure plan.
func (s *Subscription) Plan() bool { return len(s.OfferID) >= 17 && s.OfferID[:17] == PlanOffer }

// Legacy tells whether s is a legacy Azure subscription.
func (s *Subscription) Legacy() bool { return s.OfferID == LegacyOffer }

// Offers of Azure; an Azure plan's offer goes on behind a colon.
const (
	PlanOffer   = "DZH318Z0BPS6:0001"
	LegacyOffer = "MS-AZR-0145P"
)

// Entitlement is an Azure subscription inside an Azure plan.
type Entitlement struct {
	ID           string
	FriendlyName string
	Status       string
}

// Invoice is a billed month in one currency.
type Invoice struct {
	ID       string // G000000001
	Currency string
	Month    time.Time // its first day
}

// Feed names one export of rated usage: a currency and a period, or an invoice.
type Feed struct {
	Currency string
	Period   string // current, last
	Invoice  string
	Version  int       // 1 at first; one more after each change of the eTag
	Today    time.Time // the server's clock
}

// Usage is daily rated usage, cut into blobs.
type Usage interface {
	// Blobs returns the number of blobs of f; 0 means that there is no data.
	Blobs(f Feed) int
	// Lines yields the lines of one blob. A line is good until the next.
	Lines(f Feed, blob int) iter.Seq[*Line]
}

// Fixed is usage written down by hand. Version and Today of its keys are zero.
type Fixed map[Feed][]Line

// Blobs returns 1 for a feed with lines.
func (u Fixed) Blobs(f Feed) int { return min(1, len(u[f.key()])) }

// Lines yields the lines of a feed.
func (u Fixed) Lines(f Feed, _ int) iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		lines := u[f.key()]
		for i := range lines {
			if !yield(&lines[i]) {
				return
			}
		}
	}
}

func (f Feed) key() Feed { return Feed{Currency: f.Currency, Period: f.Period, Invoice: f.Invoice} }
