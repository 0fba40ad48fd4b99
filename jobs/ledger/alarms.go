package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// sayingFor is how long whoever raised an alarm may take to say it; after that it
// is taken for gone.
const sayingFor = 15 * time.Minute

// RaiseAlarm notes that something is wrong. fresh is true when it was not noted
// before, or for another reason, or when nobody could be told: only then people
// are, by the caller alone. AlarmSaid must follow.
func (l *Ledger) RaiseAlarm(ctx context.Context, key, message string) (since time.Time, fresh bool, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		var was string
		var ms, said int64
		now := l.now()
		saying := now + sayingFor.Milliseconds()
		err := tx.QueryRowContext(ctx, `SELECT message, since, said FROM alarms WHERE key = $1`, key).Scan(&was, &ms, &said)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			since, fresh = at(now), true
			_, err = tx.ExecContext(ctx, `INSERT INTO alarms (key, message, since, said) VALUES ($1, $2, $3, $4)`, key, message, now, saying)
		case err == nil:
			since, fresh = at(ms), said != alarmSaid && said < now || was != message
			if fresh {
				_, err = tx.ExecContext(ctx, `UPDATE alarms SET message = $1, said = $2 WHERE key = $3`, message, saying, key)
			}
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("raise alarm %s: %w", key, err)
	}
	return since, fresh, err
}

// What the column said holds beside the time until which somebody is saying it.
const (
	alarmUnsaid = 0
	alarmSaid   = 1
)

// AlarmSaid notes whether somebody could be told of an alarm that was raised with
// a message.
func (l *Ledger) AlarmSaid(ctx context.Context, key, message string, told bool) error {
	said := alarmUnsaid
	if told {
		said = alarmSaid
	}
	_, err := l.db.ExecContext(ctx, `UPDATE alarms SET said = $1 WHERE key = $2 AND message = $3`, said, key, message)
	if err != nil {
		return fmt.Errorf("alarm %s: %w", key, err)
	}
	return nil
}

// ClearAlarm notes that it works again; raised is true when it had not.
func (l *Ledger) ClearAlarm(ctx context.Context, key string) (since time.Time, raised bool, err error) {
	var ms int64
	err = l.db.QueryRowContext(ctx, `DELETE FROM alarms WHERE key = $1 RETURNING since`, key).Scan(&ms)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, false, nil
	} else if err != nil {
		return time.Time{}, false, fmt.Errorf("clear alarm %s: %w", key, err)
	}
	return at(ms), true, nil
}

// Alarm is something that is wrong now.
type Alarm struct {
	Key     string    `json:"key"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
}

// Alarms returns what is wrong now, the oldest first.
func (l *Ledger) Alarms(ctx context.Context) ([]Alarm, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT key, message, since FROM alarms ORDER BY since, key`)
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	return collect(rows, func(row interface{ Scan(...any) error }) (a Alarm, err error) {
		var ms int64
		err = row.Scan(&a.Key, &a.Message, &ms)
		a.Since = at(ms)
		return a, err
	})
}
