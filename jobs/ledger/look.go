package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// What is only looked at: pages and counts, all of them bounded.

// OpenReadOnly opens a ledger that is there, to look at it: the database refuses
// every change, whatever is called. It needs a ledger that [Open] has brought up
// to date.
func OpenReadOnly(ctx context.Context, file string, o Options) (*Ledger, error) {
	if o.Now == nil {
		return nil, errors.New("open ledger: no clock given")
	}
	query := url.Values{"mode": {"ro"}, "_pragma": {"query_only(1)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(file)}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", file, err)
	}
	db.SetMaxOpenConns(4) // readers do not wait for each other, nor for the writer
	l := &Ledger{db: db, o: o}
	if err := l.Answers(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", file, err), db.Close())
	}
	return l, nil
}

// Answers reports whether the ledger can be read.
func (l *Ledger) Answers(ctx context.Context) error {
	var version int64
	if err := l.db.QueryRowContext(ctx, `SELECT max(version) FROM schema_version`).Scan(&version); err != nil {
		return fmt.Errorf("read ledger: %w", err)
	}
	return nil
}

// RunQuery selects a page of runs; an empty field means any.
type RunQuery struct {
	Job   string
	State RunState
	After string // id of the last run of the page before; empty: the newest first
	Limit int
}

// RunPage returns runs, the newest slot first, without their results.
func (l *Ledger) RunPage(ctx context.Context, q RunQuery) ([]Run, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT `+strings.Replace(runColumns, " result,", " '' AS result,", 1)+` FROM runs
		WHERE (job = $1 OR $1 = '') AND (state = $2 OR $2 = '')
		AND ($3 = '' OR slot < (SELECT slot FROM runs WHERE id = $3) OR slot = (SELECT slot FROM runs WHERE id = $3) AND id > $3)
		ORDER BY slot DESC, id LIMIT $4`, q.Job, string(q.State), q.After, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return collect(rows, scanRun)
}

// DeliveryPage returns the deliveries that a query selects, the newest first, from
// behind the one whose id is given.
func (l *Ledger) DeliveryPage(ctx context.Context, q Query, after string) ([]Delivery, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE (run = $1 OR $1 = '') AND (recipient = $2 OR $2 = '') AND (state = $3 OR $3 = '') AND (kind = $4 OR $4 = '')
		AND (role = $5 OR $5 = '') AND (period = $6 OR $6 = '')
		AND ($7 = '' OR created < (SELECT created FROM deliveries WHERE id = $7) OR created = (SELECT created FROM deliveries WHERE id = $7) AND id > $7)
		ORDER BY created DESC, id LIMIT $8`,
		q.Run, strings.ToLower(q.Recipient), string(q.State), q.Kind, q.Role, q.Period, after, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	return collect(rows, scanDelivery)
}

// RunCount is how many runs of a job are in a state.
type RunCount struct {
	Job   string
	State RunState
	N     int
}

// RunCounts returns how many of the runs that are remembered are in each state.
func (l *Ledger) RunCounts(ctx context.Context) ([]RunCount, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT job, state, count(*) FROM runs GROUP BY job, state ORDER BY job, state`)
	if err != nil {
		return nil, fmt.Errorf("count runs: %w", err)
	}
	return collect(rows, func(row interface{ Scan(...any) error }) (c RunCount, err error) {
		return c, row.Scan(&c.Job, &c.State, &c.N)
	})
}

// RunStates are all states of a run.
func RunStates() []RunState { return []RunState{Queued, Running, Done, Warned, Failed, Held, Skipped} }
