package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Latest returns one row for each subscription that was created on or before a
// day, in order of id: the row of the newest snapshot that has it
// (data.SubscriptionsSchema), with the status it had on that day. An ended_at
// after the day is null, and a subscription that ended by what the snapshots
// say has the day that this is booked on. The caller must Release the record.
func Latest(mem memory.Allocator, inventory []Snapshot, on data.Day) (arrow.Record, error) {
	var customers, subscriptions IDs
	inv, err := readInventory(inventory, &customers, &subscriptions)
	if err != nil {
		return nil, err
	}
	var records []arrow.Record
	for _, s := range inventory {
		if s.Subscriptions != nil {
			records = append(records, s.Subscriptions)
		}
	}
	status, ended := newWriter(mem, oneColumn("status")), newWriter(mem, oneColumn("ended_at"))
	defer status.release()
	defer ended.release()
	newest := inv.newest(on)
	var rows []place
	for _, id := range subscriptions.sorted() {
		s := &inv.subs[id]
		if !s.exists || s.created.known && s.created.Day > on {
			continue
		}
		rows = append(rows, place{s.last, s.row})
		status.text(string(inv.status(id, on, newest)))
		ended.maybeDay(maybeDay{s.end.Day, s.end.known && s.end.Day <= on})
	}
	rec, err := take(mem, data.SubscriptionsSchema(), records, rows)
	if err != nil {
		return nil, fmt.Errorf("latest subscriptions: %w", err)
	}
	for _, w := range []*writer{status, ended} {
		if rec, err = replace(rec, w); err != nil {
			return nil, fmt.Errorf("latest subscriptions: %w", err)
		}
	}
	return rec, nil
}

// oneColumn is the schema of one column of data.SubscriptionsSchema alone.
func oneColumn(column string) *arrow.Schema {
	s := data.SubscriptionsSchema()
	return arrow.NewSchema([]arrow.Field{s.Field(s.FieldIndices(column)[0])}, nil)
}

// replace puts the one column that a writer holds into a record, which it
// releases.
func replace(rec arrow.Record, w *writer) (arrow.Record, error) {
	defer rec.Release()
	one, err := w.finish()
	if err != nil {
		return nil, err
	}
	defer one.Release()
	cols := append([]arrow.Array(nil), rec.Columns()...)
	cols[rec.Schema().FieldIndices(one.ColumnName(0))[0]] = one.Column(0)
	return array.NewRecord(rec.Schema(), cols, rec.NumRows()), nil
}
