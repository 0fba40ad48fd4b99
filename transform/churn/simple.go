package churn

import "math"

// simpleMethod is a yardstick: a logistic regression on what everybody would try first.
type simpleMethod struct {
	name   string
	values func(x *vector) []float64
}

func simpleMethods() []simpleMethod {
	return []simpleMethod{
		{"recency", func(x *vector) []float64 { return []float64{x.f[fRec]} }},
		{"rfm", func(x *vector) []float64 { return []float64{x.f[fRec], x.f[fNAct], math.Log1p(x.facts.spent)} }},
		{"drop_ratio", func(x *vector) []float64 { return []float64{x.f[fActTr3]} }},
	}
}

// fit learns from the outcomes known on a day and returns the probability of each account
// of the portfolio; nil when no outcome is known.
func (m simpleMethod) fit(c *cache, t int) (func(i int) float64, error) {
	rows := &labelled{}
	c.eachLabelled(t, func(o *portfolioDay, i int, churned bool, weight float64) {
		rows.add(m.values(&o.xs[i]), churned, weight)
	})
	if len(rows.rows) == 0 {
		return nil, nil
	}
	k := len(m.values(&vector{}))
	centre, spread := make([]float64, k), make([]float64, k)
	for j := range k {
		var column []float64
		for _, r := range rows.rows {
			column = append(column, r[j])
		}
		centre[j], spread[j] = mean(column), 1
		if s := deviation(column); s > 0 {
			spread[j] = s
		}
	}
	standard := func(values []float64) []float64 {
		for j := range values {
			values[j] = (values[j] - centre[j]) / spread[j]
		}
		return values
	}
	for i := range rows.rows {
		standard(rows.rows[i])
	}
	var p penalty
	for range k + 1 {
		p.add(0, .1, math.Inf(-1), math.Inf(1))
	}
	beta, err := fit(rows, p)
	if err != nil {
		return nil, err
	}
	d := c.on(t)
	return func(i int) float64 { return sigmoid(dot(standard(m.values(&d.xs[i])), beta[:k]) + beta[k]) }, nil
}
