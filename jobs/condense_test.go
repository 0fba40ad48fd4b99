package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
)

// withoutPast are the figures of a query as they are without anything condensed, from every
// row that the archive has.
func withoutPast(t testing.TB, l *lab, versions map[archive.Table]int64, q Query) string {
	t.Helper()
	arc, err := archive.Open(t.Context(), pastless{l.bucket}, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	view, err := arc.ViewAt(t.Context(), versions)
	if err != nil {
		t.Fatal(err)
	}
	if parts := view.Parts(archive.UsagePast); len(parts) > 0 {
		t.Fatalf("it has %v", parts)
	}
	return figuresIn(t, view, q)
}

// pastless is an archive without what was condensed, and without the run records, which name it.
type pastless struct{ archive.Bucket }

func (p pastless) Open(ctx context.Context, key string) (archive.Reader, error) {
	if strings.HasPrefix(key, string(archive.UsagePast)) {
		return nil, fmt.Errorf("open %s: %w", key, fs.ErrNotExist)
	}
	return p.Bucket.Open(ctx, key)
}

func (p pastless) List(ctx context.Context, prefix string) iter.Seq2[archive.Info, error] {
	if strings.HasPrefix(prefix, string(archive.UsagePast)) || strings.HasPrefix(prefix, "runs/") {
		return func(func(archive.Info, error) bool) {}
	}
	return p.Bucket.List(ctx, prefix)
}

// prune removes what is past its retention.
func (l *lab) prune(keep archive.Retention) {
	l.t.Helper()
	l.runs++
	r, err := l.arc.Begin(l.t.Context(), archive.RunInfo{ID: fmt.Sprintf("run%03d", l.runs), Started: l.now})
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.Prune(l.t.Context(), keep, true); err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.Finish(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// figuresIn are the document, with the scores as they are stored, or why there is none.
func figuresIn(t testing.TB, view *archive.View, q Query) string {
	t.Helper()
	p, err := Load(t.Context(), view, q)
	if err != nil {
		return err.Error()
	}
	defer p.Release()
	doc, err := Figures(p)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.MarshalIndent([]any{doc, doc.Background, p.Scores, p.PreviousScores, p.MonthlyCost}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestCondense_FiguresAreThoseOfEveryDay follows random partners over a year of extractions
// that skip days, restate others and go back, prunes now and then, and computes periods of now
// and of then, as of now and of then, with what is condensed and without.
func TestCondense_FiguresAreThoseOfEveryDay(t *testing.T) {
	condensed := 0
	for seed := range uint64(12) {
		l, r := newLab(t), rand.New(rand.NewPCG(seed, 3))
		first := data.DayOf(l.now) - 330
		from, versions := first, []map[archive.Table]int64{}
		for n := range 3 + r.IntN(4) {
			days := data.Period{From: from, To: from + data.Day(20+r.IntN(131))}
			if n > 0 && r.IntN(4) == 0 {
				days.From = max(first, days.From-data.Day(1+r.IntN(200)))
			}
			days.To = min(days.To, data.DayOf(l.now)-1)
			days.From = min(days.From, days.To)
			s := customersOf(r, days)
			if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: days.To + 1, Days: &days}); err != nil {
				t.Fatal(err)
			}
			if r.IntN(6) == 0 {
				l.prune(archive.Retention{Tables: map[archive.Table]int{archive.UsageDaily: 150 + r.IntN(171)}})
			}
			versions = append(versions, l.view().Versions())
			from = days.To + 1 + data.Day(r.IntN(6))
		}
		at := versions[r.IntN(len(versions))]
		view, err := l.arc.ViewAt(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		all := view.UsageDays()
		spec, err := data.ParsePeriod([]string{"latest-7d", "last-month", "last-30d", "last-week"}[r.IntN(4)])
		if err != nil {
			t.Fatal(err)
		}
		q := Query{Period: spec, Ref: all[len(all)-1].Day + 1 - data.Day(r.IntN(41)), SettleDays: r.IntN(6), Trend: r.IntN(2) == 0}
		past, _, err := view.Past(t.Context(), all[len(all)-1].Day)
		if err != nil {
			t.Fatal(err)
		}
		if past != nil {
			past.Release()
			condensed++
		}
		if diff := cmp.Diff(withoutPast(t, l, at, q), figuresIn(t, view, q)); diff != "" {
			t.Errorf("partner %d: figures of %+v (-every day +condensed):\n%s", seed, q, diff)
		}
	}
	if condensed < 4 {
		t.Errorf("only %d times something was condensed", condensed)
	}
}

// customersOf delivers some customers whose days vary.
func customersOf(r *rand.Rand, days data.Period) *fakeSource {
	s := &fakeSource{kind: "tables"}
	for i := range 6 {
		customer, subscription := fmt.Sprint("c", i%4), fmt.Sprint("s", i)
		if i != 5 { // one that no inventory has
			s.subscriptions = append(s.subscriptions, data.Subscription{SubscriptionID: data.SubscriptionID(subscription), CustomerID: data.CustomerID(customer), Status: data.StatusActive})
			s.customers = append(s.customers, data.Customer{CustomerID: data.CustomerID(customer), Source: "tables"})
		} else {
			customer = "nobody"
		}
		from, rate := days.From+data.Day(r.IntN(60)), []float64{1, .9, .3}[r.IntN(3)]
		for d := from; d <= days.To-data.Day(r.IntN(2)*r.IntN(40)); d++ {
			if r.Float64() > rate {
				continue
			}
			row := used(d, customer, subscription)
			row.Category, row.Currency = []string{"Storage", "Compute"}[r.IntN(2)], []string{"EUR", "USD"}[i%2]
			row.Cost = decimal(fmt.Sprintf("%d.%02d", r.IntN(50), r.IntN(100)))
			s.usage = append(s.usage, row)
		}
	}
	seen := map[data.CustomerID]bool{}
	kept := s.customers[:0]
	for _, c := range s.customers {
		if id := c.(data.Customer).CustomerID; !seen[id] {
			seen[id], kept = true, append(kept, c)
		}
	}
	s.customers = kept
	return s
}

// TestCondense_TheLastSundaysThatNoWeeklyDigestLooksAtOneByOne has half a year of days.
func TestCondense_TheLastSundaysThatNoWeeklyDigestLooksAtOneByOne(t *testing.T) {
	var days []archive.DayState
	first, err := data.ParseDay("2026-01-01")
	if err != nil {
		t.Fatal(err)
	}
	for d := range data.Day(200) {
		days = append(days, archive.DayState{Day: first + d, Rows: 1})
	}
	for _, c := range []struct {
		days int
		want []string
	}{
		{0, nil}, {92, nil}, {129, nil}, {130, []string{"2026-02-01"}}, {143, []string{"2026-02-08", "2026-02-01"}}, // 1 Feb is day 32
		{200, []string{"2026-04-12", "2026-04-05"}},
	} {
		var got []string
		for _, d := range condensedDays(days[:c.days]) {
			got = append(got, d.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("of %d days (-want +got):\n%s", c.days, diff)
		}
	}
}
