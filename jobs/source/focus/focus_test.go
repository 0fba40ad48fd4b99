package focus

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
	"tidemark/data/datatest"
)

// folder writes files, with folders as their names say, and returns the root.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		b := []byte(text)
		if strings.HasSuffix(name, ".gz") {
			b = zipped(t, b)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	return []byte(gzipped(string(b)))
}

func gzipped(text string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write([]byte(text))
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // writing to memory
	}
	return out.String()
}

// result is what a reading gave.
type result struct {
	rows  []data.Usage
	bad   []string
	dated int   // of the bad rows, those that tell their day
	err   error // what ended the sequence
	tally data.Tally
}

func read(t testing.TB, o Options, want *data.Period) result {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var r result
	for row, err := range s.Usage(t.Context(), want, &r.tally) {
		var bad *data.RowError
		switch {
		case err == nil:
			r.rows = append(r.rows, row)
		case errors.As(err, &bad):
			r.bad = append(r.bad, bad.Error())
			if bad.Day != nil {
				r.dated++
			}
		default:
			r.err = err
		}
	}
	return r
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

const azureHeader = "BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodStart,ChargeCategory,ChargePeriodStart,ConsumedQuantity,ConsumedUnit," +
	"EffectiveCost,ProviderName,RegionId,ServiceCategory,ServiceName,SkuId,SubAccountId,SubAccountName,Tags,x_BilledCostInUsd,x_CustomerId,x_CustomerName,x_SkuMeterCategory,x_SkuMeterId\n"

const azureLine = `1.84,/providers/Microsoft.Billing/billingAccounts/AB:CD,Polder Cloud,EUR,2026-02-01T00:00Z,Usage,2026-02-09T00:00Z,23.5,Hours,` +
	`1.5,Microsoft,westeurope,Compute,Virtual Machines,SKU9,/Subscriptions/C0FFEE00-1111-4222-8333-444455556666,nzl-prod,` +
	`"{""env"": ""a,b"",` + "\n" + `""note"": ""x""}",2.01,0A3F4C1E-5B7D-4F0E-9A11-2C6D8E9F0A01,Noordzee Logistiek,Virtual Machines,M-1` + "\n"

func azureRow() data.Usage {
	return data.Usage{
		Day: date("2026-02-09"), CustomerID: "0a3f4c1e-5b7d-4f0e-9a11-2c6d8e9f0a01", SubscriptionID: new(data.SubscriptionID("c0ffee00-1111-4222-8333-444455556666")),
		Category: "Virtual Machines", Service: new("Virtual Machines"), MeterID: new("m-1"), Region: new("westeurope"), Unit: new("Hours"), Currency: "EUR",
		ChargeCategory: data.ChargeUsage, BillingPeriod: new("2026-02"), Quantity: dec("23.5"), Cost: dec("1.84"), EffectiveCost: dec("1.5"), CostUSD: dec("2.01"),
		Origin: data.Origin{Scope: "/providers/microsoft.billing/billingaccounts/ab:cd", CustomerName: new("Noordzee Logistiek"), SubscriptionName: new("nzl-prod")},
	}
}

func TestUsage_EveryColumn(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"CSV":                  {"part_0_0001.csv": azureHeader + azureLine},
		"gzip, two folders in": {"focus/20260201-20260228/part_0_0001.csv.gz": azureHeader + azureLine},
		"column names in capitals, with a byte order mark": {"a.csv": "\uFEFF" + strings.ToUpper(azureHeader) + azureLine},
		"ServiceProviderName stands in":                    {"a.csv": strings.Replace(azureHeader, "ProviderName", "ServiceProviderName", 1) + azureLine},
		"dates with seconds":                               {"a.csv": azureHeader + strings.ReplaceAll(azureLine, "T00:00Z", "T00:00:00Z")},
		"a date in another zone":                           {"a.csv": azureHeader + strings.ReplaceAll(azureLine, "2026-02-09T00:00Z", "2026-02-08T23:00:00-02:00")},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, Options{Path: folder(t, files)}, nil)
			if got.err != nil || len(got.bad) > 0 {
				t.Fatalf("got %v %v", got.err, got.bad)
			}
			if diff := cmp.Diff([]data.Usage{azureRow()}, got.rows); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestUsage_FallsBackWhereAzureColumnsAreEmpty(t *testing.T) {
	const head = "ChargePeriodStart,BilledCost,BillingCurrency,BillingAccountId,BillingAccountName,ProviderName,ChargeCategory,ServiceCategory,SkuId,SubAccountId,x_CustomerId,x_SkuMeterCategory\n"
	got := read(t, Options{Path: folder(t, map[string]string{"a.csv": head +
		"2026-02-28T00:00:00Z,-0.5,usd,ACCOUNT-1,SunBird,microsoft,Credit,Storage,SKU1,00000000-0000-0000-0000-000000000000,00000000-0000-0000-0000-000000000000,\n"})}, nil)
	want := []data.Usage{{Day: date("2026-02-28"), CustomerID: "account-1", Category: "Storage", MeterID: new("sku1"), Currency: "USD",
		ChargeCategory: data.ChargeCredit, Cost: dec("-0.5"), CostUSD: dec("-0.5"), Origin: data.Origin{Scope: "account-1", CustomerName: new("SunBird")}}}
	if diff := cmp.Diff(want, got.rows); diff != "" {
		t.Errorf("%v, %v; want -, got +:\n%s", got.err, got.bad, diff)
	}
}

const shortHeader = "ChargePeriodStart,BilledCost,BillingCurrency,BillingAccountId,ProviderName,ChargeCategory,SubAccountId\n"

func TestUsage_BadRows(t *testing.T) {
	const noNULL = "the text NULL is no value; lenient takes it for empty"
	for name, c := range map[string]struct{ line, strict, lenient string }{
		"a date without a zone": {"2026-02-09 00:00:00,1,EUR,a,Microsoft,Usage,s",
			`column ChargePeriodStart: "2026-02-09 00:00:00": not a date: want YYYY-MM-DDTHH:MM:SSZ; lenient accepts YYYY-MM-DD HH:MM:SS as UTC`, ""},
		"the text NULL": {"2026-02-09,1,EUR,a,Microsoft,Usage,NULL", `column SubAccountId: "NULL": ` + noNULL, ""},
		"NULL for a date": {"NULL,1,EUR,a,Microsoft,Usage,s", `column ChargePeriodStart: "NULL": not a date: want YYYY-MM-DDTHH:MM:SSZ`,
			`column ChargePeriodStart: "NULL": missing: every row needs one`},
		"NULL for an amount":       {"2026-02-09,NULL,EUR,a,Microsoft,Usage,s", `column BilledCost: "NULL": ` + noNULL, ""},
		"no date":                  {",1,EUR,a,Microsoft,Usage,s", `column ChargePeriodStart: "": missing: every row needs one`, "same"},
		"a date that is none":      {"2026-02-30T00:00:00Z,1,EUR,a,Microsoft,Usage,s", `column ChargePeriodStart: "2026-02-30T00:00:00Z": not a date: want YYYY-MM-DDTHH:MM:SSZ`, "same"},
		"a cost that is none":      {"2026-02-09,1.5.2,EUR,a,Microsoft,Usage,s", `column BilledCost: "1.5.2": not a decimal number`, "same"},
		"no currency":              {"2026-02-09,1,,a,Microsoft,Usage,s", `column BillingCurrency: "": missing: every row needs one`, "same"},
		"no account":               {"2026-02-09,1,EUR,,Microsoft,Usage,s", `column BillingAccountId: "": missing: every row needs one`, "same"},
		"no charge category":       {"2026-02-09,1,EUR,a,Microsoft,,s", `column ChargeCategory: "": missing: every row needs one`, "same"},
		"another charge category":  {"2026-02-09,1,EUR,a,Microsoft,Gift,s", `column ChargeCategory: "Gift": not a charge category: want usage, purchase, credit, tax or adjustment`, "same"},
		"too few cells":            {"2026-02-09,1,EUR", "3 cells instead of 7 as in the header", "same"},
		"an id that is no text":    {"2026-02-09,1,EUR,a,Microsoft,Usage,\xff", "column SubAccountId: \"\uFFFD\": not UTF-8 text: save the file as UTF-8", "same"},
		"a provider of no text":    {"2026-02-09,1,EUR,a,\xff,Usage,s", "column ProviderName: \"\uFFFD\": not UTF-8 text: save the file as UTF-8", "same"},
		"good beside bad":          {"2026-02-09,1,EUR,a,Microsoft,Usage,s", "", ""},
		"another provider's trash": {"never,x,y,,AWS,,", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"sub/a.csv": shortHeader + c.line + "\n"})
			for lenient, want := range map[bool]string{false: c.strict, true: c.lenient} {
				if want == "same" {
					want = c.strict
				}
				var wantBad []string
				if want != "" {
					sep := ": "
					wantBad = []string{"sub/a.csv:2" + sep + want}
				}
				got := read(t, Options{Path: dir, Lenient: lenient}, nil)
				if diff := cmp.Diff(wantBad, got.bad); diff != "" || got.err != nil {
					t.Errorf("lenient %t: %v; want -, got +:\n%s", lenient, got.err, diff)
				}
				if known := !strings.Contains(want, "ChargePeriodStart") && !strings.Contains(want, "cells"); want != "" && (got.dated == 1) != known {
					t.Errorf("lenient %t: the day is known: %t, want %t", lenient, got.dated == 1, known)
				}
			}
		})
	}
}

