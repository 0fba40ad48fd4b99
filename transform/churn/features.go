package churn

import (
	"cmp"
	"math"
	"slices"
)

// The features, in the order in which a vector holds them.
const (
	fAge = iota
	fRec
	fSurprise
	fRelGap
	fRate3
	fRate1
	fRate5
	fNAct
	fActTr3
	fActTr1
	fCostTr3
	fCostTr1
	fCostTr5
	fSlope
	fCV
	fZeroBins
	fDrawdown
	fMaxGap
	fGapRatio
	fReturns
	fLevel
	fCostPerAct
	fNSvc
	fSvcTr
	fSvcLost
	fRelAct1
	fLB
	features
)

// featureNames returns the features' names in their order.
func featureNames() []string {
	return []string{"age", "rec", "surprise", "relgap", "rate3", "rate1", "rate5", "nact", "act_tr3", "act_tr1",
		"cost_tr3", "cost_tr1", "cost_tr5", "slope", "cv", "zerobins", "drawdown", "maxgap", "gapratio", "returns",
		"level", "cost_per_act", "nsvc", "svc_tr", "svc_lost", "rel_act1", "lb"}
}

// vector is what is known about one account on one day: its features and, for accounts that
// are always on, the two expert terms.
type vector struct {
	f        [features]float64
	stop     float64
	drop     float64
	alwaysOn bool
	facts    facts
}

// facts are the raw numbers behind a vector, for sentences.
type facts struct {
	silence       int     // known days since the last usage
	last          int     // place of the last usage
	longest       int     // longest earlier pause within the last 3H
	used, before  int     // days used in the last H days, and in the H before
	days, earlier int     // known days of both, since the first usage
	cost, costWas float64 // of the known ones of the last H days, and of the H before
	services      []int32 // categories of the H before the last
	lost          []int32 // of them no longer used
	age           int     // days since the first usage or, where the archive is younger, the creation
	run           int     // days up to the last usage in which there was almost daily use
	spent         float64 // of the last 3H days
	currency      string  // of all three

	weekDrop          bool    // the expert term drop speaks of the last week, not of the last H days
	week, weekEarlier float64 // then: the cost of the last week, and of a mean week before
}

// view is the history as of one place, with what all accounts share.
type view struct {
	*History
	windows
	t int // the place of the day
}

// L counts the known days of an account from its first one in the window (lo, hi] back from
// the day: L(l,h) of the method.
func (v view) length(first, lo, hi int) float64 {
	return float64(v.knownDays(max(v.t-hi+1, first), v.t-lo))
}

// active counts the account's days of usage in the window.
func (v view) active(a *account, lo, hi int) float64 {
	return float64(a.used.count(v.t-hi+1, v.t-lo))
}

// enough reports whether three quarters of the days of a window are known: with fewer nothing
// is said of all of it.
func (v view) enough(lo, hi int) bool { return 4*v.knownDays(v.t-hi+1, v.t-lo) >= 3*(hi-lo) }

// whole is what a cost of the known days of a window comes to over all of its days; told is
// false with too few known ones.
func (v view) whole(cost float64, lo, hi int) (sum float64, told bool) {
	if known := v.knownDays(v.t-hi+1, v.t-lo); known > 0 && known < hi-lo {
		cost *= float64(hi-lo) / float64(known)
	}
	return cost, v.enough(lo, hi)
}

// spent adds up the cost in the window.
func (v view) spent(c currencyCost, lo, hi int) float64 { return c.sum(v.t-hi+1, v.t-lo) }

// vector computes the features of an account that was used on or before the day. Those that
// compare it with others (level, rel_act1, lb) are left to the portfolio.
func (v view) vector(a *account, created int) vector {
	var x vector
	h, w := v.h, float64(v.w)
	first, last := a.used.first(0, v.t), a.used.last(0, v.t)
	born := first
	if created < first && v.knownDays(0, first) <= v.w {
		born = created // the archive is younger than the account
	}
	n := float64(a.used.count(0, v.t))
	span := float64(v.knownDays(first, last))
	rec := float64(v.knownDays(last+1, v.t))
	age := float64(v.t - born + 1)
	x.f[fAge] = math.Log((age + w) / float64(h))
	x.f[fRec] = math.Log1p(rec / w)
	r := clamp((n+.5)/(span+w), 1e-4, .97)
	x.f[fSurprise] = math.Log1p(min(50, -rec*math.Log(1-r)))
	x.f[fRelGap] = math.Log((rec + 1) / (span/n + 1))
	x.f[fNAct] = math.Log1p(n)

	rate := func(lo, hi int) float64 {
		return math.Log((v.active(a, lo, hi) + .5) / (v.length(first, lo, hi) + 1))
	}
	x.f[fRate1], x.f[fRate3], x.f[fRate5] = rate(0, v.w), rate(0, h), rate(0, 3*h)
	has := v.length(first, h, 2*h) >= w
	if has {
		x.f[fActTr3] = x.f[fRate3] - rate(h, 2*h)
	}
	if v.length(first, v.w, h) >= w {
		x.f[fActTr1] = x.f[fRate1] - rate(v.w, h)
	}
	v.gaps(a, &x, rec)
	cost := a.main(v.t)
	v.costs(a, cost, &x, first, n)
	v.services(a, &x, has)
	v.expert(a, cost, &x, first, last)

	x.facts.silence, x.facts.last, x.facts.age = int(rec), last, v.t-born+1
	x.facts.used, x.facts.before = a.used.count(v.t-h+1, v.t), a.used.count(v.t-2*h+1, v.t-h)
	x.facts.days, x.facts.earlier = int(v.length(first, 0, h)), int(v.length(first, h, 2*h))
	return x
}

