package archive

import (
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

func repeatDay(mem memory.Allocator, d data.Day, n int) arrow.Array {
	b := array.NewDate32Builder(mem)
	defer b.Release()
	b.Reserve(n)
	for range n {
		b.UnsafeAppend(arrow.Date32(d))
	}
	return b.NewArray()
}

// columnReader turns the pages of a column, of one row group or of several in a
// row, into Arrow arrays. Pages of different columns end at different rows, so
// each column keeps its own place.
type columnReader struct {
	mem    memory.Allocator
	field  arrow.Field
	chunks []parquet.ColumnChunk // not begun yet; none at all when the file lacks the column
	fill   filler                // made with the first chunk

	pages parquet.Pages // of the current chunk
	page  parquet.Page  // nil between pages
	row   int           // rows of page already read
	value int           // values of page already read, nulls not counted
	valid []bool        // reused
}

// filler collects values into an Arrow array.
type filler interface {
	// add appends rows: n values of the page from the at-th on, spread over the
	// true entries of valid, or n rows without null when valid is nil.
	add(page parquet.Page, at, n int, valid []bool) error
	// array returns what was added, and starts again.
	array() arrow.Array
	release()
}

func newColumnReader(mem memory.Allocator, field arrow.Field) *columnReader {
	return &columnReader{mem: mem, field: field}
}

func (r *columnReader) close() (err error) {
	if r.page != nil {
		parquet.Release(r.page)
	}
	if r.pages != nil {
		err = r.pages.Close()
	}
	if r.fill != nil {
		r.fill.release()
	}
	return err
}

// read returns the next n rows. The caller must Release the array.
func (r *columnReader) read(n int) (arrow.Array, error) {
	if r.fill == nil {
		if len(r.chunks) == 0 {
			return array.MakeArrayOfNull(r.mem, r.field.Type, n), nil
		}
		r.fill = newFiller(r.mem, r.field.Type)
	}
	for n > 0 {
		if err := r.nextPage(); err != nil {
			return nil, err
		}
		took, err := r.some(n)
		if err != nil {
			return nil, err
		}
		n -= took
	}
	return r.fill.array(), nil
}

// nextPage makes sure that there is a current page.
func (r *columnReader) nextPage() error {
	for r.page == nil {
		if r.pages == nil {
			if len(r.chunks) == 0 {
				return fmt.Errorf("%w: it has fewer rows than the others", ErrDamaged)
			}
			r.pages, r.chunks = r.chunks[0].Pages(), r.chunks[1:]
		}
		page, err := r.pages.ReadPage()
		switch {
		case errors.Is(err, io.EOF):
			if err := r.pages.Close(); err != nil {
				return err
			}
			r.pages = nil
		case err != nil:
			return err
		default:
			r.page, r.row, r.value = page, 0, 0
		}
	}
	return nil
}

// some takes up to n rows of the current page.
func (r *columnReader) some(n int) (int, error) {
	n = min(n, int(r.page.NumValues())-r.row)
	values, valid := n, []bool(nil)
	if levels := r.page.DefinitionLevels(); r.field.Nullable && r.page.NumNulls() > 0 {
		r.valid, values = r.valid[:0], 0
		for _, level := range levels[r.row : r.row+n] {
			r.valid = append(r.valid, level == 1)
			values += int(level)
		}
		valid = r.valid
	}
	if n > 0 {
		if err := r.fill.add(r.page, r.value, values, valid); err != nil {
			return 0, err
		}
	}
	r.row, r.value = r.row+n, r.value+values
	if r.row == int(r.page.NumValues()) {
		parquet.Release(r.page)
		r.page = nil
	}
	return n, nil
}

func emptyRecord(mem memory.Allocator, schema *arrow.Schema) arrow.Record {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	return b.NewRecord()
}
