package fakemicrosoft

import (
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// sum is money and quantity added up exactly.
type sum struct {
	line             *Line // one of the lines, for names
	cost, usd, usage big.Rat
}

func (s *sum) add(l *Line) {
	if s.line == nil {
		c := *l
		s.line = &c
	}
	for to, text := range map[*big.Rat]string{&s.cost: l.BillingPreTaxTotal, &s.usd: l.PricingPreTaxTotal, &s.usage: l.Quantity} {
		if r, ok := new(big.Rat).SetString(text); ok {
			to.Add(to, r)
		}
	}
}

// number writes r with as many digits as it needs, up to 16 places.
func number(r *big.Rat) json.Number {
	s := r.FloatString(16)
	return json.Number(strings.TrimSuffix(strings.TrimRight(s, "0"), "."))
}

// sums adds up the current period's usage of a customer by key; "" leaves a line out.
func (s *Server) sums(customer string, key func(*Line) string) ([]string, map[string]*sum) {
	by := make(map[string]*sum)
	if s.partner.Usage == nil {
		return nil, by
	}
	for _, cur := range s.partner.Currencies {
		feed := Feed{Currency: cur, Period: "current", Version: 1, Today: s.now()}
		for blob := range s.partner.Usage.Blobs(feed) {
			for l := range s.partner.Usage.Lines(feed, blob) {
				k := key(l)
				if k == "" || customer != "" && fold(l.CustomerID) != fold(customer) {
					continue
				}
				if by[k] == nil {
					by[k] = new(sum)
				}
				by[k].add(l)
			}
		}
	}
	keys := make([]string, 0, len(by))
	for k := range by {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys, by
}

// userOnly refuses a token of the app alone, as the estimated usage does.
func userOnly(w http.ResponseWriter, tok token) bool {
	if !tok.user {
		apiError(w, 403, "900150", "The supplied role does not have the rights to perform the operation.")
	}
	return tok.user
}

// offset writes a time with its offset, as usage records do.
func offset(t time.Time) string { return t.Format("2006-01-02T15:04:05-07:00") }

// record is what all usage records have (Partner Center REST, customer usage
// resources). A plan's cost has a currency code, a
// legacy offer's a culture.
func (s *Server) record(kind, id, name, currency string, total *sum, plan bool) object {
	o := object{"resourceId": id, "id": id, "resourceName": name, "name": name, "lastModifiedDate": offset(s.now().UTC()),
		"attributes": object{"objectType": kind}}
	if total == nil {
		total = new(sum)
	}
	o["totalCost"] = number(&total.cost)
	if plan {
		o["currencyCode"], o["usdTotalCost"] = currency, number(&total.usd)
	} else {
		o["currencyLocale"] = "fr-FR"
	}
	return o
}

func (c *Customer) hasPlan() bool { return slices.ContainsFunc(c.Subscriptions, (*Subscription).Plan) }

func (c *Customer) hasLegacy() bool {
	return slices.ContainsFunc(c.Subscriptions, (*Subscription).Legacy)
}

// customerRecords are the estimates of all customers with Azure, in one list.
func (s *Server) customerRecords(w http.ResponseWriter, tok token) {
	if !userOnly(w, tok) {
		return
	}
	_, by := s.sums("", func(l *Line) string { return fold(l.CustomerID) })
	items := []any{}
	for i, c := range s.partner.Customers {
		if !c.hasPlan() && !c.hasLegacy() {
			continue
		}
		o := s.record("CustomerMonthlyUsageRecord", c.ID, c.Name, c.Currency, by[fold(c.ID)], c.hasPlan())
		o["isUpgraded"], o["percentUsed"], o["budget"] = c.hasPlan(), 0, object{}
		if i%4 == 1 {
			o["budget"] = object{"amount": 1000}
		}
		items = append(items, o)
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/usagerecords"))
}

// subscriptionRecords are the estimates of a customer's plans and legacy
// subscriptions, not of its Azure subscriptions.
func (s *Server) subscriptionRecords(w http.ResponseWriter, tok token, c *Customer) {
	if !userOnly(w, tok) {
		return
	}
	_, by := s.sums(c.ID, func(l *Line) string { return fold(l.SubscriptionID) })
	items := []any{}
	for _, sub := range c.Subscriptions {
		if !sub.Plan() && !sub.Legacy() {
			continue
		}
		o := s.record("SubscriptionMonthlyUsageRecord", sub.ID, sub.FriendlyName, c.Currency, by[fold(sub.ID)], sub.Plan())
		o["status"], o["offerId"], o["partnerOnRecord"] = sub.Status, sub.OfferID, sub.PartnerID
		items = append(items, o)
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/"+c.ID+"/subscriptions/usagerecords"))
}

func (s *Server) customerSummary(w http.ResponseWriter, tok token, c *Customer) {
	if !userOnly(w, tok) {
		return
	}
	_, by := s.sums(c.ID, func(*Line) string { return "all" })
	o := s.record("CustomerUsageSummary", c.ID, c.Name, c.Currency, by["all"], c.hasPlan())
	o["budget"] = object{}
	s.period(o, c.hasPlan(), time.Time{})
	writeJSON(w, 200, o)
}

func (s *Server) subscriptionSummary(w http.ResponseWriter, tok token, c *Customer, sub *Subscription) {
	if !userOnly(w, tok) {
		return
	}
	_, by := s.sums(c.ID, func(l *Line) string { return fold(l.SubscriptionID) })
	o := s.record("SubscriptionUsageSummary", sub.ID, sub.FriendlyName, c.Currency, by[fold(sub.ID)], sub.Plan())
	s.period(o, sub.Plan(), sub.Created)
	writeJSON(w, 200, o)
}

// period adds the billing period: the calendar month in UTC for a plan, from one
// day of purchase to the next, in Redmond's time, for a legacy offer.
func (s *Server) period(o object, plan bool, created time.Time) {
	from := month(s.now())
	if !plan {
		from = time.Date(from.Year(), from.Month(), max(1, min(28, created.Day())), 0, 0, 0, 0, time.FixedZone("", -7*3600))
		if from.After(s.now()) {
			from = from.AddDate(0, -1, 0)
		}
	}
	o["billingStartDate"], o["billingEndDate"] = offset(from), offset(from.AddDate(0, 1, 0).Add(-time.Second))
}

// partnerSummary leaves customers with an Azure plan out.
func (s *Server) partnerSummary(w http.ResponseWriter, tok token) {
	if !userOnly(w, tok) {
		return
	}
	legacy := 0
	for _, c := range s.partner.Customers {
		if c.hasLegacy() && !c.hasPlan() {
			legacy++
		}
	}
	o := s.record("PartnerUsageSummary", s.partner.TenantID, s.partner.Name, "", nil, false)
	o["customersOverBudget"], o["customersTrendingOver"], o["customersWithUsageBasedSubscription"] = 0, 0, legacy
	writeJSON(w, 200, o)
}

// meterRecords are a plan's or a legacy subscription's estimates by meter.
func (s *Server) meterRecords(w http.ResponseWriter, tok token, c *Customer, sub *Subscription) {
	if !userOnly(w, tok) {
		return
	}
	keys, by := s.sums(c.ID, func(l *Line) string { return only(l, sub, l.MeterID) })
	items := []any{}
	for _, k := range keys {
		l := by[k].line
		o := s.record("MeterUsageRecord", k, l.MeterName, c.Currency, by[k], sub.Plan())
		o["meterId"], o["meterName"], o["category"], o["subcategory"] = l.MeterID, l.MeterName, l.MeterCategory, l.MeterSubCategory
		o["quantityUsed"], o["unit"] = number(&by[k].usage), l.Unit
		items = append(items, o)
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/"+c.ID+"/subscriptions/"+sub.ID+"/meterusagerecords"))
}

// resourceRecords are a plan's estimates by resource.
func (s *Server) resourceRecords(w http.ResponseWriter, tok token, c *Customer, sub *Subscription) {
	if !userOnly(w, tok) {
		return
	}
	if !sub.Plan() {
		apiError(w, 400, "800002", "Invalid input: the subscription is not an Azure plan.")
		return
	}
	keys, by := s.sums(c.ID, func(l *Line) string { return only(l, sub, l.ResourceURI) })
	items := []any{}
	for _, k := range keys {
		l := by[k].line
		o := s.record("ResourceUsageRecord", k, k[strings.LastIndex(k, "/")+1:], c.Currency, by[k], true)
		o["resourceUri"], o["resourceType"], o["resourceGroupName"] = l.ResourceURI, l.ConsumedService, l.ResourceGroup
		o["entitlementId"], o["entitlementName"] = l.EntitlementID, l.EntitlementDescription
		items = append(items, o)
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/"+c.ID+"/subscriptions/"+sub.ID+"/resourceusagerecords"))
}

func only(l *Line, sub *Subscription, key string) string {
	if fold(l.SubscriptionID) != fold(sub.ID) {
		return ""
	}
	return key
}

// legacyRecords are a legacy subscription's estimates by resource; the app alone may ask.
func (s *Server) legacyRecords(w http.ResponseWriter, c *Customer, sub *Subscription) {
	if !sub.Legacy() {
		apiError(w, 400, "800011", "The subscription is not a valid Azure subscription of a legacy offer.")
		return
	}
	o := s.record("AzureResourceMonthlyUsageRecord", sub.EntitlementID, "D2 v3", c.Currency, nil, false)
	o["category"], o["subcategory"], o["quantityUsed"], o["unit"] = "Virtual Machines", "Dv3 Series", json.Number("120.5682999999995904716"), "1 Hour"
	writeJSON(w, 200, collection(1, []any{o}, "/customers/"+c.ID+"/subscriptions/"+sub.ID+"/usagerecords/resources"))
}
