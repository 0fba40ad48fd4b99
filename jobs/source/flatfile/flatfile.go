// Package flatfile reads CSV, CSV.gz and Parquet files as rows of named text
// cells, and says for every row where it stands. Sources that read files build
// on it; it knows no table and no type of its own.
//
//  1. [Rows] opens a file and matches its header with the columns of a [Spec];
//  2. each [Row] gives the cells of those columns as text, for Parquet whatever
//     the physical type was, and remembers the first thing wrong with it;
//  3. a file that is not what it should be ends the sequence with an error that
//     names it and says what to do.
//
// Memory does not grow with the file: CSV is read row by row, Parquet page by
// page.
package flatfile

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Column is one column that a reader wants.
type Column struct {
	Name     string // name in the header, compared without regard to case
	Alias    string // name that may stand in when Name is not there; empty for none
	Required bool   // a file without the column is refused
}

// Spec says what is read of a file.
type Spec struct {
	Name    string // what messages call the file, and whose ending tells its form; empty for its path
	Columns []Column
	Unknown func(column string) error // called for each other column of the file; an error refuses the file; nil: they are ignored
	Bytes   func(n int64)             // called with the compressed bytes read since the last call; nil for none
}

// Form returns how a file name says that the file is written, ".csv", ".csv.gz"
// or ".parquet", or "" when it is none of them.
func Form(name string) string {
	name = strings.ToLower(name)
	for _, form := range []string{".csv", ".csv.gz", ".parquet"} {
		if strings.HasSuffix(name, form) {
			return form
		}
	}
	return ""
}

// table is an open file, in CSV or in Parquet.
type table interface {
	// bind tells which column of the file each wanted column is, -1 for none.
	bind(index []int)
	// next fills row with the next row; io.EOF ends the table.
	next(row *Row) error
	// close gives up the file. Nothing was written, so that no error can matter.
	close()
}

// Rows yields the rows of the file in order. The row is valid until the next
// one. An error ends the sequence: the context's, or one about the file as a
// whole.
func Rows(ctx context.Context, path string, spec Spec) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		path := cmp.Or(spec.Name, path)
		t, header, err := open(f, path, spec)
		if err != nil {
			yield(nil, err)
			return
		}
		defer t.close()
		index, err := match(header, spec)
		if err != nil {
			yield(nil, fmt.Errorf("%s%s: %w", path, headerPlace(path), err))
			return
		}
		t.bind(index)
		for row := (Row{spec: spec.Columns}); ; {
			row.problem = nil
			err := cmp.Or(ctx.Err(), t.next(&row))
			if err == io.EOF {
				return
			}
			if !yield(&row, err) || err != nil {
				return
			}
		}
	}
}

// headerPlace says where the header of a file stands: line 1 of a text file.
func headerPlace(path string) string {
	if Form(path) == ".parquet" {
		return ""
	}
	return ":1"
}

func open(f *os.File, path string, spec Spec) (table, []string, error) {
	progress := spec.Bytes
	if progress == nil {
		progress = func(int64) {}
	}
	var t table
	var header []string
	var err error
	switch Form(filepath.Base(path)) {
	case ".parquet":
		t, header, err = openParquet(f, path, progress)
	default:
		t, header, err = openCSV(f, path, progress)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return t, header, nil
}

// match finds the wanted columns in a header.
func match(header []string, spec Spec) ([]int, error) {
	at := make(map[string]int, len(header))
	for i, name := range header {
		key := fold(name)
		if j, twice := at[key]; twice && key != "" {
			return nil, fmt.Errorf("column %q stands twice in the header, as column %d and %d: rename or remove one", Shorten(name), j+1, i+1)
		}
		at[key] = i
	}
	index := make([]int, len(spec.Columns))
	known := make([]bool, len(header))
	for c, col := range spec.Columns {
		index[c] = -1
		for _, name := range []string{col.Alias, col.Name} {
			if i, found := at[fold(name)]; found && name != "" {
				index[c], known[i] = i, true
			}
		}
		if index[c] < 0 && col.Required {
			return nil, missing(header, col)
		}
	}
	for i, name := range header {
		if known[i] || spec.Unknown == nil {
			continue
		}
		if err := spec.Unknown(Shorten(strings.TrimSpace(name))); err != nil {
			return nil, err
		}
	}
	return index, nil
}

// missing explains a column that is not there, and guesses the usual cause.
func missing(header []string, col Column) error {
	name := col.Name
	if col.Alias != "" {
		name += " (or " + col.Alias + ")"
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
		return fmt.Errorf("column %s is missing: the first line holds no comma; separate the columns by commas", name)
	}
	return fmt.Errorf("column %s is missing: the first line must be a header that names it", name)
}

func fold(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
