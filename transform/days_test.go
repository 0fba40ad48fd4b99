package transform

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// daysByDefinition goes through all rows for every number.
func (w world) daysByDefinition(subscriptions []data.SubscriptionID, period data.Period, money bool) (lines []string) {
	o := &oracle{world: w}
	of := func(c data.CustomerID, d data.Day) (rows []data.UsageDaily) {
		for _, r := range w.daily {
			if r.CustomerID == c && r.Day == d && r.SubscriptionID != nil && slices.Contains(subscriptions, *r.SubscriptionID) && r.ChargeCategory == data.ChargeUsage && o.isKnown(d) {
				rows = append(rows, r)
			}
		}
		return rows
	}
	customers := []data.CustomerID{hostile, "c1", "c2", "c3", "c4", "c5", "c6"}
	slices.Sort(customers)
	for _, c := range customers {
		for d := range period.All() {
			services := map[string]bool{}
			for _, r := range of(c, d) {
				if r.UsageRows > 0 {
					services[string(*r.SubscriptionID)+"\x00"+r.Category] = true
				}
			}
			if len(services) > 0 {
				lines = append(lines, fmt.Sprintf("%q|%s|%d|null|null", string(c), d, len(services)))
			}
		}
	}
	for _, c := range customers {
		for d := range period.All() {
			for _, currency := range []string{"EUR", "JPY", "USD"} {
				var values []*data.Decimal
				for _, r := range of(c, d) {
					if r.Currency == currency && r.Cost != nil {
						values = append(values, r.Cost)
					}
				}
				if money && values != nil {
					text, _ := plainSum(values)
					lines = append(lines, fmt.Sprintf("%q|%s|null|%q|%s", string(c), d, currency, text))
				}
			}
		}
	}
	return lines
}

func TestCustomerDays_AgreeWithTheirDefinitionInAnyOrderAndSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyLongWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		in.NoMoney = rapid.Bool().Draw(rt, "no money")
		period := data.Period{From: w.period.From - data.Day(rapid.IntRange(0, 20).Draw(rt, "before")), To: w.period.To}
		wanted := map[data.SubscriptionID]bool{}
		var list []data.SubscriptionID
		for _, id := range []data.SubscriptionID{"s1", "s2", "s3", hostile} {
			if rapid.Bool().Draw(rt, "wanted") {
				wanted[id], list = true, append(list, id)
			}
		}
		got, err := CustomerDays(mem, in, wanted, period)
		if err != nil {
			rt.Fatal(err)
		}
		defer got.Release()
		if diff := cmp.Diff(w.daysByDefinition(list, period, !in.NoMoney), slices.Collect(slices.Values(lines(got)))); diff != "" {
			rt.Fatalf("days (-definition +got):\n%s", diff)
		}
	})
}
