package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tidemark/data"
)

// A row key is a row as bytes whose order (bytes.Compare) is the order of the
// table: column by column, nulls first, texts by their bytes, numbers by value.
// Sorting, spilling, comparing and hashing all work on keys; no other code
// knows how rows compare.
//
//	null        00, before a value 01; neither for required columns
//	text        bytes, with 00 written as 00 FF, then 00 01
//	decimal     16 bytes big-endian with the sign bit flipped; int64 and int32,
//	            date too, likewise with 8 and 4 bytes
//	bool        1 byte
const (
	keyNull  = 0x00
	keyValue = 0x01
)

var errNotText = errors.New("the text is not valid UTF-8")

func appendText(b []byte, s string) []byte {
	for {
		at := strings.IndexByte(s, 0)
		if at < 0 {
			return append(append(b, s...), 0, 1)
		}
		b = append(append(b, s[:at]...), 0, 0xff)
		s = s[at+1:]
	}
}

// cutText returns the text that a key begins with, still escaped, and what
// follows it.
func cutText(b []byte) (escaped, rest []byte) {
	for at := 0; ; at += 2 {
		at += bytes.IndexByte(b[at:], 0)
		if b[at+1] == 1 {
			return b[:at], b[at+2:]
		}
	}
}

func unescape(escaped []byte) string {
	if bytes.IndexByte(escaped, 0) < 0 {
		return string(escaped)
	}
	return string(bytes.ReplaceAll(escaped, []byte{0, 0xff}, []byte{0}))
}

func appendDecimal(b []byte, d data.Decimal) []byte {
	b = append(b, d[0]^0x80)
	return append(b, d[1:]...)
}

func decimalOf(b []byte) (d data.Decimal) {
	copy(d[:], b)
	d[0] ^= 0x80
	return d
}

func appendInt64(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n)^1<<63)
}

func int64Of(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

func appendInt32(b []byte, n int32) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(n)^1<<31)
}

