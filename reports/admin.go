package reports

import (
	"cmp"
	"maps"
	"slices"

	"tidemark/data"
)

const (
	maxUnassigned = 10 // named; the rest is counted
	maxAgents     = 30 // rows, those with the most customers at risk first when there are more
	lateAfter     = 5  // days between watermark and extraction that are worth a word
)

// admin is the weekly digest of an admin agent: first what needs a hand, then
// one row per sales agent, then every metric.
func (b *builder) admin(d *Digest) error {
	hand, todo, err := b.hand()
	if err != nil {
		return err
	}
	agents, err := b.perAgent()
	if err != nil {
		return err
	}
	d.Headline = b.t("admin.headline.quiet")
	if len(todo) > 0 {
		d.Headline = b.t("admin.headline", b.loc.List(todo))
	}
	changes := b.changes()
	d.Subject, d.Preheader = b.subject(d.Headline), b.preheader(len(changes.recovered))
	d.Sections = []Section{hand, agents, b.since(changes), b.withoutUsage()}
	d.Sections = append(d.Sections, b.metrics()...)
	return b.addRiskTable(d)
}

// hand lists what somebody must do today; todo says the same in a few words.
func (b *builder) hand() (s Section, todo []string, err error) {
	s = Section{ID: "hand", Title: b.t("hand.title")}
	if failed := b.failedNames(); len(failed) > 0 {
		todo = append(todo, b.t("hand.failed.short", len(failed)))
		s.Lines = append(s.Lines, b.t("hand.failed", len(failed), b.names(failed)))
	}
	if ended := b.endedLabels(b.endedIn(b.doc.Period)); len(ended) > 0 {
		todo = append(todo, b.t("hand.ended.short", len(ended)))
		s.Lines = append(s.Lines, b.t("hand.ended", len(ended), b.names(ended)))
	}
	if late := b.late(); late > lateAfter {
		todo = append(todo, b.t("hand.late.short"))
		s.Lines = append(s.Lines, b.t("hand.late", late, b.day(*b.doc.Watermark)))
	}
	b.addQuestions(&s, &todo)
	if b.in.Ownership == nil {
		todo = append(todo, b.t("hand.ownership.short"))
		s.Lines = append(s.Lines, b.t("hand.ownership"))
	} else if err := b.addUnassigned(&s, &todo); err != nil {
		return s, nil, err
	}
	if len(s.Lines) == 0 {
		s.Lines = []string{b.t("hand.nothing")}
	}
	return s, todo, nil
}

// late is how many days the watermark lies behind the newest extraction.
func (b *builder) late() int {
	if b.doc.Watermark == nil || b.bg.Freshness.Extracted == nil {
		return 0
	}
	return int(*b.bg.Freshness.Extracted - *b.doc.Watermark)
}

// addUnassigned counts the customers without a sales agent and names the
// largest.
func (b *builder) addUnassigned(s *Section, todo *[]string) error {
	unassigned := b.unassigned()
	if len(unassigned) == 0 {
		return nil
	}
	*todo = append(*todo, b.t("hand.unassigned.short", len(unassigned)))
	s.Lines = append(s.Lines, b.t("hand.unassigned", len(unassigned)))
	costs, err := b.doc.customerCosts()
	if err != nil {
		return err
	}
	bySize(unassigned, costs)
	table := Table{Caption: b.t("hand.unassigned.caption"), Head: []string{b.t("head.customer")}}
	if b.bg.Money {
		table.Head = append(table.Head, b.t("head.monthly_cost"))
	}
	for _, id := range unassigned[:min(maxUnassigned, len(unassigned))] {
		row := []Cell{{Text: b.customer(id)}}
		if b.bg.Money {
			row = append(row, Cell{Text: cmp.Or(b.money(costs[id]), "–"), Number: true})
		}
		table.Rows = append(table.Rows, row)
	}
	s.Tables = append(s.Tables, table)
	if rest := len(unassigned) - len(table.Rows); rest > 0 {
		s.More = b.t("more.attachment", rest)
	}
	return nil
}

// unassigned are the customers without a sales agent, for an admin agent.
func (b *builder) unassigned() []data.CustomerID {
	if b.in.Role != AdminAgent || b.in.Ownership == nil {
		return nil
	}
	return b.in.Ownership.Check(slices.Sorted(maps.Keys(b.bg.Customers)), b.in.Agents).Unassigned
}

// customerCosts returns the monthly cost of each customer by currency; it is
// empty without money.
func (d *Document) customerCosts() (map[data.CustomerID][]data.Money, error) {
	totals := make(map[data.CustomerID]sums)
	for id, amounts := range d.Background.MonthlyCost {
		customer := d.Background.Subscriptions[id].CustomerID
		if totals[customer] == nil {
			totals[customer] = sums{}
		}
		if err := totals[customer].add(amounts); err != nil {
			return nil, err
		}
	}
	costs := make(map[data.CustomerID][]data.Money, len(totals))
	for id, total := range totals {
		costs[id] = total.list()
	}
	return costs, nil
}

