package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseSchedule_RefusesWhatNobodyMeans(t *testing.T) {
	for spec, want := range map[string]string{
		"0 7 30 2 *":                     "never comes",
		"CRON_TZ=Europe/Amsterdam":       "give the zone as timezone",
		"TZ=0":                           "give the zone as timezone",
		"@every 5m":                      "fields instead",
		"0 24 * * *":                     "not a cron spec",
		"0 7 * * 7":                      "not a cron spec",
		"CRON_TZ=Europe/Paris 0 7 * * *": "give the zone as timezone",
		"":                               "not a cron spec",
	} {
		if _, err := ParseSchedule(spec, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseSchedule(%q): %v, want %q", spec, err, want)
		}
	}
	if _, err := ParseSchedule("0 7 * * MON", "Mars/Olympus"); err == nil {
		t.Error("an unknown zone is accepted")
	}
}

func schedule(t testing.TB, spec, zone string) Schedule {
	t.Helper()
	s, err := ParseSchedule(spec, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedule_ClockChanges(t *testing.T) {
	for _, c := range []struct {
		name, spec, zone string
		from             string
		want             []string
	}{
		{"a skipped time is due at the change", "30 2 * * *", "Europe/Amsterdam", "2026-03-28T12:00:00+01:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"a repeated time is due the first time only", "30 2 * * *", "Europe/Amsterdam", "2026-10-24T12:00:00+02:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"a midnight that is missing is due at one", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		{"a weekly job on the day of the change", "0 0 * * 0", "America/Sao_Paulo", "2018-10-29T12:00:00-03:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-11T00:00:00-02:00"}},
		{"a yearly job on the day of the change", "0 2 8 3 *", "America/New_York", "2026-01-01T00:00:00-05:00",
			[]string{"2026-03-08T03:00:00-04:00", "2027-03-08T02:00:00-05:00"}},
		{"every hour is every real hour", "0 * * * *", "America/New_York", "2026-11-01T00:30:00-04:00",
			[]string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"}},
		{"half an hour of summer time", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00+10:30",
			[]string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
	} {
		s := schedule(t, c.spec, c.zone)
		at, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			at = s.Next(at)
			if got := at.Format(time.RFC3339); got != want {
				t.Errorf("%s: %s, want %s", c.name, got, want)
			}
		}
	}
}

// TestSchedule_OncePerPeriodInTenZonesOverTenYears counts by the calendar of
// the zone, which knows nothing of the schedule.
func TestSchedule_OncePerPeriodInTenZonesOverTenYears(t *testing.T) {
	zones := []string{"UTC", "Europe/Amsterdam", "America/New_York", "America/Sao_Paulo", "America/Santiago", "Africa/Cairo",
		"Australia/Lord_Howe", "Asia/Beirut", "Asia/Kolkata", "Pacific/Auckland"}
	periods := map[string]struct {
		specs  []string
		period func(time.Time) string
	}{
		"day":   {[]string{"0 0 * * *", "30 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "0 3 * * *", "59 23 * * *"}, func(t time.Time) string { return t.Format("2006-01-02") }},
		"week":  {[]string{"0 0 * * SUN", "30 2 * * SUN", "0 7 * * MON"}, func(t time.Time) string { y, w := t.AddDate(0, 0, 1).ISOWeek(); return fmt.Sprint(y, w) }},
		"month": {[]string{"0 0 1 * *", "30 2 28 * *"}, func(t time.Time) string { return t.Format("2006-01") }},
	}
	for _, zone := range zones {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		start, end := time.Date(2017, 1, 1, 0, 0, 0, 0, loc).Add(-time.Second), time.Date(2027, 1, 1, 0, 0, 0, 0, loc)
		for name, p := range periods {
			want := map[string]bool{}
			for d := start.Add(12 * time.Hour); d.Before(end); d = d.AddDate(0, 0, 1) {
				want[p.period(d)] = true
			}
			for _, spec := range p.specs {
				s := schedule(t, spec, zone)
				got := map[string]int{}
				for at := s.Next(start); at.Before(end); at = s.Next(at) {
					got[p.period(at)]++
				}
				missing := 0
				for key := range want {
					switch got[key] {
					case 0:
						missing++
					case 1:
					default:
						t.Errorf("%s in %s: %d times in the %s %s", spec, zone, got[key], name, key)
					}
				}
				// The ten years begin with a week, on a Sunday, and end after the
				// Sunday and the Monday of their last.
				if missing > 0 {
					t.Errorf("%s in %s: %d %ss without a run", spec, zone, missing, name)
				}
			}
		}
	}
}

func TestSchedule_WarnsOfEitherDay(t *testing.T) {
	if w := schedule(t, "0 6 1 * 1", "").Warning(); !strings.Contains(w, "either") {
		t.Errorf("warning %q", w)
	}
	for _, spec := range []string{"0 6 1 * *", "0 6 * * 1", "0 6 * * *"} {
		if w := schedule(t, spec, "").Warning(); w != "" {
			t.Errorf("%s: warning %q", spec, w)
		}
	}
}

func TestPrevious_IsTheSlotThatHasThisOneNext(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, spec := range []string{"30 2 * * *", "0 7 * * MON", "0 8 1 * *", "0 3 29 2 *", "*/15 * * * *"} {
		s := schedule(t, spec, "Europe/Amsterdam")
		before := s.Next(start)
		for range 30 {
			at := s.Next(before)
			if at.IsZero() || spec == "0 3 29 2 *" && at.Year() > 2040 {
				break
			}
			if got := s.Previous(at); !got.Equal(before) {
				t.Errorf("%s: before %s it was due %s, want %s", spec, at, got, before)
			}
			before = at
		}
	}
}
