package transform

import (
	"cmp"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"tidemark/data"
)

// Sum adds amounts up exactly. It has 192 bits, so that neither order nor
// number of the amounts matters: only the result may be too large. The zero
// value is the empty sum.
type Sum struct {
	lo, hi uint64
	top    int64
	n      int64
}

// Add adds one amount.
func (s *Sum) Add(v decimal128.Num) {
	s.add(v.LowBits(), uint64(v.HighBits()), v.HighBits()>>63)
	s.n++
}

// sumUp adds amounts up: Add for all of them, with the sum in registers.
func sumUp(values []decimal128.Num) Sum {
	var lo, hi, carry uint64
	var top int64
	for _, v := range values {
		lo, carry = bits.Add64(lo, v.LowBits(), 0)
		hi, carry = bits.Add64(hi, uint64(v.HighBits()), carry)
		top += v.HighBits()>>63 + int64(carry)
	}
	return Sum{lo, hi, top, int64(len(values))}
}

// Merge adds another sum.
func (s *Sum) Merge(o Sum) {
	s.add(o.lo, o.hi, o.top)
	s.n += o.n
}

func (s *Sum) add(lo, hi uint64, top int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, carry = bits.Add64(s.hi, hi, carry)
	s.top += top + int64(carry)
}

// tally is a Sum in less memory, of as many amounts as 31 bits can count.
type tally struct {
	lo, hi uint64
	top    int32
	n      uint32
}

// add adds an amount where known is 1, and nothing where it is 0.
func (t *tally) add(v decimal128.Num, known uint32) {
	mask := -uint64(known)
	lo, hi := v.LowBits()&mask, uint64(v.HighBits())&mask
	var carry uint64
	t.lo, carry = bits.Add64(t.lo, lo, 0)
	t.hi, carry = bits.Add64(t.hi, hi, carry)
	t.top += int32(int64(hi)>>63) + int32(carry)
	t.n += known
}

// merge adds a sum of as few amounts.
func (t *tally) merge(s Sum) {
	s.Merge(t.sum())
	*t = tally{s.lo, s.hi, int32(s.top), uint32(s.n)}
}

func (t tally) sum() Sum { return Sum{t.lo, t.hi, int64(t.top), int64(t.n)} }

// minus returns the difference to another sum. It counts the amounts of both.
func (s Sum) minus(o Sum) Sum {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, o.lo, 0)
	s.hi, borrow = bits.Sub64(s.hi, o.hi, borrow)
	s.top -= o.top + int64(borrow)
	s.n += o.n
	return s
}

// Count returns how many amounts were added. An empty sum is no amount at all,
// which is not the same as 0.
func (s Sum) Count() int64 { return s.n }

// Sign returns -1, 0 or +1.
func (s Sum) Sign() int { return s.Cmp(Sum{}) }

// Cmp compares two sums.
func (s Sum) Cmp(o Sum) int {
	return cmp.Or(cmp.Compare(s.top, o.top), cmp.Compare(s.hi, o.hi), cmp.Compare(s.lo, o.lo))
}

// Decimal returns the sum. Above 38 digits it is an error that wraps
// data.ErrOverflow and says which sum it is, by the name given.
func (s Sum) Decimal(name string) (data.Decimal, error) {
	d, ok := data.DecimalFromParts(int64(s.hi), s.lo)
	if !ok || s.top != int64(s.hi)>>63 {
		return data.Decimal{}, fmt.Errorf("sum of %s: %w", name, data.ErrOverflow)
	}
	return d, nil
}
