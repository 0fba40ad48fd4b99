package transform

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// ErrNoKnownDay says that no day of the period is known.
var ErrNoKnownDay = errors.New("no known day in the period")

// The reasons a value is null for.
const (
	reasonNotObserved   = "not_observed_before: " // followed by a date
	reasonNotApplicable = "not_applicable"
	reasonNoInventory   = "no_inventory"
	reasonNotExtracted  = "not_extracted"
)

// metrics is the computation of one period.
type metrics struct {
	Inputs
	mem      memory.Allocator
	previous data.Period
	inv      *inventory
	use      *usage
	tables   *Tables

	known     []data.Day // known days of the period
	compared  []data.Day // the same days of the previous period, as far as known
	noCompare string     // why the previous period's usage cannot be known; "" when it can
}

// Metrics computes every metric of a period and of the one before it, after
// Partner Center's Azure usage page. Usage and cost look at known days only and
// at the same days of the previous period. A period without a known day is
// ErrNoKnownDay. The caller must Release the tables.
func Metrics(mem memory.Allocator, in Inputs) (*Tables, error) {
	m := &metrics{Inputs: in, mem: mem, previous: in.Period.Previous(), inv: readInventory(in.Inventory)}
	if m.known = in.Known(in.Period); len(m.known) == 0 {
		return nil, fmt.Errorf("metrics of %s: %w", in.Period, ErrNoKnownDay)
	}
	complete := m.compare()
	m.tables = &Tables{Period: in.Period, Previous: m.previous, Watermark: in.Watermark, KnownDays: len(m.known),
		PreviousKnownDays: len(m.compared), Complete: complete, FirstSnapshot: in.FirstSnapshot}
	if len(in.Extracted) > 0 {
		m.tables.FirstUsageDay = new(in.Extracted[0])
	}
	use, err := readUsage(in.Daily, m.known, m.compared)
	if err != nil {
		return nil, fmt.Errorf("metrics of %s: %w", in.Period, err)
	}
	m.use = use
	if err := m.all(); err != nil {
		m.tables.Release()
		return nil, fmt.Errorf("metrics of %s: %w", in.Period, err)
	}
	return m.tables, nil
}

// compare finds the days of the previous period that the known ones are
// compared with and reports whether both periods are wholly known.
func (m *metrics) compare() (complete bool) {
	before := m.Known(m.previous)
	if len(m.known) == m.Period.Days() && len(before) == m.previous.Days() {
		m.compared = before
		return true
	}
	for _, d := range m.known {
		same := m.previous.From + d - m.Period.From
		if same > m.previous.To {
			continue // the 31st, in the month before a shorter one
		}
		if same < m.Extracted[0] {
			m.noCompare = reasonNotObserved + m.Extracted[0].String()
		}
		if m.IsKnown(same) {
			m.compared = append(m.compared, same)
		}
	}
	if len(m.compared) == 0 && m.noCompare == "" {
		m.noCompare = reasonNotExtracted
	}
	if m.noCompare != "" {
		m.compared = nil
	}
	return false
}

func (m *metrics) all() error {
	m.summary()
	m.withoutUsage()
	m.churnByDate()
	if err := m.costs(); err != nil {
		return err
	}
	return m.topCustomers()
}

// counted is one count of the summary.
type counted struct {
	value, previous *int64
	reason          string
}

// summary writes the counts.
func (m *metrics) summary() {
	w := newWriter(m.mem, textField("key"), nullable(int64Field("value")), nullable(int64Field("previous")), nullable(textField("reason")))
	put := func(key string, c counted) {
		w.row(key, c.value, c.previous, data.Optional(c.reason))
	}
	put("subscriptions_sold", m.inventoryCount(func(p data.Period) int64 {
		return count(m.inv.subs, func(s *subscription) bool { return s.created != nil && p.Contains(*s.created) })
	}))
	put("customers_with_usage", m.usageCount(func(at side) int64 { return int64(len(m.use.customers[at])) }))
	withoutUsage := m.usageCount(func(at side) int64 { return m.customersWithout(at) })
	if len(m.inv.days) == 0 {
		withoutUsage = counted{reason: reasonNoInventory}
	}
	put("customers_without_usage", withoutUsage)
	m.newCustomers(put)
	put("subscriptions_renewed", m.renewed())
	idle := m.usageCount(func(at side) int64 { return int64(len(m.idle(at))) })
	if len(m.inv.days) == 0 {
		idle = counted{reason: reasonNoInventory}
	}
	put("subscriptions_without_usage", idle)
	put("active_at_end", m.inventoryCount(func(p data.Period) int64 { return m.activeOn(p.To) }))
	put("deprovisioned", m.deprovisioned())
	m.tables.Summary = w.record()
}

