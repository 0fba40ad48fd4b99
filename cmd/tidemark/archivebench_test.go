//go:build bench

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// measured runs a process and returns its wall time, its CPU time and its peak
// memory.
func measured(t *testing.T, c *exec.Cmd) (wall, cpu time.Duration, peak int64) {
	t.Helper()
	start := time.Now()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(start), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), usage.Maxrss << 10
}

// TestBench_ExtractionToCommittedArchive extracts a sample partner in a process
// of its own, verifies the archive in another, and has DuckDB, where Python has
// it, write the same rows as sorted Parquet by day.
func TestBench_ExtractionToCommittedArchive(t *testing.T) {
	t.Logf("%12s %-28s %8s %8s %12s %10s", "rows", "", "wall s", "CPU s", "rows/s", "peak MiB")
	for _, subscriptions := range []int{3_400, 34_000} {
		dir := t.TempDir()
		config := fmt.Sprintf("source: {kind: sample, customers: %d, subscriptions: %d}\n", subscriptions/5, subscriptions)
		if err := os.WriteFile(filepath.Join(dir, "tidemark.yaml"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		now := []string{"TIDEMARK_NOW=2026-11-16T07:00:00Z"}
		wall, cpu, peak := measured(t, process(dir, now, "extract", "-q"))
		var listing archiveListing
		out, err := process(dir, now, "archive", "ls", "--format", "json").Output()
		if err == nil {
			err = json.Unmarshal(out, &listing)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows, bytes := int64(0), int64(0)
		for _, table := range listing.Tables {
			if bytes += table.Bytes; table.Table == "usage" {
				rows = table.Rows
			}
		}
		line := func(what string, wall, cpu time.Duration, peak int64) {
			t.Logf("%12d %-28s %8.1f %8.1f %12.0f %10d", rows, what, wall.Seconds(), cpu.Seconds(), float64(rows)/wall.Seconds(), peak>>20)
		}
		line("extract, roll up, commit", wall, cpu, peak)
		wall, cpu, peak = measured(t, process(dir, now, "archive", "verify"))
		line(fmt.Sprintf("verify (%.3f GB/s)", float64(bytes)/1e9/wall.Seconds()), wall, cpu, peak)
		wall, cpu, peak = measured(t, process(dir, now, "archive", "verify", "--quick"))
		line("verify --quick", wall, cpu, peak)
		if python := os.Getenv("TIDEMARK_PYTHON"); python != "" {
			sql := fmt.Sprintf(`import duckdb; duckdb.execute("SET threads = 2; COPY (SELECT * FROM read_parquet('%[1]s/archive/usage/*/*.parquet', hive_partitioning = true) ORDER BY customer_id, subscription_id, category, meter_id) TO '%[1]s/duck' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (usage_date))")`, dir)
			wall, cpu, peak = measured(t, exec.Command(python, "-c", sql))
			line("DuckDB: read, sort, write", wall, cpu, peak)
		}
	}
}
