package ledger

import (
	"fmt"
	"testing"
	"time"
)

// TestPages_ShowEveryRowOnce walks runs and deliveries in pages of every size:
// many of them share their time.
func TestPages_ShowEveryRowOnce(t *testing.T) {
	l, c := newLedger(t)
	const n = 13
	slot := c.now()
	for i := range n {
		if i%3 == 0 {
			slot = slot.Add(time.Minute)
		}
		if err := l.Skip(ctx, fmt.Sprintf("job-%02d", i), slot, "test"); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			c.pass(time.Second)
		}
		mail := Mail{EML: []byte{byte(i)}, Delivery: Delivery{ID: fmt.Sprintf("%02d@partner.example", i), Kind: "digest", Role: "r", Period: "p",
			Recipient: fmt.Sprintf("%d@partner.example", i), Deadline: c.now().Add(time.Hour)}}
		if _, err := l.Enqueue(ctx, "job-00@x", []Mail{mail}); err != nil {
			t.Fatal(err)
		}
	}
	for size := 1; size <= n+1; size++ {
		runs, deliveries := map[string]int{}, map[string]int{}
		last := time.Time{}
		for after := ""; ; {
			page := must[[]Run](t)(l.RunPage(ctx, RunQuery{State: Skipped, After: after, Limit: size}))
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				runs[r.ID]++
				if after = r.ID; !last.IsZero() && r.Slot.After(last) {
					t.Fatalf("pages of %d: %s comes after an older one", size, r.ID)
				}
				last = r.Slot
			}
		}
		for after := ""; ; {
			page := must[[]Delivery](t)(l.DeliveryPage(ctx, Query{State: Pending, Run: "job-00@x", Limit: size}, after))
			if len(page) == 0 {
				break
			}
			for _, d := range page {
				deliveries[d.ID]++
				after = d.ID
			}
		}
		for what, seen := range map[string]map[string]int{"runs": runs, "deliveries": deliveries} {
			if len(seen) != n {
				t.Errorf("pages of %d show %d %s, want %d", size, len(seen), what, n)
			}
			for id, times := range seen {
				if times != 1 {
					t.Errorf("pages of %d show %s %d times", size, id, times)
				}
			}
		}
	}
	if page := must[[]Run](t)(l.RunPage(ctx, RunQuery{After: "gone@x", Limit: 9})); len(page) != 0 {
		t.Errorf("after a run that is gone there are %d", len(page))
	}
}

func TestRunCounts_CountByJobAndState(t *testing.T) {
	l, c := newLedger(t)
	for i := range 3 {
		if err := l.Skip(ctx, "nightly", c.now().Add(time.Duration(i)*time.Hour), "test"); err != nil {
			t.Fatal(err)
		}
	}
	must[int](t)(l.Plan(ctx, "weekly", []time.Time{c.now()}))
	counts := must[[]RunCount](t)(l.RunCounts(ctx))
	if len(counts) != 2 || counts[0] != (RunCount{"nightly", Skipped, 3}) || counts[1] != (RunCount{"weekly", Queued, 1}) {
		t.Errorf("counts %v", counts)
	}
	if err := l.Answers(ctx); err != nil {
		t.Error(err)
	}
}
