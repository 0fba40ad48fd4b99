package transform

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// world is what a portfolio looks like as plain rows, for the slow computation
// of every metric by its definition.
type world struct {
	period        data.Period
	watermark     *data.Day
	extracted     []data.Day
	daily         []data.UsageDaily
	snapshots     []worldSnapshot
	firstSnapshot *data.Day
	span          map[data.SubscriptionID]data.Period // nil: not given
	noMoney       bool
}

type worldSnapshot struct {
	day           data.Day
	customers     []data.Customer
	subscriptions []data.Subscription
}

// oracle holds the tables of a world as lines. Sums that do not fit are noted.
type oracle struct {
	world
	prev        data.Period
	days        [2][]data.Day
	complete    bool
	unknown     string
	overflow    bool
	subs        []data.SubscriptionID // every one in any snapshot, in order
	newestNames map[data.CustomerID]string
}

func newOracle(w world) (o *oracle, known bool) {
	o = &oracle{world: w, newestNames: map[data.CustomerID]string{}}
	first := w.period.From.Time()
	if first.Day() == 1 && w.period.To.Time().AddDate(0, 0, 1).Day() == 1 && w.period.Days() <= 31 {
		o.prev = data.Period{From: data.DayOf(first.AddDate(0, -1, 0)), To: w.period.From - 1}
	} else {
		n := data.Day(w.period.Days())
		o.prev = data.Period{From: w.period.From - n, To: w.period.To - n}
	}
	inPeriod, inPrevious := o.knownIn(w.period), o.knownIn(o.prev)
	if len(inPeriod) == 0 {
		return nil, false
	}
	o.days[0] = inPeriod
	o.complete = len(inPeriod) == w.period.Days() && len(inPrevious) == o.prev.Days()
	if o.complete {
		o.days[1] = inPrevious
	} else {
		o.days[1], o.unknown = o.sameDays(inPeriod)
	}
	ids := map[data.SubscriptionID]bool{}
	for _, s := range w.snapshots {
		for _, c := range s.customers {
			delete(o.newestNames, c.CustomerID)
			if c.Name != nil {
				o.newestNames[c.CustomerID] = *c.Name
			}
		}
		for _, x := range s.subscriptions {
			ids[x.SubscriptionID] = true
		}
	}
	o.subs = slices.Sorted(maps.Keys(ids))
	return o, true
}

func (o *oracle) isKnown(d data.Day) bool {
	return o.watermark != nil && d <= *o.watermark && slices.Contains(o.extracted, d)
}

func (o *oracle) knownIn(p data.Period) (out []data.Day) {
	for d := range p.All() {
		if o.isKnown(d) {
			out = append(out, d)
		}
	}
	return out
}

func (o *oracle) sameDays(days []data.Day) (out []data.Day, unknown string) {
	for _, d := range days {
		same := d - data.Day(o.period.Days())
		if o.prev.To == o.period.From-1 && o.prev.From.Time().Day() == 1 && o.period.IsMonth() {
			t := d.Time()
			day := time.Date(t.Year(), t.Month()-1, t.Day(), 0, 0, 0, 0, time.UTC)
			if day.Month() == t.Month() {
				continue // no such day in the month before
			}
			same = data.DayOf(day)
		}
		if same < o.extracted[0] {
			return nil, "not_observed_before: " + o.extracted[0].String()
		}
		if o.isKnown(same) {
			out = append(out, same)
		}
	}
	if len(out) == 0 {
		return nil, "no_known_day"
	}
	return out, ""
}

// rows returns the usage rows of a side that a test accepts.
func (o *oracle) rows(side int, accept func(data.UsageDaily) bool) (out []data.UsageDaily) {
	for _, r := range o.daily {
		if slices.Contains(o.days[side], r.Day) && accept(r) {
			out = append(out, r)
		}
	}
	return out
}

// amount renders the sum of a column; no rows are 0.
func (o *oracle) amount(rows []data.UsageDaily, of func(data.UsageDaily) *data.Decimal) string {
	if len(rows) == 0 {
		return "0.00"
	}
	var values []*data.Decimal
	for _, r := range rows {
		values = append(values, of(r))
	}
	text, ok := plainSum(values)
	o.overflow = o.overflow || !ok
	return text
}

func cost(r data.UsageDaily) *data.Decimal     { return r.Cost }
func costUSD(r data.UsageDaily) *data.Decimal  { return r.CostUSD }
func quantity(r data.UsageDaily) *data.Decimal { return r.Quantity }

func isCost(r data.UsageDaily) bool { return r.ChargeCategory != data.ChargeTax }

