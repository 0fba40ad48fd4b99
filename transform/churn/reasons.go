package churn

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"

	"tidemark/data"
)

// Reason is one finding behind a score, in numbers; reports put it in words. Its code is
// that of the group, or "trend" for activity that fell and "cost" for cost that did.
type Reason struct {
	Code  string    `json:"code"`            // "stop", "silence", "trend", "activity", "services", "tenure", "cost", "drop", "volatility", "size" or "base"
	Since *data.Day `json:"since,omitempty"` // last day with usage
	Days  int       `json:"days,omitempty"`  // e.g. days of silence, used days, services gone, days of age, days that a cost is of
	Usual int       `json:"usual,omitempty"` // what Days is compared with: the longest earlier pause, used days before; of a stop the days it ran
	Of    int       `json:"of,omitempty"`    // out of, e.g. 28 days, 6 services; of a silence only where some of its days are not known

	UsualOf int      `json:"usual_of,omitempty"` // what Usual is out of, in a trend
	Names   []string `json:"names,omitempty"`    // e.g. the categories no longer used

	Cost     *data.Decimal `json:"cost,omitempty"`   // of the last Days, rounded
	Before   *data.Decimal `json:"before,omitempty"` // of as many days before
	Currency string        `json:"currency,omitempty"`

	Share float64 `json:"share,omitempty"` // the mean score of the portfolio, of "base"
}

// BaseReason tells of a score that nothing but the portfolio's own level explains.
func BaseReason(rate float64) Reason { return Reason{Code: "base", Share: math.Round(rate*1e4) / 1e4} }

// Money reports whether a reason tells of cost: whoever may not see money must not see it.
func (r Reason) Money() bool { return r.Code == "cost" || r.Code == "drop" || r.Code == "size" }

// Change says what made a score rise since a week before.
type Change struct {
	Group  Group   `json:"group"`
	Code   string  `json:"code"`   // of the reason that tells it
	Before float64 `json:"before"` // the score of the week before
}

// Flag is a fact of the contract beside a score; it is not part of it.
type Flag struct {
	Code string    `json:"code"` // "renewal", "no_auto_renew", "trial" or "short_history"
	On   *data.Day `json:"on,omitempty"`
	Days int       `json:"days,omitempty"`
}

const (
	leastReason = .15 // what a group must add to the logit to be named
	mostNames   = 10
)

// parts is what each group of terms adds to a logit, compared with the portfolio's median.
type parts map[Group]float64

// explained is a portfolio's scores in parts.
type explained struct {
	reference float64 // the same for everybody
	parts     []parts
	logits    []float64
}

// explain splits the logits of rows into groups, against the reference row.
func (t *terms) explain(rows [][]float64, reference []float64, c coefficients) explained {
	e := explained{reference: c.logit(reference)}
	for _, row := range rows {
		p := parts{}
		for j, term := range t.list {
			if add := c.terms[j] * (row[j] - reference[j]); add != 0 {
				p[term.group] += add
			}
		}
		e.parts, e.logits = append(e.parts, p), append(e.logits, c.logit(row))
	}
	return e
}

// medians returns the median of each term.
func (t *terms) medians(rows [][]float64) []float64 {
	out, column := make([]float64, len(t.list)), make([]float64, len(rows))
	for j := range out {
		for i, row := range rows {
			column[i] = row[j]
		}
		slices.Sort(column)
		if n := len(column); n > 0 {
			out[j] = (column[n/2] + column[(n-1)/2]) / 2
		}
	}
	return out
}

// strongest returns the groups from the largest part down; size is never the first, because
// it is context only.
func (p parts) strongest() []Group {
	groups := slices.SortedFunc(maps.Keys(p), func(a, b Group) int {
		return cmp.Or(-cmp.Compare(p[a], p[b]), cmp.Compare(a, b))
	})
	if len(groups) > 1 && groups[0] == GroupSize {
		groups[0], groups[1] = groups[1], groups[0]
	}
	return groups
}

// reasons names the groups that raise the score, as far as the raw numbers bear them out.
func (v view) reasons(p parts, x *vector) []Reason {
	out := []Reason{}
	for _, g := range p.strongest() {
		if p[g] < leastReason {
			continue
		}
		r, told := v.reason(g, x)
		if told && (r.Code != "size" || len(out) > 0) && !slices.ContainsFunc(out, func(o Reason) bool { return overlap(o, r) }) {
			out = append(out, r)
		}
	}
	// That there was no usage is told once, whichever group is the stronger.
	if slices.ContainsFunc(out, func(r Reason) bool { return r.Code == "silence" || r.Code == "stop" }) {
		out = slices.DeleteFunc(out, func(r Reason) bool { return r.Code == "activity" && r.Days == 0 })
	}
	return out
}

