package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"tidemark/data"
)

// bridge makes Arrow arrays of the pages of one column. Indexes of dictionaries,
// dates, integers, truth values and texts have the same form in both: such an
// array lies over the page and keeps it until it is released. Amounts are
// big-endian in Parquet and are turned where they lie; a page with nulls, whose
// values Parquet packs, is copied, and so are amounts of other forms.
type bridge struct {
	mem     memory.Allocator
	spare   *recycler // for what is copied
	field   arrow.Field
	foreign bool // written by others: every index is checked
	shift   int  // digits that an amount has fewer than ours after the point

	nulls   arrow.Array        // where none has a value; made when it is first needed
	dict    dictionary         // of a column of dictionaries
	decoded parquet.Dictionary // the dictionary that amounts is of
	amounts []decimal128.Num
}

var (
	errIndex    = fmt.Errorf("%w: an index lies outside its dictionary", ErrDamaged)
	errNull     = fmt.Errorf("%w: it has a null where there must be a value", ErrSchema)
	errTooLarge = fmt.Errorf("an amount: %w", data.ErrOverflow)
	errAmount   = errors.New("an amount has more than 16 bytes")
)

func (b *bridge) close() {
	b.dict.release()
	if b.nulls != nil {
		b.nulls.Release()
	}
}

// empty returns an array of n nulls. The caller must Release it.
func (b *bridge) empty(n int) arrow.Array {
	if b.nulls == nil || b.nulls.Len() < n {
		if b.nulls != nil {
			b.nulls.Release()
		}
		b.nulls = array.MakeArrayOfNull(b.mem, b.field.Type, n)
	}
	return array.NewSlice(b.nulls, 0, int64(n))
}

// convert makes an array of a page. The caller must Release it, and may release
// the page.
func (b *bridge) convert(page parquet.Page) (arrow.Array, error) {
	p := pageOf{bridge: b, page: page, rows: int(page.NumValues())}
	if page.NumNulls() > 0 {
		if !b.field.Nullable {
			return nil, errNull
		}
		if int(page.NumNulls()) == p.rows {
			return b.empty(p.rows), nil
		}
		p.levels = page.DefinitionLevels()
	}
	switch kindOf(b.field.Type) {
	case kindDecimal:
		return b.decimals(p)
	case kindDate:
		return fixed(p, (*encoding.Values).Int32)
	case kindInt32:
		return fixed(p, (*encoding.Values).Int32)
	case kindInt64:
		return fixed(p, (*encoding.Values).Int64)
	case kindBool:
		return p.bools()
	}
	if b.field.Type.ID() == arrow.DICTIONARY {
		return b.indexes(p)
	}
	return p.texts()
}

// pageOf is a page on its way to an array.
type pageOf struct {
	*bridge
	page   parquet.Page
	rows   int
	levels []byte // 1 for each row with a value; nil when all have
}

// loan lends the memory of a page to a buffer, which gives it back when the last
// who holds the buffer has released it: it is an allocator in that alone. A byte of
// the real allocator stands for it, so that a loan which never ends is noticed.
type loan struct {
	page  parquet.Page
	mem   memory.Allocator
	token []byte
}

func (p pageOf) lend(b []byte) *memory.Buffer {
	parquet.Retain(p.page)
	return memory.NewBufferWithAllocator(b, &loan{p.page, p.mem, p.mem.Allocate(1)})
}

func (l *loan) Free([]byte) {
	l.mem.Free(l.token)
	parquet.Release(l.page)
}

func (l *loan) Allocate(int) []byte           { panic("the memory of a page cannot grow") }
func (l *loan) Reallocate(int, []byte) []byte { panic("the memory of a page cannot grow") }

// room returns a new buffer of n bytes, which are not cleared.
func (p pageOf) room(n int) *memory.Buffer {
	b := memory.NewResizableBuffer(p.spare)
	b.Resize(n)
	return b
}

