package main

import (
	"iter"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"

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
		for i := range c.Rows() {
			at := int(id.At(i)) + 1
			for at >= len(s.sums) {
				s.sums = append(s.sums, transform.Sum{})
			}
			if v, known := cost.At(i); known {
				s.sums[at].Add(v)
			}
		}
	}
	return nil
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
func (o ours) sum(shares []iter.Seq2[arrow.Record, error]) error {
	parts := make([]subscriptionSums, len(shares))
	var workers sync.WaitGroup
	for i := range shares {
		workers.Go(func() { parts[i].err = parts[i].add(shares[i]) })
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
