package fakemicrosoft_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const appID = "11111111-2222-4333-8444-555555555555"

// clock is a clock that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// fixture is a running server and a client that takes no turns of its own.
type fixture struct {
	*Server
	t     *testing.T
	at    Endpoints
	p     *Partner
	clock *clock
	http  *http.Client
}

func start(t *testing.T, p *Partner, o Options) *fixture {
	t.Helper()
	c := &clock{time.Date(2026, 2, 10, 6, 0, 0, 0, time.UTC)}
	if p == nil {
		p = NewPartner(1, Size{Customers: 7, Days: 40, Today: c.t})
	}
	s := NewWith(p, c.now, o)
	at, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Server: s, t: t, at: at, p: p, clock: c, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// answer is an answer, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// object decodes a JSON answer.
func (a answer) object(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	dec := json.NewDecoder(strings.NewReader(strings.TrimPrefix(a.body, "\ufeff")))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return o
}

func (f *fixture) do(method, url, token, body string, header ...string) answer {
	f.t.Helper()
	a, err := f.try(method, url, token, body, header...)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) try(method, url, token, body string, header ...string) (answer, error) {
	f.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b), err}, nil
}

func (f *fixture) get(url, token string, header ...string) answer {
	f.t.Helper()
	return f.do(http.MethodGet, url, token, "", header...)
}

// login posts a form to a token endpoint.
func (f *fixture) login(path string, form ...string) answer {
	f.t.Helper()
	v := url.Values{"client_id": {appID}, "client_secret": {"client-secret"}}
	for i := 0; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	return f.do(http.MethodPost, f.at.Login+"/"+f.p.TenantID+path, "", v.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// token signs the app in.
func (f *fixture) token(resource string) string {
	f.t.Helper()
	a := f.login("/oauth2/token", "grant_type", "client_credentials", "resource", resource)
	if a.status != 200 {
		f.t.Fatalf("sign-in: %d %s", a.status, a.body)
	}
	return a.object(f.t)["access_token"].(string)
}

// userToken signs the app and its user in.
func (f *fixture) userToken(resource string) string {
	f.t.Helper()
	a := f.login("/oauth2/token", "grant_type", "refresh_token", "refresh_token", "refresh-token", "resource", resource)
	if a.status != 200 {
		f.t.Fatalf("sign-in: %d %s", a.status, a.body)
	}
	return a.object(f.t)["access_token"].(string)
}

// lines reads the JSON lines of a gzip body.
func lines(t *testing.T, body string) []map[string]any {
	t.Helper()
	zip, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for sc := bufio.NewScanner(zip); sc.Scan(); {
		dec := json.NewDecoder(strings.NewReader(sc.Text()))
		dec.UseNumber()
		var o map[string]any
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func wantStatus(t *testing.T, a answer, status int, part string) {
	t.Helper()
	if a.status != status || !strings.Contains(a.body, part) {
		t.Errorf("got %d %.300s, want %d with %q", a.status, a.body, status, part)
	}
}
