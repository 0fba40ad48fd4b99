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
	Pace         int                                              // mails a minute, over all runs; 0: no limit
	Wait         func(ctx context.Context, until time.Time) error // waits for a time; see Sleep
	Sign         func(raw []byte) ([]byte, error)                 // signs a mail on its way out; nil: not signed
	// Trouble is told when mails in a row cannot leave, with what the next hop
	// says, and Works when one has; nil: nobody is.
	Trouble    func(ctx context.Context, run, reply string)
	Works      func(ctx context.Context)
	DailyLimit int // mails in 24 hours, over all runs; 0: no limit
	Steps      Steps
	Now        func() time.Time
	Log        *slog.Logger
}

// TroubleAfter is how many mails in a row must not have left before somebody is
// told, or how often nobody was reached at all.
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

// Later says that mails of a run wait: it is to be taken up again then.
type Later struct {
	Until time.Time
	Mails int
	Why   string // of the mail that waits the shortest
}

func (l Later) Error() string {
	return fmt.Sprintf("%d mails wait until %s: %s", l.Mails, l.Until.UTC().Format(time.RFC3339), l.Why)
}

// Deliver sends what is due of the run. It first settles what an earlier attempt
// left: surely unsent mails are sent, those that may have arrived are unknown and
// are not sent again. The caller holds the run's lease. An error means that it
// had to stop, with everything on disk; it is a [Later] when mails are to be tried
// again, for which nobody need wait here.
func (d Deliverer) Deliver(ctx context.Context, run string, name func(ledger.Delivery) string) (Delivered, error) {
	_, err := d.Ledger.Recover(ctx, run)
	if err == nil {
		err = d.deliver(ctx, run, name)
	}
	out, countErr := d.counted(ctx, run)
	var later Later
	if errors.As(err, &later) {
		later.Mails = out.Pending
		err = later
	}
	return out, errors.Join(err, countErr)
}

func (d Deliverer) deliver(ctx context.Context, run string, name func(ledger.Delivery) string) error {
	stuck, left := 0, false
	counts, err := d.Ledger.Counts(ctx, run)
	if err != nil {
		return err
	}
	for done := 0; ; done++ {
		d.Steps.at("deliver mails", done, counts[ledger.Pending])
		if err := d.holdToLimits(ctx, run); err != nil {
			return err
		}
		next, err := d.Ledger.Next(ctx, run)
		if err != nil {
			return err
		}
		if next == nil {
			return d.rest(ctx, run)
		}
		down, err := d.one(ctx, next, name(*next))
		if err != nil {
			return err
		}
		// What is said about it is said whole, also when the run is being stopped.
		said := context.WithoutCancel(ctx)
		if stuck++; next.State != ledger.Pending {
			stuck = 0
		}
		if !left && (next.State == ledger.Sent || next.State == ledger.Diverted) && d.Works != nil {
			left = true
			d.Works(said)
		}
		if d.Trouble != nil && (stuck == TroubleAfter || down && next.Attempt >= TroubleAfter) {
			d.Trouble(said, run, next.Reply)
		}
		if down {
			if err := d.Ledger.Delay(ctx, run, next.Due); err != nil {
				return err
			}
			return Later{Until: next.Due, Why: next.Reply}
		}
	}
}

// rest is nil when no mail of the run is left to be tried, else when the next is.
func (d Deliverer) rest(ctx context.Context, run string) error {
	next, err := d.Ledger.Deliveries(ctx, ledger.Query{Run: run, State: ledger.Pending, Limit: 1 << 20})
	if err != nil || len(next) == 0 {
		return err
	}
	first := slices.MinFunc(next, func(a, b ledger.Delivery) int { return a.Due.Compare(b.Due) })
	return Later{Until: first.Due, Why: first.Recipient + ": " + first.Reply}
}

// holdToLimits waits while the mails of the last minute are as many as may be;
// over the day's limit it does not wait, but says until when. The wait is ours:
// it is no part of the time in which a mail is to be accepted.
func (d Deliverer) holdToLimits(ctx context.Context, run string) error {
	if until, err := d.free(ctx, d.DailyLimit, 24*time.Hour); err != nil {
		return err
	} else if !until.IsZero() {
		if err := d.Ledger.PutOff(ctx, run, until); err != nil {
			return err
		}
		return Later{Until: until, Why: fmt.Sprintf("mail.daily_limit of %d is reached", d.DailyLimit)}
	}
	for {
		until, err := d.free(ctx, d.Pace, time.Minute)
		if err != nil || until.IsZero() {
			return err
		}
		if err := d.Ledger.PutOff(ctx, run, until); err != nil {
			return err
		}
		if err := d.Wait(ctx, until); err != nil {
			return err
		}
	}
}

