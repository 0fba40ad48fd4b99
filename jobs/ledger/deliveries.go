package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	Pending  DeliveryState = "pending"
	Sending  DeliveryState = "sending"  // not at the final dot yet: surely not sent
	Dot      DeliveryState = "dot"      // the final dot may be out
	Sent     DeliveryState = "sent"     // accepted by the next hop
	Refused  DeliveryState = "failed"   // refused for good, or not before its deadline
	Bounced  DeliveryState = "bounced"  // it was sent, and came back
	Unknown  DeliveryState = "unknown"  // it may have arrived; a person decides
	Diverted DeliveryState = "diverted" // went to the operator instead; never counts as sent
	GivenUp  DeliveryState = "given_up" // it failed or was unknown, and a person leaves it at that
	Dropped  DeliveryState = "dropped"  // it never left and never will: why is in Reply
)

// DeliveryStates are all of them.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{Pending, Sending, Dot, Sent, Refused, Bounced, Unknown, Diverted, GivenUp, Dropped}
}

// Delivery is one mail to one person, with its outcome. Kind, role, period,
// recipient and edition are its key: the same report reaches nobody twice.
type Delivery struct {
	ID        string        `json:"id"` // Message-ID without brackets
	Run       string        `json:"run"`
	Kind      string        `json:"kind"`
	Role      string        `json:"role"`
	Period    string        `json:"period"` // from..to
	Recipient string        `json:"recipient"`
	Edition   int           `json:"edition"`
	State     DeliveryState `json:"state"`
	Attempt   int           `json:"attempt"`
	Due       time.Time     `json:"due"`
	Deadline  time.Time     `json:"deadline"`
	Subject   string        `json:"subject"`
	Report    string        `json:"report"`
	SHA256    string        `json:"sha256"` // of the sealed mail
	Reply     string        `json:"reply"`  // the relay's last answer
	Created   time.Time     `json:"created"`
	Updated   time.Time     `json:"updated"`
}

const deliveryColumns = `id, run, kind, role, period, recipient, edition, state, attempt, due, deadline, subject, report, sha256, reply, created, updated`

func scanDelivery(row interface{ Scan(...any) error }) (Delivery, error) {
	var d Delivery
	var due, deadline, created, updated int64
	err := row.Scan(&d.ID, &d.Run, &d.Kind, &d.Role, &d.Period, &d.Recipient, &d.Edition, &d.State, &d.Attempt, &due, &deadline,
		&d.Subject, &d.Report, &d.SHA256, &d.Reply, &created, &updated)
	d.Due, d.Deadline, d.Created, d.Updated = at(due), at(deadline), at(created), at(updated)
	return d, err
}

// Mail is a sealed mail to be delivered.
type Mail struct {
	Delivery        // ID, Kind, Role, Period, Recipient, Edition, Deadline, Subject, Report
	EML      []byte // sealed bytes
}

