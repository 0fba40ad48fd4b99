package fakemicrosoft

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// analyticsMax is the largest and the usual page.
const analyticsMax = 10000

// serveAnalytics is the analytics API, which has an envelope, upper-case ids and
// times without an offset of its own (Partner Center analytics resources). Only
// users may ask.
func (s *Server) serveAnalytics(w http.ResponseWriter, r *http.Request, tok token, route []string) {
	if !userOnly(w, tok) {
		return
	}
	var rows []object
	count, plain := "quantity", []string{"quantity"}
	switch strings.Join(route, "/") {
	case "usage/azure":
		rows = s.usageRows()
	case "subscriptions":
		rows = s.subscriptionRows()
		count, plain = "subscriptionCount", nil
	default:
		apiError(w, 404, "1000", "Not found.")
		return
	}
	q := lowerQuery(r)
	keep, err := parseFilter(q.Get("filter"))
	if err != nil {
		apiError(w, 400, "3000", "Invalid property: "+err.Error())
		return
	}
	rows = slices.DeleteFunc(rows, func(o object) bool { return !keep(o) })
	if by := q.Get("groupby"); by != "" {
		level := q.Get("aggregationlevel")
		def(&level, "day")
		if rows, err = group(rows, strings.Split(by, ","), level, count, plain); err != nil {
			apiError(w, 400, "3000", "Invalid property: "+err.Error())
			return
		}
	}
	order(rows, q.Get("orderby"))
	s.analyticsPage(w, r, q, rows)
}

// analyticsPage cuts rows by top and skip; the next link is a whole address.
func (s *Server) analyticsPage(w http.ResponseWriter, r *http.Request, q url.Values, rows []object) {
	top, skip := analyticsMax, 0
	for name, to := range map[string]*int{"top": &top, "skip": &skip} {
		if v := q.Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				apiError(w, 400, "800002", "Invalid input: "+name)
				return
			}
			*to = n
		}
	}
	top, skip = min(max(top, 1), analyticsMax), min(skip, len(rows))
	end := min(len(rows), skip+top)
	var next any
	if end < len(rows) {
		q.Set("skip", strconv.Itoa(end))
		q.Set("top", strconv.Itoa(top))
		next = s.at.API + r.URL.Path + "?" + q.Encode()
	}
	writeJSON(w, 200, object{"Value": rows[skip:end:end], "@nextLink": next, "TotalCount": len(rows)})
}

// usageRows are quantities, without a cost, by day, Azure subscription and meter.
func (s *Server) usageRows() []object {
	rows := []object{}
	if s.partner.Usage == nil {
		return rows
	}
	for _, period := range []string{"last", "current"} {
		for _, cur := range s.partner.Currencies {
			feed := Feed{Currency: cur, Period: period, Version: 1, Today: s.now()}
			for blob := range s.partner.Usage.Blobs(feed) {
				for l := range s.partner.Usage.Lines(feed, blob) {
					sub := l.MeterSubCategory
					def(&sub, "None")
					whole, _, _ := strings.Cut(l.Quantity, ".")
					n, _ := strconv.ParseInt(whole, 10, 64)
					rows = append(rows, object{"customerTenantId": strings.ToUpper(l.CustomerID), "customerName": l.CustomerName,
						"subscriptionId": strings.ToUpper(l.EntitlementID), "subscriptionName": l.EntitlementDescription,
						"usageDate": strings.TrimSuffix(l.UsageDate, "Z"), "resourceLocation": strings.ToLower(l.ResourceLocation),
						"meterCategory": l.MeterCategory, "meterSubcategory": sub, "meterUnit": l.Unit, "reservationOrderId": "",
						"reservationId": "", "consumptionMeterId": l.MeterID, "serviceType": "", "quantity": n})
				}
			}
		}
	}
	return rows
}

// subscriptionRows are subscriptions with what is known of their lives.
func (s *Server) subscriptionRows() []object {
	used := make(map[string]string)
	for _, u := range s.usageRows() {
		id := u["subscriptionId"].(string)
		used[id] = max(used[id], u["usageDate"].(string))
	}
	rows := []object{}
	for _, c := range s.partner.Customers {
		for _, sub := range c.Subscriptions {
			if sub.Plan() {
				for _, e := range sub.Entitlements {
					rows = append(rows, subscriptionRow(c, sub, e.ID, e.FriendlyName, e.Status, used[strings.ToUpper(e.ID)]))
				}
				continue
			}
			rows = append(rows, subscriptionRow(c, sub, sub.ID, sub.FriendlyName, sub.Status, ""))
		}
	}
	return rows
}

