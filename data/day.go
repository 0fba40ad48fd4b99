package data

import (
	"errors"
	"time"
)

// Day is one calendar day in UTC, counted from 1970-01-01. It has no zone and
// does not know "today". Its Arrow and Parquet form is DATE.
type Day int32

const dayFormat = "2006-01-02"

// DayOf returns the calendar day of t in t's own zone. For data use t.UTC();
// for a job's slot use t in the job's zone.
func DayOf(t time.Time) Day {
	y, m, d := t.Date()
	return Day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// ParseDay reads an ISO date, e.g. "2026-11-20".
func ParseDay(s string) (Day, error) {
	t, err := time.Parse(dayFormat, s)
	if err != nil {
		return 0, errors.New("not a date: want YYYY-MM-DD")
	}
	return DayOf(t), nil
}

// Time returns the first instant of the day in UTC.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String returns the ISO form, e.g. "2026-11-20".
func (d Day) String() string { return d.Time().Format(dayFormat) }

// Weekday returns the day of the week.
func (d Day) Weekday() time.Weekday { return d.Time().Weekday() }

// MarshalText writes the ISO form, also as a JSON string and map key.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the ISO form.
func (d *Day) UnmarshalText(b []byte) error {
	v, err := ParseDay(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// oldest is 1990-01-01: usage before it is a mistake. Azure began in 2010, but other histories
// are tried on the churn score, too.
const oldest Day = 7305

// Implausible says why a usage day cannot be meant, "" when it can: one mistyped
// year would move everything that counts from the newest day. A today of 0 sets
// no upper limit.
func (d Day) Implausible(today Day) string {
	switch {
	case today != 0 && d > today:
		return "lies in the future"
	case d < oldest:
		return "lies before the year 1990"
	}
	return ""
}
