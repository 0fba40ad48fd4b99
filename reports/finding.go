package reports

import (
	"math"

	"tidemark/data"
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
	by, known := c.by()
	if !known {
		return b.t("finding.cost.alone", now, b.period(b.doc.Period)), ""
	}
	return b.withStreak(b.compared([...]string{"finding.cost.down", "finding.cost.same", "finding.cost.up"}, code, by, c.share(), b.period(b.doc.Previous)), b.costOver(nil, c.Currency)), b.costNumbers(c)
}

// compared says how an amount changed since some days, by a share where there is one.
func (b *builder) compared(keys [3]string, code string, by data.Decimal, share *float64, since string) string {
	if share == nil {
		return b.t([...]string{"finding.less", "finding.equal", "finding.more"}[1+by.Sign()], code, since)
	}
	return b.t(keys[1+direction(*share)], code, b.loc.Percent(math.Abs(*share)), since)
}

// costNumbers are the cost of both periods, which must be known.
func (b *builder) costNumbers(c Cost) string {
	code := short(c.Currency)
	return b.t("finding.cost.numbers", b.loc.Money(c.Value.String(), code), b.period(b.doc.Period), b.loc.Money(c.Previous.String(), code), b.period(b.doc.Previous))
}

// flat is from which change on something changed: less is noise.
const flat = 0.01

// direction says of a change whether it goes up (1), down (-1) or neither (0).
func direction(change float64) int {
	switch {
	case change >= flat:
		return 1
	case change <= -flat:
		return -1
	}
	return 0
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
