package main

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/reports"
)

func TestCustomerRisks_AddUpWhatIsScored(t *testing.T) {
	money := func(amount, currency string) data.Money {
		d, _, err := data.ParseDecimal(amount)
		if err != nil {
			t.Fatal(err)
		}
		return data.Money{Amount: d, Currency: currency}
	}
	doc := &reports.Document{AtRisk: []reports.AtRisk{
		{CustomerID: "b", Score: new(.3), ExpectedLoss: []data.Money{money("3", "USD")}},
		{CustomerID: "a", Score: new(.5), ExpectedLoss: []data.Money{money("10.5", "USD")}},
		{CustomerID: "a", Score: new(.2), ExpectedLoss: []data.Money{money("1", "EUR"), money("2", "USD")}},
		{CustomerID: "a"},
	}}
	got, err := customerRisks(doc)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].CustomerID != "a" || got[0].Scored != 2 || math.Abs(got[0].AnyLoss-.6) > 1e-12 || math.Abs(got[1].AnyLoss-.3) > 1e-12 {
		t.Errorf("%+v", got)
	}
	var at []string
	for _, m := range got[0].MoneyAtRisk {
		at = append(at, m.Amount.String()+" "+m.Currency)
	}
	if diff := cmp.Diff(at, []string{"1.00 EUR", "12.50 USD"}); diff != "" {
		t.Error(diff)
	}
}

func TestScoresBasis_SaysWhyThereAreNone(t *testing.T) {
	for want, s := range map[string]scores{
		"no scores: past churn does not follow usage here, says the last training": {NoSignal: true},
		"own estimate, calibrated on your churn":                                   {Calibrated: true},
		"own estimate, not calibrated on your churn":                               {},
	} {
		if got := s.basis(); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}
