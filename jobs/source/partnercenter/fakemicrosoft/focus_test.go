package fakemicrosoft_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

var today = time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)

// rows reads all parts of a manifest.
func rows(t *testing.T, files map[string]File, manifest File) []map[string]string {
	t.Helper()
	var m struct {
		DataRowCount int
		Blobs        []struct {
			BlobName  string
			ByteCount int
		}
	}
	if err := json.Unmarshal(manifest.Body, &m); err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, b := range m.Blobs {
		part, ok := files[b.BlobName]
		if !ok || len(part.Body) != b.ByteCount {
			t.Fatalf("part %s: found %t, %d bytes, want %d", b.BlobName, ok, len(part.Body), b.ByteCount)
		}
		var r io.Reader = strings.NewReader(string(part.Body))
		if strings.HasSuffix(b.BlobName, ".gz") {
			zip, err := gzip.NewReader(r)
			if err != nil {
				t.Fatal(err)
			}
			r = zip
		}
		records, err := csv.NewReader(r).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range records[1:] {
			row := make(map[string]string)
			for i, name := range records[0] {
				row[strings.TrimPrefix(name, "\ufeff")] = rec[i]
			}
			all = append(all, row)
		}
	}
	if len(all) != m.DataRowCount {
		t.Errorf("got %d rows, the manifest says %d", len(all), m.DataRowCount)
	}
	return all
}

func byNames(files []File) (all map[string]File, manifests []File) {
	all = make(map[string]File)
	for _, f := range files {
		all[f.Name] = f
		if strings.HasSuffix(f.Name, "/manifest.json") {
			manifests = append(manifests, f)
		}
	}
	return all, manifests
}

func billedCents(t *testing.T, rows []map[string]string) (n int64) {
	t.Helper()
	for _, r := range rows {
		c, err := strconv.ParseInt(strings.Replace(r["BilledCost"], ".", "", 1), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n += c
	}
	return n
}

func TestCostExports_NewReportsPileUpAndTheLastOneCounts(t *testing.T) {
	p := NewPartner(3, Size{Customers: 4, Days: 45, Today: today})
	files, totals := p.ExportFiles(CostExports{Today: today, PartRows: 100})
	all, manifests := byNames(files)
	if len(manifests) != 4 || len(totals) != 2 { // two months, two runs
		t.Fatalf("got %d manifests and %d totals", len(manifests), len(totals))
	}
	first, last := rows(t, all, manifests[0]), rows(t, all, manifests[1])
	if len(first) >= len(last) {
		t.Errorf("the first run has %d rows, the last %d", len(first), len(last))
	}
	if got := billedCents(t, last); got != totals[0].Billed || len(last) != totals[0].Rows {
		t.Errorf("last run: %d rows and %d cents, want %+v", len(last), got, totals[0])
	}
	part := regexp.MustCompile(`^focus/focus-all/20260201-20260228/202602100400/[0-9a-f-]{36}/part_0_0002\.csv\.gz$`)
	if !slices.ContainsFunc(files, func(f File) bool { return part.MatchString(f.Name) }) {
		t.Errorf("no %s", part)
	}
}

func TestCostExports_OverwriteKeepsNames(t *testing.T) {
	p := NewPartner(3, Size{Customers: 2, Days: 12, Today: today})
	dir := t.TempDir()
	write := func(runs int) []string {
		if _, err := p.WriteExports(dir, CostExports{Today: today, Runs: runs, Months: 1, Overwrite: true, PerCustomer: true, RangeFirst: true, Plain: true}); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "focus/20260201-20260228/*/*/*"))
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	one := write(1)
	body, err := os.ReadFile(one[1])
	if err != nil {
		t.Fatal(err)
	}
	two := write(2)
	again, err := os.ReadFile(two[1])
	if err != nil {
		t.Fatal(err)
	}
	if len(one) != 4 || !slices.Equal(one, two) || string(body) == string(again) {
		t.Errorf("names %q, then %q; same body %t", one, two, string(body) == string(again))
	}
	manifest, err := os.ReadFile(one[0])
	if err != nil || !strings.Contains(string(manifest), `"OverwritePreviousReport"`) {
		t.Errorf("%v in %s", err, manifest)
	}
}

