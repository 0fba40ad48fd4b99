package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// metricsOf computes the metrics of the period from usage_daily, or from usage
// spread over so many workers.
func (a *testArchive) metricsOf(ctx context.Context, p data.Period, workers int) (map[result][]string, error) {
	view, err := a.View(ctx, nil)
	if err != nil {
		return nil, err
	}
	both := data.Period{From: p.Previous().From, To: p.To}
	in := transform.Inputs{Period: p, Watermark: &p.To, Extracted: slices.Collect(both.All())}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	if workers > 0 {
		in.Raw = spread(ctx, view, both, workers)
	} else {
		for rec, err := range view.Scan(ctx, archive.UsageDaily, both) {
			if err != nil {
				return nil, err
			}
			rec.Retain()
			defer rec.Release()
			in.Daily = append(in.Daily, rec)
		}
	}
	t, err := transform.Metrics(mem, in)
	if err != nil {
		return nil, err
	}
	lines := tables(t)
	t.Release()
	if left := mem.CurrentAlloc(); left != 0 {
		return nil, fmt.Errorf("metrics keep %d bytes", left)
	}
	return lines, nil
}

// spread gives each worker some of the days, the first worker the last day.
func spread(ctx context.Context, v *archive.View, p data.Period, workers int) []transform.RawRows {
	shares := make([]transform.RawRows, workers)
	for i := range shares {
		shares[i] = func(wanted func() []string) iter.Seq2[arrow.Record, error] {
			return func(yield func(arrow.Record, error) bool) {
				for d := range p.All() {
					if int(p.To-d)%workers != i {
						continue
					}
					for rec, err := range v.ScanWanted(ctx, archive.UsageTable, data.Period{From: d, To: d}, wanted) {
						if !yield(rec, err) {
							return
						}
					}
				}
			}
		}
	}
	return shares
}

// TestMetrics_FromRollupsFromRawRowsAndByDuckDBAgree commits random rows, commits
// some of the days again with others, and compares every figure to the last
// digit. Where one does not fit in 38 digits, ours is refused and says which.
func TestMetrics_FromRollupsFromRawRowsAndByDuckDBAgree(t *testing.T) {
	p := testPeriod()
	all := data.Period{From: p.Previous().From, To: p.To}
	db := testDuckDB(t)
	compared, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		folder, err := os.MkdirTemp("", "tidemark-agree-*")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(folder)
		arc, err := newTestArchive(folder)
		if err != nil {
			t.Fatal(err)
		}
		days, extreme := all, rapid.IntRange(0, 2).Draw(t, "extreme") == 0
		inUSD := rapid.Bool().Draw(t, "all in USD")
		for range rapid.IntRange(1, 3).Draw(t, "deliveries") {
			rows := rapid.SliceOfN(drawRow(days, extreme, inUSD), 0, 40).Draw(t, "rows")
			if err := arc.deliver(days, rows); errors.Is(err, data.ErrOverflow) && mayRefuse(rows) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			days.From = data.Day(rapid.Int32Range(int32(all.From), int32(all.To)).Draw(t, "restated from"))
			days.To = data.Day(rapid.Int32Range(int32(days.From), int32(all.To)).Draw(t, "restated to"))
		}
		if agree(t, arc, db, p, rapid.IntRange(1, 4).Draw(t, "workers")) {
			compared++
		} else {
			refused++
		}
	})
	t.Logf("%d archives compared, %d refused", compared, refused)
	if compared == 0 || refused == 0 {
		t.Errorf("%d archives compared and %d refused: the rows are of one kind only", compared, refused)
	}
}

func testDuckDB(t *testing.T) *sql.DB {
	t.Helper()
	db, err := openDuckDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.ExecContext(t.Context(), exactly); err != nil {
		t.Fatal(err)
	}
	return db
}

