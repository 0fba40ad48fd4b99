package transform

import (
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
)

// validity is the bitmap of a column's values; empty when none is null.
type validity struct {
	bits   []byte
	offset int
}

func validityOf(a arrow.Array) validity {
	if a.NullN() == 0 {
		return validity{}
	}
	return validity{a.NullBitmapBytes(), a.Data().Offset()}
}

func (v validity) isNull(i int) bool { return v.bit(i) == 0 }

// bit is 1 for a value and 0 for a null.
func (v validity) bit(i int) uint32 {
	if v.bits == nil {
		return 1
	}
	at := uint(i + v.offset)
	return uint32(v.bits[at/8]>>(at%8)) & 1
}

// nulls yields the rows in [from, to) that are null.
func (v validity) nulls(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		if v.bits == nil {
			return
		}
		for i := from; i < to; {
			at := i + v.offset
			if v.bits[at/8] == 0xff {
				i += 8 - at%8 // most have none
				continue
			}
			if v.isNull(i) && !yield(i) {
				return
			}
			i++
		}
	}
}

// differ sets what is not 0 for each row that is null where the one before is not, or the
// reverse.
func (v validity) differ(set []int32) {
	for i := range v.nulls(0, len(set)) {
		if i > 0 && !v.isNull(i-1) {
			set[i] = 1
		}
		if next := i + 1; next < len(set) && !v.isNull(next) {
			set[next] = 1
		}
	}
}
