package partnercenter

import (
	"errors"
	"testing"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestBackfill_SaysFromWhenOn has invoices that state their month, and some whose own
// date tells it.
func TestBackfill_SaysFromWhenOn(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{})
	n.options.Backfill = 6
	n.bill("G000000007", "EUR", time.July, "5")
	n.bill("G000000006", "EUR", time.June, "5") // every second one has no billing period
	if offer, err := n.source().Backfill(t.Context()); err != nil || offer.From != "2026-06" || offer.Invoices != 2 {
		t.Errorf("%+v, %v", offer, err)
	}
	t.Run("one that nobody knows the month of does not say it", func(t *testing.T) {
		n.pay("G000000001", "EUR", time.October, "5")
		n.closeList("G000000001")
		if offer, err := n.source().Backfill(t.Context()); err != nil || offer.From != "" || offer.Invoices != 1 {
			t.Errorf("%+v, %v", offer, err)
		}
	})
}

func TestBackfill_WhoseTimeIsOverIsUnfinished(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: 10000, RetryAfter: 60}})
	n.options.Backfill, n.options.TimeLimit = 6, 10*time.Minute
	n.bill("G000000007", "EUR", time.July, "5")
	_, err := n.source().Backfill(t.Context())
	var unfinished *data.Unfinished
	if !errors.As(err, &unfinished) || unfinished.Done != "0 of 1 invoices are asked for" {
		t.Errorf("err = %v", err)
	}
}
