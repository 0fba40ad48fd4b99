package main

import (
	"iter"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"tidemark/transform"
)

// subscriptionSums are the sums of one worker, by the ids of its own table.
type subscriptionSums struct {
	ids  transform.IDs
	sums []transform.Sum // of no subscription first
	err  error
}

func (s *subscriptionSums) add(rows iter.Seq2[arrow.Record, error]) error {
	s.sums = make([]transform.Sum, 1)
	for rec, err := range rows {
		if err != nil {
			return err
		}
		c := transform.ColumnsOf(rec)
		id, cost := c.IDs("subscription_id", &s.ids), c.Decimals("cost")
		if c.Err() != nil {
			return c.Err()
		}
		s.addRows(rec.Column(0), &id, &cost)
	}
	return nil
}

// addRows adds the rows of a record, whose ids are in a dictionary; those of one subscription
// mostly follow each other.
func (s *subscriptionSums) addRows(ids arrow.Array, id *transform.IDColumn, cost *transform.Column[decimal128.Num]) {
	index, nulls := ids.(*array.Dictionary).Indices().(*array.Int32).Int32Values(), ids.NullN() > 0
	for from := 0; from < len(index); {
		to := from + 1
		for to < len(index) && index[to] == index[from] && (!nulls || ids.IsNull(to) == ids.IsNull(from)) {
			to++
		}
		at := int(id.At(from)) + 1
		for at >= len(s.sums) {
			s.sums = append(s.sums, transform.Sum{})
		}
		s.sums[at].Merge(transform.Total(cost, from, to))
		from = to
	}
}

// merge adds what another worker found.
func (s *subscriptionSums) merge(o *subscriptionSums) {
	for i, sum := range o.sums {
		at := 0
		if i > 0 {
			at = int(s.ids.ID(o.ids.Text(int32(i-1)))) + 1
		}
		for at >= len(s.sums) {
			s.sums = append(s.sums, transform.Sum{})
		}
		s.sums[at].Merge(sum)
	}
}

// sum computes sum(cost) by subscription.
func (o ours) sum(shares []transform.RawRows) error {
	columns := func() []string { return []string{"subscription_id", "cost"} }
	parts := make([]subscriptionSums, len(shares))
	var workers sync.WaitGroup
	for i := range shares {
		workers.Go(func() { parts[i].err = parts[i].add(shares[i](columns)) })
	}
	workers.Wait()
	all := &parts[0]
	for i := range parts {
		if parts[i].err != nil {
			return parts[i].err
		}
		if i > 0 {
			all.merge(&parts[i])
		}
	}
	lines, err := all.lines()
	if err != nil {
		return err
	}
	return writeLines(oneSum.path(o.out), slices.Values(lines))
}

func (s *subscriptionSums) lines() ([]string, error) {
	var lines []string
	for i, sum := range s.sums {
		name, amount := "", ""
		if i > 0 {
			name = field(s.ids.Text(int32(i - 1)))
		}
		if sum.Count() > 0 {
			d, err := sum.Decimal("cost of subscription " + name)
			if err != nil {
				return nil, err
			}
			amount = places(d)
		}
		lines = append(lines, name+","+amount+"\n")
	}
	return lines, nil
}
