package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/data/archive"
)

// fakeSource yields rows and errors as given.
type fakeSource struct {
	kind          string
	usage         []any // data.Usage or error
	customers     []any
	subscriptions []any
}

func (f *fakeSource) Kind() string { return f.kind }

func yieldAll[T any](rows []any, keep func(T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, row := range rows {
			var none T
			switch r := row.(type) {
			case T:
				if keep(r) && !yield(r, nil) {
					return
				}
			case error:
				if !yield(none, r) {
					return
				}
			}
		}
	}
}

func (f *fakeSource) Usage(_ context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return yieldAll(f.usage, func(u data.Usage) bool {
		wanted := want == nil || want.Contains(u.Day)
		if wanted {
			tally.Read++
		}
		return wanted
	})
}

func (f *fakeSource) Customers(context.Context, *data.Tally) iter.Seq2[data.Customer, error] {
	return yieldAll(f.customers, func(data.Customer) bool { return true })
}

func (f *fakeSource) Subscriptions(context.Context, *data.Tally) iter.Seq2[data.Subscription, error] {
	return yieldAll(f.subscriptions, func(data.Subscription) bool { return true })
}

func decimal(s string) *data.Decimal {
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return &d
}

func used(day data.Day, customer, subscription string) data.Usage {
	return data.Usage{Day: day, CustomerID: data.CustomerID(customer), SubscriptionID: data.Optional(data.SubscriptionID(subscription)),
		Category: "Storage", Currency: "EUR", ChargeCategory: data.ChargeUsage, Quantity: decimal("1"), Cost: decimal("2.5")}
}

// lab is an archive in memory with a clock of its own.
type lab struct {
	t      *testing.T
	arc    *archive.Archive
	bucket archive.Bucket
	now    time.Time
	runs   int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, bucket: archive.NewMemory(), now: time.Date(2026, 11, 16, 2, 0, 0, 0, time.UTC)}
	arc, err := archive.Open(context.Background(), l.bucket, archive.Options{Producer: "test", TempDir: t.TempDir(),
		Now: func() time.Time { l.now = l.now.Add(time.Second); return l.now }})
	if err != nil {
		t.Fatal(err)
	}
	l.arc = arc
	return l
}

func (l *lab) extract(x Extract) (Extracted, error) {
	l.runs++
	x.Archive, x.Run, x.Started = l.arc, fmt.Sprintf("run%03d", l.runs), l.now
	return x.Extract(context.Background())
}

func (l *lab) view() *archive.View {
	l.t.Helper()
	v, err := l.arc.View(context.Background(), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return v
}

func (l *lab) subscriptions() map[data.SubscriptionID]data.Subscription {
	l.t.Helper()
	all := map[data.SubscriptionID]data.Subscription{}
	for s, err := range l.view().Subscriptions(context.Background()) {
		if err != nil {
			l.t.Fatal(err)
		}
		all[s.SubscriptionID] = s
	}
	return all
}

const day0 = data.Day(20000)

func TestExtract_CompletesTheInventoryWithUsageDays(t *testing.T) {
	l := newLab(t)
	s := &fakeSource{kind: "tables", usage: []any{used(day0, "c", "s"), used(day0+5, "c", "s"), used(day0+9, "c", "")},
		customers: []any{data.Customer{CustomerID: "c"}}, subscriptions: []any{data.Subscription{SubscriptionID: "s", CustomerID: "c", Status: data.StatusActive},
			data.Subscription{SubscriptionID: "never", CustomerID: "c", Status: data.StatusActive}}}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 10}); err != nil {
		t.Fatal(err)
	}
	got := l.subscriptions()
	if diff := cmp.Diff([]*data.Day{got["s"].FirstUsage, got["s"].LastUsage, got["never"].LastUsage}, []*data.Day{new(day0), new(day0 + 5), nil}); diff != "" {
		t.Errorf("usage days (-got +want):\n%s", diff)
	}

	// The last day is restated without usage: the day before it is the last again.
	s.usage = []any{used(day0+9, "c", "")}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 11, Days: &data.Period{From: day0 + 5, To: day0 + 9}}); err != nil {
		t.Fatal(err)
	}
	if got := l.subscriptions()["s"].LastUsage; got == nil || *got != day0 {
		t.Errorf("last usage after the restatement = %v, want %s", got, day0)
	}
}

