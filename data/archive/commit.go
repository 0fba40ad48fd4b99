package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// usagePlan is a commit of usage in the making.
type usagePlan struct {
	r         *Run
	d         Delivery
	base      *state
	active    map[identity]Part
	delivered map[[2]string]bool // scope and billing period
	days      map[data.Day]bool  // with rows
	kept      map[identity]bool  // delivered again with equal content
	change    change
}

// CommitUsage writes the staged rows and commits them. Of the source's active
// files it replaces, within d.Days, those of every scope that was delivered;
// the empty scope always is. A full delivery of a scope also drops the scope's
// files of its billing periods outside d.Days. A day without any row gets a
// file with zero rows: that is how "no usage" differs from "not extracted".
func (r *Run) CommitUsage(ctx context.Context, d Delivery) (Committed, error) {
	base, err := r.a.replay(ctx, UsageTable, -1, nil)
	if err != nil {
		return Committed{}, err
	}
	p := &usagePlan{r: r, d: d, base: base, active: map[identity]Part{}, delivered: map[[2]string]bool{},
		days: map[data.Day]bool{}, kept: map[identity]bool{}, change: change{delivery: d}}
	for _, part := range base.parts {
		p.active[part.identity()] = part
	}
	if err := p.writeParts(ctx); err != nil {
		return Committed{}, err
	}
	p.removeOld()
	for _, day := range p.emptyDays() {
		if err := p.writePart(ctx, day, Feed{Source: d.Source}, "", func(func(data.Usage, error) bool) {}); err != nil {
			return Committed{}, err
		}
	}
	p.change.remove = slices.DeleteFunc(p.change.remove, func(part Part) bool { return p.kept[part.identity()] })
	return r.commit(ctx, UsageTable, base, p.change)
}

// emptyDays returns the days that need a file with zero rows: those delivered
// without rows, and those that lost their last file to this delivery.
func (p *usagePlan) emptyDays() []data.Day {
	empty, removed := map[data.Day]bool{}, map[string]bool{}
	for day := range p.d.Days.All() {
		empty[day] = true
	}
	for _, part := range p.change.remove {
		empty[part.Day], removed[part.Path] = true, true
	}
	for id, part := range p.active {
		if !removed[part.Path] && !p.d.Days.Contains(id.day) {
			delete(empty, id.day)
		}
	}
	for day := range p.days {
		delete(empty, day)
	}
	return slices.Sorted(maps.Keys(empty))
}

