//go:build churn

package churn

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// devSet is one of the development sets: real account histories.
type devSet struct {
	Name   string   `json:"name"`
	H      int      `json:"H"`
	Window int      `json:"elig_window"`
	Min    int      `json:"elig_min"`
	First  string   `json:"first"`
	Last   string   `json:"last"`
	Step   int      `json:"step"`
	NTest  int      `json:"n_test"`
	Dir    string   `json:"-"`
	H0     *History `json:"-"`
}

func devSets(t testing.TB) []devSet {
	t.Helper()
	dir := os.Getenv("TIDEMARK_CHURN_DATA")
	if dir == "" {
		t.Fatal("TIDEMARK_CHURN_DATA names no folder of development sets")
	}
	var out []devSet
	for _, name := range []string{"cdnow", "online_retail", "git_ansible", "collegemsg"} {
		s := devSet{Dir: filepath.Join(dir, name)}
		raw, err := os.ReadFile(filepath.Join(s.Dir, "meta.json"))
		if err == nil {
			err = json.Unmarshal(raw, &s)
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func readCSV(t testing.TB, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	if filepath.Ext(path) == ".gz" {
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		r = csv.NewReader(z)
	}
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func dayOf(t testing.TB, text string) data.Day {
	t.Helper()
	at, err := time.Parse("2006-01-02", text)
	if err != nil {
		t.Fatal(err)
	}
	return data.DayOf(at)
}

// history reads the set without the detour over an archive.
func (s devSet) history(t testing.TB) *History {
	t.Helper()
	first, last := dayOf(t, s.First), dayOf(t, s.Last)
	var known []data.Day
	for d := first; d <= last; d++ {
		known = append(known, d)
	}
	h, err := ReadHistory(known, func(func(arrow.Record, error) bool) {})
	if err != nil {
		t.Fatal(err)
	}
	r := reader{History: h}
	for _, row := range readCSV(t, filepath.Join(s.Dir, "usage.csv.gz"))[1:] {
		at := h.place(dayOf(t, row[1]))
		id := h.subscriptions.ID(row[0])
		r.room(id)
		r.use(id, h.categories.ID(row[2]), at)
		c, err := strconv.ParseFloat(row[4], 64)
		if err != nil {
			t.Fatal(err)
		}
		g := &r.more[id]
		if g.costs == nil {
			g.costs = []series{{cost: make([]float64, h.days), at: -1}}
		}
		g.costs[0].cost[at] += c
	}
	r.currencies.ID("X")
	if err := r.finish(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDevelopment_GoldenVectors(t *testing.T) {
	tm, err := readTerms()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range devSets(t) {
		t.Run(s.Name, func(t *testing.T) {
			h := s.history(t)
			var meta struct {
				T        int     `json:"T"`
				Eligible int     `json:"eligible"`
				Params   process `json:"bgbb_params"`
				Mean     float64 `json:"bgbb_mean"`
			}
			raw, err := os.ReadFile(filepath.Join(s.Dir, "golden_meta.json"))
			if err == nil {
				err = json.Unmarshal(raw, &meta)
			}
			if err != nil {
				t.Fatal(err)
			}
			v := view{History: h, windows: windowsOf(s.H), t: meta.T}
			list := v.eligible(s.Window, s.Min)
			if len(list) != meta.Eligible {
				t.Errorf("%d eligible, want %d", len(list), meta.Eligible)
			}
			xs := make([]vector, len(list))
			at := map[string]int{}
			for i, id := range list {
				xs[i] = v.vector(&h.accounts[id], v.t)
				at[h.subscriptions.Text(id)] = i
			}
			v.portfolio(list, xs, meta.Params)
			worst := map[string]float64{}
			rows := readCSV(t, filepath.Join(s.Dir, "golden.csv"))
			names, tied := rows[0], 0
			betas := tm.betas()
			b := intercept(rowsOf(tm, xs), betas, nil, meta.Mean)
			for _, row := range rows[1:] {
				i, found := at[row[0]]
				if !found {
					t.Errorf("%s is not eligible", row[0])
					continue
				}
				number := func(column int) float64 {
					v, err := strconv.ParseFloat(row[column], 64)
					if err != nil {
						t.Fatal(err)
					}
					return v
				}
				note := func(name string, diff float64) { worst[name] = max(worst[name], diff) }
				x := xs[i]
				for j, name := range featureNames() {
					if names[j+2] != name {
						t.Fatalf("column %s, want %s", names[j+2], name)
					}
					diff := math.Abs(number(j+2)-x.f[j]) / max(1, math.Abs(number(j+2)))
					if name == "level" && diff > 1e-6 && diff < 6e-4 {
						// Sums of equal costs differ in the vectors' last bit, and so in rank: ours are ties.
						tied++
						x.f[j] = number(j + 2)
						continue
					}
					note(name, diff)
				}
				note("bgbb", math.Abs(number(29)-sigmoid(x.f[fLB])))
				z := dot(tm.row(&x), betas) + b
				note("p_cold", math.Abs(number(30)-sigmoid(z)))
			}
			if tied > 30 {
				t.Errorf("%d of %d levels differ", tied, len(rows)-1)
			}
			for name, diff := range worst {
				most := 1e-6
				if name == "p_cold" {
					most = 1e-5
				}
				if diff > most {
					t.Errorf("%s: off by %g", name, diff)
				}
			}
			t.Logf("%d vectors, %d of them with another rank among equal costs", len(rows)-1, tied)
			var all []pattern
			for i := range h.accounts {
				if h.accounts[i].used.any(0, v.t) {
					all = append(all, v.periods(&h.accounts[i]))
				}
			}
			own := fitProcess(all)
			ll := func(p process) float64 {
				l, sum := p.logs(), 0.0
				for _, c := range all {
					sum += l.likelihood(c)
				}
				return sum / float64(len(all))
			}
			t.Logf("log-likelihood an account %.6f, at the golden parameters %.6f", ll(own), ll(meta.Params))
			if ll(own) < ll(meta.Params)-1e-4 {
				t.Errorf("the own fit is worse")
			}
		})
	}
}

func rowsOf(tm *terms, xs []vector) [][]float64 {
	out := make([][]float64, len(xs))
	for i := range xs {
		out[i] = tm.row(&xs[i])
	}
	return out
}

func TestDevelopment_Bars(t *testing.T) {
	tm, err := readTerms()
	if err != nil {
		t.Fatal(err)
	}
	bars := map[string][4]float64{"cdnow": {.710, .045, .694, 1}, "online_retail": {.727, .065, .660, 1}, "git_ansible": {.848, .055, .833, 1}, "collegemsg": {0, 1, 0, 1}}
	for _, set := range devSets(t) {
		t.Run(set.Name, func(t *testing.T) {
			h := set.history(t)
			s := newStudy(tm, h, set.H, Population{set.Window, set.Min}, nil)
			tests := map[int]map[string]bool{}
			n := 0
			for _, row := range readCSV(t, filepath.Join(set.Dir, "labels.csv.gz"))[1:] {
				if row[4] != "1" {
					continue
				}
				n++
				o, _ := strconv.Atoi(row[1])
				if tests[o] == nil {
					tests[o] = map[string]bool{}
				}
				tests[o][row[0]] = row[3] == "1"
			}
			c := &cache{study: s, read: map[int]*portfolioDay{}}
			start := time.Now()
			var trained, cold []Prediction
			for o, want := range tests {
				d := c.on(o)
				l, _ := c.training(o)
				fits, err := s.fitted(l)
				if err != nil {
					t.Fatal(err)
				}
				prior := s.cold(d)
				if len(d.list) != len(want) {
					t.Errorf("origin %d: %d eligible, want %d", o, len(d.list), len(want))
				}
				for i, id := range d.list {
					y, known := s.label(id, o)
					name := h.subscriptions.Text(id)
					if w, found := want[name]; !found || w != y || !known {
						t.Errorf("%s at %d: label %v %v, want %v %v", name, o, y, known, w, found)
					}
					trained = append(trained, Prediction{name, h.on(o), sigmoid(fits.logit(d.rows[i])), y, 0})
					cold = append(cold, Prediction{name, h.on(o), clamp(sigmoid(prior.logit(d.rows[i])), .005, .95), y, 0})
				}
			}
			for i, p := range [][]Prediction{trained, cold} {
				g := grade(p)
				auc := g.interval(g.sorted(true))
				_, ece := g.reliability()
				prec, lift := g.top()
				t.Logf("%d: AUC within %.4f (%.3f-%.3f), pooled %.4f, AP %.4f, Brier %.4f, ECE %.4f, precision %.3f, lift %.3f, base %.4f, %d rows, %d origins", i,
					*auc.Value, *auc.Low, *auc.High, g.within(g.sorted(false), nil), g.averagePrecision(), g.brier(), ece, prec, lift, g.baseRate(), len(p), len(tests))
				b := bars[set.Name]
				if *auc.Value < b[2*i] || ece > b[2*i+1] {
					t.Errorf("%d: below the bar", i)
				}
			}
			t.Log(time.Since(start), n)
		})
	}
}

// TestDevelopment_AHundredLabelsDoNoHarm fits to a hundred random labels, three times a set.
func TestDevelopment_AHundredLabelsDoNoHarm(t *testing.T) {
	tm, err := readTerms()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range devSets(t) {
		t.Run(set.Name, func(t *testing.T) {
			h := set.history(t)
			c := &cache{study: newStudy(tm, h, set.H, Population{set.Window, set.Min}, nil), read: map[int]*portfolioDay{}}
			for seed := range uint64(3) {
				var few, cold []Prediction
				for o := range set.testOrigins(t) {
					all, _ := c.training(o)
					r := rand.New(rand.NewPCG(seed, uint64(o)))
					some, who := &labelled{}, people{}
					for k, i := range r.Perm(len(all.rows))[:100] {
						some.add(all.rows[i], all.churned[i], all.weights[i])
						who.add(int32(k), all.churned[i]) // as if each were somebody else's
					}
					l, err := c.fitTo(some, who)
					if err != nil {
						t.Fatal(err)
					}
					d := c.on(o)
					prior := c.cold(d)
					for i, id := range d.list {
						y, _ := c.label(id, o)
						name := h.subscriptions.Text(id)
						few = append(few, Prediction{name, h.on(o), sigmoid(l.logit(d.rows[i])), y, 0})
						cold = append(cold, Prediction{name, h.on(o), sigmoid(prior.logit(d.rows[i])), y, 0})
					}
				}
				a, b := grade(few), grade(cold)
				trained, dayOne := a.within(a.sorted(true), nil), b.within(b.sorted(true), nil)
				t.Logf("AUC within date %.4f with 100 labels, %.4f on day one", trained, dayOne)
				if trained < dayOne-.01 {
					t.Errorf("100 labels cost %.4f", dayOne-trained)
				}
			}
		})
	}
}

// testOrigins are the days of the set's test rows.
func (s devSet) testOrigins(t testing.TB) map[int]bool {
	t.Helper()
	out := map[int]bool{}
	for _, row := range readCSV(t, filepath.Join(s.Dir, "labels.csv.gz"))[1:] {
		if row[4] == "1" {
			o, err := strconv.Atoi(row[1])
			if err != nil {
				t.Fatal(err)
			}
			out[o] = true
		}
	}
	return out
}
