package inbox

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// Kind is what a message is.
type Kind string

// The kinds of messages.
const (
	Bounce  Kind = "bounce"  // a mail of ours was not delivered
	Delayed Kind = "delayed" // it was not delivered yet
	Receipt Kind = "receipt" // it was delivered, relayed or read
	Auto    Kind = "auto"    // an automatic answer, or mail of a program
	List    Kind = "list"    // of a mailing list
	Other   Kind = "other"   // of a person, as far as it says
)

// Judgement says what a message is.
type Judgement struct {
	Kind     Kind
	Original string   // Message-ID of the mail that a notification is about, without brackets; empty where it does not say
	Failed   []Failed // of a bounce
}

// Failed is one recipient whom a mail did not reach.
type Failed struct {
	Addresses []string // by which the notification calls them, lower case: the final and the original one
	Status    string   // RFC 3463, e.g. "5.1.1"; empty where it does not say
	Said      string   // by the remote side, at most a line
}

// Hard reports whether another try would fare no better. A full mailbox may be emptied.
func (f Failed) Hard() bool {
	return strings.HasPrefix(f.Status, "5.") && f.Status != "5.2.2"
}

const (
	maxParts   = 100
	maxNesting = 3 // of multiparts around a report
	maxHeader  = 256 << 10
	maxSaid    = 300
)

// Judge says what a message is. What cannot be read as one is [Other].
func Judge(raw []byte) Judgement {
	if begin := raw[:min(len(raw), maxHeader)]; len(raw) > maxHeader && !bytes.Contains(begin, []byte("\n\n")) && !bytes.Contains(begin, []byte("\r\n\r\n")) {
		return Judgement{Kind: Other}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Judgement{Kind: Other}
	}
	nesting := 0 // what a person attaches is no notification
	if sort(m.Header) == Auto {
		nesting = maxNesting
	}
	if j, found := notification(m.Header.Get("Content-Type"), m.Body, nesting); found {
		return j
	}
	if failed := m.Header.Get("X-Failed-Recipients"); failed != "" {
		return plainBounce(failed, m.Body)
	}
	return Judgement{Kind: sort(m.Header)}
}

// notification finds a report (RFC 6522) in a body: the body itself, or a part of it where
// a gateway has put words of its own around. A message within it is another message.
func notification(contentType string, body io.Reader, depth int) (Judgement, bool) {
	media, params, _ := mime.ParseMediaType(contentType) // of a wrong one nothing is known
	if media == "multipart/report" {
		switch strings.ToLower(params["report-type"]) {
		case "delivery-status":
			return report(body, params["boundary"]), true
		case "disposition-notification":
			return Judgement{Kind: Receipt}, true
		}
	}
	if !strings.HasPrefix(media, "multipart/") || params["boundary"] == "" || depth == 0 {
		return Judgement{}, false
	}
	parts := multipart.NewReader(body, params["boundary"])
	for range maxParts {
		part, err := parts.NextRawPart()
		if err != nil {
			break
		}
		if j, found := notification(part.Header.Get("Content-Type"), part, depth-1); found {
			return j, true
		}
	}
	return Judgement{}, false
}

// sort tells what a program sent from what a person did, by RFC 3834 and by what was
// used before it.
func sort(h netmail.Header) Kind {
	submitted, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(h.Get("Auto-Submitted"))), ";")
	precedence := strings.ToLower(strings.TrimSpace(h.Get("Precedence")))
	switch {
	case h.Get("List-Id") != "" || h.Get("List-Post") != "" || precedence == "list":
		return List
	case submitted != "" && strings.TrimSpace(submitted) != "no",
		precedence == "auto_reply" || precedence == "bulk" || precedence == "junk",
		h.Get("X-Autoreply") != "" || h.Get("X-Autorespond") != "" || h.Get("X-Autoresponder") != "",
		strings.Contains(strings.ToLower(h.Get("X-Auto-Response-Suppress")), "all"),
		strings.TrimSpace(h.Get("Return-Path")) == "<>":
		return Auto
	}
	return Other
}

