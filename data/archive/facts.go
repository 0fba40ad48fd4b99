package archive

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"

	"tidemark/data"
)

// facts are what the log states about the rows of a file. They are taken from
// the rows when they are written, and again from the file before it is
// committed; both must agree.
//
// The content hash is the SHA-256 of the rows as text, the form that PostgreSQL
// calls COPY text: a first line with the column names, one line per row in the
// order of the table, columns separated by tabs, \N for null, and \\ \t \n \r
// in texts; dates are ISO, decimals as data.Decimal prints them.
type facts struct {
	layout *layout
	absent []bool // columns that the file does not have
	rows   int64
	sums   []Sum
	stats  []columnStats
	hash   hash.Hash
	line   []byte
}

// columnStats are Delta's statistics of one column.
type columnStats struct {
	nulls    int64
	seen     bool
	min, max string // of texts, and of dates as they are in keys
}

func newFacts(l *layout) *facts {
	return newFactsWithout(l, make([]bool, len(l.columns)))
}

// newFactsWithout is for a file that lacks columns which the table gained
// later: they count neither for the hash nor for the statistics.
func newFactsWithout(l *layout, absent []bool) *facts {
	f := &facts{layout: l, absent: absent, stats: make([]columnStats, len(l.columns)), hash: sha256.New()}
	for i, c := range l.columns {
		if !absent[i] {
			f.line = append(append(f.line, separator(i)...), c.name...)
		}
	}
	f.hash.Write(append(f.line, '\n'))
	return f
}

// separator stands before a column. The first is never absent: tables gain
// columns that may be null only.
func separator(column int) string {
	if column == 0 {
		return ""
	}
	return "\t"
}

// add takes in the key of the next row.
func (f *facts) add(key []byte) error {
	f.rows++
	f.line = f.line[:0]
	var currency string
	var amounts [8]amount
	n := 0
	for i, c := range f.layout.columns {
		value, rest, null := c.cut(key)
		key = rest
		if f.absent[i] {
			continue
		}
		f.line = append(f.line, separator(i)...)
		if null {
			f.stats[i].nulls++
			f.line = append(f.line, `\N`...)
			continue
		}
		switch c.kind {
		case kindText:
			s := f.stats[i].text(value)
			f.line = appendEscaped(f.line, s)
			if c.name == "currency" {
				currency = s
			}
		case kindDecimal:
			d := decimalOf(value)
			f.line = append(f.line, d.String()...)
			if c.name != "quantity" && c.name != "partner_credit_rate" {
				amounts[n] = amount{c.name, d}
				n++
			}
		case kindDate:
			f.stats[i].note(string(value)) // as key bytes, whose order is the days'
			f.line = append(f.line, data.Day(int32Of(value)).String()...)
		case kindInt64:
			f.line = strconv.AppendInt(f.line, int64Of(value), 10)
		case kindInt32:
			f.line = strconv.AppendInt(f.line, int64(int32Of(value)), 10)
		case kindBool:
			f.line = strconv.AppendBool(f.line, value[0] == 1)
		}
	}
	f.line = append(f.line, '\n')
	f.hash.Write(f.line)
	return f.sum(currency, amounts[:n])
}

type amount struct {
	column string
	value  data.Decimal
}

func (f *facts) sum(currency string, amounts []amount) error {
	for _, a := range amounts {
		in := currency
		if a.column == "cost_usd" {
			in = "USD"
		}
		at := slices.IndexFunc(f.sums, func(s Sum) bool { return s.Column == a.column && s.Currency == in })
		if at < 0 {
			f.sums = append(f.sums, Sum{a.column, in, a.value})
			continue
		}
		sum, ok := f.sums[at].Amount.Add(a.value)
		if !ok {
			return fmt.Errorf("sum of %s in %s: %w", a.column, in, data.ErrOverflow)
		}
		f.sums[at].Amount = sum
	}
	return nil
}

// text notes a text value and returns it.
func (s *columnStats) text(escaped []byte) string {
	switch {
	case s.seen && s.max == string(escaped): // sorted columns come in runs
		return s.max
	case s.seen && s.min == string(escaped):
		return s.min
	}
	v := unescape(escaped)
	s.note(v)
	return v
}

func (s *columnStats) note(v string) {
	if !s.seen {
		s.seen, s.min, s.max = true, v, v
		return
	}
	s.min, s.max = min(s.min, v), max(s.max, v)
}

// appendEscaped appends a text so that it has neither tabs nor line breaks.
func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := range len(s) {
		var as byte
		switch s[i] {
		case '\\':
			as = '\\'
		case '\t':
			as = 't'
		case '\n':
			as = 'n'
		case '\r':
			as = 'r'
		default:
			continue
		}
		b = append(append(b, s[start:i]...), '\\', as)
		start = i + 1
	}
	return append(b, s[start:]...)
}

// content returns the content hash in hex.
func (f *facts) content() string { return hex.EncodeToString(f.hash.Sum(nil)) }

// into copies the facts to the part that the log will hold.
func (f *facts) into(p *Part) {
	p.Rows, p.ContentSHA256 = f.rows, f.content()
	p.Sums = slices.SortedFunc(slices.Values(f.sums), func(a, b Sum) int {
		return cmp.Or(strings.Compare(a.Column, b.Column), strings.Compare(a.Currency, b.Currency))
	})
}

// differs says what two takings of the facts of one file disagree on; empty
// when they agree.
func (f *facts) differs(o *facts) string {
	switch {
	case f.rows != o.rows:
		return fmt.Sprintf("%d rows instead of %d", f.rows, o.rows)
	case f.content() != o.content():
		return "other values"
	}
	return ""
}

// maxStats is how many characters of a text Delta's statistics keep.
const maxStats = 32

// lowest shortens a minimum; a prefix is never above the text.
func lowest(s string) string {
	n := 0
	for at := range s {
		if n == maxStats {
			return s[:at]
		}
		n++
	}
	return s
}

// highest shortens a maximum and rounds it up, so that it is never below the
// text; ok is false when no such text exists.
func highest(s string) (string, bool) {
	short := []rune(lowest(s))
	if string(short) == s {
		return s, true
	}
	for i := len(short) - 1; i >= 0; i-- {
		switch next := short[i] + 1; {
		case next == 0xd800: // surrogates are no characters
			short[i] = 0xe000
		case next > 0x10ffff:
			continue
		default:
			short[i] = next
		}
		return string(short[:i+1]), true
	}
	return "", false
}

// deltaStats returns Delta's statistics: minimum and maximum only of texts and
// dates.
func (f *facts) deltaStats() deltaStats {
	d := deltaStats{f.rows, map[string]string{}, map[string]string{}, map[string]int64{}}
	for i, c := range f.layout.columns {
		s := f.stats[i]
		if f.absent[i] {
			continue
		}
		d.NullCount[c.name] = s.nulls
		switch {
		case !s.seen:
			continue
		case c.kind == kindDate:
			d.MinValues[c.name] = data.Day(int32Of([]byte(s.min))).String()
			d.MaxValues[c.name] = data.Day(int32Of([]byte(s.max))).String()
			continue
		}
		d.MinValues[c.name] = lowest(s.min)
		if top, ok := highest(s.max); ok {
			d.MaxValues[c.name] = top
		}
	}
	return d
}

type deltaStats struct {
	NumRecords int64             `json:"numRecords"`
	MinValues  map[string]string `json:"minValues"`
	MaxValues  map[string]string `json:"maxValues"`
	NullCount  map[string]int64  `json:"nullCount"`
}
