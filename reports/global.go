package reports

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tidemark/data"
)

// maxMovers is how many categories explain a change of cost.
const maxMovers = 2

// global is the monthly report of a global admin: four sentences, the numbers,
// and who was mailed.
func (b *builder) global(d *Digest) error {
	loss, change, err := b.expectedLoss()
	if err != nil {
		return err
	}
	cost := b.costSentence()
	s := Section{ID: "sentences", Title: b.t("global.title"), Lines: []string{cost, b.wonAndLost(), change, b.paid()}}
	d.Headline = b.t("global.headline", b.period(b.doc.Period))
	if len(loss) > 0 {
		d.Headline = b.t("global.headline.money", b.period(b.doc.Period), b.money(loss))
	}
	d.Subject, d.Preheader = d.Headline, cost
	d.Sections = []Section{s, b.trendSection(), b.mailed(), b.since(b.changes()), b.withoutUsage()}
	d.Sections = append(d.Sections, b.metrics()...)
	return b.addRiskTable(d)
}

// paid says what became of the subscriptions that were flagged, against all that
// were scored.
func (b *builder) paid() string {
	o := b.in.Outcome
	if o == nil {
		return b.t("global.paid.unknown")
	}
	share := func(n, of int) string { return b.loc.Percent(float64(n) / float64(of)) }
	all := b.t("global.paid.all", o.Scored, share(o.Lost, o.Scored))
	if o.Flagged == 0 {
		return b.t("global.paid.none", b.day(o.Origin), all)
	}
	return b.t("global.paid", o.Flagged, b.day(o.Origin), o.HorizonDays/7, o.FlaggedLost, o.Flagged-o.FlaggedLost, share(o.FlaggedLost, o.Flagged), all)
}

// costSentence compares the cost with the previous period and names the
// categories and the customer that moved it most.
func (b *builder) costSentence() string {
	if b.doc.Costs == nil || len(b.doc.Cost) == 0 {
		return b.t("global.cost.none", b.loc.Int(valueOf(b.doc.CustomersWithUsage)))
	}
	var parts []string
	costs, rest := mainFirst(b.doc.Cost, func(c Cost) bool { return c.Currency == b.main })
	for _, c := range costs {
		if c.Value == nil {
			continue
		}
		amount := b.loc.Money(c.Value.String(), short(c.Currency))
		if c.Previous == nil {
			parts = append(parts, b.t("global.cost.first", amount))
			continue
		}
		sentence := b.t("global.cost.from", amount, b.loc.Money(c.Previous.String(), short(c.Currency)), b.period(b.doc.Previous))
		if change := c.share(); change != nil {
			sentence = b.t("global.cost", amount, b.loc.Change(*change), b.period(b.doc.Previous))
		}
		if movers := b.movers(c); len(movers) > 0 {
			sentence = b.t("global.cost.why", sentence, b.loc.List(movers))
		}
		parts = append(parts, sentence)
	}
	if len(parts) == 0 {
		return b.t("global.cost.none", b.loc.Int(valueOf(b.doc.CustomersWithUsage)))
	}
	for i := range parts {
		parts[i] = strings.TrimSuffix(parts[i], ".")
	}
	text := strings.Join(parts, ". ")
	if rest > 0 {
		text += ". " + b.t("global.cost.more", rest)
	}
	return text + "."
}

func valueOf(c Count) int64 {
	if c.Value == nil {
		return 0
	}
	return *c.Value
}

// mover is what changed in cost.
type mover struct {
	name string
	by   data.Decimal
}

// movers names the categories and the customer that moved a cost most, the way
// that it went: what went the other way explains nothing.
func (b *builder) movers(total Cost) []string {
	var categories, customers []mover
	for _, c := range b.doc.ByCategory {
		if c.Currency == total.Currency {
			categories = appendMover(categories, cmp.Or(short(c.Category), b.t("top.no_category")), c.Cost, total)
		}
	}
	for _, c := range b.bg.CustomerCost {
		if c.Currency == total.Currency {
			customers = appendMover(customers, b.customer(c.CustomerID), c.Cost, total)
		}
	}
	sortMovers(categories)
	sortMovers(customers)
	var out []string
	for _, m := range slices.Concat(categories[:min(maxMovers, len(categories))], customers[:min(1, len(customers))]) {
		amount := b.loc.Money(m.by.String(), short(total.Currency))
		if m.by.Sign() > 0 {
			amount = "+" + amount
		}
		out = append(out, b.t("global.mover", m.name, amount))
	}
	return out
}

