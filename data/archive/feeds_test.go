package archive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

// identity is what the parts with rows say, but for their place on the disk. One
// without rows says only that its day was extracted.
func identity(v *View, t Table) (all []string) {
	for _, p := range v.Parts(t) {
		if p.Rows == 0 {
			continue
		}
		all = append(all, fmt.Sprintf("%s %s %q %d rows %s %v", p.Day, p.Feed, p.BillingPeriod, p.Rows, p.ContentSHA256, p.Sums))
	}
	return all
}

// TestCommitUsage_FeedsRestatedOneByOneEqualOneFreshLoad has 50 customers' feeds
// in three currencies on the same days, restated one feed at a time in random
// order.
func TestCommitUsage_FeedsRestatedOneByOneEqualOneFreshLoad(t *testing.T) {
	const customers = 50
	random := rand.New(rand.NewPCG(1, 2))
	period := days("2026-11-01", "2026-11-03")
	currencies := []string{"EUR", "USD", "GBP"}
	rows := func(feed int, scale int64) (all []data.Usage) {
		customer, i := feed/len(currencies), feed%len(currencies)
		for d := range period.All() {
			if (customer+i+int(d))%4 == 0 {
				continue // not every feed has a row on every day
			}
			u := scoped(row(d.String(), fmt.Sprintf("c%02d", customer), fmt.Sprint(int64(customer*10+i)*scale)), fmt.Sprintf("scope%02d", customer), "2026-11")
			u.Currency = currencies[i]
			all = append(all, u)
		}
		return all
	}
	feeds := customers * len(currencies)
	restated := newFixture(t, NewMemory())
	var first []data.Usage
	for f := range feeds {
		first = append(first, rows(f, 1)...)
	}
	d := Delivery{Source: "focus", Days: period, Full: true}
	restated.usage(d, first...)
	for round := range 2 { // every feed twice: its last word counts
		for _, f := range random.Perm(feeds) {
			r := restated.begin()
			restated.stage(r, "focus", rows(f, int64(2+round))...)
			if _, err := r.CommitUsage(context.Background(), d); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Finish(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := restated.begin()
	if _, err := r.Rollup(context.Background(), rollup); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}

	fresh := newFixture(t, NewMemory())
	var last []data.Usage
	for _, f := range random.Perm(feeds) {
		last = append(last, rows(f, 3)...)
	}
	fresh.usage(d, last...)
	for _, table := range []Table{UsageTable, UsageDaily} {
		if diff := cmp.Diff(identity(fresh.view(), table), identity(restated.view(), table)); diff != "" {
			t.Errorf("%s (-fresh +restated):\n%s", table, diff)
		}
		if diff := cmp.Diff(dump(t, fresh.view().Scan(t.Context(), table, period)), dump(t, restated.view().Scan(t.Context(), table, period))); diff != "" {
			t.Errorf("%s rows (-fresh +restated):\n%s", table, diff)
		}
	}
}
