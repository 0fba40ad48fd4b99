package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Filter returns the rows of a record with a customer_id column whose customer
// is in the set. Nothing of another customer is left in the result, not even in
// a dictionary. The caller must Release it.
func Filter(mem memory.Allocator, rec arrow.Record, customers map[data.CustomerID]bool) (arrow.Record, error) {
	return filter(mem, rec, "customer_id", func(id string) bool { return customers[data.CustomerID(id)] })
}

// filter keeps the rows whose text in a column is wanted.
func filter(mem memory.Allocator, rec arrow.Record, key string, wanted func(string) bool) (arrow.Record, error) {
	ids := newIDTable()
	column, err := ids.column(rec, key)
	if err != nil {
		return nil, fmt.Errorf("filter by %s: %w", key, err)
	}
	var decided []int8 // by dense id: 1 wanted, 2 not
	var rows []int
	for i := range int(rec.NumRows()) {
		id := column.at(i)
		if id == null {
			continue
		}
		for int(id) >= len(decided) {
			decided = append(decided, 0)
		}
		if decided[id] == 0 {
			decided[id] = 2
			if wanted(ids.names[id]) {
				decided[id] = 1
			}
		}
		if decided[id] == 1 {
			rows = append(rows, i)
		}
	}
	return take(mem, rec, rows)
}

// take copies some rows of a record; dictionaries are built anew.
func take(mem memory.Allocator, rec arrow.Record, rows []int) (arrow.Record, error) {
	b := array.NewRecordBuilder(mem, rec.Schema())
	defer b.Release()
	for i := range int(rec.NumCols()) {
		if err := takeColumn(b.Field(i), rec.Column(i), rows); err != nil {
			return nil, fmt.Errorf("column %s: %w", rec.ColumnName(i), err)
		}
	}
	return b.NewRecord(), nil
}

func takeColumn(b array.Builder, c arrow.Array, rows []int) error {
	b.Reserve(len(rows))
	var add func(row int)
	switch c := c.(type) {
	case *array.Dictionary:
		entries, ok := c.Dictionary().(*array.String)
		if !ok {
			return fmt.Errorf("a dictionary of %s", c.Dictionary().DataType())
		}
		add = func(row int) { appendText(b, entries.Value(c.GetValueIndex(row))) }
	case *array.String:
		add = func(row int) { appendText(b, c.Value(row)) }
	case *array.Date32:
		add = func(row int) { b.(*array.Date32Builder).Append(c.Value(row)) }
	case *array.Int64:
		add = func(row int) { b.(*array.Int64Builder).Append(c.Value(row)) }
	case *array.Int32:
		add = func(row int) { b.(*array.Int32Builder).Append(c.Value(row)) }
	case *array.Float64:
		add = func(row int) { b.(*array.Float64Builder).Append(c.Value(row)) }
	case *array.Boolean:
		add = func(row int) { b.(*array.BooleanBuilder).Append(c.Value(row)) }
	case *array.Decimal128:
		add = func(row int) { b.(*array.Decimal128Builder).Append(c.Value(row)) }
	default:
		return fmt.Errorf("no filter for %s", c.DataType())
	}
	for _, row := range rows {
		if c.IsNull(row) {
			b.AppendNull()
			continue
		}
		add(row)
	}
	return nil
}

// FilterInputs cuts inputs down to some customers: everything that follows is
// computed as if no other customer existed. The function releases what was made
// for the result, whose other records are still the input's.
func FilterInputs(mem memory.Allocator, in Inputs, customers map[data.CustomerID]bool) (Inputs, func(), error) {
	var made []arrow.Record
	free := func() {
		for _, rec := range made {
			rec.Release()
		}
	}
	out := in
	out.Daily, out.Inventory = nil, nil
	subscriptions := map[string]bool{}
	keep := func(rec arrow.Record) (arrow.Record, error) {
		if rec == nil {
			return nil, nil
		}
		cut, err := Filter(mem, rec, customers)
		if err != nil {
			return nil, err
		}
		made = append(made, cut)
		if ids := column(cut, "subscription_id"); ids != nil {
			for i := range ids.Len() {
				if id, ok := text(ids, i); ok {
					subscriptions[id] = true
				}
			}
		}
		return cut, nil
	}
	fail := func(err error) (Inputs, func(), error) {
		free()
		return Inputs{}, func() {}, err
	}
	for _, rec := range in.Daily {
		cut, err := keep(rec)
		if err != nil {
			return fail(err)
		}
		out.Daily = append(out.Daily, cut)
	}
	for _, s := range in.Inventory {
		c, err := keep(s.Customers)
		if err != nil {
			return fail(err)
		}
		subs, err := keep(s.Subscriptions)
		if err != nil {
			return fail(err)
		}
		out.Inventory = append(out.Inventory, Snapshot{Day: s.Day, Customers: c, Subscriptions: subs})
	}
	if in.Usage != nil {
		spans, err := filter(mem, in.Usage, "subscription_id", func(id string) bool { return subscriptions[id] })
		if err != nil {
			return fail(err)
		}
		made = append(made, spans)
		out.Usage = spans
	}
	return out, free, nil
}

// WithoutMoney returns the record without its money columns: cost,
// effective_cost, cost_usd and the counts of rows that have them. The caller
// must Release it.
func WithoutMoney(rec arrow.Record) arrow.Record {
	var fields []arrow.Field
	var columns []arrow.Array
	for i, f := range rec.Schema().Fields() {
		switch f.Name {
		case "cost", "effective_cost", "cost_usd", "cost_rows", "usd_rows":
			continue
		}
		fields = append(fields, f)
		columns = append(columns, rec.Column(i))
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, rec.NumRows())
}

// InputsWithoutMoney drops the money columns of every record. The function
// releases what was made.
func InputsWithoutMoney(in Inputs) (Inputs, func()) {
	out := in
	out.Daily = nil
	for _, rec := range in.Daily {
		out.Daily = append(out.Daily, WithoutMoney(rec))
	}
	return out, func() {
		for _, rec := range out.Daily {
			rec.Release()
		}
	}
}
