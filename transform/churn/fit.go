package churn

import (
	"fmt"
	"math"
	"sync"

	"gonum.org/v1/gonum/mat"
)

// coefficients are a model's: one for each term, and the intercept.
type coefficients struct {
	terms     []float64
	intercept float64
}

// logit returns the score of a row of terms before it is made a probability.
func (c coefficients) logit(row []float64) float64 { return dot(row, c.terms) + c.intercept }

// intercept returns the constant under which the weighted mean probability of the rows is
// the target. Without weights every row counts as one.
func intercept(rows [][]float64, betas, weights []float64, target float64) float64 {
	scores, all := make([]float64, len(rows)), 0.0
	weight := func(i int) float64 {
		if weights == nil {
			return 1
		}
		return weights[i]
	}
	for i, row := range rows {
		scores[i] = dot(row, betas)
		all += weight(i)
	}
	lo, hi := -60.0, 60.0
	for range 100 {
		mid, sum := (lo+hi)/2, 0.0
		for i, s := range scores {
			sum += weight(i) * sigmoid(s+mid)
		}
		if sum < target*all {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// labelled are rows of terms whose outcome is known.
type labelled struct {
	rows    [][]float64
	churned []bool
	weights []float64
}

func (l *labelled) add(row []float64, churned bool, weight float64) {
	l.rows, l.churned, l.weights = append(l.rows, row), append(l.churned, churned), append(l.weights, weight)
}

// events counts the rows that churned.
func (l *labelled) events() int {
	n := 0
	for _, c := range l.churned {
		if c {
			n++
		}
	}
	return n
}

// weight is that of all rows.
func (l *labelled) weight() float64 {
	all := 0.0
	for _, w := range l.weights {
		all += w
	}
	return all
}

// rate is the weighted share of the rows that churned.
func (l *labelled) rate() float64 {
	sum, all := 0.0, 0.0
	for i, w := range l.weights {
		all += w
		if l.churned[i] {
			sum += w
		}
	}
	return sum / all
}

// penalty is a Gaussian prior and a range for each coefficient; the last is the intercept's.
type penalty struct{ mean, precision, lo, hi []float64 }

func (p *penalty) add(mean, precision, lo, hi float64) {
	p.mean, p.precision, p.lo, p.hi = append(p.mean, mean), append(p.precision, precision), append(p.lo, lo), append(p.hi, hi)
}

// fit finds the most probable coefficients given the rows: penalised logistic regression
// inside bounds, by projected Newton steps with a line search.
func fit(l *labelled, p penalty) ([]float64, error) {
	const steps, enough = 200, 1e-9
	k := len(p.mean)
	beta := make([]float64, k)
	for j := range beta {
		beta[j] = clamp(p.mean[j], p.lo[j], p.hi[j])
	}
	loss := l.loss(beta, p)
	for range steps {
		gradient, hessian := l.derivatives(beta, p)
		var free []int
		for j := range beta {
			if !(beta[j] <= p.lo[j] && gradient[j] > 0 || beta[j] >= p.hi[j] && gradient[j] < 0) {
				free = append(free, j)
			}
		}
		step, err := solve(hessian, gradient, free)
		if err != nil {
			return nil, err
		}
		moved := 0.0
		for scale := 1.0; scale > 1e-10; scale /= 2 {
			next := make([]float64, k)
			copy(next, beta)
			gain, far := 0.0, 0.0
			for i, j := range free {
				next[j] = clamp(beta[j]-scale*step[i], p.lo[j], p.hi[j])
				gain += gradient[j] * (beta[j] - next[j])
				far = max(far, math.Abs(beta[j]-next[j]))
			}
			if after := l.loss(next, p); after <= loss-1e-4*gain {
				beta, loss, moved = next, after, far
				break
			}
		}
		if moved < enough {
			break
		}
	}
	return beta, nil
}

func (l *labelled) loss(beta []float64, p penalty) float64 {
	sum := 0.0
	for j, b := range beta {
		sum += p.precision[j] * (b - p.mean[j]) * (b - p.mean[j]) / 2
	}
	k := len(beta) - 1
	for i, row := range l.rows {
		z := dot(row, beta[:k]) + beta[k]
		if l.churned[i] {
			z = -z
		}
		sum += l.weights[i] * softplus(z)
	}
	return sum
}

// softplus is ln(1+e^z), safely.
func softplus(z float64) float64 {
	if z > 0 {
		return z + math.Log1p(math.Exp(-z))
	}
	return math.Log1p(math.Exp(z))
}

// derivatives returns the gradient and the lower triangle of the Hessian. The rows are
// halved whatever the number of processors, so that the sums are the same everywhere.
func (l *labelled) derivatives(beta []float64, p penalty) ([]float64, []float64) {
	k := len(beta)
	type part struct{ g, h []float64 }
	var parts [2]part
	var wait sync.WaitGroup
	half := len(l.rows) / 2
	for i, span := range [2][2]int{{0, half}, {half, len(l.rows)}} {
		wait.Go(func() {
			g, h := make([]float64, k), make([]float64, k*k)
			x := make([]float64, k)
			x[k-1] = 1
			for n := span[0]; n < span[1]; n++ {
				copy(x, l.rows[n])
				prob := sigmoid(dot(x, beta))
				miss := prob
				if l.churned[n] {
					miss--
				}
				miss *= l.weights[n]
				curve := l.weights[n] * prob * (1 - prob)
				for a, xa := range x {
					if xa == 0 {
						continue
					}
					g[a] += miss * xa
					line, c := h[a*k:a*k+a+1], curve*xa
					for b := range line {
						line[b] += c * x[b]
					}
				}
			}
			parts[i] = part{g, h}
		})
	}
	wait.Wait()
	g, h := parts[0].g, parts[0].h
	for j := range g {
		g[j] += parts[1].g[j] + p.precision[j]*(beta[j]-p.mean[j])
	}
	for j := range h {
		h[j] += parts[1].h[j]
	}
	for j := range k {
		h[j*k+j] += p.precision[j]
	}
	return g, h
}

// solve returns the Newton step for the free coefficients.
func solve(h, g []float64, free []int) ([]float64, error) {
	k, n := len(g), len(free)
	if n == 0 {
		return nil, nil
	}
	sym, right := mat.NewSymDense(n, nil), mat.NewVecDense(n, nil)
	for i, a := range free {
		right.SetVec(i, g[a])
		for j, b := range free[:i+1] {
			sym.SetSym(i, j, h[a*k+b])
		}
	}
	var factor mat.Cholesky
	if !factor.Factorize(sym) {
		return nil, fmt.Errorf("fit: the curvature is not positive; are there values that are no numbers?")
	}
	var step mat.VecDense
	if err := factor.SolveVecTo(&step, right); err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	return step.RawVector().Data, nil
}
