package fakemicrosoft

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// generated is usage made up line by line, never held: each resource of each
// Azure subscription has a line a day, and each seventh one a second line that a
// benefit covers.
type generated struct {
	z       Size
	seed    uint64
	partner *Partner
	active  []active
	meters  []meter
}

// active is an Azure subscription that is in use.
type active struct {
	customer *Customer
	plan     *Subscription
	*Entitlement
}

// rate is how many euros, or whatever is billed in, a dollar is, in ten-thousandths.
const rate = 9211

// meter is one of the meters that usage is made up from.
type meter struct {
	category, sub, name, unit, service, kind string
	price                                    int64 // of the list, in millionths of a dollar

	id, product, sku, path, list, effective string // made from the others
}

func meters() []meter {
	all := []meter{
		{category: "Virtual Machines", sub: "Dv3 Series", name: "D2 v3", unit: "1 Hour", service: "Microsoft.Compute", kind: "virtualMachines", price: 96000},
		{category: "Storage", sub: "Blob Storage", name: "Hot LRS Data Stored", unit: "1 GB/Month", service: "Microsoft.Storage", kind: "storageAccounts", price: 19200},
		{category: "SQL Database", sub: "Single Standard", name: "S0 DTUs", unit: "1/Day", service: "Microsoft.Sql", kind: "servers", price: 484000},
		{category: "Bandwidth", name: "Data Transfer Out", unit: "1 GB", service: "Microsoft.Network", kind: "publicIPAddresses", price: 80000},
		{category: "Azure App Service", sub: "Premium v3 Plan", name: "P1 v3", unit: "1 Hour", service: "Microsoft.Web", kind: "serverFarms", price: 113000},
		{category: "Azure Monitor", name: "Data Ingestion", unit: "1 GB", service: "microsoft.operationalinsights", kind: "workspaces", price: 2300000},
	}
	for i := range all {
		m := &all[i]
		m.id, m.product = fmt.Sprintf("5f0c7c77-1d1f-4c55-9d52-7e1f6a9b3c%02x", i), fmt.Sprintf("DZH318Z0SYN%d", i)
		m.sku, m.path = "Az "+m.name, "/providers/"+m.service+"/"+m.kind+"/Res-"
		m.list, m.effective = dec(m.price, 6), dec(m.price*85/100, 6)
	}
	return all
}

func newGenerated(r *rand.Rand, p *Partner, z Size) *generated {
	u := &generated{z: z, seed: r.Uint64(), partner: p, meters: meters()}
	for _, c := range p.Customers {
		for _, s := range c.Subscriptions {
			if !s.Plan() || s.Status != "active" {
				continue
			}
			for k, e := range s.Entitlements {
				if e.Status == "active" && k%5 != 4 { // a fifth is idle
					u.active = append(u.active, active{c, s, e})
				}
			}
		}
	}
	return u
}

// base is what all lines of an Azure subscription share.
func (u *generated) base(a active, f Feed) Line {
	return Line{PartnerID: u.partner.TenantID, PartnerName: u.partner.Name, CustomerID: a.customer.ID, CustomerName: a.customer.Name,
		CustomerDomainName: a.customer.Domain, CustomerCountry: a.customer.Country, InvoiceNumber: f.Invoice, MpnID: u.partner.MpnID,
		Tier2MpnID: a.plan.PartnerID, SkuID: "0001", AvailabilityID: "DZH318ZAVAIL", PublisherName: "Microsoft", SubscriptionID: a.plan.ID,
		SubscriptionDescription: a.plan.OfferName, EntitlementID: a.ID, EntitlementDescription: a.FriendlyName, MeterRegion: "EU West",
		ResourceLocation: "EUWest", ChargeType: "new", BillingCurrency: a.customer.Currency, PricingCurrency: "USD",
		PCToBCExchangeRate: dec(rate, 4), Tags: `{"env":"prod","note":"a, b"}`, AdditionalInfo: `{"ServiceType":"Standard"}`,
		CreditPercentage: "0"}
}

