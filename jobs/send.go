package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/ledger"
	"tidemark/reports"
)

// Sending is one run of a digest that is mailed: build and seal every copy,
// look at the batch as a whole, then deliver.
type Sending struct {
	Ledger    *ledger.Ledger
	Run       *ledger.Run
	Deliverer Deliverer
	Brake     Brake
	Within    time.Duration // how long a mail is tried; 0 means DefaultDeliverWithin
	Again     string        // why a report that was sent is sent again; empty: it is not
	// Previous is the slot of the schedule before the run's, when the period ends
	// with what is known: whoever was sent the report by then already is told that
	// there is nothing newer. Zero: nobody is.
	Previous time.Time
	Recorder Recorder // keeps what was built, before the first mail leaves
	Steps    Steps
}

// SendResult is what a run says about itself; the ledger keeps it.
type SendResult struct {
	Batch     *Batch    `json:"batch,omitempty"`      // what the brake compares the next batch with
	Narrowed  bool      `json:"narrowed,omitempty"`   // a person asked for one recipient: no batch to compare
	Found     *Found    `json:"recipients,omitempty"` // who was who when the run began; nil: who the configuration names
	Delivered Delivered `json:"delivered"`
	Already   []string  `json:"already_delivered,omitempty"` // who has this report already
	Open      []string  `json:"not_delivered,omitempty"`     // who neither has it nor gets it from this run, and why
	Still     []string  `json:"stands_still,omitempty"`      // who was told that there is nothing newer
	Skipped   []string  `json:"skipped,omitempty"`
	Unwritten []string  `json:"unwritten,omitempty"` // interactive pages
	Failed    []string  `json:"failed,omitempty"`    // copies that could not be built
	Held      []string  `json:"held,omitempty"`      // why the run waits for release or drop
	Samples   []string  `json:"samples,omitempty"`
}

// Found is who had which role, as a directory outside said it.
type Found struct {
	Source  string              `json:"source"` // e.g. "entra"
	At      time.Time           `json:"at"`
	Kept    bool                `json:"kept,omitempty"`    // it could not be asked: this is what it said last
	Roles   map[string][]string `json:"roles"`             // addresses, those of the configuration among them
	Emptied []string            `json:"emptied,omitempty"` // roles that somebody had before and nobody has
}

// from says in a line where the recipients come from; "" for the configuration.
func (f *Found) from() string {
	if f == nil {
		return ""
	}
	return f.Source + " " + f.At.UTC().Format(time.RFC3339)
}

// ErrNotAccepted says that some mail is not in a good final state.
var ErrNotAccepted = errors.New("some mail was not accepted")

// Send builds and stores the mails of the run, asks the brake, and delivers. The
// error wraps ErrHeld when the brake holds the batch, ErrNotAccepted when a mail
// did not get through, and is a [Later] when some are to be tried again: then
// Resume goes on.
func (s Sending) Send(ctx context.Context, d Digests) (SendResult, error) {
	out, waiting, err := s.prepare(ctx, d)
	if err != nil {
		return out, err
	}
	if len(out.Held) > 0 {
		return out, fmt.Errorf("run %s: %w: %s", s.Run.ID, ErrHeld, strings.Join(out.Held, "; "))
	}
	result, err := json.Marshal(out)
	if err != nil {
		return out, err
	}
	// Only now, in one step: until the run may deliver it, a mail is left to whoever has it.
	left, err := s.Ledger.Clear(ctx, s.Run, string(result), s.deadline(), waiting...)
	if err != nil {
		return out, err
	}
	for _, del := range left {
		out.Open = append(out.Open, del.Recipient+": is being sent by another run")
	}
	return s.deliver(ctx, out)
}

// Resume delivers what is stored of a run that is cleared: it was stopped, or its
// mails wait for another try, or a person released it.
func (s Sending) Resume(ctx context.Context) (SendResult, error) {
	var out SendResult
	if s.Run.Result != "" {
		if err := json.Unmarshal([]byte(s.Run.Result), &out); err != nil {
			return out, fmt.Errorf("read result of %s: %w", s.Run.ID, err)
		}
	}
	out.Held = nil
	return s.deliver(ctx, out)
}

func (s Sending) deliver(ctx context.Context, out SendResult) (SendResult, error) {
	var err error
	if out.Delivered, err = s.Deliverer.Deliver(ctx, s.Run.ID, FileOf); err != nil {
		return out, err
	}
	if !out.Delivered.AllSent() || len(out.Failed)+len(out.Open) > 0 {
		return out, fmt.Errorf("run %s: %w: %d failed, %d unknown, %d not built, %d open from before; see `tidemark deliveries --run %[1]s`",
			s.Run.ID, ErrNotAccepted, out.Delivered.Failed, out.Delivered.Unknown, len(out.Failed), len(out.Open))
	}
	return out, nil
}