// writeParts writes a file per day, feed and billing period of the sorted rows.
func (p *usagePlan) writeParts(ctx context.Context) error {
	next, stop := iter.Pull2(p.r.sorter.all())
	defer stop()
	var row data.Usage
	var feed Feed
	advance := func() (bool, error) {
		b, err, more := next()
		if err != nil || !more {
			return false, err
		}
		row, feed, err = decodeUsage(b)
		return err == nil, err
	}
	more, err := advance()
	for more && err == nil {
		day, current, period := row.Day, feed, text(row.BillingPeriod)
		p.days[day] = true
		p.delivered[[2]string{feed.Scope, period}] = true
		err = p.writePart(ctx, day, current, period, func(yield func(data.Usage, error) bool) {
			for more && row.Day == day && feed == current && text(row.BillingPeriod) == period {
				if !yield(row, nil) {
					return
				}
				var err error
				if more, err = advance(); err != nil {
					yield(data.Usage{}, err)
					return
				}
			}
		})
	}
	return err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// writePart writes one file, unless the active one has the same content.
func (p *usagePlan) writePart(ctx context.Context, day data.Day, feed Feed, period string, rows iter.Seq2[data.Usage, error]) error {
	id := identity{day, feed.String(), period}
	tags := p.d.tags()
	tags["feed"], tags["scope"], tags["billing_period"] = id.feed, feed.Scope, period
	add, err := writePart(ctx, p.r, UsageTable, part[data.Usage]{day, id.feed, tags, p.active[id].ContentSHA256, (*line).usage, usageOrder()}, rows)
	switch {
	case err != nil:
		return err
	case add == nil:
		p.kept[id] = true
		p.change.unchanged++
	default:
		p.change.add = append(p.change.add, *add)
	}
	return nil
}

// removeOld removes the active files that the delivery replaces.
func (p *usagePlan) removeOld() {
	for id, part := range p.active {
		if part.Source != p.d.Source || p.kept[id] {
			continue
		}
		delivered := part.Scope == "" || p.delivered[[2]string{part.Scope, part.BillingPeriod}]
		inside := p.d.Days.Contains(part.Day)
		if delivered && (inside || p.d.Full && part.Scope != "") {
			p.change.remove = append(p.change.remove, part)
		}
	}
	slices.SortFunc(p.change.remove, func(a, b Part) int { return cmp.Compare(a.Path, b.Path) })
}

func usageOrder() []string {
	return []string{"customer_id", "subscription_id", "category", "meter_id"}
}

// part describes a file to be written.
type part[T any] struct {
	day    data.Day
	feed   string
	tags   map[string]string
	active string // content hash of the active file, "" for none
	text   func(*line, *T)
	order  []string
}

// writePart writes the rows to a file and returns its add action, or nil when
// the active file has the same content; then nothing remains of the new one.
func writePart[T any](ctx context.Context, r *Run, t Table, p part[T], rows iter.Seq2[T, error]) (*addedFile, error) {
	w, err := newPartWriter(ctx, r.a, t, r.nextPath(t, p.day, p.feed), p.text, p.order...)
	if err != nil {
		return nil, err
	}
	for row, err := range rows {
		if err == nil {
			err = w.add(row)
		}
		if err != nil {
			return nil, errors.Join(err, w.object.Abort())
		}
	}
	if err := w.finish(); err != nil {
		return nil, errors.Join(err, w.object.Abort())
	}
	if w.contentHash() == p.active {
		return nil, w.object.Abort()
	}
	add, err := w.commit(ctx, p.day, p.tags)
	if err != nil {
		return nil, err
	}
	return &add, nil
}

// Rollup makes usage_daily follow usage: every usage file that has no rollup of
// exactly its bytes is given to roll, whose record (data.UsageDailySchema) is
// archived and released; rollups of files that are gone are removed. So a run
// that died between the two commits is healed by the next one.
func (r *Run) Rollup(ctx context.Context, roll func(context.Context, Part, iter.Seq2[arrow.Record, error]) (arrow.Record, error)) (Committed, error) {
	usage, err := r.a.replay(ctx, UsageTable, -1, nil)
	if err != nil {
		return Committed{}, err
	}
	daily, err := r.a.replay(ctx, UsageDaily, -1, nil)
	if err != nil {
		return Committed{}, err
	}
	rolled := map[identity]Part{}
	for _, p := range daily.parts {
		rolled[p.identity()] = p
	}
	c := change{delivery: Delivery{Source: "rollup"}}
	for _, p := range sortedParts(usage) {
		old, found := rolled[p.identity()]
		delete(rolled, p.identity())
		if found && old.From == p.SHA256 {
			c.unchanged++
			continue
		}
		add, err := r.rollPart(ctx, p, roll)
		if err != nil {
			return Committed{}, fmt.Errorf("roll up %s of %s: %w", p.Feed, p.Day, err)
		}
		c.add = append(c.add, *add)
		c.delivery.RowsIn += p.Rows
		if found {
			c.remove = append(c.remove, old)
		}
	}
	c.remove = slices.AppendSeq(c.remove, maps.Values(rolled))
	slices.SortFunc(c.remove, func(a, b Part) int { return cmp.Compare(a.Path, b.Path) })
	if usage.version >= 0 && (daily.version < 0 || daily.last.UsageVersion == nil || *daily.last.UsageVersion != usage.version) {
		c.usageVersion = &usage.version
	}
	return r.commit(ctx, UsageDaily, daily, c)
}

func (r *Run) rollPart(ctx context.Context, p Part, roll func(context.Context, Part, iter.Seq2[arrow.Record, error]) (arrow.Record, error)) (*addedFile, error) {
	rec, err := roll(ctx, p, r.a.readPart(ctx, p, nil))
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	tags := maps.Clone(p.add.Tags)
	tags["from_sha256"] = p.SHA256
	return writePart(ctx, r, UsageDaily, part[data.UsageDaily]{p.Day, p.Feed, tags, "", (*line).daily,
		[]string{"customer_id", "subscription_id", "category", "unit", "currency", "charge_category"}}, dailyRows(rec))
}

// CommitCustomers makes rows the customer inventory of a day. Equal content
// commits nothing.
func (r *Run) CommitCustomers(ctx context.Context, day data.Day, rows []data.Customer, d Delivery) (Committed, error) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b data.Customer) int { return cmp.Compare(a.CustomerID, b.CustomerID) })
	return commitInventory(ctx, r, Customers, d, part[data.Customer]{day: day, text: (*line).customer, order: []string{"customer_id"}}, rows)
}

// CommitSubscriptions makes rows the subscription inventory of a day. Equal
// content commits nothing.
func (r *Run) CommitSubscriptions(ctx context.Context, day data.Day, rows []data.Subscription, d Delivery) (Committed, error) {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b data.Subscription) int {
		return cmp.Or(cmp.Compare(a.SubscriptionID, b.SubscriptionID), cmp.Compare(a.CustomerID, b.CustomerID))
	})
	return commitInventory(ctx, r, Subscriptions, d, part[data.Subscription]{day: day, text: (*line).subscription, order: []string{"subscription_id", "customer_id"}}, rows)
}

// commitInventory replaces the snapshot of a day.
func commitInventory[T any](ctx context.Context, r *Run, t Table, d Delivery, p part[T], rows []T) (Committed, error) {
	base, err := r.a.replay(ctx, t, -1, nil)
	if err != nil {
		return Committed{}, err
	}
	c := change{delivery: d}
	for _, old := range sortedParts(base) {
		if old.Day == p.day {
			c.remove = append(c.remove, old)
			p.active = old.ContentSHA256
		}
	}
	p.feed = Feed{Source: d.Source}.String()
	p.tags = d.tags()
	p.tags["feed"], p.tags["scope"], p.tags["billing_period"] = p.feed, "", ""
	add, err := writePart(ctx, r, t, p, func(yield func(T, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	})
	if err != nil {
		return Committed{}, err
	}
	if add == nil {
		c.remove, c.unchanged = nil, 1
	} else {
		c.add = []addedFile{*add}
	}
	return r.commit(ctx, t, base, c)
}

// sortedParts returns the active files by day, feed and billing period.
func sortedParts(s *state) []Part {
	return slices.SortedFunc(maps.Values(s.parts), func(a, b Part) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Feed, b.Feed), cmp.Compare(a.BillingPeriod, b.BillingPeriod), cmp.Compare(a.Path, b.Path))
	})
}