func count(subs []*subscription, is func(*subscription) bool) int64 {
	n := int64(0)
	for _, s := range subs {
		if is(s) {
			n++
		}
	}
	return n
}

// inventoryCount counts facts of the inventory, which do not depend on which
// usage days are known.
func (m *metrics) inventoryCount(of func(data.Period) int64) counted {
	if len(m.inv.days) == 0 {
		return counted{reason: reasonNoInventory}
	}
	return counted{value: new(of(m.Period)), previous: new(of(m.previous))}
}

// usageCount counts over the known days of both periods.
func (m *metrics) usageCount(of func(side) int64) counted {
	c := counted{value: new(of(current)), reason: m.noCompare}
	if m.noCompare == "" {
		c.previous = new(of(before))
	}
	return c
}

// period of a side.
func (m *metrics) period(at side) data.Period {
	if at == before {
		return m.previous
	}
	return m.Period
}

// customersWithout counts the customers that own a subscription that existed in
// the period and have no usage.
func (m *metrics) customersWithout(at side) int64 {
	owners := map[string]bool{}
	for _, s := range m.inv.subs {
		if s.exists(m.period(at)) && !m.use.usedCustomer(at, s.customer) {
			owners[s.customer] = true
		}
	}
	return int64(len(owners))
}

// newCustomers counts and lists the customers whose first subscription was
// created in the period. One subscription of unknown creation is enough for
// not knowing when the first was.
func (m *metrics) newCustomers(put func(string, counted)) {
	first := map[string]data.Day{}
	unknown := map[string]bool{}
	for _, s := range m.inv.subs {
		if s.created == nil {
			unknown[s.customer] = true
		} else if d, found := first[s.customer]; !found || *s.created < d {
			first[s.customer] = *s.created
		}
	}
	w := newWriter(m.mem, dictField("customer_id"), dateField("since"))
	for _, id := range slices.Sorted(maps.Keys(first)) {
		if !unknown[id] && m.Period.Contains(first[id]) {
			w.row(id, first[id])
		}
	}
	m.tables.NewCustomers = w.record()
	put("new_customers", m.inventoryCount(func(p data.Period) int64 {
		n := int64(0)
		for id, d := range first {
			if !unknown[id] && p.Contains(d) {
				n++
			}
		}
		return n
	}))
}

// renewed counts renewals, once for each plan.
func (m *metrics) renewed() counted {
	if len(m.inv.days) == 0 {
		return counted{reason: reasonNoInventory}
	}
	planned := slices.ContainsFunc(m.inv.subs, func(s *subscription) bool { return s.commitment != nil || s.renewed != nil })
	if !planned {
		return counted{reason: reasonNotApplicable}
	}
	dated := slices.ContainsFunc(m.inv.subs, func(s *subscription) bool { return s.renewed != nil })
	return m.observed(dated, func(p data.Period) int64 {
		plans := map[string]bool{}
		for _, s := range m.inv.subs {
			if s.renewedIn(p) {
				plans[s.plan] = true
			}
		}
		return int64(len(plans))
	})
}

// observed counts what only dates of the source or successive snapshots show:
// without dates a period before the first snapshot is not known.
func (m *metrics) observed(dated bool, of func(data.Period) int64) counted {
	first := m.inv.days[0]
	if m.FirstSnapshot != nil {
		first = *m.FirstSnapshot
	}
	var c counted
	if dated || m.Period.To >= first {
		c.value = new(of(m.Period))
	}
	if dated || m.previous.To >= first {
		c.previous = new(of(m.previous))
	}
	if c.value == nil || c.previous == nil {
		c.reason = reasonNotObserved + first.String()
	}
	return c
}

