package archive

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"

	"tidemark/data"
)

// CommitCustomers commits the customers that exist on a day, as the snapshot of
// that day. It replaces an earlier snapshot of the day when that
// differs, also only in what could not be read.
func (r *Run) CommitCustomers(ctx context.Context, day data.Day, rows []data.Customer, d Delivery) (Committed, error) {
	seen := map[data.CustomerID]bool{}
	for _, c := range rows {
		if seen[c.CustomerID] {
			return Committed{}, fmt.Errorf("commit %s of %s: customer %q is there twice", Customers, day, c.CustomerID)
		}
		seen[c.CustomerID] = true
	}
	return commitInventory(ctx, r, snapshot[data.Customer]{Customers, codeCustomer, day, rows}, d)
}

// CommitSubscriptions commits the subscriptions that exist on a day, like
// CommitCustomers.
func (r *Run) CommitSubscriptions(ctx context.Context, day data.Day, rows []data.Subscription, d Delivery) (Committed, error) {
	seen := map[data.SubscriptionID]bool{}
	for _, s := range rows {
		if seen[s.SubscriptionID] {
			return Committed{}, fmt.Errorf("commit %s of %s: subscription %q is there twice", Subscriptions, day, s.SubscriptionID)
		}
		seen[s.SubscriptionID] = true
	}
	return commitInventory(ctx, r, snapshot[data.Subscription]{Subscriptions, codeSubscription, day, rows}, d)
}

type snapshot[T any] struct {
	table Table
	code  func(*rowCoder, *T)
	day   data.Day
	rows  []T
}

func commitInventory[T any](ctx context.Context, r *Run, s snapshot[T], d Delivery) (Committed, error) {
	l := r.archive.layouts[s.table]
	keys, err := sortedKeys(l, s.code, s.rows)
	if err != nil {
		return Committed{}, fmt.Errorf("commit %s of %s: %w", s.table, s.day, err)
	}
	if err := r.saveQuarantine(ctx); err != nil {
		return Committed{}, err
	}
	base, err := r.archive.refresh(ctx, s.table)
	if err != nil {
		return Committed{}, err
	}
	id := partID{day: s.day, feed: Feed{Source: d.Source}}
	made, err := writePart(ctx, r, l, s.code, source{id: id, coverage: d.coverage(), known: base.byID()[id].knownContent(d.coverage()), rows: noErrors(keys)})
	if err != nil {
		return Committed{}, err
	}
	ofDay := func(p Part) bool { return p.Day == s.day }
	makePlan := func(at *state) (plan, error) {
		var p plan
		for _, old := range at.sorted() {
			switch {
			case !ofDay(old):
			case old.id() == id && old.knownContent(d.coverage()) == made.part.ContentSHA256:
				p.unchanged++
			default:
				p.removes = append(p.removes, old)
			}
		}
		switch {
		case p.unchanged > 0:
		case !made.onDisk:
			return plan{}, ErrConflict
		default:
			p.adds = append(p.adds, made.written)
		}
		return p, nil
	}
	return r.commit(ctx, base, change{r.commitInfo(s.table, d, "snapshot"), makePlan, ofDay})
}

// Customers yields the rows of the newest snapshot.
func (v *View) Customers(ctx context.Context) iter.Seq2[data.Customer, error] {
	return v.CustomersOn(ctx, math.MaxInt32)
}

// CustomersOn yields the rows of the newest snapshot at or before a day.
func (v *View) CustomersOn(ctx context.Context, day data.Day) iter.Seq2[data.Customer, error] {
	return snapshotRows(ctx, v, Customers, codeCustomer, day)
}

// Subscriptions yields the rows of the newest snapshot.
func (v *View) Subscriptions(ctx context.Context) iter.Seq2[data.Subscription, error] {
	return v.SubscriptionsOn(ctx, math.MaxInt32)
}

// SubscriptionsOn yields the rows of the newest snapshot at or before a day.
func (v *View) SubscriptionsOn(ctx context.Context, day data.Day) iter.Seq2[data.Subscription, error] {
	return snapshotRows(ctx, v, Subscriptions, codeSubscription, day)
}

func snapshotRows[T any](ctx context.Context, v *View, t Table, code func(*rowCoder, *T), until data.Day) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		days := v.Snapshots(t)
		n, found := slices.BinarySearch(days, until)
		if found {
			n++
		}
		if n == 0 {
			return
		}
		newest := days[n-1]
		for row, err := range tableRows(ctx, v, t, code, data.Period{From: newest, To: newest}) {
			if !yield(row.row, err) || err != nil {
				return
			}
		}
	}
}