// free is when one more mail may leave, over all runs and processes, if at most
// so many may within a span; zero for now, and for a limit of 0.
func (d Deliverer) free(ctx context.Context, limit int, within time.Duration) (until time.Time, err error) {
	if limit == 0 {
		return until, nil
	}
	n, oldest, err := d.Ledger.SentSince(ctx, d.Now().Add(-within))
	if err != nil || n < limit {
		return until, err
	}
	return oldest.Add(within + time.Millisecond), nil
}

// counted returns how the run's deliveries stand.
func (d Deliverer) counted(ctx context.Context, run string) (Delivered, error) {
	counts, err := d.Ledger.Counts(context.WithoutCancel(ctx), run)
	return Delivered{Sent: counts[ledger.Sent], Failed: counts[ledger.Refused] + counts[ledger.Bounced], Unknown: counts[ledger.Unknown] + counts[ledger.Dot],
		Pending: counts[ledger.Pending] + counts[ledger.Sending], Diverted: counts[ledger.Diverted]}, err
}

// one tries one delivery. down reports that the next hop would take no other mail
// either. The error is the ledger's only: what the relay says about one mail is no
// reason to stop.
func (d Deliverer) one(ctx context.Context, del *ledger.Delivery, name string) (down bool, err error) {
	if state, why, err := d.refuse(ctx, del); err != nil {
		return false, err
	} else if why != "" {
		return false, d.Ledger.Advance(ctx, del, ledger.Sending, state, why)
	}
	eml, err := d.Ledger.EML(ctx, del.SHA256)
	if err != nil {
		return false, err
	}
	if d.Sign != nil {
		if eml, err = d.Sign(eml); err != nil {
			return false, d.Ledger.Advance(ctx, del, ledger.Sending, ledger.Refused, err.Error())
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
			return false, d.Ledger.Settle(settled, del, ledger.Diverted, r.Reply)
		}
		return false, d.Ledger.Settle(settled, del, ledger.Sent, r.Reply)
	case mail.Refused:
		return false, d.Ledger.Advance(settled, del, del.State, ledger.Refused, r.Reply)
	case mail.Unknown:
		del.Due = d.Now().Add(backoff(del.Attempt)) // of the others, if this is no fault of its own
		return r.Down, d.Ledger.Advance(settled, del, ledger.Dot, ledger.Unknown, r.Reply)
	}
	if errors.Is(r.Err, ledger.ErrTakenOver) {
		return false, r.Err
	}
	if ctx.Err() != nil { // the stop is no try of the mail's
		return false, errors.Join(ctx.Err(), d.Ledger.Retry(settled, del, d.Now(), r.Reply))
	}
	due := d.Now().Add(max(backoff(del.Attempt), r.Wait))
	if err := d.Ledger.Retry(settled, del, due, r.Reply); err != nil {
		return false, err
	}
	del.Due = due // also of one that has run out of time: the others wait for the relay
	return r.Down, nil
}

// to is where a mail really goes.
func (d Deliverer) to(del *ledger.Delivery) string { return cmp.Or(d.Divert, del.Recipient) }

func outcomeName(o mail.Outcome) string {
	return []string{"sent", "unsent", "refused", "unknown"}[o]
}

// refuse says why a mail must not leave and what becomes of it, "" when it may:
// the last look before the wire, whatever happened since it was built.
func (d Deliverer) refuse(ctx context.Context, del *ledger.Delivery) (ledger.DeliveryState, string, error) {
	if reason, suppressed, err := d.Ledger.Suppressed(ctx, del.Recipient); err != nil {
		return "", "", err
	} else if suppressed {
		return ledger.Dropped, "suppressed: " + reason, nil
	}
	if d.Now().After(del.Deadline) {
		return ledger.Refused, "not accepted in time: " + cmp.Or(del.Reply, "nobody tried it before "+del.Deadline.UTC().Format(time.RFC3339)), nil
	}
	if diverted := del.Kind == kindDiverted; diverted != (d.Divert != "") {
		return ledger.Refused, "made under another mail.divert; run the job again", nil
	}
	if to := d.to(del); !Allowed(to, d.AllowDomains) {
		return ledger.Refused, fmt.Sprintf("%s is not in mail.allow_domains", to), nil
	}
	return "", "", nil
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
