package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock moves only when somebody sleeps.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return ctx.Err()
}

var start = time.Date(2026, 11, 25, 2, 30, 0, 0, time.UTC)

// scripted answers with one handler after the other, the last one again and again.
func scripted(t *testing.T, handlers ...http.HandlerFunc) (*Client, *clock, *url.URL, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1))
		handlers[min(i, len(handlers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL + "/things?secret=hush")
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{at: start}
	return &Client{HTTP: server.Client(), Now: c.now, Sleep: c.sleep}, c, u, &n
}

func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func readText(to *string) func(*http.Response) error {
	return func(r *http.Response) error {
		b, err := io.ReadAll(r.Body)
		*to = string(b)
		return err
	}
}

func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, "half")
	panic(http.ErrAbortHandler)
}

func TestDo_WhatIsAskedForAgain(t *testing.T) {
	tests := []struct {
		name   string
		first  []http.HandlerFunc
		sent   int64
		waited time.Duration
	}{
		{"nothing goes wrong", nil, 1, 0},
		{"429 with seconds", []http.HandlerFunc{answer(429, "", "Retry-After", "57")}, 2, 57 * time.Second},
		{"429 with a date", []http.HandlerFunc{answer(429, "", "Retry-After", start.Add(15*time.Minute).Format(http.TimeFormat))}, 2, 15 * time.Minute},
		{"a date that has passed", []http.HandlerFunc{answer(503, "", "Retry-After", start.Add(-time.Hour).Format(http.TimeFormat))}, 2, 0},
		{"5xx without a word: 0.5, 1.5, 3.5 s", []http.HandlerFunc{answer(500, ""), answer(502, ""), answer(504, "")}, 4, 5500 * time.Millisecond},
		{"204 where it means later", []http.HandlerFunc{answer(204, "", "Retry-After", "4")}, 2, 4 * time.Second},
		{"a body that is cut", []http.HandlerFunc{cut}, 2, 500 * time.Millisecond},
		{"a connection that is dropped", []http.HandlerFunc{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }}, 2, 500 * time.Millisecond},
		{"Retry-After that is none", []http.HandlerFunc{answer(429, "", "Retry-After", "soon")}, 2, 500 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, clock, u, n := scripted(t, append(test.first, answer(200, "whole"))...)
			var got string
			if err := c.Do(t.Context(), Request{URL: u, EmptyIsLater: true}, readText(&got)); err != nil || got != "whole" {
				t.Fatalf("read %q, %v", got, err)
			}
			if waited := clock.now().Sub(start); n.Load() != test.sent || waited != test.waited {
				t.Errorf("%d requests in %s, want %d in %s", n.Load(), waited, test.sent, test.waited)
			}
			if s := c.Stats(); s.Requests != test.sent || s.Retries != test.sent-1 || s.Waited != test.waited {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestDo_WhatIsNot(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 409, 417, 301} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			c, _, u, n := scripted(t, answer(status, `{"code":"20002"}`))
			c.HTTP.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			err := c.Do(t.Context(), Request{URL: u}, func(*http.Response) error { return nil })
			var refused *StatusError
			if !errors.As(err, &refused) || refused.Status != status || string(refused.Body) != `{"code":"20002"}` || n.Load() != 1 {
				t.Errorf("%v after %d requests", err, n.Load())
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error tells the query: %v", err)
			}
		})
	}
}

func TestDo_GivesUp(t *testing.T) {
	t.Run("after six tries", func(t *testing.T) {
		c, _, u, n := scripted(t, answer(500, ""))
		if err := c.Do(t.Context(), Request{URL: u}, func(*http.Response) error { return nil }); err == nil || n.Load() != 6 {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	})
	t.Run("when the wait is longer than it may be", func(t *testing.T) {
		c, clock, u, n := scripted(t, answer(429, "", "Retry-After", "7200"))
		err := c.Do(t.Context(), Request{URL: u}, func(*http.Response) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "2h0m0s") || n.Load() != 1 || clock.now() != start {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	})
	t.Run("at once when the time would be over before the next try", func(t *testing.T) {
		c, clock, u, n := scripted(t, answer(429, "", "Retry-After", "600"))
		c.Allow(start.Add(time.Minute))
		err := c.Do(t.Context(), Request{URL: u}, func(*http.Response) error { return nil })
		if !errors.Is(err, ErrNoTime) || n.Load() != 1 || clock.now() != start {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	})
	t.Run("when it is cancelled", func(t *testing.T) {
		c, _, u, n := scripted(t, answer(200, ""))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Do(ctx, Request{URL: u}, func(*http.Response) error { return nil }); !errors.Is(err, context.Canceled) || n.Load() != 0 {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	})
	t.Run("when the caller does not take the body", func(t *testing.T) {
		c, _, u, n := scripted(t, answer(200, ""))
		mine := errors.New("mine")
		if err := c.Do(t.Context(), Request{URL: u}, func(*http.Response) error { return mine }); !errors.Is(err, mine) || n.Load() != 1 {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	})
}

// TestDo_TheIDOfARequest checks the rule for idempotency: the same id while
// there was no answer, a new one after any answer.
func TestDo_TheIDOfARequest(t *testing.T) {
	var ids []string
	note := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			ids = append(ids, r.Header.Get("MS-RequestId"))
			next(w, r)
		}
	}
	drop := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	c, _, u, _ := scripted(t, note(drop), note(answer(500, "")), note(answer(200, "")))
	if err := c.Do(t.Context(), Request{URL: u, ID: "MS-RequestId"}, func(*http.Response) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if len(ids) != 3 || ids[0] == "" || ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("ids %q", ids)
	}
}

// TestDo_EverybodyWaitsFor429 checks that a request begun while the remote side
// has asked to wait does wait.
func TestDo_EverybodyWaitsFor429(t *testing.T) {
	c, clock, u, _ := scripted(t, answer(429, "", "Retry-After", "40"), answer(200, ""))
	c.Attempts = 1
	none := func(*http.Response) error { return nil }
	if err := c.Do(t.Context(), Request{URL: u}, none); err == nil {
		t.Fatal("one try was enough")
	}
	if err := c.Do(t.Context(), Request{URL: u}, none); err != nil || clock.now().Sub(start) != 40*time.Second {
		t.Errorf("%v after %s", err, clock.now().Sub(start))
	}
}

// TestBudget_NoWindowHasMore sends as fast as the budget allows and looks at
// every window of a minute.
func TestBudget_NoWindowHasMore(t *testing.T) {
	for _, n := range []int{1, 7, 60, 500} {
		b, now := NewBudget(n, time.Minute), start
		var sent []time.Time
		for range 4 * n {
			now = now.Add(max(b.reserve(now), 0))
			sent = append(sent, now)
		}
		for i, from := range sent {
			in := 0
			for _, at := range sent[i:] {
				if at.Before(from.Add(time.Minute)) {
					in++
				}
			}
			if in > n {
				t.Fatalf("budget of %d: %d requests in the minute from %s on", n, in, from.Sub(start))
			}
		}
		if took := now.Sub(start); n > 1 && took > 5*time.Minute {
			t.Errorf("budget of %d: %d requests took %s", n, 4*n, took)
		}
	}
}

func FuzzAfter(f *testing.F) {
	for _, s := range []string{"", "57", "-3", "0.5", "1e300", "NaN", "Mon, 27 Jan 2020 04:17:10 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := After(http.Header{"Retry-After": {s}}, start); d < 0 || !ok && d != 0 {
			t.Errorf("After(%q) = %s, %v", s, d, ok)
		}
	})
}
