package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// readPart yields the rows of one file as records, one per row group: the
// partition day first, then the wanted columns (nil: all of the table) in table
// order. A record is valid until the next one.
func (a *Archive) readPart(ctx context.Context, p Part, columns []string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("read %s/%s: %w", p.Table, p.Path, err)) }
		r, err := a.bucket.Open(ctx, string(p.Table)+"/"+p.Path)
		if err != nil {
			fail(err)
			return
		}
		stopped, err := a.readFile(ctx, p, columns, r, yield)
		if err = errors.Join(err, r.Close()); err != nil && !stopped {
			fail(err)
		}
	}
}

func (a *Archive) readFile(ctx context.Context, p Part, columns []string, r Reader, yield func(arrow.Record, error) bool) (stopped bool, err error) {
	if r.Size() != p.Size {
		return false, fmt.Errorf("has %d bytes, the log says %d", r.Size(), p.Size)
	}
	f, err := parquet.OpenFile(r, r.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return false, err
	}
	if f.NumRows() != p.Rows {
		return false, fmt.Errorf("has %d rows, the log says %d", f.NumRows(), p.Rows)
	}
	schema := p.Table.Schema()
	if columns != nil {
		schema = arrow.NewSchema(slices.DeleteFunc(slices.Clone(schema.Fields()), func(f arrow.Field) bool {
			return !slices.Contains(columns, f.Name)
		}), nil)
	}
	if err := checkSchema(p.Table.Schema(), f.Root()); err != nil {
		return false, err
	}
	for _, group := range f.RowGroups() {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		rec, err := a.readGroup(f, group, schema, p)
		if err != nil {
			return false, err
		}
		more := yield(rec, nil)
		rec.Release()
		if !more {
			return true, nil
		}
	}
	return false, nil
}

// checkSchema compares a file's columns with the table's. parquet-go does not:
// it would give the raw integer of a decimal with another scale.
func checkSchema(table *arrow.Schema, root *parquet.Column) error {
	for _, f := range table.Fields()[1:] {
		column := root.Column(f.Name)
		if column == nil {
			if f.Nullable {
				continue // added later; reads as null
			}
			return fmt.Errorf("has no column %s", f.Name)
		}
		if err := checkColumn(f, column); err != nil {
			return fmt.Errorf("column %s %w", f.Name, err)
		}
	}
	return nil
}

func checkColumn(f arrow.Field, c *parquet.Column) error {
	want, logical := parquet.ByteArray, "STRING"
	switch f.Type.ID() {
	case arrow.DATE32:
		want, logical = parquet.Int32, "DATE"
	case arrow.INT64:
		want, logical = parquet.Int64, ""
	case arrow.INT32:
		want, logical = parquet.Int32, ""
	case arrow.BOOL:
		want, logical = parquet.Boolean, ""
	case arrow.DECIMAL128:
		want, logical = parquet.FixedLenByteArray, fmt.Sprintf("DECIMAL(%d,%d)", data.Precision, data.Scale)
	}
	if !c.Leaf() || c.Repeated() || c.MaxDefinitionLevel() > 1 {
		return errors.New("is nested")
	}
	have := ""
	if l := c.Type().LogicalType(); l != nil {
		have = l.String()
	}
	if isInt := f.Type.ID() == arrow.INT32 || f.Type.ID() == arrow.INT64; isInt {
		have = "" // INT(32,true) or nothing: the same
	}
	switch {
	case c.Type().Kind() != want || have != logical:
		return fmt.Errorf("is %s %s, the archive has %s %s", c.Type().Kind(), have, want, logical)
	case f.Type.ID() == arrow.DECIMAL128 && c.Type().Length() != 16:
		return fmt.Errorf("has %d bytes a value, the archive has 16", c.Type().Length())
	case c.Optional() && !f.Nullable:
		return errors.New("may be null, the archive's may not")
	}
	return nil
}

// readGroup reads one row group into a record.
func (a *Archive) readGroup(f *parquet.File, group parquet.RowGroup, schema *arrow.Schema, p Part) (rec arrow.Record, err error) {
	defer func() {
		// A damaged page may panic deep inside a decoder; the archive reports it.
		if r := recover(); r != nil {
			err = fmt.Errorf("is damaged: %v", r)
		}
	}()
	var arrays []arrow.Array
	defer func() {
		for _, arr := range arrays {
			arr.Release()
		}
	}()
	rows := int(group.NumRows())
	for _, field := range schema.Fields() {
		c := newColumn(a.o.Allocator, field)
		switch leaf := f.Root().Column(field.Name); {
		case field.Name == p.Table.partition():
			c.constant(int32(p.Day), rows)
		case leaf == nil:
			c.nulls(rows)
		default:
			err = c.read(group.ColumnChunks()[leaf.Index()])
		}
		if err == nil && c.len() != rows {
			err = fmt.Errorf("has %d values, want %d", c.len(), rows)
		}
		if err != nil {
			c.release()
			return nil, fmt.Errorf("column %s: %w", field.Name, err)
		}
		arrays = append(arrays, c.array())
	}
	return array.NewRecord(schema, arrays, int64(rows)), nil
}

// pages yields the pages of a column chunk.
func pages(chunk parquet.ColumnChunk) iter.Seq2[parquet.Page, error] {
	return func(yield func(parquet.Page, error) bool) {
		all := chunk.Pages()
		for {
			page, err := all.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if !yield(page, err) || err != nil {
				break
			}
			parquet.Release(page)
		}
		_ = all.Close() // everything was read or the error is on its way
	}
}
