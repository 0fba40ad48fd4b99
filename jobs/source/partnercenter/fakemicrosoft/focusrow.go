package fakemicrosoft

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const zeroID = "00000000-0000-0000-0000-000000000000"

// costRow is a row of a cost export: a line of usage, or a charge of another kind
// that borrows a line's fields.
type costRow struct {
	line      *Line
	day       time.Time
	days      int // how long the charge lasts
	cents     int64
	effective string // "": the billed cost
	category  string // ChargeCategory
	class     string // ChargeClass
	frequency string
	publisher string // x_PublisherCategory
	benefit   string // CommitmentDiscountId, in mixed case
	unused    bool   // what the benefit covers and nobody used: cost without usage
	unlisted  bool   // list and contracted costs are 0, sku ids empty
}

func usageRow(l *Line) *costRow {
	d, _ := time.Parse("2006-01-02T15:04:05Z", l.UsageDate)
	row := &costRow{line: l, day: d, days: 1, cents: cents(l.BillingPreTaxTotal), category: "Usage", frequency: "Usage-Based", publisher: "Cloud Provider"}
	if l.BenefitID != "" {
		row.benefit = "/providers/Microsoft.BillingBenefits/savingsPlanOrders/" + l.BenefitOrderID + "/savingsPlans/Ben-1"
		row.effective = "0.01" // amortised: billed by the purchase, used here
	}
	return row
}

// otherRows are the charges of a customer and month beside its usage.
func otherRows(p *Partner, c *Customer, m time.Time) []*costRow {
	line := func() *Line {
		return &Line{CustomerID: c.ID, CustomerName: c.Name, BillingCurrency: c.Currency, PricingCurrency: "USD", PCToBCExchangeRate: dec(rate, 4),
			PublisherName: "Microsoft", PartnerID: p.TenantID, PartnerName: p.Name}
	}
	credit := &costRow{line: line(), day: m, days: 1, cents: -125, category: "Credit", frequency: "One-Time", publisher: "Cloud Provider", unlisted: true}
	bought := &costRow{line: line(), day: m, days: 1, cents: 4200, effective: "0", category: "Purchase", frequency: "One-Time", publisher: "Cloud Provider",
		benefit: "/providers/Microsoft.Capacity/reservationOrders/AbCdEf00/reservations/Res-1", unlisted: true}
	bought.line.PublisherName = ""
	unused := &costRow{line: line(), day: m, days: 1, effective: "0.37", category: "Usage", frequency: "Usage-Based", publisher: "Cloud Provider",
		benefit: bought.benefit, unused: true, unlisted: true}
	refund := &costRow{line: line(), day: m, days: 1, cents: -600, category: "Purchase", frequency: "One-Time", publisher: "Cloud Provider", unlisted: true}
	rows := []*costRow{credit, bought, unused, refund}
	for _, s := range c.Subscriptions {
		for _, e := range s.Entitlements {
			market := &costRow{line: line(), day: m, days: 1, cents: 1000, category: "Usage", frequency: "Usage-Based", publisher: "Vendor", unlisted: true}
			market.line.EntitlementID, market.line.EntitlementDescription, market.line.PublisherName = e.ID, e.FriendlyName, "Contoso, Inc."
			market.line.MeterCategory, market.line.Quantity, market.line.Unit, market.line.Tags = "SaaS", "1", "1", `{"note":"a \"b\",`+"\n"+`c"}`
			late := &costRow{line: line(), day: m, days: 1, cents: -7, category: "Usage", class: "Correction", frequency: "Usage-Based",
				publisher: "Cloud Provider"}
			late.line.EntitlementID, late.line.EntitlementDescription, late.line.MeterCategory = e.ID, e.FriendlyName, "Storage"
			late.line.Quantity, late.line.Unit, late.line.PricingPreTaxTotal = "-1", "1 GB/Month", "-0.08"
			return append(rows, market, late)
		}
	}
	return rows
}

// header names the columns.
func (e CostExports) header() []string {
	var names []string
	for _, f := range (&costRow{line: &Line{}}).fields(e, &Partner{}) {
		names = append(names, e.renamed(f[0]))
	}
	return names
}

// record is the row's values, in the header's order.
func (r *costRow) record(e CostExports, p *Partner) []string {
	var values []string
	for _, f := range r.fields(e, p) {
		values = append(values, f[1])
	}
	return values
}

// fields pairs the columns' names, as 1.0 spells them, with the row's values.
func (r *costRow) fields(e CostExports, p *Partner) [][2]string {
	return append(append(r.costs(), r.charge(e, p)...), r.context(e, p)...)
}

