package churn

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
)

// prior.json was fitted on public histories of accounts, a few of each kind, and is what a
// partner without labels starts from: frozen means and deviations of the features, and
// coefficients with the sign that each may have.
//
//go:embed prior.json
var files embed.FS

// prior is prior.json.
type prior struct {
	Clip     float64        `json:"clip"`
	Features []priorFeature `json:"features"`
	Hinges   struct {
		Pos []struct {
			F     string  `json:"f"`
			Shift float64 `json:"shift"`
		} `json:"pos"`
		Neg []struct {
			F    string  `json:"f"`
			Knot float64 `json:"knot"`
		} `json:"neg"`
		Products    [][2]string `json:"products"`
		ProductClip float64     `json:"product_clip"`
	} `json:"hinges"`
	Fit struct {
		Tau           float64 `json:"tau"`
		TauHinge      float64 `json:"tau_hinge"`
		InterceptPrec float64 `json:"intercept_prec"`
		HalfLife      float64 `json:"half_life_in_H"`
		MinEvents     int     `json:"min_events"`
	} `json:"fit"`
	Expert struct {
		Stop priorExpert `json:"stop"`
		Drop priorExpert `json:"zdrop"`
	} `json:"expert"`
}

type priorFeature struct {
	Name  string  `json:"name"`
	Mean  float64 `json:"mean"`
	SD    float64 `json:"sd"`
	Beta  float64 `json:"beta"`
	Sign  int     `json:"sign"`
	Group Group   `json:"group"`
}

// priorExpert is a coefficient by judgement: no public history has accounts that are always on.
type priorExpert struct {
	Beta float64 `json:"beta"`
	SD   float64 `json:"sd"`
}

// Group is what a term of the score is about; a reason speaks of one.
type Group string

// The groups.
const (
	GroupSilence       Group = "silence"
	GroupActivity      Group = "activity"
	GroupActivityTrend Group = "activity_trend"
	GroupCostTrend     Group = "cost_trend"
	GroupVolatility    Group = "volatility"
	GroupServices      Group = "services"
	GroupSize          Group = "size"
	GroupTenure        Group = "tenure"
	GroupStop          Group = "stop" // an account that is always on has stopped
	GroupDrop          Group = "drop" // the cost of one has fallen out of its usual range
)

// term is one column that the score is a weighted sum of.
type term struct {
	group  Group
	beta   float64 // the prior's mean
	sd     float64 // and its deviation
	lo, hi float64 // what the coefficient may be
	value  func(z *[features]float64, x *vector) float64
}

// terms are the columns of the score, in the order of a model's coefficients, and how
// features are standardised.
type terms struct {
	prior
	list []term
}

func readTerms() (*terms, error) {
	t := &terms{}
	raw, err := files.ReadFile("prior.json")
	if err == nil {
		err = json.Unmarshal(raw, &t.prior)
	}
	if err != nil {
		return nil, fmt.Errorf("prior.json: %w", err)
	}
	at := map[string]int{}
	for _, name := range featureNames() {
		at[name] = len(at)
	}
	// The file has the features in an order of its own.
	ordered := make([]priorFeature, features)
	for _, f := range t.Features {
		i, known := at[f.Name]
		if !known {
			return nil, fmt.Errorf("prior.json: unknown feature %q", f.Name)
		}
		ordered[i] = f
	}
	t.Features = ordered
	for i, f := range ordered {
		if f.SD == 0 {
			return nil, fmt.Errorf("prior.json: no feature %q", featureNames()[i])
		}
		lo, hi := math.Inf(-1), math.Inf(1)
		switch {
		case f.Sign > 0:
			lo = 0
		case f.Sign < 0:
			hi = 0
		}
		t.add(term{group: f.Group, beta: f.Beta, sd: t.Fit.Tau, lo: lo, hi: hi,
			value: func(z *[features]float64, _ *vector) float64 { return z[i] }})
	}
	free := term{sd: t.Fit.TauHinge, lo: math.Inf(-1), hi: math.Inf(1)}
	for _, h := range t.Hinges.Pos {
		f, shift := at[h.F], h.Shift
		free.group, free.value = ordered[f].Group, func(z *[features]float64, _ *vector) float64 { return max(0, z[f]) - shift }
		t.add(free)
	}
	for _, h := range t.Hinges.Neg {
		f, knot := at[h.F], h.Knot
		free.group, free.value = ordered[f].Group, func(z *[features]float64, _ *vector) float64 { return max(0, knot-z[f]) }
		t.add(free)
	}
	for _, p := range t.Hinges.Products {
		a, b, most := at[p[0]], at[p[1]], t.Hinges.ProductClip
		free.group, free.value = ordered[a].Group, func(z *[features]float64, _ *vector) float64 { return clamp(z[a]*z[b], -most, most) }
		t.add(free)
	}
	for _, e := range []struct {
		group Group
		priorExpert
		value func(*[features]float64, *vector) float64
	}{
		{GroupStop, t.Expert.Stop, func(_ *[features]float64, x *vector) float64 { return x.stop }},
		{GroupDrop, t.Expert.Drop, func(_ *[features]float64, x *vector) float64 { return x.drop }},
	} {
		t.add(term{group: e.group, beta: e.Beta, sd: e.SD, lo: 0, hi: math.Inf(1), value: e.value})
	}
	return t, nil
}

func (t *terms) add(c term) { t.list = append(t.list, c) }

// row returns the terms' values of a vector.
func (t *terms) row(x *vector) []float64 {
	var z [features]float64
	for i, f := range t.Features {
		z[i] = clamp((x.f[i]-f.Mean)/f.SD, -t.Clip, t.Clip)
	}
	row := make([]float64, len(t.list))
	for i, c := range t.list {
		row[i] = c.value(&z, x)
	}
	return row
}

// betas returns the prior's coefficients.
func (t *terms) betas() []float64 {
	out := make([]float64, len(t.list))
	for i, c := range t.list {
		out[i] = c.beta
	}
	return out
}
