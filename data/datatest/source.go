// Package datatest holds what every implementation of the interfaces of package
// data must pass. Only tests import it.
package datatest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

// TestSource checks that a source keeps the contract of data.UsageSource and,
// if it implements it, of data.InventorySource. open returns a source with at
// least two days of usage and six rows; it may be called any number of times
// and must then give the same rows. The tests must not run in parallel with
// others of the package, since they look at the files that the process has open.
func TestSource(t *testing.T, open func(t *testing.T) data.UsageSource) {
	t.Run("kind is a name in lower case", func(t *testing.T) {
		if kind := open(t).Kind(); kind == "" || kind != data.CleanID(kind) {
			t.Errorf("Kind() = %q", kind)
		}
	})
	t.Run("usage", func(t *testing.T) { testUsage(t, open) })
	source, ok := open(t).(data.InventorySource)
	if !ok {
		return
	}
	t.Run("customers", func(t *testing.T) {
		testSequence(t, source.Customers)
		testCustomers(t, read(t, source.Customers))
	})
	t.Run("subscriptions", func(t *testing.T) {
		testSequence(t, source.Subscriptions)
		testSubscriptions(t, read(t, source.Subscriptions))
	})
}

// sequence is a method of a source that yields rows.
type sequence[T any] func(context.Context, *data.Tally) iter.Seq2[T, error]

// item is one step of a sequence.
type item[T any] struct {
	Row T
	Err string
}

// read collects a sequence and checks what holds for every one of them.
func read[T any](t *testing.T, rows sequence[T]) []item[T] {
	t.Helper()
	var all []item[T]
	var tally data.Tally
	for row, err := range rows(t.Context(), &tally) {
		it := item[T]{Row: row}
		if err != nil {
			var bad *data.RowError
			if !errors.As(err, &bad) {
				t.Fatalf("the sequence ends with %v", err)
			}
			if bad.File == "" || bad.Line < 1 || bad.Reason == "" || !utf8.ValidString(bad.Value) {
				t.Errorf("incomplete row error %+v", bad)
			}
			it.Err = err.Error()
		}
		all = append(all, it)
	}
	if tally.Read != int64(len(all)) {
		t.Errorf("tally.Read = %d after %d rows and row errors", tally.Read, len(all))
	}
	if tally.TotalBytes != 0 && tally.Bytes != tally.TotalBytes {
		t.Errorf("tally.Bytes = %d of %d after the last row", tally.Bytes, tally.TotalBytes)
	}
	return all
}

// testSequence checks repetition, an early end and a cancelled context.
func testSequence[T any](t *testing.T, rows sequence[T]) {
	t.Run("two readings give the same rows in the same order", func(t *testing.T) {
		if diff := cmp.Diff(read(t, rows), read(t, rows)); diff != "" {
			t.Errorf("first reading -, second reading +:\n%s", diff)
		}
	})
	t.Run("a range loop may end early and leaves no file open", func(t *testing.T) {
		before := openFiles(t)
		for _, err := range rows(t.Context(), new(data.Tally)) {
			if bad := (*data.RowError)(nil); err != nil && !errors.As(err, &bad) {
				t.Errorf("the sequence begins with %v", err)
			}
			break
		}
		if left := openFiles(t); !slices.Equal(left, before) {
			t.Errorf("open files before: %q, after: %q", before, left)
		}
	})
	t.Run("a full reading leaves no file open", func(t *testing.T) {
		before := openFiles(t)
		read(t, rows)
		if left := openFiles(t); !slices.Equal(left, before) {
			t.Errorf("open files before: %q, after: %q", before, left)
		}
	})
	t.Run("a cancelled context ends the sequence with its error", func(t *testing.T) {
		for _, after := range []int{0, 1} {
			if err := cancelAfter(t, rows, after); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled after %d rows: the sequence ends with %v", after, err)
			}
		}
	})
}

// cancelAfter reads some rows, cancels, and returns the error that follows.
func cancelAfter[T any](t *testing.T, rows sequence[T], n int) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n == 0 {
		cancel()
	}
	var last error
	seen := 0
	for _, err := range rows(ctx, new(data.Tally)) {
		last = err
		if seen++; seen == n {
			cancel()
		}
		if seen > n+1 {
			t.Errorf("the sequence goes on after it was cancelled")
			break
		}
	}
	return last
}

// openFiles lists the regular files and folders that the process has open.
func openFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatalf("list open files: %v", err)
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/dev/fd", e.Name()))
		if err != nil || strings.HasPrefix(target, "/dev/") || strings.HasPrefix(target, "/proc/") {
			continue // closed meanwhile, or the listing itself
		}
		if info, err := os.Stat(target); err == nil && (info.Mode().IsRegular() || info.IsDir()) {
			open = append(open, target)
		}
	}
	slices.Sort(open)
	return open
}

func testUsage(t *testing.T, open func(t *testing.T) data.UsageSource) {
	usage := func(want *data.Period) sequence[data.Usage] {
		return func(ctx context.Context, tally *data.Tally) iter.Seq2[data.Usage, error] {
			return open(t).Usage(ctx, want, tally)
		}
	}
	testSequence(t, usage(nil))
	all := read(t, usage(nil))
	days := map[data.Day]bool{}
	for _, it := range all {
		if it.Err == "" {
			days[it.Row.Day] = true
			checkUsage(t, it.Row)
		}
	}
	if len(days) < 2 || len(all) < 6 {
		t.Fatalf("the source has %d rows of %d days: too few to test with", len(all), len(days))
	}
	t.Run("two sources give the same rows", func(t *testing.T) {
		if diff := cmp.Diff(all, read(t, usage(nil))); diff != "" {
			t.Errorf("first source -, second source +:\n%s", diff)
		}
	})
	t.Run("a window gives the rows of its days and no others", func(t *testing.T) {
		for _, want := range windows(days) {
			checkWindow(t, all, want, read(t, usage(&want)))
		}
	})
}

