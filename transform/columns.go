package transform

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// column returns the array of a named column, nil when the record has none.
func column(rec arrow.Record, name string) arrow.Array {
	at := rec.Schema().FieldIndices(name)
	if len(at) == 0 {
		return nil
	}
	return rec.Column(at[0])
}

// columnAs returns a named column as the array type A; a column that is missing
// or of another type is an error that names it.
func columnAs[A arrow.Array](rec arrow.Record, name string) (A, error) {
	c, ok := column(rec, name).(A)
	if !ok {
		return c, fmt.Errorf("column %s is missing or of another type", name)
	}
	return c, nil
}

// decimalColumn returns a decimal column, nil when the record has none: a view
// without money.
func decimalColumn(rec arrow.Record, name string) *array.Decimal128 {
	c, _ := column(rec, name).(*array.Decimal128)
	return c
}

// idTable numbers texts densely from 0, across records with different
// dictionaries.
type idTable struct {
	index map[string]int32
	names []string
}

func newIDTable() *idTable { return &idTable{index: map[string]int32{}} }

func (t *idTable) of(s string) int32 {
	id, found := t.index[s]
	if !found {
		id = int32(len(t.names))
		t.index[s] = id
		t.names = append(t.names, s)
	}
	return id
}

// find returns the number of a text that is known.
func (t *idTable) find(s string) (int32, bool) {
	id, found := t.index[s]
	return id, found
}

// null stands for an absent text among dense ids.
const null = int32(-1)

// idColumn is a dictionary or text column read as dense ids. Of a dictionary
// only the entries that rows point at are numbered.
type idColumn struct {
	table   *idTable
	dict    *array.Dictionary
	entries *array.String
	remap   []int32 // dense id + 1 by dictionary entry, 0: not yet looked up
	plain   *array.String
}

func (t *idTable) column(rec arrow.Record, name string) (idColumn, error) {
	switch c := column(rec, name).(type) {
	case *array.Dictionary:
		if entries, ok := c.Dictionary().(*array.String); ok {
			return idColumn{table: t, dict: c, entries: entries, remap: make([]int32, entries.Len())}, nil
		}
	case *array.String:
		return idColumn{table: t, plain: c}, nil
	}
	return idColumn{}, fmt.Errorf("column %s is missing or not a text", name)
}

func (c idColumn) at(row int) int32 {
	if c.plain != nil {
		if c.plain.IsNull(row) {
			return null
		}
		return c.table.of(c.plain.Value(row))
	}
	if c.dict.IsNull(row) {
		return null
	}
	entry := c.dict.GetValueIndex(row)
	if c.remap[entry] == 0 {
		c.remap[entry] = c.table.of(c.entries.Value(entry)) + 1
	}
	return c.remap[entry] - 1
}

// text reads a cell of a dictionary or text column, "" for null.
func text(c arrow.Array, row int) (s string, ok bool) {
	if c == nil || c.IsNull(row) {
		return "", false
	}
	switch c := c.(type) {
	case *array.Dictionary:
		return c.Dictionary().(*array.String).Value(c.GetValueIndex(row)), true
	case *array.String:
		return c.Value(row), true
	}
	return "", false
}

// dayAt reads a cell of a date column.
func dayAt(c arrow.Array, row int) *data.Day {
	d, ok := c.(*array.Date32)
	if !ok || d.IsNull(row) {
		return nil
	}
	return new(data.Day(d.Value(row)))
}

// sum adds decimals exactly in 192 bits, so that no order of adding can wrap;
// the total must fit 38 digits.
type sum struct {
	lo, mid uint64
	hi      int64
	set     bool // at least one value was added
}

func (s *sum) add(n decimal128.Num) {
	s.addWords(n.LowBits(), uint64(n.HighBits()), n.HighBits()>>63)
}

func (s *sum) addWords(lo, mid uint64, hi int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.mid, carry = bits.Add64(s.mid, mid, carry)
	s.hi += hi + int64(carry)
	s.set = true
}

// total returns the sum; what names it in the error when it needs more than 38
// digits.
func (s sum) total(what string) (data.Decimal, error) {
	d, ok := data.DecimalFromParts(int64(s.mid), s.lo)
	if s.hi != int64(s.mid)>>63 || !ok {
		return data.Decimal{}, fmt.Errorf("the sum of %s needs more than 38 digits", what)
	}
	return d, nil
}

// writer builds a record field by field.
type writer struct{ b *array.RecordBuilder }

func newWriter(mem memory.Allocator, fields ...arrow.Field) writer {
	return writer{array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))}
}

// record finishes the record and gives the builder back.
func (w writer) record() arrow.Record {
	defer w.b.Release()
	return w.b.NewRecord()
}

// row appends one cell for each field: string, int, int64, bool, data.Day,
// data.Decimal, or a pointer to one of them, nil for null.
func (w writer) row(cells ...any) {
	for i, cell := range cells {
		appendCell(w.b.Field(i), cell)
	}
}

func appendCell(b array.Builder, cell any) {
	switch v := cell.(type) {
	case nil:
		b.AppendNull()
	case *string:
		appendPointer(b, v)
	case *int64:
		appendPointer(b, v)
	case *int:
		appendPointer(b, v)
	case *bool:
		appendPointer(b, v)
	case *data.Day:
		appendPointer(b, v)
	case *data.Decimal:
		appendPointer(b, v)
	case string:
		appendText(b, v)
	case int64:
		b.(*array.Int64Builder).Append(v)
	case int:
		b.(*array.Int32Builder).Append(int32(v))
	case bool:
		b.(*array.BooleanBuilder).Append(v)
	case data.Day:
		b.(*array.Date32Builder).Append(arrow.Date32(v))
	case data.Decimal:
		b.(*array.Decimal128Builder).Append(v.Arrow())
	default:
		panic(fmt.Sprintf("transform: no builder for a cell of type %T", cell))
	}
}

func appendPointer[T any](b array.Builder, v *T) {
	if v == nil {
		b.AppendNull()
		return
	}
	appendCell(b, *v)
}

func appendText(b array.Builder, s string) {
	if d, ok := b.(*array.BinaryDictionaryBuilder); ok {
		// It fails only when 2^31 entries are exceeded.
		if err := d.AppendString(s); err != nil {
			panic(err)
		}
		return
	}
	b.(*array.StringBuilder).Append(s)
}

// The fields of the metric tables.
func dictField(name string) arrow.Field { return arrow.Field{Name: name, Type: data.DictType()} }
func textField(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.BinaryTypes.String}
}
func dateField(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.FixedWidthTypes.Date32}
}
func int64Field(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64}
}
func int32Field(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int32}
}
func decimalField(name string) arrow.Field { return arrow.Field{Name: name, Type: data.DecimalType()} }

func nullable(f arrow.Field) arrow.Field {
	f.Nullable = true
	return f
}
