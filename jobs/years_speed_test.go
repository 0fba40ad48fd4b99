//go:build speed

package jobs

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// The partner of both archives: five hundred subscriptions with up to four categories each.
const (
	yearsCustomers     = 300
	yearsSubscriptions = 500
	yearsCategories    = 4
	yearsDays          = 1096 // three years
	quarterDays        = 92   // three months
)

// newestDay is the last day with usage of both archives, a Sunday.
const newestDay = data.Day(20770)

// hasty is a folder that is written without waiting for the disk.
type hasty struct {
	*archive.Dir
	root string
}

type hastyObject struct {
	bytes.Buffer
	path string
}

func (h hasty) Create(_ context.Context, key string) (archive.Object, error) {
	return &hastyObject{path: filepath.Join(h.root, filepath.FromSlash(key))}, nil
}

func (o *hastyObject) Commit() error {
	if err := os.MkdirAll(filepath.Dir(o.path), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(o.path); err == nil {
		return fmt.Errorf("commit %s: %w", o.path, fs.ErrExist)
	}
	return os.WriteFile(o.path, o.Bytes(), 0o644)
}

func (o *hastyObject) Abort() error { return nil }

// nights makes an archive of one snapshot a night, the newest nights the same whatever their number.
func nights(t *testing.T, days int) string {
	t.Helper()
	root := t.TempDir()
	now := newestDay.Time()
	arc, err := archive.Open(t.Context(), hasty{archive.NewDir(root), root}, archive.Options{Producer: "test", TempDir: t.TempDir(), Now: func() time.Time { now = now.Add(time.Millisecond); return now }})
	if err != nil {
		t.Fatal(err)
	}
	for n := days - 1; n >= 0; n-- {
		day := newestDay - data.Day(n)
		now = (day + 1).Time().Add(2 * time.Hour)
		if err := night(t, arc, day, n == 0 || n%90 == 0); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func night(t *testing.T, arc *archive.Archive, day data.Day, finish bool) error {
	r, err := arc.Begin(t.Context(), archive.RunInfo{ID: "run-" + day.String(), Source: "test"})
	if err != nil {
		return err
	}
	rows := int64(0)
	for s := range yearsSubscriptions {
		for k := range yearsCategories {
			h := uint32(s*2654435761) ^ uint32(day)*2246822519 ^ uint32(k)*3266489917
			h ^= h >> 15
			h *= 2246822519
			h ^= h >> 13
			if h%10 == 0 || s%50 == 7 && day > newestDay-20 {
				continue
			}
			id := data.SubscriptionID(fmt.Sprintf("00000000-0000-4000-8000-%012d", s))
			row := data.Usage{Day: day, CustomerID: data.CustomerID(fmt.Sprintf("customer-%04d", s%yearsCustomers)), SubscriptionID: &id,
				Category: fmt.Sprintf("category %d", (s+k)%12), Currency: []string{"EUR", "USD"}[s%2], ChargeCategory: data.ChargeUsage,
				Quantity: decimal("1.5"), Cost: decimal(fmt.Sprintf("%d.%02d", h%97, h%100))}
			if err := r.AddUsage(row, archive.Feed{Source: "test", Currency: row.Currency}); err != nil {
				return err
			}
			rows++
		}
	}
	d := archive.Delivery{Source: "test", Days: data.Period{From: day, To: day}, RowsIn: rows, RowsOut: rows}
	if _, err := r.CommitUsage(t.Context(), d); err != nil {
		return err
	}
	if _, err := r.Rollup(t.Context(), func(_ context.Context, _ archive.Part, b iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		return transform.Rollup(memory.DefaultAllocator, b)
	}); err != nil {
		return err
	}
	var customers []data.Customer
	for c := range yearsCustomers {
		customers = append(customers, data.Customer{CustomerID: data.CustomerID(fmt.Sprintf("customer-%04d", c)), Name: new(fmt.Sprintf("Customer %d", c)), Source: "test"})
	}
	var subs []data.Subscription
	for s := range yearsSubscriptions {
		subs = append(subs, data.Subscription{SubscriptionID: data.SubscriptionID(fmt.Sprintf("00000000-0000-4000-8000-%012d", s)),
			CustomerID: data.CustomerID(fmt.Sprintf("customer-%04d", s%yearsCustomers)), Status: data.StatusActive})
	}
	inv := archive.Delivery{Source: "test"}
	if _, err := r.CommitCustomers(t.Context(), day+1, customers, inv); err != nil {
		return err
	}
	if _, err := r.CommitSubscriptions(t.Context(), day+1, subs, inv); err != nil {
		return err
	}
	if day.Weekday() == time.Sunday || finish {
		view, err := arc.View(t.Context(), nil)
		if err != nil {
			return err
		}
		if _, err := r.Condense(t.Context(), condensedDays(view.UsageDays()), Condenser()); err != nil {
			return err
		}
	}
	if !finish {
		return r.Abort()
	}
	_, err = r.Finish(t.Context())
	return err
}

// cpuOf is the processor time that something takes, the runtime's own included.
func cpuOf(t *testing.T, do func() error) time.Duration {
	t.Helper()
	of := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	runtime.GC()
	before := of()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return of() - before
}

// took is what one look at an archive took.
type took struct{ replay, wall, metrics, digest time.Duration }

// look opens an archive and computes the metrics of the newest seven days, and those of a
// digest, with their trend.
func look(t *testing.T, root string) (out took) {
	t.Helper()
	spec, err := data.ParsePeriod("latest-7d")
	if err != nil {
		t.Fatal(err)
	}
	var view *archive.View
	start := time.Now()
	out.replay = cpuOf(t, func() error {
		arc, err := archive.Open(t.Context(), archive.NewDir(root), archive.Options{})
		if err == nil {
			view, err = arc.View(t.Context(), nil)
		}
		return err
	})
	out.wall = time.Since(start)
	compute := func(trend bool) func() error {
		return func() error {
			p, err := Load(t.Context(), view, Query{Period: spec, Ref: newestDay + 1, SettleDays: 3, Trend: trend})
			if err != nil {
				return err
			}
			defer p.Release()
			_, err = Figures(p)
			return err
		}
	}
	out.metrics, out.digest = cpuOf(t, compute(false)), cpuOf(t, compute(true))
	return out
}

// TestSpeed_AWeekCostsTheSameAfterYears compares counted processor time over three years of
// nights with that over three months. Each figure is the lower quartile of interleaved runs:
// what else the machine does can only add to it.
func TestSpeed_AWeekCostsTheSameAfterYears(t *testing.T) {
	const runs, aim, limit, aimReplay, limitReplay = 15, 1.2, 1.4, 200 * time.Millisecond, 400 * time.Millisecond // the limit leaves room for what a busy machine adds
	roots := [2]string{nights(t, quarterDays), nights(t, yearsDays)}
	var all [2][]took
	for range runs {
		for i, root := range roots {
			all[i] = append(all[i], look(t, root))
		}
	}
	quartile := func(i int, of func(took) time.Duration) time.Duration {
		var times []time.Duration
		for _, x := range all[i] {
			times = append(times, of(x))
		}
		slices.Sort(times)
		return times[runs/4]
	}
	for _, c := range []struct {
		name string
		of   func(took) time.Duration
	}{
		{"metrics", func(x took) time.Duration { return x.metrics }},
		{"digest", func(x took) time.Duration { return x.digest }},
	} {
		short, long := quartile(0, c.of), quartile(1, c.of)
		ratio := float64(long) / float64(short)
		t.Logf("%-8s three months %v, three years %v: %.2f times, aim %.1f", c.name, short.Round(time.Millisecond), long.Round(time.Millisecond), ratio, aim)
		if ratio > limit {
			t.Errorf("%s over three years cost %.2f times those over three months, at most %.1f are accepted", c.name, ratio, limit)
		}
	}
	wall := slices.MinFunc(all[1], func(a, b took) int { return cmp.Compare(a.wall, b.wall) }).wall
	t.Logf("log replay, three years: %v of processor time, at the fastest %v by the clock, aim %v", quartile(1, func(x took) time.Duration { return x.replay }).Round(time.Millisecond), wall.Round(time.Millisecond), aimReplay)
	if wall > limitReplay {
		t.Errorf("the logs of three years were replayed in %v, at most %v are accepted", wall, limitReplay)
	}
}
