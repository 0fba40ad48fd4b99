package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// ErrDamaged says that a file is not what the log says was written. The error
// that wraps it names the file.
var ErrDamaged = errors.New("the file is damaged: restore it from a copy")

// ErrSchema says that a file holds other columns than its table. The error that
// wraps it names the file and the column.
var ErrSchema = errors.New("other schema than its table")

// ErrPruned says that a file is past its retention. The error that wraps it says
// when it was removed, and by which run.
var ErrPruned = errors.New("the file is past its retention")

// deleted says when a file was given up for good, and by whom; empty for one
// that was not.
func (a *Archive) deleted(t Table, key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.newest[t]; s != nil {
		return s.deleted[key]
	}
	return ""
}

// readBuffer is how much of a column is read at once.
const readBuffer = 256 << 10

// file is an open Parquet file of a table that was found to be what the log
// says, as far as it is read.
type file struct {
	key    string
	layout *layout
	reader Reader
	file   *parquet.File
	leaves map[string]int // index of each column that the file has
	buffer []byte         // for hashes
	loaded *loadedPieces  // what was read for them; nil: that is read again

	// Of a file that others wrote.
	foreign bool
	shifts  map[string]int // digits that an amount has fewer than ours after the point
	days    data.Period    // which are asked for
}

func (p Part) key(t Table) string { return string(t) + "/" + p.Path }

// open opens the file of a part. Its size and hash are checked first, so that
// nothing is decoded that was not written here, and then its columns.
func (a *Archive) open(ctx context.Context, l *layout, p Part) (*file, error) {
	return a.openChecked(ctx, l, p, (*file).checkWhole)
}

// openFor is open for who reads a selection of the columns: of a file whose pieces have hashes
// in the log, only those are checked that are read. Unless the file is too large
// they stay in loaded, until the next file is opened with it.
func (a *Archive) openFor(ctx context.Context, l *layout, p Part, wanted selection, loaded *loadedPieces) (*file, error) {
	sums := strings.Fields(p.PieceSHA256)
	if len(sums) == 0 || len(wanted.names) == len(l.columns) {
		return a.open(ctx, l, p)
	}
	return a.openChecked(ctx, l, p, func(f *file, p Part) error {
		if p.Size <= a.loadedUpTo {
			loaded.spans, loaded.used = loaded.spans[:0], 0
			f.loaded = loaded
		}
		return f.checkPieces(p, sums[0], sums[1:], wanted.names)
	})
}

func (a *Archive) openChecked(ctx context.Context, l *layout, p Part, check func(*file, Part) error) (*file, error) {
	f := &file{key: p.key(l.table), layout: l}
	r, err := a.bucket.Open(ctx, f.key)
	if err != nil {
		if why := a.deleted(l.table, f.key); errors.Is(err, fs.ErrNotExist) && why != "" {
			err = fmt.Errorf("%w: %s", ErrPruned, why)
		}
		return nil, fmt.Errorf("read %s: %w", f.key, err)
	}
	f.reader = r
	if err := f.checkSize(p); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", f.key, err), r.Close())
	}
	if err := check(f, p); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", f.key, err), r.Close())
	}
	return f, nil
}

func (f *file) close() error { return f.reader.Close() }

func (f *file) checkSize(p Part) error {
	if size := f.reader.Size(); size != p.Size {
		return fmt.Errorf("%w: it has %d bytes, the log says %d", ErrDamaged, size, p.Size)
	}
	return nil
}

func (f *file) checkWhole(p Part) error {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f.reader, 0, p.Size)); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != p.SHA256 {
		return fmt.Errorf("%w: its SHA-256 is %.16s…, the log says %.16s…", ErrDamaged, sum, p.SHA256)
	}
	return f.decode(p)
}

// decode reads the footer and checks the columns against the table's.
func (f *file) decode(p Part) error {
	var err error
	buffer := readBuffer
	if f.loaded != nil {
		buffer = loadedBuffer
	}
	f.file, err = openParquet(f, p.Size, buffer)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if rows := f.file.NumRows(); rows != p.Rows {
		return fmt.Errorf("%w: it has %d rows, the log says %d", ErrDamaged, rows, p.Rows)
	}
	return f.checkColumns()
}

