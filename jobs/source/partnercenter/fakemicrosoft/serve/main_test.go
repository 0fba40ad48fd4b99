package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func now() time.Time { return time.Date(2026, 2, 10, 6, 0, 0, 0, time.UTC) }

func TestServe_PrintsAConfigurationThatWorks(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"-customers", "3", "-fault", "429@2", "-exports", dir}, w, io.Discard, now)
		_ = w.Close()
	}()
	buf := make([]byte, 1<<14)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	text := string(buf[:n])
	value := func(key string) string {
		_, rest, ok := strings.Cut(text, key)
		if !ok {
			t.Fatalf("no %q in:\n%s", key, text)
		}
		v, _, _ := strings.Cut(rest, "\n")
		return v
	}
	res, err := http.PostForm(value("    login: ")+"/"+value("tenant: ")+"/oauth2/token", url.Values{"grant_type": {"client_credentials"},
		"client_id": {value("client_id: ")}, "client_secret": {value("TIDEMARK_CLIENT_SECRET=")}, "resource": {"https://graph.microsoft.com"}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("sign-in: %s", res.Status)
	}
	cancel()
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 || !strings.Contains(string(rest), "requests: login 1 api 0") {
		t.Errorf("ended with %d and %q", code, rest)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "focus/focus-all/*/*/*/manifest.json")); len(names) != 4 {
		t.Errorf("exports %v", names)
	}
	if _, err := os.Stat(filepath.Join(dir, "focus")); err != nil {
		t.Error(err)
	}
}

func TestServe_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{{"-fault", "nothing"}, {"-fault", "429@x"}, {"-fault", "429%0"}, {"more"}, {"-what"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, io.Discard, &stderr, now); code != 2 || stderr.Len() == 0 {
			t.Errorf("%q: ended with %d, %q", args, code, stderr.String())
		}
	}
}
