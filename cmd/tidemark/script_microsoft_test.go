package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// tenantKey is where a script keeps its tenant.
type tenantKey struct{}

// gatedTenant is one whose answers to mails can be held back.
type gatedTenant struct {
	*fakemicrosoft.Server
	gate atomic.Pointer[chan struct{}] // nil: open
	held chan struct{}
}

// accept keeps a mail that was accepted without its answer, while the gate is closed.
func (t *gatedTenant) accept(fakemicrosoft.Mail) {
	if gate := t.gate.Load(); gate != nil {
		t.held <- struct{}{}
		<-*gate
	}
}

func (t *gatedTenant) release() {
	if gate := t.gate.Swap(nil); gate != nil {
		close(*gate)
	}
}

// microsoftCommand is `microsoft start`: a tenant at $LOGIN and $GRAPH with the id
// $TENANT and the app $CLIENT, whose secret is in client-secret. Then
//
//	microsoft refuse            Graph refuses everything
//	microsoft lose              Graph takes mails, and its answers are lost
//	microsoft allow             and does not any more
//	microsoft members GROUP …   the group has these people, by their address's local part
//	microsoft mails FILE        writes who was mailed so far, a line for each mail
//	microsoft last TEXT HTML    writes the two forms of the mail that was sent last
//	microsoft receive FILE      puts a message into the inbox of usage@partner.example
//	microsoft unread N          must hold so many that are not read
//	microsoft hold              mails are accepted without an answer
//	microsoft held              waits for one
//	microsoft release           answers them
func microsoftCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: microsoft start|refuse|lose|allow|members|mails|last|receive|unread|hold|held|release")
	}
	if args[0] == "start" {
		startMicrosoft(ts)
		return
	}
	s := *ts.Value(tenantKey{}).(**gatedTenant)
	switch args[0] {
	case "hold":
		s.gate.Store(new(make(chan struct{})))
	case "held":
		select {
		case <-s.held:
		case <-time.After(time.Minute):
			ts.Fatalf("no mail within a minute")
		}
	case "release":
		s.release()
	case "refuse":
		s.Script(fakemicrosoft.Refused(403, "").On(fakemicrosoft.Graph, "").Repeated(-1))
	case "lose":
		s.Script(fakemicrosoft.Fault{Lost: true, Times: -1}.On(fakemicrosoft.Graph, "/sendMail"))
	case "allow":
		s.ClearScript()
	case "members":
		s.Update(func(p *fakemicrosoft.Partner) {
			g := p.Directory.Groups[slices.IndexFunc(p.Directory.Groups, func(g *fakemicrosoft.Group) bool { return g.Name == args[1] })]
			g.Members = nil
			for _, u := range p.Directory.Users {
				if name, _, _ := strings.Cut(u.Mail, "@"); slices.Contains(args[2:], name) {
					g.Members = append(g.Members, u.ID)
				}
			}
		})
	case "mails":
		var b strings.Builder
		for _, m := range s.Mails() {
			fmt.Fprintf(&b, "%s to %s\n", m.Mailbox, strings.Join(m.To, ","))
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o644))
	case "last":
		mails := s.Mails()
		for kind, name := range map[string]string{"text/plain": args[1], "text/html": args[2]} {
			part, err := partOf(mails[len(mails)-1].Raw, kind)
			ts.Check(err)
			ts.Check(os.WriteFile(ts.MkAbs(name), part, 0o644))
		}
	case "receive":
		ts.Check(s.Receive("usage@partner.example", []byte(ts.ReadFile(args[1]))))
	case "unread":
		if got := strconv.Itoa(s.Unread("usage@partner.example")); got != args[1] {
			ts.Fatalf("%s are not read, want %s", got, args[1])
		}
	default:
		ts.Fatalf("microsoft %s is not known", args[0])
	}
}

// partOf is the first part of that type in a mail.
func partOf(raw []byte, kind string) ([]byte, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var find func(media string, body io.Reader) ([]byte, error)
	find = func(header string, body io.Reader) ([]byte, error) {
		media, params, err := mime.ParseMediaType(header)
		if err != nil || media == kind {
			return errorOr(body, err)
		}
		if !strings.HasPrefix(media, "multipart/") {
			return nil, nil
		}
		for parts := multipart.NewReader(body, params["boundary"]); ; { // which decodes quoted-printable
			part, err := parts.NextPart()
			if err == io.EOF {
				return nil, nil
			} else if err != nil {
				return nil, err
			}
			if found, err := find(part.Header.Get("Content-Type"), part); found != nil || err != nil {
				return found, err
			}
		}
	}
	found, err := find(m.Header.Get("Content-Type"), m.Body)
	if found == nil && err == nil {
		err = fmt.Errorf("the mail has no part %s", kind)
	}
	return found, err
}

func errorOr(body io.Reader, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}

func startMicrosoft(ts *testscript.TestScript) {
	now := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 1, Today: now})
	s := &gatedTenant{held: make(chan struct{}, 100)}
	s.Server = fakemicrosoft.NewWith(p, func() time.Time { return now }, fakemicrosoft.Options{Marker: secretMark, SendAs: []string{"usage@partner.example"}, Accepted: s.accept})
	at, err := s.Start()
	ts.Check(err)
	ts.Defer(func() { s.release(); ts.Check(s.Close()) })
	*ts.Value(tenantKey{}).(**gatedTenant) = s
	ts.Check(os.WriteFile(ts.MkAbs("client-secret"), []byte("client-secret"+secretMark), 0o600))
	for name, value := range map[string]string{"LOGIN": at.Login, "GRAPH": at.Graph, "TENANT": p.TenantID, "CLIENT": fakemicrosoft.DefaultClient} {
		ts.Setenv(name, value)
	}
}
