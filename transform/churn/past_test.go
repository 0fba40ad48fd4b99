package churn

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/transform"
)

// pastWorld is a random history in records of a day, as a scan yields them.
type pastWorld struct {
	mem   memory.Allocator
	known []data.Day
	days  []arrow.Record
}

func drawPastWorld(rt *rapid.T, mem memory.Allocator) pastWorld {
	w := pastWorld{mem: mem}
	r := rand.New(rand.NewPCG(uint64(rapid.IntRange(0, 1<<30).Draw(rt, "seed")), 5))
	n, subscriptions := rapid.IntRange(180, 360).Draw(rt, "days"), rapid.IntRange(1, 12).Draw(rt, "subscriptions")
	gap, currencies := rapid.IntRange(0, 6).Draw(rt, "gaps of ten"), []string{"EUR", "USD", "GBP"}[:rapid.IntRange(1, 3).Draw(rt, "currencies")]
	begins, ends, rate := make([]int, subscriptions), make([]int, subscriptions), make([]float64, subscriptions)
	for s := range subscriptions {
		begins[s], ends[s], rate[s] = r.IntN(n), n-r.IntN(n)*r.IntN(2), []float64{1, .97, .5, .05}[r.IntN(4)]
	}
	for i := range n {
		if r.IntN(10) < gap && r.IntN(3) == 0 {
			continue
		}
		day := monday - data.Day(n-1-i)
		w.known = append(w.known, day)
		b := array.NewRecordBuilder(mem, data.UsageDailySchema())
		for _, s := range r.Perm(subscriptions) {
			if i < begins[s] || i > ends[s] || r.Float64() > rate[s] {
				continue
			}
			for range 1 + r.IntN(3) {
				w.row(b, r, day, fmt.Sprintf("s%02d", s), currencies[r.IntN(len(currencies))])
			}
		}
		w.days = append(w.days, b.NewRecord())
		b.Release()
	}
	return w
}

func (w pastWorld) row(b *array.RecordBuilder, r *rand.Rand, day data.Day, subscription, currency string) {
	if r.IntN(30) == 0 {
		subscription = ""
	}
	charge := data.ChargeUsage
	if r.IntN(15) == 0 {
		charge = data.ChargePurchase
	}
	texts := map[string]string{"subscription_id": subscription, "customer_id": "c", "category": []string{"Compute", "Storage", "Network"}[r.IntN(3)],
		"currency": currency, "charge_category": string(charge)}
	for i, f := range b.Schema().Fields() {
		switch text, isText := texts[f.Name]; {
		case isText:
			appendText(b.Field(i), text)
		case f.Name == "usage_date":
			b.Field(i).(*array.Date32Builder).Append(arrow.Date32(day))
		case f.Name == "usage_rows":
			b.Field(i).(*array.Int64Builder).Append(int64(r.IntN(4)))
		case f.Name == "cost" && r.IntN(8) > 0, f.Name == "effective_cost" && r.IntN(3) == 0:
			b.Field(i).(*array.Decimal128Builder).Append(amount(r.ExpFloat64()*100 - 20).Arrow())
		case f.Nullable:
			b.Field(i).AppendNull()
		default:
			b.Field(i).AppendEmptyValue()
		}
	}
}

func (w pastWorld) release() {
	for _, rec := range w.days {
		rec.Release()
	}
}

// between yields the rows of the days in [from, to].
func (w pastWorld) between(from, to data.Day) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for i, rec := range w.days {
			if w.known[i] >= from && w.known[i] <= to && !yield(rec, nil) {
				return
			}
		}
	}
}

func (w pastWorld) upTo(to data.Day) []data.Day {
	return slices.DeleteFunc(slices.Clone(w.known), func(d data.Day) bool { return d > to })
}

// stages condenses up to each of the days in turn.
func (w pastWorld) stages(rt *rapid.T, untils ...data.Day) *Past {
	var past *Past
	for _, until := range untils {
		from := w.known[0]
		if past != nil {
			from = past.Until + 1
		}
		rec, err := Condense(w.mem, until, w.upTo(until), past, w.between(from, until))
		if err != nil {
			rt.Fatal(err)
		}
		if past != nil {
			past.Rows.Release()
		}
		past = &Past{until, rec}
	}
	return past
}

