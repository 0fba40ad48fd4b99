package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"tidemark/data"
)

// AddUsage stages a row. Rows are sorted with bounded memory, so there may be
// any number of them, in any order. The feed's currency is the row's.
func (r *Run) AddUsage(row data.Usage, feed Feed) error {
	if r.ended {
		return errEnded
	}
	id := partID{day: row.Day, feed: feed}
	if row.BillingPeriod != nil {
		id.billing = *row.BillingPeriod
	}
	var err error
	r.key, err = encodeRow(appendID(r.key[:0], id), r.archive.layouts[UsageTable], codeUsage, &row)
	switch {
	case err != nil:
	case feed.Currency != row.Currency:
		err = fmt.Errorf("currency %q in feed %s", row.Currency, feed)
	case !utf8.ValidString(feed.Source) || !utf8.ValidString(feed.Scope):
		err = fmt.Errorf("feed %s: %w", feed, errNotText)
	default:
		err = r.checkScope(row, feed)
	}
	if err == nil {
		err = r.usage.add(r.key)
	}
	if err != nil {
		return fmt.Errorf("stage usage of %q on %s: %w", row.CustomerID, row.Day, err)
	}
	r.feeds[feed] = true
	if r.staged.Rows == 0 {
		r.staged.First, r.staged.Last = row.Day, row.Day
	}
	r.staged.First, r.staged.Last = min(r.staged.First, row.Day), max(r.staged.Last, row.Day)
	r.staged.Rows++
	return nil
}

// checkScope refuses a charge in two scopes for the same day: it would count
// twice.
func (r *Run) checkScope(row data.Usage, feed Feed) error {
	key := chargedIn{source: feed.Source, charged: chargedBy(string(row.CustomerID), valueOf(row.SubscriptionID), row.Currency),
		billing: valueOf(row.BillingPeriod)}
	known, at := r.scopes[key], -1
	for i, c := range known {
		if c.scope == feed.Scope {
			at = i
		}
	}
	if at >= 0 && known[at].days.Contains(row.Day) {
		return nil
	}
	if at < 0 {
		key.charged = key.clone() // not the whole line it was cut from
		key.billing = strings.Clone(key.billing)
		known, at = append(known, claim{scope: feed.Scope}), len(known)
	}
	known[at].days.Add(row.Day)
	r.scopes[key] = known
	for i, c := range known {
		if i != at && c.days.Contains(row.Day) {
			return fmt.Errorf("%s is delivered by feed %s and by feed %s for %s: it would count twice; leave one of them out",
				key.charged, Feed{feed.Source, c.scope, feed.Currency}, feed, row.Day)
		}
	}
	return nil
}

// valueOf returns a text, "" for none.
func valueOf[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}

// appendID begins a staged key with the identity of the part that the row
// belongs to, so that sorting also groups the rows by part.
func appendID(b []byte, id partID) []byte {
	b = appendInt32(b, int32(id.day))
	for _, s := range []string{id.feed.Source, id.feed.Scope, id.feed.Currency, id.billing} {
		b = appendText(b, s)
	}
	return b
}

// cutID reads the identity of the part that a staged key belongs to; rest is
// the row key.
func cutID(key []byte) (id partID, rest []byte) {
	id.day, rest = data.Day(int32Of(key[:4])), key[4:]
	for _, p := range []*string{&id.feed.Source, &id.feed.Scope, &id.feed.Currency, &id.billing} {
		var escaped []byte
		escaped, rest = cutText(rest)
		*p = unescape(escaped)
	}
	return id, rest
}

// usageDelivery is what one run delivers of usage.
type usageDelivery struct {
	Delivery
	parts  map[partID]delivered
	feeds  map[feedPeriod]bool          // with rows, but for scope ""
	whole  map[feedPeriod]data.Restated // without currency: delivered in every one
	awaits map[data.Day]string          // scopes that are behind on days that do not become known
	taken  map[string]bool              // paths of parts of other scopes whose rows are all delivered here
	rolled map[partID]Part              // the rollups that there are, also of usage that was pruned
}

// feedPeriod is what a delivery restates of a feed; without a currency, of all
// feeds of the scope.
type feedPeriod struct{ scope, currency, billing string }

// restated is what the delivery restates where it has rows of a feed and billing
// period.
func (u *usageDelivery) restated(f Feed, billing string) feedPeriod {
	all := feedPeriod{scope: f.Scope, billing: billing}
	if _, whole := u.whole[all]; whole {
		return all
	}
	return feedPeriod{f.Scope, f.Currency, billing}
}

// delivered is a part of a delivery. A part that the archive already had with
// equal content is not on disk a second time.
type delivered struct {
	written
	onDisk bool
}

// coverage is that of a day: its own bad rows, and those that may be of any day.
func (u *usageDelivery) coverage(day data.Day) Coverage {
	return u.coverageOn(u.FailedOn[day] + u.Undated)
}

