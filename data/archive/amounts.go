package archive

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"tidemark/data"
)

// decimals makes an array of amounts of 128 bits with 18 digits after the point.
func (b *bridge) decimals(p pageOf) (arrow.Array, error) {
	values := p.page.Data()
	if dict := p.page.Dictionary(); dict != nil {
		if dict != b.decoded {
			known := dict.Page().Data()
			b.amounts = make([]decimal128.Num, dict.Len())
			if err := b.amountsOf(b.amounts, dict.Type().Kind(), known, nil); err != nil {
				return nil, err
			}
			b.decoded = dict
		}
		looked, err := gather(b.amounts, values.Int32())
		if err != nil {
			return nil, err
		}
		return p.array(place(p, looked)), nil
	}
	if p.levels == nil && b.shift == 0 && p.page.Type().Kind() == parquet.FixedLenByteArray && p.page.Type().Length() == arrow.Decimal128SizeBytes {
		raw, _ := values.FixedLenByteArray()
		amounts := arrow.GetData[decimal128.Num](raw) // turned where they lie: a page that was read is nobody else's
		if err := b.turn(amounts, amounts, nil); err != nil {
			return nil, err
		}
		return p.array(p.lend(raw)), nil
	}
	room := p.room(p.rows * arrow.Decimal128SizeBytes)
	to := arrow.GetData[decimal128.Num](room.Bytes())
	if err := b.amountsOf(to[:p.rows], p.page.Type().Kind(), values, p.levels); err != nil {
		room.Release()
		return nil, err
	}
	return p.array(room), nil
}

// smallBelow is the upper half of 10^38: an amount whose upper half is nearer to 0 has at most 38
// digits.
const smallBelow = 0x4b3b_4ca8_5a86_c47a

// upper is how far the upper half of an amount is from 0.
func upper(v decimal128.Num) uint64 { return uint64(v.HighBits() ^ v.HighBits()>>63) }

// turn brings the bytes of amounts into the reverse order, and refuses what others wrote that has
// more than 38 digits. As in all that follow, the next amount goes to the next row that has one.
func (b *bridge) turn(to, from []decimal128.Num, levels []byte) error {
	spread(to, from, levels, turned)
	if b.foreign {
		return checkDigits(to)
	}
	return nil
}

func turned(to, from []decimal128.Num) {
	from = from[:len(to)]
	for i := range to {
		n := from[i]
		to[i] = decimal128.New(int64(bits.ReverseBytes64(n.LowBits())), bits.ReverseBytes64(uint64(n.HighBits())))
	}
}

// checkDigits refuses amounts that have more than 38 digits.
func checkDigits(amounts []decimal128.Num) error {
	var seen uint64 // of all upper halves
	for _, v := range amounts {
		seen |= upper(v)
	}
	if seen < smallBelow {
		return nil
	}
	for _, v := range amounts {
		if _, ok := data.DecimalFromArrow(v); !ok {
			return errTooLarge
		}
	}
	return nil
}

// amountsOf reads amounts in any of the forms that Parquet has for them, each to the next row that
// has one by its level; without levels all have.
func (b *bridge) amountsOf(to []decimal128.Num, kind parquet.Kind, v encoding.Values, levels []byte) error {
	switch kind {
	case parquet.FixedLenByteArray:
		from, size := v.FixedLenByteArray()
		if size == arrow.Decimal128SizeBytes && b.shift == 0 {
			return b.turn(to, arrow.GetData[decimal128.Num](from), levels)
		}
		return b.wide(to, from, size, nil, levels)
	case parquet.ByteArray:
		from, offsets := v.ByteArray()
		return b.wide(to, from, varying, offsets, levels)
	case parquet.Int32:
		narrow(to, v.Int32(), b.factor(), levels)
		return nil
	}
	narrow(to, v.Int64(), b.factor(), levels)
	return nil
}

// factor is what an amount that has fewer digits after the point is multiplied with.
func (b *bridge) factor() uint64 { return uint64(math.Pow10(b.shift)) }

// narrow reads integers. Even the largest fits with 18 more digits.
func narrow[T int32 | int64](to []decimal128.Num, from []T, factor uint64, levels []byte) {
	spread(to, from, levels, func(to []decimal128.Num, from []T) {
		for i, v := range from {
			to[i] = times(int64(v), factor)
		}
	})
}

func times(v int64, factor uint64) decimal128.Num {
	hi, lo := bits.Mul64(uint64(v), factor)
	if v < 0 {
		hi -= factor
	}
	return decimal128.New(int64(hi), lo)
}

// varying is the size of amounts that offsets tell.
const varying = -1

// wide reads big-endian two's complement of any length.
func (b *bridge) wide(to []decimal128.Num, from []byte, size int, offsets []uint32, levels []byte) error {
	factor := b.factor()
	at := 0
	for i := range to {
		if levels != nil && levels[i] == 0 {
			to[i] = decimal128.Num{}
			continue
		}
		begin, end := at*size, (at+1)*size
		if size == varying {
			begin, end = int(offsets[at]), int(offsets[at+1])
		}
		at++
		if end-begin <= 8 {
			to[i] = times(short(from, begin, end), factor)
			continue
		}
		if end-begin > arrow.Decimal128SizeBytes {
			return errAmount
		}
		v := decimal128.New(short(from, begin, end-8), binary.BigEndian.Uint64(from[end-8:end]))
		if b.shift == 0 && upper(v) < smallBelow {
			to[i] = v
			continue
		}
		if _, ok := data.DecimalFromArrow(v); !ok || !v.FitsInPrecision(int32(data.Precision-b.shift)) {
			return errTooLarge
		}
		to[i] = v.Mul(decimal128.GetScaleMultiplier(b.shift))
	}
	return nil
}

// short reads up to eight bytes of big-endian two's complement, with those before them where
// there are any: they are shifted out.
func short(from []byte, begin, end int) int64 {
	v := int64(0)
	if end >= 8 {
		v = int64(binary.BigEndian.Uint64(from[end-8 : end]))
	} else {
		for _, b := range from[begin:end] {
			v = v<<8 | int64(b)
		}
	}
	unused := 64 - 8*(end-begin)
	return v << unused >> unused
}
