package reports

import (
	"cmp"
	"slices"

	"tidemark/data"
	"tidemark/transform/churn"
)

// customerRisk is what is known about a customer with at least one subscription
// of high or medium risk.
type customerRisk struct {
	id       data.CustomerID
	band     churn.Band
	score    float64  // of the subscription most at risk
	previous *float64 // the highest score that the customer's subscriptions had before
	loss     []data.Money
	monthly  []data.Money // of all the customer's subscriptions
	risky    []AtRisk     // high or medium, the highest score first
}

// rankCustomers returns the customers to call, the most pressing first: by
// expected loss, or by score where there is no money to see. Their scores are
// compared with those before.
func rankCustomers(d *Document, before map[data.SubscriptionID]PreviousRisk) ([]customerRisk, error) {
	byID := make(map[data.CustomerID]*customerRisk)
	for _, a := range d.AtRisk { // in order of score
		if !risky(bandOf(a)) {
			continue
		}
		c := byID[a.CustomerID]
		if c == nil {
			c = &customerRisk{id: a.CustomerID, band: bandOf(a), score: *a.Score}
			byID[a.CustomerID] = c
		}
		c.risky = append(c.risky, a)
	}
	if err := addAmounts(d, byID); err != nil {
		return nil, err
	}
	for id, was := range before {
		c := byID[d.Background.Subscriptions[id].CustomerID]
		if c != nil && was.Score != nil && (c.previous == nil || *was.Score > *c.previous) {
			c.previous = new(*was.Score)
		}
	}
	ranked := make([]customerRisk, 0, len(byID))
	for _, c := range byID {
		ranked = append(ranked, *c)
	}
	orderCustomers(ranked)
	return ranked, nil
}

func risky(b churn.Band) bool { return b == churn.BandHigh || b == churn.BandMedium }

// addAmounts adds up each customer's monthly cost and expected loss over all
// its subscriptions.
func addAmounts(d *Document, byID map[data.CustomerID]*customerRisk) error {
	monthly, loss := make(map[data.CustomerID]sums), make(map[data.CustomerID]sums)
	for _, a := range d.AtRisk {
		if byID[a.CustomerID] == nil {
			continue
		}
		if monthly[a.CustomerID] == nil {
			monthly[a.CustomerID], loss[a.CustomerID] = sums{}, sums{}
		}
		if err := cmp.Or(monthly[a.CustomerID].add(a.MonthlyCost), loss[a.CustomerID].add(a.ExpectedLoss)); err != nil {
			return err
		}
	}
	for id, c := range byID {
		c.monthly, c.loss = monthly[id].list(), loss[id].list()
	}
	return nil
}

// orderCustomers sorts by expected loss. Amounts of two currencies cannot be
// compared, so each currency makes its own list and the lists are merged place
// by place; customers without an amount follow by score.
func orderCustomers(list []customerRisk) {
	slices.SortFunc(list, func(a, b customerRisk) int {
		return cmp.Or(cmp.Compare(a.currency(), b.currency()), -a.pressing().Cmp(b.pressing()), byScore(a, b))
	})
	place := make(map[data.CustomerID]int, len(list))
	seen := make(map[string]int)
	for _, c := range list {
		place[c.id] = seen[c.currency()]
		if c.currency() == "" {
			place[c.id] = len(list)
		}
		seen[c.currency()]++
	}
	slices.SortFunc(list, func(a, b customerRisk) int {
		return cmp.Or(cmp.Compare(place[a.id], place[b.id]), byScore(a, b))
	})
}

func byScore(a, b customerRisk) int {
	return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(a.id, b.id))
}

// currency is the one the customer is ranked in; empty without an amount.
func (c customerRisk) currency() string {
	if len(c.loss) == 0 {
		return ""
	}
	return c.loss[0].Currency
}

// pressing is the expected loss that the customer is ordered by: a quarter more when a
// commitment ends soon, because then there is a day to talk before. That is judgement.
func (c customerRisk) pressing() data.Decimal {
	if len(c.loss) == 0 {
		return data.Decimal{}
	}
	amount := c.loss[0].Amount
	if slices.ContainsFunc(c.risky, func(a AtRisk) bool {
		return slices.ContainsFunc(a.Flags, func(f Flag) bool { return f.Code == "renewal" })
	}) {
		if more, ok := amount.MulRatio(5, 4); ok {
			return more
		}
	}
	return amount
}

// totalLoss adds up the expected loss of customers.
func totalLoss(list []customerRisk) ([]data.Money, error) {
	total := sums{}
	for _, c := range list {
		if err := total.add(c.loss); err != nil {
			return nil, err
		}
	}
	return total.list(), nil
}
