package churn

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

const monday = data.Day(20780) // 2026-11-23

// use is one usage_daily row of a test.
type use struct {
	day      data.Day
	sub      string
	category string
	cost     float64
}

// pattern of use: what a subscription costs on a day, 0 for none.
type habit func(day int) float64 // days before the last one

func daysUpTo(on data.Day, n int) []data.Day {
	var out []data.Day
	for d := on - data.Day(n) + 1; d <= on; d++ {
		out = append(out, d)
	}
	return out
}

// historyOf reads uses through Arrow, as from an archive.
func historyOf(t testing.TB, known []data.Day, uses []use) *History {
	t.Helper()
	rec := dailyRecord(memory.DefaultAllocator, uses)
	defer rec.Release()
	h, err := ReadHistory(known, func(yield func(arrow.Record, error) bool) { yield(rec, nil) })
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func dailyRecord(mem memory.Allocator, uses []use) arrow.Record {
	return dailyRecordIn(mem, "EUR", uses)
}

func dailyRecordIn(mem memory.Allocator, currency string, uses []use) arrow.Record {
	b := array.NewRecordBuilder(mem, data.UsageDailySchema())
	defer b.Release()
	for _, u := range uses {
		for i, f := range b.Schema().Fields() {
			switch f.Name {
			case "usage_date":
				b.Field(i).(*array.Date32Builder).Append(arrow.Date32(u.day))
			case "subscription_id":
				appendText(b.Field(i), u.sub)
			case "customer_id":
				appendText(b.Field(i), "customer of "+u.sub)
			case "category":
				appendText(b.Field(i), u.category)
			case "currency":
				appendText(b.Field(i), currency)
			case "charge_category":
				appendText(b.Field(i), string(data.ChargeUsage))
			case "cost":
				b.Field(i).(*array.Decimal128Builder).Append(amount(u.cost).Arrow())
			case "usage_rows", "rows":
				b.Field(i).(*array.Int64Builder).Append(1)
			default:
				if f.Nullable {
					b.Field(i).AppendNull()
				} else {
					b.Field(i).AppendEmptyValue()
				}
			}
		}
	}
	return b.NewRecord()
}

func appendText(b array.Builder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	if err := b.(*array.BinaryDictionaryBuilder).AppendString(s); err != nil {
		panic(err)
	}
}

// row is one row of an assessment.
type row struct {
	ID      string
	State   State
	Score   float64
	Band    Band
	Reasons string
	Logit   float64 // of the score before it is bounded and rounded
}

func assess(t testing.TB, m *Model, in Inputs) map[string]row {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	rec, err := m.Assess(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]row{}
	text := func(name string, i int) string {
		return rec.Column(rec.Schema().FieldIndices(name)[0]).ValueStr(i)
	}
	for i := range int(rec.NumRows()) {
		r := row{ID: text("subscription_id", i), State: State(text("state", i)), Reasons: text("reasons", i)}
		if r.State == StateScored {
			r.Score = rec.Column(3).(*array.Float64).Value(i)
			r.Band = Band(text("band", i))
			r.Logit = rec.Column(rec.Schema().FieldIndices("logit")[0]).(*array.Float64).Value(i)
		}
		out[r.ID] = r
	}
	rec.Release()
	mem.AssertSize(t, 0)
	return out
}

const toyDays = 200

// toyPortfolio is 400 subscriptions of a partner without any churn, most of them always on,
// beside those of a test. Day counts are days before the last.
func toyPortfolio(t testing.TB, probes map[string]habit) *History {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	habits := map[string]habit{}
	for i := range 400 {
		size := math.Exp(random.NormFloat64()*1.2 + 3)
		noise := random.Uint64()
		weekdays := i%8 == 0
		habits[fmt.Sprintf("toy%03d", i)] = func(d int) float64 {
			if weekdays && (monday-data.Day(d)-4)%7 >= 5 {
				return 0
			}
			r := rand.New(rand.NewPCG(noise, uint64(d)))
			if i%16 == 1 && r.Float64() < .93 {
				return 0 // used now and then
			}
			return size * (1 + .1*r.NormFloat64())
		}
	}
	for name, h := range probes {
		habits[name] = h
	}
	return historyOf(t, daysUpTo(monday, toyDays), usesOf(habits, 0))
}

// usesOf is what subscriptions with habits use on the days up to some days before the last.
func usesOf(habits map[string]habit, until int) []use {
	var uses []use
	for d := toyDays - 1; d >= until; d-- {
		for _, name := range slices.Sorted(maps.Keys(habits)) {
			if c := habits[name](d); c > 0 {
				for k := range 3 {
					uses = append(uses, use{monday - data.Day(d), name, fmt.Sprintf("service %d", k), c / 3})
				}
			}
		}
	}
	return uses
}

// TestToy_BehavesAsAnAgentWouldExpect checks what no public history can: accounts that are
// always on. The percentages that docs/churn.md shows are these.
func TestToy_BehavesAsAnAgentWouldExpect(t *testing.T) {
	const usual = 20.0
	probes := map[string]habit{}
	silences := []int{0, 1, 2, 3, 5, 7, 10, 14, 21}
	for _, n := range silences {
		probes[fmt.Sprintf("silent %02d", n)] = func(d int) float64 {
			if d < n {
				return 0
			}
			return usual
		}
	}
	cuts := []float64{3, 1, .9, .7, .5, .3, .1}
	for _, f := range cuts {
		probes[fmt.Sprintf("cost x%v", f)] = func(d int) float64 {
			if d < 28 {
				return f * usual
			}
			return usual
		}
	}
	for _, n := range []int{7, 14, 28, 60} {
		probes[fmt.Sprintf("new %02d", n)] = func(d int) float64 {
			if d < n {
				return usual
			}
			return 0
		}
	}
	h := toyPortfolio(t, probes)
	m, err := Prior(DefaultHorizon)
	if err != nil {
		t.Fatal(err)
	}
	got := assess(t, m, Inputs{On: monday, History: h})
	var all []float64
	for _, r := range got {
		all = append(all, r.Score)
	}
	slices.Sort(all)
	rank := func(name string) float64 {
		at, _ := slices.BinarySearch(all, got[name].Score)
		return 1 - float64(at)/float64(len(all))
	}
	rising := func(what string, names []string) {
		for i := 1; i < len(names); i++ {
			if got[names[i]].Score < got[names[i-1]].Score {
				t.Errorf("%s: %s has %.4f, %s has %.4f", what, names[i-1], got[names[i-1]].Score, names[i], got[names[i]].Score)
			}
		}
	}
	var names []string
	for _, n := range silences {
		names = append(names, fmt.Sprintf("silent %02d", n))
	}
	rising("the longer it is silent, the higher", names)
	names = nil
	for _, f := range cuts {
		names = append(names, fmt.Sprintf("cost x%v", f))
	}
	rising("the deeper the cut, the higher", names)
	rising("the younger, the higher", []string{"new 60", "new 28", "new 14", "new 07"})
	if r := got["silent 07"]; r.Score < .5 || rank("silent 07") > .03 || r.Band != BandHigh || !strings.HasPrefix(r.Reasons, `[{"code":"stop"`) {
		t.Errorf("silent for 7 days: %+v, in the top %.1f %%", r, 100*rank("silent 07"))
	}
	if r := got["cost x0.1"]; rank("cost x0.1") > .10 || !strings.HasPrefix(r.Reasons, `[{"code":"drop","days":28,"cost":"56.28","before":"560.28","currency":"EUR"`) {
		t.Errorf("cost cut to a tenth: %+v, in the top %.1f %%", r, 100*rank("cost x0.1"))
	}
	if r := got["silent 00"]; r.Band != BandLow || r.Reasons != "[]" {
		t.Errorf("used every day: %+v", r)
	}
	// A subscription used on weekdays is not alarming on a Monday.
	friday := assess(t, m, Inputs{On: monday - 3, History: h})
	for name, r := range got {
		if i := 0; strings.HasPrefix(name, "toy") {
			if _, err := fmt.Sscanf(name, "toy%03d", &i); err == nil && i%8 == 0 && sigmoid(r.Logit) > 2*sigmoid(friday[name].Logit) {
				t.Errorf("%s: %.5f on Monday, %.5f on Friday", name, sigmoid(r.Logit), sigmoid(friday[name].Logit))
			}
		}
	}
	// Late data with a right watermark: the three last days are not there yet.
	late := historyOf(t, daysUpTo(monday-3, toyDays-3), usesOf(probes, 3))
	onTime := historyOf(t, daysUpTo(monday, toyDays), usesOf(probes, 0))
	a, b := assess(t, m, Inputs{On: monday - 3, History: late}), assess(t, m, Inputs{On: monday - 3, History: onTime})
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s: with the feed late %+v, else %+v", name, a[name], b[name])
		}
	}
}
