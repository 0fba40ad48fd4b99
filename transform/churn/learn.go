package churn

import (
	"math"

	"tidemark/data"
)

// Kind says where a model's coefficients come from.
type Kind string

// The kinds.
const (
	KindPrior  Kind = "prior"  // public histories; the level by BG/BB, anew on each day
	KindRate   Kind = "rate"   // public histories; the level of the partner's own few labels
	KindFitted Kind = "fitted" // the partner's own churn
)

// learned is what the labels known on a day teach.
type learned struct {
	kind Kind
	coefficients
	rows, churned, origins int
	accounts, lost         int // behind the rows

	judged *graded // predictions of the newest labelled origins, out of time; nil: too little
	last   int     // the newest labelled origin
	brier  float64 // of judged, on the last origin
	noGood bool    // the gate: past churn does not follow usage

	platted bool // a last calibration was worth it
}

const (
	fewestPlatt  = 200 // churned rows that a last calibration is made from
	gateAUC      = .55
	gateEvents   = 20 // accounts lost
	judgedWithin = 2  // horizons that the judged origins lie in
)

// cache remembers the portfolios of days.
type cache struct {
	*study
	read map[int]*portfolioDay
}

func (c *cache) on(t int) *portfolioDay {
	d := c.read[t]
	if d == nil {
		d = c.study.on(t)
		c.read[t] = d
	}
	return d
}

// learn fits a model for a day to what was known by then. Nothing after the day is looked
// at. ok is false when there is no label at all.
func (c *cache) learn(t int) (l learned, ok bool, err error) {
	rows, who := c.training(t)
	if len(rows.rows) == 0 {
		return l, false, nil
	}
	l, err = c.fitTo(rows, who)
	if err != nil {
		return l, false, err
	}
	all := c.origins(t)
	l.origins, l.last = len(all), all[0]
	// Out of time: a model from before judges the newest labelled days.
	var recent []int
	for _, o := range all {
		if o > all[0]-judgedWithin*c.h {
			recent = append(recent, o)
		}
	}
	before, err := c.before(recent[len(recent)-1])
	if err != nil {
		return l, false, err
	}
	var judged []Prediction
	calibrate, judgedOn := &labelled{}, people{}
	for _, o := range recent {
		d := c.on(o)
		judged = append(judged, c.predictions(o, func(i int) float64 { return sigmoid(before.logit(d.rows[i])) })...)
		c.outcomes(o, func(i int, churned bool) {
			calibrate.add([]float64{before.logit(d.rows[i])}, churned, 1)
			judgedOn.add(d.list[i], churned)
		})
	}
	l.judged = grade(judged)
	l.brier = gradeOf(judged, c.History.on(l.last)).brier()
	if judgedOn.lost() >= gateEvents {
		within := l.judged.interval(l.judged.sorted(true))
		l.noGood = within.Low != nil && *within.Low <= gateAUC
	}
	if l.kind == KindFitted && before.kind == KindFitted {
		err = l.platt(calibrate, judged, c.History.on(l.last))
	}
	return l, true, err
}

// before is the model that a day before would have had, the prior if need be.
func (c *cache) before(t int) (learned, error) {
	rows, who := c.training(t)
	if len(rows.rows) == 0 {
		return learned{kind: KindPrior, coefficients: c.cold(c.on(t))}, nil
	}
	return c.fitTo(rows, who)
}

// fitTo fits rows if there are enough of both kinds, and else takes their level only. Of the
// lost accounts count, not rows: one that went away is lost on several origins, and tells it
// once. To stay is something new on every origin, also for one that is lost in the end.
func (c *cache) fitTo(rows *labelled, who people) (l learned, err error) {
	l.rows, l.churned, l.accounts, l.lost = len(rows.rows), rows.events(), len(who), who.lost()
	if l.lost < c.Fit.MinEvents || l.rows-l.churned < c.Fit.MinEvents {
		l.kind, l.coefficients = KindRate, c.rated(rows)
		return l, nil
	}
	l.kind = KindFitted
	l.coefficients, err = c.fitted(rows)
	return l, err
}

// platt corrects the level and the spread of the logits by what came true out of time,
// shrunk towards no correction, if one that is found without the last origin makes the
// predictions of that one better.
func (l *learned) platt(rows *labelled, judged []Prediction, last data.Day) error {
	var p penalty
	p.add(1, 1/(.3*.3), 0, math.Inf(1))
	p.add(0, 1/(.5*.5), math.Inf(-1), math.Inf(1))
	earlier, corrected := &labelled{}, []Prediction{}
	for i, x := range judged {
		if x.On != last {
			earlier.add(rows.rows[i], rows.churned[i], 1)
		}
	}
	if earlier.events() < fewestPlatt {
		return nil
	}
	ab, err := fit(earlier, p)
	if err != nil {
		return err
	}
	for i, x := range judged {
		if x.On == last {
			x.Score = sigmoid(ab[0]*rows.rows[i][0] + ab[1])
			corrected = append(corrected, x)
		}
	}
	if grade(corrected).brier() >= l.brier {
		return nil
	}
	if ab, err = fit(rows, p); err != nil {
		return err
	}
	terms := make([]float64, len(l.terms))
	for j, b := range l.terms {
		terms[j] = ab[0] * b
	}
	l.coefficients, l.platted = coefficients{terms: terms, intercept: ab[0]*l.intercept + ab[1]}, true
	return nil
}

// gradeOf grades the predictions of one origin.
func gradeOf(all []Prediction, origin data.Day) *graded {
	var some []Prediction
	for _, p := range all {
		if p.On == origin {
			some = append(some, p)
		}
	}
	return grade(some)
}