// resource sets the fields of a subscription's nth resource and returns its
// effective price in millionths of a dollar.
func (u *generated) resource(l *Line, n int) int64 {
	m := &u.meters[n%len(u.meters)]
	l.ProductID, l.SkuName, l.ProductName, l.MeterID = m.product, m.sku, m.category, m.id
	l.MeterType, l.MeterCategory, l.MeterSubCategory, l.MeterName, l.Unit, l.UnitType = m.unit, m.category, m.sub, m.name, m.unit, m.unit
	l.ConsumedService, l.ResourceGroup = m.service, [...]string{"rg-prod", "RG-Test", "rg-data"}[n%3]
	l.ResourceURI = "/subscriptions/" + l.EntitlementID + "/resourceGroups/" + l.ResourceGroup + m.path + strconv.Itoa(n)
	l.UnitPrice, l.EffectiveUnitPrice = m.list, m.effective
	l.PartnerEarnedCreditPercentage, l.CreditType = "15", "Partner Earned Credit Applied"
	l.BenefitID, l.BenefitOrderID, l.BenefitType = "", "", ""
	if n%4 == 3 {
		l.EffectiveUnitPrice, l.PartnerEarnedCreditPercentage, l.CreditType = m.list, "0", "Credit Not Applied"
		return m.price
	}
	return m.price * 85 / 100
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
	currency := u.currency(f)
	if !slices.ContainsFunc(u.active, func(a active) bool { return a.customer.Currency == currency }) {
		return 0
	}
	_, days := u.days(f)
	return days * u.z.BlobsPerDay
}

// Lines yields the lines of a day, or of a share of its Azure subscriptions.
func (u *generated) Lines(f Feed, blob int) iter.Seq[*Line] {
	return func(yield func(*Line) bool) {
		from, _ := u.days(f)
		d := from.AddDate(0, 0, blob/u.z.BlobsPerDay)
		share, currency := blob%u.z.BlobsPerDay, u.currency(f)
		start, end, used := stamp(month(d)), stamp(month(d).AddDate(0, 1, 0).Add(-time.Second)), stamp(d)
		for i, a := range u.active {
			if a.customer.Currency != currency || i%u.z.BlobsPerDay != share {
				continue
			}
			line := u.base(a, f)
			line.ChargeStartDate, line.ChargeEndDate, line.UsageDate = start, end, used
			for n := range u.z.Lines {
				price := u.resource(&line, n)
				u.price(&line, price, d, i, n)
				if !yield(&line) {
					return
				}
				if n%7 == 6 && !yield(covered(&line)) {
					return
				}
			}
		}
	}
}

// price sets the quantity and what it costs.
func (u *generated) price(l *Line, price int64, d time.Time, sub, n int) {
	usual := int64(mix(u.seed, uint64(sub), uint64(n))%300000) + 1000 // about so much a day, in ten-thousandths
	swing := int64(mix(u.seed, uint64(d.Unix()), uint64(sub*131+n)) % 41)
	q := usual * (80 + swing) / 100 // 80 to 120 per cent
	cost := q * price               // in ten-thousand-millionths of a dollar
	l.Quantity, l.PricingPreTaxTotal = dec(q, 4), dec(cost, 10)
	l.BillingPreTaxTotal = dec(cost*rate/1e12, 2) // rounded down to cents
}

// covered turns l into the line of the same day's use that a savings plan covers.
func covered(l *Line) *Line {
	l.BenefitID, l.BenefitOrderID, l.BenefitType = "ben-1", "order-1", "SavingsPlan"
	l.EffectiveUnitPrice, l.PricingPreTaxTotal, l.BillingPreTaxTotal = "0", "0", "0"
	return l
}

// mix scatters three numbers.
func mix(a, b, c uint64) uint64 {
	h := a ^ b*0x9e3779b97f4a7c15 ^ c*0xc2b2ae3d27d4eb4f
	h ^= h >> 29
	h *= 0xbf58476d1ce4e5b9
	return h ^ h>>32
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
