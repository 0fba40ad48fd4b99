package churn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Rules returns the model "rules-1": a score of activity alone, set by hand and
// not calibrated. It never reads a money column, so every role sees one score.
//
// With s = known days without usage up to On, on the logit scale,
//
//		score = logistic(silence(s) + fading + stopped + young), within [0.005, 0.95]
//
//	  - silence: for a subscription that ran always (usage on at least 93 % of the
//	    28 known days up to its last usage) the risk by s is 1, 2, 4, 6, 12, 70,
//	    75, 90, 95 % at 0, 1, 2, 3, 5, 7, 10, 14, 21 days. For any other it is
//	    taken against its own rhythm, x = s / (longest earlier pause + 1): 1, 2,
//	    12, 30, 55, 80 % at x = 0, 1, 2, 3, 5, 10. Between the points the logit
//	    is a straight line.
//	  - fading: 0.6 ln((d0+1)/(d1+1)) + 0.4 ln((r0+1)/(r1+1)), each logarithm
//	    within [0, 2]; d = days with usage, r = usage rows, 1 = the last 28 known
//	    days, 0 = the 28 before. Only with 28 known days of life before.
//	  - stopped: 1.2 times the share of the categories of the 28 days before that
//	    the last 28 no longer use, for two categories or more.
//	  - young: 0.6 for a subscription of at most 28 days.
//
// The points and weights are judgement; a model fitted on the partner's own
// history takes their place as labels come in.
func Rules() Model { return rules{} }

type rules struct{}

// The bands of a score.
const (
	highFrom   = 0.30
	mediumFrom = 0.10
)

// The bounds of an uncalibrated score.
const (
	lowest  = 0.005
	highest = 0.95
)

const (
	newDays     = 7  // younger than this: no score
	youngDays   = 28 // up to this age the score says so
	weeks4      = 28
	minKnown    = 7    // known days below which nothing is scored
	alwaysShare = 0.93 // of the days before its last usage on which an always-on subscription ran
	alwaysDays  = 14   // days that takes to tell
	minReason   = 0.15 // contribution from which a finding is a reason
	maxReasons  = 3
)

// Name implements Model.
func (rules) Name() string { return "rules-1" }

// point is one point of a risk curve.
type point struct{ x, risk float64 }

func alwaysCurve() []point {
	return []point{{0, .01}, {1, .02}, {2, .04}, {3, .06}, {5, .12}, {7, .70}, {10, .75}, {14, .90}, {21, .95}}
}

func rhythmCurve() []point {
	return []point{{0, .01}, {1, .02}, {2, .12}, {3, .30}, {5, .55}, {10, .80}}
}

func logit(p float64) float64    { return math.Log(p / (1 - p)) }
func logistic(z float64) float64 { return 1 / (1 + math.Exp(-z)) }

// along reads a curve at x: straight between points on the logit scale, level
// beyond the last one.
func along(curve []point, x float64) float64 {
	for i := 1; i < len(curve); i++ {
		if a, b := curve[i-1], curve[i]; x <= b.x {
			share := (x - a.x) / (b.x - a.x)
			return logit(a.risk) + share*(logit(b.risk)-logit(a.risk))
		}
	}
	return logit(curve[len(curve)-1].risk)
}

// finding is a reason with what it adds to the logit.
type finding struct {
	reason Reason
	weight float64
}

// assessment is the result for one subscription.
type assessment struct {
	state    State
	score    *float64
	band     *Band
	idle     *int
	findings []finding
}

