package focus

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/datatest"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// marker is part of every secret of the fake: it must appear nowhere.
const marker = "MARKED/+SECRET"

var fakeToday = time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)

// cloud is Microsoft's side with exports in its container.
type cloud struct {
	*fakemicrosoft.Server
	partner *fakemicrosoft.Partner
	at      fakemicrosoft.Endpoints
	now     time.Time
	totals  []fakemicrosoft.Total
	temp    string
}

func newCloud(t testing.TB, e fakemicrosoft.CostExports) *cloud {
	t.Helper()
	c := &cloud{now: fakeToday.Add(12 * time.Hour), temp: t.TempDir()}
	c.partner = fakemicrosoft.NewPartner(3, fakemicrosoft.Size{Customers: 3, Days: 45, Lines: 8, Today: fakeToday})
	c.Server = fakemicrosoft.NewWith(c.partner, func() time.Time { return c.now }, fakemicrosoft.Options{Marker: marker})
	var err error
	if c.at, err = c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(c.temp); err != nil || len(left) > 0 {
			t.Errorf("temporary files are left: %v, %v", left, err)
		}
		if leaks := c.Leaks(); len(leaks) > 0 {
			t.Errorf("tokens went astray: %+v", leaks)
		}
	})
	e.Today = fakeToday
	files, totals := c.partner.ExportFiles(e)
	c.totals = totals
	c.Put(files...)
	return c
}

func (c *cloud) options() Options {
	return Options{Container: Container{URL: c.at.Storage + "/" + fakemicrosoft.Container, SAS: c.ContainerSAS(time.Hour), TempDir: c.temp, pause: time.Millisecond}}
}

// billed adds up the cost by scope and month, in hundredths.
func billed(rows []data.Usage) map[string]int64 {
	sums := map[string]data.Decimal{}
	for _, r := range rows {
		key := r.Origin.Scope + " " + *r.BillingPeriod
		sums[key], _ = sums[key].Add(*r.Cost)
	}
	cents := map[string]int64{}
	for key, sum := range sums {
		hundred, _ := sum.MulRatio(100, 1)
		cents[key] = whole(hundred)
	}
	return cents
}

func (c *cloud) want() map[string]int64 {
	cents := map[string]int64{}
	for _, t := range c.totals {
		cents[strings.ToLower(t.Scope)+" "+t.Month.Format("2006-01")] = t.Billed
	}
	return cents
}

func TestContainer_HiddenFilesAndFoldersAreNotRead(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1, Runs: 1})
	want := read(t, c.options(), nil)
	c.Put(fakemicrosoft.File{Name: "focus/.~tmp~/p.csv", Body: []byte(part("s"))}, fakemicrosoft.File{Name: ".p.csv", Body: []byte(part("s"))})
	got := read(t, c.options(), nil)
	if diff := cmp.Diff(want.rows, got.rows); diff != "" || got.err != nil || got.tally.Warnings != nil {
		t.Errorf("%v, %q; without hidden files -, with them +:\n%s", got.err, got.tally.Warnings, diff)
	}
}

func TestContainer_GivesTheNewestRunsOnly(t *testing.T) {
	for name, e := range map[string]fakemicrosoft.CostExports{
		"new reports, gzip":                            {PartRows: 40},
		"overwritten, one export a customer, plain":    {Overwrite: true, PerCustomer: true, Plain: true, RangeFirst: true},
		"Parquet, one export a customer":               {Parquet: true, PerCustomer: true, PartRows: 50, Runs: 3},
		"1.0, byte order mark, zero ids, other flags":  {Version: "1.0", BOM: true, ZeroIDs: true, CreditFlags: "true,false"},
		"1.2, three months, three runs of each export": {Version: "1.2-preview", Months: 3, Runs: 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, e)
			got := read(t, c.options(), nil)
			if got.err != nil || len(got.bad) > 0 || got.tally.Warnings != nil {
				t.Fatalf("%v, %v, %v", got.err, got.bad, got.tally.Warnings)
			}
			if diff := cmp.Diff(c.want(), billed(got.rows)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if got.tally.Bytes != got.tally.TotalBytes {
				t.Errorf("%d bytes of %d", got.tally.Bytes, got.tally.TotalBytes)
			}
			dir := t.TempDir()
			if _, err := c.partner.WriteExports(dir, withToday(e)); err != nil {
				t.Fatal(err)
			}
			local := read(t, Options{Path: dir}, nil)
			if diff := cmp.Diff(local.rows, got.rows); diff != "" || local.err != nil {
				t.Errorf("%v; folder -, container +:\n%s", local.err, diff)
			}
			credited, unused := 0, 0
			for _, r := range got.rows {
				if r.PartnerCreditApplied != nil && *r.PartnerCreditApplied && *r.PartnerCreditRate == *dec("0.15") {
					credited++
				}
				if r.ChargeCategory == data.ChargeUsage && r.SubscriptionID == nil {
					unused++
					if r.Quantity != nil || *r.EffectiveCost != *dec("0.37") {
						t.Errorf("usage without subscription: %+v", r)
					}
				}
			}
			if credited == 0 || unused == 0 {
				t.Errorf("%d rows with credit, %d unused reservations", credited, unused)
			}
		})
	}
}

