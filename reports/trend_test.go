package reports

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/templates"
)

func TestStreak_SaysHowUnusualTheLastChangeIs(t *testing.T) {
	loc, err := templates.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	week, month, days := data.Period{From: day(t, "2026-11-06"), To: day(t, "2026-11-12")}, data.Period{From: day(t, "2026-11-01"), To: day(t, "2026-11-30")},
		data.Period{From: day(t, "2026-11-06"), To: day(t, "2026-11-08")}
	for _, c := range []struct {
		values string
		period data.Period
		want   string
	}{
		{"10 11 12 13 14 15 16 12", week, "the first fall in 7 weeks"},
		{"10 10 10 10 9", month, "the first fall in 4 months"},
		{"10 9 8 8 9", days, "the first rise in 4 periods"},
		{"9 10 11 10", week, ""},      // three changes are no streak
		{"9 10 9 10 11 10", week, ""}, // there was a fall three weeks ago
		{"10 9 10 11 12 11", week, "the first fall in 4 weeks"},
		{"12 11 10 9", week, "down for 3 weeks in a row"},
		{"9 12 11 10 9 8", week, "down for 4 weeks in a row"},
		{"9 10 11 12", month, "up for 3 months in a row"},
		{"12 13 12 11", week, ""},       // two falls
		{"10 11 12 13 12.95", week, ""}, // as good as the same
		{"10 11 12 13 12.87", week, "the first fall in 4 weeks"},
		{"10 11 - 13 14 12", week, ""}, // only three weeks are known in a row
		{"- 11 12 13 14 12", week, "the first fall in 4 weeks"},
		{"10 11 12 -", week, ""},
		{"0 0 0 5 4", week, ""},                                // from nothing there is no change
		{"-10 -9 -8 -7 -8", week, "the first fall in 4 weeks"}, // of a credit
		{"10", week, ""}, {"", week, ""},
	} {
		var values []*data.Decimal
		for _, v := range strings.Fields(c.values) {
			if v == "-" {
				values = append(values, nil)
				continue
			}
			values = append(values, new(dec(t, v)))
		}
		b := &builder{loc: loc, doc: &Document{Coverage: Coverage{Period: c.period}}}
		if got := b.streak(values); got != c.want {
			t.Errorf("streak of %s = %q, want %q", c.values, got, c.want)
		}
	}
}

// TestStreak_OfAnyWeeks asks of each week that is said to be the first fall in N
// whether there was one in the N - 1 weeks before it, and whether N could be more.
func TestStreak_OfAnyWeeks(t *testing.T) {
	loc, err := templates.Load("en")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		levels := rapid.SliceOfN(rapid.IntRange(4, 9), 2, 14).Draw(t, "levels") // far enough apart to be changes
		values := make([]*data.Decimal, len(levels))
		for i, v := range levels {
			values[i] = new(data.DecimalFromInt(int64(v)))
		}
		fell := func(ago int) bool { return levels[len(levels)-1-ago] < levels[len(levels)-2-ago] }
		weeks := 1
		for weeks < len(levels)-1 && !fell(weeks) {
			weeks++
		}
		want := ""
		if fell(0) && weeks >= 4 {
			want = fmt.Sprintf("the first fall in %d weeks", weeks)
		}
		b := &builder{loc: loc, doc: &Document{Coverage: Coverage{Period: data.Period{From: 6, To: 12}}}}
		if got := b.streak(values); strings.HasPrefix(got, "the first fall") != (want != "") || want != "" && got != want {
			t.Fatalf("streak of %v = %q, want %q", levels, got, want)
		}
	})
}

// TestTrend_KnowsWhatItDoesNotKnow has a trend with a period of which days are
// missing, and one of which all are.
func TestTrend_KnowsWhatItDoesNotKnow(t *testing.T) {
	in := fixtureInput(t, GlobalAdmin, "en")
	trend := in.Document.Background.Trend
	trend[6].Known = 5
	trend[9] = TrendPeriod{Period: trend[9].Period}
	_, r := render(t, in)
	for _, want := range []string{
		"Azure cost in EUR 12% higher than in 18–24 Sep\n",
		"2–8 Oct                                  not known yet                     7\n  5 of 7 days known",
		"23–29 Oct                                not known yet         not known yet\n  0 of 7 days known",
	} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("%q is not in\n%s", want, r.Text)
		}
	}
	if strings.Contains(r.Text, "11–17 Sep") {
		t.Error("a period before the archive has a row")
	}
	in.Document.Background.Trend = trend[len(trend)-1:]
	if _, r := render(t, in); !strings.Contains(r.Text, "the archive has usage of one period only") {
		t.Error("a trend of one period is not said to be none")
	}
	in = fixtureInput(t, GlobalAdmin, "en")
	in.Document = newFixture(t, false)
	if _, r := render(t, in); !strings.Contains(r.Text, "6 customers with usage in 18–24 Sep, 8 in 6–12 Nov") {
		t.Errorf("without money the trend does not count customers:\n%s", r.Text)
	}
}
