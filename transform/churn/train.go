package churn

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoLabels says that no day lies far enough back for its outcome to be known.
var ErrNoLabels = errors.New("no outcome is known yet")

// Train fits a model to what became, by in.On, of those who were scored on earlier days:
// origins a week apart, or a quarter of longer horizons. With fewer than 20 that were lost
// or 20 that stayed the coefficients stay those of the public histories and only their level
// is the partner's. A model whose judgement of the newest known outcomes cannot be told from
// chance is marked: it gives no scores (Model.NoSignal).
func Train(in Inputs, horizon int) (*Model, error) {
	c, err := newCache(in, horizon)
	if err != nil {
		return nil, err
	}
	l, ok, err := c.learn(c.place(in.On))
	if err != nil {
		return nil, fmt.Errorf("train on %s: %w", in.On, err)
	}
	if !ok {
		return nil, fmt.Errorf("train on %s: %w: it takes three horizons of history, %d days; there are %d up to that day",
			in.On, ErrNoLabels, 3*horizon+1, c.place(in.On)+1)
	}
	m := &Model{terms: c.terms, file: modelFile{Method: method, Kind: l.kind, Horizon: horizon, Population: in.Population,
		Terms: l.terms, Intercept: l.intercept, NoSignal: l.noGood,
		Training: Training{Watermark: in.On, Origins: l.origins, Rows: l.rows, Churned: l.churned, Last: c.History.on(l.last),
			AUC: l.judged.interval(l.judged.sorted(true)), Brier: l.brier, Platt: l.platted}}}
	return m, m.seal()
}

// seal names the model by its file.
func (m *Model) seal() error {
	raw, err := m.Encode()
	m.hash = hashOf(raw)
	return err
}

// SetData notes from what versions of the tables the model was made, and what was known then.
func (m *Model) SetData(versions map[string]int64, knownAt time.Time) error {
	m.file.Training.Versions, m.file.Training.KnownAt = versions, &knownAt
	return m.seal()
}

func newCache(in Inputs, horizon int) (*cache, error) {
	t, err := readTerms()
	if err != nil {
		return nil, err
	}
	list, err := subjects(in.History, in.Subscriptions, in.On)
	if err != nil {
		return nil, fmt.Errorf("subscriptions: %w", err)
	}
	return &cache{study: newStudy(t, in.History, horizon, in.Population, list), read: map[int]*portfolioDay{}}, nil
}

// BrierOn returns the Brier score of the model on the newest day whose outcome is known by
// in.On, to be compared with that of a model trained by then.
func (m *Model) BrierOn(in Inputs) (float64, error) {
	c, err := newCache(in, m.file.Horizon)
	if err != nil {
		return 0, err
	}
	origins := c.origins(c.place(in.On))
	if len(origins) == 0 {
		return 0, ErrNoLabels
	}
	return grade(c.predict(m, origins[0])).brier(), nil
}

// predict returns the model's predictions of a day.
func (c *cache) predict(m *Model, o int) []Prediction {
	d := c.on(o)
	fixed := m.coefficients(c.study, d)
	return c.predictions(o, func(i int) float64 { return m.probability(fixed.logit(d.rows[i])) })
}
