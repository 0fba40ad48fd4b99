package transform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

func (o *oracle) periodOf(side int) data.Period {
	if side == 0 {
		return o.period
	}
	return o.prev
}

// withUsage returns what a key says of the rows with usage on a side.
func (o *oracle) withUsage(side int, key func(data.UsageDaily) string) map[string]bool {
	out := map[string]bool{}
	for _, r := range o.rows(side, func(r data.UsageDaily) bool { return r.UsageRows > 0 }) {
		out[key(r)] = true
	}
	return out
}

func (o *oracle) customersUsed(side int) map[string]bool {
	return o.withUsage(side, func(r data.UsageDaily) string { return string(r.CustomerID) })
}

func (o *oracle) withoutUsageIDs(side int) (out []data.SubscriptionID) {
	used := o.withUsage(side, func(r data.UsageDaily) string {
		if r.SubscriptionID == nil {
			return ""
		}
		return string(*r.SubscriptionID)
	})
	last := o.days[side][len(o.days[side])-1]
	for _, id := range o.subs {
		if o.existed(id, o.periodOf(side)) && o.status(id, last) == data.StatusActive && !used[string(id)] {
			out = append(out, id)
		}
	}
	return out
}

func (o *oracle) newCustomers(side int) map[string]data.Day {
	first, out := map[string]data.Day{}, map[string]data.Day{}
	for _, id := range o.subs {
		x := o.newest(id)
		d := data.Day(-1 << 30) // unknown: long ago
		if x.Created != nil {
			d = *x.Created
		}
		if before, found := first[string(x.CustomerID)]; !found || d < before {
			first[string(x.CustomerID)] = d
		}
	}
	for id, d := range first {
		if o.periodOf(side).Contains(d) {
			out[id] = d
		}
	}
	return out
}

func (o *oracle) firstDay() data.Day {
	if o.firstSnapshot != nil {
		return *o.firstSnapshot
	}
	return o.snapshots[0].day
}

// renewals returns the plans renewed on a side, or why that is unknown.
func (o *oracle) renewals(side int) (plans map[string]bool, reason string) {
	p := o.periodOf(side)
	terms, dates := false, false
	plans = map[string]bool{}
	for _, id := range o.subs {
		h, _ := o.history(id)
		x := o.newest(id)
		plan := "subscription " + string(id)
		if x.PlanID != nil {
			plan = "plan " + *x.PlanID
		}
		dates = dates || x.RenewedAt != nil
		if x.RenewedAt != nil && p.Contains(*x.RenewedAt) {
			plans[plan] = true
		}
		var end *data.Day
		for i, s := range h {
			terms = terms || s.row.CommitmentEnd != nil || s.row.RenewedAt != nil
			e := s.row.CommitmentEnd
			if e == nil {
				continue
			}
			if end != nil && *e > *end && p.Contains(s.day) &&
				(x.RenewedAt == nil || *x.RenewedAt < h[i-1].day || *x.RenewedAt > s.day) {
				plans[plan] = true
			}
			end = e
		}
	}
	switch {
	case !terms:
		return nil, "not_applicable"
	case !dates && p.To <= o.firstDay():
		return nil, "not_observed_before: " + o.firstDay().String()
	}
	return plans, ""
}

func (o *oracle) deprovisioned(side int) (n int, reason string) {
	stated := false
	for _, id := range o.subs {
		stated = stated || o.stated(id) != nil
		for d := range o.endings(id) {
			n += btoi(o.periodOf(side).Contains(d))
		}
	}
	if !stated && o.periodOf(side).To <= o.firstDay() {
		return 0, "not_observed_before: " + o.firstDay().String()
	}
	return n, ""
}

func (o *oracle) active(d data.Day) (n int) {
	for _, id := range o.subs {
		n += btoi(o.status(id, d) == data.StatusActive)
	}
	return n
}

func (o *oracle) customersWithoutUsage(side int) int {
	owners := map[string]bool{}
	for _, id := range o.subs {
		if o.existed(id, o.periodOf(side)) {
			owners[string(o.newest(id).CustomerID)] = true
		}
	}
	maps.DeleteFunc(owners, func(id string, _ bool) bool { return o.customersUsed(side)[id] })
	return len(owners)
}

