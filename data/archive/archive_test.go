package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

func TestArchive_EmptyIsAnEmptyView(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		v := newFixture(t, b).view()
		if len(v.Versions()) != 0 || v.Seal() != "" || !v.KnownAt().IsZero() || len(v.UsageDays()) != 0 {
			t.Errorf("view = %v %q %v %v, want an empty one", v.Versions(), v.Seal(), v.KnownAt(), v.UsageDays())
		}
		for _, table := range Tables() {
			if got := dump(t, v.Scan(t.Context(), table, allDays)); len(got) != 0 {
				t.Errorf("%s: %q", table, got)
			}
		}
		if _, err := v.Snapshot(t.Context(), Customers, 0); err == nil {
			t.Error("an empty archive has a snapshot")
		}
		if got := keysIn(t, b, ""); len(got) != 0 {
			t.Errorf("looking left files: %q", got)
		}
	})
}

func TestRun_AddsUsageAndReadsItBack(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		f := newFixture(t, b)
		rows := []data.Usage{row("2026-11-20", "b", "2.5"), row("2026-11-21", "a", "-1"), row("2026-11-20", "a", "0")}
		usage, daily := f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-21")}, rows...)
		want := Committed{Table: UsageTable, Version: 0, Changed: true, Added: 2, Rows: 3}
		if diff := cmp.Diff(want, usage); diff != "" {
			t.Errorf("usage (-want +got):\n%s", diff)
		}
		want.Table = UsageDaily
		if diff := cmp.Diff(want, daily); diff != "" {
			t.Errorf("usage_daily (-want +got):\n%s", diff)
		}
		v := f.view()
		got := dump(t, v.Scan(t.Context(), UsageTable, allDays))
		wantRows := expect("usage_date", func(u data.Usage) data.Day { return u.Day }, []data.Usage{rows[2], rows[0], rows[1]})
		if diff := cmp.Diff(wantRows, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		wantDays := []DayState{{Day: day("2026-11-20"), Rows: 2, Parts: 1}, {Day: day("2026-11-21"), Rows: 1, Parts: 1}}
		if diff := cmp.Diff(wantDays, v.UsageDays()); diff != "" {
			t.Errorf("days (-want +got):\n%s", diff)
		}
		sums := v.Parts(UsageTable)[0].Sums
		if diff := cmp.Diff([]Sum{{"cost", "EUR", *dec("2.5")}}, sums); diff != "" {
			t.Errorf("sums (-want +got):\n%s", diff)
		}
	})
}

func TestScan_PicksColumnsAndDays(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-22")},
		row("2026-11-20", "a", "1"), row("2026-11-21", "b", "2"), row("2026-11-22", "c", "3"))
	v := f.view()
	for name, c := range map[string]struct {
		period  data.Period
		columns []string
		want    []string
	}{
		"one column of two days":            {days("2026-11-21", "2026-12-01"), []string{"customer_id"}, []string{`customer_id="b" `, `customer_id="c" `}},
		"the day comes first":               {days("2026-11-20", "2026-11-20"), []string{"customer_id", "usage_date"}, []string{`usage_date=20777 customer_id="a" `}},
		"only the day":                      {days("2026-11-20", "2026-11-20"), []string{"usage_date"}, []string{"usage_date=20777 "}},
		"a period without a day has no row": {days("2027-01-01", "2027-02-01"), nil, []string{}},
	} {
		if diff := cmp.Diff(c.want, dump(t, v.Scan(t.Context(), UsageTable, c.period, c.columns...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, err := range v.Scan(t.Context(), UsageTable, allDays, "costs") {
		if err == nil || !strings.Contains(err.Error(), "costs") {
			t.Errorf("unknown column: %v", err)
		}
	}
	for _, err := range v.Scan(t.Context(), UsageTable, allDays) { // stopping early releases everything
		if err != nil {
			t.Error(err)
		}
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range v.Scan(ctx, UsageTable, allDays) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled scan: %v", err)
		}
	}
}

func TestCommitUsage_AgainCommitsNothing(t *testing.T) {
	f := newFixture(t, NewMemory())
	d := Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-23")}
	rows := []data.Usage{row("2026-11-20", "a", "1"), row("2026-11-20", "b", "2"), row("2026-11-22", "a", "3")}
	f.usage(d, rows...)
	before := keysIn(t, f.bucket, "usage")
	seal := f.view().Seal()
	slices.Reverse(rows)
	usage, daily := f.usage(d, rows...)
	if usage.Changed || usage.Unchanged != 4 || usage.Version != 0 || daily.Changed || daily.Unchanged != 4 {
		t.Errorf("again: %+v %+v, want nothing changed", usage, daily)
	}
	if diff := cmp.Diff(before, keysIn(t, f.bucket, "usage")); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if got := f.view().Seal(); got != seal {
		t.Errorf("seal %s, before %s", got, seal)
	}
}

func TestCommitUsage_DaysWithoutRows(t *testing.T) {
	f := newFixture(t, NewMemory())
	d := Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-22")}
	f.usage(d, row("2026-11-21", "a", "1"))
	want := []string{"2026-11-20 tables// - 0", "2026-11-21 tables//EUR - 1", "2026-11-22 tables// - 0"}
	if diff := cmp.Diff(want, partNames(f.view(), UsageTable)); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, partNames(f.view(), UsageDaily)); diff != "" {
		t.Errorf("usage_daily (-want +got):\n%s", diff)
	}
	// A day that gets rows loses its empty part, one that loses them gets one.
	f.usage(d, row("2026-11-20", "a", "1"))
	want = []string{"2026-11-20 tables//EUR - 1", "2026-11-21 tables// - 0", "2026-11-22 tables// - 0"}
	if diff := cmp.Diff(want, partNames(f.view(), UsageTable)); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, partNames(f.view(), UsageDaily)); diff != "" {
		t.Errorf("second usage_daily (-want +got):\n%s", diff)
	}
	// A delivery without any row at all.
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")})
	if diff := cmp.Diff(map[string]int64{"2026-11-20": 0, "2026-11-21": 0, "2026-11-22": 0}, dayRows(f.view())); diff != "" {
		t.Errorf("third (-want +got):\n%s", diff)
	}
}