func (r *costRow) costs() [][2]string {
	billed := money(r.cents)
	effective, list, usd := r.effective, billed, r.line.PricingPreTaxTotal
	if effective == "" {
		effective = billed
	}
	if usd == "" {
		usd = billed
	}
	if r.unlisted {
		list = "0"
	}
	return [][2]string{{"BilledCost", billed}, {"EffectiveCost", effective}, {"ListCost", list}, {"ContractedCost", list},
		{"x_BilledCostInUsd", usd}, {"x_EffectiveCostInUsd", usd}, {"x_ListCostInUsd", usd}, {"x_ContractedCostInUsd", usd},
		{"BillingCurrency", r.line.BillingCurrency}, {"x_PricingCurrency", r.line.PricingCurrency}, {"x_BillingExchangeRate", r.line.PCToBCExchangeRate}}
}

func (r *costRow) charge(e CostExports, p *Partner) [][2]string {
	l, m := r.line, month(r.day)
	consumed, unit := "", ""
	if r.category == "Usage" && !r.unused {
		consumed, unit = l.Quantity, l.Unit
	}
	return [][2]string{{"BillingAccountId", BillingAccount + "/billingProfiles/PROF-1"}, {"BillingAccountName", p.Name}, {"BillingAccountType", "Billing Profile"},
		{"BillingPeriodStart", e.clock(m)}, {"BillingPeriodEnd", e.clock(m.AddDate(0, 1, 0))},
		{"ChargePeriodStart", e.clock(r.day)}, {"ChargePeriodEnd", e.clock(r.day.AddDate(0, 0, r.days))},
		{"ChargeCategory", r.category}, {"ChargeClass", r.class}, {"ChargeDescription", l.SkuName}, {"ChargeFrequency", r.frequency},
		{"ConsumedQuantity", consumed}, {"ConsumedUnit", unit}, {"PricingQuantity", l.Quantity}, {"PricingUnit", l.Unit},
		{"ServiceCategory", serviceCategory(l.MeterCategory)}, {"ServiceName", l.MeterCategory}, {"x_SkuMeterCategory", l.MeterCategory},
		{"x_SkuMeterSubcategory", l.MeterSubCategory}, {"x_SkuMeterId", l.MeterID}, {"x_SkuMeterName", l.MeterName},
		{"PublisherName", l.PublisherName}, {"x_PublisherCategory", r.publisher}, {"ProviderName", "Microsoft"}}
}

func (r *costRow) context(e CostExports, p *Partner) [][2]string {
	l, account, missing := r.line, "", ""
	if e.ZeroIDs {
		missing = zeroID
	}
	if l.EntitlementID != "" {
		account = "/subscriptions/" + l.EntitlementID
	} else if e.ZeroIDs {
		account = "/subscriptions/" + zeroID
	}
	order := l.SubscriptionID
	if order == "" {
		order = missing
	}
	yes, no, _ := strings.Cut(e.CreditFlags, ",")
	applied, percent := no, ""
	if l.PartnerEarnedCreditPercentage == "15" {
		applied, percent = yes, "0.15"
	}
	kind, status := "", ""
	if r.benefit != "" {
		kind, status = "Savings Plan", "Used"
		if r.category == "Purchase" {
			kind, status = "Reservation", ""
		}
		if r.unused {
			kind, status = "Reservation", "Unused"
		}
	}
	name := l.ResourceURI[strings.LastIndex(l.ResourceURI, "/")+1:]
	return [][2]string{{"SubAccountId", account}, {"SubAccountName", l.EntitlementDescription}, {"ResourceId", strings.ToLower(l.ResourceURI)},
		{"ResourceName", name}, {"ResourceType", l.ConsumedService}, {"x_ResourceGroupName", l.ResourceGroup}, {"RegionId", strings.ToLower(l.ResourceLocation)},
		{"CommitmentDiscountId", r.benefit}, {"CommitmentDiscountStatus", status}, {"CommitmentDiscountType", kind}, {"Tags", l.Tags},
		{"x_CustomerId", l.CustomerID}, {"x_CustomerName", l.CustomerName}, {"x_ResellerId", l.Tier2MpnID}, {"x_ResellerName", ""},
		{"x_InvoiceIssuerId", p.TenantID}, {"InvoiceIssuerName", p.Name}, {"x_PartnerCreditApplied", applied}, {"x_PartnerCreditRate", percent},
		{"x_InvoiceId", l.InvoiceNumber}, {"x_SkuOrderId", order}}
}

// serviceCategory is FOCUS's category of a classic meter category.
func serviceCategory(meter string) string {
	switch meter {
	case "Virtual Machines":
		return "Compute"
	case "Storage":
		return "Storage"
	case "SQL Database":
		return "Databases"
	case "Bandwidth":
		return "Networking"
	case "Azure App Service":
		return "Web"
	case "Azure Monitor":
		return "Management and Governance"
	}
	return "Other"
}

// cents reads a decimal with at most two places.
func cents(s string) int64 {
	whole, part, _ := strings.Cut(s, ".")
	n, _ := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	return n
}

// money writes cents with two places.
func money(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%02d", sign, n/100, n%100)
}
