package transform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// costs writes the cost tables; inputs without money columns have none.
func (m *metrics) costs() error {
	if !m.use.money {
		return nil
	}
	currencies := m.currencies()
	w := newWriter(m.mem, dictField("currency"), nullable(decimalField("value")), nullable(decimalField("previous")))
	for _, c := range currencies {
		value, previous, err := m.totals(*m.use.cost[c], "cost in "+m.use.texts.names[c])
		if err != nil {
			w.b.Release()
			return err
		}
		w.row(m.use.texts.names[c], value, previous)
	}
	m.tables.Cost = w.record()
	if err := m.costByCategory(); err != nil {
		return err
	}
	return m.costByDay(currencies)
}

// currencies returns the currencies with a cost, ordered by name.
func (m *metrics) currencies() []int32 {
	return slices.SortedFunc(maps.Keys(m.use.cost), func(a, b int32) int { return compareIDs(m.use.texts, a, b) })
}

// totals are the sums of both periods; the previous one is nil when it cannot
// be known.
func (m *metrics) totals(p pair, what string) (value data.Decimal, previous *data.Decimal, err error) {
	if value, err = p[current].total(what); err != nil {
		return value, nil, err
	}
	if m.noCompare != "" {
		return value, nil, nil
	}
	total, err := p[before].total(what + " before")
	return value, &total, err
}

// costByCategory lists every category that has rows; one without any cost has
// nulls.
func (m *metrics) costByCategory() error {
	w := newWriter(m.mem, dictField("category"), dictField("currency"), nullable(decimalField("value")), nullable(decimalField("previous")))
	keys := slices.Collect(maps.Keys(m.use.byCategory))
	for category := range m.use.categories {
		if !m.use.costed[category] {
			keys = append(keys, [2]int32{category, null})
		}
	}
	slices.SortFunc(keys, func(a, b [2]int32) int {
		return cmp.Or(compareIDs(m.use.texts, a[0], b[0]), compareIDs(m.use.texts, a[1], b[1]))
	})
	for _, key := range keys {
		category := m.use.texts.names[key[0]]
		if key[1] == null {
			w.row(category, "", nil, nil)
			continue
		}
		currency := m.use.texts.names[key[1]]
		value, previous, err := m.totals(*m.use.byCategory[key], fmt.Sprintf("cost of category %q in %s", category, currency))
		if err != nil {
			w.b.Release()
			return err
		}
		w.row(category, currency, value, previous)
	}
	m.tables.CostByCategory = w.record()
	return nil
}

// costByDay writes every known day in every currency that has a cost.
func (m *metrics) costByDay(currencies []int32) error {
	w := newWriter(m.mem, dateField("date"), dictField("currency"), decimalField("value"))
	for _, day := range m.known {
		for _, c := range currencies {
			var s sum
			if found := m.use.byDay[dayCurrency{day, c}]; found != nil {
				s = *found
			}
			value, err := s.total(fmt.Sprintf("cost of %s in %s", day, m.use.texts.names[c]))
			if err != nil {
				w.b.Release()
				return err
			}
			w.row(day, m.use.texts.names[c], value)
		}
	}
	m.tables.CostByDay = w.record()
	return nil
}

// topSize is how many customers a ranking has.
const topSize = 5

// ranked is a customer's place in a ranking.
type ranked struct {
	id, name string
	value    data.Decimal
	previous *data.Decimal
}

// ranking is one list of top customers.
type ranking struct {
	category       *string // nil: all categories together
	currency, unit *string
	quantity       bool
	rows           []ranked
}

// topCustomers writes the rankings: by cost for each category and currency and
// for all categories together, by quantity for categories without any cost. One
// ranking over all currencies, in USD, stands for those of all categories where
// there are several currencies and every cost is known in USD too.
func (m *metrics) topCustomers() error {
	lists := map[[3]int32]*ranking{} // category, currency, unit
	u := m.use
	inUSD := u.money && u.allUSD && len(u.cost) > 1
	for key, p := range u.byCustomer {
		if key[1] == null && inUSD {
			continue
		}
		list := entry(lists, [3]int32{key[1], key[2], null})
		list.category, list.currency = name(u.texts, key[1]), name(u.texts, key[2])
		if err := m.rank(list, key[0], *p, "cost"); err != nil {
			return err
		}
	}
	if inUSD {
		list := entry(lists, [3]int32{null, null, null})
		list.currency = new("USD")
		for customer, p := range u.usd {
			if err := m.rank(list, customer, *p, "cost in USD"); err != nil {
				return err
			}
		}
	}
	for key, p := range u.quantity {
		if u.costed[key[1]] {
			continue
		}
		list := entry(lists, [3]int32{key[1], null, key[2]})
		list.category, list.unit, list.quantity = name(u.texts, key[1]), name(u.texts, key[2]), true
		if err := m.rank(list, key[0], *p, "quantity"); err != nil {
			return err
		}
	}
	m.writeTop(lists)
	return nil
}

// rank adds a customer to a ranking.
func (m *metrics) rank(list *ranking, customer int32, p pair, what string) error {
	id := m.use.ids.names[customer]
	value, previous, err := m.totals(p, fmt.Sprintf("%s of customer %q", what, id))
	if err != nil || !p[current].set {
		return err
	}
	list.rows = append(list.rows, ranked{id, cmp.Or(m.inv.names[id], id), value, previous})
	return nil
}

func (m *metrics) writeTop(lists map[[3]int32]*ranking) {
	w := newWriter(m.mem, nullable(dictField("category")), int32Field("rank"), dictField("customer_id"), nullable(dictField("currency")),
		nullable(decimalField("cost")), nullable(decimalField("previous")), nullable(decimalField("quantity")), nullable(dictField("unit")))
	keys := slices.SortedFunc(maps.Keys(lists), func(a, b [3]int32) int {
		return cmp.Or(compareIDs(m.use.texts, a[0], b[0]), compareIDs(m.use.texts, a[1], b[1]), compareIDs(m.use.texts, a[2], b[2]))
	})
	for _, key := range keys {
		list := lists[key]
		slices.SortFunc(list.rows, func(a, b ranked) int {
			return cmp.Or(b.value.Cmp(a.value), cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
		})
		for i, r := range list.rows[:min(len(list.rows), topSize)] {
			cost, quantity := &r.value, (*data.Decimal)(nil)
			if list.quantity {
				cost, quantity = nil, &r.value
			}
			w.row(list.category, i+1, r.id, list.currency, cost, r.previous, quantity, list.unit)
		}
	}
	m.tables.TopCustomers = w.record()
}

// boolAt reads a cell of a boolean column.
func boolAt(c arrow.Array, row int) *bool {
	b, ok := c.(interface{ Value(int) bool })
	if !ok || c.IsNull(row) {
		return nil
	}
	return new(b.Value(row))
}
