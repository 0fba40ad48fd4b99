// Package sample generates the snapshots of a partner who does not exist: the
// same for the same options, on every machine, row by row and in flat memory.
//
// The partner has a story. On its day (Options.Story) one customer, Noordzee
// Logistiek, has stopped using Azure nine days ago after months of daily use;
// a few others have stopped or decline, some came back, some never began. After
// that day life goes on: what a source says about a day does not depend on how
// far it reaches, so a partner can be followed night by night.
//
//  1. New lays out the portfolio: customers, subscriptions and what becomes of
//     them (portfolio.go, story.go);
//  2. Usage computes each amount from the seed, the subscription, the meter and
//     the day, in integers (usage.go);
//  3. with Options.Late it then withholds and alters what a real feed would not
//     have delivered yet (late.go).
package sample

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tidemark/data"
)

// Options says which partner and which days. Sources with the same seed, sizes
// and story agree on every day that both have, as far as it is settled.
type Options struct {
	Seed          int64    // 0 means 1
	Customers     int      // 0 means 40
	Subscriptions int      // 0 means 120
	From          data.Day // first day with usage; 0 means To-119
	To            data.Day // last day with usage and the day of the inventory; required
	Story         data.Day // day that the story is told for; 0 means From+119, which is To when From is 0
	Late          bool     // as late as a real feed
}

// The defaults of Options, and how far a story reaches back.
const (
	defaultSeed          = 1
	defaultCustomers     = 40
	defaultSubscriptions = 120
	storyDays            = 120
)

// Source generates one partner. It may be read any number of times.
type Source struct {
	o             Options
	dice          dice
	customers     []customer
	subscriptions []subscription
}

var (
	_ data.UsageSource     = (*Source)(nil)
	_ data.InventorySource = (*Source)(nil)
)

// New lays out the portfolio.
func New(o Options) (*Source, error) {
	if o.To == 0 {
		return nil, errors.New("source sample: the last day is not given")
	}
	if o.Seed == 0 {
		o.Seed = defaultSeed
	}
	if o.Customers == 0 {
		o.Customers = defaultCustomers
	}
	if o.Subscriptions == 0 {
		o.Subscriptions = defaultSubscriptions
	}
	if o.From == 0 {
		o.From = o.To - storyDays + 1
	}
	if o.Story == 0 {
		o.Story = o.From + storyDays - 1
	}
	if o.Customers < 0 || o.Subscriptions < 0 {
		return nil, fmt.Errorf("source sample: %d customers and %d subscriptions: want more than 0 of each", o.Customers, o.Subscriptions)
	}
	if o.From > o.To {
		return nil, fmt.Errorf("source sample: the first day %s is after the last day %s", o.From, o.To)
	}
	s := &Source{o: o, dice: dice(o.Seed)}
	s.layOut()
	return s, nil
}

// Kind is "sample".
func (s *Source) Kind() string { return "sample" }

// Usage yields the usage from From to To, by day, subscription and meter.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		period := data.Period{From: s.o.From, To: s.o.To}
		if want != nil {
			period.From, period.To = max(period.From, want.From), min(period.To, want.To)
		}
		living := make([]bool, len(s.customers))
		for day := range period.All() {
			for row := range s.day(day, living) {
				if err := ctx.Err(); err != nil {
					yield(data.Usage{}, err)
					return
				}
				tally.Read++
				if !yield(row, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(data.Usage{}, err)
		}
	}
}

// Customers yields the customers that have come by the day To.
func (s *Source) Customers(ctx context.Context, tally *data.Tally) iter.Seq2[data.Customer, error] {
	return func(yield func(data.Customer, error) bool) {
		for _, c := range s.customers {
			if err := ctx.Err(); err != nil {
				yield(data.Customer{}, err)
				return
			}
			if c.since > s.o.To {
				continue
			}
			tally.Read++
			if !yield(c.row(), nil) {
				return
			}
		}
	}
}

// Subscriptions yields the subscriptions that were created by the day To, in
// the state of that day.
func (s *Source) Subscriptions(ctx context.Context, tally *data.Tally) iter.Seq2[data.Subscription, error] {
	return func(yield func(data.Subscription, error) bool) {
		for i := range s.subscriptions {
			if err := ctx.Err(); err != nil {
				yield(data.Subscription{}, err)
				return
			}
			sub := &s.subscriptions[i]
			if sub.created > s.o.To {
				continue
			}
			tally.Read++
			if !yield(sub.row(s.customers[sub.customer].id, s.o.To), nil) {
				return
			}
		}
	}
}
