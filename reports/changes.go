package reports

import (
	"cmp"
	"maps"
	"slices"

	"tidemark/data"
	"tidemark/transform/churn"
)

// changes is what is different from the end of the previous period. Texts are
// ready to be listed.
type changes struct {
	risen     []string // customers that were not on the list
	recovered []string // customers that were, and are at low risk now
	silent    []string // subscriptions that stopped being used at all
	ended     []string // subscriptions suspended or deprovisioned in the period
}

func (b *builder) changes() changes {
	c := changes{ended: b.labels(b.endedInPeriod())}
	if !b.bg.Scored || !b.bg.PreviousScored {
		return c
	}
	was := make(map[data.CustomerID]bool)
	for id, before := range b.bg.PreviousRisk {
		if risky(before.Band) {
			was[b.bg.Subscriptions[id].CustomerID] = true
		}
	}
	is := make(map[data.CustomerID]bool)
	for _, r := range b.risks {
		is[r.id] = true
		if !was[r.id] {
			c.risen = append(c.risen, b.customer(r.id))
		}
	}
	low := make(map[data.CustomerID]bool)
	var silent []data.SubscriptionID
	for _, a := range b.doc.AtRisk {
		low[a.CustomerID] = low[a.CustomerID] || a.State == churn.StateScored
		before, known := b.bg.PreviousRisk[a.SubscriptionID]
		if known && a.State == churn.StateDormant && before.State == churn.StateScored {
			silent = append(silent, a.SubscriptionID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if !is[id] && low[id] {
			c.recovered = append(c.recovered, b.customer(id))
		}
	}
	c.silent = b.labels(silent)
	return c
}

// after is the document as somebody reads it who was sent an earlier report: its
// risks are compared with what that one said.
func (d *Document) after(last LastMail) *Document {
	again := *d
	again.Background.PreviousRisk, again.Background.PreviousScored = last.Risk, true
	return &again
}

// endedInPeriod returns the subscriptions that were suspended or deprovisioned
// in the period, or since the last mail's, by day and id.
func (b *builder) endedInPeriod() []data.SubscriptionID {
	span := b.doc.Period
	if b.in.Last != nil {
		span.From = min(span.From, b.in.Last.Until+1)
	}
	var ids []data.SubscriptionID
	for id, s := range b.bg.Subscriptions {
		if s.Status.Ended() && s.EndedAt != nil && span.Contains(*s.EndedAt) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y data.SubscriptionID) int {
		return cmp.Or(cmp.Compare(*b.bg.Subscriptions[x].EndedAt, *b.bg.Subscriptions[y].EndedAt), cmp.Compare(x, y))
	})
	return ids
}

// labels names subscriptions with their customers.
func (b *builder) labels(ids []data.SubscriptionID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		s := b.bg.Subscriptions[id]
		out[i] = b.t("subscription.of", subscriptionName(s.Name, id), b.customer(s.CustomerID))
	}
	return out
}

// since is the section of what changed since the last mail that this person was
// sent. Without one it compares with the previous period, and says so.
func (b *builder) since(c changes) Section {
	s := Section{ID: "since", Title: b.t("since.title"), Note: b.t("since.compared", b.period(b.doc.Previous))}
	if last := b.in.Last; last != nil {
		s.Title, s.Note = b.t("since.mail.title"), b.t("since.mail.compared", b.day(last.Sent))
	}
	if !b.bg.PreviousScored {
		s.Lines = append(s.Lines, b.t("since.unknown", b.before()))
	}
	for _, part := range []struct {
		key  string
		list []string
	}{{"since.risen", c.risen}, {"since.recovered", c.recovered}, {"since.silent", c.silent}, {"since.ended", c.ended}} {
		if len(part.list) > 0 {
			s.Lines = append(s.Lines, b.t(part.key, len(part.list), b.names(part.list)))
		}
	}
	if sold := b.doc.SubscriptionsSold.Value; sold != nil && *sold > 0 {
		s.Lines = append(s.Lines, b.t("since.sold", *sold))
	}
	if len(s.Lines) == 0 {
		s.Lines = []string{b.t("since.nothing")}
	}
	return s
}
