package jobs

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job is due, in its own time zone.
//
// A spec with fixed hours counts in wall time: a time that a clock change skips
// is due at the change, one that it repeats is due the first time, so a daily
// job runs once a day. A spec for every hour counts real hours.
type Schedule struct {
	spec *cron.SpecSchedule
	zone *time.Location
	text string
}

// starBit marks a field of a parsed spec that was written as *.
const starBit = 1 << 63

// ParseSchedule reads a five-field cron spec and an IANA zone (empty: UTC). It
// refuses what the parser lets through but nobody means: a zone inside the spec
// (without a blank behind it the parser panics), @every (counted from nowhere),
// and a date that never comes.
func ParseSchedule(spec, zone string) (Schedule, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // which is another on every machine
		return Schedule{}, fmt.Errorf("%q is not a time zone: want an IANA name such as Europe/Amsterdam", zone)
	}
	if strings.Contains(spec, "TZ=") || strings.HasPrefix(spec, "@every") {
		return Schedule{}, fmt.Errorf("%q: give the zone as timezone, and fields instead of @every", spec)
	}
	parsed, err := cron.ParseStandard(spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("%q is not a cron spec: %w", spec, err)
	}
	s, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Schedule{}, fmt.Errorf("%q is not a cron spec", spec)
	}
	s.Location = time.UTC
	if s.Next(time.Unix(0, 0).UTC()).IsZero() {
		return Schedule{}, errors.New("the date of " + spec + " never comes")
	}
	return Schedule{s, loc, spec}, nil
}

// Warning says what about the spec may surprise; empty for nothing.
func (s Schedule) Warning() string {
	if s.spec.Dom&starBit == 0 && s.spec.Dow&starBit == 0 {
		return fmt.Sprintf("%q names days of the month and of the week: it is due on either, not only where both agree", s.text)
	}
	return ""
}

// Next returns the first time after t at which the job is due, in its zone; the
// zero time when there is none within five years.
func (s Schedule) Next(t time.Time) time.Time {
	if s.spec.Hour&starBit != 0 {
		every := *s.spec
		every.Location = s.zone
		return every.Next(t.In(s.zone))
	}
	for wall := wallClock(t.In(s.zone)); ; {
		if wall = s.spec.Next(wall); wall.IsZero() {
			return wall
		}
		if due := s.instant(wall); due.After(t) {
			return due
		}
	}
}

// Previous returns the last time before t at which the job was due, in its zone;
// the zero time when there is none within five years.
func (s Schedule) Previous(t time.Time) time.Time {
	const day, years = 24 * time.Hour, 5 * 366 * 24 * time.Hour
	for back := day; back < 2*years; back *= 2 {
		last := time.Time{}
		for at := s.Next(t.Add(-back)); !at.IsZero() && at.Before(t); at = s.Next(at) {
			last = at
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}

// wallClock is what a clock on the wall shows at t, as a time in UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instant is the first time at which the wall shows the given time; for one
// that is skipped the time of the change.
func (s Schedule) instant(wall time.Time) time.Time {
	_, before := wall.Add(-24 * time.Hour).In(s.zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(s.zone).Zone()
	first := wall.Add(-time.Duration(before) * time.Second).In(s.zone)
	second := wall.Add(-time.Duration(after) * time.Second).In(s.zone)
	if second.Before(first) {
		first, second = second, first
	}
	for _, t := range []time.Time{first, second} {
		if wallClock(t).Equal(wall) {
			return t
		}
	}
	// In a gap: the earlier candidate lies before the change, the later one
	// behind it.
	change, _ := second.ZoneBounds()
	return change.In(s.zone)
}
