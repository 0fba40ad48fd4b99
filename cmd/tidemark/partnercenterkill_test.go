//go:build kill

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidemark/data/archive"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestKill_AnExtractionAtEveryTenthRequest kills the program, without warning,
// while every tenth request of its run is answered, and starts it again, until a
// run ends. The archive then is that of a run that nobody killed; nothing was
// read twice but what was on its way.
func TestKill_AnExtractionAtEveryTenthRequest(t *testing.T) {
	o := fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Budget: fakemicrosoft.BudgetOptions{Requests: -1}}
	today := time.Now()
	calm := newTenant(t, smallTenant(today), o)
	calm.must("extract")

	e := newTenant(t, smallTenant(today), o)
	e.server.Forget()
	kills := 0
	for ended := false; !ended; {
		if kills > 100 {
			t.Fatal("killed a hundred times without an end")
		}
		cmd := process(e.dir, []string{"TIDEMARK_CLIENT_SECRET=" + e.secret()}, "extract")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		e.server.ClearScript()
		e.server.Script(fakemicrosoft.Fault{Name: "kill", Nth: 10, Edit: func(b []byte) []byte {
			kills++
			if err := cmd.Process.Kill(); err != nil {
				t.Errorf("kill: %v", err)
			}
			return b
		}})
		err := cmd.Run()
		ended = err == nil
		if !ended && !strings.Contains(err.Error(), "killed") {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	t.Logf("%d kills", kills)
	if kills < 5 {
		t.Errorf("%d kills are too few to show anything", kills)
	}
	const parallel = 4 // requests that may be on their way
	twice := 0
	n := map[string]int{}
	for _, r := range e.server.Requests() {
		if r.Host == fakemicrosoft.Login || strings.Contains(r.Path, "/operations/") || strings.Contains(r.Path, "/manifests/") {
			continue
		}
		key := strings.Join([]string{r.Host, r.Method, r.Path, r.Query, r.Header.Get("MS-ContinuationToken")}, " ")
		if n[key]++; n[key] > 1 {
			twice++
		}
	}
	if twice > parallel*kills {
		t.Errorf("%d things were read again after %d kills", twice, kills)
	}
	t.Logf("%d of %d things were read again", twice, len(n))
	if got, want := e.content(), calm.content(); got != want {
		t.Errorf("the archive differs from that of a run that nobody killed:\n%s\nwant:\n%s", got, want)
	}
	e.must("archive", "verify")
	if left, err := filepath.Glob(filepath.Join(e.dir, "work", "blobs", "*")); err != nil || len(left) > 0 {
		t.Errorf("left in the work folder: %q, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(e.dir, "work", "answers.jsonl")); err == nil {
		t.Error("the checkpoint is still there")
	}
}

// content is what the archive holds: days, feeds, rows and content hashes.
func (e *tenant) content() string {
	e.t.Helper()
	var lines []string
	for _, table := range []archive.Table{archive.UsageTable, archive.UsageDaily, archive.Customers, archive.Subscriptions} {
		for _, p := range e.parts(table) {
			lines = append(lines, fmt.Sprintf("%s %s %s %s: %d rows, %s", table, p.Day, p.Feed, p.BillingPeriod, p.Rows, p.ContentSHA256))
		}
	}
	return strings.Join(lines, "\n")
}
