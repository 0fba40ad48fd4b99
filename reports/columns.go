package reports

import (
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// reader finds the columns of a record by name and remembers the first that is
// missing or of an unexpected type, so that rows can be read without a check
// at every cell.
type reader struct {
	table string // for the error, e.g. "scores"
	rec   arrow.Record
	err   error
}

// rows returns the number of rows, 0 for no record.
func (r *reader) rows() int {
	if r.rec == nil {
		return 0
	}
	return int(r.rec.NumRows())
}

func (r *reader) column(name string) arrow.Array {
	if r.rec == nil {
		return nil
	}
	at := r.rec.Schema().FieldIndices(name)
	if len(at) == 0 {
		r.fail(name, "missing")
		return nil
	}
	return r.rec.Column(at[0])
}

func (r *reader) fail(name, why string) {
	if r.err == nil {
		r.err = fmt.Errorf("read %s: column %s: %s", r.table, name, why)
	}
}

// optional wraps a typed getter so that null and a missing column give nil.
func optional[A arrow.Array, T any](r *reader, name string, at func(A, int) T) func(int) *T {
	typed, ok := r.column(name).(A)
	if !ok {
		if r.err == nil && r.rec != nil {
			r.fail(name, "unexpected type "+r.column(name).DataType().String())
		}
		return func(int) *T { return nil }
	}
	return func(i int) *T {
		if typed.IsNull(i) {
			return nil
		}
		return new(at(typed, i))
	}
}

// required gives the zero value in place of null.
func required[T any](get func(int) *T) func(int) T {
	return func(i int) T {
		if v := get(i); v != nil {
			return *v
		}
		var zero T
		return zero
	}
}

// text reads a string column, dictionary-encoded or plain. The texts are copies
// and outlive the record; of a dictionary each is copied once.
func (r *reader) text(name string) func(int) *string {
	plain := func(a *array.String, i int) string { return strings.Clone(a.Value(i)) }
	dict, ok := r.column(name).(*array.Dictionary)
	if !ok {
		return optional(r, name, plain)
	}
	values, ok := dict.Dictionary().(*array.String)
	if !ok {
		r.fail(name, "unexpected type "+dict.DataType().String())
		return func(int) *string { return nil }
	}
	copies := make([]*string, values.Len())
	return func(i int) *string {
		if dict.IsNull(i) {
			return nil
		}
		at := dict.GetValueIndex(i)
		if copies[at] == nil {
			copies[at] = new(strings.Clone(values.Value(at)))
		}
		return copies[at]
	}
}

func (r *reader) day(name string) func(int) *data.Day {
	return optional(r, name, func(a *array.Date32, i int) data.Day { return data.Day(a.Value(i)) })
}

func (r *reader) int64(name string) func(int) *int64 {
	return optional(r, name, func(a *array.Int64, i int) int64 { return a.Value(i) })
}

func (r *reader) int32(name string) func(int) *int {
	return optional(r, name, func(a *array.Int32, i int) int { return int(a.Value(i)) })
}

func (r *reader) float(name string) func(int) *float64 {
	return optional(r, name, func(a *array.Float64, i int) float64 { return a.Value(i) })
}

func (r *reader) bool(name string) func(int) *bool {
	return optional(r, name, func(a *array.Boolean, i int) bool { return a.Value(i) })
}

func (r *reader) decimal(name string) func(int) *data.Decimal {
	return optional(r, name, func(a *array.Decimal128, i int) data.Decimal {
		d, _ := data.DecimalFromArrow(a.Value(i)) // no column of ours holds more than 38 digits
		return d
	})
}
