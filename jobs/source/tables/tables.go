// Package tables reads customers, subscriptions and usage from a folder of flat
// files: the way in for every system that tidemark does not know.
//
//	customers.csv       or .csv.gz or .parquet
//	subscriptions.csv   likewise
//	usage.csv           likewise; usage*.csv, several files, are read in name order
//
// Each file has a header; [Source.Customers] and its kin list the columns. Dates
// are ISO, an empty cell is unknown, identifiers are compared in lower case. A
// row that cannot be accepted becomes a [data.RowError]; a file that is not
// what it should be (a wrong header, a cut archive) refuses the whole reading.
package tables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// Options says what to read.
type Options struct {
	Path    string   // folder with the files; required
	Today   data.Day // usage after this day is refused; 0: no limit
	Lenient bool     // accept times of day in dates, leave out unknown columns, take an unknown status for unknown
}

// Source reads a folder. It keeps no file open between two readings and may be
// read any number of times.
type Source struct{ o Options }

var (
	_ data.UsageSource     = (*Source)(nil)
	_ data.InventorySource = (*Source)(nil)
)

// New checks the options. The folder is looked at when it is read.
func New(o Options) (*Source, error) {
	if o.Path == "" {
		return nil, errors.New("source tables: no folder is given: set path to the folder with customers, subscriptions and usage")
	}
	return &Source{o}, nil
}

// Kind is "tables".
func (s *Source) Kind() string { return "tables" }

// files returns the files of a table in name order. With many, every file whose
// name begins with the table's counts (usage-2026-11.csv).
func (s *Source) files(table string, many bool) ([]string, error) {
	entries, err := os.ReadDir(s.o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s does not exist: set the source's path to the folder with the files", s.o.Path)
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		form := flatfile.Form(name)
		if form == "" || e.IsDir() {
			continue
		}
		if stem := strings.TrimSuffix(name, form); stem == table || many && strings.HasPrefix(stem, table) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("folder %s has no %s: put %[2]s.csv, %[2]s.csv.gz or %[2]s.parquet there", s.o.Path, table)
	}
	slices.Sort(names)
	for _, name := range names[1:] {
		if flatfile.Form(name) != flatfile.Form(names[0]) || !many {
			return nil, fmt.Errorf("folder %s has %s twice, as %s and as %s: keep one", s.o.Path, table, names[0], name)
		}
	}
	return names, nil
}

// reading is one pass over the files of a table.
type reading[T any] struct {
	source  *Source
	table   string
	many    bool
	columns []flatfile.Column
	// parse makes a typed row. It notes what is wrong in the flat row; wanted is
	// false for a row that is to be passed over.
	parse func(row *flatfile.Row) (typed T, wanted bool)
	// about notes what a bad row is about; its cells are where they belong.
	about func(row *flatfile.Row, bad *data.RowError)
}

func (r reading[T]) rows(ctx context.Context, tally *data.Tally) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		names, err := r.source.files(r.table, r.many)
		if err != nil {
			yield(none, err)
			return
		}
		for _, name := range names {
			if info, err := os.Stat(filepath.Join(r.source.o.Path, name)); err == nil {
				tally.TotalBytes += info.Size()
			}
		}
		for _, name := range names {
			if !r.file(ctx, name, tally, yield) {
				return
			}
		}
	}
}

// file yields the rows of one file; false ends the sequence.
func (r reading[T]) file(ctx context.Context, name string, tally *data.Tally, yield func(T, error) bool) bool {
	spec := flatfile.Spec{Columns: r.columns, Unknown: r.unknown(name, tally), Bytes: func(n int64) { tally.Bytes += n }}
	var none T
	for row, err := range flatfile.Rows(ctx, filepath.Join(r.source.o.Path, name), spec) {
		if err != nil {
			yield(none, err)
			return false
		}
		typed, wanted := none, true
		if row.Problem() == nil {
			typed, wanted = r.parse(row)
		}
		if !wanted {
			continue
		}
		tally.Read++
		if p := row.Problem(); p != nil {
			bad := &data.RowError{File: name, Line: row.Line, Column: p.Column, Value: p.Value, Reason: p.Reason}
			if r.about != nil && p.Column != "" {
				r.about(row, bad)
			}
			if !yield(none, bad) {
				return false
			}
			continue
		}
		if !yield(typed, nil) {
			return false
		}
	}
	return true
}

// unknown refuses a column that nothing here reads, since it may be a mistyped
// one; a lenient source tells about it instead.
func (r reading[T]) unknown(file string, tally *data.Tally) func(string) error {
	return func(column string) error {
		if r.source.o.Lenient {
			tally.Skip(fmt.Sprintf("column %q of %s", column, file))
			return nil
		}
		var known []string
		for _, c := range r.columns {
			known = append(known, c.Name)
		}
		return fmt.Errorf("column %q is unknown: remove it, or set lenient to leave it out; known are %s", column, strings.Join(known, ", "))
	}
}