func (o *oracle) sold(side int) (n int) {
	for _, id := range o.subs {
		created := o.newest(id).Created
		n += btoi(created != nil && o.periodOf(side).Contains(*created))
	}
	return n
}

func (o *oracle) summary() []string {
	out := []string{}
	count := func(key string, inventory, compared bool, of func(side int) (int, string)) {
		var cells [2]string
		why := "null"
		for side := range 2 {
			n, reason := 0, ""
			switch {
			case inventory && len(o.snapshots) == 0:
				reason = "no_inventory"
			case compared && side == 1 && o.unknown != "":
				reason = o.unknown
			default:
				n, reason = of(side)
			}
			cells[side] = fmt.Sprint(n)
			if reason != "" {
				cells[side] = "null"
				if why == "null" {
					why = fmt.Sprintf("%q", reason)
				}
			}
		}
		out = append(out, fmt.Sprintf("%q|%s|%s|%s", key, cells[0], cells[1], why))
	}
	plain := func(of func(int) int) func(int) (int, string) {
		return func(side int) (int, string) { return of(side), "" }
	}
	count("subscriptions_sold", true, false, plain(o.sold))
	count("customers_with_usage", false, true, plain(func(side int) int { return len(o.customersUsed(side)) }))
	count("customers_without_usage", true, true, plain(o.customersWithoutUsage))
	count("new_customers", true, false, plain(func(side int) int { return len(o.newCustomers(side)) }))
	count("subscriptions_renewed", true, false, func(side int) (int, string) {
		plans, reason := o.renewals(side)
		return len(plans), reason
	})
	count("subscriptions_without_usage", true, true, plain(func(side int) int { return len(o.withoutUsageIDs(side)) }))
	count("active_at_end", true, false, plain(func(side int) int { return o.active(o.periodOf(side).To) }))
	count("deprovisioned", true, false, o.deprovisioned)
	return out
}

// lastUsed returns the last usage of a subscription.
func (o *oracle) lastUsed(id data.SubscriptionID) (last *data.Day) {
	if o.span != nil {
		if p, found := o.span[id]; found {
			return &p.To
		}
		return nil
	}
	for _, r := range o.daily {
		if r.SubscriptionID != nil && *r.SubscriptionID == id && r.UsageRows > 0 && r.Day <= o.period.To && o.isKnown(r.Day) && (last == nil || *last < r.Day) {
			last = new(r.Day)
		}
	}
	return last
}

func dayText(d *data.Day) string {
	if d == nil {
		return "null"
	}
	return d.String()
}

func (o *oracle) withoutUsage() []string {
	out := []string{}
	if len(o.snapshots) == 0 {
		return out
	}
	ids := o.withoutUsageIDs(0)
	rank := func(id data.SubscriptionID) data.Day {
		if last := o.lastUsed(id); last != nil {
			return *last
		}
		return 1 << 30 // never used comes last
	}
	slices.SortFunc(ids, func(a, b data.SubscriptionID) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, id := range ids {
		x, last, idle := o.newest(id), o.lastUsed(id), "null"
		if last != nil {
			idle = fmt.Sprint(int(max(0, o.days[0][len(o.days[0])-1]-*last)))
		}
		out = append(out, strings.Join([]string{fmt.Sprintf("%q", id), fmt.Sprintf("%q", x.CustomerID), textOf(x.Name), `"active"`, dayText(x.Created), dayText(last), idle}, "|"))
	}
	return out
}

func (o *oracle) churnByDate() []string {
	out := []string{}
	if len(o.snapshots) == 0 {
		return out
	}
	for d := range o.period.All() {
		ended, bridged := 0, false
		for _, id := range o.subs {
			if gap, found := o.endings(id)[d]; found {
				ended, bridged = ended+1, bridged || gap
			}
		}
		before, on, after := false, false, false
		for _, s := range o.snapshots {
			before, on, after = before || s.day < d, on || s.day == d, after || s.day > d
		}
		out = append(out, fmt.Sprintf("%s|%d|%d|%v", d, o.active(d), ended, bridged || before && after && !on))
	}
	return out
}

func (o *oracle) newCustomersTable() []string {
	out := []string{}
	found := o.newCustomers(0)
	for _, id := range slices.Sorted(maps.Keys(found)) {
		out = append(out, fmt.Sprintf("%q|%s", id, found[id]))
	}
	return out
}
