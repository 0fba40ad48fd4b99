package reports

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/transform"
)

// usageRow is one row of usage_daily; a cost or quantity that is empty is not stated.
type usageRow struct {
	day                          data.Day
	customer, category, currency string
	cost, quantity               string
}

// names of the customers of drawn rows; c4 has none.
func rowNames() map[string]string {
	return map[string]string{"c1": "B", "c2": "A", "c3": "A", "c4": ""}
}

func drawRows(t *rapid.T) []usageRow {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) usageRow {
		amounts := []string{"", "1.5", "1.5", "-2", "0", "1000000.000000000000000001"}
		return usageRow{worldFrom + data.Day(rapid.IntRange(0, 13).Draw(t, "day")), rapid.SampledFrom([]string{"c1", "c2", "c3", "c4"}).Draw(t, "customer"),
			rapid.SampledFrom([]string{"", "SQL", "Storage"}).Draw(t, "category"), rapid.SampledFrom([]string{"EUR", "EUR", "USD"}).Draw(t, "currency"),
			rapid.SampledFrom(amounts).Draw(t, "cost"), rapid.SampledFrom(amounts).Draw(t, "quantity")}
	}), 0, 50).Draw(t, "rows")
}

// rowsPortfolio makes the records, with the details and the trend asked for, from
// the rows of the customers given. Days before known are not extracted.
func rowsPortfolio(t testing.TB, mem memory.Allocator, rows []usageRow, known data.Day, customers ...string) *Portfolio {
	t.Helper()
	var inventory, daily []map[string]any
	for _, id := range customers {
		c := map[string]any{"snapshot_date": data.Day(worldFrom).String(), "customer_id": id, "source": "tables"}
		if name := rowNames()[id]; name != "" {
			c["name"] = name
		}
		inventory = append(inventory, c)
	}
	for _, r := range rows {
		if !slices.Contains(customers, r.customer) {
			continue
		}
		row := map[string]any{"usage_date": r.day.String(), "customer_id": r.customer, "category": r.category, "unit": "GB", "currency": r.currency,
			"charge_category": "usage", "rows": 1, "usage_rows": 0, "cost_rows": 0, "usd_rows": 0, "services": 1}
		if r.cost != "" {
			row["cost"], row["cost_rows"] = r.cost, 1
		}
		if r.quantity != "" {
			row["quantity"] = r.quantity
			if r.quantity != "0" && r.quantity[0] != '-' {
				row["usage_rows"] = 1
			}
		}
		daily = append(daily, row)
	}
	last := data.Day(worldFrom + 13)
	p := &Portfolio{KnownAt: time.Date(2026, 11, 16, 2, 31, 7, 0, time.UTC), Seal: "seal", Versions: map[string]int64{"usage": 1}}
	p.Inputs = transform.Inputs{Period: data.Period{From: worldFrom + 7, To: last}, Watermark: &last, FirstSnapshot: new(data.Day(worldFrom)), Details: true,
		Daily: []arrow.Record{record(t, mem, data.UsageDailySchema(), daily)},
		Inventory: []transform.Snapshot{{Day: worldFrom, Customers: record(t, mem, data.CustomersSchema(), inventory),
			Subscriptions: record(t, mem, data.SubscriptionsSchema(), nil)}}}
	for d := known; d <= last; d++ {
		p.Inputs.Extracted = append(p.Inputs.Extracted, d)
	}
	var err error
	if p.Inputs.History, err = transform.History(mem, p.Inputs, func(yield func(arrow.Record, error) bool) { yield(p.Inputs.Daily[0], nil) }); err != nil {
		t.Fatal(err)
	}
	return p
}

