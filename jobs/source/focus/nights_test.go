package focus

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// nights is an archive that exports are extracted into, night by night.
type nights struct {
	t   *testing.T
	dir string
	arc *archive.Archive
	now time.Time
	run int
}

func newNights(t *testing.T) *nights {
	t.Helper()
	n := &nights{t: t, dir: t.TempDir(), now: fakeToday}
	var err error
	n.arc, err = archive.Open(t.Context(), archive.NewDir(n.dir), archive.Options{Producer: "test", TempDir: t.TempDir(),
		Now: func() time.Time { n.now = n.now.Add(time.Second); return n.now }})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *nights) extract(o Options) (jobs.Extracted, error) {
	n.t.Helper()
	return n.extractDays(o, nil)
}

func (n *nights) extractDays(o Options, days *data.Period) (jobs.Extracted, error) {
	n.t.Helper()
	s, err := New(o)
	if err != nil {
		n.t.Fatal(err)
	}
	v, err := n.arc.View(n.t.Context(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Archived(v.Restated(s.Kind()))
	n.run++
	return jobs.Extract{Archive: n.arc, Usage: s, Days: days, InventoryDay: data.DayOf(n.now), Run: fmt.Sprintf("run%03d", n.run), Started: n.now}.Extract(context.Background())
}

// cents are the archived costs by scope and month, from the log's own sums.
func (n *nights) cents() map[string]int64 {
	n.t.Helper()
	v, err := n.arc.View(n.t.Context(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	all := map[string]int64{}
	for _, table := range []archive.Table{archive.UsageTable, archive.UsageDaily} {
		sums := map[string]data.Decimal{}
		for _, p := range v.Parts(table) {
			for _, s := range p.Sums {
				if s.Column == "cost" {
					key := p.Feed.Scope + " " + p.BillingPeriod
					sums[key], _ = sums[key].Add(s.Amount)
				}
			}
		}
		for key, sum := range sums {
			hundred, _ := sum.MulRatio(100, 1)
			cents := whole(hundred)
			if table == archive.UsageDaily && all[key] != cents {
				n.t.Errorf("%s: usage %d, usage_daily %d", key, all[key], cents)
			}
			all[key] = cents
		}
	}
	return all
}

// whole is a decimal without its places, exactly.
func whole(d data.Decimal) int64 {
	text, _, _ := strings.Cut(d.String(), ".")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func totalsOf(totals []fakemicrosoft.Total) map[string]int64 {
	return (&cloud{totals: totals}).want()
}

// TestExtract_NightsOfNewReports has every customer's export write a copy of the
// month so far each night, last month's export restate it, one customer's
// container emptied, and one month that vanishes.
func TestExtract_NightsOfNewReports(t *testing.T) {
	p := fakemicrosoft.NewPartner(3, fakemicrosoft.Size{Customers: 3, Days: 45, Lines: 8, Today: fakeToday})
	n, in := newNights(t), t.TempDir()
	write := func(e fakemicrosoft.CostExports) map[string]int64 {
		t.Helper()
		totals, err := p.WriteExports(in, e)
		if err != nil {
			t.Fatal(err)
		}
		return totalsOf(totals)
	}
	first := write(fakemicrosoft.CostExports{Today: fakeToday, PerCustomer: true, Runs: 2})
	if out, err := n.extract(Options{Path: in}); err != nil || len(out.Warnings) > 0 {
		t.Fatalf("%v, %q", err, out.Warnings)
	}
	if diff := cmp.Diff(first, n.cents()); diff != "" || len(first) != 6 {
		t.Fatalf("first night: want -, got +:\n%s", diff)
	}
	// The second night has another copy of each month; both are restated by a cent.
	second := write(fakemicrosoft.CostExports{Today: fakeToday.AddDate(0, 0, 1), PerCustomer: true, Runs: 3})
	if out, err := n.extract(Options{Path: in}); err != nil || len(out.Warnings) > 0 {
		t.Fatalf("%v, %q", err, out.Warnings)
	}
	got := n.cents()
	if diff := cmp.Diff(second, got); diff != "" || cmp.Equal(first, second) {
		t.Fatalf("second night: want -, got +:\n%s", diff)
	}
	// The same once more changes nothing.
	if out, err := n.extract(Options{Path: in}); err != nil || out.Committed[0].Changed {
		t.Fatalf("again: %v, %+v", err, out.Committed)
	}
	// A customer's export and everyone's January vanish; the first part of a newer
	// run of February does not arrive.
	if err := os.RemoveAll(filepath.Join(in, "focus", "focus-1")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(in, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "20260101-") {
			return errorsFirst(os.RemoveAll(path), fs.SkipDir)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	write(fakemicrosoft.CostExports{Today: fakeToday.AddDate(0, 0, 2), PerCustomer: true, Runs: 1, Months: 1})
	gone, err := filepath.Glob(filepath.Join(in, "focus", "focus-*", "*", "202602120400", "*", "part_0_0001*"))
	if err != nil || len(gone) != 3 {
		t.Fatalf("%q, %v", gone, err)
	}
	for _, path := range gone {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	out, err := n.extract(Options{Path: in})
	if err != nil || len(out.Warnings) != 3 || !strings.Contains(out.Warnings[0], "not whole") {
		t.Fatalf("%v, %q", err, out.Warnings)
	}
	if diff := cmp.Diff(second, n.cents()); diff != "" {
		t.Errorf("what is not delivered stays: want -, got +:\n%s", diff)
	}
	verified, err := archive.Verify(t.Context(), archive.NewDir(n.dir), archive.VerifyOptions{})
	if err != nil || !verified.OK() {
		t.Errorf("verify: %v, %+v", err, verified)
	}
}

func errorsFirst(err, then error) error {
	if err != nil {
		return err
	}
	return then
}

// TestExtract_TheWholeAccountTakesOver has one export of everyone follow one for
// each customer, and then the customers' again beside it.
func TestExtract_TheWholeAccountTakesOver(t *testing.T) {
	p := fakemicrosoft.NewPartner(3, fakemicrosoft.Size{Customers: 3, Days: 12, Lines: 8, Today: fakeToday})
	n, each, whole := newNights(t), t.TempDir(), t.TempDir()
	if _, err := p.WriteExports(each, fakemicrosoft.CostExports{Today: fakeToday, PerCustomer: true, Months: 1}); err != nil {
		t.Fatal(err)
	}
	totals, err := p.WriteExports(whole, fakemicrosoft.CostExports{Today: fakeToday, Months: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{each, whole} {
		if _, err := n.extract(Options{Path: in}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(totalsOf(totals), n.cents()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if _, err := p.WriteExports(whole, fakemicrosoft.CostExports{Today: fakeToday, PerCustomer: true, Months: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.extract(Options{Path: whole}); err == nil || !strings.Contains(err.Error(), "is delivered twice") ||
		!strings.Contains(err.Error(), "the export of "+strings.ToLower(fakemicrosoft.BillingAccount)+":") || !strings.Contains(err.Error(), "/customers/") {
		t.Errorf("both at once: %v", err)
	}
	if diff := cmp.Diff(totalsOf(totals), n.cents()); diff != "" {
		t.Errorf("after the refusal: want -, got +:\n%s", diff)
	}
}

// TestExtract_NoSecretReachesTheArchive extracts from a container, with bad rows
// and with a failure, and searches every file, and every value of the archive: its
// Parquet files are compressed, so their bytes alone do not tell.
func TestExtract_NoSecretReachesTheArchive(t *testing.T) {
	c := newCloud(t, fakemicrosoft.CostExports{Months: 1, PerCustomer: true})
	c.Put(fakemicrosoft.File{Name: "focus/x/part.csv", Body: []byte(shortHeader + "2026-02-09,x,EUR,a,Microsoft,Usage,s\n")},
		fakemicrosoft.File{Name: "focus/x/manifest.json", Body: []byte(manifestText("x", "2026-02-10T04:00:00Z", 1, "focus/x/part.csv"))})
	n := newNights(t)
	out, err := n.extract(c.options())
	if err != nil || out.Quarantined["usage"] != 1 {
		t.Fatalf("%v, %+v", err, out)
	}
	if diff := cmp.Diff(c.want(), n.cents()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	o := c.options()
	c.now = c.now.Add(3 * time.Hour)
	_, failed := n.extract(o)
	if failed == nil {
		t.Error("an expired signature is accepted")
	}
	c.hides(t, result{err: failed, tally: data.Tally{Warnings: out.Warnings}})
	for _, secret := range append(c.Secrets(), marker, url.QueryEscape(marker), url.PathEscape(marker), "sig=") {
		if where := n.holding(secret); len(where) > 0 {
			t.Errorf("a secret stands in %q", where)
		}
	}
	for _, customer := range c.partner.Customers { // what is archived is found
		if where := n.holding(customer.ID); !slices.Contains(where, "usage.csv") || !slices.Contains(where, "customers.csv") {
			t.Errorf("customer %s is found in %q", customer.ID, where)
		}
	}
}

// holding names the files of the archive, and of an export of all its rows, that
// hold a text in any case.
func (n *nights) holding(text string) (where []string) {
	n.t.Helper()
	view, err := n.arc.View(n.t.Context(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	out := filepath.Join(n.t.TempDir(), "values")
	x := jobs.Export{View: view, Tables: archive.Tables(), Period: data.Period{From: 0, To: data.DayOf(n.now) + 366}, Format: "csv", Dir: out}
	if _, err := x.Export(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	for _, dir := range []string{n.dir, out} {
		files := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			b, err := os.ReadFile(path)
			if strings.Contains(strings.ToLower(string(b)), strings.ToLower(text)) {
				where = append(where, filepath.Base(path))
			}
			return err
		})
		if err != nil || files < 5 {
			n.t.Errorf("searched %d files: %v", files, err)
		}
	}
	return where
}

// pruned takes all usage out of the table, as its retention has it long after.
func (n *nights) pruned() {
	n.t.Helper()
	at := n.now
	n.now = n.now.AddDate(1, 0, 0)
	n.run++
	r, err := n.arc.Begin(n.t.Context(), archive.RunInfo{ID: fmt.Sprintf("run%03d", n.run), Job: "prune", Started: n.now})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := r.Prune(n.t.Context(), archive.Retention{Tables: map[archive.Table]int{archive.UsageTable: 31}}, true); err != nil {
		n.t.Fatal(err)
	}
	if _, err := r.Finish(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	n.now = at
}

// TestExtract_NoMonthGoesBackToAnOlderRunOnceItsUsageIsPruned has the newest run
// vanish after its rows did.
func TestExtract_NoMonthGoesBackToAnOlderRunOnceItsUsageIsPruned(t *testing.T) {
	n := newNights(t)
	n.now = date("2026-11-16").Time()
	older := changed(october("a", ofC1, "c1/s1"), func(r *report) { r.submitted, r.to = "2026-10-21T04:00:00Z", 20 })
	newer := changed(october("b", ofC1, "c1/s1"), func(r *report) { r.submitted = "2026-11-01T04:00:00Z" })
	if err := n.night(older, newer); err != nil {
		t.Fatal(err)
	}
	n.pruned()
	out, err := n.extract(Options{Path: lay(t, older)})
	if err != nil || !strings.Contains(strings.Join(out.Warnings, "\n"), "is older than what the archive has of 2026-10") {
		t.Errorf("%v, %q", err, out.Warnings)
	}
	v, err := n.arc.View(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, p := range v.Parts(archive.UsageDaily) {
		rows += p.Rows
	}
	if days := n.known(); rows != 31 || !slices.Equal(days, []string{"2026-10-01..2026-10-31"}) {
		t.Errorf("%d days with usage, known %v", rows, days)
	}
}
