package mail

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// relay is a real SMTP server that answers by script.
type relay struct {
	mu     sync.Mutex
	fault  string            // what the next transaction meets; used up by it
	stored map[string]string // mails taken, by recipient
	conns  map[string]bool   // by the client's address
	user   string            // when set, log-in is required
	token  string            // that xoauth2 takes
	hold   chan struct{}
	lost   func() // is called when the connection is lost at rcpt; nil: nothing is
}

func (r *relay) NewSession(c *smtp.Conn) (smtp.Session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c.Conn().RemoteAddr().String()] = true
	return &session{r: r, c: c}, nil
}

// take uses the fault up if it is the given one.
func (r *relay) take(fault string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fault != fault {
		return false
	}
	r.fault = ""
	return true
}

type session struct {
	r    *relay
	c    *smtp.Conn
	to   string
	user string
	lost bool // the connection goes away after the next answer
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain, sasl.Login, "XOAUTH2"} }

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != s.r.user || password != "right" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "authentication failed"}
		}
		s.user = user
		return nil
	}
	switch mechanism {
	case sasl.Login:
		return &loginServer{check: check}, nil
	case "XOAUTH2":
		return &tokenServer{s: s}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

// tokenServer is the server side of AUTH XOAUTH2, as Exchange Online and Gmail document
// it: a refusal is explained first, and given once the client has taken note.
type tokenServer struct {
	s       *session
	refused bool
}

func (x *tokenServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if x.refused {
		return nil, true, &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 3}, Message: "Authentication unsuccessful"}
	}
	x.s.r.mu.Lock()
	defer x.s.r.mu.Unlock()
	if want := "user=" + x.s.r.user + "\x01auth=Bearer " + x.s.r.token + "\x01\x01"; string(response) != want {
		x.refused = true
		return []byte(`{"status":"401","schemes":"Bearer","scope":""}`), false, nil
	}
	x.s.user = x.s.r.user
	return nil, true, nil
}

// loginServer is the server side of AUTH LOGIN.
type loginServer struct {
	check func(user, password string) error
	user  string
	step  int
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch l.step {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.r.user != "" && s.user == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 57}, Message: "client not authenticated"}
	}
	switch {
	case s.r.take("mail 451"):
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "busy"}
	case s.r.take("mail 550"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 60}, Message: "send as denied"}
	case s.r.take("mail 421"):
		return s.goodbye()
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	switch {
	case s.r.take("rcpt 450"):
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "greylisted"}
	case s.r.take("rcpt 421"):
		return s.goodbye()
	case s.r.take("rcpt 550"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case s.r.take("rcpt 5.7.30"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 30}, Message: "Basic authentication is not supported for Client Submission"}
	case s.r.take("lost at rcpt"):
		if s.r.lost != nil {
			defer s.r.lost()
		}
		return s.c.Conn().Close()
	}
	return nil
}

func (s *session) Data(body io.Reader) error {
	if s.r.take("lost in content") {
		_, _ = io.CopyN(io.Discard, body, 100)
		return s.c.Conn().Close()
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	store := func() {
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		s.r.stored[s.to] += string(b)
	}
	switch {
	case s.r.take("data 421"):
		return s.goodbye()
	case s.r.take("lost after the 250"):
		store()
		s.lost = true
		return nil
	case s.r.take("data 451"):
		return &smtp.SMTPError{Code: 451, Message: "try again"}
	case s.r.take("data 554"):
		return &smtp.SMTPError{Code: 554, Message: "no"}
	case s.r.take("data 552"):
		return &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: "too big"}
	case s.r.take("lost after the dot, taken"):
		store()
		return s.c.Conn().Close()
	case s.r.take("lost after the dot, not taken"):
		return s.c.Conn().Close()
	case s.r.take("answer too late"):
		store()
		<-s.r.hold
		return nil
	}
	store()
	return nil
}

// goodbye ends the connection, as a relay that is restarted does, after its answer.
func (s *session) goodbye() error {
	s.lost = true
	return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "shutting down"}
}

// Reset is called when a mail has been answered.
func (s *session) Reset() {
	if s.lost {
		_ = s.c.Conn().Close()
	}
}

func (*session) Logout() error { return nil }

// serve starts the relay on loopback and returns options that reach it.
func (r *relay) serve(t *testing.T, implicit bool) SMTPOptions {
	t.Helper()
	r.stored, r.conns, r.hold = map[string]string{}, map[string]bool{}, make(chan struct{})
	cert, ca := certificate(t)
	srv := smtp.NewServer(r)
	srv.Domain, srv.TLSConfig, srv.MaxMessageBytes = "localhost", &tls.Config{Certificates: []tls.Certificate{cert}}, 10<<20
	srv.ErrorLog = discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := SMTPOptions{Host: "localhost", Port: l.Addr().(*net.TCPAddr).Port, TLS: "starttls", CA: ca, Now: time.Now, Timeout: 5 * time.Second, DotTimeout: 5 * time.Second}
	if implicit {
		l, o.TLS = tls.NewListener(l, srv.TLSConfig), "tls"
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() {
		close(r.hold)
		_ = srv.Close()
		_ = l.Close() // a server that has not begun to serve does not know it yet
		<-done
	})
	return o
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// certificate makes a certificate for localhost and its authority's PEM.
func certificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newSMTP(t *testing.T, o SMTPOptions) *SMTP {
	t.Helper()
	s, err := NewSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.drop() })
	return s
}