// TestPast_ScoresAreThoseOfEveryDayToTheLastBit scores random histories, with days that are
// not known, from all of their rows and from condensed ones.
func TestPast_ScoresAreThoseOfEveryDayToTheLastBit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		w := drawPastWorld(rt, mem)
		defer w.release()
		m, err := Prior(rapid.IntRange(2, 40).Draw(rt, "horizon"))
		if err != nil {
			rt.Fatal(err)
		}
		first := w.known[0]
		on := first + data.Day(rapid.IntRange(m.Reach(), int(monday-first)).Draw(rt, "on"))
		latest := on - data.Day(m.Reach())
		until := first + data.Day(rapid.IntRange(0, int(latest-first)).Draw(rt, "until"))
		earlier := first + data.Day(rapid.IntRange(0, int(until-first)).Draw(rt, "earlier"))
		past := w.stages(rt, earlier, until)
		defer past.Rows.Release()

		whole, err := ReadHistory(w.upTo(on), w.between(first, on))
		if err != nil {
			rt.Fatal(err)
		}
		condensed, err := ReadHistorySince(w.upTo(on), past, w.between(until+1, on))
		if err != nil {
			rt.Fatal(err)
		}
		want, got := assessed(rt, m, whole, on), assessed(rt, m, condensed, on)
		if got != want {
			rt.Errorf("as of %s, condensed up to %s:\n%s\nfrom all rows:\n%s", on, until, got, want)
		}
		if got, want := spans(rt, mem, condensed), spansOf(rt, mem, w.between(first, on)); got != want {
			rt.Errorf("first and last usage days %s, from all rows %s", got, want)
		}
	})
}

func assessed(rt *rapid.T, m *Model, h *History, on data.Day) string {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	rec, err := m.Assess(mem, Inputs{On: on, History: h})
	if err != nil {
		rt.Fatal(err)
	}
	defer mem.AssertSize(rt, 0)
	defer rec.Release()
	b, err := rec.MarshalJSON()
	if err != nil {
		rt.Fatal(err)
	}
	return string(b)
}

func spans(rt *rapid.T, mem memory.Allocator, h *History) string {
	days, err := h.UsageDays(mem)
	if err != nil {
		rt.Fatal(err)
	}
	defer days.Release()
	return spansOf(rt, mem, func(yield func(arrow.Record, error) bool) { yield(days, nil) })
}

func spansOf(rt *rapid.T, mem memory.Allocator, rows iter.Seq2[arrow.Record, error]) string {
	rec, err := transform.UsageSpan(mem, rows)
	if err != nil {
		rt.Fatal(err)
	}
	defer rec.Release()
	b, err := rec.MarshalJSON()
	if err != nil {
		rt.Fatal(err)
	}
	return string(b)
}

// TestPast_StagesChangeNothing condenses in one go and in two.
func TestPast_StagesChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		w := drawPastWorld(rt, mem)
		defer w.release()
		first := w.known[0]
		until := first + data.Day(rapid.IntRange(0, int(monday-first)).Draw(rt, "until"))
		earlier := first + data.Day(rapid.IntRange(0, int(until-first)).Draw(rt, "earlier"))
		one, two := w.stages(rt, until), w.stages(rt, earlier, until)
		defer one.Rows.Release()
		defer two.Rows.Release()
		if !array.RecordEqual(one.Rows, two.Rows) {
			rt.Errorf("up to %s: %v\nby way of %s: %v", until, one.Rows, earlier, two.Rows)
		}
	})
}

