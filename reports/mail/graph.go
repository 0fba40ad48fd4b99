package mail

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	netmail "net/mail"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// GraphOptions say which mailbox of Exchange Online sends, and how Microsoft Graph
// is reached.
type GraphOptions struct {
	Client  *http.Client     // adds the token, for Host only, and follows no redirect
	Host    string           // e.g. "https://graph.microsoft.com"
	Mailbox string           // address or id of the mailbox that sends
	Now     func() time.Time // the clock that a date in Retry-After counts from

	Timeout time.Duration // of one mail, from connecting to the answer; 0 means 2 minutes
}

// Graph is a Sender that posts the sealed bytes to Microsoft Graph's sendMail as MIME
// (https://learn.microsoft.com/graph/api/user-sendmail). There is no envelope: the
// mail goes to whom its To header names. 202 says that Exchange accepted it.
type Graph struct {
	o       GraphOptions
	address string
}

// NewGraph checks the options. Nothing is sent yet.
func NewGraph(o GraphOptions) (*Graph, error) {
	switch {
	case o.Client == nil || o.Now == nil:
		return nil, errors.New("graph: no client or no clock is given")
	case o.Host == "":
		return nil, errors.New("graph: no host is given")
	case o.Mailbox == "":
		return nil, errors.New("graph: mailbox is missing: give the address of the mailbox that sends")
	}
	o.Timeout = cmp.Or(o.Timeout, 2*time.Minute)
	return &Graph{o, o.Host + "/v1.0/users/" + url.PathEscape(o.Mailbox) + "/sendMail"}, nil
}

// Close lets go of the connection.
func (g *Graph) Close() error {
	g.o.Client.CloseIdleConnections()
	return nil
}

// Check signs in, and posts a mail that has nothing in it, which Graph refuses for just
// that where the app may send as the mailbox: nothing is sent.
func (g *Graph) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.address, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain")
	resp, err := g.o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("reach Graph: %w", err)
	}
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer of Graph: %w", err)
	}
	if refusal := parseGraphError(said); resp.StatusCode != http.StatusBadRequest || refusal.everyMail() {
		return g.judge(resp, refusal).Err
	}
	return nil
}

// maxGraphRequest is how long the body of a request to Graph may be.
const maxGraphRequest = 4_000_000

// Send implements Sender. The dot is the first byte of the body: what Graph has of a
// request before, its headers, makes no mail, nor does a body that breaks off.
func (g *Graph) Send(ctx context.Context, e Envelope, raw []byte, dot func() error) Result {
	if err := goesTo(raw, e.To); err != nil {
		return failure(err, Refused)
	}
	text := make([]byte, base64.StdEncoding.EncodedLen(len(raw)))
	base64.StdEncoding.Encode(text, raw)
	if len(text) > maxGraphRequest {
		return failure(fmt.Errorf("the mail is %d bytes long in base64, Graph takes %d: send large attachments by smtp", len(text), maxGraphRequest), Refused)
	}
	body := &posted{dot: dot, stopped: ctx.Err}
	// A mail that is on its way is not called back: its outcome would be unknown.
	posting, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.o.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if allowed, _, _ := body.how(); !allowed {
			cancel()
		}
	})()
	req, err := http.NewRequestWithContext(posting, http.MethodPost, g.address, body.reader(text))
	if err != nil {
		return failure(err, Refused)
	}
	// A token that has ended is renewed and the body sent once more, since nothing of
	// it was taken: that is no second dot.
	req.GetBody = func() (io.ReadCloser, error) { return body.reader(text), nil }
	req.ContentLength = int64(len(text))
	req.Header.Set("Content-Type", "text/plain")
	resp, err := g.o.Client.Do(req)
	allowed, whole, refused := body.how()
	switch {
	case refused != nil:
		return Result{Outcome: Unsent, Reply: refused.Error(), Err: refused}
	case err != nil && !allowed:
		return down(failure(fmt.Errorf("post mail to %s: %w", e.To, err), Unsent))
	case err != nil && !whole: // what breaks off is taken for no mail
		return failure(fmt.Errorf("post mail to %s: %w", e.To, err), Unsent)
	case err != nil:
		return failure(fmt.Errorf("post mail to %s: %w", e.To, err), Unknown)
	}
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close() // only read from
	if resp.StatusCode == http.StatusAccepted {
		return Result{Outcome: Sent, Reply: oneLine("202 Accepted, request-id " + resp.Header.Get("request-id"))}
	}
	if err != nil {
		said = nil // the status decides, whatever was to be said about it
	}
	return g.judge(resp, parseGraphError(said))
}

