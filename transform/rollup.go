package transform

import (
	"cmp"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Rollup adds the usage rows of one day (data.UsageSchema) up to one row per
// customer, subscription, category, unit, currency and charge category
// (data.UsageDailySchema), sorted by those with nulls first. Batches may come
// in any order and size. No rows give a record of no rows; rows of two days are
// an error, and so is a sum that needs more than 38 digits (data.ErrOverflow).
// The caller must Release the record.
func Rollup(mem memory.Allocator, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	var r rollup
	for rec, err := range batches {
		if err != nil {
			return nil, fmt.Errorf("roll up usage: %w", err)
		}
		if err := r.add(rec); err != nil {
			return nil, fmt.Errorf("roll up usage: %w", err)
		}
	}
	rec, err := r.record(mem)
	if err != nil {
		return nil, fmt.Errorf("roll up usage of %s: %w", r.day, err)
	}
	return rec, nil
}

type rollup struct {
	customers, subscriptions, categories, units, currencies, charges, services IDs

	day    data.Day
	rows   int64
	groups groups[rollupKey, rollupSums]
	seen   groups[servicePair, struct{}]
}

type rollupKey struct {
	customer, subscription, category, unit, currency, charge int32
}

type rollupSums struct {
	cost, effective, usd, quantity Sum
	rows, usageRows, usdRows       int64
	services                       int32
}

// servicePair is a service that a group was seen with.
type servicePair struct {
	group   int
	service int32
}

func (r *rollup) add(rec arrow.Record) error {
	c := ColumnsOf(rec)
	day := c.Days("usage_date")
	customer, subscription := c.IDs("customer_id", &r.customers), c.IDs("subscription_id", &r.subscriptions)
	category, unit := c.IDs("category", &r.categories), c.IDs("unit", &r.units)
	currency, charge := c.IDs("currency", &r.currencies), c.IDs("charge_category", &r.charges)
	service := c.IDs("service", &r.services)
	quantity, cost := c.Decimals("quantity"), c.Decimals("cost")
	effective, usd := c.Decimals("effective_cost"), c.Decimals("cost_usd")
	if c.Err() != nil {
		return c.Err()
	}
	usageCharge := r.charges.ID(string(data.ChargeUsage))
	for i := range c.Rows() {
		d, ok := day.At(i)
		if !ok || r.rows > 0 && data.Day(d) != r.day {
			return errors.New("the rows are of more than one day")
		}
		r.day = data.Day(d)
		r.rows++
		key := rollupKey{customer.At(i), subscription.At(i), category.At(i), unit.At(i), currency.At(i), charge.At(i)}
		g := r.groups.at(key)
		g.rows++
		amount, stated := cost.At(i)
		if stated {
			g.cost.Add(amount)
		}
		if v, ok := effective.At(i); ok {
			g.effective.Add(v)
		}
		if v, ok := usd.At(i); ok {
			g.usd.Add(v)
			if stated {
				g.usdRows++
			}
		}
		if v, ok := quantity.At(i); ok {
			g.quantity.Add(v)
			if key.charge == usageCharge && v.Sign() > 0 {
				g.usageRows++
			}
		}
		if s := service.At(i); s != NoID {
			known := len(r.seen.keys)
			r.seen.at(servicePair{r.groups.last, s})
			g.services += int32(len(r.seen.keys) - known)
		}
	}
	return nil
}

func (r *rollup) record(mem memory.Allocator) (arrow.Record, error) {
	w := newWriter(mem, data.UsageDailySchema())
	defer w.release()
	for _, i := range r.order() {
		k, g := r.groups.keys[i], r.groups.values[i]
		w.day(r.day)
		w.id(k.customer, &r.customers)
		w.id(k.subscription, &r.subscriptions)
		w.id(k.category, &r.categories)
		w.id(k.unit, &r.units)
		w.id(k.currency, &r.currencies)
		w.id(k.charge, &r.charges)
		w.sum(g.cost, "cost")
		w.sum(g.effective, "effective_cost")
		w.sum(g.usd, "cost_usd")
		w.sum(g.quantity, "quantity")
		if w.err != nil {
			return nil, fmt.Errorf("customer %q, category %q: %w", r.customers.Text(k.customer), r.categories.Text(k.category), w.err)
		}
		w.int64(g.rows)
		w.int64(g.usageRows)
		w.int64(g.cost.Count())
		w.int64(g.usdRows)
		w.int32(g.services)
	}
	return w.finish()
}

// order returns the groups in the order of their keys' texts.
func (r *rollup) order() []int {
	customer, subscription, category := r.customers.ranks(), r.subscriptions.ranks(), r.categories.ranks()
	unit, currency, charge := r.units.ranks(), r.currencies.ranks(), r.charges.ranks()
	return sorted(r.groups.keys, func(a, b rollupKey) int {
		return cmp.Or(
			customer.cmp(a.customer, b.customer), subscription.cmp(a.subscription, b.subscription),
			category.cmp(a.category, b.category), unit.cmp(a.unit, b.unit),
			currency.cmp(a.currency, b.currency), charge.cmp(a.charge, b.charge))
	})
}
