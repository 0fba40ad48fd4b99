package jobs

import (
	"fmt"
	"math"

	"tidemark/data"
	"tidemark/reports"
)

// Brake stops a batch of mails that looks wrong before the first one leaves: it
// is compared with the last one that was sent. A share of 0 means the default.
type Brake struct {
	MaxChange        float64 // of cost in a currency and of active subscriptions, default 0.40
	MaxUsageDrop     float64 // of customers with usage, default 0.20
	MaxRecipientDrop float64 // of recipients, default 0.50
	MaxAssignedDrop  float64 // of customers assigned to sales agents, default 0.20
}

// Batch is what the brake compares. It is stored with the run.
type Batch struct {
	Role       string                  `json:"role"`
	Period     data.Period             `json:"period"`
	Cost       map[string]data.Decimal `json:"cost"` // by currency
	Active     *int64                  `json:"active_subscriptions"`
	WithUsage  *int64                  `json:"customers_with_usage"`
	Recipients int                     `json:"recipients"`
	Assigned   int                     `json:"assigned_customers"` // to a sales agent; 0: not counted
}

// BatchOf describes the whole portfolio behind a batch.
func BatchOf(doc *reports.Document, role string, recipients int) Batch {
	b := Batch{Role: role, Period: doc.Period, Cost: map[string]data.Decimal{}, Active: doc.Counts.ActiveAtEnd.Value,
		WithUsage: doc.CustomersWithUsage.Value, Recipients: recipients}
	if doc.Costs != nil {
		for _, c := range doc.Cost {
			if c.Value != nil {
				b.Cost[c.Currency] = *c.Value
			}
		}
	}
	return b
}

// Check returns every reason to hold the batch; none means that it may go.
func (k Brake) Check(now, before Batch) []string {
	orElse := func(v, standard float64) float64 {
		if v == 0 {
			return standard
		}
		return v
	}
	change, drop, half := orElse(k.MaxChange, .40), orElse(k.MaxUsageDrop, .20), orElse(k.MaxRecipientDrop, .50)
	// Costs of periods of different length are compared by the day.
	days, daysBefore := float64(now.Period.Days()), float64(before.Period.Days())
	var why []string
	for currency, was := range before.Cost {
		is := now.Cost[currency]
		if c := ratio(is.Float64()/days, was.Float64()/daysBefore); math.Abs(c) > change {
			why = append(why, fmt.Sprintf("cost in %s changed by %+.0f %%: %s, was %s", currency, 100*c, is, was))
		}
	}
	if now.Active != nil && before.Active != nil {
		if c := ratio(float64(*now.Active), float64(*before.Active)); math.Abs(c) > change {
			why = append(why, fmt.Sprintf("active subscriptions changed by %+.0f %%: %d, were %d", 100*c, *now.Active, *before.Active))
		}
	}
	if now.WithUsage != nil && before.WithUsage != nil {
		if c := ratio(float64(*now.WithUsage), float64(*before.WithUsage)); -c > drop {
			why = append(why, fmt.Sprintf("customers with usage fell by %.0f %%: %d, were %d", -100*c, *now.WithUsage, *before.WithUsage))
		}
	}
	if c := ratio(float64(now.Recipients), float64(before.Recipients)); -c >= half {
		why = append(why, fmt.Sprintf("recipients fell by %.0f %%: %d, were %d", -100*c, now.Recipients, before.Recipients))
	}
	if before.Assigned > 0 {
		if c := ratio(float64(now.Assigned), float64(before.Assigned)); -c >= orElse(k.MaxAssignedDrop, .20) {
			why = append(why, fmt.Sprintf("the ownership assigns %.0f %% fewer customers: %d, were %d", -100*c, now.Assigned, before.Assigned))
		}
	}
	return why
}

// ratio is the change of a number relative to before; without a before there is
// nothing to compare.
func ratio(now, before float64) float64 {
	if before == 0 {
		return 0
	}
	return now/before - 1
}
