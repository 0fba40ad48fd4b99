package partnercenter

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tidemark/data"
	"tidemark/jobs/microsoft"
)

// billing is what one pass over the invoices found.
type billing struct {
	feeds []*feed // the usage of months that are whole
	held  []hold
	data  map[string]bool // ids of the invoices that have usage,
	used  map[string]bool // and their currencies; also of what is held back
	some  map[hold]bool   // months that an invoice has usage of, also of what is held back
	none  map[string]bool // currencies without unbilled usage of the last period

	late map[string]*feed // usage of a month before the invoice's own, by the id of one that does not state its month,
	own  map[hold]bool    // and the months that others have

	current string // the month that is not over: no invoice has it
}

// hold is a month that stays as it is, since usage of an invoice of it may still
// come. What an invoice does not say is empty, and stands for any; any month that is
// over, that is.
type hold struct{ currency, month string }

// waitsFor reports whether a month stays as it is.
func (b *billing) waitsFor(currency, month string) bool {
	return slices.ContainsFunc(b.held, func(h hold) bool {
		return (h.currency == "" || h.currency == currency) && (h.month == month || h.month == "" && month < b.current)
	})
}

// has reports whether a month's billed usage is read.
func (b *billing) has(currency, month string) bool {
	return slices.ContainsFunc(b.feeds, func(f *feed) bool { return f.Currency == currency && f.period == month })
}

// fetchBilled downloads the invoices that the archive lacks. Together with one
// are read all others of its billing period: they replace what was there. While one
// of them has no data, what others have of the period is not the whole, nor is late
// usage of a month before the invoice's own.
func (s *Source) fetchBilled(ctx context.Context, want *data.Period, tally *data.Tally, todo, others []invoice) (*billing, error) {
	b := &billing{data: map[string]bool{}, used: map[string]bool{}, some: map[hold]bool{}, none: map[string]bool{},
		late: map[string]*feed{}, own: map[hold]bool{}, current: monthOf(data.DayOf(s.o.Now().UTC()))}
	for len(todo) > 0 {
		for _, inv := range todo {
			f, err := s.fetchInvoice(ctx, inv, b.current)
			if err != nil {
				return nil, err
			}
			if f == nil {
				s.noUsage(inv, want, tally, b)
				continue
			}
			if inv.unlisted {
				tally.Warnings = append(tally.Warnings, fmt.Sprintf("invoice %s is not listed any more, but has its usage: %s is read with it; look the invoice up in Partner Center", microsoft.Shorten(inv.ID), inv.month()))
			}
			b.add(inv, f)
		}
		var rest []invoice
		todo = nil
		for _, inv := range others {
			if known := s.billed[inv.ID]; known.Period != "" && b.has(known.Currency, known.Period) || b.mayNeed(inv) {
				todo = append(todo, inv)
			} else {
				rest = append(rest, inv)
			}
		}
		others = rest
	}
	for _, id := range slices.Sorted(maps.Keys(b.late)) {
		if month := (hold{b.late[id].Currency, b.late[id].period}); !b.own[month] {
			b.held = append(b.held, month)
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("invoice %s has late usage of %s only, and no invoice of that month has any: it stays as it is; look the month's invoices up in Partner Center", microsoft.Shorten(id), month.month))
		}
	}
	b.feeds = slices.DeleteFunc(b.feeds, func(f *feed) bool { return b.waitsFor(f.Currency, f.period) })
	return b, nil
}

// fetchInvoice downloads the usage of an invoice; nil for none. What an invoice that
// is not listed any more had is gone where nobody knows its export.
func (s *Source) fetchInvoice(ctx context.Context, inv invoice, latest string) (*feed, error) {
	f, err := s.fetch(ctx, export{Invoice: inv.ID, Currency: inv.Currency})
	switch {
	case inv.unlisted && (gone(err) || badRequest(err)):
		return nil, nil
	case err != nil:
		return nil, err
	case f == nil || f.lines() == 0:
		return nil, nil
	}
	return f, f.place(inv.month(), latest)
}

// add takes in the usage of an invoice.
func (b *billing) add(inv invoice, f *feed) {
	month := hold{f.Currency, f.period}
	b.data[inv.ID], b.used[f.Currency], b.some[month] = true, true, true
	b.feeds = append(b.feeds, f)
	if inv.month() == "" && f.period < inv.about() {
		b.late[inv.ID] = f
	} else {
		b.own[month] = true
	}
}

// mayNeed reports whether an invoice may be of a month that another one has late usage
// of.
func (b *billing) mayNeed(inv invoice) bool {
	for _, f := range b.late {
		if inv.about() == f.period && (inv.Currency == "" || inv.Currency == f.Currency) {
			return true
		}
	}
	return false
}

