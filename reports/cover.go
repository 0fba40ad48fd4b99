package reports

import (
	"maps"
	"slices"

	"tidemark/data"
)

// Customers returns the customers that have a row of their own, in order.
func (o *Ownership) Customers() []data.CustomerID { return slices.Sorted(maps.Keys(o.owners)) }

// Cover lets by see what absent owns, while somebody is away.
func (o *Ownership) Cover(absent, by string) {
	absent, by = key(absent), key(by)
	if slices.Contains(o.defaults, absent) {
		o.defaults = appendNew(o.defaults, by)
	}
	for id, owners := range o.owners {
		if slices.Contains(owners, absent) {
			o.owners[id] = appendNew(owners, by)
		}
	}
}