// TestPast_RunIsTheLongestWithAlmostDailyUse counts the days of a run one by one, back from
// the last day with usage.
func TestPast_RunIsTheLongestWithAlmostDailyUse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewGoAllocator()
		w := drawPastWorld(rt, mem)
		defer w.release()
		h, err := ReadHistory(w.known, w.between(w.known[0], monday))
		if err != nil {
			rt.Fatal(err)
		}
		v := view{h, windowsOf(28), h.days - 1}
		for id := range h.accounts {
			a := &h.accounts[id]
			if !a.used.any(0, v.t) {
				continue
			}
			x := v.vector(a, v.t)
			want, n, used := 0, 0, 0
			for at := a.used.last(0, v.t); at >= 0 && x.alwaysOn; at-- {
				if !h.known.has(at) || at < a.used.first(0, v.t) {
					continue
				}
				if n++; a.used.has(at) {
					used++
				}
				if float64(used) >= .93*float64(n) {
					want = n
				}
			}
			if x.facts.run != want {
				rt.Errorf("%s ran %d days, counted %d", h.subscriptions.Text(int32(id)), x.facts.run, want)
			}
		}
	})
}

// TestPast_TooLateForADayIsRefused has a history condensed into the days that a score looks
// at one by one.
func TestPast_TooLateForADayIsRefused(t *testing.T) {
	m := mustPrior(t)
	uses := randomUses(3, 10, 200)
	known := daysUpTo(monday, 200)
	rec := dailyRecord(memory.DefaultAllocator, uses)
	defer rec.Release()
	rows := func(yield func(arrow.Record, error) bool) { yield(rec, nil) }
	for late, want := range map[data.Day]string{0: "", 1: "condensed up to"} {
		until := monday - data.Day(m.Reach()) + late
		past, err := Condense(memory.DefaultAllocator, until, known[:200-m.Reach()+int(late)], nil, rows)
		if err != nil {
			t.Fatal(err)
		}
		h, err := ReadHistorySince(known, &Past{until, past}, rows)
		past.Release()
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Assess(memory.DefaultAllocator, Inputs{On: monday, History: h})
		if err == nil {
			got.Release()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("condensed up to %s: got %v, want %q", until, err, want)
		}
	}
}

// TestPast_DamageIsNamed has rows that no history comes to.
func TestPast_DamageIsNamed(t *testing.T) {
	s := func(text string) *string { return &text }
	n := func(i int32) *int32 { return &i }
	d := func(back int) *data.Day { return new(monday - data.Day(back)) }
	sub := pastRow{subscription: s("s"), appeared: n(0), first: d(20), last: d(19), used: s("11")}
	for name, c := range map[string]struct {
		rows []pastRow
		want string
	}{
		"a number is missing":           {[]pastRow{{subscription: s("s"), appeared: n(1)}}, "appeared as number 0"},
		"a subscription twice":          {[]pastRow{sub, {subscription: s("s"), appeared: n(1)}}, "there twice"},
		"a category twice":              {[]pastRow{{category: s("c"), first: d(9)}, {category: s("c"), first: d(9)}}, "there twice"},
		"usage after the day":           {[]pastRow{{subscription: s("s"), appeared: n(0), first: d(0), used: s("11")}}, "outside the days condensed"},
		"usage before the first day":    {[]pastRow{{subscription: s("s"), appeared: n(0), first: d(99), used: s("11")}}, "outside the days condensed"},
		"usage that is neither 0 nor 1": {[]pastRow{{subscription: s("s"), appeared: n(0), first: d(20), used: s("1x")}}, "neither 0 nor 1"},
		"a cost that is no number":      {[]pastRow{sub, {subscription: s("s"), currency: s("EUR"), cost: s("much")}}, `a cost of "much"`},
		"a cost of nobody":              {[]pastRow{sub, {subscription: s("t"), currency: s("EUR"), cost: s("1")}}, "not there"},
	} {
		t.Run(name, func(t *testing.T) {
			b := pastBuilder{array.NewRecordBuilder(memory.DefaultAllocator, data.UsagePastSchema()), nil, monday - 5}
			defer b.Release()
			for _, row := range c.rows {
				if err := b.row(row); err != nil {
					t.Fatal(err)
				}
			}
			rec := b.NewRecord()
			defer rec.Release()
			_, err := ReadHistorySince(daysUpTo(monday, 30), &Past{monday - 5, rec}, func(func(arrow.Record, error) bool) {})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "usage up to "+(monday-5).String()) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
