package main

import (
	"testing"

	"tidemark/data"
	"tidemark/reports"
)

func TestCents_RoundsHalfToEven(t *testing.T) {
	for amount, want := range map[string]string{
		"0": "0.00", "12": "12.00", "1.005": "1.00", "1.015": "1.02", "1.0150000000000001": "1.02", "1.0049999999999999": "1.00", "0.004": "0.00",
		"-1.005": "-1.00", "-1.015": "-1.02", "-0.004": "0.00", "-7.999": "-8.00", "99999999999999999999.994": "99999999999999999999.99",
		"-99999999999999999999.999999999999999999": "-99999999999999999999.999999999999999999", // what is too large when rounded stays
	} {
		d, _, err := data.ParseDecimal(amount)
		if err != nil {
			t.Fatal(err)
		}
		if got := cents(&d); got != want {
			t.Errorf("%s: %s, want %s", amount, got, want)
		}
	}
	if got := cents(nil); got != "-" {
		t.Errorf("none: %s", got)
	}
}

func TestFit_IsAsWideAsAsked(t *testing.T) {
	for text, want := range map[string]string{
		"":           "        ",
		"Storage":    "Storage ",
		"Storages":   "Storages",
		"Storage GB": "Storage…",
		"山田":         "山田    ",
		"山田商事":       "山田商事",
		"山田商事株":      "山田商… ",
		"é\u202e\nx": "é  x    ",
	} {
		if got := fit(text, 8); got != want || reports.Columns(got) != 8 {
			t.Errorf("%q: %q of %d columns, want %q", text, got, reports.Columns(got), want)
		}
	}
}
