package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// whole returns all rows of a part as one record.
func (v *View) whole(ctx context.Context, l *layout, p Part, columns []string) (arrow.Record, error) {
	wanted, err := l.selectColumns(columns)
	if err != nil {
		return nil, err
	}
	again := newReused(v.archive.opts.Allocator)
	defer again.end()
	f, err := v.archive.openFor(ctx, l, p, wanted, again)
	if err != nil {
		return nil, err
	}
	rec, err := scan{f, p, again, wanted, int(p.Rows)}.whole(ctx)
	if err = errors.Join(err, f.close()); err != nil && rec != nil {
		rec.Release()
		return nil, err
	}
	return rec, err
}

// Scan yields the rows of a table whose day lies in p, in records of at most
// 65,536 rows, mostly fewer, in the order of day, feed and row. Files of other days are not
// opened. Without columns a record has all of the table, the day first; else
// those named, in the order of the table. Each record is good until the next:
// Retain it to keep it, and Release it then.
func (v *View) Scan(ctx context.Context, t Table, p data.Period, columns ...string) iter.Seq2[arrow.Record, error] {
	return v.ScanWanted(ctx, t, p, func() []string { return columns })
}

// ScanWanted is Scan of columns that are asked for anew before each file.
func (v *View) ScanWanted(ctx context.Context, t Table, p data.Period, columns func() []string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		l, err := v.archive.layout(t)
		if err != nil {
			yield(nil, err)
			return
		}
		names := columns()
		wanted, err := l.selectColumns(names)
		if err != nil {
			yield(nil, err)
			return
		}
		again := newReused(v.archive.opts.Allocator)
		defer again.end()
		for _, part := range v.parts(t) {
			if !p.Contains(part.Day) || part.Rows == 0 {
				continue
			}
			if now := columns(); !slices.Equal(now, names) {
				names = now
				if wanted, err = l.selectColumns(names); err != nil {
					yield(nil, err)
					return
				}
			}
			if !v.scanPart(ctx, l, part, wanted, again, yield) {
				return
			}
		}
	}
}

// scanPart yields the rows of one file and reports whether to go on.
func (v *View) scanPart(ctx context.Context, l *layout, p Part, wanted selection, again *reused, yield func(arrow.Record, error) bool) bool {
	f, err := v.archive.openFor(ctx, l, p, wanted, again)
	if err != nil {
		yield(nil, err)
		return false
	}
	more := scan{f, p, again, wanted, batchRows}.records(ctx, yield)
	if err := f.close(); err != nil && more {
		yield(nil, fmt.Errorf("read %s: %w", f.key, err))
		return false
	}
	return more
}

// dayRow is a row with its partition day.
type dayRow[T any] struct {
	day data.Day
	row T
}

// tableRows yields the rows of a table whose day lies in p.
func tableRows[T any](ctx context.Context, v *View, t Table, code func(*rowCoder, *T), p data.Period) iter.Seq2[dayRow[T], error] {
	return func(yield func(dayRow[T], error) bool) {
		decode := newDecoder(code)
		for rec, err := range v.Scan(ctx, t, p) {
			if err != nil {
				yield(dayRow[T]{}, err)
				return
			}
			keyOf, err := recordKeys(v.archive.layouts[t], rec)
			if err != nil {
				yield(dayRow[T]{}, err)
				return
			}
			days := rec.Column(0).(*array.Date32)
			for i := range int(rec.NumRows()) {
				key, err := keyOf(nil, i)
				if !yield(dayRow[T]{data.Day(days.Value(i)), decode.row(key)}, err) {
					return
				}
			}
		}
	}
}

// selection is which columns of a table are read, in the order of its schema.
type selection struct {
	schema *arrow.Schema
	day    bool     // whether the partition column, the first, is among them
	names  []string // of the others
}

// selectColumns picks columns by name; none means all.
func (l *layout) selectColumns(names []string) (selection, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		if len(l.arrow.FieldIndices(name)) == 0 {
			return selection{}, fmt.Errorf("table %s has no column %s", l.table, name)
		}
		wanted[name] = true
	}
	var s selection
	var fields []arrow.Field
	for i, f := range l.arrow.Fields() {
		switch {
		case len(names) > 0 && !wanted[f.Name]:
			continue
		case i == 0:
			s.day = true
		default:
			s.names = append(s.names, f.Name)
		}
		fields = append(fields, f)
	}
	s.schema = arrow.NewSchema(fields, nil)
	return s, nil
}

