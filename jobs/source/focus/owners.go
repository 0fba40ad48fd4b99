package focus

import (
	"fmt"
	"strings"

	"tidemark/data"
)

// owners notes by which export, or folder without manifest, each charge is
// delivered, so that none is added twice.
type owners map[owned][]delivery

// owned is what one export alone may deliver of a month and day: a subscription,
// whoever the exports say it belongs to, or what a customer has beside its
// subscriptions.
type owned struct{ customer, subscription, month string }

// delivery is the days for which a place delivers.
type delivery struct {
	from string
	days data.Period
}

// add notes a row. It refuses one whose subscription another place delivers for
// the same days.
func (o owners) add(u *data.Usage, from string) error {
	key := owned{customer: string(u.CustomerID)}
	if u.SubscriptionID != nil {
		key = owned{subscription: string(*u.SubscriptionID)}
	}
	if u.BillingPeriod != nil {
		key.month = *u.BillingPeriod
	}
	known := o[key]
	at := -1
	for i := range known {
		if known[i].from == from {
			at = i
		}
	}
	if at >= 0 && known[at].days.Contains(u.Day) {
		return nil
	}
	if at < 0 {
		// Cloned, so that it does not keep the whole line it was cut from.
		key = owned{strings.Clone(key.customer), strings.Clone(key.subscription), strings.Clone(key.month)}
		known, at = append(known, delivery{from, data.Period{From: u.Day, To: u.Day}}), len(known)
	}
	mine := &known[at]
	mine.days = data.Period{From: min(mine.days.From, u.Day), To: max(mine.days.To, u.Day)}
	o[key] = known
	for i, d := range known {
		if i != at && d.days.From <= mine.days.To && mine.days.From <= d.days.To {
			return fmt.Errorf("%s is delivered twice for %s, by %s and by %s: it would count double; take one of them out",
				charged(u), max(d.days.From, mine.days.From), d.from, from)
		}
	}
	return nil
}

// charged names what a row charges for.
func charged(u *data.Usage) string {
	if u.SubscriptionID == nil {
		return fmt.Sprintf("customer %s", u.CustomerID)
	}
	return fmt.Sprintf("customer %s, subscription %s", u.CustomerID, *u.SubscriptionID)
}
