package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// syncBuffer is a buffer that one goroutine writes and another reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	up chan struct{} // closed with the first write
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.b.Len() == 0 {
		close(s.up)
	}
	return s.b.Write(p)
}

func (s *syncBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

// TestPreview_ShowsEveryReportToThisMachineAlone serves the demo's archive.
func TestPreview_ShowsEveryReportToThisMachineAlone(t *testing.T) {
	dir := t.TempDir()
	env := environment{stdout: io.Discard, stderr: io.Discard, now: time.Now,
		getenv: func(name string) string { return map[string]string{"TIDEMARK_NOW": "2026-11-16T07:00:00Z"}[name] }}
	if code := run(t.Context(), []string{"demo", "--out", dir}, env); code != exitDone {
		t.Fatalf("demo: exit %d", code)
	}
	config := filepath.Join(dir, "tidemark.yaml")
	if err := os.WriteFile(config, []byte(`source: {kind: sample}
recipients:
  - {address: ada@partner.example, role: admin_agent}
  - {address: umut@partner.example, role: user_admin, locale: nl}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{"0.0.0.0:0", ":8080", "partner.example:80"} {
		if code := run(t.Context(), []string{"preview", "--period", "latest-7d", "--listen", listen, "--config", config}, env); code != exitUsage {
			t.Errorf("--listen %s: exit %d, want %d", listen, code, exitUsage)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	out := &syncBuffer{up: make(chan struct{})}
	env.stdout = out
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"preview", "--period", "latest-7d", "--listen", "localhost:0", "--config", config}, env)
	}()
	select {
	case <-out.up:
	case code := <-ended:
		t.Fatalf("it ended with %d", code)
	}
	url, _, _ := strings.Cut(out.String(), " ")
	get := func(path, host string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			r.Host = host
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		if err != nil || answer.Body.Close() != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == 200 && !strings.HasSuffix(path, ".page.html") && answer.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s has no content security policy", path)
		}
		return answer.StatusCode, string(b)
	}
	code, index := get("", "")
	if code != 200 || !strings.Contains(index, "there is no ownership") {
		t.Errorf("index: %d, and it does not say why sales agents get nothing:\n%s", code, index)
	}
	links := regexp.MustCompile(`href="/([^"]+)"`).FindAllStringSubmatch(index, -1)
	if len(links) != 10 {
		t.Errorf("%d links, want five for each of two mails", len(links))
	}
	for _, l := range links {
		if code, body := get(l[1], ""); code != 200 || len(body) < 500 {
			t.Errorf("%s: %d with %d bytes", l[1], code, len(body))
		}
	}
	if code, _ := get("nosuch", ""); code != 404 {
		t.Errorf("nosuch: %d", code)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "localhost:80"} { // port 80 is not named
		if code, _ := get("", host); code != 200 {
			t.Errorf("host %s: %d", host, code)
		}
	}
	for _, host := range []string{"evil.example:80", "127.0.0.1.evil.example", "[::2]"} {
		if code, _ := get("", host); code != 403 {
			t.Errorf("host %s: %d", host, code)
		}
	}
	if code, body := get("", "evil.example"); code != 403 || strings.Contains(body, "partner.example") {
		t.Errorf("another host name: %d %s", code, body)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("it ended with %d, want %d", code, exitDone)
	}
}