func TestSMTP_ADotThatIsRefusedStopsTheMail(t *testing.T) {
	r := &relay{}
	s := newSMTP(t, r.serve(t, false))
	taken := errors.New("taken over")
	got := s.Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, seal(t, message()), func() error { return taken })
	if got.Outcome != Unsent || !errors.Is(got.Err, taken) {
		t.Errorf("outcome %d, %v", got.Outcome, got.Err)
	}
	if next := s.Send(t.Context(), Envelope{From: "a@partner.example", To: "c@partner.example"}, seal(t, message()), noDot); next.Outcome != Sent {
		t.Fatal(next.Err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, stored := r.stored["b@partner.example"]; stored {
		t.Error("half a mail was delivered")
	}
}

// tap is a listener that keeps what clients say.
type tap struct {
	net.Listener
	mu   sync.Mutex
	said bytes.Buffer
}

func (l *tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tapped{c, l}, err
}

type tapped struct {
	net.Conn
	l *tap
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	c.l.said.Write(b[:n])
	return n, err
}

// TestSMTP_TheEnvelopeIsOfPaths reads the commands off the wire: strict relays
// take an address in angle brackets only (RFC 5321, 4.1.2), and none but those
// with SMTPUTF8 may be given one outside ASCII.
func TestSMTP_TheEnvelopeIsOfPaths(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wire := &tap{Listener: l}
	srv := smtp.NewServer(&relay{stored: map[string]string{}, conns: map[string]bool{}})
	srv.Domain, srv.ErrorLog = "localhost", discard{}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(wire) }()
	t.Cleanup(func() { _ = srv.Close(); _ = l.Close(); <-done })

	s := newSMTP(t, SMTPOptions{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: "none", Now: time.Now})
	for to, want := range map[string]string{
		"b@partner.example":     "MAIL FROM:<usage@xn--mller-kva.example> BODY=8BITMIME\r\nRCPT TO:<b@partner.example>\r\n",
		"joerg@müller.example":  "RCPT TO:<joerg@xn--mller-kva.example>\r\n",
		"o'neil+x@sub.b.exampl": "RCPT TO:<o'neil+x@sub.b.exampl>\r\n",
	} {
		if r := s.Send(t.Context(), Envelope{From: "usage@müller.example", To: to}, seal(t, message()), noDot); r.Outcome != Sent {
			t.Errorf("%s: %+v", to, r)
		}
		wire.mu.Lock()
		if !strings.Contains(wire.said.String(), want) {
			t.Errorf("%s: the relay was not told %q", to, want)
		}
		wire.mu.Unlock()
	}
	before := wire.said.Len()
	for _, to := range []string{"jörg@partner.example", "b>\r\nRCPT TO:<c@partner.example", ""} {
		if r := s.Send(t.Context(), Envelope{From: "usage@partner.example", To: to}, seal(t, message()), noDot); r.Outcome != Refused || wire.said.Len() != before {
			t.Errorf("%q: %+v, want it refused without a word to the relay", to, r)
		}
	}
}

func TestSMTP_OneConnectionForManyMails(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		r := &relay{user: "usage"}
		o := r.serve(t, implicit)
		o.Username, o.Password = "usage", "right"
		s := newSMTP(t, o)
		raw := seal(t, message())
		for range 5 {
			if got := s.Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, raw, noDot); got.Outcome != Sent || !strings.HasPrefix(got.Reply, "250 ") {
				t.Fatalf("%d, %q, %v", got.Outcome, got.Reply, got.Err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		if len(r.conns) != 1 {
			t.Errorf("%d connections for five mails, want 1", len(r.conns))
		}
		if want := strings.ReplaceAll(string(raw), "\r\n", "\n"); !strings.HasPrefix(strings.ReplaceAll(r.stored["b@partner.example"], "\r\n", "\n"), want) {
			t.Error("the relay stored other bytes than were sealed")
		}
		r.mu.Unlock()
	}
}

func TestSMTP_WhatStandsInTheWayIsExplained(t *testing.T) {
	r := &relay{user: "usage"}
	good := r.serve(t, false)
	good.Username, good.Password = "usage", "right"
	for _, c := range []struct {
		name string
		set  func(*SMTPOptions)
		want string // in the reply
	}{
		{"a wrong password", func(o *SMTPOptions) { o.Password = "wrong-secret" }, "user name or password is wrong"},
		{"a wrong password with LOGIN", func(o *SMTPOptions) { o.Password, o.Auth = "wrong-secret", "login" }, "user name or password is wrong"},
		{"no log-in", func(o *SMTPOptions) { o.Username = "" }, "the server wants a log-in"},
		{"an unknown authority", func(o *SMTPOptions) { o.CA = nil }, "mail.smtp.ca"},
		{"a port that is closed", func(o *SMTPOptions) { o.Port = 1 }, "connection refused"},
		{"TLS on a STARTTLS port", func(o *SMTPOptions) { o.TLS = "tls" }, "connect to localhost"},
	} {
		o := good
		c.set(&o)
		got := newSMTP(t, o).Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, []byte("x"), noDot)
		if got.Outcome == Sent || got.Outcome == Unknown || !strings.Contains(got.Reply, c.want) {
			t.Errorf("%s: outcome %d, %q; want %q", c.name, got.Outcome, got.Reply, c.want)
		}
		if got.Down != (c.name != "no log-in") {
			t.Errorf("%s: down is %v", c.name, got.Down)
		}
		if strings.Contains(got.Reply, "wrong-secret") || strings.Contains(got.Err.Error(), "wrong-secret") {
			t.Errorf("%s: the reply holds the password", c.name)
		}
	}
	o := good
	o.Auth = "login"
	if got := newSMTP(t, o).Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, []byte("x"), noDot); got.Outcome != Sent {
		t.Errorf("AUTH LOGIN: %v", got.Err)
	}
}

