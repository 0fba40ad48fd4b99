package fakemicrosoft

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// CostExports says which Cost Management exports in FOCUS format there are (Cost
// Management improved exports; FOCUS columns of Azure, as FinOps hubs read them). The
// rows come from the partner's usage, with a credit, a correction, a reservation
// and a marketplace charge for each customer and month.
type CostExports struct {
	Version string    // 1.0, 1.0r2 (default), 1.2-preview: column names and the text of times
	Today   time.Time // of the last run; required
	Months  int       // months back, the current one included; 0: 2
	// Runs is how many days in a row each export has run; 0: 2. Each run holds the
	// month so far and restates its first row by a cent.
	Runs int
	// Overwrite leaves the last run's files only, always under the same names.
	// Otherwise each run has a folder of its own.
	Overwrite   bool
	PerCustomer bool // a scope for each customer, otherwise one of the billing account
	Plain       bool // csv, otherwise csv.gz
	Parquet     bool // Parquet with Snappy, otherwise CSV
	RangeFirst  bool // the folder of dates stands before that of the export's name
	PartRows    int  // rows in a part; 0: 1000
	BOM         bool
	ZeroIDs     bool   // missing ids are zeros, as older exports wrote them, otherwise empty
	CreditFlags string // how x_PartnerCreditApplied says yes and no; 0: "1,0"
}

// File is a file of the exports, by its name inside the container.
type File struct {
	Name string // focus/focus-all/20260201-20260228/.../manifest.json
	Body []byte
}

// Total is what the last run of an export says of a month.
type Total struct {
	Scope  string
	Month  time.Time
	Rows   int
	Billed int64 // hundredths of the billing currencies, all added up
}

func (e CostExports) withDefaults() CostExports {
	def(&e.Version, "1.0r2")
	def(&e.Months, 2)
	def(&e.Runs, 2)
	def(&e.PartRows, 1000)
	def(&e.CreditFlags, "1,0")
	e.Today = day(e.Today)
	return e
}

// BillingAccount is the partner's billing account, as it stands in scopes.
const BillingAccount = "/providers/Microsoft.Billing/billingAccounts/00-aa:bb_2019-05-31"

// scope is what one export covers.
type scope struct {
	id, name  string
	customers []*Customer
}

func (p *Partner) scopes(e CostExports) []scope {
	if !e.PerCustomer {
		return []scope{{BillingAccount, "focus-all", p.Customers}}
	}
	var all []scope
	for i, c := range p.Customers {
		all = append(all, scope{BillingAccount + "/customers/" + c.ID, fmt.Sprintf("focus-%d", i), []*Customer{c}})
	}
	return all
}

// ExportFiles makes the files of all exports, and what their last runs say.
func (p *Partner) ExportFiles(e CostExports) ([]File, []Total) {
	e = e.withDefaults()
	var files []File
	var totals []Total
	for _, sc := range p.scopes(e) {
		for back := range e.Months {
			m := month(e.Today).AddDate(0, -back, 0)
			for run := range e.Runs {
				last := run == e.Runs-1
				if e.Overwrite && !last {
					continue
				}
				made, total := p.exportRun(e, sc, m, run)
				files = append(files, made...)
				if last {
					totals = append(totals, total)
				}
			}
		}
	}
	return files, totals
}

// WriteExports writes the files of all exports into a folder, which stands for
// the container.
func (p *Partner) WriteExports(dir string, e CostExports) ([]Total, error) {
	files, totals := p.ExportFiles(e)
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, f.Body, 0o644); err != nil {
			return nil, err
		}
	}
	return totals, nil
}

// exportRun makes the parts and the manifest of one run for one month.
func (p *Partner) exportRun(e CostExports, sc scope, m time.Time, run int) ([]File, Total) {
	at := e.Today.AddDate(0, 0, run-e.Runs+1).Add(4 * time.Hour)
	id := fmt.Sprintf("7f0e8a52-8f0a-4a39-a0d4-%04d%08d", run, m.Year()*100+int(m.Month()))
	if e.Overwrite {
		id = fmt.Sprintf("7f0e8a52-8f0a-4a39-a0d4-0000%08d", m.Year()*100+int(m.Month()))
	}
	dates := m.Format("20060102") + "-" + m.AddDate(0, 1, -1).Format("20060102")
	dir := "focus/" + sc.name + "/" + dates
	if e.RangeFirst {
		dir = "focus/" + dates + "/" + sc.name
	}
	if !e.Overwrite {
		dir += "/" + at.Format("200601021504")
	}
	dir += "/" + id
	total := Total{Scope: sc.id, Month: m}
	var files []File
	var rows [][]string
	flush := func() {
		if len(rows) == 0 {
			return
		}
		files = append(files, File{fmt.Sprintf("%s/part_0_%04d.%s", dir, len(files)+1, e.ext()), e.encode(rows)})
		rows = nil
	}
	for row := range p.costRows(e, sc, m, at) {
		if total.Rows == 0 {
			row.cents += int64(run)
		}
		total.Rows++
		total.Billed += row.cents
		if rows = append(rows, row.record(e, p)); len(rows) == e.PartRows {
			flush()
		}
	}
	flush()
	return append(files, File{dir + "/manifest.json", e.manifest(sc, m, at, id, total.Rows, files)}), total
}

