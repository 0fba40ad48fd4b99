package jobs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
)

// Feedback takes what recipients answer by the links of their mails.
type Feedback struct {
	Ledger  *ledger.Ledger
	Archive *archive.Archive
	Key     []byte // that the links were signed with
}

// FeedbackOutcome is what became of an answer. All but FeedbackTaken change nothing.
type FeedbackOutcome string

// The outcomes.
const (
	FeedbackTaken    FeedbackOutcome = "taken"
	FeedbackRepeated FeedbackOutcome = "repeated" // it was taken before
	FeedbackForged   FeedbackOutcome = "forged"   // the token is none of ours
	FeedbackForeign  FeedbackOutcome = "foreign"  // somebody else than the recipient answers
	FeedbackExpired  FeedbackOutcome = "expired"  // the report is too old
	FeedbackUnknown  FeedbackOutcome = "unknown report"
	FeedbackDamaged  FeedbackOutcome = "damaged" // on the way: there is no whole token in it
)

// AnswerWithin is how long after a report left it can be answered.
const AnswerWithin = 90 * 24 * time.Hour

// Take takes an answer: token is what [FindToken] finds, from the message's From header,
// at when it was read. What is not the recipient's own answer to a report that reached
// them changes nothing; why is no error.
func (f Feedback) Take(ctx context.Context, token, from string, at time.Time) (FeedbackOutcome, error) {
	t, ok := parseToken(token)
	if !ok {
		return FeedbackForged, nil
	}
	d, err := f.answered(ctx, t.report)
	if err != nil || d == nil {
		return FeedbackUnknown, err
	}
	if !isFrom(from, d.Recipient) {
		return FeedbackForeign, nil
	}
	if at.Sub(d.Updated) > AnswerWithin {
		return FeedbackExpired, nil
	}
	row, err := recordedMail(ctx, f.Archive, *d)
	if errors.Is(err, ErrNoReport) {
		return FeedbackUnknown, nil
	} else if err != nil {
		return "", fmt.Errorf("take feedback on report %s: %w", t.report, err)
	}
	customer, stood, err := answeredAbout(row, t)
	if err != nil {
		return "", fmt.Errorf("take feedback on report %s: %w", t.report, err)
	}
	want := keyOfReport(f.Key, t.report, d.Recipient).mac(t.report, d.Recipient, customer, t.action)
	if !hmac.Equal(t.mac[:], want[:]) || !stood.AtRisk() {
		return FeedbackForged, nil
	}
	return f.store(ctx, token, t, *d, customer, stood, at)
}

func (f Feedback) store(ctx context.Context, token string, t answerToken, d ledger.Delivery, customer data.CustomerID, stood reports.Stood, at time.Time) (FeedbackOutcome, error) {
	text, err := json.Marshal(stood)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(token))
	row := ledger.Feedback{ID: hex.EncodeToString(sum[:16]), At: at.UTC(), Recipient: d.Recipient, Customer: string(customer), Action: string(t.action), Report: t.report, Stood: string(text)}
	if t.action == reports.Snooze {
		row.Until = new((data.DayOf(at.UTC()) + reports.SnoozeDays).Time())
	}
	fresh, err := f.Ledger.TakeFeedback(ctx, row)
	switch {
	case err != nil:
		return "", err
	case !fresh:
		return FeedbackRepeated, nil
	}
	return FeedbackTaken, nil
}

// answered is the delivery of a report to be answered, nil for one that left to nobody. A
// mail of unknown fate, or said to have bounced, may have arrived: the answer shows it.
func (f Feedback) answered(ctx context.Context, report string) (*ledger.Delivery, error) {
	all, err := f.Ledger.Deliveries(ctx, ledger.Query{Kind: kindDigest, Report: report, Limit: 100})
	if err != nil {
		return nil, err
	}
	for _, d := range all { // the newest edition first
		switch d.State {
		case ledger.Sent, ledger.Unknown, ledger.Bounced:
			return &d, nil
		}
	}
	return nil, nil
}

// isFrom reports whether a From header names one address, and that is the recipient's.
// What that person is called there, and in which character set, does not matter.
func isFrom(header, recipient string) bool {
	parser := netmail.AddressParser{WordDecoder: anyCharset()}
	list, err := parser.ParseList(strings.ToValidUTF8(header, "?"))
	return err == nil && len(list) == 1 && mail.Key(list[0].Address) == mail.Key(recipient)
}

// anyCharset decodes encoded words, of which only what is ASCII matters: it is the same in
// every character set that mail is written in.
func anyCharset() *mime.WordDecoder {
	return &mime.WordDecoder{CharsetReader: func(_ string, in io.Reader) (io.Reader, error) { return in, nil }}
}

// recordedMail is what the archive has of a mail that left.
func recordedMail(ctx context.Context, arc *archive.Archive, d ledger.Delivery) (data.Report, error) {
	for row, err := range recordedRows(ctx, arc, map[string]ledger.Delivery{d.ID: d}) {
		if err != nil || row.ReportID == d.Report {
			return row, err
		}
	}
	return data.Report{}, ErrNoReport
}

// answeredAbout is the customer that a token means, and how the report said it stands.
func answeredAbout(row data.Report, t answerToken) (id data.CustomerID, stood reports.Stood, err error) {
	var scope []data.CustomerID
	if err := json.Unmarshal([]byte(row.Scope), &scope); err != nil {
		return "", stood, fmt.Errorf("read scope of report %s: %w", row.ReportID, err)
	}
	if t.customer >= len(scope) {
		return "", stood, nil
	}
	stated, err := statedRisks(row)
	if err != nil {
		return "", stood, err
	}
	return scope[t.customer], reports.StandingOf(stated, scope[t.customer]), nil
}

// answersHeld bounds how many answers are looked at for one mail run.
const answersHeld = 200_000

// ReadAnswers returns the answers of the last year for the reports of a role: by
// recipient, the newest first, for those who have calls; as questions for who assigns
// customers.
func ReadAnswers(ctx context.Context, l *ledger.Ledger, role reports.Role, on data.Day) (given map[string][]reports.Feedback, questions []reports.Question, err error) {
	if role != reports.SalesAgent && role != reports.AdminAgent {
		return nil, nil, nil
	}
	rows, err := l.Feedback(ctx, (on - 366).Time(), answersHeld)
	if err != nil {
		return nil, nil, err
	}
	given = map[string][]reports.Feedback{}
	seen := map[[2]string]bool{}
	for _, r := range rows {
		f := reports.Feedback{ID: r.ID, Customer: data.CustomerID(r.Customer), Action: reports.Action(r.Action), On: data.DayOf(r.At)}
		if err := json.Unmarshal([]byte(r.Stood), &f.Stood); err != nil {
			return nil, nil, fmt.Errorf("read feedback %s: %w", r.ID, err)
		}
		if r.Until != nil {
			f.Until = new(data.DayOf(*r.Until))
		}
		about := [2]string{r.Recipient, r.Customer}
		if f.On > on || seen[about] { // a newer answer stands
			continue
		}
		seen[about] = true
		given[r.Recipient] = append(given[r.Recipient], f)
		if f.Action == reports.NotMine {
			questions = append(questions, reports.Question{Customer: f.Customer, By: r.Recipient, On: f.On})
		}
	}
	if role == reports.AdminAgent {
		slices.Reverse(questions) // what was asked first first
		return nil, questions, nil
	}
	return given, nil, nil
}