func TestUsage_ProvidersAreChosen(t *testing.T) {
	dir := folder(t, map[string]string{"a.csv": shortHeader +
		"2026-02-09,1,EUR,a,Microsoft,Usage,s\n2026-02-09,1,EUR,a,AWS,Usage,s\n2026-02-10,1,EUR,a,AWS,Usage,s\n2026-02-09,1,EUR,a,,Usage,s\n"})
	feb9 := &data.Period{From: date("2026-02-09"), To: date("2026-02-09")}
	for name, c := range map[string]struct {
		providers []string
		want      *data.Period
		rows      int
		leftOut   map[string]int64
	}{
		"Microsoft by default":                  {nil, nil, 1, map[string]int64{"provider AWS": 2, "no provider": 1}},
		"of the days wanted only":               {nil, feb9, 1, map[string]int64{"provider AWS": 1, "no provider": 1}},
		"every one":                             {[]string{"all"}, nil, 4, nil},
		"two by name, in any case":              {[]string{"aws", "MICROSOFT"}, nil, 3, map[string]int64{"no provider": 1}},
		"one that is not there":                 {[]string{"Oracle"}, nil, 0, map[string]int64{"provider AWS": 2, "no provider": 1, "provider Microsoft": 1}},
		"every one, of the days that are there": {[]string{"All"}, feb9, 3, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, Options{Path: dir, Providers: c.providers}, c.want)
			if diff := cmp.Diff(c.leftOut, got.tally.LeftOut); diff != "" || len(got.rows) != c.rows || got.err != nil || got.tally.Read != int64(c.rows) {
				t.Errorf("%d rows, %v; want -, got +:\n%s", len(got.rows), got.err, diff)
			}
		})
	}
	t.Run("no name at all", func(t *testing.T) {
		for _, providers := range [][]string{{}, {""}, {"Microsoft", " "}} {
			if _, err := New(Options{Path: dir, Providers: providers}); err == nil {
				t.Errorf("New accepts the providers %q", providers)
			}
		}
	})
}

