package main

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"

	"tidemark/data"
)

// shape says what a made-up partner is like. Equal shapes give equal rows.
type shape struct {
	From          data.Day `json:"from"` // first day, e.g. 2026-10-01
	Days          int      `json:"days"`
	Rows          int64    `json:"rows"` // over all days, met to about one in a hundred
	Subscriptions int      `json:"subscriptions"`
	Customers     int      `json:"customers"`
	Meters        int      `json:"meters"`
	Categories    int      `json:"categories"`
	Regions       int      `json:"regions"`
	Each          int      `json:"each,omitempty"` // categories that one subscription uses; 0: any of all
	Seed          uint64   `json:"seed"`
}

// defaultShape is two months of a partner of some size.
func defaultShape() shape {
	from, _ := data.ParseDay("2026-10-01")
	return shape{From: from, Days: 61, Rows: 18_000_000, Subscriptions: 10_000, Customers: 2_000, Meters: 2_000,
		Categories: 40, Regions: 30, Seed: 1}
}

func (s shape) period() data.Period {
	return data.Period{From: s.From, To: s.From + data.Day(s.Days) - 1}
}

// partner is a Cloud Solution Provider with customers, their subscriptions, and
// the lines of usage that each subscription has every day. All lists are in the
// order in which the archive sorts rows.
type partner struct {
	shape
	customers []customer
	meters    []meter // by category and id
	regions   []string
}

type customer struct {
	id            data.CustomerID
	currency      string
	tax           bool
	purchases     bool
	subscriptions []subscription
}

type subscription struct {
	id          data.SubscriptionID
	first, last data.Day // days with usage
	lines       []line   // by category, meter and region
}

// line is one meter of one subscription in one region.
type line struct {
	meter, region int32
	size          int64 // of the quantity, in millionths
	weekdays      bool  // none on Saturday and Sunday
}

type meter struct {
	id, category, service, unit string
	kind                        meterKind
	price                       int64 // of one unit, in millionths of the currency
}

type meterKind uint8

const (
	hourly   meterKind = iota // the same every day
	storage                   // grows slowly
	transfer                  // never twice the same
	requests                  // whole numbers
	kinds
)

const million = 1_000_000

// free is the price of what has no cost at all: a row of it states none.
const free = 0

func newPartner(s shape) *partner {
	rng := rand.New(rand.NewPCG(s.Seed, 0x7469_6465))
	p := &partner{shape: s, meters: newMeters(s, rng)}
	for i := range s.Regions {
		p.regions = append(p.regions, fmt.Sprintf("region-%02d", i))
	}
	for range s.Customers {
		currency := "EUR"
		if rng.IntN(10) < 3 {
			currency = "USD"
		}
		p.customers = append(p.customers, customer{id: data.CustomerID(guid(rng)), currency: currency,
			tax: rng.IntN(2) == 0, purchases: rng.IntN(20) == 0})
	}
	slices.SortFunc(p.customers, func(a, b customer) int { return cmp.Compare(a.id, b.id) })
	weights := p.subscribe(rng)
	p.draw(rng, weights, p.scale(weights))
	return p
}

// guid returns a random GUID in lower case.
func guid(rng *rand.Rand) string {
	a, b := rng.Uint64(), rng.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffff_ffff_ffff)
}

func newMeters(s shape, rng *rand.Rand) []meter {
	units := map[meterKind]string{hourly: "1 Hour", storage: "1 GB/Month", transfer: "1 GB", requests: "10K"}
	meters := make([]meter, s.Meters)
	for i := range meters {
		category := i % s.Categories
		kind := meterKind(rng.IntN(int(kinds)))
		meters[i] = meter{id: guid(rng), category: fmt.Sprintf("Category %02d", category),
			service: fmt.Sprintf("Service %02d.%d", category, i/s.Categories%4), unit: units[kind], kind: kind,
			price: 1 + int64(math.Exp(rng.NormFloat64()*1.5)*20_000)}
		meters[i].price = min(meters[i].price, 2*million)
		if category == s.Categories-1 {
			meters[i].price = free
		}
	}
	slices.SortFunc(meters, func(a, b meter) int { return cmp.Or(cmp.Compare(a.category, b.category), cmp.Compare(a.id, b.id)) })
	return meters
}

