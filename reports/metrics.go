package reports

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
	"tidemark/transform/churn"
)

// How much of a long list stands in the mail.
const (
	maxWithoutUsage = 5
	maxCategories   = 3  // with their five customers
	maxCategoryRows = 8  // as one line each
	maxNew          = 5  // customers
	maxDays         = 10 // of churn, else only the days on which something ended
)

// metrics are the sections of numbers, in the order of the page.
func (b *builder) metrics() []Section {
	sections := []Section{b.summary(), b.top(), b.atRisk(), b.churn(), b.customers(), b.retention()}
	for i := range sections {
		sections[i].Metric = true
	}
	return sections
}

// withoutUsage lists the subscriptions that nobody used.
func (b *builder) withoutUsage() Section {
	s := Section{ID: "without_usage", Title: b.t("without.title"), Metric: true}
	n := len(b.doc.WithoutUsage)
	if n == 0 {
		s.Lines = []string{b.t("without.none")}
		if b.doc.Counts.WithoutUsage.Value == nil {
			s.Lines = []string{b.unknown(b.doc.Counts.WithoutUsage.Reason)}
		}
		return s
	}
	s.Lines = []string{b.t("without.lead", n)}
	table := Table{Caption: s.Title, Head: []string{b.t("head.subscription"), b.t("head.last_usage")}}
	for _, w := range b.doc.WithoutUsage[:min(n, maxWithoutUsage)] {
		last := Cell{Text: b.t("without.never"), Number: true}
		if w.LastUsage != nil {
			last.Text = b.day(*w.LastUsage)
		}
		if w.DaysIdle != nil {
			last.Sub = b.t("days", *w.DaysIdle)
		}
		table.Rows = append(table.Rows, []Cell{
			{Text: b.customer(w.CustomerID), Sub: subscriptionName(string(w.Name), w.SubscriptionID)}, last})
	}
	s.Tables = []Table{table}
	if rest := n - len(table.Rows); rest > 0 {
		s.More = b.t("more.attachment", rest)
	}
	return s
}

// figures is a table of numbers with those of the previous period.
func (b *builder) figures(caption string, rows ...[]Cell) []Table {
	return []Table{{Caption: caption, Rows: rows,
		Head: []string{b.t("head.figure"), b.period(b.doc.Period), b.period(b.doc.Previous)}}}
}

func (b *builder) countRow(label string, c Count) []Cell {
	now, before := Cell{Number: true}, Cell{Number: true}
	if c.Value == nil {
		now.Text = b.unknown(c.Reason)
	} else {
		now.Text = b.loc.Int(*c.Value)
	}
	if c.Previous == nil {
		before.Text = b.unknown(c.Reason)
	} else {
		before.Text = b.loc.Int(*c.Previous)
	}
	if c.Change != nil && *c.Change != 0 {
		now.Sub = b.loc.Change(*c.Change)
	}
	return []Cell{{Text: label}, now, before}
}

func (b *builder) costRow(label string, c Cost) []Cell {
	amount := func(d *data.Decimal) Cell {
		if d == nil {
			return Cell{Text: b.t("unknown"), Number: true}
		}
		return Cell{Text: b.loc.Money(d.String(), short(c.Currency)), Number: true}
	}
	now, before := amount(c.Value), amount(c.Previous)
	if change := c.share(); change != nil && *change != 0 {
		now.Sub = b.loc.Change(*change)
	}
	return []Cell{{Text: label}, now, before}
}

func (b *builder) summary() Section {
	s := Section{ID: "summary", Title: b.t("summary.title")}
	rows := [][]Cell{
		b.countRow(b.t("summary.sold"), b.doc.SubscriptionsSold),
		b.countRow(b.t("summary.with_usage"), b.doc.CustomersWithUsage),
		b.countRow(b.t("summary.without_usage"), b.doc.CustomersWithoutUsage),
	}
	if b.doc.Costs != nil {
		costs, rest := mainFirst(b.doc.Cost, func(c Cost) bool { return c.Currency == b.main })
		for _, c := range costs {
			rows = append(rows, b.costRow(b.t("summary.cost", short(c.Currency)), c))
		}
		if rest > 0 {
			s.More = b.t("currencies.more", rest)
		}
	}
	s.Tables = b.figures(s.Title, rows...)
	return s
}

