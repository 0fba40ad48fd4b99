package reports

import (
	"cmp"
	"math"
	"slices"

	"tidemark/data"
	"tidemark/reports/chart"
)

// How long a streak must be to be worth a word.
const (
	minFirst = 4 // changes of which only the last went its way
	minRow   = 3 // changes in the same direction, one after the other
)

// costOver returns the cost of a category in a currency, or of all, in each period
// of the trend; nil where a day of it is unknown or no cost is.
func (b *builder) costOver(category *string, currency string) []*data.Decimal {
	values := make([]*data.Decimal, len(b.bg.Trend))
	for i, p := range b.bg.Trend {
		if !p.Complete() {
			continue
		}
		for _, c := range p.Cost {
			same := (c.Category == nil) == (category == nil) && (category == nil || *c.Category == *category)
			if same && c.Currency == currency {
				values[i] = new(c.Value)
			}
		}
	}
	return values
}

// directions says of each value but the first whether it is above (1), below (-1)
// or about like (0) the one before; ok is false where either is unknown.
func directions(values []*data.Decimal) (up []int, ok []bool) {
	for i := 1; i < len(values); i++ {
		var change *float64
		if values[i] != nil && values[i-1] != nil {
			change = values[i].Change(*values[i-1])
		}
		way := 0
		if change != nil {
			way = direction(*change) * values[i-1].Sign() // a smaller credit is a rise
		}
		up, ok = append(up, way), append(ok, change != nil)
	}
	return up, ok
}

// streak says how unusual the last change of some values is, the oldest first:
// "the first fall in 8 weeks", "down for 3 weeks in a row". It is empty when
// there is nothing to say.
//
// The first fall in N weeks: of the last N changes, each from a week to the next and all
// known, only the last is a fall. So N weeks ago there was one, or nobody knows; that one
// is not counted.
func (b *builder) streak(values []*data.Decimal) string {
	up, ok := directions(values)
	last := len(up) - 1
	if last < 0 || !ok[last] || up[last] == 0 {
		return ""
	}
	inARow, first, unit := "streak.row.up.", "streak.first.up.", "periods"
	if up[last] < 0 {
		inARow, first = "streak.row.down.", "streak.first.down."
	}
	switch p := b.doc.Period; {
	case p.IsMonth():
		unit = "months"
	case p.Days() == 7:
		unit = "weeks"
	}
	row, at := 0, last
	for ; at >= 0 && ok[at] && up[at] == up[last]; at-- {
		row++
	}
	others := 0
	for ; at >= 0 && ok[at] && up[at] != up[last]; at-- {
		others++
	}
	switch {
	case row >= minRow:
		return b.t(inARow+unit, row)
	case row == 1 && others+1 >= minFirst:
		return b.t(first+unit, others+1)
	}
	return ""
}

// withStreak adds to a finding how unusual it is.
func (b *builder) withStreak(finding string, values []*data.Decimal) string {
	if !b.doc.Complete {
		return finding
	}
	if s := b.streak(values); s != "" {
		return b.t("streak", finding, s)
	}
	return finding
}

// moved is the category whose cost changed most in a currency; ok is false when
// none changed enough to be worth a chart.
func (b *builder) moved(currency string) (most CategoryCost, ok bool) {
	const enough = 0.05
	if b.doc.Costs == nil {
		return most, false
	}
	var by data.Decimal
	categories := 0
	for _, c := range b.doc.ByCategory {
		if c.Currency == currency {
			categories++
		}
		if c.Currency != currency || c.Value == nil || c.share() == nil || math.Abs(*c.share()) < enough {
			continue
		}
		change, fits := c.Value.Sub(*c.Previous)
		if !fits {
			continue
		}
		if change.Sign() < 0 {
			change = change.Neg()
		}
		if !ok || change.Cmp(by) > 0 {
			most, by, ok = c, change, true
		}
	}
	return most, ok && categories > 1 // of one alone the ranking over all is the same
}

// key is the ranking of the category's customers.
func (c CategoryCost) key() topKey { return topKey{category: c.Category, measure: c.Currency} }

// movedFinding says how much a category changed.
func (b *builder) movedFinding(c CategoryCost) (finding, numbers string) {
	name, key := cmp.Or(short(c.Category), b.t("top.no_category")), "finding.category.up"
	if *c.Change < 0 {
		key = "finding.category.down"
	}
	return b.withStreak(b.t(key, name, b.loc.Percent(math.Abs(*c.Change))), b.costOver(&c.Category, c.Currency)), b.costNumbers(c.Cost)
}

