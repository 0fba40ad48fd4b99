package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/chart"
)

// hostile is a text that would run a script, end its place, or turn its line
// around, wherever somebody forgot to escape it.
const hostile = "Evil</title></script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e{{.}}javascript:alert(1)\r\nX-Evil: 1"

// plant is a console over a ledger and an archive that have something of
// everything, hostile texts among it.
type plant struct {
	*Console
	t      *testing.T
	mu     sync.Mutex
	clock  time.Time
	file   string
	owner  *ledger.Ledger
	status Status
	broken error // what the status cannot be read for
	gone   error // what the archive cannot be opened for
	log    strings.Builder
	ids    map[ledger.DeliveryState]string
	report string // address of an interactive page
}

func (p *plant) now() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.clock }

func (p *plant) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = p.clock.Add(d)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func dayOf(t *testing.T, s string) data.Day {
	t.Helper()
	d, err := data.ParseDay(s)
	check(t, err)
	return d
}

func newPlant(t *testing.T) *plant {
	t.Helper()
	p := &plant{t: t, clock: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC), ids: map[ledger.DeliveryState]string{}}
	p.file = filepath.Join(t.TempDir(), "tidemark.db")
	var err error
	p.owner, err = ledger.Open(t.Context(), p.file, ledger.Options{Now: p.now, Owner: "host/1"})
	check(t, err)
	l, err := ledger.OpenReadOnly(t.Context(), p.file, ledger.Options{Now: p.now})
	check(t, err)
	t.Cleanup(func() { check(t, errors.Join(l.Close(), p.owner.Close())) })
	p.fillLedger()
	a := p.archived()
	p.Console, err = New(Options{Ledger: l, Board: NewBoard(p.now), Tick: 5 * time.Second, Version: "1.2.3", Now: p.now,
		Log:     slog.New(slog.NewTextHandler(&p.log, nil)),
		Archive: func(context.Context) (*archive.Archive, error) { return a, p.gone },
		Status:  func(context.Context) (Status, error) { return p.status, p.broken }})
	check(t, err)
	return p
}

// fillLedger makes a run and a delivery of every state.
func (p *plant) fillLedger() {
	t, ctx := p.t, p.t.Context()
	from := p.clock.Add(-30 * 24 * time.Hour)
	for i, state := range []ledger.RunState{ledger.Done, ledger.Warned, ledger.Failed, ledger.Held, ledger.Skipped} {
		run, err := p.owner.Begin(ctx, "weekly", from.Add(time.Duration(i)*24*time.Hour), "", "")
		check(t, err)
		result, err := json.Marshal(jobs.SendResult{Batch: &jobs.Batch{Role: "sales_agent"}, Skipped: []string{hostile}, Failed: []string{hostile}})
		check(t, err)
		check(t, p.owner.Finish(ctx, run, state, hostile, string(result)))
	}
	run, err := p.owner.Begin(ctx, "nightly", from, hostile, hostile)
	check(t, err)
	result, err := json.Marshal(jobs.Extracted{Run: hostile, Read: 1234567, Quarantined: map[string]int64{"usage": 7}, Warnings: []string{hostile}})
	check(t, err)
	check(t, p.owner.Finish(ctx, run, ledger.Warned, "warned\nmore", string(result)))
	other, err := p.owner.Begin(ctx, hostile, from, "", "")
	check(t, err)
	check(t, p.owner.Finish(ctx, other, ledger.Failed, "", hostile))
	_, err = p.owner.Plan(ctx, "nightly", []time.Time{p.clock.Add(time.Hour)})
	check(t, err)
	for i, state := range ledger.DeliveryStates() {
		id := fmt.Sprintf("mail%d@partner.example", i)
		mail := ledger.Mail{EML: []byte("From: a\r\n\r\n<script>alert(1)</script> " + id), Delivery: ledger.Delivery{ID: id, Kind: "digest", Role: "sales_agent", Period: "2026-11-06..2026-11-12",
			Recipient: fmt.Sprintf("anna%d@partner.example", i), Subject: hostile, Report: "report0", Deadline: p.clock.Add(time.Hour)}}
		_, err := p.owner.Enqueue(ctx, run.ID, []ledger.Mail{mail})
		check(t, err)
		d, err := p.owner.Delivery(ctx, id)
		check(t, err)
		check(t, p.owner.Advance(ctx, &d, ledger.Pending, state, hostile))
		p.ids[state] = id
	}
	run.State, run.Note = ledger.Failed, hostile
	day := dayOf(t, "2026-11-12")
	p.status = Status{Level: 2, Why: []string{hostile}, Watermark: &day, Seal: strings.Repeat("ab", 32), Waiting: 3, Notes: []string{hostile},
		Mail:     map[ledger.DeliveryState]int{ledger.Unknown: 2, ledger.Refused: 1, ledger.Sent: 40},
		Alarms:   []ledger.Alarm{{Key: "job:" + hostile, Message: hostile, Since: p.clock.Add(-time.Hour)}},
		DiskFree: new(uint64(9 << 30)),
		Jobs: []Job{{Name: "nightly", Do: "extract", Cron: "30 2 * * *", Zone: "UTC", Next: []time.Time{p.clock.Add(19 * time.Hour), p.clock.Add(43 * time.Hour)}, Last: run,
			Success: new(p.clock.Add(-4 * time.Hour)), UpTo: &day, Overdue: new(p.clock.Add(-time.Hour))},
			{Name: hostile, Do: "digest", Role: "sales_agent", Period: "latest-7d", After: hostile, Warning: hostile, Pause: new(hostile)}}}
}

