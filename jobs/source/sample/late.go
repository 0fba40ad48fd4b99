package sample

import "tidemark/data"

// How late the feed is: a day's rows come one to maxLateness days later, and
// change until settleDays days after it.
const (
	maxLateness  = 3
	settleDays   = 3
	standstill   = 5  // in the first days of a month nothing new comes
	missingEvery = 28 // nights; one in so many delivers nothing
	missingNight = 11 // nights after the story's day, modulo missingEvery
)

// delivering returns the night whose delivery the source holds: To, or the
// night before when that of To is missing.
func (s *Source) delivering() data.Day {
	if night := (int(s.o.To-s.o.Story)%missingEvery + missingEvery) % missingEvery; night == missingNight {
		return s.o.To - 1
	}
	return s.o.To
}

// newest returns the last day that the feed has reached at all.
func (s *Source) newest() data.Day {
	night := s.delivering()
	if date := night.Time().Day(); date <= standstill {
		return night - data.Day(date) - 1 // two days before the month's first
	}
	return night - 1
}

// Settled returns the last day that is complete and will not change: a source
// that reaches further says the same about it and the days before.
func (s *Source) Settled() data.Day {
	if !s.o.Late {
		return s.o.To
	}
	return min(s.newest(), s.delivering()-settleDays-1)
}

// delivered reports whether a customer's rows of a day have come.
func (s *Source) delivered(day data.Day, customer int) bool {
	if !s.o.Late {
		return true
	}
	lateness := data.Day(1 + s.dice.roll(maxLateness, forLate, uint64(customer), uint64(day)))
	return day <= s.newest() && day <= s.delivering()-lateness
}

// unsettled reports whether a day's rows still change.
func (s *Source) unsettled(day data.Day) bool { return s.o.Late && day > s.Settled() }

// withheld reports whether a meter is not yet in what was delivered of a day.
func (s *Source) withheld(day data.Day, sub, meter int) bool {
	return s.unsettled(day) && s.dice.roll(5, forLate, uint64(sub), uint64(meter), uint64(day), uint64(s.delivering()-day)) == 0
}

// partial returns how much of a quantity is counted so far.
func (s *Source) partial(quantity int64, day data.Day, sub, meter int) int64 {
	if !s.unsettled(day) {
		return quantity
	}
	share := 550 + s.dice.roll(400, forLate, uint64(sub), uint64(meter), uint64(day), uint64(s.delivering()-day), 1)
	return quantity * int64(share) / 1000
}
