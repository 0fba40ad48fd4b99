package churn

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/decimal128"

	"tidemark/data"
	"tidemark/transform"
)

// History is who used what, and for how much, on which of the known days: what
// every feature is made from. It is read once and serves any number of days and
// portfolios; nothing in it refers to the records it was read from.
type History struct {
	subscriptions transform.IDs
	categories    transform.IDs

	from     data.Day // the first day; days are counted from it
	days     int      // how many there are
	known    bitset
	knownTo  []int32 // known days before each day, by place; one more than days
	held     int     // the first day whose costs and services are there, not only what came before; 0 unless it began with a Past
	begun    []int   // the first day on which each category was used, by id
	tells    int     // the first day by which two categories were used: from then on services are told apart
	accounts []account
}

// account is the history of one subscription, by place of the day.
type account struct {
	used     bitset
	costs    []currencyCost // in order of currency; none without money
	services []service      // in order of the category's text
}

// currencyCost is what an account costs in one currency.
type currencyCost struct {
	currency string
	before   float64   // sum of the days before from, added up in their order
	from     int       // place of the first of cost
	cost     []float64 // of a day, not below 0
}

// main returns the costs in the currency that most of the cost up to a day is in: what comes
// later must not change what is said of that day.
func (a *account) main(t int) currencyCost {
	if len(a.costs) == 1 {
		return a.costs[0]
	}
	var out currencyCost
	most := 0.0
	for _, c := range a.costs {
		if total := c.sum(0, t); total > most {
			out, most = c, total
		}
	}
	return out
}

// in returns the costs in a currency.
func (a *account) in(currency string) currencyCost {
	for _, c := range a.costs {
		if c.currency == currency {
			return c
		}
	}
	return currencyCost{}
}

// sum adds up the costs of the days in [from, to]: of all days up to one, or of days that
// are held.
func (c currencyCost) sum(from, to int) float64 {
	sum := 0.0
	if from <= 0 {
		sum = c.before
	}
	for i := max(from-c.from, 0); i <= min(to-c.from, len(c.cost)-1); i++ {
		sum += c.cost[i]
	}
	return sum
}

// service is on which days a category was used.
type service struct {
	category int32
	used     bitset
}

// ReadHistory reads rows of usage_daily (data.UsageDailySchema; the money columns may be
// missing) of the known days given, which are in order. Rows of other days are passed over.
// A subscription's cost is that of its rows of charge category usage, effective where that
// is known, in the currency that most of its cost up to a day is in.
func ReadHistory(known []data.Day, rows iter.Seq2[arrow.Record, error]) (*History, error) {
	return ReadHistorySince(known, nil, rows)
}

// ReadHistorySince is ReadHistory with the days up to one of them condensed: the rows are
// those of the days after it. What is said of a day is the same to the last bit, as long as
// the Past ends before what Model.Reach says. A nil Past is none.
func ReadHistorySince(known []data.Day, past *Past, rows iter.Seq2[arrow.Record, error]) (*History, error) {
	h := &History{}
	if len(known) > 0 {
		h.from, h.days = known[0], int(known[len(known)-1]-known[0])+1
	}
	h.known, h.knownTo = newBitset(h.days), make([]int32, h.days+1)
	for _, d := range known {
		h.known.add(int(d - h.from))
	}
	for i := range h.days {
		h.knownTo[i+1] = h.knownTo[i]
		if h.known.has(i) {
			h.knownTo[i+1]++
		}
	}
	r := reader{History: h}
	r.usage = r.charges.ID(string(data.ChargeUsage))
	if past != nil {
		if err := r.begin(past); err != nil {
			return nil, fmt.Errorf("usage up to %s: %w", past.Until, err)
		}
	}
	for rec, err := range rows {
		if err == nil {
			err = r.read(rec)
		}
		if err != nil {
			return nil, fmt.Errorf("usage: %w", err)
		}
	}
	return h, r.finish()
}

// on returns the day of a place.
func (h *History) on(place int) data.Day { return h.from + data.Day(place) }

// place returns the place of a day, which may lie outside.
func (h *History) place(d data.Day) int { return int(d - h.from) }

// knownDays counts the known days in [from, to].
func (h *History) knownDays(from, to int) int {
	from, to = max(from, 0), min(to, h.days-1)
	if from > to {
		return 0
	}
	return int(h.knownTo[to+1] - h.knownTo[from])
}

// reader fills a History.
type reader struct {
	*History
	currencies, charges transform.IDs

	usage int32     // the charge category
	more  []growing // by account
}

// growing is what a reader knows of an account beside the account itself.
type growing struct {
	place []int32 // by category: one more than the place in the account's services, 0 for none
	costs []series
}

