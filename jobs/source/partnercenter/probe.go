package partnercenter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// Probing is what a probe looks at, and who is told what it finds.
type Probing struct {
	Inventory, Usage bool // what the source is to give

	OK      func(string) // what works, and what would be read
	Warn    func(string) // what an extraction would warn of
	Problem func(error)  // what an extraction would fail of
}

// try tells how one thing went.
func (p Probing) try(what string, look func() (string, error)) bool {
	found, err := look()
	if err != nil {
		p.Problem(fmt.Errorf("%s: %w", what, err))
		return false
	}
	p.OK(what + ": " + found)
	return true
}

// Probe tries sign-in, each permission that the source needs for what it is to
// give and one page of each resource, and says of each how it went and what an
// extraction would read. It changes nothing and starts no export. Every finding is
// told, also after one that failed.
func (s *Source) Probe(ctx context.Context, p Probing) {
	s.cp = forgetful(s.o.Work)
	if p.Usage && len(s.currencies) == 0 {
		p.OK("usage: not extracted, since currencies is not set")
		p.Usage = false
	}
	// Invoices, which say what billed usage there is, are Partner Center's, too.
	if (p.Inventory || p.Usage) && p.signIn(ctx, "Partner Center", s.pc) && p.Inventory {
		s.probeInventory(ctx, p)
	}
	if p.Usage && p.signIn(ctx, "Microsoft Graph", s.graph) {
		s.probeBilling(ctx, p)
	}
}

// signIn signs in to a host.
func (p Probing) signIn(ctx context.Context, name string, a *microsoft.API) bool {
	return p.try("sign-in for "+name, func() (string, error) { return a.SignIn(ctx) })
}

// probeInventory reads one page of customers, and one customer.
func (s *Source) probeInventory(ctx context.Context, p Probing) {
	var first page[customer]
	listed := p.try("customers", func() (string, error) {
		var err error
		first, err = readPage[customer](ctx, s.pc, link{URI: fmt.Sprintf("/v1/customers?size=%d", s.o.PageSize)})
		more := ""
		if first.Next != nil {
			more = ", and there are more"
		}
		return fmt.Sprintf("%d on the first page%s", len(first.Items), more), err
	})
	if listed {
		s.probeCustomer(ctx, first.Items, p)
	}
}

// probeCustomer reads the first customer who can be read. Those who have gone tell
// nothing of the others, and an extraction does without them.
func (s *Source) probeCustomer(ctx context.Context, customers []customer, p Probing) {
	const what, most, mostGone = "subscriptions and Azure entitlements", 5, 25
	var refused []error
	gone := 0
	for _, c := range customers {
		if _, resold := c.resold(); c.id() == "" || s.exclude[c.id()] || !resold {
			continue
		}
		if len(refused) == most || gone == mostGone {
			break
		}
		r, err := s.readCustomer(ctx, c.id())
		switch {
		case err != nil:
			p.Problem(fmt.Errorf("%s: %w", what, err))
			return
		case r.gone:
			gone++
		case r.err != nil: // this customer's own trouble, unless it is everybody's
			refused = append(refused, r.err)
		default:
			p.OK(fmt.Sprintf("%s: %d Azure subscriptions of the first customer, %d others left out", what, len(r.rows), r.licences))
			return
		}
	}
	switch {
	case len(refused) > 0:
		p.Problem(fmt.Errorf("%s: %w", what, refused[0]))
	case gone > 0:
		p.Warn(fmt.Sprintf("%s: not known, since the %d customers tried have left the partner or their tenants are not there; name them in source.exclude", what, gone))
	default:
		p.OK(what + ": not tried, since the first page has no customer to read")
	}
}

// probeBilling tries the permission for exports, and says which there would be.
func (s *Source) probeBilling(ctx context.Context, p Probing) {
	p.try("permission for billing exports", func() (string, error) {
		// An operation that does not exist is not found; without the permission it is refused.
		u := s.graph.Host.JoinPath(s.graph.Version, "reports/partners/billing/operations/00000000-0000-0000-0000-000000000000")
		var op operation
		if _, err := s.graph.Get(ctx, u, nil, &op); err != nil && !gone(err) && !badRequest(err) {
			return "", err
		}
		return "PartnerBilling.Read.All", nil
	})
	var tally data.Tally
	p.try("invoices", func() (string, error) {
		todo, _, err := s.invoicesFor(ctx, nil, &tally)
		return fmt.Sprintf("%d to be read", len(todo)), err
	})
	for _, w := range tally.Warnings {
		p.Warn(w)
	}
	p.OK(fmt.Sprintf("usage would be read: unbilled of the current and the last billing period, in %s", strings.Join(s.currencies, ", ")))
}

// Offer is what billed invoices could fill back.
type Offer struct {
	Invoices int
	Blobs    int
	Bytes    int64  // 0 where the manifests do not say
	From     string // the first month, e.g. "2026-05"; empty where no invoice tells its own

	Warnings []string // what keeps invoices from being offered, e.g. that they cannot be listed
}

// Backfill has the exports of the billed invoices prepared and says how much
// there is, before anything is downloaded.
func (s *Source) Backfill(ctx context.Context) (Offer, error) {
	o, err := within(ctx, s, func(ctx context.Context) (Offer, error) {
		var o Offer
		var tally data.Tally
		kept := s.cp
		s.cp = forgetful(s.o.Work) // the list may be another one when somebody has said yes
		todo, _, err := s.invoicesFor(ctx, nil, &tally)
		s.cp, o.Warnings = kept, tally.Warnings
		if err != nil {
			return o, err
		}
		for i, inv := range todo {
			s.stopped = fmt.Sprintf("%d of %d invoices are asked for", i, len(todo))
			of, err := s.measure(ctx, export{Invoice: inv.ID, Currency: inv.Currency})
			if errors.Is(err, errNoData) {
				continue
			}
			if err != nil {
				return o, fmt.Errorf("invoice %s: %w", inv.ID, err)
			}
			o.Invoices, o.Blobs, o.Bytes = o.Invoices+1, o.Blobs+of.Blobs, o.Bytes+of.Bytes
			if month := inv.about(); month != "" && (o.From == "" || month < o.From) {
				o.From = month
			}
		}
		return o, nil
	})
	return o, s.failed(err)
}

// measure has an export prepared and says how large it is. One whose signature has
// ended is ordered anew.
func (s *Source) measure(ctx context.Context, e export) (Offer, error) {
	for round := 1; ; round++ {
		m, err := s.prepare(ctx, e)
		if err != nil {
			return Offer{}, err
		}
		o, err := s.sizes(ctx, m)
		var refused *retry.StatusError
		if round == maxRounds || !errors.As(err, &refused) || !stale(refused.Status) {
			return o, err
		}
		if err := s.cp.forget(e.key()); err != nil {
			return Offer{}, err
		}
	}
}

// sizes adds up the blobs of a manifest, and asks how large those are that it does not
// say it of.
func (s *Source) sizes(ctx context.Context, m *manifest) (o Offer, err error) {
	for _, b := range m.Blobs {
		size := b.Size
		if size == 0 {
			if size, err = s.blobSize(ctx, m, b.Name); err != nil {
				return o, err
			}
		}
		o.Blobs, o.Bytes = o.Blobs+1, o.Bytes+size
	}
	return o, nil
}