// Assess implements Model. Rows are ordered by subscription.
func (m rules) Assess(mem memory.Allocator, in Inputs) (arrow.Record, error) {
	days, at := window(in.Known, in.On)
	histories, err := readHistories(in.Daily, at)
	if err != nil {
		return nil, fmt.Errorf("assess %s: %w", in.On, err)
	}
	order := make([]int, in.Subscriptions.NumRows())
	for i := range order {
		order[i] = i
	}
	ids := column(in.Subscriptions, "subscription_id")
	slices.SortStableFunc(order, func(a, b int) int {
		x, _ := text(ids, a)
		y, _ := text(ids, b)
		return cmp.Compare(x, y)
	})
	b := array.NewRecordBuilder(mem, Schema())
	defer b.Release()
	for _, i := range order {
		id, _ := text(ids, i)
		s := subject{on: in.On, days: days, history: histories[id], created: day(column(in.Subscriptions, "created"), i),
			first: day(column(in.Subscriptions, "first_usage"), i), last: day(column(in.Subscriptions, "last_usage"), i)}
		status, _ := text(column(in.Subscriptions, "status"), i)
		s.status = data.Status(status)
		customer, _ := text(column(in.Subscriptions, "customer_id"), i)
		if err := m.append(b, in, id, customer, s.assess()); err != nil {
			return nil, fmt.Errorf("assess %s: %w", in.On, err)
		}
	}
	return b.NewRecord(), nil
}

func (m rules) append(b *array.RecordBuilder, in Inputs, id, customer string, a assessment) error {
	reasons := make([]Reason, 0, maxReasons)
	for _, f := range a.findings {
		reasons = append(reasons, f.reason)
	}
	encoded, err := json.Marshal(reasons)
	if err != nil {
		return err
	}
	words := map[int]string{0: id, 1: customer, 2: string(a.state), 8: m.Name()}
	if a.band != nil {
		words[4] = string(*a.band)
	} else {
		b.Field(4).AppendNull()
	}
	for field, word := range words {
		if err := b.Field(field).(*array.BinaryDictionaryBuilder).AppendString(word); err != nil {
			return err
		}
	}
	if a.score != nil {
		b.Field(3).(*array.Float64Builder).Append(*a.score)
	} else {
		b.Field(3).AppendNull()
	}
	b.Field(5).(*array.Date32Builder).Append(arrow.Date32(in.On))
	b.Field(6).(*array.Int32Builder).Append(int32(cmp.Or(in.Horizon, DefaultHorizon)))
	b.Field(7).(*array.BooleanBuilder).Append(false)
	if a.idle != nil {
		b.Field(9).(*array.Int32Builder).Append(int32(*a.idle))
	} else {
		b.Field(9).AppendNull()
	}
	b.Field(10).(*array.StringBuilder).Append(string(encoded))
	return nil
}

// subject is one subscription to be assessed.
type subject struct {
	on          data.Day
	days        []data.Day // known days, the newest last
	status      data.Status
	created     *data.Day
	first, last *data.Day // first and last usage as the archive knows it; may lie after on
	history     *history  // nil: no usage on the known days
}

// silent is the number of known days since the last usage.
func (s subject) silent() int {
	used := s.history.used()
	return len(s.days) - 1 - used[len(used)-1]
}

func (s subject) assess() assessment {
	a := assessment{}
	if s.history != nil {
		a.idle = new(s.silent())
	} else if s.last != nil && *s.last <= s.on {
		a.idle = new(int(s.on - *s.last))
	}
	switch {
	case s.status == data.StatusSuspended:
		a.state = StateSuspended
	case s.status == data.StatusDeprovisioned, s.status == data.StatusExpired:
		a.state = StateEnded
	case s.status == data.StatusPending, len(s.days) < minKnown:
		a.state = StateNoSignal
	case s.age() < newDays:
		a.state = StateNew
	case s.history == nil || s.silent() >= weeks4:
		a.state = StateDormant
	default:
		s.score(&a)
	}
	return a
}

// age is the number of days since creation, or since the first usage where the
// creation is unknown; a subscription older than the window counts as old.
func (s subject) age() int {
	since := s.created
	if since == nil {
		since = s.first
	}
	if since == nil || *since > s.on {
		return HistoryDays
	}
	return int(s.on-*since) + 1
}

