package partnercenter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

// Usage yields the daily rated usage: of each currency the unbilled usage of the
// current and the last billing period, and the billed usage of the invoices that
// the archive lacks, which takes the place of what was unbilled. Each export is
// all there is of its billing period. Everything is on disk, and whole, before
// the first row is yielded.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		_, err := within(ctx, s, func(timed context.Context) (struct{}, error) {
			feeds, err := s.fetchAll(timed, want, tally)
			if err != nil {
				return struct{}{}, s.failed(err)
			}
			r := &reading{source: s, today: data.DayOf(s.o.Now().UTC()), want: want, tally: tally, yield: yield}
			return struct{}{}, r.all(ctx, feeds)
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(data.Usage{}, err)
		}
	}
}

// errStopped says that the consumer wants no more rows.
var errStopped = errors.New("stopped")

// fetchAll downloads what is wanted, in the order of periods and currencies.
func (s *Source) fetchAll(ctx context.Context, want *data.Period, tally *data.Tally) ([]*feed, error) {
	if len(s.currencies) == 0 {
		return nil, errors.New("currencies is missing: name the billing currencies of the partner, e.g. [EUR]; an export is of one")
	}
	todo, others, err := s.invoicesFor(ctx, want, tally)
	if err != nil {
		return nil, err
	}
	billed, err := s.fetchBilled(ctx, want, tally, todo, others)
	if err != nil {
		return nil, err
	}
	unbilled, err := s.fetchUnbilled(ctx, want, tally, billed)
	if err != nil {
		return nil, err
	}
	feeds := slices.Concat(billed.feeds, unbilled)
	all, invoices := slices.Clone(feeds), slices.Concat(todo, others)
	feeds = slices.DeleteFunc(feeds, func(f *feed) bool {
		whole := s.isWhole(f.period, all, billed, invoices)
		if !whole {
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("usage of %s in %s is there, that in another currency is not yet: the month stays as it is", f.period, f.Currency))
		}
		return !whole
	})
	if want == nil { // a part of its days does not make an invoice read
		s.keepBilled(feeds)
	}
	months := map[data.Day]bool{}
	for _, f := range feeds {
		for _, b := range f.blobs {
			tally.TotalBytes += b.Size
		}
		if first, err := data.ParseDay(f.period + "-01"); err == nil {
			months[first] = true
		}
	}
	s.await(want, tally, feeds, billed, months)
	today := data.DayOf(s.o.Now().UTC())
	s.beyond(want, tally, feeds, firstOfMonth(today))
	tally.Covers = []data.Period{}
	for _, first := range sorted(months) {
		tally.Covers = append(tally.Covers, data.Period{From: first, To: max(first, min(data.MonthOf(first).To, today))})
	}
	return feeds, nil
}

// beyond has days of the current month wait that were asked for and that no export has
// usage of yet: it comes a day or more late, and a day alone is not read again by itself.
func (s *Source) beyond(want *data.Period, tally *data.Tally, feeds []*feed, current data.Day) {
	if want == nil || want.To < current {
		return
	}
	last := current - 1
	for _, f := range feeds {
		for day := range f.allDays() {
			if d, err := data.ParseDay(day); err == nil {
				last = max(last, d)
			}
		}
	}
	if days := (data.Period{From: max(want.From, last+1), To: want.To}); days.From <= days.To {
		tally.Awaits = append(tally.Awaits, data.Awaited{Days: days, Scope: data.CleanID(s.o.Tenant)})
		tally.Warnings = append(tally.Warnings, fmt.Sprintf("there is no usage of %s to %s yet: these days are not known, extract them again once there is", days.From, days.To))
	}
}

// sorted returns the first days of months in order.
func sorted(months map[data.Day]bool) []data.Day { return slices.Sorted(maps.Keys(months)) }

// fetchUnbilled downloads what is not billed yet: an invoice has the last word
// about its period, whatever is still exported as unbilled, and a month that waits
// for one stays as the archive has it: beside what is billed the rest is not all.
func (s *Source) fetchUnbilled(ctx context.Context, want *data.Period, tally *data.Tally, invoiced *billing) ([]*feed, error) {
	current := firstOfMonth(data.DayOf(s.o.Now().UTC()))
	latest := monthOf(current)
	taken := func(currency, month string) bool {
		return s.isBilled(currency, month) || invoiced.has(currency, month) ||
			invoiced.waitsFor(currency, month) && (s.has(currency, month) || invoiced.some[hold{currency, month}])
	}
	var feeds []*feed
	for _, currency := range s.currencies {
		last := "" // the month that the last period is of
		for _, first := range []data.Day{firstOfMonth(current - 1), current} {
			e := export{Currency: currency, Period: "current"}
			if first < current {
				e.Period = "last"
			}
			if want != nil && want.To < first || e.Period == "last" && taken(currency, monthOf(first)) {
				continue
			}
			f, err := s.fetch(ctx, e)
			if err != nil {
				return nil, err
			}
			if f == nil || f.lines() == 0 {
				if e.Period == "last" {
					invoiced.none[currency] = true
				}
				continue
			}
			if err := f.place("", latest); err != nil {
				return nil, err
			}
			switch {
			case taken(f.Currency, f.period):
				continue
			case f.period < monthOf(first) && f.period != last && s.isRest(f):
				tally.Warnings = append(tally.Warnings, fmt.Sprintf("%s: it has usage of %s only, late or from before the remote side changes over: that month stays as it is", e, f.period))
				continue
			case e.Period == "last":
				last = f.period
			case s.isBoth(f, monthOf(first-1)):
				tally.Warnings = append(tally.Warnings, fmt.Sprintf("%s: it still has all of %s beside what is new, the remote side has not changed over yet: %s stays as it is",
					e, monthOf(first-1), f.period))
				continue
			}
			feeds = append(feeds, f)
		}
	}
	return feeds, nil
}

