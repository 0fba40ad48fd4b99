package focus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

const (
	patience  = 31 // days that an export which is behind is waited for
	announced = 45 // days behind up to which it is warned of
)

// reach says up to which day the exports of one scope deliver each month.
type reach struct {
	months  map[data.Day]data.Day // by the month's first day
	unready map[data.Day]bool     // months whose newest run is not whole, true, or is, false
}

// add notes a run, or what the archive has of one. A run has the days before that
// on which it was submitted.
func (r *reach) add(month, through data.Day) {
	through = min(max(through, month-1), data.MonthOf(month).To)
	if old, found := r.months[month]; !found || old < through {
		r.months[month] = through
	}
}

// last is the last day delivered, that before its first month where nothing is.
func (r *reach) last() data.Day {
	if len(r.months) == 0 {
		return r.first() - 1
	}
	return slices.Max(slices.Collect(maps.Values(r.months)))
}

// first is the first day of the first month that there is a run of, whole or not.
func (r *reach) first() data.Day {
	return slices.Min(slices.AppendSeq(slices.Collect(maps.Keys(r.months)), maps.Keys(r.unready)))
}

// through is the last day before the run's time, the month's last where it says no
// time.
func (r *run) through() data.Day {
	if r.submitted.IsZero() {
		return data.MonthOf(r.month).To
	}
	return data.DayOf(r.submitted.UTC()) - 1
}

// reaches says how far each scope is: by the newest whole run of each month and by
// what the archive has, which stands in for a run that cannot be read. One whose only
// run is not whole yet has delivered nothing.
func (p *plan) reaches(copies [][]*run) map[string]*reach {
	all := map[string]*reach{}
	for _, runs := range copies {
		newest := runs[0]
		if newest.scope == "" || newest.month == 0 {
			continue
		}
		at := all[newest.scope]
		if at == nil {
			at = &reach{map[data.Day]data.Day{}, map[data.Day]bool{}}
			all[newest.scope] = at
		}
		at.unready[newest.month] = newest.unready != ""
		for _, r := range runs {
			if r.unready == "" && !p.passed[r.key()] && !p.isEmpty(r) {
				at.add(r.month, r.through())
			}
		}
	}
	for _, has := range p.archived {
		if month := monthOf(has.Period); month != 0 && all[has.Scope] == nil && p.mayHave(month) {
			all[has.Scope] = &reach{map[data.Day]data.Day{}, map[data.Day]bool{}}
		}
	}
	for _, has := range p.archived {
		at, month := all[has.Scope], monthOf(has.Period)
		switch {
		case at == nil || month == 0:
		case has.AsOf.IsZero():
			at.add(month, has.Last)
		default: // days that were read one by one say nothing of the others
			at.add(month, data.DayOf(has.Full.UTC())-1)
		}
	}
	return all
}

// monthOf is the first day of a billing period, 0 for what is none.
func monthOf(period string) data.Day {
	day, err := data.ParseDay(period + "-01")
	if err != nil {
		return 0
	}
	return day
}

// await finds the days for which a scope is behind the one that is most advanced:
// what it will say of them nobody knows, so that they are no days without usage. It
// is waited for as long as patience says or, while the newest run of the month is
// not whole, until that is. A scope is not waited for whose customer is excluded,
// or of which a wider scope has the days.
func (p *plan) await(all map[string]*reach, excluded map[string]bool) {
	if len(all) == 0 {
		return
	}
	for _, r := range all {
		if len(r.months) > 0 {
			p.horizon = max(p.horizon, r.last())
		}
	}
	horizon := p.horizon
	p.awaitLost()
	var behind, given, gone []string // what is waited for, what is no more, and what nobody is told of any more
	holes, forgoneBy := map[data.Period][]string{}, map[data.Period][]string{}
	for _, scope := range slices.Sorted(maps.Keys(all)) {
		if excluded[customerOf(scope)] {
			continue
		}
		missing, forgone := p.missing(scope, all, horizon)
		for _, days := range forgone {
			forgoneBy[days] = append(forgoneBy[days], scope)
		}
		p.awaits = append(p.awaits, missing...)
		waited := false
		for _, a := range missing {
			if a.Days.To >= horizon {
				waited = true
			} else {
				holes[a.Days] = append(holes[a.Days], scope)
			}
		}
		last := all[scope].last()
		text := fmt.Sprintf("%s, which ends with %s", scope, last)
		if len(all[scope].months) == 0 {
			text = fmt.Sprintf("%s, of which no run is whole yet", scope)
		}
		switch lag := horizon - last; {
		case lag < 2 || wider(scope, all, horizon):
		case waited:
			behind = append(behind, text)
		case lag <= announced:
			given = append(given, text)
		default:
			gone = append(gone, text)
		}
	}
	if len(behind) > 0 {
		p.warn("an export is behind, others reach %s: %s; the days between, but for those that were known before, are in no report, for %d days at most or until a run that is there is whole; mend the export, or run it again; where the customer has left, exclude it (source.exclude); where another export delivers the same by now, or this one is of a subscription, take its files out of the store: what is archived stays",
			horizon, several(behind), patience)
	}
	if len(given) > 0 {
		p.warn("an export is behind, others reach %s, and is not waited for any more: %s; what follows counts as days without usage; mend the export, or take its files out of the store", horizon, several(given))
	}
	if len(gone) > 0 {
		p.notes = append(p.notes, "an export ended long ago and is not waited for: "+several(gone))
	}
	for _, days := range inOrder(forgoneBy) {
		text := fmt.Sprintf("%s to %s are in no run of the export of %s, and count as days without usage: run it for that month once more", days.From, days.To, several(forgoneBy[days]))
		if horizon-days.To > announced {
			p.notes = append(p.notes, text)
		} else {
			p.warnings = append(p.warnings, text)
		}
	}
	for _, days := range inOrder(holes) {
		p.notes = append(p.notes, fmt.Sprintf("%s to %s are in no run of the export of %s, and therefore not known: run it for that month once more", days.From, days.To, several(holes[days])))
	}
}

