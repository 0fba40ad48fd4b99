//go:build !postgres

package ledger

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// openStore opens the ledger in a file.
func openStore(_ testing.TB, file string, o Options) (*Ledger, error) { return Open(ctx, file, o) }

// A new file gets its log while nobody writes to it. SQLite's own busy_timeout does not wait for that.
func TestOpen_WaitsForWhoWritesToANewFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidemark.db")
	other, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(ctx, `CREATE TABLE made_at_the_same_time (n BIGINT)`); err != nil {
		t.Fatal(err)
	}
	writing, err := other.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Now: (&clock{t: time.Unix(0, 0)}).now, Owner: "a"}
	patient, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := Open(patient, file, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("opened, or gave up before its time: %v", err)
	}
	if err := writing.Rollback(); err != nil {
		t.Fatal(err)
	}
	l, err := Open(ctx, file, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
