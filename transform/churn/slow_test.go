package churn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"tidemark/data"
)

func randomPredictions(seed, n int) []Prediction {
	r := rand.New(rand.NewPCG(uint64(seed), 9))
	var p []Prediction
	for i := range n {
		x := r.NormFloat64()
		if i%3 == 0 {
			x++
		}
		p = append(p, Prediction{fmt.Sprint(i), 0, sigmoid(x), i%3 == 0, 0})
	}
	return p
}

// slowAccount is an account as a map of days: the obvious way to compute features, from the
// words of docs/churn.md, that shares nothing with the fast one.
type slowAccount struct {
	cost     map[int]float64
	used     map[int]bool
	services map[int]map[string]bool
}

func (s slowAccount) days(lo, hi int) (n float64) { // days used in [lo, hi]
	for d := lo; d <= hi; d++ {
		if s.used[d] {
			n++
		}
	}
	return n
}

func (s slowAccount) spent(lo, hi int) (sum float64) {
	for d := lo; d <= hi; d++ {
		sum += s.cost[d]
	}
	return sum
}

func (s slowAccount) kinds(lo, hi int) map[string]bool {
	out := map[string]bool{}
	for d := lo; d <= hi; d++ {
		for k := range s.services[d] {
			out[k] = true
		}
	}
	return out
}

// features computes what depends on the account alone, all days being known.
func (s slowAccount) features(t, H int) map[string]float64 {
	w1 := int(math.RoundToEven(float64(H) / 4))
	w := float64(w1)
	first, last, n := -1, -1, 0.0
	for d := 0; d <= t; d++ {
		if s.used[d] {
			if first < 0 {
				first = d
			}
			last = d
			n++
		}
	}
	age, rec, span := float64(t-first+1), float64(t-last), float64(last-first+1)
	L := func(l, h int) float64 { return math.Max(0, math.Min(age, float64(h))-float64(l)) }
	a := func(l, h int) float64 { return s.days(t-h+1, t-l) }
	c := func(l, h int) float64 { return s.spent(t-h+1, t-l) }
	cl := func(x, lo, hi float64) float64 { return math.Max(lo, math.Min(hi, x)) }
	f := map[string]float64{}
	f["age"] = math.Log((age + w) / float64(H))
	f["rec"] = math.Log(1 + rec/w)
	r := cl((n+.5)/(span+w), 1e-4, .97)
	f["surprise"] = math.Log(1 + math.Min(50, -rec*math.Log(1-r)))
	f["relgap"] = math.Log((rec + 1) / (span/n + 1))
	f["nact"] = math.Log(1 + n)
	rate := func(l, h int) float64 { return math.Log((a(l, h) + .5) / (L(l, h) + 1)) }
	f["rate1"], f["rate3"], f["rate5"] = rate(0, w1), rate(0, H), rate(0, 3*H)
	has := L(H, 2*H) >= w
	if has {
		f["act_tr3"] = rate(0, H) - rate(H, 2*H)
	}
	if L(w1, H) >= w {
		f["act_tr1"] = rate(0, w1) - rate(w1, H)
	}
	total := c(0, 3*H)
	m := total / math.Max(L(0, 3*H), 1)
	k := func(l, h int) float64 { return (c(l, h) + .05*m*w + 1e-9) / (L(l, h) + .1*w) }
	if total > 0 {
		if has {
			f["cost_tr3"] = cl(math.Log(k(0, H)/k(H, 2*H)), -4, 4)
		}
		if L(w1, H) >= w {
			f["cost_tr1"] = cl(math.Log(k(0, w1)/k(w1, H)), -4, 4)
		}
		if L(H, 3*H) >= float64(H) {
			f["cost_tr5"] = cl(math.Log(k(0, H)/k(H, 3*H)), -4, 4)
		}
	}
	var xs, zs []float64
	bins, most, newest, zero := int(math.RoundToEven(float64(3*H)/w)), 0.0, 0.0, 0.0
	for i := bins - 1; i >= 0; i-- { // i bins back
		b := c(i*w1, (i+1)*w1)
		most, newest = math.Max(most, b), b
		if L(i*w1, (i+1)*w1) < w/2 {
			continue
		}
		if b == 0 {
			zero++
		}
		xs, zs = append(xs, float64(bins-1-i)), append(zs, math.Log(1+b/(m*w)))
	}
	f["zerobins"], f["cv"] = zero/float64(len(xs)), .5
	f["drawdown"] = math.Log((newest + .05*most) / (1.05 * most))
	mx, mz, sxx, sxz, szz := 0.0, 0.0, 0.0, 0.0, 0.0
	for i := range xs {
		mx, mz = mx+xs[i]/float64(len(xs)), mz+zs[i]/float64(len(xs))
	}
	for i := range xs {
		sxx, sxz, szz = sxx+(xs[i]-mx)*(xs[i]-mx), sxz+(xs[i]-mx)*(zs[i]-mz), szz+(zs[i]-mz)*(zs[i]-mz)
	}
	if len(xs) >= 3 {
		f["cv"] = math.Sqrt(szz / float64(len(xs)))
	}
	if len(xs) >= 4 {
		f["slope"] = sxz / math.Max(sxx, 1)
	}
	longest, returns, gap, seen := 0, 0.0, 0, false
	for d := max(0, t-3*H+1); d <= t; d++ {
		if !s.used[d] {
			gap++
			continue
		}
		if seen {
			longest = max(longest, gap)
			if gap >= w1 {
				returns++
			}
		}
		seen, gap = true, 0
	}
	f["maxgap"], f["gapratio"], f["returns"] = math.Log(1+float64(longest)/w), math.Log((rec+1)/(float64(longest)+1)), math.Log(1+returns)
	f["cost_per_act"] = cl(math.Log((c(0, H)/math.Max(a(0, H), 1)+1e-9)/(s.spent(0, t)/n+1e-9)), -4, 4)
	now, before := s.kinds(t-H+1, t), s.kinds(t-2*H+1, t-H)
	f["nsvc"], f["svc_lost"] = math.Log(1+float64(len(now))), .5
	if has {
		f["svc_tr"] = math.Log((float64(len(now)) + 1) / (float64(len(before)) + 1))
		kept := 0.0
		for k := range before {
			if now[k] {
				kept++
			}
		}
		if len(before) > 0 {
			f["svc_lost"] = 1 - kept/float64(len(before))
		}
	}
	return f
}

