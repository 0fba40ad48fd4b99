package jobs

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// unsureDays is how long after the first covered day a first usage day says
// nothing about creation: the subscription may be older than the input.
const unsureDays = 31

// observed is what usage rows say about customers and subscriptions, for
// sources without inventory. Its size is that of the inventory, not of the usage.
type observed struct {
	customers     map[data.CustomerID]*string
	subscriptions map[data.SubscriptionID]observedSubscription
}

type observedSubscription struct {
	customer data.CustomerID
	name     *string
}

func newObserved() observed {
	return observed{map[data.CustomerID]*string{}, map[data.SubscriptionID]observedSubscription{}}
}

// add notes the ids and names of one row; the latest name wins.
func (o observed) add(row data.Usage) {
	if name, found := o.customers[row.CustomerID]; !found || name == nil || row.Origin.CustomerName != nil && *name != *row.Origin.CustomerName {
		o.customers[row.CustomerID] = row.Origin.CustomerName
	}
	if row.SubscriptionID == nil {
		return
	}
	s, found := o.subscriptions[*row.SubscriptionID]
	if !found || s.customer != row.CustomerID || row.Origin.SubscriptionName != nil && (s.name == nil || *s.name != *row.Origin.SubscriptionName) {
		o.subscriptions[*row.SubscriptionID] = observedSubscription{row.CustomerID, cmp.Or(row.Origin.SubscriptionName, s.name)}
	}
}

// derive makes the inventory of a source that has none: the newest snapshot,
// completed with what this run's usage named, excluded customers left out: their
// usage is, too, so that they would pass for silent. A subscription counts as active,
// since nothing says that it ended, and as created on its first usage day,
// unless that lies in the first 31 days covered.
func (x *extraction) derive(ctx context.Context, view *archive.View, spans map[data.SubscriptionID]data.Period) error {
	customers, subscriptions, err := newestInventory(ctx, view)
	if err != nil {
		return err
	}
	kind := x.Usage.Kind()
	for id, name := range x.seen.customers {
		customers[id] = data.Customer{CustomerID: id, Name: cmp.Or(name, customers[id].Name), Source: kind}
	}
	for id, s := range x.seen.subscriptions {
		subscriptions[id] = data.Subscription{SubscriptionID: id, CustomerID: s.customer,
			Name: cmp.Or(s.name, subscriptions[id].Name), Status: data.StatusActive}
	}
	maps.DeleteFunc(customers, func(id data.CustomerID, _ data.Customer) bool { return x.Exclude[id] })
	maps.DeleteFunc(subscriptions, func(_ data.SubscriptionID, s data.Subscription) bool { return x.Exclude[s.CustomerID] })
	days := view.ArchivedDays()
	for id, s := range subscriptions {
		s.Created, s.CreatedBasis = nil, nil
		if span, found := spans[id]; found && span.From >= days[0].Day+unsureDays {
			s.Created, s.CreatedBasis = new(span.From), new(data.BasisFirstUsage)
		}
		subscriptions[id] = s
	}
	x.customers = slices.SortedFunc(maps.Values(customers), func(a, b data.Customer) int { return cmp.Compare(a.CustomerID, b.CustomerID) })
	x.subscriptions = slices.SortedFunc(maps.Values(subscriptions), func(a, b data.Subscription) int {
		return cmp.Compare(a.SubscriptionID, b.SubscriptionID)
	})
	return nil
}

// newestInventory reads the newest snapshots back as rows.
func newestInventory(ctx context.Context, view *archive.View) (map[data.CustomerID]data.Customer, map[data.SubscriptionID]data.Subscription, error) {
	customers := map[data.CustomerID]data.Customer{}
	subscriptions := map[data.SubscriptionID]data.Subscription{}
	for row, err := range view.Customers(ctx) {
		if err != nil {
			return nil, nil, err
		}
		customers[row.CustomerID] = row
	}
	for row, err := range view.Subscriptions(ctx) {
		if err != nil {
			return nil, nil, err
		}
		subscriptions[row.SubscriptionID] = row
	}
	return customers, subscriptions, nil
}

// createdBefore returns the creation dates that the snapshots up to a day have,
// of each subscription the newest that is known.
func createdBefore(ctx context.Context, view *archive.View, day data.Day) (map[data.SubscriptionID]data.Subscription, error) {
	days := view.Snapshots(archive.Subscriptions)
	all := map[data.SubscriptionID]data.Subscription{}
	for rec, err := range view.Scan(ctx, archive.Subscriptions, data.Period{From: days[0], To: day}, "subscription_id", "created", "created_basis") {
		if err != nil {
			return nil, err
		}
		var ids, bases transform.IDs
		c := transform.ColumnsOf(rec)
		id, created, basis := c.IDs("subscription_id", &ids), c.Days("created"), c.IDs("created_basis", &bases)
		if err := c.Err(); err != nil {
			return nil, err
		}
		for i := range c.Rows() {
			s := data.Subscription{SubscriptionID: data.SubscriptionID(ids.Text(id.At(i)))}
			if day, known := created.At(i); known && basis.At(i) != transform.NoID {
				s.Created, s.CreatedBasis = new(data.Day(day)), new(data.Basis(bases.Text(basis.At(i))))
			}
			if _, found := all[s.SubscriptionID]; !found || s.Created != nil {
				all[s.SubscriptionID] = s
			}
		}
	}
	return all, nil
}
