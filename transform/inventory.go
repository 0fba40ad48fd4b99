package transform

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// inventory is what the snapshots say about every subscription over time.
type inventory struct {
	customers, subscriptions, texts *IDs

	days  []data.Day                // of the snapshots, oldest first
	anew  []bool                    // by snapshot: whether it is the first from another source than the one before
	seen  [][]uint8                 // by snapshot and subscription: place in statuses
	subs  []subscription            // by id; ids of other origin have exists false
	moves []commitmentMove          // commitment ends that moved later
	names map[int32]string          // of customers, as the newest snapshot has it
	terms struct{ any, exact bool } // any plan date at all; any renewal date

	source   string        // that most customers of the newest snapshot come from
	before   string        // the same of the one before it
	statuses []data.Status // that the snapshots state; the first is "", not in it
}

// subscription is the newest row of a subscription, and what follows from all.
type subscription struct {
	exists                  bool
	customer, plan, name    int32 // name is an id of inventory.texts, as is plan
	created, ended, renewed maybeDay
	commitment              maybeDay // newest known
	first, last             int      // snapshots that have it
	row                     int      // in the last snapshot

	vanished maybeDay // day of the first snapshot that lacks it for good
	end      maybeDay // since when it is suspended or deprovisioned for good
	exact    bool     // end is a day that the source states
}

// commitmentMove is a commitment end that is later than in the snapshot before.
type commitmentMove struct {
	subscription int32
	from, to     data.Day // the two snapshots
}

// readInventory reads the snapshots, which must be in order. Customers and
// subscriptions are numbered by the tables given.
func readInventory(snapshots []Snapshot, customers, subscriptions *IDs) (*inventory, error) {
	inv := newInventory(customers, subscriptions)
	for i, s := range snapshots {
		if i > 0 && s.Day <= snapshots[i-1].Day {
			return nil, outOfOrder(s.Day, snapshots[i-1].Day)
		}
		if err := cmp.Or(inv.addCustomers(s), inv.addSubscriptions(s)); err != nil {
			return nil, fmt.Errorf("inventory of %s: %w", s.Day, err)
		}
	}
	inv.close()
	return inv, nil
}

func newInventory(customers, subscriptions *IDs) *inventory {
	return &inventory{customers: customers, subscriptions: subscriptions, texts: &IDs{}, names: map[int32]string{}, statuses: []data.Status{""}}
}

func outOfOrder(day, before data.Day) error {
	return fmt.Errorf("inventory of %s: not after the snapshot before it, of %s", day, before)
}

// close works out how each subscription ended, once all snapshots are read.
func (inv *inventory) close() {
	for id := range inv.subs {
		inv.subs[id].close(inv, int32(id))
	}
}

func (inv *inventory) addCustomers(s Snapshot) error {
	if s.Customers == nil {
		return nil
	}
	var texts IDs
	c := ColumnsOf(s.Customers)
	id, name := c.IDs("customer_id", inv.customers), c.IDs("name", &texts)
	if c.Err() != nil {
		return c.Err()
	}
	source := s.Source
	if source == "" {
		var err error
		if source, err = MainSource(s.Customers); err != nil {
			return err
		}
	}
	inv.source = cmp.Or(source, inv.source)
	for i := range c.Rows() {
		if n := name.At(i); n != NoID {
			inv.names[id.At(i)] = texts.Text(n)
		} else {
			delete(inv.names, id.At(i))
		}
	}
	return nil
}

// MainSource returns the source that more than half of the customers of a snapshot come from;
// empty when there is none.
func MainSource(customers arrow.Record) (string, error) {
	var texts IDs
	c := ColumnsOf(customers)
	source := c.IDs("source", &texts)
	if c.Err() != nil {
		return "", c.Err()
	}
	count := map[int32]int{}
	for i := range c.Rows() {
		from := source.At(i)
		if count[from]++; from != NoID && count[from]*2 > c.Rows() {
			return texts.Text(from), nil
		}
	}
	return "", nil
}

func (inv *inventory) addSubscriptions(s Snapshot) error {
	if s.Subscriptions == nil {
		return nil
	}
	at := len(inv.days)
	inv.days, inv.seen = append(inv.days, s.Day), append(inv.seen, nil)
	inv.anew = append(inv.anew, at > 0 && inv.before != "" && inv.before != inv.source)
	inv.before = inv.source
	var statuses IDs
	c := ColumnsOf(s.Subscriptions)
	id, customer := c.IDs("subscription_id", inv.subscriptions), c.IDs("customer_id", inv.customers)
	plan, name, status := c.IDs("plan_id", inv.texts), c.IDs("name", inv.texts), c.IDs("status", &statuses)
	created, commitment := c.Days("created"), c.Days("commitment_end")
	renewed, ended := c.Days("renewed_at"), c.Days("ended_at")
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		n := id.At(i)
		if n == NoID || status.At(i) == NoID {
			return errors.New("a row without subscription_id or status")
		}
		sub := inv.enter(n, at)
		sub.row, sub.customer, sub.plan, sub.name = i, customer.At(i), plan.At(i), name.At(i)
		sub.created, sub.ended, sub.renewed = dayAt(created, i), dayAt(ended, i), dayAt(renewed, i)
		// A status that the vocabulary lacks counts as unknown.
		stated, _ := data.ParseStatus(statuses.Text(status.At(i)))
		inv.seen[at][n] = inv.code(stated)
		inv.commit(n, at, dayAt(commitment, i))
		inv.terms.any = inv.terms.any || sub.renewed.known || sub.commitment.known
	}
	return nil
}