// subscribe gives customers their subscriptions, few customers many, and
// returns how large each subscription is beside the others.
func (p *partner) subscribe(rng *rand.Rand) (weights [][]float64) {
	counts := make([]int, p.Customers)
	for i := range p.Subscriptions {
		if i < p.Customers {
			counts[i]++
			continue
		}
		counts[skewed(rng, p.Customers)]++
	}
	rng.Shuffle(len(counts), func(i, j int) { counts[i], counts[j] = counts[j], counts[i] })
	weights = make([][]float64, p.Customers)
	for i := range p.customers {
		c := &p.customers[i]
		for range counts[i] {
			s := subscription{id: data.SubscriptionID(guid(rng)), first: p.From, last: p.period().To}
			switch rng.IntN(8) {
			case 0: // sold
				s.first += data.Day(rng.IntN(p.Days))
			case 1: // lost
				s.last -= data.Day(rng.IntN(p.Days))
			}
			c.subscriptions = append(c.subscriptions, s)
			weights[i] = append(weights[i], math.Exp(rng.NormFloat64()*1.1))
		}
		slices.SortFunc(c.subscriptions, func(a, b subscription) int { return cmp.Compare(a.id, b.id) })
	}
	return weights
}

// skewed returns a number below n, small ones far more often.
func skewed(rng *rand.Rand, n int) int {
	u := rng.Float64()
	return int(u * u * u * float64(n))
}

const mostLines = 3000

func lines(weight, scale float64) int { return min(mostLines, max(1, int(weight*scale+0.5))) }

// weekdayShare is the share of lines that stand still at weekends.
const weekdayShare = 0.3

// scale finds how many lines a subscription of weight 1 has for the rows wanted.
func (p *partner) scale(weights [][]float64) float64 {
	low, high := 0.0, float64(mostLines)
	for range 40 {
		middle, rows := (low+high)/2, 0.0
		for i, c := range p.customers {
			for j, s := range c.subscriptions {
				rows += float64(lines(weights[i][j], middle)) * float64(s.last-s.first+1) * (1 - weekdayShare*2/7)
			}
		}
		if rows < float64(p.Rows) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// draw gives each subscription its lines.
func (p *partner) draw(rng *rand.Rand, weights [][]float64, scale float64) {
	// Which meters are popular has nothing to do with their order.
	popular := rng.Perm(p.Meters)
	for i := range p.customers {
		for j := range p.customers[i].subscriptions {
			s := &p.customers[i].subscriptions[j]
			home := int32(skewed(rng, p.Regions))
			drawn := popular
			if p.Each > 0 {
				drawn = p.some(rng, popular)
			}
			for range lines(weights[i][j], scale) {
				l := line{meter: int32(drawn[skewed(rng, len(drawn))]), region: home, weekdays: rng.Float64() < weekdayShare}
				if rng.IntN(10) == 0 {
					l.region = int32(rng.IntN(p.Regions))
				}
				l.size = p.sizeOf(l, rng)
				s.lines = append(s.lines, l)
			}
			slices.SortFunc(s.lines, func(a, b line) int { return cmp.Or(cmp.Compare(a.meter, b.meter), cmp.Compare(a.region, b.region)) })
		}
	}
}

// some returns the meters of as many categories as a subscription uses, in the
// order of their popularity.
func (p *partner) some(rng *rand.Rand, popular []int) []int {
	wanted := map[string]bool{}
	for range p.Each {
		wanted[p.meters[popular[skewed(rng, p.Meters)]].category] = true
	}
	return slices.DeleteFunc(slices.Clone(popular), func(m int) bool { return !wanted[p.meters[m].category] })
}

func (p *partner) sizeOf(l line, rng *rand.Rand) int64 {
	switch p.meters[l.meter].kind {
	case hourly:
		hours := int64(24)
		if l.weekdays {
			hours = 9
		}
		return hours * million * int64(1+skewed(rng, 8))
	case requests:
		return int64(1+skewed(rng, 4000)) * million
	}
	return int64(math.Exp(min(10, rng.NormFloat64()*2+2)) * million)
}

// usage yields the rows of a day in one currency, in the archive's order.
func (p *partner) usage(d data.Day, currency string) iter.Seq[data.Usage] {
	weekend := int(d.Weekday())%6 == 0
	return func(yield func(data.Usage) bool) {
		m := &maker{partner: p, day: d, month: strings.Clone(data.MonthOf(d).String())}
		for i := range p.customers {
			m.customer = &p.customers[i]
			if m.customer.currency != currency {
				continue
			}
			if !m.charges(uint64(i), yield) {
				return
			}
			for j := range m.customer.subscriptions {
				s := &m.customer.subscriptions[j]
				for k := range s.lines {
					l := &s.lines[k]
					if d < s.first || d > s.last || weekend && l.weekdays {
						continue
					}
					if !yield(m.row(s, l, mix(p.Seed, uint64(d), uint64(i)<<32|uint64(j), uint64(k)))) {
						return
					}
				}
			}
		}
	}
}

// mix makes one well-spread number of several.
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e37_79b9_7f4a_7c15)
	for _, p := range parts {
		h ^= p
		h = (h ^ h>>30) * 0xbf58_476d_1ce4_e5b9
		h = (h ^ h>>27) * 0x94d0_49bb_1331_11eb
		h ^= h >> 31
	}
	return h
}

