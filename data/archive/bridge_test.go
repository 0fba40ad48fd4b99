package archive

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"pgregory.net/rapid"
)

// TestTurn compares with big integers, around the largest amount above all.
func TestTurn(t *testing.T) {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	rapid.Check(t, func(t *rapid.T) {
		want := true
		amounts := make([]decimal128.Num, rapid.IntRange(0, 4).Draw(t, "amounts"))
		for i := range amounts {
			amounts[i] = decimal128.New(rapid.Int64().Draw(t, "high"), rapid.Uint64().Draw(t, "low"))
			if rapid.Bool().Draw(t, "near the largest") {
				near := new(big.Int).Add(most, big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "off")))
				if amounts[i] = decimal128.FromBigInt(near); rapid.Bool().Draw(t, "below 0") {
					amounts[i] = amounts[i].Negate()
				}
			}
			want = want && amounts[i].BigInt().CmpAbs(most) < 0
		}
		stored := make([]decimal128.Num, len(amounts)) // as in Parquet
		for i, v := range amounts {
			bigEndian := make([]byte, 16)
			binary.BigEndian.PutUint64(bigEndian, uint64(v.HighBits()))
			binary.BigEndian.PutUint64(bigEndian[8:], v.LowBits())
			stored[i] = decimal128.New(int64(binary.LittleEndian.Uint64(bigEndian[8:])), binary.LittleEndian.Uint64(bigEndian))
		}
		for _, foreign := range []bool{true, false} {
			b, got := bridge{foreign: foreign}, make([]decimal128.Num, len(amounts))
			if err := b.turn(got, stored, nil); (err == nil) != (want || !foreign) || !slices.Equal(got, amounts) {
				t.Errorf("foreign %t: %v, %v, want %v, and that they fit: %t", foreign, got, err, amounts, want)
			}
		}
	})
}

// TestAmountsOf_BytesOfAnyLength has math/big read the same bytes, of which some rows have none.
func TestAmountsOf_BytesOfAnyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 15)).Draw(t, "rows")
		levels := rapid.SliceOfN(rapid.ByteRange(0, 1), len(rows), len(rows)).Draw(t, "levels")
		shift := rapid.SampledFrom([]int{0, 2}).Draw(t, "shift")
		stored := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "bytes before the first")
		offsets := []uint32{uint32(len(stored))}
		want := make([]decimal128.Num, len(rows))
		for i, raw := range rows {
			if levels[i] == 0 {
				continue
			}
			stored, offsets = append(stored, raw...), append(offsets, uint32(len(stored)+len(raw)))
			v := new(big.Int).SetBytes(raw)
			if len(raw) > 0 && raw[0] >= 0x80 {
				v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
			}
			want[i] = decimal128.FromBigInt(v.Mul(v, big.NewInt(int64(math.Pow10(shift)))))
		}
		b, got := bridge{foreign: true, shift: shift}, make([]decimal128.Num, len(rows))
		if err := b.amountsOf(got, parquet.ByteArray, encoding.ByteArrayValues(stored, offsets), levels); err != nil || !slices.Equal(got, want) {
			t.Errorf("%x by %v: %v, %v, want %v", rows, levels, got, err, want)
		}
	})
}

func TestPackBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOf(rapid.ByteRange(0, 1)).Draw(t, "levels")
		want, ones := make([]byte, (len(levels)+7)/8), 0
		for i, level := range levels {
			want[i/8] |= level << (i % 8)
			ones += int(level)
		}
		got := bytes.Repeat([]byte{0xff}, len(want)) // as memory that was used before
		if n := packBits(got, levels); n != ones || !bytes.Equal(got, want) {
			t.Errorf("%v: %08b with %d ones, want %08b with %d", levels, got, n, want, ones)
		}
	})
}

func TestInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{0, 1, 2, 7, 1 << 16, math.MaxInt32}).Draw(t, "n")
		index := rapid.SliceOfN(rapid.Int32Range(int32(max(0, n-3)), int32(n)), 0, 9).Draw(t, "index")
		if len(index) > 0 && rapid.Bool().Draw(t, "one below 0") {
			index[rapid.IntRange(0, len(index)-1).Draw(t, "at")] = rapid.Int32Range(math.MinInt32, -1).Draw(t, "below")
		}
		want := !slices.ContainsFunc(index, func(at int32) bool { return at < 0 || int(at) >= n })
		if got := inside(index, n); got != want {
			t.Errorf("%v inside %d: %t, want %t", index, n, got, want)
		}
	})
}
