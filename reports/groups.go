package reports

import (
	"cmp"
	"slices"

	"tidemark/data"
)

// GroupKey is what costs are grouped by, beside the currency.
type GroupKey string

// The keys.
const (
	ByCustomer GroupKey = "customer"
	ByCategory GroupKey = "category"
	ByCurrency GroupKey = "currency"
)

// Groups is the cost of a period by one key and currency. Its JSON is the output
// of `tidemark metrics --group-by KEY --format json`.
type Groups struct {
	Coverage
	GroupBy GroupKey `json:"group_by"`
	Groups  []Group  `json:"groups"`
}

// Group is the cost of one group in one currency. Only the fields of its key are
// set, and only those are in the JSON.
type Group struct {
	CustomerID *data.CustomerID `json:"customer_id,omitempty"`
	Name       *Name            `json:"name,omitempty"` // of the customer; null in JSON while unknown
	Category   *string          `json:"category,omitempty"`
	Cost
	Reason *string `json:"reason"` // why value or previous is null: "not_stated", or that of Compared
}

// GroupBy returns the costs by a key: in order of currency, in each the highest
// first and the unknown last, ties by name, then id. A group has a row in a
// currency when either period has a row in it; of customers and currencies those
// of which no row states a cost are left out. The groups of a currency add up to
// its cost. A document without money has no groups.
func (d *Document) GroupBy(by GroupKey) Groups {
	g := Groups{Coverage: d.Coverage, GroupBy: by, Groups: []Group{}}
	if d.Costs == nil {
		return g
	}
	switch by {
	case ByCustomer:
		for _, c := range d.Background.CustomerCost {
			g.Groups = append(g.Groups, Group{CustomerID: new(c.CustomerID), Name: new(d.name(c.CustomerID)), Cost: c.Cost})
		}
	case ByCategory:
		for _, c := range d.ByCategory {
			g.Groups = append(g.Groups, Group{Category: new(c.Category), Cost: c.Cost})
		}
	case ByCurrency:
		for _, c := range d.Cost {
			g.Groups = append(g.Groups, Group{Cost: c})
		}
	}
	for i := range g.Groups {
		g.Groups[i].Reason = d.why(g.Groups[i].Cost)
	}
	slices.SortStableFunc(g.Groups, compareGroups)
	return g
}

// why says why a side of a cost is null; nil when both are known.
func (d *Document) why(c Cost) *string {
	switch {
	case c.Value == nil:
		return new("not_stated")
	case c.Previous != nil:
		return nil
	case d.Background.Compared.Reason != nil:
		return d.Background.Compared.Reason
	}
	return new("not_stated")
}

// compareGroups leaves customers of one name in the order they come in, which is
// that of their ids.
func compareGroups(a, b Group) int {
	return cmp.Or(cmp.Compare(a.Currency, b.Currency), compareAmounts(b.Value, a.Value), cmp.Compare(a.label(), b.label()))
}

// compareAmounts puts the unknown below everything.
func compareAmounts(a, b *data.Decimal) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Cmp(*b)
}

// label is what a person knows the group by: a customer without a name by its id.
func (g Group) label() string {
	switch {
	case g.CustomerID != nil:
		return cmp.Or(string(*g.Name), string(*g.CustomerID))
	case g.Category != nil:
		return *g.Category
	}
	return g.Currency
}
