package archive

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// clock counts minutes from a fixed time, one for each look at it.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 20, 2, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.t = c.t.Add(time.Minute)
	return c.t
}

// fixture is an archive whose reads are checked for leaks.
type fixture struct {
	testing.TB
	*Archive
	bucket Bucket
	clock  *clock
	runs   int
}

func newFixture(t testing.TB, b Bucket) *fixture { return newFixtureWith(t, b, Options{}) }

func newFixtureWith(t testing.TB, b Bucket, o Options) *fixture {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	c := newClock()
	o.Producer, o.Now, o.Allocator, o.TempDir = "tidemark test", c.now, mem, t.TempDir()
	a, err := Open(context.Background(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	a.piecesFrom = 0 // as if files were large
	return &fixture{TB: t, Archive: a, bucket: b, clock: c}
}

func (f *fixture) begin() *Run {
	f.Helper()
	f.runs++
	r, err := f.Begin(context.Background(), RunInfo{ID: fmt.Sprintf("run%d", f.runs), Job: "extract", Source: "tables", Started: f.clock.now()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := r.Abort(); err != nil {
			f.Error(err)
		}
	})
	return r
}

// stage adds rows; a row's scope is its Origin's.
func (f *fixture) stage(r *Run, source string, rows ...data.Usage) {
	f.Helper()
	for _, row := range rows {
		if err := r.AddUsage(row, Feed{source, row.Origin.Scope, row.Currency}); err != nil {
			f.Fatal(err)
		}
	}
}

// usage runs one whole extraction of usage.
func (f *fixture) usage(d Delivery, rows ...data.Usage) (usage, daily Committed) {
	f.Helper()
	r := f.begin()
	f.stage(r, d.Source, rows...)
	usage, err := r.CommitUsage(context.Background(), d)
	if err != nil {
		f.Fatal(err)
	}
	if daily, err = r.Rollup(context.Background(), rollup); err != nil {
		f.Fatal(err)
	}
	if _, err := r.Finish(context.Background()); err != nil {
		f.Fatal(err)
	}
	return usage, daily
}

func (f *fixture) view() *View {
	f.Helper()
	v, err := f.View(context.Background(), nil)
	if err != nil {
		f.Fatal(err)
	}
	return v
}

func day(s string) data.Day {
	d, err := data.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

func days(from, to string) data.Period { return data.Period{From: day(from), To: day(to)} }

var allDays = data.Period{From: -1 << 30, To: 1 << 30}

func dec(s string) *data.Decimal {
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return &d
}

// row makes a usage row of one customer with a cost in EUR.
func row(d, customer, cost string) data.Usage {
	return data.Usage{Day: day(d), CustomerID: data.CustomerID(customer), SubscriptionID: new(data.SubscriptionID(customer + "-sub")),
		Category: "Storage", Currency: "EUR", ChargeCategory: data.ChargeUsage, Quantity: dec("1"), Cost: dec(cost)}
}

func scoped(u data.Usage, scope, billing string) data.Usage {
	u.Origin.Scope, u.BillingPeriod = scope, data.Optional(billing)
	return u
}

// dump reads a table back as one text per row, column=value in the order of the
// schema; it shares no code with the archive.
func dump(t testing.TB, seq iter.Seq2[arrow.Record, error]) []string {
	t.Helper()
	lines := []string{}
	for rec, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, dumpRecord(rec)...)
	}
	return lines
}

func dumpRecord(rec arrow.Record) []string {
	lines := []string{}
	for i := range int(rec.NumRows()) {
		var b strings.Builder
		for c, f := range rec.Schema().Fields() {
			fmt.Fprintf(&b, "%s=%s ", f.Name, cell(rec.Column(c), i))
		}
		lines = append(lines, b.String())
	}
	return lines
}

func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "<null>"
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return fmt.Sprintf("%q", a.Dictionary().(*array.String).Value(a.GetValueIndex(i)))
	case *array.String:
		return fmt.Sprintf("%q", a.Value(i))
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.Date32:
		return fmt.Sprint(int32(a.Value(i)))
	default:
		return a.ValueStr(i)
	}
}