// bySize sorts customers by monthly cost, the largest first. Each currency makes
// a list of its own, since amounts of two currencies cannot be compared;
// customers without cost come last.
func bySize(ids []data.CustomerID, costs map[data.CustomerID][]data.Money) {
	slices.SortFunc(ids, func(x, y data.CustomerID) int {
		a, c := costs[x], costs[y]
		if len(a) == 0 || len(c) == 0 {
			return cmp.Or(cmp.Compare(min(1, len(c)), min(1, len(a))), cmp.Compare(x, y))
		}
		return cmp.Or(cmp.Compare(a[0].Currency, c[0].Currency), -a[0].Amount.Cmp(c[0].Amount), cmp.Compare(x, y))
	})
}

// perAgent has one row for each sales agent.
func (b *builder) perAgent() (Section, error) {
	s := Section{ID: "agents", Title: b.t("agents.title")}
	if b.in.Ownership == nil || len(b.in.Agents) == 0 {
		s.Lines = []string{b.t("agents.none")}
		return s, nil
	}
	table := Table{Caption: s.Title, Head: []string{b.t("head.agent"), b.t("head.at_risk")}}
	if b.bg.Money {
		table.Head = append(table.Head, b.t("head.expected_loss"))
	}
	agents := make([]agentRisk, len(b.in.Agents))
	for i, agent := range b.in.Agents {
		agents[i] = b.riskOf(agent)
	}
	slices.SortFunc(agents, func(x, y agentRisk) int { return cmp.Compare(key(x.agent.Address), key(y.agent.Address)) })
	if rest := len(agents) - maxAgents; rest > 0 {
		slices.SortStableFunc(agents, func(x, y agentRisk) int { return cmp.Compare(len(y.at), len(x.at)) })
		agents = agents[:maxAgents]
		s.More = b.t("agents.more", rest)
	}
	for _, a := range agents {
		row := []Cell{{Text: cmp.Or(short(a.agent.Name), short(a.agent.Address)), Sub: b.t("agents.customers", a.owned)},
			{Text: b.loc.Int(int64(len(a.at))), Number: true}}
		if b.bg.Money {
			loss, err := totalLoss(a.at)
			if err != nil {
				return s, err
			}
			row = append(row, Cell{Text: cmp.Or(b.money(loss), "–"), Number: true})
		}
		table.Rows = append(table.Rows, row)
	}
	s.Tables = []Table{table}
	return s, nil
}

// agentRisk is what a sales agent owns and what of it is at risk.
type agentRisk struct {
	agent Recipient
	owned int
	at    []customerRisk
}

func (b *builder) riskOf(agent Recipient) agentRisk {
	scope := b.in.Ownership.Scope(agent.Address)
	a := agentRisk{agent: agent}
	for id := range b.bg.Customers {
		if scope.Contains(id) {
			a.owned++
		}
	}
	for _, r := range b.risks {
		if scope.Contains(r.id) {
			a.at = append(a.at, r)
		}
	}
	return a
}

// addRiskTable puts the customers most at risk below the counts of the section
// about risk, for readers who have no call list.
func (b *builder) addRiskTable(d *Digest) error {
	at := slices.IndexFunc(d.Sections, func(s Section) bool { return s.ID == "at_risk" })
	if at < 0 || len(b.risks) == 0 {
		return nil
	}
	s := &d.Sections[at]
	table := Table{Caption: b.t("risk.customers"), Head: []string{b.t("head.customer"), b.t("head.risk")}}
	if b.bg.Money {
		table.Head = append(table.Head, b.t("head.expected_loss"))
	}
	for _, r := range b.risks[:min(maxCalls, len(b.risks))] {
		first := Cell{Text: b.customer(r.id)}
		if found := b.findings(r); len(found) > 0 {
			first.Sub = found[0]
		}
		row := []Cell{first, {Text: b.band(r.band), Sub: b.loc.Percent(r.score), Number: true}}
		if b.bg.Money {
			row = append(row, Cell{Text: cmp.Or(b.money(r.loss), "–"), Number: true})
		}
		table.Rows = append(table.Rows, row)
	}
	s.Tables = append(s.Tables, table)
	if rest := len(b.risks) - len(table.Rows); rest > 0 {
		s.More = b.t("more.attachment", rest)
	}
	return nil
}

// userAdmin is the weekly digest of a user management admin: counts and states.
func (b *builder) userAdmin(d *Digest) error {
	switch {
	case !b.bg.Scored:
		d.Headline = b.noScoreHeadline()
	case len(b.risks) == 0:
		d.Headline = b.t("headline.quiet")
	default:
		d.Headline = b.t("users.risk", len(b.risks))
		if ended := len(b.endedIn(b.doc.Period)); ended > 0 {
			d.Headline = b.t("list.and", d.Headline, b.t("hand.ended.short", ended))
		}
	}
	changes := b.changes()
	d.Subject, d.Preheader = b.subject(d.Headline), b.preheader(len(changes.recovered))
	d.Sections = []Section{b.since(changes), b.withoutUsage()}
	d.Sections = append(d.Sections, b.metrics()...)
	return b.addRiskTable(d)
}
