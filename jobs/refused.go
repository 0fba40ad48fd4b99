package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// before is the inventory as the newest snapshot before the day of the one that
// is being taken has it. The zero value is that of the archive's first snapshot.
type before struct {
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
	b = before{map[data.CustomerID]data.Customer{}, map[data.SubscriptionID]data.Subscription{}}
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
	kept := map[data.CustomerID]int{}
	if len(x.refused) > 0 {
		known, err := gather(view.SubscriptionsOn(ctx, x.InventoryDay))
		if err != nil {
			return fmt.Errorf("read the inventory before: %w", err)
		}
		n := len(x.subscriptions)
		x.subscriptions = carry(known, x.subscriptions, subscriptionID, func(s data.Subscription) bool { return x.refused[s.CustomerID] != nil })
		x.carried = len(x.subscriptions) - n
		for _, s := range x.subscriptions[n:] {
			kept[s.CustomerID]++
		}
	}
	x.noteRefused(b, kept, newestOn(view, x.InventoryDay))
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
// third snapshot is told once more, and no longer expected from then on. Kept is how
// many subscriptions of each are those of the inventory of known, the newest.
func (x *extraction) noteRefused(b before, kept map[data.CustomerID]int, known *data.Day) {
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
			as := "no subscription of it is known"
			if kept[c.CustomerID] > 0 {
				as = "its subscriptions are kept as they were on " + known.String()
			}
			x.out.Warnings = append(x.out.Warnings, refusal(c, refused, as))
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

// refusal tells of one customer who could not be read, and what is kept of it.
func refusal(c data.Customer, err error, kept string) string {
	who := string(c.CustomerID)
	if c.Name != nil {
		who = fmt.Sprintf("%q (%s)", *c.Name, who)
	}
	if c.Unreachable() {
		return fmt.Sprintf("customer %s is unreachable since %s (%s): from now on it is not expected any more and not told again; name it in source.exclude if it has gone",
			who, *c.RefusedSince, *c.Refused)
	}
	var detail *data.CustomerError
	if errors.As(err, &detail) && detail.Err != nil {
		return fmt.Sprintf("customer %s could not be read: %v; %s", who, detail.Err, kept)
	}
	return fmt.Sprintf("customer %s could not be read (%s); %s", who, *c.Refused, kept)
}

// dateFirstSeen dates the subscriptions whose source knows only their plan's
// date: one that the archive has had keeps its date; one that is new to it was
// created on the day of this snapshot, the first that has it. Where no earlier
// snapshot could have had it, it stays the plan's: see [newIn].
func (x *extraction) dateFirstSeen(ctx context.Context, view *archive.View, b before) error {
	var undated []int
	for i, s := range x.subscriptions {
		if s.CreatedBasis == nil || *s.CreatedBasis != data.BasisPlan {
			continue
		}
		if was := b.subscriptions[s.SubscriptionID]; was.Created != nil {
			x.subscriptions[i].Created, x.subscriptions[i].CreatedBasis = was.Created, was.CreatedBasis
		} else {
			undated = append(undated, i)
		}
	}
	if len(undated) == 0 || len(view.Snapshots(archive.Subscriptions)) == 0 {
		return nil
	}
	earlier, err := createdBefore(ctx, view, x.InventoryDay-1)
	if err != nil {
		return err
	}
	owners := map[data.CustomerID]bool{}
	for _, i := range undated {
		if _, found := earlier[x.subscriptions[i].SubscriptionID]; !found {
			owners[x.subscriptions[i].CustomerID] = true
		}
	}
	isNew, err := newIn(ctx, view, x.InventoryDay-1, owners)
	if err != nil {
		return err
	}
	for _, i := range undated {
		s := &x.subscriptions[i]
		switch was, found := earlier[s.SubscriptionID]; {
		case found && was.Created != nil: // it was away for a while, or known by usage only
			s.Created, s.CreatedBasis = was.Created, was.CreatedBasis
		case !found && isNew[s.CustomerID]:
			s.Created, s.CreatedBasis = new(x.InventoryDay), new(data.BasisFirstSeen)
		}
	}
	return nil
}

// newIn says of which of these customers a subscription that no snapshot up to a
// day has is new: of those who were read before, and of those whom no snapshot
// has. Not so of a customer whom the archive knows and who was never read, since
// every snapshot has refusals of it or was derived from usage; and of nobody
// where all snapshots were derived: these name only who used something.
func newIn(ctx context.Context, view *archive.View, until data.Day, customers map[data.CustomerID]bool) (map[data.CustomerID]bool, error) {
	read, known := map[data.CustomerID]bool{}, map[data.CustomerID]bool{}
	inventories := false
	for _, p := range slices.Backward(view.Parts(archive.Customers)) {
		if p.Day > until {
			continue
		}
		if len(read) == len(customers) {
			return read, nil
		}
		// No source was asked for customers where none was expected.
		inventory := p.Coverage.Expected > 0
		inventories = inventories || inventory
		for rec, err := range view.Scan(ctx, archive.Customers, data.Period{From: p.Day, To: p.Day}, "customer_id", "refused") {
			if err != nil {
				return nil, err
			}
			var ids, reasons transform.IDs
			c := transform.ColumnsOf(rec)
			id, refused := c.IDs("customer_id", &ids), c.IDs("refused", &reasons)
			if err := c.Err(); err != nil {
				return nil, err
			}
			for i := range c.Rows() {
				customer := data.CustomerID(ids.Text(id.At(i)))
				if !customers[customer] {
					continue
				}
				known[customer] = true
				if inventory && refused.At(i) == transform.NoID {
					read[customer] = true
				}
			}
		}
	}
	isNew := map[data.CustomerID]bool{}
	for customer := range customers {
		isNew[customer] = inventories && (read[customer] || !known[customer])
	}
	return isNew, nil
}
