package sample

import (
	"fmt"
	"math"

	"tidemark/data"
)

// never is a day that does not come.
const never data.Day = math.MaxInt32

// customer is one customer of the partner.
type customer struct {
	id       data.CustomerID
	name     string
	domain   string
	country  string
	currency string
	contact  string // empty for most
	phone    string
	email    string
	since    data.Day // first day of its first subscription
	plan     string   // the pay-as-you-go plan that its subscriptions share
	young    bool     // takes no further subscriptions
	owns     int      // subscriptions so far
}

func (c *customer) row() data.Customer {
	return data.Customer{
		CustomerID: c.id,
		Name:       data.Optional(c.name),
		Domain:     data.Optional(c.domain),
		Country:    data.Optional(c.country),
		FirstSeen:  new(c.since),
		Contact:    data.Optional(c.contact),
		Phone:      data.Optional(c.phone),
		Email:      data.Optional(c.email),
		Source:     "sample",
	}
}

// subscription is one subscription and what becomes of it.
type subscription struct {
	id       data.SubscriptionID
	customer int
	name     string
	plan     string
	offer    string
	trial    bool

	created data.Day
	last    data.Day // last day that can have usage
	ended   data.Day // day it becomes status; never for most
	status  data.Status
	term    int  // days of a commitment, 0 for pay as you go
	renews  bool // the commitment starts anew at its end

	rhythm  rhythm
	pause   data.Period // silent in between; the zero period for none
	decline data.Day    // first day of the decline
	size    int         // per mille of the usual amounts
	growth  int         // per mille in 30 days
	meters  meterSet
	covered bool // a reservation pays for its machines
}

// row returns the subscription as it is on a day.
func (s *subscription) row(owner data.CustomerID, on data.Day) data.Subscription {
	row := data.Subscription{
		SubscriptionID: s.id,
		CustomerID:     owner,
		PlanID:         data.Optional(s.plan),
		Name:           data.Optional(s.name),
		Offer:          data.Optional(s.offer),
		Status:         data.StatusActive,
		Created:        new(s.created),
		CreatedBasis:   new(data.BasisSource),
		Trial:          new(s.trial),
	}
	switch {
	case s.ended <= on:
		row.Status = s.status
		if s.status.Ended() {
			row.EndedAt = new(s.ended)
		}
	case on < s.created+pendingDays && s.trial:
		row.Status = data.StatusPending
	}
	if s.term > 0 {
		row.AutoRenew = new(s.renews)
		terms := data.Day(1)
		if s.renews {
			terms = (min(on, s.ended)-s.created)/data.Day(s.term) + 1
		}
		row.CommitmentEnd = new(s.created + terms*data.Day(s.term))
		if terms > 1 {
			row.RenewedAt = new(s.created + (terms-1)*data.Day(s.term))
		}
	}
	return row
}

// pendingDays is how long a trial waits for its activation.
const pendingDays = 2

// layOut makes the customers and subscriptions. The first subscriptions go to
// one customer each, so that each has one; the others to whom chance favours,
// the first customers more than the last.
func (s *Source) layOut() {
	s.customers = make([]customer, s.o.Customers)
	for k := range s.customers {
		s.customers[k] = s.newCustomer(k)
	}
	s.subscriptions = make([]subscription, s.o.Subscriptions)
	for i := range s.subscriptions {
		k := s.owner(i)
		sub := s.newSubscription(i, k)
		c := &s.customers[k]
		if i < s.o.Customers+1 && part(i) == newcomer {
			c.young = true
		}
		c.since = min(c.since, sub.created)
		s.subscriptions[i] = sub
	}
	for k := range s.customers {
		if c := &s.customers[k]; c.since == never {
			c.since = s.o.Story - data.Day(100+s.dice.roll(1000, forCustomer, uint64(k), 1)) // owns nothing
		}
	}
}

// owner returns the customer of a subscription.
func (s *Source) owner(i int) int {
	n := len(s.customers)
	switch {
	case i < 2 || n == 1:
		return 0
	case i <= n:
		return i - 1
	}
	// The square of a throw favours low numbers: a few large customers.
	r := s.dice.roll(1000, forSubscription, uint64(i), 1)
	k := 1 + r*r*(n-1)/1_000_000
	for step := 0; step < n && s.customers[k].young; step++ {
		k = 1 + k%(n-1)
	}
	return k
}

func (s *Source) newCustomer(k int) customer {
	d, n := s.dice, uint64(k)
	c := customer{id: data.CustomerID(d.guid(forCustomer, n)), name: d.plainName(k), country: "NL", currency: "EUR",
		since: never, plan: d.guid(forCustomer, n, 2)}
	c.domain = slug(c.name) + ".example"
	switch d.roll(12, forCustomer, n, 3) {
	case 0:
		c.country, c.currency = "GB", "GBP"
	case 1:
		c.country, c.currency = "US", "USD"
	case 2:
		c.country = "BE"
	case 3:
		c.country = "DE"
	}
	if name, ok := strange(strangeCustomers(), k); ok {
		c.name, c.domain = name, fmt.Sprintf("klant-%d.example", k)
	}
	if k == 0 {
		c.name, c.domain, c.country, c.currency = "Noordzee Logistiek", "noordzee-logistiek.example", "NL", "EUR"
	}
	if k%4 == 0 {
		person := people()[k/4%len(people())]
		c.contact, c.email = person, address(person, c.domain)
		c.phone = fmt.Sprintf("0%d0 555 01 %02d", 1+k/4%7, (23+k)%100)
	}
	return c
}

func (s *Source) newSubscription(i, k int) subscription {
	d, n := s.dice, uint64(i)
	c := &s.customers[k]
	uses := []string{"prod", "test", "dev", "dwh", "web", "backup", "erp", "data"}
	use := uses[c.owns%len(uses)]
	if c.owns >= len(uses) {
		use = fmt.Sprintf("%s-%d", use, 1+c.owns/len(uses))
	}
	c.owns++
	sub := subscription{
		id: data.SubscriptionID(d.guid(forSubscription, n)), customer: k, name: slug(c.name) + "-" + use,
		plan: c.plan, offer: "Azure plan",
		created: s.o.Story - data.Day(150+d.roll(1200, forSubscription, n, 3)),
		last:    never, ended: never, status: data.StatusActive, decline: never,
		rhythm: daily, size: 200 + d.roll(900, forSubscription, n, 4), growth: d.roll(60, forSubscription, n, 5) - 20,
		meters: d.meters(i), covered: d.roll(12, forSubscription, n, 6) == 0,
	}
	if _, odd := strange(strangeCustomers(), k); odd {
		sub.name, sub.size = fmt.Sprintf("klant-%d-%s", k, use), sub.size/2
	}
	if name, odd := strange(strangeSubscriptions(), i); odd {
		sub.name = name
	}
	if d.roll(4, forSubscription, n, 7) == 0 {
		sub.plan, sub.term, sub.renews = d.guid(forSubscription, n, 8), 365, true
	}
	if d.roll(7, forSubscription, n, 9) == 0 {
		sub.created = s.o.Story - data.Day(22+d.roll(100, forSubscription, n, 10))
	}
	s.tell(&sub, i)
	s.later(&sub, i)
	return sub
}
