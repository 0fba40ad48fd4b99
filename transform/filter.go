package transform

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Filter returns the rows of a record whose customer_id is in the set. Nothing
// of the other rows remains: dictionaries are built anew, so that they name no
// customer, subscription or category that occurs in other rows only. The caller
// must Release the record.
func Filter(mem memory.Allocator, rec arrow.Record, customers map[data.CustomerID]bool) (arrow.Record, error) {
	out, err := filter(mem, rec, "customer_id", func(id string) bool { return customers[data.CustomerID(id)] })
	if err != nil {
		return nil, fmt.Errorf("filter by customer: %w", err)
	}
	return out, nil
}

// filter keeps the rows whose id in a column is wanted.
func filter(mem memory.Allocator, rec arrow.Record, column string, wanted func(string) bool) (arrow.Record, error) {
	var table IDs
	c := ColumnsOf(rec)
	col := c.IDs(column, &table)
	if c.Err() != nil {
		return nil, c.Err()
	}
	var keep []bool // by id
	var rows []place
	for i := range c.Rows() {
		id := col.At(i)
		if id == NoID {
			continue
		}
		if int(id) == len(keep) {
			keep = append(keep, wanted(table.Text(id)))
		}
		if keep[id] {
			rows = append(rows, place{0, i})
		}
	}
	return take(mem, rec.Schema(), []arrow.Record{rec}, rows)
}

// FilterInputs returns the inputs with the rows of the customers in the set
// only. Inputs.Usage names no customer; of it the subscriptions that occur in
// the other records that remain are kept. The caller must call release once
// the inputs are no longer used; it is nil when there is an error.
func FilterInputs(mem memory.Allocator, in Inputs, customers map[data.CustomerID]bool) (out Inputs, release func(), err error) {
	var made []arrow.Record
	free := func() { releaseAll(made) }
	var subscriptions IDs
	cut := func(rec arrow.Record) (arrow.Record, error) {
		if rec == nil {
			return nil, nil
		}
		kept, err := Filter(mem, rec, customers)
		if err != nil {
			return nil, err
		}
		made = append(made, kept)
		return kept, noteSubscriptions(kept, &subscriptions)
	}
	out = in
	out.Daily, out.Inventory = make([]arrow.Record, len(in.Daily)), slices.Clone(in.Inventory)
	for i, rec := range in.Daily {
		if out.Daily[i], err = cut(rec); err != nil {
			free()
			return Inputs{}, nil, fmt.Errorf("usage: %w", err)
		}
	}
	for i, s := range in.Inventory {
		if out.Inventory[i].Customers, err = cut(s.Customers); err == nil {
			out.Inventory[i].Subscriptions, err = cut(s.Subscriptions)
		}
		if err != nil {
			free()
			return Inputs{}, nil, fmt.Errorf("inventory of %s: %w", s.Day, err)
		}
	}
	if out.History, err = cut(in.History); err != nil {
		free()
		return Inputs{}, nil, fmt.Errorf("history: %w", err)
	}
	if in.Usage == nil {
		return out, free, nil
	}
	out.Usage, err = filter(mem, in.Usage, "subscription_id", func(id string) bool {
		_, found := subscriptions.index[id]
		return found
	})
	if err != nil {
		free()
		return Inputs{}, nil, fmt.Errorf("first and last usage days: %w", err)
	}
	made = append(made, out.Usage)
	return out, free, nil
}

func releaseAll(records []arrow.Record) {
	for _, rec := range records {
		rec.Release()
	}
}

// noteSubscriptions adds the subscriptions that a record names to a table.
func noteSubscriptions(rec arrow.Record, into *IDs) error {
	c := ColumnsOf(rec)
	if !c.Has("subscription_id") {
		return nil
	}
	col := c.IDs("subscription_id", into)
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		col.At(i)
	}
	return nil
}

// isMoney reports whether a column of usage or usage_daily tells about money.
func isMoney(column string) bool {
	switch column {
	case "cost", "effective_cost", "cost_usd", "cost_rows", "usd_rows":
		return true
	}
	return false
}

// WithoutMoney returns a record without the columns that tell about money. It
// shares the other columns. The caller must Release it.
func WithoutMoney(rec arrow.Record) arrow.Record {
	var fields []arrow.Field
	var cols []arrow.Array
	for i, f := range rec.Schema().Fields() {
		if !isMoney(f.Name) {
			fields, cols = append(fields, f), append(cols, rec.Column(i))
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), cols, rec.NumRows())
}

// InputsWithoutMoney returns the inputs without money columns. The caller must
// call release once they are no longer used.
func InputsWithoutMoney(in Inputs) (out Inputs, release func()) {
	out = in
	out.NoMoney, out.Daily = true, make([]arrow.Record, len(in.Daily))
	for i, rec := range in.Daily {
		out.Daily[i] = WithoutMoney(rec)
	}
	made := slices.Clone(out.Daily)
	if in.History != nil {
		out.History = WithoutMoney(in.History)
		made = append(made, out.History)
	}
	return out, func() { releaseAll(made) }
}