// gaps measures the pauses between days of usage within the last 3H days.
func (v view) gaps(a *account, x *vector, rec float64) {
	longest, returns, before := 0, 0, -1
	for i := a.used.first(v.t-3*v.h+1, v.t); i >= 0; i = a.used.first(i+1, v.t) {
		if before >= 0 {
			gap := v.knownDays(before+1, i-1)
			longest = max(longest, gap)
			if gap >= v.w {
				returns++
			}
		}
		before = i
	}
	g, w := float64(longest), float64(v.w)
	x.f[fMaxGap] = math.Log1p(g / w)
	x.f[fGapRatio] = math.Log((rec + 1) / (g + 1))
	x.f[fReturns] = math.Log1p(float64(returns))
	x.facts.longest = longest
}

// costs measures the trends and the shape of the cost of the last 3H days.
func (v view) costs(a *account, c currencyCost, x *vector, first int, n float64) {
	h, w := v.h, float64(v.w)
	total := v.spent(c, 0, 3*h)
	mean := total / max(v.length(first, 0, 3*h), 1)
	eps := .05*mean*w + 1e-9
	level := func(lo, hi int) float64 {
		return (v.spent(c, lo, hi) + eps) / (v.length(first, lo, hi) + .1*w)
	}
	trend := func(lo, mid, hi int) float64 { return clamp(math.Log(level(lo, mid)/level(mid, hi)), -4, 4) }
	if total > 0 {
		if v.length(first, h, 2*h) >= w {
			x.f[fCostTr3] = clamp(math.Log(level(0, h)/level(h, 2*h)), -4, 4)
		}
		if v.length(first, v.w, h) >= w {
			x.f[fCostTr1] = trend(0, v.w, h)
		}
		if v.length(first, h, 3*h) >= float64(h) {
			x.f[fCostTr5] = trend(0, h, 3*h)
		}
	}
	x.facts.spent = total
	now := v.spent(c, 0, h)
	x.facts.cost, x.facts.costWas, x.facts.currency = now, v.spent(c, h, 2*h), c.currency
	ever := v.spent(c, 0, v.t+1)
	x.f[fCostPerAct] = clamp(math.Log((now/max(v.active(a, 0, h), 1)+1e-9)/(ever/n+1e-9)), -4, 4)
	v.shape(a, c, x, first, mean)
}

// shape looks at the last 3H days in bins of w days, twelve by default, oldest first.
func (v view) shape(a *account, c currencyCost, x *vector, first int, mean float64) {
	w := float64(v.w)
	bins := v.bins()
	var at, z []float64
	zero, most, newest := 0, 0.0, 0.0
	for k := range bins {
		hi := (bins - k) * v.w // days back
		lo := hi - v.w
		b := v.spent(c, lo, hi)
		if mean == 0 {
			b = v.active(a, lo, hi) // nothing costs anything: count days
		}
		there := v.length(first, lo, hi)
		if all := float64(v.t - lo - max(v.t-hi+1, first) + 1); there > 0 && there < all {
			b *= all / there // for the days that are not known
		}
		most, newest = max(most, b), b
		if there < w/2 {
			continue // the account was hardly there
		}
		if b == 0 {
			zero++
		}
		at = append(at, float64(k))
		if mean > 0 {
			z = append(z, math.Log1p(b/(mean*w)))
		}
	}
	x.f[fCV] = .5
	if len(at) > 0 {
		x.f[fZeroBins] = float64(zero) / float64(len(at))
	}
	if mean == 0 {
		return
	}
	if most > 0 {
		x.f[fDrawdown] = math.Log((newest + .05*most) / (1.05 * most))
	}
	if len(z) >= 3 {
		x.f[fCV] = deviation(z)
	}
	if len(z) >= 4 {
		x.f[fSlope] = slope(at, z)
	}
}