// FileOf names the file of a delivery, for the sender that writes files.
func FileOf(d ledger.Delivery) string {
	return fileName(reports.Role(d.Role), d.Recipient) + "-" + d.Period + fmt.Sprintf("-%d", d.Edition)
}

// prepare builds and stores every copy that is not there yet, and asks the brake. The copies
// of earlier runs that have not left, and that this one is to deliver, are waiting.
func (s Sending) prepare(ctx context.Context, d Digests) (out SendResult, waiting []ledger.Delivery, err error) {
	if _, err := s.Ledger.Recover(ctx, s.Run.ID); err != nil {
		return out, nil, err
	}
	mails, waiting, err := s.build(ctx, d, &out)
	if err != nil {
		return out, nil, err
	}
	if _, err := s.Ledger.Enqueue(ctx, s.Run.ID, mails); err != nil {
		return out, nil, err
	}
	stored, err := s.stored(ctx, d)
	if err != nil {
		return out, nil, err
	}
	adopted := slices.DeleteFunc(slices.Clone(waiting), func(del ledger.Delivery) bool { return del.Run == s.Run.ID }) // the others are stored
	for _, del := range slices.Concat(stored, adopted)[:min(len(stored)+len(adopted), 3)] {
		out.Samples = append(out.Samples, del.Recipient+": "+del.Subject)
	}
	doc, err := Figures(d.Portfolio)
	if err != nil {
		return out, nil, err
	}
	batch := BatchOf(doc, string(d.Role), len(mails)+len(waiting)+len(out.Already)+len(out.Open))
	if d.Ownership != nil && d.Role.Policy().OwnOnly {
		agents := WithRole(d.Recipients, reports.SalesAgent)
		for id := range doc.Background.Customers {
			if d.Ownership.Assigned(id, agents) {
				batch.Assigned++
			}
		}
	}
	out.Batch = &batch
	before, err := s.lastBatch(ctx, d.Role)
	if err != nil {
		return out, nil, err
	}
	out.Narrowed, out.Found = d.Only != "", d.Found
	if before != nil && d.Divert == "" && !out.Narrowed {
		out.Held = s.Brake.Check(batch, *before)
	}
	return out, waiting, nil
}

// stored returns the mails of the run that are in the ledger.
func (s Sending) stored(ctx context.Context, d Digests) ([]ledger.Delivery, error) {
	all, err := s.Ledger.Deliveries(ctx, ledger.Query{Run: s.Run.ID})
	return slices.DeleteFunc(all, func(del ledger.Delivery) bool { return del.Kind != d.kind() && del.Kind != kindStill }), err
}

// build seals the copies of everybody who neither has this report yet nor is being
// sent it; waiting are the copies that have not left, of this run or of one that waits.
func (s Sending) build(ctx context.Context, d Digests, out *SendResult) (mails []ledger.Mail, waiting []ledger.Delivery, err error) {
	newest, err := s.newest(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	recipients, err := d.recipients()
	if err != nil {
		return nil, nil, err
	}
	rec := s.Recorder.Begin(d)
	defer func() { err = errors.Join(err, rec.Abort()) }()
	var wanted []reports.Recipient
	still := map[string]*reports.Still{}
	for _, r := range recipients {
		address := strings.ToLower(r.Address)
		before, has := newest[address]
		step, why, err := s.step(ctx, d, address, before, has)
		if err != nil {
			return nil, nil, err
		}
		switch step {
		case leaveOut:
			out.Skipped = append(out.Skipped, address+": "+why)
		case adopt:
			waiting = append(waiting, before)
		case hasIt:
			out.Already = append(out.Already, address)
		case leaveOpen:
			out.Open = append(out.Open, address+": "+why)
		case tellStill:
			still[address] = &reports.Still{Sent: data.DayOf(before.Updated.UTC()), On: data.DayOf(s.Run.Slot.UTC())}
			out.Still = append(out.Still, address)
			wanted = append(wanted, r)
		case build:
			wanted = append(wanted, r)
		}
	}
	// of is how a recipient's copy is made.
	of := func(r reports.Recipient) Digests {
		mine, address := d, strings.ToLower(r.Address)
		mine.Still = still[address]
		if before, has := newest[address]; has && mine.Still == nil {
			mine.Edition = before.Edition + 1
		}
		return mine
	}
	made := 0
	for r, b := range inOrder(wanted, func(r reports.Recipient) outcome { return outcomeOf(of(r).build(r)) }) {
		address, err := strings.ToLower(r.Address), b.err
		made++
		s.Steps.at("make mails", made, len(wanted))
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			out.Failed = append(out.Failed, fmt.Sprintf("%s: %v", address, err))
			continue
		case b.Skipped != "":
			out.Skipped = append(out.Skipped, address+": "+b.Skipped)
			continue
		}
		if err := rec.Add(ctx, b.Built); err != nil {
			return nil, nil, err
		}
		mails = append(mails, ledger.Mail{EML: b.EML, Delivery: ledger.Delivery{ID: b.MessageID, Kind: of(r).kind(), Role: string(d.Role), Period: of(r).period(),
			Recipient: address, Edition: b.Edition, Deadline: s.deadline(), Subject: b.Digest.Subject, Report: b.Digest.ReportID}})
	}
	out.Unwritten = rec.Unwritten
	return mails, waiting, rec.Finish(ctx)
}

