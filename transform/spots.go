package transform

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
type sides [2][]struct {
	rows int64
	sum  Sum
}

func (s *sides) add(side int, at int32, rows int64, sum Sum) {
	if int(at) >= len(s[side]) {
		s[side] = atLeast(s[side], int(at)+1)
	}
	to := &s[side][at]
	to.rows += rows
	to.sum.Merge(sum)
}

func (s *sides) at(i int) (a amounts) {
	for side, list := range s {
		if i < len(list) {
			a.rows[side], a.sums[side] = list[i].rows, list[i].sum
		}
	}
	return a
}

// merge adds the amounts of another at one number to those at another here.
func (s *sides) merge(at int32, o *sides, from int32) {
	for side := range o {
		if int(from) < len(o[side]) {
			s.add(side, at, o[side][from].rows, o[side][from].sum)
		}
	}
}

// quantityOf returns the number of a spot's quantity, which the spots of other currencies
// share.
func (u *usage) quantityOf(s *spot) int32 {
	if s.quantity != nowhere {
		return s.quantity
	}
	for at := *u.spots.first(s.customer, s.category); at > 0 && s.quantity == nowhere; at = u.spots.all[at-1].next {
		if other := &u.spots.all[at-1]; other.unit == s.unit {
			s.quantity = other.quantity
		}
	}
	if s.quantity == nowhere {
		s.quantity = u.quantities.add(quantityKey{s.customer, s.category, s.unit})
	}
	return s.quantity
}

// costOf returns the number of a spot's cost, which the spots of other units share.
func (u *usage) costOf(s *spot) int32 {
	if s.cost != nowhere {
		return s.cost
	}
	for at := *u.spots.first(s.customer, s.category); at > 0 && s.cost == nowhere; at = u.spots.all[at-1].next {
		if other := &u.spots.all[at-1]; other.currency == s.currency {
			s.cost = other.cost
		}
	}
	if s.cost == nowhere {
		s.cost = u.costs.add(costKey{s.customer, s.category, s.currency})
	}
	return s.cost
}

// spots remembers which groups a customer's rows belong to: one look instead of one for each
// group, by place and not by hash.
type spots struct {
	rows [][]int32           // by customer and category: one more than the first spot
	rest map[[2]int32]*int32 // likewise, of categories with higher ids
	all  []spot
}

// fewCategories is up to which id categories are found by place: a customer takes four bytes for
// each up to the last one of its own.
const fewCategories = 128

// spot holds the numbers of what a customer's rows of one category, unit and currency are
// added up in, nowhere for those not asked for yet.
type spot struct {
	customer, category, unit, currency int32

	next           int32 // one more than the next spot of the customer and category
	quantity, cost int32
}

// at returns the spot of a customer's rows. It is good until the next call.
func (s *spots) at(customer, category, unit, currency int32) *spot {
	first := s.first(customer, category)
	for at := *first; at > 0; at = s.all[at-1].next {
		if found := &s.all[at-1]; found.unit == unit && found.currency == currency {
			return found
		}
	}
	s.all = append(s.all, spot{customer, category, unit, currency, *first, nowhere, nowhere})
	*first = int32(len(s.all))
	return &s.all[*first-1]
}

func (s *spots) first(customer, category int32) *int32 {
	at := int(category) + 1 // NoID is a category, too
	if at >= fewCategories {
		key := [2]int32{customer, category}
		if s.rest[key] == nil {
			if s.rest == nil {
				s.rest = map[[2]int32]*int32{}
			}
			s.rest[key] = new(int32)
		}
		return s.rest[key]
	}
	s.rows = atLeast(s.rows, int(customer)+1)
	row := &s.rows[customer]
	if at >= len(*row) {
		*row = atLeast(*row, at+1)
	}
	return &(*row)[at]
}
