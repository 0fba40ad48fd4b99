package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/source/sample"
	"tidemark/reports"
)

// monday archives the sample as it is on a morning and builds the sales digest
// of the last seven complete days.
func monday(t *testing.T, arc *archive.Archive, at time.Time, late bool, period string, settle int) (reports.Digest, reports.Rendered, data.Period, data.Day) {
	t.Helper()
	ctx := context.Background()
	today := data.DayOf(at)
	source, err := sample.New(sample.Options{From: data.DayOf(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)), Story: data.DayOf(time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC)),
		To: today - 1, Late: late})
	if err != nil {
		t.Fatal(err)
	}
	x := jobs.Extract{Archive: arc, Usage: source, Inventory: source, InventoryDay: today, Run: "run-" + today.String(), Started: at}
	if _, err := x.Extract(ctx); err != nil {
		t.Fatal(err)
	}
	view, err := arc.View(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := data.ParsePeriod(period)
	if err != nil {
		t.Fatal(err)
	}
	p, err := jobs.Load(ctx, view, jobs.Query{Period: spec, Ref: today, SettleDays: settle, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	ownership, err := demoOwnership(p)
	if err != nil {
		t.Fatal(err)
	}
	d := jobs.Digests{Portfolio: p, Role: reports.SalesAgent, Recipients: demoRecipients(), Only: "anna@partner.example", Ownership: ownership,
		Partner: reports.Partner{Name: "Polder Cloud", Locale: "nl"}, Date: at}
	d.From.Address = "usage@partner.example"
	for b, err := range d.Build(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		return b.Digest, b.Rendered, p.Inputs.Period, *p.Inputs.Watermark
	}
	t.Fatal("no digest was built")
	return reports.Digest{}, reports.Rendered{}, data.Period{}, 0
}

// TestEightMondays takes eight weekly digests over two month changes from a feed
// that is as late as a real one. Each must say exactly what the same sample
// without any lateness says of the same days: no finding is an artefact.
func TestEightMondays(t *testing.T) {
	open := func() *archive.Archive {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		arc, err := archive.Open(context.Background(), archive.NewMemory(), archive.Options{Producer: "test", TempDir: t.TempDir(),
			Now: func() time.Time { now = now.Add(time.Second); return now }})
		if err != nil {
			t.Fatal(err)
		}
		return arc
	}
	late, whole := open(), open()
	calls := 0
	for at := time.Date(2026, 9, 28, 6, 0, 0, 0, time.UTC); at.Before(time.Date(2026, 11, 17, 0, 0, 0, 0, time.UTC)); at = at.AddDate(0, 0, 7) {
		digest, rendered, period, watermark := monday(t, late, at, true, "latest-7d", defaultSettleDays)
		newest := data.DayOf(at) - 1
		exact, _, _, same := monday(t, whole, at, false, period.String(), int(newest-watermark))
		if same != watermark {
			t.Fatalf("%s: watermarks %s and %s", at, watermark, same)
		}
		clean := func(d reports.Digest) string {
			d.ReportID, d.Footer, d.Freshness, d.Page, d.Attachment = "", nil, nil, reports.Page{}, reports.Attachment{}
			b, err := json.MarshalIndent(d, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		if diff := cmp.Diff(clean(digest), clean(exact)); diff != "" {
			t.Errorf("%s, %s: the late feed (-) says other things than the whole one (+):\n%s", at.Format("2 Jan"), period, diff)
		}
		for _, s := range digest.Sections {
			calls += len(s.Calls)
		}
		if dir := os.Getenv("TIDEMARK_MONDAYS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, at.Format("2006-01-02")+".txt"), bytes.TrimSpace([]byte(rendered.Text)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: %s, usage complete up to %s: %s", at.Format("Mon 2 Jan"), period, watermark, digest.Subject)
	}
	if calls == 0 {
		t.Error("no digest names anybody to call: nothing was compared")
	}
}
