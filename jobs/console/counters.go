package console

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// maxJobs bounds how many jobs have series of their own: every digest from the
// command line may bring a job, and series are for ever.
const maxJobs = 100

// otherJobs is the label of what is beyond that.
const otherJobs = "other"

// jobLabel is not "job": Prometheus sets that one to the name of what it scrapes, and
// renames ours.
const jobLabel = "job_name"

// counters count what the runner did since the process began.
type counters struct {
	duration    *prometheus.HistogramVec
	outcomes    *prometheus.CounterVec
	extracted   *prometheus.CounterVec
	quarantined *prometheus.CounterVec

	mu    sync.Mutex
	named map[string]bool
}

func newCounters() *counters {
	return &counters{
		named: map[string]bool{},
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tidemark_run_duration_seconds",
			Help: "How long runs took that ended in this process, from the beginning of their last attempt.", Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 14400}}, []string{jobLabel}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_runs_ended_total",
			Help: "Runs that ended in this process, by the state they ended in."}, []string{jobLabel, "state"}),
		extracted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_extracted_rows_total",
			Help: "Usage rows that extractions of this process read, those in quarantine included."}, []string{jobLabel}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidemark_quarantined_rows_total",
			Help: "Rows that extractions of this process put into quarantine, by table."}, []string{jobLabel, "table"}),
	}
}

func (c *counters) collectors() []prometheus.Collector {
	return []prometheus.Collector{c.duration, c.outcomes, c.extracted, c.quarantined}
}

// label is the name of a job as a label: valid, and one of not too many.
func (c *counters) label(job string) string {
	job = strings.ToValidUTF8(job, "\uFFFD")
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.named[job] {
		if len(c.named) >= maxJobs {
			return otherJobs
		}
		c.named[job] = true
	}
	return job
}

// begin lets the counters of a job's rows start at zero: of a counter that begins at
// another number Prometheus knows no increase.
func (c *counters) begin(job string) {
	c.extracted.WithLabelValues(job)
	for _, table := range []archive.Table{archive.UsageTable, archive.Customers, archive.Subscriptions} {
		c.quarantined.WithLabelValues(job, string(table))
	}
}

func (c *counters) ended(s jobs.Stop) {
	job := c.label(s.Run.Job)
	if s.Run.State != ledger.Queued {
		c.outcomes.WithLabelValues(job, string(s.Run.State)).Inc()
		if s.Run.Started != nil {
			c.duration.WithLabelValues(job).Observe(max(s.At.Sub(*s.Run.Started).Seconds(), 0))
		}
	}
	if out, ok := s.Result.(jobs.Extracted); ok {
		c.extracted.WithLabelValues(job).Add(float64(out.Read))
		for table, n := range out.Quarantined {
			c.quarantined.WithLabelValues(job, table).Add(float64(n))
		}
	}
}
