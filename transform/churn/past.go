package churn

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// Past is what the days of an archive up to one of them come to, as Condense makes it: enough
// to score later days to the last bit. The record is borrowed.
type Past struct {
	Until data.Day
	Rows  arrow.Record // data.UsagePastSchema
}

// Condense returns what the known days up to a day come to (data.UsagePastSchema, in no
// particular order): what ReadHistorySince takes as a Past. The rows are those of usage_daily
// on the days after the Past, which is nil when they are those of all days. The caller must
// Release the record.
func Condense(mem memory.Allocator, until data.Day, known []data.Day, past *Past, rows iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	h, err := ReadHistorySince(known, past, rows)
	if err != nil {
		return nil, fmt.Errorf("condense: %w", err)
	}
	b := pastBuilder{array.NewRecordBuilder(mem, data.UsagePastSchema()), h, until}
	defer b.Release()
	for id := range h.accounts {
		if err := b.account(int32(id)); err != nil {
			return nil, fmt.Errorf("condense: subscription %q: %w", h.subscriptions.Text(int32(id)), err)
		}
	}
	for id, begun := range h.begun {
		if begun >= h.days {
			continue
		}
		if err := b.row(pastRow{category: new(h.categories.Text(int32(id))), first: new(h.on(begun))}); err != nil {
			return nil, fmt.Errorf("condense: category: %w", err)
		}
	}
	return b.NewRecord(), nil
}

// pastBuilder writes a history.
type pastBuilder struct {
	*array.RecordBuilder
	h     *History
	until data.Day
}

// pastRow is a row of usage_past: of a subscription, of a subscription's cost in a currency,
// or of a category.
type pastRow struct {
	subscription, category, currency *string
	appeared                         *int32
	first, last                      *data.Day
	used, cost                       *string
}

func (b pastBuilder) account(id int32) error {
	a, text := &b.h.accounts[id], b.h.subscriptions.Text(id)
	row := pastRow{subscription: &text, appeared: &id}
	if first, last := a.used.first(0, b.h.days-1), a.used.last(0, b.h.days-1); first >= 0 {
		row.first, row.last, row.used = new(b.h.on(first)), new(b.h.on(last)), new(a.used.text(first, last))
	}
	if err := b.row(row); err != nil {
		return err
	}
	for _, c := range a.costs {
		sum := strconv.FormatFloat(c.sum(0, b.h.days-1), 'g', -1, 64)
		if err := b.row(pastRow{subscription: &text, currency: &c.currency, cost: &sum}); err != nil {
			return err
		}
	}
	return nil
}

