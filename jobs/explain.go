package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
)

// Explanation traces one number of a report to the files it comes from.
type Explanation struct {
	Report  string          `json:"report"`
	Metric  string          `json:"metric"`
	Period  data.Period     `json:"period"`
	Columns []string        `json:"columns"`              // of Result
	Result  [][]string      `json:"result"`               // the value, as the mail has it; one row for a count, "" for null
	Again   [][]string      `json:"recomputed,omitempty"` // only where it differs from Result
	Reason  *string         `json:"reason"`               // why there is no value
	Tables  []ExplainedFrom `json:"tables"`
	Query   string          `json:"query"` // for DuckDB, run in the archive's folder
}

// ExplainedFrom is a table at a version with the files that count.
type ExplainedFrom struct {
	Table   archive.Table   `json:"table"`
	Version int64           `json:"version"`
	Rows    int64           `json:"rows"`
	Files   []ExplainedFile `json:"files"`
}

// ExplainedFile is one file; Path is below the archive's folder.
type ExplainedFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"`
}

// explainer knows how one metric comes about.
type explainer struct {
	columns []string
	usage   bool // reads the usage of the known days
	subs    bool // reads the inventory snapshots
	names   bool // reads the names of customers
	scores  bool // reads the stored scores
	result  func(d *reports.Document) ([][]string, *string)
	query   func(q *query) string
}

