package reports

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"tidemark/reports/chart"
)

// page returns the figures of the interactive page: what must be acted on, the
// charts, then the numbers.
func (b *builder) page(d Digest) (Page, error) {
	p := Page{NoCharts: b.t("page.no_charts"), Data: b.t("page.data")}
	b.addSections(&p, d, false)
	for _, figure := range []func(Digest) ([]chart.Figure, error){b.costFigures, b.activeFigure, b.topFigures, b.bandFigure} {
		figures, err := figure(d)
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
	option, err := chart.Option(definition)
	return chart.Figure{ID: id, Title: title, Lines: lines, Option: option, Tables: []chart.Table{table}}, err
}

// costFigures draws the cost by day, one chart for each currency.
func (b *builder) costFigures(d Digest) ([]chart.Figure, error) {
	if b.doc.Costs == nil {
		return nil, nil
	}
	var figures []chart.Figure
	for _, c := range b.doc.Cost {
		table := chart.Table{Head: []string{b.t("head.day"), b.t("summary.cost", short(c.Currency))}}
		in := chart.Days{}
		var values []float64
		for _, day := range b.doc.ByDay {
			if day.Currency != c.Currency {
				continue
			}
			in.Days = append(in.Days, b.day(day.Date))
			values = append(values, day.Value.Float64())
			table.Rows = append(table.Rows, []string{b.day(day.Date), b.loc.Money(day.Value.String(), short(c.Currency))})
		}
		if len(values) == 0 {
			continue
		}
		title := b.t("page.cost_by_day", short(c.Currency))
		in.Series = []chart.Series{{Name: b.t("summary.cost", short(c.Currency)), Values: values, Colour: d.Accent}}
		var lines []string
		if c.Previous != nil && b.doc.PreviousKnownDays > 0 {
			average, _ := c.Previous.MulRatio(1, int64(b.doc.PreviousKnownDays)) // smaller than what fitted already
			in.Average = &chart.Mark{Name: b.t("page.average"), Value: average.Float64()}
			lines = append(lines, b.t("page.average.line", b.period(b.doc.Previous), b.loc.Money(average.String(), short(c.Currency))))
		}
		definition, err := chart.CostByDay(in)
		if err != nil {
			return nil, err
		}
		f, err := b.figure("cost_by_day_"+slug(c.Currency), title, definition, table, lines...)
		if err != nil {
			return nil, err
		}
		f.Currency = c.Currency
		f.Finding, f.Numbers = b.costFinding(c)
		figures = append(figures, f)
	}
	return figures, nil
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
	f.Finding, f.Numbers = b.activeFinding()
	return []chart.Figure{f}, err
}

// topFigures draws the ranking over all categories, and gives the others as
// tables.
func (b *builder) topFigures(d Digest) ([]chart.Figure, error) {
	order, groups := b.rankings()
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
		f := chart.Figure{ID: "top_" + b.loc.Int(int64(i)), Title: group.Title, Tables: []chart.Table{table}}
		if k.all {
			definition, err := chart.Ranking(names, s)
			if err != nil {
				return nil, err
			}
			if f.Option, err = chart.Option(definition); err != nil {
				return nil, err
			}
			f.Title = b.t("page.top", group.Title)
			if !k.quantity {
				f.Currency = k.measure
			}
			f.Finding, f.Numbers = b.topFinding(group)
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
	f.Finding, f.Numbers = b.bandFinding(bars)
	return []chart.Figure{f}, err
}

// sectionFigure shows a section as lines and tables. What charts show already
// is left out.
func (b *builder) sectionFigure(s Section) chart.Figure {
	f := chart.Figure{ID: s.ID, Title: s.Title, Lines: s.Lines}
	switch s.ID {
	case "top":
		return chart.Figure{}
	case "calls":
		f.Title = b.t("page.calls")
		f.Lines = slices.Clone(s.Lines)
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