// isEmpty reports whether a run states that it has no row, of a month that the archive has
// rows of: that stays, and is not told to be all there is.
func (p *plan) isEmpty(r *run) bool {
	_, archived := p.archived[r.key()]
	return archived && (len(r.Blobs) == 0 || r.Rows != nil && *r.Rows == 0)
}

// beyond has days wait that were asked for and that no run has yet.
func (p *plan) beyond(want *data.Period) {
	if want == nil || p.horizon == 0 || want.To <= p.horizon {
		return
	}
	days := data.Period{From: max(want.From, p.horizon+1), To: want.To}
	p.awaits = append(p.awaits, data.Awaited{Days: days, Scope: "every export"})
	p.warn("no run of an export has %s to %s yet, they reach %s: these days are not known, extract them again once they are there", days.From, days.To, p.horizon)
}

// inOrder are the periods of a map, the earliest first.
func inOrder(all map[data.Period][]string) []data.Period {
	return slices.SortedFunc(maps.Keys(all), func(a, b data.Period) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
}

// several joins what is told, as far as a person reads it.
func several(all []string) string {
	const most = 5
	if more := len(all) - most; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(all[:most], "; "), more)
	}
	return strings.Join(all, "; ")
}

// missing are the days that are waited for of a scope, from its first month on. What
// others have after the horizon, of the day on which they ran, is among them: a day is
// not known for a few of its hours. The end of a month is waited for as long as it
// takes where later months follow: the export goes on, and these days are not without
// usage. A whole month between others that is waited for no more is forgone.
func (p *plan) missing(scope string, all map[string]*reach, horizon data.Day) (days []data.Awaited, forgone []data.Period) {
	r := all[scope]
	since := r.first() - 1 // last day that it delivered before the days missing
	for month := r.first(); month <= horizon; month = data.MonthOf(month).To + 1 {
		through, found := r.months[month]
		if !found {
			through = month - 1
		} else {
			since = through
		}
		end := min(data.MonthOf(month).To, horizon)
		if through >= end || wider(scope, all, through+1) {
			continue
		}
		follows := r.last() > data.MonthOf(month).To
		if horizon-since > patience && !r.unready[month] && (!follows || through < month) {
			if follows && anyHas(all, month) {
				forgone = append(forgone, data.Period{From: through + 1, To: end})
			}
			continue
		}
		if end == horizon {
			end = data.MonthOf(horizon + 1).To
		}
		days = append(days, data.Awaited{Days: data.Period{From: through + 1, To: end}, Scope: scope})
	}
	return days, forgone
}

// anyHas reports whether any scope delivers a month: else it does not become known.
func anyHas(all map[string]*reach, month data.Day) bool {
	for _, r := range all {
		if _, has := r.months[month]; has {
			return true
		}
	}
	return false
}

// wider reports whether a scope around this one delivers a day.
func wider(scope string, all map[string]*reach, day data.Day) bool {
	for other, r := range all {
		if strings.HasPrefix(scope, other+"/") && cmp.Or(r.months[data.MonthOf(day).From], day-1) >= day {
			return true
		}
	}
	return false
}
