package churn

import (
	"math"

	"tidemark/transform"
)

// portfolioDay is everybody who gets a score on one day.
type portfolioDay struct {
	t       int // place of the day
	list    []int32
	xs      []vector
	rows    [][]float64 // terms
	quiet   float64     // how the whole portfolio's activity moved in the last week, as a logarithm
	silence float64     // mean BG/BB probability of no usage in the horizon
}

// study computes features and labels of one history for one horizon.
type study struct {
	*terms
	view
	population Population
	subjects   []*subject // by account; nil: everybody is there all the time
}

func newStudy(t *terms, h *History, horizon int, p Population, list []subject) *study {
	s := &study{terms: t, view: view{History: h, windows: windowsOf(horizon)}, population: p, subjects: make([]*subject, len(h.accounts))}
	for i := range list {
		if id := list[i].account; id != transform.NoID {
			s.subjects[id] = &list[i]
		}
	}
	return s
}

// on returns the portfolio of a day.
func (s *study) on(t int) *portfolioDay {
	v := s.view
	v.t = t
	d := &portfolioDay{t: t}
	window := s.population.Window
	if window == 0 {
		window = s.h
	}
	for _, id := range v.eligible(window, max(1, s.population.Least)) {
		sub := s.subject(id)
		if sub != nil && (!sub.existed(v.History.on(t)) || sub.state(v.History.on(t)) != StateScored) {
			continue
		}
		if (sub == nil || sub.created == nil) && s.fresh(id, t) {
			continue
		}
		d.list = append(d.list, id)
	}
	d.xs = make([]vector, len(d.list))
	for i, id := range d.list {
		created := t
		if sub := s.subject(id); sub != nil && sub.created != nil {
			created = s.place(*sub.created)
		}
		d.xs[i] = v.vector(&v.accounts[id], created)
	}
	d.quiet = v.portfolio(d.list, d.xs, fitProcess(v.patterns()))
	d.rows = make([][]float64, len(d.list))
	for i := range d.xs {
		d.rows[i] = s.row(&d.xs[i])
		d.silence += sigmoid(d.xs[i].f[fLB]) / float64(len(d.xs))
	}
	return d
}

// fresh reports whether an account that no creation date is known of was first used less than a
// week before a day, and the archive is older. Whoever states a population of another kind
// says himself who is scored.
func (s *study) fresh(account int32, t int) bool {
	if account == transform.NoID || s.population.Window != 0 {
		return false
	}
	first := s.accounts[account].used.first(0, t)
	return first >= 0 && t-first+1 < leastAge && s.knownDays(0, first-1) >= leastAge
}

// subject returns what the inventory says of an account, nil when it says nothing.
func (s *study) subject(account int32) *subject {
	if s.subjects == nil {
		return nil
	}
	return s.subjects[account]
}

// places returns the place of each account in the portfolio.
func (d *portfolioDay) places() map[int32]int {
	out := make(map[int32]int, len(d.list))
	for i, id := range d.list {
		out[id] = i
	}
	return out
}

// patterns returns the BG/BB patterns of everybody known on the day.
func (v view) patterns() []pattern {
	var all []pattern
	for i := range v.accounts {
		if a := &v.accounts[i]; a.used.any(0, v.t) {
			all = append(all, v.periods(a))
		}
	}
	return all
}

// label says whether an account was lost in the horizon after a day; known is false when
// that cannot be told (yet).
func (s *study) label(account int32, t int) (churned, known bool) {
	until := t + s.h
	if until >= s.days {
		return false, false
	}
	if sub := s.subject(account); sub != nil && sub.ended != nil {
		if ended := s.place(*sub.ended); t < ended && ended <= until {
			moved := s.moved(account, ended)
			return !moved, !moved
		}
	}
	if s.accounts[account].used.any(t+1, until) {
		return false, true
	}
	// Days that were not read may hold usage: with more than a quarter of them nothing is known.
	v := s.view
	v.t = until
	return true, v.enough(0, s.h)
}

// Another subscription of the customer that gains this share of the cost within so many days
// makes an end a move.
const (
	movedShare = .6
	movedDays  = 14
)

// moved reports whether an account that ended on a day went on as another one of the same
// customer.
func (s *study) moved(account int32, ended int) bool {
	v := s.view
	v.t = ended - 1
	gone := s.accounts[account].main(v.t)
	lost := v.spent(gone, 0, movedDays)
	if lost == 0 {
		return false
	}
	after := v
	after.t = min(ended-1+movedDays, s.days-1)
	for id, other := range s.subjects {
		if other == nil || int32(id) == account || other.customer != s.subjects[account].customer {
			continue
		}
		c := s.accounts[id].in(gone.currency)
		if after.spent(c, 0, movedDays)-v.spent(c, 0, movedDays) >= movedShare*lost {
			return true
		}
	}
	return false
}

