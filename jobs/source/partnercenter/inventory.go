package partnercenter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// customer is a customer of Partner Center, as far as it is used.
type customer struct {
	ID      text `json:"id"`
	Profile struct {
		TenantID    text `json:"tenantId"`
		Domain      text `json:"domain"`
		CompanyName text `json:"companyName"`
	} `json:"companyProfile"`
	Relationship text `json:"relationshipToPartner"`
}

func (c customer) id() data.CustomerID {
	return data.CustomerID(data.CleanID(cmp.Or(string(c.ID), string(c.Profile.TenantID))))
}

// resold reports whether the partner resells to the customer. One whose relation
// is not stated counts as such.
func (c customer) resold() (relation string, ok bool) {
	relation = data.CleanID(string(c.Relationship))
	return relation, relation != "advisor" && relation != "none" && relation != "microsoft_support"
}

// plan is a subscription of Partner Center: an Azure plan, an Azure subscription
// of the old kind, or licences.
type plan struct {
	ID           text  `json:"id"`
	Entitlement  text  `json:"entitlementId"`
	OfferID      text  `json:"offerId"`
	OfferName    text  `json:"offerName"`
	FriendlyName text  `json:"friendlyName"`
	Created      text  `json:"creationDate"`
	End          text  `json:"commitmentEndDate"`
	Status       text  `json:"status"`
	AutoRenew    *bool `json:"autoRenewEnabled"`
	Trial        *bool `json:"isTrial"`
	BillingType  text  `json:"billingType"`
}

const (
	offerAzurePlan = "dzh318z0bps6:0001"
	offerOldAzure  = "ms-azr-"
)

// azure reports whether the subscription is Azure's. Billing by usage is what
// all of them share; the offers stand in where it is not stated.
func (p plan) azure() bool {
	offer := data.CleanID(string(p.OfferID))
	return data.CleanID(string(p.BillingType)) == "usage" || strings.HasPrefix(offer, offerAzurePlan) || strings.HasPrefix(offer, offerOldAzure)
}

// old reports whether it is an Azure subscription itself, not a plan that holds
// some.
func (p plan) old() bool {
	return strings.HasPrefix(data.CleanID(string(p.OfferID)), offerOldAzure)
}

// entitlement is an Azure subscription inside a plan.
type entitlement struct {
	ID           text `json:"id"`
	FriendlyName text `json:"friendlyName"`
	Status       text `json:"status"`
}

