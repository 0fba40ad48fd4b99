package churn

import "math"

func clamp(x, lo, hi float64) float64 { return min(max(x, lo), hi) }

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// sigmoid is the inverse of logit.
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// deviation is the population's standard deviation.
func deviation(x []float64) float64 {
	m, sum := mean(x), 0.0
	for _, v := range x {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(x)))
}

// slope is that of the least-squares line through points.
func slope(x, y []float64) float64 {
	mx, my := mean(x), mean(y)
	sxx, sxy := 0.0, 0.0
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	return sxy / max(sxx, 1)
}
