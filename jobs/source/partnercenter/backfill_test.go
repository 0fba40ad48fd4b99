package partnercenter

import (
	"errors"
	"reflect"
	"strings"
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
	t.Run("a list that is refused is told", func(t *testing.T) {
		n.closeList()
		offer, err := n.source().Backfill(t.Context())
		if err != nil || offer.Invoices != 0 || len(offer.Warnings) != 1 || !strings.Contains(offer.Warnings[0], "invoices cannot be listed (answered 403)") {
			t.Errorf("%+v, %v", offer, err)
		}
	})
}

// TestBackfill_WhoseSignatureHasEnded offers again, with manifests that stay as they are
// and do not say how large their files are.
func TestBackfill_WhoseSignatureHasEnded(t *testing.T) {
	n := newNights(t, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Inline: true, SASLife: time.Hour}})
	n.options.Backfill = 6
	n.options.Transport = &sameAnswer{done: map[string][]byte{}}
	n.bill("G000000007", "EUR", time.July, "5")
	first, err := n.source().Backfill(t.Context())
	if err != nil || first.Bytes == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	n.clock.at = n.clock.at.Add(4 * time.Hour)
	if again, err := n.source().Backfill(t.Context()); err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("%+v, want %+v; %v", again, first, err)
	}
	t.Run("one that is refused all the time says so", func(t *testing.T) {
		n.server.Script(fakemicrosoft.RefusedSAS().EveryNth(1))
		if _, err := n.source().Backfill(t.Context()); err == nil || !strings.Contains(err.Error(), "invoice G000000007") {
			t.Errorf("err = %v", err)
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