func TestExtract_TheSameAgainCommitsNothing(t *testing.T) {
	l := newLab(t)
	s := &fakeSource{kind: "tables", usage: []any{used(day0, "c", "s")}, customers: []any{data.Customer{CustomerID: "c"}},
		subscriptions: []any{data.Subscription{SubscriptionID: "s", CustomerID: "c", Status: data.StatusActive}}}
	x := Extract{Usage: s, Inventory: s, InventoryDay: day0}
	first, err := l.extract(x)
	if err != nil || !first.Changed() {
		t.Fatalf("first run: changed %v, %v", first.Changed(), err)
	}
	second, err := l.extract(x)
	if err != nil || second.Changed() || second.Seal != first.Seal {
		t.Errorf("second run: changed %v, seal %s after %s, %v", second.Changed(), second.Seal, first.Seal, err)
	}
}

func TestExtract_BadRows(t *testing.T) {
	bad := &data.RowError{File: "usage.csv", Line: 7, Column: "cost", Value: "x", Reason: "not a decimal number"}
	rows := func(good, wrong int) []any {
		var all []any
		for i := range good {
			all = append(all, used(day0+data.Day(i%5), "c", "s"))
		}
		for range wrong {
			all = append(all, bad)
		}
		return all
	}
	for _, c := range []struct {
		name        string
		good, wrong int
		maxBad      float64
		refused     bool
	}{
		{"one in a hundred is kept aside", 99, 1, 0, false},
		{"two in a hundred refuse the run", 98, 2, 0, true},
		{"the accepted share can be raised", 1, 1, 0.5, false},
		{"nothing but bad rows refuses the run", 0, 3, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			s := &fakeSource{kind: "tables", usage: rows(c.good, c.wrong)}
			out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0, MaxBad: c.maxBad})
			if errors.Is(err, ErrRefused) != c.refused {
				t.Fatalf("error %v, want refused %v", err, c.refused)
			}
			if committed := len(l.view().Versions()) > 0; committed == c.refused {
				t.Errorf("committed %v, refused %v", committed, c.refused)
			}
			if out.Quarantined["usage"] != int64(c.wrong) || (len(out.Warnings) > 0) != !c.refused {
				t.Errorf("quarantined %v, warnings %v", out.Quarantined, out.Warnings)
			}
		})
	}
}

func TestExtract_ACurrencyThatIsMissingFromTheInput(t *testing.T) {
	inUSD := used(day0, "d", "t")
	inUSD.Currency = "USD"
	scoped := func(u data.Usage, scope string) data.Usage { u.Origin.Scope = scope; return u }
	for _, c := range []struct {
		name, scope string
		warned      bool
		currencies  []string
	}{
		{"stays, when the account's currencies are restated one by one", "account", false, []string{"EUR", "USD"}},
		{"goes with a warning, when the whole source is restated", "", true, []string{"EUR"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			for i, rows := range [][]any{{scoped(used(day0, "c", "s"), c.scope), scoped(inUSD, c.scope)}, {scoped(used(day0, "c", "s"), c.scope)}} {
				out, err := l.extract(Extract{Usage: &fakeSource{kind: "focus", usage: rows}, InventoryDay: day0 + 10})
				if err != nil {
					t.Fatal(err)
				}
				warned := slices.ContainsFunc(out.Warnings, func(w string) bool { return strings.Contains(w, "no usage in USD for") })
				if want := c.warned && i == 1; warned != want {
					t.Errorf("run %d: warnings %q, want one of USD: %v", i, out.Warnings, want)
				}
			}
			var got []string
			for _, p := range l.view().Parts(archive.UsageTable) {
				got = append(got, p.Feed.Currency)
			}
			if diff := cmp.Diff(got, c.currencies); diff != "" {
				t.Errorf("currencies that are left (-got +want):\n%s", diff)
			}
		})
	}
}

func TestExtract_ABrokenFileRefusesEverything(t *testing.T) {
	l := newLab(t)
	broken := errors.New("usage.csv.gz: unexpected EOF")
	s := &fakeSource{kind: "tables", usage: []any{used(day0, "c", "s"), broken}}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the file's", err)
	}
	if v := l.view().Versions(); len(v) != 0 {
		t.Errorf("versions after a broken file: %v", v)
	}
}

