package partnercenter

import (
	"fmt"
	"strings"

	"tidemark/data"
)

// Month is what the archive has of a billing period in a currency.
type Month struct {
	Currency, Period string // e.g. "EUR", "2026-11"

	Rows    int64
	Days    int      // that have rows
	Last    data.Day // of these
	Content string   // equal for equal rows
}

// archived is what the source was told that the archive has.
type archived struct {
	months  map[hold]Month
	known   map[string]int  // days that count as extracted, by month
	awaited map[string]bool // months with days that wait for a currency
}

// Archived tells the source what the archive has of it, the days that count as
// extracted, and those that do not yet since a currency is awaited: invoices of a month that is not there, or not any more as
// they made it, are read again, and no month is replaced by less. It is told once
// more before Done.
func (s *Source) Archived(months []Month, known, awaited []data.Day) {
	s.archived = &archived{map[hold]Month{}, map[string]int{}, map[string]bool{}}
	for _, m := range months {
		s.archived.months[hold{m.Currency, m.Period}] = m
	}
	for _, day := range known {
		s.archived.known[monthOf(day)]++
	}
	for _, day := range awaited {
		s.archived.awaited[monthOf(day)] = true
	}
}

// month is what the archive has of one; nothing where that is not known.
func (s *Source) month(currency, period string) (m Month, found bool) {
	if s.archived != nil {
		m, found = s.archived.months[hold{currency, period}]
	}
	return m, found
}

// has reports whether the archive is known to have usage of a month.
func (s *Source) has(currency, period string) bool {
	_, found := s.month(currency, period)
	return found
}

const (
	currencyPatience  = 31 // days that a currency without an export is waited for
	currencyAnnounced = 45 // days after which nobody is told of it any more
	currencySilence   = 3  // days that usage is late as a rule
)

// lag is how many days ago a currency was used last, up to the end of a month.
func (s *Source) lag(currency, month string) (days int, last data.Day) {
	if s.archived == nil {
		return 0, 0
	}
	for at, m := range s.archived.months {
		if at.currency == currency && at.month <= month {
			last = max(last, m.Last)
		}
	}
	return int(data.DayOf(s.o.Now().UTC()) - last), last
}

// stalled reports whether a currency that is in use has no export of a month that
// others have: what it will say of the month nobody knows. Whether a month that is
// over and that the archive lacks is known without it isWhole decides.
func (s *Source) stalled(currency, month string, feeds []*feed) bool {
	for _, f := range feeds {
		if f.Currency == currency && f.period == month {
			return false
		}
	}
	if current := monthOf(data.DayOf(s.o.Now().UTC())); s.isBilled(currency, month) || month != current && !s.has(currency, month) {
		return false
	}
	_, last := s.lag(currency, month)
	return last > 0
}

// await marks the months in which a currency is stalled: their days do not become
// known by what others have of them. It is waited for as long as currencyPatience
// says, or an invoice of it may still bring usage. Months of which only the waiting
// is over are added, so that their days become known.
func (s *Source) await(want *data.Period, tally *data.Tally, feeds []*feed, found *billing, months map[data.Day]bool) {
	if s.archived == nil {
		return
	}
	waits := func(currency, month string) bool {
		days, _ := s.lag(currency, month)
		return s.stalled(currency, month, feeds) && (days <= currencyPatience || s.has(currency, month) && found.waitsFor(currency, month))
	}
	over := map[string]bool{}
	for month := range s.archived.awaited {
		first, err := data.ParseDay(month + "-01")
		waiting := false
		for _, currency := range s.currencies {
			waiting = waiting || waits(currency, month)
		}
		if err == nil && want == nil && !waiting && !months[first] {
			over[month], months[first] = true, true
		}
	}
	for _, currency := range s.currencies {
		var behind, given []string
		var last data.Day
		for _, first := range sorted(months) {
			month := monthOf(first)
			days, used := s.lag(currency, month)
			known := s.archived.known[month] == data.MonthOf(first).Days() // in full: nothing of it is missing
			switch {
			case waits(currency, month):
				tally.Awaits = append(tally.Awaits, data.Awaited{Days: data.MonthOf(first), Scope: data.CleanID(s.o.Tenant) + " " + strings.ToLower(currency)})
				if days > currencySilence && !known {
					behind, last = append(behind, month), used
				}
			case !known && s.stalled(currency, month, feeds) && (over[month] || days <= currencyAnnounced):
				given, last = append(given, month), used
			}
		}
		if len(behind) > 0 {
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("usage in %s ends with %s, that in other currencies goes on: days of %s that were not known before are not known yet and in no report, until its export has usage again, for %d days at most; look the usage up in Partner Center, or take %s out of source.currencies where nothing is billed in it any more",
				currency, last, strings.Join(behind, ", "), currencyPatience, currency))
		}
		if len(given) > 0 {
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("usage in %s ends with %s and is not waited for any more: what follows in %s counts as days without usage; look the usage up in Partner Center",
				currency, last, strings.Join(given, ", ")))
		}
	}
}