func document(t testing.TB, mem memory.Allocator, p *Portfolio, scope Scope, money bool) *Document {
	t.Helper()
	doc, err := p.Document(mem, scope, money)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDetails_EveryKeyOfTheContract(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rows := []usageRow{{worldFrom, "c1", "Storage", "EUR", "10", "3"}, {worldFrom, "c2", "SQL", "EUR", "4", "1"}, {worldFrom + 8, "c2", "Storage", "EUR", "5.5", "2"}}
	p := rowsPortfolio(t, mem, rows, worldFrom, "c1", "c2")
	defer p.Release()
	const moved = " change difference previous value"
	for _, money := range []bool{true, false} {
		want := map[string]string{
			"":                  "categories_lost categories_new compared quantities trend",
			"compared":          "days previous_days reason",
			"quantities[]":      "category change previous reason unit value",
			"categories_new[]":  "category customer_id name",
			"categories_lost[]": "category customer_id name",
			"trend[]":           "complete customers_with_usage known_days period reason subscriptions_with_usage",
			"period":            "from to",
		}
		if money {
			want[""] += " cost_by_day_category cost_by_day_customer fell grew"
			want["cost_by_day_category[]"] = "category currency date reason value"
			want["cost_by_day_customer[]"] = "currency customer_id date name reason value"
			want["grew[]"] = "category currency customer_id name rank" + moved
			want["fell[]"], want["category"] = want["grew[]"], "name"+moved
			want["trend[]"] += " cost"
			want["cost[]"] = "category currency value"
		}
		doc := document(t, mem, p, Everyone(), money)
		text := asJSON(t, doc.Details)
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		checkKeys(t, "", v, want)
		for _, word := range []string{`"cost`, `"currency"`, "EUR", `"5.50"`} {
			if strings.Contains(text, word) != money {
				t.Errorf("money %v: %s in %s", money, word, text)
			}
		}
		if !strings.Contains(asJSON(t, doc), `"details":{"compared":{"days":7,"previous_days":7,"reason":null}`) {
			t.Errorf("no details in the document")
		}
		for _, part := range []string{
			`"quantities":[{"category":"SQL","unit":"GB","value":"0.00","previous":"1.00","change":-1,"reason":null},{"category":"Storage","unit":"GB","value":"2.00","previous":"3.00","change":-0.3333,"reason":null}]`,
			`"categories_new":[{"customer_id":"c2","name":"A","category":"Storage"}]`,
			`"categories_lost":[{"customer_id":null,"name":null,"category":"SQL"},{"customer_id":"c1","name":"B","category":"Storage"},{"customer_id":"c2","name":"A","category":"SQL"}]`,
		} {
			if !strings.Contains(text, part) {
				t.Errorf("%s is not in %s", part, text)
			}
		}
		if part := `"grew":[{"currency":"EUR","rank":1,"customer_id":"c2","name":"A","value":"5.50","previous":"4.00","difference":"1.50","change":0.375,` +
			`"category":{"name":"Storage","value":"5.50","previous":"0.00","difference":"5.50","change":null}}]`; money != strings.Contains(text, part) {
			t.Errorf("money %v: %s in %s", money, part, text)
		}
	}
	p.Inputs.Details = false
	if text := asJSON(t, document(t, mem, p, Everyone(), true)); strings.Contains(text, "details") {
		t.Errorf("details that nobody asked for: %s", text)
	}
}

func TestDetails_WithNothingToCompareSayWhyAndCallNothingNew(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	p := rowsPortfolio(t, mem, []usageRow{{worldFrom + 8, "c1", "Storage", "EUR", "10", "3"}}, worldFrom+7, "c1")
	defer p.Release()
	doc := document(t, mem, p, Everyone(), true)
	text := asJSON(t, doc.Details)
	since := data.Day(worldFrom + 7).String()
	for _, part := range []string{`"compared":{"days":7,"previous_days":0,"reason":"not_observed_before: ` + since + `"}`, `"grew":null,"fell":null`,
		`"categories_new":null,"categories_lost":null`, `"value":"3.00","previous":null,"change":null,"reason":"not_observed_before: ` + since + `"`,
		`"known_days":0,"complete":false,"customers_with_usage":null,"subscriptions_with_usage":null,"cost":null,"reason":"not_observed_before: ` + since + `"`} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	var rows []string
	for _, f := range doc.Figures() {
		if slices.Contains([]string{"grew", "fell", "categories_new", "categories_lost"}, f.Metric) {
			rows = append(rows, strings.Join(f.fields(), ","))
		}
	}
	var want []string
	for _, metric := range []string{"grew", "fell", "categories_new", "categories_lost"} {
		want = append(want, metric+",,,,,,,,,,,,not_observed_before: "+since)
	}
	if diff := gocmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestDetails_OfAScopeAreThoseOfItsCustomersAlone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		rows, money := drawRows(rt), rapid.Bool().Draw(rt, "money")
		known := worldFrom + data.Day(rapid.IntRange(0, 8).Draw(rt, "known from"))
		all := rowsPortfolio(t, mem, rows, known, "c1", "c2", "c3", "c4")
		defer all.Release()
		own := rowsPortfolio(t, mem, rows, known, "c2", "c4")
		defer own.Release()
		scoped, alone := document(t, mem, all, Only("c2", "c4"), money), document(t, mem, own, Everyone(), money)
		if diff := gocmp.Diff(asJSON(t, alone), asJSON(t, scoped)); diff != "" {
			rt.Fatalf("document (-alone +scoped):\n%s", diff)
		}
		rowsOf := map[string]int{}
		for _, f := range scoped.Figures() {
			rowsOf[f.Metric]++
		}
		if d := scoped.Details; money && d.Compared.Reason == nil && (rowsOf["grew"] != len(d.Grew) || rowsOf["fell"] != len(d.Fell)) {
			rt.Fatalf("%d and %d rows, want %d and %d", rowsOf["grew"], rowsOf["fell"], len(d.Grew), len(d.Fell))
		}
		for _, by := range []GroupKey{ByCustomer, ByCategory, ByCurrency} {
			groups := scoped.GroupBy(by)
			if diff := gocmp.Diff(asJSON(t, alone.GroupBy(by)), asJSON(t, groups)); diff != "" {
				rt.Fatalf("by %s (-alone +scoped):\n%s", by, diff)
			}
			if !money && len(groups.Groups) > 0 {
				rt.Fatalf("by %s without money: %v", by, groups.Groups)
			}
		}
	})
}

