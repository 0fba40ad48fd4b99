package archive

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// fixture is an archive under test with a clock that moves one second a look.
type fixture struct {
	t      testing.TB
	bucket Bucket
	arc    *Archive
	mem    *memory.CheckedAllocator
	now    time.Time
	runs   int
}

func newFixture(t testing.TB, b Bucket) *fixture {
	t.Helper()
	f := &fixture{t: t, bucket: b, mem: memory.NewCheckedAllocator(memory.NewGoAllocator()), now: time.Date(2026, 11, 16, 2, 0, 0, 0, time.UTC)}
	arc, err := Open(context.Background(), b, Options{Producer: "tidemark test", Now: f.tick, Allocator: f.mem, TempDir: t.TempDir(), BufferRows: 7})
	if err != nil {
		t.Fatal(err)
	}
	f.arc = arc
	if tt, ok := t.(*testing.T); ok {
		tt.Cleanup(func() { f.mem.AssertSize(tt, 0) })
	}
	return f
}

func (f *fixture) tick() time.Time { f.now = f.now.Add(time.Second); return f.now }

// run archives rows as one extraction and returns what was committed.
func (f *fixture) run(source string, days data.Period, full bool, rows []data.Usage) (usage, daily Committed, err error) {
	f.runs++
	ctx := context.Background()
	r, err := f.arc.Begin(ctx, RunInfo{ID: fmt.Sprintf("run%04d", f.runs), Source: source, Started: f.now})
	if err != nil {
		return usage, daily, err
	}
	for _, row := range rows {
		if err := r.AddUsage(row, Feed{source, row.Origin.Scope, row.Currency}); err != nil {
			return usage, daily, fmt.Errorf("%w%w", err, r.Abort())
		}
	}
	if usage, err = r.CommitUsage(ctx, Delivery{Source: source, Days: days, Full: full}); err == nil {
		daily, err = r.Rollup(ctx, rollRows(f.arc.o.Allocator))
	}
	if err != nil {
		return usage, daily, fmt.Errorf("%w%w", err, r.Abort())
	}
	_, err = r.Finish(ctx)
	return usage, daily, err
}

// rollRows is a stand-in for the real rollup: one daily row per usage row.
func rollRows(mem memory.Allocator) func(context.Context, Part, iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	return func(_ context.Context, _ Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		b := array.NewRecordBuilder(mem, data.UsageDailySchema())
		defer b.Release()
		for rec, err := range batches {
			if err != nil {
				return nil, err
			}
			for _, row := range usageRows(rec) {
				b.Field(0).(*array.Date32Builder).Append(arrow.Date32(row.Day))
				for i, s := range []string{string(row.CustomerID), text((*string)(row.SubscriptionID)), row.Category, text(row.Unit), row.Currency, string(row.ChargeCategory)} {
					if err := b.Field(i + 1).(*array.BinaryDictionaryBuilder).AppendString(s); err != nil {
						return nil, err
					}
				}
				for i, d := range []*data.Decimal{row.Cost, row.EffectiveCost, row.CostUSD, row.Quantity} {
					if d == nil {
						b.Field(i + 7).AppendNull()
					} else {
						b.Field(i + 7).(*array.Decimal128Builder).Append(d.Arrow())
					}
				}
				for i := range 4 {
					b.Field(i + 11).(*array.Int64Builder).Append(1)
				}
				b.Field(15).(*array.Int32Builder).Append(1)
			}
		}
		return b.NewRecord(), nil
	}
}

// usageRows turns a usage record back into rows.
func usageRows(rec arrow.Record) []data.Usage {
	r := reader{rec}
	var rows []data.Usage
	for i := range int(rec.NumRows()) {
		row := data.Usage{Day: *r.day("usage_date", i), CustomerID: *cell[data.CustomerID](r, "customer_id", i),
			SubscriptionID: cell[data.SubscriptionID](r, "subscription_id", i), Category: *cell[string](r, "category", i),
			Service: cell[string](r, "service", i), MeterID: cell[string](r, "meter_id", i), Region: cell[string](r, "region", i),
			Unit: cell[string](r, "unit", i), Currency: *cell[string](r, "currency", i),
			ChargeCategory: *cell[data.ChargeCategory](r, "charge_category", i), BillingPeriod: cell[string](r, "billing_period", i)}
		row.Quantity, _ = r.decimal("quantity", i)
		row.Cost, _ = r.decimal("cost", i)
		row.EffectiveCost, _ = r.decimal("effective_cost", i)
		row.CostUSD, _ = r.decimal("cost_usd", i)
		rows = append(rows, row)
	}
	return rows
}

