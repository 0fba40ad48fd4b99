package inbox

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const mailbox = "usage@partner.example"

// newExchange is an empty mailbox of Exchange Online, listed two messages a page.
func newExchange(t *testing.T, granted ...string) (*fakemicrosoft.Server, Graph) {
	t.Helper()
	now := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 1, Today: now})
	clock := func() time.Time { return now }
	s := fakemicrosoft.NewWith(p, clock, fakemicrosoft.Options{DirectoryPage: 2, Granted: granted})
	at, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if leaks := s.Leaks(); len(leaks) > 0 {
			t.Errorf("tokens went astray: %v", leaks)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := microsoft.Open(microsoft.Options{Credentials: microsoft.Credentials{Tenant: p.TenantID, ClientID: fakemicrosoft.DefaultClient, Secret: s.Secrets()[0]},
		Endpoints: microsoft.Endpoints{Login: at.Login, Graph: at.Graph}, Now: clock,
		Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return s, NewGraph(tenant.Graph(), mailbox)
}

func receive(t *testing.T, s *fakemicrosoft.Server, raw ...string) {
	t.Helper()
	for _, text := range raw {
		if err := s.Receive(mailbox, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGraph_IsABox(t *testing.T) {
	testBox(t, func(t *testing.T) (Box, func(...string)) {
		s, g := newExchange(t)
		return g, func(raw ...string) {
			receive(t, s, raw...)
			s.Expire() // the token that was used so far
			s.Script(fakemicrosoft.TooMany(1).On(fakemicrosoft.Graph, "/messages").Repeated(2))
		}
	})
	t.Run("the oldest first, though Graph lists the newest first", func(t *testing.T) {
		s, g := newExchange(t)
		want := []string{"a", "b", "c", "d", "e"}
		receive(t, s, want...)
		var got []string
		for m, err := range g.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Raw))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
	t.Run("without the permission", func(t *testing.T) {
		_, g := newExchange(t, "Mail.Send")
		if err := first(t, g); err == nil || !strings.Contains(err.Error(), "list messages of "+mailbox) || !strings.Contains(err.Error(), "Mail.ReadWrite") {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("with the permission to read only", func(t *testing.T) {
		s, g := newExchange(t, "Mail.Read")
		receive(t, s, "a")
		for m := range g.Messages(t.Context()) {
			if err := g.Done(t.Context(), m); err == nil || !strings.Contains(err.Error(), "Mail.ReadWrite") {
				t.Errorf("err = %v", err)
			}
		}
	})
	t.Run("a link to another host is not followed", func(t *testing.T) {
		s, g := newExchange(t)
		receive(t, s, "a", "b", "c")
		s.Script(fakemicrosoft.Fault{Host: fakemicrosoft.Graph, Path: "/messages", Edit: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`nextLink":"http://127.0.0.1`), []byte(`nextLink":"http://elsewhere.example`), 1)
		}})
		if err := first(t, g); err == nil || !strings.Contains(err.Error(), "another host") {
			t.Errorf("err = %v", err)
		}
	})
}
