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
	days data.DaySet
	span data.Period // from the first to the last of them
	bare bool        // without manifest
}

// add notes a row. It refuses one whose subscription another place delivers for
// the same day, and of folders without manifest, which may be copies of one month,
// any day between.
func (o owners) add(u *data.Usage, from string, bare bool) error {
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
		known, at = append(known, delivery{from: from, span: data.Period{From: u.Day, To: u.Day}, bare: bare}), len(known)
	}
	mine := &known[at]
	mine.days.Add(u.Day)
	mine.span = data.Period{From: min(mine.span.From, u.Day), To: max(mine.span.To, u.Day)}
	o[key] = known
	for i, d := range known {
		within := (d.bare || mine.bare) && d.span.From <= mine.span.To && mine.span.From <= d.span.To
		if i != at && (within || d.days.Contains(u.Day)) {
			first := u.Day
			if within {
				first = max(d.span.From, mine.span.From)
			}
			return fmt.Errorf("%s is delivered twice for %s, by %s and by %s: it would count double; take one of them out",
				charged(u), first, d.from, from)
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
