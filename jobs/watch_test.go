package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/jobs/ledger"
)

// TestWatch_IsToldOfEveryBeginningAndEnd has a job fail, and then end well.
func TestWatch_IsToldOfEveryBeginningAndEnd(t *testing.T) {
	fails := true
	job := testJob(t, "nightly", "* * * * *", func(*ledger.Run) error {
		if fails {
			return errors.New("the source is down")
		}
		return nil
	})
	p := newPlant(t, time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC), job)
	var told []string
	p.runner.Watch = Watch{
		Began: func(r ledger.Run) { told = append(told, "began "+string(r.State)) },
		Ended: func(s Stop) { told = append(told, "ended "+string(s.Run.State)) },
	}
	p.turn()
	p.pass(time.Minute)
	p.turn()
	fails = false
	p.pass(time.Minute)
	p.turn()
	want := []string{"began running", "ended queued", "began running", "ended done"}
	if diff := cmp.Diff(want, told[:min(len(told), len(want))]); diff != "" {
		t.Error(diff)
	}
	ticks := 0
	ctx, stop := context.WithCancel(t.Context())
	p.runner.Watch = Watch{Ticked: func() { ticks++; stop() }}
	if err := p.runner.Serve(ctx, time.Hour, nil); err != nil || ticks != 1 {
		t.Errorf("serve ended with %v after %d ticks, want 1", err, ticks)
	}
}
