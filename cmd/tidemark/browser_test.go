//go:build browser

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is one headless Chromium for all cases.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("TIDEMARK_CHROMIUM")
	if path == "" {
		t.Fatal("TIDEMARK_CHROMIUM is not set; run `make test-browser`")
	}
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("force-device-scale-factor", "1"))...)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// tab is one tab that notes whatever a page must not do.
type tab struct {
	ctx context.Context
	own string // start of the addresses that may be asked for; empty: none may

	mu     sync.Mutex
	faults []string
}

func newTab(t *testing.T, parent context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(stop)
	tb := &tab{ctx: ctx}
	if err := chromedp.Listen(ctx, tb.note); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		// The payloads of the sample's hostile names call alert or set X.
		_, err = chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.alert = () => { window.ran = true }`})
	}
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func (tb *tab) note(event any) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := "exception: " + e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		tb.faults = append(tb.faults, text)
	case *log.EventEntryAdded:
		tb.faults = append(tb.faults, "console: "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		if (tb.own == "" || !strings.HasPrefix(e.Request.URL, tb.own)) && !strings.HasPrefix(e.Request.URL, "file://") && !strings.HasPrefix(e.Request.URL, "data:") && !strings.HasPrefix(e.Request.URL, "blob:") {
			tb.faults = append(tb.faults, "request: "+e.Request.URL)
		}
	}
}

// open shows a file at a width, in light or dark mode.
func (tb *tab) open(t *testing.T, file string, width int64, scheme string) {
	t.Helper()
	tb.visit(t, "file://"+file, width, scheme)
}

// visit is open for any address.
func (tb *tab) visit(t *testing.T, url string, width int64, scheme string) {
	t.Helper()
	_, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err == nil {
		err = chromedp.Do(tb.ctx, chromedp.EmulateViewport(width, 667), chromedp.Navigate(url))
	}
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
}

func eval[T any](t *testing.T, tb *tab, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// shot saves a screenshot when TIDEMARK_SHOTS names a folder.
func (tb *tab) shot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("TIDEMARK_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(tb.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// demo writes the demo's files into a folder, on a fixed Monday.
func demo(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), []string{"demo", "--out", out}, environment{stdout: &stdout, stderr: &stderr,
		getenv: func(name string) string { return map[string]string{"TIDEMARK_NOW": "2026-11-16T07:00:00Z"}[name] }, now: time.Now})
	if code != 0 {
		t.Fatalf("demo ended with %d: %s", code, stderr.String())
	}
	return out
}

// TestBrowser_MailsAndPages opens every role's mail and page at four widths,
// light and dark. Names that carry scripts must stay text, nothing may be
// loaded from anywhere, and nobody may have to scroll sideways.
func TestBrowser_MailsAndPages(t *testing.T) {
	out := demo(t)
	ctx := browser(t)
	files, err := filepath.Glob(filepath.Join(out, "*.html"))
	if err != nil || len(files) != 10 {
		t.Fatalf("the demo wrote %d HTML files, %v, want 10", len(files), err)
	}
	hostile := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".html")
		t.Run(name, func(t *testing.T) {
			tb := newTab(t, ctx)
			for _, width := range []int64{320, 375, 600, 1200} {
				for _, scheme := range []string{"light", "dark"} {
					tb.open(t, file, width, scheme)
					if over := eval[int](t, tb, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
						t.Errorf("%d wide, %s: %d pixels stick out sideways", width, scheme, over)
					}
					if eval[bool](t, tb, `window.ran === true || window.X !== undefined || document.querySelector('img[src="x"]') !== null`) {
						t.Fatalf("%d wide, %s: a hostile name ran", width, scheme)
					}
					tb.shot(t, fmt.Sprintf("%s-%d-%s", name, width, scheme))
				}
			}
			for _, scheme := range []string{"light", "dark"} {
				tb.open(t, file, 375, scheme)
				tb.checkAccess(t, scheme)
			}
			if strings.Contains(eval[string](t, tb, `document.body.textContent`), "</script><script>alert(1)</script>") {
				hostile++
			}
			tb.checkText(t)
			if strings.HasSuffix(name, ".page") {
				tb.checkPage(t)
			} else {
				tb.checkWithoutStyle(t, file)
			}
			tb.mu.Lock()
			defer tb.mu.Unlock()
			if len(tb.faults) > 0 {
				t.Errorf("faults: %q", tb.faults)
			}
		})
	}
	if hostile == 0 {
		t.Error("no file shows the hostile name as text: this test would miss it")
	}
}

// checkWithoutStyle takes the style element away, as Gmail does for other accounts.
func (tb *tab) checkWithoutStyle(t *testing.T, file string) {
	t.Helper()
	for _, width := range []int64{320, 600} {
		tb.open(t, file, width, "light")
		if over := eval[int](t, tb, `document.querySelectorAll('style').forEach(s => s.remove()), document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("without the style element, %d wide, %d pixels stick out sideways", width, over)
		}
		tb.checkText(t)
	}
}

