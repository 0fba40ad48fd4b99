package reports

import (
	"cmp"
	"maps"
	"slices"

	"tidemark/data"
	"tidemark/transform/churn"
)

// changes is what is different from the last mail that this person was sent, or
// without one from the end of the previous period. Texts are ready to be listed.
type changes struct {
	risen     []string              // customers that were not on the list
	joined    []string              // customers on the list that the last mail was not about
	recovered []string              // customers that were on the list, and are at low risk now
	silent    []data.SubscriptionID // that stopped being used at all
	ended     []ending              // of subscriptions that were suspended or deprovisioned
	sold      int64                 // subscriptions
	told      bool                  // there was more, and it stands above
}

// ending is a day on which a subscription was suspended or deprovisioned.
type ending struct {
	id data.SubscriptionID
	on data.Day
}

// maxLost is how many lost subscriptions are named.
const maxLost = 4

func (b *builder) changes() changes {
	c := changes{ended: b.endedIn(b.doc.Period), sold: valueOf(b.doc.SubscriptionsSold)}
	if last := b.in.Last; last != nil {
		span := data.Period{From: last.Until + 1, To: b.doc.Period.To}
		c.ended, c.sold = b.endedIn(span), b.createdIn(span)
	}
	if !b.bg.Scored || !b.known {
		return c
	}
	was := make(map[data.CustomerID]bool)
	for id, before := range b.before {
		if risky(before.Band) {
			was[b.bg.Subscriptions[id].CustomerID] = true
		}
	}
	is := make(map[data.CustomerID]bool)
	for _, r := range b.risks {
		is[r.id] = true
		switch {
		case was[r.id]:
		case b.in.Last != nil && !b.in.Last.Scope[r.id]:
			c.joined = append(c.joined, b.customer(r.id))
		default:
			c.risen = append(c.risen, b.customer(r.id))
		}
	}
	// Recovered is who has a low score now where it was at risk: one that ended or fell
	// silent has not recovered.
	low, gone := make(map[data.CustomerID]bool), make(map[data.CustomerID]bool)
	for _, a := range b.doc.AtRisk {
		before, known := b.before[a.SubscriptionID]
		low[a.CustomerID] = low[a.CustomerID] || a.State == churn.StateScored
		gone[a.CustomerID] = gone[a.CustomerID] || known && risky(before.Band) && a.State != churn.StateScored
		if known && a.State == churn.StateDormant && before.State == churn.StateScored {
			c.silent = append(c.silent, a.SubscriptionID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if !is[id] && low[id] && !gone[id] {
			c.recovered = append(c.recovered, b.customer(id))
		}
	}
	return c
}

// lost is the section of what is lost already, or silent: it stands under the
// calls, since there is nothing left to hold but something to ask.
func (b *builder) lost(c changes) Section {
	s := Section{ID: "lost", Title: b.t("lost.title")}
	for _, e := range c.ended {
		if b.over(e) {
			s.Lines = append(s.Lines, b.t("lost.ended", b.label(e.id), b.day(e.on)))
		}
	}
	for _, id := range c.silent {
		line := b.t("lost.silent.never", b.label(id))
		if last, known := b.lastUse(id); known {
			line = b.t("lost.silent", b.label(id), b.day(last))
		}
		s.Lines = append(s.Lines, line)
	}
	if rest := len(s.Lines) - maxLost; rest > 0 {
		s.Lines, s.More = s.Lines[:maxLost], b.t("more.attachment", rest)
	}
	return s
}

// lastUse is the last day on which a subscription was used.
func (b *builder) lastUse(id data.SubscriptionID) (data.Day, bool) {
	for _, a := range b.doc.AtRisk {
		if a.SubscriptionID == id && a.IdleDays != nil {
			return a.Origin - data.Day(*a.IdleDays), true
		}
	}
	return 0, false
}

// endedIn returns what was suspended or deprovisioned on some days, by day and id: as
// many as the count of the days has.
func (b *builder) endedIn(span data.Period) []ending {
	var found []ending
	for id, s := range b.bg.Subscriptions {
		for _, on := range s.Endings {
			if span.Contains(on) {
				found = append(found, ending{id, on})
			}
		}
	}
	slices.SortFunc(found, func(x, y ending) int { return cmp.Or(cmp.Compare(x.on, y.on), cmp.Compare(x.id, y.id)) })
	return found
}

// over reports whether an end is the last word on its subscription: one that is active
// again is not lost.
func (b *builder) over(e ending) bool {
	s := b.bg.Subscriptions[e.id]
	return s.Status.Ended() && e.on == s.Endings[len(s.Endings)-1]
}

// endedLabels names subscriptions that ended with their customers.
func (b *builder) endedLabels(endings []ending) []string {
	out := make([]string, len(endings))
	for i, e := range endings {
		out[i] = b.label(e.id)
	}
	return out
}

// createdIn counts the subscriptions that were created on some days: sold, as the
// count of a period has it.
func (b *builder) createdIn(span data.Period) int64 {
	n := int64(0)
	for _, s := range b.bg.Subscriptions {
		if s.Created != nil && span.Contains(*s.Created) {
			n++
		}
	}
	return n
}

// labels names subscriptions with their customers.
func (b *builder) labels(ids []data.SubscriptionID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = b.label(id)
	}
	return out
}

func (b *builder) label(id data.SubscriptionID) string {
	s := b.bg.Subscriptions[id]
	return b.t("subscription.of", subscriptionName(s.Name, id), b.customer(s.CustomerID))
}

// since is the section of what changed since the last mail that this person was
// sent. Without one it compares with the previous period, and says so.
func (b *builder) since(c changes) Section {
	s := Section{ID: "since", Title: b.t("since.title"), Note: b.t("since.compared", b.period(b.doc.Previous))}
	if last := b.in.Last; last != nil {
		s.Title, s.Note = b.t("since.mail.title"), b.t("since.mail.compared", b.day(last.Sent))
	}
	if !b.known {
		s.Lines = append(s.Lines, b.t("since.unknown", b.firstSnapshot()))
	}
	for _, part := range []struct {
		key  string
		list []string
	}{{"since.risen", c.risen}, {"since.joined", c.joined}, {"since.recovered", c.recovered}, {"since.silent", b.labels(c.silent)}, {"since.ended", b.endedLabels(c.ended)}} {
		if len(part.list) > 0 {
			s.Lines = append(s.Lines, b.t(part.key, len(part.list), b.names(part.list)))
		}
	}
	if c.sold > 0 {
		s.Lines = append(s.Lines, b.t("since.sold", c.sold))
	}
	if len(s.Lines) == 0 {
		s.Lines = []string{b.t("since.nothing")}
		if c.told {
			s.Lines = []string{b.t("since.nothing.else")}
		}
	}
	return s
}