func TestSMTP_ACancelledContextEndsTheWaiting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSMTP(t, SMTPOptions{Host: "localhost", Port: l.Addr().(*net.TCPAddr).Port, Now: time.Now, Timeout: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got := s.Send(ctx, Envelope{From: "a@partner.example", To: "b@partner.example"}, []byte("x"), noDot); got.Outcome != Unsent {
		t.Errorf("outcome %d, %v", got.Outcome, got.Err)
	}
}

// TestSMTP_AStopMayMeetAConnectionThatIsDropped has the relay hang up and the run
// be stopped in the same moment, and again and again.
func TestSMTP_AStopMayMeetAConnectionThatIsDropped(t *testing.T) {
	r := &relay{}
	s := newSMTP(t, r.serve(t, false))
	for range 200 {
		ctx, stop := context.WithCancel(t.Context())
		r.mu.Lock()
		r.fault, r.lost = "lost at rcpt", stop
		r.mu.Unlock()
		if got := s.Send(ctx, Envelope{From: "a@partner.example", To: "b@partner.example"}, []byte("x"), noDot); got.Outcome != Unsent {
			t.Fatalf("outcome %d of a stopped mail", got.Outcome)
		}
		stop()
	}
}

func TestNewSMTP_RefusesWhatCannotBeMeant(t *testing.T) {
	for name, o := range map[string]SMTPOptions{
		"no host":             {Now: time.Now},
		"no clock":            {Host: "h"},
		"an unknown tls mode": {Host: "h", Now: time.Now, TLS: "ssl"},
		"an unknown auth":     {Host: "h", Now: time.Now, Auth: "xoauth"},
		"a password in clear": {Host: "h", Now: time.Now, TLS: "none", Username: "u"},
		"a ca that is none":   {Host: "h", Now: time.Now, CA: []byte("x")},
	} {
		if _, err := NewSMTP(o); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestSMTP_XOAUTH2 logs in with tokens, of which the first has ended on the other side.
func TestSMTP_XOAUTH2(t *testing.T) {
	r := &relay{user: "usage@partner.example", token: "second"}
	o := r.serve(t, false)
	o.Auth, o.Username = "xoauth2", "usage@partner.example"
	var refused []string
	tokens := []string{"first", "second", "third"}
	o.Token = func(_ context.Context, old string) (string, error) {
		refused = append(refused, old)
		return tokens[len(refused)-1], nil
	}
	s := newSMTP(t, o)
	if got := s.Send(t.Context(), Envelope{From: "usage@partner.example", To: "anna@partner.example"}, seal(t, message()), noDot); got.Outcome != Sent {
		t.Fatalf("%+v", got)
	}
	if strings.Join(refused, ",") != ",first" {
		t.Errorf("tokens were asked for after %q", refused)
	}
	t.Run("one that stays refused", func(t *testing.T) {
		s := newSMTP(t, o)
		refused, tokens = nil, []string{"a", "b"}
		got := s.Send(t.Context(), Envelope{From: "usage@partner.example", To: "bram@partner.example"}, seal(t, message()), noDot)
		if got.Outcome != Unsent || !got.Down || !strings.Contains(got.Reply, "the app has no right to the mailbox") || len(refused) != 2 {
			t.Errorf("%+v after %d tokens", got, len(refused))
		}
	})
	t.Run("no token at all", func(t *testing.T) {
		o := o
		o.Token = func(context.Context, string) (string, error) { return "", errors.New("sign in: refused") }
		got := newSMTP(t, o).Send(t.Context(), Envelope{From: "usage@partner.example", To: "bram@partner.example"}, seal(t, message()), noDot)
		if got.Outcome != Unsent || !got.Down || !strings.Contains(got.Reply, "sign in: refused") {
			t.Errorf("%+v", got)
		}
	})
	t.Run("never in the clear", func(t *testing.T) {
		o := o
		o.TLS = "none"
		if _, err := NewSMTP(o); err == nil {
			t.Error("no error")
		}
	})
}