// checkAccess fails for what axe finds.
func (tb *tab) checkAccess(t *testing.T, scheme string) {
	t.Helper()
	for _, f := range tb.axe(t) {
		t.Errorf("%s: axe-core: %s", scheme, f)
	}
}

// axe runs axe-core, which finds what keeps people with disabilities from reading:
// too little contrast, names that are missing, a wrong order.
func (tb *tab) axe(t *testing.T) []string {
	t.Helper()
	axe, err := os.ReadFile("../../reports/compat/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Fatalf("%v; run make test-browser", err)
	}
	if _, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](string(axe)+"; true")); err != nil {
		t.Fatal(err)
	}
	found, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]string](`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + " (" + v.impact + "): " + v.nodes.slice(0, 3).map(n => n.target + " " + n.failureSummary).join("; ")))`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestBrowser_EveryRoleInEveryLanguageIsReadable opens the golden mails, whose images are not there.
func TestBrowser_EveryRoleInEveryLanguageIsReadable(t *testing.T) {
	files, err := filepath.Glob("../../reports/testdata/*_??.html")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d golden mails: %v", len(files), err)
	}
	tb := newTab(t, browser(t))
	for _, file := range files {
		full, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			for _, width := range []int64{320, 1200} {
				tb.open(t, full, width, "light")
				tb.checkAccess(t, "light")
				tb.checkText(t)
				if wide := eval[int64](t, tb, `document.documentElement.scrollWidth`); wide > width {
					t.Errorf("%d px wide in %d px", wide, width)
				}
			}
		})
	}
}

// TestBrowser_AxeFindsWhatIsWrong is about the other tests: that they could fail.
func TestBrowser_AxeFindsWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.html")
	if err := os.WriteFile(file, []byte(`<!DOCTYPE html><html><body><p style="color:#bbb;background:#fff">pale</p><img src="data:,"></body></html>`), 0o644); err != nil {
		t.Fatal(err)
	}
	tb := newTab(t, browser(t))
	tb.open(t, file, 375, "light")
	found := strings.Join(tb.axe(t), "\n")
	for _, rule := range []string{"color-contrast (serious)", "image-alt (critical)", "html-has-lang (serious)"} {
		if !strings.Contains(found, rule) {
			t.Errorf("%s is not found:\n%s", rule, found)
		}
	}
}

// checkText checks sizes that a phone needs.
func (tb *tab) checkText(t *testing.T) {
	t.Helper()
	small := eval[int](t, tb, `[...document.querySelectorAll('td,p,li,h1,h2,h3,a,span,div')].filter(e =>
		[...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim() !== '') && e.offsetParent !== null &&
		parseFloat(getComputedStyle(e).fontSize) < 14).length`)
	if small > 0 {
		t.Errorf("%d texts are smaller than 14 px", small)
	}
	low := eval[int](t, tb, `[...document.querySelectorAll('a[href^="tel:"]')].filter(a => a.getBoundingClientRect().height < 44).length`)
	if low > 0 {
		t.Errorf("%d telephone links are lower than 44 px", low)
	}
}

// checkPage checks that the charts are drawn, where the script is built in, and
// that each has a table.
func (tb *tab) checkPage(t *testing.T) {
	t.Helper()
	if !currentVersion().Charts {
		t.Fatal("this build has no chart script; run `make assets`")
	}
	charts, drawn := eval[int](t, tb, `document.querySelectorAll('.chart').length`), eval[int](t, tb, `document.querySelectorAll('.chart canvas').length`)
	if charts < 2 || drawn != charts {
		t.Errorf("%d of %d charts are drawn", drawn, charts)
	}
	if bare := eval[int](t, tb, `[...document.querySelectorAll('.chart')].filter(c => !c.closest('section').querySelector('table tbody tr')).length`); bare > 0 {
		t.Errorf("%d charts have no table under them", bare)
	}
	tb.checkKeyboard(t)
	tb.checkPrint(t)
}

