package transform

import (
	"cmp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

func withoutUsageSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "subscription_id", Type: data.DictType()},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "status", Type: data.DictType()},
		{Name: "created", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
		{Name: "last_usage", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
		{Name: "days_idle", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	}, nil)
}

func churnByDateSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "active", Type: arrow.PrimitiveTypes.Int64},
		{Name: "deprovisioned", Type: arrow.PrimitiveTypes.Int64},
		{Name: "bridged", Type: arrow.FixedWidthTypes.Boolean},
	}, nil)
}

func newCustomersSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: data.DictType()},
		{Name: "since", Type: arrow.FixedWidthTypes.Date32},
	}, nil)
}

// withoutUsage returns the subscriptions that existed in the period, were
// active on its last known day and had no usage on any of its known days.
func (c *computation) withoutUsage(side int) []int32 {
	last, ok := c.days.lastOf(side)
	if !ok {
		return nil
	}
	inv := c.inventory
	newest := inv.newest(last)
	var out []int32
	for i := range inv.subs {
		id := int32(i)
		if inv.subs[i].existed(c.days.periods[side]) && !c.usage.subscriptionUsed[side][id] &&
			inv.status(id, last, newest) == data.StatusActive {
			out = append(out, id)
		}
	}
	return out
}

// withoutUsageTable lists the longest idle first, and last those that were
// never used as far as is known; then by id. The idle days count from the last
// usage to the last known day of the period.
func (c *computation) withoutUsageTable() (arrow.Record, error) {
	w := newWriter(c.mem, withoutUsageSchema())
	defer w.release()
	ids := c.withoutUsage(current)
	order := c.usage.subscriptions.ranks()
	slices.SortFunc(ids, func(a, b int32) int {
		la, lb := c.usage.lastUsage[a], c.usage.lastUsage[b]
		return cmp.Or(compareUnknownLast(la, lb), order.cmp(a, b))
	})
	last, _ := c.days.lastOf(current)
	for _, id := range ids {
		s, used := &c.inventory.subs[id], c.usage.lastUsage[id]
		w.id(id, c.usage.subscriptions)
		w.id(s.customer, c.usage.customers)
		w.id(s.name, c.inventory.texts)
		w.text(string(data.StatusActive))
		w.maybeDay(s.created)
		w.maybeDay(used)
		if used.known {
			w.int32(int32(max(0, last-used.Day))) // usage of a day that is not known yet may be later
		} else {
			w.null()
		}
	}
	return w.finish()
}

func compareUnknownLast(a, b maybeDay) int {
	switch {
	case a.known && b.known:
		return cmp.Compare(a.Day, b.Day)
	case a.known:
		return -1
	case b.known:
		return 1
	}
	return 0
}

// churnByDate has a row for every day of the period, once there is a snapshot.
// A day is bridged when an end booked on it was found across a gap between two
// snapshots, or when it lies in such a gap itself, so that its number of active
// subscriptions is that of the snapshot before.
func (c *computation) churnByDate() (arrow.Record, error) {
	w := newWriter(c.mem, churnByDateSchema())
	defer w.release()
	inv, p := c.inventory, c.in.Period
	if len(inv.days) == 0 {
		return w.finish()
	}
	ended, bridged := make([]int64, p.Days()), make([]bool, p.Days())
	for id := range inv.subs {
		for _, e := range inv.endings(int32(id)) {
			if p.Contains(e.day) {
				ended[e.day-p.From]++
				bridged[e.day-p.From] = bridged[e.day-p.From] || e.bridged
			}
		}
	}
	for d := range p.All() {
		before := inv.newest(d)
		inGap := before >= 0 && inv.days[before] < d && before+1 < len(inv.days)
		w.day(d)
		w.int64(c.active(d))
		w.int64(ended[d-p.From])
		w.bool(bridged[d-p.From] || inGap)
	}
	return w.finish()
}

func (c *computation) newCustomersTable() (arrow.Record, error) {
	w := newWriter(c.mem, newCustomersSchema())
	defer w.release()
	for _, n := range c.newCustomers(current) {
		w.id(n.id, c.usage.customers)
		w.day(n.since)
	}
	return w.finish()
}
