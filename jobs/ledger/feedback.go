package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Feedback is what a recipient answered about one customer of a report.
type Feedback struct {
	ID        string     `json:"id"` // the same for the same answer
	At        time.Time  `json:"at"`
	Recipient string     `json:"recipient"`
	Customer  string     `json:"customer"`
	Action    string     `json:"action"`
	Report    string     `json:"report"`
	Until     *time.Time `json:"until,omitempty"` // of a snooze
	Stood     string     `json:"stood"`           // JSON: what the report said of the customer
}

// TakeFeedback stores an answer. It is fresh unless the ledger has it already; then
// nothing changes.
func (l *Ledger) TakeFeedback(ctx context.Context, f Feedback) (fresh bool, err error) {
	var until sql.NullInt64
	if f.Until != nil {
		until = sql.NullInt64{Int64: f.Until.UnixMilli(), Valid: true}
	}
	r, err := l.db.ExecContext(ctx, `INSERT INTO feedback (id, at, recipient, customer, action, report, until, stood)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
		f.ID, f.At.UnixMilli(), strings.ToLower(f.Recipient), f.Customer, f.Action, f.Report, until, f.Stood)
	if err != nil {
		return false, fmt.Errorf("store feedback on report %s: %w", f.Report, err)
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Feedback returns at most so many of the answers since a time, the newest first.
func (l *Ledger) Feedback(ctx context.Context, since time.Time, limit int) ([]Feedback, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT id, at, recipient, customer, action, report, until, stood FROM feedback
		WHERE at >= $1 ORDER BY at DESC, id LIMIT $2`, since.UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("list feedback: %w", err)
	}
	return collect(rows, func(row interface{ Scan(...any) error }) (f Feedback, err error) {
		var ms int64
		var until sql.NullInt64
		err = row.Scan(&f.ID, &ms, &f.Recipient, &f.Customer, &f.Action, &f.Report, &until, &f.Stood)
		f.At, f.Until = at(ms), optional(until)
		return f, err
	})
}
