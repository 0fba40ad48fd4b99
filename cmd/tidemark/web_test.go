package main

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/jobs/console"
	"tidemark/jobs/ledger"
)

// TestWatched_ShowsTheStepsOfEachRunApart has two runs report at the same time.
func TestWatched_ShowsTheStepsOfEachRunApart(t *testing.T) {
	now := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	a := &app{environment: environment{stderr: io.Discard, now: func() time.Time { return now }}}
	run := &ledger.Run{ID: "nightly@x", Job: "nightly"}
	if a.watched(run) != a {
		t.Error("without a board there is something to watch")
	}
	a.board = console.NewBoard(a.now)
	weekly := &ledger.Run{ID: "weekly@x", Job: "weekly"}
	for _, r := range []*ledger.Run{run, weekly} {
		a.board.Watch().Began(*r)
	}
	a.watched(run).tellTally(&data.Tally{Read: 70})
	a.watched(weekly).steps()("make mails", 3, 10)
	a.watched(&ledger.Run{ID: "unknown@x"}).tell("nothing", 1, 2)
	a.tell("nobody's", 1, 2)
	want := []console.Work{{Run: "nightly@x", Job: "nightly", Step: "read usage, rows", Done: 70, Since: now}, {Run: "weekly@x", Job: "weekly", Step: "make mails", Done: 3, Of: 10, Since: now}}
	if diff := cmp.Diff(want, a.board.Running()); diff != "" {
		t.Error(diff)
	}
	a.watched(run).tellTally(&data.Tally{Read: 70, Bytes: 512, TotalBytes: 2048})
	if got := a.board.Running()[0]; got.Step != "read usage, bytes" || got.Done != 512 || got.Of != 2048 {
		t.Errorf("%+v", got)
	}
}