// usage reads the current usage rows back.
func (f *fixture) usage() []data.Usage {
	f.t.Helper()
	v, err := f.arc.View(context.Background(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.usageOf(v)
}

func (f *fixture) usageOf(v *View) []data.Usage {
	f.t.Helper()
	var rows []data.Usage
	for rec, err := range v.Scan(context.Background(), UsageTable, data.Period{From: 0, To: 40000}) {
		if err != nil {
			f.t.Fatal(err)
		}
		rows = append(rows, usageRows(rec)...)
	}
	return rows
}

func drawText(t *rapid.T, name string) string {
	return rapid.OneOf(rapid.SampledFrom([]string{"", "a", "storage", "\x00", "a\x00b", "line\r\nbreak", "日本", "</script>", "=cmd|", strings.Repeat("x", 200)}), rapid.String()).Draw(t, name)
}

func drawDecimal(t *rapid.T, name string) *data.Decimal {
	text := rapid.SampledFrom([]string{"", "0", "-0.000000000000000001", "12.5", "99999999999999999.999999999999999999", "-7"}).Draw(t, name)
	if text == "" {
		return nil
	}
	d, _, err := data.ParseDecimal(text)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}

func drawUsage(t *rapid.T) data.Usage {
	return data.Usage{
		Day: data.Day(20000 + rapid.IntRange(0, 3).Draw(t, "day")), CustomerID: data.CustomerID(drawText(t, "customer")),
		SubscriptionID: data.Optional(data.SubscriptionID(drawText(t, "subscription"))), Category: drawText(t, "category"),
		Service: data.Optional(drawText(t, "service")), MeterID: data.Optional(drawText(t, "meter")), Region: data.Optional(drawText(t, "region")),
		Unit: data.Optional(drawText(t, "unit")), Currency: rapid.SampledFrom([]string{"EUR", "USD", ""}).Draw(t, "currency"),
		ChargeCategory: rapid.SampledFrom([]data.ChargeCategory{data.ChargeUsage, data.ChargeTax}).Draw(t, "charge"),
		BillingPeriod:  data.Optional(rapid.SampledFrom([]string{"", "2026-10", "2026-11"}).Draw(t, "billing period")),
		Quantity:       drawDecimal(t, "quantity"), Cost: drawDecimal(t, "cost"), EffectiveCost: drawDecimal(t, "effective"), CostUSD: drawDecimal(t, "usd"),
	}
}

// key is a row as text, for comparing multisets independently of any order.
func key(r data.Usage) string {
	p := func(s *string) string {
		if s == nil {
			return "null"
		}
		return fmt.Sprintf("%q", *s)
	}
	return fmt.Sprint(r.Day, "|", fmt.Sprintf("%q", r.CustomerID), p((*string)(r.SubscriptionID)), fmt.Sprintf("%q", r.Category), p(r.Service), p(r.MeterID), p(r.Region), p(r.Unit),
		r.Currency, r.ChargeCategory, p(r.BillingPeriod), r.Quantity, r.Cost, r.EffectiveCost, r.CostUSD)
}

func bag(rows []data.Usage) map[string]int {
	m := map[string]int{}
	for _, r := range rows {
		m[key(r)]++
	}
	return m
}

func TestUsage_WhatIsWrittenIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, NewMemory())
		rows := rapid.SliceOfN(rapid.Custom(drawUsage), 0, 40).Draw(rt, "rows")
		if _, _, err := f.run("tables", data.Period{From: 20000, To: 20003}, true, rows); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(bag(f.usage()), bag(rows)); diff != "" {
			rt.Fatalf("read back (-got +want):\n%s", diff)
		}
		f.mem.AssertSize(t, 0)
		usage, daily, err := f.run("tables", data.Period{From: 20000, To: 20003}, true, rows)
		if err != nil {
			rt.Fatal(err)
		}
		if usage.Changed || daily.Changed || usage.Version != 0 || daily.Version != 0 {
			rt.Fatalf("the same rows again committed %+v and %+v", usage, daily)
		}
	})
}

func row(day data.Day, customer, currency, cost string) data.Usage {
	d, _, err := data.ParseDecimal(cost)
	if err != nil {
		panic(err)
	}
	return data.Usage{Day: day, CustomerID: data.CustomerID(customer), Category: "Storage", Currency: currency, ChargeCategory: data.ChargeUsage, Cost: &d}
}

func scoped(r data.Usage, scope, period string) data.Usage {
	r.Origin.Scope, r.BillingPeriod = scope, data.Optional(period)
	return r
}

