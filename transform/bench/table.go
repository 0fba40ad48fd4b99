package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine says where and with what it was measured.
type machine struct {
	cores     int
	model     string // of the processor
	goVersion string
	duckDB    string
	day       time.Time
	floor     int64  // peak of a process that does nothing, bytes
	load      string // average over the last minute
}

func thisMachine(now time.Time, duckDB string, floor int64) machine {
	return machine{cores: runtime.NumCPU(), model: processor(), goVersion: runtime.Version(), duckDB: duckDB, day: now, floor: floor, load: load()}
}

// processor returns the model of the processor, as far as Linux tells it.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(b)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// load returns the load average of the last minute: what other work there was.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	minute, _, _ := strings.Cut(string(b), " ")
	return minute
}

// report prints the table.
func report(w io.Writer, m machine, outcomes []outcome) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d cores of %s, load %s at the end; %s, DuckDB %s. Both sides on %d threads, medians of %d pairs run by turns; ratios are medians of the\n"+
		"ratios pair by pair. A process that does nothing has a peak of %d MiB.\n\n",
		m.day.Format("2 January 2006"), m.cores, m.model, m.load, m.goVersion, m.duckDB, threads, len(outcomes[0].pairs), m.floor>>20)
	b.WriteString("| | rows | subscriptions | MB | ours: wall s | CPU s | peak MiB | M rows/s | DuckDB's fastest shape | wall s | CPU s | peak MiB | wall | CPU | memory | bars | |\n")
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |\n")
	for _, o := range outcomes {
		ours := medianCost(o.pairs, func(p pair) cost { return p.ours })
		theirs := medianCost(o.pairs, func(p pair) cost { return p.theirs })
		r := medianRatio(o.pairs)
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %.2f | %.2f | %d | %.1f | %s | %.2f | %.2f | %d | %.2f | %.2f | %.2f | %s | %s |\n",
			o.what, thousands(o.stored.Stored), thousands(int64(o.stored.Shape.Subscriptions)), o.stored.Bytes/1e6,
			ours.wall.Seconds(), ours.cpu.Seconds(), ours.peak>>20, float64(o.stored.Stored)/1e6/ours.wall.Seconds(),
			o.shape, theirs.wall.Seconds(), theirs.cpu.Seconds(), theirs.peak>>20, r.wall, r.cpu, r.peak, o.bar, o.verdict())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String lists the bars that there are, e.g. "wall <= 0.35, CPU <= 0.30".
func (r ratio) String() string {
	var parts []string
	for _, p := range []struct {
		name string
		most float64
	}{{"wall", r.wall}, {"CPU", r.cpu}, {"memory", r.peak}} {
		if p.most > 0 {
			parts = append(parts, fmt.Sprintf("%s ≤ %.2f", p.name, p.most))
		}
	}
	return strings.Join(parts, ", ")
}

// verdict says whether every bar holds, and else which do not.
func (o outcome) verdict() string {
	got, bar := medianRatio(o.pairs), o.bar
	var missed []string
	for _, p := range []struct {
		name      string
		got, most float64
	}{{"wall", got.wall, bar.wall}, {"CPU", got.cpu, bar.cpu}, {"memory", got.peak, bar.peak}} {
		if p.most > 0 && p.got > p.most {
			missed = append(missed, p.name)
		}
	}
	switch {
	case bar == (ratio{}):
		return "no bars"
	case missed == nil:
		return "holds"
	}
	return "misses " + strings.Join(missed, ", ")
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
