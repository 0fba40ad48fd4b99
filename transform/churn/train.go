package churn

import (
	"errors"
	"fmt"
	"math"
	"time"

	"tidemark/data"
)

// ErrNoLabels says that no day lies far enough back for its outcome to be known.
var ErrNoLabels = errors.New("no outcome is known yet")

// Train fits a model to what became, by in.On, of those who were scored on earlier days:
// origins a week apart, or a quarter of longer horizons. With fewer than 20 subscriptions that
// were lost or 20 that stayed the coefficients stay those of the public histories and only their level
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
		Training: Training{Watermark: in.On, Origins: l.origins, Rows: l.rows, Churned: l.churned,
			Subscriptions: l.accounts, Lost: l.lost, Last: c.History.on(l.last),
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
	list, err := subjects(in)
	if err != nil {
		return nil, fmt.Errorf("subscriptions: %w", err)
	}
	return &cache{study: newStudy(t, in.History, horizon, in.Population, list), read: map[int]*portfolioDay{}}, nil
}

// Trial is how two models judged the newest day whose outcome is known: the one in use, and
// one that was made on that day as a new one is made today. Neither had seen the outcomes.
type Trial struct {
	On         data.Day
	InUse, New float64 // Brier scores
}

// Try tries the model, which is in use, against a new one. ok is false when it was trained
// after the newest day whose outcome is known: what it has seen it cannot be tried on.
func (m *Model) Try(in Inputs) (t Trial, ok bool, err error) {
	c, err := newCache(in, m.file.Horizon)
	if err != nil {
		return t, false, err
	}
	origins := c.origins(c.place(in.On))
	if len(origins) == 0 {
		return t, false, nil
	}
	o := origins[0]
	if t.On = c.History.on(o); m.file.Training.Watermark > t.On {
		return t, false, nil
	}
	anew, _, err := c.trainedOn(o)
	if err != nil {
		return t, false, fmt.Errorf("try on %s: %w", t.On, err)
	}
	t.InUse, t.New = grade(c.predict(m, o)).brier(), grade(c.predict(anew, o)).brier()
	return t, !math.IsNaN(t.InUse), nil
}

// trainedOn is the model that a day would have been scored by, with what was learned; where
// no outcome was known yet it is the prior.
func (c *cache) trainedOn(o int) (*Model, learned, error) {
	l, ok, err := c.learn(o)
	if !ok {
		return &Model{terms: c.terms, file: modelFile{Kind: KindPrior, Terms: c.betas()}}, learned{kind: KindPrior}, err
	}
	return &Model{terms: c.terms, file: modelFile{Kind: l.kind, Terms: l.terms, Intercept: l.intercept}}, l, err
}

// predict returns the model's predictions of a day.
func (c *cache) predict(m *Model, o int) []Prediction {
	d := c.on(o)
	fixed := m.coefficients(c.study, d)
	var out []Prediction
	c.outcomes(o, func(i int, churned bool) {
		logit := fixed.logit(d.rows[i])
		out = append(out, Prediction{c.subscriptions.Text(d.list[i]), c.History.on(o), m.probability(logit), churned, logit})
	})
	return out
}
