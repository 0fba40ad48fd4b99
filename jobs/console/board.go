package console

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// Work is a run that goes on in this process.
type Work struct {
	Run, Job string
	Step     string // e.g. "deliver mails"; empty before the first
	Done, Of int64  // of the step; Of is 0 where nobody knows
	Since    time.Time
}

// Board shows what a runner does now. Any number of goroutines may use it.
type Board struct {
	now func() time.Time

	mu      sync.Mutex
	running map[string]Work // by id of the run
	tick    time.Time       // zero before the first
	changed chan struct{}   // closed with the next change

	counters *counters
}

// NewBoard returns an empty board.
func NewBoard(now func() time.Time) *Board {
	return &Board{now: now, running: map[string]Work{}, changed: make(chan struct{}), counters: newCounters()}
}

// Watch is how a runner tells the board what it does.
func (b *Board) Watch() jobs.Watch {
	return jobs.Watch{Ticked: b.ticked, Began: b.began, Ended: b.ended}
}

// Step notes how far a run is; one that did not begin here is none of the board's.
func (b *Board) Step(run, step string, done, of int64) {
	b.change(func() {
		if w, found := b.running[run]; found {
			w.Step, w.Done, w.Of = step, done, max(of, 0)
			b.running[run] = w
		}
	})
}

// Running returns what goes on, the longest first.
func (b *Board) Running() []Work {
	all, _ := b.look()
	return all
}

// look returns what goes on, and a channel that is closed when that changes.
func (b *Board) look() ([]Work, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Work, 0, len(b.running))
	for _, w := range b.running {
		all = append(all, w)
	}
	slices.SortFunc(all, func(x, y Work) int { return cmp.Or(x.Since.Compare(y.Since), cmp.Compare(x.Run, y.Run)) })
	return all, b.changed
}

// lastTick is when the scheduler last looked for due slots.
func (b *Board) lastTick() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tick
}

func (b *Board) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *Board) ticked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick = b.now()
}

func (b *Board) began(r ledger.Run) {
	b.change(func() { b.running[r.ID] = Work{Run: r.ID, Job: r.Job, Since: b.now()} })
}

func (b *Board) ended(s jobs.Stop) {
	b.change(func() { delete(b.running, s.Run.ID) })
	b.counters.ended(s)
}
