package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	netmail "net/mail"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/reports"
	"tidemark/reports/chart/raster"
	"tidemark/reports/mail"
)

// ErrHeld says that a digest was not built because something about it needs a
// person first. Nobody is mailed.
var ErrHeld = errors.New("held")

// Digests builds the digest of every recipient of one role.
type Digests struct {
	Portfolio  *reports.Portfolio
	Role       reports.Role
	Recipients []reports.Recipient // all of them; those of the role are taken
	Found      *Found              // where they come from; nil: all from the configuration
	Only       string              // one address of the role, empty for all
	Ownership  *reports.Ownership  // who owns which customer; required for sales_agent
	Partner    reports.Partner
	HideMoney  bool // gives the role the view without money

	From    netmail.Address
	ReplyTo *netmail.Address
	Date    time.Time        // of the mails
	Edition int              // raised by a resend only
	Pages   Pages            // where the interactive pages go
	Mailed  []reports.Mailed // for the global admins: who was mailed what in the period
	Outcome *reports.Outcome // for the global admins: what became of earlier scores
	// Last is what each address was sent before of this role; empty: nothing that
	// is known.
	Last    map[string]reports.LastMail
	Answers *Answers                   // nil: nobody answered, and nobody can
	Covers  map[string][]reports.Cover // by address: for whom that person stands in
	Still   *reports.Still             // when set, there is nothing newer than what was sent
	// Without is what all mails go without, and why: it is told to the operators.
	Without []string
	Charts  *raster.Renderer // draws the charts of the mails; nil: they have none
	Divert  string           // when set, mails are made for this address, with the real recipient in subject and banner
}

// Pages is where the interactive pages go.
type Pages struct {
	Folder string // that they are written to; empty: they are not
	Base   string // address of the folder; empty: mails do not link to them
}

// Built is one recipient's digest, or why there is none.
type Built struct {
	Recipient reports.Recipient
	Name      string // base name of its files
	Skipped   string // why the recipient gets no mail; empty: there is one

	Document  *reports.Document // the numbers, in the recipient's scope
	Digest    reports.Digest
	Rendered  reports.Rendered
	MessageID string // without brackets
	Edition   int
	Still     *reports.Still // as Digests has it
	EML       []byte         // the sealed message

	answers *reports.Answers // that the digest was built from
}

// Build yields the digest of one recipient after the other. An error concerns
// one recipient only; the others still get theirs. What holds the whole role is
// a single error that wraps ErrHeld.
func (d Digests) Build(ctx context.Context) iter.Seq2[Built, error] {
	return func(yield func(Built, error) bool) {
		recipients, err := d.recipients()
		if err != nil {
			yield(Built{}, err)
			return
		}
		for r, b := range inOrder(recipients, func(r reports.Recipient) outcome { return outcomeOf(d.build(r)) }) {
			if err := ctx.Err(); err != nil {
				yield(Built{}, err)
				return
			}
			if b.err != nil {
				b.err = fmt.Errorf("digest for %s: %w", r.Address, b.err)
			}
			if !yield(b.Built, b.err) {
				return
			}
		}
	}
}

// outcome is a built digest or why there is none.
type outcome struct {
	Built
	err error
}

func outcomeOf(b Built, err error) outcome { return outcome{b, err} }

// inOrder does something to each item, as many at a time as there are
// processors, and yields the results in the order of the items. When it returns
// nothing goes on any more.
func inOrder[T, R any](items []T, do func(T) R) iter.Seq2[T, R] {
	return func(yield func(T, R) bool) {
		var running []chan R
		next := 0
		start := func() {
			if next == len(items) {
				return
			}
			done, item := make(chan R, 1), items[next]
			next++
			running = append(running, done)
			go func() { done <- do(item) }()
		}
		defer func() {
			for _, done := range running {
				<-done
			}
		}()
		for range runtime.GOMAXPROCS(0) {
			start()
		}
		for i := 0; len(running) > 0; i++ {
			result := <-running[0]
			running = running[1:]
			start()
			if !yield(items[i], result) {
				return
			}
		}
	}
}

// recipients returns the role's recipients, or why nobody can be mailed.
func (d Digests) recipients() ([]reports.Recipient, error) {
	if d.Role.Policy().OwnOnly && d.Ownership == nil {
		return nil, fmt.Errorf("digest %s: %w: there is no ownership, so nobody may see a customer; set ownership.file, `tidemark owners template` writes one to start from", d.Role, ErrHeld)
	}
	of := WithRole(d.Recipients, d.Role)
	if len(of) == 0 {
		return nil, fmt.Errorf("digest %s: %w: the role has no recipient; `tidemark recipients` says who has which role and why; add one under recipients, or in Microsoft Entra", d.Role, ErrHeld)
	}
	if d.Only == "" {
		return of, nil
	}
	for _, r := range of {
		if strings.EqualFold(r.Address, d.Only) {
			return []reports.Recipient{r}, nil
		}
	}
	return nil, fmt.Errorf("digest %s: %s is not a recipient of the role", d.Role, d.Only)
}

