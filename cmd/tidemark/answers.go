package main

import (
	"context"
	"fmt"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports"
)

// answers checks the keys of mail.inbox that links to answer by need.
func (k *checker) answers() {
	box := k.c.Mail.Inbox
	k.secret("mail.inbox.key", box.Key)
	switch {
	case box.Address != "" && box.Key == "":
		k.report("mail.inbox.address", "comes without a key", "add key: file:PATH with what `openssl rand -hex 32` writes, so that answers cannot be forged")
	case box.Address == "" && box.Key != "":
		k.report("mail.inbox.key", "comes without an address", "add address: that of the mailbox, which answers go to")
	}
	if box.Address != "" {
		k.address("mail.inbox.address", box.Address, true)
	}
}

// answerKey is the key that answers are signed with; nil where mails offer none.
func (a *app) answerKey(c *config) ([]byte, error) {
	box := c.Mail.Inbox
	if box.Address == "" || box.Key == "" {
		return nil, nil
	}
	key, err := a.secret(c, "mail.inbox.key", box.Key)
	if err != nil {
		return nil, err
	}
	if err := jobs.CheckAnswerKey([]byte(key)); err != nil {
		return nil, fmt.Errorf("mail.inbox.key: %w", err)
	}
	return []byte(key), nil
}

// feedback takes answers by the links of mails; nil where mails offer none.
func (a *app) feedback(ctx context.Context, c *config, l *ledger.Ledger) (*jobs.Feedback, error) {
	key, err := a.answerKey(c)
	if key == nil || err != nil {
		return nil, err
	}
	arc, err := a.openArchive(ctx, c, true)
	if err != nil {
		return nil, err
	}
	return &jobs.Feedback{Ledger: l, Archive: arc, Key: key}, nil
}

// addAnswers adds the links to answer by and, where there is a ledger, what was answered.
func (a *app) addAnswers(ctx context.Context, c *config, l *ledger.Ledger, d *jobs.Digests) error {
	answers := &jobs.Answers{}
	if d.Role == reports.SalesAgent {
		key, err := a.answerKey(c)
		if err != nil { // no reason to mail nobody
			d.Without = append(d.Without, fmt.Sprintf("mails go without links to answer by: %v", err))
		} else if key != nil {
			answers.To, answers.Key = c.Mail.Inbox.Address, key
		}
	}
	if l != nil {
		var err error
		if answers.Given, answers.Questions, err = jobs.ReadAnswers(ctx, l, d.Role, data.DayOf(d.Date)); err != nil {
			return err
		}
	}
	d.Answers = answers
	return nil
}

// answers checks the key that answers are signed with.
func (k *checks) answers(c *config) {
	switch key, err := k.a.answerKey(c); {
	case err != nil:
		k.problem(err)
	case key != nil:
		k.ok("answers go to %s", c.Mail.Inbox.Address)
	}
}
