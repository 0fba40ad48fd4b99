package archive

import (
	"encoding/binary"
	"errors"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

var errEncoding = errors.New("its pages are encoded in a way that the archive does not write")

func newFiller(mem memory.Allocator, t arrow.DataType) filler {
	switch kindOf(t) {
	case kindDecimal:
		return &plainFiller[decimal128.Num]{array.NewDecimal128Builder(mem, t.(*arrow.Decimal128Type)), decimals}
	case kindDate:
		return &plainFiller[arrow.Date32]{array.NewDate32Builder(mem), dates}
	case kindInt64:
		return &plainFiller[int64]{array.NewInt64Builder(mem), int64s}
	case kindInt32:
		return &plainFiller[int32]{array.NewInt32Builder(mem), int32s}
	case kindBool:
		return &plainFiller[bool]{array.NewBooleanBuilder(mem), bools}
	}
	if t.ID() == arrow.DICTIONARY {
		return &dictFiller{typ: t, indexes: array.NewInt32Builder(mem), texts: array.NewStringBuilder(mem)}
	}
	return &textFiller{array.NewStringBuilder(mem)}
}

// spread calls value for each row that has one, with its index in the page, and
// null for the others.
func spread(at, n int, valid []bool, value func(i int), null func()) {
	if valid == nil {
		for i := at; i < at+n; i++ {
			value(i)
		}
		return
	}
	for _, v := range valid {
		if !v {
			null()
			continue
		}
		value(at)
		at++
	}
}

// builder is what Arrow's builders of fixed-width values have in common.
type builder[T any] interface {
	Reserve(n int)
	UnsafeAppend(v T)
	UnsafeAppendBoolToBitmap(valid bool)
	NewArray() arrow.Array
	Release()
}

// plainFiller collects numbers, dates and truth values.
type plainFiller[T any] struct {
	b      builder[T]
	values func(encoding.Values) func(i int) T
}

func (f *plainFiller[T]) add(page parquet.Page, at, n int, valid []bool) error {
	if page.Dictionary() != nil {
		return errEncoding
	}
	value := f.values(page.Data())
	f.b.Reserve(max(n, len(valid)))
	spread(at, n, valid, func(i int) { f.b.UnsafeAppend(value(i)) }, func() { f.b.UnsafeAppendBoolToBitmap(false) })
	return nil
}

func (f *plainFiller[T]) array() arrow.Array { return f.b.NewArray() }
func (f *plainFiller[T]) release()           { f.b.Release() }

// decimals reads the big-endian two's complement of Parquet.
func decimals(v encoding.Values) func(i int) decimal128.Num {
	b, size := v.FixedLenByteArray()
	return func(i int) decimal128.Num {
		n := b[i*size : (i+1)*size]
		return decimal128.New(int64(binary.BigEndian.Uint64(n)), binary.BigEndian.Uint64(n[8:]))
	}
}

func dates(v encoding.Values) func(i int) arrow.Date32 {
	n := v.Int32()
	return func(i int) arrow.Date32 { return arrow.Date32(n[i]) }
}

func int64s(v encoding.Values) func(i int) int64 {
	n := v.Int64()
	return func(i int) int64 { return n[i] }
}

func int32s(v encoding.Values) func(i int) int32 {
	n := v.Int32()
	return func(i int) int32 { return n[i] }
}

func bools(v encoding.Values) func(i int) bool {
	bits := v.Boolean()
	return func(i int) bool { return bits[i/8]>>(i%8)&1 == 1 }
}

// texts returns the text values of a page or of a dictionary. They are good
// until the page is released.
func texts(v encoding.Values) (value func(i int) []byte, n int) {
	b, offsets := v.ByteArray()
	return func(i int) []byte { return b[offsets[i]:offsets[i+1]] }, max(len(offsets)-1, 0)
}

// textFiller collects texts as they are.
type textFiller struct{ b *array.StringBuilder }

func (f *textFiller) add(page parquet.Page, at, n int, valid []bool) error {
	data := page.Data()
	var value func(i int) []byte
	if dict := page.Dictionary(); dict != nil {
		of, _ := texts(dict.Page().Data())
		index := data.Int32()
		value = func(i int) []byte { return of(int(index[i])) }
	} else {
		value, _ = texts(data)
	}
	spread(at, n, valid, func(i int) { f.b.BinaryBuilder.Append(value(i)) }, f.b.AppendNull)
	return nil
}

func (f *textFiller) array() arrow.Array { return f.b.NewArray() }
func (f *textFiller) release()           { f.b.Release() }

// dictFiller collects texts as indexes into one dictionary, which grows over
// the batches of a row group: it is the dictionary of the file and, after a
// writer gave up its dictionary and wrote plain pages, what those add to it.
type dictFiller struct {
	typ     arrow.DataType
	indexes *array.Int32Builder
	texts   *array.StringBuilder // makes dictionaries

	base   parquet.Dictionary // the file's dictionary that remap is for
	remap  []int32            // index in the file's dictionary to index in values; nil for the same
	values []string
	at     map[string]int32 // index of each of values; made when it is first needed
	made   arrow.Array      // values as an array; nil when they have grown since
}

func (f *dictFiller) add(page parquet.Page, at, n int, valid []bool) error {
	f.indexes.Reserve(max(n, len(valid)))
	data := page.Data()
	null := func() { f.indexes.UnsafeAppendBoolToBitmap(false) }
	if page.Dictionary() == nil {
		value, _ := texts(data)
		spread(at, n, valid, func(i int) { f.indexes.UnsafeAppend(f.index(value(i))) }, null)
		return nil
	}
	if page.Dictionary() != f.base {
		f.load(page.Dictionary())
	}
	index := data.Int32()
	switch {
	case f.remap != nil:
		spread(at, n, valid, func(i int) { f.indexes.UnsafeAppend(f.remap[index[i]]) }, null)
	case valid == nil:
		f.indexes.AppendValues(index[at:at+n], nil)
	default:
		spread(at, n, valid, func(i int) { f.indexes.UnsafeAppend(index[i]) }, null)
	}
	return nil
}

// load takes over the dictionary of a file.
func (f *dictFiller) load(d parquet.Dictionary) {
	value, n := texts(d.Page().Data())
	first := len(f.values) == 0
	f.base, f.remap = d, nil
	for i := range n {
		if first {
			f.values = append(f.values, string(value(i)))
		} else {
			f.remap = append(f.remap, f.index(value(i)))
		}
	}
	f.grown()
}

// index returns the index of a value, adding it when it is new.
func (f *dictFiller) index(value []byte) int32 {
	if f.at == nil {
		f.at = make(map[string]int32, len(f.values))
		for i, v := range f.values {
			f.at[v] = int32(i)
		}
	}
	i, found := f.at[string(value)]
	if !found {
		i = int32(len(f.values))
		f.values = append(f.values, string(value))
		f.at[f.values[i]] = i
		f.grown()
	}
	return i
}

func (f *dictFiller) grown() {
	if f.made != nil {
		f.made.Release()
		f.made = nil
	}
}

func (f *dictFiller) array() arrow.Array {
	if f.made == nil {
		f.texts.AppendValues(f.values, nil)
		f.made = f.texts.NewArray()
	}
	indexes := f.indexes.NewArray()
	defer indexes.Release()
	return array.NewDictionaryArray(f.typ, indexes, f.made)
}

func (f *dictFiller) release() {
	f.grown()
	f.indexes.Release()
	f.texts.Release()
}
