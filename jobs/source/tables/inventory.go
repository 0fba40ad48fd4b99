package tables

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// Columns of customers.
const (
	cusID = iota
	cusName
	cusDomain
	cusCountry
	cusFirstSeen
	cusContact
	cusPhone
	cusEmail
)

func customerColumns() []flatfile.Column {
	return []flatfile.Column{
		cusID:        {Name: "customer_id", Required: true},
		cusName:      {Name: "name"},
		cusDomain:    {Name: "domain"},
		cusCountry:   {Name: "country"},
		cusFirstSeen: {Name: "first_seen"},
		cusContact:   {Name: "contact"},
		cusPhone:     {Name: "phone"},
		cusEmail:     {Name: "email"},
	}
}

// Customers yields the rows of customers: customer_id (required), name, domain,
// country, first_seen, contact, phone, email. A second row of a customer is a
// bad row.
func (s *Source) Customers(ctx context.Context, tally *data.Tally) iter.Seq2[data.Customer, error] {
	return func(yield func(data.Customer, error) bool) {
		once := make(seen)
		parse := func(r *flatfile.Row) (data.Customer, bool) {
			return data.Customer{
				CustomerID: data.CustomerID(once.id(r, cusID)),
				Name:       data.Optional(r.Text(cusName)),
				Domain:     data.Optional(r.Text(cusDomain)),
				Country:    data.Optional(r.Text(cusCountry)),
				FirstSeen:  flatfile.Parse(r, cusFirstSeen, s.parseDay),
				Contact:    data.Optional(r.Text(cusContact)),
				Phone:      data.Optional(r.Text(cusPhone)),
				Email:      data.Optional(r.Text(cusEmail)),
				Source:     s.Kind(),
			}, true
		}
		reading[data.Customer]{source: s, table: "customers", columns: customerColumns(), parse: parse, about: ofID(cusID)}.rows(ctx, tally)(yield)
	}
}

// Columns of subscriptions.
const (
	subID = iota
	subCustomer
	subPlan
	subName
	subOffer
	subStatus
	subCreated
	subCommitmentEnd
	subAutoRenew
	subRenewedAt
	subEndedAt
	subTrial
)

func subscriptionColumns() []flatfile.Column {
	return []flatfile.Column{
		subID:            {Name: "subscription_id", Required: true},
		subCustomer:      {Name: "customer_id", Required: true},
		subPlan:          {Name: "plan_id"},
		subName:          {Name: "name"},
		subOffer:         {Name: "offer"},
		subStatus:        {Name: "status"},
		subCreated:       {Name: "created"},
		subCommitmentEnd: {Name: "commitment_end"},
		subAutoRenew:     {Name: "auto_renew"},
		subRenewedAt:     {Name: "renewed_at"},
		subEndedAt:       {Name: "ended_at"},
		subTrial:         {Name: "trial"},
	}
}

// Subscriptions yields the rows of subscriptions: subscription_id and
// customer_id (required), plan_id, name, offer, status, created, commitment_end,
// auto_renew, renewed_at, ended_at, trial. A second row of a subscription is a
// bad row. Booleans are true, false, yes, no, 1 or 0.
func (s *Source) Subscriptions(ctx context.Context, tally *data.Tally) iter.Seq2[data.Subscription, error] {
	return func(yield func(data.Subscription, error) bool) {
		once := make(seen)
		parse := func(r *flatfile.Row) (data.Subscription, bool) {
			sub := data.Subscription{
				SubscriptionID: data.SubscriptionID(once.id(r, subID)),
				CustomerID:     data.CustomerID(requiredID(r, subCustomer)),
				PlanID:         data.Optional(r.Text(subPlan)),
				Name:           data.Optional(r.Text(subName)),
				Offer:          data.Optional(r.Text(subOffer)),
				Status:         data.StatusUnknown,
				Created:        flatfile.Parse(r, subCreated, s.parseDay),
				CommitmentEnd:  flatfile.Parse(r, subCommitmentEnd, s.parseDay),
				AutoRenew:      flatfile.Parse(r, subAutoRenew, parseBool),
				RenewedAt:      flatfile.Parse(r, subRenewedAt, s.parseDay),
				EndedAt:        flatfile.Parse(r, subEndedAt, s.parseDay),
				Trial:          flatfile.Parse(r, subTrial, parseBool),
			}
			if status := flatfile.Parse(r, subStatus, s.parseStatus); status != nil {
				sub.Status = *status
			}
			if sub.Created != nil {
				sub.CreatedBasis = new(data.BasisSource)
			}
			return sub, true
		}
		reading[data.Subscription]{source: s, table: "subscriptions", columns: subscriptionColumns(), parse: parse, about: ofID(subID)}.rows(ctx, tally)(yield)
	}
}

// seen holds the line on which each id of an inventory table stands.
type seen map[string]int64

// id reads the id that a row is about, which only one row may have.
func (s seen) id(r *flatfile.Row, col int) string {
	id := requiredID(r, col)
	if id == "" {
		return ""
	}
	if line, twice := s[id]; twice {
		r.Fail(col, fmt.Sprintf("the same id stands on line %d: keep one row per id", line))
		return ""
	}
	id = strings.Clone(id) // not to hold on to the whole row
	s[id] = r.Line
	return id
}

// ofID notes the id that a bad row is of.
func ofID(col int) func(*flatfile.Row, *data.RowError) {
	return func(r *flatfile.Row, bad *data.RowError) { bad.ID = strings.Clone(data.CleanID(r.Text(col))) }
}

func requiredID(r *flatfile.Row, col int) string {
	id := data.CleanID(r.Text(col))
	if id == "" {
		r.Fail(col, "missing: every row needs one")
	}
	return id
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, errors.New("not a boolean: want true or false")
}

func (s *Source) parseStatus(text string) (data.Status, error) {
	status, err := data.ParseStatus(text)
	if err != nil && s.o.Lenient {
		return data.StatusUnknown, nil
	}
	return status, err
}
