package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"tidemark/jobs/inbox"
	"tidemark/jobs/ledger"
)

// InboxReading deals with what came back to the mailbox that reports are sent from.
type InboxReading struct {
	Ledger *ledger.Ledger
	Box    inbox.Box
	Alarms Alarms
	Log    *slog.Logger

	Feedback *Feedback        // takes answers by the links of mails; nil: they are mail of people
	Now      func() time.Time // when a message is read
}

// SuppressAfter is how many mails to an address must have bounced for good before it is
// mailed no more.
const SuppressAfter = 2

// InboxRead counts what was read of an inbox.
type InboxRead struct {
	Bounced    int                     `json:"bounced"`           // mails of ours that did not arrive
	Unmatched  int                     `json:"unmatched"`         // notices of a mail that is none of ours, was not out, or went to somebody else
	Delayed    int                     `json:"delayed"`           // notices that a mail is still on its way
	Receipts   int                     `json:"receipts"`          // notices that it arrived or was read
	Automatic  int                     `json:"automatic"`         // answers of programs, and mail of lists
	Others     int                     `json:"others"`            // what people wrote
	Answers    map[FeedbackOutcome]int `json:"answers,omitempty"` // by the links of mails, by what became of them
	Suppressed []string                `json:"suppressed"`        // addresses that are mailed no more, from now on
	Warnings   []string                `json:"-"`
}

// String is the result for people.
func (r InboxRead) String() string {
	return fmt.Sprintf("%d bounced, %d notices of no mail of ours, %d delayed, %d receipts, %d automatic, %d others", r.Bounced, r.Unmatched, r.Delayed, r.Receipts, r.Automatic, r.Others) + r.answers()
}

func (r InboxRead) answers() string {
	var out string
	for _, o := range slices.Sorted(maps.Keys(r.Answers)) {
		out += fmt.Sprintf(", %d answers %s", r.Answers[o], o)
	}
	return out
}

// AlarmOfSuppressed is the key of the alarm about an address that is mailed no more.
func AlarmOfSuppressed(address string) string { return "suppressed:" + address }

// Read deals with every message that nobody has dealt with yet. A message counts once,
// also where it cannot be marked as read. One that cannot be read is a warning; the
// others follow.
func (r InboxReading) Read(ctx context.Context) (out InboxRead, err error) {
	for m, err := range r.Box.Messages(ctx) {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		if err != nil && m.ID == "" {
			return out, fmt.Errorf("read inbox: %w", err)
		}
		if err == nil {
			err = r.one(ctx, m, &out)
		}
		if err == nil {
			err = r.Box.Done(ctx, m)
		}
		if err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("message %s of the inbox: %v", oneWord(m.ID), err))
		}
	}
	return out, nil
}

// oneWord is an id of a box in a message: whoever sent the mail may have chosen it.
func oneWord(id string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, id)
}

// one deals with a message.
func (r InboxReading) one(ctx context.Context, m inbox.Message, out *InboxRead) error {
	hash := fmt.Sprintf("%x", sha256.Sum256(m.Raw))
	if seen, err := r.Ledger.InboxSeen(ctx, hash); err != nil || seen {
		return err
	}
	j := inbox.Judge(m.Raw)
	switch j.Kind {
	case inbox.Bounce:
		if err := r.bounce(ctx, j, out); err != nil {
			return err
		}
	case inbox.Delayed:
		out.Delayed++
	case inbox.Receipt:
		out.Receipts++
	case inbox.Auto:
		out.Automatic++
	default: // a mailbox for a team may be a list's
		answered, err := r.answer(ctx, m, out)
		switch {
		case err != nil:
			return err
		case answered:
		case j.Kind == inbox.List:
			out.Automatic++
		default:
			out.Others++
		}
	}
	return r.Ledger.SeeInbox(ctx, hash, string(j.Kind))
}

// answer takes what a person answered by the link of a mail; false: it is another message.
func (r InboxReading) answer(ctx context.Context, m inbox.Message, out *InboxRead) (bool, error) {
	if r.Feedback == nil {
		return false, nil
	}
	read, err := netmail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil || len(read.Header["From"]) != 1 || len(read.Header["Subject"]) != 1 {
		return false, nil
	}
	subject := read.Header.Get("Subject")
	if decoded, err := anyCharset().DecodeHeader(subject); err == nil {
		subject = decoded
	}
	token, found := FindToken(subject)
	if !found {
		return false, nil
	}
	outcome := FeedbackDamaged
	if token != "" {
		if outcome, err = r.Feedback.Take(ctx, token, read.Header.Get("From"), r.Now()); err != nil {
			return false, err
		}
	}
	if out.Answers == nil {
		out.Answers = map[FeedbackOutcome]int{}
	}
	out.Answers[outcome]++
	r.Log.Info("answer", "outcome", string(outcome), "message", oneWord(m.ID))
	return true, nil
}

// bounce settles the delivery that a notice is about. Each mail of ours has one recipient.
func (r InboxReading) bounce(ctx context.Context, j inbox.Judgement, out *InboxRead) error {
	found := false
	for _, f := range j.Failed {
		if j.Original == "" || found {
			break
		}
		said := strings.TrimSpace(f.Status + " " + f.Said)
		noticed, err := r.Ledger.Bounce(ctx, ledger.Notice{Delivery: j.Original, Addresses: f.Addresses, Hard: f.Hard(), Said: said, SuppressAt: SuppressAfter})
		if err != nil {
			return err
		}
		if noticed.Delivery == nil {
			continue
		}
		found = true
		d := noticed.Delivery
		r.Log.Info("mail bounced", "delivery", d.ID, "recipient", d.Recipient, "said", said)
		out.Warnings = append(out.Warnings, fmt.Sprintf("the mail to %s of run %s came back: %s", d.Recipient, d.Run, said))
		if noticed.Suppressed != "" {
			out.Suppressed = append(out.Suppressed, d.Recipient)
			out.Warnings = append(out.Warnings, d.Recipient+" is mailed no more: "+noticed.Suppressed)
			if err := r.suppressed(ctx, d.Recipient, noticed.Suppressed); err != nil {
				return err
			}
		}
	}
	if found {
		out.Bounced++
	} else {
		out.Unmatched++
	}
	return nil
}

// suppressed tells the operators of an address that is mailed no more.
func (r InboxReading) suppressed(ctx context.Context, address, why string) error {
	l, key := r.Ledger, AlarmOfSuppressed(address)
	return r.Alarms.Raise(ctx, l, key, address+" is mailed no more", "tidemark: "+address+" is mailed no more",
		fmt.Sprintf("%s is mailed no more: %s.\n\nNext: mend the address among the recipients, or the mailbox, then tidemark deliveries unsuppress %[1]s\n", address, why))
}
