package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
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
	Webhook string                                                // URL of a Teams workflow, or of whatever takes {"text": …}
	Ping    string                                                // dead-man URL: /start, /fail, and itself for success, with /JOB before
	Client  *http.Client
	Log     *slog.Logger
}

// Started tells the dead-man switch that a job began.
func (a Alarms) Started(ctx context.Context, job string) { a.ping(ctx, job, "/start") }

// AlarmOf is the key of a job's alarm.
func AlarmOf(job string) string { return "job:" + job }

// Ending is how a run ended.
type Ending struct {
	Run   ledger.Run
	State ledger.RunState
	Note  string
	Known bool // its job is of the configuration, so it can be run again by its name
}

// Ended tells how a run ended: a failure or a hold is an alarm, said once until
// the job ends well again, which is said once too.
func (a Alarms) Ended(ctx context.Context, l *ledger.Ledger, e Ending) error {
	run, state, note, key := e.Run, e.State, e.Note, AlarmOf(e.Run.Job)
	well := func(state ledger.RunState, note string) bool {
		return state == ledger.Done || state == ledger.Warned && !NotAccepted(state, note)
	}
	if well(state, note) {
		newest, err := l.Newest(ctx, run.Job, run.Slot.AddDate(1, 0, 0))
		if err != nil {
			return err
		}
		if newest != nil && newest.Slot.After(run.Slot) && newest.Finished != nil && !well(newest.State, newest.Note) {
			return nil // what a later run has raised is not over, because an earlier one ended well after it
		}
		a.ping(ctx, run.Job, "")
		return a.Clear(ctx, l, key, fmt.Sprintf("tidemark: %s works again", run.Job), fmt.Sprintf("Job %s ended well at %s.", run.Job, run.ID))
	}
	a.ping(ctx, run.Job, "/fail")
	deliveries, err := l.Deliveries(ctx, ledger.Query{Run: run.ID, Limit: 1 << 20})
	if err != nil {
		return err
	}
	text := fmt.Sprintf("Job %s, run %s: %s.\n%s\n\n%s\nNext: %s\n", run.Job, run.ID, state, note, unmailed(run, state, deliveries), e.next(len(deliveries)))
	return a.Raise(ctx, l, key, string(state)+": "+note, fmt.Sprintf("tidemark: %s %s", run.Job, state), text)
}

// NotAccepted reports whether a run ended with mails that were not accepted, which its note says.
func NotAccepted(state ledger.RunState, note string) bool {
	return state == ledger.Warned && strings.Contains(note, ErrNotAccepted.Error())
}

// Raise tells the operators once that something is wrong, until Clear. When no
// way works the next Raise tells them.
func (a Alarms) Raise(ctx context.Context, l *ledger.Ledger, key, what, subject, text string) error {
	since, fresh, err := l.RaiseAlarm(ctx, key, what)
	if err != nil || !fresh {
		return err
	}
	told := a.Say(ctx, subject, text+"Since "+since.Format(time.RFC3339)+".\n")
	return l.AlarmSaid(context.WithoutCancel(ctx), key, what, told)
}

// Clear tells the operators once that it works again what Raise told them of, also when the
// context ends meanwhile: no later Clear would tell them.
func (a Alarms) Clear(ctx context.Context, l *ledger.Ledger, key, subject, text string) error {
	since, raised, err := l.ClearAlarm(ctx, key)
	if err == nil && raised {
		a.Say(context.WithoutCancel(ctx), subject, fmt.Sprintf("%s The alarm was raised at %s.\n", text, since.Format(time.RFC3339)))
	}
	return err
}

// named is how many people an alarm names of each kind.
const named = 10

// unmailed says who got no mail, and of a held run what they would have got.
func unmailed(run ledger.Run, state ledger.RunState, deliveries []ledger.Delivery) string {
	var out SendResult
	if json.Unmarshal([]byte(run.Result), &out) != nil || len(deliveries)+len(out.Failed)+len(out.Open) == 0 {
		return "No mail was made."
	}
	who := map[ledger.DeliveryState][]string{}
	for _, d := range deliveries {
		line := d.Recipient
		if d.Reply != "" {
			line += ": " + d.Reply
		}
		who[d.State] = append(who[d.State], line)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d mails were sent.\n", len(who[ledger.Sent]))
	for _, kind := range []struct {
		name  string
		lines []string
	}{
		{"not sent yet", append(who[ledger.Pending], who[ledger.Sending]...)},
		{"failed", who[ledger.Refused]},
		{"came back", who[ledger.Bounced]},
		{"unknown, may have arrived", append(who[ledger.Unknown], who[ledger.Dot]...)},
		{"could not be made", out.Failed},
		{"open from before", out.Open},
	} {
		if len(kind.lines) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d %s:\n", len(kind.lines), kind.name)
		for _, line := range kind.lines[:min(len(kind.lines), named)] {
			fmt.Fprintf(&b, "  %s\n", line)
		}
		if more := len(kind.lines) - named; more > 0 {
			fmt.Fprintf(&b, "  and %d more\n", more)
		}
	}
	if state == ledger.Held {
		for _, sample := range out.Samples {
			fmt.Fprintf(&b, "Sample: %s\n", sample)
		}
	}
	return b.String()
}

// next is the one command to run next; mails is how many are stored.
func (e Ending) next(mails int) string {
	switch {
	case e.State == ledger.Held && mails == 0 && !e.Known:
		return fmt.Sprintf("tidemark drop %s   (and, when the cause is mended, the digest again)", e.Run.ID)
	case e.State == ledger.Held:
		return fmt.Sprintf("tidemark release %s   (or: tidemark drop %[1]s)", e.Run.ID)
	case e.State == ledger.Warned:
		return "tidemark deliveries --run " + e.Run.ID
	case !e.Known:
		return "the digest again   (when the cause is mended)"
	}
	return fmt.Sprintf("tidemark run %s --slot %s   (when the cause is mended)", e.Run.Job, e.Run.Slot.Format(time.RFC3339))
}

// Say tells the operators by every way there is and reports whether one worked.
func (a Alarms) Say(ctx context.Context, subject, text string) (told bool) {
	if a.Mail != nil {
		told = a.worked("mail", a.Mail(ctx, subject, text))
	}
	if a.Webhook != "" {
		body, err := json.Marshal(teams(subject, text))
		if err == nil {
			err = a.post(ctx, a.Webhook, body)
		}
		told = a.worked("webhook", err) || told
	}
	return told
}

// teams is a message as a Workflows webhook of Teams takes it, an adaptive card;
// text is for the others, which take that.
func teams(subject, text string) map[string]any {
	block := func(text string, more map[string]any) map[string]any {
		b := map[string]any{"type": "TextBlock", "text": text, "wrap": true}
		maps.Copy(b, more)
		return b
	}
	return map[string]any{
		"type": "message",
		"text": subject + "\n\n" + text,
		"attachments": []any{map[string]any{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
				"body": []any{block(subject, map[string]any{"weight": "Bolder", "size": "Medium"}), block(strings.ReplaceAll(text, "\n", "\n\n"), nil)},
			},
		}},
	}
}

func (a Alarms) ping(ctx context.Context, job, what string) {
	if a.Ping != "" {
		a.worked("ping", a.post(ctx, strings.TrimRight(a.Ping, "/")+"/"+job+what, nil))
	}
}

// worked logs a way that did not, without its address: that is a secret.
func (a Alarms) worked(way string, err error) bool {
	if err != nil && a.Log != nil {
		a.Log.Error("alarm not delivered", "way", way, "err", err)
	}
	return err == nil
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
