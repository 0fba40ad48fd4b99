package jobs

import (
	"context"
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
	Columns []string        `json:"columns"` // of Result
	Result  [][]string      `json:"result"`  // the value, as the mail has it; one row for a count
	Reason  *string         `json:"reason"`  // why there is no value
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
	if metric == "at_risk_high" || metric == "at_risk" {
		return Explanation{}, fmt.Errorf("explain %s: a score is a model's, no query gives it; `tidemark churn score --as-of %s` makes it again with its reasons", metric, row.KnownAt)
	}
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
	if out.Result, out.Reason = e.result(again.Document); out.Result == nil && out.Reason == nil {
		return out, fmt.Errorf("explain %s: the report shows no money", metric)
	}
	q := &query{in: again.Portfolio, scoped: reports.Role(row.Role).Policy().OwnOnly}
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
	if out.Reason == nil {
		out.Query = e.query(q)
	}
	return out, nil
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
	}
	for key, c := range map[string]struct {
		usage, subs bool
		count       func(*reports.Document) reports.Count
		query       func(*query) string
	}{
		"customers_with_usage":        {true, false, func(d *reports.Document) reports.Count { return d.CustomersWithUsage }, (*query).customersWithUsage},
		"customers_without_usage":     {true, true, func(d *reports.Document) reports.Count { return d.CustomersWithoutUsage }, (*query).customersWithoutUsage},
		"subscriptions_sold":          {false, true, func(d *reports.Document) reports.Count { return d.SubscriptionsSold }, (*query).sold},
		"new_customers":               {false, true, func(d *reports.Document) reports.Count { return d.NewCustomers }, (*query).newCustomers},
		"subscriptions_without_usage": {true, true, func(d *reports.Document) reports.Count { return d.Counts.WithoutUsage }, (*query).withoutUsage},
		"active_at_end":               {false, true, func(d *reports.Document) reports.Count { return d.Counts.ActiveAtEnd }, (*query).activeAtEnd},
		"subscriptions_renewed":       {false, true, func(d *reports.Document) reports.Count { return d.SubscriptionsRenewed }, (*query).renewed},
		"deprovisioned":               {false, true, func(d *reports.Document) reports.Count { return d.Counts.Deprovisioned }, (*query).deprovisioned},
	} {
		all[key] = explainer{columns: []string{key}, usage: c.usage, subs: c.subs, query: c.query, result: func(d *reports.Document) ([][]string, *string) {
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