func appendMover(list []mover, name string, c, total Cost) []mover {
	by, known := c.by()
	if way, _ := total.by(); !known || by.Sign() == 0 || by.Sign() != way.Sign() {
		return list
	}
	return append(list, mover{name, by})
}

func sortMovers(list []mover) {
	magnitude := func(d data.Decimal) data.Decimal {
		if d.Sign() < 0 {
			return d.Neg()
		}
		return d
	}
	slices.SortStableFunc(list, func(x, y mover) int { return magnitude(y.by).Cmp(magnitude(x.by)) })
}

// wonAndLost counts new customers, and those whose last subscription ended in
// the period.
func (b *builder) wonAndLost() string {
	alive, ended := make(map[data.CustomerID]bool), make(map[data.CustomerID]bool)
	for _, s := range b.bg.Subscriptions {
		if !s.Status.Ended() {
			alive[s.CustomerID] = true
		} else if slices.ContainsFunc(s.Endings, b.doc.Period.Contains) {
			ended[s.CustomerID] = true
		}
	}
	maps.DeleteFunc(ended, func(id data.CustomerID, _ bool) bool { return alive[id] })
	lost := b.t("global.lost", len(ended))
	if len(ended) > 0 {
		var names []string
		for _, id := range slices.Sorted(maps.Keys(ended)) {
			names = append(names, b.customer(id))
		}
		lost = b.t("global.lost.names", len(ended), b.names(names))
	}
	if b.doc.NewCustomers.Value == nil {
		return b.t("global.won_lost.unknown", b.unknown(b.doc.NewCustomers.Reason), lost)
	}
	return b.t("global.won_lost", *b.doc.NewCustomers.Value, lost)
}

// expectedLoss sums the expected loss over all scored subscriptions and says how
// it changed since the previous period, at the monthly costs of now.
func (b *builder) expectedLoss() (now []data.Money, sentence string, err error) {
	total, earlier := sums{}, sums{}
	for _, a := range b.doc.AtRisk {
		if err := total.add(a.ExpectedLoss); err != nil {
			return nil, "", err
		}
	}
	for id, before := range b.bg.PreviousRisk {
		if before.Score == nil {
			continue
		}
		for _, m := range b.bg.MonthlyCost[id] {
			loss, ok := m.Amount.MulRatio(tenThousandths(*before.Score), 1e4)
			if !ok {
				return nil, "", data.ErrOverflow
			}
			if err := earlier.add([]data.Money{{Currency: m.Currency, Amount: loss}}); err != nil {
				return nil, "", err
			}
		}
	}
	now = total.list()
	switch {
	case !b.bg.Scored:
		return nil, b.noScore(), nil
	case !b.bg.Money || len(now) == 0:
		return nil, b.t("global.risk.counts", len(b.risks)), nil
	case !b.bg.PreviousScored:
		return now, b.t("global.loss.first", b.money(now), b.firstSnapshot()), nil
	}
	return now, b.t("global.loss", b.money(now), cmp.Or(b.money(earlier.list()), b.loc.Int(0))), nil
}

// mailed says who got a report, as counts.
func (b *builder) mailed() Section {
	s := Section{ID: "mailed", Title: b.t("mailed.title"), Metric: true}
	if len(b.in.Mailed) == 0 {
		s.Lines = []string{b.t("mailed.nobody")}
		return s
	}
	table := Table{Caption: s.Title, Head: []string{b.t("head.role"), b.t("head.sent"), b.t("head.skipped")}}
	for _, m := range b.in.Mailed {
		table.Rows = append(table.Rows, []Cell{{Text: b.t("role." + string(m.Role))},
			{Text: b.loc.Int(int64(m.Sent)), Number: true}, {Text: b.loc.Int(int64(m.Skipped)), Number: true}})
	}
	s.Tables = []Table{table}
	return s
}