func TestUsage_ManyOtherProvidersAreToldTogether(t *testing.T) {
	var text strings.Builder
	text.WriteString(shortHeader)
	for i := range 150 {
		fmt.Fprintf(&text, "2026-02-09,1,EUR,a,Provider%d,Usage,s\n", i)
	}
	got := read(t, Options{Path: folder(t, map[string]string{"a.csv": text.String()})}, nil)
	if len(got.tally.LeftOut) != 101 || got.tally.LeftOut["other providers"] != 50 {
		t.Errorf("%d reasons, %d others", len(got.tally.LeftOut), got.tally.LeftOut["other providers"])
	}
}

func TestUsage_MissingColumnsRefuseTheFile(t *testing.T) {
	for _, column := range []string{"ChargePeriodStart", "BilledCost", "BillingCurrency", "BillingAccountId", "ProviderName", "ChargeCategory"} {
		dir := folder(t, map[string]string{"a.csv": strings.Replace(shortHeader, column, "Other", 1)})
		got := read(t, Options{Path: dir}, nil)
		if got.err == nil || !strings.Contains(got.err.Error(), "a.csv:1: column "+column) || !strings.Contains(got.err.Error(), "is missing") {
			t.Errorf("without %s the sequence ends with %v", column, got.err)
		}
	}
}

