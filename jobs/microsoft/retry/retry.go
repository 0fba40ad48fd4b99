// Package retry sends requests to remote APIs that throttle, stall, fail for a
// moment and break off in the middle of a body.
//
//  1. [Client.Do] sends a [Request]; a [Budget] spaces the requests so that the
//     remote side's own limit is not reached;
//  2. the caller's read function takes in the body; a body that was cut or came
//     too slowly makes the whole request again, so read must begin anew;
//  3. answers that may be different later (429, 408, 5xx, and 204 where the
//     request says so) are asked for again: after what Retry-After says, as
//     seconds or as a date, else after 0.5, 1.5, 3.5 s and so on;
//  4. any other answer is a [*StatusError], whose body the caller explains.
//
// The total time is what [Client.Allow] says: where a wait would go past it, Do
// ends at once with [ErrNoTime].
package retry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrNoTime says that the time allowed would end before the next try.
var ErrNoTime = errors.New("the time allowed is over")

// Client sends requests. It may be used by many goroutines.
type Client struct {
	HTTP     *http.Client                               // its Transport adds the credentials
	Now      func() time.Time                           // for dates in Retry-After and for the budget
	Budget   *Budget                                    // nil: no limit of our own
	Attempts int                                        // tries of one request in all; 0 means 6
	Slowest  time.Duration                              // how long one try may take, its body included; 0 means three minutes
	Longest  time.Duration                              // the longest wait that a Retry-After may ask for; 0 means 20 minutes
	Sleep    func(context.Context, time.Duration) error // nil for Sleep
	Told     func(Wait)                                 // told of each wait before it begins; nil for none. It may be called by many goroutines

	mu    sync.Mutex
	stats Stats
	until time.Time // no request begins before: the remote side asked for it
	ends  time.Time // no wait goes past it; zero for no limit
}

// Allow sets when the time for all requests ends, by the client's clock. One
// that is under way then is ended by its context only.
func (c *Client) Allow(ends time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = ends
}

// late reports whether the time would be over after a wait.
func (c *Client) late(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ends.IsZero() && c.Now().Add(d).After(c.ends)
}

// Wait is one pause before a request is sent again.
type Wait struct {
	For time.Duration
	Why string // e.g. "429 Too Many Requests"
}

// Stats count what the client did.
type Stats struct {
	Requests int64         `json:"requests"` // sent, repetitions included
	Retries  int64         `json:"retries"`
	Waited   time.Duration `json:"waited_ns"` // in all, for the budget and for retries; of parallel requests added
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Request is what to send. It is repeated as it is, so it must be safe to send
// twice.
type Request struct {
	Method string // empty for GET
	URL    *url.URL
	Header http.Header
	Body   []byte
	// ID is a header that gets a GUID for idempotency, e.g. "MS-RequestId": the
	// same one when a try got no answer, a new one after any answer.
	ID string
	// Limited requests count for the budget.
	Limited bool
	// Prepare is called before each try with its headers, e.g. to ask only for
	// what is left of a file; nil for none.
	Prepare func(http.Header)
	// EmptyIsLater says that 204 means "not ready", not "nothing".
	EmptyIsLater bool
}

// StatusError is an answer other than 2xx, or a 204 that stayed one.
type StatusError struct {
	Method string
	URL    string // without its query, which may hold a secret
	Status int
	Header http.Header
	Body   []byte // its first 64 KiB
}

// Error gives the place and the status, not the body: it may hold anything.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: answered %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
}

// GaveUp is the error of a request that got no whole answer in any try.
type GaveUp struct{ Err error }

func (g *GaveUp) Error() string { return g.Err.Error() }
func (g *GaveUp) Unwrap() error { return g.Err }

// gaveUp is the error after the last try; an answer is told as it is.
func (t *try) gaveUp(err error) error {
	if refused := (*StatusError)(nil); errors.As(err, &refused) {
		return err
	}
	return &GaveUp{err}
}

const (
	maxErrorBody = 64 << 10
	longest      = 20 * time.Minute
)

// again marks an error of a body that another try may mend.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// Again marks an error of a read function: the body is not whole, ask for it
// once more. Errors of the connection need no mark.
func Again(err error) error { return again{err} }

// Do sends the request until it has an answer that read accepts. read gets the
// response of a 2xx and must not keep its body; it may be called several times.
func (c *Client) Do(ctx context.Context, r Request, read func(*http.Response) error) error {
	attempts, id := cmp.Or(c.Attempts, 6), ""
	for n := 1; ; n++ {
		if err := c.begin(ctx, r.Limited); err != nil {
			return err
		}
		if id == "" {
			id = uuid.NewString()
		}
		t := try{client: c, Request: r, id: id}
		err := t.do(ctx, read)
		c.hold(t)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return c.ended(ctx)
		case !t.later:
			return err
		case n == attempts:
			return t.gaveUp(err)
		}
		if t.answered {
			id = ""
		}
		if err := c.pause(ctx, n, t, err); err != nil {
			return err
		}
	}
}

// try is one sending of a request.
type try struct {
	client *Client
	Request
	id       string
	answered bool          // a status line came
	later    bool          // another try may succeed
	why      string        // of the pause
	after    time.Duration // asked for by the answer; negative for none
	all      bool          // the answer asks every request to wait, not this one only
}