// deadline is until when a mail of the run is tried.
func (s Sending) deadline() time.Time {
	return s.Deliverer.Now().Add(orDefault(s.Within, DefaultDeliverWithin))
}

// step is what a run does about one recipient.
type step int

const (
	build     step = iota // a copy
	tellStill             // a mail that says that there is nothing newer
	adopt                 // the copy of an earlier run, which had not left
	hasIt                 // nothing: the report was sent
	leaveOpen             // nothing, and that is not well
	leaveOut              // nothing, and that is as it should be
)

// step decides by the newest edition that the recipient was to have. Only one that
// was sent counts as there: of any other the run says so, or goes on with it.
func (s Sending) step(ctx context.Context, d Digests, address string, before ledger.Delivery, has bool) (step, string, error) {
	if reason, suppressed, err := s.Ledger.Suppressed(ctx, address); err != nil || suppressed {
		return leaveOut, "suppressed: " + reason, err
	}
	if !has || before.State == ledger.Dropped {
		return build, "", nil
	}
	anew := s.Again != "" || d.Divert != ""
	switch before.State {
	case ledger.Pending:
		if anew && before.Run != s.Run.ID {
			return build, "", nil // which supersedes the other
		}
		by, err := s.Ledger.Run(ctx, before.Run)
		switch {
		case before.Run == s.Run.ID, errors.Is(err, ledger.ErrNotFound), err == nil && by.State != ledger.Running && by.State != ledger.Held:
			return adopt, "", nil
		case err != nil:
			return 0, "", err
		}
		return leaveOpen, "waits in run " + before.Run + "; see `tidemark runs`", nil
	case ledger.Sending, ledger.Dot:
		return leaveOpen, "is being sent by run " + before.Run, nil
	}
	switch {
	case anew:
		return build, "", nil
	case before.State == ledger.GivenUp:
		return leaveOut, before.Reply, nil
	case before.State == ledger.Unknown:
		return leaveOpen, fmt.Sprintf("%s: %s; decide with `tidemark deliveries resend %s --why REASON`, mark-sent or give-up", before.State, before.Reply, before.ID), nil
	case before.State != ledger.Sent:
		return leaveOpen, fmt.Sprintf("%s: %s; decide with `tidemark deliveries resend %s --why REASON` or give-up", before.State, before.Reply, before.ID), nil
	}
	return s.sent(ctx, before)
}

// sent is what the run does about somebody who was sent the report.
func (s Sending) sent(ctx context.Context, before ledger.Delivery) (step, string, error) {
	if s.Previous.IsZero() {
		return hasIt, "", nil
	}
	by, err := s.Ledger.Run(ctx, before.Run)
	if err != nil || by.Slot.After(s.Previous) {
		return hasIt, "", err
	}
	return tellStill, "", nil
}

// newest returns the delivery of the newest edition of this report to each person.
func (s Sending) newest(ctx context.Context, d Digests) (map[string]ledger.Delivery, error) {
	all, err := s.Ledger.Deliveries(ctx, ledger.Query{Kind: d.kind(), Role: string(d.Role), Period: d.period(), Limit: 1 << 20})
	if err != nil {
		return nil, err
	}
	newest := map[string]ledger.Delivery{}
	for _, del := range all {
		if before, found := newest[del.Recipient]; !found || del.Edition > before.Edition {
			newest[del.Recipient] = del
		}
	}
	return newest, nil
}

// lastBatch is the last batch of the role that was sent, by whatever job; nil
// for none.
func (s Sending) lastBatch(ctx context.Context, role reports.Role) (*Batch, error) {
	runs, err := s.Ledger.SentRuns(ctx, string(role))
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		var out SendResult
		if json.Unmarshal([]byte(r.Result), &out) == nil && out.Batch != nil && !out.Narrowed && out.Batch.Role == string(role) && out.Delivered.Sent > 0 {
			return out.Batch, nil
		}
	}
	return nil, nil
}
