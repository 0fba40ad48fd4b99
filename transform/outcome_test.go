package transform

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

func TestOutcome_AgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyLongWorld(rt)
		in, release := w.shuffledInputs(rt, mem)
		defer release()
		period := data.Period{From: w.period.From - data.Day(rapid.IntRange(0, 20).Draw(rt, "before")), To: w.period.To}
		o, want := &oracle{world: w}, map[data.SubscriptionID]bool{}
		for _, r := range w.daily {
			if r.SubscriptionID != nil && r.UsageRows > 0 && r.Day >= period.From && r.Day <= period.To && o.isKnown(r.Day) {
				want[*r.SubscriptionID] = true
			}
		}
		got, err := Used(in, period)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("used (-definition +got):\n%s", diff)
		}
	})
}

func TestEndedIn_IsWhatEndedOnADayOfThePeriod(t *testing.T) {
	mem, done := checked(t)
	defer done()
	at := func(s string) *data.Day { return new(mustDay(s)) }
	rec := recordOf(mem, data.SubscriptionsSchema(), []data.Subscription{
		{SubscriptionID: "first", Status: data.StatusSuspended, EndedAt: at("2026-11-06")},
		{SubscriptionID: "last", Status: data.StatusDeprovisioned, EndedAt: at("2026-11-12")},
		{SubscriptionID: "before", Status: data.StatusSuspended, EndedAt: at("2026-11-05")},
		{SubscriptionID: "after", Status: data.StatusSuspended, EndedAt: at("2026-11-13")},
		{SubscriptionID: "back", Status: data.StatusActive, EndedAt: at("2026-11-08")},
		{SubscriptionID: "unknown", Status: data.StatusSuspended},
	}, func(data.Subscription) data.Day { return mustDay("2026-11-20") })
	defer rec.Release()
	got, err := EndedIn(rec, mustPeriod("2026-11-06..2026-11-12"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[data.SubscriptionID]bool{"first": true, "last": true}, got); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}