func (m *metrics) activeOn(d data.Day) int64 {
	return count(m.inv.subs, func(s *subscription) bool {
		status, ok := s.statusOn(d)
		return ok && status == data.StatusActive
	})
}

func (m *metrics) deprovisioned() counted {
	if len(m.inv.days) == 0 {
		return counted{reason: reasonNoInventory}
	}
	dated := slices.ContainsFunc(m.inv.subs, func(s *subscription) bool { return s.ended != nil })
	return m.observed(dated, func(p data.Period) int64 {
		n := int64(0)
		for _, s := range m.inv.subs {
			for day := range s.deprovisionedOn() {
				if p.Contains(day) {
					n++
				}
			}
		}
		return n
	})
}

// churnByDate writes, for each day, what was active and what ended.
func (m *metrics) churnByDate() {
	w := newWriter(m.mem, dateField("date"), int64Field("active"), int64Field("deprovisioned"), arrow.Field{Name: "bridged", Type: arrow.FixedWidthTypes.Boolean})
	ended, bridged := map[data.Day]int64{}, map[data.Day]bool{}
	for _, s := range m.inv.subs {
		for day, gap := range s.deprovisionedOn() {
			ended[day]++
			bridged[day] = bridged[day] || gap
		}
	}
	if len(m.inv.days) > 0 {
		for day := range m.Period.All() {
			w.row(day, m.activeOn(day), ended[day], bridged[day])
		}
	}
	m.tables.ChurnByDate = w.record()
}

// idle returns the subscriptions that existed in the period, are active on its
// last known day, and have no usage on its known days.
func (m *metrics) idle(at side) []*subscription {
	known := m.known
	if at == before {
		known = m.compared
	}
	if len(known) == 0 {
		return nil
	}
	last := known[len(known)-1]
	var idle []*subscription
	for _, s := range m.inv.subs {
		status, ok := s.statusOn(last)
		if ok && status == data.StatusActive && s.exists(m.period(at)) && !m.use.usedSubscription(at, s.id) {
			idle = append(idle, s)
		}
	}
	return idle
}

// withoutUsage lists the idle subscriptions, the longest idle first, those that
// were never used last, then by id.
func (m *metrics) withoutUsage() {
	spans := map[data.SubscriptionID]data.Period{}
	if m.Usage != nil {
		if known, err := Spans(m.Usage); err == nil {
			spans = known
		}
	}
	last := m.known[len(m.known)-1]
	type row struct {
		s    *subscription
		used *data.Day
	}
	var rows []row
	for _, s := range m.idle(current) {
		r := row{s: s, used: m.use.lastUsage(s.id)}
		if span, found := spans[data.SubscriptionID(s.id)]; found && (r.used == nil || span.To > *r.used) {
			r.used = new(span.To)
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int {
		switch {
		case (a.used == nil) != (b.used == nil):
			if a.used == nil {
				return 1
			}
			return -1
		case a.used != nil && *a.used != *b.used:
			return cmp.Compare(*a.used, *b.used)
		}
		return cmp.Compare(a.s.id, b.s.id)
	})
	w := newWriter(m.mem, dictField("subscription_id"), dictField("customer_id"), nullable(textField("name")), dictField("status"),
		nullable(dateField("created")), nullable(dateField("last_usage")), nullable(int32Field("days_idle")))
	for _, r := range rows {
		var days *int
		if r.used != nil {
			days = new(max(int(last-*r.used), 0))
		}
		w.row(r.s.id, r.s.customer, r.s.name, string(data.StatusActive), r.s.created, r.used, days)
	}
	m.tables.WithoutUsage = w.record()
}

// Release gives the records back.
func (t *Tables) Release() {
	for _, rec := range []arrow.Record{t.Summary, t.Cost, t.CostByCategory, t.CostByDay, t.TopCustomers, t.WithoutUsage, t.ChurnByDate, t.NewCustomers} {
		if rec != nil {
			rec.Release()
		}
	}
}
