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
func ownerOf(s data.Subscription) data.CustomerID            { return s.CustomerID }

// unread are the bad rows of an inventory table.
type unread struct {
	ids       map[string]bool // ids that they are of
	anonymous int             // rows whose id cannot be read
}

func (x *extraction) noteUnread(t archive.Table, bad *data.RowError) {
	u := x.unread[t]
	if u == nil {
		u = &unread{ids: map[string]bool{}}
		x.unread[t] = u
	}
	if bad.ID == "" {
		u.anonymous++
	} else {
		u.ids[bad.ID] = true
	}
}

// carryUnread keeps what the inventory before has of the ids whose rows could not
// be read. Where a bad row does not tell its id, every id that is absent from this
// inventory may be the one and is kept. An id that really ended does so with the
// next inventory that tells.
func (x *extraction) carryUnread(ctx context.Context, view *archive.View) (err error) {
	x.customers, err = snapshot[data.Customer, data.CustomerID]{
		archive.Customers, view.CustomersOn(ctx, x.InventoryDay), customerID, customerID,
	}.complete(x, x.customers)
	if err != nil {
		return err
	}
	x.subscriptions, err = snapshot[data.Subscription, data.SubscriptionID]{
		archive.Subscriptions, view.SubscriptionsOn(ctx, x.InventoryDay), subscriptionID, ownerOf,
	}.complete(x, x.subscriptions)
	x.warnOfReplaced(view)
	return err
}

// snapshot is the inventory before, of one table.
type snapshot[T any, ID ~string] struct {
	table archive.Table
	rows  iter.Seq2[T, error]
	id    func(T) ID
	owner func(T) data.CustomerID
}

// complete adds to the rows of an inventory those that it may have as bad rows.
func (s snapshot[T, ID]) complete(x *extraction, now []T) ([]T, error) {
	u := x.unread[s.table]
	if u == nil {
		return now, nil
	}
	before, err := gather(s.rows)
	if err != nil {
		return nil, err
	}
	named, absent := 0, 0
	now = carry(before, now, s.id, func(row T) bool {
		switch {
		case x.Exclude[s.owner(row)]:
			return false
		case u.ids[string(s.id(row))]:
			named++
			return true
		case u.anonymous > 0:
			absent++
			return true
		}
		return false
	})
	x.warnOfCarried(s.table, named, absent)
	return now, nil
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

// warnOfCarried says how many rows of a table are those of the inventory before:
// named of ids that bad rows are of, and absent because bad rows do not tell.
func (x *extraction) warnOfCarried(t archive.Table, named, absent int) {
	if named > 0 {
		x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("%d %s that this inventory lacks are kept as they were last known: their rows could not be read", named, t))
	}
	if absent == 0 {
		return
	}
	bad := x.unread[t].anonymous
	text := fmt.Sprintf("%d %s that this inventory lacks are kept as they were last known: %d bad rows do not tell their id and may be of any of them", absent, t, bad)
	if absent > bad {
		text += fmt.Sprintf("; if each is of one, at least %d have ended and show so once these rows are mended", absent-bad)
	}
	x.out.Warnings = append(x.out.Warnings, text)
}

// warnOfReplaced says whether an inventory of the same day gives way to one that
// is less: with bad rows where there were none, or with fewer than three in four
// of its rows.
func (x *extraction) warnOfReplaced(view *archive.View) {
	rows := map[archive.Table]int{archive.Customers: len(x.customers), archive.Subscriptions: len(x.subscriptions)}
	for _, t := range []archive.Table{archive.Customers, archive.Subscriptions} {
		for _, p := range view.Parts(t) {
			switch {
			case p.Day != x.InventoryDay:
			case p.Coverage.Complete() && x.unread[t] != nil:
				x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("the inventory of %s replaces one of the same day that had no bad %s row", p.Day, t))
			case int64(rows[t])*4 < p.Rows*3:
				x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("the inventory of %s replaces one of the same day that had %d %s by one of %d: extract again if rows are missing in the input", p.Day, p.Rows, t, rows[t]))
			}
		}
	}
}