func int32Of(b []byte) int32 { return int32(binary.BigEndian.Uint32(b) ^ 1<<31) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// width is the number of bytes of a value; texts have none.
func (k kind) width() int {
	switch k {
	case kindDecimal:
		return 16
	case kindInt64:
		return 8
	case kindDate, kindInt32:
		return 4
	case kindBool:
		return 1
	}
	return 0
}

// cut returns the value of a column that a key begins with, escaped as it is,
// and what follows; null is true when there is none.
func (c column) cut(b []byte) (value, rest []byte, null bool) {
	if c.nullable {
		if b[0] == keyNull {
			return nil, b[1:], true
		}
		b = b[1:]
	}
	if c.kind == kindText {
		value, rest = cutText(b)
		return value, rest, false
	}
	n := c.kind.width()
	return b[:n], b[n:], false
}

// rowCoder turns a row into its key and back. One function per row type lists
// the columns, in the layout's order, for both directions.
type rowCoder struct {
	decoding bool
	buf      []byte // appended to when encoding, eaten up when decoding
	column   int    // index of the next column
	err      error  // first value that the archive does not take
	bad      int    // its column
	last     []string
}

func (c *rowCoder) fail(err error) {
	if c.err == nil {
		c.err, c.bad = err, c.column
	}
}

// present writes or reads whether an optional column has a value.
func (c *rowCoder) present(has bool) bool {
	if !c.decoding {
		if has {
			c.buf = append(c.buf, keyValue)
		} else {
			c.buf = append(c.buf, keyNull)
			c.column++
		}
		return has
	}
	has = c.buf[0] == keyValue
	c.buf = c.buf[1:]
	if !has {
		c.column++
	}
	return has
}

// take returns the next n bytes.
func (c *rowCoder) take(n int) []byte {
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

// text codes a required text column. Neighbours in a sorted table mostly agree,
// so a decoded text is shared with the row before where it can be.
func text[S ~string](c *rowCoder, p *S) {
	if !c.decoding {
		if !utf8.ValidString(string(*p)) {
			c.fail(errNotText)
		}
		c.buf = appendText(c.buf, string(*p))
		c.column++
		return
	}
	escaped, rest := cutText(c.buf)
	c.buf = rest
	for len(c.last) <= c.column {
		c.last = append(c.last, "")
	}
	if c.last[c.column] != string(escaped) || bytes.IndexByte(escaped, 0) >= 0 {
		c.last[c.column] = unescape(escaped)
	}
	*p = S(c.last[c.column])
	c.column++
}

func textOpt[S ~string](c *rowCoder, p **S) {
	if !c.present(*p != nil) {
		*p = nil
		return
	}
	if c.decoding {
		*p = new(S)
	}
	text(c, *p)
}

func decimalOpt(c *rowCoder, p **data.Decimal) {
	if !c.present(*p != nil) {
		*p = nil
		return
	}
	if c.decoding {
		*p = new(decimalOf(c.take(16)))
	} else {
		if _, ok := data.DecimalFromParts((*p).Parts()); !ok {
			c.fail(data.ErrOverflow)
		}
		c.buf = appendDecimal(c.buf, **p)
	}
	c.column++
}

// int32Opt codes an optional number or day.
func int32Opt[N ~int32](c *rowCoder, p **N) {
	if !c.present(*p != nil) {
		*p = nil
		return
	}
	if c.decoding {
		*p = new(N)
	}
	integer32(c, *p)
}

func boolOpt(c *rowCoder, p **bool) {
	if !c.present(*p != nil) {
		*p = nil
		return
	}
	if c.decoding {
		*p = new(c.take(1)[0] == 1)
	} else {
		c.buf = appendBool(c.buf, **p)
	}
	c.column++
}

func integer64(c *rowCoder, p *int64) {
	if c.decoding {
		*p = int64Of(c.take(8))
	} else {
		c.buf = appendInt64(c.buf, *p)
	}
	c.column++
}

// integer32 codes a required number or day.
func integer32[N ~int32](c *rowCoder, p *N) {
	if c.decoding {
		*p = N(int32Of(c.take(4)))
	} else {
		c.buf = appendInt32(c.buf, int32(*p))
	}
	c.column++
}

// encodeRow appends the key of a row to b; the error names the column that
// holds what the archive does not take.
func encodeRow[T any](b []byte, l *layout, code func(*rowCoder, *T), row *T) ([]byte, error) {
	c := rowCoder{buf: b}
	code(&c, row)
	if c.err != nil {
		return b, fmt.Errorf("column %s: %w", l.columns[c.bad].name, c.err)
	}
	return c.buf, nil
}

// decoder turns the keys of a table back into rows.
type decoder[T any] struct {
	coder rowCoder
	code  func(*rowCoder, *T)
}

func newDecoder[T any](code func(*rowCoder, *T)) *decoder[T] {
	return &decoder[T]{coder: rowCoder{decoding: true}, code: code}
}

// row decodes a key that this package made.
func (d *decoder[T]) row(key []byte) (row T) {
	d.coder.buf, d.coder.column = key, 0
	d.code(&d.coder, &row)
	return row
}

// sortedKeys encodes and sorts rows that fit into memory.
func sortedKeys[T any](l *layout, code func(*rowCoder, *T), rows []T) ([][]byte, error) {
	keys := make([][]byte, len(rows))
	for i := range rows {
		key, err := encodeRow(nil, l, code, &rows[i])
		if err != nil {
			return nil, fmt.Errorf("%s row %d: %w", l.table, i+1, err)
		}
		keys[i] = key
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys, nil
}

// sortedRecordKeys returns the keys of a record's rows, sorted.
func sortedRecordKeys(keyOf func([]byte, int) ([]byte, error), rows int) ([][]byte, error) {
	keys := make([][]byte, rows)
	for i := range keys {
		key, err := keyOf(nil, i)
		if err != nil {
			return nil, err
		}
		keys[i] = key
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys, nil
}
