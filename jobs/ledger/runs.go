package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// RunState is where a run stands.
type RunState string

// The states of a run.
const (
	Queued  RunState = "queued"
	Running RunState = "running"
	Done    RunState = "done"
	Warned  RunState = "warned"  // done, with warnings
	Failed  RunState = "failed"  // every attempt failed
	Held    RunState = "held"    // waits for release or drop
	Skipped RunState = "skipped" // never ran: why is in Note
)

// Run is one execution of a job for one slot.
type Run struct {
	ID       string     `json:"id"` // job@slot
	Job      string     `json:"job"`
	Slot     time.Time  `json:"slot"`
	State    RunState   `json:"state"`
	Attempt  int        `json:"attempt"` // fences off whoever held it before: it only grows
	Tries    int        `json:"tries"`   // since it was last asked for, those that did not begin aside
	Due      time.Time  `json:"due"`
	Owner    string     `json:"owner"`
	Lease    time.Time  `json:"lease"`
	Started  *time.Time `json:"started"`
	Finished *time.Time `json:"finished"`
	Note     string     `json:"note"`
	Result   string     `json:"result"`  // JSON of the job's own
	Asked    bool       `json:"asked"`   // by a person, for a time that need not be of the schedule
	Only     string     `json:"only"`    // the one recipient it is for; empty: all
	Again    string     `json:"again"`   // why it sends what was sent; empty: it does not
	Cleared  bool       `json:"cleared"` // its mails are stored and may leave
}

const runColumns = `id, job, slot, state, attempt, tries, due, owner, lease, started, finished, note, result, asked, only_to, again, cleared`

func scanRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var slot, due, lease, asked, cleared int64
	var started, finished sql.NullInt64
	err := row.Scan(&r.ID, &r.Job, &slot, &r.State, &r.Attempt, &r.Tries, &due, &r.Owner, &lease, &started, &finished, &r.Note, &r.Result, &asked, &r.Only, &r.Again, &cleared)
	r.Asked, r.Cleared = asked == 1, cleared == 1
	r.Slot, r.Due, r.Lease, r.Started, r.Finished = at(slot), at(due), at(lease), optional(started), optional(finished)
	return r, err
}

// RunID names the run of a job for a slot.
func RunID(job string, slot time.Time) string { return job + "@" + slot.UTC().Format(time.RFC3339) }

