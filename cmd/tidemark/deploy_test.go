//go:build deploy

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDeploy_Units has systemd itself read the units, with the program where they look for
// it, and rate how much they leave open.
func TestDeploy_Units(t *testing.T) {
	base := t.TempDir()
	units := filepath.Join(base, "etc", "systemd", "system")
	bin := filepath.Join(base, "usr", "local", "bin")
	for _, dir := range []string{units, bin, filepath.Join(base, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{filepath.Join(bin, "tidemark"), filepath.Join(base, "bin", "kill")} {
		if err := os.WriteFile(program, []byte("#!/bin/true\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	targets := []string{"multi-user.target", "network-online.target", "time-sync.target", "timers.target", "sysinit.target", "basic.target", "shutdown.target", "time-set.target", "umount.target"}
	for _, target := range targets {
		if err := os.WriteFile(filepath.Join(units, target), []byte("[Unit]\nDescription="+target+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{"tidemark.service": "tidemark.service", "tidemark@.service": "tidemark@nightly.service", "tidemark@.timer": "tidemark@nightly.timer"} {
		b, err := os.ReadFile(filepath.Join("deploy", from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(units, to), b, 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "--root="+base, to).CombinedOutput()
		if err != nil || strings.Contains(string(out), to+":") {
			t.Errorf("verify %s: %v\n%s", from, err, out)
		}
		if strings.HasSuffix(from, ".timer") {
			continue
		}
		// The threshold is ten times the exposure, of which 10 is the worst.
		out, err = exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", filepath.Join(units, to)).CombinedOutput()
		if err != nil {
			t.Errorf("security of %s: %v\n%s", from, err, out)
		}
	}
}

// TestDeploy_AlertRules has Prometheus' own tool read the rules that the docs show, and
// tell which of them fire over series as they look once they are scraped.
func TestDeploy_AlertRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/web.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile("(?s)```yaml\n(groups:\n.*?)```").FindSubmatch(page)
	if rules == nil {
		t.Fatal("docs/web.md has no alert rules")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), rules[1], 0o644); err != nil {
		t.Fatal(err)
	}
	const scraped = `instance="127.0.0.1:8440", job="tidemark"`
	series := func(name, labels, values string) string {
		return "      - {series: '" + name + "{" + labels + "}', values: '" + values + "'}\n"
	}
	fires := func(alert, labels string) string {
		return "      - {eval_time: 2d, alertname: " + alert + ", exp_alerts: [{exp_labels: {alertname: " + alert + labels + "}}]}\n"
	}
	quiet := func(alert string) string {
		return "      - {eval_time: 2d, alertname: " + alert + ", exp_alerts: []}\n"
	}
	const from = `, instance: "127.0.0.1:8440", job: tidemark`
	wrong := series("up", scraped, "0x2880") + series("tidemark_source_readable", scraped+`, source="ledger"`, "0x2880") + series("tidemark_status_level", scraped, "2x2880") +
		series("tidemark_job_last_success_timestamp_seconds", scraped+`, job_name="nightly"`, "0x2880") + series("tidemark_job_last_success_timestamp_seconds", scraped+`, job_name="weekly-sales"`, "-600000x2880") +
		series("tidemark_archive_watermark_timestamp_seconds", scraped, "-600000x2880") + series("tidemark_job_overdue", scraped+`, job_name="nightly"`, "1x2880") +
		series("tidemark_job_paused", scraped+`, job_name="nightly"`, "0x2880") + series("tidemark_deliveries", scraped+`, state="bounced"`, "1x2880") +
		series("tidemark_quarantined_rows_total", scraped+`, job_name="nightly", table="usage"`, "0x2000 3x880") + series("tidemark_disk_free_bytes", scraped, "1000x2880")
	alarms := fires("TidemarkDown", from) + fires("TidemarkCannotRead", from+", source: ledger") + fires("TidemarkCritical", from) + fires("TidemarkNightlyTooOld", from+", job_name: nightly") +
		fires("TidemarkWeeklyTooOld", from+", job_name: weekly-sales") + fires("TidemarkUsageTooOld", from) + fires("TidemarkOverdue", from+", job_name: nightly") +
		fires("TidemarkMailNeedsAPerson", from+", state: bounced") + fires("TidemarkQuarantine", from+", job_name: nightly, table: usage") + fires("TidemarkDiskFull", from)
	well := series("up", scraped, "1x2880") + series("tidemark_source_readable", scraped+`, source="ledger"`, "1x2880") + series("tidemark_status_level", scraped, "0x2880") +
		series("tidemark_scheduler_last_tick_timestamp_seconds", scraped, "0+60x2880") + series("tidemark_job_last_success_timestamp_seconds", scraped+`, job_name="nightly"`, "90000x2880") +
		series("tidemark_job_last_success_timestamp_seconds", scraped+`, job_name="weekly-sales"`, "0x2880") + series("tidemark_archive_watermark_timestamp_seconds", scraped, "0x2880") +
		series("tidemark_job_overdue", scraped+`, job_name="nightly"`, "1x2880") + series("tidemark_job_paused", scraped+`, job_name="nightly"`, "1x2880") +
		series("tidemark_deliveries", scraped+`, state="sent"`, "9x2880") + series("tidemark_quarantined_rows_total", scraped+`, job_name="nightly", table="usage"`, "0x2880") +
		series("tidemark_disk_free_bytes", scraped, "9000000000x2880")
	var none string
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules[1]), -1) {
		none += quiet(alert[1])
		if !strings.Contains(alarms, "alertname: "+alert[1]+",") {
			t.Errorf("alert %s is tried by nothing", alert[1])
		}
	}
	tests := "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n" + wrong + "    alert_rule_test:\n" + alarms +
		"  - interval: 1m\n    input_series:\n" + well + "    alert_rule_test:\n" + none
	if err := os.WriteFile(filepath.Join(dir, "tests.yml"), []byte(tests), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "test", "rules", filepath.Join(dir, "tests.yml")).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