// report reads a delivery status notification: the part for programs, and the mail that
// it is about, or its headers.
func report(body io.Reader, boundary string) Judgement {
	j := Judgement{Kind: Other}
	if boundary == "" {
		return j
	}
	parts := multipart.NewReader(body, boundary)
	for range maxParts {
		part, err := parts.NextPart()
		if err != nil {
			break // also of one that breaks off: what there was of it counts
		}
		media, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		content, err := content(part)
		if err != nil && len(content) == 0 {
			continue
		}
		switch media {
		case "message/delivery-status", "message/global-delivery-status":
			if j.Kind == Other { // a second one is no part of a notification
				j.Kind, j.Failed = statuses(content)
			}
		case "message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers", "message/global-headers":
			if j.Original == "" {
				j.Original = originalID(content)
			}
		}
	}
	return j
}

// content is a part as it was before it was encoded for the way.
func content(part *multipart.Part) ([]byte, error) {
	var in io.Reader = part
	if strings.EqualFold(strings.TrimSpace(part.Header.Get("Content-Transfer-Encoding")), "base64") {
		in = base64.NewDecoder(base64.StdEncoding, part)
	}
	return io.ReadAll(io.LimitReader(in, maxHeader))
}

// statuses reads the fields of a notification: those of the message, and those of each
// recipient, with an empty line between (RFC 3464, 2.1).
func statuses(text []byte) (Kind, []Failed) {
	in := textproto.NewReader(bufio.NewReader(bytes.NewReader(text)))
	kind := Other
	var failed []Failed
	for range maxParts {
		fields, err := in.ReadMIMEHeader()
		if len(fields) > 0 && fields.Get("Action") != "" {
			switch action := strings.ToLower(strings.TrimSpace(fields.Get("Action"))); action {
			case "failed":
				kind, failed = Bounce, append(failed, recipient(fields))
			case "delayed":
				if kind != Bounce {
					kind = Delayed
				}
			case "delivered", "relayed", "expanded":
				if kind == Other {
					kind = Receipt
				}
			}
		}
		if errors.Is(err, io.EOF) || err != nil && len(fields) == 0 {
			break
		}
	}
	return kind, failed
}

func recipient(fields textproto.MIMEHeader) Failed {
	f := Failed{Status: statusIn(fields.Get("Status")), Said: oneLine(fields.Get("Diagnostic-Code"))}
	if f.Status == "" {
		f.Status = statusIn(f.Said)
	}
	for _, name := range []string{"Final-Recipient", "Original-Recipient"} {
		_, address, found := strings.Cut(fields.Get(name), ";")
		if address = strings.ToLower(strings.Trim(strings.TrimSpace(address), "<>")); found && address != "" && !slices.Contains(f.Addresses, address) {
			f.Addresses = append(f.Addresses, address)
		}
	}
	return f
}

// statusIn finds a status code (RFC 3463) in a text; "" for none.
func statusIn(text string) string {
	return regexp.MustCompile(`\b[245]\.\d{1,3}\.\d{1,3}\b`).FindString(text)
}

// plainBounce reads what Exim writes: the recipients stand in a header, and the mail below
// the text.
func plainBounce(recipients string, body io.Reader) Judgement {
	text, _ := io.ReadAll(io.LimitReader(body, maxHeader)) // what there is of one that breaks off
	j := Judgement{Kind: Bounce, Original: originalID(text)}
	status := statusIn(string(text))
	for address := range strings.SplitSeq(recipients, ",") {
		if address = strings.ToLower(strings.Trim(strings.TrimSpace(address), "<>")); address != "" && len(j.Failed) < maxParts {
			j.Failed = append(j.Failed, Failed{Addresses: []string{address}, Status: status})
		}
	}
	return j
}

// originalID finds the Message-ID of a mail that a notification returns; "" for none.
func originalID(text []byte) string {
	m := regexp.MustCompile(`(?im)^[ \t>]*message-id:\s*<([^<>\s]{3,250})>`).FindSubmatch(text)
	if m == nil {
		return ""
	}
	return string(m[1])
}

// oneLine makes a text of the remote side fit to be shown.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == ' ' }), " ")
	if r := []rune(strings.ToValidUTF8(s, "?")); len(r) > maxSaid {
		return string(r[:maxSaid]) + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
