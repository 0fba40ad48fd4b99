//go:build bench

package main

import (
	"runtime"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestBench_ExtractionFromMicrosoft streams 1 and 10 million rows of rated usage
// from gzip blobs to the committed archive, in a process of its own. The remote
// side makes them up line by line in this process, on the same processors.
func TestBench_ExtractionFromMicrosoft(t *testing.T) {
	t.Logf("%12s %8s %8s %12s %10s", "rows", "wall s", "CPU s", "rows/s", "peak MiB")
	today := time.Now()
	for _, lines := range []int{50, 500} {
		p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 20, Azure: 1900, Lines: lines, Days: 15, BlobsPerDay: 2, Today: today})
		e := newTenant(t, p, fakemicrosoft.Options{Log: -1, Export: fakemicrosoft.ExportOptions{Polls: -1}, Budget: fakemicrosoft.BudgetOptions{Requests: -1}})
		runtime.GC()
		wall, cpu, peak := measured(t, process(e.dir, []string{"TIDEMARK_CLIENT_SECRET=" + e.secret()}, "extract", "-q"))
		rows := int64(0)
		for _, part := range e.parts("usage") {
			rows += part.Rows
		}
		t.Logf("%12d %8.1f %8.1f %12.0f %10d", rows, wall.Seconds(), cpu.Seconds(), float64(rows)/wall.Seconds(), peak>>20)
	}
}