// array makes an array of the buffers after the validity bitmap, and releases them.
func (p pageOf) array(buffers ...*memory.Buffer) arrow.Array {
	valid, nulls := p.validity()
	all := append([]*memory.Buffer{valid}, buffers...)
	d := array.NewData(p.field.Type, p.rows, all, nil, nulls, 0)
	defer d.Release()
	for _, b := range all {
		if b != nil {
			b.Release()
		}
	}
	return array.MakeFromData(d)
}

func (p pageOf) validity() (valid *memory.Buffer, nulls int) {
	if p.levels == nil {
		return nil, 0
	}
	valid = p.room(int(bitutil.BytesForBits(int64(p.rows))))
	return valid, p.rows - packBits(valid.Bytes(), p.levels)
}

// packBits writes bytes that are 0 or 1 as bits, and returns how many are 1.
func packBits(to, from []byte) (ones int) {
	for ; len(from) >= 8; from = from[8:] {
		// Byte i, moved by 7 times 8-i bits, is bit i of the highest byte; none meets another.
		to[0] = byte(binary.LittleEndian.Uint64(from) * 0x0102_0408_1020_4080 >> 56)
		ones += bits.OnesCount8(to[0])
		to = to[1:]
	}
	if len(from) > 0 {
		to[0] = 0
	}
	for i, one := range from {
		to[0] |= one << i
		ones += int(one)
	}
	return ones
}

// spread puts packed values to the rows that have one, by set for each run of such rows, and 0 to
// the others. Without levels all have one.
func spread[T, V any](to []T, values []V, levels []byte, set func(to []T, from []V)) {
	if levels == nil {
		set(to, values[:len(to)])
		return
	}
	for row := 0; row < len(to); {
		n := runOf(1, levels[row:])
		set(to[row:row+n], values[:n])
		values, row = values[n:], row+n
		n = runOf(0, levels[row:])
		clear(to[row : row+n])
		row += n
	}
}

// runOf is how many levels in a row are like that, from the first one on.
func runOf(level byte, levels []byte) int {
	if n := bytes.IndexByte(levels, 1-level); n >= 0 {
		return n
	}
	return len(levels)
}

// gather looks values up in a dictionary.
func gather[T any](values []T, index []int32) ([]T, error) {
	out := make([]T, len(index))
	for i, at := range index {
		if uint(at) >= uint(len(values)) {
			return nil, errIndex
		}
		out[i] = values[at]
	}
	return out, nil
}

// fixed makes an array of numbers or dates.
func fixed[T arrow.FixedWidthType](p pageOf, of func(*encoding.Values) []T) (arrow.Array, error) {
	values := p.page.Data()
	if dict := p.page.Dictionary(); dict != nil {
		known := dict.Page().Data()
		looked, err := gather(of(&known), values.Int32())
		if err != nil {
			return nil, err
		}
		return p.array(place(p, looked)), nil
	}
	if p.levels == nil {
		return p.array(p.lend(arrow.GetBytes(of(&values)))), nil
	}
	return p.array(place(p, of(&values))), nil
}

// place copies values into a new buffer, each to its row.
func place[T arrow.FixedWidthType](p pageOf, values []T) *memory.Buffer {
	var one [1]T
	b := p.room(p.rows * len(arrow.GetBytes(one[:])))
	to := arrow.GetData[T](b.Bytes())
	spread(to, values, p.levels, func(to, from []T) { copy(to, from) })
	return b
}

func (p pageOf) bools() (arrow.Array, error) {
	values := p.page.Data()
	if p.page.Dictionary() != nil {
		return nil, errIndex // Parquet has no dictionaries of truth values
	}
	packed := values.Boolean()
	if p.levels == nil {
		return p.array(p.lend(packed)), nil
	}
	b := p.room(int(bitutil.BytesForBits(int64(p.rows))))
	clear(b.Bytes())
	at := 0
	for i, level := range p.levels {
		if level == 1 {
			bitutil.SetBitTo(b.Bytes(), i, bitutil.BitIsSet(packed, at))
			at++
		}
	}
	return p.array(b), nil
}