// maker makes the rows of one day.
type maker struct {
	*partner
	day      data.Day
	month    string
	customer *customer
}

func (m *maker) blank(c data.ChargeCategory) data.Usage {
	return data.Usage{Day: m.day, CustomerID: m.customer.id, Currency: m.customer.currency, ChargeCategory: c, BillingPeriod: &m.month}
}

// row is what a line measured.
func (m *maker) row(s *subscription, l *line, h uint64) data.Usage {
	u, meter := m.blank(data.ChargeUsage), &m.meters[l.meter]
	u.SubscriptionID, u.MeterID, u.Category = &s.id, &meter.id, meter.category
	u.Service, u.Unit, u.Region = &meter.service, &meter.unit, &m.regions[l.region]
	quantity := l.size
	switch meter.kind {
	case storage:
		quantity += l.size / 1000 * int64(m.day-m.From)
	case transfer:
		quantity = quantity/2 + int64(h>>40)*quantity>>24
	case requests:
		quantity = (quantity/2 + int64(h>>44)*quantity>>20) / million * million
	}
	if h%500 == 0 { // taken back
		u.ChargeCategory, quantity = data.ChargeAdjustment, -quantity
	}
	if h%211 != 0 {
		u.Quantity = millionths(quantity)
	}
	if h%307 != 0 && meter.price != free {
		m.price(&u, quantity*meter.price)
	}
	return u
}

// price sets the costs of a row, in millionths of millionths.
func (m *maker) price(u *data.Usage, cost int64) {
	u.Cost, u.EffectiveCost = trillionths(cost), trillionths(cost/100*97)
	if u.Currency == "USD" {
		u.CostUSD = u.Cost
	}
}

// charges yields what a customer has beside its subscriptions.
func (m *maker) charges(customer uint64, yield func(data.Usage) bool) bool {
	h := mix(m.Seed, uint64(m.day), customer)
	first := data.MonthOf(m.day).From == m.day
	for _, c := range []struct {
		due    bool
		charge data.ChargeCategory
		name   string
		cents  int64
	}{
		{first && customer%9 == 0, data.ChargeCredit, "", -int64(h % 50_000)},
		{first && m.customer.tax, data.ChargeTax, "", int64(h % 90_000)},
		{m.customer.purchases, data.ChargePurchase, "Marketplace", int64(h % 20_000)},
	} {
		if !c.due {
			continue
		}
		u := m.blank(c.charge)
		u.Category = c.name
		m.price(&u, c.cents*10_000*million)
		if !yield(u) {
			return false
		}
	}
	return true
}

func millionths(n int64) *data.Decimal  { return scaled(n, million*million) }
func trillionths(n int64) *data.Decimal { return scaled(n, million) }

// scaled is n times as many units of 10^-18.
func scaled(n int64, units uint64) *data.Decimal {
	hi, lo := bits.Mul64(uint64(max(n, -n)), units)
	d, _ := data.DecimalFromParts(int64(hi), lo)
	if n < 0 {
		d = d.Neg()
	}
	return &d
}

// shuffled returns the rows in an order that depends on the seed and the day.
func shuffled(rows iter.Seq[data.Usage], seed uint64, d data.Day) iter.Seq[data.Usage] {
	return func(yield func(data.Usage) bool) {
		all := slices.Collect(rows)
		rng := rand.New(rand.NewPCG(seed, uint64(d)))
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, u := range all {
			if !yield(u) {
				return
			}
		}
	}
}
