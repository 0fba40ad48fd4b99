package console

import (
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// TestMetrics_AreWhatTheLedgerAndTheStatusSay compares with values written by hand.
func TestMetrics_AreWhatTheLedgerAndTheStatusSay(t *testing.T) {
	p := newPlant(t)
	p.o.Board.Watch().Ticked()
	want := `
# HELP tidemark_alarms Alarms that are raised.
# TYPE tidemark_alarms gauge
tidemark_alarms 1
# HELP tidemark_archive_watermark_timestamp_seconds The end of the last day of which the archive has complete usage.
# TYPE tidemark_archive_watermark_timestamp_seconds gauge
tidemark_archive_watermark_timestamp_seconds 1.7945280e+09
# HELP tidemark_deliveries Deliveries that the ledger remembers, by state.
# TYPE tidemark_deliveries gauge
tidemark_deliveries{state="bounced"} 1
tidemark_deliveries{state="diverted"} 1
tidemark_deliveries{state="dot"} 1
tidemark_deliveries{state="dropped"} 1
tidemark_deliveries{state="failed"} 1
tidemark_deliveries{state="given_up"} 1
tidemark_deliveries{state="pending"} 1
tidemark_deliveries{state="sending"} 1
tidemark_deliveries{state="sent"} 1
tidemark_deliveries{state="unknown"} 1
# HELP tidemark_job_last_success_timestamp_seconds When the job last ended well.
# TYPE tidemark_job_last_success_timestamp_seconds gauge
tidemark_job_last_success_timestamp_seconds{job_name="nightly"} 1.794798e+09
# HELP tidemark_job_watermark_timestamp_seconds The end of the last complete day of usage in what the job did last with success.
# TYPE tidemark_job_watermark_timestamp_seconds gauge
tidemark_job_watermark_timestamp_seconds{job_name="nightly"} 1.7945280e+09
# HELP tidemark_scheduler_last_tick_timestamp_seconds When the scheduler last looked for due jobs.
# TYPE tidemark_scheduler_last_tick_timestamp_seconds gauge
tidemark_scheduler_last_tick_timestamp_seconds 1.7948124e+09
# HELP tidemark_source_readable Whether the status, the ledger and the archive could be read for this scrape: 1 or 0.
# TYPE tidemark_source_readable gauge
tidemark_source_readable{source="archive"} 1
tidemark_source_readable{source="ledger"} 1
tidemark_source_readable{source="status"} 1
`
	err := testutil.CollectAndCompare(newScrape(p.Console), strings.NewReader(want), "tidemark_alarms", "tidemark_archive_watermark_timestamp_seconds", "tidemark_deliveries",
		"tidemark_job_last_success_timestamp_seconds", "tidemark_job_watermark_timestamp_seconds", "tidemark_scheduler_last_tick_timestamp_seconds", "tidemark_source_readable")
	if err != nil {
		t.Error(err)
	}
}

// TestMetrics_HoldToPrometheusConventions lints what is scraped, once something
// of everything has happened.
func TestMetrics_HoldToPrometheusConventions(t *testing.T) {
	p := newPlant(t)
	watch := p.o.Board.Watch()
	started := p.now()
	p.pass(90 * time.Second)
	p.get("/metrics")
	if before := p.get("/metrics").Body.String(); !strings.Contains(before, "\ntidemark_quarantined_rows_total{job_name=\"nightly\",table=\"customers\"} 0\n") {
		t.Error("the rows of a job in quarantine do not begin at zero")
	}
	run := ledger.Run{ID: "nightly@x", Job: "nightly", State: ledger.Done, Started: &started}
	watch.Began(run)
	watch.Ended(jobs.Stop{Run: run, At: p.now(), Result: jobs.Extracted{Read: 1000, Quarantined: map[string]int64{"usage": 3}}})
	run.State = ledger.Queued // to be tried again: it has not ended
	watch.Ended(jobs.Stop{Run: run, At: p.now()})
	body := p.get("/metrics").Body.String()
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	check(t, err)
	if regexp.MustCompile(`[{,](job|instance)="`).MatchString(body) {
		t.Error("a label is one that Prometheus sets")
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	for _, line := range []string{
		`tidemark_run_duration_seconds_bucket{job_name="nightly",le="60"} 0`, `tidemark_run_duration_seconds_bucket{job_name="nightly",le="300"} 1`,
		`tidemark_run_duration_seconds_sum{job_name="nightly"} 90`, `tidemark_runs_ended_total{job_name="nightly",state="done"} 1`,
		`tidemark_extracted_rows_total{job_name="nightly"} 1000`, `tidemark_quarantined_rows_total{job_name="nightly",table="usage"} 3`,
		`tidemark_runs{job_name="weekly",state="held"} 1`, `tidemark_build_info{version="1.2.3"} 1`, `tidemark_archive_rows{table="reports"} ` + strconv.Itoa(pageRows+5),
		`tidemark_job_overdue{job_name="nightly"} 1`, `tidemark_status_level 2`, `tidemark_deliveries_waiting 3`, `tidemark_disk_free_bytes 9.663676416e+09`, `go_goroutines `, `process_open_fds `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("there is no line %s", line)
		}
	}
	if strings.Contains(body, `tidemark_runs_ended_total{job_name="nightly",state="queued"}`) {
		t.Error("a run that is to be tried again counts as ended")
	}
}

// TestMetrics_LeaveOutWhatCannotBeRead and say so.
func TestMetrics_LeaveOutWhatCannotBeRead(t *testing.T) {
	p := newPlant(t)
	p.broken, p.gone = errTest, errTest
	w := p.get("/metrics")
	body := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(body, `tidemark_source_readable{source="status"} 0`) || !strings.Contains(body, `tidemark_source_readable{source="archive"} 0`) ||
		!strings.Contains(body, `tidemark_source_readable{source="ledger"} 1`) || strings.Contains(body, "tidemark_job_last_success") || strings.Contains(body, "/secret/path") {
		t.Errorf("status %d\n%s", w.Code, body)
	}
}

// TestMetrics_HaveSoManySeriesAndNoMore runs jobs of ever other names.
func TestMetrics_HaveSoManySeriesAndNoMore(t *testing.T) {
	b := NewBoard(time.Now)
	for i := range 3 * maxJobs {
		b.Watch().Ended(jobs.Stop{Run: ledger.Run{Job: "\xff" + strconv.Itoa(i), State: ledger.Done}})
	}
	reg := prometheus.NewPedanticRegistry()
	for _, c := range b.counters.collectors() {
		check(t, reg.Register(c))
	}
	if n, err := testutil.GatherAndCount(reg, "tidemark_runs_ended_total"); err != nil || n != maxJobs+1 {
		t.Errorf("%d series, %v, want %d", n, err, maxJobs+1)
	}
}

// TestMetrics_AreDocumentedWithTheirTypes compares docs/web.md with what is scraped,
// in both directions.
func TestMetrics_AreDocumentedWithTheirTypes(t *testing.T) {
	p := newPlant(t)
	watch, started := p.o.Board.Watch(), p.now()
	watch.Ticked()
	watch.Ended(jobs.Stop{Run: ledger.Run{Job: "nightly", State: ledger.Done, Started: &started}, At: started, Result: jobs.Extracted{Quarantined: map[string]int64{"usage": 1}}})
	b, err := os.ReadFile("../../docs/web.md")
	check(t, err)
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(tidemark_[a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(b), -1) {
		documented[m[1]] = m[2]
	}
	scraped := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^# TYPE (tidemark_[a-z_]+) ([a-z]+)$").FindAllStringSubmatch(p.get("/metrics").Body.String(), -1) {
		scraped[m[1]] = m[2]
	}
	if diff := cmp.Diff(documented, scraped); diff != "" || len(scraped) < 20 {
		t.Errorf("documented and scraped (-documented +scraped):\n%s", diff)
	}
	for _, name := range regexp.MustCompile("tidemark_[a-z_]+").FindAllString(string(b), -1) {
		if scraped[name] == "" {
			t.Errorf("the documentation names %s, which is not scraped", name)
		}
	}
}