// Explained returns the metrics that Explain has a query for, in order.
func Explained() []string {
	var names []string
	for name := range explainers() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Explain rebuilds a report and traces a metric of it.
func Explain(ctx context.Context, a *archive.Archive, row data.Report, metric string) (Explanation, error) {
	e, found := explainers()[metric]
	if !found {
		return Explanation{}, fmt.Errorf("explain %q: want one of %s", metric, strings.Join(Explained(), ", "))
	}
	again, err := Rebuild(ctx, a, row, nil)
	if err != nil {
		return Explanation{}, err
	}
	defer again.Portfolio.Release()
	in := again.Portfolio.Inputs
	out := Explanation{Report: row.ReportID, Metric: metric, Period: in.Period, Columns: e.columns}
	var mailed reports.Document
	if err := json.Unmarshal([]byte(row.Document), &mailed); err != nil {
		return out, fmt.Errorf("explain %s: the numbers of the report: %w", metric, err)
	}
	if out.Result, out.Reason = e.result(&mailed); out.Result == nil && out.Reason == nil {
		return out, fmt.Errorf("explain %s: the report shows no money", metric)
	}
	if now, _ := e.result(again.Document); !slices.EqualFunc(now, out.Result, slices.Equal) {
		out.Again = now
	}
	q := &query{in: again.Portfolio, row: row, doc: again.Document, scoped: reports.Role(row.Role).Policy().OwnOnly}
	for id := range again.Document.Background.Customers {
		q.customers = append(q.customers, string(id))
	}
	slices.Sort(q.customers)
	known := in.Known(in.Period)
	if e.usage {
		from := explainedFiles(again.View, archive.UsageDaily, known)
		q.usage, out.Tables = from.Files, append(out.Tables, from)
	}
	if e.subs {
		for _, s := range in.Inventory {
			q.snapshots = append(q.snapshots, s.Day)
		}
		from := explainedFiles(again.View, archive.Subscriptions, q.snapshots)
		q.subs, out.Tables = from.Files, append(out.Tables, from)
	}
	if e.names {
		from := explainedFiles(again.View, archive.Customers, again.View.Snapshots(archive.Customers))
		q.named, out.Tables = from.Files, append(out.Tables, from)
	}
	if e.scores {
		from, err := scoreFiles(ctx, a, again.Document)
		if err != nil {
			return out, fmt.Errorf("explain %s: %w", metric, err)
		}
		q.scores, out.Tables = from.Files, append(out.Tables, from)
	}
	if out.Reason == nil && !(e.scores && len(q.scores) == 0) {
		out.Query = e.query(q)
	}
	return out, nil
}

// scoreFiles lists the newest files of stored scores as of the day that a
// document's are as of: a report names no version of them, and none goes away.
func scoreFiles(ctx context.Context, a *archive.Archive, d *reports.Document) (ExplainedFrom, error) {
	view, err := a.View(ctx, nil)
	if err != nil || len(d.AtRisk) == 0 {
		return ExplainedFrom{Table: archive.Scores, Version: -1, Files: []ExplainedFile{}}, err
	}
	return explainedFiles(view, archive.Scores, []data.Day{d.AtRisk[0].Origin}), nil
}

// explainedFiles lists the files of the days.
func explainedFiles(v *archive.View, t archive.Table, days []data.Day) ExplainedFrom {
	from := ExplainedFrom{Table: t, Version: v.Version(t), Files: []ExplainedFile{}}
	for _, p := range v.Parts(t) {
		if slices.Contains(days, p.Day) {
			from.Files = append(from.Files, ExplainedFile{string(t) + "/" + p.Path, p.SHA256, p.Rows})
			from.Rows += p.Rows
		}
	}
	return from
}

func explainers() map[string]explainer {
	all := map[string]explainer{
		"cost":             {columns: []string{"currency", "cost"}, usage: true, result: costRows, query: func(q *query) string { return q.cost("currency") }},
		"cost_by_category": {columns: []string{"category", "currency", "cost"}, usage: true, result: categoryRows, query: func(q *query) string { return q.cost("category, currency") }},
		"cost_by_day":      {columns: []string{"usage_date", "currency", "cost"}, usage: true, result: dayRows, query: func(q *query) string { return q.cost("usage_date, currency") }},
		"top_customers": {columns: []string{"category", "rank", "customer_id", "currency", "cost", "quantity", "unit"}, usage: true, names: true,
			result: topRows, query: (*query).top},
		"churn_by_date": {columns: []string{"date", "active", "deprovisioned"}, subs: true, result: churnRows, query: (*query).churnByDate},
		"at_risk":       {columns: []string{"subscription_id", "state", "score", "band"}, scores: true, result: riskRows, query: (*query).atRisk},
	}
	for key, c := range map[string]struct {
		usage, subs bool
		count       func(*reports.Document) reports.Count
		query       func(*query) string
	}{
		"at_risk_high":                {false, false, func(d *reports.Document) reports.Count { return d.Counts.AtRiskHigh }, (*query).atRiskHigh},
		"customers_with_usage":        {true, false, func(d *reports.Document) reports.Count { return d.CustomersWithUsage }, (*query).customersWithUsage},
		"customers_without_usage":     {true, true, func(d *reports.Document) reports.Count { return d.CustomersWithoutUsage }, (*query).customersWithoutUsage},
		"subscriptions_sold":          {false, true, func(d *reports.Document) reports.Count { return d.SubscriptionsSold }, (*query).sold},
		"new_customers":               {false, true, func(d *reports.Document) reports.Count { return d.NewCustomers }, (*query).newCustomers},
		"subscriptions_without_usage": {true, true, func(d *reports.Document) reports.Count { return d.Counts.WithoutUsage }, (*query).withoutUsage},
		"active_at_end":               {false, true, func(d *reports.Document) reports.Count { return d.Counts.ActiveAtEnd }, (*query).activeAtEnd},
		"subscriptions_renewed":       {false, true, func(d *reports.Document) reports.Count { return d.SubscriptionsRenewed }, (*query).renewed},
		"deprovisioned":               {false, true, func(d *reports.Document) reports.Count { return d.Counts.Deprovisioned }, (*query).deprovisioned},
	} {
		all[key] = explainer{columns: []string{key}, usage: c.usage, subs: c.subs, scores: key == "at_risk_high", query: c.query, result: func(d *reports.Document) ([][]string, *string) {
			n := c.count(d)
			if n.Value == nil {
				return nil, n.Reason
			}
			return [][]string{{strconv.FormatInt(*n.Value, 10)}}, nil
		}}
	}
	return all
}

// Sums of 0 are left out of lists of costs, here and in the query: a currency
// that only the period before had is one.

func costRows(d *reports.Document) (rows [][]string, reason *string) {
	if d.Costs == nil {
		return nil, nil
	}
	rows = [][]string{}
	for _, c := range d.Cost {
		if c.Value != nil && *c.Value != (data.Decimal{}) {
			rows = append(rows, []string{c.Currency, c.Value.String()})
		}
	}
	return rows, nil
}

func categoryRows(d *reports.Document) (rows [][]string, reason *string) {
	if d.Costs == nil {
		return nil, nil
	}
	rows = [][]string{}
	for _, c := range d.ByCategory {
		if c.Value != nil && *c.Value != (data.Decimal{}) {
			rows = append(rows, []string{c.Category, c.Currency, c.Value.String()})
		}
	}
	return rows, nil
}

func dayRows(d *reports.Document) (rows [][]string, reason *string) {
	if d.Costs == nil {
		return nil, nil
	}
	rows = [][]string{}
	for _, c := range d.ByDay {
		if c.Value != (data.Decimal{}) {
			rows = append(rows, []string{c.Date.String(), c.Currency, c.Value.String()})
		}
	}
	return rows, nil
}

func topRows(d *reports.Document) (rows [][]string, reason *string) {
	if d.Costs == nil {
		return nil, nil
	}
	rows = [][]string{}
	for _, t := range d.TopCustomers {
		row := []string{orEmpty(t.Category), strconv.Itoa(t.Rank), string(t.CustomerID), "", "", decimalText(t.Quantity), orEmpty(t.Unit)}
		if t.TopCost != nil {
			row[3], row[4] = orEmpty(t.Currency), decimalText(t.Cost)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func churnRows(d *reports.Document) (rows [][]string, reason *string) {
	rows = [][]string{}
	for _, c := range d.ChurnByDate {
		rows = append(rows, []string{c.Date.String(), strconv.FormatInt(c.Active, 10), strconv.FormatInt(c.Deprovisioned, 10)})
	}
	if len(rows) == 0 {
		return nil, d.Counts.Deprovisioned.Reason
	}
	return rows, nil
}

func riskRows(d *reports.Document) (rows [][]string, reason *string) {
	rows = [][]string{}
	for _, r := range d.AtRisk {
		row := []string{string(r.SubscriptionID), string(r.State), "", ""}
		if r.Score != nil {
			row[2] = strconv.FormatFloat(*r.Score, 'f', -1, 64)
		}
		if r.Band != nil {
			row[3] = string(*r.Band)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func decimalText(d *data.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}