// Enqueue stores the sealed mails of a run as pending deliveries, all in one
// transaction, before the first one leaves. A mail whose key is there already is
// left as it is; an older edition that has not left yet never will. It returns
// how many were new.
func (l *Ledger) Enqueue(ctx context.Context, run string, mails []Mail) (int, error) {
	fresh := 0
	err := l.tx(ctx, func(tx *sql.Tx) error {
		for _, m := range mails {
			sum := sha256.Sum256(m.EML)
			hash := hex.EncodeToString(sum[:])
			if _, err := tx.ExecContext(ctx, `INSERT INTO mails (sha256, eml) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING`, hash, m.EML); err != nil {
				return err
			}
			now := l.now()
			r, err := tx.ExecContext(ctx, `INSERT INTO deliveries (`+deliveryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13, '', $9, $9)
				ON CONFLICT DO NOTHING`, m.ID, run, m.Kind, m.Role, m.Period, strings.ToLower(m.Recipient), m.Edition, Pending, now, m.Deadline.UnixMilli(),
				m.Subject, m.Report, hash)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			fresh += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("store deliveries of %s: %w", run, err)
	}
	return fresh, nil
}

// Recover settles what a crash left of the run, and of every run that nobody
// holds: sending was surely not sent and is pending again, dot may have been and
// is unknown. Only the holder of the run's lease may call it.
func (l *Ledger) Recover(ctx context.Context, run string) (unknown int64, err error) {
	const left = ` WHERE state = $3 AND (run = $4 OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = deliveries.run AND r.state = 'running'))`
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, updated = $2`+left, Pending, l.now(), Sending, run); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, updated = $2, reply = 'the program ended before the answer came'`+left, Unknown, l.now(), Dot, run)
		if err != nil {
			return err
		}
		unknown, err = r.RowsAffected()
		return err
	})
	if err != nil {
		err = fmt.Errorf("recover deliveries of %s: %w", run, err)
	}
	return unknown, err
}

// adopt moves a pending delivery to a run. ErrTakenOver says that it is not as it was read.
func (l *Ledger) adopt(ctx context.Context, tx *sql.Tx, d Delivery, run string, deadline time.Time) error {
	err := changed(tx.ExecContext(ctx, `UPDATE deliveries SET run = $1, due = $2, deadline = $3 WHERE id = $4 AND run = $5 AND state = $6
		AND (run = $1 OR NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = deliveries.run AND r.state IN ($7, $8)))`,
		run, l.now(), deadline.UnixMilli(), d.ID, d.Run, Pending, Running, Held))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE runs SET due = $1 WHERE id = $2 AND state = $3 AND cleared = 1 AND due > $1
		AND NOT EXISTS (SELECT 1 FROM deliveries w WHERE w.run = runs.id AND w.state IN ($4, $5, $6))`, l.now(), d.Run, Queued, Pending, Sending, Dot)
	return err
}