func TestCommitUsage_ReplacesWhatIsDeliveredAgain(t *testing.T) {
	const d = data.Day(20000)
	week := data.Period{From: d, To: d + 6}
	for _, c := range []struct {
		name   string
		first  []data.Usage
		second []data.Usage
		days   data.Period
		full   bool
		want   []data.Usage
	}{
		{"a changed day of the source as one is replaced",
			[]data.Usage{row(d, "c", "EUR", "1"), row(d+1, "c", "EUR", "1")}, []data.Usage{row(d, "c", "EUR", "2")}, data.Period{From: d, To: d}, false,
			[]data.Usage{row(d, "c", "EUR", "2"), row(d+1, "c", "EUR", "1")}},
		{"a currency that is gone from a day is removed",
			[]data.Usage{row(d, "c", "EUR", "1"), row(d, "c", "USD", "1")}, []data.Usage{row(d, "c", "EUR", "1")}, data.Period{From: d, To: d}, false,
			[]data.Usage{row(d, "c", "EUR", "1")}},
		{"a day without rows loses its old ones",
			[]data.Usage{row(d, "c", "EUR", "1")}, nil, data.Period{From: d, To: d}, false, nil},
		{"a scope that is not delivered stays",
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-11"), scoped(row(d, "b", "EUR", "1"), "two", "2026-11")},
			[]data.Usage{scoped(row(d, "a", "EUR", "5"), "one", "2026-11")}, week, true,
			[]data.Usage{scoped(row(d, "a", "EUR", "5"), "one", "2026-11"), scoped(row(d, "b", "EUR", "1"), "two", "2026-11")}},
		{"the next month's export with a late row does not touch the month before",
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-10")},
			[]data.Usage{scoped(row(d, "a", "EUR", "9"), "one", "2026-11"), scoped(row(d+3, "a", "EUR", "2"), "one", "2026-11")}, data.Period{From: d, To: d + 3}, true,
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-10"), scoped(row(d, "a", "EUR", "9"), "one", "2026-11"), scoped(row(d+3, "a", "EUR", "2"), "one", "2026-11")}},
		{"a full delivery drops the scope's days outside the delivered ones",
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-11"), scoped(row(d+5, "a", "EUR", "1"), "one", "2026-11")},
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-11")}, data.Period{From: d, To: d}, true,
			[]data.Usage{scoped(row(d, "a", "EUR", "1"), "one", "2026-11")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, NewMemory())
			if _, _, err := f.run("s", week, true, c.first); err != nil {
				t.Fatal(err)
			}
			if _, _, err := f.run("s", c.days, c.full, c.second); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(bag(f.usage()), bag(c.want)); diff != "" {
				t.Errorf("rows (-got +want):\n%s", diff)
			}
			if got := len(f.days()); got != 7 {
				t.Errorf("%d days count as extracted, want 7", got)
			}
		})
	}
}

func (f *fixture) days() []DayState {
	f.t.Helper()
	v, err := f.arc.View(context.Background(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return v.UsageDays()
}

func TestCommitUsage_ADayWithoutRowsIsExtracted(t *testing.T) {
	f := newFixture(t, NewMemory())
	if _, _, err := f.run("s", data.Period{From: 20000, To: 20002}, true, []data.Usage{row(20001, "c", "EUR", "1")}); err != nil {
		t.Fatal(err)
	}
	want := []DayState{{20000, 0, true}, {20001, 1, true}, {20002, 0, true}}
	if diff := cmp.Diff(f.days(), want); diff != "" {
		t.Errorf("days (-got +want):\n%s", diff)
	}
}

func TestAddUsage_OneCustomerInTwoScopesNamesBoth(t *testing.T) {
	f := newFixture(t, NewMemory())
	_, _, err := f.run("focus", data.Period{From: 20000, To: 20000}, true, []data.Usage{scoped(row(20000, "c", "EUR", "1"), "one", ""), scoped(row(20000, "c", "EUR", "1"), "two", "")})
	if err == nil || !strings.Contains(err.Error(), "focus/one/EUR and focus/two/EUR") {
		t.Errorf("error %v, want both feeds named", err)
	}
}

func TestView_AsOfIsWhatWasKnownThen(t *testing.T) {
	f := newFixture(t, NewMemory())
	day := data.Period{From: 20000, To: 20000}
	var known []time.Time
	for _, cost := range []string{"1", "2", "3"} {
		if _, _, err := f.run("s", day, false, []data.Usage{row(20000, "c", "EUR", cost)}); err != nil {
			t.Fatal(err)
		}
		known = append(known, f.now)
	}
	for i, at := range known {
		v, err := f.arc.View(context.Background(), &at)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.usageOf(v)[0].Cost.String(), fmt.Sprint(i+1, ".00"); got != want {
			t.Errorf("cost known after run %d = %s, want %s", i+1, got, want)
		}
		if v.Versions()[UsageTable] != int64(i) {
			t.Errorf("usage version after run %d = %d", i+1, v.Versions()[UsageTable])
		}
	}
	before := known[0].Add(-time.Hour)
	v, err := f.arc.View(context.Background(), &before)
	if err != nil || len(v.Versions()) != 0 || !v.KnownAt().IsZero() {
		t.Errorf("before the first run: versions %v, known at %v, err %v", v.Versions(), v.KnownAt(), err)
	}
}
