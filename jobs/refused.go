package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tidemark/data"
	"tidemark/data/archive"
)

// before is the inventory as the newest snapshot before the day of the one that
// is being taken has it. The zero value is that of the archive's first snapshot.
type before struct {
	taken         bool // there is such a snapshot
	customers     map[data.CustomerID]data.Customer
	subscriptions map[data.SubscriptionID]data.Subscription
}

func readBefore(ctx context.Context, view *archive.View, day data.Day) (b before, err error) {
	customers, err := gather(view.CustomersOn(ctx, day-1))
	if err != nil {
		return b, err
	}
	subscriptions, err := gather(view.SubscriptionsOn(ctx, day-1))
	if err != nil {
		return b, err
	}
	b = before{len(customers) > 0, map[data.CustomerID]data.Customer{}, map[data.SubscriptionID]data.Subscription{}}
	for _, c := range customers {
		b.customers[c.CustomerID] = c
	}
	for _, s := range subscriptions {
		b.subscriptions[s.SubscriptionID] = s
	}
	return b, nil
}

// completeInventory adds to the inventory that was read what only the archive
// knows: when subscriptions were seen first, since when customers refuse, and the
// last known subscriptions of those, which may be of an earlier run of the day.
func (x *extraction) completeInventory(ctx context.Context) error {
	view, err := x.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	b, err := readBefore(ctx, view, x.InventoryDay)
	if err != nil {
		return fmt.Errorf("read the inventory before: %w", err)
	}
	if err := x.dateFirstSeen(ctx, view, b); err != nil {
		return fmt.Errorf("find when subscriptions were seen first: %w", err)
	}
	if len(x.refused) > 0 {
		known, err := gather(view.SubscriptionsOn(ctx, x.InventoryDay))
		if err != nil {
			return fmt.Errorf("read the inventory before: %w", err)
		}
		n := len(x.subscriptions)
		x.subscriptions = carry(known, x.subscriptions, subscriptionID, func(s data.Subscription) bool { return x.refused[s.CustomerID] != nil })
		x.carried = len(x.subscriptions) - n
	}
	x.noteRefused(b, newestOn(view, x.InventoryDay))
	return nil
}

// newestOn is the day of the newest inventory at or before a day, nil for none.
func newestOn(view *archive.View, day data.Day) *data.Day {
	days := view.Snapshots(archive.Subscriptions)
	n, _ := slices.BinarySearch(days, day+1)
	if n == 0 {
		return nil
	}
	return &days[n-1]
}

// maxNamed bounds how many customers a warning names.
const maxNamed = 10

// noteRefused writes into the customers' rows which of them refused, and warns
// of what is new or passing. A customer who refuses in the same way for the
// third snapshot is told once more, and no longer expected from then on.
func (x *extraction) noteRefused(b before, known *data.Day) {
	var back []data.CustomerID
	named := 0
	for i, c := range x.customers {
		was := b.customers[c.CustomerID]
		refused := x.refused[c.CustomerID]
		if refused == nil {
			if was.Unreachable() {
				back = append(back, c.CustomerID)
			}
			continue
		}
		c.Refused, c.RefusedSince, c.RefusedNights = refusedSince(was, refused, x.InventoryDay)
		x.customers[i] = c
		if c.Unreachable() {
			x.unreachable++
		}
		if was.Unreachable() && c.Unreachable() {
			continue // told before
		}
		if named++; named <= maxNamed {
			x.out.Warnings = append(x.out.Warnings, refusal(c, refused, known))
		}
	}
	if named > maxNamed {
		x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("%d more customers could not be read", named-maxNamed))
	}
	for _, id := range back {
		x.out.Notes = append(x.out.Notes, fmt.Sprintf("customer %s can be read again", id))
	}
}

// refusedSince is why and since when a customer refuses, and for how many nights
// in the same permanent way. A night of something that passes, e.g. a server that
// fails, neither counts nor ends that.
func refusedSince(was data.Customer, now *data.CustomerError, day data.Day) (why *string, since *data.Day, nights *int32) {
	before := was.Refused != nil && was.RefusedNights != nil && *was.RefusedNights > 0
	switch {
	case !now.Permanent && before:
		return was.Refused, was.RefusedSince, was.RefusedNights
	case !now.Permanent:
		return &now.Reason, &day, new(int32(0))
	case before && *was.Refused == now.Reason:
		return was.Refused, was.RefusedSince, new(*was.RefusedNights + 1)
	}
	return &now.Reason, &day, new(int32(1))
}

// refusal tells of one customer who could not be read.
func refusal(c data.Customer, err error, known *data.Day) string {
	who := string(c.CustomerID)
	if c.Name != nil {
		who = fmt.Sprintf("%q (%s)", *c.Name, who)
	}
	if c.Unreachable() {
		return fmt.Sprintf("customer %s is unreachable since %s (%s): from now on it is not expected any more and not told again; name it in source.exclude if it has gone",
			who, *c.RefusedSince, *c.Refused)
	}
	kept := "nothing is known of it yet"
	if known != nil {
		kept = "its subscriptions are kept as they were on " + known.String()
	}
	var detail *data.CustomerError
	if errors.As(err, &detail) && detail.Err != nil {
		return fmt.Sprintf("customer %s could not be read: %v; %s", who, detail.Err, kept)
	}
	return fmt.Sprintf("customer %s could not be read (%s); %s", who, *c.Refused, kept)
}

// dateFirstSeen dates the subscriptions whose source knows only their plan's
// date: one that the archive has had keeps its date; one that is new to it was
// created on the day of this snapshot, the first that has it. In the archive's
// first snapshot, and of a customer who was never read, it stays the plan's.
func (x *extraction) dateFirstSeen(ctx context.Context, view *archive.View, b before) error {
	if !b.taken {
		return nil
	}
	read := map[data.CustomerID]bool{} // customers whose subscriptions the snapshot before has
	for _, s := range b.subscriptions {
		read[s.CustomerID] = true
	}
	var unseen []int
	for i, s := range x.subscriptions {
		if s.CreatedBasis == nil || *s.CreatedBasis != data.BasisPlan {
			continue
		}
		was, known := b.subscriptions[s.SubscriptionID]
		customer, knownCustomer := b.customers[s.CustomerID]
		switch {
		case known && was.Created != nil:
			x.subscriptions[i].Created, x.subscriptions[i].CreatedBasis = was.Created, was.CreatedBasis
		case known, knownCustomer && customer.Refused != nil && !read[s.CustomerID]:
		default:
			unseen = append(unseen, i)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	earlier, err := createdBefore(ctx, view, x.InventoryDay-1)
	if err != nil {
		return err
	}
	for _, i := range unseen {
		s := &x.subscriptions[i]
		if was, found := earlier[s.SubscriptionID]; found { // it was away for a while
			s.Created, s.CreatedBasis = was.Created, was.CreatedBasis
			continue
		}
		s.Created, s.CreatedBasis = new(x.InventoryDay), new(data.BasisFirstSeen)
	}
	return nil
}
