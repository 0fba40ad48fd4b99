package transform

import (
	"math"

	"tidemark/data"
)

// Statuses are the spans of status of the subscriptions of an inventory, as they were seen:
// what a day's status is said to be rests on no snapshot after it.
type Statuses struct {
	subscriptions *IDs
	spans         [][]StatusSpan
}

// StatusSpan is a status and the day from which on it was known, until the next span.
type StatusSpan struct {
	From   data.Day
	Status data.Status
}

// Of returns the spans of a subscription, the oldest first; none begins before the first
// snapshot that has it. Nil statuses know of none.
func (s *Statuses) Of(subscription string) []StatusSpan {
	if s == nil {
		return nil
	}
	if id, found := s.subscriptions.Find(subscription); found && int(id) < len(s.spans) {
		return s.spans[id]
	}
	return nil
}

// Statuses returns the spans of status that the snapshots added tell of.
func (c *Course) Statuses() *Statuses {
	c.end(data.Day(math.MaxInt32))
	return &Statuses{&c.subscriptions, c.spans}
}

// follow notes what snapshot at says of everybody that it or one before has. Who is missing
// is gone, as far as is known on the day.
func (c *Course) follow(at int) {
	inv, day := c.inv, c.inv.days[at]
	c.end(day)
	for len(c.spans) < len(inv.subs) {
		c.spans = append(c.spans, nil)
	}
	for n := range inv.subs {
		id, s := int32(n), &inv.subs[n]
		if !s.exists {
			continue
		}
		status := inv.at(at, id)
		over := data.StatusDeprovisioned
		if status.Ended() {
			over = status
		}
		switch {
		case status == "":
			status = over
		case s.ended.known && s.ended.Day <= day:
			status = over
		case s.ended.known:
			c.ending = append(c.ending, announcedEnd{id, StatusSpan{s.ended.Day, over}})
		}
		c.turn(id, StatusSpan{day, status})
	}
}

// end notes the announced ends that came before a day, which is that of the next snapshot.
func (c *Course) end(before data.Day) {
	for _, e := range c.ending {
		if e.From < before {
			c.turn(e.subscription, e.StatusSpan)
		}
	}
	c.ending = c.ending[:0]
}

// turn begins a span unless the status goes on.
func (c *Course) turn(id int32, s StatusSpan) {
	if n := len(c.spans[id]); n == 0 || c.spans[id][n-1].Status != s.Status {
		c.spans[id] = append(c.spans[id], s)
	}
}
