package transform

import (
	"cmp"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// CustomerDaysSchema is the schema of CustomerDays: for each customer and known
// day with usage one row without currency that counts the services used, which
// are the categories of each subscription, and one with the cost of the usage in
// each currency.
func CustomerDaysSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: data.DictType()},
		{Name: "date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "services", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "currency", Type: data.DictType(), Nullable: true},
		{Name: "cost", Type: data.DecimalType(), Nullable: true},
	}, nil)
}

// CustomerDays adds the usage of some subscriptions up by customer and day
// (CustomerDaysSchema), in
// order of customer and day: the services first. Only rows of charge category usage count: a purchase
// books the cost of years on one day. A cost that no row states has no row. The
// caller must Release the record.
func CustomerDays(mem memory.Allocator, in Inputs, subscriptions map[data.SubscriptionID]bool, period data.Period) (arrow.Record, error) {
	d := customerDays{in: in, period: period, wanted: subscriptions}
	for _, rec := range in.Daily {
		if err := d.add(rec); err != nil {
			return nil, fmt.Errorf("days of customers: %w", err)
		}
	}
	rec, err := d.record(mem)
	if err != nil {
		return nil, fmt.Errorf("days of customers: %w", err)
	}
	return rec, nil
}

type customerDays struct {
	in     Inputs
	period data.Period
	wanted map[data.SubscriptionID]bool

	customers, subscriptions, categories, currencies IDs

	keep     []bool // by subscription
	services groups[customerService, struct{}]
	cost     groups[customerDay, Sum] // of the currency; services without one
}

type customerDay struct {
	customer int32
	day      data.Day
	currency int32
}

type customerService struct {
	customer               int32
	day                    data.Day
	subscription, category int32
}

func (d *customerDays) add(rec arrow.Record) error {
	var charges IDs
	c, usage := ColumnsOf(rec), charges.ID(string(data.ChargeUsage))
	day, used := c.Days("usage_date"), c.Int64s("usage_rows")
	customer, subscription := c.IDs("customer_id", &d.customers), c.IDs("subscription_id", &d.subscriptions)
	category, currency, charge := c.IDs("category", &d.categories), c.IDs("currency", &d.currencies), c.IDs("charge_category", &charges)
	money := !d.in.NoMoney && c.Has("cost")
	var cost Column[decimal128.Num]
	if money {
		cost = c.Decimals("cost")
	}
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		what := subscription.At(i)
		if what == NoID {
			continue
		}
		if int(what) == len(d.keep) {
			d.keep = append(d.keep, d.wanted[data.SubscriptionID(d.subscriptions.Text(what))])
		}
		on, _ := day.At(i)
		who, at := customer.At(i), data.Day(on)
		if !d.keep[what] || charge.At(i) != usage || !d.period.Contains(at) || !d.in.IsKnown(at) {
			continue
		}
		if n, _ := used.At(i); n > 0 {
			d.services.at(customerService{who, at, what, category.At(i)})
		}
		if !money {
			continue
		}
		if v, known := cost.At(i); known {
			d.cost.at(customerDay{who, at, currency.At(i)}).Add(v)
		}
	}
	return nil
}

func (d *customerDays) record(mem memory.Allocator) (arrow.Record, error) {
	var services groups[customerDay, int64]
	for _, k := range d.services.keys {
		*services.at(customerDay{k.customer, k.day, NoID})++
	}
	w := newWriter(mem, CustomerDaysSchema())
	defer w.release()
	for _, i := range d.order(services.keys) {
		d.key(w, services.keys[i])
		w.int64(services.values[i])
		w.null()
		w.null()
	}
	for _, i := range d.order(d.cost.keys) {
		k := d.cost.keys[i]
		d.key(w, k)
		w.null()
		w.id(k.currency, &d.currencies)
		w.sum(d.cost.values[i], "cost of a customer on "+k.day.String())
	}
	return w.finish()
}

func (d *customerDays) key(w *writer, k customerDay) {
	w.id(k.customer, &d.customers)
	w.day(k.day)
}

func (d *customerDays) order(keys []customerDay) []int {
	customer, currency := d.customers.ranks(), d.currencies.ranks()
	return sorted(keys, func(a, b customerDay) int {
		return cmp.Or(customer.cmp(a.customer, b.customer), cmp.Compare(a.day, b.day), currency.cmp(a.currency, b.currency))
	})
}
