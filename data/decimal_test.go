package data

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustDecimal(t *testing.T, s string) Decimal {
	t.Helper()
	d, _, err := ParseDecimal(s)
	if err != nil {
		t.Fatalf("ParseDecimal(%q): %v", s, err)
	}
	return d
}

func TestParseDecimal_WritesTheShortestExactForm(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.00", "-0": "0.00", "1": "1.00", "+1.5": "1.50", ".5": "0.50", "5.": "5.00",
		"18400.25": "18400.25", "310.1234567891": "310.1234567891", "-0.000001": "-0.000001",
		"1e3": "1000.00", "2.5E-3": "0.0025", "0.000000000000000001": "0.000000000000000001",
		"99999999999999999999.999999999999999999": "99999999999999999999.999999999999999999",
		"000123.4500": "123.45", "0e999": "0.00", "1e-1000": "0.00",
	} {
		if got := mustDecimal(t, in).String(); got != want {
			t.Errorf("ParseDecimal(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestParseDecimal_RoundsHalfEvenBeyond18Places(t *testing.T) {
	const zeros = "0.00000000000000000"
	for in, want := range map[string]string{
		zeros + "05":       zeros + "0", // half, even stays
		zeros + "15":       zeros + "2", // half, odd goes up
		zeros + "25":       zeros + "2",
		zeros + "251":      zeros + "3",
		zeros + "149":      zeros + "1",
		"-" + zeros + "15": "-" + zeros + "2",
		"4e-19":            zeros + "0",
		"6e-19":            zeros + "1",
	} {
		d, rounded, err := ParseDecimal(in)
		if err != nil || !rounded {
			t.Errorf("ParseDecimal(%q): rounded %v, err %v, want rounded", in, rounded, err)
		}
		if w := mustDecimal(t, want); d != w {
			t.Errorf("ParseDecimal(%q) = %s, want %s", in, d, w)
		}
	}
	if _, rounded, _ := ParseDecimal("1.5000000000000000000000"); rounded {
		t.Error("trailing zeros beyond 18 places count as rounding")
	}
}

func TestParseDecimal_RefusesWhatIsNotANumber(t *testing.T) {
	for _, in := range []string{"", "-", ".", "1,5", "1.2.3", "NaN", "Inf", "0x10", "1e", "1e1.5", "--1", "+-1", "1 ", "1_000", "1e99999999999", "١"} {
		if d, _, err := ParseDecimal(in); err == nil {
			t.Errorf("ParseDecimal(%q) = %s, want an error", in, d)
		}
	}
	for _, in := range []string{"1e20", "-1e20", "123456789012345678901", "99999999999999999999.9999999999999999996"} {
		if d, _, err := ParseDecimal(in); !errors.Is(err, ErrOverflow) {
			t.Errorf("ParseDecimal(%q) = %s, %v, want overflow", in, d, err)
		}
	}
}

// unscaled is the oracle's view of a decimal: math/big on the text.
func unscaled(s string) *big.Int {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	r.Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)))
	return r.Num()
}

func drawDecimal(t *rapid.T, name string) string {
	return rapid.StringMatching(`-?[0-9]{1,20}\.[0-9]{1,18}`).Draw(t, name)
}

func TestDecimal_AgreesWithBigIntegers(t *testing.T) {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDecimal(t, "a"), drawDecimal(t, "b")
		da, _, errA := ParseDecimal(a)
		db, _, errB := ParseDecimal(b)
		if errA != nil || errB != nil {
			t.Fatalf("parse %q, %q: %v, %v", a, b, errA, errB)
		}
		ba, bb := unscaled(a), unscaled(b)
		if da.big().Cmp(ba) != 0 {
			t.Fatalf("%q parsed as %s", a, da)
		}
		if again, _, err := ParseDecimal(da.String()); err != nil || again != da {
			t.Fatalf("%s does not read back: %s, %v", da, again, err)
		}
		sum := new(big.Int).Add(ba, bb)
		got, ok := da.Add(db)
		if want := sum.CmpAbs(limit) < 0; ok != want {
			t.Fatalf("%s + %s: ok %v, want %v", a, b, ok, want)
		}
		if ok && got.big().Cmp(sum) != 0 {
			t.Fatalf("%s + %s = %s", a, b, got)
		}
		if da.Cmp(db) != ba.Cmp(bb) || da.Sign() != ba.Sign() || da.Neg().big().Cmp(new(big.Int).Neg(ba)) != 0 {
			t.Fatalf("order, sign or negation of %s and %s differs", a, b)
		}
	})
}

func TestDecimalMulRatio_RoundsHalfEven(t *testing.T) {
	for _, c := range []struct {
		d        string
		num, den int64
		want     string
	}{
		{"120.00", 8100, 10000, "97.20"},
		{"-120.00", 8100, 10000, "-97.20"},
		{"0.000000000000000001", 1, 2, "0.00"},
		{"0.000000000000000003", 1, 2, "0.000000000000000002"},
		{"-0.000000000000000003", 1, 2, "-0.000000000000000002"},
		{"10.00", 1, 3, "3.333333333333333333"},
		{"20.00", 1, 3, "6.666666666666666667"},
	} {
		got, ok := mustDecimal(t, c.d).MulRatio(c.num, c.den)
		if !ok || got.String() != c.want {
			t.Errorf("%s * %d/%d = %s, %v, want %s", c.d, c.num, c.den, got, ok, c.want)
		}
	}
	if d, ok := mustDecimal(t, "99999999999999999999").MulRatio(3, 2); ok {
		t.Errorf("an overflowing product gives %s, want not ok", d)
	}
}

func TestDecimalChange_IsNilWithoutAPreviousAmount(t *testing.T) {
	if c := mustDecimal(t, "5").Change(Decimal{}); c != nil {
		t.Errorf("change against 0 = %v, want nil", *c)
	}
	if c := mustDecimal(t, "75").Change(mustDecimal(t, "100")); c == nil || *c != -0.25 {
		t.Errorf("change 100 to 75 = %v, want -0.25", c)
	}
}

func TestDecimalFromInt_CoversTheRange(t *testing.T) {
	for n, want := range map[int64]string{0: "0.00", -7: "-7.00", 1<<63 - 1: "9223372036854775807.00", -1 << 63: "-9223372036854775808.00"} {
		if got := DecimalFromInt(n).String(); got != want {
			t.Errorf("DecimalFromInt(%d) = %s, want %s", n, got, want)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"1.5", "-3e-7", "1e20", strings.Repeat("9", 60), ".", "1e-1000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, _, err := ParseDecimal(s)
		if err != nil {
			return
		}
		if again, rounded, err := ParseDecimal(d.String()); err != nil || rounded || again != d {
			t.Fatalf("%q = %s reads back as %s, %v, %v", s, d, again, rounded, err)
		}
	})
}
