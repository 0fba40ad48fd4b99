//go:build postgres

package ledger

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

const urlVariable = "TIDEMARK_TEST_POSTGRES"

// TestMain starts a Postgres of its own on loopback, in a folder that goes with
// it, and runs every test of the package on it.
func TestMain(m *testing.M) {
	code, err := withPostgres(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withPostgres(run func() int) (code int, err error) {
	bin, err := postgresFolder()
	if err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "tidemark-postgres-*")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	who, err := unprivileged(dir)
	if err != nil {
		return 1, err
	}
	command := func(name string, args ...string) error {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.Dir, c.SysProcAttr = dir, &syscall.SysProcAttr{Credential: who}
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Run(); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, out.String())
		}
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 1, err
	}
	store := filepath.Join(dir, "data")
	if err := command("initdb", "-D", store, "-U", "tidemark", "-A", "trust", "--no-sync"); err != nil {
		return 1, err
	}
	settings := fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories='' -c fsync=off", port)
	if err := command("pg_ctl", "-D", store, "-l", filepath.Join(dir, "log"), "-o", settings, "-w", "start"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, command("pg_ctl", "-D", store, "-m", "immediate", "-w", "stop")) }()
	if err := os.Setenv(urlVariable, fmt.Sprintf("postgres://tidemark@127.0.0.1:%d/postgres?sslmode=disable", port)); err != nil {
		return 1, err
	}
	return run(), nil
}

// postgresFolder finds the newest server: Debian keeps its programs off the path.
func postgresFolder() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("%w: install postgresql (Debian: apt-get install postgresql)", err)
	}
	return filepath.Dir(path), nil
}

// unprivileged gives the folder to who runs the server: Postgres refuses root.
// nil: this user.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}

// openStore opens the ledger in a schema of the server that stands for the file.
func openStore(t testing.TB, file string, o Options) (*Ledger, error) {
	t.Helper()
	h := fnv.New64a()
	_, _ = h.Write([]byte(file))
	schema := fmt.Sprintf("ledger_%x", h.Sum64())
	url := os.Getenv(urlVariable)
	db, err := sql.Open("pgx", url+"&search_path="+schema)
	if err != nil {
		return nil, err
	}
	// Schemas are made under a lock: IF NOT EXISTS alone is no protection.
	if _, err := db.ExecContext(ctx, `SELECT pg_advisory_xact_lock(7); CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l, err := attach(ctx, db, o, `SELECT pg_advisory_xact_lock(8)`)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return l, nil
}
