package partnercenter

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/microsoft"
)

// add adds an Azure subscription to what was read of its customer.
func (r *result) add(p plan, e entitlement) {
	status, known := statusOf(e.Status)
	if !known {
		r.unknown = append(r.unknown, microsoft.Shorten(string(e.Status)))
	}
	if of, _ := statusOf(p.Status); status == data.StatusActive && of.Ended() {
		status = of // nothing runs in a plan that is suspended
	}
	row := data.Subscription{
		SubscriptionID: data.SubscriptionID(data.CleanID(string(e.ID))), CustomerID: r.customer,
		Name: data.Optional(clean(e.FriendlyName)), Offer: data.Optional(clean(p.OfferName)),
		Status: status, AutoRenew: p.AutoRenew, Trial: p.Trial, CommitmentEnd: dayOf(p.End),
	}
	if !p.old() {
		row.PlanID = data.Optional(data.CleanID(string(p.ID)))
	}
	if row.Created = dayOf(p.Created); row.Created != nil {
		basis := data.BasisPlan
		if p.old() {
			basis = data.BasisSource
		}
		row.CreatedBasis = &basis
	}
	r.rows = append(r.rows, row)
}

// statusOf maps a status of Partner Center. One that nobody knows is
// [data.StatusUnknown], and known is false.
func statusOf(t text) (s data.Status, known bool) {
	switch data.CleanID(string(t)) {
	case "active":
		return data.StatusActive, true
	case "suspended", "disabled":
		return data.StatusSuspended, true
	case "deleted":
		return data.StatusDeprovisioned, true
	case "expired":
		return data.StatusExpired, true
	case "pending":
		return data.StatusPending, true
	case "", "none":
		return data.StatusUnknown, true
	}
	return data.StatusUnknown, false
}

// farAway is from when on a date means "never".
const farAway = 2200

// dayOf reads a time of Partner Center, with or without an offset: without one
// it is UTC. One that cannot be read, or that means never, is nil.
func dayOf(t text) *data.Day {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateOnly} {
		at, err := time.Parse(layout, strings.TrimSpace(string(t)))
		if err != nil {
			continue
		}
		if at = at.UTC(); at.Year() < 1990 || at.Year() >= farAway {
			return nil
		}
		day := data.DayOf(at)
		return &day
	}
	return nil
}

// onlyOnce gives each subscription to one customer: one that moved to another is
// listed by both for a while, and counts where it is active.
func onlyOnce(results []result) (rows map[data.CustomerID][]data.Subscription, dropped map[string]int) {
	type place struct{ customer, row int }
	at := map[data.SubscriptionID]place{}
	dropped = map[string]int{}
	for c, r := range results {
		for i, row := range r.rows {
			switch first, found := at[row.SubscriptionID]; {
			case row.SubscriptionID == "":
				dropped["subscription without an id"]++
			case !found:
				at[row.SubscriptionID] = place{c, i}
			default:
				if row.Status == data.StatusActive && results[first.customer].rows[first.row].Status != data.StatusActive {
					at[row.SubscriptionID] = place{c, i}
				}
				if first.customer != c { // within one customer it is a page that came twice
					dropped["subscription listed for a second customer"]++
				}
			}
		}
	}
	rows = map[data.CustomerID][]data.Subscription{}
	for _, id := range slices.Sorted(maps.Keys(at)) {
		p := at[id]
		r := results[p.customer]
		rows[r.customer] = append(rows[r.customer], r.rows[p.row])
	}
	return rows, dropped
}