// Customers yields the customers that the partner resells to, in the order of
// their ids. Others, such as those the partner only advises, are left out.
func (s *Source) Customers(ctx context.Context, tally *data.Tally) iter.Seq2[data.Customer, error] {
	return func(yield func(data.Customer, error) bool) {
		all, err := within(ctx, s, func(ctx context.Context) ([]customer, error) { return s.readCustomers(ctx, tally) })
		if err != nil {
			yield(data.Customer{}, s.failed(err))
			return
		}
		for i, c := range all {
			if ctx.Err() != nil {
				yield(data.Customer{}, ctx.Err())
				return
			}
			tally.Read++
			row := data.Customer{CustomerID: c.id(), Name: data.Optional(clean(c.Profile.CompanyName)),
				Domain: data.Optional(data.CleanID(string(c.Profile.Domain))), Source: s.Kind()}
			if row.CustomerID == "" {
				err := &data.RowError{File: "customers", Line: int64(i + 1), Column: "id", Reason: "missing: every customer needs one"}
				if !yield(data.Customer{}, err) {
					return
				}
				continue
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// readCustomers returns the customers that are wanted, each once, sorted.
func (s *Source) readCustomers(ctx context.Context, tally *data.Tally) ([]customer, error) {
	s.stopped = "the list of customers is not whole"
	all, err := readAll[customer](ctx, s.pc, s.cp, fmt.Sprintf("/v1/customers?size=%d", s.o.PageSize))
	if err != nil {
		return nil, err
	}
	seen := map[data.CustomerID]bool{}
	wanted := all[:0:0]
	for _, c := range all {
		id := c.id()
		relation, resold := c.resold()
		switch {
		case id != "" && seen[id]: // a page may come twice
			continue
		case s.exclude[id]:
			tally.Skip("customer in source.exclude")
			continue
		case !resold:
			tally.Skip("customer with the relationship " + relation)
			continue
		}
		seen[id] = true
		wanted = append(wanted, c)
	}
	slices.SortStableFunc(wanted, func(a, b customer) int { return cmp.Compare(a.id(), b.id()) })
	return wanted, nil
}

// clean is a name without what no name holds at its ends.
func clean(t text) string { return strings.TrimSpace(string(t)) }

// Subscriptions yields the Azure subscriptions of all customers, in the order of
// customers and ids. A customer who could not be read is a [*data.CustomerError].
// Where nobody could be read but those who have gone, the cause is the whole
// partner's, and the sequence ends with it.
func (s *Source) Subscriptions(ctx context.Context, tally *data.Tally) iter.Seq2[data.Subscription, error] {
	return func(yield func(data.Subscription, error) bool) {
		results, err := within(ctx, s, func(ctx context.Context) ([]result, error) { return s.readSubscriptions(ctx, tally) })
		if err != nil {
			yield(data.Subscription{}, s.failed(err))
			return
		}
		rows, dropped := onlyOnce(results)
		for reason, n := range dropped {
			for range n {
				tally.Skip(reason)
			}
		}
		for _, r := range results {
			if r.err != nil {
				tally.Read++
				if !yield(data.Subscription{}, r.err) {
					return
				}
			}
			for _, row := range rows[r.customer] {
				if ctx.Err() != nil {
					yield(data.Subscription{}, ctx.Err())
					return
				}
				tally.Read++
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// result is what was read of one customer.
type result struct {
	customer data.CustomerID
	rows     []data.Subscription
	licences int
	unknown  []string // statuses nobody knows here
	err      *data.CustomerError
	gone     bool // err is the customer's own: it has left the partner, or its tenant is not there
}

func (s *Source) readSubscriptions(ctx context.Context, tally *data.Tally) ([]result, error) {
	customers, err := s.readCustomers(ctx, &data.Tally{})
	if err != nil {
		return nil, err
	}
	customers = slices.DeleteFunc(customers, func(c customer) bool { return c.id() == "" })
	results := make([]result, len(customers))
	read := atomic.Int64{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(s.o.Parallel)
	for i, c := range customers {
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			r, err := s.readCustomer(groupCtx, c.id())
			if err != nil {
				return err
			}
			results[i] = r
			n := read.Add(1)
			s.progress("customers", int(n), len(customers))
			return nil
		})
	}
	err = group.Wait()
	s.stopped = fmt.Sprintf("%d of %d customers are read", read.Load(), len(customers))
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, retry.ErrNoTime
		}
		return nil, err
	}
	return results, s.count(results, tally)
}

// count adds to the tally what was passed over. It is an error when none of the
// customers who have not gone could be read: then it is not the customers'.
func (s *Source) count(results []result, tally *data.Tally) error {
	var cause *data.CustomerError
	there, failed, unknown := 0, 0, map[string]int{}
	for _, r := range results {
		if !r.gone {
			there++
		}
		if r.err != nil && !r.gone {
			failed++
			if cause == nil || r.err.Permanent && !cause.Permanent {
				cause = r.err
			}
		}
		for range r.licences {
			tally.Skip("subscription that is not Azure's")
		}
		for _, status := range r.unknown {
			unknown[status]++
		}
	}
	for _, status := range slices.Sorted(maps.Keys(unknown)) {
		tally.Warnings = append(tally.Warnings, fmt.Sprintf("%d subscriptions have the status %q, which is not known: they count as unknown", unknown[status], status))
	}
	if cause == nil || failed < there {
		return nil
	}
	others := ""
	if n := len(results) - there; n > 0 {
		others = fmt.Sprintf(", beside %d who have left the partner or whose tenant is not there", n)
	}
	return fmt.Errorf("none of %d customers can be read%s: %w", there, others, cause.Err) // not one customer's error any more
}

// readCustomer reads one customer's subscriptions. A refusal that concerns this
// customer is part of the result.
func (s *Source) readCustomer(ctx context.Context, id data.CustomerID) (result, error) {
	r := result{customer: id}
	path := "/v1/customers/" + url.PathEscape(string(id)) + "/subscriptions"
	plans, err := readAll[plan](ctx, s.pc, s.cp, path)
	if err != nil {
		return s.judge(ctx, r, err)
	}
	for _, p := range plans {
		if !p.azure() {
			r.licences++
			continue
		}
		if p.old() {
			r.add(p, entitlement{ID: text(cmp.Or(string(p.Entitlement), string(p.ID))), FriendlyName: p.FriendlyName, Status: p.Status})
			continue
		}
		inside, err := readAll[entitlement](ctx, s.pc, s.cp, path+"/"+url.PathEscape(string(p.ID))+"/azureEntitlements")
		if err != nil {
			return s.judge(ctx, r, err)
		}
		for _, e := range inside {
			r.add(p, e)
		}
	}
	slices.SortStableFunc(r.rows, func(a, b data.Subscription) int { return cmp.Compare(a.SubscriptionID, b.SubscriptionID) })
	return r, nil
}

// refused takes an error for the customer's own where it is an answer about this
// customer, or none; any other is returned.
func (r result) refused(err error) (result, error) {
	var refused *retry.StatusError
	var gaveUp *retry.GaveUp
	switch {
	case errors.As(err, &refused):
		e := microsoft.ParseError(refused.Body)
		if e.Code == microsoft.CodeNoMFA || errors.Is(err, retry.ErrNoTime) {
			return r, err
		}
		r.err = &data.CustomerError{CustomerID: r.customer, Reason: strings.TrimSpace(fmt.Sprintf("%d %s", refused.Status, microsoft.Shorten(e.Code))), Err: err,
			Permanent: refused.Status/100 == 4 && refused.Status != http.StatusTooManyRequests && refused.Status != http.StatusRequestTimeout}
		r.gone = e.Code == codeNoRelation || e.Code == codeNoTenant
		if e.Code == codeNoRelation {
			r.err.Reason += " no commerce relationship"
		}
	case errors.As(err, &gaveUp), errors.Is(err, errEndless):
		r.err = &data.CustomerError{CustomerID: r.customer, Reason: "no whole answer", Err: err}
	default:
		return r, err
	}
	r.rows = nil
	return r, nil
}