// texts makes an array of texts as they are.
func (p pageOf) texts() (arrow.Array, error) {
	values := p.page.Data()
	if dict := p.page.Dictionary(); dict != nil {
		return p.looked(dict, values.Int32())
	}
	bytes, offsets := values.ByteArray()
	if len(offsets) == 0 {
		offsets = []uint32{0}
	}
	if p.levels == nil {
		return p.array(p.lend(arrow.GetBytes(offsets)), p.lend(bytes)), nil
	}
	room := p.room((p.rows + 1) * arrow.Int32SizeBytes)
	to := arrow.GetData[uint32](room.Bytes())
	at := 0
	to[0] = offsets[0]
	for i, level := range p.levels {
		at += int(level)
		to[i+1] = offsets[at]
	}
	return p.array(room, p.lend(bytes)), nil
}

// looked makes an array of texts that the page has as indexes.
func (p pageOf) looked(dict parquet.Dictionary, index []int32) (arrow.Array, error) {
	value, n := textsOf(dict.Page())
	b := array.NewStringBuilder(p.mem)
	defer b.Release()
	b.Reserve(p.rows)
	at := 0
	for i := range p.rows {
		if p.levels != nil && p.levels[i] == 0 {
			b.AppendNull()
			continue
		}
		if uint(index[at]) >= uint(n) {
			return nil, errIndex
		}
		b.BinaryBuilder.Append(value(int(index[at])))
		at++
	}
	return b.NewArray(), nil
}

// textsOf returns the texts of a page or of a dictionary. They are good until the
// page is released.
func textsOf(page parquet.Page) (value func(i int) []byte, n int) {
	values := page.Data()
	b, offsets := values.ByteArray()
	return func(i int) []byte { return b[offsets[i]:offsets[i+1]] }, max(len(offsets)-1, 0)
}

// indexes makes an array of indexes into a dictionary.
func (b *bridge) indexes(p pageOf) (arrow.Array, error) {
	if p.page.Dictionary() == nil {
		return b.numbered(p)
	}
	if p.page.Dictionary() != b.dict.base {
		b.dict.load(p.page.Dictionary())
	}
	values := p.page.Data()
	index := values.Int32()
	if b.foreign && !inside(index, b.dict.base.Len()) {
		return nil, errIndex
	}
	if b.dict.renumbered != nil {
		index = b.dict.renumber(index)
	}
	if p.levels == nil && b.dict.renumbered == nil {
		return p.dictionary(p.lend(arrow.GetBytes(index)), b.dict.values(b.mem)), nil
	}
	return p.dictionary(place(p, index), b.dict.values(b.mem)), nil
}

// inside reports whether all indexes are below n. It compares four at a time; what is below 0
// is large as well.
func inside(index []int32, n int) bool {
	if len(index) == 0 {
		return true
	}
	var w, x, y, z uint32
	for ; len(index) >= 4; index = index[4:] {
		w, x = max(w, uint32(index[0])), max(x, uint32(index[1]))
		y, z = max(y, uint32(index[2])), max(z, uint32(index[3]))
	}
	for _, at := range index {
		w = max(w, uint32(at))
	}
	return max(w, x, y, z) < uint32(n)
}

// numbered is indexes of a page whose writer gave up its dictionary.
func (b *bridge) numbered(p pageOf) (arrow.Array, error) {
	value, n := textsOf(p.page)
	index := make([]int32, n)
	for i := range index {
		index[i] = b.dict.index(value(i))
	}
	return p.dictionary(place(p, index), b.dict.values(b.mem)), nil
}

// dictionary makes an array of an index buffer, which it releases, and the array of
// the values.
func (p pageOf) dictionary(index *memory.Buffer, values arrow.Array) arrow.Array {
	valid, nulls := p.validity()
	d := array.NewDataWithDictionary(p.field.Type, p.rows, []*memory.Buffer{valid, index}, nulls, 0, values.Data().(*array.Data))
	index.Release()
	if valid != nil {
		valid.Release()
	}
	defer d.Release()
	return array.NewDictionaryData(d)
}
