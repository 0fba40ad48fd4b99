package archive

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// recordKeys returns a function that appends the key of one row of a record.
// The record must have every column of the table with its type.
func recordKeys(l *layout, rec arrow.Record) (func(b []byte, row int) ([]byte, error), error) {
	appenders := make([]func([]byte, int) []byte, len(l.columns))
	columns := make([]arrow.Array, len(l.columns))
	for i, c := range l.columns {
		at := rec.Schema().FieldIndices(c.name)
		want, _ := l.arrow.FieldsByName(c.name)
		if len(at) != 1 || !arrow.TypeEqual(rec.Column(at[0]).DataType(), want[0].Type) {
			return nil, fmt.Errorf("%s record: column %s is missing or of another type", l.table, c.name)
		}
		columns[i] = rec.Column(at[0])
		if !c.nullable && columns[i].NullN() > 0 {
			return nil, fmt.Errorf("%s record: column %s has nulls", l.table, c.name)
		}
		appenders[i] = appender(columns[i])
	}
	return func(b []byte, row int) ([]byte, error) {
		for i, c := range l.columns {
			if c.nullable {
				if columns[i].IsNull(row) {
					b = append(b, keyNull)
					continue
				}
				b = append(b, keyValue)
			}
			b = appenders[i](b, row)
		}
		return b, nil
	}, nil
}

// appender returns a function that appends one value of an array to a key.
func appender(a arrow.Array) func(b []byte, row int) []byte {
	switch a := a.(type) {
	case *array.Dictionary:
		values := a.Dictionary().(*array.String)
		return func(b []byte, row int) []byte { return appendText(b, values.Value(a.GetValueIndex(row))) }
	case *array.String:
		return func(b []byte, row int) []byte { return appendText(b, a.Value(row)) }
	case *array.Decimal128:
		return func(b []byte, row int) []byte {
			d, _ := data.DecimalFromArrow(a.Value(row))
			return appendDecimal(b, d)
		}
	case *array.Date32:
		return func(b []byte, row int) []byte { return appendInt32(b, int32(a.Value(row))) }
	case *array.Int64:
		return func(b []byte, row int) []byte { return appendInt64(b, a.Value(row)) }
	case *array.Int32:
		return func(b []byte, row int) []byte { return appendInt32(b, a.Value(row)) }
	}
	bools := a.(*array.Boolean)
	return func(b []byte, row int) []byte { return appendBool(b, bools.Value(row)) }
}
