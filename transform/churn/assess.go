package churn

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// quietFrom is how far the whole portfolio's activity must fall in a week, as a logarithm,
// for a word about it: a holiday is no reason to call. In a small portfolio a single
// subscription could do that.
const (
	quietFrom  = -.35
	quietLeast = 20 // subscriptions with a score
)

// finding is what an assessment says about one subscription.
type finding struct {
	state State
	idle  int // known days since the last usage, -1 when none is known

	score, logit float64 // the rest only in state scored
	band         Band
	reasons      []Reason
	change       *Change
	protective   []Group
	parts        parts
	features     map[string]float64
	short        bool // less history than the longest window
}

// Assess returns one row (Schema) for each subscription created on or before in.On, those
// that ended included, in order of id. The caller must Release the record.
func (m *Model) Assess(mem memory.Allocator, in Inputs) (arrow.Record, error) {
	if h := in.History; h.held > 0 && h.place(in.On)-m.Reach()+1 < h.held {
		return nil, fmt.Errorf("assess %s: the history is condensed up to %s, and the %d days up to it are needed one by one", in.On, h.on(h.held-1), m.Reach())
	}
	list, err := subjects(in)
	if err != nil {
		return nil, fmt.Errorf("assess %s: subscriptions: %w", in.On, err)
	}
	a := m.assessment(in, list)
	b := array.NewRecordBuilder(mem, Schema())
	defer b.Release()
	for i := range list {
		if s := &list[i]; s.existed(in.On) {
			if err := a.write(b, s, a.find(s)); err != nil {
				return nil, fmt.Errorf("assess %s: subscription %q: %w", in.On, s.text, err)
			}
		}
	}
	return b.NewRecord(), nil
}

// assessment is a portfolio on a day and a week before.
type assessment struct {
	*Model
	*study
	on data.Day

	day, week     *portfolioDay
	now, before   explained
	places, weeks map[int32]int // of an account in day and week
	base          float64
}

func (m *Model) assessment(in Inputs, list []subject) *assessment {
	s := newStudy(m.terms, in.History, m.file.Horizon, m.file.Population, list)
	t := in.History.place(in.On)
	a := &assessment{Model: m, study: s, on: in.On, day: s.on(t), week: s.on(t - s.w)}
	c := m.coefficients(s, a.day)
	reference := s.medians(a.day.rows)
	// The week before is told as it was scored then: the prior's level was another one.
	a.now, a.before = s.explain(a.day.rows, reference, c), s.explain(a.week.rows, reference, m.coefficients(s, a.week))
	a.places, a.weeks = a.day.places(), a.week.places()
	for _, l := range a.now.logits {
		a.base += m.probability(l) / float64(len(a.now.logits))
	}
	return a
}

// find assesses one subscription.
func (a *assessment) find(s *subject) finding {
	f := finding{state: s.state(a.on), idle: a.idle(s)}
	if f.state != StateScored {
		return f
	}
	i, scored := a.places[s.account]
	switch {
	case s.created == nil && a.fresh(s.account, a.day.t):
		f.state = StateNew
	case a.knownDays(0, a.day.t) < leastAge:
		f.state = StateNoSignal
	case scored && a.NoSignal():
		f.state = StateNoSignal
	case scored:
		a.score(&f, s, i)
	case s.statusOn(a.on) == data.StatusActive && a.silent(f.idle):
		f.state = StateDormant
	default:
		f.state = StateNoSignal // pending or unknown and not used, or too few days are known
	}
	return f
}

// silent reports whether there was no usage on as many known days as the horizon has; idle
// is -1 when none was ever seen.
func (a *assessment) silent(idle int) bool {
	if idle < 0 {
		idle = a.knownDays(0, a.day.t)
	}
	return idle >= a.h
}

func (a *assessment) score(f *finding, s *subject, i int) {
	v := a.view
	v.t = a.day.t
	x := &a.day.xs[i]
	f.logit, f.parts = a.now.logits[i], a.now.parts[i]
	f.score = a.probability(f.logit)
	f.band = bandOf(f.score, a.base)
	f.reasons, f.protective = v.reasons(f.parts, x), f.parts.protective()
	if len(f.reasons) == 0 && f.band != BandLow {
		f.reasons = append(f.reasons, v.standIn(f.parts, x, a.base))
	}
	if j, known := a.weeks[s.account]; known {
		f.change = v.change(f.parts, a.before.parts[j], f.score, a.probability(a.before.logits[j]), a.base, x)
	}
	f.features = map[string]float64{"stop": x.stop, "drop": x.drop}
	for j, name := range featureNames() {
		f.features[name] = x.f[j]
	}
	f.short = a.day.t+1 < 3*a.h && x.facts.age > a.day.t
}

// idle counts the known days since the last usage, -1 when none is known.
func (a *assessment) idle(s *subject) int {
	h, t := a.History, a.day.t
	if s.account != transform.NoID {
		if last := h.accounts[s.account].used.last(0, t); last >= 0 {
			return h.knownDays(last+1, t)
		}
	}
	if s.lastUsage != nil && *s.lastUsage <= a.on {
		return h.knownDays(h.place(*s.lastUsage)+1, t)
	}
	return -1
}

// write appends a row.
func (a *assessment) write(b *array.RecordBuilder, s *subject, f finding) error {
	flags := s.flags(a.on)
	if f.short {
		flags = append(flags, Flag{Code: "short_history", Days: a.day.t + 1})
	}
	var err error
	doc := func(v any) string {
		raw, e := json.Marshal(v)
		if e != nil && err == nil {
			err = e
		}
		return string(raw)
	}
	row := map[string]any{"subscription_id": s.text, "customer_id": s.customer, "state": string(f.state),
		"origin": arrow.Date32(a.on), "horizon_days": int32(a.h), "calibrated": a.Calibrated(), "model": a.Name(),
		"reasons": "[]", "flags": doc(flags), "quiet": a.day.quiet < quietFrom && len(a.day.list) >= quietLeast}
	if f.idle >= 0 {
		row["idle_days"] = int32(f.idle)
	}
	if f.state == StateScored {
		row["score"], row["band"], row["base_rate"], row["logit"], row["reference"] = f.score, string(f.band), a.base, f.logit, a.now.reference
		row["reasons"], row["protective"] = doc(f.reasons), doc(f.protective)
		row["contributions"], row["features"] = doc(f.parts), doc(f.features)
		if f.change != nil {
			row["why_now"] = doc(f.change)
		}
	}
	if err != nil {
		return err
	}
	for i, field := range b.Schema().Fields() {
		if err := appendValue(b.Field(i), row[field.Name]); err != nil {
			return fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	return nil
}

// appendValue appends a value, or null for nil.
func appendValue(b array.Builder, value any) error {
	if value == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BinaryDictionaryBuilder:
		return b.AppendString(value.(string))
	case *array.StringBuilder:
		b.Append(value.(string))
	case *array.Float64Builder:
		b.Append(value.(float64))
	case *array.Int32Builder:
		b.Append(value.(int32))
	case *array.Int64Builder:
		b.Append(value.(int64))
	case *array.Date32Builder:
		b.Append(value.(arrow.Date32))
	case *array.BooleanBuilder:
		b.Append(value.(bool))
	default:
		return fmt.Errorf("no way to append to a %s", b.Type())
	}
	return nil
}
