package main

import (
	"iter"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
	"tidemark/transform"
)

// used counts the subscriptions with usage in one period, a number that the
// metrics do not state, from the same records.
type used struct {
	ids, charges transform.IDs
	seen         []bool
	n            int
}

// watch yields the rows as they are and counts on the way.
func (u *used) watch(rows iter.Seq2[arrow.Record, error]) iter.Seq2[arrow.Record, error] {
	usage := u.charges.ID(string(data.ChargeUsage))
	return func(yield func(arrow.Record, error) bool) {
		for rec, err := range rows {
			if err == nil {
				err = u.add(rec, usage)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (u *used) add(rec arrow.Record, usage int32) error {
	c := transform.ColumnsOf(rec)
	id, charge, quantity := c.IDs("subscription_id", &u.ids), c.IDs("charge_category", &u.charges), c.Decimals("quantity")
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		at := id.At(i)
		if at == transform.NoID {
			continue
		}
		for int(at) >= len(u.seen) {
			u.seen = append(u.seen, false)
		}
		if u.seen[at] || charge.At(i) != usage {
			continue
		}
		if q, known := quantity.At(i); known && q.Sign() > 0 {
			u.seen[at] = true
			u.n++
		}
	}
	return nil
}