// Plan enters a run for each slot of a schedule that has none yet and returns how
// many were new. Any process may plan any slot any number of times; one that a
// person has run is taken for planned from then on.
func (l *Ledger) Plan(ctx context.Context, job string, slots []time.Time) (int, error) {
	planned := 0
	err := l.tx(ctx, func(tx *sql.Tx) error {
		for _, slot := range slots {
			r, err := tx.ExecContext(ctx, `INSERT INTO runs (id, job, slot, state, due) VALUES ($1, $2, $3, $4, $3)
				ON CONFLICT (id) DO UPDATE SET asked = 0 WHERE runs.asked = 1`,
				RunID(job, slot), job, slot.UnixMilli(), Queued)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			planned += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("plan %s: %w", job, err)
	}
	return planned, nil
}

// Skip enters a run that will never run, with the reason, unless the slot has
// one already.
func (l *Ledger) Skip(ctx context.Context, job string, slot time.Time, why string) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO runs (id, job, slot, state, due, finished, note) VALUES ($1, $2, $3, $4, $3, $5, $6)
		ON CONFLICT (id) DO UPDATE SET asked = 0 WHERE runs.asked = 1`,
		RunID(job, slot), job, slot.UnixMilli(), Skipped, l.now(), why)
	if err != nil {
		return fmt.Errorf("skip %s: %w", RunID(job, slot), err)
	}
	return nil
}

// LastPlanned returns the newest slot of its schedule that was planned or skipped
// for a job; ok is false for a job that was never planned.
func (l *Ledger) LastPlanned(ctx context.Context, job string) (slot time.Time, ok bool, err error) {
	// The newest by the index: hourly jobs have thousands of slots.
	return l.lastSlot(ctx, `SELECT max(slot) FROM (SELECT slot FROM runs WHERE job = $1 AND asked = 0 ORDER BY slot DESC LIMIT 1) AS newest`, job)
}

// LastSlot returns the newest slot of a job that has come, those among them that
// a person asked for; ok is false for a job that the ledger has never seen.
func (l *Ledger) LastSlot(ctx context.Context, job string) (slot time.Time, ok bool, err error) {
	return l.lastSlot(ctx, `SELECT max(slot) FROM runs WHERE job = $1 AND slot <= $2`, job, l.now())
}

func (l *Ledger) lastSlot(ctx context.Context, query string, args ...any) (time.Time, bool, error) {
	var ms sql.NullInt64
	if err := l.db.QueryRowContext(ctx, query, args...).Scan(&ms); err != nil {
		return time.Time{}, false, fmt.Errorf("last slot of %s: %w", args[0], err)
	}
	return at(ms.Int64), ms.Valid, nil
}

// Claim takes a queued run that is due and marks it running; nil when there is
// none, or when another run of the job is going on. Runs whose lease ran out are
// queued again first. Paused jobs are passed over. An empty job means any.
func (l *Ledger) Claim(ctx context.Context, job string) (*Run, error) { return l.claim(ctx, job, "") }

// ClaimRun is Claim for one run, due or not, and of a paused job too: a person
// asks for it.
func (l *Ledger) ClaimRun(ctx context.Context, id string) (*Run, error) { return l.claim(ctx, "", id) }

func (l *Ledger) claim(ctx context.Context, job, id string) (claimed *Run, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) (err error) {
		claimed, err = l.claimIn(ctx, tx, job, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claim a run: %w", err)
	}
	return claimed, nil
}

func (l *Ledger) claimIn(ctx context.Context, tx *sql.Tx, job, id string) (*Run, error) {
	now := l.now()
	if err := l.expireDead(ctx, tx); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE runs SET state = $1, owner = '', note = 'taken over: the lease of ' || owner || ' ran out' WHERE state = $2 AND lease < $3`,
		Queued, Running, now); err != nil {
		return nil, err
	}
	r, err := scanRun(tx.QueryRowContext(ctx, `UPDATE runs SET state = $1, attempt = attempt + 1, tries = tries + 1, owner = $2, lease = $3, started = $4
		WHERE state = $5 AND id = (SELECT q.id FROM runs q WHERE q.state = $5 AND (q.job = $6 OR $6 = '')
			AND (q.id = $7 OR $7 = '' AND q.due <= $4 AND NOT EXISTS (SELECT 1 FROM pauses p WHERE p.job = q.job))
			AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.job = q.job AND o.state = $1)
			ORDER BY q.due, q.id LIMIT 1)
		RETURNING `+runColumns, Running, l.o.Owner, now+l.o.Lease.Milliseconds(), now, Queued, job, id))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// expireDead ends the leases of owners that are known to be gone.
func (l *Ledger) expireDead(ctx context.Context, tx *sql.Tx) error {
	if l.o.Dead == nil {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT DISTINCT owner FROM runs WHERE state = $1`, Running)
	if err != nil {
		return err
	}
	owners, err := collect(rows, func(row interface{ Scan(...any) error }) (owner string, err error) { return owner, row.Scan(&owner) })
	if err != nil {
		return err
	}
	for _, owner := range owners {
		if owner == l.o.Owner || !l.o.Dead(owner) {
			continue
		}
		if _, err := tx.ExecContext(ctx, `UPDATE runs SET lease = 0 WHERE state = $1 AND owner = $2`, Running, owner); err != nil {
			return err
		}
	}
	return nil
}

// Renew holds a run for another lease. ErrTakenOver means: stop at once.
func (l *Ledger) Renew(ctx context.Context, r *Run) error {
	until := l.now() + l.o.Lease.Milliseconds()
	err := changed(l.db.ExecContext(ctx, `UPDATE runs SET lease = $1 WHERE id = $2 AND attempt = $3 AND state = $4`, until, r.ID, r.Attempt, Running))
	if err != nil {
		return fmt.Errorf("renew run %s: %w", r.ID, err)
	}
	r.Lease = at(until)
	return nil
}

// Finish ends a run of this attempt.
func (l *Ledger) Finish(ctx context.Context, r *Run, state RunState, note, result string) error {
	err := changed(l.db.ExecContext(ctx, `UPDATE runs SET state = $1, finished = $2, note = $3, result = $4 WHERE id = $5 AND attempt = $6 AND state = $7`,
		state, l.now(), note, result, r.ID, r.Attempt, Running))
	if err != nil {
		return fmt.Errorf("finish run %s: %w", r.ID, err)
	}
	return nil
}

// Requeue gives a run of this attempt back, to be tried again at due.
func (l *Ledger) Requeue(ctx context.Context, r *Run, due time.Time, note string) error {
	err := changed(l.db.ExecContext(ctx, `UPDATE runs SET state = $1, owner = '', due = $2, note = $3 WHERE id = $4 AND attempt = $5 AND state = $6`,
		Queued, due.UnixMilli(), note, r.ID, r.Attempt, Running))
	if err != nil {
		return fmt.Errorf("requeue run %s: %w", r.ID, err)
	}
	return nil
}

// Clear notes that the mails of a run are stored and may leave, with what the run
// says about them: from here on whoever has the run delivers them, and earlier editions that
// have not left do not any more. Mails that wait in other runs are moved to it, and tried until
// the deadline; those that are not as they were read are left: they have left, or
// another run has them, or their own is held or going on. A run that has nothing left to
// deliver is due, so that somebody settles it.
func (l *Ledger) Clear(ctx context.Context, r *Run, result string, deadline time.Time, waiting ...Delivery) (left []Delivery, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if err := changed(tx.ExecContext(ctx, `UPDATE runs SET cleared = 1, result = $1 WHERE id = $2 AND attempt = $3 AND state = $4`, result, r.ID, r.Attempt, Running)); err != nil {
			return err
		}
		if err := l.supersede(ctx, tx, r.ID); err != nil {
			return err
		}
		for _, d := range waiting {
			if err := l.adopt(ctx, tx, d, r.ID, deadline); errors.Is(err, ErrTakenOver) {
				left = append(left, d)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("clear run %s: %w", r.ID, err)
	}
	r.Cleared, r.Result = true, result
	return left, nil
}

// Run returns one run.
func (l *Ledger) Run(ctx context.Context, id string) (Run, error) {
	r, err := scanRun(l.db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, fmt.Errorf("run %s: %w", id, ErrNotFound)
	}
	return r, err
}

// Runs returns the newest runs of a job, or of all jobs, the newest first.
func (l *Ledger) Runs(ctx context.Context, job string, limit int) ([]Run, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT `+runColumns+` FROM runs WHERE job = $1 OR $1 = '' ORDER BY slot DESC, id LIMIT $2`, job, limit)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return collect(rows, scanRun)
}

// SentRuns returns the runs that ended well and sent a mail of a role, the newest
// first.
func (l *Ledger) SentRuns(ctx context.Context, role string) ([]Run, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT `+runColumns+` FROM runs WHERE state IN ($1, $2)
		AND EXISTS (SELECT 1 FROM deliveries d WHERE d.run = runs.id AND d.role = $3 AND d.state = $4) ORDER BY slot DESC, id`, Done, Warned, role, Sent)
	if err != nil {
		return nil, fmt.Errorf("list runs that sent to %s: %w", role, err)
	}
	return collect(rows, scanRun)
}

// Overtake skips the slots of a job before one that nobody has begun.
func (l *Ledger) Overtake(ctx context.Context, job string, slot time.Time, why string) error {
	_, err := l.db.ExecContext(ctx, `UPDATE runs SET state = $1, finished = $2, note = $3 WHERE job = $4 AND slot < $5 AND state = $6 AND tries = 0 AND asked = 0 AND cleared = 0`,
		Skipped, l.now(), why, job, slot.UnixMilli(), Queued)
	if err != nil {
		return fmt.Errorf("overtake slots of %s: %w", job, err)
	}
	return nil
}

// LastIn returns the newest run of a job in a state, nil for none.
func (l *Ledger) LastIn(ctx context.Context, job string, state RunState) (*Run, error) {
	r, err := scanRun(l.db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE job = $1 AND state = $2 ORDER BY slot DESC LIMIT 1`, job, state))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("last %s run of %s: %w", state, job, err)
	}
	return &r, nil
}

