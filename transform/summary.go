package transform

import (
	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

func summarySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "key", Type: data.DictType()},
		{Name: "value", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "previous", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "reason", Type: data.DictType(), Nullable: true},
	}, nil)
}

// answer is one side of a count: a number, or why there is none.
type answer struct {
	n      int64
	reason string // empty when n is known
}

func (c *computation) summary() (arrow.Record, error) {
	w := newWriter(c.mem, summarySchema())
	defer w.release()
	for _, count := range []struct {
		key string
		of  func(side int) answer
	}{
		{"subscriptions_sold", c.ifInventory(c.sold)},
		{"customers_with_usage", c.ifCompared(c.customersWithUsage)},
		{"customers_without_usage", c.ifInventory(c.ifCompared(c.customersWithoutUsage))},
		{"new_customers", c.ifInventory(func(side int) answer { return answer{n: int64(len(c.newCustomers(side)))} })},
		{"subscriptions_renewed", c.ifInventory(c.renewed)},
		{"subscriptions_without_usage", c.ifInventory(c.ifCompared(func(side int) answer {
			return answer{n: int64(len(c.withoutUsage(side)))}
		}))},
		{"active_at_end", c.ifInventory(c.activeAtEnd)},
		{"deprovisioned", c.ifInventory(c.deprovisioned)},
	} {
		now, before := count.of(current), count.of(previous)
		w.text(count.key)
		w.answer(now)
		w.answer(before)
		switch {
		case now.reason != "":
			w.text(now.reason)
		case before.reason != "":
			w.text(before.reason)
		default:
			w.null()
		}
	}
	return w.finish()
}

func (w *writer) answer(a answer) {
	if a.reason != "" {
		w.null()
		return
	}
	w.int64(a.n)
}

// ifInventory answers with a reason while there is no snapshot.
func (c *computation) ifInventory(of func(int) answer) func(int) answer {
	if len(c.inventory.days) == 0 {
		return func(int) answer { return answer{reason: noInventory} }
	}
	return of
}

// ifCompared answers with a reason for a previous side without usage to compare
// with.
func (c *computation) ifCompared(of func(int) answer) func(int) answer {
	return func(side int) answer {
		if side == previous && c.days.unknown != "" {
			return answer{reason: c.days.unknown}
		}
		return of(side)
	}
}

func (c *computation) sold(side int) answer {
	var a answer
	for i := range c.inventory.subs {
		s := &c.inventory.subs[i]
		if s.exists && s.created.known && c.days.periods[side].Contains(s.created.Day) {
			a.n++
		}
	}
	return a
}

func (c *computation) customersWithUsage(side int) answer {
	var a answer
	for _, used := range c.usage.customerUsed[side] {
		if used {
			a.n++
		}
	}
	return a
}

// customersWithoutUsage counts the customers that own a subscription that
// existed, and had no usage.
func (c *computation) customersWithoutUsage(side int) answer {
	var a answer
	counted := make([]bool, c.usage.customers.Len())
	for i := range c.inventory.subs {
		s := &c.inventory.subs[i]
		if s.existed(c.days.periods[side]) && !c.usage.customerUsed[side][s.customer] && !counted[s.customer] {
			counted[s.customer] = true
			a.n++
		}
	}
	return a
}

// newCustomer is a customer and the day its first subscription was created.
type newCustomer struct {
	id    int32
	since data.Day
}

// newCustomers returns the customers whose first subscription was created in
// the period, in order of id. A customer with a subscription of unknown
// creation is never new.
func (c *computation) newCustomers(side int) []newCustomer {
	first := make([]maybeDay, c.usage.customers.Len())
	old := make([]bool, c.usage.customers.Len())
	for i := range c.inventory.subs {
		switch s := &c.inventory.subs[i]; {
		case !s.exists:
		case !s.created.known:
			old[s.customer] = true
		case !first[s.customer].known || s.created.Day < first[s.customer].Day:
			first[s.customer] = s.created
		}
	}
	var out []newCustomer
	for _, id := range c.usage.customers.sorted() {
		if !old[id] && first[id].known && c.days.periods[side].Contains(first[id].Day) {
			out = append(out, newCustomer{id, first[id].Day})
		}
	}
	return out
}

// renewed counts plans: those with a renewal date in the period and those whose
// commitment end moved later between two snapshots, booked on the second. A
// move that a renewal date explains is that renewal, on its own day.
func (c *computation) renewed(side int) answer {
	inv, p := c.inventory, c.days.periods[side]
	switch {
	case !inv.terms.any:
		return answer{reason: notApplicable}
	case !inv.terms.exact && p.To <= *c.firstSnapshot():
		return answer{reason: notObservedBefore + c.firstSnapshot().String()}
	}
	type plan struct{ plan, subscription int32 }
	renewed := map[plan]bool{}
	count := func(id int32) {
		if s := &inv.subs[id]; s.plan != NoID {
			renewed[plan{s.plan, NoID}] = true
		} else {
			renewed[plan{NoID, id}] = true
		}
	}
	for id := range inv.subs {
		if s := &inv.subs[id]; s.exists && s.renewed.known && p.Contains(s.renewed.Day) {
			count(int32(id))
		}
	}
	for _, m := range inv.moves {
		dated := inv.subs[m.subscription].renewed
		explained := dated.known && m.from <= dated.Day && dated.Day <= m.to
		if p.Contains(m.to) && !explained {
			count(m.subscription)
		}
	}
	return answer{n: int64(len(renewed))}
}

func (c *computation) activeAtEnd(side int) answer {
	d := c.days.periods[side].To
	return answer{n: c.active(d)}
}

// active counts the subscriptions that are active on a day.
func (c *computation) active(d data.Day) int64 {
	n, newest := int64(0), c.inventory.newest(d)
	for id := range c.inventory.subs {
		if c.inventory.status(int32(id), d, newest) == data.StatusActive {
			n++
		}
	}
	return n
}

// deprovisioned counts what ended in the period. Where only snapshots can tell
// and none is old enough, it is unknown.
func (c *computation) deprovisioned(side int) answer {
	var a answer
	p, dated := c.days.periods[side], false
	for id := range c.inventory.subs {
		dated = dated || c.inventory.subs[id].exact
		for _, e := range c.inventory.endings(int32(id)) {
			if p.Contains(e.day) {
				a.n++
			}
		}
	}
	if !dated && p.To <= *c.firstSnapshot() {
		return answer{reason: notObservedBefore + c.firstSnapshot().String()}
	}
	return a
}
