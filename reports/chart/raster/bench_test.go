//go:build bench

package raster

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rounds is how often each kind of chart is drawn.
const rounds = 25

// alone makes this test binary draw and do nothing else.
const alone = "TIDEMARK_TEST_DRAW"

// TestBench_AgainstChromium draws the same charts here, in a process of its own
// that draws nothing twice, and in a browser, and prints the CPU time of each
// picture and the peak memory, of the browser as the sum of its processes. It fails above
// half of the browser's CPU time or a quarter of its memory.
func TestBench_AgainstChromium(t *testing.T) {
	if os.Getenv(alone) != "" {
		r := renderer(t, Options{Engines: 1})
		for range rounds {
			for name, d := range drawings(t) {
				if _, err := r.draw(t.Context(), option(t, d), 600, 300); err != nil {
					t.Fatal(name, err)
				}
			}
		}
		return
	}
	kinds := drawings(t)
	n := float64(rounds * len(kinds))
	c := exec.Command(os.Args[0], "-test.run=^TestBench_AgainstChromium$")
	c.Env = append(os.Environ(), alone+"=1")
	start := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wall := time.Since(start)
	ours := (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds() / n
	ourPeak := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	t.Logf("%-34s %6.0f ms CPU a picture, %5.0f ms wall, peak %4d MiB", "here, start and compile included", 1000*ours, 1000*wall.Seconds()/n, ourPeak>>20)

	var peak int64
	cpu := map[int]float64{} // seconds of each process of the browser, as last seen
	start = time.Now()
	t.Run("browser", func(t *testing.T) {
		ctx := chromium(t)
		for range rounds {
			for _, d := range kinds {
				inChromium(t, ctx, option(t, d), 600, 300)
				peak = max(peak, below(t, os.Getpid(), cpu))
			}
		}
	})
	wall = time.Since(start)
	theirs := 0.0
	for _, seconds := range cpu {
		theirs += seconds / n
	}
	t.Logf("%-34s %6.0f ms CPU a picture, %5.0f ms wall, peak %4d MiB", "Chromium, its start included", 1000*theirs, 1000*wall.Seconds()/n, peak>>20)
	t.Logf("CPU %.2f of Chromium's, memory %.2f; %d pictures, %s, %d cores", ours/theirs, float64(ourPeak)/float64(peak), int(n), runtime.Version(), runtime.NumCPU())
	if ours > theirs/2 || ourPeak > peak/4 {
		t.Error("a picture may take half of Chromium's CPU time and a quarter of its memory")
	}
}

// below is the memory of all processes that a process started, shared pages
// counted once; their CPU times so far are put into cpu.
func below(t *testing.T, root int, cpu map[int]float64) (sum int64) {
	t.Helper()
	parents, seconds := map[int]int{}, map[int]float64{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		parents[pid], _ = strconv.Atoi(fields[1])
		for _, ticks := range fields[11:13] { // of a hundredth of a second, as Linux counts for programs
			v, _ := strconv.ParseFloat(ticks, 64)
			seconds[pid] += v / 100
		}
	}
	for pid := range parents {
		for p := parents[pid]; p > 1; p = parents[p] {
			if p == root {
				sum += pss(pid)
				cpu[pid] = seconds[pid]
				break
			}
		}
	}
	return sum
}

func pss(pid int) (bytes int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0 // it has ended
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), "Pss:"); found {
			kib, _ := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			bytes = kib << 10
		}
	}
	return bytes
}
