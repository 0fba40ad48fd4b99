package churn

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"
)

// The BG/BB model of Fader, Hardie and Shang (Customer-Base Analysis in a Discrete-Time
// Noncontractual Setting, Marketing Science 29, 2010): in every period a customer who is
// there buys with probability p, and before it leaves for good with probability theta; p and
// theta are beta-distributed over the customers.

// pattern is what BG/BB needs to know of one customer.
type pattern struct {
	x  int // periods with usage
	tx int // the last of them, counted from 1; 0 when there is none
	n  int // periods
}

const (
	mostPeriods = 26
	ahead       = 4 // periods of a horizon
)

// process is a fitted BG/BB model: p ~ Beta(Alpha, Beta), theta ~ Beta(Gamma, Delta).
type process struct {
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	Gamma float64 `json:"gamma"`
	Delta float64 `json:"delta"`
}

// fewProcess stands in where too few customers are known to fit one. It is judgement.
func fewProcess() process { return process{1.2, .1, .3, 12} }

const (
	fewestFitted = 30
	shrink       = 9e-4 // weight of the squared logarithms of the parameters, which keeps them finite
)

// logs are the logarithms that the likelihoods of one process are sums of.
type logs struct {
	a, b, ab []float64 // ln Γ of Alpha, Beta and Alpha+Beta, plus 0, 1, 2 ...
	g, d, gd []float64 // the same of Gamma, Delta and Gamma+Delta
	base     float64
}

// lgammas returns ln Γ(x), ln Γ(x+1), ... ln Γ(x+n).
func lgammas(x float64, n int) []float64 {
	out := make([]float64, n+1)
	out[0], _ = math.Lgamma(x)
	for i := 1; i <= n; i++ {
		out[i] = out[i-1] + math.Log(x+float64(i-1))
	}
	return out
}

func (p process) logs() logs {
	const most = mostPeriods + ahead
	l := logs{a: lgammas(p.Alpha, most), b: lgammas(p.Beta, most), ab: lgammas(p.Alpha+p.Beta, most),
		g: lgammas(p.Gamma, 1), d: lgammas(p.Delta, most), gd: lgammas(p.Gamma+p.Delta, most+1)}
	l.base = l.a[0] + l.b[0] - l.ab[0] + l.g[0] + l.d[0] - l.gd[0]
	return l
}

// likelihood returns ln L of a pattern (equation 7 of the paper).
func (l logs) likelihood(c pattern) float64 {
	// alive to the end, and gone after each period since the last with usage
	most := l.a[c.x] + l.b[c.n-c.x] - l.ab[c.n] + l.g[0] + l.d[c.n] - l.gd[c.n]
	var terms [mostPeriods + ahead + 1]float64
	terms[0] = most
	k := 1
	for i := range c.n - c.tx {
		t := l.a[c.x] + l.b[c.tx-c.x+i] - l.ab[c.tx+i] + l.g[1] + l.d[c.tx+i] - l.gd[c.tx+i+1]
		terms[k], most = t, max(most, t)
		k++
	}
	sum := 0.0
	for _, t := range terms[:k] {
		sum += math.Exp(t - most)
	}
	return most + math.Log(sum) - l.base
}

// silent returns the probability of no usage in the next four periods.
func (l logs) silent(c pattern) float64 { return l.idle(c, ahead) }

// idle returns the probability of no usage in the next periods.
func (l logs) idle(c pattern, periods int) float64 {
	later := c
	later.n += periods
	return math.Exp(l.likelihood(later) - l.likelihood(c))
}

// fitProcess finds the process under which the patterns of everybody are most likely. The
// order of the patterns does not matter.
func fitProcess(all []pattern) process {
	if len(all) < fewestFitted {
		return fewProcess()
	}
	type group struct {
		pattern
		count float64
	}
	counts := map[pattern]int{}
	for _, c := range all {
		counts[c]++
	}
	var groups []group
	for c, n := range counts {
		groups = append(groups, group{c, float64(n)})
	}
	slices.SortFunc(groups, func(a, b group) int {
		return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.tx, b.tx), cmp.Compare(a.n, b.n))
	})
	loss := func(x []float64) float64 {
		sum, size := 0.0, 0.0
		for _, v := range x {
			size += v * v
			if math.Abs(v) > 20 {
				return math.Inf(1)
			}
		}
		l := processOf(x).logs()
		for _, g := range groups {
			sum += g.count * l.likelihood(g.pattern)
		}
		return -sum/float64(len(all)) + shrink*size
	}
	best, found := math.Inf(1), fewProcess()
	for _, start := range [][]float64{{0, 0, -.5, 1.5}, {.5, -.5, -1, 2}} {
		r, err := optimize.Minimize(optimize.Problem{Func: loss}, start,
			&optimize.Settings{FuncEvaluations: 2000, Converger: &optimize.FunctionConverge{Absolute: 1e-10, Iterations: 100}}, &optimize.NelderMead{})
		if r != nil && r.F < best && (err == nil || r.Status == optimize.FunctionEvaluationLimit) {
			best, found = r.F, processOf(r.X)
		}
	}
	return found
}

func processOf(x []float64) process {
	return process{math.Exp(x[0]), math.Exp(x[1]), math.Exp(x[2]), math.Exp(x[3])}
}

// periods counts the periods of w days back from the day, up to the account's first usage.
// A period of which less than half is known and in which nothing was used is left out.
func (v view) periods(a *account) pattern {
	first := a.used.first(0, v.t)
	var c pattern
	n, newest := min((v.t-first)/v.w, mostPeriods), -1
	for j := range n {
		hi, lo := v.t-j*v.w, v.t-(j+1)*v.w+1
		used := a.used.any(lo, hi)
		if !used && 2*v.knownDays(lo, hi) < v.w {
			continue
		}
		if used {
			if c.x++; newest < 0 {
				newest = c.n
			}
		}
		c.n++
	}
	if c.x > 0 {
		c.tx = c.n - newest
	}
	return c
}