func (s subject) score(a *assessment) {
	findings := []finding{s.silence()}
	base := logit(rhythmCurve()[0].risk)
	last := len(s.days) - 1
	// Two spans of 28 known days are compared only where both were lived.
	if used := s.history.used(); last-2*weeks4+1 >= 0 && used[0] <= last-2*weeks4+1 {
		findings = append(findings, s.fading(last), s.stopped(last))
	}
	if age := s.age(); age <= youngDays {
		findings = append(findings, finding{Reason{Code: "tenure", Days: age}, 0.6})
	}
	z := base
	for _, f := range findings {
		z += f.weight
	}
	score := math.Round(min(max(logistic(z), lowest), highest)*1e4) / 1e4
	band := BandLow
	switch {
	case score >= highFrom:
		band = BandHigh
	case score >= mediumFrom:
		band = BandMedium
	}
	a.state, a.score, a.band = StateScored, &score, &band
	findings = slices.DeleteFunc(findings, func(f finding) bool { return f.weight < minReason })
	slices.SortStableFunc(findings, func(a, b finding) int { return cmp.Compare(b.weight, a.weight) })
	a.findings = findings[:min(len(findings), maxReasons)]
}

// silence weighs the days without usage against the subscription's own rhythm.
func (s subject) silence() finding {
	used := s.history.used()
	last, silent := used[len(used)-1], s.silent()
	since := s.days[last]
	base := logit(rhythmCurve()[0].risk)
	if run := s.alwaysFor(last); run > 0 {
		return finding{Reason{Code: "stop", Since: &since, Days: silent, Usual: run}, along(alwaysCurve(), float64(silent)) - base}
	}
	pause := s.history.longestPause()
	x := float64(silent) / float64(max(pause, 1)+1)
	return finding{Reason{Code: "silence", Since: &since, Days: silent, Usual: pause}, along(rhythmCurve(), x) - base}
}

// alwaysFor returns for how many days a subscription that ran always did so
// without a pause up to its last usage, 0 when it did not run always.
func (s subject) alwaysFor(last int) int {
	from := max(last-weeks4+1, s.history.used()[0])
	span := last - from + 1
	if span < alwaysDays || float64(s.history.usedIn(from, last)) < alwaysShare*float64(span) {
		return 0
	}
	run := 0
	for at := last; at >= 0 && s.history.rows[at] > 0; at-- {
		run++
	}
	return run
}

// fading weighs fewer days and fewer usage rows than in the 28 days before.
func (s subject) fading(last int) finding {
	h := s.history
	now, before := h.usedIn(last-weeks4+1, last), h.usedIn(last-2*weeks4+1, last-weeks4)
	rowsNow, rowsBefore := h.rowsIn(last-weeks4+1, last), h.rowsIn(last-2*weeks4+1, last-weeks4)
	drop := func(before, now float64) float64 { return min(max(math.Log((before+1)/(now+1)), 0), 2) }
	weight := .6*drop(float64(before), float64(now)) + .4*drop(float64(rowsBefore), float64(rowsNow))
	f := finding{Reason{Code: "trend", Days: now, Of: weeks4, Usual: before}, weight}
	if now >= before {
		f.reason = Reason{Code: "rows", Days: int(rowsNow), Usual: int(rowsBefore)}
	}
	return f
}

// stopped weighs the categories that are no longer used.
func (s subject) stopped(last int) finding {
	before := s.history.categoriesIn(last-2*weeks4+1, last-weeks4)
	now := s.history.categoriesIn(last-weeks4+1, last)
	gone := slices.DeleteFunc(slices.Clone(before), func(c string) bool { return slices.Contains(now, c) })
	if len(before) < 2 || len(gone) == 0 {
		return finding{}
	}
	return finding{Reason{Code: "services", Days: len(gone), Of: len(before), Names: gone}, 1.2 * float64(len(gone)) / float64(len(before))}
}
