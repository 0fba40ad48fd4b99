package transform

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"pgregory.net/rapid"

	"tidemark/data"
)

func anyUsage(t *rapid.T) data.Usage {
	overflow := rapid.IntRange(0, 30).Draw(t, "overflow") == 0
	return data.Usage{
		Day:            mustDay("2026-11-09"),
		CustomerID:     data.CustomerID(oneOf(t, "customer", "c1", "c2", hostile)),
		SubscriptionID: data.Optional(data.SubscriptionID(oneOf(t, "subscription", "", "s1", "s2"))),
		Category:       oneOf(t, "category", "", "Storage", "SQL"),
		Service:        data.Optional(oneOf(t, "service", "", "Blob", "File", "Table")),
		Unit:           data.Optional(oneOf(t, "unit", "", "1 Hour", "GB")),
		Currency:       oneOf(t, "currency", "EUR", "USD"),
		ChargeCategory: oneOf(t, "charge", data.ChargeUsage, data.ChargeUsage, data.ChargeTax, data.ChargeCredit),
		Quantity:       anyAmount(t, "quantity", false),
		Cost:           anyAmount(t, "cost", overflow),
		EffectiveCost:  anyAmount(t, "effective", false),
		CostUSD:        anyAmount(t, "usd", false),
	}
}

// plainSum is the sum of some values as text, "null" without any; ok is false
// when it does not fit.
func plainSum(values []*data.Decimal) (text string, ok bool) {
	total, n := new(big.Int), 0
	for _, v := range values {
		if v != nil {
			total.Add(total, v.Arrow().BigInt())
			n++
		}
	}
	if n == 0 {
		return "null", true
	}
	return plainText(total)
}

// plainText renders an unscaled value of 18 decimals.
func plainText(v *big.Int) (text string, ok bool) {
	if v.CmpAbs(new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)) >= 0 {
		return "", false
	}
	d, _, err := data.ParseDecimal(v.String() + "e-18")
	if err != nil {
		panic(err)
	}
	return d.String(), true
}

// plainRollup is Rollup by its definition, over maps; ok is false when some sum
// does not fit.
func plainRollup(rows []data.Usage) (out []string, ok bool) {
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return fmt.Sprintf("%q", *s)
	}
	key := func(u data.Usage) [6]string {
		return [6]string{text((*string)(&u.CustomerID)), text((*string)(u.SubscriptionID)), text(&u.Category), text(u.Unit), text(&u.Currency), text((*string)(&u.ChargeCategory))}
	}
	groups := map[[6]string][]data.Usage{}
	var order []data.Usage
	for _, u := range rows {
		if groups[key(u)] == nil {
			order = append(order, u)
		}
		groups[key(u)] = append(groups[key(u)], u)
	}
	opt := func(s *string) string {
		if s == nil {
			return "" // no text here is empty but the category, which is never null
		}
		return *s
	}
	slices.SortFunc(order, func(a, b data.Usage) int {
		return cmp.Or(cmp.Compare(a.CustomerID, b.CustomerID), cmp.Compare(opt((*string)(a.SubscriptionID)), opt((*string)(b.SubscriptionID))),
			cmp.Compare(a.Category, b.Category), cmp.Compare(opt(a.Unit), opt(b.Unit)), cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.ChargeCategory, b.ChargeCategory))
	})
	ok = true
	for _, first := range order {
		k := key(first)
		line := fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s", first.Day, k[0], k[1], k[2], k[3], k[4], k[5])
		usageRows, costs, usds, services := 0, 0, 0, map[string]bool{}
		var columns [4][]*data.Decimal
		for _, u := range groups[k] {
			for i, v := range []*data.Decimal{u.Cost, u.EffectiveCost, u.CostUSD, u.Quantity} {
				columns[i] = append(columns[i], v)
			}
			if u.ChargeCategory == data.ChargeUsage && u.Quantity != nil && u.Quantity.Sign() > 0 {
				usageRows++
			}
			if u.Cost != nil {
				costs++
			}
			if u.Cost != nil && u.CostUSD != nil {
				usds++
			}
			if u.Service != nil {
				services[*u.Service] = true
			}
		}
		for _, values := range columns {
			sum, fits := plainSum(values)
			line, ok = line+"|"+sum, ok && fits
		}
		out = append(out, fmt.Sprintf("%s|%d|%d|%d|%d|%d", line, len(groups[k]), usageRows, costs, usds, len(services)))
	}
	return out, ok
}

func TestRollup_AgreesWithItsDefinitionInAnyOrderAndSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(anyUsage), 0, 40).Draw(rt, "rows")
		want, fits := plainRollup(rows)
		for range 2 {
			mem, done := checked(rt)
			records := split(rows, rapid.IntRange(1, 41).Draw(rt, "batch"), func(u []data.Usage) arrow.Record { return usageRecord(mem, u) })
			got, err := Rollup(mem, batches(records, nil))
			switch {
			case fits != (err == nil):
				rt.Fatalf("error %v, but the sums fit: %v", err, fits)
			case err != nil && !errors.Is(err, data.ErrOverflow):
				rt.Fatalf("error %v does not wrap the overflow", err)
			case err == nil:
				assertLines(rt, "rollup", append([]string{}, want...), lines(got))
				if !got.Schema().Equal(data.UsageDailySchema()) {
					rt.Fatalf("schema %v", got.Schema())
				}
				got.Release()
			}
			releaseAll(records)
			done()
			rows = rapid.Permutation(rows).Draw(rt, "order")
		}
	})
}

