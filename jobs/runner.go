package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
)

// Job is one configured job.
type Job struct {
	Name      string
	Schedule  Schedule
	Do        string // "extract" or "digest"
	Role      string
	Period    data.PeriodSpec
	After     string        // a job whose newest run must have ended well first
	Wait      time.Duration // how long after the slot that is waited for
	Otherwise string        // then: "send" or "skip"
	CatchUp   string        // "latest", "all" or "none" of the slots that were missed
	Send      bool

	// Execute runs the job for a run's slot. Its error is judged: ErrHeld holds
	// the run, a permanent one fails it at once, any other is tried again.
	Execute func(ctx context.Context, run *ledger.Run) (Outcome, error)
}

// Outcome is what a job says about a run that ended.
type Outcome struct {
	Result   any // kept as JSON
	Warnings []string
}

// Permanent marks an error that another try cannot mend.
type Permanent struct{ Err error }

func (p Permanent) Error() string { return p.Err.Error() }
func (p Permanent) Unwrap() error { return p.Err }

// Runner plans the slots of its jobs and executes what is due, one run of a job
// at a time, across any number of processes on one ledger.
type Runner struct {
	Ledger *ledger.Ledger
	Jobs   []Job
	Now    func() time.Time
	Log    *slog.Logger
	Alarms Alarms
	// Deliver goes on with a run whose mails are stored and may leave, of whatever
	// job it is. Required where there are such runs.
	Deliver func(ctx context.Context, run *ledger.Run) (Outcome, error)
	Watch   Watch

	Keep   time.Duration // how long history is kept; 0 means DefaultKeep
	Window time.Duration // slots missed longer ago are not caught up; 0 means seven days
	Tries  int           // of a run that fails; 0 means 3
	Grace  time.Duration // a slot this late still counts as on time; 0 means ten minutes

	extraction turn
	before     *Runner // the first one that this one took over from; nil: none
}

// DefaultKeep is how long the ledger remembers runs and deliveries. What must be
// provable longer is in the archive.
const DefaultKeep = 400 * 24 * time.Hour

// walkLimit bounds how many missed slots are looked at.
const walkLimit = 10_000

