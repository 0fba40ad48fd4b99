package reports

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// world is a small portfolio in plain values, from which the records are made.
type world struct {
	customers []worldCustomer
}

type worldCustomer struct {
	id, name, owner string
	factor          int64 // all costs are multiplied by it
	subscriptions   []worldSubscription
}

type worldSubscription struct {
	id, name, status string
	category         string
	days             []bool // with usage, over both periods
	cost             int64  // cents a day
	score            int    // percent; negative: dormant
}

const worldFrom = 20754 // 2026-10-28, fourteen days

func drawWorld(t *rapid.T) world {
	var w world
	for i := range rapid.IntRange(2, 5).Draw(t, "customers") {
		c := worldCustomer{id: fmt.Sprintf("cust-%d-q", i), name: fmt.Sprintf("Klant%dQ", i), factor: 1,
			owner: rapid.SampledFrom([]string{"anna", "bram"}).Draw(t, "owner") + "@partner.example"}
		for j := range rapid.IntRange(1, 3).Draw(t, "subscriptions") {
			c.subscriptions = append(c.subscriptions, worldSubscription{
				id: fmt.Sprintf("sub-%d-%d-q", i, j), name: fmt.Sprintf("Abo%d%dQ", i, j),
				status:   rapid.SampledFrom([]string{"active", "active", "suspended"}).Draw(t, "status"),
				category: rapid.SampledFrom([]string{"Storage", "Virtual Machines"}).Draw(t, "category"),
				days:     rapid.SliceOfN(rapid.Bool(), 14, 14).Draw(t, "days"),
				cost:     rapid.Int64Range(1, 999999).Draw(t, "cost"), score: rapid.IntRange(-1, 99).Draw(t, "score")})
		}
		w.customers = append(w.customers, c)
	}
	return w
}

