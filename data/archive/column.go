package archive

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// repeatDay returns an array of n times a day. The caller must Release it.
func repeatDay(mem memory.Allocator, d data.Day, n int) arrow.Array {
	b := memory.NewResizableBuffer(mem)
	defer b.Release()
	b.Resize(n * arrow.Date32SizeBytes)
	days := arrow.GetData[arrow.Date32](b.Bytes())
	for filled := copy(days, []arrow.Date32{arrow.Date32(d)}); filled < n; filled *= 2 {
		copy(days[filled:], days[:filled])
	}
	all := array.NewData(arrow.FixedWidthTypes.Date32, n, []*memory.Buffer{nil, b}, nil, 0, 0)
	defer all.Release()
	return array.NewDate32Data(all)
}

// columnReader turns the pages of a column, of one row group or of several in a
// row, into Arrow arrays. Pages of different columns end at different rows, so
// each column keeps its own place.
type columnReader struct {
	bridge
	chunks []parquet.ColumnChunk // not begun yet
	absent bool                  // the file lacks the column

	pages parquet.Pages // of the current chunk
	page  arrow.Array   // the current page; nil between pages
	row   int           // rows of page already taken
}

func (r *columnReader) close() (err error) {
	r.give()
	r.bridge.close()
	if r.pages != nil {
		err = r.pages.Close()
	}
	return err
}

// give gives the current page back.
func (r *columnReader) give() {
	if r.page != nil {
		r.page.Release()
		r.page = nil
	}
}

// left returns how many rows can be taken at once: what is left of the current
// page, at least one.
func (r *columnReader) left() (int, error) {
	if r.absent {
		return math.MaxInt, nil
	}
	for r.page == nil || r.row == r.page.Len() {
		if err := r.nextPage(); err != nil {
			return 0, err
		}
	}
	return r.page.Len() - r.row, nil
}

// nextPage goes on to the next page, which may be empty.
func (r *columnReader) nextPage() (err error) {
	r.give()
	if r.pages == nil {
		if len(r.chunks) == 0 {
			return fmt.Errorf("%w: it has fewer rows than the others", ErrDamaged)
		}
		r.pages, r.chunks = r.chunks[0].Pages(), r.chunks[1:]
	}
	if r.foreign { // parquet-go panics on some pages that are damaged
		defer func() {
			if why := recover(); why != nil {
				err = fmt.Errorf("%w: %v", ErrDamaged, why)
			}
		}()
	}
	page, err := r.pages.ReadPage()
	if errors.Is(err, io.EOF) {
		err = r.pages.Close()
		r.pages = nil
		return err
	}
	if err != nil {
		return err
	}
	defer parquet.Release(page)
	r.row = 0
	r.page, err = r.convert(page)
	return err
}

// take returns the next n rows, no more than are left. The caller must Release
// the array.
func (r *columnReader) take(n int) arrow.Array {
	var part arrow.Array
	switch {
	case r.absent:
		part = r.empty(n)
	case r.row == 0 && n == r.page.Len():
		part, r.row = r.page, n
		part.Retain()
	default:
		part = array.NewSlice(r.page, int64(r.row), int64(r.row+n))
		r.row += n
	}
	part.NullN() // counted now: Arrow counts on first use, without a lock
	return part
}

// all returns what is left of all chunks as one array, n rows. The caller must
// Release it.
func (r *columnReader) all(n int) (arrow.Array, error) {
	if r.absent {
		return r.take(n), nil
	}
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for n > 0 {
		left, err := r.left()
		if err != nil {
			return nil, err
		}
		left = min(left, n)
		parts = append(parts, r.take(left))
		n -= left
	}
	if len(parts) == 1 {
		parts[0].Retain()
		return parts[0], nil
	}
	dict, isDict := r.field.Type.(*arrow.DictionaryType)
	if !isDict {
		return array.Concatenate(parts, r.mem)
	}
	// Arrow mixes values up where dictionaries differ. Here the last has all of them.
	for i, p := range parts {
		indexes := p.(*array.Dictionary).Indices()
		indexes.Retain()
		p.Release()
		parts[i] = indexes
	}
	indexes, err := array.Concatenate(parts, r.mem)
	if err != nil {
		return nil, err
	}
	defer indexes.Release()
	return array.NewDictionaryArray(dict, indexes, r.dict.values(r.mem)), nil
}

func emptyRecord(mem memory.Allocator, schema *arrow.Schema) arrow.Record {
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	return b.NewRecord()
}
