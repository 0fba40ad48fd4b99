package transform

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// rolledUp makes usage_daily records of usage rows, a record a day.
func rolledUp(mem memory.Allocator, rows []data.Usage) ([]arrow.Record, error) {
	byDay := map[data.Day][]data.Usage{}
	for _, u := range rows {
		byDay[u.Day] = append(byDay[u.Day], u)
	}
	var out []arrow.Record
	for _, day := range byDay {
		rec := usageRecord(mem, day)
		defer rec.Release()
		daily, err := Rollup(mem, recordsOf([]arrow.Record{rec}))
		if err != nil {
			releaseAll(out)
			return nil, err
		}
		out = append(out, daily)
	}
	return out, nil
}

// shared spreads rows over workers in small records, as the draw has it.
func shared(t *rapid.T, mem memory.Allocator, rows []data.Usage) (shares []RawRows, release func()) {
	if rapid.IntRange(0, 2).Draw(t, "shuffled") == 0 {
		rows = rapid.Permutation(rows).Draw(t, "order")
	}
	workers, batch := rapid.IntRange(1, 4).Draw(t, "workers"), rapid.SampledFrom([]int{1, 4, 9, 1000}).Draw(t, "batch")
	var made []arrow.Record
	left := rows
	for i := range workers {
		n := len(left)
		if i < workers-1 {
			n = rapid.IntRange(0, len(left)).Draw(t, "share")
		}
		records := split(left[:n], batch, func(rows []data.Usage) arrow.Record { return usageRecord(mem, rows) })
		made, left = append(made, records...), left[n:]
		shares = append(shares, cutRows(records))
	}
	return shares, func() { releaseAll(made) }
}

func TestMetrics_OfRawUsageAreThoseOfItsRollupForAnyWorkersOrderAndSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem, done := checked(t)
		compareRaw(t, mem)
		done()
	})
}

// likeEach puts some rows after each that differ from it in their amounts, and few in their category. Of some partners
// no cost is known, of some every cost in USD.
func likeEach(t *rapid.T, rows []data.Usage) (all []data.Usage) {
	defer func() {
		costs := rapid.SampledFrom([]string{"as they are", "none", "in USD"}).Draw(t, "costs")
		for i := range all {
			switch row := &all[i]; costs {
			case "none":
				row.Cost, row.CostUSD = nil, nil
			case "in USD":
				row.CostUSD = row.Cost
			}
		}
	}()
	more := rapid.SampledFrom([]int{0, 8}).Draw(t, "more of each")
	for _, row := range rows {
		all = append(all, row)
		for range more {
			if rapid.IntRange(0, 9).Draw(t, "moves on") == 0 {
				row.Category = oneOf(t, "category", "", "Storage", "SQL")
			}
			like := row
			like.Quantity, like.Cost, like.CostUSD = smallAmount(t), smallAmount(t), smallAmount(t)
			all = append(all, like)
		}
	}
	return all
}

// smallAmount is one of which many do not overflow.
func smallAmount(t *rapid.T) *data.Decimal {
	if s := rapid.SampledFrom([]string{"", "0", "1.5", "-2.25", "310.1234567891"}).Draw(t, "amount"); s != "" {
		return dec(s)
	}
	return nil
}

// cutRows yields what is wanted of records and nothing else.
func cutRows(records []arrow.Record) RawRows {
	return func(wanted func() []string) iter.Seq2[arrow.Record, error] {
		return func(yield func(arrow.Record, error) bool) {
			for _, rec := range records {
				columns := wanted()
				var fields []arrow.Field
				var values []arrow.Array
				for i, f := range rec.Schema().Fields() {
					if slices.Contains(columns, f.Name) {
						fields, values = append(fields, f), append(values, rec.Column(i))
					}
				}
				cut := array.NewRecord(arrow.NewSchema(fields, nil), values, rec.NumRows())
				more := yield(cut, nil)
				cut.Release()
				if !more {
					return
				}
			}
		}
	}
}

func compareRaw(t *rapid.T, mem memory.Allocator) {
	w := anyWorld(t)
	w.daily = nil
	from, to := w.period.Previous().From-3, w.period.To+3
	overflow, few := rapid.IntRange(0, 4).Draw(t, "overflow") == 0, rapid.SampledFrom([]int{0, 20}).Draw(t, "at least")
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.Usage {
		u := anyUsage(t)
		if !overflow {
			u.Quantity, u.Cost, u.CostUSD = smallAmount(t), smallAmount(t), smallAmount(t)
		}
		u.Day = from + data.Day(rapid.IntRange(0, int(to-from)).Draw(t, "day"))
		return u
	}), few, 60).Draw(t, "rows")
	rows = likeEach(t, rows)
	in, release := w.inputs(mem, 100)
	defer release()
	in.NoMoney, in.Details = rapid.Bool().Draw(t, "no money"), true
	daily, err := rolledUp(mem, rows)
	if err != nil { // a day that does not fit is never archived
		return
	}
	defer releaseAll(daily)
	fromDaily, fromRaw := in, in
	fromDaily.Daily = daily
	shares, releaseRows := shared(t, mem, rows)
	defer releaseRows()
	fromRaw.Raw = shares
	want, wantErr := Metrics(mem, fromDaily)
	got, gotErr := Metrics(mem, fromRaw)
	for _, kind := range []error{ErrNoKnownDay, data.ErrOverflow} {
		if errors.Is(wantErr, kind) != errors.Is(gotErr, kind) {
			t.Fatalf("rolled up: %v; raw: %v", wantErr, gotErr)
		}
	}
	if wantErr == nil && gotErr == nil {
		assertLines(t, "metrics", want.lines(), got.lines())
		assertLines(t, "details", want.Details.lines(), got.Details.lines())
	}
	for _, tables := range []*Tables{want, got} {
		if tables != nil {
			tables.Release()
		}
	}
}

