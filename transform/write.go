package transform

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// writer builds a record cell by cell, each row's columns in order. Whoever
// made it must release it; the record of finish is the caller's.
type writer struct {
	b   *array.RecordBuilder
	at  int
	err error
}

func newWriter(mem memory.Allocator, schema *arrow.Schema) *writer {
	return &writer{b: array.NewRecordBuilder(mem, schema)}
}

func (w *writer) release() { w.b.Release() }

func (w *writer) finish() (arrow.Record, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.b.NewRecord(), nil
}

func (w *writer) next() array.Builder {
	b := w.b.Field(w.at)
	w.at = (w.at + 1) % w.b.Schema().NumFields()
	return b
}

func (w *writer) null() { w.next().AppendNull() }

func (w *writer) text(s string) {
	switch b := w.next().(type) {
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(s); err != nil && w.err == nil {
			w.err = err
		}
	case *array.StringBuilder:
		b.Append(s)
	}
}

// id writes the text of an id, null for NoID.
func (w *writer) id(id int32, table *IDs) {
	if id == NoID {
		w.null()
		return
	}
	w.text(table.Text(id))
}

func (w *writer) day(d data.Day) { w.next().(*array.Date32Builder).Append(arrow.Date32(d)) }

func (w *writer) maybeDay(d maybeDay) {
	if !d.known {
		w.null()
		return
	}
	w.day(d.Day)
}

func (w *writer) int32(n int32) { w.next().(*array.Int32Builder).Append(n) }

func (w *writer) int64(n int64) { w.next().(*array.Int64Builder).Append(n) }

func (w *writer) bool(b bool) { w.next().(*array.BooleanBuilder).Append(b) }

func (w *writer) decimal(d data.Decimal) {
	w.next().(*array.Decimal128Builder).Append(d.Arrow())
}

// sum writes a sum, null for an empty one. A sum that is too large is
// remembered as an error that names it.
func (w *writer) sum(s Sum, name string) {
	if s.Count() == 0 {
		w.null()
		return
	}
	d, err := s.Decimal(name)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.decimal(d)
}

// maybeDay is a day that may be unknown.
type maybeDay struct {
	data.Day
	known bool
}

func dayAt(c Column[arrow.Date32], i int) maybeDay {
	d, known := c.At(i)
	return maybeDay{data.Day(d), known}
}

// newDictionary makes a dictionary array of indexes into texts and releases
// the builder's memory in any case.
func newDictionary(mem memory.Allocator, index *array.Int32Builder, texts []string) arrow.Array {
	values := array.NewStringBuilder(mem)
	defer values.Release()
	values.AppendValues(texts, nil)
	dict := values.NewArray()
	defer dict.Release()
	indices := index.NewArray()
	defer indices.Release()
	return array.NewDictionaryArray(data.DictType(), indices, dict)
}
