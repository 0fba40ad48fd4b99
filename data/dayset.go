package data

import "slices"

// DaySet is a set of days; the zero value is empty. It is made for days that lie
// close together, as those of a month do: 64 of them in a row take 16 bytes.
type DaySet struct {
	blocks []dayBlock // in no order, each of other days
}

// dayBlock is 64 days from a multiple of 64 on.
type dayBlock struct {
	number int32
	bits   uint64
}

// blockOf returns where in a set a day belongs.
func blockOf(d Day) (number int32, bit uint64) { return int32(d) >> 6, 1 << (uint32(d) & 63) }

// Add adds a day. A copy of the set that was made before may have it, too.
func (s *DaySet) Add(d Day) {
	number, bit := blockOf(d)
	at := slices.IndexFunc(s.blocks, func(b dayBlock) bool { return b.number == number })
	if at < 0 {
		at, s.blocks = len(s.blocks), append(s.blocks, dayBlock{number: number})
	}
	s.blocks[at].bits |= bit
}

// Contains reports whether a day is in the set.
func (s DaySet) Contains(d Day) bool {
	number, bit := blockOf(d)
	for _, b := range s.blocks {
		if b.number == number {
			return b.bits&bit != 0
		}
	}
	return false
}
