package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailbox is Microsoft Graph's sendMail, as its reference documents it: MIME in base64
// with the content type text/plain, 202 and no body when it was accepted.
type mailbox struct {
	t  *testing.T
	mu sync.Mutex

	fault  string            // what the next request meets; used up by it
	stored map[string]string // mails taken, by the local part of To
	bodies int               // requests whose body was read to its end
}

func (m *mailbox) take() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	fault := m.fault
	m.fault = ""
	return fault
}

func (m *mailbox) arrived() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for name, eml := range m.stored {
		all[name] = eml
	}
	return all
}

// accept takes a mail in as Exchange does: to whom its headers name.
func (m *mailbox) accept(body []byte) (refusal string) {
	raw, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		return "ErrorMimeContentInvalidBase64String"
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "ErrorMimeContentInvalid"
	}
	to, err := msg.Header.AddressList("To")
	if err != nil || len(to) == 0 {
		return "ErrorInvalidRecipients"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range to {
		name, _, _ := strings.Cut(a.Address, "@")
		m.stored[name] = string(raw)
	}
	return ""
}

func (m *mailbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message}})
	}
	fault := m.take()
	switch fault {
	case "lost before the body":
		panic(http.ErrAbortHandler)
	case "lost in the body":
		_, _ = io.ReadFull(r.Body, make([]byte, 1000))
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m.mu.Lock()
	m.bodies++
	m.mu.Unlock()
	if r.Method != http.MethodPost || r.URL.EscapedPath() != "/v1.0/users/usage@partner.example/sendMail" || r.Header.Get("Content-Type") != "text/plain" {
		m.t.Errorf("%s %s with %q", r.Method, r.URL.EscapedPath(), r.Header.Get("Content-Type"))
	}
	switch fault {
	case "429":
		w.Header().Set("Retry-After", "90")
		refuse(http.StatusTooManyRequests, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
		return
	case "503 with a date":
		w.Header().Set("Retry-After", start.Add(2*time.Minute).Format(http.TimeFormat))
		refuse(http.StatusServiceUnavailable, "serviceNotAvailable", "")
		return
	case "400":
		refuse(http.StatusBadRequest, "ErrorInvalidRecipients", "At least one recipient isn't valid., A recipient must be specified.")
		return
	case "401":
		refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
		return
	case "403":
		refuse(http.StatusForbidden, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
		return
	case "404":
		refuse(http.StatusNotFound, "ErrorInvalidUser", "The requested user 'usage@partner.example' is invalid.")
		return
	case "413":
		refuse(http.StatusRequestEntityTooLarge, "", "")
		return
	case "400 of the mailbox":
		refuse(http.StatusBadRequest, "ErrorExceededMessageLimit", "The message can't be submitted because the sender exceeded the submission limits.")
		return
	case "302":
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
		return
	case "500":
		refuse(http.StatusInternalServerError, "ErrorInternalServerError", "An internal server error occurred. Try again later.")
		return
	case "504, taken":
		m.accept(body)
		refuse(http.StatusGatewayTimeout, "", "")
		return
	case "lost after the body, not taken":
		panic(http.ErrAbortHandler)
	}
	if refusal := m.accept(body); refusal != "" {
		refuse(http.StatusBadRequest, refusal, "")
		return
	}
	switch fault {
	case "lost after the body, taken":
		panic(http.ErrAbortHandler)
	case "answer too late":
		<-r.Context().Done()
		return
	}
	w.Header().Set("request-id", "0f1e2d3c")
	w.WriteHeader(http.StatusAccepted)
}

var start = time.Date(2026, 11, 16, 6, 0, 0, 0, time.UTC)

// newMailbox serves a mailbox, and returns a sender of it.
func newMailbox(t *testing.T) (*mailbox, *Graph) {
	t.Helper()
	m := &mailbox{t: t, stored: map[string]string{}}
	// Sockets that hold little, so that a body which nobody reads stays half sent.
	server := httptest.NewUnstartedServer(m)
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		return ctx
	}
	server.Start()
	t.Cleanup(server.Close)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			_ = c.(*net.TCPConn).SetWriteBuffer(4096)
		}
		return c, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	g, err := NewGraph(GraphOptions{Client: client, Host: server.URL, Mailbox: "usage@partner.example", Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	return m, g
}

func TestGraph_IsASender(t *testing.T) {
	large := message()
	large.To.Address = "anna@partner.example"
	large.Attachments[0].Data = bytes.Repeat([]byte("a;b\n"), 600_000)
	tooLarge := seal(t, large)
	large.Attachments[0].Data = bytes.Repeat([]byte("a;b\n"), 300_000) // more than the sockets hold
	tooMuch := seal(t, large)
	testSender(t, func(t *testing.T) (Sender, func() map[string]string, []fault) {
		m, g := newMailbox(t)
		faults := []fault{
			{name: "lost before the body", want: Unsent, dots: 1, raw: tooMuch},
			{name: "lost in the body", want: Unsent, dots: 1, raw: tooMuch},
			{name: "429", want: Unsent, dots: 1, down: true, hint: "ApplicationThrottled"},
			{name: "503 with a date", want: Unsent, dots: 1, down: true, hint: "503"},
			{name: "400", want: Refused, dots: 1, hint: "recipient isn't valid"},
			{name: "401", want: Unsent, dots: 1, down: true, hint: "check tenant"},
			{name: "403", want: Unsent, dots: 1, down: true, hint: "Mail.Send"},
			{name: "404", want: Unsent, dots: 1, down: true, hint: "no mailbox of this tenant"},
			{name: "413", want: Refused, dots: 1, hint: "too large"},
			{name: "400 of the mailbox", want: Unsent, dots: 1, down: true, hint: "submission limits"},
			{name: "302", want: Unsent, dots: 1, down: true, hint: "no redirect"},
			{name: "500", want: Unknown, dots: 1, down: true},
			{name: "504, taken", want: Unknown, dots: 1, down: true, arrives: true},
			{name: "lost after the body, taken", want: Unknown, dots: 1, arrives: true},
			{name: "lost after the body, not taken", want: Unknown, dots: 1},
			{name: "answer too late", want: Unknown, dots: 1, arrives: true},
			{name: "larger than a request may be", want: Refused, raw: tooLarge, hint: "send large attachments by smtp"},
		}
		for i := range faults {
			name := faults[i].name
			faults[i].meets = func() func() {
				if faults[i].raw == nil || strings.HasPrefix(name, "lost") {
					m.mu.Lock()
					m.fault = name
					m.mu.Unlock()
				}
				if name == "answer too late" {
					g.o.Timeout = 100 * time.Millisecond
				}
				return func() { g.o.Timeout = 2 * time.Minute }
			}
		}
		address := g.address
		faults = append(faults, fault{name: "nobody listens", want: Unsent, down: true, hint: "connection refused", meets: func() func() {
			g.address = "http://127.0.0.1:1/v1.0/users/x/sendMail"
			return func() { g.address = address }
		}}, fault{name: "other recipients in the headers", want: Refused, raw: seal(t, message()), hint: "names other recipients", meets: func() func() { return nil }})
		return g, m.arrived, faults
	})
}

func TestGraph_WaitsAsLongAsItIsAsked(t *testing.T) {
	for fault, want := range map[string]time.Duration{"429": 90 * time.Second, "503 with a date": 2 * time.Minute, "404": 0} {
		m, g := newMailbox(t)
		m.fault = fault
		raw := seal(t, message())
		if r := g.Send(t.Context(), Envelope{To: message().To.Address}, raw, noDot); r.Wait != want {
			t.Errorf("%s: wait %s, want %s", fault, r.Wait, want)
		}
	}
	_, g := newMailbox(t)
	for text, want := range map[string]time.Duration{"": 0, "-5": 0, "999999999999": time.Hour, "86400": time.Hour, "soon": 0, start.Add(-time.Hour).Format(http.TimeFormat): 0} {
		if got := g.retryAfter(text); got != want {
			t.Errorf("Retry-After %q: %s, want %s", text, got, want)
		}
	}
}

// TestGraph_ATokenThatEndedIsNoSecondDot has a transport renew the token, as that of a
// tenant does.
func TestGraph_ATokenThatEndedIsNoSecondDot(t *testing.T) {
	m, g := newMailbox(t)
	g.o.Client.Transport = again{g.o.Client.Transport}
	m.fault = "401"
	dots := 0
	r := g.Send(t.Context(), Envelope{To: message().To.Address}, seal(t, message()), func() error { dots++; return nil })
	if r.Outcome != Sent || dots != 1 || m.bodies != 2 || !strings.Contains(r.Reply, "0f1e2d3c") {
		t.Errorf("%+v after %d dots and %d bodies", r, dots, m.bodies)
	}
}

// TestGraph_CheckSendsNothing tries what a check says of a mailbox.
func TestGraph_CheckSendsNothing(t *testing.T) {
	for fault, want := range map[string]string{"": "", "401": "the token is refused", "403": "Mail.Send", "404": "no mailbox of this tenant", "400 of the mailbox": "submission limits", "500": "answered 500"} {
		m, g := newMailbox(t)
		m.fault = fault
		err := g.Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: err = %v, want %q", fault, err, want)
		}
		if got := m.arrived(); len(got) > 0 {
			t.Errorf("%q: %d mails arrived", fault, len(got))
		}
	}
}

// again sends a request once more that was refused for its token.
type again struct{ next http.RoundTripper }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		var err error
		once := r.Clone(r.Context())
		if once.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
		resp, err := a.next.RoundTrip(once)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		_ = resp.Body.Close()
	}
}

func TestNewGraph_Refusals(t *testing.T) {
	good := GraphOptions{Client: http.DefaultClient, Host: "https://graph.example", Mailbox: "../x/sendMail?", Now: time.Now}
	g, err := NewGraph(good)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(g.address); err != nil || u.EscapedPath() != "/v1.0/users/..%2Fx%2FsendMail%3F/sendMail" {
		t.Errorf("address %s", g.address)
	}
	for want, change := range map[string]func(*GraphOptions){
		"no clock":           func(o *GraphOptions) { o.Now = nil },
		"no host":            func(o *GraphOptions) { o.Host = "" },
		"mailbox is missing": func(o *GraphOptions) { o.Mailbox = "" },
	} {
		o := good
		change(&o)
		if _, err := NewGraph(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}
