package partnercenter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tidemark/data"
)

// Probe tries sign-in, each permission and one page of each resource, and says
// of each how it went and what an extraction would read. It changes nothing and
// starts no export. Every finding is told, also after one that failed.
func (s *Source) Probe(ctx context.Context, ok func(string), problem func(error)) {
	s.cp = forgetful(s.o.Work)
	s.probe(ctx, ok, problem)
}

func (s *Source) probe(ctx context.Context, ok func(string), problem func(error)) {
	how := "app-only"
	if s.o.RefreshToken != "" {
		how = "app+user"
	}
	try := func(what string, look func() (string, error)) bool {
		found, err := look()
		if err != nil {
			problem(fmt.Errorf("%s: %w", what, err))
			return false
		}
		ok(what + ": " + found)
		return true
	}
	signedIn := func(name string, resources ...string) bool {
		return try("sign-in for "+name, func() (string, error) {
			var err error
			for _, r := range resources {
				if _, err = s.sign.token(ctx, r, ""); !errors.Is(err, errNoResource) {
					break
				}
			}
			return how, err
		})
	}
	if signedIn("Partner Center", s.resources...) {
		s.probeInventory(ctx, try)
	}
	if signedIn("Microsoft Graph", resourceGraph) {
		s.probeBilling(ctx, ok, try)
	}
}

// probeInventory reads one page of customers, and one customer.
func (s *Source) probeInventory(ctx context.Context, try func(string, func() (string, error)) bool) {
	var first page[customer]
	listed := try("customers", func() (string, error) {
		var err error
		first, err = readPage[customer](ctx, s.pc, link{URI: fmt.Sprintf("/v1/customers?size=%d", s.o.PageSize)})
		more := ""
		if first.Next != nil {
			more = ", and there are more"
		}
		return fmt.Sprintf("%d on the first page%s", len(first.Items), more), err
	})
	if listed {
		s.probeCustomer(ctx, first.Items, try)
	}
}

// probeCustomer reads the first customer who can be read.
func (s *Source) probeCustomer(ctx context.Context, customers []customer, try func(string, func() (string, error)) bool) {
	const most = 5
	looked := 0
	for _, c := range customers {
		if relation := data.CleanID(string(c.Relationship)); c.id() == "" || s.exclude[c.id()] || relation == "advisor" || relation == "none" {
			continue
		}
		if looked++; looked > most {
			return
		}
		r, err := s.readCustomer(ctx, c.id())
		if err == nil && r.err != nil && looked < most && len(customers) > looked {
			continue // this customer's own trouble
		}
		try("subscriptions and Azure entitlements", func() (string, error) {
			if err == nil && r.err != nil {
				err = r.err
			}
			return fmt.Sprintf("%d Azure subscriptions of the first customer, %d others left out", len(r.rows), r.licences), err
		})
		return
	}
}

func (s *Source) probeBilling(ctx context.Context, ok func(string), try func(string, func() (string, error)) bool) {
	try("permission for billing exports", func() (string, error) {
		// An operation that does not exist is not found; without the permission it is refused.
		u := s.graph.host.JoinPath(s.graph.version, "reports/partners/billing/operations/00000000-0000-0000-0000-000000000000")
		var op operation
		if _, err := s.graph.get(ctx, u, nil, &op); err != nil && !gone(err) && !badRequest(err) {
			return "", err
		}
		return "PartnerBilling.Read.All", nil
	})
	if len(s.currencies) == 0 {
		ok("usage: not extracted, since currencies is not set")
		return
	}
	try("invoices", func() (string, error) {
		var tally data.Tally
		todo, _, err := s.invoicesFor(ctx, nil, &tally)
		if err != nil {
			return "", err
		}
		var ids []string
		for _, inv := range todo {
			ids = append(ids, inv.ID)
		}
		notes := ""
		for _, w := range tally.Warnings {
			notes += "; " + w
		}
		return fmt.Sprintf("%d to be read%s", len(ids), notes), nil
	})
	ok(fmt.Sprintf("usage would be read: unbilled of the current and the last billing period, in %s", strings.Join(s.currencies, ", ")))
}

// Offer is what billed invoices could fill back.
type Offer struct {
	Invoices int
	Blobs    int
	Bytes    int64 // 0 where the manifests do not say
	From     string
}

// Backfill has the exports of the billed invoices prepared and says how much
// there is, before anything is downloaded.
func (s *Source) Backfill(ctx context.Context) (Offer, error) {
	return within(ctx, s, func(ctx context.Context) (Offer, error) {
		var o Offer
		var tally data.Tally
		kept := s.cp
		s.cp = forgetful(s.o.Work) // the list may be another one when somebody has said yes
		todo, _, err := s.invoicesFor(ctx, nil, &tally)
		s.cp = kept
		if err != nil {
			return o, err
		}
		for _, inv := range todo {
			m, err := s.prepare(ctx, export{Invoice: inv.ID, Currency: inv.Currency})
			if errors.Is(err, errNoData) {
				continue
			}
			if err != nil {
				return o, fmt.Errorf("invoice %s: %w", inv.ID, err)
			}
			o.Invoices++
			if o.From == "" || inv.month() < o.From {
				o.From = inv.month()
			}
			for _, b := range m.Blobs {
				o.Blobs++
				size := b.Size
				if size == 0 {
					if size, err = s.blobSize(ctx, m, b.Name); err != nil {
						return o, fmt.Errorf("invoice %s: %w", inv.ID, err)
					}
				}
				o.Bytes += size
			}
		}
		return o, nil
	})
}