// isRest reports whether an export of a month before its own holds late usage only:
// beside an export of that month it belongs to it, alone it would pass for all of it.
// On a month's first day the remote side may not have changed over: then the month
// before is all there, which has no less than the archive, or usage on most days.
func (s *Source) isRest(f *feed) bool {
	today := data.DayOf(s.o.Now().UTC())
	first, err := data.ParseDay(f.period + "-01")
	if today > firstOfMonth(today) || err != nil {
		return true
	}
	days := f.days()
	if has, found := s.month(f.Currency, f.period); found && f.lines() >= has.Rows && days >= has.Days {
		return false
	}
	return 2*days <= int(data.MonthOf(first).Days())
}

// isBoth reports whether an export that is placed in a month has all of the month before as
// well: no less than the archive, or usage on most days. Filed under its month it would count
// the one before twice.
func (s *Source) isBoth(f *feed, before string) bool {
	lines, days := int64(0), map[string]bool{}
	for _, b := range f.blobs {
		lines += b.Months[before]
		for day := range b.Days {
			if strings.HasPrefix(day, before) {
				days[day] = true
			}
		}
	}
	first, err := data.ParseDay(before + "-01")
	if lines == 0 || f.period <= before || err != nil {
		return false
	}
	if has, found := s.month(f.Currency, before); found && has.Rows > 0 {
		return lines >= has.Rows && len(days) >= has.Days
	}
	return 2*len(days) > int(data.MonthOf(first).Days())
}

// allDays are the days that an export has usage on.
func (f *feed) allDays() map[string]bool {
	all := map[string]bool{}
	for _, b := range f.blobs {
		maps.Copy(all, b.Days)
	}
	return all
}

// days counts them.
func (f *feed) days() int { return len(f.allDays()) }

func monthOf(d data.Day) string { return d.Time().Format("2006-01") }

func firstOfMonth(d data.Day) data.Day { return data.MonthOf(d).From }

// fewLines is the share of an export's lines that do not decide about its period.
const fewLines = .05

// place finds the currency and, unless the invoice says it, the billing period of
// an export in its lines: the latest month in which charges began, those of a few
// lines aside. Late usage carries the month before, and what "current" means changes
// on a day that only the remote side knows, so neither the request nor the calendar
// says it; after the latest month, in which today is, it never lies.
func (f *feed) place(stated, latest string) error {
	months := map[string]int64{}
	for _, b := range f.blobs {
		f.Currency = cmp.Or(f.Currency, b.Currency)
		for month, n := range b.Months {
			months[month] += n
		}
	}
	f.period = stated
	for month, n := range months {
		if stated == "" && month <= latest && float64(n) >= fewLines*float64(f.lines()) {
			f.period = max(f.period, month)
		}
	}
	if f.period == "" || f.Currency == "" {
		return fmt.Errorf("%s: none of its %d lines says of which month and in which currency it is", f.export, f.lines())
	}
	return nil
}

func (f *feed) lines() (n int64) {
	for _, b := range f.blobs {
		n += b.Lines
	}
	return n
}

// periodOf returns the month in which the charge of a line began, else that of its
// usage, and the currency it is billed in. Where they stand as they always did the
// line need not be decoded.
func periodOf(line []byte) (month, currency string) {
	month, currency = textIn(line, "ChargeStartDate", len("2026-11")), textIn(line, "BillingCurrency", len("EUR"))
	if !isMonth(month) || currency == "" {
		var l struct{ ChargeStartDate, UsageDate, BillingCurrency text }
		if json.Unmarshal(line, &l) != nil {
			return "", ""
		}
		month, currency = "", clean(l.BillingCurrency)
		for _, t := range []text{l.UsageDate, l.ChargeStartDate} {
			if day := dayOf(t); day != nil {
				month = monthOf(*day)
			}
		}
	}
	return month, strings.ToUpper(currency)
}

// textIn finds the beginning of a text column in a line without decoding it; ""
// where it does not stand as it always did, or is shorter.
func textIn(line []byte, column string, length int) string {
	_, rest, found := bytes.Cut(line, []byte(`"`+column+`":"`))
	if !found || len(rest) < length || bytes.ContainsAny(rest[:length], `"\`) {
		return ""
	}
	return string(rest[:length])
}

func isMonth(s string) bool {
	_, err := data.ParseDay(s + "-01")
	return err == nil
}
