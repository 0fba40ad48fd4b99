package churn

import (
	"math"
	"slices"

	"tidemark/data"
)

// Rules returns the model "rules-1", which reads activity only: whether, where
// and in how many rows there was usage, never quantity or money. One score thus
// serves every role.
//
// All days are known days: an unknown day is neither silence nor a pause. The
// silence s is the number of known days since the last one with usage. What it
// is compared with is measured up to that last day with usage, so that a longer
// silence never lowers the score:
//
//   - L: the longest earlier pause in the history; g: the usual pause, idle per
//     used day, in the 28 days up to the last with usage;
//   - always-on: usage on 93 % or more of those 28 days (of at least 14).
//
// The score is 1/(1+exp(-z)), bounded to 0.005 to 0.95 and rounded to four
// decimals, where z is the sum of
//
//	-4.6   always
//	 1.05  rhythm    0.7 ln((s+1)/(L+1)) + 0.3 ln((s+1)/(g+1)), neither below 0
//	 1.3   recency   ln(1 + s/7)
//	 2.35  stop      ((s-3)/4)², from 0 to 1: always-on subscriptions only
//	 2.0   overdue   (s - 2(max(L,2)+1))/7, from 0 to 1: the others
//	 6.0   rarity    exp(-0.45 u), u used days per 28 over the last 56
//	 0.8   trend     fall of ln(used days) from the 28 days before to the last 28
//	 0.3   volume    the same of usage rows
//	 1.2   services  share of the categories of the 28 days before that are gone
//	 0.7   tenure    ln(112 / days from creation to the last usage, 7 to 112)
//
// A subscription that runs every day thus has 0.01; silent for 1, 3, 5, 7, 14
// and 21 days it has about 0.02, 0.06, 0.19, 0.70, 0.88 and 0.94. One used on
// weekdays has 0.02 on a Sunday. The bands are High from 0.30, Medium from 0.10.
//
// The weights are judgement, set by hand for the default horizon to agree with
// how models fitted on public data behave; they are not calibrated on anyone's
// churn, and the assessment says so. Another horizon moves the border between
// scored and dormant only.
//
// Reasons are the terms by what they add to z, from 0.15 up and three at most:
// stop (always-on) or silence for rhythm, recency, stop and overdue together;
// trend or activity for trend, volume and rarity; services; tenure.
func Rules() Model { return rules{} }

type rules struct{}

func (rules) Name() string { return "rules-1" }

// The bands' lower bounds.
const (
	highFrom   = 0.30
	mediumFrom = 0.10
)

func bandOf(score float64) Band {
	switch {
	case score >= highFrom:
		return BandHigh
	case score >= mediumFrom:
		return BandMedium
	}
	return BandLow
}

const (
	window       = 28 // days that habits are measured over
	leastHabit   = 14 // days of habit below which nothing is compared
	alwaysOnFrom = 0.93
	leastReason  = 0.15
	mostReasons  = 3
	mostNames    = 10
)

// habit is how a subscription was used up to its last day with usage. Days are
// counted in known days.
type habit struct {
	silence  int      // days since the last usage
	last     data.Day // of usage
	longest  int      // longest earlier pause
	days     int      // days of habit in the last window, 28 or less if younger
	used     int      // of them with usage
	before   int      // days of habit in the window before
	earlier  int      // of them with usage
	rows     int64    // usage rows of the last window
	rowsEver int64    // and of the window before
	lost     []string // categories of the window before that are gone, in order
	services int      // categories of the window before
	run      int      // length of the stretch of almost daily use up to the last day
	tenure   int      // calendar days from creation to the last usage; 0 unknown
}

func (h habit) alwaysOn() bool {
	return h.days >= leastHabit && float64(h.used) >= alwaysOnFrom*float64(h.days)
}