func TestCostExports_HoldEveryKindOfCharge(t *testing.T) {
	p := NewPartner(3, Size{Customers: 4, Days: 12, Lines: 8, Today: today})
	files, _ := p.ExportFiles(CostExports{Today: today, Months: 1, Runs: 1})
	all, manifests := byNames(files)
	kinds := map[string]int{}
	for _, r := range rows(t, all, manifests[0]) {
		if r["CommitmentDiscountStatus"] == "Unused" {
			kinds["unused"]++
			if r["SubAccountId"] != "" || r["ConsumedQuantity"] != "" || r["BilledCost"] != "0.00" || r["EffectiveCost"] != "0.37" {
				t.Fatalf("unused reservation %v", r)
			}
			continue
		}
		if r["ChargeCategory"] == "Purchase" && strings.HasPrefix(r["BilledCost"], "-") {
			kinds["refund"]++
		}
		kinds[r["ChargeCategory"]+" "+r["ChargeClass"]+" "+r["x_PublisherCategory"]]++
		switch {
		case r["ChargeCategory"] == "Usage" && (r["SubAccountId"] == "" || r["ConsumedQuantity"] == ""):
			t.Fatalf("usage %v", r)
		case r["ChargeCategory"] != "Usage" && (r["SubAccountId"] != "" || r["ConsumedQuantity"] != ""):
			t.Fatalf("no usage %v", r)
		case r["ResourceId"] != strings.ToLower(r["ResourceId"]):
			t.Fatalf("ResourceId %v", r)
		case r["x_CustomerId"] == "" || r["x_InvoiceIssuerId"] != p.TenantID:
			t.Fatalf("customer %v", r)
		}
		if strings.Contains(r["CommitmentDiscountId"], "savingsPlans") {
			kinds["covered"]++
			if r["BilledCost"] != "0.00" || r["EffectiveCost"] == "0.00" {
				t.Fatalf("covered usage %v", r)
			}
		}
		if r["x_PartnerCreditApplied"] == "1" && r["x_PartnerCreditRate"] == "0.15" {
			kinds["credit earned"]++
		}
	}
	for _, k := range []string{"Usage  Cloud Provider", "Usage  Vendor", "Usage Correction Cloud Provider", "Credit  Cloud Provider", "Purchase  Cloud Provider", "covered", "credit earned", "unused", "refund"} {
		if kinds[k] == 0 {
			t.Errorf("no %q in %v", k, kinds)
		}
	}
}

func TestCostExports_VersionsDifferInNamesAndTimes(t *testing.T) {
	p := NewPartner(3, Size{Customers: 1, Days: 3, Today: today})
	for version, want := range map[string][2]string{
		"1.0": {"x_PricingCurrency", "2026-02-07T00:00Z"}, "1.0r2": {"x_PricingCurrency", "2026-02-07T00:00:00Z"},
		"1.2-preview": {"PricingCurrency", "2026-02-07T00:00:00Z"},
	} {
		files, _ := p.ExportFiles(CostExports{Version: version, Today: today, Months: 1, Runs: 1, BOM: true, ZeroIDs: true})
		all, manifests := byNames(files)
		got := rows(t, all, manifests[0])
		if got[0][want[0]] != "USD" || got[0]["ChargePeriodStart"] != want[1] {
			t.Errorf("%s: %v", version, got[0])
		}
		zero := func(r map[string]string) bool {
			return strings.HasSuffix(r["SubAccountId"], "00000000-0000-0000-0000-000000000000")
		}
		if !slices.ContainsFunc(got, zero) {
			t.Errorf("%s: no zero ids", version)
		}
	}
}

func TestCostExports_ParquetHoldsTheSameRows(t *testing.T) {
	p := NewPartner(3, Size{Customers: 2, Days: 12, Today: today})
	csvFiles, totals := p.ExportFiles(CostExports{Today: today, Months: 1, Runs: 1})
	files, again := p.ExportFiles(CostExports{Today: today, Months: 1, Runs: 1, Parquet: true})
	if !slices.Equal(totals, again) {
		t.Errorf("totals %v, of CSV %v", again, totals)
	}
	all, manifests := byNames(csvFiles)
	want := rows(t, all, manifests[0])
	file, err := parquet.OpenFile(bytes.NewReader(files[0].Body), int64(len(files[0].Body)))
	if err != nil || !strings.HasSuffix(files[0].Name, ".snappy.parquet") {
		t.Fatalf("%s: %v", files[0].Name, err)
	}
	if file.NumRows() != int64(len(want)) || len(file.Root().Columns()) != len(want[0]) {
		t.Errorf("%d rows of %d columns, of CSV %d of %d", file.NumRows(), len(file.Root().Columns()), len(want), len(want[0]))
	}
}