const (
	mostRows    = 700_000 // to train on
	mostHistory = 36      // horizons back; what is older would weigh next to nothing
)

// step is the distance of training origins: a week, or about a quarter of longer horizons;
// in large portfolios up to a horizon.
func (s *study) step() int {
	step := max(7, 7*int(math.Round(float64(s.h)/28)))
	for step < s.h && min(s.days, mostHistory*s.h)/step*len(s.accounts) > mostRows {
		step *= 2
	}
	return min(step, max(s.h, 7))
}

// origins returns the days to train on for scores of a day, newest first: those whose
// outcome was known by then and that have some history.
func (s *study) origins(t int) []int {
	var out []int
	for o := t - s.h; o >= max(2*s.h, t-mostHistory*s.h); o -= s.step() {
		out = append(out, o)
	}
	return out
}

// outcomes visits everybody in the portfolio of a day whose outcome is known, by place in it.
func (c *cache) outcomes(o int, visit func(i int, churned bool)) {
	for i, id := range c.on(o).list {
		if churned, known := c.label(id, o); known {
			visit(i, churned)
		}
	}
}

// predictions are the scores given of those people, beside what came true.
func (c *cache) predictions(o int, score func(i int) float64) []Prediction {
	var out []Prediction
	list := c.on(o).list
	c.outcomes(o, func(i int, churned bool) {
		out = append(out, Prediction{c.subscriptions.Text(list[i]), c.History.on(o), score(i), churned, 0})
	})
	return out
}

// eachLabelled visits the rows that a model for a day may learn from: what was known on
// earlier days, of which the outcome is known on the day. Older rows weigh less, and so do
// outcomes that overlap.
func (c *cache) eachLabelled(t int, visit func(d *portfolioDay, i int, churned bool, weight float64)) {
	for _, o := range c.origins(t) {
		d := c.on(o)
		weight := math.Pow(.5, float64(t-c.h-o)/(c.Fit.HalfLife*float64(c.h))) * min(1, float64(c.step())/float64(c.h))
		c.outcomes(o, func(i int, churned bool) { visit(d, i, churned, weight) })
	}
}

// training returns those rows' terms, and whose they are.
func (c *cache) training(t int) (*labelled, people) {
	l, who := &labelled{}, people{}
	c.eachLabelled(t, func(d *portfolioDay, i int, churned bool, weight float64) {
		l.add(d.rows[i], churned, weight)
		who.add(d.list[i], churned)
	})
	return l, who
}

// people are the accounts behind outcomes, and which of them were lost: one loss is an outcome
// of every origin in the horizon before it.
type people map[int32]bool

func (p people) add(account int32, churned bool) { p[account] = p[account] || churned }

// lost counts those that were lost.
func (p people) lost() int {
	n := 0
	for _, churned := range p {
		if churned {
			n++
		}
	}
	return n
}

// rated returns the prior's coefficients at the level of labelled rows.
func (s *study) rated(l *labelled) coefficients {
	return coefficients{terms: s.betas(), intercept: intercept(l.rows, s.betas(), l.weights, clamp(l.rate(), .002, .9))}
}

// cold returns the prior's coefficients at the level of the BG/BB mean of a day. That mean
// knows nothing of the expert terms, so they are left out where it is matched, and add to it.
func (s *study) cold(d *portfolioDay) coefficients {
	usage := s.betas()
	for j, t := range s.list {
		if t.group == GroupStop || t.group == GroupDrop {
			usage[j] = 0
		}
	}
	return coefficients{terms: s.betas(), intercept: intercept(d.rows, usage, nil, clamp(d.silence, .002, .9))}
}

// enoughRows is the weight of the rows from which on the prior's deviations stand as they are.
const enoughRows = 300

// fitted returns the coefficients fitted to labelled rows, around the prior.
func (s *study) fitted(l *labelled) (coefficients, error) {
	var p penalty
	// Few rows are believed less than the prior's deviations alone would have it: with a
	// hundred of them they did harm on one of four histories.
	doubt := max(1, enoughRows/l.weight())
	for _, t := range s.list {
		p.add(t.beta, doubt/(t.sd*t.sd), t.lo, t.hi)
	}
	p.add(s.rated(l).intercept, s.Fit.InterceptPrec, math.Inf(-1), math.Inf(1))
	beta, err := fit(l, p)
	if err != nil {
		return coefficients{}, err
	}
	return coefficients{terms: beta[:len(beta)-1], intercept: beta[len(beta)-1]}, nil
}