// windows returns some periods: each end, the middle, and one beside them all.
func windows(days map[data.Day]bool) []data.Period {
	var sorted []data.Day
	for d := range days {
		sorted = append(sorted, d)
	}
	slices.Sort(sorted)
	first, middle, last := sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]
	return []data.Period{
		{From: first, To: first}, {From: middle, To: middle}, {From: last, To: last},
		{From: middle, To: last}, {From: first - 1000, To: last + 1000}, {From: last + 1000, To: last + 1001},
	}
}

// checkWindow compares good rows only: a bad row may be bad because of its day.
func checkWindow(t *testing.T, all []item[data.Usage], want data.Period, got []item[data.Usage]) {
	t.Helper()
	inside := func(items []item[data.Usage], p data.Period) []data.Usage {
		var rows []data.Usage
		for _, it := range items {
			if it.Err == "" && p.Contains(it.Row.Day) {
				rows = append(rows, it.Row)
			}
		}
		return rows
	}
	everything := data.Period{From: -1 << 31, To: 1<<31 - 1}
	if diff := cmp.Diff(inside(all, want), inside(got, everything)); diff != "" {
		t.Errorf("window %s: filtered -, asked for +:\n%s", want, diff)
	}
}

func checkUsage(t *testing.T, u data.Usage) {
	t.Helper()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Errorf("row of %s, customer %q: %s", u.Day, u.CustomerID, fmt.Sprintf(format, args...))
	}
	if back, err := data.ParseDay(u.Day.String()); err != nil || back != u.Day {
		bad("the day is not a calendar day")
	}
	if u.CustomerID == "" || data.CleanID(string(u.CustomerID)) != string(u.CustomerID) {
		bad("the customer is not a clean id")
	}
	if s := u.SubscriptionID; s != nil && (*s == "" || data.CleanID(string(*s)) != string(*s)) {
		bad("subscription %q is not a clean id", *s)
	}
	if m := u.MeterID; m != nil && data.CleanID(*m) != *m {
		bad("meter %q is not a clean id", *m)
	}
	if scope := u.Origin.Scope; scope != data.CleanID(scope) {
		bad("scope %q is not a clean id", scope)
	}
	if c, err := data.ParseChargeCategory(string(u.ChargeCategory)); err != nil || c != u.ChargeCategory {
		bad("charge category %q", u.ChargeCategory)
	}
	if (u.Cost != nil || u.EffectiveCost != nil) && len(u.Currency) != 3 || u.Currency != strings.ToUpper(u.Currency) {
		bad("a cost in the currency %q", u.Currency)
	}
	for _, s := range []*string{&u.Category, u.Service, u.Region, u.Unit, u.BillingPeriod, u.Origin.CustomerName, u.Origin.SubscriptionName} {
		if s != nil && !utf8.ValidString(*s) {
			bad("%q is not UTF-8", *s)
		}
	}
	for _, s := range []*string{u.Service, u.MeterID, u.Region, u.Unit, u.BillingPeriod, u.Origin.CustomerName, u.Origin.SubscriptionName} {
		if s != nil && *s == "" {
			bad("an unknown text is empty instead of nil")
		}
	}
}

func testCustomers(t *testing.T, items []item[data.Customer]) {
	seen := map[data.CustomerID]bool{}
	for _, it := range items {
		if it.Err != "" {
			continue
		}
		id := it.Row.CustomerID
		if id == "" || data.CleanID(string(id)) != string(id) || seen[id] {
			t.Errorf("customer %q: the id is empty, not clean or there twice", id)
		}
		seen[id] = true
	}
	if len(seen) == 0 {
		t.Errorf("the source has no customers to test with")
	}
}

func testSubscriptions(t *testing.T, items []item[data.Subscription]) {
	seen := map[data.SubscriptionID]bool{}
	for _, it := range items {
		if it.Err != "" {
			continue
		}
		s := it.Row
		if id := string(s.SubscriptionID); id == "" || data.CleanID(id) != id || seen[s.SubscriptionID] {
			t.Errorf("subscription %q: the id is empty, not clean or there twice", id)
		}
		if id := string(s.CustomerID); id == "" || data.CleanID(id) != id {
			t.Errorf("subscription %q: customer %q is not a clean id", s.SubscriptionID, id)
		}
		if status, err := data.ParseStatus(string(s.Status)); err != nil || status != s.Status {
			t.Errorf("subscription %q: status %q", s.SubscriptionID, s.Status)
		}
		if (s.Created == nil) != (s.CreatedBasis == nil) {
			t.Errorf("subscription %q: creation day and basis do not go together", s.SubscriptionID)
		}
		if s.FirstUsage != nil || s.LastUsage != nil {
			t.Errorf("subscription %q: usage days are not a source's to tell", s.SubscriptionID)
		}
		seen[s.SubscriptionID] = true
	}
	if len(seen) == 0 {
		t.Errorf("the source has no subscriptions to test with")
	}
}