// judge is what an answer other than 202 means. What would meet every mail alike is
// no mail's own fault.
func (g *Graph) judge(resp *http.Response, said graphError) Result {
	err := fmt.Errorf("Graph answered %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode), said)
	with := func(hint string) error {
		if hint == "" {
			return err
		}
		return fmt.Errorf("%w; %s", err, hint)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		r := down(failure(err, Unsent))
		r.Wait = g.retryAfter(resp.Header.Get("Retry-After"))
		return r
	case status == http.StatusUnauthorized:
		return down(failure(with("the token is refused: check tenant and client_id of microsoft, or of the source that stands in for it"), Unsent))
	case status == http.StatusForbidden:
		return down(failure(with("give the app registration the application permission Mail.Send, or the role for this mailbox in Exchange (docs/microsoft365.md)"), Unsent))
	case status == http.StatusNotFound:
		return down(failure(with("mail.graph.mailbox is no mailbox of this tenant: check its address"), Unsent))
	case status == http.StatusRequestTimeout:
		return failure(err, Unsent)
	case status == http.StatusRequestEntityTooLarge:
		return failure(with("the mail is too large"), Refused)
	case status/100 == 3:
		return down(failure(with("no redirect is followed: check mail.graph.endpoints"), Unsent))
	case status/100 == 4 && said.everyMail():
		return down(failure(err, Unsent))
	case status/100 == 4:
		return failure(err, Refused)
	}
	return down(failure(err, Unknown)) // it may have taken the mail before it failed
}

// down says that no other mail would fare better.
func down(r Result) Result {
	r.Down = true
	return r
}

// longestWait bounds what Graph may ask for.
const longestWait = time.Hour

// retryAfter reads both forms of Retry-After (RFC 9110, 10.2.3); 0 where there is none.
func (g *Graph) retryAfter(text string) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(text); err == nil {
		d = time.Duration(min(seconds, int(longestWait/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(g.o.Now())
	}
	return min(max(d, 0), longestWait)
}

// graphError is the body of a refusal.
type graphError struct{ Code, Message string }

func parseGraphError(body []byte) graphError {
	var shape struct{ Error graphError }
	if json.Unmarshal(body, &shape) != nil {
		return graphError{}
	}
	return shape.Error
}

// String is what Graph said, for a person: short, since it may hold anything.
func (e graphError) String() string {
	const most = 300
	text := e.Code
	if e.Message != "" {
		text += ": " + e.Message
	}
	if text == "" {
		return ""
	}
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return " (" + oneLine(text) + ")"
}

// everyMail reports whether a refusal is the mailbox's and not the mail's.
func (e graphError) everyMail() bool {
	switch e.Code {
	case "ErrorSendAsDenied", "ErrorAccessDenied", "ErrorQuotaExceeded", "ErrorExceededMessageLimit", "ErrorMessageSubmissionBlocked",
		"MailboxNotEnabledForRESTAPI", "MailboxNotSupportedForRESTAPI", "ErrorMailboxMoveInProgress", "ErrorMailboxStoreUnavailable", "ErrorInvalidUser":
		return true
	}
	return false
}

// goesTo reports whether the headers name the recipient and nobody else.
func goesTo(raw []byte, to string) error {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("read the headers of the mail to %s: %w", to, err)
	}
	list, err := m.Header.AddressList("To")
	if err != nil || len(list) != 1 || Key(list[0].Address) != Key(to) || m.Header.Get("Cc") != "" || m.Header.Get("Bcc") != "" {
		return fmt.Errorf("the mail to %s names other recipients in its headers, which Graph would send it to", to)
	}
	return nil
}

// posted is the body of a request: dot is called before its first byte goes out.
type posted struct {
	dot     func() error
	stopped func() error // why nothing is to be sent any more; nil while it is

	mu      sync.Mutex
	allowed bool  // dot was called, and is not called again
	refused error // what it said
	whole   bool  // all bytes were handed on at least once
}

func (p *posted) reader(text []byte) io.ReadCloser { return &postedReader{p, bytes.NewReader(text)} }

// how says how far the request came.
func (p *posted) how() (allowed, whole bool, refused error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allowed, p.whole, p.refused
}

type postedReader struct {
	p    *posted
	rest *bytes.Reader
}

func (r *postedReader) Read(b []byte) (int, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if err := r.p.stopped(); err != nil && !r.p.allowed {
		return 0, err
	}
	if !r.p.allowed {
		r.p.allowed = true
		r.p.refused = r.p.dot()
	}
	if r.p.refused != nil {
		return 0, r.p.refused
	}
	n, err := r.rest.Read(b)
	if r.rest.Len() == 0 {
		r.p.whole = true
	}
	return n, err
}

func (r *postedReader) Close() error { return nil }
