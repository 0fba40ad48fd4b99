package transform

import (
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// manyDays is two months of usage of a large partner: 4,000 subscriptions of
// 800 customers, four rows each day, a record a day; about a million rows.
func manyDays(mem memory.Allocator, p data.Period) []arrow.Record {
	var out []arrow.Record
	for d := range p.All() {
		b := array.NewRecordBuilder(mem, data.UsageDailySchema())
		for s := range 4000 {
			for c := range 4 {
				w := &writer{b: b}
				w.day(d)
				w.text(fmt.Sprintf("customer-%026d", s/5))
				w.text(fmt.Sprintf("subscription-%022d", s))
				w.text(fmt.Sprintf("Category %d", (s+c)%40))
				w.text("1 Hour")
				w.text([]string{"EUR", "USD"}[s%2])
				w.text(string(data.ChargeUsage))
				for range 4 {
					w.decimal(data.DecimalFromInt(int64(s + c)))
				}
				for range 4 {
					w.int64(1)
				}
				w.int32(1)
			}
		}
		out = append(out, b.NewRecord())
		b.Release()
	}
	return out
}

func BenchmarkMetrics_AMillionDailyRows(b *testing.B) {
	mem := memory.NewGoAllocator()
	p := mustPeriod("2026-11")
	both := data.Period{From: p.Previous().From, To: p.To}
	in := Inputs{Period: p, Watermark: &p.To, Daily: manyDays(mem, both)}
	for d := range both.All() {
		in.Extracted = append(in.Extracted, d)
	}
	var subs []data.Subscription
	for s := range 4000 {
		subs = append(subs, data.Subscription{SubscriptionID: data.SubscriptionID(fmt.Sprintf("subscription-%022d", s)),
			CustomerID: data.CustomerID(fmt.Sprintf("customer-%026d", s/5)), Status: data.StatusActive})
	}
	for d := range both.All() {
		in.Inventory = append(in.Inventory, Snapshot{Day: d,
			Customers:     recordOf(mem, data.CustomersSchema(), nil, func(data.Customer) data.Day { return d }),
			Subscriptions: recordOf(mem, data.SubscriptionsSchema(), subs, func(data.Subscription) data.Day { return d })})
	}
	rows := 0
	for _, rec := range in.Daily {
		rows += int(rec.NumRows())
	}
	b.Run("Metrics", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tables, err := Metrics(mem, in)
			if err != nil {
				b.Fatal(err)
			}
			tables.Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	})
	b.Run("Details", func(b *testing.B) {
		b.ReportAllocs()
		detailed := in
		detailed.Details = true
		for b.Loop() {
			tables, err := Metrics(mem, detailed)
			if err != nil {
				b.Fatal(err)
			}
			tables.Release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	})
	scope := map[data.CustomerID]bool{}
	for c := range 80 {
		scope[data.CustomerID(fmt.Sprintf("customer-%026d", c*10))] = true
	}
	index, err := NewIndex(in)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Filter", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, release, err := index.Filter(mem, scope)
			if err != nil {
				b.Fatal(err)
			}
			release()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
	})
}

func BenchmarkRollup_OneDay(b *testing.B) {
	mem := memory.NewGoAllocator()
	var rows []data.Usage
	for s := range 2000 {
		for m := range 100 {
			rows = append(rows, data.Usage{Day: 20000, CustomerID: data.CustomerID(fmt.Sprintf("customer-%026d", s/5)),
				SubscriptionID: new(data.SubscriptionID(fmt.Sprintf("subscription-%022d", s))), Category: fmt.Sprintf("Category %d", m/20),
				Service: new(fmt.Sprintf("Service %d", m/5)), Unit: new("1 Hour"), Currency: "EUR", ChargeCategory: data.ChargeUsage,
				Quantity: dec("1.5"), Cost: dec("0.1234567891")})
		}
	}
	records := split(rows, 65536, func(u []data.Usage) arrow.Record { return usageRecord(mem, u) })
	b.ReportAllocs()
	for b.Loop() {
		rec, err := Rollup(mem, batches(records, nil))
		if err != nil {
			b.Fatal(err)
		}
		rec.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
}
