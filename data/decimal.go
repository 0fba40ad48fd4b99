package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
)

// Precision and Scale of every decimal in tidemark: DECIMAL(38,18). Real costs
// have up to 15 decimals, and an audit wants the last digit.
const (
	Precision = 38
	Scale     = 18
)

// Decimal is an exact decimal with 18 places: a 128-bit two's complement
// integer, big-endian, counting units of 10^-18. That is also its Parquet form,
// DECIMAL(38,18) on FIXED_LEN_BYTE_ARRAY(16). The zero value is 0. Its absolute
// value is always below 10^20.
type Decimal [16]byte

// ErrOverflow says that a decimal needs more than 38 digits.
var ErrOverflow = errors.New("the number has more than 20 digits before the point")

var errNotDecimal = errors.New("not a decimal number")

// DecimalFromParts returns the decimal with the given high and low 64 bits of
// its unscaled value; ok is false when it needs more than 38 digits.
func DecimalFromParts(hi int64, lo uint64) (d Decimal, ok bool) {
	binary.BigEndian.PutUint64(d[:8], uint64(hi))
	binary.BigEndian.PutUint64(d[8:], lo)
	return d, d.valid()
}

// DecimalFromArrow converts an Arrow decimal128 of scale 18.
func DecimalFromArrow(n decimal128.Num) (d Decimal, ok bool) {
	return DecimalFromParts(n.HighBits(), n.LowBits())
}

// DecimalFromInt returns n as a decimal.
func DecimalFromInt(n int64) Decimal {
	hi, lo := bits.Mul64(magnitude(n), pow18)
	d, _ := DecimalFromParts(int64(hi), lo)
	if n < 0 {
		return d.Neg()
	}
	return d
}

const pow18 = 1_000_000_000_000_000_000

// The bound 10^38 as two words.
const (
	limitHi = 0x4b3b4ca85a86c47a
	limitLo = 0x098a224000000000
)

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// Parts returns the high and low 64 bits of the unscaled value.
func (d Decimal) Parts() (hi int64, lo uint64) {
	return int64(binary.BigEndian.Uint64(d[:8])), binary.BigEndian.Uint64(d[8:])
}

// Arrow returns the Arrow form, scale 18.
func (d Decimal) Arrow() decimal128.Num {
	hi, lo := d.Parts()
	return decimal128.New(hi, lo)
}

// abs returns the magnitude of the unscaled value.
func (d Decimal) abs() (hi, lo uint64) {
	h, lo := d.Parts()
	hi = uint64(h)
	if h < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	return hi, lo
}

func (d Decimal) valid() bool {
	hi, lo := d.abs()
	return hi < limitHi || hi == limitHi && lo < limitLo
}

// Sign returns -1, 0 or +1.
func (d Decimal) Sign() int {
	hi, lo := d.Parts()
	switch {
	case hi < 0:
		return -1
	case hi == 0 && lo == 0:
		return 0
	}
	return 1
}

// IsZero reports whether d is 0.
func (d Decimal) IsZero() bool { return d == Decimal{} }

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	hi, lo := d.Parts()
	l, borrow := bits.Sub64(0, lo, 0)
	h, _ := bits.Sub64(0, uint64(hi), borrow)
	n, _ := DecimalFromParts(int64(h), l)
	return n
}

// Cmp returns -1, 0 or +1 as d is below, equal to or above o.
func (d Decimal) Cmp(o Decimal) int {
	dh, dl := d.Parts()
	oh, ol := o.Parts()
	switch {
	case dh < oh || dh == oh && dl < ol:
		return -1
	case d == o:
		return 0
	}
	return 1
}

// Add returns d + o; ok is false when the sum needs more than 38 digits.
func (d Decimal) Add(o Decimal) (sum Decimal, ok bool) {
	dh, dl := d.Parts()
	oh, ol := o.Parts()
	// Both are below 10^38, which is 0.59 * 2^127: a sum that wraps around has a
	// magnitude above 0.8 * 2^127, so the check of the limit sees it.
	lo, carry := bits.Add64(dl, ol, 0)
	hi, _ := bits.Add64(uint64(dh), uint64(oh), carry)
	return DecimalFromParts(int64(hi), lo)
}

// Sub returns d - o; ok is false when it needs more than 38 digits.
func (d Decimal) Sub(o Decimal) (Decimal, bool) { return d.Add(o.Neg()) }

// MulRatio returns d*num/den rounded half-even; den must be positive. It is how
// a probability or a number of days is applied to money without a float.
func (d Decimal) MulRatio(num, den int64) (Decimal, bool) {
	n := new(big.Int).Mul(d.big(), big.NewInt(num))
	q, r := new(big.Int).QuoRem(n, big.NewInt(den), new(big.Int))
	twice := r.Abs(r).Lsh(r, 1).Cmp(big.NewInt(den))
	if twice > 0 || twice == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(n.Sign())))
	}
	if q.BitLen() > 127 {
		return Decimal{}, false
	}
	return DecimalFromArrow(decimal128.FromBigInt(q))
}

func (d Decimal) big() *big.Int { return d.Arrow().BigInt() }

