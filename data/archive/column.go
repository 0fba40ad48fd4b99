package archive

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// column collects the values of one Parquet column chunk for an Arrow array.
type column struct {
	field   arrow.Field
	builder array.Builder
	texts   *textColumn // dictionary columns are built here
}

// textColumn is a dictionary column: distinct texts and an index per row, -1
// for null.
type textColumn struct {
	mem     memory.Allocator
	index   map[string]int32
	values  []string
	indexes []int32
}

func newColumn(mem memory.Allocator, f arrow.Field) *column {
	if f.Type.ID() == arrow.DICTIONARY {
		return &column{field: f, texts: &textColumn{mem: mem, index: map[string]int32{}}}
	}
	return &column{field: f, builder: array.NewBuilder(mem, f.Type)}
}

func (c *column) len() int {
	if c.texts != nil {
		return len(c.texts.indexes)
	}
	return c.builder.Len()
}

func (c *column) release() {
	if c.builder != nil {
		c.builder.Release()
	}
}

// array finishes the column; the caller must Release the array.
func (c *column) array() arrow.Array {
	if c.texts != nil {
		return c.texts.array()
	}
	defer c.builder.Release()
	return c.builder.NewArray()
}

func (c *column) constant(day int32, rows int) {
	b := c.builder.(*array.Date32Builder)
	b.Reserve(rows)
	for range rows {
		b.UnsafeAppend(arrow.Date32(day))
	}
}

func (c *column) nulls(rows int) {
	if c.texts == nil {
		c.builder.AppendNulls(rows)
		return
	}
	for range rows {
		c.texts.indexes = append(c.texts.indexes, -1)
	}
}

func (c *column) read(chunk parquet.ColumnChunk) error {
	for page, err := range pages(chunk) {
		if err != nil {
			return err
		}
		if err := c.page(page); err != nil {
			return err
		}
	}
	return nil
}

// source gives the values of a page: value i of those that are not null. A
// chunk may begin with dictionary pages and go on with plain ones.
type source struct {
	page    parquet.Page
	indexes []int32 // dictionary page: positions in its dictionary
	values  parquet.Page
	count   int
}

func sourceOf(page parquet.Page) source {
	s := source{page: page, values: page, count: int(page.NumValues() - page.NumNulls())}
	if d := page.Dictionary(); d != nil {
		indexes := page.Data()
		s.indexes, s.values = indexes.Int32(), d.Page()
	}
	return s
}

// at is the position of value i in the values page.
func (s source) at(i int) int {
	if s.indexes != nil {
		return int(s.indexes[i])
	}
	return i
}

// each calls value for every row with a value and null for the others.
func (s source) each(value func(i int), null func()) {
	levels := s.page.DefinitionLevels()
	if len(levels) == 0 {
		for i := range s.count {
			value(s.at(i))
		}
		return
	}
	next := 0
	for _, level := range levels {
		if level == 0 {
			null()
			continue
		}
		value(s.at(next))
		next++
	}
}

func (c *column) page(page parquet.Page) error {
	s := sourceOf(page)
	values := s.values.Data()
	switch b := c.builder.(type) {
	case nil:
		bytes, offsets := values.ByteArray()
		c.texts.page(s, bytes, offsets)
	case *array.StringBuilder:
		bytes, offsets := values.ByteArray()
		s.each(func(i int) { b.Append(string(bytes[offsets[i]:offsets[i+1]])) }, b.AppendNull)
	case *array.Date32Builder:
		v := values.Int32()
		s.each(func(i int) { b.Append(arrow.Date32(v[i])) }, b.AppendNull)
	case *array.Int32Builder:
		v := values.Int32()
		s.each(func(i int) { b.Append(v[i]) }, b.AppendNull)
	case *array.Int64Builder:
		v := values.Int64()
		s.each(func(i int) { b.Append(v[i]) }, b.AppendNull)
	case *array.BooleanBuilder:
		v := values.Boolean()
		s.each(func(i int) { b.Append(v[i/8]>>(i%8)&1 == 1) }, b.AppendNull)
	case *array.Decimal128Builder:
		return decimals(s, b)
	default:
		return fmt.Errorf("has no reader for %s", c.field.Type)
	}
	return nil
}

// decimals reads big-endian two's complement values of 16 bytes.
func decimals(s source, b *array.Decimal128Builder) error {
	values := s.values.Data()
	v, size := values.FixedLenByteArray()
	if size != len(data.Decimal{}) && len(v) > 0 {
		return fmt.Errorf("has %d bytes a value", size)
	}
	tooLarge := false
	s.each(func(i int) {
		d := data.Decimal(v[16*i : 16*i+16])
		hi, lo := d.Parts()
		if _, ok := data.DecimalFromParts(hi, lo); !ok {
			tooLarge = true
		}
		b.Append(decimal128.New(hi, lo))
	}, b.AppendNull)
	if tooLarge {
		return errors.New("holds a number of more than 38 digits")
	}
	return nil
}

// page adds a page; of a dictionary page each distinct text is looked up once.
func (t *textColumn) page(s source, bytes []byte, offsets []uint32) {
	known := make([]int32, max(len(offsets)-1, 0))
	s.each(func(i int) {
		if known[i] == 0 {
			known[i] = t.add(bytes[offsets[i]:offsets[i+1]]) + 1
		}
		t.indexes = append(t.indexes, known[i]-1)
	}, func() { t.indexes = append(t.indexes, -1) })
}

func (t *textColumn) add(b []byte) int32 {
	if i, found := t.index[string(b)]; found {
		return i
	}
	s := string(b)
	i := int32(len(t.values))
	t.index[s] = i
	t.values = append(t.values, s)
	return i
}

func (t *textColumn) array() arrow.Array {
	values := array.NewStringBuilder(t.mem)
	defer values.Release()
	values.AppendValues(t.values, nil)
	dictionary := values.NewArray()
	defer dictionary.Release()
	indexes := array.NewInt32Builder(t.mem)
	defer indexes.Release()
	indexes.Reserve(len(t.indexes))
	for _, i := range t.indexes {
		if i < 0 {
			indexes.UnsafeAppendBoolToBitmap(false)
			continue
		}
		indexes.UnsafeAppend(i)
	}
	rows := indexes.NewArray()
	defer rows.Release()
	return array.NewDictionaryArray(data.DictType(), rows, dictionary)
}
