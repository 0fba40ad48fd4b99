package jobs

import (
	"context"
	"fmt"
	"iter"

	"tidemark/data"
	"tidemark/data/archive"
)

// carry appends to the rows of an inventory those of the inventory before whose
// id is not among them and which only, nil for all, says yes to. It is for rows
// that could not be read: a row that is absent from a snapshot counts as ended,
// and nothing has ended because a line of the input was damaged.
func carry[T any, ID comparable](previous, rows []T, id func(T) ID, only func(T) bool) []T {
	there := map[ID]bool{}
	for _, row := range rows {
		there[id(row)] = true
	}
	for _, row := range previous {
		if !there[id(row)] && (only == nil || only(row)) {
			rows = append(rows, row)
		}
	}
	return rows
}

func customerID(c data.Customer) data.CustomerID             { return c.CustomerID }
func subscriptionID(s data.Subscription) data.SubscriptionID { return s.SubscriptionID }

// carryUnread keeps what the inventory before has of the ids that are absent
// from this one, for each table of which rows are in quarantine: those may be
// the ones. An id that really ended does so with the next inventory that is
// read as a whole.
func (x *extraction) carryUnread(ctx context.Context, view *archive.View) error {
	if x.out.Quarantined[string(archive.Customers)] > 0 {
		before, err := gather(view.CustomersOn(ctx, x.InventoryDay))
		if err != nil {
			return err
		}
		n := len(x.customers)
		x.customers = carry(before, x.customers, customerID, nil)
		x.warnOfCarried(view, archive.Customers, len(x.customers)-n)
	}
	if x.out.Quarantined[string(archive.Subscriptions)] > 0 {
		before, err := gather(view.SubscriptionsOn(ctx, x.InventoryDay))
		if err != nil {
			return err
		}
		n := len(x.subscriptions)
		x.subscriptions = carry(before, x.subscriptions, subscriptionID, nil)
		x.warnOfCarried(view, archive.Subscriptions, len(x.subscriptions)-n)
	}
	return nil
}

func gather[T any](rows iter.Seq2[T, error]) (all []T, err error) {
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}

// warnOfCarried says how many rows of a table are those of the inventory before,
// and whether a complete inventory of the day gives way to this one.
func (x *extraction) warnOfCarried(view *archive.View, t archive.Table, carried int) {
	if carried > 0 {
		x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("%d %s that this inventory lacks are kept as they were last known: their rows may be among the %d that could not be read",
			carried, t, x.out.Quarantined[string(t)]))
	}
	for _, p := range view.Parts(t) {
		if p.Day == x.InventoryDay && p.Coverage.Complete() {
			x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("the inventory of %s replaces one of the same day that had no bad %s row", p.Day, t))
		}
	}
}
