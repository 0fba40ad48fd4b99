package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
)

func smallShape() shape {
	s := defaultShape()
	s.Rows, s.Subscriptions, s.Customers, s.Meters, s.Categories, s.Regions = 6_000, 60, 12, 40, 8, 5
	return s
}

// TestPartner_DependsOnTheSeedAlone also holds what the rows must have for the
// comparison to mean something.
func TestPartner_DependsOnTheSeedAlone(t *testing.T) {
	all := func(seed uint64) (rows []data.Usage) {
		s := smallShape()
		s.Seed = seed
		p := newPartner(s)
		for d := range s.period().All() {
			for _, currency := range []string{"EUR", "USD"} {
				rows = append(rows, slices.Collect(p.usage(d, currency))...)
			}
		}
		return rows
	}
	text := func(rows []data.Usage) string {
		var b strings.Builder
		for _, u := range rows {
			for _, c := range foreignColumns() {
				b.WriteString(c.of(&u, byteArrays).String() + "|")
			}
			b.WriteString(u.Day.String() + "\n")
		}
		return b.String()
	}
	rows := all(1)
	if text(rows) != text(all(1)) {
		t.Error("the same seed gives other rows")
	}
	if text(rows) == text(all(2)) {
		t.Error("another seed gives the same rows")
	}
	if n := len(rows); n < 5_000 || n > 7_500 {
		t.Errorf("%d rows, want about 6,000", n)
	}
	kinds := map[string]int{}
	for _, u := range rows {
		kinds["charge "+string(u.ChargeCategory)]++
		kinds["currency "+u.Currency]++
		for what, is := range map[string]bool{"no subscription": u.SubscriptionID == nil, "no quantity": u.Quantity == nil, "no cost": u.Cost == nil,
			"negative": u.Cost != nil && u.Cost.Sign() < 0, "weekend": int(u.Day.Weekday())%6 == 0} {
			if is {
				kinds[what]++
			}
		}
	}
	for _, what := range []string{"charge usage", "charge tax", "charge credit", "charge adjustment", "currency EUR", "currency USD",
		"no subscription", "no quantity", "no cost", "negative", "weekend"} {
		if kinds[what] == 0 {
			t.Errorf("no row of kind %q", what)
		}
	}
}

// TestResults_AreTheSameForEveryOrderEncodingAndShapeOfSQL runs the whole job
// and the single sum on each kind of set, and DuckDB's in every shape.
func TestResults_AreTheSameForEveryOrderEncodingAndShapeOfSQL(t *testing.T) {
	ctx, folder := t.Context(), t.TempDir()
	out := func(name string) string {
		path := filepath.Join(folder, "out", name)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	everything := append(results(), oneSum)
	for _, s := range []set{
		{Name: baseSet, Encoding: realArchive},
		{Name: "shuffled", Encoding: ownProfile, Shuffled: true},
		{Name: "duckdb", Encoding: byDuckDB},
		{Name: "int64", Encoding: int64s},
		{Name: "bytes", Encoding: byteArrays},
	} {
		s.Shape = smallShape()
		if err := s.generate(ctx, folder); err != nil {
			t.Fatal(err)
		}
		mine := out("ours-" + s.Name)
		for _, single := range []bool{false, true} {
			if err := (ours{set: s, folder: folder, out: mine, single: single}).compute(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := same(out("ours-"+baseSet), mine, everything); err != nil {
			t.Errorf("set %s and %s: %v", baseSet, s.Name, err)
		}
		for _, shape := range sqlShapes() {
			other := out("duckdb-" + s.Name + "-" + shape.name)
			for _, single := range []bool{false, true} {
				if err := (theirs{set: s, folder: folder, shape: shape, out: other, single: single}).compute(ctx); err != nil {
					t.Fatalf("set %s, shape %s: %v", s.Name, shape.name, err)
				}
			}
			if err := same(mine, other, everything); err != nil {
				t.Errorf("set %s, shape %s: %v", s.Name, shape.name, err)
			}
		}
	}
}

func TestSame_SeesOneDigitAndOneLine(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write := func(folder, text string) {
		if err := os.WriteFile(costs.path(folder), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, ours, theirs string
		same               bool
	}{
		{"another order", "EUR,1.0,2.0\nUSD,3.0,\n", "USD,3.0,\nEUR,1.0,2.0\n", true},
		{"another digit", "EUR,1.0,2.0\n", "EUR,1.0,2.1\n", false},
		{"a null for a zero", "EUR,0.0,2.0\n", "EUR,,2.0\n", false},
		{"a line too many", "EUR,1.0,2.0\n", "EUR,1.0,2.0\nEUR,1.0,2.0\n", false},
		{"nothing at all", "", "", false},
	} {
		write(a, c.ours)
		write(b, c.theirs)
		if err := same(a, b, []result{costs}); (err == nil) != c.same {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestOutcome_IsJudgedByTheMedianOfTheRatios: one pair that a busy machine spoiled
// decides nothing.
func TestOutcome_IsJudgedByTheMedianOfTheRatios(t *testing.T) {
	side := func(wall, cpu time.Duration, peak int64) cost { return cost{wall, cpu, peak} }
	theirs := side(10*time.Second, 20*time.Second, 1000)
	o := outcome{contest: contest{bar: ratio{wall: 0.35, cpu: 0.3}}, pairs: []pair{
		{side(3*time.Second, 5*time.Second, 900), theirs},
		{side(30*time.Second, 50*time.Second, 900), theirs},
		{side(2*time.Second, 5*time.Second, 900), theirs},
	}}
	if got := medianRatio(o.pairs); got != (ratio{0.3, 0.25, 0.9}) {
		t.Errorf("ratios %v", got)
	}
	if got := o.verdict(); got != "holds" {
		t.Errorf("verdict %q, want that it holds: there is no bar for memory", got)
	}
	o.bar = ratio{wall: 0.29, cpu: 0.3, peak: 0.5}
	if got := o.verdict(); got != "misses wall, memory" {
		t.Errorf("verdict %q", got)
	}
}
