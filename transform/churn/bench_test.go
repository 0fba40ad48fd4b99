package churn

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// large yields 400 days of 10,000 subscriptions with ten services each, a record a day.
func large(b *testing.B) func(yield func(arrow.Record, error) bool) {
	b.Helper()
	const subscriptions, services = 10_000, 10
	uses := make([]use, 0, subscriptions*services)
	for i := range subscriptions {
		for k := range services {
			uses = append(uses, use{0, fmt.Sprintf("subscription-%05d", i), fmt.Sprintf("service %d", k), float64(1 + i%100)})
		}
	}
	rec := dailyRecord(memory.DefaultAllocator, uses)
	b.Cleanup(rec.Release)
	return func(yield func(arrow.Record, error) bool) {
		for d := range largeDays {
			if !yield(onDay(rec, monday-data.Day(largeDays-1-d)), nil) {
				return
			}
		}
	}
}

const largeDays = 400

// onDay is the record with another day.
func onDay(rec arrow.Record, d data.Day) arrow.Record {
	at := rec.Schema().FieldIndices("usage_date")[0]
	columns := append([]arrow.Array(nil), rec.Columns()...)
	columns[at] = sameDay(int(rec.NumRows()), d)
	return recordOf(rec.Schema(), columns)
}

func BenchmarkHistory(b *testing.B) {
	rows := large(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadHistory(daysUpTo(monday, largeDays), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(40e6*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkScore(b *testing.B) {
	h, err := ReadHistory(daysUpTo(monday, largeDays), large(b))
	if err != nil {
		b.Fatal(err)
	}
	m, err := Prior(DefaultHorizon)
	if err != nil {
		b.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		rec, err := m.Assess(memory.DefaultAllocator, Inputs{On: monday, History: h})
		if err != nil {
			b.Fatal(err)
		}
		rec.Release()
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(before.HeapAlloc)/(1<<20), "MiB-history")
}

// BenchmarkFit fits 100,000 rows of all terms.
func BenchmarkFit(b *testing.B) {
	t, err := readTerms()
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	s := &study{terms: t}
	l := &labelled{}
	for range 100_000 {
		var x vector
		for j, f := range t.Features {
			x.f[j] = f.Mean + f.SD*r.NormFloat64()
		}
		row := t.row(&x)
		l.add(row, r.Float64() < sigmoid(dot(row, t.betas())-1), 1)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.fitted(l); err != nil {
			b.Fatal(err)
		}
	}
}

func sameDay(n int, d data.Day) arrow.Array {
	b := array.NewDate32Builder(memory.DefaultAllocator)
	defer b.Release()
	b.Reserve(n)
	for range n {
		b.UnsafeAppend(arrow.Date32(d))
	}
	return b.NewArray()
}

func recordOf(s *arrow.Schema, columns []arrow.Array) arrow.Record {
	return array.NewRecord(s, columns, int64(columns[0].Len()))
}
