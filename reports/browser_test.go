//go:build browser

package reports

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tidemark/templates"
)

// browser starts the browser that TIDEMARK_CHROMIUM names.
func browser(t *testing.T) context.Context {
	t.Helper()
	path := os.Getenv("TIDEMARK_CHROMIUM")
	if path == "" {
		t.Fatal("set TIDEMARK_CHROMIUM to a Chromium, or run make test-browser")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	return ctx
}

// open loads a document from a file at a width and height in CSS pixels.
func open(t *testing.T, ctx context.Context, document string, width, height int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "document.html")
	if err := os.WriteFile(file, []byte(document), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height), chromedp.Navigate("file://"+file)); err != nil {
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, script string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBrowser_HeadlineAndFirstCallFitAPhone(t *testing.T) {
	ctx := browser(t)
	for _, locale := range []string{"nl", "en"} {
		_, r := render(t, fixtureInput(t, SalesAgent, locale))
		answerable := fixtureInput(t, SalesAgent, locale)
		answerable.Answers = answered()
		_, linked := render(t, answerable)
		for name, mail := range map[string]string{"as sent": r.HTML, "without its style sheet": strings.Replace(r.HTML, "@media (", "@media print and (", 1), "with links to answer by": linked.HTML} {
			open(t, ctx, mail, 375, 667)
			if bottom := eval[float64](t, ctx, `Math.max(...[...document.querySelector(".call").querySelectorAll("a,p")].map(e => e.getBoundingClientRect().bottom))`); bottom > 667 {
				t.Errorf("%s %s: the first call ends at %.0f px, below the 667 of the screen", locale, name, bottom)
			}
			if width := eval[float64](t, ctx, `document.documentElement.scrollWidth`); width > 375 {
				t.Errorf("%s %s: the mail is %.0f px wide and scrolls sideways", locale, name, width)
			}
			if low := eval[float64](t, ctx, `Math.min(...[...document.querySelectorAll("a")].map(a => a.getBoundingClientRect().height))`); low < 44 {
				t.Errorf("%s %s: a link is %.0f px high, want 44 to be hit with a thumb", locale, name, low)
			}
		}
	}
}

// TestBrowser_FirstCallOfALongWideNameFitsAPhone has names in a script whose characters are
// as wide as two.
func TestBrowser_FirstCallOfALongWideNameFitsAPhone(t *testing.T) {
	ctx := browser(t)
	for _, locale := range []string{"nl", "en"} {
		in := fixtureInput(t, SalesAgent, locale)
		name := strings.Repeat("山田商事株式会社東京", 12)
		for id, c := range in.Document.Background.Customers {
			c.Name, c.Contact = name, name
			in.Document.Background.Customers[id] = c
		}
		_, r := render(t, in)
		open(t, ctx, r.HTML, 375, 667)
		if bottom := eval[float64](t, ctx, `document.querySelector("a").getBoundingClientRect().bottom`); bottom > 667 {
			t.Errorf("%s: the first call ends at %.0f px, below the 667 of the screen", locale, bottom)
		}
	}
}

func TestBrowser_LongNamesKeepTheMailNarrow(t *testing.T) {
	ctx := browser(t)
	for _, role := range Roles() {
		in := fixtureInput(t, role, "nl")
		poison(&in, strings.Repeat("Onafgebroken", 40))
		if in.Document.Costs != nil {
			in.Document.Cost[0].Currency = "EUR"
		}
		_, r := render(t, in)
		open(t, ctx, r.HTML, 375, 667)
		if width := eval[float64](t, ctx, `document.documentElement.scrollWidth`); width > 375 {
			t.Errorf("%s: a long word makes the mail %.0f px wide", role, width)
		}
	}
}

func TestBrowser_PageDrawsEveryChartAndRunsNoName(t *testing.T) {
	if _, ok := templates.ChartScript(); !ok {
		t.Fatal("the chart script is not built in; run make assets")
	}
	ctx := browser(t)
	problems := console(t, ctx)
	names := []string{"Noordzee", `</script><script>document.title="owned"</script>`, `<img src=x onerror='document.title="owned"'>`, `__f__(document.title="owned")__f__`}
	for _, name := range names {
		for _, role := range Roles() {
			in := fixtureInput(t, role, "nl")
			if name != names[0] {
				poison(&in, name)
			}
			_, r := render(t, in)
			open(t, ctx, string(r.Page), 1000, 800)
			want := strings.Count(string(r.Page), "data-option=")
			if got := eval[int](t, ctx, `document.querySelectorAll(".chart canvas").length`); got != want || want < 2 {
				t.Errorf("%s %q: %d charts are drawn, want %d", role, name, got, want)
			}
			// A chart that is drawn has marks: pixels that are not empty.
			blank := eval[int](t, ctx, `[...document.querySelectorAll(".chart canvas")].filter(c => !c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v)).length`)
			if blank > 0 {
				t.Errorf("%s %q: %d charts are blank", role, name, blank)
			}
			if title := eval[string](t, ctx, `document.title`); title == "owned" {
				t.Errorf("%s: the name %q ran as script", role, name)
			}
		}
	}
	for _, p := range problems() {
		t.Errorf("the console says: %s", p)
	}
}

// console collects what the browser complains about, violations of the content
// security policy included, until the returned function is called.
func console(t *testing.T, ctx context.Context) (problems func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	messages := chromedp.Console(ctx)
	found := make(chan []string)
	go func() {
		var all []string
		for m, err := range messages {
			if err != nil {
				break
			}
			if m.Type != "debug" && m.Type != "info" && m.Type != "log" {
				all = append(all, string(m.Type)+": "+m.Text)
			}
		}
		found <- all
	}()
	return func() []string { cancel(); return <-found }
}

// unsupported are the features of mails that some client is known not to have,
// and why that does not matter.
func unsupported() map[string]string {
	return map[string]string{
		"@media":                "for wide screens only; the mail reads the same without",
		"<style> element":       "as @media",
		"<body> element":        "its ground is set on a table as well",
		"color-scheme meta tag": "says that dark colours are allowed, and is not relied on",
		"border-radius":         "corners are square there",
		"max-height property":   "of the preheader, which mso-hide hides there",
		"overflow":              "as max-height",
		"display:none":          "of the preheader, which is of one pixel and of no height",
		"role attribute":        "for screen readers; tables read as tables there",
		"aria-label attribute":  "as role",
		"word-break":            "long words stick out there rather than break",
	}
}

// opinion is what caniemail says of a mail.
func opinion(t *testing.T, file string) (errors map[string]map[string][]string) {
	t.Helper()
	cmd := exec.Command("node", "compat/check.mjs", file)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("caniemail: %v; run make test-browser", err)
	}
	var out struct {
		Errors map[string]map[string][]string
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out.Errors
}

// TestBrowser_CanIEmailFindsNothingElse asks the data of caniemail.com what Gmail,
// Outlook and Apple Mail lack of what the mails use.
func TestBrowser_CanIEmailFindsNothingElse(t *testing.T) {
	known, seen := unsupported(), map[string]bool{}
	for _, role := range Roles() {
		for _, locale := range templates.Languages() {
			for feature, clients := range opinion(t, "testdata/"+string(role)+"_"+locale+".html") {
				if seen[feature] = true; known[feature] == "" {
					t.Errorf("%s %s: %s is unsupported by %v", role, locale, feature, slices.Sorted(maps.Keys(clients)))
				}
			}
		}
	}
	for feature := range known {
		if !seen[feature] {
			t.Errorf("%s is on the list and not used any more", feature)
		}
	}
	file := filepath.Join(t.TempDir(), "bad.html")
	if err := os.WriteFile(file, []byte(`<div style="display:flex">a</div>`), 0o666); err != nil {
		t.Fatal(err)
	}
	if found := opinion(t, file); found["display:flex"] == nil {
		t.Errorf("of a mail with flex it finds %v only", found)
	}
}
