package fakemicrosoft

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// generated is usage made up line by line, never held: each resource of each
// Azure subscription has a line a day.
type generated struct {
	z         Size
	partner   *Partner
	resources []resource
}

// resource is what stays the same in all lines of a resource.
type resource struct {
	currency string
	line     Line
	quantity int64 // about so much a day, in ten-thousandths
	price    int64 // effective, in millionths of a dollar
	split    bool  // two lines a day, the second one covered by a benefit
}

// rate is how many euros, or whatever is billed in, a dollar is, in ten-thousandths.
const rate = 9211

// meter is one of the meters that usage is made up from.
type meter struct {
	category, sub, name, unit, service, kind string
	price                                    int64
}

func meters() []meter {
	return []meter{
		{"Virtual Machines", "Dv3 Series", "D2 v3", "1 Hour", "Microsoft.Compute", "virtualMachines", 96000},
		{"Storage", "Blob Storage", "Hot LRS Data Stored", "1 GB/Month", "Microsoft.Storage", "storageAccounts", 19200},
		{"SQL Database", "Single Standard", "S0 DTUs", "1/Day", "Microsoft.Sql", "servers", 484000},
		{"Bandwidth", "", "Data Transfer Out", "1 GB", "Microsoft.Network", "publicIPAddresses", 80000},
		{"Azure App Service", "Premium v3 Plan", "P1 v3", "1 Hour", "Microsoft.Web", "serverFarms", 113000},
		{"Azure Monitor", "", "Data Ingestion", "1 GB", "microsoft.operationalinsights", "workspaces", 2300000},
	}
}

func newGenerated(r *rand.Rand, p *Partner, z Size) *generated {
	u := &generated{z: z, partner: p}
	all := meters()
	for _, c := range p.Customers {
		for _, s := range c.Subscriptions {
			if !s.Plan() || s.Status != "active" {
				continue
			}
			for k, e := range s.Entitlements {
				if e.Status != "active" || k%5 == 4 { // a fifth is idle
					continue
				}
				for n := range z.Lines {
					u.resources = append(u.resources, newResource(r, p, c, s, e, all[n%len(all)], n))
				}
			}
		}
	}
	return u
}

func newResource(r *rand.Rand, p *Partner, c *Customer, s *Subscription, e *Entitlement, m meter, n int) resource {
	group := pick(r, "rg-prod", "RG-Test", "rg-data")
	pec := n%4 != 3
	line := Line{PartnerID: p.TenantID, PartnerName: p.Name, CustomerID: c.ID, CustomerName: c.Name, CustomerDomainName: c.Domain,
		CustomerCountry: c.Country, MpnID: p.MpnID, Tier2MpnID: s.PartnerID, ProductID: "DZH318Z0SYN" + strconv.Itoa(n%len(meters())),
		SkuID: "0001", AvailabilityID: "DZH318ZAVAIL", SkuName: "Az " + m.name, ProductName: m.category, PublisherName: "Microsoft",
		SubscriptionID: s.ID, SubscriptionDescription: s.OfferName, EntitlementID: e.ID, EntitlementDescription: e.FriendlyName,
		MeterType: m.unit, MeterCategory: m.category, MeterSubCategory: m.sub, MeterName: m.name, MeterRegion: "EU West",
		MeterID: fmt.Sprintf("5f0c7c77-1d1f-4c55-9d52-7e1f6a9b3c%02x", n%len(meters())), Unit: m.unit, UnitType: m.unit,
		ResourceLocation: "EUWest", ConsumedService: m.service, ResourceGroup: group, ChargeType: "new",
		ResourceURI: fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/%s/%s/Res-%d", e.ID, group, m.service, m.kind, n),
		UnitPrice:   dec(m.price, 6), BillingCurrency: c.Currency, PricingCurrency: "USD", PCToBCExchangeRate: dec(rate, 4),
		Tags: `{"env":"prod","note":"a, b"}`, AdditionalInfo: `{"ServiceType":"Standard"}`,
		PartnerEarnedCreditPercentage: "0", CreditPercentage: "0", CreditType: "Credit Not Applied"}
	price := m.price
	if pec {
		price = price * 85 / 100
		line.PartnerEarnedCreditPercentage, line.CreditType = "15", "Partner Earned Credit Applied"
	}
	line.EffectiveUnitPrice = dec(price, 6)
	return resource{currency: c.Currency, line: line, quantity: 1000 + r.Int64N(300000), price: price, split: n%7 == 6}
}

