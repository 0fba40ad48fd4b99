package main

import (
	"context"
	"fmt"

	"tidemark/jobs"
	"tidemark/jobs/inbox"
	"tidemark/jobs/ledger"
)

// inboxConfig is the mailbox that answers and bounces come to.
type inboxConfig struct {
	Kind    string `yaml:"kind"`    // maildir or graph; empty: none is read
	Path    string `yaml:"path"`    // maildir
	Mailbox string `yaml:"mailbox"` // graph: its address; default: the address of mail.from
}

func (k *checker) inbox() {
	box := k.c.Mail.Inbox
	k.oneOf("mail.inbox.kind", box.Kind, "maildir", "graph")
	switch {
	case box.Kind == "maildir" && box.Path == "":
		k.report("mail.inbox", "has no path", "add the folder that holds new, cur and tmp")
	case box.Kind == "graph" && box.Mailbox == "" && k.c.Mail.From == "":
		k.report("mail.inbox", "has no mailbox", "add its address, or mail.from, whose address it then is")
	case box.Kind == "" && box != (inboxConfig{}):
		k.report("mail.inbox", "has no kind", "want maildir or graph")
	}
	for i, j := range k.c.Jobs {
		if j.Do == "inbox" && box.Kind == "" {
			k.report(fmt.Sprintf("jobs[%d].do", i), "there is no inbox to read", "add mail.inbox: {kind: maildir, path: …} or {kind: graph}")
		}
	}
}

// inbox opens the mailbox of the configuration. Nothing is read yet.
func (a *app) inbox(c *config) (inbox.Box, error) {
	if c.Mail.Inbox.Kind == "maildir" {
		return inbox.Maildir{Dir: c.path(c.Mail.Inbox.Path)}, nil
	}
	tenant, err := a.tenant(c)
	if err != nil {
		return nil, err
	}
	return inbox.NewGraph(tenant.Graph(), c.mailbox(c.Mail.Inbox.Mailbox)), nil
}

func (a *app) runInbox(ctx context.Context, c *config, l *ledger.Ledger) (jobs.Outcome, error) {
	box, err := a.inbox(c)
	if err != nil {
		return jobs.Outcome{}, err
	}
	alarms, err := a.alarms(c)
	if err != nil {
		return jobs.Outcome{}, err
	}
	out, err := jobs.InboxReading{Ledger: l, Box: box, Alarms: alarms, Log: a.log()}.Read(ctx)
	if err != nil {
		return jobs.Outcome{Result: out}, err
	}
	a.log().Info("inbox read", "found", out.String())
	return jobs.Outcome{Result: out, Warnings: out.Warnings}, nil
}

// inbox reads one message of the mailbox, if there is one, and leaves it as it is.
func (k *checks) inbox(ctx context.Context, c *config) {
	if c.Mail.Inbox.Kind == "" {
		return
	}
	box, err := k.a.inbox(c)
	if err != nil {
		k.problem(err)
		return
	}
	for _, err := range box.Messages(ctx) {
		if err != nil {
			k.problem(fmt.Errorf("mail.inbox: %w", err))
			return
		}
		break
	}
	k.ok("inbox %s can be read", c.Mail.Inbox.Kind)
}
