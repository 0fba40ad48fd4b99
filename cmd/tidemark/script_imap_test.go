package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-sasl"
	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// imapMailbox is the one that the server of imapCommand has.
const imapMailbox = "usage@partner.example"

// imapKey is where a script keeps the mailbox of imapCommand.
type imapKey struct{}

// imapCommand is `imap start`: the IMAP side of the tenant of `microsoft start`, with TLS
// on port $IMAP and its certificate in imap.pem, where the tenant's tokens open one empty
// mailbox. Then
//
//	imap put FILE   puts a message into it
//	imap unseen N   must hold so many that are not seen
func imapCommand(ts *testscript.TestScript, neg bool, args []string) {
	box := ts.Value(imapKey{}).(**imapmemserver.User)
	switch {
	case neg || len(args) == 0:
		ts.Fatalf("usage: imap start|put FILE|unseen N")
	case args[0] == "start":
		*box = startIMAP(ts, (*ts.Value(tenantKey{}).(**gatedTenant)).Server)
	case args[0] == "put" && len(args) == 2:
		_, err := (*box).Append("INBOX", literal{strings.NewReader(ts.ReadFile(args[1]))}, &imap.AppendOptions{})
		ts.Check(err)
	case args[0] == "unseen" && len(args) == 2:
		data, err := (*box).Status("INBOX", &imap.StatusOptions{NumUnseen: true})
		ts.Check(err)
		if got := strconv.Itoa(int(*data.NumUnseen)); got != args[1] {
			ts.Fatalf("%s are not seen, want %s", got, args[1])
		}
	default:
		ts.Fatalf("imap %s is not known", args[0])
	}
}

// literal is a message to be put into a mailbox.
type literal struct{ *strings.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

func startIMAP(ts *testscript.TestScript, tenant *fakemicrosoft.Server) *imapmemserver.User {
	const password = "known to the server alone"
	memory, user := imapmemserver.New(), imapmemserver.NewUser(imapMailbox, password)
	ts.Check(user.Create("INBOX", nil))
	memory.AddUser(user)
	https := httptest.NewUnstartedServer(nil) // for its certificate
	https.StartTLS()
	ts.Defer(https.Close)
	server := imapserver.New(&imapserver.Options{Logger: log.New(io.Discard, "", 0), Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			s := &tokenSession{SessionIMAP4rev2: memory.NewSession().(imapserver.SessionIMAP4rev2), tenant: tenant}
			s.enter = func() error { return s.Login(imapMailbox, password) }
			return s, nil, nil
		}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: https.TLS.Certificates, NextProtos: []string{"imap"}}))
	}()
	ts.Defer(func() { _ = server.Close(); <-ended })
	ts.Check(os.WriteFile(ts.MkAbs("imap.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}), 0o600))
	ts.Setenv("IMAP", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	return user
}

// tokenSession is logged in to with a token only.
type tokenSession struct {
	imapserver.SessionIMAP4rev2
	tenant *fakemicrosoft.Server
	enter  func() error
}

func (s *tokenSession) AuthenticateMechanisms() []string { return []string{"XOAUTH2"} }

func (s *tokenSession) Authenticate(string) (sasl.Server, error) { return s, nil }

// Next takes the first answer of XOAUTH2. A refusal is not explained, as Exchange Online
// is seen to do it.
func (s *tokenSession) Next(response []byte) (challenge []byte, done bool, err error) {
	token, found := bytes.CutPrefix(response, []byte("user="+imapMailbox+"\x01auth=Bearer "))
	token, ended := bytes.CutSuffix(token, []byte("\x01\x01"))
	if !found || !ended || !s.tenant.Admits(string(token)) {
		return nil, false, &imap.Error{Type: imap.StatusResponseTypeNo, Text: "AUTHENTICATE failed."}
	}
	return nil, true, s.enter()
}
