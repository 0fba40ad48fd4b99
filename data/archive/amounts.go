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
			if err := b.amountsOf(b.amounts, dict.Type().Kind(), known); err != nil {
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
		if err := b.turn(amounts, amounts); err != nil {
			return nil, err
		}
		return p.array(p.lend(raw)), nil
	}
	room := p.room(p.rows * arrow.Decimal128SizeBytes)
	to := arrow.GetData[decimal128.Num](room.Bytes())
	if err := b.fill(to, p.page.Type().Kind(), values, p); err != nil {
		room.Release()
		return nil, err
	}
	return p.array(room), nil
}

// fill reads amounts to the rows that have one.
func (b *bridge) fill(to []decimal128.Num, kind parquet.Kind, values encoding.Values, p pageOf) error {
	if p.levels == nil {
		return b.amountsOf(to[:p.rows], kind, values)
	}
	if kind == parquet.FixedLenByteArray {
		if from, size := values.FixedLenByteArray(); size == arrow.Decimal128SizeBytes && b.shift == 0 {
			return b.turnSpread(to, arrow.GetData[decimal128.Num](from), p.levels)
		}
	}
	n := p.rows - int(p.page.NumNulls())
	if err := b.amountsOf(to[:n], kind, values); err != nil {
		return err
	}
	spreadBack(to, n, p.levels)
	return nil
}

// smallBelow is the upper half of 10^38: an amount whose upper half is nearer to 0 has at most 38
// digits.
const smallBelow = 0x4b3b_4ca8_5a86_c47a

// upper is how far the upper half of an amount is from 0.
func upper(v decimal128.Num) uint64 { return uint64(v.HighBits() ^ v.HighBits()>>63) }

// turn brings the bytes of amounts into the reverse order, and refuses what others wrote that has
// more than 38 digits.
func (b *bridge) turn(to, from []decimal128.Num) error {
	var seen uint64 // of all upper halves
	for i, n := range from {
		v := turned(n)
		seen |= upper(v)
		to[i] = v
	}
	return b.checkDigits(to, seen)
}

func turned(n decimal128.Num) decimal128.Num {
	return decimal128.New(int64(bits.ReverseBytes64(n.LowBits())), bits.ReverseBytes64(uint64(n.HighBits())))
}

// turnSpread is turn for packed amounts, each of which goes to a row that has one.
func (b *bridge) turnSpread(to, from []decimal128.Num, levels []byte) error {
	var seen uint64
	at := 0
	to = to[:len(levels)]
	for i, level := range levels {
		if level == 0 {
			to[i] = decimal128.Num{}
			continue
		}
		v := turned(from[at])
		at++
		seen |= upper(v)
		to[i] = v
	}
	return b.checkDigits(to, seen)
}

// checkDigits refuses amounts of others that have more than 38 digits; seen is what their upper
// halves add up to bit by bit.
func (b *bridge) checkDigits(amounts []decimal128.Num, seen uint64) error {
	if !b.foreign || seen < smallBelow {
		return nil
	}
	for _, v := range amounts {
		if _, ok := data.DecimalFromArrow(v); !ok {
			return errTooLarge
		}
	}
	return nil
}

// spreadBack moves the first n values to the rows that have one, from the last on,
// so that none is overwritten before it was moved.
func spreadBack(values []decimal128.Num, n int, levels []byte) {
	for i := len(levels) - 1; i >= 0; i-- {
		if levels[i] == 0 {
			values[i] = decimal128.Num{}
			continue
		}
		n--
		values[i] = values[n]
	}
}

// amountsOf reads amounts in any of the forms that Parquet has for them.
func (b *bridge) amountsOf(to []decimal128.Num, kind parquet.Kind, v encoding.Values) error {
	switch kind {
	case parquet.FixedLenByteArray:
		from, size := v.FixedLenByteArray()
		if size == arrow.Decimal128SizeBytes && b.shift == 0 {
			return b.turn(to, arrow.GetData[decimal128.Num](from)[:len(to)])
		}
		return b.wide(to, func(i int) []byte { return from[i*size : (i+1)*size] })
	case parquet.ByteArray:
		from, offsets := v.ByteArray()
		return b.wide(to, func(i int) []byte { return from[offsets[i]:offsets[i+1]] })
	case parquet.Int32:
		narrow(to, v.Int32(), b.factor())
		return nil
	}
	narrow(to, v.Int64(), b.factor())
	return nil
}

// factor is what an amount that has fewer digits after the point is multiplied with.
func (b *bridge) factor() uint64 { return uint64(math.Pow10(b.shift)) }

// narrow reads integers. Even the largest fits with 18 more digits.
func narrow[T int32 | int64](to []decimal128.Num, from []T, factor uint64) {
	for i, v := range from[:len(to)] {
		to[i] = times(int64(v), factor)
	}
}

func times(v int64, factor uint64) decimal128.Num {
	hi, lo := bits.Mul64(uint64(v), factor)
	if v < 0 {
		hi -= factor
	}
	return decimal128.New(int64(hi), lo)
}

// wide reads big-endian two's complement of any length.
func (b *bridge) wide(to []decimal128.Num, of func(i int) []byte) error {
	factor := b.factor()
	for i := range to {
		raw := of(i)
		if len(raw) <= 8 {
			to[i] = times(short(raw), factor)
			continue
		}
		if len(raw) > arrow.Decimal128SizeBytes {
			return errAmount
		}
		lo := len(raw) - 8
		v := decimal128.New(short(raw[:lo]), binary.BigEndian.Uint64(raw[lo:]))
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

// short reads up to eight bytes of big-endian two's complement.
func short(raw []byte) int64 {
	v := int64(0)
	for _, b := range raw {
		v = v<<8 | int64(b)
	}
	unused := 64 - 8*len(raw)
	return v << unused >> unused
}
