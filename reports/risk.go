package reports

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"tidemark/data"
	"tidemark/transform/churn"
)

// mostReasons is how many findings a score is told with.
const mostReasons = 3

// addRisk merges the scores of the customers in scope into the document.
func (d *Document) addRisk(p *Portfolio, scope Scope) error {
	b := &d.Background
	b.NoSignal = p.NoSignal
	b.Scored, b.PreviousScored = p.Scores != nil && !p.NoSignal, p.PreviousScores != nil && !p.NoSignal
	now, err := readScores(reader{table: "scores", rec: p.Scores}, scope)
	if err != nil {
		return err
	}
	before, err := readScores(reader{table: "previous scores", rec: p.PreviousScores}, scope)
	if err != nil {
		return err
	}
	b.PreviousRisk = make(map[data.SubscriptionID]PreviousRisk, len(before))
	for _, r := range before {
		b.PreviousRisk[r.SubscriptionID] = PreviousRisk{State: r.State, Score: r.Score, Band: bandOf(r)}
	}
	if b.Money {
		if b.MonthlyCost, err = readMonthlyCost(reader{table: "monthly cost", rec: p.MonthlyCost}, now); err != nil {
			return err
		}
	}
	for i := range now {
		if err := d.complete(&now[i]); err != nil {
			return err
		}
	}
	slices.SortFunc(now, compareRisk)
	d.AtRisk = now
	d.Counts.AtRiskHigh = d.countHigh(now, before)
	return nil
}

func bandOf(r AtRisk) churn.Band {
	if r.Band == nil {
		return ""
	}
	return *r.Band
}

// readScores reads an assessment as the records of at_risk, without names and
// money. A portfolio without scores gives an empty list.
func readScores(r reader, scope Scope) ([]AtRisk, error) {
	out := []AtRisk{}
	id, customer, state := required(r.text("subscription_id")), required(r.text("customer_id")), required(r.text("state"))
	score, band, origin := r.float("score"), r.text("band"), required(r.day("origin"))
	horizon, calibrated, model := required(r.int32("horizon_days")), required(r.bool("calibrated")), required(r.text("model"))
	idle, reasons := r.int32("idle_days"), required(r.text("reasons"))
	flags, why, base, quiet := required(r.text("flags")), r.text("why_now"), r.float("base_rate"), required(r.bool("quiet"))
	for i := range r.rows() {
		if !scope.Contains(data.CustomerID(customer(i))) {
			continue
		}
		a := AtRisk{SubscriptionID: data.SubscriptionID(id(i)), CustomerID: data.CustomerID(customer(i)),
			State: churn.State(state(i)), Origin: origin(i), HorizonDays: horizon(i), Calibrated: calibrated(i),
			Model: model(i), IdleDays: idle(i), Reasons: []Reason{}, Flags: []Flag{}, Quiet: quiet(i)}
		if s := score(i); s != nil {
			a.Score = new(round4(*s))
		}
		if b := band(i); b != nil {
			a.Band = new(churn.Band(*b))
		}
		if b := base(i); b != nil {
			a.BaseRate = new(round4(*b))
		}
		if err := a.readFindings(reasons(i), flags(i), why(i)); err != nil {
			return nil, fmt.Errorf("read %s: findings of %s: %w", r.table, a.SubscriptionID, err)
		}
		out = append(out, a)
	}
	return out, r.err
}

// readFindings reads the columns of JSON.
func (a *AtRisk) readFindings(reasons, flags string, why *string) error {
	var found []churn.Reason
	var facts []churn.Flag
	err := errors.Join(json.Unmarshal([]byte(reasons), &found), json.Unmarshal([]byte(flags), &facts))
	for _, f := range found {
		a.Reasons = append(a.Reasons, Reason{Code: f.Code, Finding: f})
	}
	for _, f := range facts {
		a.Flags = append(a.Flags, Flag{Code: f.Code, Finding: f})
	}
	if why != nil {
		var c churn.Change
		err = errors.Join(err, json.Unmarshal([]byte(*why), &c))
		a.WhyNow = &WhyNow{c.Code, c.Before}
	}
	return err
}

// readMonthlyCost reads the monthly cost of the subscriptions given, by
// currency in order.
func readMonthlyCost(r reader, of []AtRisk) (map[data.SubscriptionID][]data.Money, error) {
	wanted := make(map[data.SubscriptionID]bool, len(of))
	for _, a := range of {
		wanted[a.SubscriptionID] = true
	}
	costs := make(map[data.SubscriptionID][]data.Money)
	id, currency, amount := required(r.text("subscription_id")), required(r.text("currency")), r.decimal("monthly_cost")
	for i := range r.rows() {
		sub, value := data.SubscriptionID(id(i)), amount(i)
		if wanted[sub] && value != nil {
			costs[sub] = append(costs[sub], data.Money{Currency: currency(i), Amount: *value})
		}
	}
	for _, list := range costs {
		slices.SortFunc(list, func(a, b data.Money) int { return cmp.Compare(a.Currency, b.Currency) })
	}
	return costs, r.err
}

