package transform

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// TrendPeriods is over how many periods a trend goes, the period itself
// included.
const TrendPeriods = 12

// Trend returns the periods of the trend, the oldest first: the period, the one
// before it, and so on.
func (in Inputs) Trend() []data.Period {
	periods := make([]data.Period, TrendPeriods)
	p := in.Period
	for i := range periods {
		periods[TrendPeriods-1-i] = p
		p = p.Previous()
	}
	return periods
}

// HistorySchema is the schema of Inputs.History: for each customer and period
// one row without category and currency that counts the subscriptions with
// usage, and one with the cost of each category and currency. A cost is null
// where rows exist and none states it.
func HistorySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "period_from", Type: arrow.FixedWidthTypes.Date32},
		{Name: "customer_id", Type: data.DictType()},
		{Name: "subscriptions", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "category", Type: data.DictType(), Nullable: true},
		{Name: "currency", Type: data.DictType(), Nullable: true},
		{Name: "cost", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

// HistoryColumns are the columns of usage_daily that History reads.
func HistoryColumns() []string {
	return []string{"usage_date", "customer_id", "subscription_id", "category", "currency", "charge_category", "usage_rows", "cost"}
}

// History adds usage_daily rows up by customer and period of the trend
// (HistorySchema), rows of other and of unknown days left out. Its size is that
// of the customers and their categories, not of the days. The caller must Release
// the record.
func History(mem memory.Allocator, in Inputs, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	h := &history{in: in, periods: in.Trend()}
	for rec, err := range batches {
		if err == nil {
			err = h.add(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("history: %w", err)
		}
	}
	rec, err := h.record(mem)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return rec, nil
}

type history struct {
	in      Inputs
	periods []data.Period

	customers, subscriptions, categories, currencies IDs

	used groups[historyUse, struct{}] // subscriptions that had usage
	cost groups[historyCost, Sum]
}

type historyUse struct{ period, customer, subscription int32 }

type historyCost struct{ period, customer, category, currency int32 }

func (h *history) add(rec arrow.Record) error {
	var charges IDs
	c, tax := ColumnsOf(rec), charges.ID(string(data.ChargeTax))
	day, usage, cost := c.Days("usage_date"), c.Int64s("usage_rows"), c.Decimals("cost")
	customer, subscription := c.IDs("customer_id", &h.customers), c.IDs("subscription_id", &h.subscriptions)
	category, currency, charge := c.IDs("category", &h.categories), c.IDs("currency", &h.currencies), c.IDs("charge_category", &charges)
	if c.Err() != nil {
		return c.Err()
	}
	at, lastDay := -1, data.Day(0)
	for i := range c.Rows() {
		d, _ := day.At(i)
		if on := data.Day(d); i == 0 || on != lastDay {
			at, lastDay = h.periodOf(on), on
		}
		if at < 0 {
			continue
		}
		who, what := customer.At(i), subscription.At(i)
		if n, _ := usage.At(i); n > 0 {
			h.used.at(historyUse{int32(at), who, what})
		}
		if charge.At(i) == tax {
			continue
		}
		sum := h.cost.at(historyCost{int32(at), who, category.At(i), currency.At(i)})
		if v, known := cost.At(i); known {
			sum.Add(v)
		}
	}
	return nil
}

// periodOf returns the index of the period of a known day, else -1.
func (h *history) periodOf(d data.Day) int {
	if !h.in.IsKnown(d) {
		return -1
	}
	return slices.IndexFunc(h.periods, func(p data.Period) bool { return p.Contains(d) })
}

func (h *history) record(mem memory.Allocator) (arrow.Record, error) {
	w := newWriter(mem, HistorySchema())
	defer w.release()
	var used groups[historyCost, int64] // by period and customer
	for _, k := range h.used.keys {
		n := used.at(historyCost{k.period, k.customer, NoID, NoID})
		if k.subscription != NoID {
			*n++
		}
	}
	for i, k := range used.keys {
		h.key(w, k)
		w.int64(used.values[i])
		w.null()
		w.null()
		w.null()
	}
	for i, k := range h.cost.keys {
		h.key(w, k)
		w.null()
		w.id(k.category, &h.categories)
		w.id(k.currency, &h.currencies)
		w.sum(h.cost.values[i], "cost of a customer from "+h.periods[k.period].From.String())
	}
	return w.finish()
}

func (h *history) key(w *writer, k historyCost) {
	w.day(h.periods[k.period].From)
	w.id(k.customer, &h.customers)
}

// The tables of Tables that a trend is.
func trendSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "period_from", Type: arrow.FixedWidthTypes.Date32},
		{Name: "period_to", Type: arrow.FixedWidthTypes.Date32},
		{Name: "known_days", Type: arrow.PrimitiveTypes.Int64},
		{Name: "customers_with_usage", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "subscriptions_with_usage", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}, nil)
}

func trendCostSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "period_from", Type: arrow.FixedWidthTypes.Date32},
		{Name: "category", Type: data.DictType(), Nullable: true},
		{Name: "currency", Type: data.DictType()},
		{Name: "value", Type: data.DecimalType()},
	}, nil)
}

// trend adds the history of all customers up.
type trend struct {
	customers, subscriptions map[data.Day]int64
	categories, currencies   IDs
	cost                     groups[trendCost, Sum]
}

type trendCost struct {
	from               data.Day
	category, currency int32
}

func readTrend(rec arrow.Record, money bool) (*trend, error) {
	t := &trend{customers: map[data.Day]int64{}, subscriptions: map[data.Day]int64{}}
	c := ColumnsOf(rec)
	from, n := c.Days("period_from"), c.Int64s("subscriptions")
	category, currency := c.IDs("category", &t.categories), c.IDs("currency", &t.currencies)
	var cost Column[decimal128.Num]
	if money {
		cost = c.Decimals("cost")
	}
	if c.Err() != nil {
		return nil, fmt.Errorf("history: %w", c.Err())
	}
	for i := range c.Rows() {
		d, _ := from.At(i)
		day := data.Day(d)
		if used, counts := n.At(i); counts {
			t.customers[day]++
			t.subscriptions[day] += used
			continue
		}
		if !money || currency.At(i) == NoID {
			continue
		}
		if v, known := cost.At(i); known {
			t.cost.at(trendCost{day, NoID, currency.At(i)}).Add(v)
			if category.At(i) != NoID {
				t.cost.at(trendCost{day, category.At(i), currency.At(i)}).Add(v)
			}
		}
	}
	return t, nil
}

// trends writes both tables of the trend.
func (c *computation) trends(t *Tables) error {
	if c.in.History == nil {
		return nil
	}
	sums, err := readTrend(c.in.History, c.usage.money)
	if err != nil {
		return err
	}
	w := newWriter(c.mem, trendSchema())
	defer w.release()
	for _, p := range c.in.Trend() {
		known := len(c.in.Known(p))
		w.day(p.From)
		w.day(p.To)
		w.int64(int64(known))
		if known == 0 {
			w.null()
			w.null()
			continue
		}
		w.int64(sums.customers[p.From])
		w.int64(sums.subscriptions[p.From])
	}
	if t.Trend, err = w.finish(); err != nil || !c.usage.money {
		return err
	}
	t.TrendCost, err = sums.costs(c.mem)
	return err
}

// costs writes the cost of each period, by category and without.
func (t *trend) costs(mem memory.Allocator) (arrow.Record, error) {
	category, currency := t.categories.ranks(), t.currencies.ranks()
	order := sorted(t.cost.keys, func(a, b trendCost) int {
		return cmp.Or(cmp.Compare(a.from, b.from), category.cmp(a.category, b.category), currency.cmp(a.currency, b.currency))
	})
	w := newWriter(mem, trendCostSchema())
	defer w.release()
	for _, i := range order {
		k := t.cost.keys[i]
		w.day(k.from)
		w.id(k.category, &t.categories)
		w.id(k.currency, &t.currencies)
		w.sum(t.cost.values[i], "cost in "+t.currencies.Text(k.currency)+" from "+k.from.String())
	}
	return w.finish()
}
