package archive

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	parquetformat "github.com/parquet-go/parquet-go/format"

	"tidemark/data"
)

// File is a Parquet file outside of any archive.
type File struct {
	Name   string // for errors
	Reader io.ReaderAt
	Size   int64
	Day    data.Day    // of all rows, unless the file has the table's day column
	Days   data.Period // row groups whose days all lie outside are passed over; the zero value takes all

	Allocator memory.Allocator // nil: Go's own
}

// ScanFile yields the rows of a file that has the columns of a table, whoever wrote
// it, as [View.Scan] yields those of the table. Columns may be optional as long as no
// null stands where the table has none, and missing where the table may have nulls;
// amounts may be integers or bytes of any length, with at most 18 digits after the
// point; any encoding, page size and dictionary will do. Other types, a null too many and an
// amount of more than 38 digits are errors that name the file and the column.
func ScanFile(ctx context.Context, in File, t Table, columns ...string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		again := newReused(cmp.Or(in.Allocator, memory.DefaultAllocator))
		defer again.end()
		s, err := in.scan(t, columns, again)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", in.Name, err))
			return
		}
		s.records(ctx, yield)
	}
}

func (in File) scan(t Table, columns []string, again *reused) (s scan, err error) {
	defer func() {
		if why := recover(); why != nil { // parquet-go panics on some files that are damaged
			err = fmt.Errorf("%w: %v", ErrDamaged, why)
		}
	}()
	layouts, err := newLayouts(t)
	if err != nil {
		return scan{}, err
	}
	l := layouts[t]
	if l == nil {
		return scan{}, fmt.Errorf("there is no table %q", t)
	}
	f := &file{key: in.Name, layout: l, foreign: true, days: in.Days}
	if f.file, err = openParquet(in.Reader, in.Size, readBuffer); err != nil {
		return scan{}, err
	}
	if err := f.checkForeign(); err != nil {
		return scan{}, err
	}
	wanted, err := l.selectColumns(columns)
	if err != nil {
		return scan{}, err
	}
	if _, found := f.leaves[l.partition]; found && wanted.day {
		wanted.day, wanted.names = false, append([]string{l.partition}, wanted.names...)
	}
	return scan{f, Part{Day: in.Day, Rows: f.file.NumRows()}, again, wanted, batchRows}, nil
}

// checkForeign finds the columns, and those that cannot be read as the table's.
func (f *file) checkForeign() error {
	f.leaves, f.shifts = map[string]int{}, map[string]int{}
	for _, node := range f.file.Root().Columns() {
		at := f.layout.arrow.FieldIndices(node.Name())
		if len(at) == 0 {
			continue
		}
		shift, fits := fitsForeign(node, kindOf(f.layout.arrow.Field(at[0]).Type))
		if !fits {
			return fmt.Errorf("%w: column %s is %s", ErrSchema, node.Name(), describe(node))
		}
		f.leaves[node.Name()], f.shifts[node.Name()] = node.Index(), shift
	}
	for _, c := range f.layout.columns {
		if _, found := f.leaves[c.name]; !found && !c.nullable {
			return fmt.Errorf("%w: column %s is missing", ErrSchema, c.name)
		}
	}
	return nil
}

// fitsForeign reports whether a column can be read as one of a kind, and of an amount
// how many digits after the point it lacks.
func fitsForeign(node parquet.Node, k kind) (shift int, fits bool) {
	if !node.Leaf() || node.Repeated() {
		return 0, false
	}
	physical := node.Type().Kind()
	var meant parquetformat.LogicalTypeValue
	if l := node.Type().LogicalType(); l != nil {
		meant = l.Value
	}
	amount, isAmount := meant.(*parquetformat.DecimalType)
	_, isInteger := meant.(*parquetformat.IntType)
	_, isDate := meant.(*parquetformat.DateType)
	switch k {
	case kindText:
		return 0, physical == parquet.ByteArray && !isAmount
	case kindDate:
		return 0, physical == parquet.Int32 && isDate
	case kindInt32:
		return 0, physical == parquet.Int32 && (meant == nil || isInteger)
	case kindInt64:
		return 0, physical == parquet.Int64 && (meant == nil || isInteger)
	case kindBool:
		return 0, physical == parquet.Boolean
	}
	if !isAmount {
		return 0, false
	}
	shift = data.Scale - int(amount.Scale)
	number := physical == parquet.Int32 || physical == parquet.Int64 || physical == parquet.ByteArray || physical == parquet.FixedLenByteArray
	return shift, number && shift >= 0 && shift <= data.Scale
}

// outside reports whether all days of a row group lie outside of those asked for.
func (f *file) outside(g parquet.RowGroup) bool {
	at, found := f.leaves[f.layout.partition]
	if !found || f.days == (data.Period{}) {
		return false
	}
	chunk, ok := g.ColumnChunks()[at].(*parquet.FileColumnChunk)
	if !ok {
		return false
	}
	first, last, known := chunk.Bounds()
	return known && (data.Day(last.Int32()) < f.days.From || data.Day(first.Int32()) > f.days.To)
}

// WriteUsageFile writes a file as the archive writes those of usage, with the rows in
// the order given and without their day. The archive itself sorts rows, checks what
// it wrote and keeps a log; this is for comparing and measuring.
func WriteUsageFile(w io.Writer, rows iter.Seq[data.Usage]) error {
	layouts, err := newLayouts(UsageTable)
	if err != nil {
		return err
	}
	p := parquet.NewGenericWriter[data.Usage](w, layouts[UsageTable].options...)
	batch := make([]data.Usage, 0, writeRows)
	flush := func() error {
		n, err := p.Write(batch)
		if err == nil && n < len(batch) {
			err = io.ErrShortWrite
		}
		batch = batch[:0]
		return err
	}
	for row := range rows {
		batch = append(batch, row)
		if len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return fmt.Errorf("write usage: %w", err)
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	if err := p.Close(); err != nil {
		return fmt.Errorf("write usage: %w", err)
	}
	return nil
}
