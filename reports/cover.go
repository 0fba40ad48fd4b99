package reports

import (
	"maps"
	"slices"

	"tidemark/data"
)

// Customers returns the customers that have a row of their own, in order.
func (o *Ownership) Customers() []data.CustomerID { return slices.Sorted(maps.Keys(o.owners)) }

// Absence is somebody who is away, and who stands in.
type Absence struct {
	Absent, By string // addresses
}

// Cover lets whoever stands in see what the absent own, while they are away. What
// somebody sees as a stand-in is not handed on: a stand-in who is away is covered for
// their own customers only.
func (o *Ownership) Cover(away []Absence) {
	covered := func(owners []string) []string {
		all := owners
		for _, a := range away {
			if slices.Contains(owners, key(a.Absent)) {
				all = appendNew(all, key(a.By))
			}
		}
		return all
	}
	o.defaults = covered(o.defaults)
	for id, owners := range o.owners {
		o.owners[id] = covered(owners)
	}
}