func TestFeatures_AgreeWithTheObviousWay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		H := rapid.SampledFrom([]int{14, 28, 56, 91}).Draw(rt, "horizon")
		days := rapid.IntRange(H+1, 5*H).Draw(rt, "days")
		accounts := rapid.IntRange(1, 4).Draw(rt, "accounts")
		end := data.Day(20000)
		slow := map[string]slowAccount{}
		var uses []use
		for i := range accounts {
			name := fmt.Sprint("s", i)
			s := slowAccount{map[int]float64{}, map[int]bool{}, map[int]map[string]bool{}}
			often := rapid.IntRange(1, 20).Draw(rt, "often")
			for d := range days {
				if rapid.IntRange(0, 20).Draw(rt, "used") > often {
					continue
				}
				service := fmt.Sprint("service ", rapid.IntRange(0, 3).Draw(rt, "service"))
				cost := float64(rapid.IntRange(1, 5000).Draw(rt, "cents")) / 100
				uses = append(uses, use{end - data.Day(days-1-d), name, service, cost})
				s.used[d], s.cost[d], s.services[d] = true, cost, map[string]bool{service: true}
			}
			slow[name] = s
		}
		uses = append(uses, use{end - data.Day(days-1), "other", "service 0", 1}, use{end - data.Day(days-1), "other", "service 1", 1})
		sort.SliceStable(uses, func(i, j int) bool { return uses[i].day < uses[j].day })
		h := historyOf(t, daysUpTo(end, days), uses)
		v := view{History: h, windows: windowsOf(H), t: days - 1}
		for name, s := range slow {
			id, found := h.subscriptions.Find(name)
			if !found {
				continue
			}
			got, want := v.vector(&h.accounts[id], v.t), s.features(v.t, H)
			for j, feature := range featureNames() {
				if feature == "level" || feature == "rel_act1" || feature == "lb" {
					continue // they compare accounts
				}
				if math.Abs(got.f[j]-want[feature]) > 1e-9 {
					rt.Fatalf("%s of %s: %v, the obvious way %v", feature, name, got.f[j], want[feature])
				}
			}
		}
	})
}
