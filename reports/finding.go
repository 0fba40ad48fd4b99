package reports

import (
	"math"
)

// The finding of a chart is its title in the mail; the numbers are what a reader
// without pictures needs to believe it.

// costFinding compares the cost of the known days with the same days before.
func (b *builder) costFinding(c Cost) (finding, numbers string) {
	if c.Value == nil {
		return "", ""
	}
	code := short(c.Currency)
	now := b.loc.Money(c.Value.String(), code)
	if c.Previous == nil || c.Change == nil {
		return b.t("finding.cost.alone", now, b.period(b.doc.Period)), ""
	}
	key, change := "finding.cost.same", math.Abs(*c.Change)
	switch {
	case *c.Change >= 0.01:
		key = "finding.cost.up"
	case *c.Change <= -0.01:
		key = "finding.cost.down"
	}
	return b.withStreak(b.t(key, code, b.loc.Percent(change), b.period(b.doc.Previous)), b.costOver(nil, c.Currency)),
		b.t("finding.cost.numbers", now, b.period(b.doc.Period), b.loc.Money(c.Previous.String(), code), b.period(b.doc.Previous))
}

// activeFinding compares the last day of the period with its first.
func (b *builder) activeFinding() (finding, numbers string) {
	days := b.doc.ChurnByDate
	if len(days) == 0 {
		return "", ""
	}
	first, last, ended := days[0], days[len(days)-1], int64(0)
	for _, d := range days {
		ended += d.Deprovisioned
	}
	switch diff := last.Active - first.Active; {
	case diff > 0:
		finding = b.t("finding.active.up", diff)
	case diff < 0:
		finding = b.t("finding.active.down", -diff)
	default:
		finding = b.t("finding.active.same", last.Active)
	}
	return finding, b.t("finding.active.numbers", b.loc.Int(first.Active), b.day(first.Date), b.loc.Int(last.Active), b.day(last.Date), ended)
}