// costLines renders the sums of cost by a key that is already text. Where no row
// of either period states a cost nothing is known, not even that it is 0; such a
// key is left out when asked for.
func (o *oracle) costLines(key func(data.UsageDaily) string, leaveOut bool) []string {
	keys := map[string]bool{}
	for side := range 2 {
		for _, r := range o.rows(side, isCost) {
			keys[key(r)] = true
		}
	}
	out := []string{}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		of := func(r data.UsageDaily) bool { return isCost(r) && key(r) == k }
		stated := func(r data.UsageDaily) bool { return of(r) && r.Cost != nil }
		if len(o.rows(0, stated))+len(o.rows(1, stated)) == 0 {
			if !leaveOut {
				out = append(out, strings.ReplaceAll(k, "\x01", "|")+"|null|null")
			}
			continue
		}
		line := strings.ReplaceAll(k, "\x01", "|") + "|" + o.amount(o.rows(0, of), cost)
		out = append(out, line+"|"+o.previous(o.rows(1, of), cost))
	}
	return out
}

func (o *oracle) previous(rows []data.UsageDaily, of func(data.UsageDaily) *data.Decimal) string {
	if o.unknown != "" {
		return "null"
	}
	return o.amount(rows, of)
}

func (o *oracle) cost() []string {
	return o.costLines(func(r data.UsageDaily) string { return fmt.Sprintf("%q", r.Currency) }, true)
}

func (o *oracle) costByCategory() []string {
	return o.costLines(func(r data.UsageDaily) string { return fmt.Sprintf("%q\x01%q", r.Category, r.Currency) }, false)
}

func (o *oracle) costByCustomer() []string {
	return o.costLines(func(r data.UsageDaily) string { return fmt.Sprintf("%q\x01%q", r.CustomerID, r.Currency) }, true)
}

