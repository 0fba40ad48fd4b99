package transform

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// UsageSpan returns the first and the last day with usage of every subscription
// (UsageSpanSchema, ordered by id). The batches need usage_date,
// subscription_id and usage_rows. The caller must Release the record.
func UsageSpan(mem memory.Allocator, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	ids := newIDTable()
	var spans []data.Period
	for rec, err := range batches {
		if err != nil {
			return nil, err
		}
		if spans, err = addSpans(ids, spans, rec); err != nil {
			return nil, err
		}
	}
	w := newWriter(mem, UsageSpanSchema().Fields()...)
	for _, id := range slices.SortedFunc(maps.Keys(ids.index), cmp.Compare[string]) {
		span := spans[ids.index[id]]
		w.row(id, span.From, span.To)
	}
	return w.record(), nil
}

func addSpans(ids *idTable, spans []data.Period, rec arrow.Record) ([]data.Period, error) {
	days, err := columnAs[*array.Date32](rec, "usage_date")
	if err != nil {
		return nil, err
	}
	used, err := columnAs[*array.Int64](rec, "usage_rows")
	if err != nil {
		return nil, err
	}
	subscriptions, err := ids.column(rec, "subscription_id")
	if err != nil {
		return nil, err
	}
	for i := range int(rec.NumRows()) {
		if used.Value(i) == 0 {
			continue
		}
		id := subscriptions.at(i)
		if id == null {
			continue
		}
		day := data.Day(days.Value(i))
		if int(id) == len(spans) {
			spans = append(spans, data.Period{From: day, To: day})
		}
		spans[id].From = min(spans[id].From, day)
		spans[id].To = max(spans[id].To, day)
	}
	return spans, nil
}

// Spans reads a record of UsageSpan as a map.
func Spans(rec arrow.Record) (map[data.SubscriptionID]data.Period, error) {
	first, err := columnAs[*array.Date32](rec, "first_usage")
	if err != nil {
		return nil, err
	}
	last, err := columnAs[*array.Date32](rec, "last_usage")
	if err != nil {
		return nil, err
	}
	spans := make(map[data.SubscriptionID]data.Period, rec.NumRows())
	ids := column(rec, "subscription_id")
	for i := range int(rec.NumRows()) {
		id, _ := text(ids, i)
		spans[data.SubscriptionID(id)] = data.Period{From: data.Day(first.Value(i)), To: data.Day(last.Value(i))}
	}
	return spans, nil
}
