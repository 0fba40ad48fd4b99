package inbox

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// literal is a message to be put into a mailbox.
type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

// imapServer is a server in memory, with TLS from STARTTLS on.
func imapServer(t *testing.T) (user *imapmemserver.User, o IMAPOptions) {
	t.Helper()
	memory, user := newMemory(t)
	o = serveIMAP(t, false, imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
		return memory.NewSession(), nil, nil
	}})
	return user, o
}

// newMemory holds one user with an empty mailbox.
func newMemory(t *testing.T) (*imapmemserver.Server, *imapmemserver.User) {
	t.Helper()
	memory, user := imapmemserver.New(), imapmemserver.NewUser("reports", "right")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	memory.AddUser(user)
	return memory, user
}

// serveIMAP serves on loopback, with TLS from the first byte or from STARTTLS on, and
// returns how to log in with the password.
func serveIMAP(t *testing.T, implicit bool, so imapserver.Options) IMAPOptions {
	t.Helper()
	https := httptest.NewUnstartedServer(nil) // for its certificate
	https.StartTLS()
	t.Cleanup(https.Close)
	config := &tls.Config{Certificates: https.TLS.Certificates, NextProtos: []string{"imap"}}
	so.TLSConfig, so.Logger, so.Caps = config, log.New(io.Discard, "", 0), imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}}
	server := imapserver.New(&so)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := IMAPOptions{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: "starttls", Username: "reports", Password: "right",
		CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})}
	if implicit {
		o.TLS, l = "tls", tls.NewListener(l, config)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return o
}

// fill puts messages into a mailbox, and one that is seen.
func fill(t *testing.T, user *imapmemserver.User, raw ...string) {
	t.Helper()
	for _, text := range raw {
		if _, err := user.Append("INBOX", literal{bytes.NewReader([]byte(text))}, &imap.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := user.Append("INBOX", literal{bytes.NewReader([]byte("Subject: seen\r\n\r\n"))}, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}}); err != nil {
		t.Fatal(err)
	}
}

// newIMAP is a box that is closed after the test.
func newIMAP(t *testing.T, o IMAPOptions) *IMAP {
	t.Helper()
	b, err := NewIMAP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestIMAP_IsABox(t *testing.T) {
	for name, implicit := range map[string]bool{"starttls": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			testBox(t, func(t *testing.T) (Box, func(...string)) {
				memory, user := newMemory(t)
				o := serveIMAP(t, implicit, imapserver.Options{NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
					return memory.NewSession(), nil, nil
				}})
				return newIMAP(t, o), func(raw ...string) { fill(t, user, raw...) }
			})
		})
	}
}

func TestIMAP_WhatIsWrongIsSaid(t *testing.T) {
	_, good := imapServer(t)
	for want, change := range map[string]func(*IMAPOptions){
		"log in to 127.0.0.1":       func(o *IMAPOptions) { o.Password = "wrong" },
		"open the folder Elsewhere": func(o *IMAPOptions) { o.Folder = "Elsewhere" },
		"unknown authority":         func(o *IMAPOptions) { o.CA = nil },
		"connect to 127.0.0.1:1":    func(o *IMAPOptions) { o.Port = 1 },
	} {
		o := good
		change(&o)
		for _, err := range newIMAP(t, o).Messages(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong\"") {
				t.Errorf("err = %v, want %q", err, want)
			}
		}
	}
	for want, o := range map[string]IMAPOptions{"no host": {}, "want tls or starttls": {Host: "h", TLS: "none"}, "password is missing": {Host: "h", Username: "u"},
		"no certificate": {Host: "h", Username: "u", Password: "p", CA: []byte("x")}} {
		if _, err := NewIMAP(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}
