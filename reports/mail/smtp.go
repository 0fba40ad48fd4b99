package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// SMTPOptions say how to reach a relay.
type SMTPOptions struct {
	Host     string
	Port     int    // 0: 587, or 465 with TLS "tls"
	TLS      string // "starttls" (default), "tls" from the first byte, or "none" for a relay on this machine
	CA       []byte // PEM of a certificate authority of one's own; nil: the system's
	Auth     string // "plain", "login", "xoauth2", or "" for what the server offers of the first two
	Username string // empty: no authentication
	Password string
	// Token returns an access token for xoauth2, another one than was refused; empty: any.
	Token func(ctx context.Context, refused string) (string, error)
	Hello string // name given in EHLO; empty: localhost

	Now        func() time.Time // the clock that deadlines count from; required
	Timeout    time.Duration    // of each step before the final dot; 0 means 1 minute
	DotTimeout time.Duration    // wait for the answer to the final dot; 0 means 10 minutes (RFC 5321, 4.5.3.2.6)
}

// authOAuth is Exchange Online's log-in with an access token.
const authOAuth = "xoauth2"

// SMTP is a Sender that keeps one connection to a relay open between mails. It
// runs the transaction itself, over go-mail's client, because it must know when
// the final dot goes out.
type SMTP struct {
	o      SMTPOptions
	client *smtp.Client
	conn   net.Conn
}

// NewSMTP checks the options. The connection is made by the first Send.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	o.TLS = cmp.Or(o.TLS, "starttls")
	switch {
	case o.Now == nil:
		return nil, errors.New("smtp: no clock is given")
	case o.Host == "":
		return nil, errors.New("smtp: no host is given")
	case o.TLS != "starttls" && o.TLS != "tls" && o.TLS != "none":
		return nil, fmt.Errorf("smtp: tls %q: want starttls or tls", o.TLS)
	case o.Auth != "" && o.Auth != "plain" && o.Auth != "login" && o.Auth != authOAuth:
		return nil, fmt.Errorf("smtp: auth %q: want plain, login or xoauth2", o.Auth)
	case o.TLS == "none" && o.Username != "":
		return nil, errors.New("smtp: a password would go over the wire in clear: use starttls or tls")
	case o.Auth == authOAuth && (o.Username == "" || o.Token == nil):
		return nil, errors.New("smtp: auth xoauth2 wants username, the mailbox that sends, and a sign-in for tokens")
	case o.CA != nil && !x509.NewCertPool().AppendCertsFromPEM(o.CA):
		return nil, errors.New("smtp: ca holds no certificate in PEM form")
	}
	if o.Port == 0 {
		o.Port = 587
		if o.TLS == "tls" {
			o.Port = 465
		}
	}
	o.Hello = cmp.Or(o.Hello, "localhost")
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.DotTimeout = cmp.Or(o.DotTimeout, 10*time.Minute)
	return &SMTP{o: o}, nil
}

// Close says goodbye to the relay, if there is a connection.
func (s *SMTP) Close() error {
	if s.client == nil {
		return nil
	}
	s.wait(s.o.Timeout)
	err := s.client.Quit()
	s.drop()
	return err
}

// Check connects and logs in, if there is no connection yet, and sends nothing.
func (s *SMTP) Check(ctx context.Context) error {
	if s.client != nil {
		return nil
	}
	token, err := s.dial(ctx, "")
	if token != "" && replyCode(err) == codeBadLogin { // it may have ended early, or been revoked
		s.drop()
		_, err = s.dial(ctx, token)
	}
	if err != nil {
		s.drop()
		return failure(fmt.Errorf("connect to %s: %w", s.address(), err), Unsent).Err
	}
	return nil
}

// codeBadLogin is the answer to a log-in that is not right (RFC 4954, 6).
const codeBadLogin = 535

// wait sets how long the next answer may take. A connection that is gone
// already shows at the next step.
func (s *SMTP) wait(d time.Duration) { _ = s.conn.SetDeadline(s.o.Now().Add(d)) }

