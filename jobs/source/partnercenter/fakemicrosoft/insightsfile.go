package fakemicrosoft

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// azureUsageColumns are columns of the dataset AzureUsage.
func azureUsageColumns() []string {
	return []string{"PGAMpnId", "MPNId", "PartnerName", "PartnerAttributionType", "SalesChannel", "ResellerID", "CustomerName",
		"CustomerTenantId", "CustomerMarket", "SubscriptionId", "SubscriptionState", "Month", "ServiceLevel1", "ServiceLevel2", "UsageUnits",
		"UsageQuantity", "MonthlySubscriptionLevelACR", "IsACRDuplicateAtPGALevel", "IsDuplicateAtMpnLevel"}
}

// insightsPlan is a query that was read.
type insightsPlan struct {
	columns []string
	where   [][3]string // column, operator, value
	limit   int         // 0: none
	span    string
}

// parseInsightsQuery reads SELECT columns FROM AzureUsage [WHERE column op value
// AND ...] [LIMIT n] [TIMESPAN x], without regard to case. ORDER BY, LIKE and IN
// are read over.
func parseInsightsQuery(text string) (insightsPlan, error) {
	plan := insightsPlan{span: "LAST_3_MONTHS"}
	words := regexp.MustCompile(`'[^']*'|[<>!]?=|[<>]|[^\s,'<>!=]+`).FindAllString(text, -1)
	i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, "FROM") })
	if i < 2 || !strings.EqualFold(words[0], "SELECT") || i+1 >= len(words) {
		return plan, errors.New("the query is not SELECT ... FROM")
	}
	if !strings.EqualFold(words[i+1], "AzureUsage") {
		return plan, fmt.Errorf("table %s does not exist", words[i+1])
	}
	for _, w := range words[1:i] {
		if strings.EqualFold(w, "DISTINCT") {
			continue
		}
		c, err := insightsColumn(w)
		if err != nil {
			return plan, err
		}
		plan.columns = append(plan.columns, c)
	}
	return plan, plan.clauses(words[i+2:])
}

// clauses reads what stands behind the table.
func (q *insightsPlan) clauses(words []string) error {
	for i := 0; i < len(words); i++ {
		switch strings.ToUpper(words[i]) {
		case "WHERE", "AND":
			if i+3 >= len(words) {
				return errors.New("the condition is not whole")
			}
			c, err := insightsColumn(words[i+1])
			if err != nil {
				return err
			}
			q.where = append(q.where, [3]string{c, words[i+2], strings.Trim(words[i+3], "'")})
			i += 3
		case "LIMIT":
			if i+1 < len(words) {
				q.limit, _ = strconv.Atoi(words[i+1])
			}
		case "TIMESPAN":
			if i+1 < len(words) {
				q.span = strings.ToUpper(words[i+1])
			}
		}
	}
	return nil
}

// insightsColumn spells a column or metric as the dataset does.
func insightsColumn(name string) (string, error) {
	for _, c := range append(azureUsageColumns(), "ACR_USD", "SubscriptionCount", "CustomerCount", "CustomerTenantCount") {
		if strings.EqualFold(c, name) {
			return c, nil
		}
	}
	return "", fmt.Errorf("column %s does not exist", name)
}

// keeps tells whether conditions hold for a record, given by a lookup.
func (q *insightsPlan) keeps(value func(column string) string) bool {
	for _, w := range q.where {
		c := strings.Compare(strings.ToLower(value(w[0])), strings.ToLower(w[2]))
		ok := map[string]bool{"=": c == 0, "!=": c != 0, "<": c < 0, ">": c > 0, "<=": c <= 0, ">=": c >= 0}
		if holds, known := ok[w[1]]; known && !holds {
			return false
		}
	}
	return true
}

// span returns the months of a time span, the end exclusive.
func (s *Server) span(name string) (from, to time.Time) {
	to = month(s.now())
	months := map[string]int{"LAST_MONTH": 1, "LAST_3_MONTHS": 3, "LAST_6_MONTHS": 6, "LAST_1_YEAR": 12, "LAST_2_YEARS": 24}[name]
	if months == 0 {
		months = 3
	}
	return to.AddDate(0, -months, 0), to
}

