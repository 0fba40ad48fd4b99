package flatfile

import (
	"strings"
	"unicode/utf8"
)

// Problem is what is wrong with a row: the row goes aside, the next ones do not.
type Problem struct {
	Column string // name of the column as the Spec has it; empty for the row as a whole
	Value  string // the refused text, shortened and valid UTF-8
	Reason string // e.g. "not a decimal number"
}

// Row is one row of a file. It remembers the first problem met with it.
type Row struct {
	Line int64 // 1-based: the line that the row begins on, for Parquet the row

	spec    []Column
	cells   func(col int) string // raw text of a wanted column, "" where the file lacks it
	problem *Problem
}

// Problem returns the first problem met with the row so far, nil for none.
func (r *Row) Problem() *Problem { return r.problem }

// Text returns a cell without surrounding space; empty means unknown. A cell
// that is not UTF-8 is a problem of the row and reads as empty.
func (r *Row) Text(col int) string {
	s := strings.TrimSpace(r.cells(col))
	if !utf8.ValidString(s) {
		r.fail(col, s, "not UTF-8 text: save the file as UTF-8")
		return ""
	}
	return s
}

// Fail notes that the cell cannot be accepted, unless something was noted before.
func (r *Row) Fail(col int, reason string) { r.fail(col, strings.TrimSpace(r.cells(col)), reason) }

func (r *Row) fail(col int, value, reason string) {
	if r.problem == nil {
		r.problem = &Problem{Column: r.spec[col].Name, Value: Shorten(value), Reason: reason}
	}
}

// Parse reads a cell with parse. It returns nil for an empty cell, and for one
// that parse refuses, which is then a problem of the row.
func Parse[T any](r *Row, col int, parse func(string) (T, error)) *T {
	s := r.Text(col)
	if s == "" {
		return nil
	}
	v, err := parse(s)
	if err != nil {
		r.Fail(col, err.Error())
		return nil
	}
	return &v
}

const shortLen = 200

// Shorten returns at most the first 200 characters of a text from outside, as
// valid UTF-8, for messages.
func Shorten(s string) string {
	n := 0
	for i := range s {
		if n++; n > shortLen {
			s = s[:i]
			break
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
