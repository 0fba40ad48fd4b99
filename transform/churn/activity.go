package churn

import (
	"fmt"
	"math/bits"

	"tidemark/data"
	"tidemark/transform"
)

// activity is who used what on which of the known days of the history.
type activity struct {
	subscriptions, categories transform.IDs

	known []data.Day // of the history, in order
	place []int      // by calendar day of the history: index into known, -1 when unknown
	from  data.Day   // first calendar day of the history

	used map[subscriptionCategory]daySet
	subs []subscriptionActivity // by id
}

type subscriptionCategory struct{ subscription, category int32 }

// subscriptionActivity is the activity of one subscription.
type subscriptionActivity struct {
	used       daySet
	rows       []int64 // usage rows by known day
	categories []int32
}

// daySet is a set of known days by index: HistoryDays of them fit.
type daySet [2]uint64

func (s *daySet) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s daySet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// count returns how many days of [from, to) are in the set.
func (s daySet) count(from, to int) int {
	n := 0
	for i := max(from, 0); i < to; i++ {
		if s.has(i) {
			n++
		}
	}
	return n
}

// last returns the last day in the set, -1 when it is empty.
func (s daySet) last() int {
	if s[1] != 0 {
		return 127 - bits.LeadingZeros64(s[1])
	}
	return 63 - bits.LeadingZeros64(s[0])
}

func readActivity(in Inputs) (*activity, error) {
	a := &activity{from: in.On - HistoryDays + 1, place: make([]int, HistoryDays), used: map[subscriptionCategory]daySet{}}
	for i := range a.place {
		a.place[i] = -1
	}
	for _, d := range in.Known {
		if a.from <= d && d <= in.On {
			a.place[d-a.from] = len(a.known)
			a.known = append(a.known, d)
		}
	}
	for _, rec := range in.Daily {
		c := transform.ColumnsOf(rec)
		day, subscription := c.Days("usage_date"), c.IDs("subscription_id", &a.subscriptions)
		category, rows := c.IDs("category", &a.categories), c.Int64s("usage_rows")
		if c.Err() != nil {
			return nil, fmt.Errorf("usage: %w", c.Err())
		}
		for i := range c.Rows() {
			d, _ := day.At(i)
			at := a.index(data.Day(d))
			if n, _ := rows.At(i); at >= 0 && n > 0 {
				a.add(subscription.At(i), category.At(i), at, n)
			}
		}
	}
	return a, nil
}

// index returns the place of a day among the known days, -1 when it is unknown
// or out of the history.
func (a *activity) index(d data.Day) int {
	if d < a.from || int(d-a.from) >= len(a.place) {
		return -1
	}
	return a.place[d-a.from]
}

func (a *activity) add(subscription, category int32, at int, rows int64) {
	if subscription == transform.NoID {
		return
	}
	for int(subscription) >= len(a.subs) {
		a.subs = append(a.subs, subscriptionActivity{})
	}
	s := &a.subs[subscription]
	if s.rows == nil {
		s.rows = make([]int64, len(a.known))
	}
	s.used.add(at)
	s.rows[at] += rows
	key := subscriptionCategory{subscription, category}
	days, found := a.used[key]
	if !found {
		s.categories = append(s.categories, category)
	}
	days.add(at)
	a.used[key] = days
}

// of returns the activity of a subscription, which may be none.
func (a *activity) of(subscription int32) subscriptionActivity {
	if int(subscription) >= len(a.subs) {
		return subscriptionActivity{}
	}
	return a.subs[subscription]
}
