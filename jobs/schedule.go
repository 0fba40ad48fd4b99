package jobs

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when a job is due, in its own time zone.
type Schedule struct {
	spec *cron.SpecSchedule
	zone *time.Location
}

// ParseSchedule reads a five-field cron spec and an IANA zone (empty: UTC). It
// refuses what the parser lets through but nobody means: a zone inside the spec
// (without a blank behind it the parser panics), @every (counted from nowhere),
// and a date that never comes.
func ParseSchedule(spec, zone string) (Schedule, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil {
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
	s.Location = loc
	if s.Next(time.Unix(0, 0).UTC()).IsZero() {
		return Schedule{}, errors.New("the date of " + spec + " never comes")
	}
	return Schedule{s, loc}, nil
}

// Next returns the first time after t at which the job is due.
func (s Schedule) Next(t time.Time) time.Time { return s.spec.Next(t.In(s.zone)) }
