package data

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func mustDay(t testing.TB, s string) Day {
	t.Helper()
	d, err := ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParsePeriod_EveryForm(t *testing.T) {
	ref, watermark := mustDay(t, "2026-11-17"), mustDay(t, "2026-11-12") // a Tuesday and the Thursday before
	for in, want := range map[string]string{
		"2026-11-20":             "2026-11-20 2026-11-20 | 2026-11-19 2026-11-19",
		"2026-11-06..2026-11-12": "2026-11-06 2026-11-12 | 2026-10-30 2026-11-05",
		"2026-11-06/2026-11-12":  "2026-11-06 2026-11-12 | 2026-10-30 2026-11-05",
		"2026-11":                "2026-11-01 2026-11-30 | 2026-10-01 2026-10-31",
		"2026-03-01..2026-03-31": "2026-03-01 2026-03-31 | 2026-02-01 2026-02-28",
		"2026-W46":               "2026-11-09 2026-11-15 | 2026-11-02 2026-11-08",
		"2026-W01":               "2025-12-29 2026-01-04 | 2025-12-22 2025-12-28",
		"2026-W53":               "2026-12-28 2027-01-03 | 2026-12-21 2026-12-27",
		"last-week":              "2026-11-09 2026-11-15 | 2026-11-02 2026-11-08",
		"last-month":             "2026-10-01 2026-10-31 | 2026-09-01 2026-09-30",
		"last-30d":               "2026-10-18 2026-11-16 | 2026-09-18 2026-10-17",
		"latest-7d":              "2026-11-06 2026-11-12 | 2026-10-30 2026-11-05",
	} {
		spec, err := ParsePeriod(in)
		if err != nil {
			t.Errorf("ParsePeriod(%q): %v", in, err)
			continue
		}
		p, err := spec.Resolve(ref, &watermark)
		if err != nil {
			t.Errorf("Resolve(%q): %v", in, err)
			continue
		}
		prev := p.Previous()
		got := p.From.String() + " " + p.To.String() + " | " + prev.From.String() + " " + prev.To.String()
		if got != want {
			t.Errorf("period %q = %s, want %s", in, got, want)
		}
		if spec.String() != in {
			t.Errorf("spec of %q prints as %q", in, spec)
		}
	}
}

func TestParsePeriod_RefusesWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "not a period",
		"2026":                   "not a period",
		"2026-13":                "not a period",
		"2026-W54":               "no ISO week 54",
		"2025-W53":               "no ISO week 53",
		"2026-W00":               "no ISO week 0",
		"2026-02-30":             "not a period",
		"2026-11-12..2026-11-06": "is before the first day",
		"2026-11-12..":           "last day",
		"last-0d":                "takes 1 to",
		"last-99999d":            "takes 1 to",
		"last-+3d":               "takes 1 to",
		"latest-7":               "takes 1 to",
		"last-d":                 "takes 1 to",
		"last-":                  "takes 1 to",
	} {
		spec, err := ParsePeriod(in)
		if err == nil {
			t.Errorf("ParsePeriod(%q) = %v, want an error", in, spec)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePeriod(%q): %v, want %q in it", in, err, want)
		}
	}
}

func TestResolve_LatestNeedsAWatermark(t *testing.T) {
	spec, err := ParsePeriod("latest-7d")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := spec.Resolve(0, nil); err == nil {
		t.Errorf("latest-7d without a watermark = %v, want an error", p)
	}
}

func TestPeriod_ShortestFormReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := Day(rapid.IntRange(0, 30000).Draw(t, "from"))
		p := Period{from, from + Day(rapid.IntRange(0, 70).Draw(t, "days"))}
		spec, err := ParsePeriod(p.String())
		if err != nil {
			t.Fatalf("%s does not read back: %v", p, err)
		}
		if got, err := spec.Resolve(0, nil); err != nil || got != p {
			t.Fatalf("%s reads back as %v, %v", p, got, err)
		}
		prev := p.Previous()
		if prev.To != p.From-1 {
			t.Fatalf("the period before %v is %v: not directly before", p, prev)
		}
		if !p.IsMonth() && prev.Days() != p.Days() {
			t.Fatalf("the period before %v is %v: %d days", p, prev, prev.Days())
		}
	})
}

func TestDay_AgreesWithTheCalendar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tm := time.Unix(rapid.Int64Range(-60000000000, 250000000000).Draw(t, "unix"), 0).UTC()
		d := DayOf(tm)
		if got, want := d.String(), tm.Format("2006-01-02"); got != want {
			t.Fatalf("DayOf(%v) = %s", tm, got)
		}
		if d.Weekday() != tm.Weekday() {
			t.Fatalf("%s is a %s, want %s", d, d.Weekday(), tm.Weekday())
		}
	})
}

func TestDayOf_UsesTheZoneOfTheTime(t *testing.T) {
	zone := time.FixedZone("ahead", 2*3600)
	if got := DayOf(time.Date(2026, 11, 9, 0, 30, 0, 0, zone)).String(); got != "2026-11-09" {
		t.Errorf("a Monday slot just after midnight east of Greenwich is %s, want 2026-11-09", got)
	}
}

func TestPeriod_JSONIsTheContract(t *testing.T) {
	p := Period{mustDay(t, "2026-11-06"), mustDay(t, "2026-11-12")}
	b, err := json.Marshal(p)
	if err != nil || string(b) != `{"from":"2026-11-06","to":"2026-11-12"}` {
		t.Errorf("JSON = %s, %v", b, err)
	}
	var back Period
	if err := json.Unmarshal(b, &back); err != nil || back != p {
		t.Errorf("JSON reads back as %v, %v", back, err)
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"2026-11", "2026-W46", "last-30d", "latest-7d", "2026-11-06..2026-11-12", "last-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		spec, err := ParsePeriod(s)
		if err != nil {
			return
		}
		w := Day(20000)
		p, err := spec.Resolve(20003, &w)
		if err != nil {
			t.Fatalf("%q parses but does not resolve: %v", s, err)
		}
		if p.Days() < 1 {
			t.Fatalf("%q = %v has no day", s, p)
		}
	})
}
