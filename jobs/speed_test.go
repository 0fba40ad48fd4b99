//go:build speed && linux

package jobs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// The bars of this file are ratios of CPU time that processes of their own were counted
// for, so that a busy machine does not decide. Files are those of a partner with 10,000
// subscriptions over 30 days, ten million rows; read four times over they stand for four months,
// forty million. At ten million what the job costs whatever the rows, about 0.1 s, still shows.
const (
	speedDays          = 30
	speedSubscriptions = 10_000
	speedRows          = 334_000 // a day
)

// speedFile writes the usage of one day, sorted as the archive sorts it. A subscription has up
// to eight categories with some meters each; two of three quantities are a whole day's hours.
func speedFile(t *testing.T, name string, day data.Day) {
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := archive.WriteUsageFile(f, speedUsage(day)); err != nil {
		t.Fatal(err)
	}
}

func speedUsage(day data.Day) iter.Seq[data.Usage] {
	random := rand.New(rand.NewPCG(7, uint64(day)))
	amounts := make([]data.Decimal, 4096)
	for i := range amounts {
		amounts[i], _ = data.DecimalFromParts(0, random.Uint64()>>1)
	}
	categories, meters := make([]string, 40), make([]string, 2000)
	for i := range categories {
		categories[i] = fmt.Sprintf("Category %02d", i)
	}
	for i := range meters {
		meters[i] = fmt.Sprintf("%08x-9999-4999-8999-999999999999", i)
	}
	hours, units, currencies := data.DecimalFromInt(24), []string{"1 Hour", "1 GB/Month"}, []string{"EUR", "USD"}
	service, region := "Service", "westeurope"
	return func(yield func(data.Usage) bool) {
		for s := range speedSubscriptions {
			customer := data.CustomerID(fmt.Sprintf("%08x-1111-4222-8333-444455556666", s/5))
			subscription := data.SubscriptionID(fmt.Sprintf("%08x-aaaa-4bbb-8ccc-ddddeeeeffff", s))
			rows := speedRows / speedSubscriptions
			for m := range rows {
				kind := m * (1 + s%8) / rows
				u := data.Usage{
					Day: day, CustomerID: customer, SubscriptionID: &subscription, Category: categories[(s/5+kind)%len(categories)], Service: &service,
					MeterID: &meters[(s*7+m)%len(meters)], Region: &region, Unit: &units[kind%2], Currency: currencies[s/5%7/6],
					ChargeCategory: data.ChargeUsage, Quantity: &hours, Cost: &amounts[(s*7+m)%len(meters)],
				}
				if m%3 == 0 { // part of a day, and a cost like no other
					part, _ := data.DecimalFromParts(0, random.Uint64N(1<<63))
					cost, _ := data.DecimalFromParts(0, random.Uint64N(1<<63)/1000*1000)
					u.Quantity, u.Cost = &part, &cost
				}
				u.EffectiveCost = u.Cost
				if !yield(u) {
					return
				}
			}
		}
	}
}

var (
	speedWork   = flag.String("speed.work", "", "what a process of its own does: pages, bridge or job")
	speedFolder = flag.String("speed.folder", "", "its files")
	speedTimes  = flag.Int("speed.times", 1, "how many times it reads each")
)

// counted is what a process was counted for.
type counted struct {
	cpu  time.Duration
	peak int64 // bytes
}

// measure runs work in a process of its own.
func measure(t *testing.T, work, folder string, times int) counted {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestSpeedWorker$", "-speed.work="+work, "-speed.folder="+folder, fmt.Sprint("-speed.times=", times))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", work, err, out)
	}
	// What the kernel tells the parent may be the peak of the parent itself.
	_, after, _ := strings.Cut(string(out), "VmHWM:")
	var peak int64
	if _, err := fmt.Sscan(after, &peak); err != nil {
		t.Fatalf("%s tells no peak: %s", work, out)
	}
	return counted{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak << 10}
}

