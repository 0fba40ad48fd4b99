// Package mail composes one message for one recipient and seals it: the sealed
// bytes are what is stored, sent and later verified, and equal input gives
// equal bytes. It does not know what a report is.
//
//  1. [NewMessageID] derives an id from what the message is about;
//  2. [Message.Seal] checks every header value and returns the RFC 5322 bytes;
//  3. a [Sender] hands the bytes on; [Files] writes them to a folder.
package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// Message is one mail to one recipient. Seal reads it and changes nothing.
type Message struct {
	From    netmail.Address // e.g. {"Polder Cloud", "usage@partner.example"}
	To      netmail.Address
	ReplyTo *netmail.Address // nil: answers go to From

	Subject     string // one line
	Text        string // the plain-text body, required
	HTML        string // the HTML body, required
	Images      []Part // that the HTML body shows as cid:NAME, each once
	Attachments []Part

	MessageID   string    // without angle brackets, see NewMessageID
	Date        time.Time // written in its own zone
	ReportID    string    // header X-Report-Id; letters, digits, "-" and "."
	Unsubscribe string    // an address for List-Unsubscribe (mailto); empty: no such header
}

// Part is one attachment.
type Part struct {
	Name        string // ASCII, e.g. "calls-2026-11-12.csv"
	ContentType string // e.g. "text/csv; charset=utf-8"
	Data        []byte
}

// NewMessageID returns the message id of what the parts say: the same parts give
// the same id, and different lists of parts give different ids. The id has no
// angle brackets. A domain that is not one is an error.
func NewMessageID(domain string, parts ...string) (string, error) {
	domain, err := ASCIIDomain(domain)
	if err != nil {
		return "", fmt.Errorf("message id: %w", err)
	}
	return digest(parts...)[:26] + "@" + domain, nil
}

// digest returns 52 characters that stand for a list of texts. Each text is
// preceded by its length, so that moving a character from one to the next
// changes the result.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(fmt.Appendf(nil, "%d:%s,", len(p), p))
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)))
}

// Seal returns the message as RFC 5322 bytes. Equal messages give equal bytes.
// A header value with a line break or another control character, an address
// that SMTP cannot carry, and a missing part are errors.
func (m Message) Seal() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	msg, err := m.compose()
	if err != nil {
		return nil, fmt.Errorf("compose mail to %s: %w", m.To.Address, err)
	}
	var raw bytes.Buffer
	if _, err := msg.WriteTo(&raw); err != nil {
		return nil, fmt.Errorf("compose mail to %s: %w", m.To.Address, err)
	}
	sealed, err := fixBoundaries(raw.Bytes(), m.ReportID)
	if err != nil {
		return nil, fmt.Errorf("seal mail to %s: %w", m.To.Address, err)
	}
	return sealed, nil
}

func (m Message) check() error {
	for _, h := range []struct{ name, value string }{
		{"subject", m.Subject}, {"sender name", m.From.Name}, {"recipient name", m.To.Name},
		{"message id", m.MessageID}, {"report id", m.ReportID}, {"unsubscribe address", m.Unsubscribe},
	} {
		if hasControl(h.value) {
			return fmt.Errorf("%s %q: a header cannot hold control characters", h.name, h.value)
		}
	}
	if m.ReplyTo != nil && hasControl(m.ReplyTo.Name) {
		return fmt.Errorf("reply-to name %q: a header cannot hold control characters", m.ReplyTo.Name)
	}
	if strings.Trim(m.ReportID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" || m.ReportID == "" {
		return fmt.Errorf("report id %q: want letters, digits, hyphens and points", m.ReportID)
	}
	if at := strings.IndexByte(m.MessageID, '@'); at < 1 || strings.ContainsAny(m.MessageID, "<> \t") {
		return fmt.Errorf("message id %q: want left@right without brackets", m.MessageID)
	}
	if m.Date.IsZero() || m.Text == "" || m.HTML == "" || m.Subject == "" {
		return errors.New("a mail needs a date, a subject, a text and an HTML body")
	}
	for _, p := range append(m.Images[:len(m.Images):len(m.Images)], m.Attachments...) {
		if err := p.check(); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, p := range m.Images {
		if !strings.Contains(m.HTML, `"cid:`+p.Name+`"`) || seen[p.Name] {
			return fmt.Errorf("image %s: the HTML body has to show it, once", p.Name)
		}
		seen[p.Name] = true
	}
	return nil
}

func (p Part) check() error {
	if p.Name == "" || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return fmt.Errorf("attachment %q: want a name of ASCII letters, digits, hyphens, underscores and points", p.Name)
	}
	if hasControl(p.ContentType) || !strings.Contains(p.ContentType, "/") {
		return fmt.Errorf("attachment %s: content type %q is not one", p.Name, p.ContentType)
	}
	return nil
}

func (m Message) compose() (*gomail.Msg, error) {
	from, err := asciiAddress(m.From)
	if err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	to, err := asciiAddress(m.To)
	if err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	msg.ToMailAddress(to)
	if m.ReplyTo != nil {
		reply, err := asciiAddress(*m.ReplyTo)
		if err != nil {
			return nil, fmt.Errorf("reply-to: %w", err)
		}
		if err := msg.ReplyTo(reply.String()); err != nil {
			return nil, err
		}
	}
	if m.Unsubscribe != "" {
		address, err := asciiAddress(netmail.Address{Address: m.Unsubscribe})
		if err != nil {
			return nil, fmt.Errorf("unsubscribe: %w", err)
		}
		msg.SetGenHeader(gomail.HeaderListUnsubscribe, "<mailto:"+address.Address+">")
	}
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.MessageID)
	msg.SetDateWithValue(m.Date)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Report-Id", m.ReportID)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	for _, p := range m.Images {
		err := msg.EmbedReader(p.Name+".png", bytes.NewReader(p.Data), gomail.WithFileContentType(gomail.ContentType(p.ContentType)), gomail.WithFileContentID("<"+p.Name+">"))
		if err != nil {
			return nil, fmt.Errorf("embed %s: %w", p.Name, err)
		}
	}
	for _, p := range m.Attachments {
		// The form with a file name would send a mail without a missing file.
		err := msg.AttachReader(p.Name, bytes.NewReader(p.Data), gomail.WithFileContentType(gomail.ContentType(p.ContentType)))
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", p.Name, err)
		}
	}
	return msg, nil
}

// hasControl reports whether a text holds what must not stand in a header.
func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
	})
}