func (b pastBuilder) row(r pastRow) error {
	values := map[string]any{"until_date": arrow.Date32(b.until)}
	for name, v := range map[string]*string{"subscription_id": r.subscription, "category": r.category, "currency": r.currency, "used": r.used, "cost": r.cost} {
		if v != nil {
			values[name] = *v
		}
	}
	for name, v := range map[string]*data.Day{"first_usage": r.first, "last_usage": r.last} {
		if v != nil {
			values[name] = arrow.Date32(*v)
		}
	}
	if r.appeared != nil {
		values["appeared"] = *r.appeared
	}
	for i, field := range b.Schema().Fields() {
		if err := appendValue(b.Field(i), values[field.Name]); err != nil {
			return fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	return nil
}

// text writes the members in [from, to], a character for each: 1 for one that is there.
func (s bitset) text(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteByte("01"[s.word(i>>6, i, i)>>(i&63)])
	}
	return b.String()
}

// begin takes in a Past.
func (r *reader) begin(past *Past) error {
	r.held = min(max(r.place(past.Until)+1, 0), r.days)
	p, err := r.pastColumns(past.Rows)
	if err != nil {
		return err
	}
	// Accounts are numbered as if every row had been read: sums over all of them depend on it.
	for place, i := range p.order {
		if id := r.subscriptions.ID(p.subscriptions.Text(p.subscription.At(i))); int(id) != place {
			return fmt.Errorf("row %d: subscription %q is there twice", i, r.subscriptions.Text(id))
		}
		r.room(int32(place))
		if first, known := p.first.At(i); known {
			if err := r.usedSince(&r.accounts[place], data.Day(first), p.used.Value(i)); err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
		}
	}
	for _, i := range p.costs {
		id, found := r.subscriptions.Find(p.subscriptions.Text(p.subscription.At(i)))
		sum, err := strconv.ParseFloat(p.cost.Value(i), 64)
		if err != nil || !found {
			return fmt.Errorf("row %d: a cost of %q of a subscription that is %s", i, p.cost.Value(i), map[bool]string{true: "there", false: "not there"}[found])
		}
		r.series(id, p.currency.At(i)).before = sum
	}
	return nil
}

// usedSince notes the days of usage of an account.
func (r *reader) usedSince(a *account, first data.Day, used string) error {
	from := r.place(first)
	if from < 0 || from+len(used) > r.held {
		return fmt.Errorf("usage from %s on over %d days lies outside the days condensed", first, len(used))
	}
	a.used = newBitset(r.days)
	for j := range len(used) {
		switch used[j] {
		case '1':
			a.used.add(from + j)
		case '0':
		default:
			return fmt.Errorf("usage %.40q: neither 0 nor 1", used)
		}
	}
	return nil
}

// pastColumns are the columns of a Past, with the rows of each kind.
type pastColumns struct {
	subscriptions          transform.IDs
	subscription, currency transform.IDColumn
	first                  transform.Column[arrow.Date32]
	used, cost             *array.String
	appeared               *array.Int32
	order                  []int // rows of subscriptions, as they appeared
	costs                  []int // rows of costs
}

// pastColumns finds the columns, and takes in the categories.
func (r *reader) pastColumns(rec arrow.Record) (*pastColumns, error) {
	p := &pastColumns{}
	c := transform.ColumnsOf(rec)
	p.subscription, p.currency = c.IDs("subscription_id", &p.subscriptions), c.IDs("currency", &r.currencies)
	category := c.IDs("category", &r.categories)
	p.first = c.Days("first_usage")
	if c.Err() != nil {
		return nil, c.Err()
	}
	if err := errors.Join(column(rec, "used", &p.used), column(rec, "cost", &p.cost), column(rec, "appeared", &p.appeared)); err != nil {
		return nil, err
	}
	rows := map[int32]int{}
	for i := range c.Rows() {
		switch {
		case p.appeared.IsValid(i):
			rows[p.appeared.Value(i)] = i
		case p.subscription.At(i) != transform.NoID:
			p.costs = append(p.costs, i)
		case category.At(i) != transform.NoID:
			first, _ := p.first.At(i)
			if int(category.At(i)) != len(r.begun) {
				return nil, fmt.Errorf("row %d: category %q is there twice", i, r.categories.Text(category.At(i)))
			}
			r.begun = append(r.begun, r.place(data.Day(first)))
		}
	}
	for n := range int32(len(rows)) {
		i, found := rows[n]
		if !found {
			return nil, fmt.Errorf("no subscription appeared as number %d", n)
		}
		p.order = append(p.order, i)
	}
	return p, nil
}

// column finds a column of a type that transform.Columns has not.
func column[A arrow.Array](rec arrow.Record, name string, into *A) error {
	at := rec.Schema().FieldIndices(name)
	if len(at) == 0 {
		return fmt.Errorf("column %s: missing", name)
	}
	a, ok := rec.Column(at[0]).(A)
	if !ok {
		return fmt.Errorf("column %s: unexpected type %s", name, rec.Column(at[0]).DataType())
	}
	*into = a
	return nil
}

// UsageDays returns for each subscription with usage its first and its last day of it, as
// rows of usage_daily with the columns that transform.UsageSpan reads. The caller must
// Release the record.
func (h *History) UsageDays(mem memory.Allocator) (arrow.Record, error) {
	fields := data.UsageDailySchema().Fields()
	schema := arrow.NewSchema(slices.DeleteFunc(slices.Clone(fields), func(f arrow.Field) bool {
		return !slices.Contains(transform.SpanColumns(), f.Name)
	}), nil)
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for id := range h.accounts {
		a := &h.accounts[id]
		first := a.used.first(0, h.days-1)
		if first < 0 {
			continue
		}
		for _, at := range []int{first, a.used.last(0, h.days-1)} {
			values := map[string]any{"usage_date": arrow.Date32(h.on(at)), "subscription_id": h.subscriptions.Text(int32(id)), "usage_rows": int64(1)}
			for i, f := range schema.Fields() {
				if err := appendValue(b.Field(i), values[f.Name]); err != nil {
					return nil, fmt.Errorf("column %s: %w", f.Name, err)
				}
			}
		}
	}
	return b.NewRecord(), nil
}

// PastSpans returns the period from the first to the last day with usage of each
// subscription that has any, up to the day of a Past's rows.
func PastSpans(rows arrow.Record) (map[data.SubscriptionID]data.Period, error) {
	var subscriptions transform.IDs
	c := transform.ColumnsOf(rows)
	id, first, last := c.IDs("subscription_id", &subscriptions), c.Days("first_usage"), c.Days("last_usage")
	if c.Err() != nil {
		return nil, fmt.Errorf("condensed usage: %w", c.Err())
	}
	spans := map[data.SubscriptionID]data.Period{}
	for i := range c.Rows() {
		from, used := first.At(i)
		to, _ := last.At(i)
		if used && id.At(i) != transform.NoID {
			spans[data.SubscriptionID(subscriptions.Text(id.At(i)))] = data.Period{From: data.Day(from), To: data.Day(to)}
		}
	}
	return spans, nil
}
