package main

import (
	"bytes"
	"cmp"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const secretMark = "MARKED-SECRET-91c4"

// everything is a period that no archive goes beyond.
const everything = "2000-01-01..2099-12-31"

// holdingSecrets names what holds a secret of the fake, of all that was printed,
// every file of the folder, and every value of the archive: its Parquet files
// are compressed, so their bytes alone do not tell. Case does not matter, since ids
// are archived in lower case and currencies in upper case.
func (e *tenant) holdingSecrets() (where []string) {
	e.t.Helper()
	out := filepath.Join(e.t.TempDir(), "values")
	e.must("archive", "export", "--period", everything, "--format", "csv", "--out", out)
	secrets := append(e.server.Secrets(), secretMark)
	holds := func(text []byte) bool {
		text = bytes.ToLower(text)
		return slices.ContainsFunc(secrets, func(s string) bool { return bytes.Contains(text, []byte(strings.ToLower(s))) })
	}
	if holds([]byte(e.said.String())) {
		where = append(where, "output")
	}
	for _, dir := range []string{e.dir, out} {
		files := 0
		for name, text := range filesBelow(e.t, dir) {
			if files++; holds(text) {
				where = append(where, name)
			}
		}
		if files < 5 {
			e.t.Errorf("%d files looked at", files)
		}
	}
	return where
}

// holdsNoSecret fails where something holds a secret.
func (e *tenant) holdsNoSecret() {
	e.t.Helper()
	for _, name := range e.holdingSecrets() {
		e.t.Errorf("%s holds a secret", name)
	}
}

// filesBelow yields the files of a folder, by their names below it.
func filesBelow(t *testing.T, dir string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() { // nor a link to a folder, as bin/interop has
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(dir, path)
			if err == nil && !yield(filepath.ToSlash(name), text) {
				return fs.SkipAll
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestSecrets_AreFoundWhereverTheyAre plants one in the values of each table and in
// a line that goes to quarantine, where the search has to find it.
func TestSecrets_AreFoundWhereverTheyAre(t *testing.T) {
	p := smallTenant(time.Now())
	p.Customers[3].Name = "m" + secretMark // neither the first nor the last name: no statistics show it
	for _, s := range p.Customers[4].Subscriptions {
		for _, e := range s.Entitlements {
			e.FriendlyName = "m" + secretMark
		}
	}
	p.Usage = withLine{p.Usage, fakemicrosoft.Line{CustomerID: p.Customers[0].ID, BillingCurrency: "m" + secretMark}}
	p.Usage = withLine{p.Usage, fakemicrosoft.Line{CustomerID: p.Customers[0].ID, Quantity: "1", MeterCategory: "M" + secretMark}}
	e := newTenant(t, p, quick)
	if code, out := e.tidemark("extract"); code != exitWarnings {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	found := e.holdingSecrets()
	for _, want := range []string{"customers.csv", "subscriptions.csv", "usage.csv", "usage_daily.csv"} {
		if !slices.Contains(found, want) {
			t.Errorf("found in %q, not in %s", found, want)
		}
	}
	if !slices.ContainsFunc(found, func(name string) bool { return strings.HasPrefix(name, "archive/quarantine/") }) {
		t.Errorf("found in %q, not in quarantine", found)
	}
}

// withLine is usage with one line more in each feed, of the day before.
type withLine struct {
	fakemicrosoft.Usage
	line fakemicrosoft.Line
}

func (u withLine) Blobs(f fakemicrosoft.Feed) int { return max(1, u.Usage.Blobs(f)) }

func (u withLine) Lines(f fakemicrosoft.Feed, blob int) iter.Seq[*fakemicrosoft.Line] {
	return func(yield func(*fakemicrosoft.Line) bool) {
		if blob < u.Usage.Blobs(f) {
			for l := range u.Usage.Lines(f, blob) {
				if !yield(l) {
					return
				}
			}
		}
		if blob > 0 {
			return
		}
		l := u.line
		l.ChargeStartDate, l.UsageDate = f.Today.Format("2006-01")+"-01T00:00:00Z", f.Today.Format("2006-01-02")+"T00:00:00Z"
		l.BillingPreTaxTotal, l.BillingCurrency, l.Unit = "1", cmp.Or(l.BillingCurrency, f.Currency), "1 GB"
		yield(&l)
	}
}

// TestGoldens_HoldNoSecret searches everything that tests compare with, and what is
// shown of the program, for what is part of every planted secret.
func TestGoldens_HoldNoSecret(t *testing.T) {
	marks := []string{"MARKED-SECRET", "MARKED/+SECRET", "MARKED%2F%2BSECRET", "client-secretMARKED", "Bearer eyJ"}
	searched := map[string]int{}
	for name, text := range filesBelow(t, root) {
		folder, _, golden := strings.Cut(name, "testdata/")
		if !golden && !strings.HasPrefix(name, "docs/") || strings.Contains(name, "node_modules/") {
			continue
		}
		searched[folder]++
		for _, mark := range marks {
			if bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(mark))) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
	for _, folder := range []string{"reports/", "jobs/", "cmd/tidemark/", "data/archive/"} {
		if searched[folder] == 0 {
			t.Errorf("searched %v, nothing of %s", searched, folder)
		}
	}
}
