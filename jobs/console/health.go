package console

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"
)

// healthPatience is how long an answer about health may take.
const healthPatience = 5 * time.Second

// healthz says that the process is alive and its ledger answers.
func (c *Console) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
	defer cancel()
	c.say(w, r, map[string]error{"ledger": c.o.Ledger.Answers(ctx)})
}

// readyz says that jobs can run: it is not so while the program is ending.
func (c *Console) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthPatience)
	defer cancel()
	checks := map[string]error{"ledger": c.o.Ledger.Answers(ctx), "archive": c.readable(ctx), "scheduler": c.ticks()}
	if c.isStopped() {
		checks["scheduler"] = errors.New("is stopping")
	}
	c.say(w, r, checks)
}

// readable reports whether the archive can be read; one that is not made yet will
// be by the first extraction.
func (c *Console) readable(ctx context.Context) error {
	a, err := c.o.Archive(ctx)
	if err == nil {
		_, err = a.View(ctx, nil)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ticks reports whether the scheduler has looked for due slots recently.
func (c *Console) ticks() error {
	last := c.o.Board.lastTick()
	switch since := c.o.Now().Sub(last); {
	case last.IsZero():
		return errors.New("has not looked for due jobs yet")
	case since > 3*c.o.Tick+30*time.Second:
		return fmt.Errorf("has not looked for due jobs for %s", span(since))
	}
	return nil
}

// say answers with one line for each check, in the order in which they are asked
// about. Why one failed stands in the log: errors name paths.
func (c *Console) say(w http.ResponseWriter, r *http.Request, checks map[string]error) {
	var text strings.Builder
	status := http.StatusOK
	for _, name := range []string{"ledger", "archive", "scheduler"} {
		err, asked := checks[name]
		switch {
		case !asked:
		case err == nil:
			fmt.Fprintf(&text, "ok %s\n", name)
		default:
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&text, "not ok %s\n", name)
		}
		if asked && c.unwell.changed(r.URL.Path+" "+name, err != nil) {
			c.o.Log.Warn("console: health changed", "path", r.URL.Path, "check", name, "err", err)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text.String())) // the reader may have gone
}

// unwell remembers which checks failed, so that the log says it once however often
// a monitor asks. Its zero value is ready: all is well.
type unwell struct {
	mu     sync.Mutex
	failed map[string]bool
}

// changed notes how a check went, and reports whether it went otherwise before.
func (u *unwell) changed(check string, failed bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failed == nil {
		u.failed = map[string]bool{}
	}
	was := u.failed[check]
	u.failed[check] = failed
	return was != failed
}