// drop closes the socket without a word. After DATA a QUIT would end the mail
// with a dot and deliver half of it.
func (s *SMTP) drop() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.client, s.conn = nil, nil
}

// Send implements Sender.
func (s *SMTP) Send(ctx context.Context, e Envelope, raw []byte, dot func() error) Result {
	var err error
	if e.From, err = path(e.From); err == nil {
		e.To, err = path(e.To)
	}
	if err != nil {
		return failure(err, Refused)
	}
	fresh := s.client == nil
	r, lost := s.attempt(ctx, e, raw, dot)
	if lost && !fresh && ctx.Err() == nil {
		// The relay closed a connection that was kept open: once more on a new one.
		r, _ = s.attempt(ctx, e, raw, dot)
	}
	return r
}

// path is an address as MAIL and RCPT take it (RFC 5321, 4.1.2). The client
// writes what it is given, so the brackets are ours to add.
func path(address string) (string, error) {
	a, err := asciiAddress(netmail.Address{Address: address})
	if err != nil {
		return "", err
	}
	return "<" + a.Address + ">", nil
}

// attempt runs one transaction of an envelope of paths. lost reports that the
// connection went away before the final dot.
func (s *SMTP) attempt(ctx context.Context, e Envelope, raw []byte, dot func() error) (r Result, lost bool) {
	if s.client == nil {
		if err := s.Check(ctx); err != nil {
			return Result{Outcome: Unsent, Reply: oneLine(err.Error()), Err: err, Down: true}, false
		}
	}
	// A cancelled context ends the waiting of every step before the dot.
	conn := s.conn // drop may have set it to nil by then
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	body, err := s.begin(e, raw)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return s.refused(err, body != nil)
	}
	if err := dot(); err != nil {
		s.drop()
		return Result{Outcome: Unsent, Reply: err.Error(), Err: err}, false
	}
	return s.finish(body), false
}

// begin goes up to, and not including, the final dot.
func (s *SMTP) begin(e Envelope, raw []byte) (io.WriteCloser, error) {
	s.wait(s.o.Timeout)
	if err := s.client.Mail(e.From); err != nil {
		return nil, err
	}
	s.wait(s.o.Timeout)
	if err := s.client.Rcpt(e.To); err != nil {
		return nil, err
	}
	s.wait(s.o.Timeout)
	body, err := s.client.Data()
	if err != nil {
		return nil, err
	}
	s.wait(s.o.Timeout)
	_, err = body.Write(raw)
	return body, err
}

// refused judges an error before the dot. An answer keeps the connection, if it
// can be reset; anything else has lost it.
func (s *SMTP) refused(err error, inData bool) (r Result, lost bool) {
	code := replyCode(err)
	if code == 0 || code == 421 || inData {
		s.drop()
		return failure(err, Unsent), code == 0 || code == 421
	}
	if s.client.Reset() != nil {
		s.drop()
	}
	if code/100 == 5 {
		return failure(err, Refused), false
	}
	return failure(err, Unsent), false
}

// finish sends the dot and waits for the answer, which decides.
func (s *SMTP) finish(body io.WriteCloser) Result {
	s.wait(s.o.DotTimeout)
	err := body.Close()
	switch code := replyCode(err); {
	case err == nil:
		reply := "250"
		if d, ok := body.(interface{ ServerResponse() string }); ok {
			reply += " " + d.ServerResponse()
		}
		return Result{Outcome: Sent, Reply: oneLine(reply)}
	case code/100 == 4:
		return failure(err, Unsent)
	case code/100 == 5:
		return failure(err, Refused)
	}
	s.drop()
	return failure(err, Unknown)
}

func (s *SMTP) address() string { return net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port)) }

// dial connects, secures and authenticates, where that takes a token with another one
// than was refused. It returns the token.
func (s *SMTP) dial(ctx context.Context, refused string) (token string, err error) {
	if s.o.Auth == authOAuth { // before the connection, which would not wait for it
		if token, err = s.o.Token(ctx, refused); err != nil {
			return "", err
		}
	}
	return token, s.connect(ctx, token)
}

