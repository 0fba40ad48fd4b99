package reports

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"tidemark/reports/chart"
)

// page returns the figures of the interactive page: what must be acted on, the
// charts, then the numbers.
func (b *builder) page(d Digest) (Page, error) {
	p := Page{NoCharts: b.t("page.no_charts"), Data: b.t("page.data")}
	b.addSections(&p, d, false)
	for _, figure := range []func(Digest) ([]chart.Figure, error){
		b.trendFigures, b.costFigures, b.topFigures, b.bandFigure, b.activeFigure, b.newFigure,
	} {
		figures, err := figure(d)
		if errors.Is(err, chart.ErrTooManyPoints) {
			continue // years in days: no chart shows them, and the sections have their numbers
		}
		if err != nil {
			return Page{}, err
		}
		p.Figures = append(p.Figures, figures...)
	}
	b.addSections(&p, d, true)
	return p, nil
}

// addSections adds the sections that are numbers, or those that are not.
func (b *builder) addSections(p *Page, d Digest, metric bool) {
	for _, s := range d.Sections {
		if f := b.sectionFigure(s); s.Metric == metric && len(f.Lines)+len(f.Tables) > 0 {
			p.Figures = append(p.Figures, f)
		}
	}
}

func (b *builder) figure(id, title string, definition chart.Definition, table chart.Table, lines ...string) (chart.Figure, error) {
	option, err := chart.Option(definition, b.numbers())
	return chart.Figure{ID: id, Title: title, Lines: lines, Option: option, Tables: []chart.Table{table}}, err
}