// habitOf measures a subscription that was used at least once and was created
// on the day given, if that is known.
func (a *activity) habitOf(id int32, created *data.Day) habit {
	s := a.of(id)
	last := s.used.last()
	h := habit{silence: len(a.known) - 1 - last, last: a.known[last]}
	start := 0 // the first day of its life
	if created != nil {
		for start < last && a.known[start] < *created && !s.used.has(start) {
			start++
		}
		h.tenure = int(h.last-min(*created, h.last)) + 1
	}
	pause := 0
	for i := start; i <= last; i++ {
		if s.used.has(i) {
			pause = 0
			continue
		}
		pause++
		h.longest = max(h.longest, pause)
	}
	end := last + 1
	from, older := max(start, end-window), max(start, end-2*window)
	h.days, h.before = end-from, from-older
	h.used, h.earlier = s.used.count(from, end), s.used.count(older, from)
	for i := older; i < end; i++ {
		if i < from {
			h.rowsEver += s.rows[i]
		} else {
			h.rows += s.rows[i]
		}
	}
	for _, category := range s.categories {
		days := a.used[subscriptionCategory{id, category}]
		if days.count(older, from) == 0 {
			continue
		}
		h.services++
		if days.count(from, end) == 0 {
			h.lost = append(h.lost, a.categories.Text(category))
		}
	}
	slices.Sort(h.lost)
	for n, used := 1, 0; n <= end-start; n++ {
		if s.used.has(end - n) {
			used++
			if float64(used) >= alwaysOnFrom*float64(n) {
				h.run = n
			}
		}
	}
	return h
}

// term is one group of terms: what it adds, and how it is told.
type term struct {
	adds   float64
	reason Reason
}

// terms returns what a habit adds to the score, in groups.
func (h habit) terms() []term {
	return []term{h.silenceTerm(), h.activityTerm(), h.servicesTerm(), h.tenureTerm()}
}

func (h habit) silenceTerm() term {
	s := float64(h.silence)
	usual := float64(h.days-h.used) / float64(h.used)
	rhythm := 0.7*atLeast0(math.Log((s+1)/float64(h.longest+1))) + 0.3*atLeast0(math.Log((s+1)/(usual+1)))
	t := term{1.05*rhythm + 1.3*math.Log1p(s/7), Reason{Code: "silence", Since: new(h.last), Days: h.silence, Usual: h.longest}}
	if h.alwaysOn() {
		t.adds += 2.35 * math.Pow(between01((s-3)/4), 2)
		t.reason.Code, t.reason.Usual = "stop", h.run
	} else {
		t.adds += 2 * between01((s-2*float64(max(h.longest, 2)+1))/7)
	}
	return t
}

func (h habit) activityTerm() term {
	perWindow := window * float64(h.used+h.earlier) / float64(h.days+h.before)
	t := term{6 * math.Exp(-0.45*perWindow), Reason{Code: "activity", Days: h.used, Of: h.days, Usual: h.earlier}}
	if h.before < leastHabit {
		return t
	}
	t.adds += 0.8*fall(float64(h.used), float64(h.days), float64(h.earlier), float64(h.before)) +
		0.3*fall(float64(h.rows), float64(h.days), float64(h.rowsEver), float64(h.before))
	if h.used*h.before < h.earlier*h.days {
		t.reason.Code = "trend"
	}
	return t
}

// fall is by how much a rate fell, as a difference of logarithms: 0 when it did
// not, 3 at most.
func fall(now, days, before, daysBefore float64) float64 {
	return min(3, atLeast0(math.Log((before+0.5)/(daysBefore+0.5))-math.Log((now+0.5)/(days+0.5))))
}

func (h habit) servicesTerm() term {
	if h.before < leastHabit || len(h.lost) == 0 {
		return term{}
	}
	return term{1.2 * float64(len(h.lost)) / float64(h.services), Reason{Code: "services",
		Days: len(h.lost), Of: h.services, Names: h.lost[:min(mostNames, len(h.lost))]}}
}

func (h habit) tenureTerm() term {
	if h.tenure == 0 {
		return term{}
	}
	days := float64(min(max(h.tenure, 7), HistoryDays))
	return term{0.7 * math.Log(HistoryDays/days), Reason{Code: "tenure", Days: h.tenure}}
}

// score adds the terms up.
func score(terms []term) float64 {
	z := -4.6
	for _, t := range terms {
		z += t.adds
	}
	p := min(max(1/(1+math.Exp(-z)), 0.005), 0.95)
	return math.Round(p*1e4) / 1e4
}

// reasons returns the terms that tell most, the strongest first.
func reasons(terms []term) []Reason {
	slices.SortStableFunc(terms, func(a, b term) int {
		switch {
		case a.adds > b.adds:
			return -1
		case a.adds < b.adds:
			return 1
		}
		return 0
	})
	out := []Reason{}
	for _, t := range terms {
		if t.adds >= leastReason && len(out) < mostReasons {
			out = append(out, t.reason)
		}
	}
	return out
}

func atLeast0(x float64) float64 { return max(x, 0) }

func between01(x float64) float64 { return min(max(x, 0), 1) }
