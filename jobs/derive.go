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
	customers     map[data.CustomerID]seenName
	subscriptions map[data.SubscriptionID]observedSubscription
}

// seenName is a name, nil for none, and the newest day of a row that has it.
type seenName struct {
	name *string
	day  data.Day
}

// see notes the name of a row: that of the newest day counts, of one day the last
// that is read.
func (n *seenName) see(name *string, day data.Day) {
	if name == nil || n.name != nil && day < n.day {
		return
	}
	if n.name == nil || *n.name != *name {
		n.name = name
	}
	n.day = day
}

type observedSubscription struct {
	seenName
	customer data.CustomerID
	seen     data.Day // the newest day of a row
}

func newObserved() observed {
	return observed{map[data.CustomerID]seenName{}, map[data.SubscriptionID]observedSubscription{}}
}

// add notes the ids and names of one row. Rows come in the order of files, whatever
// their days: a subscription is of the customer that its newest day names.
func (o observed) add(row data.Usage) {
	c, found := o.customers[row.CustomerID]
	before := c
	if c.see(row.Origin.CustomerName, row.Day); !found || c != before {
		o.customers[row.CustomerID] = c
	}
	if row.SubscriptionID == nil {
		return
	}
	s, found := o.subscriptions[*row.SubscriptionID]
	was := s
	if s.see(row.Origin.SubscriptionName, row.Day); !found || row.Day >= s.seen {
		s.customer, s.seen = row.CustomerID, row.Day
	}
	if s != was {
		o.subscriptions[*row.SubscriptionID] = s
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
	for id, c := range x.seen.customers {
		customers[id] = data.Customer{CustomerID: id, Name: cmp.Or(c.name, customers[id].Name), Source: kind}
	}
	for id, s := range x.seen.subscriptions {
		known, found := subscriptions[id]
		owner, name := s.customer, cmp.Or(s.name, known.Name)
		if found && s.seen < spans[id].To { // the archive has newer usage than this run read
			owner, name = known.CustomerID, cmp.Or(known.Name, s.name)
		}
		subscriptions[id] = data.Subscription{SubscriptionID: id, CustomerID: owner, Name: name, Status: data.StatusActive}
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
