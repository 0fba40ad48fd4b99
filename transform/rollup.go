package transform

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// rollupKey is the key of usage_daily in dense ids.
type rollupKey struct{ customer, subscription, category, unit, currency, charge int32 }

// rollupRow is one row of usage_daily in the making.
type rollupRow struct {
	key                                rollupKey
	cost, effective, usd, quantity     sum
	rows, usageRows, costRows, usdRows int64
	services                           int
}

// rollup adds usage rows up.
type rollup struct {
	customers, subscriptions, texts *idTable
	index                           map[rollupKey]int
	rows                            []rollupRow
	seen                            map[[2]int32]bool // row and service
	day                             *data.Day
}

// Rollup adds the usage rows of one day (data.UsageSchema) up to usage_daily
// rows (data.UsageDailySchema), ordered by customer, subscription, category,
// unit, currency and charge category, null before any text. No input gives no
// rows; rows of two days are an error. The caller must Release the record.
func Rollup(mem memory.Allocator, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	r := &rollup{customers: newIDTable(), subscriptions: newIDTable(), texts: newIDTable(),
		index: map[rollupKey]int{}, seen: map[[2]int32]bool{}}
	for rec, err := range batches {
		if err != nil {
			return nil, err
		}
		if err := r.add(rec); err != nil {
			return nil, err
		}
	}
	return r.record(mem)
}

func (r *rollup) add(rec arrow.Record) error {
	days, err := columnAs[*array.Date32](rec, "usage_date")
	if err != nil {
		return err
	}
	keys := make([]idColumn, 7)
	for i, name := range []string{"customer_id", "subscription_id", "category", "unit", "currency", "charge_category", "service"} {
		table := r.texts
		switch i {
		case 0:
			table = r.customers
		case 1:
			table = r.subscriptions
		}
		if keys[i], err = table.column(rec, name); err != nil {
			return err
		}
	}
	usage := r.texts.of(string(data.ChargeUsage))
	cost, effective, usd, quantity := decimalColumn(rec, "cost"), decimalColumn(rec, "effective_cost"), decimalColumn(rec, "cost_usd"), decimalColumn(rec, "quantity")
	for i := range int(rec.NumRows()) {
		day := data.Day(days.Value(i))
		if r.day == nil {
			r.day = &day
		} else if *r.day != day {
			return fmt.Errorf("roll up usage: rows of %s and of %s in one day", *r.day, day)
		}
		at := r.at(rollupKey{keys[0].at(i), keys[1].at(i), keys[2].at(i), keys[3].at(i), keys[4].at(i), keys[5].at(i)})
		row := &r.rows[at]
		row.rows++
		row.costRows += addValue(&row.cost, cost, i)
		row.usdRows += addValue(&row.usd, usd, i)
		addValue(&row.effective, effective, i)
		if addValue(&row.quantity, quantity, i) == 1 && row.key.charge == usage && quantity.Value(i).Sign() > 0 {
			row.usageRows++
		}
		if service := keys[6].at(i); service != null && !r.seen[[2]int32{int32(at), service}] {
			r.seen[[2]int32{int32(at), service}] = true
			row.services++
		}
	}
	return nil
}

// addValue adds a cell that is not null and returns how many it added.
func addValue(s *sum, c *array.Decimal128, row int) int64 {
	if c == nil || c.IsNull(row) {
		return 0
	}
	s.add(c.Value(row))
	return 1
}

func (r *rollup) at(key rollupKey) int {
	// Rows come sorted, so the key is mostly that of the row before.
	if n := len(r.rows); n > 0 && r.rows[n-1].key == key {
		return n - 1
	}
	at, found := r.index[key]
	if !found {
		at = len(r.rows)
		r.index[key] = at
		r.rows = append(r.rows, rollupRow{key: key})
	}
	return at
}

func (r *rollup) record(mem memory.Allocator) (arrow.Record, error) {
	slices.SortFunc(r.rows, func(a, b rollupRow) int {
		return cmp.Or(compareIDs(r.customers, a.key.customer, b.key.customer), compareIDs(r.subscriptions, a.key.subscription, b.key.subscription),
			compareIDs(r.texts, a.key.category, b.key.category), compareIDs(r.texts, a.key.unit, b.key.unit),
			compareIDs(r.texts, a.key.currency, b.key.currency), compareIDs(r.texts, a.key.charge, b.key.charge))
	})
	w := newWriter(mem, data.UsageDailySchema().Fields()...)
	for _, row := range r.rows {
		cells := []any{*r.day, r.customers.names[row.key.customer], name(r.subscriptions, row.key.subscription),
			name(r.texts, row.key.category), name(r.texts, row.key.unit), name(r.texts, row.key.currency), name(r.texts, row.key.charge)}
		for i, s := range []sum{row.cost, row.effective, row.usd, row.quantity} {
			total, err := optionalTotal(s, fmt.Sprintf("%s of customer %q on %s", []string{"cost", "effective_cost", "cost_usd", "quantity"}[i], r.customers.names[row.key.customer], *r.day))
			if err != nil {
				w.b.Release()
				return nil, err
			}
			cells = append(cells, total)
		}
		w.row(append(cells, row.rows, row.usageRows, row.costRows, row.usdRows, row.services)...)
	}
	return w.record(), nil
}

// optionalTotal is the total of a sum, nil when nothing was added.
func optionalTotal(s sum, what string) (*data.Decimal, error) {
	if !s.set {
		return nil, nil
	}
	d, err := s.total(what)
	return &d, err
}

// name returns the text of a dense id, nil for null.
func name(t *idTable, id int32) *string {
	if id == null {
		return nil
	}
	return &t.names[id]
}

// compareIDs compares dense ids by their texts, null first.
func compareIDs(t *idTable, a, b int32) int {
	switch {
	case a == b:
		return 0
	case a == null:
		return -1
	case b == null:
		return 1
	}
	return cmp.Compare(t.names[a], t.names[b])
}
