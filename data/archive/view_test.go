package archive

import (
	"context"
	"iter"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

// racing is a Bucket in which another run commits while somebody looks.
type racing struct {
	Bucket
	at   string
	race func()
}

func (r *racing) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	if race := r.race; prefix == r.at && race != nil {
		r.race = nil
		race()
	}
	return r.Bucket.List(ctx, prefix)
}

// TestView_IsAStateThatTheArchiveWasIn has a run commit to two tables while a view
// is between them.
func TestView_IsAStateThatTheArchiveWasIn(t *testing.T) {
	f, b := museum(t)
	slow := &racing{Bucket: b}
	a, err := Open(t.Context(), slow, Options{})
	if err != nil {
		t.Fatal(err)
	}
	slow.at, slow.race = logFolder(Subscriptions), func() {
		r := f.begin()
		if _, err := r.CommitCustomers(t.Context(), day("2026-11-24"), []data.Customer{customer("a", "a")}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.usage(Delivery{Source: "tables", Days: days("2026-11-24", "2026-11-24")}, row("2026-11-24", "a", "3"))
	}
	v, err := a.View(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if seals := verifyMuseum(t, b).Seals; !slices.ContainsFunc(seals, func(s Sealed) bool { return s.Seal == v.Seal() }) {
		t.Errorf("the archive was never in the state of the view, %v", v.Versions())
	}
}

// withLikeDays is an archive with 8 files of as many days, each with the same rows. Some have no
// quantity: a page of such is copied.
func withLikeDays(t *testing.T) (f *fixture, rows []data.Usage) {
	f = newFixture(t, NewMemory())
	for d := day("2026-11-01"); d <= day("2026-11-08"); d++ {
		for i, u := range manyRows(5_000) {
			if u.Day = d; i%3 == 0 {
				u.Quantity = nil
			}
			rows = append(rows, u)
		}
	}
	f.usage(Delivery{Source: "tables", Days: days("2026-11-01", "2026-11-08")}, rows...)
	return f, rows
}

// Records that are kept while the files after theirs are read over the memory of those that are not.
func TestViewScan_KeptRecordsOutliveTheirFiles(t *testing.T) {
	f, rows := withLikeDays(t)
	delivered := map[string]bool{}
	for _, line := range expect("usage_date", func(u data.Usage) data.Day { return u.Day }, rows) {
		delivered[line] = true
	}
	for _, columns := range [][]string{nil, {"usage_date", "customer_id", "subscription_id", "unit", "quantity", "cost"}} {
		var kept []arrow.Record
		var want, got []string
		n := 0
		for rec, err := range f.view().Scan(t.Context(), UsageTable, allDays, columns...) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n%2 == 0 {
				rec.Retain()
				kept, want = append(kept, rec), append(want, dumpRecord(rec)...)
			}
		}
		for _, rec := range kept {
			got = append(got, dumpRecord(rec)...)
			rec.Release()
		}
		if len(kept) < 4 || !slices.Equal(got, want) {
			t.Errorf("columns %v, %d of %d records kept: %s", columns, len(kept), n, cmp.Diff(want, got))
		}
		for _, line := range got {
			if columns == nil && !delivered[line] {
				t.Fatalf("nobody delivered the row %s", line)
			}
		}
	}
}

// taking counts the bytes that are allocated.
type taking struct {
	memory.Allocator
	bytes int
}

func (a *taking) Allocate(n int) []byte {
	a.bytes += n
	return a.Allocator.Allocate(n)
}

// The files of a scan have the same memory, so that many take no more than twice what one does: the next page is copied before the one before is given back.
func TestViewScan_TakesMemoryForOneFile(t *testing.T) {
	f, _ := withLikeDays(t)
	took := func(p data.Period) int {
		a := &taking{Allocator: f.opts.Allocator}
		f.opts.Allocator = a
		defer func() { f.opts.Allocator = a.Allocator }()
		for _, err := range f.view().Scan(t.Context(), UsageTable, p, "usage_date", "quantity") {
			if err != nil {
				t.Fatal(err)
			}
		}
		return a.bytes
	}
	one, eight := took(days("2026-11-01", "2026-11-01")), took(allDays)
	if one == 0 || eight > 2*one {
		t.Errorf("a file takes %d bytes, eight like it %d", one, eight)
	}
}