// WithRole returns the recipients of a role.
func WithRole(all []reports.Recipient, role reports.Role) []reports.Recipient {
	var of []reports.Recipient
	for _, r := range all {
		if r.Role == role {
			of = append(of, r)
		}
	}
	return of
}

func (d Digests) build(r reports.Recipient) (Built, error) {
	b := Built{Recipient: r, Name: fileName(d.Role, r.Address), Edition: d.Edition, Still: d.Still}
	policy, scope := d.Role.Policy(), reports.Everyone()
	if policy.OwnOnly {
		scope = d.Ownership.Scope(r.Address)
	}
	if d.HideMoney {
		policy = policy.HideMoney()
	}
	doc, err := d.Portfolio.Document(memory.DefaultAllocator, scope, policy.ShowMoney)
	if err != nil {
		return b, err
	}
	b.Document = doc
	if policy.OwnOnly && len(doc.Background.Customers) == 0 {
		b.Skipped = "owns no customer"
		return b, nil
	}
	in := reports.BuildInput{Document: doc, Role: d.Role, Recipient: r, Partner: d.Partner,
		Ownership: d.Ownership, Agents: WithRole(d.Recipients, reports.SalesAgent), Mailed: d.Mailed, Outcome: d.Outcome, PageBase: d.Pages.Base}
	in.Still, in.Covers = d.Still, d.Covers[strings.ToLower(r.Address)]
	if last, found := d.Last[strings.ToLower(r.Address)]; found {
		in.Last = &last
	}
	in.Answers = d.answers(r, doc, in.Last)
	b.answers = in.Answers
	if b.Digest, err = reports.Build(in); err != nil {
		return b, err
	}
	if d.Divert != "" {
		b.Digest.Banner = fmt.Sprintf("Diverted by mail.divert: this mail was made for %s and did not reach them.", r.Address)
		b.Digest.Subject = fmt.Sprintf("[for %s] %s", r.Address, b.Digest.Subject)
	}
	if b.Rendered, err = reports.Render(b.Digest, d.Charts); err != nil {
		return b, err
	}
	if b.MessageID, err = d.messageID(r); err != nil {
		return b, err
	}
	b.EML, err = d.seal(b)
	return b, err
}

// seal makes the message. Its id is a hash of what the mail is about, so the
// same report to the same person has the same id however often it is built.
func (d Digests) seal(b Built) ([]byte, error) {
	p := d.Portfolio.Inputs.Period
	answers := cmp.Or(d.ReplyTo, &d.From)
	to := netmail.Address{Name: b.Recipient.Name, Address: b.Recipient.Address}
	var attached []mail.Part
	if len(b.Digest.Attachment.Rows) > 0 {
		attached = []mail.Part{{Name: string(d.Role) + "-" + p.To.String() + ".csv", ContentType: "text/csv; charset=utf-8", Data: b.Rendered.CSV}}
	}
	if d.Divert != "" {
		to = netmail.Address{Address: d.Divert}
	}
	return mail.Message{
		From: d.From, To: to, ReplyTo: d.ReplyTo,
		Subject: b.Digest.Subject, Text: b.Rendered.Text, HTML: b.Rendered.HTML, Images: images(b.Rendered),
		Attachments: attached, MessageID: b.MessageID, Date: d.Date, ReportID: b.Digest.ReportID, Unsubscribe: answers.Address,
	}.Seal()
}

func images(r reports.Rendered) []mail.Part {
	var parts []mail.Part
	for _, img := range r.Images {
		parts = append(parts, mail.Part{Name: img.ID, ContentType: "image/png", Data: img.PNG})
	}
	return parts
}

// messageID is the same for the same report to the same person.
func (d Digests) messageID(r reports.Recipient) (string, error) {
	_, domain, _ := strings.Cut(d.From.Address, "@")
	return mail.NewMessageID(domain, d.kind(), string(d.Role), d.period(), strings.ToLower(r.Address), strconv.Itoa(d.Edition))
}

// kind keeps diverted copies apart from the mails that people get.
func (d Digests) kind() string {
	switch {
	case d.Divert != "":
		return kindDiverted
	case d.Still != nil:
		return kindStill
	}
	return kindDigest
}

const (
	kindDigest   = "digest"
	kindDiverted = "digest-diverted"
	kindStill    = "standstill"
)

// period is the part of the delivery key that names the days.
func (d Digests) period() string {
	p := d.Portfolio.Inputs.Period
	key := p.From.String() + ".." + p.To.String()
	if d.Still != nil {
		key += "@" + d.Still.On.String()
	}
	return key
}

// fileName is the base name of a recipient's files: readable, safe whatever the
// address holds, and another for every address. One that loses a character on
// the way gets a hash behind it.
func fileName(role reports.Role, address string) string {
	address = strings.ToLower(address)
	slug := regexp.MustCompile(`[^a-z0-9.]+`).ReplaceAllString(address, "-")
	name := string(role) + "-" + strings.Trim(slug, "-.")
	if !regexp.MustCompile(`^[a-z0-9.]+@[a-z0-9.]+$`).MatchString(address) || strings.Trim(slug, "-.") != slug {
		sum := sha256.Sum256([]byte(address))
		name += "-" + hex.EncodeToString(sum[:4])
	}
	return name
}
