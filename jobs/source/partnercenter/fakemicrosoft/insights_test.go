package fakemicrosoft_test

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestInsights_GoFromQueryToFile(t *testing.T) {
	f := start(t, nil, Options{Usage: UsageOptions{Redacted: true}})
	tok := f.userToken(ResourceAPI)
	base := f.at.API + "/insights/v1/mpn/"
	wantStatus(t, f.get(base+"ScheduledDataset", f.token(ResourceAPI)), 401, "")
	a := f.get(base+"ScheduledDataset?datasetName=AzureUsage", tok)
	wantStatus(t, a, 200, `"LAST_3_MONTHS"`)
	if a.header.Get("X-RateLimit-Limit") != "10" || a.object(t)["dataRedacted"] != true {
		t.Errorf("headers %v, %s", a.header, a.body)
	}
	one := func(a answer, key string) string {
		t.Helper()
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		v, _ := a.object(t)["value"].([]any)[0].(map[string]any)[key].(string)
		return v
	}
	query := `{"Name":"q","Query":"SELECT SubscriptionId,Month,ACR_USD,IsACRDuplicateAtPGALevel FROM AzureUsage TIMESPAN LAST_MONTH"}`
	q := one(f.do(http.MethodPost, base+"ScheduledQueries", tok, query), "queryId")
	wantStatus(t, f.do(http.MethodPost, base+"ScheduledQueries", tok, `{"Name":"q","Query":"SELECT MeterCategory FROM AzureUsage"}`), 400, "MeterCategory")
	wantStatus(t, f.get(base+"ScheduledQueries?queryId="+q, tok), 200, "LAST_MONTH")
	wantStatus(t, f.get(base+"ScheduledQueries/testQueryResult?queryId="+q, tok), 200, `"Month":"2026-01-01"`)
	a = f.get(base+"ScheduledQueries/testQueryResult?exportQuery="+url.QueryEscape(
		"select Month, IsACRDuplicateAtPGALevel from AzureUsage where IsACRDuplicateAtPGALevel=0 and Month >= '2026-01-01' limit 3"), tok)
	wantStatus(t, a, 200, `"totalCount":3`)
	if strings.Contains(a.body, `"IsACRDuplicateAtPGALevel":"1"`) {
		t.Errorf("filtered: %s", a.body)
	}
	early := `{"ReportName":"r","QueryId":"` + q + `","StartTime":"2026-02-10T09:00:00Z","RecurrenceInterval":24}`
	wantStatus(t, f.do(http.MethodPost, base+"ScheduledReport", tok, early), 400, "4 hours")
	wantStatus(t, f.do(http.MethodPost, base+"ScheduledReport", tok, strings.Replace(early, "Z", "", 1)), 500, "date")
	wantStatus(t, f.do(http.MethodPost, base+"ScheduledReport", tok, `{"ReportName":"r","QueryId":"x","ExecuteNow":true}`), 400, "QueryId")
	rep := one(f.do(http.MethodPost, base+"ScheduledReport", tok, `{"ReportName":"r","QueryId":"`+q+`","ExecuteNow":true}`), "reportId")
	run := base + "ScheduledReport/execution/" + rep
	wantStatus(t, f.get(run, tok), 404, `"statusCode":404`)
	if got := one(f.get(run+"?executionStatus=Pending;Running", tok), "executionStatus"); got != "Running" {
		t.Errorf("second time: %s", got)
	}
	// Clients have been seen to send the token in another header.
	link := one(f.get(run, "", "X-AadUserTicket", tok), "reportAccessSecureLink")
	a = f.get(link, "")
	records, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil || len(records) < 3 || records[0][0] != "SubscriptionId" || records[1][1] != "2026-01-01" ||
		records[1][3] != "0" || records[2][3] != "1" || records[1][2] != records[2][2] {
		t.Errorf("%v, %d records: %.300s", err, len(records), a.body)
	}
	wantStatus(t, f.get(strings.Replace(link, "sig=", "sig=x", 1), ""), 403, "AuthenticationFailed")
	wantStatus(t, f.do(http.MethodPut, base+"ScheduledReport/pause/"+rep, tok, ""), 200, `"reportStatus":"Paused"`)
	wantStatus(t, f.do(http.MethodDelete, base+"ScheduledQueries/"+q, tok, ""), 200, q)
	if len(f.Leaks()) != 0 {
		t.Errorf("leaks %v", f.Leaks())
	}
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal([]byte(f.get(base+"ScheduledReport", tok).body), &envelope); err != nil || envelope["nextLink"] == nil {
		t.Errorf("%v in %v", err, envelope)
	}
}
