package transform

import (
	"math/bits"
	"sync"
)

// The groups that usage is added up in are numbered densely, and found by place.

// list holds amounts by keys that are known to be new when they are added.
type list[K any] struct {
	keys []K
	sums sides
}

func (l *list[K]) add(key K) int32 {
	l.keys = append(l.keys, key)
	return int32(len(l.keys) - 1)
}

func (l *list[K]) at(i int) amounts { return l.sums.at(i) }

// sides holds amounts by number, each side apart: a worker mostly meets one.
type sides [2]pages[amount]

type amount struct {
	rows int64
	sum  Sum
}

func (s *sides) add(side int, at int32, rows int64, sum Sum) {
	to := s[side].at(at)
	to.rows += rows
	to.sum.Merge(sum)
}

func (s *sides) at(i int) (a amounts) {
	for side, list := range s {
		if one := list.of(int32(i)); one != nil {
			a.rows[side], a.sums[side] = one.rows, one.sum
		}
	}
	return a
}

// spots holds what rows add up to by customer, category, unit and currency: one place to look
// for, and to add to, instead of one for each group that the rows belong to.
type spots struct {
	kinds kinds
	at    grid
	all   []spot
	sums  [2]pages[spotSums] // by side: a worker mostly meets one
	usds  sides              // the costs in USD
}

type spot struct{ customer, kind int32 }

// spotSums is what the rows of a spot add up to on one side.
type spotSums struct {
	quantity, cost         tally
	quantityRows, costRows uint32
	_                      uint64 // one line of the cache each
}

// of returns the number of a spot, a new one if need be.
func (s *spots) of(customer, kind int32) int32 {
	number := s.at.place(customer, kind)
	if *number == 0 {
		s.all = append(s.all, spot{customer, kind})
		*number = int32(len(s.all))
	}
	return *number - 1
}

// kinds numbers what a customer's rows can be of: category, unit and currency. The zero value
// is empty and ready.
type kinds struct {
	all      []kind
	table    []int32 // by category, unit and currency: one more than the number, 0 for none
	unit     uint    // bits of the place that a unit and
	currency uint    // a currency take
	rest     map[kind]int32
}

type kind struct{ category, unit, currency int32 }

// mostPlaces is how long the table may become; what has no place in it is in a map.
const mostPlaces = 1 << 16

// of returns the number of a kind, a new one if need be.
func (k *kinds) of(want kind) int32 {
	at := k.place(want)
	if uint(at) < uint(len(k.table)) && k.table[at] > 0 && k.all[k.table[at]-1] == want {
		return k.table[at] - 1
	}
	return k.enter(want)
}

// place is where the number of a kind stands. NoID is a category, unit and currency, too.
func (k *kinds) place(of kind) int {
	return (int(of.category+1)<<k.unit|int(of.unit+1))<<k.currency | int(of.currency+1)
}

func (k *kinds) enter(want kind) int32 {
	if n, found := k.rest[want]; found {
		return n
	}
	n := int32(len(k.all))
	k.all = append(k.all, want)
	if k.rest == nil {
		k.rest = map[kind]int32{}
	}
	k.rest[want] = n
	unit, currency := uint(bits.Len32(uint32(want.unit+1))), uint(bits.Len32(uint32(want.currency+1)))
	if unit > k.unit || currency > k.currency {
		k.unit, k.currency, k.table = max(unit, k.unit), max(currency, k.currency), nil
		for i, one := range k.all {
			k.put(one, int32(i))
		}
	}
	k.put(want, n)
	return n
}

func (k *kinds) put(one kind, n int32) {
	if at := k.place(one); uint(at) < mostPlaces {
		k.table = atLeast(k.table, at+1)
		k.table[at] = n + 1
	}
}

// grid holds a number for each pair of a customer and a kind of its rows, 0 until it is set.
type grid struct {
	rows [][]int32
	rest map[[2]int32]*int32 // of kinds with higher numbers
}

