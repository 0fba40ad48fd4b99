//go:build !postgres

package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOpenReadOnly_SeesAndCannotChange reads beside an owner that goes on
// writing, and tries every kind of change.
func TestOpenReadOnly_SeesAndCannotChange(t *testing.T) {
	c := &clock{t: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
	file := filepath.Join(t.TempDir(), "a ledger?.db")
	if _, err := OpenReadOnly(ctx, file, Options{Now: c.now}); err == nil {
		t.Error("a ledger that is not there opens")
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("looking at a ledger made one: %v", err)
	}
	owner := open(t, file, "a", c)
	l, err := OpenReadOnly(ctx, file, Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	must[int](t)(owner.Plan(ctx, "nightly", []time.Time{c.now()}))
	if runs := must[[]Run](t)(l.RunPage(ctx, RunQuery{Limit: 9})); len(runs) != 1 {
		t.Errorf("it sees %d runs, want the one", len(runs))
	}
	_, plan := l.Plan(ctx, "weekly", []time.Time{c.now()})
	_, claim := l.Claim(ctx, "")
	for what, err := range map[string]error{"plan": plan, "claim": claim, "skip": l.Skip(ctx, "weekly", c.now(), "x"), "pause": l.Pause(ctx, "nightly", "x"),
		"suppress": l.Suppress(ctx, "a@partner.example", "x")} {
		if err == nil || !strings.Contains(err.Error(), "readonly") {
			t.Errorf("%s: %v, want that the database is read-only", what, err)
		}
	}
	if runs := must[[]Run](t)(owner.RunPage(ctx, RunQuery{Limit: 9})); len(runs) != 1 || runs[0].State != Queued {
		t.Errorf("after it the ledger has %+v", runs)
	}
}