// record makes a record of rows given as JSON objects.
func record(t testing.TB, mem memory.Allocator, schema *arrow.Schema, rows []map[string]any) arrow.Record {
	t.Helper()
	if rows == nil {
		rows = []map[string]any{}
	}
	b, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := array.RecordFromJSON(mem, schema, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// portfolio makes the records. The caller must Release it.
func (w world) portfolio(t testing.TB, mem memory.Allocator) *Portfolio {
	t.Helper()
	iso := func(d data.Day) string { return d.String() }
	last := data.Day(worldFrom + 13)
	var customers, subscriptions, daily, scores, costs []map[string]any
	for _, c := range w.customers {
		customers = append(customers, map[string]any{"snapshot_date": iso(worldFrom), "customer_id": c.id, "name": c.name, "phone": "010 555 01 23", "source": "tables"})
		for _, s := range c.subscriptions {
			ended := any(nil)
			if s.status == "suspended" {
				ended = iso(last - 2)
			}
			subscriptions = append(subscriptions, map[string]any{"snapshot_date": iso(worldFrom), "subscription_id": s.id, "customer_id": c.id,
				"name": s.name, "status": s.status, "created": "2026-01-02", "ended_at": ended})
			amount := data.Money{Amount: dec(t, fmt.Sprintf("%d.%02d", s.cost*c.factor/100, s.cost*c.factor%100))}
			for i, used := range s.days {
				if used {
					daily = append(daily, map[string]any{"usage_date": iso(worldFrom + data.Day(i)), "customer_id": c.id, "subscription_id": s.id,
						"category": s.category, "unit": "hours", "currency": "EUR", "charge_category": "usage", "cost": amount.Amount.String(),
						"effective_cost": amount.Amount.String(), "quantity": "3.5", "rows": 1, "usage_rows": 1, "cost_rows": 1, "usd_rows": 0, "services": 1})
				}
			}
			score := map[string]any{"subscription_id": s.id, "customer_id": c.id, "state": "dormant", "origin": iso(last), "horizon_days": 28,
				"calibrated": false, "model": "rules-1", "idle_days": 30, "reasons": "[]", "flags": "[]", "quiet": false}
			if s.score >= 0 {
				band := churn.BandLow
				if s.score > 50 {
					band = churn.BandHigh
				}
				score["state"], score["score"], score["band"] = "scored", float64(s.score)/100, band
				score["reasons"] = `[{"code":"stop","since":"2026-11-05","usual":56},{"code":"size"}]`
				score["why_now"], score["flags"], score["base_rate"] = `{"group":"stop","code":"stop","before":0.01}`, `[{"code":"renewal","on":"2026-12-01","days":20}]`, .02
			}
			scores = append(scores, score)
			costs = append(costs, map[string]any{"subscription_id": s.id, "currency": "EUR", "monthly_cost": amount.Amount.String()})
		}
	}
	p := &Portfolio{KnownAt: time.Date(2026, 11, 16, 2, 31, 7, 0, time.UTC), Seal: "seal", Versions: map[string]int64{"usage": 1},
		Scores: record(t, mem, churn.Schema(), scores), PreviousScores: record(t, mem, churn.Schema(), scores),
		MonthlyCost: record(t, mem, churn.MonthlyCostSchema(), costs)}
	for _, c := range w.customers {
		p.Freshness.Failed = append(p.Freshness.Failed, FailedCustomer{ID: data.CustomerID(c.id), Name: c.name, Reason: "403"})
	}
	p.Inputs = transform.Inputs{Period: data.Period{From: worldFrom + 7, To: last}, Watermark: &last, FirstSnapshot: new(data.Day(worldFrom)),
		Daily: []arrow.Record{record(t, mem, data.UsageDailySchema(), daily)},
		Inventory: []transform.Snapshot{{Day: worldFrom, Customers: record(t, mem, data.CustomersSchema(), customers),
			Subscriptions: record(t, mem, data.SubscriptionsSchema(), subscriptions)}}}
	for i := range 14 {
		p.Inputs.Extracted = append(p.Inputs.Extracted, worldFrom+data.Day(i))
	}
	return p
}

func (w world) ownership() *Ownership {
	o := &Ownership{owners: map[data.CustomerID][]string{}}
	for _, c := range w.customers {
		o.add(c.id, c.owner)
	}
	return o
}

// report makes the report of one recipient from the records to the last byte.
func (w world) report(t testing.TB, role Role, scope Scope, address string) Rendered {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	p := w.portfolio(t, mem)
	defer p.Release()
	doc, err := p.Document(mem, scope, role.Policy().ShowMoney)
	if err != nil {
		t.Fatal(err)
	}
	_, r := renderLight(t, BuildInput{Document: doc, Role: role, Recipient: Recipient{Address: address, Role: role, Locale: "nl"},
		Partner: Partner{Name: "Polder Cloud"}, Ownership: w.ownership(), Agents: []Recipient{{Address: "anna@partner.example"}}})
	return r
}

// all is a report as one text.
func (r Rendered) all() string {
	return strings.Join([]string{r.Subject, r.HTML, r.Text, string(r.CSV), string(r.Page)}, "\n")
}

func TestScope_AnAgentsMailKnowsNothingOfOthers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		anna := "anna@partner.example"
		mail := w.report(t, SalesAgent, w.ownership().Scope(anna), anna)
		text := mail.all()
		for _, c := range w.customers {
			words := []string{c.id, c.name}
			for _, s := range c.subscriptions {
				words = append(words, s.id, s.name)
			}
			for i, word := range words {
				found := strings.Contains(text, word)
				if c.owner != anna && found {
					rt.Fatalf("%q of another agent's customer is in the mail", word)
				}
				if c.owner == anna && !found && i != 0 {
					rt.Fatalf("%q of an own customer is in no part of the mail", word)
				}
			}
		}

		// Whatever happens to the others changes not a byte.
		changed := world{}
		for _, c := range w.customers {
			if c.owner == anna {
				changed.customers = append(changed.customers, c)
				continue
			}
			if rapid.Bool().Draw(rt, "gone") {
				continue
			}
			c.name, c.factor = "Vreemd", 7
			c.subscriptions = slices.Clone(c.subscriptions)
			for i := range c.subscriptions {
				c.subscriptions[i].score, c.subscriptions[i].days = 99, make([]bool, 14)
				c.subscriptions[i].category = "Foreign"
			}
			changed.customers = append(changed.customers, c)
		}
		if again := changed.report(t, SalesAgent, w.ownership().Scope(anna), anna).all(); again != text {
			rt.Fatalf("other customers' data changed the mail")
		}
	})
}

func TestUserAdmin_CostsDoNotChangeAByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		before := w.report(t, UserAdmin, Everyone(), "u@partner.example").all()
		for i := range w.customers {
			w.customers[i].factor = rapid.Int64Range(0, 1000).Draw(rt, "factor")
		}
		if after := w.report(t, UserAdmin, Everyone(), "u@partner.example").all(); after != before {
			rt.Fatalf("other costs changed the mail without money")
		}
	})
}

