// Package ledger remembers which runs were due and what became of them, and
// which mail was delivered to whom: the memory that makes a slot run once and a
// mail arrive once, whatever crashes in between.
//
// It is database/sql on a SQLite file; the SQL also fits Postgres, on which the
// tests run too (make test-postgres). Several
// processes may share a ledger. A run is held by a lease that its owner renews;
// every change of a run or a delivery names the attempt it belongs to, so an
// owner that slept past its lease cannot overwrite its successor.
//
// A delivery goes
//
//	pending → sending → dot → sent
//	             │        └──→ unknown   the answer to the final dot was lost
//	             └──→ pending            surely not sent: again later
//	             └──→ failed             refused for good
//
// Each arrow is on disk before the next step is taken. A delivery found in
// sending after a crash was surely not sent; one found in dot may have been.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite" // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are the settings of a ledger; Now and Owner are required.
type Options struct {
	Now   func() time.Time
	Owner string // names this process, e.g. host and process id
	// Dead reports whether an owner is known to be gone, so that its runs need
	// not wait for their lease; nil: nobody is.
	Dead  func(owner string) bool
	Lease time.Duration // how long a run is held without renewal; 0 means 60 s
}

// DefaultLease is long against clock differences between machines.
const DefaultLease = time.Minute

// patience is how long a ledger that another process locks is waited for.
const patience = 10 * time.Second

// Ledger is an open ledger, safe for several goroutines.
type Ledger struct {
	db   *sql.DB
	o    Options
	lock string // begins every transaction; empty when BEGIN itself locks
}

// ErrTakenOver says that the attempt is no longer this process's: its lease ran
// out and another took over, or the state moved on.
var ErrTakenOver = errors.New("taken over by another attempt")

// ErrNotFound says that there is no such run or delivery.
var ErrNotFound = errors.New("not in the ledger")

// Open opens the ledger in a file, which is created, and brings its schema up
// to date under a lock.
func Open(ctx context.Context, file string, o Options) (*Ledger, error) {
	if o.Now == nil || o.Owner == "" {
		return nil, errors.New("open ledger: no clock or no owner given")
	}
	// It holds every mail: for its owner only, also the files that SQLite makes
	// beside it, which take after it.
	created, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = created.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	// FULL: a commit that is lost with the power would be a mail sent twice.
	query := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", fmt.Sprintf("busy_timeout(%d)", patience.Milliseconds()), "foreign_keys(1)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(file)}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // one writer at a time; SQLite has no more
	var l *Ledger
	if err = connect(ctx, db); err == nil {
		l, err = attach(ctx, db, o, "")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger %s: %w", file, err), db.Close())
	}
	return l, nil
}

// connect makes the connection. Of several that make a new file one with a log
// at once SQLite refuses some without waiting: busy_timeout is not heeded there.
func connect(ctx context.Context, db *sql.DB) error {
	end := time.After(patience)
	for {
		err := db.PingContext(ctx)
		var refused *sqlite.Error
		if !errors.As(err, &refused) || refused.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-end:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// attach makes a ledger of an open database and brings its schema up to date.
// lock is the statement that every transaction begins with, for databases that
// would let two write at once.
func attach(ctx context.Context, db *sql.DB, o Options, lock string) (*Ledger, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	l := &Ledger{db, o, lock}
	return l, l.migrate(ctx)
}

// Close closes the ledger.
func (l *Ledger) Close() error { return l.db.Close() }

// now is the time in milliseconds, as it is stored.
func (l *Ledger) now() int64 { return l.o.Now().UnixMilli() }

func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// optional is a time that may be unset.
func optional(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := at(ms.Int64)
	return &t
}

// migrate runs the numbered files that the ledger has not seen, each with its
// number in one transaction. The transaction holds the lock: of two starters the
// second finds the work done.
func (l *Ledger) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(files)
	err = l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL)`); err != nil {
			return err
		}
		var newest int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM schema_version`).Scan(&newest); err != nil {
			return err
		}
		if int(newest) > len(files) {
			return fmt.Errorf("its schema has version %d, this program knows %d: a newer tidemark has used it; run that one", newest, len(files))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, file := range files {
		if err := l.step(ctx, int64(i+1), file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func (l *Ledger) step(ctx context.Context, version int64, file string) error {
	text, err := migrations.ReadFile(file)
	if err != nil {
		return err
	}
	return l.tx(ctx, func(tx *sql.Tx) error {
		var newest sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT max(version) FROM schema_version`).Scan(&newest); err != nil {
			return err
		}
		if newest.Int64 >= version {
			return nil
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO schema_version (version, applied) VALUES ($1, $2)`, version, l.now())
		return err
	})
}

// tx runs f in one transaction.
func (l *Ledger) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if l.lock != "" {
		_, err = tx.ExecContext(ctx, l.lock)
	}
	if err == nil {
		err = f(tx)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// changed turns "no row matched" into ErrTakenOver.
func changed(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return ErrTakenOver
	}
	return err
}
