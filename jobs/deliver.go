package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"tidemark/jobs/ledger"
	"tidemark/reports/mail"
)

// Delivery rules that the configuration may change.
const (
	DefaultDeliverWithin = 12 * time.Hour // how long a mail is tried
	ExchangePace         = 25             // mails a minute that Exchange Online takes from one mailbox, with a reserve
)

// Deliverer sends the stored mails of a run: each surely once, or not at all,
// or as unknown where nobody can tell. One recipient never holds another.
type Deliverer struct {
	Ledger *ledger.Ledger
	Sender mail.Sender
	From   string // envelope sender

	Divert       string                                           // when set every mail goes here, and none counts as sent
	AllowDomains []string                                         // where mail may go; empty: anywhere
	Pace         int                                              // mails a minute; 0: no limit
	Wait         func(ctx context.Context, until time.Time) error // waits for a time; see Sleep
	Sign         func(raw []byte) ([]byte, error)                 // signs a mail on its way out; nil: not signed
	// Trouble is told, once, when mails in a row cannot leave, with what the next
	// hop says; nil: nobody is.
	Trouble    func(ctx context.Context, run, reply string)
	DailyLimit int // mails in 24 hours, over all runs; 0: no limit
	Now        func() time.Time
	Log        *slog.Logger
}

// TroubleAfter is how many mails in a row must not have left before somebody is
// told.
const TroubleAfter = 3

// Delivered counts the outcomes of a run's deliveries.
type Delivered struct {
	Sent     int `json:"sent"`
	Failed   int `json:"failed"`
	Unknown  int `json:"unknown"`
	Pending  int `json:"pending"`
	Diverted int `json:"diverted"`
}

// AllSent reports whether every mail is in a good final state.
func (d Delivered) AllSent() bool { return d.Failed+d.Unknown+d.Pending == 0 }

// backoff is how long a mail waits after its nth try.
func backoff(attempt int) time.Duration {
	steps := []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	return steps[min(max(attempt-1, 0), len(steps)-1)]
}

// Deliver sends until no delivery of the run is pending. It first settles what
// an earlier attempt left: surely unsent mails are sent, those that may have
// arrived are unknown and are not sent again. The caller holds the run's lease.
// An error means that it had to stop, with everything on disk.
func (d Deliverer) Deliver(ctx context.Context, run string, name func(ledger.Delivery) string) (Delivered, error) {
	if _, err := d.Ledger.Recover(ctx, run); err != nil {
		return Delivered{}, err
	}
	last, stuck := time.Time{}, 0
	for {
		if d.Pace > 0 && !last.IsZero() {
			if err := d.Wait(ctx, last.Add(time.Minute/time.Duration(d.Pace))); err != nil {
				return d.counted(ctx, run, err)
			}
		}
		if err := d.holdToLimit(ctx); err != nil {
			return d.counted(ctx, run, err)
		}
		next, err := d.Ledger.Next(ctx, run)
		if err != nil {
			return d.counted(ctx, run, err)
		}
		if next != nil {
			last = d.Now()
			if err := d.one(ctx, next, name(*next)); err != nil {
				return d.counted(ctx, run, err)
			}
			if stuck++; next.State != ledger.Pending {
				stuck = 0
			}
			if stuck == TroubleAfter && d.Trouble != nil {
				d.Trouble(ctx, run, next.Reply)
			}
			continue
		}
		due, pending, err := d.Ledger.NextDue(ctx, run)
		if err != nil || !pending {
			return d.counted(ctx, run, err)
		}
		if err := d.Wait(ctx, due); err != nil {
			return d.counted(ctx, run, err)
		}
	}
}

// holdToLimit waits while the mails of the last 24 hours are as many as may be.
func (d Deliverer) holdToLimit(ctx context.Context) error {
	for d.DailyLimit > 0 {
		sent, oldest, err := d.Ledger.SentSince(ctx, d.Now().Add(-24*time.Hour))
		if err != nil || sent < d.DailyLimit {
			return err
		}
		until := oldest.Add(24*time.Hour + time.Millisecond)
		d.Log.Warn("daily limit reached", "limit", d.DailyLimit, "until", until)
		if err := d.Wait(ctx, until); err != nil {
			return err
		}
	}
	return nil
}