func TestRollup_NamesTheSumThatDoesNotFit(t *testing.T) {
	mem, done := checked(t)
	defer done()
	row := data.Usage{Day: 20000, CustomerID: "c", Category: "Storage\n", Currency: "EUR", ChargeCategory: data.ChargeUsage, CostUSD: dec(extreme)}
	rec := usageRecord(mem, []data.Usage{row, row})
	defer rec.Release()
	_, err := Rollup(mem, batches([]arrow.Record{rec}, nil))
	if !errors.Is(err, data.ErrOverflow) {
		t.Errorf("error %v does not wrap the overflow", err)
	}
	assertError(t, err, data.Day(20000).String(), `customer "c"`, `"Storage\n"`, "cost_usd")
}

func TestRollup_RefusesBadInputAndHoldsNothing(t *testing.T) {
	mem, done := checked(t)
	defer done()
	row := data.Usage{Day: 20000, CustomerID: "c", Currency: "EUR", ChargeCategory: data.ChargeUsage}
	next := row
	next.Day++
	good, later := usageRecord(mem, []data.Usage{row}), usageRecord(mem, []data.Usage{next})
	daily := dailyRecord(mem, nil)
	defer releaseAll([]arrow.Record{good, later, daily})

	_, err := Rollup(mem, batches([]arrow.Record{good}, errBroken))
	if !errors.Is(err, errBroken) {
		t.Errorf("error %v, want that of the batches", err)
	}
	_, err = Rollup(mem, batches([]arrow.Record{good, later}, nil))
	assertError(t, err, "more than one day")
	_, err = Rollup(mem, batches([]arrow.Record{daily}, nil))
	assertError(t, err, "column service: missing")
}

func TestUsageSpan_IsTheFirstAndLastDayWithUsage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.UsageDaily {
			return data.UsageDaily{Day: data.Day(rapid.IntRange(20000, 20009).Draw(t, "day")), CustomerID: "c", Currency: "EUR", ChargeCategory: data.ChargeUsage,
				SubscriptionID: data.Optional(data.SubscriptionID(oneOf(t, "subscription", "", "a", "b", hostile))), UsageRows: int64(rapid.IntRange(0, 1).Draw(t, "rows"))}
		}), 0, 30).Draw(rt, "rows")
		want := map[data.SubscriptionID]data.Period{}
		for _, r := range rows {
			if r.SubscriptionID == nil || r.UsageRows == 0 {
				continue
			}
			p, found := want[*r.SubscriptionID]
			if !found {
				p = data.Period{From: r.Day, To: r.Day}
			}
			want[*r.SubscriptionID] = data.Period{From: min(p.From, r.Day), To: max(p.To, r.Day)}
		}
		records := split(rows, rapid.IntRange(1, 10).Draw(rt, "batch"), func(u []data.UsageDaily) arrow.Record { return dailyRecord(mem, u) })
		defer releaseAll(records)
		rec, err := UsageSpan(mem, batches(records, nil))
		if err != nil {
			rt.Fatal(err)
		}
		defer rec.Release()
		got, err := Spans(rec)
		if err != nil || !rec.Schema().Equal(UsageSpanSchema()) {
			rt.Fatalf("spans: %v of %v", err, rec.Schema())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("spans %v, want %v", got, want)
		}
		ids := make([]string, rec.NumRows())
		for i := range ids {
			ids[i] = rec.Column(0).ValueStr(i)
		}
		if !slices.IsSorted(ids) {
			rt.Fatalf("not in order of id: %q", ids)
		}
	})
}

func TestUsageSpan_RefusesBadInput(t *testing.T) {
	mem, done := checked(t)
	defer done()
	usage := usageRecord(mem, nil)
	defer usage.Release()
	_, err := UsageSpan(mem, batches([]arrow.Record{usage}, nil))
	assertError(t, err, "column usage_rows: missing")
	if _, err = UsageSpan(mem, batches(nil, errBroken)); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want that of the batches", err)
	}
	_, err = Spans(usage)
	assertError(t, err, "column first_usage: missing")
}

func TestSum_DoesNotDependOnOrderAndOnlyTheResultMustFit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *data.Decimal { return anyAmount(t, "value", true) }), 1, 60).Draw(rt, "values")
		var left, right Sum
		for i, v := range values {
			if v == nil {
				continue
			}
			if i%2 == 0 {
				left.Add(v.Arrow())
			} else {
				right.Add(v.Arrow())
			}
		}
		want, fits := plainSum(values)
		left.Merge(right)
		if left.Count() == 0 {
			return
		}
		got, err := left.Decimal("test")
		if fits != (err == nil) || err == nil && got.String() != want {
			rt.Fatalf("sum %s, %v; want %s, fits %v", got, err, want, fits)
		}
		if err == nil && left.Sign() != got.Sign() {
			rt.Fatalf("sign of %s is %d", got, left.Sign())
		}
	})
}
