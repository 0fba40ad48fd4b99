package transform

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
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
func shared(t *rapid.T, mem memory.Allocator, rows []data.Usage) (shares []iter.Seq2[arrow.Record, error], release func()) {
	rows = rapid.Permutation(rows).Draw(t, "order")
	workers, batch := rapid.IntRange(1, 4).Draw(t, "workers"), rapid.IntRange(1, 9).Draw(t, "batch")
	var made []arrow.Record
	left := rows
	for i := range workers {
		n := len(left)
		if i < workers-1 {
			n = rapid.IntRange(0, len(left)).Draw(t, "share")
		}
		records := split(left[:n], batch, func(rows []data.Usage) arrow.Record { return usageRecord(mem, rows) })
		made, left = append(made, records...), left[n:]
		shares = append(shares, recordsOf(records))
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

func compareRaw(t *rapid.T, mem memory.Allocator) {
	w := anyWorld(t)
	w.daily = nil
	from, to := w.period.Previous().From-3, w.period.To+3
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.Usage {
		u := anyUsage(t)
		u.Day = from + data.Day(rapid.IntRange(0, int(to-from)).Draw(t, "day"))
		return u
	}), 0, 60).Draw(t, "rows")
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
	in := Inputs{Period: p, Watermark: &p.To, Extracted: []data.Day{p.From}, Raw: []iter.Seq2[arrow.Record, error]{recordsOf(nil), batches(nil, errBroken)}}
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
	in.Raw = []iter.Seq2[arrow.Record, error]{recordsOf(in.Daily)} // one worker
	one, err := Metrics(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := one.lines(), two.lines(); !slices.Equal(want, got) || len(want) < 100 {
		t.Fatalf("%d lines by one worker, %d by two, or they differ", len(want), len(got))
	}
}