// supersede ends what waits elsewhere of which the run has a later edition.
func (l *Ledger) supersede(ctx context.Context, tx *sql.Tx, run string) error {
	const later = `FROM deliveries n WHERE n.run = $4 AND n.kind = deliveries.kind AND n.role = deliveries.role AND n.period = deliveries.period
		AND n.recipient = deliveries.recipient AND n.edition > deliveries.edition`
	_, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, updated = $2, reply = 'superseded by edition ' || (SELECT max(n.edition) `+later+`)
		WHERE state = $3 AND EXISTS (SELECT 1 `+later+`)`, Dropped, l.now(), Pending, run)
	return err
}

// Emptied returns the runs that wait and have nothing left to deliver: others adopted it.
func (l *Ledger) Emptied(ctx context.Context) (runs []string, err error) {
	rows, err := l.db.QueryContext(ctx, `SELECT id FROM runs WHERE state = $1 AND cleared = 1
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run = runs.id AND d.state IN ($2, $3, $4)) ORDER BY id`, Queued, Pending, Sending, Dot)
	if err != nil {
		return nil, fmt.Errorf("list runs without mails: %w", err)
	}
	return collect(rows, func(row interface{ Scan(...any) error }) (id string, err error) { return id, row.Scan(&id) })
}

// Delay puts every pending delivery of a run off until a time.
func (l *Ledger) Delay(ctx context.Context, run string, until time.Time) error {
	_, err := l.db.ExecContext(ctx, `UPDATE deliveries SET due = $1 WHERE run = $2 AND state = $3 AND due < $1`, until.UnixMilli(), run, Pending)
	if err != nil {
		return fmt.Errorf("delay deliveries of %s: %w", run, err)
	}
	return nil
}

// PutOff has every pending delivery of a run wait until a time for a limit of our
// own, and gives it as much longer to be tried. One whose time is over already
// gets no more.
func (l *Ledger) PutOff(ctx context.Context, run string, until time.Time) error {
	_, err := l.db.ExecContext(ctx, `UPDATE deliveries SET due = $1, deadline = deadline + $1 - CASE WHEN due > $2 THEN due ELSE $2 END
		WHERE run = $3 AND state = $4 AND due < $1 AND deadline >= $2`, until.UnixMilli(), l.now(), run, Pending)
	if err != nil {
		return fmt.Errorf("put off deliveries of %s: %w", run, err)
	}
	return nil
}

// Next takes a pending delivery of the run that is due and marks it sending; nil
// when there is none. Of those that are due together one that was tried goes
// first: it tells what a relay that was down does now.
func (l *Ledger) Next(ctx context.Context, run string) (*Delivery, error) {
	var d Delivery
	err := l.tx(ctx, func(tx *sql.Tx) (err error) {
		d, err = scanDelivery(tx.QueryRowContext(ctx, `UPDATE deliveries SET state = $1, attempt = attempt + 1, updated = $2
			WHERE state = $3 AND id = (SELECT id FROM deliveries WHERE run = $4 AND state = $3 AND due <= $2 ORDER BY due, attempt DESC, id LIMIT 1)
			RETURNING `+deliveryColumns, Sending, l.now(), Pending, run))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("take a delivery of %s: %w", run, err)
	}
	return &d, nil
}

// Advance moves a delivery of this attempt from one state to the next. After
// ErrTakenOver from Sending to Dot the mail must not be finished.
func (l *Ledger) Advance(ctx context.Context, d *Delivery, from, to DeliveryState, reply string) error {
	err := changed(l.db.ExecContext(ctx, `UPDATE deliveries SET state = $1, reply = $2, updated = $3 WHERE id = $4 AND attempt = $5 AND state = $6`,
		to, reply, l.now(), d.ID, d.Attempt, from))
	if err != nil {
		return fmt.Errorf("delivery %s from %s to %s: %w", d.ID, from, to, err)
	}
	d.State, d.Reply = to, reply
	return nil
}

// Settle records an answer that came after all, also for a delivery that was
// already called unknown: an accepted mail is Sent, or Diverted.
func (l *Ledger) Settle(ctx context.Context, d *Delivery, to DeliveryState, reply string) error {
	err := changed(l.db.ExecContext(ctx, `UPDATE deliveries SET state = $1, reply = $2, updated = $3 WHERE id = $4 AND attempt = $5 AND state IN ('dot', 'unknown')`,
		to, reply, l.now(), d.ID, d.Attempt))
	if err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	d.State, d.Reply = to, reply
	return nil
}

// Retry gives a delivery that was surely not sent back, to be tried at due; past
// its deadline it has failed.
func (l *Ledger) Retry(ctx context.Context, d *Delivery, due time.Time, reply string) error {
	if due.After(d.Deadline) {
		return l.Advance(ctx, d, d.State, Refused, "not accepted in time: "+reply)
	}
	err := changed(l.db.ExecContext(ctx, `UPDATE deliveries SET state = $1, due = $2, reply = $3, updated = $4 WHERE id = $5 AND attempt = $6 AND state IN ('sending', 'dot')`,
		Pending, due.UnixMilli(), reply, l.now(), d.ID, d.Attempt))
	if err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	d.State, d.Reply, d.Due = Pending, reply, due
	return nil
}

// Delivery returns one delivery by its id.
func (l *Ledger) Delivery(ctx context.Context, id string) (Delivery, error) {
	d, err := scanDelivery(l.db.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return d, fmt.Errorf("delivery %s: %w", id, ErrNotFound)
	}
	return d, err
}

// Query selects deliveries; an empty field means any.
type Query struct {
	Run, Recipient, Kind, Role, Period, Report string
	State                                      DeliveryState
	Limit                                      int // 0 means 1000
}

// Deliveries returns the deliveries that a query selects, the newest first.
func (l *Ledger) Deliveries(ctx context.Context, q Query) ([]Delivery, error) {
	if q.Limit == 0 {
		q.Limit = 1000
	}
	rows, err := l.db.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE (run = $1 OR $1 = '') AND (recipient = $2 OR $2 = '') AND (state = $3 OR $3 = '') AND (kind = $4 OR $4 = '')
		AND (role = $5 OR $5 = '') AND (period = $6 OR $6 = '') AND (report = $8 OR $8 = '')
		ORDER BY created DESC, recipient, edition DESC LIMIT $7`,
		q.Run, strings.ToLower(q.Recipient), string(q.State), q.Kind, q.Role, q.Period, q.Limit, q.Report)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return collect(rows, scanDelivery)
}