func TestUsage_FoldersWithoutExports(t *testing.T) {
	for name, c := range map[string]struct{ path, says string }{
		"no folder":    {filepath.Join(t.TempDir(), "nowhere"), "does not exist"},
		"empty folder": {t.TempDir(), "holds no export"},
	} {
		if got := read(t, Options{Path: c.path}, nil); got.err == nil || !strings.Contains(got.err.Error(), c.says) {
			t.Errorf("%s: the sequence ends with %v", name, got.err)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Errorf("New accepts an empty path")
	}
}

// part is a file with one row per name; the name becomes the subscription.
func part(names ...string) string {
	text := shortHeader
	for _, n := range names {
		text += "2026-02-09,1,EUR,a,Microsoft,Usage," + n + "\n"
	}
	return text
}

func manifestText(export, submitted string, rows int, blobs ...string) string {
	var list []string
	for _, b := range blobs {
		list = append(list, fmt.Sprintf(`{"blobName":%q}`, b))
	}
	return fmt.Sprintf(`{"blobCount":%d,"dataRowCount":%d,"exportConfig":{"exportName":%q,"resourceId":"/x/exports/%[3]s","type":"FocusCost"},
		"runInfo":{"submittedTime":%q,"startDate":"2026-02-01T00:00:00","endDate":"2026-02-28T00:00:00"},"blobs":[%s]}`,
		len(blobs), rows, export, submitted, strings.Join(list, ","))
}

func TestUsage_Manifests(t *testing.T) {
	notWhole := map[string]int64{"file of a run that is not whole": 1}
	for name, c := range map[string]struct {
		files   map[string]string
		want    []string // subscriptions in order
		says    string   // of the error that ends the sequence
		leftOut map[string]int64
		warns   string // part of the one warning; "" where it does not matter
	}{
		"without one every file counts, in name order": {
			map[string]string{"b/1.csv": part("b1"), "a/2.csv": part("a2"), "a/1.csv": part("a1"), "c.csv": part("c"), "readme.txt": "x"},
			[]string{"a1", "a2", "b1", "c"}, "", nil, ""},
		"with one only the files it lists": {
			map[string]string{"run/manifest.json": manifestText("e", "2026-02-10T04:00:00.1Z", 1, "focus/e/20260201-20260228/run/part_0.csv"),
				"run/part_0.csv": part("s0"), "run/part_0 copy.csv": part("copy"), "other/x.csv": part("x")},
			[]string{"s0"}, "", map[string]int64{"file that its manifest does not list": 1, "file without a manifest": 1}, ""},
		"it may list files in folders below": {
			map[string]string{"manifest.json": manifestText("e", "1", 2, "container/e/a/part.csv", "container/e/b/part.csv"),
				"a/part.csv": part("a"), "b/part.csv": part("b")},
			[]string{"a", "b"}, "", nil, ""},
		"of two runs of an export the newer counts": {
			map[string]string{
				"run1/manifest.json": manifestText("e", "2026-02-10T04:00:00Z", 1, "e/run1/p.csv"), "run1/p.csv": part("old"),
				"run2/manifest.json": manifestText("e", "2026-02-11T04:00:00Z", 1, "e/run2/p.csv"), "run2/p.csv": part("new"),
				"run3/manifest.json": manifestText("f", "2026-02-09T04:00:00Z", 1, "f/run3/p.csv"), "run3/p.csv": part("other")},
			[]string{"new", "other"}, "", map[string]int64{"file of an older run of its export": 1}, ""},
		"a file that it lists and that is not there": {
			map[string]string{"run/manifest.json": manifestText("e", "1", 1, "e/p.csv", "e/q.csv"), "run/p.csv": part("s")},
			nil, "", notWhole, `lists "e/q.csv", which is not there`},
		"a file outside the folder": {
			map[string]string{"run/manifest.json": manifestText("e", "1", 1, "../../../etc/passwd.csv"), "run/p.csv": part("s")},
			nil, "", map[string]int64{"file that its manifest does not list": 1}, "which is not there"},
		"a file listed twice": {
			map[string]string{"run/manifest.json": manifestText("e", "1", 2, "e/p.csv", "x/p.csv"), "run/p.csv": part("s")},
			nil, "", notWhole, "which is listed already"},
		"fewer rows than stated in all": {
			map[string]string{"run/manifest.json": manifestText("e", "1", 4, "p.csv", "q.csv"), "run/p.csv": part("s"), "run/q.csv": part("t", "u")},
			[]string{"s", "t", "u"}, "its files hold 3 rows instead of the 4 that it states", nil, ""},
		"other rows than stated for the file": {
			map[string]string{"run/manifest.json": `{"blobs":[{"blobName":"p.csv","dataRowCount":1}]}`, "run/p.csv": part("s", "t")},
			[]string{"s", "t"}, "2 rows instead of the 1 that its manifest states", nil, ""},
		"bad rows and other providers' count as rows": {
			map[string]string{"run/manifest.json": manifestText("e", "1", 3, "p.csv"), "run/p.csv": part("s") + "2026-02-09,1,EUR,a,AWS,Usage,t\n" + "2026-02-09,1\n"},
			[]string{"s"}, "", map[string]int64{"provider AWS": 1}, ""},
		"a manifest that is none": {
			map[string]string{"run/manifest.json": "{", "run/p.csv": part("s")},
			nil, "", map[string]int64{"file that its manifest does not list": 1}, "is not whole: not a manifest"},
		"a run without files": {map[string]string{"run/manifest.json": manifestText("e", "1", 0)}, nil, "", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, Options{Path: folder(t, c.files)}, nil)
			var subs []string
			for _, r := range got.rows {
				subs = append(subs, string(*r.SubscriptionID))
			}
			if diff := cmp.Diff(c.want, subs); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if diff := cmp.Diff(c.leftOut, got.tally.LeftOut); diff != "" {
				t.Errorf("left out: want -, got +:\n%s", diff)
			}
			if c.says == "" && got.err != nil || c.says != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.says)) {
				t.Errorf("the sequence ends with %v, want %q", got.err, c.says)
			}
			if c.warns != "" && (len(got.tally.Warnings) != 1 || !strings.Contains(got.tally.Warnings[0], c.warns)) {
				t.Errorf("warnings %q, want %q", got.tally.Warnings, c.warns)
			}
		})
	}
}

