package tables

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
	"tidemark/data/datatest"
)

// folder writes files and returns the folder with them.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		b := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			b = zipped(t, b)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func source(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// result is what a reading of usage gave.
type result struct {
	rows  []data.Usage
	bad   []*data.RowError
	err   error // what ended the sequence
	tally data.Tally
}

func readUsage(t testing.TB, o Options, want *data.Period) result {
	t.Helper()
	var r result
	for row, err := range source(t, o).Usage(t.Context(), want, &r.tally) {
		var bad *data.RowError
		switch {
		case err == nil:
			r.rows = append(r.rows, row)
		case errors.As(err, &bad):
			r.bad = append(r.bad, bad)
		default:
			r.err = err
		}
	}
	return r
}

func readText(t testing.TB, csv string, lenient bool) result {
	t.Helper()
	return readUsage(t, Options{Path: folder(t, map[string]string{"usage.csv": csv}), Lenient: lenient}, nil)
}

func dec(s string) *data.Decimal {
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return &d
}

func date(s string) data.Day {
	d, err := data.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

const wholeHeader = "usage_date,customer_id,subscription_id,category,service,meter_id,region,unit,quantity,cost,effective_cost,currency,cost_usd,charge_category,billing_period\n"

func wholeRow() data.Usage {
	return data.Usage{
		Day: date("2026-11-20"), CustomerID: "acme", SubscriptionID: new(data.SubscriptionID("sub-1")), Category: "Storage",
		Service: new("Blob, hot"), MeterID: new("m-1"), Region: new("westeurope"), Unit: new("1 GB"),
		Quantity: dec("-1.5"), Cost: dec("0.000000000000001"), EffectiveCost: dec("0.5"), Currency: "EUR", CostUSD: dec("3.1e-7"),
		ChargeCategory: data.ChargePurchase, BillingPeriod: new("2026-11"),
	}
}

const wholeLine = `2026-11-20, ACME ,SUB-1,Storage,"Blob, hot",M-1,westeurope,1 GB,-1.5,0.000000000000001,.5,eur,3.1E-7,Purchase,2026-11` + "\n"

func TestUsage_EveryColumn(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"plain":                          {"usage.csv": wholeHeader + wholeLine},
		"with a byte order mark":         {"usage.csv": "\uFEFF" + wholeHeader + wholeLine},
		"quoted after a byte order mark": {"usage.csv": "\uFEFF\"usage_date\"" + wholeHeader[len("usage_date"):] + wholeLine},
		"gzip":                           {"usage.csv.gz": wholeHeader + wholeLine},
		"header in capitals and spaces":  {"Usage.CSV": strings.ReplaceAll(strings.ToUpper(wholeHeader), ",", " , ") + wholeLine},
		"carriage returns":               {"usage.csv": strings.ReplaceAll(wholeHeader+wholeLine, "\n", "\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			got := readUsage(t, Options{Path: folder(t, files)}, nil)
			if got.err != nil || len(got.bad) > 0 {
				t.Fatalf("got %v %v", got.err, got.bad)
			}
			if diff := cmp.Diff([]data.Usage{wholeRow()}, got.rows); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestUsage_GzipOfSeveralMembers(t *testing.T) {
	dir := t.TempDir()
	both := append(zipped(t, []byte(wholeHeader)), zipped(t, []byte(wholeLine))...)
	if err := os.WriteFile(filepath.Join(dir, "usage.csv.gz"), both, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readUsage(t, Options{Path: dir}, nil); len(got.rows) != 1 || got.err != nil {
		t.Errorf("got %d rows, %v", len(got.rows), got.err)
	}
}

func TestUsage_EmptyCellsAreUnknown(t *testing.T) {
	got := readText(t, wholeHeader+"2026-11-20,acme"+strings.Repeat(",", 13)+"\n", false)
	want := []data.Usage{{Day: date("2026-11-20"), CustomerID: "acme", ChargeCategory: data.ChargeUsage}}
	if diff := cmp.Diff(want, got.rows); diff != "" || got.err != nil {
		t.Errorf("%v; want -, got +:\n%s", got.err, diff)
	}
}

func TestUsage_CostInDollarsIsAlsoCostUSD(t *testing.T) {
	got := readText(t, "usage_date,customer_id,cost,currency,cost_usd\n2026-11-20,a,1.25,usd,\n2026-11-20,a,1.25,USD,7\n2026-11-20,a,1.25,EUR,\n", false)
	var usd []string
	for _, r := range got.rows {
		s := "none"
		if r.CostUSD != nil {
			s = r.CostUSD.String()
		}
		if r.EffectiveCost != nil {
			s += " with an effective cost"
		}
		usd = append(usd, s)
	}
	if diff := cmp.Diff([]string{"1.25", "7.00", "none"}, usd); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestUsage_BadRows(t *testing.T) {
	const head = "usage_date,customer_id,quantity,cost,currency,charge_category\n"
	for name, c := range map[string]struct {
		line, column, value, reason string
	}{
		"no day":                     {",a,1,1,EUR,", "usage_date", "", "missing"},
		"a day that is none":         {"2026-02-30,a,1,1,EUR,", "usage_date", "2026-02-30", "not a date"},
		"a time of day":              {"2026-11-20 00:00:00,a,1,1,EUR,", "usage_date", "2026-11-20 00:00:00", "lenient accepts"},
		"no customer":                {"2026-11-20, ,1,1,EUR,", "customer_id", "", "missing"},
		"a quantity that is none":    {"2026-11-20,a,1;5,1,EUR,", "quantity", "1;5", "not a decimal"},
		"a cost that overflows":      {"2026-11-20,a,1,123456789012345678901,EUR,", "cost", "123456789012345678901", "more than 20 digits"},
		"not a number":               {"2026-11-20,a,NaN,1,EUR,", "quantity", "NaN", "not a decimal"},
		"a cost without a currency":  {"2026-11-20,a,1,1,,", "currency", "", "a cost needs a currency"},
		"a currency that is a path":  {"2026-11-20,a,1,1,../,", "currency", "../", "ISO 4217"},
		"an unknown charge category": {"2026-11-20,a,1,1,EUR,gift", "charge_category", "gift", "not a charge category"},
		"too few cells":              {"2026-11-20,a,1", "", "", "3 cells instead of 6"},
		"too many cells":             {"2026-11-20,a,1,1,EUR,,", "", "", "7 cells instead of 6"},
		"bytes that are no text":     {"2026-11-20,a\xff\xfe,1,1,EUR,", "customer_id", "a\uFFFD", "not UTF-8"},
		"a quote inside a cell":      {`2026-11-20,a"b,1,1,EUR,`, "", "", "a quote stands inside a cell"},
		"a cell closed too early":    {`2026-11-20,"a"b,1,1,EUR,`, "", "", "a quote stands inside a cell"},
	} {
		t.Run(name, func(t *testing.T) {
			good := "2026-11-20,\"a\nb\",1,1,EUR,\n" // takes two lines
			got := readText(t, head+good+c.line+"\n"+good, false)
			if got.err != nil || len(got.rows) != 2 || len(got.bad) != 1 || got.tally.Read != 3 {
				t.Fatalf("got %d rows, %d bad, %d read, %v", len(got.rows), len(got.bad), got.tally.Read, got.err)
			}
			bad := got.bad[0]
			if bad.File != "usage.csv" || bad.Line != 4 || bad.Column != c.column || bad.Value != c.value || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("got %+v", bad)
			}
		})
	}
}

func TestUsage_BadRowsTellTheirDay(t *testing.T) {
	r := readUsage(t, Options{Today: date("2026-11-16"), Path: folder(t, map[string]string{"usage.csv": "usage_date,customer_id,cost\n" +
		"2026-11-09,,\n2026-11-10,c1,x\nsoon,c1,\n2027-11-10,c1,\n2026-11-10,c1\n"})}, nil)
	var got []string
	for _, bad := range r.bad {
		day := "-"
		if bad.Day != nil {
			day = bad.Day.String()
		}
		got = append(got, day)
	}
	if want := []string{"2026-11-09", "2026-11-10", "-", "-", "-"}; !slices.Equal(got, want) {
		t.Errorf("days %q, want %q", got, want)
	}
}

func TestUsage_QuoteThatSwallowsLinesIsToldWithThem(t *testing.T) {
	got := readText(t, "usage_date,customer_id\n2026-11-20,\"a\n2026-11-20,\"b\"\n2026-11-20,c\n", false)
	if len(got.bad) != 1 || got.bad[0].Line != 2 || !strings.Contains(got.bad[0].Reason, "lines 2 to 3") || len(got.rows) != 1 || got.rows[0].CustomerID != "c" {
		t.Errorf("got %v, %v, %v", got.rows, got.bad, got.err)
	}
}

func TestUsage_LongValuesAreShortened(t *testing.T) {
	got := readText(t, "usage_date,customer_id,quantity\n2026-11-20,a,"+strings.Repeat("é", 500)+"\n", false)
	if len(got.bad) != 1 || utf8.RuneCountInString(got.bad[0].Value) != 200 {
		t.Errorf("got %v", got.bad)
	}
}

func TestUsage_LenientReadsTimes(t *testing.T) {
	got := readText(t, "usage_date,customer_id\n2026-11-20 00:00:00,a\n2026-11-20T23:30:00-02:00,a\n2026-11-20T00:00:00Z,a\n20-11-2026,a\n", true)
	var days []string
	for _, r := range got.rows {
		days = append(days, r.Day.String())
	}
	if diff := cmp.Diff([]string{"2026-11-20", "2026-11-21", "2026-11-20"}, days); diff != "" || len(got.bad) != 1 {
		t.Errorf("bad: %v; want -, got +:\n%s", got.bad, diff)
	}
}

func TestUsage_RowsOutsideTheWindowAreNotLookedAt(t *testing.T) {
	dir := folder(t, map[string]string{"usage.csv": "usage_date,customer_id,quantity\n2026-11-19,,nonsense\n2026-11-20,a,1\n2026-11-21,\xff,1\n"})
	got := readUsage(t, Options{Path: dir}, &data.Period{From: date("2026-11-20"), To: date("2026-11-20")})
	if len(got.rows) != 1 || len(got.bad) != 0 || got.tally.Read != 1 {
		t.Errorf("got %d rows, bad %v, %d read", len(got.rows), got.bad, got.tally.Read)
	}
}

func TestUsage_RoundedValuesAreCounted(t *testing.T) {
	got := readText(t, "usage_date,customer_id,quantity\n2026-11-20,a,0.0000000000000000015\n2026-11-20,a,1.10\n", false)
	if got.tally.Rounded != 1 || len(got.rows) != 2 || *got.rows[0].Quantity != *dec("0.000000000000000002") {
		t.Errorf("got %d rounded, %v", got.tally.Rounded, got.rows)
	}
}

func TestUsage_BadFilesEndTheSequence(t *testing.T) {
	const head = "usage_date,customer_id\n"
	long := head + "2026-11-20,\"" + strings.Repeat("x", 3<<20)
	cut := func(b []byte) string { return string(b[:len(b)-6]) }
	flipped := zipped(t, []byte(head+strings.Repeat("2026-11-20,a\n", 100)))
	flipped[len(flipped)-7] ^= 0xff
	for name, c := range map[string]struct {
		file, text, says string
		rows             int
	}{
		"an unknown column":            {"usage.csv", "usage_date,customer_id,metre\n", `usage.csv:1: column "metre" is unknown`, 0},
		"a column missing":             {"usage.csv", "usage_date\n", "usage.csv:1: column customer_id is missing", 0},
		"a column twice":               {"usage.csv", "usage_date,customer_id, USAGE_DATE\n", `usage.csv:1: column " USAGE_DATE" stands twice`, 0},
		"separated by semicolons":      {"usage.csv", "usage_date;customer_id\n", "separate the columns by commas", 0},
		"an empty file":                {"usage.csv", "", "usage.csv: the file is empty", 0},
		"a header that is not UTF-8":   {"usage.csv", "usage_date,customer_id,\xff\n", "usage.csv:1: the header is not UTF-8", 0},
		"UTF-16":                       {"usage.csv", "\xff\xfeu\x00s\x00", "the file is UTF-16", 0},
		"a header with a stray quote":  {"usage.csv", "usage_date,cust\"omer_id\n", "usage.csv:1: the header is not CSV", 0},
		"a quote open at the end":      {"usage.csv", head + "2026-11-20,a\n2026-11-20,\"b\n2026-11-20,c\n", "usage.csv:3: the quotes of the last row are not closed", 1},
		"a quote open for long":        {"usage.csv", long, "usage.csv: after line 0 a row is longer than 1 MiB", 0},
		"a gzip file that is none":     {"usage.csv.gz.raw", head, "usage.csv.gz: the file is damaged", 0},
		"a gzip file cut off":          {"usage.csv.gz.raw", cut(zipped(t, []byte(head+"2026-11-20,a\n"))), "usage.csv.gz: the file is cut off", 1},
		"a gzip file of nothing":       {"usage.csv.gz.raw", "", "usage.csv.gz: the file is cut off", 0},
		"a gzip file with a bad sum":   {"usage.csv.gz.raw", string(flipped), "usage.csv.gz: the file is damaged", 100},
		"a Parquet file that is none":  {"usage.parquet", "PAR1 and then nothing", "usage.parquet: the file is cut off, damaged or not Parquet", 0},
		"a Parquet file without bytes": {"usage.parquet", "", "usage.parquet: the file is cut off, damaged or not Parquet", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, strings.TrimSuffix(c.file, ".raw"))
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := readUsage(t, Options{Path: dir}, nil)
			if got.err == nil || !strings.Contains(got.err.Error(), c.says) || !strings.HasPrefix(got.err.Error(), path) {
				t.Errorf("the sequence ends with %v, want %s", got.err, c.says)
			}
			if len(got.rows) != c.rows || len(got.bad) > 0 {
				t.Errorf("%d rows and %v before it, want %d rows", len(got.rows), got.bad, c.rows)
			}
		})
	}
}

func TestUsage_LenientTellsUnknownColumns(t *testing.T) {
	got := readText(t, "usage_date,tags,customer_id,\n2026-11-20,x,a,\n2026-11-20,y,b,\n", true)
	want := map[string]int64{`column "tags" of usage.csv`: 1, `column "" of usage.csv`: 1}
	if diff := cmp.Diff(want, got.tally.LeftOut); diff != "" || len(got.rows) != 2 {
		t.Errorf("%d rows, %v; want -, got +:\n%s", len(got.rows), got.err, diff)
	}
}

func TestFiles_OneFormOfEachTable(t *testing.T) {
	const head = "usage_date,customer_id\n"
	for name, c := range map[string]struct {
		files []string
		says  string // empty: accepted
	}{
		"nothing":              {nil, "has no usage: put usage.csv, usage.csv.gz or usage.parquet there"},
		"other files only":     {[]string{"customers.csv", "usage.txt", "my-usage.csv"}, "has no usage"},
		"several parts":        {[]string{"usage-2026-10.csv", "usage-2026-11.csv", "usage.csv"}, ""},
		"two forms":            {[]string{"usage.csv", "usage.csv.gz"}, "has usage twice, as usage.csv and as usage.csv.gz: keep one"},
		"parts in two forms":   {[]string{"usage-1.csv", "usage-2.parquet"}, "has usage twice"},
		"Parquet and CSV":      {[]string{"usage.csv", "usage.parquet"}, "has usage twice"},
		"beside other columns": {[]string{"usage.csv", "customers.csv", "customers.parquet"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, f := range c.files {
				files[f] = head + "2026-11-20," + f + "\n"
			}
			got := readUsage(t, Options{Path: folder(t, files)}, nil)
			if c.says == "" && got.err != nil || c.says != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.says)) {
				t.Errorf("the sequence ends with %v, want %q", got.err, c.says)
			}
		})
	}
	t.Run("parts are read in name order", func(t *testing.T) {
		got := readUsage(t, Options{Path: folder(t, map[string]string{
			"usage-b.csv": head + "2026-11-20,b\n", "usage-a.csv": head + "2026-11-20,a\n", "usage.csv": head + "2026-11-20,whole\n"})}, nil)
		var order []data.CustomerID
		for _, r := range got.rows {
			order = append(order, r.CustomerID)
		}
		if diff := cmp.Diff([]data.CustomerID{"a", "b", "whole"}, order); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
	t.Run("no folder", func(t *testing.T) {
		got := readUsage(t, Options{Path: filepath.Join(t.TempDir(), "nowhere")}, nil)
		if got.err == nil || !strings.Contains(got.err.Error(), "does not exist") {
			t.Errorf("the sequence ends with %v", got.err)
		}
	})
	t.Run("no path", func(t *testing.T) {
		if _, err := New(Options{}); err == nil {
			t.Errorf("New accepts an empty path")
		}
	})
}

func TestInventory_MissingTableIsItsOwnError(t *testing.T) {
	s := source(t, Options{Path: folder(t, map[string]string{"usage.csv": wholeHeader + wholeLine})})
	for _, err := range s.Customers(t.Context(), new(data.Tally)) {
		if err == nil || !strings.Contains(err.Error(), "has no customers: put customers.csv") {
			t.Errorf("customers end with %v", err)
		}
	}
	for _, err := range s.Subscriptions(t.Context(), new(data.Tally)) {
		if err == nil || !strings.Contains(err.Error(), "has no subscriptions: put subscriptions.csv") {
			t.Errorf("subscriptions end with %v", err)
		}
	}
}

func TestCustomers_EveryColumn(t *testing.T) {
	s := source(t, Options{Path: folder(t, map[string]string{"customers.csv": "customer_id,name,domain,country,first_seen,contact,phone,email\n" +
		"ACME,\"Evil\nBcc: x@y.example\",acme.example,NL,2026-01-02,Sanne,010 555 01 23,s@acme.example\n" +
		"b,,,,,,,\n" +
		"acme ,Again,,,,,,\n" +
		"c,,,,yesterday,,,\n"})})
	var rows []data.Customer
	var bad []string
	for row, err := range s.Customers(t.Context(), new(data.Tally)) {
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		rows = append(rows, row)
	}
	want := []data.Customer{{CustomerID: "acme", Name: new("Evil\nBcc: x@y.example"), Domain: new("acme.example"), Country: new("NL"), FirstSeen: new(date("2026-01-02")),
		Contact: new("Sanne"), Phone: new("010 555 01 23"), Email: new("s@acme.example"), Source: "tables"}, {CustomerID: "b", Source: "tables"}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	wantBad := []string{
		`customers.csv:5: column customer_id: "acme": the same id stands on line 2: keep one row per id`,
		`customers.csv:6: column first_seen: "yesterday": not a date: want YYYY-MM-DD`,
	}
	if diff := cmp.Diff(wantBad, bad); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestUsage_PartnerCredit(t *testing.T) {
	got := readUsage(t, Options{Path: folder(t, map[string]string{"usage.csv": "usage_date,customer_id,partner_credit_applied,partner_credit_rate\n" +
		"2026-11-20,a,yes,0.15\n2026-11-20,a,0,\n2026-11-20,a,,\n2026-11-20,a,maybe,\n"})}, nil)
	if got.err != nil || len(got.rows) != 3 || len(got.bad) != 1 {
		t.Fatalf("got %+v", got)
	}
	type credit struct {
		applied *bool
		rate    *data.Decimal
	}
	for i, want := range []credit{{new(true), dec("0.15")}, {new(false), nil}, {nil, nil}} {
		if diff := cmp.Diff(want, credit{got.rows[i].PartnerCreditApplied, got.rows[i].PartnerCreditRate}, cmp.AllowUnexported(credit{})); diff != "" {
			t.Errorf("row %d: want -, got +:\n%s", i+1, diff)
		}
	}
}

func TestSubscriptions_EveryColumn(t *testing.T) {
	const head = "subscription_id,customer_id,plan_id,name,offer,status,created,commitment_end,auto_renew,renewed_at,ended_at,trial\n"
	read := func(t *testing.T, lenient bool) (rows []data.Subscription, bad []string) {
		s := source(t, Options{Lenient: lenient, Path: folder(t, map[string]string{"subscriptions.csv": head +
			"S1,ACME,P1,prod,Azure plan,Suspended,2025-01-02,2026-01-02,true,2025-12-01,2026-11-03,0\n" +
			"s2,acme,,,,,,,,,,\n" +
			"s3,acme,,,,asleep,,,,,,\n" +
			"s4,acme,,,,active,,,maybe,,,\n" +
			"s5,,,,,active,,,,,,\n"})})
		for row, err := range s.Subscriptions(t.Context(), new(data.Tally)) {
			if err != nil {
				bad = append(bad, err.Error())
				continue
			}
			rows = append(rows, row)
		}
		return rows, bad
	}
	rows, bad := read(t, false)
	want := []data.Subscription{
		{SubscriptionID: "s1", CustomerID: "acme", PlanID: new("P1"), Name: new("prod"), Offer: new("Azure plan"), Status: data.StatusSuspended,
			Created: new(date("2025-01-02")), CreatedBasis: new(data.BasisSource), CommitmentEnd: new(date("2026-01-02")), AutoRenew: new(true),
			RenewedAt: new(date("2025-12-01")), EndedAt: new(date("2026-11-03")), Trial: new(false)},
		{SubscriptionID: "s2", CustomerID: "acme", Status: data.StatusUnknown},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	wantBad := []string{
		`subscriptions.csv:4: column status: "asleep": not a status: want active, suspended, deprovisioned, expired, pending or unknown`,
		`subscriptions.csv:5: column auto_renew: "maybe": not a boolean: want true or false`,
		`subscriptions.csv:6: column customer_id: "": missing: every row needs one`,
	}
	if diff := cmp.Diff(wantBad, bad); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if rows, bad := read(t, true); len(rows) != 3 || rows[2].Status != data.StatusUnknown || len(bad) != 2 {
		t.Errorf("lenient: %d rows, bad %q", len(rows), bad)
	}
}

func TestSubscriptions_BadRowsTellTheirID(t *testing.T) {
	s := source(t, Options{Path: folder(t, map[string]string{"subscriptions.csv": "subscription_id,customer_id,status\n" +
		" S1 ,c1,asleep\ns2,,active\ns3,c3,active\nS3,c3,active\n,c4,active\n\xff,c5,active\ns6,active\n"})})
	var got []string
	for _, err := range s.Subscriptions(t.Context(), new(data.Tally)) {
		if bad := (*data.RowError)(nil); errors.As(err, &bad) {
			got = append(got, bad.ID)
		}
	}
	// A row with a cell too few may have any cell in the place of the id.
	if want := []string{"s1", "s2", "s3", "", "", ""}; !slices.Equal(got, want) {
		t.Errorf("ids %q, want %q", got, want)
	}
}

// writeParquet writes rows through a tagged struct, in row groups of two.
func writeParquet[T any](t testing.TB, path string, rows []T) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[T](f, parquet.MaxRowsPerRowGroup(2), parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestUsage_ParquetOfManyTypes(t *testing.T) {
	type strings struct {
		Day      string  `parquet:"Usage_Date"`
		Customer string  `parquet:"customer_id,dict"`
		Quantity *string `parquet:"quantity,optional"`
		Cost     string  `parquet:"cost"`
		Currency string  `parquet:"currency"`
	}
	type numbers struct {
		Day      int32   `parquet:"usage_date,date"`
		Customer int64   `parquet:"customer_id"`
		Quantity *int64  `parquet:"quantity,optional"`
		Cost     float64 `parquet:"cost"`
		Currency string  `parquet:"currency,enum"`
	}
	type decimals struct {
		Day      time.Time `parquet:"usage_date,timestamp(microsecond)"`
		Customer string    `parquet:"customer_id"`
		Quantity *float32  `parquet:"quantity,optional"`
		Cost     int64     `parquet:"cost,decimal(4:18)"`
		Currency string    `parquet:"currency"`
	}
	type own struct {
		Day      int64         `parquet:"usage_date,timestamp(millisecond)"`
		Customer [16]byte      `parquet:"customer_id,uuid"`
		Quantity *data.Decimal `parquet:"quantity,optional,decimal(18:38)"`
		Cost     data.Decimal  `parquet:"cost,decimal(18:38)"`
		Currency string        `parquet:"currency"`
	}
	noon := date("2026-11-21").Time()
	for name, c := range map[string]struct {
		write func(path string)
		ids   [3]data.CustomerID
	}{
		"texts": {func(path string) {
			writeParquet(t, path, []strings{{"2026-11-20", "A", new("1.5"), "0.1", "EUR"}, {"2026-11-20", "B", nil, "-2.25", "EUR"}, {"2026-11-21", "A", new("2"), "1000", "EUR"}})
		}, [3]data.CustomerID{"a", "b", "a"}},
		"dates, integers and doubles": {func(path string) {
			d := int32(date("2026-11-20"))
			writeParquet(t, path, []numbers{{d, 1, new(int64(3)), 0.1, "EUR"}, {d, -2, nil, -2.25, "EUR"}, {d + 1, 1, new(int64(4)), 1e3, "EUR"}})
		}, [3]data.CustomerID{"1", "-2", "1"}},
		"timestamps, floats and decimals": {func(path string) {
			writeParquet(t, path, []decimals{{noon.AddDate(0, 0, -1), "A", new(float32(0.1)), 1000, "EUR"}, {noon.AddDate(0, 0, -1), "B", nil, -22500, "EUR"}, {noon, "A", new(float32(2)), 10_000_000, "EUR"}})
		}, [3]data.CustomerID{"a", "b", "a"}},
		"tidemark's own decimals": {func(path string) {
			d := noon.AddDate(0, 0, -1).UnixMilli()
			writeParquet(t, path, []own{{d, [16]byte{1}, dec("1.5"), *dec("0.1"), "EUR"}, {d, [16]byte{2}, nil, *dec("-2.25"), "EUR"}, {noon.UnixMilli(), [16]byte{1}, dec("2"), *dec("1000"), "EUR"}})
		}, [3]data.CustomerID{"01000000-0000-0000-0000-000000000000", "02000000-0000-0000-0000-000000000000", "01000000-0000-0000-0000-000000000000"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.write(filepath.Join(dir, "usage.parquet"))
			got := readUsage(t, Options{Path: dir}, nil)
			if got.err != nil || len(got.bad) > 0 || len(got.rows) != 3 {
				t.Fatalf("got %d rows, %v, %v", len(got.rows), got.bad, got.err)
			}
			for i, want := range []struct{ day, cost string }{{"2026-11-20", "0.10"}, {"2026-11-20", "-2.25"}, {"2026-11-21", "1000.00"}} {
				r := got.rows[i]
				if r.Day.String() != want.day || r.Cost.String() != want.cost || r.CustomerID != c.ids[i] || r.Currency != "EUR" {
					t.Errorf("row %d: %s %s %s %s", i, r.Day, r.CustomerID, r.Cost, r.Currency)
				}
				if (r.Quantity == nil) != (i == 1) {
					t.Errorf("row %d: quantity %v", i, r.Quantity)
				}
			}
			if name == "timestamps, floats and decimals" && got.rows[0].Quantity.String() != "0.10" {
				t.Errorf("the float 0.1 reads as %s", got.rows[0].Quantity)
			}
		})
	}
}

func TestUsage_ParquetRowErrorsTellTheRow(t *testing.T) {
	type row struct {
		Day      time.Time `parquet:"usage_date,timestamp(nanosecond)"`
		Customer string    `parquet:"customer_id"`
		Quantity float64   `parquet:"quantity"`
	}
	dir := t.TempDir()
	midnight := date("2026-11-20").Time()
	writeParquet(t, filepath.Join(dir, "usage.parquet"), []row{{midnight, "a", 1}, {midnight, "", 1}, {midnight.Add(time.Hour), "a", 1}, {midnight, "a\xff", 1}})
	got := readUsage(t, Options{Path: dir}, nil)
	var bad []string
	for _, b := range got.bad {
		bad = append(bad, b.Error())
	}
	want := []string{
		`usage.parquet:2: column customer_id: "": missing: every row needs one`,
		`usage.parquet:3: column usage_date: "2026-11-20T01:00:00Z": not a date: want YYYY-MM-DD; lenient accepts a time of day`,
		"usage.parquet:4: column customer_id: \"a\uFFFD\": not UTF-8 text: save the file as UTF-8",
	}
	if diff := cmp.Diff(want, bad); diff != "" || got.err != nil {
		t.Errorf("%v; want -, got +:\n%s", got.err, diff)
	}
	if got := readUsage(t, Options{Path: dir, Lenient: true}, nil); len(got.bad) != 2 {
		t.Errorf("lenient: bad %v", got.bad)
	}
}

func TestUsage_ParquetThatIsDamaged(t *testing.T) {
	type row struct {
		Day      string   `parquet:"usage_date"`
		Customer string   `parquet:"customer_id"`
		Unit     []string `parquet:"unit,list"`
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "usage.parquet")
	writeParquet(t, path, []row{{"2026-11-20", "a", nil}})
	if got := readUsage(t, Options{Path: dir}, nil); got.err == nil || !strings.Contains(got.err.Error(), `column "unit" is a list or a group`) {
		t.Errorf("a list column: the sequence ends with %v", got.err)
	}

	type plain struct {
		Day      string `parquet:"usage_date"`
		Customer string `parquet:"customer_id"`
	}
	rows := make([]plain, 50)
	for i := range rows {
		rows[i] = plain{"2026-11-20", fmt.Sprint("customer-", i)}
	}
	writeParquet(t, path, rows)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got := readUsage(t, Options{Path: dir}, nil)
		if len(got.rows)+len(got.bad) > 50 {
			t.Errorf("%s: %d rows", name, len(got.rows))
		}
		if got.err != nil && !strings.HasPrefix(got.err.Error(), path) {
			t.Errorf("%s: the error names no file: %v", name, got.err)
		}
	}
	for cut := 0; cut < len(whole); cut += 13 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readUsage(t, Options{Path: dir}, nil); got.err == nil {
			t.Errorf("cut at %d of %d bytes: no error", cut, len(whole))
		}
	}
	for at := 0; at < len(whole); at += 11 {
		b := bytes.Clone(whole)
		b[at] ^= 0x55
		damage(fmt.Sprintf("byte %d flipped", at), b)
	}
}

func TestSource_KeepsTheContract(t *testing.T) {
	var usage strings.Builder
	usage.WriteString("usage_date,customer_id,subscription_id,quantity,cost,currency\n")
	for i := range 40 {
		fmt.Fprintf(&usage, "2026-11-%02d,C%d,S%d,%d,0.%d,eur\n", 1+i%20, i%3, i%7, i, i+1)
	}
	usage.WriteString("2026-11-20,,,1,1,EUR\n")
	files := map[string]string{
		"usage.csv":         usage.String(),
		"customers.csv":     "customer_id,name\nC0,A\nC1,B\nC2,\n",
		"subscriptions.csv": "subscription_id,customer_id,created,status\nS0,C0,2026-01-01,active\nS1,C1,,\nS2,C2,,gone\n",
	}
	zipped := map[string]string{}
	for name, text := range files {
		zipped[name+".gz"] = text
	}
	type row struct {
		Day      string  `parquet:"usage_date"`
		Customer string  `parquet:"customer_id"`
		Cost     float64 `parquet:"cost"`
		Currency string  `parquet:"currency"`
	}
	type inventory struct {
		Subscription string `parquet:"subscription_id"`
		Customer     string `parquet:"customer_id"`
	}
	type customer struct {
		Customer string `parquet:"customer_id"`
	}
	columns := t.TempDir()
	var rows []row
	for i := range 30 {
		rows = append(rows, row{fmt.Sprintf("2026-11-%02d", 1+i%9), "C1", float64(i) / 8, "EUR"})
	}
	writeParquet(t, filepath.Join(columns, "usage.parquet"), rows)
	writeParquet(t, filepath.Join(columns, "subscriptions.parquet"), []inventory{{"S1", "C1"}, {"S2", "C1"}})
	writeParquet(t, filepath.Join(columns, "customers.parquet"), []customer{{"C1"}, {"C2"}})
	for name, dir := range map[string]string{"CSV": folder(t, files), "CSV.gz": folder(t, zipped), "Parquet": columns} {
		t.Run(name, func(t *testing.T) {
			datatest.TestSource(t, func(t *testing.T) data.UsageSource { return source(t, Options{Path: dir}) })
		})
	}
}

// writeLarge writes n usage rows of two lines each.
func writeLarge(t testing.TB, path string, n int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(wholeHeader)
	for i := range n {
		fmt.Fprintf(&b, "2026-11-%02d,customer-%d,subscription-%d,Storage,\"Blob \"\"hot\"\"\nnew line\",m-%d,westeurope,1 GB,%d.5,0.%015d,,EUR,,usage,2026-11\n",
			1+i%28, i%500, i%5000, i%40, i%9, i)
		if b.Len() > 1<<20 || i == n-1 {
			if _, err := f.Write(b.Bytes()); err != nil {
				t.Fatal(err)
			}
			b.Reset()
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUsage_LargeFilesStream(t *testing.T) {
	const n = 300_000
	dir := t.TempDir()
	writeLarge(t, filepath.Join(dir, "usage.csv"), n)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	runtime.GC()
	base, peak, rows := heap(), int64(0), 0
	var tally data.Tally
	for _, err := range source(t, Options{Path: dir}).Usage(t.Context(), nil, &tally) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; rows%5_000 == 0 {
			peak = max(peak, heap()-base)
		}
		if rows == n/2 && (tally.Bytes < tally.TotalBytes*2/5 || tally.Bytes > tally.TotalBytes*3/5) {
			t.Errorf("half way %d of %d bytes are told", tally.Bytes, tally.TotalBytes)
		}
	}
	if rows != n {
		t.Errorf("%d rows, want %d", rows, n)
	}
	if limit := int64(64 << 20); tally.TotalBytes < limit/2 || peak > limit {
		t.Errorf("the heap grows by %d MiB over a file of %d MiB", peak>>20, tally.TotalBytes>>20)
	}
}

func FuzzTablesUsage(f *testing.F) {
	for _, seed := range []string{
		wholeHeader + wholeLine,
		"\uFEFF" + wholeHeader + wholeLine,
		"usage_date,customer_id\n2026-11-20,\"a\nb\"\n2026-11-20,a\"b\n",
		"usage_date,customer_id,quantity\r\n2026-11-20,\xff,1e999\r\n",
		"usage_date,customer_id\n2026-11-20,\"open",
		"usage_date;customer_id\n",
		"",
	} {
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, lenient bool) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "usage.csv"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := source(t, Options{Path: dir, Lenient: lenient})
		var tally data.Tally
		count, ended := int64(0), false
		for row, err := range s.Usage(context.Background(), nil, &tally) {
			if ended {
				t.Fatalf("a row follows the error that ends the sequence")
			}
			var bad *data.RowError
			switch {
			case err == nil:
				count++
				for _, s := range []string{string(row.CustomerID), row.Category, row.Currency, fmt.Sprint(deref(row.SubscriptionID), deref(row.Service), deref(row.MeterID), deref(row.Region), deref(row.Unit), deref(row.BillingPeriod))} {
					if !utf8.ValidString(s) {
						t.Fatalf("row with %q", s)
					}
				}
				if row.CustomerID == "" || row.Cost != nil && len(row.Currency) != 3 {
					t.Fatalf("row %+v", row)
				}
			case errors.As(err, &bad):
				count++
				if bad.File != "usage.csv" || bad.Line < 2 || bad.Line > int64(2+bytes.Count(text, []byte("\n"))) || bad.Reason == "" || !utf8.ValidString(bad.Value) {
					t.Fatalf("row error %+v", bad)
				}
			default:
				ended = true
				if !strings.Contains(err.Error(), "usage.csv") {
					t.Fatalf("error without a file: %v", err)
				}
			}
		}
		if tally.Read != count {
			t.Fatalf("%d read, %d yielded", tally.Read, count)
		}
	})
}

func deref[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}
