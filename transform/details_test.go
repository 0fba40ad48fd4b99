package transform

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// lines renders the details, each line with the name of its table.
func (d *Details) lines() []string {
	var out []string
	for _, table := range []struct {
		name string
		rec  arrow.Record
	}{
		{"day of category", d.CostByDayCategory}, {"day of customer", d.CostByDayCustomer},
		{"quantity", d.Quantities}, {"mover", d.Movers}, {"change", d.Categories},
	} {
		for _, line := range lines(table.rec) {
			out = append(out, table.name+": "+line)
		}
	}
	return out
}

// assertDetails compares the details of inputs with those of a world, and what
// else is computed with what is computed without them.
func assertDetails(t *rapid.T, mem memory.Allocator, in Inputs, w world) {
	in.Details = true
	o, known := newOracle(w)
	got, err := Metrics(mem, in)
	if !known {
		if !errors.Is(err, ErrNoKnownDay) || got != nil {
			t.Fatalf("error %v, want that no day is known", err)
		}
		return
	}
	others, want := o.lines(), o.detailLines()
	if o.overflow {
		if !errors.Is(err, data.ErrOverflow) || got != nil {
			t.Fatalf("error %v, want an overflow", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if diff := cmp.Diff(want, got.Details.lines()); diff != "" {
		t.Fatalf("details (-definition +got):\n%s", diff)
	}
	if diff := cmp.Diff(others, got.lines()); diff != "" {
		t.Fatalf("the other tables (-definition +got):\n%s", diff)
	}
	if compared := o.unknown == ""; (got.Details.Categories != nil) != compared || (got.Details.Movers != nil) != (compared && !w.noMoney) {
		t.Fatalf("compared %v: categories %v, movers %v", compared, got.Details.Categories, got.Details.Movers)
	}
	days, before, reason := in.Compared()
	if !slices.Equal(days, o.days[0]) || !slices.Equal(before, o.days[1]) || reason != o.unknown {
		t.Fatalf("compared %v with %v, reason %q; want %v, %v, %q", days, before, reason, o.days[0], o.days[1], o.unknown)
	}
}

// anyCrowd is a world with much in few days, so that customers tie, rankings are
// full, and categories move against their customer.
func anyCrowd(t *rapid.T) world {
	day := mustDay("2026-11-06")
	w := world{period: data.Period{From: day, To: day}, watermark: &day, extracted: []data.Day{day - 1, day}}
	customers := []data.CustomerID{"c1", "c2", "c3", "c4", "c5", "c6", "c7", hostile}
	s := worldSnapshot{day: day}
	for _, id := range customers {
		s.customers = append(s.customers, data.Customer{CustomerID: id, Name: data.Optional(oneOf(t, "name", "A", "B", "")), Source: "test"})
	}
	w.snapshots = []worldSnapshot{s}
	for range rapid.IntRange(0, 80).Draw(t, "rows") {
		r := data.UsageDaily{Day: day - data.Day(rapid.IntRange(0, 1).Draw(t, "before")), CustomerID: oneOf(t, "customer", customers...),
			Category: oneOf(t, "category", "", "SQL", "Storage"), Unit: data.Optional(oneOf(t, "unit", "", "GB")), Currency: oneOf(t, "currency", "EUR", "EUR", "EUR", "USD"),
			ChargeCategory: oneOf(t, "charge", data.ChargeUsage, data.ChargeUsage, data.ChargePurchase, data.ChargeTax),
			Rows:           1, UsageRows: int64(rapid.IntRange(0, 1).Draw(t, "usage rows"))}
		amounts := []*data.Decimal{nil, dec("1"), dec("1"), dec("2"), dec("-1")}
		r.Cost, r.Quantity = rapid.SampledFrom(amounts).Draw(t, "cost"), rapid.SampledFrom(amounts).Draw(t, "quantity")
		r.CostRows = int64(btoi(r.Cost != nil))
		w.daily = append(w.daily, r)
	}
	return w
}

func TestDetails_OfACrowdAgreeWithTheirDefinitions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyCrowd(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		assertDetails(rt, mem, in, w)
	})
}

func TestDetails_AgreeWithTheirDefinitionsInAnyOrderSplitAndScope(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		assertDetails(rt, mem, in, w)
		scope := map[data.CustomerID]bool{}
		for _, id := range []data.CustomerID{"c1", "c2", hostile} {
			scope[id] = rapid.Bool().Draw(rt, "in scope")
		}
		filtered, free, err := filterInputs(mem, in, scope)
		if err != nil {
			rt.Fatal(err)
		}
		defer free()
		out := func(id data.CustomerID) bool { return !scope[id] }
		w.daily = slices.DeleteFunc(slices.Clone(w.daily), func(r data.UsageDaily) bool { return out(r.CustomerID) })
		for i := range w.snapshots {
			s := &w.snapshots[i]
			s.customers = slices.DeleteFunc(slices.Clone(s.customers), func(c data.Customer) bool { return out(c.CustomerID) })
			s.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(x data.Subscription) bool { return out(x.CustomerID) })
		}
		assertDetails(rt, mem, filtered, w)
	})
}

