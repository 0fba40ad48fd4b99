package transform

import (
	"testing"

	"pgregory.net/rapid"

	"tidemark/data"
)

// TestStatuses_AreWhatWasKnownOnTheDay compares the spans that all snapshots make with the
// statuses of each day when the snapshots after it are not there yet.
func TestStatuses_AreWhatWasKnownOnTheDay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyWorld(rt)
		w.watermark, w.extracted = &w.period.To, []data.Day{w.period.To}
		in, release := w.inputs(mem, 20)
		defer release()
		course := NewCourse(mem)
		defer course.Release()
		for _, s := range in.Inventory {
			if err := course.Add(s.Day, s.Subscriptions); err != nil {
				rt.Fatal(err)
			}
		}
		statuses := course.Statuses()
		var then []Snapshot
		for i, s := range in.Inventory {
			then = append(then, s)
			on := s.Day + data.Day(rapid.IntRange(0, 3).Draw(rt, "later"))
			if i+1 < len(in.Inventory) {
				on = min(on, in.Inventory[i+1].Day-1)
			}
			latest, err := Latest(mem, then, on)
			if err != nil {
				rt.Fatal(err)
			}
			var ids, texts IDs
			c := ColumnsOf(latest)
			id, status := c.IDs("subscription_id", &ids), c.IDs("status", &texts)
			for row := range c.Rows() {
				name, want := ids.Text(id.At(row)), data.Status(texts.Text(status.At(row)))
				got := data.Status("")
				for _, span := range statuses.Of(name) {
					if span.From <= on {
						got = span.Status
					}
				}
				if got != want {
					rt.Errorf("%s on %s: %q, was %q then; spans %v", name, on, got, want, statuses.Of(name))
				}
			}
			latest.Release()
		}
	})
}