// checkKeyboard goes through the page with the tabulator: everything that scrolls
// is reached, in the order in which it stands, and shows that it is.
func (tb *tab) checkKeyboard(t *testing.T) {
	t.Helper()
	want := eval[int](t, tb, `document.querySelectorAll('.scroll, a[href]').length`)
	last := -1.0
	for i := range want {
		if err := chromedp.Do(tb.ctx, chromedp.KeyEvent("\t")); err != nil {
			t.Fatal(err)
		}
		at := eval[float64](t, tb, `(e => e === document.body ? -1 : [...document.querySelectorAll('.scroll, a[href]')].indexOf(e))(document.activeElement)`)
		if at <= last {
			t.Fatalf("tabulator %d of %d goes to %v after %v", i+1, want, at, last)
		}
		last = at
		if outline := eval[string](t, tb, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			t.Fatalf("what tabulator %d goes to does not show it", i+1)
		}
	}
}

// checkPrint looks at the page as paper: nothing is cut off at the side, and the
// charts are there.
func (tb *tab) checkPrint(t *testing.T) {
	t.Helper()
	if _, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(tb.ctx, chromedp.EmulateViewport(720, 1000)); err != nil { // A4 with its margins
		t.Fatal(err)
	}
	// Charts follow the size in the next frame.
	const twoFrames = `new Promise(yes => requestAnimationFrame(() => requestAnimationFrame(() => yes(true))))`
	if _, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool](twoFrames, chromedp.EvalAwaitPromise)); err != nil {
		t.Fatal(err)
	}
	if cut := eval[int](t, tb, `[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth).length`); cut > 0 {
		t.Errorf("on paper %d tables are cut off", cut)
	}
	if wide := eval[int](t, tb, `[...document.querySelectorAll('.chart canvas')].filter(c => c.getBoundingClientRect().right > innerWidth + 1 || c.getBoundingClientRect().height < 50).length`); wide > 0 {
		t.Errorf("on paper %d charts are cut off", wide)
	}
	if _, err := chromedp.Call(tb.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatal(err)
	}
}

// TestBrowser_MailsReadWithoutImages shows every mail as clients do that load no
// images: their alt texts stand in, and nothing sticks out.
func TestBrowser_MailsReadWithoutImages(t *testing.T) {
	out := demo(t)
	ctx := browser(t)
	files, err := filepath.Glob(filepath.Join(out, "*example.html"))
	if err != nil || len(files) != 5 {
		t.Fatalf("%d mails, %v, want 5", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		images := regexp.MustCompile(`src="data:image/png[^"]*"`)
		if n := len(images.FindAll(b, -1)); n < 2 {
			t.Fatalf("%s has %d images, want some", file, n)
		}
		bare := strings.TrimSuffix(file, ".html") + ".bare.html"
		if err := os.WriteFile(bare, images.ReplaceAll(b, nil), 0o644); err != nil {
			t.Fatal(err)
		}
		tb := newTab(t, ctx)
		for _, width := range []int64{320, 600} {
			tb.open(t, bare, width, "light")
			if over := eval[int](t, tb, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s, %d wide: %d pixels stick out sideways", filepath.Base(file), width, over)
			}
		}
		if short := eval[int](t, tb, `[...document.querySelectorAll("img")].filter(i => i.alt.length < 20 || !(i.closest(".call") || i.closest("table")).textContent.includes(i.alt.split(". ")[0])).length`); short > 0 {
			t.Errorf("%s: %d images whose alt text does not say what the text beside them says", filepath.Base(file), short)
		}
		tb.shot(t, strings.TrimSuffix(filepath.Base(file), ".html")+"-no-images")
	}
}

// TestBrowser_TheFirstCallIsVisibleWithoutScrolling on a small phone.
func TestBrowser_TheFirstCallIsVisibleWithoutScrolling(t *testing.T) {
	out := demo(t)
	tb := newTab(t, browser(t))
	tb.open(t, filepath.Join(out, "sales_agent-anna-partner.example.html"), 375, "light")
	bottom := eval[float64](t, tb, `document.querySelector('a[href^="tel:"]').getBoundingClientRect().bottom`)
	if bottom > 667 {
		t.Errorf("the first call ends at %.0f px, want at most 667", bottom)
	}
	// Without the style element, as Gmail shows it for other accounts.
	if over := eval[int](t, tb, `document.querySelectorAll('style').forEach(s => s.remove()), document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		t.Errorf("without the style element %d pixels stick out sideways", over)
	}
}