func TestGroupBy_AddsUpToTheCostOfEachCurrencyInOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		rows := drawRows(rt)
		known := worldFrom + data.Day(rapid.IntRange(0, 8).Draw(rt, "known from"))
		p := rowsPortfolio(t, mem, rows, known, "c1", "c2", "c3", "c4")
		defer p.Release()
		doc := document(t, mem, p, Everyone(), true)
		for _, by := range []GroupKey{ByCustomer, ByCategory, ByCurrency} {
			groups := doc.GroupBy(by).Groups
			for _, side := range []func(Cost) *data.Decimal{func(c Cost) *data.Decimal { return c.Value }, func(c Cost) *data.Decimal { return c.Previous }} {
				if diff := gocmp.Diff(sumsOf(rt, doc.Cost, side), sumsOfGroups(rt, groups, side)); diff != "" {
					rt.Fatalf("by %s (-cost +groups):\n%s", by, diff)
				}
			}
			for i, g := range groups {
				if (g.Reason == nil) != (g.Value != nil && g.Previous != nil) {
					rt.Fatalf("by %s: value %v, previous %v, reason %v", by, g.Value, g.Previous, g.Reason)
				}
				if compared := doc.Background.Compared; g.Value != nil && compared.Reason != nil && *g.Reason != *compared.Reason {
					rt.Fatalf("by %s: reason %s, want %s", by, *g.Reason, *compared.Reason)
				}
				if i > 0 && !inOrder(by, groups[i-1], g) {
					rt.Fatalf("by %s: %s before %s", by, asJSON(t, groups[i-1]), asJSON(t, g))
				}
			}
		}
	})
}

// sumsOf adds one side up by currency; a sum of 0 is left out.
func sumsOf(t *rapid.T, costs []Cost, side func(Cost) *data.Decimal) map[string]data.Decimal {
	out := map[string]data.Decimal{}
	for _, c := range costs {
		if v := side(c); v != nil {
			sum, ok := out[c.Currency].Add(*v)
			if !ok {
				t.Fatalf("%s and %s do not fit", out[c.Currency], v)
			}
			out[c.Currency] = sum
		}
	}
	for currency, sum := range out {
		if sum.IsZero() {
			delete(out, currency)
		}
	}
	return out
}

func sumsOfGroups(t *rapid.T, groups []Group, side func(Cost) *data.Decimal) map[string]data.Decimal {
	var costs []Cost
	for _, g := range groups {
		costs = append(costs, g.Cost)
	}
	return sumsOf(t, costs, side)
}

// inOrder says by the definition whether a may stand before b.
func inOrder(by GroupKey, a, b Group) bool {
	label := func(g Group) string {
		switch by {
		case ByCategory:
			return *g.Category
		case ByCurrency:
			return g.Currency
		}
		name := rowNames()[string(*g.CustomerID)]
		if string(*g.Name) != name {
			return "another name"
		}
		return cmp.Or(name, string(*g.CustomerID)) + "\x00" + string(*g.CustomerID)
	}
	switch {
	case a.Currency != b.Currency:
		return a.Currency < b.Currency
	case a.Value == nil || b.Value == nil:
		return b.Value == nil && (a.Value != nil || label(a) < label(b))
	case *a.Value != *b.Value:
		return a.Value.Cmp(*b.Value) > 0
	}
	return label(a) < label(b)
}

func TestGroupBy_KeysOfTheContract(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rows := []usageRow{{worldFrom, "c1", "Storage", "EUR", "10", "3"}, {worldFrom + 8, "c4", "", "EUR", "5", "2"}, {worldFrom + 8, "c1", "Storage", "EUR", "", ""}}
	p := rowsPortfolio(t, mem, rows, worldFrom, "c1", "c4")
	defer p.Release()
	doc := document(t, mem, p, Everyone(), true)
	for by, want := range map[GroupKey]string{
		ByCustomer: `[{"customer_id":"c4","name":null,"currency":"EUR","value":"5.00","previous":"0.00","change":null,"reason":null},` +
			`{"customer_id":"c1","name":"B","currency":"EUR","value":null,"previous":"10.00","change":null,"reason":"not_stated"}]`,
		ByCategory: `[{"category":"","currency":"EUR","value":"5.00","previous":"0.00","change":null,"reason":null},` +
			`{"category":"Storage","currency":"EUR","value":null,"previous":"10.00","change":null,"reason":"not_stated"}]`,
		ByCurrency: `[{"currency":"EUR","value":"5.00","previous":"10.00","change":-0.5,"reason":null}]`,
	} {
		text := asJSON(t, doc.GroupBy(by))
		if !strings.Contains(text, fmt.Sprintf(`"group_by":%q,"groups":%s}`, by, want)) || !strings.HasPrefix(text, `{"period":{"from":`) {
			t.Errorf("by %s: %s, want %s", by, text, want)
		}
	}
}