// archived is an archive with two days of reports, one of them with more than a
// page shows.
func (p *plant) archived() *archive.Archive {
	t, ctx := p.t, p.t.Context()
	a, err := archive.Open(ctx, archive.NewMemory(), archive.Options{Producer: "tidemark test", Now: p.now})
	check(t, err)
	run, err := a.Begin(ctx, archive.RunInfo{ID: "20261116t070000z-aaaaaa", Job: "weekly", Source: "tidemark", Started: p.clock})
	check(t, err)
	for d, n := range map[string]int{"2026-11-15": pageRows + 3, "2026-11-16": 2} {
		day := dayOf(t, d)
		var rows []data.Report
		for i := range n {
			digest, err := json.Marshal(reports.Digest{Lang: "en", ReportID: fmt.Sprint("report", i), Headline: hostile, Accent: "#0b6e4f",
				Page: reports.Page{Figures: []chart.Figure{{ID: "f", Title: hostile, Lines: []string{hostile}, Option: json.RawMessage(`{"title":{"text":"</script><script>alert(1)</script>"}}`)}}}})
			check(t, err)
			rows = append(rows, data.Report{Day: day, ReportID: fmt.Sprint("report", i), MessageID: fmt.Sprintf("%d-%s@partner.example", i, d), Role: "sales_agent",
				Recipient: fmt.Sprintf("a%03d@partner.example", i), PeriodFrom: day - 9, PeriodTo: day - 3, KnownAt: "2026-11-16T06:00:00Z", Producer: "tidemark test",
				Scope: "[]", Versions: "{}", Request: "{}", Document: "{}", Digest: string(digest), EMLSHA256: strings.Repeat("0", 64)})
		}
		_, err := run.CommitReports(ctx, day, rows)
		check(t, err)
	}
	_, err = run.Finish(ctx)
	check(t, err)
	p.report = "/reports/2026-11-16/report1"
	return a
}

// get asks for a path as a browser on this machine does.
func (p *plant) get(path string) *httptest.ResponseRecorder { return p.ask(http.MethodGet, path, nil) }

func (p *plant) ask(method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	p.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8440"+path, nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// pages are addresses of every kind of page.
func (p *plant) pages() []string {
	all := []string{"/", "/runs", "/runs?state=failed&job=weekly", "/deliveries", "/deliveries?state=unknown", "/jobs", "/archive", "/reports", "/reports/2026-11-15", "/reports/2026-11-16"}
	runs, err := p.owner.Runs(p.t.Context(), "", 100)
	check(p.t, err)
	for _, r := range runs {
		if !strings.Contains(r.ID, "/") { // a path has it in one segment
			all = append(all, "/runs/"+r.ID)
		}
	}
	for _, id := range p.ids {
		all = append(all, "/deliveries/"+id)
	}
	return all
}

var errTest = fmt.Errorf("read %s: %w", "/secret/path", fs.ErrPermission)

// remembered is everything that the ledger remembers.
func (p *plant) remembered() (all []any) {
	p.t.Helper()
	runs, err := p.owner.Runs(p.t.Context(), "", 1000)
	check(p.t, err)
	deliveries, err := p.owner.Deliveries(p.t.Context(), ledger.Query{})
	check(p.t, err)
	return append(all, runs, deliveries)
}