func TestDocument_EveryKeyOfTheContract(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	days := []bool{true, true, true, true, true, true, true, true, true, true, true, false, false, false}
	unused := make([]bool, 14)
	w := world{customers: []worldCustomer{{id: "c1", name: "Noordzee", factor: 1, owner: "a@b.example", subscriptions: []worldSubscription{
		{id: "s1", name: "prod", status: "active", category: "Storage", days: days, cost: 12000, score: 81},
		{id: "s2", name: "test", status: "active", category: "Storage", days: unused, cost: 100, score: -1}}}}}
	p := w.portfolio(t, mem)
	defer p.Release()
	const counts = "change previous reason value"
	costKeys := map[string]string{"cost[]": "change currency previous value", "cost_by_category[]": "category change currency previous value",
		"cost_by_day[]": "currency date value", "monthly_cost[]": "currency value", "expected_loss[]": "currency value"}
	for _, money := range []bool{true, false} {
		doc, err := p.Document(mem, Everyone(), money)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"": "at_risk churn_by_date complete counts customers_with_usage customers_without_usage known_at known_days new_customers period " +
				"previous previous_known_days subscriptions_renewed subscriptions_sold subscriptions_without_usage top_customers versions watermark",
			"period": "from to", "previous": "from to", "counts": "active_at_end at_risk_high deprovisioned subscriptions_without_usage", "versions": "usage",
			"at_risk[]":                     "band base_rate calibrated customer_id flags horizon_days model name origin reasons score state subscription_id why_now",
			"reasons[]":                     "code text",
			"flags[]":                       "code text",
			"why_now":                       "before code",
			"top_customers[]":               "category customer_id name previous quantity rank unit",
			"subscriptions_without_usage[]": "created customer_id days_idle last_usage name status subscription_id",
			"churn_by_date[]":               "active date deprovisioned",
		}
		for _, c := range []string{"subscriptions_sold", "customers_with_usage", "customers_without_usage", "new_customers", "subscriptions_renewed",
			"at_risk_high", "subscriptions_without_usage", "active_at_end", "deprovisioned"} {
			want[c] = counts
		}
		if money {
			want[""] += " cost cost_by_category cost_by_day"
			want["at_risk[]"] += " expected_loss monthly_cost"
			want["top_customers[]"] += " cost currency"
			for k, v := range costKeys {
				want[k] = v
			}
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		checkKeys(t, "", v, want)
		if money != strings.Contains(string(b), `"cost`) || money != strings.Contains(string(b), `"size"`) || strings.Contains(string(b), `"text":""`) {
			t.Errorf("money %v: %s", money, b)
		}
		for _, part := range []string{`"known_at":"2026-11-16T02:31:07Z"`, `"score":0.81,"band":"High"`, `"text":"Ran every day for 8 weeks; nothing since 5 Nov"`,
			`"subscriptions_without_usage":[{"subscription_id":"s2"`} {
			if !strings.Contains(string(b), part) {
				t.Errorf("%s is not in %s", part, b)
			}
		}
		if want := `"expected_loss":[{"currency":"EUR","value":"97.20"}]`; money != strings.Contains(string(b), want) {
			t.Errorf("money %v, %s in %s", money, want, b)
		}
	}
}

// checkKeys compares the keys of every object with those wanted at its path.
func checkKeys(t *testing.T, path string, v any, want map[string]string) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			checkKeys(t, path+"[]", e, want)
		}
	case map[string]any:
		var keys []string
		for k, e := range v {
			keys = append(keys, k)
			checkKeys(t, k, e, want)
		}
		slices.Sort(keys)
		expected := strings.Fields(want[path])
		slices.Sort(expected)
		if !slices.Equal(keys, expected) {
			t.Errorf("%q has the keys %v, want %v", path, keys, expected)
		}
	}
}

func TestDocument_RiskOrder(t *testing.T) {
	score := func(id string, state churn.State, s float64, idle int) AtRisk {
		a := AtRisk{SubscriptionID: data.SubscriptionID(id), State: state}
		if state == churn.StateScored {
			a.Score = &s
		}
		if idle >= 0 {
			a.IdleDays = &idle
		}
		return a
	}
	list := []AtRisk{
		score("h", churn.StateEnded, 0, 90), score("g", churn.StateNew, 0, 0), score("f", churn.StateDormant, 0, 29), score("e", churn.StateDormant, 0, 41),
		score("d", churn.StateDormant, 0, -1), score("c", churn.StateScored, .1, 1), score("b", churn.StateScored, .9, 1), score("a", churn.StateScored, .1, 1),
	}
	slices.SortFunc(list, compareRisk)
	got := ""
	for _, a := range list {
		got += string(a.SubscriptionID)
	}
	if want := "bacdefgh"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}

func TestDocument_DamagedColumnsAreErrors(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	rapidFree := world{customers: []worldCustomer{{id: "c1", name: "N", factor: 1, subscriptions: []worldSubscription{{id: "s1", status: "active", category: "x", days: make([]bool, 14), score: 3}}}}}
	for name, damage := range map[string]func(*Portfolio) arrow.Record{
		"a missing column": func(p *Portfolio) arrow.Record {
			return array.NewRecord(arrow.NewSchema(p.Scores.Schema().Fields()[1:], nil), p.Scores.Columns()[1:], 1)
		},
		"a column of another type": func(p *Portfolio) arrow.Record {
			fields := slices.Clone(p.Scores.Schema().Fields())
			columns := slices.Clone(p.Scores.Columns())
			fields[3].Type, columns[3] = columns[6].DataType(), columns[6]
			return array.NewRecord(arrow.NewSchema(fields, nil), columns, 1)
		},
	} {
		p := rapidFree.portfolio(t, mem)
		damaged := damage(p)
		p.Scores.Release()
		p.Scores = damaged
		if _, err := p.Document(mem, Everyone(), true); err == nil || !strings.Contains(err.Error(), "read scores: column ") {
			t.Errorf("%s: error %v, want one that names table and column", name, err)
		}
		p.Release()
	}
}
