package churn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// costDays is how many known days a monthly cost is the mean of.
const costDays = 84

// monthDays is how many days a month has for a monthly cost.
const monthDays = 30

type costKey struct{ subscription, currency string }

// MonthlyCost returns what each subscription costs a month in each currency
// (MonthlyCostSchema, ordered by subscription and currency): the effective cost,
// else the cost, of its usage, a day below zero counting as zero, as the mean of
// the known days since its first usage among the last 84, times 30. Without
// money columns there is no row. The caller must Release the record.
func MonthlyCost(mem memory.Allocator, daily []arrow.Record, known []data.Day, on data.Day) (arrow.Record, error) {
	days, _ := window(known, on)
	days = days[max(len(days)-costDays, 0):]
	at := make(map[data.Day]int, len(days))
	for i, d := range days {
		at[d] = i
	}
	costs := map[costKey]map[int]data.Decimal{}
	first := map[string]int{}
	for _, rec := range daily {
		if err := addCosts(rec, at, costs, first); err != nil {
			return nil, fmt.Errorf("monthly cost: %w", err)
		}
	}
	b := array.NewRecordBuilder(mem, MonthlyCostSchema())
	defer b.Release()
	for _, key := range slices.SortedFunc(maps.Keys(costs), func(a, b costKey) int {
		return cmp.Or(cmp.Compare(a.subscription, b.subscription), cmp.Compare(a.currency, b.currency))
	}) {
		month, err := monthly(costs[key], len(days)-first[key.subscription])
		if err != nil {
			return nil, fmt.Errorf("monthly cost of subscription %q in %s: %w", key.subscription, key.currency, err)
		}
		for i, s := range []string{key.subscription, key.currency} {
			if err := b.Field(i).(*array.BinaryDictionaryBuilder).AppendString(s); err != nil {
				return nil, err
			}
		}
		b.Field(2).(*array.Decimal128Builder).Append(month.Arrow())
	}
	return b.NewRecord(), nil
}

// monthly is the mean of the days times 30; a day below zero counts as zero.
func monthly(byDay map[int]data.Decimal, days int) (data.Decimal, error) {
	var total data.Decimal
	ok := true
	for _, d := range byDay {
		if d.Sign() > 0 && ok {
			total, ok = total.Add(d)
		}
	}
	if ok {
		total, ok = total.MulRatio(monthDays, int64(max(days, 1)))
	}
	if !ok {
		return total, data.ErrOverflow
	}
	return total, nil
}

// addCosts adds the usage of one record up by subscription, currency and day.
func addCosts(rec arrow.Record, at map[data.Day]int, costs map[costKey]map[int]data.Decimal, first map[string]int) error {
	cost, ok := column(rec, "cost").(*array.Decimal128)
	if !ok {
		return nil
	}
	effective, _ := column(rec, "effective_cost").(*array.Decimal128)
	days, isDate := column(rec, "usage_date").(*array.Date32)
	if !isDate {
		return fmt.Errorf("column usage_date is missing or not a date")
	}
	subscriptions, currencies, charges := column(rec, "subscription_id"), column(rec, "currency"), column(rec, "charge_category")
	for i := range int(rec.NumRows()) {
		position, known := at[data.Day(days.Value(i))]
		id, present := text(subscriptions, i)
		if charge, _ := text(charges, i); !known || !present || charge != string(data.ChargeUsage) {
			continue
		}
		if before, found := first[id]; !found || position < before {
			first[id] = position
		}
		from := cost
		if effective != nil && effective.IsValid(i) {
			from = effective
		}
		if from.IsNull(i) {
			continue
		}
		currency, _ := text(currencies, i)
		key := costKey{id, currency}
		if costs[key] == nil {
			costs[key] = map[int]data.Decimal{}
		}
		amount, fits := data.DecimalFromArrow(from.Value(i))
		if costs[key][position], ok = costs[key][position].Add(amount); !ok || !fits {
			return fmt.Errorf("subscription %q in %s: %w", id, currency, data.ErrOverflow)
		}
	}
	return nil
}