// services compares the categories of the last H days with those of the H before.
func (v view) services(a *account, x *vector, has bool) {
	if v.t < v.tells {
		return // the history does not tell services apart
	}
	now, before, kept := 0, 0, 0
	for _, s := range a.services {
		inNow, inBefore := s.used.any(v.t-v.h+1, v.t), s.used.any(v.t-2*v.h+1, v.t-v.h)
		if inNow {
			now++
		}
		if !inBefore {
			continue
		}
		before++
		x.facts.services = append(x.facts.services, s.category)
		if inNow {
			kept++
		} else {
			x.facts.lost = append(x.facts.lost, s.category)
		}
	}
	x.f[fNSvc], x.f[fSvcLost] = math.Log1p(float64(now)), .5
	if !has {
		return
	}
	x.f[fSvcTr] = math.Log(float64(now+1) / float64(before+1))
	if before > 0 {
		x.f[fSvcLost] = 1 - float64(kept)/float64(before)
	}
}

const (
	alwaysOnFrom = .93
	leastHabit   = 14 // days without which nothing is called a habit
)

// expert computes the terms for accounts that are always on: those used on 93 % of the 28
// days, of at least 14, that end with the last usage.
func (v view) expert(a *account, c currencyCost, x *vector, first, last int) {
	from := max(last-27, first)
	days := v.knownDays(from, last)
	if days < leastHabit || float64(a.used.count(from, last)) < alwaysOnFrom*float64(days) {
		return
	}
	x.alwaysOn = true
	rec := float64(v.knownDays(last+1, v.t))
	x.stop = 1 - math.Exp(-rec/3)
	n, used := v.knownDays(first, last), a.used.count(first, last)
	for at := first; at <= last && x.facts.run == 0; at++ {
		if !v.known.has(at) {
			continue
		}
		if float64(used) >= alwaysOnFrom*float64(n) {
			x.facts.run = n
		}
		if n--; a.used.has(at) {
			used--
		}
	}
	if rec >= 2 || c.cost == nil {
		return
	}
	// Weekly costs of the 2H days before the last H, and before the last week.
	x.drop = v.fall(c, first, v.h, 1)
	if week := .7 * v.fall(c, first, v.w, 1.3); week > x.drop {
		x.drop, x.facts.weekDrop = week, true
		x.facts.week, x.facts.weekEarlier = v.spent(c, 0, v.w), v.spent(c, v.w, v.w+2*v.h)/v.length(first, v.w, v.w+2*v.h)*float64(v.w)
	}
}

// fall is how far the mean weekly cost of the last days lies below that of the 2H days
// before them, in units of its usual variation, widened.
func (v view) fall(c currencyCost, first, days int, widen float64) float64 {
	var weeks []float64
	sum := 0.0
	for hi := days + v.w; hi <= days+2*v.h; hi += v.w {
		if v.length(first, hi-v.w, hi) < float64(v.w) {
			break
		}
		week := v.spent(c, hi-v.w, hi)
		sum += week
		weeks = append(weeks, math.Log(week+1e-9))
	}
	if len(weeks) < 4 || sum == 0 {
		return 0
	}
	now := v.spent(c, 0, days) / max(v.length(first, 0, days), 1) * float64(v.w)
	r := math.Log((now + 1e-9) / (sum/float64(len(weeks)) + 1e-9))
	return clamp(-r/(widen*max(.25, deviation(weeks)))-.5, 0, 6)
}

// portfolio finishes the vectors of the accounts that a day's list shows, by what they are
// beside each other, and by the buying process fitted on everybody.
func (v view) portfolio(list []int32, xs []vector, p process) (quiet float64) {
	l := p.logs()
	n := len(list)
	order := make([]int, n)
	recent, usual := 0.0, 0.0
	for i, id := range list {
		order[i] = i
		a := &v.accounts[id]
		recent += v.active(a, 0, v.w)
		usual += v.active(a, v.w, v.h)
	}
	level(order, xs)
	quiet = clamp(math.Log((recent/max(v.length(0, 0, v.w), 1)+1e-9)/(usual/max(v.length(0, v.w, v.h), 1)+1e-9)), -2, 2)
	for i, id := range list {
		xs[i].f[fRelAct1] = xs[i].f[fActTr1] - quiet
		xs[i].f[fLB] = logit(clamp(l.silent(v.periods(&v.accounts[id])), 1e-4, 1-1e-4))
	}
	return quiet
}

// level ranks the costs of the last H days, 1 for the highest; ties share the mean of their
// places. Sums that differ in rounding only are ties.
func level(order []int, xs []vector) {
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(xs[a].facts.cost, xs[b].facts.cost) })
	for i := 0; i < len(order); {
		j, tie := i+1, xs[order[i]].facts.cost*(1+1e-10)
		for j < len(order) && xs[order[j]].facts.cost <= tie {
			j++
		}
		for _, k := range order[i:j] {
			xs[k].f[fLevel] = float64(i+1+j) / 2 / float64(len(order))
		}
		i = j
	}
}

// eligible returns the accounts that were used on at least least of the last window known
// days: one that is not known is no day without usage.
func (v view) eligible(window, least int) []int32 {
	var list []int32
	from := v.t - window + 1
	for from > 0 && v.knownDays(from, v.t) < window {
		from--
	}
	for i := range v.accounts {
		if v.accounts[i].used.count(from, v.t) >= least {
			list = append(list, int32(i))
		}
	}
	return list
}
