package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	netmail "net/mail"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
)

// Recorder keeps in the archive what is mailed: the sealed bytes, the numbers
// and texts, and everything they were made from, so that Reproduce can make them
// again. Nothing leaves before it is recorded.
type Recorder struct {
	Archive    *archive.Archive // nil: nothing is recorded
	Run        archive.RunInfo
	Config     []byte     // the configuration file, nil for none; it holds no secret
	SettleDays int        // of the portfolio's query
	Slot       *time.Time // nominal time of the scheduled run
	Producer   string     // program and version
}

// request is what a digest was made from beside the archive. It is stored as
// JSON, for ever: fields may come, none may go or change.
type request struct {
	SettleDays int               `json:"settle_days"`
	HideMoney  bool              `json:"hide_money"`
	Recipient  reports.Recipient `json:"recipient"`
	Partner    reports.Partner   `json:"partner"`
	From       netmail.Address   `json:"from"`
	ReplyTo    *netmail.Address  `json:"reply_to"`
	Date       time.Time         `json:"date"`
	Divert     string            `json:"divert"`
	Charts     bool              `json:"charts"` // the mail has pictures

	PageBase     string           `json:"page_base,omitempty"`
	Mailed       []reports.Mailed `json:"mailed,omitempty"`        // what a global admin was told of the others
	Outcome      *reports.Outcome `json:"outcome,omitempty"`       // and of earlier scores
	Covers       []reports.Cover  `json:"covers,omitempty"`        // for whom the recipient stood in
	Still        *reports.Still   `json:"still,omitempty"`         // there was nothing newer than what was sent
	PreviousSent *data.Day        `json:"previous_sent,omitempty"` // when the report before left that this one compares with

	RecipientsFrom string `json:"recipients_from,omitempty"` // e.g. "entra 2026-11-16T07:00:00Z"; empty: the configuration

	Answers *recordedAnswers `json:"answers,omitempty"` // to earlier reports, and how this one can be answered
}

// Recording is the reports of one run. It must end with Finish or Abort.
type Recording struct {
	Recorder
	digests Digests
	run     *archive.Run // begun with the first report
	inputs  struct{ config, ownership, recipients *string }
	rows    []data.Report

	Unwritten []string // interactive pages that could not be written, and why
}

// Begin starts to record the reports that d builds.
func (k Recorder) Begin(d Digests) *Recording {
	return &Recording{Recorder: k, digests: d}
}

// start is done for the first report only: a run that builds none leaves no
// trace.
func (r *Recording) start(ctx context.Context) (err error) {
	if r.run, err = r.Archive.Begin(ctx, r.Run); err != nil {
		return err
	}
	if err := r.recordScores(ctx); err != nil {
		return fmt.Errorf("record scores: %w", err)
	}
	recipients, err := json.Marshal(r.digests.Recipients)
	if err != nil {
		return err
	}
	var ownership []byte
	if r.digests.Ownership != nil {
		ownership = r.digests.Ownership.CSV()
	}
	for _, in := range []struct {
		content []byte
		sum     **string
	}{{r.Config, &r.inputs.config}, {ownership, &r.inputs.ownership}, {recipients, &r.inputs.recipients}} {
		if in.content == nil {
			continue
		}
		sum, err := r.run.Keep(ctx, archive.Inputs, in.content)
		if err != nil {
			return err
		}
		*in.sum = &sum
	}
	return nil
}

// Add records one built report.
func (r *Recording) Add(ctx context.Context, b Built) error {
	if r.Archive == nil {
		return nil
	}
	if r.run == nil {
		if err := r.start(ctx); err != nil {
			return fmt.Errorf("record report for %s: %w", b.Recipient.Address, err)
		}
	}
	row, err := r.row(b)
	if pages := r.digests.Pages.Folder; err == nil && pages != "" {
		if err := WriteFile(filepath.Join(pages, reports.PageName(b.Digest.ReportID)), b.Rendered.Page); err != nil { // no reason to mail nobody
			r.Unwritten = append(r.Unwritten, fmt.Sprintf("the page for %s is not written: %v", b.Recipient.Address, err))
		}
	}
	if err == nil {
		row.EMLSHA256, err = r.run.Keep(ctx, archive.Mails, b.EML)
	}
	if err != nil {
		return fmt.Errorf("record report for %s: %w", b.Recipient.Address, err)
	}
	if r.rows = append(r.rows, row); len(r.rows) == rowsHeld {
		return r.commit(ctx)
	}
	return nil
}

// rowsHeld is how many reports are held before they are committed: each has a
// hundred kilobytes or more.
const rowsHeld = 100

func (r *Recording) commit(ctx context.Context) error {
	_, err := r.run.CommitReports(ctx, data.DayOf(r.digests.Date), r.rows)
	if err != nil {
		return fmt.Errorf("record reports: %w", err)
	}
	r.rows = r.rows[:0]
	return nil
}

// row is the archive's row of a report, but for the hash of its bytes.
func (r *Recording) row(b Built) (data.Report, error) {
	d := r.digests
	p := d.Portfolio.Inputs.Period
	row := data.Report{Day: data.DayOf(d.Date), ReportID: b.Digest.ReportID, MessageID: b.MessageID, Role: string(d.Role),
		Recipient: strings.ToLower(b.Recipient.Address), Edition: int32(b.Edition), Job: data.Optional(r.Run.Job),
		PeriodFrom: p.From, PeriodTo: p.To, KnownAt: b.Document.KnownAt.UTC().Format(time.RFC3339Nano), Seal: d.Portfolio.Seal,
		Model: data.Optional(d.Portfolio.Model), Config: r.inputs.config, Ownership: r.inputs.ownership, Recipients: r.inputs.recipients, Producer: r.Producer}
	if r.Slot != nil {
		row.Slot = new(r.Slot.UTC().Format(time.RFC3339))
	}
	req := request{r.SettleDays, d.HideMoney, b.Recipient, d.Partner, d.From, d.ReplyTo, d.Date, d.Divert, d.Charts != nil, d.Pages.Base, d.Mailed, d.Outcome, d.Covers[strings.ToLower(b.Recipient.Address)], b.Still, nil, d.Found.from(), d.record(b)}
	if last, found := d.Last[strings.ToLower(b.Recipient.Address)]; found {
		row.Previous, req.PreviousSent = &last.ReportID, &last.Sent
	}
	for _, field := range []struct {
		value any
		text  *string
	}{
		{slices.Sorted(maps.Keys(b.Document.Background.Customers)), &row.Scope},
		{d.Portfolio.Versions, &row.Versions},
		{req, &row.Request},
		{b.Document, &row.Document},
		{b.Digest, &row.Digest},
	} {
		text, err := json.Marshal(field.value)
		if err != nil {
			return row, err
		}
		*field.text = string(text)
	}
	return row, nil
}

// Finish commits the reports.
func (r *Recording) Finish(ctx context.Context) error {
	if r.run == nil {
		return nil
	}
	var err error
	if len(r.rows) > 0 {
		err = r.commit(ctx)
	}
	if err == nil {
		if _, err = r.run.Finish(ctx); err != nil {
			err = fmt.Errorf("record reports: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, r.run.Abort())
	}
	return nil
}

// Abort gives up what Finish has not committed; after Finish it does nothing.
func (r *Recording) Abort() error {
	if r.run == nil {
		return nil
	}
	return r.run.Abort()
}