// days returns the days with usage that a feed covers: usage appears a day late.
func (u *generated) days(f Feed) (from time.Time, n int) {
	first, end := u.z.Today.AddDate(0, 0, -u.z.Days), day(f.Today)
	start := month(f.Today)
	switch {
	case f.Invoice != "":
		for _, inv := range u.partner.Invoices {
			if inv.ID == f.Invoice {
				start, end = inv.Month, inv.Month.AddDate(0, 1, 0)
			}
		}
	case f.Period == "last":
		start, end = start.AddDate(0, -1, 0), start
	}
	if start.Before(first) {
		start = first
	}
	if !start.Before(end) {
		return start, 0
	}
	return start, int(end.Sub(start) / (24 * time.Hour))
}

func (u *generated) currency(f Feed) string {
	for _, inv := range u.partner.Invoices {
		if f.Invoice != "" && inv.ID == f.Invoice {
			return inv.Currency
		}
	}
	return f.Currency
}

// Blobs returns a number of blobs for each day of f.
func (u *generated) Blobs(f Feed) int {
	currency, n := u.currency(f), 0
	for i := range u.resources {
		if u.resources[i].currency == currency {
			n++
		}
	}
	if n == 0 {
		return 0
	}
	_, days := u.days(f)
	return days * u.z.BlobsPerDay
}

// Lines yields the lines of a day, or of a share of them.
func (u *generated) Lines(f Feed, blob int) iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		from, _ := u.days(f)
		d := from.AddDate(0, 0, blob/u.z.BlobsPerDay)
		share, currency := blob%u.z.BlobsPerDay, u.currency(f)
		var line Line
		for i := range u.resources {
			res := &u.resources[i]
			if res.currency != currency || i%u.z.BlobsPerDay != share {
				continue
			}
			res.on(&line, d, i)
			line.InvoiceNumber = f.Invoice
			if !yield(&line) {
				return
			}
			if !res.split {
				continue
			}
			line.BenefitID, line.BenefitOrderID, line.BenefitType = "ben-1", "order-1", "SavingsPlan"
			line.EffectiveUnitPrice, line.PricingPreTaxTotal, line.BillingPreTaxTotal = "0", "0", "0"
			if !yield(&line) {
				return
			}
		}
	}
}

// on makes the line of a day.
func (res *resource) on(line *Line, d time.Time, seed int) {
	*line = res.line
	start := month(d)
	line.ChargeStartDate = stamp(start)
	line.ChargeEndDate = stamp(start.AddDate(0, 1, 0).Add(-time.Second))
	line.UsageDate = stamp(d)
	swing := int64((uint64(d.Unix()/86400)*2654435761 + uint64(seed)*40503) >> 7 % 41) // 80 to 120 per cent
	q := res.quantity * (80 + swing) / 100
	cost := q * res.price // in ten-thousand-millionths of a dollar
	line.Quantity = dec(q, 4)
	line.PricingPreTaxTotal = dec(cost, 10)
	line.BillingPreTaxTotal = dec(cost*rate/1e12, 2) // rounded down to cents
}

// invoices returns one invoice for each currency and month that is over and wholly
// known; the last month is billed once the current one is a week old.
func (u *generated) invoices() []Invoice {
	var all []Invoice
	first := u.z.Today.AddDate(0, 0, -u.z.Days)
	for m := month(first); m.Before(month(u.z.Today)); m = m.AddDate(0, 1, 0) {
		if m.AddDate(0, 1, 7).After(u.z.Today) {
			continue
		}
		for _, cur := range u.partner.Currencies {
			all = append(all, Invoice{ID: fmt.Sprintf("G%09d", len(all)+1), Currency: cur, Month: m})
		}
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// dec writes n/10^places.
func dec(n int64, places int) string {
	var buf [32]byte
	b := strconv.AppendInt(buf[:0], n, 10)
	neg := n < 0
	if neg {
		b = b[1:]
	}
	var out [40]byte
	o := out[:0]
	if neg {
		o = append(o, '-')
	}
	if len(b) > places {
		o = append(o, b[:len(b)-places]...)
		b = b[len(b)-places:]
	} else {
		o = append(o, '0')
	}
	end := len(b)
	for end > 0 && b[end-1] == '0' {
		end--
	}
	if end == 0 {
		return string(o)
	}
	o = append(o, '.')
	for i := len(b); i < places; i++ {
		o = append(o, '0')
	}
	return string(append(o, b[:end]...))
}