// fewKinds is up to which number kinds are found by place: a customer takes four bytes for each
// up to the last one of its own.
const fewKinds = 512

// row returns the numbers of a customer by kind, as far as there are any.
func (g *grid) row(customer int32) []int32 {
	if int(customer) < len(g.rows) {
		return g.rows[customer]
	}
	return nil
}

func (g *grid) place(customer, kind int32) *int32 {
	if kind >= fewKinds {
		key := [2]int32{customer, kind}
		if g.rest[key] == nil {
			if g.rest == nil {
				g.rest = map[[2]int32]*int32{}
			}
			g.rest[key] = new(int32)
		}
		return g.rest[key]
	}
	if int(customer) >= len(g.rows) {
		g.rows = atLeast(g.rows, int(customer)+1)
	}
	row := &g.rows[customer]
	if int(kind) >= len(*row) {
		*row = atLeast(*row, int(kind)+1)
	}
	return &(*row)[kind]
}

// pages holds sums by number in pieces of one size, so that none ever moves.
type pages[T any] []*[pageSums]T

const pageSums = 512

// reach makes sums for the numbers below n.
func (p *pages[T]) reach(n int) {
	for len(*p)*pageSums < n {
		sums := new([pageSums]T)
		clear(sums[:]) // the system maps new memory twice that is read before it is written
		*p = append(*p, sums)
	}
}

func (p *pages[T]) at(i int32) *T {
	p.reach(int(i) + 1)
	return p.of(i)
}

// of returns the sums with a number, nil if there are none.
func (p pages[T]) of(i int32) *T {
	if page := uint32(i) / pageSums; int(page) < len(p) {
		return &p[page][uint32(i)%pageSums]
	}
	return nil
}

// fold makes the groups of the spots: a quantity adds up over currencies, a cost over units.
type fold struct {
	to                *usage
	quantities, costs grid // one more than the number of a group, by customer and kind
	units, currencies kinds
}

// ids says which ids of another table those of a worker are; the zero value says the same.
type foldIDs struct{ customers, categories, units, currencies []int32 }

// add adds the spots of a worker, quantities beside costs.
func (f *fold) add(s *spots, ids foldIDs) {
	var costs sync.WaitGroup
	costs.Go(func() { f.addCosts(s, ids) })
	f.addQuantities(s, ids)
	costs.Wait()
}

func (f *fold) addQuantities(s *spots, ids foldIDs) {
	to := &f.to.quantities
	for i, spot := range s.all {
		k := s.kinds.all[spot.kind]
		key := quantityKey{mapped(ids.customers, spot.customer), mapped(ids.categories, k.category), mapped(ids.units, k.unit)}
		for side := range s.sums {
			sums := s.sums[side].of(int32(i))
			if sums == nil || sums.quantityRows == 0 {
				continue
			}
			at := f.quantities.place(key.customer, f.units.of(kind{key.category, key.unit, NoID}))
			if *at == 0 {
				*at = to.add(key) + 1
			}
			to.sums.add(side, *at-1, int64(sums.quantityRows), sums.quantity.sum())
		}
	}
}

func (f *fold) addCosts(s *spots, ids foldIDs) {
	to := &f.to.costs
	for i, spot := range s.all {
		k := s.kinds.all[spot.kind]
		key := costKey{mapped(ids.customers, spot.customer), mapped(ids.categories, k.category), mapped(ids.currencies, k.currency)}
		for side := range s.sums {
			sums := s.sums[side].of(int32(i))
			if sums == nil || sums.costRows == 0 {
				continue
			}
			at := f.costs.place(key.customer, f.currencies.of(kind{key.category, NoID, key.currency}))
			if *at == 0 {
				*at = to.add(key) + 1
			}
			to.sums.add(side, *at-1, int64(sums.costRows), sums.cost.sum())
			if usd := s.usds[side].of(int32(i)); f.to.usd && usd != nil {
				f.to.usds.add(side, *at-1, usd.rows, usd.sum)
			}
		}
	}
}
