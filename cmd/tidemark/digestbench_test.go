//go:build bench

package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBench_AThousandRecipients builds, seals and records the digests of a
// thousand sales agents with their charts, in a process of its own.
func TestBench_AThousandRecipients(t *testing.T) {
	const agents = 1000
	dir := t.TempDir()
	var config strings.Builder
	config.WriteString("source: {kind: sample, customers: 3000, subscriptions: 6000}\nownership: {file: owners.csv}\nrecipients:\n")
	for i := range agents {
		fmt.Fprintf(&config, "  - {address: agent%d@partner.example, role: sales_agent, locale: %s}\n", i, []string{"nl", "en"}[i%2])
	}
	if err := os.WriteFile(filepath.Join(dir, "tidemark.yaml"), []byte(config.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	now := []string{"TIDEMARK_NOW=2026-11-16T07:00:00Z"}
	measured(t, process(dir, now, "extract", "-q"))
	measured(t, process(dir, now, "owners", "template", "--out", "owners.csv"))
	f, err := os.ReadFile(filepath.Join(dir, "owners.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(f), "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var owners strings.Builder
	w := csv.NewWriter(&owners)
	for i, row := range rows {
		if i > 0 {
			row[1] = fmt.Sprintf("agent%d@partner.example", i%agents)
		}
		_ = w.Write(row[:2]) // a builder takes everything
	}
	w.Flush()
	if err := os.WriteFile(filepath.Join(dir, "owners.csv"), []byte(owners.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	wall, cpu, peak := measured(t, process(dir, now, "digest", "--role", "sales_agent", "--period", "latest-7d", "-q"))
	mails, err := filepath.Glob(filepath.Join(dir, "outbox", "*.eml"))
	if err != nil || len(mails) != agents {
		t.Fatalf("%d mails, %v", len(mails), err)
	}
	bytes := int64(0)
	for _, m := range mails {
		if info, err := os.Stat(m); err == nil {
			bytes += info.Size()
		}
	}
	t.Logf("%d recipients in %.1f s, %.1f s CPU: %.1f recipients/s, %.0f KB a mail, peak %d MiB", agents, wall.Seconds(), cpu.Seconds(),
		agents/wall.Seconds(), float64(bytes)/agents/1000, peak>>20)
}
