package archive

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// BenchmarkRun archives 200,000 usage rows of 20 days with their rollup: sort,
// write, read back, commit. The metric that counts is rows/s.
func BenchmarkRun(b *testing.B) {
	const days, perDay = 20, 10_000
	cost, _, err := data.ParseDecimal("12.3456789012")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		arc, err := Open(context.Background(), NewDir(b.TempDir()), Options{Producer: "bench", Now: time.Now, TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		r, err := arc.Begin(context.Background(), RunInfo{ID: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		for i := range days * perDay {
			sub := data.SubscriptionID(fmt.Sprintf("11111111-2222-3333-4444-%012d", i*7919%3000))
			row := data.Usage{Day: data.Day(20000 + i%days), CustomerID: data.CustomerID(fmt.Sprintf("customer-%d", i*7919%3000/4)), SubscriptionID: &sub,
				Category: "Storage", Currency: "EUR", ChargeCategory: data.ChargeUsage, Cost: &cost, Quantity: &cost}
			if err := r.AddUsage(row, Feed{"sample", "", "EUR"}); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := r.CommitUsage(context.Background(), Delivery{Source: "sample", Days: data.Period{From: 20000, To: 20000 + days - 1}, Full: true}); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Rollup(context.Background(), rollRows(memory.DefaultAllocator)); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(days*perDay*b.N)/b.Elapsed().Seconds(), "rows/s")
}