// counted returns how the run's deliveries stand.
func (d Deliverer) counted(ctx context.Context, run string, err error) (Delivered, error) {
	counts, countErr := d.Ledger.Counts(context.WithoutCancel(ctx), run)
	return Delivered{Sent: counts[ledger.Sent], Failed: counts[ledger.Refused], Unknown: counts[ledger.Unknown] + counts[ledger.Dot],
		Pending: counts[ledger.Pending] + counts[ledger.Sending], Diverted: counts[ledger.Diverted]}, errors.Join(err, countErr)
}

// one tries one delivery. Its error is the ledger's only: what the relay says
// about one mail is no reason to stop.
func (d Deliverer) one(ctx context.Context, del *ledger.Delivery, name string) error {
	if why, err := d.refuse(ctx, del); err != nil {
		return err
	} else if why != "" {
		return d.Ledger.Advance(ctx, del, ledger.Sending, ledger.Refused, why)
	}
	eml, err := d.Ledger.EML(ctx, del.SHA256)
	if err != nil {
		return err
	}
	if d.Sign != nil {
		if eml, err = d.Sign(eml); err != nil {
			return d.Ledger.Advance(ctx, del, ledger.Sending, ledger.Refused, err.Error())
		}
	}
	// Once the mail is on its way its outcome is written down whatever happens.
	settled := context.WithoutCancel(ctx)
	r := d.Sender.Send(ctx, mail.Envelope{From: d.From, To: d.to(del), Name: name}, eml,
		func() error { return d.Ledger.Advance(settled, del, ledger.Sending, ledger.Dot, "") })
	d.Log.Info("delivery", "run", del.Run, "recipient", del.Recipient, "attempt", del.Attempt, "outcome", outcomeName(r.Outcome), "reply", r.Reply)
	switch r.Outcome {
	case mail.Sent:
		if d.Divert != "" {
			return d.Ledger.Settle(settled, del, ledger.Diverted, r.Reply)
		}
		return d.Ledger.Settle(settled, del, ledger.Sent, r.Reply)
	case mail.Refused:
		return d.Ledger.Advance(settled, del, del.State, ledger.Refused, r.Reply)
	case mail.Unknown:
		return d.Ledger.Advance(settled, del, ledger.Dot, ledger.Unknown, r.Reply)
	}
	if errors.Is(r.Err, ledger.ErrTakenOver) {
		return r.Err
	}
	if err := d.Ledger.Retry(settled, del, d.Now().Add(backoff(del.Attempt)), r.Reply); err != nil {
		return err
	}
	return ctx.Err()
}

// to is where a mail really goes.
func (d Deliverer) to(del *ledger.Delivery) string { return cmp.Or(d.Divert, del.Recipient) }

func outcomeName(o mail.Outcome) string {
	return []string{"sent", "unsent", "refused", "unknown"}[o]
}

// refuse says why a mail must not leave, "" when it may: the last look before
// the wire, whatever happened since it was built.
func (d Deliverer) refuse(ctx context.Context, del *ledger.Delivery) (string, error) {
	if reason, suppressed, err := d.Ledger.Suppressed(ctx, del.Recipient); err != nil {
		return "", err
	} else if suppressed {
		return "suppressed: " + reason, nil
	}
	if diverted := del.Kind == kindDiverted; diverted != (d.Divert != "") {
		return "made under another mail.divert; run the job again", nil
	}
	if to := d.to(del); !Allowed(to, d.AllowDomains) {
		return fmt.Sprintf("%s is not in mail.allow_domains", to), nil
	}
	return "", nil
}

// Allowed reports whether mail may go to the address: its domain, however it is
// written, is one of the list, or the list is empty.
func Allowed(address string, domains []string) bool {
	if len(domains) == 0 {
		return true
	}
	is, err := mail.ASCIIDomain(address[strings.LastIndexByte(address, '@')+1:])
	return err == nil && slices.ContainsFunc(domains, func(d string) bool {
		allowed, err := mail.ASCIIDomain(d)
		return err == nil && allowed == is
	})
}

// Sleep returns the Wait of a Deliverer: it waits for the clock, at most half a
// minute at a time, so that a clock that steps or a machine that slept is seen.
func Sleep(now func() time.Time) func(context.Context, time.Time) error {
	return func(ctx context.Context, until time.Time) error {
		for {
			left := until.Sub(now())
			if left <= 0 {
				return ctx.Err()
			}
			timer := time.NewTimer(min(left, 30*time.Second))
			select {
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			case <-timer.C:
			}
		}
	}
}