func TestMetrics_TellWhatCouldNotBeRead(t *testing.T) {
	p := mustPeriod("2026-11-06")
	in := Inputs{Period: p, Watermark: &p.To, Extracted: []data.Day{p.From}, Raw: []RawRows{rowsOf(nil), func(func() []string) iter.Seq2[arrow.Record, error] { return batches(nil, errBroken) }}}
	if _, err := Metrics(memory.DefaultAllocator, in); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
}

func TestMetrics_OfManyRowsAreTheSameForTwoWorkers(t *testing.T) {
	mem := memory.NewGoAllocator()
	p := mustPeriod("2026-11-06..2026-11-09")
	both := data.Period{From: p.Previous().From, To: p.To}
	in := Inputs{Period: p, Watermark: &p.To, Daily: manyDays(mem, both)}
	for d := range both.All() {
		in.Extracted = append(in.Extracted, d)
	}
	if n := len(in.shares()); n != 2 {
		t.Fatalf("%d workers", n)
	}
	two, err := Metrics(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Raw = []RawRows{rowsOf(in.Daily)} // one worker
	one, err := Metrics(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := one.lines(), two.lines(); !slices.Equal(want, got) || len(want) < 100 {
		t.Fatalf("%d lines by one worker, %d by two, or they differ", len(want), len(got))
	}
}

// TestMetrics_OfRunsAreThoseOfTheirRowsOneByOne has rows of a kind follow each other, as usage of
// many resources does, in one record and in records of a row each.
func TestMetrics_OfRunsAreThoseOfTheirRowsOneByOne(t *testing.T) {
	p := mustPeriod("2026-11-08..2026-11-09")
	amounts := []*data.Decimal{dec("1.5"), nil, dec("-2.25"), dec("310.1234567891")}
	var rows []data.Usage
	for d := p.Previous().From; d <= p.To; d++ {
		for n := range 160 { // eight kinds of five rows each for each of four customers
			kind := n / 5
			row := data.Usage{Day: d, CustomerID: data.CustomerID(fmt.Sprint("c", kind/8)), SubscriptionID: new(data.SubscriptionID(fmt.Sprint("s", kind/4))),
				Category: fmt.Sprint("category ", kind%4/2), Currency: []string{"EUR", "USD"}[kind%2], ChargeCategory: []data.ChargeCategory{data.ChargeUsage, data.ChargeUsage, data.ChargeTax}[kind%3],
				Quantity: amounts[n%3], Cost: amounts[(n+int(d))%4], CostUSD: amounts[(n+int(d))%4]}
			if kind%4 == 3 {
				row.Cost, row.CostUSD = nil, nil
			}
			rows = append(rows, row)
		}
	}
	for name, change := range map[string]func(*data.Usage){
		"every cost is known in USD": func(*data.Usage) {},
		"one is not": func(u *data.Usage) {
			if u.Day == p.To && u.CustomerID == "c2" {
				u.CostUSD = nil
			}
		},
		"no cost is known": func(u *data.Usage) { u.Cost, u.CostUSD = nil, nil },
	} {
		changed := slices.Clone(rows)
		for i := range changed {
			change(&changed[i])
		}
		var lines [2][]string
		for i, batch := range []int{len(rows), 1} {
			mem := memory.NewGoAllocator()
			records := split(changed, batch, func(rows []data.Usage) arrow.Record { return usageRecord(mem, rows) })
			in := Inputs{Period: p, Watermark: &p.To, Raw: []RawRows{cutRows(records)}, Extracted: slices.Collect(data.Period{From: p.Previous().From, To: p.To}.All()), Details: true}
			tables, err := Metrics(mem, in)
			if err != nil {
				t.Fatal(err)
			}
			lines[i] = slices.Concat(tables.lines(), tables.Details.lines())
		}
		if diff := cmp.Diff(lines[1], lines[0]); diff != "" || len(lines[0]) < 20 {
			t.Errorf("%s: %d lines (-one by one +at once):\n%s", name, len(lines[0]), diff)
		}
	}
}