func TestCommitUsage_RestatesWhatIsDelivered(t *testing.T) {
	november := []data.Usage{
		scoped(row("2026-10-30", "a", "1"), "acc1", "2026-11"), scoped(row("2026-11-01", "a", "2"), "acc1", "2026-11"),
	}
	october := []data.Usage{
		scoped(row("2026-10-29", "a", "3"), "acc1", "2026-10"), scoped(row("2026-10-30", "a", "4"), "acc1", "2026-10"),
	}
	other := []data.Usage{scoped(row("2026-10-30", "b", "5"), "acc2", "2026-11"), scoped(row("2026-11-02", "b", "5"), "acc2", "2026-11")}
	whole := Delivery{Source: "focus", Days: days("2026-10-29", "2026-11-02"), Full: true}
	start := func(t *testing.T) *fixture {
		f := newFixture(t, NewMemory())
		f.usage(whole, slices.Concat(november, october, other)...)
		return f
	}
	all := []string{"2026-10-29 focus/acc1/EUR 2026-10 1", "2026-10-30 focus/acc1/EUR 2026-10 1", "2026-10-30 focus/acc1/EUR 2026-11 1",
		"2026-10-30 focus/acc2/EUR 2026-11 1", "2026-10-31 focus// - 0", "2026-11-01 focus/acc1/EUR 2026-11 1", "2026-11-02 focus/acc2/EUR 2026-11 1"}
	for name, c := range map[string]struct {
		delivery Delivery
		rows     []data.Usage
		want     []string
	}{
		"a billing period of one account leaves the others alone": {
			Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-01"), Full: true},
			november[1:],
			slices.Delete(slices.Clone(all), 2, 3), // its row of 30 October is gone from the export
		},
		"the days asked for leave other days alone": {
			Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-01")}, november[1:], all,
		},
		"another source leaves everything alone": {
			Delivery{Source: "tables", Days: days("2026-11-01", "2026-11-01")},
			[]data.Usage{row("2026-11-01", "c", "1")},
			slices.Insert(slices.Clone(all), 6, "2026-11-01 tables//EUR - 1"),
		},
		"a day without rows of this run is marked, and the rest stays": {
			Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-02"), Full: false},
			november[1:],
			slices.Insert(slices.Clone(all), 6, "2026-11-02 focus// - 0"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			if diff := cmp.Diff(all, partNames(f.view(), UsageTable)); diff != "" {
				t.Fatalf("start (-want +got):\n%s", diff)
			}
			f.usage(c.delivery, c.rows...)
			if diff := cmp.Diff(c.want, partNames(f.view(), UsageTable)); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.want, partNames(f.view(), UsageDaily)); diff != "" {
				t.Errorf("usage_daily (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddUsage_RefusesWhatWouldBeWrongLater(t *testing.T) {
	bad := func(change func(*data.Usage)) data.Usage {
		u := row("2026-11-20", "a", "1")
		change(&u)
		return u
	}
	for name, c := range map[string]struct {
		row  data.Usage
		feed Feed
		want string
	}{
		"text that is not UTF-8":     {bad(func(u *data.Usage) { u.Service = new("a\xff") }), Feed{"tables", "", "EUR"}, "column service"},
		"id that is not UTF-8":       {bad(func(u *data.Usage) { u.CustomerID = "\xc3\x28" }), Feed{"tables", "", "EUR"}, "column customer_id"},
		"decimal beyond 38 digits":   {bad(func(u *data.Usage) { u.Cost = &data.Decimal{0x7f} }), Feed{"tables", "", "EUR"}, "column cost"},
		"currency of another feed":   {row("2026-11-20", "a", "1"), Feed{"tables", "", "USD"}, "currency"},
		"scope that is not UTF-8":    {row("2026-11-20", "a", "1"), Feed{"tables", "\xff", "EUR"}, "UTF-8"},
		"customer in a second scope": {row("2026-11-20", "z", "1"), Feed{"tables", "two", "EUR"}, "feed tables/one/EUR and by feed tables/two/EUR"},
	} {
		r := newFixture(t, NewMemory()).begin()
		if err := r.AddUsage(row("2026-11-20", "z", "1"), Feed{"tables", "one", "EUR"}); err != nil {
			t.Fatal(err)
		}
		if err := r.AddUsage(c.row, c.feed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
		if got := r.Staged().Rows; got != 1 {
			t.Errorf("%s: %d rows staged, want 1", name, got)
		}
	}
}

func TestCommitUsage_RefusesADeliveryThatContradictsItsRows(t *testing.T) {
	for name, c := range map[string]struct {
		delivery Delivery
		want     string
	}{
		"rows outside the days": {Delivery{Source: "tables", Days: days("2026-11-21", "2026-11-22")}, "are staged"},
		"another source":        {Delivery{Source: "focus", Days: days("2026-11-20", "2026-11-22")}, "source focus"},
		"no source":             {Delivery{Days: days("2026-11-20", "2026-11-22")}, "no source"},
		"days the wrong way":    {Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-18")}, "before it begins"},
		"a century":             {Delivery{Source: "tables", Days: days("1926-11-20", "2026-11-20")}, "ten years"},
	} {
		f := newFixture(t, NewMemory())
		r := f.begin()
		f.stage(r, "tables", row("2026-11-20", "a", "1"))
		if _, err := r.CommitUsage(t.Context(), c.delivery); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
		if got := keysIn(t, f.bucket, ""); len(got) != 0 {
			t.Errorf("%s: left %q", name, got)
		}
	}
}

func TestRollup_HealsARunThatDiedBeforeIt(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	before := f.view()

	died := f.begin()
	f.stage(died, "tables", row("2026-11-20", "a", "7"), row("2026-11-21", "a", "1"))
	if _, err := died.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-21")}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before.Versions(), f.view().Versions()); diff != "" {
		t.Errorf("usage without its rollup is already seen (-before +after):\n%s", diff)
	}

	r := f.begin()
	got, err := r.Rollup(t.Context(), rollup)
	if err != nil || !got.Changed || got.Added != 2 || got.Removed != 1 {
		t.Errorf("healing rollup: %+v, %v", got, err)
	}
	v := f.view()
	if diff := cmp.Diff(map[string]int64{"2026-11-20": 1, "2026-11-21": 1}, dayRows(v)); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	for i, p := range v.Parts(UsageDaily) {
		if want := v.Parts(UsageTable)[i].SHA256; p.FromSHA256 != want {
			t.Errorf("%s is rolled from %s, want %s", p.Path, p.FromSHA256, want)
		}
	}
	if again, err := r.Rollup(t.Context(), rollup); err != nil || again.Changed {
		t.Errorf("rollup again: %+v, %v", again, err)
	}
}

func customer(id, name string) data.Customer {
	return data.Customer{CustomerID: data.CustomerID(id), Name: data.Optional(name), Source: "tables"}
}

func TestCommitCustomers_ReplacesOnlyTheSameDay(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	commit := func(on string, rows ...data.Customer) Committed {
		t.Helper()
		c, err := r.CommitCustomers(t.Context(), day(on), rows, Delivery{Source: "tables", Expected: 3, Read: 2, Failed: 1})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	commit("2026-11-20", customer("a", "A"))
	commit("2026-11-21", customer("b", "B"), customer("a", "A"))
	if again := commit("2026-11-21", customer("a", "A"), customer("b", "B")); again.Changed || again.Version != 1 || again.Unchanged != 1 {
		t.Errorf("equal snapshot: %+v, want nothing changed", again)
	}
	if changed := commit("2026-11-21", customer("a", "A2")); !changed.Changed || changed.Added != 1 || changed.Removed != 1 {
		t.Errorf("changed snapshot: %+v", changed)
	}
	v := f.view()
	if diff := cmp.Diff([]data.Day{day("2026-11-20"), day("2026-11-21")}, v.Snapshots(Customers)); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
	if c := v.Parts(Customers)[0].Coverage; c != (Coverage{3, 2, 1}) || c.Complete() {
		t.Errorf("coverage = %+v", c)
	}
	rec, err := v.Snapshot(t.Context(), Customers, day("2026-11-21"))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	want := expect("snapshot_date", func(data.Customer) data.Day { return day("2026-11-21") }, []data.Customer{customer("a", "A2")})
	if diff := cmp.Diff(want, dumpRecord(rec)); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if _, err := v.Snapshot(t.Context(), Customers, day("2026-11-22")); err == nil {
		t.Error("a snapshot of a day without one")
	}
	for c, err := range v.Customers(t.Context()) {
		if diff := cmp.Diff(customer("a", "A2"), c); diff != "" || err != nil {
			t.Errorf("newest row (-want +got):\n%s%v", diff, err)
		}
	}
}

func TestCommitCustomers_EmptyInventoryIsASnapshot(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	if _, err := r.CommitSubscriptions(t.Context(), 5, nil, Delivery{Source: "tables"}); err != nil {
		t.Fatal(err)
	}
	rec, err := f.view().Snapshot(t.Context(), Subscriptions, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if rec.NumRows() != 0 || !rec.Schema().Equal(data.SubscriptionsSchema()) {
		t.Errorf("record = %v", rec)
	}
}

func TestCommitCustomers_RefusesAnIDThatIsThereTwice(t *testing.T) {
	r := newFixture(t, NewMemory()).begin()
	if _, err := r.CommitCustomers(t.Context(), 5, []data.Customer{customer("a", ""), customer("a", "x")}, Delivery{Source: "tables"}); err == nil {
		t.Error("twice the same customer is accepted")
	}
	s := data.Subscription{SubscriptionID: "s", CustomerID: "a", Status: data.StatusActive}
	if _, err := r.CommitSubscriptions(t.Context(), 5, []data.Subscription{s, s}, Delivery{Source: "tables"}); err == nil {
		t.Error("twice the same subscription is accepted")
	}
}

func TestView_AsOfShowsWhatWasKnownThen(t *testing.T) {
	f := newFixture(t, NewMemory())
	var known []time.Time
	for i, cost := range []string{"1", "2", "3"} {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", cost))
		r := f.begin()
		if _, err := r.CommitCustomers(t.Context(), day("2026-11-20")+data.Day(i), []data.Customer{customer("a", cost)}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		known = append(known, f.view().KnownAt())
	}
	seals := map[string]bool{}
	for i, at := range known {
		v, err := f.View(t.Context(), &at)
		if err != nil {
			t.Fatal(err)
		}
		want := map[Table]int64{UsageTable: int64(i), UsageDaily: int64(i), Customers: int64(i)}
		if diff := cmp.Diff(want, v.Versions()); diff != "" {
			t.Errorf("as of %v (-want +got):\n%s", at, diff)
		}
		if got := dump(t, v.Scan(t.Context(), UsageTable, allDays, "cost")); len(got) != 1 || got[0] != fmt.Sprintf("cost=%d000000000000000000 ", i+1) {
			t.Errorf("as of %v: %q", at, got)
		}
		if len(v.Snapshots(Customers)) != i+1 || !v.KnownAt().Equal(at) {
			t.Errorf("as of %v: %v, known at %v", at, v.Snapshots(Customers), v.KnownAt())
		}
		seals[v.Seal()] = true
	}
	if len(seals) != 3 {
		t.Errorf("seals = %v, want three", seals)
	}
	early := known[0].Add(-time.Hour)
	if v, err := f.View(t.Context(), &early); err != nil || len(v.Versions()) != 0 {
		t.Errorf("before everything: %v, %v", v.Versions(), err)
	}
	now := f.view()
	if last, err := f.View(t.Context(), &known[2]); err != nil || last.Seal() != now.Seal() {
		t.Errorf("as of the last commit the seal is %s, now %s, %v", last.Seal(), now.Seal(), err)
	}
}

func TestKnownAt_GrowsEvenWhenTheClockDoesNot(t *testing.T) {
	f := newFixture(t, NewMemory())
	stopped := f.clock.t
	f.opts.Now = func() time.Time { stopped = stopped.Add(-time.Hour); return stopped }
	for i := range 3 {
		r := f.begin()
		if _, err := r.CommitCustomers(t.Context(), data.Day(i), nil, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var last time.Time
	for c, err := range f.History(t.Context(), Customers) {
		if err != nil || !c.KnownAt.After(last) {
			t.Errorf("version %d is known at %v, after %v, %v", c.Version, c.KnownAt, last, err)
		}
		last = c.KnownAt
	}
}

func TestQuarantine_IsKeptAlsoWhenTheRunIsRefused(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	for _, e := range []*data.RowError{
		{File: "usage.csv", Line: 3, Column: "quantity", Value: "<a>\r\n", Reason: "not a decimal number"},
		{File: "usage.csv", Line: 9, Value: "\xff", Reason: "no customer"},
	} {
		if err := r.Quarantine(UsageTable, e); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Staged().Quarantined[UsageTable]; got != 2 {
		t.Errorf("%d rows, want 2", got)
	}
	if err := r.Refuse(t.Context(), "2 of 2 rows are bad"); err != nil {
		t.Fatal(err)
	}
	want := `{"file":"usage.csv","line":3,"column":"quantity","value":"<a>\r\n","reason":"not a decimal number"}
{"file":"usage.csv","line":9,"value_base64":"/w==","reason":"no customer"}
`
	if got := content(t, f.bucket, "quarantine/run1/usage.jsonl"); got != want {
		t.Errorf("quarantine:\n%s\nwant:\n%s", got, want)
	}
	if got := keysIn(t, f.bucket, ""); len(got) != 2 || !strings.Contains(content(t, f.bucket, "runs/run1.json"), `"refused": "2 of 2 rows are bad"`) {
		t.Errorf("a refused run left %q", got)
	}
	if err := r.Quarantine(UsageTable, &data.RowError{}); err == nil {
		t.Error("a row is quarantined after its file is in the archive")
	}
}

func TestQuarantine_ItsHashIsInTheCommit(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	if err := r.Quarantine(UsageTable, &data.RowError{File: "f", Line: 1, Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20"), RowsIn: 1, Quarantined: 1}); err != nil {
		t.Fatal(err)
	}
	record, err := r.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := hexSum([]byte(content(t, f.bucket, "quarantine/run1/usage.jsonl")))
	for c, err := range f.History(t.Context(), UsageTable) {
		if err != nil || c.QuarantineSHA256 != want || c.RowsIn != 1 || c.Quarantined != 1 {
			t.Errorf("commit = %+v, %v, want hash %s", c, err, want)
		}
	}
	if got := record.Quarantine[UsageTable]; got != (Quarantine{1, want}) {
		t.Errorf("run record: %+v", got)
	}
}

func TestFinish_ChainsTheRuns(t *testing.T) {
	f := newFixture(t, NewMemory())
	for range 3 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	}
	var last RunRecord
	if err := json.Unmarshal([]byte(content(t, f.bucket, "runs/run3.json")), &last); err != nil {
		t.Fatal(err)
	}
	want := []RunRef{{"run2", hexSum([]byte(content(t, f.bucket, "runs/run2.json")))}}
	if diff := cmp.Diff(want, last.Previous); diff != "" {
		t.Errorf("run3 names (-want +got):\n%s", diff)
	}
	if last.Seal != f.view().Seal() || last.Heads[UsageDaily].Version != 0 {
		t.Errorf("last run = %+v, seal %s", last, f.view().Seal())
	}
	_, err := f.Begin(t.Context(), RunInfo{ID: "run3"})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("the id of an earlier run: %v, want fs.ErrExist", err)
	}
	for _, id := range []string{"", "../x", "a/b", "a b", ".x", strings.Repeat("x", 101)} {
		if _, err := f.Begin(t.Context(), RunInfo{ID: id}); err == nil {
			t.Errorf("run id %q is accepted", id)
		}
	}
}

func TestAbort_RemovesOnlyTheRunsTemporaries(t *testing.T) {
	root := t.TempDir()
	f := newFixtureWith(t, NewDir(root), Options{BufferRows: 2})
	r, other := f.begin(), f.begin()
	for i := range 9 {
		f.stage(r, "tables", row("2026-11-20", "a", fmt.Sprint(i)))
		f.stage(other, "tables", row("2026-11-20", "a", fmt.Sprint(i)))
	}
	if err := r.Quarantine(Customers, &data.RowError{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Abort(), r.Abort()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("folder of the run after abort: %v", err)
	}
	if _, err := other.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}); err != nil {
		t.Errorf("the other run: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(root, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("temporaries in the archive: %v, %v", left, err)
	}
}

func TestBegin_NeedsAClock(t *testing.T) {
	a, err := Open(t.Context(), NewMemory(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Begin(t.Context(), RunInfo{ID: "x"}); err == nil {
		t.Error("a run begins without a clock")
	}
}

func TestRun_TakesNothingAfterItsEnd(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	f.stage(r, "tables", row("2026-11-20", "a", "1"))
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	d := Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}
	calls := map[string]func() error{
		"AddUsage":   func() error { return r.AddUsage(row("2026-11-20", "a", "1"), Feed{"tables", "", "EUR"}) },
		"Quarantine": func() error { return r.Quarantine(UsageTable, &data.RowError{}) },
		"CommitUsage": func() error {
			_, err := r.CommitUsage(t.Context(), d)
			return err
		},
		"Rollup": func() error {
			_, err := r.Rollup(t.Context(), rollup)
			return err
		},
		"CommitCustomers": func() error {
			_, err := r.CommitCustomers(t.Context(), 1, nil, d)
			return err
		},
		"Finish": func() error {
			_, err := r.Finish(t.Context())
			return err
		},
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, errEnded) {
			t.Errorf("%s: %v, want errEnded", name, err)
		}
	}
	if got := keysIn(t, f.bucket, ""); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

// TestContentHash_IsOfTheDocumentedText pins the text: it decides for years
// what counts as equal content.
func TestContentHash_IsOfTheDocumentedText(t *testing.T) {
	f := newFixture(t, NewMemory())
	odd := row("2026-11-20", "b", "-0.5")
	odd.SubscriptionID, odd.Service = nil, new("a\tb\\c\r\nd")
	credited := row("2026-11-20", "b", "12.345")
	credited.PartnerCreditApplied, credited.PartnerCreditRate = new(true), dec("0.15")
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, odd, credited)
	for _, s := range f.view().Parts(UsageTable)[0].Sums {
		if s.Column == "partner_credit_rate" {
			t.Errorf("the rate is summed as if it were money: %+v", s)
		}
	}
	want := "customer_id\tsubscription_id\tcategory\tmeter_id\tservice\tregion\tunit\tcurrency\tcharge_category\tbilling_period\tquantity\tcost\teffective_cost\tcost_usd\tpartner_credit_applied\tpartner_credit_rate\n" +
		`b	\N	Storage	\N	a\tb\\c\r\nd	\N	\N	EUR	usage	\N	1.00	-0.50	\N	\N	\N	\N` + "\n" +
		`b	b-sub	Storage	\N	\N	\N	\N	EUR	usage	\N	1.00	12.345	\N	\N	true	0.15` + "\n"
	if got := f.view().Parts(UsageTable)[0].ContentSHA256; got != hexSum([]byte(want)) {
		t.Errorf("content hash %s, of the documented text %s", got, hexSum([]byte(want)))
	}
	r := f.begin()
	full := data.Subscription{SubscriptionID: "s", CustomerID: "c", Status: data.StatusActive, Created: new(day("2026-11-20")), AutoRenew: new(true), Trial: new(false)}
	if _, err := r.CommitSubscriptions(t.Context(), 1, []data.Subscription{full}, Delivery{Source: "tables"}); err != nil {
		t.Fatal(err)
	}
	want = "customer_id\tsubscription_id\tplan_id\tname\toffer\tstatus\tcreated\tcreated_basis\tcommitment_end\tauto_renew\trenewed_at\tended_at\ttrial\tfirst_usage\tlast_usage\n" +
		`c	s	\N	\N	\N	active	2026-11-20	\N	\N	true	\N	\N	false	\N	\N` + "\n"
	if got := f.view().Parts(Subscriptions)[0].ContentSHA256; got != hexSum([]byte(want)) {
		t.Errorf("content hash %s, of the documented text %s", got, hexSum([]byte(want)))
	}
}
