package archive

import (
	"context"
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// manyRows makes the usage of one day: 20 meters for each subscription.
func manyRows(n int) []data.Usage {
	rows := make([]data.Usage, n)
	for i := range rows {
		sub := i / 20
		u := row("2026-11-20", fmt.Sprintf("%08x-1111-4222-8333-444455556666", sub/3), fmt.Sprintf("%d.%09d", i%50, i*7919%1_000_000_000))
		u.SubscriptionID = new(data.SubscriptionID(fmt.Sprintf("%08x-aaaa-4bbb-8ccc-ddddeeeeffff", sub)))
		u.MeterID, u.Service, u.Region = new(fmt.Sprintf("%08x-9999-4999-8999-999999999999", i%20)), new(fmt.Sprint("Service ", i%20)), new("westeurope")
		u.Category, u.Unit = fmt.Sprint("Category ", i%6), new("1 Hour")
		u.EffectiveCost = u.Cost
		rows[i] = u
	}
	return rows
}

func BenchmarkCommitUsage(b *testing.B) {
	rows := manyRows(200_000)
	b.ReportAllocs()
	for b.Loop() {
		a, err := Open(b.Context(), NewMemory(), Options{Now: newClock().now, TempDir: b.TempDir(), BufferRows: 50_000})
		if err != nil {
			b.Fatal(err)
		}
		r := stageAll(b, a, "run", rows)
		if _, err := r.CommitUsage(context.Background(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}); err != nil {
			b.Fatal(err)
		}
		if err := r.Abort(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
}

func BenchmarkScan(b *testing.B) {
	rows := manyRows(200_000)
	a, err := Open(b.Context(), NewMemory(), Options{Now: newClock().now, TempDir: b.TempDir(), Allocator: memory.NewGoAllocator()})
	if err != nil {
		b.Fatal(err)
	}
	r := stageAll(b, a, "run", rows)
	if _, err := r.CommitUsage(context.Background(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}); err != nil {
		b.Fatal(err)
	}
	v := newest(b, a, UsageTable)
	for name, columns := range map[string][]string{"all": nil, "rollup": {"customer_id", "subscription_id", "category", "cost", "quantity"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := int64(0)
				v.Scan(context.Background(), UsageTable, allDays, columns...)(func(rec arrow.Record, err error) bool {
					n += rec.NumRows()
					return err == nil
				})
				if n != int64(len(rows)) {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
		})
	}
	if err := r.Abort(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	bucket := NewMemory()
	a, err := Open(b.Context(), bucket, Options{Now: newClock().now, TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 4 {
		rows := manyRows(50_000)
		for j := range rows {
			rows[j].Day += data.Day(i)
		}
		r := stageAll(b, a, fmt.Sprint("run", i), rows)
		if _, err := r.CommitUsage(b.Context(), Delivery{Source: "tables", Days: data.Period{From: rows[0].Day, To: rows[0].Day}}); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Finish(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for _, quick := range []bool{false, true} {
		b.Run(fmt.Sprint("quick=", quick), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out, err := Verify(b.Context(), bucket, VerifyOptions{Quick: quick})
				if err != nil || !out.OK() {
					b.Fatal(out, err)
				}
				if !quick {
					b.SetBytes(out.Bytes)
				}
			}
		})
	}
}
