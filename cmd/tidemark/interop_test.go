//go:build interop

package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs"
)

// estateFolder is a partner in a folder, whose facts change every day.
type estateFolder struct {
	t   *testing.T
	dir string
	now time.Time
}

func (e *estateFolder) tidemark(args ...string) string {
	e.t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append(args, "--config", filepath.Join(e.dir, "tidemark.yaml")), environment{
		stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: func() time.Time { return e.now }})
	if code != exitDone && code != exitWarnings {
		e.t.Fatalf("tidemark %s: exit %d\n%s%s", strings.Join(args, " "), code, out.String(), errs.String())
	}
	return out.String()
}

func (e *estateFolder) write(name string, rows [][]string) {
	e.t.Helper()
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		e.t.Fatal(err)
	}
	path := filepath.Join(e.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		e.t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		e.t.Fatal(err)
	}
}

// night writes the tables as they are on a day: usage of the last four days,
// restated, customers who come and leave, subscriptions that end.
func (e *estateFolder) night(n int, today data.Day) {
	usage := [][]string{{"usage_date", "customer_id", "subscription_id", "category", "service", "unit", "quantity", "cost", "currency", "cost_usd", "charge_category"}}
	customers := [][]string{{"customer_id", "name", "country"}}
	subscriptions := [][]string{{"subscription_id", "customer_id", "plan_id", "name", "status", "created", "ended_at", "commitment_end", "renewed_at"}}
	for c := range 12 {
		if n < c*4 { // not a customer yet
			continue
		}
		id, currency := fmt.Sprintf("c%02d", c), []string{"EUR", "USD", "GBP"}[c%3]
		name := []string{"Noordzee", `O'Brien "Ltd", ` + "a\tb\\N", "=cmd|' /C calc'!A0", "Ærø ü 日本"}[c%4]
		customers = append(customers, []string{id, name, ""})
		ended := c%5 == 3 && n > 60+c
		status, end := "active", ""
		if ended {
			status = "suspended"
			if c%2 == 0 {
				end = (today - data.Day(n-60-c)).String()
			}
		}
		if c%6 == 5 && n > 80 { // vanishes without a word
			continue
		}
		created := ""
		if c%4 != 1 {
			created = (today - data.Day(n-c*4)).String()
		}
		// Terms of 30 days that are renewed, some with a date, some without, some known only now and then.
		commitment, renewed, plan := "", "", ""
		if c%3 != 2 {
			commitment = (today + data.Day(30-(n+c)%30)).String()
			if c%2 == 0 && n > 30 {
				renewed = (today - data.Day((n+c)%30)).String()
			}
			if (n+c)%11 == 0 {
				commitment = ""
			}
		}
		if c < 6 {
			plan = fmt.Sprintf("plan%d", c/2)
		}
		subscriptions = append(subscriptions, []string{"s-" + id, id, plan, "plan " + name, status, created, end, commitment, renewed})
		for d := range 4 {
			if ended || c%7 == 6 && n > 90 {
				continue // silent
			}
			day := (today - data.Day(d)).String()
			usage = append(usage,
				[]string{day, id, "s-" + id, "Storage", "Blobs", "GB", fmt.Sprint(c + d), fmt.Sprintf("%d.%015d", n%7, c*7919+d), currency, "", ""},
				[]string{day, id, "", "Azure's =SUM", "", "", "", fmt.Sprintf("-0.%018d", n*31+c+1), currency, fmt.Sprintf("%d.5", c), "credit"},
				[]string{day, id, "s-" + id, "Tax", "", "", "", "21", currency, "", "tax"})
		}
	}
	e.write("in/usage.csv", usage)
	e.write("in/customers.csv", customers)
	e.write("in/subscriptions.csv", subscriptions)
}

// TestInterop_OtherReadersAgree builds an archive of 110 nights through the
// command line and has Python read it.
func TestInterop_OtherReadersAgree(t *testing.T) {
	python := os.Getenv("TIDEMARK_PYTHON")
	if python == "" {
		t.Fatal("TIDEMARK_PYTHON is not set; run `make test-interop`")
	}
	e := &estateFolder{t: t, dir: t.TempDir()}
	config := `source: {kind: tables, path: ./in, settle_days: 1}
ownership: {file: owners.csv}
recipients:
  - {address: anna@partner.example, role: sales_agent, locale: nl}
  - {address: ada@partner.example, role: admin_agent}
  - {address: umut@partner.example, role: user_admin}
`
	if err := os.WriteFile(filepath.Join(e.dir, "tidemark.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	e.write("owners.csv", [][]string{{"customer_id", "address"}, {"c00", "anna@partner.example"}, {"c01", "anna@partner.example"}, {"c03", "anna@partner.example"}, {"c05", "anna@partner.example"}})
	first := data.DayOf(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC))
	expected := map[string]any{"checkpoints": []string{"usage", "usage_daily", "customers", "subscriptions"}}
	var explanations, metrics, details []any
	for n := range 110 {
		today := first + data.Day(n)
		e.now = today.Time().Add(26 * time.Hour)
		e.night(n, today)
		e.tidemark("extract", "--from", max(first, today-3).String(), "--to", today.String(), "-q")
		if n == 45 || n == 75 || n == 109 {
			for _, role := range []string{"sales_agent", "admin_agent", "user_admin"} {
				e.tidemark("digest", "--role", role, "--period", "last-30d", "-q")
			}
			explanations = append(explanations, e.explanations()...)
		}
	}
	for _, period := range []string{"last-30d", "2026-10"} {
		of := decodeJSON(t, e.tidemark("metrics", "--period", period, "--format", "json"))
		file := filepath.Join(e.dir, period+".parquet")
		e.tidemark("metrics", "--period", period, "--details", "--format", "parquet", "--out", file)
		metrics, details = append(metrics, of), append(details, map[string]any{"metrics": of, "file": file})
	}
	expected["ls"], expected["metrics"], expected["explanations"] = decodeJSON(t, e.tidemark("archive", "ls", "--files", "--format", "json")), metrics, explanations
	expected["details"] = details
	e.tidemark("archive", "verify")
	b, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(e.dir, "expected.json")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "../../data/archive/interop/check.py", filepath.Join(e.dir, "archive"), file, "../../docs/audit.md", "../../docs/metrics.md").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// explanations traces every metric of the mails that were built last.
func (e *estateFolder) explanations() (all []any) {
	e.t.Helper()
	mails, err := filepath.Glob(filepath.Join(e.dir, "outbox", "*.eml"))
	if err != nil || len(mails) != 3 {
		e.t.Fatalf("mails %q, %v", mails, err)
	}
	for _, mail := range mails {
		for _, metric := range jobs.Explained() {
			if (strings.HasPrefix(metric, "cost") || metric == "top_customers") && strings.Contains(mail, "user_admin") {
				continue // no money
			}
			all = append(all, decodeJSON(e.t, e.tidemark("reproduce", mail, "--explain", metric, "--format", "json")))
		}
	}
	return all
}

func decodeJSON(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