// Plan enters every slot that has come since the newest known one. A job seen
// for the first time starts now. Of missed slots those are run that the job
// catches up; the others are entered as skipped, so that nothing is silent.
func (r *Runner) Plan(ctx context.Context) error {
	paused, err := r.Ledger.Paused(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, j := range r.Jobs {
		_, rests := paused[j.Name]
		if err := r.plan(ctx, j, rests); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Runner) plan(ctx context.Context, j Job, paused bool) error {
	now := r.Now()
	last, known, err := r.Ledger.LastPlanned(ctx, j.Name)
	if err != nil {
		return err
	}
	if !known {
		return r.Ledger.Skip(ctx, j.Name, now.Truncate(time.Second), "first seen: slots count from here")
	}
	var due []time.Time
	for slot := j.Schedule.Next(last); !slot.IsZero() && !slot.After(now) && len(due) < walkLimit; slot = j.Schedule.Next(slot) {
		due = append(due, slot)
	}
	window, grace := orDefault(r.Window, 7*24*time.Hour), orDefault(r.Grace, 10*time.Minute)
	for i, slot := range due {
		late := now.Sub(slot)
		why := ""
		switch {
		case paused && j.CatchUp == "none":
			why = "the job was paused, and does not catch up"
		case late <= grace:
		case late > window:
			why = fmt.Sprintf("missed, and longer ago than %s", window)
		case j.CatchUp == "none":
			why = "missed; the job does not catch up"
		case j.CatchUp != "all" && i < len(due)-1:
			why = "missed; the newest slot is run instead"
		}
		if why != "" {
			r.Log.Warn("slot missed", "job", j.Name, "slot", slot, "why", why)
			err = r.Ledger.Skip(ctx, j.Name, slot, why)
		} else {
			_, err = r.Ledger.Plan(ctx, j.Name, []time.Time{slot})
			if err == nil && paused && j.CatchUp != "all" {
				err = r.Ledger.Overtake(ctx, j.Name, slot, "the job was paused; the newest slot is run instead")
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func orDefault(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

// Serve plans and works until the context ends. It then finishes what it has
// begun to send and gives the rest back. No job waits for another: each run that
// is due has a goroutine, and of one job the ledger lets one run go on at a time.
//
// A Runner that comes from next, of the same ledger, takes over with the next tick;
// what the one before has begun ends as it began. nil: none comes.
func (r *Runner) Serve(ctx context.Context, tick time.Duration, next <-chan *Runner) error {
	var working sync.WaitGroup
	defer working.Wait()
	wait := Sleep(r.Now)
	pruned := time.Time{}
	for {
		select {
		case later := <-next:
			later.before = r.first()
			r = later
		default:
		}
		if err := r.Plan(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("plan", "err", err)
		}
		if now := r.Now(); now.Sub(pruned) > 24*time.Hour {
			pruned = now
			if _, _, err := r.Ledger.Prune(ctx, now.Add(-orDefault(r.Keep, DefaultKeep))); err != nil && ctx.Err() == nil {
				r.Log.Error("prune", "err", err)
			}
		}
		for ctx.Err() == nil {
			run, err := r.Ledger.Claim(ctx, "")
			if err != nil && ctx.Err() == nil {
				r.Log.Error("work", "err", err)
			}
			if run == nil {
				break
			}
			r := r
			working.Go(func() {
				if err := r.work(ctx, run); err != nil && ctx.Err() == nil {
					r.Log.Error("work", "run", run.ID, "err", err)
				}
			})
		}
		r.Watch.ticked()
		if err := wait(ctx, r.Now().Add(tick)); err != nil {
			return nil
		}
	}
}

// first is the Runner that the extractions of all that took over from it keep their turn by.
func (r *Runner) first() *Runner {
	if r.before != nil {
		return r.before
	}
	return r
}

// Work claims one run that is due and executes it; worked is false when there is
// none.
func (r *Runner) Work(ctx context.Context, job string) (worked bool, err error) {
	run, err := r.Ledger.Claim(ctx, job)
	if err != nil || run == nil {
		return false, err
	}
	return true, r.work(ctx, run)
}

// work executes a claimed run. Of a job that is not configured, such as one that a
// person asked for on the command line, only stored mails can be gone on with.
func (r *Runner) work(ctx context.Context, run *ledger.Run) error {
	at := slices.IndexFunc(r.Jobs, func(j Job) bool { return j.Name == run.Job })
	switch {
	case at >= 0:
		_, err := r.Execute(ctx, r.Jobs[at], run)
		return err
	case run.Cleared:
		_, err := r.Execute(ctx, Job{Name: run.Job}, run)
		return err
	case run.Asked:
		return r.Ledger.Abandon(ctx, run, "stopped before its mails were made, and no job of the configuration: ask for it again")
	}
	return r.Ledger.Abandon(ctx, run, "the job is not configured any more")
}

// Execute runs a claimed run to its end and writes that down; one that is cleared
// goes on with its mails. The first error is the job's, the second the ledger's; a
// job that fails is no error of the runner.
func (r *Runner) Execute(ctx context.Context, j Job, run *ledger.Run) (jobErr, err error) {
	if run.Cleared {
		j.Execute = r.Deliver
	} else if waits, err := r.waits(ctx, j, run); waits || err != nil {
		return nil, err
	}
	if !run.Cleared {
		r.Alarms.Started(ctx, j.Name)
	}
	r.Watch.began(*run)
	held := *run // the job notes its progress in the run
	runCtx, stop := context.WithCancelCause(ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		r.renew(runCtx, stop, held)
	}()
	out, jobErr := r.guarded(runCtx, j, run)
	stop(nil)
	<-renewed
	err = r.settle(context.WithoutCancel(ctx), j, run, out, jobErr)
	r.Watch.ended(Stop{Run: *run, Result: out.Result, At: r.Now()})
	return jobErr, err
}

// renew holds the lease until the context ends, and ends it when the lease is
// lost.
func (r *Runner) renew(ctx context.Context, stop context.CancelCauseFunc, run ledger.Run) {
	wait := Sleep(r.Now)
	for {
		third := run.Lease.Sub(r.Now()) / 3
		if wait(ctx, r.Now().Add(max(third, time.Second))) != nil {
			return
		}
		if err := r.Ledger.Renew(ctx, &run); err != nil && ctx.Err() == nil {
			r.Log.Error("lease", "run", run.ID, "err", err)
			if errors.Is(err, ledger.ErrTakenOver) {
				stop(err)
				return
			}
		}
	}
}

// guarded executes the job; a panic is an error of this run alone.
func (r *Runner) guarded(ctx context.Context, j Job, run *ledger.Run) (out Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = Permanent{fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	if j.Do == "extract" {
		done, err := r.first().extraction.take(ctx)
		if err != nil {
			return out, err
		}
		defer done()
	}
	return j.Execute(ctx, run)
}

// turn lets one after the other do what two at a time would dispute: extractions
// into one archive. Its zero value is ready.
type turn struct {
	once  sync.Once
	taken chan struct{}
}

// take waits for the turn, or the end of the context. The caller must call done.
func (t *turn) take(ctx context.Context) (done func(), err error) {
	t.once.Do(func() { t.taken = make(chan struct{}, 1) })
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// settle writes the end of a run down, or gives it back for another try.
func (r *Runner) settle(ctx context.Context, j Job, run *ledger.Run, out Outcome, jobErr error) error {
	if out.Result != nil {
		result, err := json.Marshal(out.Result)
		if err != nil {
			return err
		}
		run.Result = string(result)
	}
	var permanent Permanent
	var later Later
	state, note := ledger.Done, ""
	run.State = ledger.Queued // unless it ends here
	switch {
	case jobErr == nil && len(out.Warnings) > 0:
		state, note = ledger.Warned, out.Warnings[0]
	case jobErr == nil:
	case errors.Is(jobErr, ErrHeld):
		state, note = ledger.Held, jobErr.Error()
	case errors.Is(jobErr, ErrNotAccepted):
		state, note = ledger.Warned, jobErr.Error()
	case errors.As(jobErr, &later):
		r.Log.Info("mails wait", "run", run.ID, "mails", later.Mails, "until", later.Until, "why", later.Why)
		if _, err := r.Ledger.Clear(ctx, run, run.Result, time.Time{}); err != nil {
			return err
		}
		return r.Ledger.Postpone(ctx, run, later.Until, later.Error())
	case errors.Is(jobErr, context.Canceled):
		if run.Cleared { // with what had left by then
			if _, err := r.Ledger.Clear(ctx, run, run.Result, time.Time{}); err != nil {
				return err
			}
		}
		return r.Ledger.Postpone(ctx, run, r.Now(), "stopped before its end")
	case errors.As(jobErr, &permanent), run.Tries >= max(r.Tries, 1) && r.Tries > 0, r.Tries == 0 && run.Tries >= 3:
		state, note = ledger.Failed, jobErr.Error()
	default:
		r.Log.Warn("run failed, to be tried again", "run", run.ID, "try", run.Tries, "err", jobErr)
		return r.Ledger.Requeue(ctx, run, r.Now().Add(backoff(run.Tries)), jobErr.Error())
	}
	if err := r.Ledger.Finish(ctx, run, state, note, run.Result); err != nil {
		return err
	}
	run.State = state
	r.Log.Info("run ended", "run", run.ID, "state", state, "note", note)
	known := slices.ContainsFunc(r.Jobs, func(known Job) bool { return known.Name == j.Name })
	return r.Alarms.Ended(ctx, r.Ledger, Ending{Run: *run, State: state, Note: note, Known: known})
}

// waits gives a run back while the job it comes after has not ended well.
func (r *Runner) waits(ctx context.Context, j Job, run *ledger.Run) (bool, error) {
	if j.After == "" || run.Note == Released {
		return false, nil
	}
	newest, err := r.Ledger.Newest(ctx, j.After, run.Slot)
	if err != nil {
		return false, err
	}
	if newest == nil || newest.State == ledger.Done || newest.State == ledger.Warned {
		return false, nil
	}
	if r.Now().Before(run.Slot.Add(j.Wait)) {
		return true, r.Ledger.Postpone(ctx, run, r.Now().Add(time.Minute), "waits for "+newest.ID)
	}
	if j.Otherwise == "skip" {
		return true, r.Ledger.Finish(ctx, run, ledger.Skipped, newest.ID+" did not end well in time", "")
	}
	r.Log.Warn("goes on without", "run", run.ID, "after", newest.ID, "state", newest.State)
	return false, nil
}

// Released is the note of a run that a person let go on.
const Released = "released"
