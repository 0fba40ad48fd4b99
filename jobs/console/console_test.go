package console

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"tidemark/jobs/ledger"
	"tidemark/templates"
)

// TestPages_AnswerWithTheirHeaders asks for every page, and for what is no page.
func TestPages_AnswerWithTheirHeaders(t *testing.T) {
	p := newPlant(t)
	want := map[string]int{p.report: 200, "/healthz": 200, "/metrics": 200, "/static/console.css": 200, "/static/console.js": 200, "/static/icon.svg": 200,
		"/nosuch": 404, "/runs/none": 404, "/runs/a/b": 404, "/deliveries/none": 404, "/deliveries/none/mail.eml": 404, "/static/layout.html.tmpl": 404,
		"/reports/2026-11-14": 404, "/reports/yesterday": 404, "/reports/2026-11-16/none": 404}
	for _, path := range p.pages() {
		want[path] = 200
	}
	for path, want := range want {
		w := p.get(path)
		if w.Code != want {
			t.Errorf("%s: status %d, want %d\n%s", path, w.Code, want, p.log.String())
		}
		h := w.Header()
		for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin"} {
			if h.Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		csp := h.Get("Content-Security-Policy")
		switch {
		case path == p.report:
			if strings.Contains(csp, "'self'") || !strings.Contains(csp, "sandbox allow-scripts") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "script-src 'unsafe") {
				t.Errorf("%s: policy %s", path, csp)
			}
		case strings.HasSuffix(path, ".svg"):
		case csp != policy || strings.Contains(csp, "unsafe"):
			t.Errorf("%s: policy %q", path, csp)
		}
		if cached := h.Get("Cache-Control"); cached != "no-store" && !strings.HasPrefix(path, "/static/console") && !strings.HasPrefix(path, "/static/icon") {
			t.Errorf("%s may be kept: %q", path, cached)
		}
		head := p.ask(http.MethodHead, path, nil)
		if head.Code != w.Code {
			t.Errorf("HEAD %s: status %d, GET has %d", path, head.Code, w.Code)
		}
	}
}

// TestPages_ShowHostileTextsAsText parses every page: names that carry markup make
// no element, no handler and no address.
func TestPages_ShowHostileTextsAsText(t *testing.T) {
	p := newPlant(t)
	shown := 0
	for _, path := range p.pages() {
		body := p.get(path).Body.String()
		doc, err := html.Parse(strings.NewReader(body))
		check(t, err)
		if strings.Contains(body, "&lt;script&gt;alert(1)") {
			shown++
		}
		if strings.ContainsRune(body, '\u202e') {
			t.Errorf("%s turns its line around", path)
		}
		lang, h1, main := false, 0, 0
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			switch n.Data {
			case "html":
				lang = len(n.Attr) == 1 && n.Attr[0].Key == "lang"
			case "h1":
				h1++
			case "main":
				main++
			case "img", "iframe", "object", "embed", "base", "style", "svg":
				t.Errorf("%s has an element %s", path, n.Data)
			case "script":
				if n.FirstChild != nil || len(n.Attr) != 2 || n.Attr[0].Val != "/static/console.js" {
					t.Errorf("%s has another script: %v", path, n.Attr)
				}
			}
			for _, a := range n.Attr {
				switch {
				case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc":
					t.Errorf("%s: <%s> has %s", path, n.Data, a.Key)
				case a.Key == "href" || a.Key == "src" || a.Key == "action":
					if !strings.HasPrefix(a.Val, "/") && a.Val != "#main" || strings.HasPrefix(a.Val, "//") {
						t.Errorf("%s: <%s %s=%q> leads elsewhere", path, n.Data, a.Key, a.Val)
					}
				}
			}
		}
		if !lang || h1 != 1 || main != 1 {
			t.Errorf("%s: lang %v, %d h1, %d main", path, lang, h1, main)
		}
	}
	if shown < 8 {
		t.Errorf("%d pages show the hostile text: this test would miss it", shown)
	}
	if w := p.get("/deliveries?run=x&state=sent"); strings.Contains(w.Header().Get("X-Evil"), "1") {
		t.Error("a text became a header")
	}
}