// currencies returns those with a cost in the period.
func (o *oracle) currencies() []string {
	found := map[string]bool{}
	for _, r := range o.rows(0, isCost) {
		if r.Cost != nil {
			found[r.Currency] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (o *oracle) costByDay() []string {
	out := []string{}
	for _, d := range o.days[0] {
		for _, currency := range o.currencies() {
			sum := o.amount(o.rows(0, func(r data.UsageDaily) bool {
				return isCost(r) && r.Day == d && r.Currency == currency && r.Cost != nil
			}), cost)
			out = append(out, fmt.Sprintf("%s|%q|%s|%s", d, currency, sum, o.sameDayBefore(d, currency)))
		}
	}
	return out
}

// sameDayBefore renders the cost of the day of the previous period that a day is
// compared with.
func (o *oracle) sameDayBefore(d data.Day, currency string) string {
	same := o.prev.From + d - o.period.From
	if !slices.Contains(o.days[1], same) {
		return "null"
	}
	return o.amount(o.rows(1, func(r data.UsageDaily) bool {
		return isCost(r) && r.Day == same && r.Currency == currency && r.Cost != nil
	}), cost)
}

// top ranks customers by the sum of a measure over the accepted rows.
func (o *oracle) top(accept func(data.UsageDaily) bool, of func(data.UsageDaily) *data.Decimal, line func(rank int, id, now, before string) string) []string {
	totals := map[data.CustomerID]*big.Int{}
	for _, r := range o.rows(0, accept) {
		if v := of(r); v != nil {
			if totals[r.CustomerID] == nil {
				totals[r.CustomerID] = new(big.Int)
			}
			totals[r.CustomerID].Add(totals[r.CustomerID], v.Arrow().BigInt())
		}
	}
	name := func(id data.CustomerID) string {
		if n, found := o.newestNames[id]; found {
			return n
		}
		return string(id)
	}
	order := slices.SortedFunc(maps.Keys(totals), func(a, b data.CustomerID) int {
		return cmp.Or(totals[b].Cmp(totals[a]), cmp.Compare(name(a), name(b)), cmp.Compare(a, b))
	})
	var out []string
	for i, id := range order[:min(5, len(order))] {
		mine := func(r data.UsageDaily) bool { return r.CustomerID == id && accept(r) }
		out = append(out, line(i+1, fmt.Sprintf("%q", id), o.amount(o.rows(0, mine), of), o.previous(o.rows(1, mine), of)))
	}
	return out
}

func (o *oracle) topCustomers() []string {
	out := []string{}
	byCost := func(category *string, currency string, accept func(data.UsageDaily) bool, of func(data.UsageDaily) *data.Decimal) {
		out = append(out, o.top(func(r data.UsageDaily) bool { return isCost(r) && accept(r) }, of, func(rank int, id, now, before string) string {
			return fmt.Sprintf("%s|%d|%s|%q|%s|%s|null|null", textOf(category), rank, id, currency, now, before)
		})...)
	}
	if !o.noMoney {
		allUSD := true
		for side := range 2 {
			for _, r := range o.rows(side, isCost) {
				allUSD = allUSD && r.CostRows == r.USDRows
			}
		}
		if currencies := o.currencies(); len(currencies) > 1 && allUSD {
			byCost(nil, "USD", func(data.UsageDaily) bool { return true }, costUSD)
		} else {
			for _, currency := range currencies {
				byCost(nil, currency, func(r data.UsageDaily) bool { return r.Currency == currency }, cost)
			}
		}
	}
	categories, units := map[string]bool{}, map[string]*string{}
	for _, r := range o.daily {
		categories[r.Category] = true
		units[textOf(r.Unit)] = r.Unit
	}
	for _, category := range slices.Sorted(maps.Keys(categories)) {
		costs := 0
		for _, r := range o.rows(0, isCost) {
			if r.Category == category && r.Cost != nil && !o.noMoney {
				costs++
			}
		}
		if costs > 0 {
			for _, currency := range o.currencies() {
				byCost(&category, currency, func(r data.UsageDaily) bool { return r.Category == category && r.Currency == currency }, cost)
			}
			continue
		}
		order := slices.SortedFunc(maps.Keys(units), func(a, b string) int {
			return cmp.Or(-cmp.Compare(btoi(a == "null"), btoi(b == "null")), cmp.Compare(a, b))
		})
		for _, unit := range order {
			out = append(out, o.top(func(r data.UsageDaily) bool {
				return r.ChargeCategory == data.ChargeUsage && r.Category == category && textOf(r.Unit) == unit
			}, quantity, func(rank int, id, now, before string) string {
				return fmt.Sprintf("%q|%d|%s|null|null|%s|%s|%s", category, rank, id, before, now, unit)
			})...)
		}
	}
	return out
}

func textOf[T ~string](s *T) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// seen is one observation of a subscription.
type seen struct {
	day data.Day
	row data.Subscription
}

// history returns the observations of a subscription, and the day of the first
// snapshot that lacks it for good.
func (o *oracle) history(id data.SubscriptionID) (out []seen, vanished *data.Day) {
	for _, s := range o.snapshots {
		found := false
		for _, x := range s.subscriptions {
			if x.SubscriptionID == id {
				out, found, vanished = append(out, seen{s.day, x}), true, nil
			}
		}
		if !found && len(out) > 0 && vanished == nil {
			vanished = new(s.day)
		}
	}
	return out, vanished
}

// stated returns the end day that the source states, unless the subscription
// vanished before it.
func (o *oracle) stated(id data.SubscriptionID) *data.Day {
	h, vanished := o.history(id)
	newest := h[len(h)-1].row
	if newest.EndedAt != nil && vanished != nil && !newest.Status.Ended() && *vanished < *newest.EndedAt {
		return nil
	}
	return newest.EndedAt
}

func (o *oracle) status(id data.SubscriptionID, d data.Day) data.Status {
	h, vanished := o.history(id)
	newest := h[len(h)-1].row
	if vanished != nil && *vanished <= d {
		return data.StatusDeprovisioned
	}
	if e := o.stated(id); e != nil && *e <= d {
		if newest.Status.Ended() {
			return newest.Status
		}
		return data.StatusDeprovisioned
	}
	for _, s := range slices.Backward(h) {
		if s.day <= d {
			return s.row.Status
		}
	}
	if newest.Created == nil || *newest.Created <= d {
		return data.StatusActive
	}
	return ""
}

// endings returns the days on which a subscription became suspended or
// deprovisioned, and whether a gap was bridged.
func (o *oracle) endings(id data.SubscriptionID) map[data.Day]bool {
	if e := o.stated(id); e != nil {
		return map[data.Day]bool{*e: false}
	}
	h, vanished := o.history(id)
	if vanished != nil {
		h = append(h, seen{*vanished, data.Subscription{Status: data.StatusDeprovisioned}})
	}
	out := map[data.Day]bool{}
	for i := 1; i < len(h); i++ {
		if h[i].row.Status.Ended() && !h[i-1].row.Status.Ended() {
			out[h[i].day] = h[i].day > h[i-1].day+1
		}
	}
	return out
}

func (o *oracle) existed(id data.SubscriptionID, p data.Period) bool {
	h, vanished := o.history(id)
	newest := h[len(h)-1].row
	if newest.Created != nil && *newest.Created > p.To {
		return false
	}
	end := o.stated(id)
	switch {
	case end != nil:
	case newest.Status.Ended(): // since the first of an unbroken run
		for _, s := range slices.Backward(h) {
			if !s.row.Status.Ended() {
				break
			}
			end = new(s.day)
		}
	default:
		end = vanished
	}
	return end == nil || *end >= p.From
}

func (o *oracle) newest(id data.SubscriptionID) data.Subscription {
	h, _ := o.history(id)
	return h[len(h)-1].row
}
