package churn

import (
	"math"
	"testing"
)

// The donations of 1995's new donors to a public radio station, published by Fader, Hardie
// and Shang (2010): periods with a donation, the last of them, periods, donors.
func donations() [][4]int {
	return [][4]int{{0, 0, 6, 3464}, {1, 1, 6, 1091}, {1, 2, 6, 277}, {1, 3, 6, 129}, {1, 4, 6, 78}, {1, 5, 6, 119}, {1, 6, 6, 129},
		{2, 2, 6, 613}, {2, 3, 6, 255}, {2, 4, 6, 155}, {2, 5, 6, 173}, {2, 6, 6, 234}, {3, 3, 6, 322}, {3, 4, 6, 181}, {3, 5, 6, 225},
		{3, 6, 6, 357}, {4, 4, 6, 240}, {4, 5, 6, 284}, {4, 6, 6, 512}, {5, 5, 6, 335}, {5, 6, 6, 728}, {6, 6, 6, 1203}}
}

func TestBGBB_AgreesWithThePaper(t *testing.T) {
	l := process{1.2035, .7497, .6567, 2.7834}.logs()
	sum := 0.0
	for _, d := range donations() {
		sum += float64(d[3]) * l.likelihood(pattern{d[0], d[1], d[2]})
	}
	if math.Abs(sum+33225.58) > .01 {
		t.Errorf("log-likelihood %.2f, published -33225.6", sum)
	}
	for c, want := range map[pattern]float64{{6, 6, 6}: .07680, {0, 0, 6}: .95219, {3, 4, 6}: .60411} {
		if got := l.idle(c, 5); math.Abs(got-want) > 1e-5 {
			t.Errorf("no donation in five more years after %+v: %.5f, want %.5f", c, got, want)
		}
	}
}

func TestBGBB_FitIsAsLikelyAsThePublishedOne(t *testing.T) {
	var all []pattern
	for _, d := range donations() {
		for range d[3] {
			all = append(all, pattern{d[0], d[1], d[2]})
		}
	}
	mean := func(p process) float64 {
		l, sum := p.logs(), 0.0
		for _, c := range all {
			sum += l.likelihood(c)
		}
		return sum / float64(len(all))
	}
	got, best := fitProcess(all), process{1.2035, .7497, .6567, 2.7834}
	if worse := mean(best) - mean(got); worse > 1e-4 || worse < -1e-6 {
		t.Errorf("%+v is %.2g a donor less likely than the published parameters, which are the most likely", got, worse)
	}
}

func TestBGBB_OfFewIsFixed(t *testing.T) {
	if got := fitProcess([]pattern{{1, 1, 4}}); got != fewProcess() {
		t.Errorf("fitted %+v to one", got)
	}
}