func withToday(e fakemicrosoft.CostExports) fakemicrosoft.CostExports {
	e.Today = fakeToday
	return e
}

func TestContainer_KeepsTheContract(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{PerCustomer: true, Months: 1})
	c.Put(fakemicrosoft.File{Name: "other/part.csv", Body: []byte("not read: it lies outside the prefix")})
	o := c.options()
	o.Container.URL += "/focus/"
	datatest.TestSource(t, func(t *testing.T) data.UsageSource {
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestContainer_PagesOfTheListing(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1})
	var files []fakemicrosoft.File
	for i := range 6000 { // a page has 5,000 names
		files = append(files, fakemicrosoft.File{Name: fmt.Sprintf("aaa/%05d.txt", i), Body: []byte("x")})
	}
	c.Put(files...)
	got := read(t, c.options(), nil)
	if diff := cmp.Diff(c.want(), billed(got.rows)); diff != "" || got.err != nil {
		t.Errorf("%v; want -, got +:\n%s", got.err, diff)
	}
	lists := 0
	for _, r := range c.Requests() {
		if strings.Contains(r.Query, "comp=list") {
			lists++
		}
	}
	if lists != 2 {
		t.Errorf("%d requests list the container, want 2", lists)
	}
}

func TestContainer_WithAnApp(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1})
	o := c.options()
	o.Container.SAS = ""
	o.Container.Tenant, o.Container.ClientID, o.Container.Secret, o.Container.Login = c.partner.TenantID, fakemicrosoft.DefaultClient, "client-secret"+marker, c.at.Login
	got := read(t, o, nil)
	if diff := cmp.Diff(c.want(), billed(got.rows)); diff != "" || got.err != nil {
		t.Errorf("%v; want -, got +:\n%s", got.err, diff)
	}
	if n := c.Count(fakemicrosoft.Login); n != 1 {
		t.Errorf("signed in %d times", n)
	}
	o.Container.Secret = "wrong" + marker
	got = read(t, o, nil)
	c.hides(t, got)
	if got.err == nil || !strings.Contains(got.err.Error(), "sign-in is refused (invalid_client: ") {
		t.Errorf("with a wrong secret: %v", got.err)
	}
}

// hides checks that no secret stands in what a reading says.
func (c *cloud) hides(t *testing.T, got result) {
	t.Helper()
	text := fmt.Sprintln(got.err, got.bad, got.tally.Warnings, got.tally.LeftOut)
	for _, form := range []string{marker, url.QueryEscape(marker), url.PathEscape(marker), "sig="} {
		if strings.Contains(text, form) {
			t.Errorf("a secret stands in %s", text)
		}
	}
}

func TestContainer_WhatGoesWrong(t *testing.T) {
	storage := func(f fakemicrosoft.Fault) fakemicrosoft.Fault {
		f.Host = fakemicrosoft.Storage
		return f
	}
	named := func(f fakemicrosoft.Fault, path string, times int) fakemicrosoft.Fault {
		f.Path, f.Times = path, times
		return storage(f)
	}
	for name, c := range map[string]struct {
		faults []fakemicrosoft.Fault
		change func(c *cloud, o *Options)
		says   string // "": nothing is lost
	}{
		"dropped connections":         {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Dropped(), "comp=list", 2), named(fakemicrosoft.Dropped(), "part_", 2)}},
		"cut bodies":                  {faults: []fakemicrosoft.Fault{named(fakemicrosoft.CutAt(100), "part_", 3), named(fakemicrosoft.CutAt(50), "manifest", 2)}},
		"a cut listing":               {faults: []fakemicrosoft.Fault{named(fakemicrosoft.CutAt(300), "comp=list", 1)}},
		"slow bodies":                 {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Slow(64, nil), "part_", 2)}},
		"busy for a while":            {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Failing(503), "", 3)}},
		"busy for ever":               {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Failing(503), "part_", -1)}, says: "503 ServerBusy: the storage account is busy"},
		"dropped for ever":            {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Dropped(), "part_", -1)}, says: "EOF"},
		"cut again and again":         {faults: []fakemicrosoft.Fault{named(fakemicrosoft.CutAt(200), "part_0_0001", 12)}},
		"a redirect is not followed":  {faults: []fakemicrosoft.Fault{named(fakemicrosoft.Fault{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/x"}}, "part_", -1)}, says: "leads elsewhere"},
		"an expired SAS":              {change: func(c *cloud, _ *Options) { c.now = c.now.Add(2 * time.Hour) }, says: "403 AuthenticationFailed: the SAS is refused, it says that it ends at 2026-02-10T13:00:00Z: make a new one"},
		"a wrong SAS":                 {change: func(_ *cloud, o *Options) { o.Container.SAS += "x" }, says: "the SAS is refused"},
		"a whole address for the SAS": {change: func(_ *cloud, o *Options) { o.Container.SAS = o.Container.URL + "?" + o.Container.SAS + "\n" }},
		"no such container":           {change: func(c *cloud, o *Options) { o.Container.URL = c.at.Storage + "/nowhere" }, says: "404 ContainerNotFound: there is no such container"},
		"nothing at the prefix":       {change: func(_ *cloud, o *Options) { o.Container.URL += "/elsewhere" }, says: "/exports/elsewhere/ holds no export"},
		"nobody listens":              {change: func(_ *cloud, o *Options) { o.Container.URL = "http://127.0.0.1:1/exports" }, says: "list http://127.0.0.1:1/exports/: "},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t, fakemicrosoft.CostExports{Months: 1, PartRows: 60})
			o := cloud.options()
			if c.change != nil {
				c.change(cloud, &o)
			}
			cloud.Script(c.faults...)
			got := read(t, o, nil)
			cloud.hides(t, got)
			if c.says != "" {
				if got.err == nil || !strings.Contains(got.err.Error(), c.says) {
					t.Errorf("the sequence ends with %v, want %q", got.err, c.says)
				}
				return
			}
			if diff := cmp.Diff(cloud.want(), billed(got.rows)); diff != "" || got.err != nil {
				t.Errorf("%v; want -, got +:\n%s", got.err, diff)
			}
			if left := cloud.Pending(); len(left) > 0 {
				t.Errorf("faults that did not strike: %q", left)
			}
		})
	}
}