// known is the content hash of an active part that need not be written again when
// the delivery has equal content; empty when it has to. A bad row that may be of
// any day is not of one that was complete and has the same rows again.
func (u *usageDelivery) known(p Part) string {
	if (p.Feed == Feed{Source: u.Source}) && p.Awaits != u.awaits[p.Day] {
		return ""
	}
	if c := u.coverage(p.Day).Complete(); c == p.Coverage.Complete() || !c && u.coverageOn(u.FailedOn[p.Day]).Complete() {
		return p.ContentSHA256
	}
	return ""
}

// await decides which days do not become known: those for which a part of the source
// is behind, unless they were known before. Then that part was there already, or is
// new.
func (u *usageDelivery) await(base *state) {
	u.awaits = map[data.Day]string{}
	if len(u.Awaits) == 0 {
		return
	}
	known := knownDays(slices.Concat(base.sorted(), base.kept(u.rolled)))
	for _, a := range u.Awaits {
		for day := range a.Days.All() {
			if u.awaits[day] == "" && !known[day] {
				u.awaits[day] = a.Scope
			}
		}
	}
}

// knownDays are the days that count as extracted, by all of their parts.
func knownDays(parts []Part) map[data.Day]bool {
	known, awaited := map[data.Day]bool{}, map[data.Day]bool{}
	for _, p := range parts {
		known[p.Day] = true
		awaited[p.Day] = awaited[p.Day] || p.Awaits != ""
	}
	maps.DeleteFunc(known, func(d data.Day, _ bool) bool { return awaited[d] })
	return known
}

// complete reports whether the source is complete for a day: without a row, nothing
// was used then.
func (u *usageDelivery) complete(day data.Day) bool {
	return u.Covers == nil || slices.ContainsFunc(u.Covers, func(p data.Period) bool { return p.Contains(day) })
}

// covers reports whether the delivery decides about an active part: then the
// part goes unless it is delivered again.
func (u *usageDelivery) covers(p Part) bool {
	switch {
	case p.Feed.Source != u.Source:
		return false
	case p.Feed.Scope == "":
		return u.Days.Contains(p.Day) && u.complete(p.Day)
	case u.taken[p.Path]:
		return true
	}
	return u.feeds[u.restated(p.Feed, p.BillingPeriod)] && (u.Full || u.Days.Contains(p.Day))
}

// dropped are the feeds that had rows of which the delivery has none and which
// it removes all the same: those of the source as one.
func (u *usageDelivery) dropped(removes []Part) []Feed {
	var all []Feed
	seen := map[Feed]bool{}
	for id := range u.parts {
		seen[id.feed] = true
	}
	for _, p := range removes {
		if p.Rows > 0 && !seen[p.Feed] && !u.taken[p.Path] {
			seen[p.Feed] = true
			all = append(all, p.Feed)
		}
	}
	return all
}

// plan compares the delivery with a state of the table.
func (u *usageDelivery) plan(s *state) (plan, error) {
	var p plan
	active := s.byID()
	same := func(id partID) bool {
		old, found := active[id]
		d, again := u.parts[id]
		return found && again && u.known(old) == d.part.ContentSHA256
	}
	for _, id := range slices.SortedFunc(maps.Keys(u.parts), compareIDs) {
		switch d := u.parts[id]; {
		case same(id):
			p.unchanged++
		case !d.onDisk:
			return plan{}, ErrConflict
		default:
			p.adds = append(p.adds, d.written)
		}
	}
	for _, old := range s.sorted() {
		if u.covers(old) && !same(old.id()) {
			p.removes = append(p.removes, old)
		}
	}
	// Of what was pruned the rollup goes on, unless it is restated without it.
	gone := p.removes
	for _, old := range s.kept(u.rolled) {
		if _, again := u.parts[old.id()]; !again && u.covers(old) {
			p.superseded, gone = append(p.superseded, old.Path), append(gone, old)
		}
	}
	p.dropped = u.dropped(gone)
	return p, nil
}

// maxDays bounds what one delivery restates. A range beyond it comes from a
// wrong date in the input, and would make a file for each day in between.
const maxDays = 3660

func (r *Run) checkDelivery(d Delivery) error {
	switch n := d.Days.Days(); {
	case d.Source == "":
		return errors.New("the delivery names no source")
	case n < 1:
		return fmt.Errorf("the delivery ends on %s, before it begins on %s", d.Days.To, d.Days.From)
	case n > maxDays:
		return fmt.Errorf("the delivery reaches from %s to %s, more than ten years: check the dates in the input", d.Days.From, d.Days.To)
	}
	if early := r.staged.First < d.Days.From && !d.Full; r.staged.Rows > 0 && (early || r.staged.Last > d.Days.To) {
		return fmt.Errorf("rows of %s to %s are staged, but the delivery is of %s to %s", r.staged.First, r.staged.Last, d.Days.From, d.Days.To)
	}
	for f := range r.feeds {
		if f.Source != d.Source {
			return fmt.Errorf("rows of feed %s are staged, but the delivery is of source %s", f, d.Source)
		}
	}
	return nil
}