func TestDetails_WithoutMoneyHaveNoCost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		w.noMoney = true
		free, freed := InputsWithoutMoney(in)
		defer freed()
		assertDetails(rt, mem, free, w)
		withColumns := in // the columns are there and may not be used
		withColumns.NoMoney = true
		assertDetails(rt, mem, withColumns, w)
	})
}

func TestDetails_OfDaysAddUpToTheCostOfThePeriodPerCurrency(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		in.Details = true
		tables, err := Metrics(mem, in)
		switch {
		case errors.Is(err, ErrNoKnownDay), errors.Is(err, data.ErrOverflow):
			return // the other tests say when
		case err != nil:
			rt.Fatal(err)
		}
		defer tables.Release()
		want := map[string]string{}
		for _, line := range lines(tables.Cost) {
			if cells := strings.Split(line, "|"); cells[1] != "null" && !dec(cells[1]).IsZero() {
				want[cells[0]] = rational(cells[1]).RatString()
			}
		}
		for name, series := range map[string]arrow.Record{"category": tables.Details.CostByDayCategory, "customer": tables.Details.CostByDayCustomer} {
			sums := map[string]*big.Rat{} // which takes what on the way to the sum has too many digits
			for _, line := range lines(series) {
				cells := strings.Split(line, "|")
				if len(cells) != 5 {
					rt.Fatalf("line %q", line)
				}
				if sums[cells[2]] == nil {
					sums[cells[2]] = new(big.Rat)
				}
				if cells[3] != "null" {
					sums[cells[2]].Add(sums[cells[2]], rational(cells[3]))
				}
			}
			got := map[string]string{}
			for currency, v := range sums {
				if v.Sign() != 0 {
					got[currency] = v.RatString()
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("the days of each %s (-period +days):\n%s", name, diff)
			}
		}
	})
}

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("no number: " + text)
	}
	return r
}

func TestDetails_AreNotComputedUnlessAskedFor(t *testing.T) {
	mem, done := checked(t)
	defer done()
	day := mustDay("2026-11-06")
	most := dec(extreme)
	w := world{period: data.Period{From: day, To: day}, watermark: &day, extracted: []data.Day{day - 1, day}, daily: []data.UsageDaily{
		{Day: day, CustomerID: "c1", Currency: "EUR", Cost: most, CostRows: 1},
		{Day: day - 1, CustomerID: "c1", Currency: "EUR", Cost: new(most.Neg()), CostRows: 1},
	}}
	in, release := w.inputs(mem, 1)
	defer release()
	tables, err := Metrics(mem, in)
	if err != nil || tables.Details != nil {
		t.Fatalf("details %v, error %v; want neither", tables.Details, err)
	}
	tables.Release()
	in.Details = true
	_, err = Metrics(mem, in)
	if !errors.Is(err, data.ErrOverflow) {
		t.Fatalf("error %v, want an overflow", err)
	}
	assertError(t, err, `difference of the cost of customer "c1" in EUR`)
}
