package sample

import (
	"iter"
	"math/bits"

	"tidemark/data"
)

// day yields the rows of one day. living is scratch space, one per customer.
func (s *Source) day(day data.Day, living []bool) iter.Seq[data.Usage] {
	return func(yield func(data.Usage) bool) {
		clear(living)
		for i := range s.subscriptions {
			sub := &s.subscriptions[i]
			if sub.created <= day && day <= min(sub.last, sub.ended) {
				living[sub.customer] = true
			}
			if !s.uses(sub, i, day) || !s.delivered(day, sub.customer) {
				continue
			}
			if !s.subscriptionDay(i, day, yield) {
				return
			}
		}
		for k := range s.customers {
			if living[k] && s.delivered(day, k) && !s.customerDay(k, day, yield) {
				return
			}
		}
	}
}

// subscriptionDay yields a subscription's rows of a day, one per meter, and
// now and then a correction.
func (s *Source) subscriptionDay(i int, day data.Day, yield func(data.Usage) bool) bool {
	sub := &s.subscriptions[i]
	level := s.level(sub, i, day)
	for n, m := range meters() {
		if !sub.meters.has(n) || s.withheld(day, i, n) {
			continue
		}
		quantity := m.daily * level / 1000 * s.weekdayLevel(m, day) / 1000
		quantity = quantity * int64(930+s.dice.roll(141, forAmount, uint64(i), uint64(n), uint64(day))) / 1000
		quantity = s.partial(quantity, day, i, n)
		row := s.meterRow(sub, n, m, day, quantity)
		if n == 0 && sub.covered {
			// The reservation was bought before: nothing is billed, the share of it is spent.
			row.EffectiveCost = new(times(quantity*6/10, s.price(m, sub.customer)))
			row.Cost = new(data.Decimal{})
			s.inUSD(&row)
		}
		if !yield(row) {
			return false
		}
	}
	if s.dice.roll(250, forCharge, uint64(i), uint64(day)) > 0 {
		return true
	}
	return yield(s.correction(sub, i, day))
}

// correction takes back a part of what one meter cost.
func (s *Source) correction(sub *subscription, i int, day data.Day) data.Usage {
	n := bits.TrailingZeros16(uint16(sub.meters))
	m := meters()[n]
	back := m.daily * int64(sub.size) / 1000 * int64(20+s.dice.roll(200, forCharge, uint64(i), uint64(day), 1)) / 1000
	row := s.meterRow(sub, n, m, day, -back)
	row.ChargeCategory = data.ChargeAdjustment
	return row
}

func (s *Source) meterRow(sub *subscription, n int, m meter, day data.Day, quantity int64) data.Usage {
	cost := times(quantity, s.price(m, sub.customer))
	row := s.charge(sub.customer, day, data.ChargeUsage, cost)
	row.SubscriptionID = new(sub.id)
	row.Category = m.category
	row.Service = new(m.service)
	row.MeterID = new(dice(0).guid(forMeter, uint64(n))) // the same in every portfolio
	row.Region = new([]string{"westeurope", "northeurope", "uksouth", "swedencentral"}[s.dice.roll(4, forMeter, uint64(sub.customer))])
	row.Unit = new(m.unit)
	row.Quantity = new(times(quantity, unitPrice))
	return row
}

// charge returns a row of a customer's currency, without a subscription.
func (s *Source) charge(k int, day data.Day, kind data.ChargeCategory, cost data.Decimal) data.Usage {
	c := &s.customers[k]
	row := data.Usage{Day: day, CustomerID: c.id, Currency: c.currency, ChargeCategory: kind,
		BillingPeriod: new(day.Time().Format("2006-01")), Cost: new(cost), EffectiveCost: new(cost)}
	s.inUSD(&row)
	return row
}

func (s *Source) inUSD(row *data.Usage) {
	if row.Currency == "USD" {
		row.CostUSD = row.Cost
	}
}

// customerDay yields what is charged to a customer as a whole: on the 1st the
// tax of the month before and for some a reservation, on the 15th a credit.
func (s *Source) customerDay(k int, day data.Day, yield func(data.Usage) bool) bool {
	throw := func(n int, which uint64) int { return s.dice.roll(n, forCharge, uint64(k), uint64(day), 10, which) }
	switch date := day.Time(); date.Day() {
	case 1:
		tax := s.charge(k, day, data.ChargeTax, cents(2_000+throw(40_000, 1)))
		tax.Category, tax.BillingPeriod = "Tax", new((day - 1).Time().Format("2006-01"))
		if !yield(tax) {
			return false
		}
		if s.dice.roll(6, forCharge, uint64(k), 11) > 0 {
			return true
		}
		bought := s.charge(k, day, data.ChargePurchase, cents(4_000+throw(20_000, 2)))
		bought.Category, bought.Service = "Virtual Machines", new("Reserved VM Instance, Dsv5 Series")
		bought.Quantity, bought.Unit = new(data.DecimalFromInt(1)), new("1")
		bought.EffectiveCost = new(data.Decimal{}) // spent by the usage that it covers
		return yield(bought)
	case 15:
		if throw(8, 3) > 0 {
			return true
		}
		credit := s.charge(k, day, data.ChargeCredit, cents(500+throw(9_000, 4)).Neg())
		credit.Category = "Credits"
		return yield(credit)
	}
	return true
}

// level returns the size of a subscription's day, per mille: its own size,
// growth, season and decline.
func (s *Source) level(sub *subscription, i int, day data.Day) int64 {
	level := int64(sub.size) * seasonLevel(day) / 1000
	months := int64(day-s.o.Story) * int64(sub.growth) / 30
	level = level * (1000 + max(min(months, 2000), -700)) / 1000
	if day >= sub.decline {
		level = level * max(1000-25*int64(day-sub.decline), 80) / 1000
	}
	if day < sub.created+30 {
		level = level * (250 + 25*int64(day-sub.created)) / 1000 // a new one takes a month to fill
	}
	return max(level, 1)
}

// seasonLevel returns the season, per mille: quiet summers and Decembers.
func seasonLevel(day data.Day) int64 {
	return []int64{1000, 1010, 1020, 1020, 1000, 980, 920, 900, 1000, 1030, 1040, 960}[day.Time().Month()-1]
}

func (s *Source) weekdayLevel(m meter, day data.Day) int64 {
	if m.always {
		return 1000
	}
	return []int64{430, 1060, 1100, 1090, 1040, 920, 480}[day.Weekday()]
}

// price returns a meter's price in the customer's currency, in 10^-12.
func (s *Source) price(m meter, k int) int64 {
	switch s.customers[k].currency {
	case "USD":
		return m.price * 108 / 100
	case "GBP":
		return m.price * 86 / 100
	}
	return m.price
}

// unitPrice is a price of 1.
const unitPrice = 1_000_000_000_000

// times returns quantity (10^-4) times price (10^-12), exactly.
func times(quantity, price int64) data.Decimal {
	negative := quantity < 0
	if negative {
		quantity = -quantity
	}
	hi, lo := bits.Mul64(uint64(quantity), uint64(price))
	carry, lo := bits.Mul64(lo, 100) // 10^-16 to 10^-18
	d, _ := data.DecimalFromParts(int64(hi*100+carry), lo)
	if negative {
		return d.Neg()
	}
	return d
}

func cents(n int) data.Decimal {
	return times(int64(n), unitPrice*100)
}