// CommitUsage commits the staged rows as what the source has of d.Days. Active
// parts of those days that belong to a feed delivered here and are not
// delivered again go; a day without any row gets a part with zero rows, so that
// it counts as extracted, and one that is awaited gets such a part that says so. What did not change is not committed again.
func (r *Run) CommitUsage(ctx context.Context, d Delivery) (Committed, error) {
	if err := r.checkDelivery(d); err != nil {
		return Committed{}, fmt.Errorf("commit usage: %w", err)
	}
	if err := r.saveQuarantine(ctx); err != nil {
		return Committed{}, err
	}
	base, err := r.archive.refresh(ctx, UsageTable)
	if err != nil {
		return Committed{}, err
	}
	daily, err := r.archive.refresh(ctx, UsageDaily)
	if err != nil {
		return Committed{}, err
	}
	u := &usageDelivery{Delivery: d, rolled: daily.byID(), parts: map[partID]delivered{}, feeds: map[feedPeriod]bool{}, whole: map[feedPeriod]data.Restated{}}
	for _, w := range d.Restates {
		u.whole[feedPeriod{scope: w.Scope, billing: w.Period}] = w
	}
	if err := r.writeUsage(ctx, base, u); err != nil {
		return Committed{}, err
	}
	if err := r.takeOver(ctx, base, u); err != nil {
		return Committed{}, fmt.Errorf("commit usage: %w", err)
	}
	mode := "restate days"
	if d.Full {
		mode = "restate billing periods"
	}
	return r.commit(ctx, base, change{r.commitInfo(UsageTable, d, mode), u.plan, u.covers})
}

// writeUsage writes the staged rows, part by part, and the parts of days
// without rows.
func (r *Run) writeUsage(ctx context.Context, base *state, u *usageDelivery) error {
	u.await(base)
	active := base.byID()
	l := r.archive.layouts[UsageTable]
	days := map[data.Day]bool{}
	for group, err := range groups(r.usage.sorted()) {
		if err != nil {
			return err
		}
		days[group.id.day] = true
		if group.id.feed.Scope != "" {
			u.feeds[u.restated(group.id.feed, group.id.billing)] = true
		}
		d, err := writePart(ctx, r, l, codeUsage, source{id: group.id, coverage: u.coverage(group.id.day), known: u.known(active[group.id]), rows: group.rows,
			asOf: u.whole[feedPeriod{scope: group.id.feed.Scope, billing: group.id.billing}].AsOf, someDays: group.id.feed.Scope != "" && !u.Full})
		if err != nil {
			return err
		}
		u.parts[group.id] = d
	}
	empty := newFacts(l).content()
	for day := range u.Days.All() {
		if days[day] && u.awaits[day] == "" || !u.complete(day) {
			continue
		}
		id := partID{day: day, feed: Feed{Source: u.Source}}
		if u.known(active[id]) == empty {
			u.parts[id] = delivered{written: written{part: active[id]}}
			continue
		}
		d, err := writePart(ctx, r, l, codeUsage, source{id: id, coverage: u.coverage(id.day), rows: noErrors(nil), awaits: u.awaits[day]})
		if err != nil {
			return err
		}
		u.parts[id] = d
	}
	return nil
}

// group is the staged rows of one part.
type group struct {
	id   partID
	rows iter.Seq2[[]byte, error] // row keys in order; to be ranged over to the end
}

// groups splits sorted staged keys into parts.
func groups(keys iter.Seq2[[]byte, error]) iter.Seq2[group, error] {
	return func(yield func(group, error) bool) {
		var g grouper
		var stop func()
		g.pull, stop = iter.Pull2(keys)
		defer stop()
		for g.next(); g.more && g.err == nil; {
			id, rest := cutID(g.key)
			prefix := bytes.Clone(g.key[:len(g.key)-len(rest)])
			if !yield(group{id, g.rows(prefix)}, nil) {
				return
			}
		}
		if g.err != nil {
			yield(group{}, g.err)
		}
	}
}

// grouper stands at one key of a sequence.
type grouper struct {
	pull func() ([]byte, error, bool)
	key  []byte
	err  error
	more bool
}

func (g *grouper) next() { g.key, g.err, g.more = g.pull() }

// rows yields what follows the prefix, for as long as keys have it.
func (g *grouper) rows(prefix []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for ; g.more && g.err == nil && bytes.HasPrefix(g.key, prefix); g.next() {
			if !yield(g.key[len(prefix):], nil) {
				return
			}
		}
		if g.err != nil {
			yield(nil, g.err)
		}
	}
}
