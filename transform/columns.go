package transform

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// Columns finds the columns of one record by name. It remembers the first that
// is missing or has another type, so that all may be looked up before Err is
// asked once. What it returns is good as long as the record is.
type Columns struct {
	rec arrow.Record
	err error
}

// ColumnsOf returns the columns of a record.
func ColumnsOf(rec arrow.Record) *Columns { return &Columns{rec: rec} }

// Err returns the first problem met.
func (c *Columns) Err() error { return c.err }

// Rows returns the number of rows.
func (c *Columns) Rows() int { return int(c.rec.NumRows()) }

// Has reports whether the record has a column.
func (c *Columns) Has(name string) bool { return len(c.rec.Schema().FieldIndices(name)) > 0 }

// Days returns a column of days.
func (c *Columns) Days(name string) Column[arrow.Date32] {
	return typed(c, name, (*array.Date32).Date32Values)
}

// Int64s returns a column of counts.
func (c *Columns) Int64s(name string) Column[int64] {
	return typed(c, name, (*array.Int64).Int64Values)
}

// Bools returns a column of flags.
func (c *Columns) Bools(name string) BoolColumn {
	a := c.find(name)
	if a == nil {
		return BoolColumn{}
	}
	col, ok := a.(*array.Boolean)
	if !ok {
		c.wrongType(name)
	}
	return BoolColumn{col}
}

// Decimals returns a column of amounts.
func (c *Columns) Decimals(name string) Column[decimal128.Num] {
	return typed(c, name, (*array.Decimal128).Values)
}

// IDs returns a column of texts, dictionary-encoded or plain, as dense ids of a
// table. Only values that are asked for enter the table.
func (c *Columns) IDs(name string, table *IDs) IDColumn {
	a := c.find(name)
	if a == nil {
		return IDColumn{}
	}
	col, ok := idColumnOf(a, table)
	if !ok {
		c.wrongType(name)
	}
	return col
}

func (c *Columns) find(name string) arrow.Array {
	at := c.rec.Schema().FieldIndices(name)
	if len(at) == 0 {
		c.note(fmt.Errorf("column %s: missing", name))
		return nil
	}
	return c.rec.Column(at[0])
}

func (c *Columns) wrongType(name string) {
	c.note(fmt.Errorf("column %s: unexpected type %s", name, c.find(name).DataType()))
}

func (c *Columns) note(err error) {
	if c.err == nil {
		c.err = err
	}
}

// Column is one column of fixed-size values that may be null.
type Column[T any] struct {
	values []T
	valid  validity
	none   bool // every value is null
}

// At returns the value of row i; ok is false when it is null.
func (c Column[T]) At(i int) (v T, ok bool) {
	if c.valid.isNull(i) {
		return v, false
	}
	return c.values[i], true
}

func typed[A arrow.Array, T any](c *Columns, name string, values func(A) []T) Column[T] {
	col := c.find(name)
	if col == nil {
		return Column[T]{}
	}
	a, ok := col.(A)
	if !ok {
		c.wrongType(name)
		return Column[T]{}
	}
	return Column[T]{values: values(a), valid: validityOf(a), none: a.NullN() == a.Len()}
}

// BoolColumn is one column of flags that may be null.
type BoolColumn struct{ values *array.Boolean }

// At returns the value of row i; ok is false when it is null.
func (c BoolColumn) At(i int) (v, ok bool) {
	if c.values.IsNull(i) {
		return false, false
	}
	return c.values.Value(i), true
}

// NoID stands for a null.
const NoID = int32(-1)

// IDs numbers texts densely from 0 in order of appearance. The zero value is
// empty and ready. It keeps copies: a text outlives the record it came from.
//
// Dictionaries of sorted files name mostly the same texts in the same order, so the
// text that followed the last one before is tried first, without hashing. A table
// is not for several goroutines at once.
type IDs struct {
	index map[string]int32
	texts []string
	after []int32 // by id: which one was asked for next the last time
	last  int32

	seen []numbered // dictionaries of the last records
}

// numbered is a dictionary whose texts have their ids.
type numbered struct {
	dict arrow.ArrayData
	ids  []int32 // by index, NoID while unused
}

// seenDictionaries is how many dictionaries a table remembers: a record has a few
// columns that share a table, and the next record mostly has the same dictionaries.
const seenDictionaries = 4

// idsOf returns the ids of a dictionary of n values, as far as they are known.
func (t *IDs) idsOf(dict arrow.ArrayData, n int) []int32 {
	for _, s := range t.seen {
		if s.dict == dict && len(s.ids) == n {
			return s.ids
		}
	}
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = NoID
	}
	if len(t.seen) == seenDictionaries {
		t.seen = slices.Delete(t.seen, 0, 1)
	}
	t.seen = append(t.seen, numbered{dict, ids})
	return ids
}

