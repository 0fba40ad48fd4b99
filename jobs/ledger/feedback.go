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

// FeedbackQuery selects answers; an empty field means any.
type FeedbackQuery struct {
	Recipient, Action string
	Since             time.Time
	Limit             int // 0 means 1000
}

// Feedback returns the answers that a query selects, the newest first.
func (l *Ledger) Feedback(ctx context.Context, q FeedbackQuery) ([]Feedback, error) {
	if q.Limit == 0 {
		q.Limit = 1000
	}
	since := int64(0)
	if !q.Since.IsZero() {
		since = q.Since.UnixMilli()
	}
	rows, err := l.db.QueryContext(ctx, `SELECT id, at, recipient, customer, action, report, until, stood FROM feedback
		WHERE at >= $1 AND (recipient = $2 OR $2 = '') AND (action = $3 OR $3 = '') ORDER BY at DESC, id LIMIT $4`,
		since, strings.ToLower(q.Recipient), q.Action, q.Limit)
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
