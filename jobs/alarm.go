package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tidemark/jobs/ledger"
)

// Alarms tell people outside tidemark what went wrong, by ways that do not hang
// on the wire that breaks. Every way is optional; a way that fails is logged and
// keeps no other from being tried.
type Alarms struct {
	Mail    func(ctx context.Context, subject, text string) error // to the operators; nil for none
	Webhook string                                                // URL that takes {"text": …}, as Teams does
	Ping    string                                                // dead-man URL: /start, /fail, and itself for success, with /JOB before
	Client  *http.Client
	Log     *slog.Logger
}

// Started tells the dead-man switch that a job began.
func (a Alarms) Started(ctx context.Context, job string) { a.ping(ctx, job, "/start") }

// Ended tells how a run ended: a failure or a hold is an alarm, said once until
// the job ends well again, which is said once too.
func (a Alarms) Ended(ctx context.Context, l *ledger.Ledger, run ledger.Run, state ledger.RunState, note string) error {
	key := "job:" + run.Job
	if state == ledger.Done || state == ledger.Warned && !strings.Contains(note, ErrNotAccepted.Error()) {
		a.ping(ctx, run.Job, "")
		since, raised, err := l.ClearAlarm(ctx, key)
		if err != nil || !raised {
			return err
		}
		a.Say(ctx, fmt.Sprintf("tidemark: %s works again", run.Job),
			fmt.Sprintf("Job %s ended well at %s. It had not since %s.", run.Job, run.ID, since.Format(time.RFC3339)))
		return nil
	}
	a.ping(ctx, run.Job, "/fail")
	counts, err := l.Counts(ctx, run.ID)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Job %s, run %s: %s.\n%s\n\n%s\nNext: %s\n", run.Job, run.ID, state, note, unmailed(counts), nextCommand(run, state))
	since, fresh, err := l.RaiseAlarm(ctx, key, string(state)+": "+note)
	if err != nil || !fresh {
		return err
	}
	a.Say(ctx, fmt.Sprintf("tidemark: %s %s", run.Job, state), text+"Since "+since.Format(time.RFC3339)+".\n")
	return nil
}

// unmailed says who got no mail.
func unmailed(counts map[ledger.DeliveryState]int) string {
	if len(counts) == 0 {
		return "No mail was made."
	}
	open := counts[ledger.Pending] + counts[ledger.Sending]
	return fmt.Sprintf("Mails: %d sent, %d not sent yet, %d failed, %d unknown (may have arrived).",
		counts[ledger.Sent], open, counts[ledger.Refused], counts[ledger.Unknown]+counts[ledger.Dot])
}

// nextCommand is the one command to run next.
func nextCommand(run ledger.Run, state ledger.RunState) string {
	switch state {
	case ledger.Held:
		return fmt.Sprintf("tidemark release %s   (or: tidemark drop %[1]s)", run.ID)
	case ledger.Warned:
		return "tidemark deliveries --run " + run.ID
	}
	return fmt.Sprintf("tidemark run %s --slot %s   (when the cause is mended)", run.Job, run.Slot.Format(time.RFC3339))
}

// Say tells the operators by every way there is.
func (a Alarms) Say(ctx context.Context, subject, text string) {
	if a.Mail != nil {
		a.failed("mail", a.Mail(ctx, subject, text))
	}
	if a.Webhook != "" {
		body, err := json.Marshal(map[string]string{"text": subject + "\n\n" + text})
		if err == nil {
			err = a.post(ctx, a.Webhook, body)
		}
		a.failed("webhook", err)
	}
}

func (a Alarms) ping(ctx context.Context, job, what string) {
	if a.Ping != "" {
		a.failed("ping", a.post(ctx, strings.TrimRight(a.Ping, "/")+"/"+job+what, nil))
	}
}

// failed logs a way that did not work, without its address: that is a secret.
func (a Alarms) failed(way string, err error) {
	if err != nil && a.Log != nil {
		a.Log.Error("alarm not delivered", "way", way, "err", err)
	}
}

// post sends a small body; the address is kept out of the error.
func (a Alarms) post(ctx context.Context, url string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	client := a.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", errors.Unwrap(err))
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16))
	if err = errors.Join(err, res.Body.Close()); err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("answered %s", res.Status)
	}
	return err
}
