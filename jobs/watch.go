package jobs

import (
	"time"

	"tidemark/jobs/ledger"
)

// Watch is told what a Runner does, while it does it. Each function is optional,
// is called by many goroutines, and must not block.
type Watch struct {
	Ticked func() // due slots were looked for
	Began  func(run ledger.Run)
	Ended  func(Stop)
}

// Stop is the end of what a Runner did for a run.
type Stop struct {
	Run    ledger.Run // its state is queued when it is to go on later
	Result any        // of the job's own, such as [Extracted] or [SendResult]; may be nil
	At     time.Time
}

func (w Watch) ticked() {
	if w.Ticked != nil {
		w.Ticked()
	}
}

func (w Watch) began(run ledger.Run) {
	if w.Began != nil {
		w.Began(run)
	}
}

func (w Watch) ended(s Stop) {
	if w.Ended != nil {
		w.Ended(s)
	}
}

// Steps is told how far a job is with one of its steps; nil: nobody is.
type Steps func(step string, done, of int)

func (s Steps) at(step string, done, of int) {
	if s != nil {
		s(step, done, of)
	}
}
