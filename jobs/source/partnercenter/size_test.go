package partnercenter

import (
	"runtime"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestInventory_FiveThousandCustomers reads 5,000 customers with 20,000
// subscriptions while the remote side counts its requests a minute: it never has
// to refuse one. The clock is one that only waiting moves, so that the answers
// take no time at all and the budget alone holds the client back.
func TestInventory_FiveThousandCustomers(t *testing.T) {
	p := fakemicrosoft.NewPartner(5, fakemicrosoft.Size{Customers: 5000, Azure: 20000, Lines: 1, Days: 1, Today: start})
	s := newSide(t, p, fakemicrosoft.Options{Log: -1})
	s.options.PageSize, s.options.TimeLimit = 500, 4*time.Hour
	source := s.source()
	inv := s.inventory(source)
	s.isTruth(inv)
	stats := source.Stats()
	t.Logf("%d requests, %d again, %s by the clock", stats.Requests, stats.Retries, s.clock.now().Sub(start))
	if stats.Retries > 0 {
		t.Errorf("%d requests were refused: the budget is not kept", stats.Retries)
	}
	if took := s.clock.now().Sub(start); took > 45*time.Minute {
		t.Errorf("took %s: the budget is not used", took)
	}
}

// TestUsage_MemoryDoesNotGrow reads exports of two sizes and compares the most
// memory in use.
func TestUsage_MemoryDoesNotGrow(t *testing.T) {
	peak := func(lines int) (rows int64, most uint64) {
		p := fakemicrosoft.NewPartner(6, fakemicrosoft.Size{Customers: 10, Azure: 20, Lines: lines, Days: 10, Today: start})
		s := newSide(t, p, fakemicrosoft.Options{Log: -1})
		var tally data.Tally
		for _, err := range s.source().Usage(t.Context(), nil, &tally) {
			if err != nil {
				t.Fatal(err)
			}
			if rows++; rows%2000 == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
		return rows, most
	}
	few, small := peak(20)
	many, large := peak(200)
	t.Logf("%d rows: %d KiB, %d rows: %d KiB", few, small>>10, many, large>>10)
	if many < 8*few || large > small+16<<20 {
		t.Errorf("%d rows hold %d bytes, %d rows %d", few, small, many, large)
	}
}