func TestUsage_Parquet(t *testing.T) {
	type row struct {
		Start    time.Time `parquet:"ChargePeriodStart,timestamp(microsecond)"`
		Cost     int64     `parquet:"BilledCost,decimal(10:18)"`
		Currency string    `parquet:"BillingCurrency,dict"`
		Account  string    `parquet:"BillingAccountId,dict"`
		Provider string    `parquet:"ProviderName,dict"`
		Charge   string    `parquet:"ChargeCategory,dict"`
		Quantity *float64  `parquet:"ConsumedQuantity,optional"`
		Tags     *string   `parquet:"Tags,optional"`
		Period   time.Time `parquet:"BillingPeriodStart,timestamp(millisecond)"`
	}
	root := t.TempDir()
	f, err := os.Create(filepath.Join(root, "part_1_0001.snappy.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	start := date("2026-02-09").Time()
	w := parquet.NewGenericWriter[row](f, parquet.Compression(&parquet.Snappy))
	if _, err := w.Write([]row{
		{start.Add(23 * time.Hour), 12_345_678_901, "EUR", "A", "Microsoft", "Usage", new(0.1), nil, date("2026-02-01").Time()},
		{start.Add(24 * time.Hour), -1, "EUR", "A", "Microsoft", "Adjustment", nil, new("{}"), date("2026-02-01").Time()},
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	got := read(t, Options{Path: root}, nil)
	want := []data.Usage{
		{Day: date("2026-02-09"), CustomerID: "a", Currency: "EUR", ChargeCategory: data.ChargeUsage, Cost: dec("1.2345678901"), Quantity: dec("0.1"),
			BillingPeriod: new("2026-02"), Origin: data.Origin{Scope: "a"}},
		{Day: date("2026-02-10"), CustomerID: "a", Currency: "EUR", ChargeCategory: data.ChargeAdjustment, Cost: dec("-0.0000000001"),
			BillingPeriod: new("2026-02"), Origin: data.Origin{Scope: "a"}},
	}
	if diff := cmp.Diff(want, got.rows); diff != "" || got.err != nil {
		t.Errorf("%v, %v; want -, got +:\n%s", got.err, got.bad, diff)
	}
}

func TestSource_KeepsTheContract(t *testing.T) {
	var text strings.Builder
	text.WriteString(shortHeader)
	for i := range 30 {
		fmt.Fprintf(&text, "2026-02-%02dT00:00:00Z,0.%d,eur,Account-%d,Microsoft,Usage,/subscriptions/S%d\n", 1+i%9, i, i%2, i%4)
	}
	text.WriteString("2026-02-09,1,EUR,a,Microsoft,Gift,s\n2026-02-09,1,EUR,a,AWS,Usage,s\n")
	root := folder(t, map[string]string{
		"a/part.csv": text.String(), "a/manifest.json": manifestText("f", "2026-02-09T04:00:00Z", 32, "f/part.csv"),
		"b/part.csv.gz": strings.ReplaceAll(text.String(), "/S", "/T"), "b/manifest.json": manifestText("e", "2026-02-09T04:00:00Z", 32, "e/part.csv.gz"),
	})
	datatest.TestSource(t, func(t *testing.T) data.UsageSource {
		s, err := New(Options{Path: root})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func FuzzFocus(f *testing.F) {
	for _, seed := range []string{
		azureHeader + azureLine,
		shortHeader + "2026-02-09 00:00:00,NULL,EUR,a,Microsoft,Usage,NULL\n",
		shortHeader + "2026-02-09,1e-20,EUR,\xff,Microsoft,Usage,\"a\"\"b\nc\"\n",
		shortHeader + "2026-02-09,1,EUR,a,\"open",
		"",
	} {
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, lenient bool) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "a.csv"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(Options{Path: root, Providers: []string{"all"}, Lenient: lenient})
		if err != nil {
			t.Fatal(err)
		}
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
				checkFuzzed(t, row)
			case errors.As(err, &bad):
				count++
				if bad.File != "a.csv" || bad.Line < 2 || bad.Line > int64(2+bytes.Count(text, []byte("\n"))) || bad.Reason == "" || !utf8.ValidString(bad.Value) {
					t.Fatalf("row error %+v", bad)
				}
			default:
				ended = true
				if !strings.Contains(err.Error(), "a.csv") {
					t.Fatalf("error without a file: %v", err)
				}
			}
		}
		if tally.Read != count {
			t.Fatalf("%d read, %d yielded", tally.Read, count)
		}
	})
}

func checkFuzzed(t *testing.T, row data.Usage) {
	t.Helper()
	texts := []string{string(row.CustomerID), row.Category, row.Currency, row.Origin.Scope}
	if row.SubscriptionID != nil {
		texts = append(texts, string(*row.SubscriptionID))
	}
	for _, s := range []*string{row.Service, row.MeterID, row.Region, row.Unit, row.BillingPeriod, row.Origin.CustomerName, row.Origin.SubscriptionName} {
		if s != nil {
			texts = append(texts, *s)
		}
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			t.Fatalf("row with %q", s)
		}
	}
	if row.CustomerID == "" || len(row.Currency) != 3 || row.ChargeCategory == "" {
		t.Fatalf("row %+v", row)
	}
}