// batchRows is how many rows a record of a scan has at most.
const batchRows = 64 << 10

// scan reads columns of an open file.
type scan struct {
	file   *file
	part   Part
	again  *reused // the memory
	wanted selection
	batch  int // rows a record has at most
}

// rowsOf hands the rows of a file to yield, over memory of its own.
func (a *Archive) rowsOf(ctx context.Context, f *file, p Part, wanted selection, yield func(arrow.Record, error) bool) {
	again := newReused(a.opts.Allocator)
	defer again.end()
	scan{f, p, again, wanted, batchRows}.records(ctx, yield)
}

// records hands the rows to yield, in records that never cross a row group and
// that are released afterwards. It reports whether to go on.
func (s scan) records(ctx context.Context, yield func(arrow.Record, error) bool) bool {
	days := repeatDay(s.again.buffers, s.part.Day, int(min(int64(s.batch), s.part.Rows)))
	defer days.Release()
	for _, g := range s.file.file.RowGroups() {
		if s.file.outside(g) {
			continue
		}
		more, err := s.group(ctx, s.readers([]parquet.RowGroup{g}), g.NumRows(), days, yield)
		if err != nil {
			yield(nil, fmt.Errorf("read %s: %w", s.file.key, err))
			return false
		}
		if !more {
			return false
		}
	}
	return true
}

// readers returns a reader for each wanted column of row groups, which it reads as
// one.
func (s scan) readers(groups []parquet.RowGroup) []*columnReader {
	readers := make([]*columnReader, len(s.wanted.names))
	for i, name := range s.wanted.names {
		field, _ := s.wanted.schema.FieldsByName(name)
		r := &columnReader{bridge: bridge{mem: s.again.buffers.mem, spare: s.again.buffers, field: field[0], foreign: s.file.foreign, shift: s.file.shifts[name]}}
		if at, found := s.file.leaves[name]; found {
			for _, g := range groups {
				r.chunks = append(r.chunks, g.ColumnChunks()[at])
			}
		}
		r.absent = len(r.chunks) == 0
		readers[i] = r
	}
	return readers
}

func closeReaders(readers []*columnReader) error {
	var errs []error
	for _, r := range readers {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// group hands the rows of a row group to yield, in records that end where a page
// of some column ends.
func (s scan) group(ctx context.Context, readers []*columnReader, left int64, days arrow.Array, yield func(arrow.Record, error) bool) (more bool, err error) {
	defer func() { err = errors.Join(err, closeReaders(readers)) }()
	for left > 0 {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n := int(min(left, int64(s.batch)))
		for i, r := range readers {
			there, err := r.left()
			if err != nil {
				return false, fmt.Errorf("column %s: %w", s.wanted.names[i], err)
			}
			n = min(n, there)
		}
		rec, err := s.record(readers, n, days, func(r *columnReader) (arrow.Array, error) { return r.take(n), nil })
		if err != nil {
			return false, err
		}
		more := yield(rec, nil)
		rec.Release()
		if !more {
			return false, nil
		}
		left -= int64(n)
	}
	return true, nil
}

// record makes a record of n rows of each column; days has at least n rows.
func (s scan) record(readers []*columnReader, n int, days arrow.Array, of func(*columnReader) (arrow.Array, error)) (arrow.Record, error) {
	columns := make([]arrow.Array, 0, len(readers)+1)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	if s.wanted.day {
		columns = append(columns, array.NewSlice(days, 0, int64(n)))
	}
	for i, r := range readers {
		c, err := of(r)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", s.wanted.names[i], err)
		}
		columns = append(columns, c)
	}
	return array.NewRecord(s.wanted.schema, columns, int64(n)), nil
}

// whole returns all rows of the file as one record. The caller must Release it.
func (s scan) whole(ctx context.Context) (rec arrow.Record, err error) {
	if s.part.Rows == 0 {
		return emptyRecord(s.again.buffers.mem, s.wanted.schema), nil
	}
	readers := s.readers(s.file.file.RowGroups())
	days := repeatDay(s.again.buffers, s.part.Day, int(s.part.Rows))
	defer days.Release()
	rec, err = s.record(readers, int(s.part.Rows), days, func(r *columnReader) (arrow.Array, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return r.all(int(s.part.Rows))
	})
	if err = errors.Join(err, closeReaders(readers)); err != nil {
		if rec != nil {
			rec.Release()
		}
		return nil, fmt.Errorf("read %s: %w", s.file.key, err)
	}
	return rec, nil
}
