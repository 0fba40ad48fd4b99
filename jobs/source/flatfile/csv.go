package flatfile

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"
)

// maxRow bounds one CSV row, so that a quote that is never closed does not read
// the rest of a large file into memory.
const maxRow = 1 << 20

var errLongRow = errors.New("a row is longer than 1 MiB")

// csvTable reads a CSV file.
type csvTable struct {
	file   *os.File
	path   string
	in     *meter
	csv    *csv.Reader
	record []string
	width  int // cells per row, by the header
	index  []int
}

func openCSV(f *os.File, path string, progress func(int64)) (table, []string, error) {
	var in io.Reader = &counter{f, progress}
	if Form(path) == ".csv.gz" {
		z, err := gzip.NewReader(bufio.NewReaderSize(in, 1<<16))
		if err != nil {
			return nil, nil, fileError(path, err)
		}
		in = z
	}
	text := bufio.NewReaderSize(in, 1<<16)
	if err := skipMark(text); err != nil {
		return nil, nil, fileError(path, err)
	}
	t := &csvTable{file: f, path: path, in: &meter{r: text, left: maxRow}}
	t.csv = csv.NewReader(t.in)
	t.csv.ReuseRecord = true
	t.csv.FieldsPerRecord = -1
	header, err := t.header()
	t.width = len(header)
	return t, header, err
}

// skipMark skips a UTF-8 byte order mark and refuses UTF-16.
func skipMark(text *bufio.Reader) error {
	start, err := text.Peek(3)
	if err != nil && err != io.EOF {
		return err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\xEF\xBB\xBF")):
		_, err = text.Discard(3)
		return err
	case bytes.HasPrefix(start, []byte("\xFF\xFE")), bytes.HasPrefix(start, []byte("\xFE\xFF")):
		return errors.New("the file is UTF-16: save it as UTF-8")
	}
	return nil
}

func (t *csvTable) header() ([]string, error) {
	record, err := t.csv.Read()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: the file is empty: the first line must be a header", t.path)
	}
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return nil, fmt.Errorf("%s:%d: the header is not CSV (%w): mend its quotes", t.path, parse.StartLine, parse.Err)
	}
	if err != nil {
		return nil, fileError(t.path, err)
	}
	for _, name := range record {
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("%s:1: the header is not UTF-8 text: save the file as UTF-8", t.path)
		}
	}
	return slices.Clone(record), nil
}

func (t *csvTable) bind(index []int) { t.index = index }

func (t *csvTable) cell(col int) string {
	if i := t.index[col]; i >= 0 && i < len(t.record) {
		return t.record[i]
	}
	return ""
}

func (t *csvTable) next(row *Row) error {
	t.in.left = maxRow
	record, err := t.csv.Read()
	t.record, row.cells = record, t.cell
	var parse *csv.ParseError
	switch {
	case err == nil:
		line, _ := t.csv.FieldPos(0)
		row.Line = int64(line)
		if len(record) != t.width {
			row.problem = &Problem{Reason: fmt.Sprintf("%d cells instead of %d as in the header", len(record), t.width)}
		}
		return nil
	case errors.As(err, &parse):
		return t.badQuote(row, parse)
	case err == io.EOF:
		return err
	case errors.Is(err, errLongRow):
		return fmt.Errorf("%s: after line %d %w: look for a quote that is not closed", t.path, row.Line, err)
	}
	return fileError(t.path, err)
}

// badQuote tells a row with a stray quote from a file that ends inside quotes.
// The reader goes on behind the line where it noticed.
func (t *csvTable) badQuote(row *Row, parse *csv.ParseError) error {
	if t.in.eof && t.csv.InputOffset() == t.in.read && errors.Is(parse.Err, csv.ErrQuote) {
		return fmt.Errorf("%s:%d: the quotes of the last row are not closed: the file may be cut off, copy it again or mend the row", t.path, parse.StartLine)
	}
	t.record = nil
	row.Line = int64(parse.StartLine)
	row.problem = &Problem{Reason: "a quote stands inside a cell: put the cell in quotes and double the quotes inside"}
	if parse.Line > parse.StartLine {
		row.problem.Reason = fmt.Sprintf("a quoted cell is not closed properly; lines %d to %d are taken as one row", parse.StartLine, parse.Line)
	}
	return nil
}

func (t *csvTable) close() { _ = t.file.Close() }

// fileError says what is wrong with a file as a whole.
func fileError(path string, err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF:
		return fmt.Errorf("%s: the file is cut off: copy or export it again", path)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("%s: the file is damaged (%w): copy or export it again", path, err)
	}
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) {
		return fmt.Errorf("%s: the file is damaged (%w): copy or export it again", path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// counter reports the bytes that pass.
type counter struct {
	r      io.Reader
	report func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.report(int64(n))
	return n, err
}

// meter passes at most left bytes, which is set anew for each row, and notes
// where the text ends.
type meter struct {
	r    io.Reader
	left int
	read int64
	eof  bool
}

func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errLongRow
	}
	n, err := m.r.Read(p)
	m.left -= n
	m.read += int64(n)
	m.eof = m.eof || err == io.EOF
	return n, err
}
