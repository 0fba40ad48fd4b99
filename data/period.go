package data

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Period is an inclusive range of days in UTC.
type Period struct {
	From Day `json:"from"`
	To   Day `json:"to"`
}

// Days returns the number of days in the period.
func (p Period) Days() int { return int(p.To-p.From) + 1 }

// Contains reports whether d lies in the period.
func (p Period) Contains(d Day) bool { return p.From <= d && d <= p.To }

// All yields the days of the period in order.
func (p Period) All() iter.Seq[Day] {
	return func(yield func(Day) bool) {
		for d := p.From; d <= p.To; d++ {
			if !yield(d) {
				return
			}
		}
	}
}

// IsMonth reports whether the period covers exactly one calendar month.
func (p Period) IsMonth() bool { return p == MonthOf(p.From) }

// IsWeek reports whether the period is one ISO 8601 week, Monday to Sunday.
func (p Period) IsWeek() bool { return p.Days() == 7 && p.From.Weekday() == time.Monday }

// Previous returns what the period is compared with: for a month the month
// before it, for any other period the same number of days directly before it.
func (p Period) Previous() Period {
	if p.IsMonth() {
		return MonthOf(p.From - 1)
	}
	return Period{p.From - Day(p.Days()), p.From - 1}
}

// String returns the shortest form that ParsePeriod reads back: a month
// ("2026-11"), an ISO week ("2026-W46"), a day ("2026-11-20") or a range
// ("2026-11-06..2026-11-12").
func (p Period) String() string {
	switch {
	case p.IsMonth():
		return p.From.Time().Format("2006-01")
	case p.IsWeek():
		y, w := p.From.Time().ISOWeek()
		return fmt.Sprintf("%04d-W%02d", y, w)
	case p.From == p.To:
		return p.From.String()
	}
	return p.From.String() + ".." + p.To.String()
}

// MonthOf returns the calendar month that d lies in.
func MonthOf(d Day) Period {
	y, m, _ := d.Time().Date()
	first := time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	return Period{DayOf(first), DayOf(first.AddDate(0, 1, -1))}
}

// weekOf returns the ISO week that d lies in.
func weekOf(d Day) Period {
	monday := d - Day((int(d.Weekday())+6)%7)
	return Period{monday, monday + 6}
}

// PeriodSpec is a period as it is written in a configuration or on a command
// line. It may be relative; Resolve makes a Period of it.
type PeriodSpec struct {
	text     string
	fixed    Period
	relative relative
	days     int // for lastDays and latestDays
}

type relative int

const (
	fixed relative = iota
	lastWeek
	lastMonth
	lastDays
	latestDays
)

// FollowsWatermark reports whether the period ends with the last day that is
// known: while no usage comes in it stays the same.
func (s PeriodSpec) FollowsWatermark() bool { return s.relative == latestDays }

// maxRelativeDays bounds "last-Nd": ten years.
const maxRelativeDays = 3660

const periodForms = "want a day 2026-11-20, a range 2026-11-06..2026-11-12, a month 2026-11, " +
	"an ISO week 2026-W46, last-week, last-month, last-30d or latest-7d"

// ParsePeriod reads every form of a period: a day, a range written FROM..TO or
// FROM/TO, a month, an ISO 8601 week, or one of the relative forms last-week,
// last-month, last-Nd and latest-Nd.
func ParsePeriod(s string) (PeriodSpec, error) {
	s = strings.TrimSpace(s)
	bad := func(why string) (PeriodSpec, error) {
		return PeriodSpec{}, fmt.Errorf("period %q: %s", s, why)
	}
	switch s {
	case "last-week":
		return PeriodSpec{text: s, relative: lastWeek}, nil
	case "last-month":
		return PeriodSpec{text: s, relative: lastMonth}, nil
	}
	for prefix, kind := range map[string]relative{"last-": lastDays, "latest-": latestDays} {
		rest, found := strings.CutPrefix(s, prefix)
		if !found {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(rest, "d"))
		if err != nil || !strings.HasSuffix(rest, "d") || n < 1 || n > maxRelativeDays || rest[0] == '+' {
			return bad(fmt.Sprintf("%sNd takes 1 to %d days", prefix, maxRelativeDays))
		}
		return PeriodSpec{text: s, relative: kind, days: n}, nil
	}
	p, err := parseFixed(s)
	if err != nil {
		return bad(err.Error())
	}
	return PeriodSpec{text: s, fixed: p}, nil
}

func parseFixed(s string) (Period, error) {
	for _, sep := range []string{"..", "/"} {
		if from, to, found := strings.Cut(s, sep); found {
			return parseRange(from, to)
		}
	}
	if d, err := ParseDay(s); err == nil {
		return Period{d, d}, nil
	}
	if t, err := time.Parse("2006-01", s); err == nil {
		return MonthOf(DayOf(t)), nil
	}
	if year, week, found := strings.Cut(s, "-W"); found && len(year) == 4 && len(week) == 2 {
		return parseWeek(year, week)
	}
	return Period{}, fmt.Errorf("not a period: %s", periodForms)
}

func parseRange(from, to string) (Period, error) {
	f, err := ParseDay(from)
	if err != nil {
		return Period{}, fmt.Errorf("first day %q is %w", from, err)
	}
	t, err := ParseDay(to)
	if err != nil {
		return Period{}, fmt.Errorf("last day %q is %w", to, err)
	}
	if t < f {
		return Period{}, fmt.Errorf("the last day %s is before the first day %s", t, f)
	}
	return Period{f, t}, nil
}

func parseWeek(year, week string) (Period, error) {
	y, errY := strconv.ParseUint(year, 10, 16)
	w, errW := strconv.ParseUint(week, 10, 8)
	if errY != nil || errW != nil {
		return Period{}, fmt.Errorf("not a period: %s", periodForms)
	}
	// 4 January always lies in week 1 (ISO 8601).
	first := weekOf(DayOf(time.Date(int(y), time.January, 4, 0, 0, 0, 0, time.UTC)))
	p := Period{first.From + Day(7*(int(w)-1)), first.To + Day(7*(int(w)-1))}
	if gy, gw := p.From.Time().ISOWeek(); gy != int(y) || gw != int(w) {
		return Period{}, fmt.Errorf("the year %d has no ISO week %d", y, w)
	}
	return p, nil
}

// String returns the text the spec was read from.
func (s PeriodSpec) String() string { return s.text }

// NeedsWatermark reports whether Resolve needs a watermark (latest-Nd).
func (s PeriodSpec) NeedsWatermark() bool { return s.relative == latestDays }

// Resolve returns the period that the spec means. Relative forms count from
// ref: the day of the job's nominal slot in its zone, or today in UTC on the
// command line. latest-Nd are the N days that end at the watermark; a nil
// watermark (nothing extracted yet) is an error for it and ignored otherwise.
func (s PeriodSpec) Resolve(ref Day, watermark *Day) (Period, error) {
	switch s.relative {
	case lastWeek:
		return weekOf(ref - 7), nil
	case lastMonth:
		return MonthOf(MonthOf(ref).From - 1), nil
	case lastDays:
		return Period{ref - Day(s.days), ref - 1}, nil
	case latestDays:
		if watermark == nil {
			return Period{}, fmt.Errorf("period %s: no usage is archived yet, so there is no latest day", s.text)
		}
		return Period{*watermark - Day(s.days) + 1, *watermark}, nil
	}
	return s.fixed, nil
}