// expect renders rows the way dump does, by reflection over the row type.
func expect[T any](partition string, day func(T) data.Day, rows []T) []string {
	lines := []string{}
	for _, r := range rows {
		var b strings.Builder
		fmt.Fprintf(&b, "%s=%d ", partition, day(r))
		v := reflect.ValueOf(r)
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("parquet"), ",")
			if name != "-" {
				fmt.Fprintf(&b, "%s=%s ", name, expectCell(v.Field(i)))
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}

func expectCell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "<null>"
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case data.Decimal:
		n := new(big.Int).SetBytes(x[:])
		if x[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
		}
		return n.String()
	case data.Day:
		return fmt.Sprint(int32(x))
	}
	if v.Kind() == reflect.String {
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// rollup adds up in the plainest way there is.
func rollup(_ context.Context, p Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	type key struct{ customer, subscription, category, charge, currency string }
	rows, sums := map[key]int64{}, map[key]map[string]data.Decimal{}
	for rec, err := range batches {
		if err != nil {
			return nil, err
		}
		text := func(i int, column string) string {
			at := rec.Schema().FieldIndices(column)[0]
			if c := rec.Column(at).(*array.Dictionary); c.IsValid(i) {
				return c.Dictionary().(*array.String).Value(c.GetValueIndex(i))
			}
			return ""
		}
		for i := range int(rec.NumRows()) {
			k := key{text(i, "customer_id"), text(i, "subscription_id"), text(i, "category"), text(i, "charge_category"), text(i, "currency")}
			if rows[k]++; sums[k] == nil {
				sums[k] = map[string]data.Decimal{}
			}
			for _, column := range []string{"cost", "effective_cost", "cost_usd"} {
				c := rec.Column(rec.Schema().FieldIndices(column)[0]).(*array.Decimal128)
				if c.IsNull(i) {
					continue
				}
				v, _ := data.DecimalFromArrow(c.Value(i))
				sum, ok := sums[k][column].Add(v)
				if !ok {
					return nil, data.ErrOverflow
				}
				sums[k][column] = sum
			}
		}
	}
	b := array.NewRecordBuilder(memory.NewGoAllocator(), data.UsageDailySchema())
	defer b.Release()
	for k, n := range rows {
		for i, f := range data.UsageDailySchema().Fields() {
			s, isText := map[string]string{"customer_id": k.customer, "subscription_id": k.subscription, "category": k.category,
				"charge_category": k.charge, "currency": k.currency}[f.Name]
			switch fb := b.Field(i).(type) {
			case *array.BinaryDictionaryBuilder:
				if !isText || s == "" && f.Nullable {
					fb.AppendNull()
				} else if err := fb.AppendString(s); err != nil {
					return nil, err
				}
			case *array.Date32Builder:
				fb.Append(arrow.Date32(p.Day))
			case *array.Int64Builder:
				fb.Append(n)
			case *array.Int32Builder:
				fb.Append(1)
			case *array.Decimal128Builder:
				if sum, known := sums[k][f.Name]; known {
					fb.Append(sum.Arrow())
				} else {
					fb.AppendNull()
				}
			default:
				fb.AppendNull()
			}
		}
	}
	return b.NewRecord(), nil
}

// dayRows sums up what a view knows of each day.
func dayRows(v *View) map[string]int64 {
	rows := map[string]int64{}
	for _, d := range v.UsageDays() {
		rows[d.Day.String()] = d.Rows
	}
	return rows
}

func partNames(v *View, t Table) []string {
	names := []string{}
	for _, p := range v.Parts(t) {
		names = append(names, fmt.Sprintf("%s %s %s %d", p.Day, p.Feed, cmp.Or(p.BillingPeriod, "-"), p.Rows))
	}
	return names
}