// Len returns how many texts there are.
func (t *IDs) Len() int { return len(t.texts) }

// Text returns the text with an id.
func (t *IDs) Text(id int32) string { return t.texts[id] }

// Find returns the id of a text that is in the table.
func (t *IDs) Find(text string) (id int32, found bool) {
	id, found = t.index[text]
	return id, found
}

// ID returns the id of a text, a new one if need be.
func (t *IDs) ID(text string) int32 {
	if len(t.texts) > 0 {
		if guess := t.after[t.last]; t.texts[guess] == text {
			t.last = guess
			return guess
		}
	}
	id, found := t.index[text]
	if !found {
		id = t.enter(text)
	}
	t.after[t.last], t.last = id, id
	return id
}

func (t *IDs) enter(text string) int32 {
	if t.index == nil {
		t.index = make(map[string]int32)
	}
	id, text := int32(len(t.texts)), strings.Clone(text)
	t.index[text], t.texts, t.after = id, append(t.texts, text), append(t.after, 0)
	return id
}

// ranks holds the place of each id in the order of the texts.
type ranks []int32

func (t *IDs) ranks() ranks {
	order := t.sorted()
	r := make(ranks, len(order))
	for rank, id := range order {
		r[id] = int32(rank)
	}
	return r
}

// sorted returns the ids in the order of their texts.
func (t *IDs) sorted() []int32 {
	order := make([]int32, len(t.texts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(t.texts[a], t.texts[b]) })
	return order
}

// cmp compares two ids by their texts, NoID first.
func (r ranks) cmp(a, b int32) int { return cmp.Compare(r.of(a), r.of(b)) }

func (r ranks) of(id int32) int32 {
	if id == NoID {
		return NoID
	}
	return r[id]
}

// IDColumn is one column of texts as dense ids of a table.
type IDColumn struct {
	table  *IDs
	values *array.String
	index  []int32
	valid  validity
	remap  []int32 // index into values to id, NoID while unused
}

// idColumnOf returns an array of texts as ids; ok is false for other types.
func idColumnOf(a arrow.Array, table *IDs) (c IDColumn, ok bool) {
	c = IDColumn{table: table, valid: validityOf(a)}
	switch a := a.(type) {
	case *array.String:
		c.values, c.index = a, make([]int32, a.Len())
		for i := range c.index {
			c.index[i] = int32(i)
		}
	case *array.Dictionary:
		values, isText := a.Dictionary().(*array.String)
		index, isInt32 := a.Indices().(*array.Int32)
		if !isText || !isInt32 {
			return IDColumn{}, false
		}
		c.values, c.index = values, index.Int32Values()
		c.remap = table.idsOf(a.Data().Dictionary(), values.Len())
		return c, true
	default:
		return IDColumn{}, false
	}
	c.remap = make([]int32, c.values.Len())
	for i := range c.remap {
		c.remap[i] = NoID
	}
	return c, true
}

// At returns the id of row i, NoID when it is null.
func (c *IDColumn) At(i int) int32 {
	if c.valid.isNull(i) {
		return NoID
	}
	if id := c.remap[c.index[i]]; id != NoID {
		return id
	}
	return c.enter(c.index[i])
}

// id returns the id of a place in the dictionary; the place after the last is for null.
func (c *IDColumn) id(place int) int32 {
	if place == len(c.remap) {
		return NoID
	}
	if id := c.remap[place]; id != NoID {
		return id
	}
	return c.enter(int32(place))
}

// differ sets what is not 0 for each row whose value in some column differs from that of the
// row before. It may do so between two nulls.
func differ(set []int32, columns ...*IDColumn) {
	var several [][]int32 // indexes of the columns with more than one value
	for _, c := range columns {
		if len(c.remap) > 1 {
			several = append(several, c.index)
		}
		c.valid.differ(set)
	}
	for ; len(several) >= 3; several = several[3:] { // at once, which is faster
		differ3(set, several[0][:len(set)], several[1][:len(set)], several[2][:len(set)])
	}
	if n := len(several); n > 0 {
		differ3(set, several[0][:len(set)], several[n-1][:len(set)], several[n-1][:len(set)])
	}
}

func differ3(set, x, y, z []int32) {
	if len(set) == 0 {
		return
	}
	beforeX, beforeY, beforeZ := x[0], y[0], z[0]
	for i := range set {
		isX, isY, isZ := x[i], y[i], z[i]
		set[i] |= (isX ^ beforeX) | (isY ^ beforeY) | (isZ ^ beforeZ)
		beforeX, beforeY, beforeZ = isX, isY, isZ
	}
}

func (c *IDColumn) enter(v int32) int32 {
	if c.values.IsNull(int(v)) {
		return NoID
	}
	c.remap[v] = c.table.ID(c.values.Value(int(v)))
	return c.remap[v]
}
