//go:build kill

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data/archive"
)

// tablesDir writes a small partner; cost is what is restated.
func tablesDir(t *testing.T, dir, config string, days []string, cost int) {
	t.Helper()
	usage := "usage_date,customer_id,subscription_id,category,quantity,cost,currency\n"
	for i, d := range days {
		usage += fmt.Sprintf("%s,c1,s1,Storage,1,%d.5,EUR\n%[1]s,c2,s2,Compute,1,%[3]d,USD\n", d, cost+i, i)
	}
	for name, text := range map[string]string{"tidemark.yaml": config, "in/usage.csv": usage, "in/customers.csv": "customer_id,name\nc1,One\nc2,Two\n",
		"in/subscriptions.csv": "subscription_id,customer_id,status\ns1,c1,active\ns2,c2,active\n"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

const killConfig = "source: {kind: tables, path: ./in, settle_days: 0}\nrecipients: [{address: ada@partner.example, role: admin_agent}]\n"

// contentOf is what the newest version of every table says, apart from paths.
func contentOf(t *testing.T, dir string) []string {
	t.Helper()
	a, err := archive.Open(t.Context(), archive.NewDir(filepath.Join(dir, "archive")), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.View(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, table := range archive.DataTables() {
		for _, p := range v.Parts(table) {
			lines = append(lines, fmt.Sprintf("%s %s %s %d %s", table, p.Day, p.Feed, p.Rows, p.ContentSHA256))
		}
	}
	return lines
}

// leftovers checks that what a run that died left is nothing but what a run
// begins before its commit.
func leftovers(t *testing.T, step, dir string) {
	t.Helper()
	orphans, err := archive.Orphans(t.Context(), archive.NewDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orphans {
		if !slices.Contains([]string{"unfinished", "no commit added it", "no row names it", "of a run that neither committed nor has a record"}, o.Why) {
			t.Errorf("died %s, left %s: %s", step, o.Key, o.Why)
		}
	}
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestKill_AtEveryStepOfAnExtractionAndADigest ends the program at every step at
// which it writes into the archive, and has a clean run heal what is left.
func TestKill_AtEveryStepOfAnExtractionAndADigest(t *testing.T) {
	seed := t.TempDir()
	days := []string{"2026-11-08", "2026-11-09", "2026-11-10"}
	tablesDir(t, seed, killConfig, days, 1)
	now := []string{"TIDEMARK_NOW=2026-11-16T07:00:00Z"}
	must := func(dir string, args ...string) {
		t.Helper()
		if out, err := process(dir, now, args...).CombinedOutput(); err != nil {
			t.Fatalf("tidemark %v: %v\n%s", args, err, out)
		}
	}
	must(seed, "extract")
	tablesDir(t, seed, killConfig, append(days, "2026-11-11"), 2)
	for _, command := range [][]string{{"extract"}, {"digest", "--role", "admin_agent", "--period", "latest-7d"}} {
		good := copyDir(t, seed)
		must(good, command...)
		want := contentOf(t, good)
		var steps []string
		for n := 1; ; n++ {
			dir := copyDir(t, seed)
			out, err := process(dir, append(now, fmt.Sprintf("%s=%d", dieAt, n)), command...).CombinedOutput()
			var exit *exec.ExitError
			if err == nil {
				break // it did not come to an nth step
			}
			_, step, died := strings.Cut(string(out), "dies ")
			if !errors.As(err, &exit) || exit.ExitCode() != 137 || !died {
				t.Fatalf("step %d: %v\n%s", n, err, out)
			}
			steps = append(steps, strings.TrimSpace(step))
			must(dir, command...)
			if diff := cmp.Diff(want, contentOf(t, dir)); diff != "" {
				t.Errorf("died %s, after a clean run (-want +got):\n%s", step, diff)
			}
			found, err := archive.Verify(t.Context(), archive.NewDir(filepath.Join(dir, "archive")), archive.VerifyOptions{})
			if err != nil || !found.OK() {
				t.Errorf("died %s: %v %v", step, err, found.Findings)
			}
			leftovers(t, step, filepath.Join(dir, "archive"))
		}
		if len(steps) < 15 {
			t.Errorf("%v: only %d steps", command, len(steps))
		}
		t.Logf("%v was ended at %d steps, from %q to %q", command, len(steps), steps[0], steps[len(steps)-1])
	}
}

// TestKill_TwoExtractionsAtOnce lets two processes extract into one archive, of
// the same days and of different ones: each ends well or says that the other was
// faster, and the archive has what the last that ended well delivered.
func TestKill_TwoExtractionsAtOnce(t *testing.T) {
	clean, refused := 0, 0
	for round := range 12 {
		dirs := [2]string{t.TempDir(), t.TempDir()}
		shared := filepath.Join(t.TempDir(), "archive")
		for i, dir := range dirs {
			days := []string{"2026-11-08", "2026-11-09", "2026-11-10"}
			if round%2 == 1 && i == 1 {
				days = []string{"2026-11-11", "2026-11-12"}
			}
			tablesDir(t, dir, killConfig+"archive: {path: "+shared+"}\n", days, 10*i+round)
		}
		var both [2]*exec.Cmd
		var outs [2]bytes.Buffer
		for i, dir := range dirs {
			both[i] = process(dir, []string{"TIDEMARK_NOW=" + time.Date(2026, 11, 16, 7, i, 0, 0, time.UTC).Format(time.RFC3339)}, "extract")
			both[i].Stdout, both[i].Stderr = &outs[i], &outs[i]
			if err := both[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		ended := map[string]bool{}
		for i, c := range both {
			if err := c.Wait(); err == nil {
				clean++
				ended[dirs[i]] = true
			} else if strings.Contains(outs[i].String(), "run again") {
				refused++
			} else {
				t.Errorf("round %d: %v\n%s", round, err, &outs[i])
			}
		}
		if len(ended) == 0 {
			t.Errorf("round %d: neither came through:\n%s%s", round, &outs[0], &outs[1])
		}
		for _, dir := range slices.Sorted(maps.Keys(ended)) {
			if out, err := process(dir, nil, "archive", "verify", "--quick").CombinedOutput(); err != nil {
				t.Errorf("round %d: %v\n%s", round, err, out)
			}
		}
		// Each, run again alone, comes through and finds its rows unchanged or restates them.
		for _, dir := range dirs {
			if out, err := process(dir, nil, "extract").CombinedOutput(); err != nil {
				t.Errorf("round %d: again: %v\n%s", round, err, out)
			}
		}
		if out, err := process(dirs[0], nil, "archive", "verify").CombinedOutput(); err != nil {
			t.Errorf("round %d: %v\n%s", round, err, out)
		}
	}
	t.Logf("of 24 runs side by side %d came through and %d were told to run again", clean, refused)
}
