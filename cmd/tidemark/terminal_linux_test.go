package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMetrics_ParquetIsNotWrittenToATerminal runs the command on a
// pseudo-terminal, which the script tests cannot give to stdout.
func TestMetrics_ParquetIsNotWrittenToATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = terminal.Close() }()
	if !isTerminal(terminal) {
		t.Fatal("the pseudo-terminal is none")
	}
	none := filepath.Join(t.TempDir(), "tidemark.yaml")
	for args, refused := range map[string]bool{"--format parquet": true, "--format csv": false, "--format parquet --out x.parquet": false} {
		var errs bytes.Buffer
		code := run(context.Background(), append([]string{"metrics", "--period", "2026-10", "--config", none}, strings.Fields(args)...), environment{
			stdout: terminal, stderr: &errs, getenv: func(string) string { return "" }, now: func() time.Time { return time.Unix(0, 0) }})
		if said := strings.Contains(errs.String(), "--format parquet is binary, and this is a terminal: give --out FILE"); said != refused || code != exitUsage {
			t.Errorf("metrics %s: exit %d, %s", args, code, errs.String())
		}
	}
}
