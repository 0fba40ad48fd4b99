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
	return b.t(key, code, b.loc.Percent(change), b.period(b.doc.Previous)),
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

// topFinding names the largest customer of a ranking.
func (b *builder) topFinding(g BarGroup) (finding, numbers string) {
	if len(g.Bars) == 0 {
		return "", ""
	}
	var rest []string
	for _, bar := range g.Bars[1:] {
		rest = append(rest, bar.Label+" "+bar.Value)
	}
	finding = b.t("finding.top", g.Bars[0].Label, g.Bars[0].Value)
	if len(rest) == 0 {
		return finding, ""
	}
	return finding, b.t("finding.top.numbers", b.names(rest))
}

// bandFinding counts the subscriptions with a high risk.
func (b *builder) bandFinding(bars []Bar) (finding, numbers string) {
	var words []string
	high := int64(0)
	for i, bar := range bars {
		words = append(words, bar.Label+" "+bar.Value)
		if i == 0 {
			high = int64(bar.number)
		}
	}
	return b.t("finding.bands", high), b.t("finding.bands.numbers", b.loc.List(words))
}