// connect connects, secures and authenticates.
func (s *SMTP) connect(ctx context.Context, token string) error {
	config := &tls.Config{ServerName: s.o.Host, MinVersion: tls.VersionTLS12}
	if s.o.CA != nil {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(s.o.CA) // checked by NewSMTP
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	var err error
	if s.o.TLS == "tls" {
		s.conn, err = (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.address())
	} else {
		s.conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", s.address())
	}
	if err != nil {
		return err
	}
	conn := s.conn // drop may have set it to nil by then
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if s.client, err = smtp.NewClient(s.conn, s.o.Host); err != nil {
		return err
	}
	s.client.SkipSMTPUTF8(true) // addresses are ASCII, see CheckAddress
	if err := s.client.Hello(s.o.Hello); err != nil {
		return err
	}
	if s.o.TLS == "starttls" {
		if ok, _ := s.client.Extension("STARTTLS"); !ok {
			return errors.New("the server does not offer STARTTLS; set tls: tls for a port that begins with TLS")
		}
		if err := s.client.StartTLS(config); err != nil {
			return err
		}
	}
	return s.login(token)
}

func (s *SMTP) login(token string) error {
	if s.o.Username == "" {
		return nil
	}
	_, offered := s.client.Extension("AUTH")
	mechanism := s.o.Auth
	if mechanism == "" {
		mechanism = "plain"
		if !strings.Contains(" "+offered+" ", " PLAIN ") {
			mechanism = "login"
		}
	}
	if !strings.Contains(" "+offered+" ", " "+strings.ToUpper(mechanism)+" ") {
		return fmt.Errorf("the server does not offer AUTH %s; it offers %q", strings.ToUpper(mechanism), offered)
	}
	auth := smtp.PlainAuth("", s.o.Username, s.o.Password, s.o.Host, false)
	switch mechanism {
	case authOAuth:
		auth = smtp.XOAuth2Auth(s.o.Username, token)
	case "login":
		auth = smtp.LoginAuth(s.o.Username, s.o.Password, s.o.Host, false)
	}
	if err := s.client.Auth(auth); err != nil {
		return fmt.Errorf("log in as %s: %w", s.o.Username, err)
	}
	return nil
}

// replyCode is the code of a server's answer, 0 for any other error.
func replyCode(err error) int {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply.Code
	}
	return 0
}

// failure is a result with the server's words and, where they are known to
// puzzle people, what to do about them.
func failure(err error, outcome Outcome) Result {
	reply := oneLine(err.Error())
	if hint := explain(reply); hint != "" {
		err = fmt.Errorf("%w; %s", err, hint)
		reply += " (" + hint + ")"
	}
	return Result{Outcome: outcome, Reply: reply, Err: err}
}

// explain says what to do about an answer.
func explain(reply string) string {
	for _, known := range []struct{ in, hint string }{
		{"5.7.30", "Exchange Online has switched password sign-in for SMTP off: set mail.smtp.auth: xoauth2 or mail.kind: graph, or name another relay"},
		{"5.7.139", "the tenant has switched SMTP AUTH off for this mailbox: allow it there (Set-CASMailbox -SmtpClientAuthenticationDisabled $false), or set mail.kind: graph"},
		{"5.7.57", "the server wants a log-in: set mail.smtp.username and password"},
		{"5.7.60", "the account may not send as this From address: give it the right, or change mail.from"},
		{"5.7.8", "user name or password is wrong"},
		{"5.7.3", "user name or password is wrong, or the mailbox is shared; with xoauth2 the app has no right to the mailbox"},
		{"5.7.515", "the domain of From lacks SPF, DKIM or DMARC for this receiver"},
		{"5.6.7", "an address is not ASCII"},
		{"certificate signed by unknown authority", "the server's certificate is of an authority of its own: set mail.smtp.ca"},
	} {
		if strings.Contains(reply, known.in) {
			return known.hint
		}
	}
	return ""
}

// oneLine makes an answer fit a log line.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }), " ")
}
