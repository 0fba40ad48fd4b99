package console

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs/ledger"
)

// scrapePatience is how long a scrape may take.
const scrapePatience = 8 * time.Second

// metrics makes the handler of /metrics, with a registry of its own.
func (c *Console) metrics() (http.Handler, error) {
	reg := prometheus.NewRegistry()
	all := append(c.o.Board.counters.collectors(), newScrape(c), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, one := range all {
		if err := reg.Register(one); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(c.o.Log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 3}), nil
}

// scrape reads ledger, archive and status each time they are asked for.
type scrape struct {
	c *Console

	build, read, tick                            *prometheus.Desc
	runs, deliveries, waiting, alarms, level     *prometheus.Desc
	success, upTo, next, overdue, paused         *prometheus.Desc
	watermark, rows, bytes, version, disk, going *prometheus.Desc
}

func newScrape(c *Console) *scrape {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("tidemark_"+name, help, labels, nil)
	}
	return &scrape{c: c,
		build:      d("build_info", "1, with the version of the program.", "version"),
		read:       d("source_readable", "Whether the status, the ledger and the archive could be read for this scrape: 1 or 0.", "source"),
		tick:       d("scheduler_last_tick_timestamp_seconds", "When the scheduler last looked for due jobs."),
		going:      d("runs_going_on", "Runs that go on in this process."),
		runs:       d("runs", "Runs that the ledger remembers, by job and state.", jobLabel, "state"),
		deliveries: d("deliveries", "Deliveries that the ledger remembers, by state.", "state"),
		waiting:    d("deliveries_waiting", "Mails that wait and that nobody tries to send."),
		alarms:     d("alarms", "Alarms that are raised."),
		level:      d("status_level", "The verdict of `tidemark status --check`: 0 well, 1 warning, 2 critical."),
		success:    d("job_last_success_timestamp_seconds", "When the job last ended well.", jobLabel),
		upTo:       d("job_watermark_timestamp_seconds", "The end of the last complete day of usage in what the job did last with success.", jobLabel),
		next:       d("job_next_run_timestamp_seconds", "When the job is due next.", jobLabel),
		overdue:    d("job_overdue", "Whether a slot of the job waits for more than half an hour: 1 or 0.", jobLabel),
		paused:     d("job_paused", "Whether the job is paused: 1 or 0.", jobLabel),
		watermark:  d("archive_watermark_timestamp_seconds", "The end of the last day of which the archive has complete usage."),
		rows:       d("archive_rows", "Rows of the newest version of a table.", "table"),
		bytes:      d("archive_size_bytes", "Size of the files of the newest version of a table.", "table"),
		version:    d("archive_table_version", "Newest version of a table.", "table"),
		disk:       d("disk_free_bytes", "Bytes that are free on the disk that the configuration lies on."),
	}
}

// Describe sends every description.
func (s *scrape) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.build, s.read, s.tick, s.going, s.runs, s.deliveries, s.waiting, s.alarms, s.level, s.success, s.upTo, s.next,
		s.overdue, s.paused, s.watermark, s.rows, s.bytes, s.version, s.disk} {
		out <- d
	}
}

// Collect reads and sends; what cannot be read is left out, and said to be.
func (s *scrape) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
	defer cancel()
	g := gauges{out}
	g.set(s.build, 1, s.c.o.Version)
	if last := s.c.o.Board.lastTick(); !last.IsZero() {
		g.set(s.tick, seconds(last))
	}
	g.set(s.going, float64(len(s.c.o.Board.Running())))
	for source, collect := range map[string]func(context.Context, gauges) error{"status": s.status, "ledger": s.ledger, "archive": s.archive} {
		err := collect(ctx, g)
		if err != nil {
			s.c.o.Log.Error("console: scrape", "source", source, "err", err)
		}
		g.set(s.read, truth(err == nil), source)
	}
}

// gauges sends values.
type gauges struct{ out chan<- prometheus.Metric }

func (g gauges) set(d *prometheus.Desc, value float64, labels ...string) {
	g.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s *scrape) status(ctx context.Context, g gauges) error {
	st, err := s.c.o.Status(ctx)
	if err != nil {
		return err
	}
	g.set(s.level, float64(st.Level))
	g.set(s.alarms, float64(len(st.Alarms)))
	g.set(s.waiting, float64(st.Waiting))
	if st.Watermark != nil {
		g.set(s.watermark, endOf(*st.Watermark))
	}
	if st.DiskFree != nil {
		g.set(s.disk, float64(*st.DiskFree))
	}
	for _, j := range st.Jobs {
		name := s.c.o.Board.counters.label(j.Name)
		if name == otherJobs {
			continue
		}
		if j.Do == "extract" {
			s.c.o.Board.counters.begin(name)
		}
		if j.Success != nil {
			g.set(s.success, seconds(*j.Success), name)
		}
		if j.UpTo != nil {
			g.set(s.upTo, endOf(*j.UpTo), name)
		}
		if len(j.Next) > 0 {
			g.set(s.next, seconds(j.Next[0]), name)
		}
		g.set(s.overdue, truth(j.Overdue != nil), name)
		g.set(s.paused, truth(j.Pause != nil), name)
	}
	return nil
}

func (s *scrape) ledger(ctx context.Context, g gauges) error {
	counts, err := s.c.o.Ledger.RunCounts(ctx)
	if err != nil {
		return err
	}
	type key struct{ job, state string }
	runs := map[key]int{}
	for _, n := range counts { // several jobs may share the label of the others
		runs[key{s.c.o.Board.counters.label(n.Job), string(n.State)}] += n.N
	}
	for k, n := range runs {
		g.set(s.runs, float64(n), k.job, k.state)
	}
	mails, err := s.c.o.Ledger.Counts(ctx, "")
	if err != nil {
		return err
	}
	for _, state := range ledger.DeliveryStates() {
		g.set(s.deliveries, float64(mails[state]), string(state))
	}
	return nil
}

func (s *scrape) archive(ctx context.Context, g gauges) error {
	v, err := s.c.view(ctx)
	if err != nil || v == nil {
		return err
	}
	for _, t := range archive.Tables() {
		if v.Version(t) < 0 {
			continue
		}
		n := totalsOf(v.Parts(t))
		g.set(s.rows, float64(n.rows), string(t))
		g.set(s.bytes, float64(n.bytes), string(t))
		g.set(s.version, float64(v.Version(t)), string(t))
	}
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// endOf is when a day was over, in UTC.
func endOf(d data.Day) float64 { return seconds((d + 1).Time()) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
