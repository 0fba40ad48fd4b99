package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// tenantKey is where a script keeps its tenant.
type tenantKey struct{}

// microsoftCommand is `microsoft start`: a tenant at $LOGIN and $GRAPH with the id
// $TENANT and the app $CLIENT, whose secret is in client-secret. Then
//
//	microsoft refuse            Graph refuses everything
//	microsoft allow             and does not any more
//	microsoft members GROUP …   the group has these people, by their address's local part
//	microsoft mails FILE        writes who was mailed so far, a line for each mail
func microsoftCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: microsoft start|refuse|allow|members|mails")
	}
	if args[0] == "start" {
		startMicrosoft(ts)
		return
	}
	s := *ts.Value(tenantKey{}).(**fakemicrosoft.Server)
	switch args[0] {
	case "refuse":
		s.Script(fakemicrosoft.Refused(403, "").On(fakemicrosoft.Graph, "").Repeated(-1))
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
	default:
		ts.Fatalf("microsoft %s is not known", args[0])
	}
}

func startMicrosoft(ts *testscript.TestScript) {
	now := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 1, Today: now})
	s := fakemicrosoft.NewWith(p, func() time.Time { return now }, fakemicrosoft.Options{Marker: secretMark, SendAs: []string{"usage@partner.example"}})
	at, err := s.Start()
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	*ts.Value(tenantKey{}).(**fakemicrosoft.Server) = s
	ts.Check(os.WriteFile(ts.MkAbs("client-secret"), []byte("client-secret"+secretMark), 0o600))
	for name, value := range map[string]string{"LOGIN": at.Login, "GRAPH": at.Graph, "TENANT": p.TenantID, "CLIENT": fakemicrosoft.DefaultClient} {
		ts.Setenv(name, value)
	}
}