// complete adds to a score what the rest of the document knows: the name, the
// money, and for a view without money the absence of reasons that tell of it.
func (d *Document) complete(a *AtRisk) error {
	b := &d.Background
	a.Name = Name(b.Subscriptions[a.SubscriptionID].Name)
	if !b.Money {
		a.Reasons = slices.DeleteFunc(a.Reasons, func(r Reason) bool { return r.Finding.Money() })
		if len(a.Reasons) == 0 && bandOf(*a) != churn.BandLow && a.BaseRate != nil {
			base := churn.BaseReason(*a.BaseRate)
			a.Reasons = append(a.Reasons, Reason{Code: base.Code, Finding: base})
		}
		if a.WhyNow != nil && (churn.Reason{Code: a.WhyNow.Code}).Money() {
			a.WhyNow = nil
		}
	}
	a.mostTelling()
	if !b.Money {
		return nil
	}
	a.MonthlyCost, a.ExpectedLoss = slices.Concat([]data.Money{}, b.MonthlyCost[a.SubscriptionID]), []data.Money{}
	if a.Score == nil {
		return nil
	}
	for _, m := range a.MonthlyCost {
		loss, ok := m.Amount.MulRatio(tenThousandths(*a.Score), 1e4)
		if !ok {
			return fmt.Errorf("expected loss of %s: %w", a.SubscriptionID, data.ErrOverflow)
		}
		a.ExpectedLoss = append(a.ExpectedLoss, data.Money{Currency: m.Currency, Amount: loss})
	}
	return nil
}

// mostTelling keeps the findings that are told, what made the score rise first.
func (a *AtRisk) mostTelling() {
	if a.WhyNow != nil {
		at := slices.IndexFunc(a.Reasons, func(r Reason) bool { return r.Code == a.WhyNow.Code })
		if at > 0 {
			first := a.Reasons[at]
			a.Reasons = slices.Insert(slices.Delete(a.Reasons, at, at+1), 0, first)
		}
	}
	a.Reasons = a.Reasons[:min(mostReasons, len(a.Reasons))]
}

// tenThousandths is a score as a whole number, so that money is multiplied by
// exactly what is shown.
func tenThousandths(score float64) int64 { return int64(math.Round(score * 1e4)) }

// compareRisk orders the scored by score, the dormant by idle days, then the
// rest, and within each by id.
func compareRisk(a, b AtRisk) int {
	return cmp.Or(
		cmp.Compare(riskClass(a), riskClass(b)),
		-cmp.Compare(riskWeight(a), riskWeight(b)),
		cmp.Compare(a.SubscriptionID, b.SubscriptionID))
}

func riskClass(a AtRisk) int {
	switch a.State {
	case churn.StateScored:
		return 0
	case churn.StateDormant:
		return 1
	}
	return 2
}

// riskWeight is what a class is ordered by. A dormant subscription without any
// known usage comes before those with a last day.
func riskWeight(a AtRisk) float64 {
	switch {
	case a.State == churn.StateScored && a.Score != nil:
		return *a.Score
	case a.State == churn.StateDormant && a.IdleDays != nil:
		return float64(*a.IdleDays)
	case a.State == churn.StateDormant:
		return math.Inf(1)
	}
	return 0
}

func (d *Document) countHigh(now, before []AtRisk) Count {
	high := func(list []AtRisk) *int64 {
		if len(list) > 0 && !slices.ContainsFunc(list, func(a AtRisk) bool { return a.State != churn.StateNoSignal }) {
			return nil // too few days are known for any score
		}
		n := int64(0)
		for _, a := range list {
			if bandOf(a) == churn.BandHigh {
				n++
			}
		}
		return &n
	}
	var value, previous *int64
	if d.Background.Scored {
		value = high(now)
	}
	if d.Background.PreviousScored {
		previous = high(before)
	}
	var reason *string
	switch {
	case value != nil && previous != nil:
	case d.Background.NoSignal, value == nil && d.Background.Scored, value != nil && d.Background.PreviousScored:
		reason = new("no_signal")
	case d.Background.FirstSnapshot == nil:
		reason = new("no_inventory")
	default:
		reason = new(notObservedBefore + d.Background.FirstSnapshot.String())
	}
	return newCount(value, previous, reason)
}

// notObservedBefore starts the reason of a number that needs an older snapshot.
const notObservedBefore = "not_observed_before: "

// sums adds amounts up by currency.
type sums map[string]data.Decimal

func (s sums) add(amounts []data.Money) error {
	for _, m := range amounts {
		total, ok := s[m.Currency].Add(m.Amount)
		if !ok {
			return fmt.Errorf("sum of %s: %w", m.Currency, data.ErrOverflow)
		}
		s[m.Currency] = total
	}
	return nil
}

// list returns the sums in order of currency, those that are zero left out.
func (s sums) list() []data.Money {
	var out []data.Money
	for _, currency := range slices.Sorted(maps.Keys(s)) {
		if !s[currency].IsZero() {
			out = append(out, data.Money{Currency: currency, Amount: s[currency]})
		}
	}
	return out
}