// standIn is the reason of a high score whose groups are each too weak to be named, or lack
// the numbers: the strongest that has some, else the level of the portfolio.
func (v view) standIn(p parts, x *vector, base float64) Reason {
	groups := p.strongest()
	if len(groups) == 0 || p[groups[0]] < leastReason {
		return BaseReason(base)
	}
	for _, g := range groups {
		if r, told := v.reason(g, x); told && p[g] > 0 && r.Code != "size" {
			return r
		}
	}
	return BaseReason(base)
}

// overlap reports whether two reasons would tell the same twice.
func overlap(a, b Reason) bool {
	about := map[string]string{"stop": "silence", "silence": "silence", "trend": "activity", "activity": "activity", "cost": "cost", "drop": "cost"}
	return a.Code == b.Code || about[a.Code] != "" && about[a.Code] == about[b.Code]
}

// protective returns the groups that lower the score, the strongest first.
func (p parts) protective() []Group {
	out := []Group{}
	for _, g := range slices.Backward(p.strongest()) {
		if p[g] <= -leastReason {
			out = append(out, g)
		}
	}
	return out
}

// reason tells what a group's numbers are; told is false when they do not speak for a risk.
func (v view) reason(g Group, x *vector) (r Reason, told bool) {
	f := &x.facts
	switch g {
	case GroupStop, GroupSilence:
		r = Reason{Code: "silence", Since: new(v.on(f.last)), Days: f.silence, Usual: f.longest}
		if x.alwaysOn {
			r.Code, r.Usual = "stop", f.run
		}
		if days := v.t - f.last; days > f.silence {
			r.Of = days
		}
		return r, f.silence > 0
	case GroupActivity, GroupActivityTrend:
		// Shares are compared: the two windows may have different numbers of known days.
		if min(f.days, f.earlier) >= v.w && f.before*f.days > f.used*f.earlier {
			return Reason{Code: "trend", Days: f.used, Of: f.days, Usual: f.before, UsualOf: f.earlier}, true
		}
		return Reason{Code: "activity", Days: f.used, Of: f.days}, f.used < f.days && v.enough(0, v.h)
	case GroupServices:
		r = Reason{Code: "services", Days: len(f.lost), Of: len(f.services)}
		for _, id := range f.lost[:min(mostNames, len(f.lost))] {
			r.Names = append(r.Names, v.categories.Text(id))
		}
		return r, len(f.lost) > 0 && v.enough(0, v.h)
	case GroupTenure:
		return Reason{Code: "tenure", Days: f.age}, f.age <= 3*v.h
	case GroupCostTrend, GroupDrop:
		now, told := v.whole(f.cost, 0, v.h)
		was, toldWas := v.whole(f.costWas, v.h, 2*v.h)
		r = Reason{Code: "cost", Days: v.h, Currency: f.currency}
		if g == GroupDrop {
			r.Code = "drop"
			if f.weekDrop {
				r.Days = v.w
				now, told = v.whole(f.week, 0, v.w)
				was, toldWas = f.weekEarlier, true
			}
		}
		r.Cost, r.Before = amount(now), amount(was)
		return r, told && toldWas && r.Cost != nil && r.Before != nil && r.Cost.Cmp(*r.Before) < 0
	case GroupVolatility:
		return Reason{Code: "volatility"}, true
	case GroupSize:
		return Reason{Code: "size"}, true
	}
	return Reason{}, false
}

// amount rounds a sum of costs to cents.
func amount(x float64) *data.Decimal {
	d, _, err := data.ParseDecimal(strconv.FormatFloat(x, 'f', 2, 64))
	if err != nil {
		return nil
	}
	return &d
}

// change names the group that rose most since a week before, if the score rose by five
// points or to a higher band.
func (v view) change(now, before parts, score, was, base float64, x *vector) *Change {
	if score < was+.05 && (score <= was || bandOf(score, base) == bandOf(was, base)) {
		return nil
	}
	rose := parts{}
	for g := range now {
		rose[g] = now[g] - before[g]
	}
	for _, g := range rose.strongest() {
		if r, told := v.reason(g, x); told && rose[g] > 0 {
			return &Change{Group: g, Code: r.Code, Before: was}
		}
	}
	return nil
}