// costFigures draws the cost by day, one chart for each currency.
func (b *builder) costFigures(d Digest) ([]chart.Figure, error) {
	if b.doc.Costs == nil {
		return nil, nil
	}
	var figures []chart.Figure
	for _, c := range b.doc.Cost {
		f, err := b.costFigure(d, c)
		if err != nil {
			return nil, err
		}
		if len(f.Tables) > 0 {
			f.Currency, f.Section = c.Currency, "summary"
			f.Finding, f.Numbers = b.costFinding(c)
			f.Numbers = strings.TrimSpace(f.Numbers + " " + b.dayNumbers(c.Currency))
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// costFigure draws the known days of the period with the same days before.
func (b *builder) costFigure(d Digest, c Cost) (chart.Figure, error) {
	code := short(c.Currency)
	now, before := chart.Series{Name: b.period(b.doc.Period), Colour: d.Accent}, &chart.Series{Name: b.period(b.doc.Previous)}
	table := chart.Table{Head: []string{b.t("head.day"), now.Name, before.Name}}
	var days []string
	compared := false
	for _, day := range b.doc.ByDay {
		if day.Currency != c.Currency {
			continue
		}
		days = append(days, b.day(day.Date))
		now.Values = append(now.Values, day.Value.Float64())
		same, text := math.NaN(), b.t("unknown")
		if day.Previous != nil {
			same, text, compared = day.Previous.Float64(), b.loc.Money(day.Previous.String(), code), true
		}
		before.Values = append(before.Values, same)
		table.Rows = append(table.Rows, []string{b.day(day.Date), b.loc.Money(day.Value.String(), code), text})
	}
	if len(days) == 0 {
		return chart.Figure{}, nil
	}
	if !compared {
		before = nil
	}
	definition, err := chart.CostByDay(days, now, before)
	if err != nil {
		return chart.Figure{}, err
	}
	return b.figure("cost_by_day_"+slug(c.Currency), b.t("page.cost_by_day", code), definition, table)
}

// dayNumbers is the cost by day in words: each day of a week, of more the highest and
// the lowest.
func (b *builder) dayNumbers(currency string) string {
	const all = 7
	days := slices.DeleteFunc(slices.Clone(b.doc.ByDay), func(d DayCost) bool { return d.Currency != currency })
	one := func(d DayCost) string {
		return b.t("day.cost", b.day(d.Date), b.loc.Money(d.Value.String(), short(currency)))
	}
	if len(days) <= all {
		words := make([]string, len(days))
		for i, d := range days {
			words[i] = one(d)
		}
		return b.t("finding.days", strings.Join(words, ", "))
	}
	byCost := func(x, y DayCost) int { return cmp.Or(x.Value.Cmp(y.Value), cmp.Compare(y.Date, x.Date)) }
	return b.t("finding.days.most", one(slices.MaxFunc(days, byCost)), one(slices.MinFunc(days, byCost)))
}

// slug leaves of a text what may stand in an id.
func slug(s string) string {
	var out []rune
	for _, r := range s {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			out = append(out, r)
		}
	}
	return string(out)
}

func (b *builder) activeFigure(d Digest) ([]chart.Figure, error) {
	var days []string
	active, ended := chart.Series{Name: b.t("head.active"), Colour: d.Accent}, chart.Series{Name: b.t("head.ended"), Colour: colourHigh}
	table := chart.Table{Head: []string{b.t("head.day"), active.Name, ended.Name}}
	for _, c := range b.doc.ChurnByDate {
		days = append(days, b.day(c.Date))
		active.Values, ended.Values = append(active.Values, float64(c.Active)), append(ended.Values, float64(c.Deprovisioned))
		table.Rows = append(table.Rows, []string{b.day(c.Date), b.loc.Int(c.Active), b.loc.Int(c.Deprovisioned)})
	}
	if len(days) == 0 {
		return nil, nil
	}
	definition, err := chart.ActiveByDay(days, active, ended)
	if err != nil {
		return nil, err
	}
	f, err := b.figure("active_by_day", b.t("churn.title"), definition, table)
	f.Section = "churn"
	f.Finding, f.Numbers = b.activeFinding()
	return []chart.Figure{f}, err
}

// topFigures draws the ranking over all categories, and of each.
func (b *builder) topFigures(d Digest) ([]chart.Figure, error) {
	order, groups := b.rankings()
	moved, hasMoved := b.moved(b.main)
	apart := len(slices.DeleteFunc(slices.Clone(order), func(k topKey) bool { return !k.all })) > 1
	var figures []chart.Figure
	for i, k := range order {
		group := b.topGroup(k, groups[k])
		table := chart.Table{Head: []string{b.t("head.customer"), b.t("head.value"), b.t("head.change")}}
		var names []string
		s := chart.Series{Name: group.Title, Colour: d.Accent}
		for j, bar := range group.Bars {
			table.Rows = append(table.Rows, []string{bar.Label, bar.Value, bar.Note})
			names = append(names, bar.Label)
			s.Values = append(s.Values, numberOf(groups[k][j], k))
		}
		definition, err := chart.Ranking(names, s)
		if err != nil {
			return nil, err
		}
		f, err := b.figure("top_"+strconv.Itoa(i), group.Title, definition, table)
		if err != nil {
			return nil, err
		}
		f.Section, f.Group, f.Grouped = "top", group.Title, true
		if !k.quantity {
			f.Currency = k.measure
		}
		if k.all {
			f.Title = b.t("page.top", group.Title)
		}
		switch {
		case hasMoved && k == moved.key():
			f.Finding, f.Numbers = b.movedFinding(moved)
		case s.Values[0] < 0: // and what follows is lower still
			f.Finding, f.PageOnly = b.t("finding.top.credit", group.Title, group.Bars[0].Label, group.Bars[0].Value), !k.all
		case k.all:
			f.Finding = b.t("finding.top", group.Bars[0].Label, group.Bars[0].Value)
			if apart { // customers billed in other currencies cannot be compared
				f.Finding = b.t("finding.top.of", group.Bars[0].Label, group.Bars[0].Value, short(k.measure))
			}
		default:
			f.Finding, f.PageOnly = b.t("finding.top.in", group.Title, group.Bars[0].Label, group.Bars[0].Value), true
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func numberOf(t TopCustomer, k topKey) float64 {
	value := t.Quantity
	if !k.quantity {
		value = t.Cost
	}
	if value == nil {
		return math.NaN()
	}
	return value.Float64()
}

func (b *builder) bandFigure(Digest) ([]chart.Figure, error) {
	if !b.bg.Scored {
		return nil, nil
	}
	bars, _, _ := b.bands()
	table := chart.Table{Head: []string{b.t("head.risk"), b.t("head.subscriptions")}}
	var names, colours []string
	s := chart.Series{Name: b.t("head.subscriptions"), Colour: colourQuiet}
	for _, bar := range bars {
		table.Rows = append(table.Rows, []string{bar.Label, bar.Value})
		names, colours = append(names, bar.Label), append(colours, bar.Colour)
		s.Values = append(s.Values, bar.number)
	}
	definition, err := chart.Bands(names, s, colours)
	if err != nil {
		return nil, err
	}
	f, err := b.figure("bands", b.t("risk.title"), definition, table)
	f.Section, f.Grouped = "at_risk", true
	f.Finding = b.t("finding.bands", int64(bars[0].number)) // the first is of the high ones
	return []chart.Figure{f}, err
}

// newFigure draws what was sold, won and renewed beside the previous period. Where
// nothing was, there is nothing to see.
func (b *builder) newFigure(d Digest) ([]chart.Figure, error) {
	before, now := chart.Series{Name: b.period(b.doc.Previous)}, chart.Series{Name: b.period(b.doc.Period), Colour: d.Accent}
	table := chart.Table{Head: []string{b.t("head.figure"), now.Name, before.Name}}
	var names, words, wordsBefore []string
	some := false
	for _, count := range []struct {
		name, words string
		Count
	}{
		{b.t("summary.sold"), "since.sold", b.doc.SubscriptionsSold},
		{b.t("customers.new"), "new.customers", b.doc.NewCustomers},
		{b.t("retention.renewed"), "new.renewed", b.doc.SubscriptionsRenewed},
	} {
		names = append(names, count.name)
		now.Values, before.Values = append(now.Values, number(count.Value)), append(before.Values, number(count.Previous))
		row := b.countRow(count.name, count.Count)
		table.Rows = append(table.Rows, []string{row[0].Text, row[1].Text, row[2].Text})
		if count.Value != nil {
			words = append(words, b.t(count.words, *count.Value))
			some = some || *count.Value != 0
		}
		if count.Previous != nil {
			wordsBefore = append(wordsBefore, b.t(count.words, *count.Previous))
			some = some || *count.Previous != 0
		}
	}
	if !some || len(words) == 0 {
		return nil, nil
	}
	definition, err := chart.Compared(names, before, now)
	if err != nil {
		return nil, err
	}
	f, err := b.figure("new_and_renewed", b.t("new.title"), definition, table)
	f.Section, f.Finding = "customers", b.loc.List(words)
	if len(wordsBefore) > 0 {
		f.Numbers = b.t("new.before", b.period(b.doc.Previous), b.loc.List(wordsBefore))
	}
	return []chart.Figure{f}, err
}

// sectionFigure shows a section as lines and tables. What charts show already
// is left out.
func (b *builder) sectionFigure(s Section) chart.Figure {
	f := chart.Figure{ID: s.ID, Title: s.Title, Lines: s.Lines}
	switch s.ID {
	case "top", "trend":
		return chart.Figure{}
	case "calls":
		f.Title = b.t("page.calls")
		f.Lines = slices.Concat(s.Lines, s.Aside)
		table := chart.Table{Head: []string{b.t("head.customer"), b.t("head.risk"), b.t("head.why")}, Words: true}
		for _, c := range s.Calls {
			table.Rows = append(table.Rows, []string{c.Name, c.Band + " " + c.Percent, cmp.Or(strings.Join(c.Reasons, " · "), "–")})
		}
		if len(table.Rows) > 0 {
			f.Tables = append(f.Tables, table)
		}
		return f
	}
	for _, t := range s.Tables {
		table := chart.Table{Head: t.Head}
		if t.Caption != s.Title {
			table.Caption = t.Caption
		}
		for _, row := range t.Rows {
			cells := make([]string, len(row))
			for i, c := range row {
				cells[i] = c.Text
				if c.Sub != "" {
					cells[i] += " · " + c.Sub
				}
			}
			table.Rows = append(table.Rows, cells)
		}
		f.Tables = append(f.Tables, table)
	}
	return f
}
