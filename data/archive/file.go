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

	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// ErrDamaged says that a file is not what the log says was written. The error
// that wraps it names the file.
var ErrDamaged = errors.New("the file is damaged: restore it from a copy")

// errLog says that a log lacks entries, or has others than were written.
var errLog = errors.New("the log is not what was written: restore it from a copy")

// errMissing says that a file is not there that the log has.
var errMissing = errors.New("the file is missing: restore it from a copy")

// IsDamage reports whether an error says that the archive is not what was written: a data file, a
// log, whoever changed it, or a record with a hash of itself.
func IsDamage(err error) bool {
	for _, damage := range []error{ErrDamaged, errMissing, errLog, errSelf, errForeign} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}

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

// smallBuffer is that of a small file, and of one whose pieces are loaded.
const smallBuffer = 16 << 10

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
// they stay in memory, until the next file is opened with the same.
func (a *Archive) openFor(ctx context.Context, l *layout, p Part, wanted selection, again *reused) (*file, error) {
	sums := strings.Fields(p.PieceSHA256)
	if len(sums) == 0 || len(wanted.names) == len(l.columns) {
		return a.open(ctx, l, p)
	}
	return a.openChecked(ctx, l, p, func(f *file, p Part) error {
		if p.Size <= a.loadedUpTo {
			f.loaded = &again.pieces
			f.loaded.spans, f.loaded.used = f.loaded.spans[:0], 0
		}
		return f.checkPieces(p, sums[0], sums[1:], wanted.names)
	})
}

func (a *Archive) openChecked(ctx context.Context, l *layout, p Part, check func(*file, Part) error) (*file, error) {
	f := &file{key: p.key(l.table), layout: l}
	r, err := a.bucket.Open(ctx, f.key)
	if err != nil {
		switch why := a.deleted(l.table, f.key); {
		case errors.Is(err, fs.ErrNotExist) && why != "":
			err = fmt.Errorf("%w: %s", ErrPruned, why)
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%w: %w", errMissing, err)
		}
		return nil, fmt.Errorf("read %s: %w", f.key, err)
	}
	f.reader = r
	if err = f.checkSize(p); err == nil {
		err = check(f, p)
	}
	if err != nil {
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
	if f.loaded != nil || p.Size <= readBuffer {
		buffer = smallBuffer
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
