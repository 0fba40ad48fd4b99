package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What people ask of the ledger, and decide.

// errNotBegun takes back what Begin entered.
var errNotBegun = errors.New("not begun")

// Begin enters a run that a person asks for and claims it. One that has ended
// runs again, as if it never had; what it delivered stays delivered. One that
// waits is claimed as it is, whatever is asked of it: see Only and Again. It
// returns nil, and has changed nothing, when the run is held, or goes on, or
// another of the job does.
func (l *Ledger) Begin(ctx context.Context, job string, slot time.Time, only, again string) (*Run, error) {
	var begun *Run
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO runs (id, job, slot, state, due, asked, only_to, again, note) VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $7)
			ON CONFLICT (id) DO UPDATE SET state = $4, due = $5, tries = 0, finished = NULL, result = '', cleared = 0, only_to = $6, again = $7, note = $7
			WHERE runs.state IN ($8, $9, $10, $11)`,
			RunID(job, slot), job, slot.UnixMilli(), Queued, l.now(), only, again, Done, Warned, Failed, Skipped); err != nil {
			return err
		}
		var err error
		if begun, err = l.claimIn(ctx, tx, "", RunID(job, slot)); err == nil && begun == nil {
			err = errNotBegun
		}
		return err
	})
	if errors.Is(err, errNotBegun) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("begin run %s: %w", RunID(job, slot), err)
	}
	return begun, nil
}

// Release lets a held run go on: with delivering its mails, which are tried until
// the deadline, or from its beginning when it was held before it had any.
func (l *Ledger) Release(ctx context.Context, id string, deadline time.Time, note string) error {
	err := l.tx(ctx, func(tx *sql.Tx) error {
		mails, err := tx.ExecContext(ctx, `UPDATE deliveries SET deadline = $1 WHERE run = $2 AND state = $3`, deadline.UnixMilli(), id, Pending)
		if err != nil {
			return err
		}
		stored, err := mails.RowsAffected()
		if err == nil {
			err = l.supersede(ctx, tx, id)
		}
		if err != nil {
			return err
		}
		return changed(tx.ExecContext(ctx, `UPDATE runs SET state = $1, due = $2, note = $3, finished = NULL, cleared = $4 WHERE id = $5 AND state = $6`,
			Queued, l.now(), note, min(stored, 1), id, Held))
	})
	if errors.Is(err, ErrTakenOver) {
		return fmt.Errorf("run %s is not held", id)
	} else if err != nil {
		return fmt.Errorf("release run %s: %w", id, err)
	}
	return nil
}

// DropRun gives a held run up with every mail of it that has not left, and
// returns how many those were.
func (l *Ledger) DropRun(ctx context.Context, id string) (dropped int64, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if err := changed(tx.ExecContext(ctx, `UPDATE runs SET state = $1, finished = $2, note = 'dropped' WHERE id = $3 AND state = $4`, Skipped, l.now(), id, Held)); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `DELETE FROM deliveries WHERE run = $1 AND state = $2`, id, Pending)
		if err != nil {
			return err
		}
		dropped, err = r.RowsAffected()
		return err
	})
	if errors.Is(err, ErrTakenOver) {
		return 0, fmt.Errorf("run %s is not held", id)
	}
	return dropped, err
}

// Again queues a delivery once more that failed or is unknown, as a person asks,
// and its run to deliver it. A run that is held or going on is left alone.
func (l *Ledger) Again(ctx context.Context, id string, deadline time.Time, note string) error {
	return l.tx(ctx, func(tx *sql.Tx) error {
		d, err := scanDelivery(tx.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1`, id))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("delivery %s: %w", id, ErrNotFound)
		case err != nil:
			return err
		case d.State != Refused && d.State != Unknown && d.State != Bounced:
			return fmt.Errorf("delivery %s is %s: only a failed, bounced or unknown one is sent again", id, d.State)
		}
		r, err := scanRun(tx.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE id = $1`, d.Run))
		switch {
		case err != nil:
			return fmt.Errorf("run %s of delivery %s: %w", d.Run, id, err)
		case r.State == Held:
			return fmt.Errorf("delivery %s belongs to run %s, which is held: release or drop that first", id, d.Run)
		case r.State == Running || r.State == Queued && !r.Cleared:
			return fmt.Errorf("delivery %s belongs to run %s, which is %s: wait for its end", id, d.Run, r.State)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE runs SET state = $1, due = $2, tries = 0, finished = NULL, cleared = 1, note = $3 WHERE id = $4`, Queued, l.now(), note, d.Run); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, due = $2, deadline = $3, reply = $4, updated = $2 WHERE id = $5`,
			Pending, l.now(), deadline.UnixMilli(), note, id)
		return err
	})
}

// Mark is a person's word on a delivery: from is what it must be in.
func (l *Ledger) Mark(ctx context.Context, id string, to DeliveryState, note string, from ...DeliveryState) error {
	d, err := l.Delivery(ctx, id)
	if err != nil {
		return err
	}
	for _, f := range from {
		if d.State == f {
			return l.Advance(ctx, &d, f, to, note)
		}
	}
	return fmt.Errorf("delivery %s is %s, not %v", id, d.State, from)
}

// Suppress keeps an address from being mailed.
func (l *Ledger) Suppress(ctx context.Context, address, reason string) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO suppressions (address, reason, since) VALUES ($1, $2, $3) ON CONFLICT (address) DO NOTHING`,
		strings.ToLower(address), reason, l.now())
	return err
}

// Unsuppress lets an address be mailed again.
func (l *Ledger) Unsuppress(ctx context.Context, address string) error {
	_, err := l.db.ExecContext(ctx, `DELETE FROM suppressions WHERE address = $1`, strings.ToLower(address))
	return err
}

// Suppressed returns why an address is not mailed; ok is false when it is.
func (l *Ledger) Suppressed(ctx context.Context, address string) (reason string, ok bool, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT reason FROM suppressions WHERE address = $1`, strings.ToLower(address)).Scan(&reason)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	return reason, err == nil, err
}

// Pause keeps a job from running until Resume; its slots are still planned.
func (l *Ledger) Pause(ctx context.Context, job, note string) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO pauses (job, note, since) VALUES ($1, $2, $3) ON CONFLICT (job) DO UPDATE SET note = excluded.note`, job, note, l.now())
	return err
}

// Resume ends a pause.
func (l *Ledger) Resume(ctx context.Context, job string) error {
	_, err := l.db.ExecContext(ctx, `DELETE FROM pauses WHERE job = $1`, job)
	return err
}

// Paused returns the paused jobs with the note of each.
func (l *Ledger) Paused(ctx context.Context) (map[string]string, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT job, note FROM pauses`)
	if err != nil {
		return nil, err
	}
	type pause struct{ job, note string }
	all, err := collect(rows, func(row interface{ Scan(...any) error }) (p pause, err error) { return p, row.Scan(&p.job, &p.note) })
	paused := map[string]string{}
	for _, p := range all {
		paused[p.job] = p.note
	}
	return paused, err
}