// openParquet opens a file that is read in columns from one end to the other.
func openParquet(r io.ReaderAt, size int64, buffer int) (*parquet.File, error) {
	return parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(buffer))
}

// checkColumns compares the columns with those of the table. parquet-go itself
// reads a changed scale or a missing column without a word.
func (f *file) checkColumns() error {
	f.leaves = map[string]int{}
	for _, node := range f.file.Root().Columns() {
		name := node.Name()
		want, known := f.layout.leaves[name]
		if !known {
			if l := strings.ToLower(name); f.layout.leaves[l] != nil {
				return fmt.Errorf("%w: column %q is written differently from %q", ErrSchema, name, l)
			}
			continue // a later version of the table may have more columns
		}
		if !node.Leaf() || node.Repeated() || node.Optional() != want.Optional() || !sameType(node.Type(), want.Type()) {
			return fmt.Errorf("%w: column %s is %s, not %s", ErrSchema, name, describe(node), describe(want))
		}
		if _, twice := f.leaves[name]; twice {
			return fmt.Errorf("%w: column %s is there twice", ErrSchema, name)
		}
		f.leaves[name] = node.Index()
	}
	for _, c := range f.layout.columns {
		if _, found := f.leaves[c.name]; !found && !c.nullable {
			return fmt.Errorf("%w: column %s is missing", ErrSchema, c.name)
		}
	}
	return nil
}

func sameType(got, want parquet.Type) bool {
	return got.Kind() == want.Kind() && got.Length() == want.Length() &&
		reflect.DeepEqual(got.LogicalType(), want.LogicalType())
}

func describe(n parquet.Node) string {
	if !n.Leaf() {
		return "a group"
	}
	repetition := "required"
	switch {
	case n.Repeated():
		repetition = "repeated"
	case n.Optional():
		repetition = "optional"
	}
	return fmt.Sprintf("%s %s (%s)", repetition, n.Type(), n.Type().Kind())
}

// checkCounts makes sure that every column of every row group has a value or a
// null for each row: a writer's nil error is no evidence.
func (f *file) checkCounts() error {
	for i, g := range f.file.RowGroups() {
		for _, c := range g.ColumnChunks() {
			if c.NumValues() != g.NumRows() {
				return fmt.Errorf("row group %d: column %d has %d values for %d rows", i, c.Column(), c.NumValues(), g.NumRows())
			}
		}
	}
	return nil
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
	mem    memory.Allocator
	wanted selection
	batch  int // rows a record has at most
}

// records hands the rows to yield, in records that never cross a row group and
// that are released afterwards. It reports whether to go on.
func (s scan) records(ctx context.Context, yield func(arrow.Record, error) bool) bool {
	spare := &recycler{mem: s.mem}
	defer spare.end()
	days := repeatDay(s.mem, s.part.Day, int(min(int64(s.batch), s.part.Rows)))
	defer days.Release()
	for _, g := range s.file.file.RowGroups() {
		if s.file.outside(g) {
			continue
		}
		more, err := s.group(ctx, s.readers([]parquet.RowGroup{g}, spare), g.NumRows(), days, yield)
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
func (s scan) readers(groups []parquet.RowGroup, spare *recycler) []*columnReader {
	readers := make([]*columnReader, len(s.wanted.names))
	for i, name := range s.wanted.names {
		field, _ := s.wanted.schema.FieldsByName(name)
		r := &columnReader{bridge: bridge{mem: s.mem, spare: spare, field: field[0], foreign: s.file.foreign, shift: s.file.shifts[name]}}
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
		return emptyRecord(s.mem, s.wanted.schema), nil
	}
	spare := &recycler{mem: s.mem}
	defer spare.end()
	readers := s.readers(s.file.file.RowGroups(), spare)
	days := repeatDay(s.mem, s.part.Day, int(s.part.Rows))
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
