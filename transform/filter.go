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

// Index finds the rows of customers in inputs, so that cutting the inputs down to
// what one of many recipients may see takes time for those rows and not for all.
// It is safe for concurrent use, and good as long as the records are held.
type Index struct {
	in        Inputs
	customers IDs

	daily     []indexed // runs of records with the same columns
	inventory [][2]indexed
	history   indexed
	others    indexed
	usage     map[string]int // row of each subscription
}

// indexed are records with the rows of each customer.
type indexed struct {
	records []arrow.Record
	rows    [][]rowSpan // by id of the customer
}

// rowSpan are rows of one record that follow each other.
type rowSpan struct{ record, from, to int32 }

// NewIndex finds out which rows belong to whom. It borrows the records.
func NewIndex(in Inputs) (*Index, error) {
	x := &Index{in: in}
	for i, rec := range in.Daily {
		if i == 0 || !rec.Schema().Equal(in.Daily[i-1].Schema()) {
			x.daily = append(x.daily, indexed{})
		}
		if err := x.add(&x.daily[len(x.daily)-1], rec); err != nil {
			return nil, fmt.Errorf("usage: %w", err)
		}
	}
	x.inventory = make([][2]indexed, len(in.Inventory))
	for i, s := range in.Inventory {
		for j, rec := range []arrow.Record{s.Customers, s.Subscriptions} {
			if err := x.add(&x.inventory[i][j], rec); err != nil {
				return nil, fmt.Errorf("inventory of %s: %w", s.Day, err)
			}
		}
	}
	if err := x.add(&x.history, in.History); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if err := x.add(&x.others, in.Others); err != nil {
		return nil, fmt.Errorf("customers of earlier days: %w", err)
	}
	if in.Usage == nil {
		return x, nil
	}
	var ids IDs
	c := ColumnsOf(in.Usage)
	subscription := c.IDs("subscription_id", &ids)
	if c.Err() != nil {
		return nil, fmt.Errorf("first and last usage days: %w", c.Err())
	}
	x.usage = make(map[string]int, c.Rows())
	for i := range c.Rows() {
		x.usage[ids.Text(subscription.At(i))] = i
	}
	return x, nil
}

func (x *Index) add(to *indexed, rec arrow.Record) error {
	if rec == nil {
		return nil
	}
	c := ColumnsOf(rec)
	customer := c.IDs("customer_id", &x.customers)
	if c.Err() != nil {
		return c.Err()
	}
	record := int32(len(to.records))
	to.records = append(to.records, rec)
	for i := range c.Rows() {
		id, at := customer.At(i), int32(i)
		if id == NoID {
			continue
		}
		to.rows = atLeast(to.rows, int(id)+1)
		spans := to.rows[id]
		if n := len(spans) - 1; n >= 0 && spans[n].record == record && spans[n].to == at {
			spans[n].to++
			continue
		}
		to.rows[id] = append(spans, rowSpan{record, at, at + 1})
	}
	return nil
}

// Customers yields every customer that a row belongs to.
func (x *Index) Customers() iter.Seq[data.CustomerID] {
	return func(yield func(data.CustomerID) bool) {
		for _, id := range x.customers.texts {
			if !yield(data.CustomerID(id)) {
				return
			}
		}
	}
}

// take copies the rows of customers into one record; nil without any record.
func (t indexed) take(mem memory.Allocator, customers []int32) (arrow.Record, error) {
	if len(t.records) == 0 {
		return nil, nil
	}
	var spans []rowSpan
	for _, id := range customers {
		if int(id) < len(t.rows) {
			spans = append(spans, t.rows[id]...)
		}
	}
	slices.SortFunc(spans, func(a, b rowSpan) int { return cmp.Or(cmp.Compare(a.record, b.record), cmp.Compare(a.from, b.from)) })
	var rows []place
	for _, s := range spans {
		for row := s.from; row < s.to; row++ {
			rows = append(rows, place{int(s.record), int(row)})
		}
	}
	return take(mem, t.records[0].Schema(), t.records, rows)
}

// Filter returns the inputs with the rows of the customers in the set only.
// Nothing of the other rows remains: dictionaries are built anew, so that they
// name no customer, subscription or category that occurs in other rows only.
// Inputs.Usage names no customer; of it the subscriptions that occur in the
// records that remain are kept. The caller must call release once the inputs are
// no longer used; it is nil when there is an error.
func (x *Index) Filter(mem memory.Allocator, customers map[data.CustomerID]bool) (out Inputs, release func(), err error) {
	var made []arrow.Record
	var ids []int32
	for c, wanted := range customers {
		if id, found := x.customers.index[string(c)]; found && wanted {
			ids = append(ids, id)
		}
	}
	var subscriptions IDs
	cut := func(t indexed) (arrow.Record, error) {
		kept, err := t.take(mem, ids)
		if err != nil || kept == nil {
			return nil, err
		}
		made = append(made, kept)
		return kept, noteSubscriptions(kept, &subscriptions)
	}
	fail := func(what string, err error) (Inputs, func(), error) {
		releaseAll(made)
		return Inputs{}, nil, fmt.Errorf("filter %s: %w", what, err)
	}
	out = x.in
	out.Daily, out.Inventory = nil, slices.Clone(x.in.Inventory)
	for _, t := range x.daily {
		rec, err := cut(t)
		if err != nil {
			return fail("usage", err)
		}
		out.Daily = append(out.Daily, rec)
	}
	for i, t := range x.inventory {
		s := &out.Inventory[i]
		if s.Customers, err = cut(t[0]); err == nil {
			s.Subscriptions, err = cut(t[1])
		}
		if err != nil {
			return fail("inventory of "+s.Day.String(), err)
		}
	}
	if out.History, err = cut(x.history); err != nil {
		return fail("history", err)
	}
	if out.Others, err = cut(x.others); err != nil {
		return fail("customers of earlier days", err)
	}
	if x.in.Usage == nil {
		return out, func() { releaseAll(made) }, nil
	}
	var rows []place
	for _, id := range subscriptions.texts {
		if row, found := x.usage[id]; found {
			rows = append(rows, place{0, row})
		}
	}
	slices.SortFunc(rows, func(a, b place) int { return cmp.Compare(a.row, b.row) })
	if out.Usage, err = take(mem, x.in.Usage.Schema(), []arrow.Record{x.in.Usage}, rows); err != nil {
		return fail("first and last usage days", err)
	}
	made = append(made, out.Usage)
	return out, func() { releaseAll(made) }, nil
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