// TestSpeedWorker is what measure runs.
func TestSpeedWorker(t *testing.T) {
	var files []string
	for range *speedTimes {
		found, err := filepath.Glob(filepath.Join(*speedFolder, "*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	half := len(files) / 2
	switch *speedWork {
	case "pages":
		byTwo(t, files, func(files []string) error {
			for _, name := range files {
				if err := readPages(name); err != nil {
					return err
				}
			}
			return nil
		})
	case "bridge":
		byTwo(t, files, func(files []string) error {
			for _, err := range scanAll(files, 0)(transform.RawColumns) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	case "job":
		last := data.Day(len(files) - 1)
		in := transform.Inputs{Period: data.Period{From: data.Day(half), To: last}, Watermark: &last,
			Raw: []transform.RawRows{scanAll(files[:half], 0), scanAll(files[half:], data.Day(half))}}
		for d := range last + 1 {
			in.Extracted = append(in.Extracted, d)
		}
		tables, err := transform.Metrics(memory.DefaultAllocator, in)
		if err != nil {
			t.Fatal(err)
		}
		if tables.CostByCustomer.NumRows() < speedSubscriptions/5 {
			t.Fatal("customers are missing")
		}
		tables.Release()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(status))
}

// byTwo has each half of the files read by a worker of its own, as the job does: two threads of
// one core are slower than one.
func byTwo(t *testing.T, files []string, read func(files []string) error) {
	var workers sync.WaitGroup
	for _, share := range [][]string{files[:len(files)/2], files[len(files)/2:]} {
		workers.Go(func() {
			if err := read(share); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
}

// readPages decodes the pages of the columns, and does nothing with them.
func readPages(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(256<<10))
	if err != nil {
		return err
	}
	for _, g := range file.RowGroups() {
		for i, c := range g.ColumnChunks() {
			if !slices.Contains(transform.RawColumns(), file.Schema().Columns()[i][0]) {
				continue
			}
			pages := c.Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return err
				}
				parquet.Release(page)
			}
			if err := pages.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// scanAll reads files, each as the next day.
func scanAll(files []string, day data.Day) transform.RawRows {
	return func(wanted func() []string) iter.Seq2[arrow.Record, error] { return scanWanted(files, day, wanted) }
}

func scanWanted(files []string, day data.Day, wanted func() []string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for i, name := range files {
			f, err := os.Open(name)
			if err != nil {
				yield(nil, err)
				return
			}
			info, err := f.Stat()
			if err != nil {
				yield(nil, err)
				return
			}
			in := archive.File{Name: name, Reader: f, Size: info.Size(), Day: day + data.Day(i)}
			for rec, err := range archive.ScanFile(context.Background(), in, archive.UsageTable, wanted()...) {
				if !yield(rec, err) {
					return
				}
			}
			if err := f.Close(); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// median is the middle of an odd number of values.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func TestSpeed_OfTheJobBesideItsPages(t *testing.T) {
	folder := t.TempDir()
	for d := range data.Day(speedDays) {
		speedFile(t, filepath.Join(folder, fmt.Sprintf("%02d.parquet", d)), d)
	}
	var bridge, job, growth []float64
	var peak int64
	for range 5 {
		pages, scan, four := measure(t, "pages", folder, 4), measure(t, "bridge", folder, 4), measure(t, "job", folder, 4)
		once := measure(t, "job", folder, 1)
		bridge = append(bridge, scan.cpu.Seconds()/pages.cpu.Seconds())
		job = append(job, four.cpu.Seconds()/pages.cpu.Seconds())
		growth = append(growth, four.cpu.Seconds()/once.cpu.Seconds()/4)
		peak = max(peak, four.peak)
		t.Logf("40 million rows: pages %v, bridge %v, job %v, peak %d MiB; 10 million: job %v", pages.cpu, scan.cpu, four.cpu, four.peak>>20, once.cpu)
	}
	for _, bar := range []struct {
		what           string
		is, aim, limit float64 // the limit leaves room for what a busy machine adds
	}{
		{"CPU of the bridge / of decoding the pages alone", median(bridge), 1.4, 1.7},
		{"CPU of the job / of decoding its pages alone", median(job), 2.0, 2.5},
		{"CPU a row of the job, at 40 million rows / at 10 million", median(growth), 1.25, 1.25},
		{"peak memory at 40 million rows, MiB", float64(peak >> 20), 128, 128},
	} {
		t.Logf("%s: %.2f, aim %.2f", bar.what, bar.is, bar.aim)
		if bar.is > bar.limit {
			t.Errorf("%s: %.2f, more than %.2f", bar.what, bar.is, bar.limit)
		}
	}
}
