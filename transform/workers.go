package transform

import (
	"iter"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
)

// splitRows is from how many rows of Inputs.Daily on two workers read them: below, starting
// the second costs more than it saves.
const splitRows = 100_000

// shares spreads the rows over workers.
func (in Inputs) shares() []RawRows {
	if len(in.Raw) > 0 {
		return in.Raw
	}
	rows := int64(0)
	for _, rec := range in.Daily {
		rows += rec.NumRows()
	}
	if rows < splitRows {
		return []RawRows{rowsOf(in.Daily)}
	}
	at, seen := 0, int64(0)
	for seen < rows/2 {
		seen += in.Daily[at].NumRows()
		at++
	}
	return []RawRows{rowsOf(in.Daily[:at]), rowsOf(in.Daily[at:])}
}

// rowsOf yields records whatever is wanted of them.
func rowsOf(records []arrow.Record) RawRows {
	return func(func() []string) iter.Seq2[arrow.Record, error] { return recordsOf(records) }
}

func recordsOf(records []arrow.Record) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// readAll reads the rows, each share by a worker of its own, and merges what they found:
// sums are exact integers, so that it does not matter who read what.
func (u *usage) readAll(in Inputs, days *comparison) error {
	shares := in.shares()
	parts := make([]*usage, len(shares))
	errs := make([]error, len(shares))
	parts[0] = u
	for i := range parts[1:] {
		parts[i+1] = newUsage(in, new(IDs), new(IDs))
	}
	var workers sync.WaitGroup
	for i, share := range shares {
		workers.Go(func() { errs[i] = parts[i].readShare(share, newCalendar(in, days)) })
	}
	workers.Wait()
	if at := slices.IndexFunc(errs, func(err error) bool { return err != nil }); at >= 0 {
		return errs[at]
	}
	groups := fold{to: u}
	for _, part := range parts {
		u.usd = u.usd && part.usd
	}
	groups.add(&u.spots, foldIDs{})
	u.spots = spots{}
	for _, part := range parts[1:] {
		groups.add(&part.spots, u.merge(part))
		part.spots = spots{}
	}
	return nil
}

func (u *usage) readShare(share RawRows, days *calendar) error {
	for rec, err := range share(u.wanted) {
		if err == nil {
			err = u.add(rec, days)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// merge adds what another worker found but for its spots, and says which ids are here what they
// are there.
func (u *usage) merge(o *usage) foldIDs {
	ids := foldIDs{u.customers.merge(o.customers), u.categories.merge(&o.categories), u.units.merge(&o.units), u.currencies.merge(&o.currencies)}
	subscriptions := u.subscriptions.merge(o.subscriptions)
	for side := range 2 {
		u.customerUsed[side] = mergeUsed(u.customerUsed[side], o.customerUsed[side], ids.customers)
		u.subscriptionUsed[side] = mergeUsed(u.subscriptionUsed[side], o.subscriptionUsed[side], subscriptions)
	}
	u.lastUsage = atLeast(u.lastUsage, u.subscriptions.Len())
	for id, last := range o.lastUsage {
		if to := &u.lastUsage[subscriptions[id]]; last.known && (!to.known || to.Day < last.Day) {
			*to = last
		}
	}
	for i, k := range o.byDay.keys {
		u.byDay.at(dayKey{k.day, mapped(ids.currencies, k.currency)}).Merge(o.byDay.values[i])
	}
	return ids
}

func mergeUsed(used, other []bool, ids []int32) []bool {
	for id, was := range other {
		if was {
			used = atLeast(used, int(ids[id])+1)
			used[ids[id]] = true
		}
	}
	return used
}

// merge enters the texts of another table and returns, for each of its ids, the id here.
func (t *IDs) merge(o *IDs) []int32 {
	ids := make([]int32, len(o.texts))
	for i, text := range o.texts {
		ids[i] = t.ID(text)
	}
	return ids
}

// mapped returns what an id of another table is here; without ids it is the same.
func mapped(ids []int32, id int32) int32 {
	if id == NoID || ids == nil {
		return id
	}
	return ids[id]
}
