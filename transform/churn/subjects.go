package churn

import (
	"cmp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
	"tidemark/transform"
)

// leastAge is how many days old a subscription must be for a score, and how many days of the
// portfolio must be known.
const leastAge = 7

// subject is a subscription as the inventory has it.
type subject struct {
	account       int32  // in the history, transform.NoID when it never used anything
	text          string // the id as it is written
	customer      string
	status        data.Status
	spans         []transform.StatusSpan // as it was seen; before the first of them the status tells
	created       *data.Day
	ended         *data.Day
	lastUsage     *data.Day
	commitmentEnd *data.Day
	autoRenew     *bool
	trial         bool
}

// SubscriptionColumns are the columns of subscriptions that Inputs are made from.
func SubscriptionColumns() []string {
	return append(transform.CourseColumns(), "last_usage", "auto_renew", "trial")
}

// subjects reads the subscriptions of an inventory as of in.On, in order of id. Without
// inventory they are those of the history.
func subjects(in Inputs) ([]subject, error) {
	h, inventory, on := in.History, in.Subscriptions, in.On
	var list []subject
	if inventory == nil {
		for id := range h.accounts {
			list = append(list, subject{account: int32(id), text: h.subscriptions.Text(int32(id)), status: data.StatusActive})
		}
		sortSubjects(list)
		return list, nil
	}
	var ids, customers, statuses transform.IDs
	c := transform.ColumnsOf(inventory)
	id, customer, status := c.IDs("subscription_id", &ids), c.IDs("customer_id", &customers), c.IDs("status", &statuses)
	created, ended, last := c.Days("created"), c.Days("ended_at"), c.Days("last_usage")
	commitment, renew, trial := c.Days("commitment_end"), c.Bools("auto_renew"), c.Bools("trial")
	if c.Err() != nil {
		return nil, c.Err()
	}
	for i := range c.Rows() {
		s := subject{account: transform.NoID, text: ids.Text(id.At(i)), customer: customers.Text(customer.At(i)),
			created: dayAt(created, i), ended: dayAt(ended, i), lastUsage: dayAt(last, i), commitmentEnd: dayAt(commitment, i)}
		if account, found := h.subscriptions.Find(s.text); found {
			s.account = account
		}
		// A status that the vocabulary lacks counts as unknown.
		s.status, _ = data.ParseStatus(statuses.Text(status.At(i)))
		if s.ended == nil && isOver(s.status) {
			s.ended = h.afterLastUse(s.account, on)
		}
		if b, known := renew.At(i); known {
			s.autoRenew = &b
		}
		s.trial, _ = trial.At(i)
		s.spans = in.Statuses.Of(s.text)
		list = append(list, s)
	}
	sortSubjects(list)
	return list, nil
}

// afterLastUse is when a subscription that is over on a day, nobody says since when, ended at
// the earliest: before that it was there, or its loss would be missing from every day before.
// Nil when it was never used.
func (h *History) afterLastUse(account int32, on data.Day) *data.Day {
	if account == transform.NoID {
		return nil
	}
	last := h.accounts[account].used.last(0, h.place(on))
	if last < 0 {
		return nil
	}
	return new(min(h.on(last+1), on))
}

func sortSubjects(list []subject) {
	slices.SortFunc(list, func(a, b subject) int { return cmp.Compare(a.text, b.text) })
}

func dayAt(c transform.Column[arrow.Date32], i int) *data.Day {
	if d, known := c.At(i); known {
		return new(data.Day(d))
	}
	return nil
}

// existed reports whether the subscription had been created by a day.
func (s *subject) existed(on data.Day) bool { return s.created == nil || *s.created <= on }

// statusOn is the status as it was on a day, as far as the inventory tells: what was seen by
// then, or else what was found out later.
func (s *subject) statusOn(on data.Day) data.Status {
	for _, span := range slices.Backward(s.spans) {
		if span.From <= on {
			return span.Status
		}
	}
	over := s.ended != nil && *s.ended <= on
	switch {
	case over && !isOver(s.status):
		return data.StatusDeprovisioned
	case !over && s.ended != nil && isOver(s.status):
		return data.StatusActive // it ended after the day
	}
	return s.status
}

// isOver reports whether a status says that a subscription ended.
func isOver(s data.Status) bool { return s.Ended() || s == data.StatusExpired }

// state is why the subscription has no score on a day, as far as that does not depend on
// usage; StateScored when it may have one.
func (s *subject) state(on data.Day) State {
	switch status := s.statusOn(on); {
	case status == data.StatusSuspended:
		return StateSuspended
	case status == data.StatusDeprovisioned, status == data.StatusExpired:
		return StateEnded
	case s.created != nil && int(on-*s.created) < leastAge:
		return StateNew
	}
	return StateScored
}

// renewalSoon is how many days before the end of a commitment it is worth a word.
const renewalSoon = 60

// flags are the facts of the contract on a day.
func (s *subject) flags(on data.Day) []Flag {
	out := []Flag{}
	if end := s.commitmentEnd; end != nil && on <= *end && int(*end-on) <= renewalSoon {
		out = append(out, Flag{Code: "renewal", On: end, Days: int(*end - on)})
		if s.autoRenew != nil && !*s.autoRenew {
			out = append(out, Flag{Code: "no_auto_renew", On: end})
		}
	}
	if s.trial {
		out = append(out, Flag{Code: "trial"})
	}
	return out
}
