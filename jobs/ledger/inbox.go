package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Notice is a message that somebody was not reached.
type Notice struct {
	Delivery   string   // id of the mail that it is about
	Addresses  []string // by which it calls the recipient
	Hard       bool     // another try would fare no better
	Said       string   // by the remote side, for people
	SuppressAt int      // hard bounces of different mails at which the address is mailed no more; 0: never
}

// Noticed is what came of a notice.
type Noticed struct {
	Delivery   *Delivery // that is bounced now; nil: none of ours, or not one that had left
	Suppressed string    // why its recipient is mailed no more, from now on; empty: is still, or was not before either
}

// forGood begins the reply of a delivery that bounced for good.
const forGood = "for good: "

// InboxSeen reports whether a message was dealt with before.
func (l *Ledger) InboxSeen(ctx context.Context, message string) (bool, error) {
	var n int
	err := l.db.QueryRowContext(ctx, `SELECT count(*) FROM inbox WHERE sha256 = $1`, message).Scan(&n)
	if err != nil {
		err = fmt.Errorf("look for message %s: %w", message, err)
	}
	return n > 0, err
}

// SeeInbox notes that a message was dealt with, which changes nothing else.
func (l *Ledger) SeeInbox(ctx context.Context, message, kind string) error {
	_, err := l.db.ExecContext(ctx, `INSERT INTO inbox (sha256, kind, seen) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING`, message, kind, l.now())
	if err != nil {
		err = fmt.Errorf("note message %s: %w", message, err)
	}
	return err
}

// Bounce notes that a mail did not reach its recipient after all. It believes only a
// notice that names a mail which had left, and its recipient. What the notice says is
// a claim of whoever sent it.
func (l *Ledger) Bounce(ctx context.Context, n Notice) (out Noticed, err error) {
	err = l.tx(ctx, func(tx *sql.Tx) error {
		out = Noticed{}
		d, err := scanDelivery(tx.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1 AND state IN ($2, $3)`, n.Delivery, Sent, Unknown))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		named := false
		for _, a := range n.Addresses {
			named = named || strings.ToLower(a) == d.Recipient
		}
		if !named {
			return nil
		}
		reply := n.Said
		if n.Hard {
			reply = forGood + n.Said
		}
		if err := changed(tx.ExecContext(ctx, `UPDATE deliveries SET state = $1, reply = $2, updated = $3 WHERE id = $4 AND state = $5`, Bounced, reply, l.now(), d.ID, d.State)); err != nil {
			return err
		}
		d.State, d.Reply = Bounced, reply
		out.Delivery = &d
		if !n.Hard || n.SuppressAt == 0 {
			return nil
		}
		var hard int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM deliveries WHERE recipient = $1 AND state = $2 AND reply LIKE $3`, d.Recipient, Bounced, forGood+"%").Scan(&hard); err != nil || hard < n.SuppressAt {
			return err
		}
		why := fmt.Sprintf("%d mails bounced for good, the last one said: %s", hard, n.Said)
		r, err := tx.ExecContext(ctx, `INSERT INTO suppressions (address, reason, since) VALUES ($1, $2, $3) ON CONFLICT (address) DO NOTHING`, d.Recipient, why, l.now())
		if err != nil {
			return err
		}
		if fresh, err := r.RowsAffected(); err != nil || fresh == 0 {
			return err
		}
		out.Suppressed = why
		return nil
	})
	if err != nil {
		err = fmt.Errorf("bounce of delivery %s: %w", n.Delivery, err)
	}
	return out, err
}
