package fakemicrosoft

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const jsonType = "application/json; charset=utf-8"

// serveAPI is the Partner Center API.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	s.echo(w, r)
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	lower := strings.Split(strings.ToLower(strings.Trim(r.URL.Path, "/")), "/")
	tok, reason := s.check(API, r)
	switch reason {
	case "":
	case "missing":
		apiError(w, 401, "800001", "The partner token is missing.")
		return
	default:
		apiError(w, 401, "400", "Access denied: the token is "+reason+".")
		return
	}
	switch {
	case tok.user && !tok.mfa:
		apiError(w, 401, "900421", "MFA required.")
	case s.opt.DenyAPI:
		apiError(w, 403, "900150", "The supplied role does not have the rights to perform the operation.")
	case lower[0] == "insights":
		s.serveInsights(w, r, tok)
	case len(lower) > 3 && lower[0] == "partner" && lower[2] == "analytics":
		s.serveAnalytics(w, r, tok, lower[3:])
	case lower[0] != "v1":
		apiError(w, 404, "1000", "Not found.")
	case r.Method != http.MethodGet:
		apiError(w, 405, "405", "Method not allowed.")
	default:
		s.serveV1(w, r, tok, parts[1:], lower[1:])
	}
}

// serveV1 finds the resource; segments count without regard to case.
func (s *Server) serveV1(w http.ResponseWriter, r *http.Request, tok token, parts, lower []string) {
	route := strings.Join(lower, "/")
	switch {
	case route == "customers":
		if s.spend(w) {
			s.listCustomers(w, r)
		}
		return
	case route == "invoices":
		s.listInvoices(w)
		return
	case route == "usagesummary":
		s.partnerSummary(w, tok)
		return
	case route == "customers/usagerecords":
		s.customerRecords(w, tok)
		return
	case len(lower) < 2 || lower[0] != "customers":
		apiError(w, 404, "1000", "Not found.")
		return
	}
	sub := strings.Join(lower[2:], "/")
	if counted(lower[2:]) && !s.spend(w) {
		return
	}
	c := s.customer(w, parts[1])
	if c == nil {
		return
	}
	switch {
	case sub == "":
		o := customerJSON(c)
		o["allowDelegatedAccess"] = true
		writeJSON(w, 200, o)
	case sub == "subscriptions":
		s.listSubscriptions(w, r, c)
	case sub == "usagesummary":
		s.customerSummary(w, tok, c)
	case sub == "subscriptions/usagerecords":
		s.subscriptionRecords(w, tok, c)
	case len(lower) >= 4 && lower[2] == "subscriptions":
		s.serveSubscription(w, r, tok, c, parts[3], strings.Join(lower[4:], "/"))
	default:
		apiError(w, 404, "1000", "Not found.")
	}
}

// serveSubscription is what stands below one subscription.
func (s *Server) serveSubscription(w http.ResponseWriter, r *http.Request, tok token, c *Customer, id, rest string) {
	sub := c.subscription(id)
	if sub == nil {
		apiError(w, 404, "20003", "The subscription was not found.")
		return
	}
	switch rest {
	case "":
		writeJSON(w, 200, subscriptionJSON(c, sub))
	case "azureentitlements":
		s.listEntitlements(w, r, c, sub)
	case "usagesummary":
		s.subscriptionSummary(w, tok, c, sub)
	case "meterusagerecords":
		s.meterRecords(w, tok, c, sub)
	case "resourceusagerecords":
		s.resourceRecords(w, tok, c, sub)
	case "usagerecords/resources":
		s.legacyRecords(w, c, sub)
	case "utilizations/azure":
		s.utilizations(w, r, c, sub)
	default:
		apiError(w, 404, "1000", "Not found.")
	}
}

// customer finds a customer that does not refuse, or answers why there is none.
func (s *Server) customer(w http.ResponseWriter, id string) *Customer {
	s.mu.Lock()
	c := s.index[fold(id)]
	s.mu.Unlock()
	switch {
	case len(id) != 36:
		apiError(w, 400, "900118", "The customer id is not valid.")
	case c == nil:
		apiError(w, 404, "60003", "The tenant was not found.")
	case c.Refuse != nil:
		text := c.Refuse.Description
		def(&text, "The partner has no access to the customer.")
		apiError(w, c.Refuse.Status, c.Refuse.Code, text)
	case c.Relationship == "none":
		apiError(w, 403, "20002", "The partner has no commerce relationship with the customer.")
	default:
		return c
	}
	return nil
}

func (c *Customer) subscription(id string) *Subscription {
	for _, s := range c.Subscriptions {
		if fold(s.ID) == fold(id) {
			return s
		}
	}
	return nil
}

// counted tells whether a call below a customer counts against the budget:
// the customer, its subscriptions, one of them, and Azure entitlements (Partner
// Center API throttling guidance).
func counted(rest []string) bool {
	switch len(rest) {
	case 0:
		return true
	case 1, 2:
		return rest[0] == "subscriptions" && (len(rest) == 1 || rest[1] != "usagerecords")
	}
	return len(rest) == 3 && rest[2] == "azureentitlements"
}

// window counts requests against a budget.
type window struct {
	start time.Time
	n     int
}

// spend takes one request from the budget, or answers that it is used up. A
// request that is refused counts, too.
func (s *Server) spend(w http.ResponseWriter) bool {
	o := s.opt.Budget
	if o.Requests < 0 {
		return true
	}
	s.mu.Lock()
	now := s.now()
	if now.Sub(s.budget.start) >= o.Window {
		s.budget = window{start: now}
	}
	s.budget.n++
	over := s.budget.n > o.Requests
	left := s.budget.start.Add(o.Window).Sub(now)
	s.mu.Unlock()
	if !over {
		return true
	}
	seconds := max(1, int((left+time.Second-1)/time.Second))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = fmt.Fprint(w, tooMany(seconds))
	return false
}

// tooMany is the body of a throttled call, which is not that of other errors
// (Partner Center API throttling guidance).
func tooMany(seconds int) string {
	return fmt.Sprintf(`{"statusCode":429,"message":%q}`, throttled(seconds))
}

func throttled(seconds int) string {
	return fmt.Sprintf("Rate limit is exceeded. Try again in %d seconds.", seconds)
}

// echo sets the headers of every answer (Partner Center REST headers).
func (s *Server) echo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for _, k := range []string{"MS-RequestId", "MS-CorrelationId"} {
		if v := r.Header.Get(k); v != "" {
			h.Set(k, v)
		}
	}
	h.Set("MS-CV", "fakecv.0")
	h.Set("MS-ServerId", "fake-1")
	h.Set("X-Locale", "en-US")
	h.Set("Request-Context", "appId=cid-v1:")
}

func apiBody(code, text string) string {
	return string(encode(map[string]any{"code": code, "description": text, "data": []any{}, "source": "PartnerFD"}))
}

// apiError answers in the Partner Center API's shape of an error (Partner Center
// REST error codes).
func apiError(w http.ResponseWriter, status int, code, text string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "OAuth realm=urn:cpsvc:cpid:fake")
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, apiBody(code, text))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write(encode(v))
}
