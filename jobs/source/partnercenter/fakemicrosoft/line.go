package fakemicrosoft

import "strconv"

// Line is one line of daily rated usage: the attributes of the partner billing
// export, in its order (Graph resource reference, billing attribute set). Decimals are written as JSON numbers, digit by digit.
type Line struct {
	PartnerID, PartnerName                              string
	CustomerID, CustomerName                            string
	CustomerDomainName, CustomerCountry                 string
	InvoiceNumber                                       string // empty when unbilled
	MpnID, Tier2MpnID                                   string
	ProductID, SkuID, AvailabilityID                    string
	SkuName, ProductName                                string
	PublisherName, PublisherID                          string
	SubscriptionID, SubscriptionDescription             string // the Azure plan
	EntitlementID, EntitlementDescription               string // the Azure subscription
	ChargeStartDate, ChargeEndDate, UsageDate           string // 2026-02-09T00:00:00Z
	MeterType, MeterCategory, MeterID, MeterSubCategory string
	MeterName, MeterRegion, Unit, UnitType              string
	ResourceLocation, ConsumedService                   string
	ResourceGroup, ResourceURI                          string
	ChargeType                                          string
	Quantity, UnitPrice, EffectiveUnitPrice             string // decimals
	BillingPreTaxTotal, BillingCurrency                 string
	PricingPreTaxTotal, PricingCurrency                 string
	PCToBCExchangeRate                                  string // decimal
	ServiceInfo1, ServiceInfo2                          string
	Tags, AdditionalInfo                                string // JSON text
	PartnerEarnedCreditPercentage, CreditPercentage     string // 0 or 15; 0 or 100
	CreditType                                          string
	BenefitID, BenefitOrderID, BenefitType              string
}

// column is an attribute of the export.
type column struct {
	name   string
	value  string
	basic  bool // in the attribute set basic, too
	number bool
}

// columns returns l's attributes in a buffer of the caller's.
func (l *Line) columns(c []column) []column {
	return append(c[:0],
		column{"PartnerId", l.PartnerID, true, false},
		column{"PartnerName", l.PartnerName, true, false},
		column{"CustomerId", l.CustomerID, true, false},
		column{"CustomerName", l.CustomerName, true, false},
		column{"CustomerDomainName", l.CustomerDomainName, false, false},
		column{"CustomerCountry", l.CustomerCountry, false, false},
		column{"InvoiceNumber", l.InvoiceNumber, true, false},
		column{"MpnId", l.MpnID, false, false},
		column{"Tier2MpnId", l.Tier2MpnID, false, false},
		column{"ProductId", l.ProductID, true, false},
		column{"SkuId", l.SkuID, true, false},
		column{"AvailabilityId", l.AvailabilityID, false, false},
		column{"SkuName", l.SkuName, true, false},
		column{"ProductName", l.ProductName, false, false},
		column{"PublisherName", l.PublisherName, true, false},
		column{"PublisherId", l.PublisherID, false, false},
		column{"SubscriptionDescription", l.SubscriptionDescription, false, false},
		column{"SubscriptionId", l.SubscriptionID, true, false},
		column{"ChargeStartDate", l.ChargeStartDate, true, false},
		column{"ChargeEndDate", l.ChargeEndDate, true, false},
		column{"UsageDate", l.UsageDate, true, false},
		column{"MeterType", l.MeterType, false, false},
		column{"MeterCategory", l.MeterCategory, false, false},
		column{"MeterId", l.MeterID, false, false},
		column{"MeterSubCategory", l.MeterSubCategory, false, false},
		column{"MeterName", l.MeterName, false, false},
		column{"MeterRegion", l.MeterRegion, false, false},
		column{"Unit", l.Unit, true, false},
		column{"ResourceLocation", l.ResourceLocation, false, false},
		column{"ConsumedService", l.ConsumedService, false, false},
		column{"ResourceGroup", l.ResourceGroup, false, false},
		column{"ResourceURI", l.ResourceURI, true, false},
		column{"ChargeType", l.ChargeType, true, false},
		column{"UnitPrice", l.UnitPrice, true, true},
		column{"Quantity", l.Quantity, true, true},
		column{"UnitType", l.UnitType, true, false},
		column{"BillingPreTaxTotal", l.BillingPreTaxTotal, true, true},
		column{"BillingCurrency", l.BillingCurrency, true, false},
		column{"PricingPreTaxTotal", l.PricingPreTaxTotal, true, true},
		column{"PricingCurrency", l.PricingCurrency, true, false},
		column{"ServiceInfo1", l.ServiceInfo1, false, false},
		column{"ServiceInfo2", l.ServiceInfo2, false, false},
		column{"Tags", l.Tags, false, false},
		column{"AdditionalInfo", l.AdditionalInfo, true, false},
		column{"EffectiveUnitPrice", l.EffectiveUnitPrice, true, true},
		column{"PCToBCExchangeRate", l.PCToBCExchangeRate, true, true},
		column{"EntitlementId", l.EntitlementID, true, false},
		column{"EntitlementDescription", l.EntitlementDescription, false, false},
		column{"PartnerEarnedCreditPercentage", l.PartnerEarnedCreditPercentage, false, true},
		column{"CreditPercentage", l.CreditPercentage, true, true},
		column{"CreditType", l.CreditType, true, false},
		column{"BenefitId", l.BenefitID, false, false},
		column{"BenefitOrderId", l.BenefitOrderID, true, false},
		column{"BenefitType", l.BenefitType, true, false},
	)
}

// lineWriter turns lines into JSON, one object a line.
type lineWriter struct {
	basic   bool
	missing string // a column that is left out
	extra   string // JSON members that are added, with a leading comma
	cols    []column
}

// append adds l and a newline to b.
func (w *lineWriter) append(b []byte, l *Line) []byte {
	w.cols = l.columns(w.cols)
	b = append(b, '{')
	first := true
	for _, c := range w.cols {
		if w.basic && !c.basic || c.name == w.missing {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, '"', ':')
		switch {
		case !c.number:
			b = appendJSON(b, c.value)
		case c.value == "":
			b = append(b, "null"...)
		default:
			b = append(b, c.value...)
		}
	}
	b = append(b, w.extra...)
	return append(b, '}', '\n')
}

// appendJSON adds s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue // UTF-8 stands as it is
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, '\\', 'u', '0', '0')
			if c < 16 {
				b = append(b, '0')
			}
			b = strconv.AppendInt(b, int64(c), 16)
		}
		start = i + 1
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
