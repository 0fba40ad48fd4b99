//go:build deploy

package main

import (
	"os"
	"os/exec"
	"path/filepath"
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