// topKey is one ranking of customers: a category in a currency or unit.
type topKey struct {
	category string
	all      bool   // over all categories
	measure  string // the currency, or for a ranking by quantity the unit
	quantity bool
}

// rankings groups the top customers, keeping their order.
func (b *builder) rankings() ([]topKey, map[topKey][]TopCustomer) {
	var order []topKey
	groups := make(map[topKey][]TopCustomer)
	for _, t := range b.doc.TopCustomers {
		k := topKey{all: t.Category == nil, quantity: t.TopCost == nil || t.Cost == nil}
		if t.Category != nil {
			k.category = *t.Category
		}
		switch {
		case !k.quantity && t.Currency != nil:
			k.measure = *t.Currency
		case t.Unit != nil:
			k.measure = *t.Unit
		}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], t)
	}
	slices.SortStableFunc(order, func(x, y topKey) int {
		return cmp.Or(boolFirst(x.all, y.all), boolFirst(!x.quantity, !y.quantity), -lead(groups[x]).Cmp(lead(groups[y])))
	})
	return order, groups
}

// boolFirst orders true before false.
func boolFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// lead is the cost of a ranking's first customer. Rankings by quantity keep
// their order: units cannot be compared.
func lead(group []TopCustomer) data.Decimal {
	if c := group[0].TopCost; c != nil && c.Cost != nil {
		return *c.Cost
	}
	return data.Decimal{}
}

func (b *builder) top() Section {
	s := Section{ID: "top", Title: b.t("top.title")}
	order, groups := b.rankings()
	moved, hasMoved := b.moved(b.main)
	left := maxCategories
	if hasMoved {
		left-- // it has a place in any case
	}
	whole, categories := order, order // rankings over all categories, and those of one
	if at := slices.IndexFunc(order, func(k topKey) bool { return !k.all }); at >= 0 {
		whole, categories = order[:at], order[at:]
	}
	whole, currencies := mainFirst(whole, func(k topKey) bool { return k.measure == b.main })
	for _, k := range whole {
		s.Groups = append(s.Groups, b.topGroup(k, groups[k]))
	}
	for _, k := range categories {
		switch {
		case hasMoved && k == moved.key():
		case left == 0:
			continue
		default:
			left--
		}
		s.Groups = append(s.Groups, b.topGroup(k, groups[k]))
	}
	if len(order) == 0 {
		s.Lines = []string{b.t("top.none")}
	}
	var more []string
	if currencies > 0 {
		more = append(more, b.t("currencies.more", currencies))
	}
	if rest := len(categories) - len(s.Groups) + len(whole); rest > 0 {
		more = append(more, b.t("top.more", rest))
	}
	s.More = strings.Join(more, ", ")
	return s
}

func (b *builder) topGroup(k topKey, list []TopCustomer) BarGroup {
	g := BarGroup{Title: cmp.Or(short(k.category), b.t("top.no_category"))}
	if k.all {
		g.Title = b.t("top.all")
	}
	if k.quantity && k.measure != "" {
		g.Title = b.t("top.unit", g.Title, short(k.measure))
	}
	if !k.quantity {
		g.Title = b.t("top.currency", g.Title, short(k.measure))
	}
	amount := func(t TopCustomer) *data.Decimal {
		if k.quantity {
			return t.Quantity
		}
		return t.Cost
	}
	widest := amount(list[0])
	for _, t := range list {
		bar := Bar{Label: b.customer(t.CustomerID), Colour: accent(b.in.Partner.Accent)}
		value := amount(t)
		if value == nil {
			bar.Value = b.t("unknown")
			g.Bars = append(g.Bars, bar)
			continue
		}
		bar.Value = b.loc.Quantity(value.String())
		if !k.quantity {
			bar.Value = b.loc.Money(value.String(), short(k.measure))
		}
		if t.Previous != nil {
			if change := value.Change(*t.Previous); change != nil && t.Previous.Sign() > 0 {
				bar.Note = b.loc.Change(*change)
			}
		}
		bar.Width = share(value.Float64(), widest.Float64())
		g.Bars = append(g.Bars, bar)
	}
	return g
}

// share is the width of a bar in percent: at least one for what is there.
func share(value, widest float64) int {
	if value <= 0 || widest <= 0 {
		return 0
	}
	return min(100, max(1, int(value/widest*100+0.5)))
}