func TestContainer_ABlobThatIsReplacedMeanwhileIsRefused(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1, PartRows: 60})
	s, err := New(c.options())
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.store.list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Put(fakemicrosoft.File{Name: all[0].name, Body: []byte("another")})
	if _, err := s.store.open(t.Context(), all[0]); err == nil || !strings.Contains(err.Error(), "was replaced while it was read: run again") {
		t.Errorf("open: %v", err)
	}
}

func TestContainer_RowErrorsNameTheBlob(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1})
	o := c.options()
	o.Container.URL += "/mine"
	c.Put(fakemicrosoft.File{Name: "mine/a b.csv", Body: []byte(shortHeader + "never,1,EUR,a,Microsoft,Usage,s\n")})
	got := read(t, o, nil)
	if len(got.bad) != 1 || !strings.HasPrefix(got.bad[0], "mine/a b.csv:2: column ChargePeriodStart") {
		t.Errorf("%v, %v", got.bad, got.err)
	}
	c.hides(t, got)
}

func TestContainer_Cancelled(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1})
	s, err := New(c.options())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Describe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Describe: %v", err)
	}
}

func TestNew_Containers(t *testing.T) {
	ok := Container{URL: "https://polder.blob.core.windows.net/exports/focus", SAS: "sv=1&sig=" + marker}
	change := func(f func(*Container)) Container { c := ok; f(&c); return c }
	for name, c := range map[string]struct {
		c    Container
		says string
	}{
		"whole":                   {ok, ""},
		"an app":                  {change(func(c *Container) { c.SAS, c.Tenant, c.ClientID, c.Secret = "", "t", "c", marker }), ""},
		"a signature in it":       {change(func(c *Container) { c.URL += "?sig=" + marker }), "give the signature apart"},
		"a user in it":            {change(func(c *Container) { c.URL = "https://" + marker + "@polder.blob.core.windows.net/x" }), "give the signature apart"},
		"not encrypted":           {change(func(c *Container) { c.URL = "http://polder.blob.core.windows.net/exports" }), "want https"},
		"another kind of storage": {change(func(c *Container) { c.URL = "https://polder.dfs.core.windows.net/exports" }), "not a host of Blob Storage"},
		"no container":            {change(func(c *Container) { c.URL = "https://polder.blob.core.windows.net/" }), "no container is named"},
		"no address":              {change(func(c *Container) { c.URL = "exports" }), "not an address"},
		"no SAS but a key":        {change(func(c *Container) { c.SAS = marker }), "no shared access signature"},
		"nothing that opens it":   {change(func(c *Container) { c.SAS = "" }), "nothing opens it"},
		"two that open it":        {change(func(c *Container) { c.Secret = "s" }), "take one of them away"},
		"an app without tenant":   {change(func(c *Container) { c.SAS, c.Secret = "", "s" }), "tenant is"},
		"sign-in in the clear": {change(func(c *Container) {
			c.SAS, c.Tenant, c.ClientID, c.Secret, c.Login = "", "t", "c", "s", "http://login.example"
		}), "not encrypted"},
	} {
		_, err := New(Options{Container: c.c})
		if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if err != nil && strings.Contains(err.Error(), marker) {
			t.Errorf("%s: the error tells a secret: %v", name, err)
		}
	}
	if _, err := New(Options{Path: "x", Container: ok}); err == nil {
		t.Error("New accepts path and container")
	}
}
