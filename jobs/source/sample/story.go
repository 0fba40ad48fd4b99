package sample

import (
	"tidemark/data"
)

// role is what a subscription plays in the story.
type role byte

const (
	hero        role = 'H' // used every day, silent since nine days before the story's day
	stopped     role = 'x' // stopped suddenly about a week ago
	declining   role = 'd' // used less and less for a month
	recovered   role = 'r' // was silent and came back
	dormant     role = 'z' // no usage for months
	unused      role = 'n' // never used
	suspended   role = 's' // suspended in the last weeks
	terminated  role = 'e' // deprovisioned in the last months
	newcomer    role = 'N' // created in the last three weeks
	expiring    role = 'c' // its commitment ends soon and is not renewed
	renewing    role = 'R' // renewed in the last two weeks
	office      role = 'w' // working days only
	weekly      role = 'b' // one batch a week
	monthly     role = 'm' // one batch a month
	steadyDaily role = '.'
)

// cast gives each subscription its role; longer portfolios repeat it, but for
// the hero. What the story needs stands first, for small portfolios.
const cast = "HHxdrz.wsN.wxnebR.w.cd.wN.w.r.wbs.wz.w.e.wN.w.R.wd.w.n.x" +
	"w.zb.wN.e.w.s.w.m.w.N.w.rz.we.wb.w.N.d.w.z.we.R.ws.wc.wn.wbe.wN"

// part returns the role of the i-th subscription.
func part(i int) role {
	r := role(cast[i%len(cast)])
	if r == hero && i > 1 {
		return steadyDaily
	}
	return r
}

// rhythm says on which days a subscription is used at all.
type rhythm byte

const (
	daily rhythm = iota
	workdays
	oncePerWeek
	oncePerMonth
)

// heroSize makes the hero's costs about 2,750 EUR a month.
const heroSize = 1450

// tell writes the role of the i-th subscription into it. Days count back from
// the story's day.
func (s *Source) tell(sub *subscription, i int) {
	day := s.o.Story
	throw := func(n int, which uint64) data.Day {
		return data.Day(s.dice.roll(n, forSubscription, uint64(i), 20, which))
	}
	switch part(i) {
	case hero:
		sub.name, sub.size, sub.growth, sub.meters = []string{"noordzee-logistiek-prod", "noordzee-logistiek-dwh"}[i%2], heroSize, 10, heroMeters()
		sub.created, sub.last, sub.covered = day-700-data.Day(i*90), day-10, false
		sub.ended, sub.status = day+30, data.StatusDeprovisioned
	case stopped:
		sub.created = min(sub.created, day-150)
		sub.last = day - 10 - throw(2, 1)
		sub.ended, sub.status = day+20+throw(20, 2), data.StatusDeprovisioned
	case declining:
		sub.created = min(sub.created, day-150)
		sub.decline, sub.growth = day-35, 0
		sub.last = day + 20 + throw(20, 1)
		sub.ended, sub.status = sub.last+5, data.StatusDeprovisioned
	case recovered:
		sub.created = min(sub.created, day-150)
		sub.pause = data.Period{From: day - 22 - throw(3, 1), To: day - 10 + throw(2, 2)}
	case dormant:
		sub.created = min(sub.created, day-300)
		sub.last = day - 45 - throw(60, 1)
	case unused:
		sub.last = sub.created - 1
	case suspended:
		sub.ended, sub.status = day-4-throw(20, 1)*throw(2, 2), data.StatusSuspended
		sub.created, sub.last = min(sub.created, day-200), sub.ended-1
	case terminated:
		sub.ended, sub.status = day-5-throw(120, 1)*throw(5, 2)/4, data.StatusDeprovisioned
		sub.created, sub.last = min(sub.created, day-400), sub.ended-1-throw(15, 3)
	case newcomer:
		sub.created, sub.term, sub.trial = day-2-throw(19, 1), 0, throw(3, 2) == 0
	case expiring:
		sub.term, sub.renews, sub.created = 365, false, day+12+throw(10, 1)-365
		sub.plan = s.dice.guid(forSubscription, uint64(i), 8)
		sub.last, sub.ended, sub.status = day+11, sub.created+365, data.StatusExpired
	case renewing:
		sub.term, sub.renews, sub.created = 365, true, day-4-throw(12, 1)-365*(1+throw(3, 2))
		sub.plan = s.dice.guid(forSubscription, uint64(i), 8)
	case office:
		sub.rhythm = workdays
	case weekly:
		sub.rhythm = oncePerWeek
	case monthly:
		sub.rhythm = oncePerMonth
	}
}

// later lets subscriptions end in the months after the story: in each block of
// 28 days one of 60 is given up.
func (s *Source) later(sub *subscription, i int) {
	if sub.last != never || sub.ended != never {
		return
	}
	for block := range 60 {
		if s.dice.roll(60, forLater, uint64(i), uint64(block)) > 0 {
			continue
		}
		sub.last = s.o.Story + 8 + data.Day(28*block+s.dice.roll(28, forLater, uint64(i), 1000))
		sub.ended, sub.status = sub.last+10+data.Day(s.dice.roll(30, forLater, uint64(i), 1001)), data.StatusDeprovisioned
		return
	}
}

// uses reports whether the i-th subscription has usage on a day.
func (s *Source) uses(sub *subscription, i int, day data.Day) bool {
	if day < sub.created || day > sub.last || sub.pause.Contains(day) && sub.pause.To != 0 {
		return false
	}
	if day >= sub.decline && s.dice.roll(100, forDay, uint64(i), uint64(day)) > max(100-2*int(day-sub.decline), 35) {
		return false
	}
	switch weekday := int(day.Weekday()); sub.rhythm {
	case workdays:
		return weekday != 0 && weekday != 6
	case oncePerWeek:
		return weekday == 1+i%5
	case oncePerMonth:
		return day.Time().Day() == 1+i%20
	}
	return true
}
