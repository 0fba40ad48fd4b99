package fakemicrosoft

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// utilizationQuery is what a page of utilization records is asked with; the next
// page is asked for by a token that holds all of it.
type utilizationQuery struct {
	Start, End time.Time // when usage was reported
	Hourly     bool
	Bare       bool // without details of the instance
	Size, Skip int
}

// utilizations are a legacy subscription's records of use. Data that is not ready
// is answered with 204 and Retry-After (Partner Center REST, utilization records
// for Azure).
func (s *Server) utilizations(w http.ResponseWriter, r *http.Request, c *Customer, sub *Subscription) {
	if !sub.Legacy() {
		apiError(w, 400, "800011", "The subscription is not a valid Azure subscription: utilization records are for legacy offers only.")
		return
	}
	q, ok := s.utilizationQuery(r)
	if !ok {
		apiError(w, 400, "800002", "Invalid input.")
		return
	}
	s.mu.Lock()
	s.waiting[sub.ID]++
	wait := s.waiting[sub.ID] <= s.opt.Usage.NotReady
	s.mu.Unlock()
	if wait {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	step := 24 * time.Hour
	if q.Hourly {
		step = time.Hour
	}
	items, n, more := []any{}, 0, false
	// Use is reported a day after.
	for at := q.Start.Add(-24 * time.Hour).Truncate(step); at.Before(q.End.Add(-24*time.Hour)) && !more; at = at.Add(step) {
		for i, m := range meters()[:2] {
			if n++; n <= q.Skip {
				continue
			}
			if more = len(items) == q.Size; more {
				break
			}
			items = append(items, utilization(sub, m, i, at, step, q.Bare))
		}
	}
	base := "customers/" + c.ID + "/subscriptions/" + sub.ID + "/utilizations/azure"
	page := collection(len(items), items, base+"?"+r.URL.RawQuery)
	if more {
		q.Skip += q.Size
		tok, _ := json.Marshal(q)
		text := base64.StdEncoding.EncodeToString(tok)
		page["continuationToken"] = text
		page["links"].(object)["next"] = link(base+"?seek_operation=Next", text)
	}
	body := encode(page)
	s.mu.Lock()
	s.pages[strings.ToLower(r.URL.Path)] = body
	s.mu.Unlock()
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(body)
}

func (s *Server) utilizationQuery(r *http.Request) (q utilizationQuery, ok bool) {
	v := lowerQuery(r)
	if seek := v.Get("seek_operation"); seek != "" {
		b, err := base64.StdEncoding.DecodeString(r.Header.Get("MS-ContinuationToken"))
		return q, err == nil && strings.EqualFold(seek, "Next") && json.Unmarshal(b, &q) == nil
	}
	q.Size = s.opt.Usage.PageSize
	if size := v.Get("size"); size != "" {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			return q, false
		}
		q.Size = min(n, q.Size)
	}
	g := strings.ToLower(v.Get("granularity"))
	q.Hourly, q.Bare = g == "hourly", strings.EqualFold(v.Get("show_details"), "false")
	var err1, err2 error
	q.Start, err1 = queryTime(v, "start_time")
	q.End, err2 = queryTime(v, "end_time")
	return q, err1 == nil && err2 == nil && q.Start.Before(q.End) && (g == "" || g == "daily" || g == "hourly")
}

func queryTime(v url.Values, name string) (time.Time, error) {
	// A plus sign that nobody escaped arrives as a space.
	t, err := time.Parse(time.RFC3339, strings.ReplaceAll(v.Get(name), " ", "+"))
	return t.UTC(), err
}

func utilization(sub *Subscription, m meter, i int, at time.Time, step time.Duration, bare bool) object {
	o := object{"usageStartTime": offset(at), "usageEndTime": offset(at.Add(step)), "unit": m.unit, "infoFields": object{},
		"quantity": json.Number(fmt.Sprintf("%d.5682999999995904716", (int(at.Unix()/3600)+i)%24)),
		"resource": object{"id": fmt.Sprintf("5f0c7c77-1d1f-4c55-9d52-7e1f6a9b3c%02x", i), "name": m.name, "category": m.category,
			"subcategory": m.sub, "region": "EU West"},
		"attributes": object{"objectType": "AzureUtilizationRecord"}}
	if !bare {
		o["instanceData"] = object{"resourceUri": fmt.Sprintf("/subscriptions/%s/resourcegroups/rg-prod/providers/%s/%s/res%d", sub.EntitlementID,
			strings.ToLower(m.service), strings.ToLower(m.kind), i), "location": "westeurope", "partNumber": "", "orderNumber": "",
			"tags": object{"env": "prod"}, "additionalInfo": object{"ServiceType": "Standard_D2_v3"}}
	}
	return o
}