func (e CostExports) ext() string {
	switch {
	case e.Parquet:
		return "snappy.parquet"
	case e.Plain:
		return "csv"
	}
	return "csv.gz"
}

// encode writes a part.
func (e CostExports) encode(rows [][]string) []byte {
	if e.Parquet {
		return e.encodeParquet(rows)
	}
	var b bytes.Buffer
	if e.BOM {
		b.WriteString("\ufeff")
	}
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	// Writing to memory does not fail.
	_ = w.WriteAll(append([][]string{e.header()}, rows...))
	if e.Plain {
		return b.Bytes()
	}
	var z bytes.Buffer
	zip := gzip.NewWriter(&z)
	_, _ = zip.Write(b.Bytes())
	_ = zip.Close()
	return z.Bytes()
}

// manifest names the parts of a run.
func (e CostExports) manifest(sc scope, m, at time.Time, id string, rows int, parts []File) []byte {
	const text = "2006-01-02T15:04:05"
	format := "Csv"
	if e.Parquet {
		format = "Parquet"
	}
	behaviour := "CreateNewReport"
	if e.Overwrite {
		behaviour = "OverwritePreviousReport"
	}
	frame := "MonthToDate"
	if !m.Equal(month(e.Today)) {
		frame = "TheLastMonth"
	}
	blobs := make([]object, 0, len(parts))
	for _, p := range parts {
		blobs = append(blobs, object{"blobName": p.Name, "byteCount": len(p.Body)})
	}
	b, err := json.Marshal(object{"blobCount": len(parts), "dataRowCount": rows, "blobs": blobs,
		"exportConfig": object{"exportName": sc.name, "resourceId": sc.id + "/providers/Microsoft.CostManagement/exports/" + sc.name,
			"dataVersion": e.Version, "apiVersion": "2025-03-01", "type": "FocusCost", "timeFrame": frame, "granularity": "Daily"},
		"deliveryConfig": object{"partitionData": true, "dataOverwriteBehavior": behaviour, "fileFormat": format, "rootFolderPath": "focus",
			"containerUri": "/subscriptions/c0ffee00-0000-4000-8000-000000000000/resourceGroups/rg-cost/providers/Microsoft.Storage/storageAccounts/poldercost/blobServices/default/containers/" + Container},
		"runInfo": object{"executionType": "Scheduled", "submittedTime": at.Format(text + ".0Z"), "runId": id,
			"startDate": m.Format(text), "endDate": m.AddDate(0, 1, -1).Format(text)}})
	if err != nil {
		panic(err) // only strings and numbers
	}
	return b
}

// costRows yields a month of a scope as it was known at a time.
func (p *Partner) costRows(e CostExports, sc scope, m, at time.Time) iter.Seq[*costRow] {
	return func(yield func(*costRow) bool) {
		in := make(map[string]bool)
		for _, c := range sc.customers {
			in[fold(c.ID)] = true
		}
		until := stamp(day(at))
		for _, feed := range p.feeds(e, m) {
			for blob := range p.Usage.Blobs(feed) {
				for l := range p.Usage.Lines(feed, blob) {
					if in[fold(l.CustomerID)] && l.UsageDate < until && !yield(usageRow(l)) {
						return
					}
				}
			}
		}
		for _, c := range sc.customers {
			for _, row := range otherRows(p, c, m) {
				if !yield(row) {
					return
				}
			}
		}
	}
}

// feeds returns the feeds that hold a month.
func (p *Partner) feeds(e CostExports, m time.Time) []Feed {
	if p.Usage == nil {
		return nil
	}
	var all []Feed
	period := ""
	switch m {
	case month(e.Today):
		period = "current"
	case month(e.Today).AddDate(0, -1, 0):
		period = "last"
	}
	if period == "" {
		for _, inv := range p.Invoices {
			if inv.Month.Equal(m) {
				all = append(all, Feed{Invoice: inv.ID, Version: 1, Today: e.Today})
			}
		}
		return all
	}
	for _, cur := range p.Currencies {
		all = append(all, Feed{Currency: cur, Period: period, Version: 1, Today: e.Today})
	}
	return all
}

// clock writes a time as the version of the export does.
func (e CostExports) clock(t time.Time) string {
	if e.Version == "1.0" {
		return t.Format("2006-01-02T15:04Z")
	}
	return stamp(t)
}

// renamed returns the name of a column in the version of the export.
func (e CostExports) renamed(name string) string {
	if !strings.HasPrefix(e.Version, "1.0") {
		switch name {
		case "x_InvoiceId", "x_PricingCurrency":
			return name[len("x_"):]
		case "x_SkuMeterName":
			return "SkuMeter"
		}
	}
	return name
}
