package churn

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"tidemark/data"
)

// Prediction is one probability with what came true.
type Prediction struct {
	Subscription string
	On           data.Day
	Score        float64
	Churned      bool

	logit float64 // orders equal scores: what is shown is bounded and rounded
}

// compareScores orders predictions by score.
func compareScores(a, b Prediction) int {
	return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.logit, b.logit))
}

// Interval is a figure with a 95 % interval from a bootstrap over subscriptions.
type Interval struct {
	Value *float64 `json:"value"` // null: nobody was lost, or everybody
	Low   *float64 `json:"low"`   // null when there are too few subscriptions
	High  *float64 `json:"high"`
}

// Bin is one tenth of the predictions, by score.
type Bin struct {
	Rows      int     `json:"rows"`
	Predicted float64 `json:"predicted"` // mean score
	Observed  float64 `json:"observed"`  // share that churned
}

// graded are predictions ready to be measured.
type graded struct {
	p       []Prediction
	order   []int   // by origin, then score
	account []int32 // of each prediction, dense
	groups  int     // accounts
}

func grade(p []Prediction) *graded {
	g := &graded{p: p, order: make([]int, len(p)), account: make([]int32, len(p))}
	ids := map[string]int32{}
	for i, x := range p {
		g.order[i] = i
		id, found := ids[x.Subscription]
		if !found {
			id = int32(len(ids))
			ids[x.Subscription] = id
		}
		g.account[i] = id
	}
	g.groups = len(ids)
	return g
}

// auc is the area under the ROC curve of predictions in order of score, each counting as
// often as its account was drawn; nil counts every one once. It also returns the weight of
// those that churned and of those that did not.
func (g *graded) auc(order []int, draws []int) (area, events, others float64) {
	for i := 0; i < len(order); {
		j, e, o := i, 0.0, 0.0
		for ; j < len(order) && compareScores(g.p[order[j]], g.p[order[i]]) == 0; j++ {
			w := 1.0
			if draws != nil {
				w = float64(draws[g.account[order[j]]])
			}
			if g.p[order[j]].Churned {
				e += w
			} else {
				o += w
			}
		}
		area += e * (others + o/2)
		events, others, i = events+e, others+o, j
	}
	return area / (events * others), events, others
}

// sorted returns the predictions in order of score, by origin or all together.
func (g *graded) sorted(byOrigin bool) [][]int {
	order := slices.Clone(g.order)
	slices.SortFunc(order, func(a, b int) int {
		if byOrigin {
			return cmp.Or(cmp.Compare(g.p[a].On, g.p[b].On), compareScores(g.p[a], g.p[b]))
		}
		return compareScores(g.p[a], g.p[b])
	})
	if !byOrigin {
		return [][]int{order}
	}
	var out [][]int
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && g.p[order[j]].On == g.p[order[i]].On {
			j++
		}
		out, i = append(out, order[i:j]), j
	}
	return out
}

// within is the mean AUC of the lists given, weighted by churned × kept / all: with one list
// per origin it judges what an agent sees on one day.
func (g *graded) within(lists [][]int, draws []int) float64 {
	sum, all := 0.0, 0.0
	for _, list := range lists {
		area, events, others := g.auc(list, draws)
		if events == 0 || others == 0 {
			continue
		}
		w := events * others / (events + others)
		sum, all = sum+w*area, all+w
	}
	return sum / all
}

// interval measures the lists and, by drawing accounts with replacement, how sure that is.
// The draws are seeded: the same predictions give the same interval.
func (g *graded) interval(lists [][]int) Interval {
	const rounds, fewest = 200, 10
	out := Interval{Value: number(g.within(lists, nil))}
	if g.groups < fewest || out.Value == nil {
		return out
	}
	random := rand.New(rand.NewPCG(1, 2))
	var values []float64
	draws := make([]int, g.groups)
	for range rounds {
		clear(draws)
		for range draws {
			draws[random.IntN(g.groups)]++
		}
		if v := g.within(lists, draws); !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	if len(values) < rounds/2 {
		return out
	}
	slices.Sort(values)
	at := func(q float64) *float64 { return new(values[int(q*float64(len(values)-1)+.5)]) }
	out.Low, out.High = at(.025), at(.975)
	return out
}

// averagePrecision is the area under the precision-recall curve, over all origins.
func (g *graded) averagePrecision() float64 {
	order := g.sorted(false)[0]
	sum, events, seen := 0.0, 0.0, 0.0
	for i := len(order) - 1; i >= 0; {
		j, e := i, 0.0
		for ; j >= 0 && compareScores(g.p[order[j]], g.p[order[i]]) == 0; j-- {
			if g.p[order[j]].Churned {
				e++
			}
		}
		events, seen = events+e, seen+float64(i-j)
		sum += e * events / seen
		i = j
	}
	return sum / events
}

func outcome(churned bool) float64 {
	if churned {
		return 1
	}
	return 0
}

func (g *graded) brier() float64 {
	sum := 0.0
	for _, x := range g.p {
		d := x.Score - outcome(x.Churned)
		sum += d * d
	}
	return sum / float64(len(g.p))
}

// reliability cuts the predictions into ten bins of equal size by score and returns them
// with the expected calibration error: the mean distance of predicted and observed.
func (g *graded) reliability() (bins []Bin, ece float64) {
	const parts = 10
	order := g.sorted(false)[0]
	for k := range parts {
		part := order[k*len(order)/parts : (k+1)*len(order)/parts]
		if len(part) == 0 {
			continue
		}
		b := Bin{Rows: len(part)}
		for _, i := range part {
			b.Predicted += g.p[i].Score / float64(len(part))
			b.Observed += outcome(g.p[i].Churned) / float64(len(part))
		}
		bins = append(bins, b)
		ece += float64(len(part)) / float64(len(order)) * math.Abs(b.Predicted-b.Observed)
	}
	return bins, ece
}

// top looks at the tenth with the highest scores of each origin: the share that churned, and
// how many times the share of all that is. Ties at the border count in parts.
func (g *graded) top() (precision, lift float64) {
	hits, size, expected := 0.0, 0.0, 0.0
	for _, list := range g.sorted(true) {
		n := math.Ceil(float64(len(list)) / 10)
		events, left := 0.0, n
		for i := len(list) - 1; i >= 0; {
			j, e := i, 0.0
			for ; j >= 0 && compareScores(g.p[list[j]], g.p[list[i]]) == 0; j-- {
				e += outcome(g.p[list[j]].Churned)
			}
			tied := float64(i - j)
			take := min(left, tied)
			hits, left, events = hits+e*take/tied, left-take, events+e
			i = j
		}
		size += n
		expected += n * events / float64(len(list))
	}
	return hits / size, hits / expected
}

// baseRate is the share of all that churned.
func (g *graded) baseRate() float64 {
	sum := 0.0
	for _, x := range g.p {
		sum += outcome(x.Churned)
	}
	return sum / float64(len(g.p))
}