func TestExtract_DerivesTheInventoryOfASourceWithoutOne(t *testing.T) {
	l := newLab(t)
	named := func(u data.Usage, customer, subscription string) data.Usage {
		u.Origin = data.Origin{Scope: "account", CustomerName: data.Optional(customer), SubscriptionName: data.Optional(subscription)}
		return u
	}
	s := &fakeSource{kind: "focus", usage: []any{
		named(used(day0, "c", "old"), "Contoso", "Production"), named(used(day0+30, "c", "unsure"), "", ""),
		named(used(day0+31, "c", "new"), "", "Test"), named(used(day0+40, "c", "old"), "Contoso BV", ""),
	}}
	if _, err := l.extract(Extract{Usage: s, InventoryDay: day0 + 50}); err != nil {
		t.Fatal(err)
	}
	got := l.subscriptions()
	if c := got["old"].Created; c != nil {
		t.Errorf("a subscription used on the first day is created %s, want unknown", c)
	}
	if c := got["unsure"].Created; c != nil {
		t.Errorf("a subscription first used on the 31st day is created %s, want unknown", c)
	}
	if c := got["new"].Created; c == nil || *c != day0+31 || *got["new"].CreatedBasis != data.BasisFirstUsage {
		t.Errorf("a subscription first used on the 32nd day is created %v", c)
	}
	if n := got["old"].Name; n == nil || *n != "Production" {
		t.Errorf("name %v, want the last one given", n)
	}
	for c, err := range l.view().Customers(context.Background()) {
		if err != nil || *c.Name != "Contoso BV" {
			t.Errorf("customer %v, %v", c.Name, err)
		}
	}

	// A later export without the subscription keeps it in the inventory.
	s.usage = []any{named(used(day0+60, "c", "new"), "", "")}
	if _, err := l.extract(Extract{Usage: s, InventoryDay: day0 + 70, Days: &data.Period{From: day0 + 60, To: day0 + 60}}); err != nil {
		t.Fatal(err)
	}
	if again := l.subscriptions(); len(again) != 3 || *again["new"].Created != day0+31 || *again["new"].Name != "Test" {
		t.Errorf("inventory after a later export: %v", again)
	}
}

// TestExtract_ASubscriptionIsOfTheCustomerOfItsNewestDay has one that moved, in rows
// of any order, and an older day that is extracted again.
func TestExtract_ASubscriptionIsOfTheCustomerOfItsNewestDay(t *testing.T) {
	row := func(day data.Day, customer, subscription string) data.Usage {
		u := used(day, customer, "s")
		u.Origin = data.Origin{Scope: customer, CustomerName: data.Optional(fmt.Sprint(customer, " on ", day)), SubscriptionName: data.Optional(subscription)}
		return u
	}
	rows := []any{row(day0+1, "old", "first"), row(day0+2, "old", "second"), row(day0+3, "new", ""), row(day0+4, "new", "moved"), row(day0+5, "new", "")}
	rapid.Check(t, func(rt *rapid.T) {
		l := newLab(t)
		s := &fakeSource{kind: "focus", usage: rapid.Permutation(rows).Draw(rt, "order")}
		check := func(when string) {
			if got := l.subscriptions()["s"]; got.CustomerID != "new" || *got.Name != "moved" {
				rt.Errorf("%s: subscription %s of customer %s, want moved of new", when, *got.Name, got.CustomerID)
			}
		}
		if _, err := l.extract(Extract{Usage: s, InventoryDay: day0 + 6}); err != nil {
			rt.Fatal(err)
		}
		check("all of it")
		for c, err := range l.view().Customers(t.Context()) {
			if want := map[data.CustomerID]data.Day{"old": day0 + 2, "new": day0 + 5}[c.CustomerID]; err != nil || *c.Name != fmt.Sprint(c.CustomerID, " on ", want) {
				rt.Errorf("customer %s is called %s, want the name of %s: %v", c.CustomerID, *c.Name, want, err)
			}
		}
		if _, err := l.extract(Extract{Usage: s, InventoryDay: day0 + 7, Days: &data.Period{From: day0 + 1, To: day0 + 2}}); err != nil {
			rt.Fatal(err)
		}
		check("the first days once more")
	})
}

func TestWatermark_IsTheNewestUsageDayMinusTheSettleDays(t *testing.T) {
	l := newLab(t)
	if w := Watermark(l.view(), 3); w != nil {
		t.Errorf("watermark of an empty archive = %s", w)
	}
	s := &fakeSource{kind: "tables", usage: []any{used(day0, "c", "s"), used(day0+4, "c", "s")}}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0, Days: &data.Period{From: day0, To: day0 + 9}}); err != nil {
		t.Fatal(err)
	}
	if w := Watermark(l.view(), 3); w == nil || *w != day0+1 {
		t.Errorf("watermark = %v, want %s: extracted days without rows do not move it", w, day0+1)
	}
}
