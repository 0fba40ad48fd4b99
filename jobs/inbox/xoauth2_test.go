package inbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"
)

// refusal is the challenge that says why a token is refused, in the form that Google's
// page on XOAUTH2 shows.
const refusal = `{"status":"401","schemes":"bearer mac","scope":"https://mail.google.com/"}`

// online is a server that takes tokens, and keeps what goes over the wire.
type online struct {
	mu      sync.Mutex
	token   string // the good one
	blunt   bool   // a refusal is not explained, as Exchange Online is seen to do it
	strange bool   // the mailbox is somebody else's
	busy    bool   // the server has no time
	wire    bytes.Buffer
}

func (o *online) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wire.Write(b)
}

func (o *online) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wire.String()
}

// serve starts it with an empty mailbox.
func (o *online) serve(t *testing.T) (IMAPOptions, func(raw ...string)) {
	t.Helper()
	memory, user := newMemory(t)
	options := serveIMAP(t, true, imapserver.Options{DebugWriter: o, NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return &tokenSession{memory.NewSession().(imapserver.SessionIMAP4rev2), o}, nil, nil
	}})
	options.Password = ""
	return options, func(raw ...string) { fill(t, user, raw...) }
}

type tokenSession struct {
	imapserver.SessionIMAP4rev2
	o *online
}

func (s *tokenSession) AuthenticateMechanisms() []string { return []string{"PLAIN", "XOAUTH2"} }

func (s *tokenSession) Authenticate(mech string) (sasl.Server, error) {
	if mech != "XOAUTH2" {
		return nil, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "no such mechanism"}
	}
	return &tokenServer{s: s}, nil
}

func (s *tokenSession) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	if s.o.strange {
		return nil, &imap.Error{Type: imap.StatusResponseTypeBad, Text: "User is authenticated but not connected."}
	}
	return s.SessionIMAP4rev2.Select(name, o)
}

// tokenServer is the server side of XOAUTH2: a refusal is explained by a challenge, and
// given once the client has answered that by nothing.
type tokenServer struct {
	s       *tokenSession
	refused bool
}

func (x *tokenServer) Next(response []byte) (challenge []byte, done bool, err error) {
	o := x.s.o
	failed := &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeAuthenticationFailed, Text: "AUTHENTICATE failed."}
	o.mu.Lock()
	good := "user=reports\x01auth=Bearer " + o.token + "\x01\x01"
	o.mu.Unlock()
	switch {
	case o.busy:
		return nil, false, &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeUnavailable, Text: "Server Busy."}
	case x.refused && len(response) > 0:
		return nil, false, &imap.Error{Type: imap.StatusResponseTypeBad, Text: "want an empty answer"}
	case x.refused || string(response) != good && o.blunt:
		return nil, false, failed
	case string(response) != good:
		x.refused = true
		return []byte(refusal), false, nil
	}
	return nil, true, x.s.Login("reports", "right")
}

// tokens hands out tokens in order, and keeps after which refusals.
type tokens struct {
	left  []string
	after []string
}

func (x *tokens) next(_ context.Context, refused string) (string, error) {
	x.after = append(x.after, refused)
	if len(x.left) == 0 {
		return "", errors.New("sign in: refused with invalid_client AADSTS7000222")
	}
	token := x.left[0]
	x.left = x.left[1:]
	return token, nil
}

func TestIMAP_WithATokenIsABox(t *testing.T) {
	testBox(t, func(t *testing.T) (Box, func(...string)) {
		s := &online{token: "good"}
		o, fill := s.serve(t)
		o.Token = (&tokens{left: []string{"good"}}).next
		return newIMAP(t, o), fill
	})
}

// first is the error of the first message, nil where it could be read or there is none.
func first(t *testing.T, b Box) error {
	t.Helper()
	for _, err := range b.Messages(t.Context()) {
		return err
	}
	return nil
}

func TestIMAP_RenewsATokenOnce(t *testing.T) {
	for name, blunt := range map[string]bool{"explained": false, "blunt": true} {
		t.Run(name, func(t *testing.T) {
			s := &online{token: "second", blunt: blunt}
			o, fill := s.serve(t)
			fill("Subject: one\r\n\r\n1")
			x := &tokens{left: []string{"first", "second", "third"}}
			o.Token = x.next
			if err := first(t, newIMAP(t, o)); err != nil {
				t.Fatal(err)
			}
			if strings.Join(x.after, ",") != ",first" {
				t.Errorf("tokens were asked for after %q", x.after)
			}
			// The challenge is answered by an empty line, not by "=".
			if challenge := "+ " + base64.StdEncoding.EncodeToString([]byte(refusal)) + "\r\n"; !blunt && !strings.Contains(s.said(), challenge+"\r\n") {
				t.Errorf("no empty line after the challenge:\n%q", s.said())
			}
		})
	}
}

func TestIMAP_SaysWhatATokenLacks(t *testing.T) {
	x := &tokens{}
	for _, c := range []struct {
		name   string
		s      *online
		tokens []string
		want   []string
		asked  int
	}{
		{"refused twice", &online{token: "good"}, []string{"a", "b"}, []string{"log in to 127.0.0.1:", "as reports", "AUTHENTICATE failed.", "(status 401)",
			"IMAP.AccessAsApp", "New-ServicePrincipal", "Add-MailboxPermission for reports"}, 2},
		{"refused twice without a reason", &online{token: "good", blunt: true}, []string{"a", "b"}, []string{"IMAP.AccessAsApp", "Add-MailboxPermission"}, 2},
		{"the mailbox is not the app's", &online{token: "a", strange: true}, []string{"a", "b"}, []string{"open the folder INBOX", "Add-MailboxPermission -Identity reports"}, 1},
		{"no time", &online{token: "a", busy: true}, []string{"a", "b"}, []string{"Server Busy."}, 1},
		{"no token", &online{token: "a"}, nil, []string{"log in to 127.0.0.1 as reports: sign in: refused"}, 1},
		{"no second token", &online{token: "good"}, []string{"a"}, []string{"sign in: refused"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := c.s.serve(t)
			x = &tokens{left: c.tokens}
			o.Token = x.next
			err := first(t, newIMAP(t, o))
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q", err, want)
				}
			}
			if len(x.after) != c.asked || c.s.busy && strings.Contains(err.Error(), "AccessAsApp") {
				t.Errorf("%d tokens were asked for: %v", len(x.after), err)
			}
		})
	}
	t.Run("a server without the mechanism", func(t *testing.T) {
		memory, _ := newMemory(t)
		o := serveIMAP(t, true, imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		}})
		x := &tokens{left: []string{"a", "b"}}
		o.Token = x.next
		if err := first(t, newIMAP(t, o)); err == nil || !strings.Contains(err.Error(), "offers no AUTH=XOAUTH2") || len(x.after) != 1 {
			t.Errorf("err = %v after %d tokens", err, len(x.after))
		}
	})
	t.Run("STARTTLS", func(t *testing.T) {
		if _, err := NewIMAP(IMAPOptions{Host: "h", Username: "u", TLS: "starttls", Token: x.next}); err == nil || !strings.Contains(err.Error(), "tls: tls") {
			t.Errorf("err = %v", err)
		}
	})
}