// azureUsage makes the records of the months between: one for each Azure
// subscription and meter category, and the same once more, marked as a duplicate,
// for another location of the partner.
func (s *Server) azureUsage(plan insightsPlan, from, to time.Time) [][]string {
	var records [][]string
	for _, m := range s.usageMonths(from, to) {
		for _, k := range m.keys {
			for copied := range 2 {
				value := func(c string) string { return s.azureUsageValue(c, m.sums[k].line, m.month, m.sums[k], copied) }
				if !plan.keeps(value) {
					continue
				}
				record := make([]string, len(plan.columns))
				for i, c := range plan.columns {
					record[i] = value(c)
				}
				if records = append(records, record); len(records) == plan.limit {
					return records
				}
			}
		}
	}
	return records
}

// usageMonth is what a month's usage adds up to.
type usageMonth struct {
	month time.Time
	keys  []string
	sums  map[string]*sum
}

func (s *Server) usageMonths(from, to time.Time) []usageMonth {
	var all []usageMonth
	if s.partner.Usage == nil {
		return nil
	}
	for m := month(from); m.Before(to); m = m.AddDate(0, 1, 0) {
		one := usageMonth{month: m, sums: make(map[string]*sum)}
		for _, feed := range s.partner.feeds(CostExports{Today: s.now()}, m) {
			for blob := range s.partner.Usage.Blobs(feed) {
				for l := range s.partner.Usage.Lines(feed, blob) {
					k := l.EntitlementID + "\x00" + l.MeterCategory
					if one.sums[k] == nil {
						one.sums[k] = new(sum)
						one.keys = append(one.keys, k)
					}
					one.sums[k].add(l)
				}
			}
		}
		slices.Sort(one.keys)
		all = append(all, one)
	}
	return all
}

func (s *Server) azureUsageValue(column string, l *Line, m time.Time, total *sum, copied int) string {
	round := func(r *big.Rat) string { return r.FloatString(2) }
	values := map[string]string{"PGAMpnId": s.partner.MpnID, "MPNId": fmt.Sprint(s.partner.MpnID, copied), "PartnerName": s.partner.Name,
		"PartnerAttributionType": "CSP", "SalesChannel": "Direct/CSP", "ResellerID": l.Tier2MpnID, "CustomerName": l.CustomerName,
		"CustomerTenantId": l.CustomerID, "CustomerMarket": l.CustomerCountry, "SubscriptionId": l.EntitlementID, "SubscriptionState": "Active",
		"Month": m.Format("2006-01-02"), "ServiceLevel1": serviceCategory(l.MeterCategory), "ServiceLevel2": l.MeterCategory, "UsageUnits": l.Unit,
		"UsageQuantity": round(&total.usage), "MonthlySubscriptionLevelACR": round(&total.usd), "ACR_USD": round(&total.usd),
		"IsACRDuplicateAtPGALevel": fmt.Sprint(copied), "IsDuplicateAtMpnLevel": "0"}
	if v, ok := values[column]; ok {
		return v
	}
	return "1" // the counting metrics
}

// serveReport gives the file of a run to whoever has its signed address.
func (s *Server) serveReport(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	sas, signed := s.exports.sas[r.URL.Query().Get("sig")]
	var ex *execution
	for _, e := range s.reports.executions {
		if signed && sas.root == "/rep/"+e.id && strings.HasPrefix(r.URL.Path, sas.root+".") {
			ex = e
		}
	}
	var plan insightsPlan
	if ex != nil {
		for _, q := range s.reports.queries {
			if q.ID == ex.report.Query {
				plan, _ = parseInsightsQuery(q.Text)
			}
		}
	}
	s.mu.Unlock()
	if ex == nil || !s.now().Before(sas.expires) {
		xmlError(w, 403, "AuthenticationFailed", "Server failed to authenticate the request.")
		return
	}
	from, to := s.span(plan.span)
	if !ex.report.From.IsZero() && !ex.report.To.IsZero() {
		from, to = ex.report.From, ex.report.To
	}
	w.Header().Set("Content-Type", "text/csv")
	out := csv.NewWriter(w)
	if ex.report.Format == "tsv" {
		out.Comma = '\t'
	}
	// An error is the reader's having gone away.
	_ = out.WriteAll(append([][]string{plan.columns}, s.azureUsage(plan, from, to)...))
}
