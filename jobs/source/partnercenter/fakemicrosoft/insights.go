package fakemicrosoft

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// insights are the queries, reports and executions of the Insights API.
type insights struct {
	made       int
	queries    []*insightsQuery
	reports    []*insightsReport
	executions []*execution
}

type insightsQuery struct {
	ID, Name, Text string
}

type insightsReport struct {
	ID, Name, Query, Status, Format string
	Start                           time.Time
	Interval, Count                 int
	CallbackURL, CallbackMethod     string
	From, To                        time.Time // of a report that runs at once; zero: the query's
}

// execution is a run of a report. It is pending until it has been asked for.
type execution struct {
	id     string
	report *insightsReport
	asked  int
	made   time.Time
	sig    string
}

// executionAsks is how often an execution is asked for before it is complete:
// nothing yet, pending, running.
const executionAsks = 3

// serveInsights is the Insights API. It wants a user with the executive report
// viewer's role: a report viewer's answers are redacted (Partner Insights
// programmatic access).
func (s *Server) serveInsights(w http.ResponseWriter, r *http.Request, tok token) {
	w.Header().Set("X-RateLimit-Limit", "10")
	w.Header().Set("X-RateLimit-Remaining", "8")
	if !tok.user {
		s.insightsAnswer(w, 401, "Unauthorized: a user's token is needed.")
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 4 || !strings.EqualFold(strings.Join(parts[:3], "/"), "insights/v1/mpn") {
		s.insightsAnswer(w, 404, "No item found.")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := strings.Join(parts[4:], "/")
	switch r.Method + " " + strings.ToLower(parts[3]) {
	case "GET scheduleddataset":
		s.insightsDatasets(w, r)
	case "GET scheduledqueries":
		s.insightsQueries(w, r, id)
	case "POST scheduledqueries":
		s.insightsQuery(w, r)
	case "DELETE scheduledqueries":
		s.insightsForget(w, id)
	case "POST scheduledreport":
		s.insightsReport(w, r)
	case "GET scheduledreport":
		if run, ok := strings.CutPrefix(strings.ToLower(id), "execution/"); ok {
			s.insightsExecution(w, r, run)
			return
		}
		s.insightsReports(w, r)
	case "PUT scheduledreport", "DELETE scheduledreport":
		s.insightsManage(w, r, id)
	default:
		s.insightsAnswer(w, 405, "Method not allowed.")
	}
}

// insightsAnswer is the envelope of every answer, errors too.
func (s *Server) insightsAnswer(w http.ResponseWriter, status int, message string, value ...any) {
	if value == nil {
		value = []any{}
	}
	var text any
	if message != "" {
		text = message
	}
	writeJSON(w, status, object{"value": value, "nextLink": nil, "totalCount": len(value), "message": text, "statusCode": status,
		"dataRedacted": s.opt.Usage.Redacted})
}

func (s *Server) insightsDatasets(w http.ResponseWriter, r *http.Request) {
	if name := lowerQuery(r).Get("datasetname"); name != "" && !strings.EqualFold(name, "AzureUsage") {
		s.insightsAnswer(w, 404, "No item found.")
		return
	}
	s.insightsAnswer(w, 200, "", object{"datasetName": "AzureUsage", "selectableColumns": azureUsageColumns(),
		"availableMetrics":    []string{"SubscriptionCount", "ACR_USD", "CustomerCount", "CustomerTenantCount"},
		"availableDateRanges": []string{"LAST_MONTH", "LAST_3_MONTHS", "LAST_6_MONTHS", "LAST_1_YEAR", "LAST_2_YEARS"}, "minimumRecurrenceInterval": 24})
}

func (s *Server) insightsQueries(w http.ResponseWriter, r *http.Request, sub string) {
	q := lowerQuery(r)
	if strings.EqualFold(sub, "testQueryResult") {
		text := q.Get("exportquery")
		for _, query := range s.reports.queries {
			if query.ID == q.Get("queryid") {
				text = query.Text
			}
		}
		plan, err := parseInsightsQuery(text)
		if err != nil {
			s.insightsAnswer(w, 400, err.Error())
			return
		}
		from, to := s.span(plan.span)
		var rows []any
		for _, rec := range s.azureUsage(plan, from, to) {
			o := object{}
			for i, c := range plan.columns {
				o[c] = rec[i]
			}
			rows = append(rows, o)
		}
		s.insightsAnswer(w, 200, "", rows[:min(100, len(rows))]...)
		return
	}
	var found []any
	for _, query := range s.reports.queries {
		if listedIn(q.Get("queryid"), query.ID) && listedIn(q.Get("queryname"), query.Name) {
			found = append(found, queryJSON(query))
		}
	}
	s.insightsFound(w, found)
}

// listedIn tells whether id is in a list with semicolons; an empty list holds all.
func listedIn(list, id string) bool {
	for _, one := range strings.Split(list, ";") {
		if strings.EqualFold(one, id) {
			return true
		}
	}
	return list == ""
}

func (s *Server) insightsFound(w http.ResponseWriter, found []any) {
	if found == nil {
		s.insightsAnswer(w, 404, "No item found.")
		return
	}
	s.insightsAnswer(w, 200, "", found...)
}

func queryJSON(q *insightsQuery) object {
	return object{"queryId": q.ID, "name": q.Name, "description": nil, "query": q.Text, "type": "userDefined", "user": "partner@polder.example"}
}

func (s *Server) insightsQuery(w http.ResponseWriter, r *http.Request) {
	var ask struct{ Name, Description, Query string }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Name == "" {
		s.insightsAnswer(w, 400, "A value is missing.")
		return
	}
	if _, err := parseInsightsQuery(ask.Query); err != nil {
		s.insightsAnswer(w, 400, err.Error())
		return
	}
	q := &insightsQuery{ID: s.insightsID(), Name: ask.Name, Text: ask.Query}
	s.reports.queries = append(s.reports.queries, q)
	s.insightsAnswer(w, 200, "Query created successfully", queryJSON(q))
}

func (s *Server) insightsID() string {
	s.reports.made++
	return fmt.Sprintf("2f9e6a3b-77d0-4a5b-9c3e-%012d", s.reports.made)
}

func (s *Server) insightsForget(w http.ResponseWriter, id string) {
	for i, q := range s.reports.queries {
		if q.ID == id {
			s.reports.queries = append(s.reports.queries[:i:i], s.reports.queries[i+1:]...)
			s.insightsAnswer(w, 200, "Query deleted successfully", queryJSON(q))
			return
		}
	}
	s.insightsAnswer(w, 404, "No item found.")
}

// insightsReport schedules a report: from four hours ahead, or at once.
func (s *Server) insightsReport(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		ReportName, QueryID, StartTime, Format, CallbackURL, CallbackMethod, QueryStartTime, QueryEndTime string
		ExecuteNow                                                                                        bool
		RecurrenceInterval, RecurrenceCount                                                               int
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.ReportName == "" {
		s.insightsAnswer(w, 400, "A value is missing.")
		return
	}
	rep := &insightsReport{ID: s.insightsID(), Name: ask.ReportName, Query: ask.QueryID, Status: "Active", Interval: ask.RecurrenceInterval,
		Count: ask.RecurrenceCount, Format: strings.ToLower(ask.Format), CallbackURL: ask.CallbackURL, CallbackMethod: ask.CallbackMethod}
	def(&rep.Format, "csv")
	known := false
	for _, q := range s.reports.queries {
		known = known || q.ID == ask.QueryID
	}
	var err error
	if !ask.ExecuteNow {
		if rep.Start, err = time.Parse("2006-01-02T15:04:05Z", ask.StartTime); err != nil {
			s.insightsAnswer(w, 500, "Wrong date format.")
			return
		}
	}
	switch {
	case !known:
		s.insightsAnswer(w, 400, "QueryId is not valid.")
	case rep.Format != "csv" && rep.Format != "tsv":
		s.insightsAnswer(w, 400, "Format is not valid.")
	case !ask.ExecuteNow && rep.Start.Before(s.now().Add(4*time.Hour)):
		s.insightsAnswer(w, 400, "StartTime must be 4 hours ahead.")
	case !ask.ExecuteNow && (ask.RecurrenceInterval < 24 || ask.RecurrenceInterval > 2160):
		s.insightsAnswer(w, 400, "RecurrenceInterval is out of range.")
	default:
		if ask.ExecuteNow {
			rep.From, _ = time.Parse("2006-01-02T15:04:05Z", ask.QueryStartTime)
			rep.To, _ = time.Parse("2006-01-02T15:04:05Z", ask.QueryEndTime)
		}
		s.reports.reports = append(s.reports.reports, rep)
		s.reports.executions = append(s.reports.executions, &execution{id: s.insightsID(), report: rep, made: s.now()})
		s.insightsAnswer(w, 200, "Report created successfully", reportJSON(rep))
	}
}

func reportJSON(r *insightsReport) object {
	return object{"reportId": r.ID, "reportName": r.Name, "queryId": r.Query, "startTime": stamp(r.Start), "recurrenceInterval": r.Interval,
		"recurrenceCount": r.Count, "callbackUrl": orNull(r.CallbackURL), "callbackMethod": orNull(r.CallbackMethod), "format": r.Format,
		"reportStatus": r.Status}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (s *Server) insightsReports(w http.ResponseWriter, r *http.Request) {
	q := lowerQuery(r)
	var found []any
	for _, rep := range s.reports.reports {
		if listedIn(q.Get("reportid"), rep.ID) && listedIn(q.Get("reportname"), rep.Name) && listedIn(q.Get("queryid"), rep.Query) {
			found = append(found, reportJSON(rep))
		}
	}
	s.insightsFound(w, found)
}

// insightsManage pauses, resumes, changes or deletes a report.
func (s *Server) insightsManage(w http.ResponseWriter, r *http.Request, id string) {
	verb, rest, ok := strings.Cut(id, "/")
	if !ok {
		verb, rest = "", id
	}
	for i, rep := range s.reports.reports {
		if rep.ID != rest {
			continue
		}
		switch {
		case r.Method == http.MethodDelete:
			s.reports.reports = append(s.reports.reports[:i:i], s.reports.reports[i+1:]...)
			rep.Status = "Inactive"
		case strings.EqualFold(verb, "pause"):
			rep.Status = "Paused"
		case strings.EqualFold(verb, "resume"):
			rep.Status = "Active"
		}
		s.insightsAnswer(w, 200, "", reportJSON(rep))
		return
	}
	s.insightsAnswer(w, 404, "No item found.")
}

// insightsExecution tells of a report's runs. Without a status it asks for
// completed ones, so that it is 404 until there is one.
func (s *Server) insightsExecution(w http.ResponseWriter, r *http.Request, id string) {
	q := lowerQuery(r)
	want := q.Get("executionstatus")
	def(&want, "Completed")
	var found []any
	for _, ex := range s.reports.executions {
		if ex.report.ID != id || !listedIn(q.Get("executionid"), ex.id) {
			continue
		}
		ex.asked++
		status := "Completed"
		switch {
		case s.now().Before(ex.report.Start) || ex.asked < executionAsks-1:
			status = "Pending"
		case ex.asked < executionAsks:
			status = "Running"
		}
		if !listedIn(want, status) {
			continue
		}
		o := object{"executionId": ex.id, "reportId": id, "recurrenceInterval": ex.report.Interval, "recurrenceCount": ex.report.Count,
			"callbackUrl": orNull(ex.report.CallbackURL), "callbackMethod": orNull(ex.report.CallbackMethod), "format": ex.report.Format,
			"executionStatus": status, "reportLocation": nil, "reportAccessSecureLink": nil, "reportExpiryTime": nil, "reportGeneratedTime": nil}
		if status == "Completed" {
			o["reportAccessSecureLink"], o["reportGeneratedTime"] = s.reportLink(ex), stamp(s.now())
		}
		found = append(found, o)
	}
	s.insightsFound(w, found)
}

// reportLink signs for the file of a run; it lies at the blob host. The caller
// holds the lock.
func (s *Server) reportLink(ex *execution) string {
	if ex.sig == "" {
		ex.sig = "rep-sig-" + strconv.Itoa(len(s.exports.sas)+1) + "-" + s.opt.Marker
		s.exports.sas[ex.sig] = signature{root: "/rep/" + ex.id, expires: s.now().Add(s.opt.Export.SASLife)}
	}
	return s.at.Blob + "/rep/" + ex.id + "." + ex.report.Format + "?sig=" + ex.sig
}
