package console

import (
	"io/fs"
	"net/http"
	"testing"
	"time"

	"tidemark/jobs/ledger"
)

func TestHealth_FollowsLedgerArchiveAndScheduler(t *testing.T) {
	p := newPlant(t)
	expect := func(when, path string, want int, body string) {
		t.Helper()
		if w := p.get(path); w.Code != want || w.Body.String() != body {
			t.Errorf("%s, %s: %d %q, want %d %q", when, path, w.Code, w.Body.String(), want, body)
		}
	}
	const ok, bad = http.StatusOK, http.StatusServiceUnavailable
	expect("before the first look", "/readyz", bad, "ok ledger\nok archive\nnot ok scheduler\n")
	expect("before the first look", "/healthz", ok, "ok ledger\n")
	p.o.Board.Watch().Ticked()
	expect("after it", "/readyz", ok, "ok ledger\nok archive\nok scheduler\n")
	p.pass(40 * time.Second)
	expect("a little later", "/readyz", ok, "ok ledger\nok archive\nok scheduler\n")
	p.pass(10 * time.Second)
	expect("when the scheduler hangs", "/readyz", bad, "ok ledger\nok archive\nnot ok scheduler\n")
	p.o.Board.Watch().Ticked()
	p.gone = errTest
	expect("when the archive cannot be read", "/readyz", bad, "ok ledger\nnot ok archive\nok scheduler\n")
	p.gone = fs.ErrNotExist
	expect("before the first extraction", "/readyz", ok, "ok ledger\nok archive\nok scheduler\n")
	p.Stop()
	expect("when it is stopping", "/readyz", bad, "ok ledger\nok archive\nnot ok scheduler\n")
	expect("when it is stopping", "/healthz", ok, "ok ledger\n")
}

func TestHealth_FailsWithoutALedger(t *testing.T) {
	p := newPlant(t)
	closed, err := ledger.OpenReadOnly(t.Context(), p.file, ledger.Options{Now: p.now})
	check(t, err)
	check(t, closed.Close())
	p.o.Ledger = closed
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := p.get(path); w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}
