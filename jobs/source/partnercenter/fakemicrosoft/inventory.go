package fakemicrosoft

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// object is a JSON object.
type object = map[string]any

// listCustomers pages by size; the next page is asked for with seekOperation and
// the continuation token in a header (Partner Center REST, paged collections).
func (s *Server) listCustomers(w http.ResponseWriter, r *http.Request) {
	q := lowerQuery(r)
	size := s.opt.PageSize
	if v := q.Get("size"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			apiError(w, 400, "800002", "Invalid input: size.")
			return
		}
		size = min(size, n)
	}
	offset := 0
	if seek := q.Get("seekoperation"); seek != "" {
		at, n, ok := readContinuation(r.Header.Get("MS-ContinuationToken"))
		if !ok || !strings.EqualFold(seek, "Next") {
			apiError(w, 400, "800002", "Invalid input: the continuation token.")
			return
		}
		offset, size = at, n
	}
	all := s.partner.Customers
	offset = min(offset, len(all))
	end := min(len(all), offset+size)
	items := make([]any, 0, end-offset)
	for _, c := range all[offset:end] {
		items = append(items, customerJSON(c))
	}
	page := collection(len(all), items, fmt.Sprintf("/customers?size=%d", size))
	if end < len(all) {
		tok := continuation(end, size)
		page["continuationToken"] = tok
		// The prefix differs from page to page, as it does from page to page of the documentation.
		prefix := []string{"/customers", "customers", "/v1/customers"}[offset/size%3]
		page["links"].(object)["next"] = link(fmt.Sprintf("%s?size=%d&seekOperation=Next", prefix, size), tok)
	}
	body := encode(page)
	s.mu.Lock()
	s.pages[strings.ToLower(r.URL.Path)] = body
	s.mu.Unlock()
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(body)
}

func customerJSON(c *Customer) object {
	return object{"id": c.ID, "commerceId": c.ID, "relationshipToPartner": c.Relationship,
		"companyProfile": object{"tenantId": c.ID, "domain": c.Domain, "companyName": c.Name,
			"attributes": object{"objectType": "CustomerCompanyProfile"}},
		"attributes": object{"objectType": "Customer"}}
}

// listSubscriptions gives all in one page (Partner Center REST, subscription
// resources).
func (s *Server) listSubscriptions(w http.ResponseWriter, _ *http.Request, c *Customer) {
	items := make([]any, 0, len(c.Subscriptions))
	for _, sub := range c.Subscriptions {
		items = append(items, subscriptionJSON(c, sub))
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/"+c.ID+"/subscriptions"))
}

func subscriptionJSON(c *Customer, s *Subscription) object {
	o := object{"id": s.ID, "offerId": s.OfferID, "offerName": s.OfferName, "friendlyName": s.FriendlyName, "quantity": s.Quantity,
		"unitType": "none", "creationDate": stamp(s.Created), "effectiveStartDate": stamp(s.EffectiveStart),
		"commitmentEndDate": stamp(s.CommitmentEnd), "status": s.Status, "autoRenewEnabled": s.AutoRenew, "isTrial": s.Trial,
		"billingType": s.BillingType, "billingCycle": s.BillingCycle, "contractType": "subscription",
		"links":      object{"self": selfLink("/customers/" + c.ID + "/subscriptions/" + s.ID)},
		"attributes": object{"etag": "etag-" + s.ID[:8], "objectType": "Subscription"}}
	if s.BillingType == "license" {
		o["unitType"] = "Licenses"
	}
	for k, v := range map[string]string{"entitlementId": s.EntitlementID, "termDuration": s.TermDuration, "partnerId": s.PartnerID} {
		if v != "" {
			o[k] = v
		}
	}
	if len(s.SuspensionReasons) > 0 {
		o["suspensionReasons"] = s.SuspensionReasons
	}
	return o
}

// listEntitlements gives the Azure subscriptions of an Azure plan (Partner Center
// REST, Azure entitlements).
func (s *Server) listEntitlements(w http.ResponseWriter, _ *http.Request, c *Customer, sub *Subscription) {
	if !sub.Plan() {
		apiError(w, 400, "800011", "The subscription is not a valid Azure subscription.")
		return
	}
	items := make([]any, 0, len(sub.Entitlements))
	for _, e := range sub.Entitlements {
		items = append(items, object{"id": e.ID, "friendlyName": e.FriendlyName, "status": e.Status, "subscriptionId": sub.ID,
			"attributes": object{"objectType": "AzureEntitlement"}})
	}
	writeJSON(w, 200, collection(len(items), items, "/customers/"+c.ID+"/subscriptions/"+sub.ID+"/azureEntitlements"))
}

// listInvoices gives the invoices of the billed months in one page: size and
// offset count for legacy invoices only (Partner Center REST, collection of
// invoices). Sums are left at zero. Of the period, some answers have the two
// dates, some only the invoice's own, which falls into the month after.
func (s *Server) listInvoices(w http.ResponseWriter) {
	items := make([]any, 0, len(s.partner.Invoices))
	for i, inv := range s.partner.Invoices {
		end := inv.Month.AddDate(0, 1, 0)
		o := object{"id": inv.ID, "invoiceDate": stamp(end.AddDate(0, 0, 7)), "totalCharges": 0, "paidAmount": 0, "currencyCode": inv.Currency,
			"invoiceType": "OneTime", "documentType": "invoice", "pdfDownloadLink": "/invoices/" + inv.ID + "/documents/statement",
			"invoiceDetails": []any{object{"invoiceLineItemType": "usage_line_items", "billingProvider": "one_time",
				"links":      object{"self": selfLink("/invoices/OneTime-" + inv.ID + "/lineitems/OneTime/UsageLineItems")},
				"attributes": object{"objectType": "InvoiceDetail"}}},
			"links": object{"self": selfLink("/invoices/OneTime-" + inv.ID)}, "attributes": object{"objectType": "Invoice"}}
		if i%2 == 0 {
			o["billingPeriodStartDate"], o["billingPeriodEndDate"] = stamp(inv.Month), stamp(end.AddDate(0, 0, -1))
		}
		items = append(items, o)
	}
	writeJSON(w, 200, collection(len(items), items, "/invoices"))
}

// collection is a page of items.
func collection(total int, items []any, self string) object {
	return object{"totalCount": total, "items": items, "links": object{"self": selfLink(self)},
		"attributes": object{"objectType": "Collection"}}
}

func selfLink(uri string) object {
	return object{"uri": uri, "method": "GET", "headers": []any{}}
}

func link(uri, token string) object {
	return object{"uri": uri, "method": "GET", "headers": []any{object{"key": "MS-ContinuationToken", "value": token}}}
}

// continuation writes where the next page begins.
func continuation(offset, size int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "tok-%d-%d", offset, size))
}

func readContinuation(tok string) (offset, size int, ok bool) {
	b, err := base64.StdEncoding.DecodeString(tok)
	if err != nil {
		return 0, 0, false
	}
	n, err := fmt.Sscanf(string(b), "tok-%d-%d", &offset, &size)
	return offset, size, err == nil && n == 2 && size > 0
}

// lowerQuery returns the query with its names in lower case. A semicolon is part
// of a value.
func lowerQuery(r *http.Request) url.Values {
	q := make(url.Values)
	values, _ := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	for k, v := range values {
		q[strings.ToLower(k)] = v
	}
	return q
}
