package transform

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// trendByDefinition goes through all rows for every number.
func (w world) trendByDefinition(periods []data.Period) (trend, costs []string) {
	o := &oracle{world: w}
	for _, p := range periods {
		days := o.knownIn(p)
		line := fmt.Sprintf("%s|%s|%d|", p.From, p.To, len(days))
		if len(days) == 0 {
			trend = append(trend, line+"null|null")
			continue
		}
		customers, subscriptions := map[string]bool{}, map[string]bool{}
		sums := map[[2]string][]*data.Decimal{}
		for _, r := range w.daily {
			if !slices.Contains(days, r.Day) {
				continue
			}
			if r.UsageRows > 0 {
				customers[string(r.CustomerID)] = true
				if r.SubscriptionID != nil {
					subscriptions[string(r.CustomerID)+"\x00"+string(*r.SubscriptionID)] = true
				}
			}
			if isCost(r) && r.Cost != nil {
				all, one := [2]string{"null", r.Currency}, [2]string{fmt.Sprintf("%q", r.Category), r.Currency}
				sums[all], sums[one] = append(sums[all], r.Cost), append(sums[one], r.Cost)
			}
		}
		trend = append(trend, line+fmt.Sprintf("%d|%d", len(customers), len(subscriptions)))
		for _, category := range []string{"null", `""`, `"SQL"`, `"Storage"`} {
			for _, currency := range []string{"EUR", "JPY", "USD"} {
				if values := sums[[2]string{category, currency}]; values != nil {
					text, _ := plainSum(values)
					costs = append(costs, fmt.Sprintf("%s|%s|%q|%s", p.From, category, currency, text))
				}
			}
		}
	}
	return trend, costs
}

// anyLongWorld has usage in all the periods of a trend.
func anyLongWorld(t *rapid.T) world {
	w := world{period: oneOf(t, "period", mustPeriod("2026-11-06..2026-11-06"), mustPeriod("2026-W46"), mustPeriod("2026-03"))}
	from, to := (Inputs{Period: w.period}).Trend()[0].From-3, w.period.To+3
	for d := from; d <= to; d++ {
		if d == w.period.To || rapid.IntRange(0, 9).Draw(t, "known") > 0 {
			w.extracted = append(w.extracted, d)
		}
	}
	w.watermark = new(w.period.To)
	w.daily = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.UsageDaily { return anyDaily(t, from, to, false, true) }), 0, 80).Draw(t, "daily")
	for i := range w.daily {
		if c := w.daily[i].Cost; c != nil && c.Float64() > 1e18 {
			w.daily[i].Cost = dec("7.125") // overflow has a test of its own
		} else if c != nil && c.Float64() < -1e18 {
			w.daily[i].Cost = dec("-8")
		}
	}
	return w
}

// shuffledInputs are the inputs of a world, its rows in any order and split anyhow.
func (w world) shuffledInputs(t *rapid.T, mem memory.Allocator) (Inputs, func()) {
	w.daily = rapid.Permutation(w.daily).Draw(t, "order")
	return w.inputs(mem, rapid.IntRange(1, 81).Draw(t, "batch"))
}

func TestTrend_AgreesWithItsDefinitionInAnyScopeOrderAndSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyLongWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		var err error
		if in.History, err = History(mem, in, batches(in.Daily, nil)); err != nil {
			rt.Fatal(err)
		}
		defer in.History.Release()
		scope := map[data.CustomerID]bool{}
		for _, id := range []data.CustomerID{"c1", "c2", "c3", hostile} {
			scope[id] = rapid.Bool().Draw(rt, "in scope")
		}
		filtered, free, err := filterInputs(mem, in, scope)
		if err != nil {
			rt.Fatal(err)
		}
		defer free()
		w.daily = slices.DeleteFunc(slices.Clone(w.daily), func(r data.UsageDaily) bool { return !scope[r.CustomerID] })
		assertNoTrace(rt, Inputs{Daily: []arrow.Record{filtered.History}}, w)
		tables, err := Metrics(mem, filtered)
		if err != nil {
			rt.Fatal(err)
		}
		defer tables.Release()
		trend, costs := w.trendByDefinition(in.Trend())
		if diff := cmp.Diff(trend, lines(tables.Trend)); diff != "" {
			rt.Fatalf("trend (-definition +got):\n%s", diff)
		}
		if diff := cmp.Diff(costs, slices.Collect(slices.Values(lines(tables.TrendCost)))); diff != "" {
			rt.Fatalf("cost (-definition +got):\n%s", diff)
		}
		bare, freeBare := InputsWithoutMoney(filtered)
		defer freeBare()
		poor, err := Metrics(mem, bare)
		if err != nil {
			rt.Fatal(err)
		}
		defer poor.Release()
		if diff := cmp.Diff(trend, lines(poor.Trend)); diff != "" || poor.TrendCost != nil || bare.History.Schema().HasField("cost") {
			rt.Fatalf("without money (-definition +got), cost %v:\n%s", poor.TrendCost, diff)
		}
	})
}

func TestHistory_ErrorsNameWhatIsWrong(t *testing.T) {
	mem, done := checked(t)
	defer done()
	in := Inputs{Period: mustPeriod("2026-W46"), Watermark: new(mustPeriod("2026-W46").To), Extracted: []data.Day{mustPeriod("2026-W46").From}}
	most := dec("99999999999999999999")
	rec := dailyRecord(mem, []data.UsageDaily{
		{Day: in.Extracted[0], CustomerID: "c1", Currency: "EUR", Cost: most},
		{Day: in.Extracted[0], CustomerID: "c1", Currency: "EUR", Cost: most},
	})
	defer rec.Release()
	if _, err := History(mem, in, batches([]arrow.Record{rec}, nil)); !errors.Is(err, data.ErrOverflow) {
		t.Errorf("a sum that does not fit: %v", err)
	}
	broken := errors.New("broken")
	if _, err := History(mem, in, batches(nil, broken)); !errors.Is(err, broken) {
		t.Errorf("a batch that cannot be read: %v", err)
	}
}
