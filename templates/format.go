package templates

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Number writes an exact decimal such as "-18400.255" with the given places,
// rounded half-up, e.g. "−18.400,26". What is no decimal comes back as it is.
func (l *Locale) Number(decimal string, places int) string {
	digits, negative := strings.CutPrefix(decimal, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return decimal
	}
	padded := fraction + strings.Repeat("0", max(0, places+1-len(fraction)))
	kept := whole + padded[:places]
	if padded[places] >= '5' {
		kept = increment(kept)
	}
	whole, fraction = kept[:len(kept)-places], kept[len(kept)-places:]
	out := l.group(whole)
	if places > 0 {
		out += l.format.Decimal + fraction
	}
	if negative && strings.Trim(kept, "0") != "" {
		return l.format.Minus + out
	}
	return out
}

// increment adds one to a string of digits.
func increment(digits string) string {
	b := []byte(digits)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < '9' {
			b[i]++
			return string(b)
		}
		b[i] = '0'
	}
	return "1" + string(b)
}

func (l *Locale) group(digits string) string {
	var out strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteString(l.format.Group)
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Int writes a whole number, e.g. "1.234".
func (l *Locale) Int(n int64) string { return l.Number(strconv.FormatInt(n, 10), 0) }

// Quantity writes a measured amount: whole from 100 up, else up to two places.
func (l *Locale) Quantity(decimal string) string {
	if wholeDigits(decimal) > 2 {
		return l.Number(decimal, 0)
	}
	out := l.Number(decimal, 2)
	return strings.TrimSuffix(strings.TrimRight(out, "0"), l.format.Decimal)
}

// Money writes an exact amount in a currency such as "EUR": whole from 100 up,
// else with two places, e.g. "€ 4.210", "€ 12,50".
func (l *Locale) Money(decimal, currency string) string {
	places := 2
	if wholeDigits(decimal) > 2 {
		places = 0
	}
	pattern, symbol := l.format.Money, ""
	switch currency {
	case "EUR":
		symbol = "€"
	case "USD":
		symbol = "$"
	case "GBP":
		symbol = "£"
	default:
		pattern, symbol = l.format.MoneyCode, currency
	}
	amount := l.Number(decimal, places)
	unsigned, negative := strings.CutPrefix(amount, l.format.Minus)
	out := fill(pattern, "symbol", symbol, "n", unsigned)
	if negative {
		return l.format.Minus + out
	}
	return out
}

// wholeDigits counts the digits before the point, leading zeros left out.
func wholeDigits(decimal string) int {
	whole, _, _ := strings.Cut(strings.TrimPrefix(decimal, "-"), ".")
	return len(strings.TrimLeft(whole, "0"))
}

// Percent writes a share such as 0.72 without decimals, e.g. "72 %".
func (l *Locale) Percent(share float64) string {
	return fill(l.format.Percent, "n", l.Number(strconv.FormatFloat(share*100, 'f', 6, 64), 0))
}

// Change writes a relative change with its sign: one decimal below ten percent,
// e.g. "−8,5 %", "+33 %".
func (l *Locale) Change(c float64) string {
	places := 0
	if math.Abs(c) < 0.0995 {
		places = 1
	}
	n := l.Number(strconv.FormatFloat(c*100, 'f', 6, 64), places)
	if c > 0 && strings.Trim(n, "0"+l.format.Decimal) != "" {
		n = "+" + n
	}
	return fill(l.format.Percent, "n", n)
}

// Day writes a day without its year, e.g. "5 nov".
func (l *Locale) Day(t time.Time) string { return l.day(l.format.Day, t) }

// DayYear writes a day with its year, e.g. "5 nov 2026".
func (l *Locale) DayYear(t time.Time) string { return l.day(l.format.DayYear, t) }

// Month writes a month, e.g. "november 2026".
func (l *Locale) Month(t time.Time) string {
	return fill(l.format.MonthYear, "m", l.format.MonthsLong[t.Month()-1], "y", strconv.Itoa(t.Year()))
}

// Range writes an inclusive range of days, e.g. "6–12 nov", "30 okt–5 nov".
func (l *Locale) Range(from, to time.Time) string {
	switch {
	case from.Equal(to):
		return l.Day(from)
	case from.Year() != to.Year():
		return fill(l.format.Range, "from", l.DayYear(from), "to", l.DayYear(to))
	case from.Month() != to.Month():
		return fill(l.format.Range, "from", l.Day(from), "to", l.Day(to))
	}
	return fill(l.format.SameMonth, "d", strconv.Itoa(from.Day()), "d2", strconv.Itoa(to.Day()), "m", l.format.Months[from.Month()-1])
}

func (l *Locale) day(pattern string, t time.Time) string {
	return fill(pattern, "d", strconv.Itoa(t.Day()), "m", l.format.Months[t.Month()-1], "y", strconv.Itoa(t.Year()))
}

// List joins texts as a sentence does, e.g. "A, B en C".
func (l *Locale) List(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	last := len(items) - 1
	return l.Text("list.and", strings.Join(items[:last], ", "), items[last])
}

// Separator returns what stands between the fields of a CSV file, and Point
// what stands in its decimal numbers, as spreadsheets of the language expect.
func (l *Locale) Separator() rune { return rune(l.format.Comma[0]) }

// Signs returns what stands in numbers: before the decimals, between groups of three
// digits, and before what is below zero.
func (l *Locale) Signs() (decimal, group, minus string) {
	return l.format.Decimal, l.format.Group, l.format.Minus
}

// Point is described at Separator.
func (l *Locale) Point() string { return l.format.Decimal }

// fill replaces {name} by its value, once each and without looking into values.
func fill(pattern string, pairs ...string) string {
	replacements := make([]string, len(pairs))
	for i, p := range pairs {
		if i%2 == 0 {
			p = fmt.Sprintf("{%s}", p)
		}
		replacements[i] = p
	}
	return strings.NewReplacer(replacements...).Replace(pattern)
}
