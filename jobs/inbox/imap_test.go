package inbox

import (
	"bytes"
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
	memory := imapmemserver.New()
	user = imapmemserver.NewUser("reports", "right")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	memory.AddUser(user)
	https := httptest.NewUnstartedServer(nil) // for its certificate
	https.StartTLS()
	t.Cleanup(https.Close)
	server := imapserver.New(&imapserver.Options{TLSConfig: https.TLS, Logger: log.New(io.Discard, "", 0),
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		}, Caps: imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})
	return user, IMAPOptions{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: "starttls", CA: ca, Username: "reports", Password: "right"}
}

func TestIMAP_IsABox(t *testing.T) {
	testBox(t, func(t *testing.T) (Box, func(...string)) {
		user, o := imapServer(t)
		b, err := NewIMAP(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		return b, func(raw ...string) {
			for _, text := range raw {
				if _, err := user.Append("INBOX", literal{bytes.NewReader([]byte(text))}, &imap.AppendOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := user.Append("INBOX", literal{bytes.NewReader([]byte("Subject: seen\r\n\r\n"))}, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}}); err != nil {
				t.Fatal(err)
			}
		}
	})
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
		b, err := NewIMAP(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range b.Messages(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "wrong\"") {
				t.Errorf("err = %v, want %q", err, want)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	for want, o := range map[string]IMAPOptions{"no host": {}, "want tls or starttls": {Host: "h", TLS: "none"}, "password is missing": {Host: "h", Username: "u"},
		"no certificate": {Host: "h", Username: "u", Password: "p", CA: []byte("x")}} {
		if _, err := NewIMAP(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
}
