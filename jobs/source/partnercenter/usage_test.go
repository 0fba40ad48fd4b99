package partnercenter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// late is usage of November's last day that was told after the month.
func late() fakemicrosoft.Line {
	return line(func(l *fakemicrosoft.Line) { l.UsageDate = "2026-11-30T00:00:00Z" })
}

// TestUsage_LateLinesDoNotReplaceAMonth has the current period hold only what came
// late of the month before, in the first days of a month.
func TestUsage_LateLinesDoNotReplaceAMonth(t *testing.T) {
	current, last := fakemicrosoft.Feed{Currency: "EUR", Period: "current"}, fakemicrosoft.Feed{Currency: "EUR", Period: "last"}
	whole := []fakemicrosoft.Line{line(nil), line(nil), line(nil)}
	for name, test := range map[string]struct {
		at            time.Time
		current, last []fakemicrosoft.Line
		want          string // of November
		warned        bool
	}{
		"on the second day, without a last period":   {time.Date(2026, 12, 2, 2, 30, 0, 0, time.UTC), []fakemicrosoft.Line{late()}, nil, "3 rows, 0.12", true},
		"on the first day, without a last period":    {time.Date(2026, 12, 1, 2, 30, 0, 0, time.UTC), []fakemicrosoft.Line{late()}, nil, "3 rows, 0.12", true},
		"on the first day, with an early correction": {time.Date(2026, 12, 1, 2, 30, 0, 0, time.UTC), []fakemicrosoft.Line{late(), line(func(l *fakemicrosoft.Line) { l.UsageDate = "2026-11-05T00:00:00Z" })}, nil, "3 rows, 0.12", true},
		"beside a last period they belong to it":     {time.Date(2026, 12, 2, 2, 30, 0, 0, time.UTC), []fakemicrosoft.Line{late()}, whole, "4 rows, 0.16", false},
		"the remote side has not changed over yet":   {time.Date(2026, 12, 1, 0, 20, 0, 0, time.UTC), append([]fakemicrosoft.Line{late()}, whole...), nil, "4 rows, 0.16", false},
		"a last period of the month before that":     {time.Date(2026, 12, 2, 2, 30, 0, 0, time.UTC), []fakemicrosoft.Line{late()}, []fakemicrosoft.Line{october("1")}, "3 rows, 0.12", true},
		"neither period has data":                    {time.Date(2026, 12, 2, 2, 30, 0, 0, time.UTC), nil, nil, "3 rows, 0.12", false},
		"late lines of a month before the last one":  {time.Date(2026, 12, 3, 2, 30, 0, 0, time.UTC), nil, []fakemicrosoft.Line{october("1")}, "3 rows, 0.12", true},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, fakemicrosoft.Options{})
			n.feeds[current], n.feeds[last] = whole, []fakemicrosoft.Line{october("5"), october("7")}
			n.clock.at = time.Date(2026, 11, 30, 2, 30, 0, 0, time.UTC)
			n.pass()
			n.clock.at = test.at
			n.feeds[current], n.feeds[last] = test.current, test.last
			u := n.pass()
			n.has("2026-11 EUR", test.want)
			n.has("2026-10 EUR", "2 rows, 12.00")
			if got := len(u.Tally.Warnings) > 0; got != test.warned {
				t.Errorf("warnings %q", u.Tally.Warnings)
			}
		})
	}
}

// TestUsage_TheFirstRunOnAFirstDay has the current period hold late usage of a month
// that the archive lacks, or all of that month.
func TestUsage_TheFirstRunOnAFirstDay(t *testing.T) {
	var month []fakemicrosoft.Line
	for day := range 17 {
		month = append(month, line(func(l *fakemicrosoft.Line) { l.UsageDate = fmt.Sprintf("2026-11-%02dT00:00:00Z", day+1) }))
	}
	for name, test := range map[string]struct {
		lines []fakemicrosoft.Line
		want  string
	}{
		"late usage covers nothing": {[]fakemicrosoft.Line{late()}, ""},
		"a month is one":            {month, "17 rows, 0.68"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, fakemicrosoft.Options{})
			n.clock.at = time.Date(2026, 12, 1, 2, 30, 0, 0, time.UTC)
			n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "current"}] = test.lines
			u := n.pass()
			n.has("2026-11 EUR", test.want)
			if whole := test.want != ""; len(u.Tally.Covers) > 0 != whole || len(u.Tally.Warnings) > 0 == whole {
				t.Errorf("covers %v, warnings %q", u.Tally.Covers, u.Tally.Warnings)
			}
		})
	}
}

// TestUsage_ALineWithoutCurrency has the first line of a named invoice say none.
func TestUsage_ALineWithoutCurrency(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.feeds[fakemicrosoft.Feed{Currency: "EUR", Period: "last"}] = []fakemicrosoft.Line{october("5"), october("7")}
	none := october("5")
	none.BillingCurrency = ""
	n.feeds[fakemicrosoft.Feed{Invoice: "G000000001"}] = []fakemicrosoft.Line{none, october("7")}
	n.closeList("G000000001")
	u := n.pass()
	if diff := cmp.Diff(map[string]string{"2026-10 EUR": "2 rows, 12.00", "2026-11 EUR": "1 rows, 0.04"}, u.byPeriod()); diff != "" {
		t.Errorf("want -, read +:\n%s", diff)
	}
	for text, want := range map[string]string{`"":"EUR"`: "", `"BillingCurrency":"","x":1`: "", `"BillingCurrency":"EU"}`: "", `"BillingCurrency":"E\u0055R"`: "", `"BillingCurrency":"EUR"`: "EUR", `"BillingCurrency":"E`: ""} {
		if got := textIn([]byte(text), "BillingCurrency", 3); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestUsage_TimeThatIsOverSaysHowFarItWas(t *testing.T) {
	for name, test := range map[string]struct {
		options fakemicrosoft.ExportOptions
		fault   fakemicrosoft.Fault
		want    string
	}{
		"while an export is prepared": {options: fakemicrosoft.ExportOptions{Polls: 10000, RetryAfter: 60}, want: "unbilled usage in EUR, last period is not prepared yet; run again"},
		"while invoices are listed":   {fault: fakemicrosoft.TooMany(900).On(fakemicrosoft.API, "invoices").EveryNth(1), want: "the list of invoices is not whole; run again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSide(t, handMade(line(nil)), fakemicrosoft.Options{Export: test.options})
			s.server.Script(test.fault)
			s.options.TimeLimit = 10 * time.Minute
			if _, err := s.tryUsage(); err == nil || !strings.Contains(err.Error(), "after 10m0s: "+test.want) {
				t.Errorf("err = %v, want %q", err, test.want)
			}
		})
	}
}

// tryUsage reads usage up to an error.
func (s *side) tryUsage() (rows int, err error) {
	s.t.Helper()
	for _, err := range s.source().Usage(s.t.Context(), nil, &data.Tally{}) {
		if err != nil {
			return rows, err
		}
		rows++
	}
	return rows, nil
}
