package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// charged is what a scope charges for in a currency: a subscription, or what a
// customer has beside subscriptions. A subscription is the same whoever's it is:
// two scopes may name its customer differently.
type charged struct{ customer, subscription, currency string }

// chargedBy is what a row charges for.
func chargedBy(customer, subscription, currency string) charged {
	if subscription != "" {
		customer = ""
	}
	return charged{customer, subscription, currency}
}

func (c charged) clone() charged {
	return charged{strings.Clone(c.customer), strings.Clone(c.subscription), strings.Clone(c.currency)}
}

// String names it for messages.
func (c charged) String() string {
	if c.subscription == "" {
		return "customer " + c.customer
	}
	return "subscription " + c.subscription
}

// billedFeed is one billing period of a feed.
type billedFeed struct {
	feed    Feed
	billing string
}

// takeOver looks for active parts of other scopes of the source that hold what
// is delivered here for the same billing period, as when an export of the whole
// account follows one export a customer: it would count twice. They go if all
// that they hold is delivered here, day by day; otherwise the delivery is
// refused, since neither keeping nor dropping them were right.
func (r *Run) takeOver(ctx context.Context, base *state, u *usageDelivery) error {
	u.taken = map[string]bool{}
	found := map[billedFeed]*overlap{}
	active := base.byID()
	var delivered map[charged]Feed
	var of partID // whose day and billing period delivered is of
	for _, p := range u.others(base) {
		if at := (partID{day: p.Day, billing: p.BillingPeriod}); delivered == nil || at != of {
			var err error
			if delivered, err = r.deliveredOn(ctx, active, u, at); err != nil {
				return err
			}
			of = at
		}
		at := billedFeed{p.Feed, p.BillingPeriod}
		if found[at] == nil {
			found[at] = &overlap{}
		}
		table, from := UsageTable, p
		if _, there := base.parts[p.Path]; !there {
			table, from = UsageDaily, u.rolled[p.id()]
		}
		found[at].parts = append(found[at].parts, p)
		if err := r.compare(ctx, table, from, found[at], delivered); err != nil {
			return err
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(found), compareBilledFeeds) {
		o := found[at]
		if o.by == nil {
			continue
		}
		if o.missing != "" {
			return fmt.Errorf("feed %s delivers what the archive has for %s from feed %s, but not all of it: %s is not there, for one; what both have would count twice; take %s out of feed %s: it stays as it is archived, and other months may come from either",
				o.by, at.billing, at.feed, o.missing, at.billing, o.by)
		}
		for _, p := range o.parts {
			u.taken[p.Path] = true
		}
	}
	return nil
}

// others are the active parts of scopes that the delivery has nothing of, as far
// as it may deliver the same, in the order of day and billing period. What was
// pruned is among them for as long as its rollup counts.
func (u *usageDelivery) others(base *state) []Part {
	periods := map[billedFeed]bool{} // without scope; without currency where one scope delivers every one
	for id := range u.parts {
		if id.feed.Scope != "" {
			periods[billedFeed{Feed{Currency: u.restated(id.feed, id.billing).currency}, id.billing}] = true
		}
	}
	var all []Part
	for _, p := range slices.Concat(base.sorted(), base.kept(u.rolled)) {
		same := periods[billedFeed{billing: p.BillingPeriod}] || periods[billedFeed{Feed{Currency: p.Feed.Currency}, p.BillingPeriod}]
		if same && p.Feed.Source == u.Source && p.Feed.Scope != "" && p.Rows > 0 && !u.covers(p) && (u.Full || u.Days.Contains(p.Day)) {
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.BillingPeriod, b.BillingPeriod))
	})
	return all
}

// overlap is what a billing period of another feed has in common with the
// delivery.
type overlap struct {
	parts   []Part
	by      *Feed  // that delivers some of it again; nil for none
	missing string // something that no feed delivers again; empty for nothing
}

func compareBilledFeeds(a, b billedFeed) int {
	return compareIDs(partID{feed: a.feed, billing: a.billing}, partID{feed: b.feed, billing: b.billing})
}

// deliveredOn returns by which feed each charge of a day and billing period is
// delivered. What is delivered in every currency has none.
func (r *Run) deliveredOn(ctx context.Context, active map[partID]Part, u *usageDelivery, at partID) (map[charged]Feed, error) {
	all := map[charged]Feed{}
	for id, d := range u.parts {
		if id.day != at.day || id.billing != at.billing || id.feed.Scope == "" {
			continue
		}
		part := d.part
		if !d.onDisk {
			part = active[id]
		}
		currency := u.restated(id.feed, id.billing).currency
		err := r.archive.charges(ctx, UsageTable, part, func(customer, subscription string) { all[chargedBy(customer, subscription, currency)] = id.feed })
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// compare notes what of a part of usage, or of its rollup, is delivered again, and
// what is not.
func (r *Run) compare(ctx context.Context, t Table, p Part, o *overlap, delivered map[charged]Feed) error {
	return r.archive.charges(ctx, t, p, func(customer, subscription string) {
		c := chargedBy(customer, subscription, "")
		feed, found := delivered[c]
		if !found {
			c.currency = p.Feed.Currency
			feed, found = delivered[c]
		}
		switch {
		case found && o.by == nil:
			o.by = &feed
		case !found && o.missing == "":
			o.missing = fmt.Sprintf("%s of customer %s on %s", c, customer, p.Day)
			if subscription == "" {
				o.missing = fmt.Sprintf("what customer %s has beside subscriptions on %s", customer, p.Day)
			}
		}
	})
}

// charges hands the customers and subscriptions ("" for none) that a part of usage
// or usage_daily charges to visit, the same more than once.
func (a *Archive) charges(ctx context.Context, t Table, p Part, visit func(customer, subscription string)) error {
	l := a.layouts[t]
	wanted, err := l.selectColumns([]string{"customer_id", "subscription_id"})
	if err != nil {
		return err
	}
	again := newReused(a.opts.Allocator)
	defer again.end()
	f, err := a.openFor(ctx, l, p, wanted, again)
	if err != nil {
		return err
	}
	(scan{f, p, again, wanted, batchRows}).records(ctx, func(rec arrow.Record, e error) bool {
		if err = e; err != nil {
			return false
		}
		customers, subscriptions := rec.Column(0).(*array.Dictionary), rec.Column(1).(*array.Dictionary)
		var last [2]string
		for i := range int(rec.NumRows()) {
			pair := [2]string{dictText(customers, i), dictText(subscriptions, i)}
			if i == 0 || pair != last {
				visit(pair[0], pair[1])
			}
			last = pair
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
