package churn

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// leastKnown is how many known days a score needs, and how old a subscription
// must be.
const leastKnown = 7

// Assess implements Model: one row for each subscription created on or before
// in.On, those that ended included, in order of id.
func (m rules) Assess(mem memory.Allocator, in Inputs) (arrow.Record, error) {
	if in.Horizon == 0 {
		in.Horizon = DefaultHorizon
	}
	a, err := readActivity(in)
	if err != nil {
		return nil, fmt.Errorf("assess %s: %w", in.On, err)
	}
	var customers transform.IDs
	list, err := a.subscriptionsOn(in, &customers)
	if err != nil {
		return nil, fmt.Errorf("assess %s: subscriptions: %w", in.On, err)
	}
	b := array.NewRecordBuilder(mem, Schema())
	defer b.Release()
	for _, s := range list {
		found := a.assess(in, s)
		if err := m.write(b, in, s, found); err != nil {
			return nil, fmt.Errorf("assess %s: subscription %q: %w", in.On, s.text, err)
		}
	}
	return b.NewRecord(), nil
}

// subject is a subscription to assess.
type subject struct {
	id        int32
	text      string // the id as it is written
	customer  string
	status    data.Status
	created   *data.Day
	lastUsage *data.Day // at or before the day of the assessment
}

// subscriptionsOn returns the subscriptions that were created on or before the
// day, in order of id.
func (a *activity) subscriptionsOn(in Inputs, customers *transform.IDs) ([]subject, error) {
	if in.Subscriptions == nil {
		return nil, nil
	}
	var statuses transform.IDs
	c := transform.ColumnsOf(in.Subscriptions)
	id, customer := c.IDs("subscription_id", &a.subscriptions), c.IDs("customer_id", customers)
	status, created := c.IDs("status", &statuses), c.Days("created")
	ended, last := c.Days("ended_at"), c.Days("last_usage")
	if c.Err() != nil {
		return nil, c.Err()
	}
	upTo := func(col transform.Column[arrow.Date32], i int) *data.Day {
		if d, known := col.At(i); known && data.Day(d) <= in.On {
			return new(data.Day(d))
		}
		return nil
	}
	var list []subject
	for i := range c.Rows() {
		if d, known := created.At(i); known && data.Day(d) > in.On {
			continue
		}
		s := subject{id: id.At(i), text: a.subscriptions.Text(id.At(i)), customer: customers.Text(customer.At(i)),
			created: upTo(created, i), lastUsage: upTo(last, i)}
		// A status that the vocabulary lacks counts as unknown.
		s.status, _ = data.ParseStatus(statuses.Text(status.At(i)))
		_, everEnded := ended.At(i)
		switch hasEnded := upTo(ended, i) != nil; {
		case hasEnded && !s.status.Ended():
			s.status = data.StatusDeprovisioned
		case !hasEnded && everEnded && s.status.Ended():
			s.status = data.StatusActive // it ended after the day
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(x, y subject) int { return strings.Compare(x.text, y.text) })
	return list, nil
}

// finding is what an assessment says about one subscription.
type finding struct {
	state   State
	idle    int // known days since the last usage, -1 when none is known
	score   float64
	reasons []Reason
}

func (a *activity) assess(in Inputs, s subject) finding {
	f := finding{idle: a.idle(in, s), reasons: []Reason{}}
	used := f.idle >= 0 && f.idle < in.Horizon && a.of(s.id).used != daySet{}
	switch {
	case s.status == data.StatusSuspended:
		f.state = StateSuspended
	case s.status == data.StatusDeprovisioned, s.status == data.StatusExpired:
		f.state = StateEnded
	case s.created != nil && int(in.On-*s.created) < leastKnown:
		f.state = StateNew
	case len(a.known) < leastKnown:
		f.state = StateNoSignal
	case used:
		f.state = StateScored
		terms := a.habitOf(s.id, s.created).terms()
		f.score, f.reasons = score(terms), reasons(terms)
	case s.status == data.StatusActive:
		f.state = StateDormant
	default:
		f.state = StateNoSignal // pending or unknown, and not used
	}
	return f
}

// idle counts the known days since the last usage, -1 when none is known.
func (a *activity) idle(in Inputs, s subject) int {
	var last data.Day
	switch at := a.of(s.id).used.last(); {
	case at >= 0:
		last = a.known[at]
	case s.lastUsage != nil:
		last = *s.lastUsage
	default:
		return -1
	}
	n := 0
	for _, d := range slices.Backward(in.Known) {
		if d <= last {
			break
		}
		if d <= in.On {
			n++
		}
	}
	return n
}

func (m rules) write(b *array.RecordBuilder, in Inputs, s subject, f finding) error {
	told, err := json.Marshal(f.reasons)
	if err != nil {
		return err
	}
	for i, text := range []string{s.text, s.customer, string(f.state)} {
		if err := b.Field(i).(*array.BinaryDictionaryBuilder).AppendString(text); err != nil {
			return err
		}
	}
	band := b.Field(4).(*array.BinaryDictionaryBuilder)
	if f.state == StateScored {
		b.Field(3).(*array.Float64Builder).Append(f.score)
		if err := band.AppendString(string(bandOf(f.score))); err != nil {
			return err
		}
	} else {
		b.Field(3).AppendNull()
		band.AppendNull()
	}
	b.Field(5).(*array.Date32Builder).Append(arrow.Date32(in.On))
	b.Field(6).(*array.Int32Builder).Append(int32(in.Horizon))
	b.Field(7).(*array.BooleanBuilder).Append(false)
	if err := b.Field(8).(*array.BinaryDictionaryBuilder).AppendString(m.Name()); err != nil {
		return err
	}
	if f.idle >= 0 {
		b.Field(9).(*array.Int32Builder).Append(int32(f.idle))
	} else {
		b.Field(9).AppendNull()
	}
	b.Field(10).(*array.StringBuilder).Append(string(told))
	return nil
}