type page struct {
	Blobs struct {
		Blob []struct {
			Name       string
			Properties struct {
				ContentLength int `xml:"Content-Length"`
			}
		}
		BlobPrefix []struct{ Name string }
	}
	NextMarker string
}

func TestStorage_ListsByMarkerAndGivesBlobs(t *testing.T) {
	p := NewPartner(3, Size{Customers: 3, Days: 12, Today: today})
	f := start(t, p, Options{})
	files, _ := p.ExportFiles(CostExports{Today: today, PerCustomer: true})
	f.Put(files...)
	sas := f.ContainerSAS(time.Hour)
	list := func(query string) page {
		a := f.get(f.at.Storage+"/exports?restype=container&comp=list&"+query+"&"+sas, "")
		wantStatus(t, a, 200, "EnumerationResults")
		var pg page
		if err := xml.Unmarshal([]byte(a.body), &pg); err != nil {
			t.Fatal(err)
		}
		return pg
	}
	var names []string
	for marker := ""; ; {
		pg := list("maxresults=5&marker=" + marker)
		for _, b := range pg.Blobs.Blob {
			names = append(names, b.Name)
		}
		if marker = pg.NextMarker; marker == "" {
			break
		}
	}
	var want []string
	for _, file := range files {
		want = append(want, file.Name)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got %d names, want %d", len(names), len(want))
	}
	if pg := list("prefix=focus/&delimiter=/"); len(pg.Blobs.Blob) != 0 || len(pg.Blobs.BlobPrefix) != 3 || pg.Blobs.BlobPrefix[0].Name != "focus/focus-0/" {
		t.Errorf("folders %v", pg)
	}
	a := f.get(f.at.Storage+"/exports/"+files[0].Name+"?"+sas, "")
	if a.body != string(files[0].Body) || a.header.Get("ETag") == "" {
		t.Errorf("blob: %d bytes, want %d", len(a.body), len(files[0].Body))
	}
	if a := f.get(f.at.Storage+"/exports/"+files[0].Name+"?"+sas, "", "Range", "bytes=0-9"); a.status != 206 || len(a.body) != 10 {
		t.Errorf("range: %d, %d bytes", a.status, len(a.body))
	}
	if a := f.get(f.at.Storage+"/exports/"+files[0].Name+"?"+sas, "", "Range", "bytes=0-9", "x-ms-range", "bytes=5-7"); a.status != 206 || len(a.body) != 3 {
		t.Errorf("x-ms-range: %d, %d bytes", a.status, len(a.body))
	}
	wantStatus(t, f.get(f.at.Storage+"/exports/nothing?"+sas, ""), 404, "BlobNotFound")
	wantStatus(t, f.get(f.at.Storage+"/other?restype=container&comp=list&"+sas, ""), 404, "ContainerNotFound")
}

func TestStorage_ChecksWhoAsks(t *testing.T) {
	f := start(t, nil, Options{})
	f.Put(File{Name: "a", Body: []byte("x")})
	url := f.at.Storage + "/exports/a"
	wantStatus(t, f.get(url, ""), 401, "NoAuthenticationInformation")
	wantStatus(t, f.get(url, f.token(ResourceGraph), "x-ms-version", "2022-11-02"), 401, "InvalidAuthenticationInfo")
	wantStatus(t, f.get(url, f.token(ResourceStorage), "x-ms-version", "2022-11-02"), 200, "x")
	wantStatus(t, f.get(url, f.token(ResourceStorage)), 403, "x-ms-version")
	sas := f.ContainerSAS(time.Minute)
	wantStatus(t, f.get(url+"?"+sas, ""), 200, "x")
	wantStatus(t, f.get(url+"?"+sas[:len(sas)-3]+"x", ""), 403, "AuthenticationFailed")
	f.clock.t = f.clock.t.Add(time.Minute)
	wantStatus(t, f.get(url+"?"+sas, ""), 403, "Signature not valid")
	if leaks := f.Leaks(); len(leaks) != 1 || leaks[0].Host != Storage {
		t.Errorf("leaks %v", leaks)
	}
}