// collect scans and closes rows.
func collect[T any](rows *sql.Rows, scan func(interface{ Scan(...any) error }) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// Prune removes runs that ended before a time with their deliveries, except
// deliveries that still need a person, and mails that no delivery refers to.
func (l *Ledger) Prune(ctx context.Context, before time.Time) (runs, mails int64, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		const old = `SELECT id FROM runs WHERE finished IS NOT NULL AND finished < $1`
		if _, err := tx.ExecContext(ctx, `DELETE FROM deliveries WHERE state IN ('sent', 'failed', 'diverted', 'dropped', 'given_up') AND run IN (`+old+`)`, before.UnixMilli()); err != nil {
			return err
		}
		// The newest slot of a job stays: the planner counts from it.
		r, err := tx.ExecContext(ctx, `DELETE FROM runs WHERE id IN (`+old+`) AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run = runs.id)
			AND (asked = 1 OR slot < (SELECT max(n.slot) FROM runs n WHERE n.job = runs.job AND n.asked = 0))`, before.UnixMilli())
		if err != nil {
			return err
		}
		if runs, err = r.RowsAffected(); err != nil {
			return err
		}
		if r, err = tx.ExecContext(ctx, `DELETE FROM mails WHERE sha256 NOT IN (SELECT sha256 FROM deliveries)`); err != nil {
			return err
		}
		mails, err = r.RowsAffected()
		return err
	})
	if err != nil {
		err = fmt.Errorf("prune ledger: %w", err)
	}
	return runs, mails, err
}

// Newest returns the newest run of a job with a slot at or before a time, those
// that never ran aside; nil for none.
func (l *Ledger) Newest(ctx context.Context, job string, slot time.Time) (*Run, error) {
	r, err := scanRun(l.db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE job = $1 AND slot <= $2 AND state <> $3 ORDER BY slot DESC LIMIT 1`,
		job, slot.UnixMilli(), Skipped))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("newest run of %s: %w", job, err)
	}
	return &r, nil
}

// Postpone gives a run back that did not begin: the try does not count.
func (l *Ledger) Postpone(ctx context.Context, r *Run, due time.Time, note string) error {
	err := changed(l.db.ExecContext(ctx, `UPDATE runs SET state = $1, tries = tries - 1, owner = '', due = $2, note = $3 WHERE id = $4 AND attempt = $5 AND state = $6`,
		Queued, due.UnixMilli(), note, r.ID, r.Attempt, Running))
	if err != nil {
		return fmt.Errorf("postpone run %s: %w", r.ID, err)
	}
	return nil
}
