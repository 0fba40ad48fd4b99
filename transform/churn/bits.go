package churn

import "math/bits"

// bitset is a set of small numbers: days of a history by their place in it.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) add(i int) { s[i>>6] |= 1 << (i & 63) }

func (s bitset) has(i int) bool {
	return i >= 0 && i>>6 < len(s) && s[i>>6]&(1<<(i&63)) != 0
}

// word returns the members of word w that lie in [from, to].
func (s bitset) word(w, from, to int) uint64 {
	x := s[w]
	if lo := from - w<<6; lo > 0 {
		x &= ^uint64(0) << lo
	}
	if hi := to - w<<6; hi < 63 {
		x &= ^uint64(0) >> (63 - hi)
	}
	return x
}

// clip cuts a range to the members that there can be.
func (s bitset) clip(from, to int) (int, int) { return max(from, 0), min(to, len(s)<<6-1) }

// count returns how many members lie in [from, to].
func (s bitset) count(from, to int) int {
	from, to = s.clip(from, to)
	n := 0
	for w := from >> 6; from <= to && w <= to>>6; w++ {
		n += bits.OnesCount64(s.word(w, from, to))
	}
	return n
}

// any reports whether a member lies in [from, to].
func (s bitset) any(from, to int) bool { return s.last(from, to) >= 0 }

// first returns the smallest member in [from, to], -1 when there is none.
func (s bitset) first(from, to int) int {
	from, to = s.clip(from, to)
	for w := from >> 6; from <= to && w <= to>>6; w++ {
		if x := s.word(w, from, to); x != 0 {
			return w<<6 + bits.TrailingZeros64(x)
		}
	}
	return -1
}

// last returns the largest member in [from, to], -1 when there is none.
func (s bitset) last(from, to int) int {
	from, to = s.clip(from, to)
	if from > to {
		return -1
	}
	for w := to >> 6; w >= from>>6; w-- {
		if x := s.word(w, from, to); x != 0 {
			return w<<6 + 63 - bits.LeadingZeros64(x)
		}
	}
	return -1
}
