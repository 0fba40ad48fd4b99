package transform

import (
	"cmp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// subscription is what all snapshots together say about one subscription. The
// facts are those of the newest snapshot that has it.
type subscription struct {
	id, customer, plan      string
	name                    *string
	status                  data.Status
	created, ended, renewed *data.Day
	commitment              *data.Day
	basis                   *string
	offer                   *string
	autoRenew, trial        *bool
	firstUsage, lastUsage   *data.Day
	history                 []observation // one for each snapshot that has it, oldest first
	vanished                *data.Day     // first snapshot that lacks it again
	vanishedBridged         bool
}

// observation is what one snapshot said.
type observation struct {
	day        data.Day
	status     data.Status
	commitment *data.Day
}

// inventory is the snapshots read into rows.
type inventory struct {
	days  []data.Day
	subs  []*subscription // by id
	byID  map[string]*subscription
	names map[string]string // customers with a name
	ids   map[string]bool   // all customers
}

// readInventory merges the snapshots, given oldest first.
func readInventory(snapshots []Snapshot) *inventory {
	inv := &inventory{byID: map[string]*subscription{}, names: map[string]string{}, ids: map[string]bool{}}
	for _, s := range snapshots {
		inv.days = append(inv.days, s.Day)
		inv.addCustomers(s.Customers)
		inv.addSubscriptions(s)
	}
	for _, s := range inv.byID {
		inv.subs = append(inv.subs, s)
		inv.markVanished(s)
	}
	slices.SortFunc(inv.subs, func(a, b *subscription) int { return cmp.Compare(a.id, b.id) })
	return inv
}

func (inv *inventory) addCustomers(rec arrow.Record) {
	if rec == nil {
		return
	}
	ids, names := column(rec, "customer_id"), column(rec, "name")
	for i := range int(rec.NumRows()) {
		id, _ := text(ids, i)
		inv.ids[id] = true
		if name, ok := text(names, i); ok {
			inv.names[id] = name
		}
	}
}

func (inv *inventory) addSubscriptions(s Snapshot) {
	rec := s.Subscriptions
	if rec == nil {
		return
	}
	for i := range int(rec.NumRows()) {
		optional := func(name string) *string {
			if v, ok := text(column(rec, name), i); ok {
				return &v
			}
			return nil
		}
		id, _ := text(column(rec, "subscription_id"), i)
		sub := inv.byID[id]
		if sub == nil {
			sub = &subscription{id: id}
			inv.byID[id] = sub
		}
		sub.customer, _ = text(column(rec, "customer_id"), i)
		status, _ := text(column(rec, "status"), i)
		sub.status, sub.plan = data.Status(status), cmp.Or(deref(optional("plan_id")), id)
		sub.name, sub.offer, sub.basis = optional("name"), optional("offer"), optional("created_basis")
		sub.created, sub.ended, sub.renewed = dayAt(column(rec, "created"), i), dayAt(column(rec, "ended_at"), i), dayAt(column(rec, "renewed_at"), i)
		sub.commitment, sub.autoRenew, sub.trial = dayAt(column(rec, "commitment_end"), i), boolAt(column(rec, "auto_renew"), i), boolAt(column(rec, "trial"), i)
		sub.firstUsage, sub.lastUsage = dayAt(column(rec, "first_usage"), i), dayAt(column(rec, "last_usage"), i)
		sub.history = append(sub.history, observation{s.Day, sub.status, sub.commitment})
		inv.ids[sub.customer] = true
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// markVanished notes the first snapshot that lacks a subscription after the
// last one that has it: it has ended somewhere in between.
func (inv *inventory) markVanished(s *subscription) {
	last := s.history[len(s.history)-1].day
	for _, day := range inv.days {
		if day > last {
			s.vanished, s.vanishedBridged = new(day), day-last > 1
			return
		}
	}
}

// end is the day from which the subscription has ended, and its state then.
func (s *subscription) end() (*data.Day, data.Status) {
	state := s.status
	if !state.Ended() {
		state = data.StatusDeprovisioned
	}
	if s.ended != nil {
		return s.ended, state
	}
	if s.vanished != nil && !s.status.Ended() {
		return s.vanished, data.StatusDeprovisioned
	}
	return nil, s.status
}

// exists reports whether the subscription existed in the period: created on or
// before its last day and not ended before its first.
func (s *subscription) exists(p data.Period) bool {
	if s.created != nil && *s.created > p.To {
		return false
	}
	end, _ := s.end()
	if end != nil {
		return *end >= p.From
	}
	// Ended on an unknown day before it was first seen.
	return !s.history[0].status.Ended() || s.history[0].day >= p.From
}

// statusOn is the status on a day: after its end the end state; else that of the
// newest snapshot up to the day; else back-cast from the first one, active from
// creation. ok is false before creation.
func (s *subscription) statusOn(d data.Day) (status data.Status, ok bool) {
	if end, state := s.end(); end != nil && *end <= d {
		return state, true
	}
	var found *observation
	for i := range s.history {
		if s.history[i].day <= d {
			found = &s.history[i]
		}
	}
	switch {
	case found != nil:
		return found.status, true
	case s.created != nil && *s.created > d:
		return "", false
	case s.ended == nil && s.history[0].status.Ended():
		return s.history[0].status, true // it had ended before it was first seen; when is unknown
	}
	return data.StatusActive, true
}

// deprovisionedOn returns the days on which the subscription became suspended
// or deprovisioned, and whether the day is bridged over a gap between snapshots.
func (s *subscription) deprovisionedOn() map[data.Day]bool {
	days := map[data.Day]bool{}
	if s.ended != nil {
		days[*s.ended] = false
	}
	for i := 1; i < len(s.history); i++ {
		now, before := s.history[i], s.history[i-1]
		if now.status.Ended() && !before.status.Ended() && !(s.ended != nil && *s.ended > before.day && *s.ended <= now.day) {
			days[now.day] = now.day-before.day > 1
		}
	}
	if end, _ := s.end(); end != nil && s.ended == nil && end == s.vanished {
		days[*end] = s.vanishedBridged
	}
	return days
}

// renewedIn reports whether the plan was renewed in the period: by an explicit
// date, or by a commitment end that moved later between two snapshots.
func (s *subscription) renewedIn(p data.Period) bool {
	if s.renewed != nil && p.Contains(*s.renewed) {
		return true
	}
	for i := 1; i < len(s.history); i++ {
		now, before := s.history[i], s.history[i-1]
		if p.Contains(now.day) && now.commitment != nil && before.commitment != nil && *now.commitment > *before.commitment {
			return true
		}
	}
	return false
}

// Latest returns one row for each subscription that existed on a day
// (data.SubscriptionsSchema, ordered by id): the facts of the newest snapshot
// that has it, with the status as of that day. One that vanished from later
// snapshots counts as deprovisioned from the first that lacks it. The caller
// must Release the record.
func Latest(mem memory.Allocator, snapshots []Snapshot, on data.Day) (arrow.Record, error) {
	inv := readInventory(snapshots)
	w := newWriter(mem, data.SubscriptionsSchema().Fields()...)
	for _, s := range inv.subs {
		status, ok := s.statusOn(on)
		if !ok {
			continue
		}
		end, _ := s.end()
		if end != nil && *end > on {
			end = nil
		}
		w.row(s.history[len(s.history)-1].day, s.id, s.customer, &s.plan, s.name, s.offer, string(status), s.created, s.basis,
			s.commitment, s.autoRenew, s.renewed, end, s.trial, s.firstUsage, s.lastUsage)
	}
	return w.record(), nil
}