// agree compares the figures of an archive and reports whether there are any:
// false when a sum does not fit, and ours is refused for that.
func agree(t fatal, arc *testArchive, db *sql.DB, p data.Period, workers int) bool {
	ctx := context.Background()
	files, err := arc.activeFiles()
	if err != nil {
		t.Fatal(err)
	}
	want, overflow, err := oracle(ctx, db, files, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, workers := range map[string]int{"usage_daily": 0, "usage": workers} {
		got, err := arc.metricsOf(ctx, p, workers)
		switch {
		case overflow && err == nil:
			t.Fatalf("metrics from %s: a sum is too large, and the answer is %v", name, got)
		case overflow && !(errors.Is(err, data.ErrOverflow) && strings.Contains(err.Error(), "sum of ")):
			t.Fatalf("metrics from %s: %v, want the name of the sum that is too large", name, err)
		case overflow:
		case err != nil:
			t.Fatalf("metrics from %s: %v", name, err)
		default:
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("metrics from %s (+) and by DuckDB (-):\n%s", name, diff)
			}
		}
	}
	return !overflow
}

// fatal is what a test and a property have in common.
type fatal interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// usageOf is one row of usage.
func usageOf(d data.Day, cost string) data.Usage {
	amount, _, err := data.ParseDecimal(cost)
	if err != nil {
		panic(err)
	}
	return data.Usage{Day: d, CustomerID: "c", SubscriptionID: new(data.SubscriptionID("s")), Category: "Storage", Currency: "EUR",
		ChargeCategory: data.ChargeUsage, Quantity: new(data.DecimalFromInt(1)), Cost: &amount}
}

// TestMetrics_OfASumThatDoesNotFitAreRefusedByName: each day fits, and their sum
// does not.
func TestMetrics_OfASumThatDoesNotFitAreRefusedByName(t *testing.T) {
	p := testPeriod()
	arc, err := newTestArchive(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rows := []data.Usage{usageOf(p.From, "60000000000000000000"), usageOf(p.To, "60000000000000000000")}
	if err := arc.deliver(data.Period{From: p.Previous().From, To: p.To}, rows); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{0, 1, 2} {
		_, err := arc.metricsOf(t.Context(), p, workers)
		if !errors.Is(err, data.ErrOverflow) || !strings.Contains(err.Error(), "sum of cost in EUR") {
			t.Errorf("%d workers: %v, want that the sum of cost in EUR is too large", workers, err)
		}
	}
	if agree(t, arc, testDuckDB(t), p, 2) {
		t.Error("the other side sees no sum that is too large")
	}
	// A row that takes the excess back, on a third day, makes it fit.
	if err := arc.deliver(data.Period{From: p.From + 1, To: p.From + 1}, []data.Usage{usageOf(p.From+1, "-60000000000000000000")}); err != nil {
		t.Fatal(err)
	}
	if !agree(t, arc, testDuckDB(t), p, 2) {
		t.Error("the sum fits, and is said not to")
	}
}

// TestDuckDB_SumsOfDecimalsAreExactOrRefused is what the comparison in the bench
// stands on: its sums of DECIMAL(38,18) are neither rounded nor wrapped.
func TestDuckDB_SumsOfDecimalsAreExactOrRefused(t *testing.T) {
	db := testDuckDB(t)
	for _, c := range []struct{ values, want, wantType string }{
		{"99999999999999999999.999999999999999999, -99999999999999999999.999999999999999998", "0.000000000000000001", "DECIMAL(38,18)"},
		{"49999999999999999999.999999999999999999, 50000000000000000000.000000000000000000", "99999999999999999999.999999999999999999", "DECIMAL(38,18)"},
		{"60000000000000000000, 60000000000000000000", "120000000000000000000.000000000000000000", "DECIMAL(38,18)"}, // of 39 digits all the same
		{"90000000000000000000, 90000000000000000000", "", ""},
	} {
		var got, kind string
		err := db.QueryRowContext(t.Context(), `SELECT CAST(sum(v) AS VARCHAR), typeof(sum(v)) FROM (SELECT unnest([`+c.values+`]::DECIMAL(38, 18)[]) v)`).Scan(&got, &kind)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("sum of %s: %s, want an error", c.values, got)
		case c.want != "" && (err != nil || got != c.want || kind != c.wantType):
			t.Errorf("sum of %s: %s of type %s, %v, want %s", c.values, got, kind, err, c.want)
		}
	}
}