func subscriptionRow(c *Customer, sub *Subscription, id, name, status, used string) object {
	kind := "Office"
	if sub.Plan() || sub.Legacy() {
		kind = "Azure"
	}
	state := map[string]string{"active": "ACTIVE", "suspended": "SUSPENDED", "disabled": "SUSPENDED"}[status]
	def(&state, "DEPROVISIONED")
	bare := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return strings.TrimSuffix(stamp(t), "Z")
	}
	o := object{"customerTenantId": strings.ToUpper(c.ID), "customerName": strings.ToUpper(c.Name), "customerMarket": c.Country,
		"id": strings.ToUpper(id), "status": state, "productName": "UNKNOWN", "subscriptionType": kind, "autoRenewEnabled": sub.AutoRenew,
		"partnerId": sub.PartnerID, "friendlyName": strings.ToUpper(name), "partnerName": "", "providerName": "",
		"creationDate": bare(sub.Created), "effectiveStartDate": bare(sub.EffectiveStart), "commitmentEndDate": nil, "currentStateEndDate": nil,
		"trialToPaidConversionDate": nil, "trialStartDate": nil, "trialEndDate": nil, "lastUsageDate": nil, "deprovisionedDate": nil,
		"lastRenewalDate": nil, "licenseCount": 0, "billingCycleName": "MONTHLY"}
	if used != "" {
		o["lastUsageDate"] = used
	} else if kind == "Azure" && state == "ACTIVE" {
		o["churnRisk"] = "High"
	}
	if kind == "Office" {
		o["commitmentEndDate"], o["licenseCount"] = bare(sub.CommitmentEnd), sub.Quantity
	}
	return o
}

// group adds rows up by some of their fields. Subscriptions are counted, and the
// counts are strings.
func group(rows []object, by []string, level, count string, sums []string) ([]object, error) {
	if level != "day" && level != "week" && level != "month" && level != "dateRange" {
		return nil, fmt.Errorf("aggregationLevel %s", level)
	}
	found := make(map[string]object)
	out := []object{}
	totals := make(map[string]int64)
	for _, row := range rows {
		o, key := object{}, ""
		for _, name := range by {
			name, v, ok := field(row, name)
			if !ok {
				return nil, fmt.Errorf("groupby %s", name)
			}
			if text, is := v.(string); is && strings.HasSuffix(name, "Date") {
				v = bucket(text, level)
			}
			o[name] = v
			key += fmt.Sprintf("%v\x00", v)
		}
		if found[key] == nil {
			found[key] = o
			out = append(out, o)
		}
		if sums == nil {
			totals[key]++
			found[key][count] = fmt.Sprint(totals[key])
			continue
		}
		totals[key] += row[count].(int64)
		found[key][count] = totals[key]
	}
	return out, nil
}

// bucket returns the first day of a date's week or month.
func bucket(text, level string) string {
	const layout = "2006-01-02T15:04:05"
	t, err := time.Parse(layout, text)
	if err != nil {
		return text
	}
	t = day(t)
	switch level {
	case "week":
		t = t.AddDate(0, 0, -(int(t.Weekday())+6)%7)
	case "month":
		t = month(t)
	}
	return t.Format(layout)
}

// field finds a field without regard to case.
func field(o object, name string) (string, any, bool) {
	for k, v := range o {
		if strings.EqualFold(k, strings.TrimSpace(name)) {
			return k, v, true
		}
	}
	return name, nil, false
}

// order sorts by a list of fields, each asc (which goes without saying) or desc.
func order(rows []object, by string) {
	if by == "" {
		return
	}
	slices.SortStableFunc(rows, func(a, b object) int {
		for _, term := range strings.Split(by, ",") {
			name, direction, _ := strings.Cut(strings.TrimSpace(term), " ")
			_, x, _ := field(a, name)
			_, y, _ := field(b, name)
			c := compare(x, y)
			if strings.EqualFold(strings.TrimSpace(direction), "desc") {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
}

func compare(x, y any) int {
	a, ok := x.(int64)
	b, ok2 := y.(int64)
	if ok && ok2 {
		return cmp.Compare(a, b)
	}
	return strings.Compare(fmt.Sprint(x), fmt.Sprint(y))
}