// atRisk counts subscriptions by band and state.
func (b *builder) atRisk() Section {
	s := Section{ID: "at_risk", Title: b.t("risk.title")}
	if !b.bg.Scored {
		s.Lines = []string{b.noScore()}
		return s
	}
	bars, horizon, model := b.bands()
	s.Groups = []BarGroup{{Bars: bars}}
	s.Lines = []string{b.t("risk.what", horizon/7, short(churn.ShortName(model)))}
	if before := b.doc.Counts.AtRiskHigh; before.Value != nil && before.Previous != nil {
		s.Lines = append(s.Lines, b.t("risk.before", b.loc.Int(*before.Value), b.loc.Int(*before.Previous)))
	} else {
		s.Lines = append(s.Lines, b.t("since.unknown", b.unknown(before.Reason)))
	}
	return s
}

// bands counts the subscriptions of each band, and of each state that is there.
func (b *builder) bands() (bars []Bar, horizon int, model string) {
	horizon = churn.DefaultHorizon
	tally := make(map[string]int)
	widest := 0
	for _, a := range b.doc.AtRisk {
		horizon, model = a.HorizonDays, a.Model
		k := string(a.State)
		if a.State == churn.StateScored {
			k = level(bandOf(a))
		}
		tally[k]++
		widest = max(widest, tally[k])
	}
	for _, k := range []string{"high", "medium", "low", "new", "dormant", "suspended", "ended", "no_signal"} {
		n := tally[k]
		bar := Bar{Label: b.t("state." + k), Value: b.loc.Int(int64(n)), Width: share(float64(n), float64(widest)), Colour: colourOf(k), number: float64(n)}
		if n > 0 || bar.Colour != colourQuiet {
			bars = append(bars, bar)
		}
	}
	return bars, horizon, model
}

func (b *builder) churn() Section {
	s := Section{ID: "churn", Title: b.t("churn.title")}
	s.Tables = b.figures(s.Title, b.countRow(b.t("churn.active_at_end"), b.doc.Counts.ActiveAtEnd),
		b.countRow(b.t("churn.deprovisioned"), b.doc.Counts.Deprovisioned))
	days := b.doc.ChurnByDate
	if len(days) > maxDays {
		days = slices.DeleteFunc(slices.Clone(days), func(d ChurnDay) bool { return d.Deprovisioned == 0 })
		s.Lines = []string{b.t("churn.days_with_end", len(days))}
		if rest := len(days) - maxDays; rest > 0 {
			days, s.More = days[:maxDays], b.t("churn.more", rest)
		}
	}
	byDay := Table{Caption: b.t("churn.by_day"), Head: []string{b.t("head.day"), b.t("head.active"), b.t("head.ended")}}
	for _, d := range days {
		byDay.Rows = append(byDay.Rows, []Cell{{Text: b.day(d.Date)},
			{Text: b.loc.Int(d.Active), Number: true}, {Text: b.loc.Int(d.Deprovisioned), Number: true}})
	}
	if len(byDay.Rows) > 0 {
		s.Tables = append(s.Tables, byDay)
	}
	return s
}

func (b *builder) customers() Section {
	s := Section{ID: "customers", Title: b.t("customers.title"), Lines: []string{b.t("customers.total", len(b.bg.Customers))}}
	s.Tables = b.figures(s.Title, b.countRow(b.t("customers.new"), b.doc.NewCustomers))
	ids := slices.SortedFunc(maps.Keys(b.bg.New), func(x, y data.CustomerID) int {
		return cmp.Or(cmp.Compare(b.bg.New[x], b.bg.New[y]), cmp.Compare(b.customer(x), b.customer(y)), cmp.Compare(x, y))
	})
	if len(ids) > 0 {
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = b.customer(id)
		}
		s.Lines = append(s.Lines, b.t("customers.names", b.some(names, maxNew)))
	}
	if rest := len(ids) - maxNew; rest > 0 {
		s.More = b.t("customers.more")
	}
	return s
}

func (b *builder) retention() Section {
	s := Section{ID: "retention", Title: b.t("retention.title")}
	s.Tables = b.figures(s.Title, b.countRow(b.t("retention.renewed"), b.doc.SubscriptionsRenewed))
	return s
}
