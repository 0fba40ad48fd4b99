package churn

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// CostDays is of how many known days a monthly cost is the mean.
const CostDays = 84

const monthDays = 30

// MonthlyCost returns what each subscription costs in a month, per currency
// (MonthlyCostSchema), in order of both: thirty times the mean cost of a day
// over the known days since its first usage within the last 84 known days at or
// before on. The cost of a day is that of its rows of charge category usage,
// effective where that is known, and never below 0. Without money columns there
// are no rows. A sum of more than 38 digits is an error that names it
// (data.ErrOverflow). The caller must Release the record.
func MonthlyCost(mem memory.Allocator, daily []arrow.Record, known []data.Day, on data.Day) (arrow.Record, error) {
	m := newMonthly(known, on)
	for _, rec := range daily {
		if !transform.ColumnsOf(rec).Has("cost") {
			m = newMonthly(nil, on)
			break
		}
		if err := m.add(rec); err != nil {
			return nil, fmt.Errorf("monthly cost: usage: %w", err)
		}
	}
	rec, err := m.record(mem)
	if err != nil {
		return nil, fmt.Errorf("monthly cost: %w", err)
	}
	return rec, nil
}

type monthly struct {
	subscriptions, currencies transform.IDs

	place map[data.Day]int // of the known days
	days  map[costKey][]transform.Sum
	first []int // by subscription: first day with usage or cost, len(place) when none
}

type costKey struct{ subscription, currency int32 }

func newMonthly(known []data.Day, on data.Day) *monthly {
	m := &monthly{place: map[data.Day]int{}, days: map[costKey][]transform.Sum{}}
	known = slices.DeleteFunc(slices.Clone(known), func(d data.Day) bool { return d > on })
	for i, d := range known[max(0, len(known)-CostDays):] {
		m.place[d] = i
	}
	return m
}

func (m *monthly) add(rec arrow.Record) error {
	var charges transform.IDs
	usage := charges.ID(string(data.ChargeUsage))
	c := transform.ColumnsOf(rec)
	day, subscription := c.Days("usage_date"), c.IDs("subscription_id", &m.subscriptions)
	currency, charge := c.IDs("currency", &m.currencies), c.IDs("charge_category", &charges)
	cost, effective, rows := c.Decimals("cost"), c.Decimals("effective_cost"), c.Int64s("usage_rows")
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		d, _ := day.At(i)
		at, known := m.place[data.Day(d)]
		if !known || charge.At(i) != usage || subscription.At(i) == transform.NoID {
			continue
		}
		amount, hasCost := effective.At(i)
		if !hasCost {
			amount, hasCost = cost.At(i)
		}
		if n, _ := rows.At(i); n > 0 || hasCost && amount.Sign() != 0 {
			m.begin(subscription.At(i), at)
		}
		if !hasCost {
			continue
		}
		key := costKey{subscription.At(i), currency.At(i)}
		if m.days[key] == nil {
			m.days[key] = make([]transform.Sum, len(m.place))
		}
		m.days[key][at].Add(amount)
	}
	return nil
}

// begin notes that a subscription was in use on a day.
func (m *monthly) begin(subscription int32, at int) {
	for int(subscription) >= len(m.first) {
		m.first = append(m.first, len(m.place))
	}
	m.first[subscription] = min(m.first[subscription], at)
}

func (m *monthly) record(mem memory.Allocator) (arrow.Record, error) {
	keys := make([]costKey, 0, len(m.days))
	for k := range m.days {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b costKey) int {
		return cmp.Or(
			cmp.Compare(m.subscriptions.Text(a.subscription), m.subscriptions.Text(b.subscription)),
			cmp.Compare(m.currencies.Text(a.currency), m.currencies.Text(b.currency)))
	})
	b := array.NewRecordBuilder(mem, MonthlyCostSchema())
	defer b.Release()
	for _, k := range keys {
		if int(k.subscription) >= len(m.first) || m.first[k.subscription] == len(m.place) {
			continue // costs of 0 only
		}
		amount, err := m.monthlyCost(k)
		if err != nil {
			return nil, err
		}
		for i, text := range []string{m.subscriptions.Text(k.subscription), m.currencies.Text(k.currency)} {
			if err := b.Field(i).(*array.BinaryDictionaryBuilder).AppendString(text); err != nil {
				return nil, err
			}
		}
		b.Field(2).(*array.Decimal128Builder).Append(amount.Arrow())
	}
	return b.NewRecord(), nil
}

func (m *monthly) monthlyCost(k costKey) (data.Decimal, error) {
	var total transform.Sum
	for _, day := range m.days[k] {
		if day.Sign() > 0 {
			total.Merge(day)
		}
	}
	name := fmt.Sprintf("cost of subscription %q in %s", m.subscriptions.Text(k.subscription), m.currencies.Text(k.currency))
	sum, err := total.Decimal(name)
	if err != nil {
		return data.Decimal{}, err
	}
	amount, ok := sum.MulRatio(monthDays, int64(len(m.place)-m.first[k.subscription]))
	if !ok {
		return data.Decimal{}, fmt.Errorf("%s: %w", name, data.ErrOverflow)
	}
	return amount, nil
}
