package tables

import (
	"context"
	"fmt"
	"iter"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// Columns of usage.
const (
	useDay = iota
	useCustomer
	useSubscription
	useCategory
	useService
	useMeter
	useRegion
	useUnit
	useQuantity
	useCost
	useEffective
	useCurrency
	useUSD
	useCharge
	useBilling
	useCredit
	useCreditRate
)

func usageColumns() []flatfile.Column {
	return []flatfile.Column{
		useDay:          {Name: "usage_date", Required: true},
		useCustomer:     {Name: "customer_id", Required: true},
		useSubscription: {Name: "subscription_id"},
		useCategory:     {Name: "category"},
		useService:      {Name: "service"},
		useMeter:        {Name: "meter_id"},
		useRegion:       {Name: "region"},
		useUnit:         {Name: "unit"},
		useQuantity:     {Name: "quantity"},
		useCost:         {Name: "cost"},
		useEffective:    {Name: "effective_cost"},
		useCurrency:     {Name: "currency"},
		useUSD:          {Name: "cost_usd"},
		useCharge:       {Name: "charge_category"},
		useBilling:      {Name: "billing_period"},
		useCredit:       {Name: "partner_credit_applied"},
		useCreditRate:   {Name: "partner_credit_rate"},
	}
}

// Usage yields the rows of usage: usage_date and customer_id (required),
// subscription_id, category, service, meter_id, region, unit, quantity, cost,
// effective_cost, currency, cost_usd, charge_category, billing_period,
// partner_credit_applied, partner_credit_rate. Of a row outside want only the day is looked at. A row with a cost needs a currency; a
// cost in USD is also its cost_usd where that is empty.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	parse := func(r *flatfile.Row) (data.Usage, bool) {
		day := flatfile.Parse(r, useDay, s.parseDay)
		if day != nil && want != nil && !want.Contains(*day) {
			return data.Usage{}, false
		}
		if day == nil {
			r.Fail(useDay, "missing: every row needs one")
			return data.Usage{}, true
		}
		if why := day.Implausible(s.o.Today); why != "" {
			r.Fail(useDay, why)
			return data.Usage{}, true
		}
		return s.usage(r, *day, tally), true
	}
	return reading[data.Usage]{source: s, table: "usage", many: true, columns: usageColumns(), parse: parse, about: s.ofDay}.rows(ctx, tally)
}

// ofDay notes the day that a bad row is of.
func (s *Source) ofDay(r *flatfile.Row, bad *data.RowError) {
	if day, err := s.parseDay(r.Text(useDay)); err == nil && day.Implausible(s.o.Today) == "" {
		bad.Day = &day
	}
}

func (s *Source) usage(r *flatfile.Row, day data.Day, tally *data.Tally) data.Usage {
	decimal := func(col int) *data.Decimal {
		return flatfile.Parse(r, col, func(text string) (data.Decimal, error) {
			d, rounded, err := data.ParseDecimal(text)
			if rounded {
				tally.Rounded++
			}
			return d, err
		})
	}
	u := data.Usage{
		Day:            day,
		CustomerID:     data.CustomerID(requiredID(r, useCustomer)),
		SubscriptionID: data.Optional(data.SubscriptionID(data.CleanID(r.Text(useSubscription)))),
		Category:       r.Text(useCategory),
		Service:        data.Optional(r.Text(useService)),
		MeterID:        data.Optional(data.CleanID(r.Text(useMeter))),
		Region:         data.Optional(r.Text(useRegion)),
		Unit:           data.Optional(r.Text(useUnit)),
		Quantity:       decimal(useQuantity),
		Cost:           decimal(useCost),
		EffectiveCost:  decimal(useEffective),
		CostUSD:        decimal(useUSD),
		ChargeCategory: data.ChargeUsage,
		BillingPeriod:  data.Optional(r.Text(useBilling)),

		PartnerCreditApplied: flatfile.Parse(r, useCredit, parseBool),
		PartnerCreditRate:    decimal(useCreditRate),
	}
	if charge := flatfile.Parse(r, useCharge, data.ParseChargeCategory); charge != nil {
		u.ChargeCategory = *charge
	}
	if currency := flatfile.Parse(r, useCurrency, data.ParseCurrency); currency != nil {
		u.Currency = *currency
	} else if u.Cost != nil || u.EffectiveCost != nil {
		r.Fail(useCurrency, "a cost needs a currency")
	}
	if u.CostUSD == nil && u.Currency == "USD" {
		u.CostUSD = u.Cost
	}
	return u
}

// parseDay reads an ISO date; a lenient source also takes the UTC day of an
// RFC 3339 time and of one without a zone.
func (s *Source) parseDay(text string) (data.Day, error) {
	day, err := data.ParseDay(text)
	if err == nil {
		return day, nil
	}
	for _, layout := range []string{time.DateTime, time.RFC3339} {
		t, timeErr := time.Parse(layout, text)
		if timeErr != nil {
			continue
		}
		if !s.o.Lenient {
			return 0, fmt.Errorf("%w; lenient accepts a time of day", err)
		}
		return data.DayOf(t.UTC()), nil
	}
	return 0, err
}
