package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// charged is what a scope charges for: a customer's subscription, "" for what
// the customer has beside them.
type charged struct{ customer, subscription string }

// billedFeed is one billing period of a feed.
type billedFeed struct {
	feed    Feed
	billing string
}

// takeOver looks for active parts of other scopes of the source that hold what
// is delivered here for the same billing period, as when an export of the whole
// account follows one export a customer: it would count twice. They go if all
// that they hold is delivered here; otherwise the delivery is refused, since
// neither keeping nor dropping them were right.
func (r *Run) takeOver(ctx context.Context, base *state, u *usageDelivery) error {
	others := map[billedFeed][]Part{}
	periods := map[billedFeed]bool{} // without scope
	for id := range u.parts {
		if id.feed.Scope != "" {
			periods[billedFeed{Feed{Source: u.Source, Currency: id.feed.Currency}, id.billing}] = true
		}
	}
	for _, p := range base.sorted() {
		period := billedFeed{Feed{Source: u.Source, Currency: p.Feed.Currency}, p.BillingPeriod}
		if p.Feed.Source == u.Source && p.Feed.Scope != "" && p.Rows > 0 && periods[period] && !u.covers(p) && (u.Full || u.Days.Contains(p.Day)) {
			at := billedFeed{p.Feed, p.BillingPeriod}
			others[at] = append(others[at], p)
		}
	}
	u.taken = map[string]bool{}
	delivered := map[billedFeed]map[charged]string{}
	for _, at := range slices.SortedFunc(maps.Keys(others), compareBilledFeeds) {
		period := billedFeed{Feed{Source: u.Source, Currency: at.feed.Currency}, at.billing}
		if delivered[period] == nil {
			var err error
			if delivered[period], err = r.deliveredIn(ctx, base, u, period); err != nil {
				return err
			}
		}
		if err := r.takeOverFeed(ctx, u, at, others[at], delivered[period]); err != nil {
			return err
		}
	}
	return nil
}

func compareBilledFeeds(a, b billedFeed) int {
	return compareIDs(partID{feed: a.feed, billing: a.billing}, partID{feed: b.feed, billing: b.billing})
}

// deliveredIn returns by which scope each charge of a billing period is delivered.
func (r *Run) deliveredIn(ctx context.Context, base *state, u *usageDelivery, period billedFeed) (map[charged]string, error) {
	all := map[charged]string{}
	active := base.byID()
	for id, d := range u.parts {
		if id.feed.Currency != period.feed.Currency || id.billing != period.billing || id.feed.Scope == "" {
			continue
		}
		part := d.part
		if !d.onDisk {
			part = active[id]
		}
		err := r.archive.charges(ctx, part, func(c charged) { all[c] = id.feed.Scope })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// takeOverFeed decides about one billing period of another scope.
func (r *Run) takeOverFeed(ctx context.Context, u *usageDelivery, at billedFeed, parts []Part, delivered map[charged]string) error {
	again, missing := "", (*charged)(nil)
	for _, p := range parts {
		err := r.archive.charges(ctx, p, func(c charged) {
			if scope, found := delivered[c]; found {
				again = scope
			} else if missing == nil {
				missing = &c
			}
		})
		if err != nil {
			return err
		}
	}
	switch {
	case again == "":
		return nil
	case missing != nil:
		return fmt.Errorf("feed %s delivers what the archive has for %s from feed %s, but not all of it, customer %s for one: it would count twice; deliver the older feed as well, or leave the newer one out",
			Feed{u.Source, again, at.feed.Currency}, at.billing, at.feed, missing.customer)
	}
	for _, p := range parts {
		u.taken[p.Path] = true
	}
	return nil
}

// charges hands what a usage part charges for to visit, the same more than once.
func (a *Archive) charges(ctx context.Context, p Part, visit func(charged)) error {
	l := a.layouts[UsageTable]
	wanted, err := l.selectColumns([]string{"customer_id", "subscription_id"})
	if err != nil {
		return err
	}
	f, err := a.open(ctx, l, p)
	if err != nil {
		return err
	}
	(scan{f, p, a.opts.Allocator, wanted, batchRows}).records(ctx, func(rec arrow.Record, e error) bool {
		if err = e; err != nil {
			return false
		}
		customers, subscriptions := rec.Column(0).(*array.Dictionary), rec.Column(1).(*array.Dictionary)
		var last charged
		for i := range int(rec.NumRows()) {
			c := charged{customer: dictText(customers, i), subscription: dictText(subscriptions, i)}
			if i == 0 || c != last {
				visit(c)
			}
			last = c
		}
		return true
	})
	return errors.Join(err, f.close())
}

// dictText returns a text of a dictionary column, "" for null.
func dictText(d *array.Dictionary, i int) string {
	if d.IsNull(i) {
		return ""
	}
	return strings.Clone(d.Dictionary().(*array.String).Value(d.GetValueIndex(i)))
}
