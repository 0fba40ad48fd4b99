package transform

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
)

// recordOf puts rows into a record by the names in their Parquet tags; day is
// the value of the partition column.
func recordOf[T any](mem memory.Allocator, schema *arrow.Schema, rows []T, day func(T) data.Day) arrow.Record {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	place := map[string]int{}
	for i := range reflect.TypeFor[T]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[T]().Field(i).Tag.Get("parquet"), ",")
		place[name] = i
	}
	for _, row := range rows {
		for i, f := range schema.Fields() {
			if strings.HasSuffix(f.Name, "_date") {
				appendCell(b.Field(i), reflect.ValueOf(day(row)))
				continue
			}
			appendCell(b.Field(i), reflect.ValueOf(row).Field(place[f.Name]))
		}
	}
	return b.NewRecord()
}

func appendCell(b array.Builder, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			b.AppendNull()
			return
		}
		v = v.Elem()
	}
	switch b := b.(type) {
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(v.String()); err != nil {
			panic(err)
		}
	case *array.StringBuilder:
		b.Append(v.String())
	case *array.Decimal128Builder:
		b.Append(v.Interface().(data.Decimal).Arrow())
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.Int()))
	case *array.Int64Builder:
		b.Append(v.Int())
	case *array.Int32Builder:
		b.Append(int32(v.Int()))
	case *array.BooleanBuilder:
		b.Append(v.Bool())
	default:
		panic(fmt.Sprintf("no cell for %T", b))
	}
}

func usageRecord(mem memory.Allocator, rows []data.Usage) arrow.Record {
	return recordOf(mem, data.UsageSchema(), rows, func(u data.Usage) data.Day { return u.Day })
}

func dailyRecord(mem memory.Allocator, rows []data.UsageDaily) arrow.Record {
	return recordOf(mem, data.UsageDailySchema(), rows, func(u data.UsageDaily) data.Day { return u.Day })
}

// lines renders a record, one line per row.
func lines(rec arrow.Record) []string {
	if rec == nil {
		return nil
	}
	out := []string{}
	for i := range int(rec.NumRows()) {
		cells := make([]string, rec.NumCols())
		for j, col := range rec.Columns() {
			cells[j] = cell(col, i)
		}
		out = append(out, strings.Join(cells, "|"))
	}
	return out
}

func cell(col arrow.Array, i int) string {
	if col.IsNull(i) {
		return "null"
	}
	switch col := col.(type) {
	case *array.Decimal128:
		d, ok := data.DecimalFromArrow(col.Value(i))
		if !ok {
			return "more than 38 digits"
		}
		return d.String()
	case *array.Date32:
		return data.Day(col.Value(i)).String()
	case *array.Dictionary, *array.String:
		return fmt.Sprintf("%q", col.ValueStr(i))
	}
	return col.ValueStr(i)
}

// batches yields records; an error, if given, comes last.
func batches(records []arrow.Record, err error) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for _, rec := range records {
			if !yield(rec, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// split cuts rows into records of at most n rows.
func split[T any](rows []T, n int, record func([]T) arrow.Record) []arrow.Record {
	var out []arrow.Record
	for chunk := range slices.Chunk(rows, n) {
		out = append(out, record(chunk))
	}
	return out
}

// checked returns an allocator, and a function that fails the test when
// something is still held.
func checked(t interface{ Fatalf(string, ...any) }) (memory.Allocator, func()) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	return mem, func() {
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes are still held", n)
		}
	}
}

func mustDay(s string) data.Day {
	d, err := data.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

func mustPeriod(s string) data.Period {
	spec, err := data.ParsePeriod(s)
	if err != nil {
		panic(err)
	}
	p, err := spec.Resolve(0, nil)
	if err != nil {
		panic(err)
	}
	return p
}

func dec(s string) *data.Decimal {
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return &d
}

// extreme is the largest amount there is.
const extreme = "99999999999999999999.999999999999999999"

// Generators shared by the property tests.

func anyAmount(t *rapid.T, label string, overflow bool) *data.Decimal {
	values := []string{"", "", "0", "0.000000000000000001", "1.5", "-2.25", "310.1234567891", "49999999999999999999.5", "-49999999999999999999.5"}
	if overflow {
		values = append(values, extreme, "-"+extreme)
	}
	s := rapid.SampledFrom(values).Draw(t, label)
	if s == "" {
		return nil
	}
	return dec(s)
}

func oneOf[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

var errBroken = errors.New("broken disk")

const hostile = "ü\x00'; -- <c>\n"

func assertLines(t interface{ Fatalf(string, ...any) }, what string, want, got []string) {
	if !slices.Equal(want, got) {
		t.Fatalf("%s:\nwant\n  %s\ngot\n  %s", what, strings.Join(want, "\n  "), strings.Join(got, "\n  "))
	}
}

func assertError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
