package churn

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"tidemark/data"
)

func drawPredictions(rt *rapid.T) []Prediction {
	n := rapid.IntRange(2, 60).Draw(rt, "n")
	p := make([]Prediction, n)
	for i := range p {
		p[i] = Prediction{Subscription: fmt.Sprint(rapid.IntRange(0, 20).Draw(rt, "account")), On: data.Day(rapid.IntRange(0, 2).Draw(rt, "origin")),
			Score: float64(rapid.IntRange(0, 9).Draw(rt, "score")) / 10, Churned: rapid.Bool().Draw(rt, "churned")}
	}
	p[0].Churned, p[1].Churned = true, false
	p[1].On = p[0].On
	return p
}

// slowAUC counts pairs.
func slowAUC(p []Prediction) (area, pairs float64) {
	for _, a := range p {
		for _, b := range p {
			if !a.Churned || b.Churned {
				continue
			}
			pairs++
			switch {
			case a.Score > b.Score:
				area++
			case a.Score == b.Score:
				area += .5
			}
		}
	}
	return area, pairs
}

func TestMeasures_AgreeWithCounting(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := drawPredictions(rt)
		g := grade(p)
		near := func(what string, got, want float64) {
			if math.Abs(got-want) > 1e-12 {
				rt.Fatalf("%s %v, counted %v", what, got, want)
			}
		}
		area, pairs := slowAUC(p)
		near("pooled AUC", g.within(g.sorted(false), nil), area/pairs)
		sum, weights := 0.0, 0.0
		for day := range 3 {
			var some []Prediction
			for _, x := range p {
				if x.On == data.Day(day) {
					some = append(some, x)
				}
			}
			if area, pairs := slowAUC(some); pairs > 0 {
				w := pairs / float64(len(some))
				sum, weights = sum+w*area/pairs, weights+w
			}
		}
		near("AUC within date", g.within(g.sorted(true), nil), sum/weights)
		events, brier := 0.0, 0.0
		for _, x := range p {
			events += outcome(x.Churned)
			brier += (x.Score - outcome(x.Churned)) * (x.Score - outcome(x.Churned)) / float64(len(p))
		}
		near("Brier", g.brier(), brier)
		near("base rate", g.baseRate(), events/float64(len(p)))
		// Average precision by its definition: precision at each threshold times the recall it adds.
		ap := 0.0
		for threshold := 9; threshold >= 0; threshold-- {
			above, hits, at := 0.0, 0.0, 0.0
			for _, x := range p {
				if s := math.Round(x.Score * 10); s >= float64(threshold) {
					above++
					hits += outcome(x.Churned)
					if s == float64(threshold) {
						at += outcome(x.Churned)
					}
				}
			}
			if above > 0 {
				ap += hits / above * at / events
			}
		}
		near("PR-AUC", g.averagePrecision(), ap)
	})
}

func TestMeasures_ByHand(t *testing.T) {
	// Twenty rows of one day: the two highest scores are one loss and one that stayed.
	var p []Prediction
	for i := range 20 {
		p = append(p, Prediction{fmt.Sprint(i), 0, float64(i) / 20, i >= 16 && i != 18, 0})
	}
	g := grade(p)
	precision, lift := g.top()
	if precision != .5 || math.Abs(lift-.5/(3.0/20)) > 1e-12 {
		t.Errorf("precision %v, lift %v", precision, lift)
	}
	bins, ece := g.reliability()
	if len(bins) != 10 || bins[9].Rows != 2 || math.Abs(bins[9].Predicted-.925) > 1e-12 || bins[9].Observed != .5 {
		t.Errorf("bins %+v", bins)
	}
	want := 0.0
	for i := range 10 {
		predicted, observed := (float64(2*i)+.5)/20, map[int]float64{8: 1, 9: .5}[i]
		want += math.Abs(predicted-observed) / 10
	}
	if math.Abs(ece-want) > 1e-12 {
		t.Errorf("ECE %v, want %v", ece, want)
	}
}

func TestInterval_HoldsTheTruthMostly(t *testing.T) {
	in := 0
	for seed := range 40 {
		p := randomPredictions(seed, 300)
		g := grade(p)
		if i := g.interval(g.sorted(true)); i.Low == nil || *i.Low <= .76 && .76 <= *i.High {
			in++
		}
	}
	if in < 34 { // of two normals a deviation apart the AUC is 0.760
		t.Errorf("the truth lies in %d of 40 intervals", in)
	}
}