// code returns the place of a status in statuses: one byte a row is what a year of nightly
// snapshots can be held in.
func (inv *inventory) code(s data.Status) uint8 {
	at := slices.Index(inv.statuses, s)
	if at < 0 {
		at = len(inv.statuses)
		inv.statuses = append(inv.statuses, s)
	}
	return uint8(at)
}

// enter returns a subscription that snapshot at has, and makes room for it.
func (inv *inventory) enter(id int32, at int) *subscription {
	for int(id) >= len(inv.subs) {
		inv.subs = append(inv.subs, subscription{})
	}
	for int(id) >= len(inv.seen[at]) {
		inv.seen[at] = append(inv.seen[at], 0)
	}
	sub := &inv.subs[id]
	if !sub.exists {
		sub.exists, sub.first, sub.last = true, at, at
	}
	return sub
}

// commit notes the commitment end that snapshot at states.
func (inv *inventory) commit(id int32, at int, end maybeDay) {
	sub := &inv.subs[id]
	if end.known && sub.commitment.known && end.Day > sub.commitment.Day && sub.last < at {
		inv.moves = append(inv.moves, commitmentMove{id, inv.days[sub.last], inv.days[at]})
	}
	if end.known {
		sub.commitment = end
	}
	sub.last = at
}

// close works out how the subscription ended, once all snapshots are read.
func (s *subscription) close(inv *inventory, id int32) {
	if !s.exists {
		return
	}
	inv.terms.exact = inv.terms.exact || s.renewed.known
	last := inv.at(s.last, id)
	if s.last+1 < len(inv.days) {
		s.vanished = maybeDay{inv.days[s.last+1], true}
	}
	switch {
	case s.ended.known && (!s.vanished.known || last.Ended() || s.ended.Day <= s.vanished.Day):
		s.end, s.exact = s.ended, true
	case last.Ended():
		s.end = maybeDay{inv.days[s.endedSince(inv, id)], true}
	default:
		s.end = s.vanished
	}
}

// endedSince returns the first snapshot of the last unbroken run in which the
// subscription is suspended or deprovisioned.
func (s *subscription) endedSince(inv *inventory, id int32) int {
	since := s.last
	for at := s.last; at >= s.first; at-- {
		switch status := inv.at(at, id); {
		case status == "":
		case status.Ended():
			since = at
		default:
			return since
		}
	}
	return since
}

// at returns the status that a snapshot states, "" when it lacks the
// subscription.
func (inv *inventory) at(snapshot int, id int32) data.Status {
	if int(id) >= len(inv.seen[snapshot]) {
		return ""
	}
	return inv.statuses[inv.seen[snapshot][id]]
}

// newest returns the newest snapshot at or before d, -1 when there is none.
func (inv *inventory) newest(d data.Day) int {
	n := len(inv.days) - 1
	for n >= 0 && inv.days[n] > d {
		n--
	}
	return n
}

// status returns the status on day d, "" when the subscription did not exist
// yet. newest is the newest snapshot at or before d.
func (inv *inventory) status(id int32, d data.Day, newest int) data.Status {
	s := &inv.subs[id]
	switch {
	case !s.exists:
		return ""
	case s.vanished.known && s.vanished.Day <= d:
		return data.StatusDeprovisioned
	case s.exact && s.end.Day <= d:
		if last := inv.at(s.last, id); last.Ended() {
			return last
		}
		return data.StatusDeprovisioned
	}
	for at := min(newest, s.last); at >= s.first; at-- {
		if status := inv.at(at, id); status != "" {
			return status
		}
	}
	// Nothing was observed yet: active since creation, as far as anybody knows.
	if !s.created.known || s.created.Day <= d {
		return data.StatusActive
	}
	return ""
}

// existed reports whether the subscription existed in the period: created on or
// before its last day, or unknown when, and not ended before its first.
func (s *subscription) existed(p data.Period) bool {
	return s.exists && (!s.created.known || s.created.Day <= p.To) && (!s.end.known || s.end.Day >= p.From)
}

// ending is a subscription that became suspended or deprovisioned.
type ending struct {
	day     data.Day
	bridged bool // booked on a snapshot more than a day after the one before
}

// begun reports whether an inventory from another source begins after snapshot from
// and up to snapshot to. One that is derived from usage has everything as active, and
// another program may leave out what has ended: what differs then ended on no day that
// they could tell.
func (inv *inventory) begun(from, to int) bool { return slices.Contains(inv.anew[from+1:to+1], true) }

// endings returns when the subscription became suspended or deprovisioned: the
// day that the source states, else each change between two snapshots, but for those
// between inventories of two sources.
func (inv *inventory) endings(id int32) []ending {
	s := &inv.subs[id]
	if !s.exists {
		return nil
	}
	if s.exact {
		return []ending{{day: s.end.Day}}
	}
	var out []ending
	book := func(from, to int) {
		if inv.begun(from, to) {
			return
		}
		out = append(out, ending{inv.days[to], inv.days[to]-inv.days[from] > 1})
	}
	before := s.first
	for at := s.first + 1; at <= s.last; at++ {
		status := inv.at(at, id)
		if status == "" {
			continue
		}
		if status.Ended() && !inv.at(before, id).Ended() {
			book(before, at)
		}
		before = at
	}
	if s.vanished.known && !inv.at(s.last, id).Ended() {
		book(s.last, s.last+1)
	}
	return out
}