// TestLinks_LeadSomewhere follows every link from the overview on.
func TestLinks_LeadSomewhere(t *testing.T) {
	p := newPlant(t)
	links := regexp.MustCompile(`(?:href|action)="(/[^"]*)"`)
	before := p.remembered()
	defer func() {
		if diff := cmp.Diff(before, p.remembered()); diff != "" {
			t.Errorf("looking at pages changed the ledger:\n%s", diff)
		}
	}()
	seen, todo := map[string]bool{"/": true}, []string{"/"}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		w := p.get(path)
		if strings.Contains(path, "%2F") || strings.Contains(path, "/deliveries/") && strings.Contains(path, "-2026-11-1") || strings.Contains(path, "/reports/2026-11-16/report0") {
			continue // a name with a slash has no page; deliveries of the archive's reports are not in the ledger
		}
		if w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
		if w.Header().Get("Content-Type") != "text/html; charset=utf-8" || path == p.report || strings.Contains(path, "/report") && strings.Count(path, "/") == 3 {
			continue
		}
		for _, l := range links.FindAllStringSubmatch(w.Body.String(), -1) {
			if at := html.UnescapeString(l[1]); !seen[at] {
				seen[at] = true
				todo = append(todo, at)
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("%d links only", len(seen))
	}
}

func TestGuard_RefusesWhatNoBrowserSends(t *testing.T) {
	p := newPlant(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"} {
		if w := p.ask(method, "/runs", nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: status %d, allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.1:8440", "127.9.9.9:1", "localhost", "LOCALHOST:8440", "[::1]", "[::1]:8440"} {
		if w := p.ask("GET", "/", func(r *http.Request) { r.Host = host }); w.Code != http.StatusOK {
			t.Errorf("host %s: status %d", host, w.Code)
		}
	}
	for _, host := range []string{"", "evil.example", "evil.example:8440", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0:8440", "[::]:8440", "192.168.0.1:8440", "127.0.0.1@evil.example", "2130706433"} {
		for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/events", p.report} {
			if w := p.ask("GET", path, func(r *http.Request) { r.Host = host }); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "nightly") {
				t.Errorf("host %q, %s: status %d", host, path, w.Code)
			}
		}
	}
	for _, raw := range []string{"/static/../runs", "/static/%2e%2e/runs", "/static/..%2fconsole.css", "/static/%2e%2e%2fconsole.css", "/static/..%5cx", `/static/..\x`, "//runs", "/runs//x", "/runs/", "/./runs", "/runs/%00", "/runs/a%2Fb", "/runs/a%0d%0aX-Evil:1"} {
		w := p.ask("GET", "/", func(r *http.Request) {
			u, err := url.ParseRequestURI(raw)
			check(t, err)
			r.URL, r.RequestURI = u, raw
		})
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d, want %d", raw, w.Code, http.StatusBadRequest)
		}
	}
	if w := p.ask("GET", "/?q="+strings.Repeat("a", maxURL), nil); w.Code != http.StatusRequestURITooLong {
		t.Errorf("a long address: status %d", w.Code)
	}
	for _, length := range []int64{1, -1} {
		if w := p.ask("GET", "/", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), length }); w.Code != http.StatusRequestEntityTooLarge {
			t.Errorf("a body of length %d: status %d", length, w.Code)
		}
	}
	cross := func(mode string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Sec-Fetch-Mode", mode)
		}
	}
	for mode, want := range map[string]int{"navigate": 200, "no-cors": 403, "cors": 403} {
		if w := p.ask("GET", "/metrics", cross(mode)); w.Code != want {
			t.Errorf("another site's %s: status %d, want %d", mode, w.Code, want)
		}
	}
	for origin, want := range map[string]int{"http://evil.example": 403, "null": 403, "": 200} {
		if w := p.ask("GET", "/metrics", func(r *http.Request) { r.Header.Set("Origin", origin) }); w.Code != want {
			t.Errorf("of origin %q: status %d, want %d", origin, w.Code, want)
		}
	}
	for _, path := range []string{"/runs?state=bogus", "/deliveries?state=%3Cscript%3E", "/reports?after=yesterday"} {
		if w := p.get(path); w.Code != http.StatusBadRequest {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

// TestPaging_ShowsEveryRowOnce follows the links to older rows.
func TestPaging_ShowsEveryRowOnce(t *testing.T) {
	p := newPlant(t)
	for i := range pageRows + 30 {
		check(t, p.owner.Skip(t.Context(), "hourly", p.clock.AddDate(-2, 0, i), "test"))
	}
	for start, want := range map[string]int{"/runs?job=hourly": pageRows + 30, "/reports/2026-11-15": pageRows + 3} {
		row := regexp.MustCompile(`<th scope="row">`)
		older := regexp.MustCompile(`class="more" href="([^"]+)"`)
		seen, pages := 0, 0
		for path := start; path != ""; pages++ {
			body := p.get(path).Body.String()
			n := len(row.FindAllString(body, -1))
			if n == 0 || n > pageRows {
				t.Fatalf("%s shows %d rows", path, n)
			}
			seen += n
			path = ""
			if m := older.FindStringSubmatch(body); m != nil {
				path = html.UnescapeString(m[1])
			}
		}
		if seen != want || pages != 2 {
			t.Errorf("%s: %d rows on %d pages, want %d on 2", start, seen, pages, want)
		}
	}
}

func TestMail_IsGivenAsAFile(t *testing.T) {
	p := newPlant(t)
	w := p.get("/deliveries/" + p.ids[ledger.Unknown] + "/mail.eml")
	if w.Code != 200 || w.Header().Get("Content-Type") != "message/rfc822" || !regexp.MustCompile(`^attachment; filename="[0-9a-f]{16}\.eml"$`).MatchString(w.Header().Get("Content-Disposition")) ||
		!strings.Contains(w.Body.String(), p.ids[ledger.Unknown]) || !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	page := p.get("/deliveries/" + p.ids[ledger.Unknown]).Body.String()
	for _, want := range []string{"tidemark deliveries resend " + p.ids[ledger.Unknown], "give-up", "mark-sent", "may have arrived"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of an unknown delivery does not say %q", want)
		}
	}
	if strings.Contains(page, "From: a") {
		t.Error("the page shows the mail itself")
	}
	if sent := p.get("/deliveries/" + p.ids[ledger.Sent]).Body.String(); strings.Contains(sent, "resend") {
		t.Error("a delivery that is sent is offered to be sent again")
	}
}

// TestReport_RunsItsOwnScriptsAlone looks at the page of an archived report.
func TestReport_RunsItsOwnScriptsAlone(t *testing.T) {
	p := newPlant(t)
	w := p.get(p.report)
	body := w.Body.String()
	if strings.Contains(body, "<script>alert(1)") || !strings.Contains(body, "&lt;script&gt;alert(1)") {
		t.Error("a hostile headline is not escaped")
	}
	csp := w.Header().Get("Content-Security-Policy")
	if _, charts := templates.ChartScript(); charts && strings.Count(csp, "'sha256-") != 2 {
		t.Errorf("policy %s", csp)
	}
	if w := p.get("/reports/2026-11-17/report1"); w.Code != 200 {
		t.Errorf("a report that was built before midnight and mailed after it: status %d", w.Code)
	}
}

func TestPages_SayWhenTheyCannotRead(t *testing.T) {
	p := newPlant(t)
	p.broken = errTest
	w := p.get("/")
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "/secret/path") {
		t.Errorf("status %d\n%s", w.Code, w.Body.String())
	}
	if !strings.Contains(p.log.String(), "/secret/path") {
		t.Error("the log does not say why")
	}
	p.gone = errTest
	for _, path := range []string{"/archive", "/reports"} {
		if w := p.get(path); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}
