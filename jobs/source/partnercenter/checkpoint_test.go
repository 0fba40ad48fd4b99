package partnercenter

import (
	"fmt"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestCheckpoint_ExportsAreOfTheirFirstDay stops before the end again and again:
// exports are gone on with for as long as they may be, not for as long as somebody
// goes on with them.
func TestCheckpoint_ExportsAreOfTheirFirstDay(t *testing.T) {
	p := handMade(line(nil))
	feeds, current := p.Usage.(fakemicrosoft.Fixed), fakemicrosoft.Feed{Currency: "EUR", Period: "current"}
	s := newSide(t, p, fakemicrosoft.Options{})
	for _, test := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 11, 20, 20, 0, 0, 0, time.UTC), "1 rows, 0.04"},
		{time.Date(2026, 11, 21, 0, 30, 0, 0, time.UTC), "1 rows, 0.04"},
		{time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC), "1 rows, 0.04"}, // 19 hours after the order
		{time.Date(2026, 11, 21, 17, 0, 0, 0, time.UTC), "4 rows, 0.16"}, // 21 hours after it
		{time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC), "4 rows, 0.16"},
		{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), "4 rows, 0.16"},
		{time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC), "7 rows, 0.28"},
	} {
		t.Run(fmt.Sprint(test.at.Format(time.DateTime)), func(t *testing.T) {
			s.clock.at = test.at
			if got := s.usage(s.source(), nil).byPeriod()["2026-11 EUR"]; got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
		feeds[current] = append(feeds[current], line(nil))
	}
}

// TestCheckpoint_AnInventoryOutlivesOlderExports has exports come to an end on the
// day that an inventory is read of.
func TestCheckpoint_AnInventoryOutlivesOlderExports(t *testing.T) {
	s := newSide(t, smallPartner(), fakemicrosoft.Options{})
	s.clock.at = time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)
	s.usage(s.source(), nil)
	s.clock.at = time.Date(2026, 11, 25, 2, 0, 0, 0, time.UTC)
	s.isTruth(s.inventory(s.source()))
	s.clock.at = time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC)
	asked, blobs := s.server.Count(fakemicrosoft.API), s.server.Count(fakemicrosoft.Blob)
	source := s.source()
	s.isTruth(s.inventory(source))
	if n := s.server.Count(fakemicrosoft.API) - asked; n != 0 {
		t.Errorf("%d requests for the inventory of the day", n)
	}
	s.isAllUsage(s.usage(source, nil))
	if s.server.Count(fakemicrosoft.Blob) == blobs {
		t.Error("exports of 21 hours ago were taken")
	}
	// What is new is gone on with in its turn.
	blobs = s.server.Count(fakemicrosoft.Blob)
	s.clock.at = time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC)
	s.isAllUsage(s.usage(s.source(), nil))
	if n := s.server.Count(fakemicrosoft.Blob) - blobs; n != 0 {
		t.Errorf("%d blobs were downloaded again", n)
	}
}