// EML returns the sealed bytes of a mail by their hash.
func (l *Ledger) EML(ctx context.Context, hash string) ([]byte, error) {
	var b []byte
	err := l.db.QueryRowContext(ctx, `SELECT eml FROM mails WHERE sha256 = $1`, hash).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("mail %s: %w", hash, ErrNotFound)
	}
	return b, err
}

// Counts returns how many deliveries of a run, or of all, are in each state.
func (l *Ledger) Counts(ctx context.Context, run string) (map[DeliveryState]int, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT state, count(*) FROM deliveries WHERE run = $1 OR $1 = '' GROUP BY state`, run)
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	type count struct {
		state DeliveryState
		n     int
	}
	all, err := collect(rows, func(row interface{ Scan(...any) error }) (c count, err error) { return c, row.Scan(&c.state, &c.n) })
	counts := map[DeliveryState]int{}
	for _, c := range all {
		counts[c.state] = c.n
	}
	return counts, err
}

// NextDue returns when the earliest pending delivery of a run is due; ok is
// false when none is pending.
func (l *Ledger) NextDue(ctx context.Context, run string) (due time.Time, ok bool, err error) {
	var ms sql.NullInt64
	err = l.db.QueryRowContext(ctx, `SELECT min(due) FROM deliveries WHERE run = $1 AND state = $2`, run, Pending).Scan(&ms)
	return at(ms.Int64), ms.Valid, err
}

// Abandon ends a claimed run that nobody can go on with, and drops the mails of
// it that have not left.
func (l *Ledger) Abandon(ctx context.Context, r *Run, why string) error {
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if err := changed(tx.ExecContext(ctx, `UPDATE runs SET state = $1, finished = $2, note = $3 WHERE id = $4 AND attempt = $5 AND state = $6`,
			Skipped, l.now(), why, r.ID, r.Attempt, Running)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, updated = $2, reply = $3 WHERE run = $4 AND state = $5`, Dropped, l.now(), why, r.ID, Pending)
		return err
	})
	if err != nil {
		return fmt.Errorf("abandon run %s: %w", r.ID, err)
	}
	return nil
}

// Waiting returns how many mails wait that nobody tries: their run has ended, or
// was due before a time and nobody took it. Those of held runs and of paused jobs
// are not among them.
func (l *Ledger) Waiting(ctx context.Context, before time.Time) (n int, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT count(*) FROM deliveries d LEFT JOIN runs r ON r.id = d.run
		WHERE d.state IN ('pending', 'sending') AND (r.id IS NULL OR r.state IN ('done', 'warned', 'failed', 'skipped')
			OR r.state = 'queued' AND r.due < $1 AND NOT EXISTS (SELECT 1 FROM pauses p WHERE p.job = r.job) OR r.state = 'running' AND r.lease < $1)`, before.UnixMilli()).Scan(&n)
	if err != nil {
		err = fmt.Errorf("count waiting mails: %w", err)
	}
	return n, err
}

// SentSince returns how many mails left at or after a time, those that may have
// left among them, and when the first of them did.
func (l *Ledger) SentSince(ctx context.Context, t time.Time) (n int, first time.Time, err error) {
	var ms sql.NullInt64
	err = l.db.QueryRowContext(ctx, `SELECT count(*), min(updated) FROM deliveries WHERE state IN ('sent', 'diverted', 'unknown', 'dot', 'bounced') AND updated >= $1`, t.UnixMilli()).Scan(&n, &ms)
	if err != nil {
		err = fmt.Errorf("count sent mails: %w", err)
	}
	return n, at(ms.Int64), err
}
