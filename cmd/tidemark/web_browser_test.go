//go:build browser

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidemark/jobs/console"
	"tidemark/jobs/ledger"
)

// webHostile is a text that everything on the pages may hold.
const webHostile = `</title><script>window.X=1</script><img src="x" onerror="window.X=1"> een heel lange naam zonder einde ` + "Donaudampfschifffahrtsgesellschaftskapitänswitwenundwaisenrentenversicherungsanstalt\u202etxt"

// consoleOf serves the sample with a ledger that has something of everything, and
// returns the address and a page of each kind.
func consoleOf(t *testing.T) (url string, pages map[string]string, board *console.Board) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "tidemark.yaml")
	if err := os.WriteFile(file, []byte(`source: {kind: sample}
partner: {name: Polder Cloud, timezone: Europe/Amsterdam}
recipients:
  - {address: ada@partner.example, name: Ada, role: admin_agent}
  - {address: gerda@partner.example, name: Gerda, role: global_admin}
mail: {from: "Polder Cloud <usage@partner.example>"}
web: {listen: "127.0.0.1:0"}
jobs:
  - {name: nightly, cron: "30 2 * * *", do: extract}
  - {name: weekly-admin, cron: "0 7 * * MON", timezone: Europe/Amsterdam, do: digest, role: admin_agent, period: latest-7d, after: nightly, send: true}
  - {name: monthly, cron: "0 7 1 * MON", do: digest, role: global_admin, period: last-month, send: true}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC) }
	env := environment{stdout: io.Discard, stderr: io.Discard, now: now, getenv: func(string) string { return "" }}
	for _, args := range [][]string{{"run", "nightly"}, {"run", "weekly-admin"}, {"jobs", "pause", "monthly", "--why", webHostile}} {
		if code := run(t.Context(), append(args, "--config", file), env); code != exitDone && code != exitWarnings {
			t.Fatalf("%v: exit %d", args, code)
		}
	}
	a := &app{environment: env, configFile: file, quiet: true, board: console.NewBoard(now)}
	c, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	pages = fillConsole(t, a, c)
	log := &strings.Builder{}
	a.quiet, a.stderr = false, log
	done, err := a.serveWeb(t.Context(), func() *config { return c }, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	})
	url = strings.TrimSuffix(regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(log.String())[1], "/")
	return url, pages, a.board
}

// fillConsole adds to the ledger what a good week does not have.
func fillConsole(t *testing.T, a *app, c *config) map[string]string {
	t.Helper()
	ctx := t.Context()
	l, err := a.openLedger(ctx, c)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(err)
	defer func() { check(l.Close()) }()
	failed, err := l.Begin(ctx, "nightly", a.now().Add(-time.Hour), "", "")
	check(err)
	check(l.Finish(ctx, failed, ledger.Failed, webHostile, `{"odd":"`+strings.Repeat("x", 400)+`"}`))
	held, err := l.Begin(ctx, "weekly-admin", a.now().Add(-2*time.Hour), "", webHostile)
	check(err)
	check(l.Finish(ctx, held, ledger.Held, "cost changed by 60 %", ""))
	_, _, err = l.RaiseAlarm(ctx, "job:nightly", "failed: "+webHostile)
	check(err)
	for i, state := range ledger.DeliveryStates() {
		id := fmt.Sprintf("%064d@partner.example", i)
		_, err := l.Enqueue(ctx, held.ID, []ledger.Mail{{EML: []byte("x"), Delivery: ledger.Delivery{ID: id, Kind: "digest", Role: "admin_agent", Period: "2026-11-06..2026-11-12",
			Recipient: fmt.Sprintf("with.a.rather.long.address.%d@subsidiary.partner.example", i), Subject: webHostile, Deadline: a.now().Add(time.Hour)}}})
		check(err)
		d, err := l.Delivery(ctx, id)
		check(err)
		check(l.Advance(ctx, &d, ledger.Pending, state, "451 4.7.1 "+webHostile))
	}
	sent, err := l.Deliveries(ctx, ledger.Query{Run: "weekly-admin@2026-11-16T07:00:00Z"})
	if check(err); len(sent) != 1 {
		t.Fatalf("%d mails were sent", len(sent))
	}
	return map[string]string{"overview": "/", "runs": "/runs", "run-failed": "/runs/" + failed.ID, "run-held": "/runs/" + held.ID, "run-extract": "/runs/nightly@2026-11-16T07:00:00Z",
		"run-digest": "/runs/weekly-admin@2026-11-16T07:00:00Z", "deliveries": "/deliveries", "deliveries-none": "/deliveries?run=none",
		"delivery-unknown": fmt.Sprintf("/deliveries/%064d@partner.example", 5), "delivery-sent": "/deliveries/" + sent[0].ID, "jobs": "/jobs", "archive": "/archive",
		"reports": "/reports", "reports-day": "/reports/2026-11-16", "report": "/reports/2026-11-16/" + sent[0].Report, "missing": "/nosuch"}
}

// TestBrowser_Console opens every kind of page at three widths, light and dark:
// nobody must scroll sideways, axe finds nothing serious, no hostile text runs,
// and nothing is asked of another host.
func TestBrowser_Console(t *testing.T) {
	url, pages, board := consoleOf(t)
	board.Watch().Began(ledger.Run{ID: "nightly@2026-11-16T07:00:00Z", Job: "nightly"})
	board.Step("nightly@2026-11-16T07:00:00Z", "read usage, rows", 120, 1000)
	ctx := browser(t)
	for name, path := range pages {
		t.Run(name, func(t *testing.T) {
			tb := newTab(t, ctx)
			tb.own = url + "/"
			for _, width := range []int64{375, 768, 1280} {
				for _, scheme := range []string{"light", "dark"} {
					tb.visit(t, url+path, width, scheme)
					if over := eval[int](t, tb, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
						t.Errorf("%d wide, %s: %d pixels stick out sideways", width, scheme, over)
					}
					if eval[bool](t, tb, `window.ran === true || window.X !== undefined || document.querySelector('img[src="x"]') !== null`) {
						t.Fatalf("%d wide, %s: a hostile text ran", width, scheme)
					}
					tb.checkText(t)
					tb.checkAccess(t, fmt.Sprintf("%d wide, %s", width, scheme))
					tb.shot(t, fmt.Sprintf("console-%s-%d-%s", name, width, scheme))
				}
			}
			switch name {
			case "report":
				tb.checkPage(t)
			default:
				tb.checkFocus(t)
			}
			tb.mu.Lock()
			defer tb.mu.Unlock()
			for _, f := range tb.faults {
				if name != "missing" || !strings.Contains(f, "404") { // which the page itself is
					t.Errorf("fault: %s", f)
				}
			}
		})
	}
}

// checkFocus goes through a page with the tabulator: everything that can be used
// is reached in its order, and shows that it is.
func (tb *tab) checkFocus(t *testing.T) {
	t.Helper()
	const all = `[...document.querySelectorAll('a[href], .scroll, select, input, button')]`
	want, last := eval[int](t, tb, all+`.length`), -1
	for i := range min(want, 60) {
		if err := chromedp.Do(tb.ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
		at := eval[int](t, tb, all+`.indexOf(document.activeElement)`)
		if at != last+1 {
			t.Fatalf("tabulator %d of %d goes to %v after %v", i+1, want, at, last)
		}
		last = at
		if outline := eval[string](t, tb, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			t.Fatalf("what tabulator %d goes to does not show it", i+1)
		}
	}
}

// TestBrowser_ConsoleFollowsWhatGoesOn watches the overview while a run goes on,
// without loading it anew.
func TestBrowser_ConsoleFollowsWhatGoesOn(t *testing.T) {
	url, _, board := consoleOf(t)
	tb := newTab(t, browser(t))
	tb.own = url + "/"
	tb.visit(t, url+"/", 1280, "light")
	await := func(expression string) {
		t.Helper()
		ctx, stop := context.WithTimeout(tb.ctx, 30*time.Second)
		defer stop()
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`new Promise(yes => { const look = () => (`+expression+`) ? yes(true) : requestAnimationFrame(look); look() })`, chromedp.EvalAwaitPromise))
		if err != nil || !ok {
			t.Fatalf("%s: %v", expression, err)
		}
	}
	const box = `document.getElementById("running")`
	await(box + `.textContent.trim() === "Nothing."`)
	run := ledger.Run{ID: "nightly@2026-11-16T07:00:00Z", Job: webHostile}
	board.Watch().Began(run)
	await(box + `.querySelector("a")?.getAttribute("href") === "/runs/nightly%402026-11-16T07%3A00%3A00Z"`)
	board.Step(run.ID, "make mails", 30, 120)
	await(box + `.querySelector("progress")?.value === 30 && ` + box + `.textContent.includes("30 of 120")`)
	if eval[bool](t, tb, `window.X !== undefined || `+box+`.querySelector("img, script") !== null`) {
		t.Error("a hostile name ran")
	}
	await(`document.querySelector("#stale a")?.textContent === "Reload"`)
	tb.shot(t, "console-live")
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if len(tb.faults) > 0 {
		t.Errorf("faults: %q", tb.faults)
	}
}
