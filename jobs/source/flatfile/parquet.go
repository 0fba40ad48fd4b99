package flatfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// parquetTable reads the wanted columns of a Parquet file side by side, a page
// of each at a time.
type parquetTable struct {
	os      *os.File
	path    string
	file    *parquet.File
	size    int64
	leaves  []*parquet.Column // columns of the top level, as the header names them
	report  func(int64)
	told    int64 // bytes reported so far
	row     int64 // rows read so far
	group   int   // next row group
	rest    int64 // rows left in the current one
	columns []*columnReader
}

func openParquet(f *os.File, path string, report func(int64)) (table, []string, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	t := &parquetTable{os: f, path: path, size: info.Size(), report: report}
	var header []string
	if err := checkFooter(f, t.size); err != nil {
		return nil, nil, t.damaged(err)
	}
	err = guard(func() error {
		t.file, err = parquet.OpenFile(f, t.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
		if err != nil {
			return err
		}
		for _, c := range t.file.Root().Columns() {
			t.leaves = append(t.leaves, c)
			header = append(header, c.Name())
		}
		return nil
	})
	if err != nil {
		return nil, nil, t.damaged(err)
	}
	return t, header, nil
}

// checkFooter looks at the length that the file states for its footer, which
// the Parquet library would allocate whatever it says.
func checkFooter(f io.ReaderAt, size int64) error {
	const around = 12 // the mark at the start, the length and the mark at the end
	var tail [8]byte
	if size < around {
		return fmt.Errorf("%d bytes only", size)
	}
	if _, err := f.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return err
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:4])); n > size-around {
		return fmt.Errorf("its footer would have %d bytes", n)
	}
	return nil
}

// guard turns a panic of the Parquet library into an error: a damaged file can
// make it panic almost anywhere, and must not end the process.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return do()
}

func (t *parquetTable) damaged(err error) error {
	return fmt.Errorf("%s: the file is cut off, damaged or not Parquet (%w): copy or export it again", t.path, err)
}

func (t *parquetTable) bind(index []int) {
	for _, i := range index {
		var c *columnReader
		if i >= 0 {
			c = &columnReader{leaf: t.leaves[i], buf: make([]parquet.Value, 256)}
			if c.leaf.Leaf() {
				c.text = textOf(c.leaf.Type())
			}
		}
		t.columns = append(t.columns, c)
	}
}

func (t *parquetTable) next(row *Row) error {
	row.cells = t.cell
	err := guard(t.advance)
	if err == io.EOF {
		t.progress(t.size)
		return err
	}
	if err != nil {
		return t.damaged(err)
	}
	t.row++
	row.Line = t.row
	if t.row%1024 == 0 {
		t.progress(int64(float64(t.size) * float64(t.row) / float64(t.file.NumRows())))
	}
	return nil
}

// progress reports bytes by the share of rows: pages are not read in file order.
func (t *parquetTable) progress(to int64) {
	if n := min(to, t.size) - t.told; n > 0 {
		t.report(n)
		t.told += n
	}
}

// advance moves every column to the next row, into the next row group if need be.
func (t *parquetTable) advance() error {
	groups := t.file.RowGroups()
	for t.rest == 0 {
		if t.group == len(groups) {
			if t.row != t.file.NumRows() {
				return fmt.Errorf("%d rows instead of %d", t.row, t.file.NumRows())
			}
			return io.EOF
		}
		t.rest = groups[t.group].NumRows()
		chunks := groups[t.group].ColumnChunks()
		t.group++
		for _, c := range t.columns {
			if c == nil {
				continue
			}
			if err := c.open(chunks); err != nil {
				return err
			}
		}
	}
	t.rest--
	for _, c := range t.columns {
		if c == nil {
			continue
		}
		if err := c.advance(); err != nil {
			return fmt.Errorf("column %q: %w", Shorten(c.leaf.Name()), err)
		}
	}
	return nil
}

func (t *parquetTable) cell(col int) string {
	if c := t.columns[col]; c != nil && !c.value.IsNull() {
		return c.text(c.value)
	}
	return ""
}

func (t *parquetTable) close() {
	_ = guard(func() error {
		for _, c := range t.columns {
			if c != nil {
				c.close()
			}
		}
		return nil
	})
	_ = t.os.Close()
}

// columnReader yields the values of one column, one per row.
type columnReader struct {
	leaf   *parquet.Column
	text   func(parquet.Value) string
	value  parquet.Value // of the current row; its bytes belong to page
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader // nil before the first page
	buf    []parquet.Value
	ready  []parquet.Value // read of the page and not yet given out
}

func (c *columnReader) open(chunks []parquet.ColumnChunk) error {
	c.close()
	if !c.leaf.Leaf() || c.leaf.Repeated() {
		return fmt.Errorf("column %q is a list or a group: want one plain value per row", Shorten(c.leaf.Name()))
	}
	if c.text == nil {
		return fmt.Errorf("column %q has the type %s: want text, a number, a date, a timestamp or a boolean", Shorten(c.leaf.Name()), c.leaf.Type())
	}
	c.pages = chunks[c.leaf.Index()].Pages()
	return nil
}

func (c *columnReader) close() {
	if c.pages == nil {
		return
	}
	c.release()
	_ = c.pages.Close()
	c.pages = nil
}

func (c *columnReader) release() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	c.page, c.values, c.ready = nil, nil, nil
}

func (c *columnReader) advance() error {
	for len(c.ready) == 0 {
		if err := c.fill(); err != nil {
			return err
		}
	}
	c.value, c.ready = c.ready[0], c.ready[1:]
	return nil
}

// fill reads the next values of the page, or opens the next page.
func (c *columnReader) fill() error {
	if c.values != nil {
		n, err := c.values.ReadValues(c.buf)
		if n > 0 {
			c.ready = c.buf[:n]
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		c.release()
	}
	page, err := c.pages.ReadPage()
	if err == io.EOF {
		return errors.New("fewer values than rows")
	}
	if err != nil {
		return err
	}
	c.page, c.values = page, page.Values()
	return nil
}
