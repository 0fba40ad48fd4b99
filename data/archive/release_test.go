package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

// releases are the archives that earlier releases wrote, in testdata. They are
// read and verified for ever: a folder is written once, when it is not there
// (go test -run Release), and never again.
func releases() []string { return []string{"release-1", "release-2"} }

// TestRelease_WhatWasWrittenIsReadForEver reads every version of every table and
// compares it with what the release itself read.
func TestRelease_WhatWasWrittenIsReadForEver(t *testing.T) {
	for _, name := range releases() {
		folder := filepath.Join("testdata", name)
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			writeRelease(t, folder)
		}
		b := NewDir(filepath.Join(folder, "archive"))
		want, err := os.ReadFile(filepath.Join(folder, "rows.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(everyVersion(t, b), "\n")); diff != "" {
			t.Errorf("%s (-as written +as read):\n%s", name, diff)
		}
		out, err := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 2})
		if err != nil || !out.OK() || out.Files == 0 || out.Runs == 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
}

// everyVersion dumps all tables at all versions, by the names of the columns that
// each was first written with.
func everyVersion(t *testing.T, b Bucket) string {
	t.Helper()
	a, err := Open(context.Background(), b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, table := range Tables() {
		for c, err := range a.History(context.Background(), table) {
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s@%d %s by %s, %d files added, %d removed\n", table, c.Version, c.KnownAt.Format(knownAtForm), c.Run, len(c.Added), len(c.Removed))
			s, err := a.replay(context.Background(), emptyState(table), c.Version)
			if err != nil {
				t.Fatal(err)
			}
			v := &View{archive: a, states: map[Table]*state{table: s}}
			for _, line := range dump(t, v.Scan(context.Background(), table, allDays, firstColumns()[table]...)) {
				fmt.Fprintf(&out, "  %q\n", line)
			}
		}
	}
	return out.String()
}

// firstColumns are the columns that each table had in the first release with it.
// Later ones come as null.
func firstColumns() map[Table][]string {
	return map[Table][]string{
		Customers: {"snapshot_date", "customer_id", "name", "domain", "country", "first_seen", "contact", "phone", "email", "source"},
		Reports: {"report_date", "report_id", "message_id", "role", "recipient", "edition", "job", "slot", "period_from", "period_to", "scope", "versions",
			"known_at", "seal", "model", "previous_report", "config_sha256", "ownership_sha256", "recipients_sha256", "producer", "request", "document", "digest", "eml_sha256"},
		Scores: {"score_date", "customer_id", "subscription_id", "horizon_days", "state", "score", "band", "model", "idle_days", "reasons", "flags", "detail",
			"versions", "known_at", "producer"},
		Subscriptions: {"snapshot_date", "subscription_id", "customer_id", "plan_id", "name", "offer", "status", "created", "created_basis", "commitment_end",
			"auto_renew", "renewed_at", "ended_at", "trial", "first_usage", "last_usage"},
		Trainings: {"training_date", "trained_at", "model_sha256", "used", "why", "horizon_days", "training", "versions", "known_at", "producer"},
		UsageTable: {"usage_date", "customer_id", "subscription_id", "category", "service", "meter_id", "region", "unit", "currency", "charge_category",
			"billing_period", "quantity", "cost", "effective_cost", "cost_usd"},
		UsageDaily: {"usage_date", "customer_id", "subscription_id", "category", "unit", "currency", "charge_category", "cost", "effective_cost", "cost_usd",
			"quantity", "rows", "usage_rows", "cost_rows", "usd_rows", "services"},
	}
}

// TestRelease_LaterColumnsAreNull reads columns that usage gained after the first
// release.
func TestRelease_LaterColumnsAreNull(t *testing.T) {
	a, err := Open(t.Context(), NewDir(filepath.Join("testdata", "release-1", "archive")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.View(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := dump(t, v.Scan(t.Context(), UsageTable, allDays, "customer_id", "partner_credit_applied", "partner_credit_rate"))
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	for _, row := range rows {
		if !strings.Contains(row, "partner_credit_applied=<null> partner_credit_rate=<null>") {
			t.Errorf("a row of a file without the columns: %s", row)
		}
	}
}

// writeRelease keeps the museum of this release, with scores and the model that
// made them.
func writeRelease(t *testing.T, folder string) {
	t.Helper()
	f, b := museum(t)
	r := f.begin()
	sum, err := r.Keep(t.Context(), Models, []byte(`{"model":"usage-1"}`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	trained := data.Training{Day: day("2026-11-23"), TrainedAt: "2026-11-23T01:00:00Z", Model: sum, Used: sum, Why: "first", Horizon: 28,
		Training: "{}", Versions: "{}", KnownAt: "2026-11-23T00:00:00Z", Producer: "tidemark test"}
	if _, err := r.CommitTraining(t.Context(), trained); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		scored, without := score(fmt.Sprint("s", i)), score("without")
		without.Score, without.Band, without.IdleDays, without.Detail = nil, nil, nil, nil
		scored.Model, without.Model = sum, sum
		if _, err := r.CommitScores(t.Context(), day("2026-11-22"), []data.Score{scored, without}); err != nil {
			t.Fatal(err)
		}
	}
	told := report("scored", "anna@partner.example")
	told.Model = &sum
	if told.EMLSHA256, err = r.Keep(t.Context(), Mails, []byte("Subject: scored\r\n\r\nmail\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CommitReports(t.Context(), day("2026-11-23"), []data.Report{told}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key, content := range b.files {
		path := filepath.Join(folder, "archive", filepath.FromSlash(key))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "rows.txt"), []byte(everyVersion(t, b)), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Errorf("%s was not there and is written now; look at it and commit it", folder)
}

// TestFacts_AFileWithoutALaterColumnKeepsItsHash takes the facts of a file that
// lacks a column which the table has now, as an earlier release would write it.
func TestFacts_AFileWithoutALaterColumnKeepsItsHash(t *testing.T) {
	type older struct {
		CustomerID string `parquet:"customer_id,dict"`
		Source     string `parquet:"source,dict"`
	}
	b := NewMemory()
	p := foreign(t, b, Customers, []older{{"a", "tables"}, {"b", "tables"}})
	f := newFixture(t, b)
	l := f.layouts[Customers]
	file, err := f.open(t.Context(), l, p)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := file.facts(t.Context(), f.Archive, p)
	if err := errors.Join(err, file.close()); err != nil {
		t.Fatal(err)
	}
	if want := hexSum([]byte("customer_id\tsource\na\ttables\nb\ttables\n")); facts.content() != want {
		t.Errorf("content hash %s, want %s", facts.content(), want)
	}
	if _, there := facts.deltaStats().NullCount["name"]; there {
		t.Error("the statistics count nulls of a column that is not there")
	}
}
