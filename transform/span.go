package transform

import (
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// SpanColumns are the columns of usage_daily that UsageSpan reads.
func SpanColumns() []string { return []string{"usage_date", "subscription_id", "usage_rows"} }

// UsageSpan returns the first and the last day with usage of each subscription
// (UsageSpanSchema), in order of id, from usage_daily rows; of their columns it
// reads SpanColumns. The caller must Release the record.
func UsageSpan(mem memory.Allocator, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	var subscriptions IDs
	var spans []data.Period
	for rec, err := range batches {
		if err == nil {
			spans, err = addSpans(spans, &subscriptions, rec)
		}
		if err != nil {
			return nil, fmt.Errorf("usage span: %w", err)
		}
	}
	w := newWriter(mem, UsageSpanSchema())
	defer w.release()
	for _, id := range subscriptions.sorted() {
		w.id(id, &subscriptions)
		w.day(spans[id].From)
		w.day(spans[id].To)
	}
	return w.finish()
}

func addSpans(spans []data.Period, subscriptions *IDs, rec arrow.Record) ([]data.Period, error) {
	c := ColumnsOf(rec)
	day, subscription, usage := c.Days("usage_date"), c.IDs("subscription_id", subscriptions), c.Int64s("usage_rows")
	if c.Err() != nil {
		return nil, c.Err()
	}
	for i := range c.Rows() {
		d, known := day.At(i)
		if n, _ := usage.At(i); n <= 0 || !known {
			continue
		}
		id, on := subscription.At(i), data.Day(d)
		switch {
		case id == NoID:
		case int(id) == len(spans):
			spans = append(spans, data.Period{From: on, To: on})
		default:
			spans[id].From, spans[id].To = min(spans[id].From, on), max(spans[id].To, on)
		}
	}
	return spans, nil
}

// Spans returns a record of UsageSpanSchema as a map: the period from the first
// to the last day with usage of each subscription. It keeps nothing of the
// record.
func Spans(rec arrow.Record) (map[data.SubscriptionID]data.Period, error) {
	var subscriptions IDs
	c := ColumnsOf(rec)
	id, first, last := c.IDs("subscription_id", &subscriptions), c.Days("first_usage"), c.Days("last_usage")
	if c.Err() != nil {
		return nil, fmt.Errorf("usage span: %w", c.Err())
	}
	spans := make(map[data.SubscriptionID]data.Period, c.Rows())
	for i := range c.Rows() {
		from, _ := first.At(i)
		to, _ := last.At(i)
		spans[data.SubscriptionID(subscriptions.Text(id.At(i)))] = data.Period{From: data.Day(from), To: data.Day(to)}
	}
	return spans, nil
}