// noUsage notes that an invoice has no data, and has its month wait where some may
// still come.
func (s *Source) noUsage(inv invoice, want *data.Period, tally *data.Tally, b *billing) {
	known, asked := s.billed[inv.ID]
	warn := func(format string, args ...any) {
		tally.Warnings = append(tally.Warnings, fmt.Sprintf("invoice %s "+format, append([]any{microsoft.Shorten(inv.ID)}, args...)...))
	}
	switch {
	case known.Period != "":
		b.held = append(b.held, hold{known.Currency, known.Period})
		warn("has no usage any more, but the archive has some of it: %s stays as it is; if this lasts, look the invoice up in Partner Center", known.Period)
	case s.mayCome(inv):
		b.held = append(b.held, hold{inv.Currency, inv.about()})
		stays := inv.about()
		if stays == "" {
			stays = "every billed month, since nobody knows which one it is of,"
		}
		warn("has no usage yet: %s stays as it is; it is waited for until %s", stays, s.waitEnds(inv).Format("2006-01-02 15:04 UTC"))
	case s.isOld(inv):
		warn("has no usage, and is too old for some to come: %s is read without it", inv.about())
	}
	if !asked && want == nil {
		s.billed[inv.ID] = billed{Currency: inv.Currency, Read: s.o.Now().UTC()}
	}
}

// patience is how long an invoice without data is waited for: then it has no usage.
const patience = 72 * time.Hour

// waitEnds is until when an invoice without data is waited for.
func (s *Source) waitEnds(inv invoice) time.Time {
	if first, asked := s.billed[inv.ID]; asked {
		return first.Read.Add(patience)
	}
	return s.o.Now().UTC().Add(patience)
}

// mayCome reports whether an invoice without data may still get some. One that the
// archive has usage of has some, whatever is answered now.
func (s *Source) mayCome(inv invoice) bool {
	return s.billed[inv.ID].Period != "" || !s.isOld(inv) && s.o.Now().Before(s.waitEnds(inv))
}

// isOld reports whether an invoice is of a month before those that every extraction
// looks at: its usage would have come. Where the archive has usage of the month,
// it is waited for nevertheless.
func (s *Source) isOld(inv invoice) bool {
	month := inv.about()
	return month != "" && month < s.monthsBack(usualMonths) && !s.has(inv.Currency, month)
}

// isBilled reports whether the archive has a month from invoices.
func (s *Source) isBilled(currency, month string) bool {
	for _, b := range s.billed {
		if b.Currency == currency && b.Period == month {
			return true
		}
	}
	return false
}

// keepBilled notes the invoices that are read as a whole.
func (s *Source) keepBilled(feeds []*feed) {
	for _, f := range feeds {
		if f.Invoice != "" {
			s.billed[f.Invoice] = billed{Currency: f.Currency, Period: f.period, ETag: f.etag, Read: s.o.Now().UTC()}
			delete(s.stale, f.Invoice)
		}
	}
}

// keepContent notes what the archive has of the months of invoices now. One whose month
// is not as it was any more, and that was not read again, keeps what it had.
func (s *Source) keepContent() {
	for id, b := range s.billed {
		if has, found := s.month(b.Currency, b.Period); found && !s.stale[id] {
			b.Content = has.Content
			s.billed[id] = b
		}
	}
}

// isWhole reports whether a month is known in every currency that the partner uses:
// one that comes later makes it unknown until then. A currency without any export is
// not used; one without an invoice, where others have theirs, has no usage, nor has
// one whose invoices have none, or that has nothing unbilled of the last month once
// patience is over: where no invoice is listed, nothing else will ever say it.
func (s *Source) isWhole(month string, feeds []*feed, found *billing, invoices []invoice) bool {
	current := firstOfMonth(data.DayOf(s.o.Now().UTC()))
	if month >= monthOf(current) {
		return true
	}
	over := month == monthOf(current-1) && !s.o.Now().Before(current.Time().Add(patience))
	used, has, invoiced, empty := maps.Clone(found.used), map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range feeds {
		used[f.Currency] = true
		if f.period == month {
			has[f.Currency] = true
			if f.Invoice != "" {
				invoiced[f.Currency] = true
			}
		}
	}
	for _, inv := range invoices {
		if inv.about() != month {
			continue
		}
		known := s.billed[inv.ID].Period
		if found.late[inv.ID] == nil && (known == "" || known == month) && (found.data[inv.ID] || s.mayCome(inv)) {
			invoiced[inv.Currency] = true
		} else {
			empty[inv.Currency] = true
		}
	}
	for currency := range used {
		if has[currency] || s.isBilled(currency, month) || s.has(currency, month) {
			continue
		}
		if invoiced[currency] || len(invoiced) == 0 && !empty[currency] && !(over && found.none[currency]) {
			return false
		}
	}
	return true
}
