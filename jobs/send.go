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
	Latest    bool          // the run is of the schedule, and its period ends with what is known: whoever has the report is told that there is nothing newer
	Recorder  Recorder      // keeps what was built, before the first mail leaves
}

// SendResult is what a run says about itself; the ledger keeps it.
type SendResult struct {
	Batch     *Batch    `json:"batch,omitempty"`    // what the brake compares the next batch with
	Narrowed  bool      `json:"narrowed,omitempty"` // a person asked for one recipient: no batch to compare
	Delivered Delivered `json:"delivered"`
	Already   []string  `json:"already_delivered,omitempty"` // who has this report already
	Still     []string  `json:"stands_still,omitempty"`      // who was told that there is nothing newer
	Skipped   []string  `json:"skipped,omitempty"`
	Unwritten []string  `json:"unwritten,omitempty"` // interactive pages
	Failed    []string  `json:"failed,omitempty"`    // copies that could not be built
	Held      []string  `json:"held,omitempty"`      // why the run waits for release or drop
	Samples   []string  `json:"samples,omitempty"`
}

// ErrNotAccepted says that some mail is not in a good final state.
var ErrNotAccepted = errors.New("some mail was not accepted")

// Send runs the digest. A run that has stored mails already (it was released, or
// it died) goes on with delivering them. The error wraps ErrHeld when the brake
// holds the batch and ErrNotAccepted when a mail did not get through.
func (s Sending) Send(ctx context.Context, d Digests) (SendResult, error) {
	var out SendResult
	if s.Run.Result != "" {
		if err := json.Unmarshal([]byte(s.Run.Result), &out); err != nil {
			return out, fmt.Errorf("read result of %s: %w", s.Run.ID, err)
		}
	}
	// A result is written when a run was held or has ended: what goes on after
	// that was released by a person.
	if s.Run.Result == "" {
		if err := s.prepare(ctx, d, &out); err != nil {
			return out, err
		}
		if len(out.Held) > 0 {
			return out, fmt.Errorf("run %s: %w: %s", s.Run.ID, ErrHeld, strings.Join(out.Held, "; "))
		}
	}
	var err error
	out.Held = nil
	if out.Delivered, err = s.Deliverer.Deliver(ctx, s.Run.ID, FileOf); err != nil {
		return out, err
	}
	if !out.Delivered.AllSent() || len(out.Failed) > 0 {
		return out, fmt.Errorf("run %s: %w: %d failed, %d unknown, %d not built; see `tidemark deliveries --run %s`",
			s.Run.ID, ErrNotAccepted, out.Delivered.Failed, out.Delivered.Unknown, len(out.Failed), s.Run.ID)
	}
	return out, nil
}

// FileOf names the file of a delivery, for the sender that writes files.
func FileOf(d ledger.Delivery) string {
	return fileName(reports.Role(d.Role), d.Recipient) + "-" + d.Period + fmt.Sprintf("-%d", d.Edition)
}

// prepare builds and stores every copy, unless an attempt that died has done so,
// and asks the brake.
func (s Sending) prepare(ctx context.Context, d Digests, out *SendResult) error {
	stored, err := s.stored(ctx, d)
	if err != nil {
		return err
	}
	for _, del := range stored {
		if del.State.Final() {
			out.Already = append(out.Already, del.Recipient)
		}
	}
	recipients := len(stored)
	if len(stored) == 0 || s.Again != "" {
		mails, err := s.build(ctx, d, out)
		if err != nil {
			return err
		}
		if _, err := s.Ledger.Enqueue(ctx, s.Run.ID, mails); err != nil {
			return err
		}
		if stored, err = s.stored(ctx, d); err != nil {
			return err
		}
		recipients = len(stored) + len(out.Already)
	}
	for _, del := range stored[:min(len(stored), 3)] {
		out.Samples = append(out.Samples, del.Recipient+": "+del.Subject)
	}
	doc, err := Figures(d.Portfolio)
	if err != nil {
		return err
	}
	batch := BatchOf(doc, string(d.Role), recipients)
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
		return err
	}
	out.Narrowed = d.Only != ""
	if before != nil && d.Divert == "" && !out.Narrowed {
		out.Held = s.Brake.Check(batch, *before)
	}
	return nil
}

// stored returns the mails of the run that are in the ledger.
func (s Sending) stored(ctx context.Context, d Digests) ([]ledger.Delivery, error) {
	all, err := s.Ledger.Deliveries(ctx, ledger.Query{Run: s.Run.ID})
	return slices.DeleteFunc(all, func(del ledger.Delivery) bool { return del.Kind != d.kind() && del.Kind != kindStill }), err
}

// build seals the copies of everybody who does not have this report yet.
func (s Sending) build(ctx context.Context, d Digests, out *SendResult) (mails []ledger.Mail, err error) {
	within := s.Within
	if within == 0 {
		within = DefaultDeliverWithin
	}
	newest, err := s.newest(ctx, d)
	if err != nil {
		return nil, err
	}
	recipients, err := d.recipients()
	if err != nil {
		return nil, err
	}
	rec := s.Recorder.Begin(d)
	defer func() { err = errors.Join(err, rec.Abort()) }()
	var wanted []reports.Recipient
	still := map[string]*reports.Still{}
	for _, r := range recipients {
		address := strings.ToLower(r.Address)
		before, has := newest[address]
		switch {
		case !has || s.Again != "" || d.Divert != "":
		case s.Latest && before.State == ledger.Sent && before.Updated.Before(s.Run.Slot):
			still[address] = &reports.Still{Sent: data.DayOf(before.Updated.UTC()), On: data.DayOf(s.Run.Slot.UTC())}
			out.Still = append(out.Still, address)
		default:
			out.Already = append(out.Already, address)
			continue
		}
		wanted = append(wanted, r)
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
	for r, b := range inOrder(wanted, func(r reports.Recipient) outcome { return outcomeOf(of(r).build(r)) }) {
		address, err := strings.ToLower(r.Address), b.err
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			out.Failed = append(out.Failed, fmt.Sprintf("%s: %v", address, err))
			continue
		case b.Skipped != "":
			out.Skipped = append(out.Skipped, address+": "+b.Skipped)
			continue
		}
		if err := rec.Add(ctx, b.Built); err != nil {
			return nil, err
		}
		mails = append(mails, ledger.Mail{EML: b.EML, Delivery: ledger.Delivery{ID: b.MessageID, Kind: of(r).kind(), Role: string(d.Role), Period: of(r).period(),
			Recipient: address, Edition: b.Edition, Deadline: s.Deliverer.Now().Add(within), Subject: b.Digest.Subject, Report: b.Digest.ReportID}})
	}
	out.Unwritten = rec.Unwritten
	return mails, rec.Finish(ctx)
}

// newest returns the delivery of the newest edition of this report to each person,
// dropped ones aside.
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
	runs, err := s.Ledger.Runs(ctx, "", 1000)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.State != ledger.Done && r.State != ledger.Warned {
			continue
		}
		var out SendResult
		if json.Unmarshal([]byte(r.Result), &out) == nil && out.Batch != nil && !out.Narrowed && out.Batch.Role == string(role) && out.Delivered.Sent > 0 {
			return out.Batch, nil
		}
	}
	return nil, nil
}
