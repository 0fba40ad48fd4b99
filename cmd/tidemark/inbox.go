package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tidemark/jobs"
	"tidemark/jobs/inbox"
	"tidemark/jobs/ledger"
)

// inboxConfig is the mailbox that answers and bounces come to.
type inboxConfig struct {
	Kind    string `yaml:"kind"`    // maildir, imap or graph; empty: none is read
	Path    string `yaml:"path"`    // maildir
	Mailbox string `yaml:"mailbox"` // graph: its address; default: the address of mail.from

	Host     string `yaml:"host"` // imap
	Port     int    `yaml:"port"`
	TLS      string `yaml:"tls"` // tls, the default, or starttls
	CA       string `yaml:"ca"`
	Auth     string `yaml:"auth"` // plain, the default, or xoauth2: the app registration's token
	Username string `yaml:"username"`
	Password string `yaml:"password"` // env:NAME or file:PATH, of plain
	Folder   string `yaml:"folder"`   // default: INBOX

	Address string `yaml:"address"` // that answers by the links of sales mails go to; empty: no links
	Key     string `yaml:"key"`     // env:NAME or file:PATH, signs them
}

func (k *checker) inbox() {
	box := k.c.Mail.Inbox
	k.oneOf("mail.inbox.kind", box.Kind, "maildir", "imap", "graph")
	k.oneOf("mail.inbox.tls", box.TLS, "tls", "starttls")
	k.secret("mail.inbox.password", box.Password)
	switch {
	case box.Kind == "maildir" && box.Path == "":
		k.report("mail.inbox", "has no path", "add the folder that holds new, cur and tmp")
	case box.Kind == "graph" && box.Mailbox == "" && k.c.Mail.From == "":
		k.report("mail.inbox", "has no mailbox", "add its address, or mail.from, whose address it then is")
	case box.Kind == "imap":
		k.imap(box)
	case box.Kind == "" && box != (inboxConfig{}):
		k.report("mail.inbox", "has no kind", "want maildir, imap or graph")
	}
	if box.Kind == "graph" || box.Kind == "maildir" { // the mailbox that somebody means is not the one that is read
		for _, of := range []struct{ key, value string }{{"host", box.Host}, {"username", box.Username}, {"password", box.Password}, {"auth", box.Auth}, {"folder", box.Folder}} {
			if of.value != "" {
				k.report("mail.inbox."+of.key, "is not used with kind: "+box.Kind, "take it out")
			}
		}
	}
	for i, j := range k.c.Jobs {
		if j.Do == "inbox" && box.Kind == "" {
			k.report(fmt.Sprintf("jobs[%d].do", i), "there is no inbox to read", "add mail.inbox: {kind: maildir, path: …} or {kind: graph}")
		}
	}
}

// imap checks how a mailbox is logged in to.
func (k *checker) imap(box inboxConfig) {
	k.oneOf("mail.inbox.auth", box.Auth, "plain", "xoauth2")
	if box.Auth != "xoauth2" {
		if box.Host == "" || box.Username == "" || box.Password == "" {
			k.report("mail.inbox", "lacks host, username or password", "add them, the password as env:NAME or file:PATH")
		}
		if onExchange(box.Host) {
			k.report("mail.inbox", box.Host+" takes no password over IMAP", "set auth: xoauth2 with an app registration (docs/microsoft365.md), or kind: graph")
		}
		return
	}
	if box.Host == "" || box.Username == "" {
		k.report("mail.inbox", "lacks host or username", "with auth: xoauth2 the username is the address of the mailbox, and the host of Exchange Online outlook.office365.com")
	}
	if box.Password != "" {
		k.report("mail.inbox.password", "is not used with auth: xoauth2", "take it out; the app registration logs in")
	}
	if box.TLS == "starttls" {
		k.report("mail.inbox.tls", "is not possible with auth: xoauth2", "take it out: the connection is encrypted from the first byte, on port 993")
	}
}

// inbox opens the mailbox of the configuration. Nothing is read yet.
func (a *app) inbox(c *config) (inbox.Box, error) {
	switch c.Mail.Inbox.Kind {
	case "maildir":
		return inbox.Maildir{Dir: c.path(c.Mail.Inbox.Path)}, nil
	case "imap":
		return a.imap(c)
	}
	tenant, err := a.tenant(c)
	if err != nil {
		return nil, err
	}
	return inbox.NewGraph(tenant.Graph(), c.mailbox(c.Mail.Inbox.Mailbox)), nil
}

func (a *app) imap(c *config) (inbox.Box, error) {
	b := c.Mail.Inbox
	password, err := a.secret(c, "mail.inbox.password", b.Password)
	if err != nil {
		return nil, err
	}
	ca, err := c.certificates("mail.inbox.ca", b.CA)
	if err != nil {
		return nil, err
	}
	o := inbox.IMAPOptions{Host: b.Host, Port: b.Port, TLS: b.TLS, CA: ca, Username: b.Username, Password: password, Folder: b.Folder}
	if b.Auth == "xoauth2" {
		tenant, err := a.tenant(c)
		if err != nil {
			return nil, err
		}
		o.Token = tenant.ExchangeToken
	}
	return inbox.NewIMAP(o)
}

// closed ends the connection of a box that has one.
func closed(box inbox.Box) error {
	if c, ok := box.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (a *app) runInbox(ctx context.Context, c *config, l *ledger.Ledger) (result jobs.Outcome, err error) {
	box, err := a.inbox(c)
	if err != nil {
		return jobs.Outcome{}, err
	}
	defer func() { err = errors.Join(err, closed(box)) }()
	alarms, err := a.alarms(c)
	if err != nil {
		return jobs.Outcome{}, err
	}
	feedback, err := a.feedback(ctx, c, l)
	if err != nil {
		return jobs.Outcome{}, err
	}
	out, err := jobs.InboxReading{Ledger: l, Box: box, Alarms: alarms, Log: a.log(), Feedback: feedback, Now: a.now}.Read(ctx)
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
	for _, err = range box.Messages(ctx) {
		break
	}
	if err := errors.Join(err, closed(box)); err != nil {
		k.problem(fmt.Errorf("mail.inbox: %w", err))
		return
	}
	k.ok("inbox %s can be read", c.Mail.Inbox.Kind)
}