// Float64 returns a float close to d, for ratios and charts, never for money.
func (d Decimal) Float64() float64 {
	hi, lo := d.abs()
	f := (math.Ldexp(float64(hi), 64) + float64(lo)) / pow18
	if d.Sign() < 0 {
		return -f
	}
	return f
}

// Change returns (d - previous) / previous, or nil when previous is 0.
func (d Decimal) Change(previous Decimal) *float64 {
	if previous.IsZero() {
		return nil
	}
	c := d.Float64()/previous.Float64() - 1
	if math.IsInf(c, 0) || math.IsNaN(c) {
		return nil
	}
	return &c
}

// String returns the number with at least two decimals and no trailing zeros
// beyond them, e.g. "18400.25", "0.00", "-0.000001".
func (d Decimal) String() string {
	hi, lo := d.abs()
	whole, frac := divPow18(hi, lo)
	f := strconv.FormatUint(frac, 10)
	f = strings.Repeat("0", Scale-len(f)) + f
	f = f[:2] + strings.TrimRight(f[2:], "0")
	sign := ""
	if d.Sign() < 0 {
		sign = "-"
	}
	return sign + whole + "." + f
}

// divPow18 splits a magnitude below 10^38 into the digits before the point and
// the 18 behind it.
func divPow18(hi, lo uint64) (whole string, frac uint64) {
	top := hi / pow18
	q, frac := bits.Div64(hi%pow18, lo, pow18)
	if top == 0 {
		return strconv.FormatUint(q, 10), frac
	}
	n := new(big.Int).Lsh(new(big.Int).SetUint64(top), 64)
	return n.Add(n, new(big.Int).SetUint64(q)).String(), frac
}

// MarshalText writes the form of String.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDecimal reads.
func (d *Decimal) UnmarshalText(b []byte) error {
	v, _, err := ParseDecimal(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// ParseDecimal reads a decimal number with a point, an optional sign and an
// optional exponent: "-12.5", ".5", "3.1E-7". More than 18 decimals are rounded
// half-even, and rounded reports that this changed the value. A number with
// more than 20 digits before the point is ErrOverflow.
func ParseDecimal(s string) (d Decimal, rounded bool, err error) {
	rest, negative := strings.CutPrefix(s, "-")
	if !negative {
		rest = strings.TrimPrefix(rest, "+")
	}
	mantissa, exponent, err := cutExponent(rest)
	if err != nil {
		return Decimal{}, false, err
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return Decimal{}, false, errNotDecimal
	}
	d, rounded, err = scaled(digits, Scale+exponent-len(fraction))
	if negative {
		d = d.Neg()
	}
	return d, rounded, err
}

// maxExponent bounds what an exponent may say, far beyond any value that fits.
const maxExponent = 1000

func cutExponent(s string) (mantissa string, exponent int, err error) {
	at := strings.IndexAny(s, "eE")
	if at < 0 {
		return s, 0, nil
	}
	exponent, err = strconv.Atoi(s[at+1:])
	if err != nil || exponent < -maxExponent || exponent > maxExponent {
		return "", 0, errNotDecimal
	}
	return s[:at], exponent, nil
}

// scaled returns digits * 10^shift as an unscaled value, rounding half-even
// what a negative shift cuts off.
func scaled(digits string, shift int) (d Decimal, rounded bool, err error) {
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return Decimal{}, false, nil
	}
	keep := len(digits) + shift
	if keep > Precision {
		return Decimal{}, false, ErrOverflow
	}
	cut := ""
	if shift < 0 {
		at := max(keep, 0)
		digits, cut = digits[:at], digits[at:]
		if keep < 0 {
			cut = "0" // less than half of the last place, whatever it is
			rounded = true
		}
	}
	hi, lo := uint64(0), uint64(0)
	for i := range keep {
		var digit uint64
		if i < len(digits) {
			digit = uint64(digits[i] - '0')
		}
		hi, lo = mul10add(hi, lo, digit)
	}
	up, inexact := roundHalfEven(cut, lo&1 == 1)
	if up {
		hi, lo = add1(hi, lo)
	}
	d, ok := DecimalFromParts(int64(hi), lo)
	if !ok {
		return Decimal{}, false, ErrOverflow
	}
	return d, rounded || inexact, nil
}

func mul10add(hi, lo, digit uint64) (uint64, uint64) {
	carry, l := bits.Mul64(lo, 10)
	l, c := bits.Add64(l, digit, 0)
	return hi*10 + carry + c, l
}

func add1(hi, lo uint64) (uint64, uint64) {
	l, c := bits.Add64(lo, 1, 0)
	return hi + c, l
}

// roundHalfEven decides what the digits cut off do to the last one kept.
func roundHalfEven(cut string, odd bool) (up, inexact bool) {
	if strings.Trim(cut, "0") == "" {
		return false, false
	}
	switch {
	case cut[0] != '5':
		return cut[0] > '5', true
	case strings.Trim(cut[1:], "0") != "":
		return true, true
	}
	return odd, true
}

// Money is an amount in one currency. Amounts in two currencies are never added.
type Money struct {
	Currency string  `json:"currency"` // ISO 4217, e.g. "EUR"
	Amount   Decimal `json:"value"`
}

// String returns the amount and the currency, e.g. "12.50 EUR".
func (m Money) String() string { return fmt.Sprintf("%s %s", m.Amount, m.Currency) }
