package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// place is a row of one of several records.
type place struct{ record, row int }

// take copies rows of records into a new record of the given schema. A column
// that a record lacks is null there. Dictionaries are built anew: they hold the
// values of the rows taken and no other.
func take(mem memory.Allocator, schema *arrow.Schema, records []arrow.Record, rows []place) (arrow.Record, error) {
	cols := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, col := range cols {
			col.Release()
		}
	}()
	for _, f := range schema.Fields() {
		from := make([]arrow.Array, len(records))
		for i, rec := range records {
			if at := rec.Schema().FieldIndices(f.Name); len(at) > 0 {
				from[i] = rec.Column(at[0])
			}
		}
		col, err := takeColumn(mem, f, from, rows)
		if err != nil {
			return nil, err
		}
		cols = append(cols, col)
	}
	return array.NewRecord(schema, cols, int64(len(rows))), nil
}

func takeColumn(mem memory.Allocator, f arrow.Field, from []arrow.Array, rows []place) (arrow.Array, error) {
	for _, a := range from {
		if a != nil && !arrow.TypeEqual(a.DataType(), f.Type) {
			return nil, fmt.Errorf("column %s: unexpected type %s", f.Name, a.DataType())
		}
	}
	if f.Type.ID() == arrow.DICTIONARY {
		return takeTexts(mem, f, from, rows)
	}
	b := array.NewBuilder(mem, f.Type)
	defer b.Release()
	b.Reserve(len(rows))
	switch b := b.(type) {
	case *array.StringBuilder:
		takeValues[*array.String, string](b, from, rows)
	case *array.Date32Builder:
		takeValues[*array.Date32, arrow.Date32](b, from, rows)
	case *array.Decimal128Builder:
		takeValues[*array.Decimal128, decimal128.Num](b, from, rows)
	case *array.Int64Builder:
		takeValues[*array.Int64, int64](b, from, rows)
	case *array.Int32Builder:
		takeValues[*array.Int32, int32](b, from, rows)
	case *array.Float64Builder:
		takeValues[*array.Float64, float64](b, from, rows)
	case *array.BooleanBuilder:
		takeValues[*array.Boolean, bool](b, from, rows)
	default:
		return nil, fmt.Errorf("column %s: unexpected type %s", f.Name, f.Type)
	}
	return b.NewArray(), nil
}

// takeValues appends rows to a builder of their type.
func takeValues[A interface {
	comparable
	arrow.Array
	Value(int) T
}, T any](b interface {
	Append(T)
	AppendNull()
}, from []arrow.Array, rows []place) {
	typed := make([]A, len(from))
	for i, a := range from {
		if a != nil {
			typed[i] = a.(A)
		}
	}
	var missing A
	for _, p := range rows {
		if a := typed[p.record]; a == missing || a.IsNull(p.row) {
			b.AppendNull()
		} else {
			b.Append(a.Value(p.row))
		}
	}
}

func takeTexts(mem memory.Allocator, f arrow.Field, from []arrow.Array, rows []place) (arrow.Array, error) {
	var table IDs
	columns := make([]IDColumn, len(from))
	for i, a := range from {
		if a == nil {
			continue
		}
		var ok bool
		if columns[i], ok = idColumnOf(a, &table); !ok {
			return nil, fmt.Errorf("column %s: unexpected type %s", f.Name, f.Type)
		}
	}
	b := array.NewInt32Builder(mem)
	defer b.Release()
	b.Reserve(len(rows))
	for _, p := range rows {
		id := NoID
		if from[p.record] != nil {
			id = columns[p.record].At(p.row)
		}
		if id == NoID {
			b.AppendNull()
		} else {
			b.Append(id)
		}
	}
	return newDictionary(mem, b, table.texts), nil
}