func (t *try) do(ctx context.Context, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(t.client.Slowest, 3*time.Minute))
	defer cancel()
	t.after = -1
	req, err := http.NewRequestWithContext(ctx, cmp.Or(t.Method, http.MethodGet), t.URL.String(), bytes.NewReader(t.Body))
	if err != nil {
		return err
	}
	maps.Copy(req.Header, t.Header)
	if t.ID != "" {
		req.Header.Set(t.ID, t.id)
	}
	if t.Prepare != nil {
		t.Prepare(req.Header)
	}
	t.client.count(func(s *Stats) { s.Requests++ })
	resp, err := t.client.HTTP.Do(req)
	if err != nil {
		var fatal *Fatal
		t.later, t.why = !errors.As(err, &fatal), "no answer"
		return withoutQuery(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read as far as it is wanted
	t.answered = true
	if resp.StatusCode/100 == 2 && (resp.StatusCode != http.StatusNoContent || !t.EmptyIsLater) {
		return t.take(resp, read)
	}
	return t.refused(resp)
}

// take has the body read, and notes whether it broke off.
func (t *try) take(resp *http.Response, read func(*http.Response) error) error {
	body := &watched{ReadCloser: resp.Body}
	resp.Body = body
	err := read(resp)
	if err == nil {
		return nil
	}
	var marked again
	if body.err != nil || errors.As(err, &marked) {
		t.later, t.why = true, "the body broke off"
		return fmt.Errorf("%s %s: %w", resp.Request.Method, place(t.URL), err)
	}
	return err
}

// refused makes the error of an answer that is none.
func (t *try) refused(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		body = nil // the status says enough
	}
	t.why = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	switch s := resp.StatusCode; s {
	case http.StatusNoContent, http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		t.later = true
		t.all = s == http.StatusTooManyRequests
		if after, ok := After(resp.Header, t.client.Now()); ok {
			t.after = after
		}
	}
	return &StatusError{resp.Request.Method, place(t.URL), resp.StatusCode, resp.Header, body}
}

// After reads Retry-After, which is a number of seconds or a date; ok is false
// without one. It is never negative.
func After(h http.Header, now time.Time) (d time.Duration, ok bool) {
	text := h.Get("Retry-After")
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n < 1e9 {
		return time.Duration(n * float64(time.Second)), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return max(at.Sub(now), 0), true
}

// hold keeps every request back when an answer asks for that.
func (c *Client) hold(t try) {
	until := c.Now().Add(min(t.after, cmp.Or(c.Longest, longest)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.all && until.After(c.until) {
		c.until = until
	}
}

// pause waits before the next try, or says why there is none.
func (c *Client) pause(ctx context.Context, n int, t try, cause error) error {
	d := t.after
	if d < 0 {
		d = time.Duration(1<<n-1) * time.Second / 2
	}
	if most := cmp.Or(c.Longest, longest); d > most {
		return fmt.Errorf("%w; it asks to wait for %s, more than %s", cause, d.Round(time.Second), most)
	}
	if c.late(d) {
		return fmt.Errorf("%w: %w", ErrNoTime, cause)
	}
	c.count(func(s *Stats) { s.Retries++ })
	if c.Told != nil {
		c.Told(Wait{d, t.why})
	}
	return c.sleep(ctx, d)
}

// begin waits until a request may be sent, and counts it.
func (c *Client) begin(ctx context.Context, limited bool) error {
	if ctx.Err() != nil {
		return c.ended(ctx)
	}
	now := c.Now()
	c.mu.Lock()
	d := c.until.Sub(now)
	c.mu.Unlock()
	if limited && c.Budget != nil {
		d = max(d, c.Budget.reserve(now))
	}
	switch {
	case c.late(max(d, 0)):
		return ErrNoTime
	case d <= 0:
		return nil
	}
	return c.sleep(ctx, d)
}

// Admit waits until a request may be sent beside those of Do, and counts it: for a
// transport that sends one several times.
func (c *Client) Admit(ctx context.Context, limited bool) error {
	err := c.begin(ctx, limited)
	if err == nil {
		c.count(func(s *Stats) { s.Requests++ })
	}
	return err
}

// Pause waits as between two tries, e.g. for an operation that is still running.
func (c *Client) Pause(ctx context.Context, d time.Duration) error {
	if c.late(d) {
		return ErrNoTime
	}
	return c.sleep(ctx, d)
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	sleep := c.Sleep
	if sleep == nil {
		sleep = Sleep
	}
	if err := sleep(ctx, d); err != nil {
		return c.ended(ctx)
	}
	c.count(func(s *Stats) { s.Waited += d })
	return nil
}

func (c *Client) count(add func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add(&c.stats)
}

// ended is the error of a context that is over.
func (c *Client) ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrNoTime
	}
	return context.Cause(ctx)
}

// Sleep waits, or returns the error of a context that ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Fatal marks an error of a transport that no other try can mend.
type Fatal struct{ Err error }

func (f *Fatal) Error() string { return f.Err.Error() }
func (f *Fatal) Unwrap() error { return f.Err }

// watched remembers how a body ended.
type watched struct {
	io.ReadCloser
	err error // nil until something but its end stopped it
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// place is an address without its query and credentials.
func place(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// withoutQuery takes the query out of the error of net/http.
func withoutQuery(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	u, parseErr := url.Parse(e.URL)
	if parseErr != nil {
		return e.Err
	}
	return fmt.Errorf("%s %s: %w", e.Op, place(u), e.Err)
}