// trendFigures draws the periods of the trend, one chart for each currency.
func (b *builder) trendFigures(d Digest) ([]chart.Figure, error) {
	if d.Role != GlobalAdmin || len(b.trend("")) < 2 {
		return nil, nil
	}
	if b.doc.Costs == nil {
		f, err := b.trendFigure(d, "")
		return []chart.Figure{f}, err
	}
	var figures []chart.Figure
	for _, c := range b.doc.Cost {
		f, err := b.trendFigure(d, c.Currency)
		if err != nil {
			return nil, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// trendPoint is a period of the trend with its cost in one currency.
type trendPoint struct {
	TrendPeriod
	cost *data.Decimal // nil: unknown
}

// trend returns the periods from the first on of which a day is known.
func (b *builder) trend(currency string) []trendPoint {
	costs := b.costOver(nil, currency)
	for i, p := range b.bg.Trend {
		if p.Known == 0 {
			continue
		}
		points := make([]trendPoint, 0, len(costs)-i)
		for j := i; j < len(costs); j++ {
			points = append(points, trendPoint{b.bg.Trend[j], costs[j]})
		}
		return points
	}
	return nil
}

// trendFigure draws the cost in a currency beside the subscriptions in use, or
// without money the customers.
func (b *builder) trendFigure(d Digest, currency string) (chart.Figure, error) {
	var names []string
	bars, line := chart.Series{Name: b.t("summary.with_usage"), Colour: d.Accent}, chart.Series{Name: b.t("trend.subscriptions")}
	if currency != "" {
		bars.Name = b.t("summary.cost", short(currency))
	}
	points := b.trend(currency)
	for _, p := range points {
		names = append(names, b.periodStart(p.Period))
		line.Values = append(line.Values, number(p.Subscriptions))
		switch {
		case currency == "":
			bars.Values = append(bars.Values, number(p.Customers))
		case p.cost == nil:
			bars.Values = append(bars.Values, math.NaN())
		default:
			bars.Values = append(bars.Values, p.cost.Float64())
		}
	}
	definition, err := chart.Trend(names, bars, line)
	if err != nil {
		return chart.Figure{}, err
	}
	table := b.trendTable(currency)
	rows := chart.Table{Head: table.Head}
	for _, row := range table.Rows {
		rows.Rows = append(rows.Rows, []string{row[0].Text, row[1].Text, row[2].Text})
	}
	f, err := b.figure("trend_"+slug(currency), table.Caption, definition, rows)
	f.Currency, f.Section = currency, "trend"
	f.Finding, f.Numbers = b.trendFinding(currency, points)
	return f, err
}

// periodStart names a period as a chart has room for.
func (b *builder) periodStart(p data.Period) string {
	if p.IsMonth() {
		return b.loc.Month(p.From.Time())
	}
	return b.day(p.From)
}

// trendTable is the trend in numbers.
func (b *builder) trendTable(currency string) Table {
	points := b.trend(currency)
	t := Table{Caption: b.t("trend.title", len(points)), Head: []string{b.t("head.period"), b.t("summary.with_usage"), b.t("trend.subscriptions")}}
	if currency != "" {
		t.Head = []string{b.t("head.period"), b.t("summary.cost", short(currency)), b.t("summary.with_usage")}
	}
	count := func(n *int64) Cell {
		if n == nil {
			return Cell{Text: b.t("unknown"), Number: true}
		}
		return Cell{Text: b.loc.Int(*n), Number: true}
	}
	for _, p := range points {
		row := []Cell{{Text: b.period(p.Period)}, count(p.Customers), count(p.Subscriptions)}
		if currency != "" {
			row = []Cell{row[0], {Text: b.t("unknown"), Number: true}, row[1]}
			if p.cost != nil {
				row[1].Text = b.loc.Money(p.cost.String(), short(currency))
			}
		}
		if !p.Complete() {
			row[0].Sub = b.t("trend.days", p.Known, p.Period.Days())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// trendFinding compares the last period with the first that is known whole.
func (b *builder) trendFinding(currency string, points []trendPoint) (finding, numbers string) {
	whole := func(p trendPoint) bool { return p.Complete() && (currency == "" || p.cost != nil) }
	at, end := slices.IndexFunc(points, whole), len(points)-1
	if at < 0 || at == end || !whole(points[end]) {
		return "", ""
	}
	first, last := points[at], points[end]
	from, to := b.period(first.Period), b.period(last.Period)
	if currency == "" {
		return b.t("finding.trend.counts", b.loc.Int(*first.Customers), from, b.loc.Int(*last.Customers), to), ""
	}
	c, code := newCost(currency, last.cost, first.cost), short(currency)
	by, _ := c.by()
	return b.compared([...]string{"finding.trend.down", "finding.trend.same", "finding.trend.up"}, code, by, c.share(), from),
		b.t("finding.trend.numbers", b.loc.Money(first.cost.String(), code), from, b.loc.Money(last.cost.String(), code), to)
}

// trendSection is the trend of a report, in the currency most subscriptions are
// billed in.
func (b *builder) trendSection() Section {
	s := Section{ID: "trend", Title: b.t("trend.title", len(b.trend(""))), Metric: true}
	if len(b.trend("")) < 2 {
		s.Lines = []string{b.t("trend.unknown")}
		return s
	}
	currency := ""
	if b.doc.Costs != nil && len(b.doc.Cost) > 0 {
		currency = b.main
	}
	s.Tables = []Table{b.trendTable(currency)}
	return s
}