// series is the costs of an account in one currency.
type series struct {
	currency int32
	before   float64   // of the days of the Past
	cost     []float64 // by day from the first one held; not yet of the open one
	open     transform.Sum
	at       int // the open day, -1 for none
}

func (r *reader) read(rec arrow.Record) error {
	c := transform.ColumnsOf(rec)
	day, subscription := c.Days("usage_date"), c.IDs("subscription_id", &r.subscriptions)
	category, rows := c.IDs("category", &r.categories), c.Int64s("usage_rows")
	money := c.Has("cost")
	var currency, charge transform.IDColumn
	var cost, effective transform.Column[decimal128.Num]
	if money {
		currency, charge = c.IDs("currency", &r.currencies), c.IDs("charge_category", &r.charges)
		cost, effective = c.Decimals("cost"), c.Decimals("effective_cost")
	}
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		d, _ := day.At(i)
		at := r.place(data.Day(d))
		if at < r.held || at >= r.days || !r.known.has(at) {
			continue
		}
		s := subscription.At(i)
		if s == transform.NoID {
			continue
		}
		r.room(s)
		if n, _ := rows.At(i); n > 0 {
			r.use(s, category.At(i), at)
		}
		if !money || charge.At(i) != r.usage {
			continue
		}
		amount, given := effective.At(i)
		if !given {
			amount, given = cost.At(i)
		}
		if !given {
			continue
		}
		if err := r.spend(s, currency.At(i), at, amount); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) room(subscription int32) {
	for int(subscription) >= len(r.accounts) {
		r.accounts, r.more = append(r.accounts, account{}), append(r.more, growing{})
	}
}

func (r *reader) use(subscription, category int32, at int) {
	a, g := &r.accounts[subscription], &r.more[subscription]
	if a.used == nil {
		a.used = newBitset(r.days)
	}
	a.used.add(at)
	if category == transform.NoID {
		return
	}
	for int(category) >= len(g.place) {
		g.place = append(g.place, 0)
	}
	if g.place[category] == 0 {
		a.services = append(a.services, service{category, newBitset(r.days)})
		g.place[category] = int32(len(a.services))
	}
	a.services[g.place[category]-1].used.add(at)
}

// spend adds a cost. The sum of a day is exact as long as its rows come together, so that
// their order cannot change it.
func (r *reader) spend(subscription, currency int32, at int, amount decimal128.Num) error {
	s := r.series(subscription, currency)
	if s.at != at {
		if err := r.close(subscription, s); err != nil {
			return err
		}
		s.at = at
	}
	s.open.Add(amount)
	return nil
}

// series returns the costs of an account in a currency, new ones if need be.
func (r *reader) series(subscription, currency int32) *series {
	g := &r.more[subscription]
	i := slices.IndexFunc(g.costs, func(s series) bool { return s.currency == currency })
	if i < 0 {
		i = len(g.costs)
		g.costs = append(g.costs, series{currency: currency, cost: make([]float64, max(r.days-r.held, 0)), at: -1})
	}
	return &g.costs[i]
}

// close turns the exact sum of a series' open day into a number.
func (r *reader) close(subscription int32, s *series) error {
	if s.at < 0 {
		return nil
	}
	d, err := s.open.Decimal("a day")
	if err != nil {
		return fmt.Errorf("cost of subscription %q on %s: %w", r.subscriptions.Text(subscription), r.on(s.at), err)
	}
	s.cost[s.at-r.held] += d.Float64()
	s.open, s.at = transform.Sum{}, -1
	return nil
}

// finish gives each account its costs, and finds from when on services are told apart.
func (r *reader) finish() error {
	for len(r.begun) < r.categories.Len() {
		r.begun = append(r.begun, r.days)
	}
	for id := range r.accounts {
		a := &r.accounts[id]
		for i := range r.more[id].costs {
			s := &r.more[id].costs[i]
			if err := r.close(int32(id), s); err != nil {
				return err
			}
			for j, c := range s.cost {
				s.cost[j] = max(c, 0)
			}
			code := ""
			if s.currency != transform.NoID {
				code = r.currencies.Text(s.currency)
			}
			a.costs = append(a.costs, currencyCost{code, s.before, r.held, s.cost})
		}
		slices.SortFunc(a.costs, func(x, y currencyCost) int { return cmp.Compare(x.currency, y.currency) })
		slices.SortFunc(a.services, func(x, y service) int {
			return cmp.Compare(r.categories.Text(x.category), r.categories.Text(y.category))
		})
		for _, s := range a.services {
			if at := s.used.first(0, r.days-1); at >= 0 {
				r.begun[s.category] = min(r.begun[s.category], at)
			}
		}
	}
	r.tells = r.days
	if len(r.begun) >= 2 {
		r.tells = slices.Sorted(slices.Values(r.begun))[1]
	}
	return nil
}
