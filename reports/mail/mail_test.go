package mail

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func message() Message {
	return Message{
		From:        netmail.Address{Name: "Polder Cloud", Address: "usage@partner.example"},
		To:          netmail.Address{Name: "Zoë \"Z\" Müller", Address: "zoe@partner.example"},
		ReplyTo:     &netmail.Address{Name: "Team", Address: "team@partner.example"},
		Subject:     "3 klanten bellen: € 4.210 per maand loopt risico (6–12 nov)",
		Text:        "1. Noordzee Logistiek\n.\nFrom here\n" + strings.Repeat("lang ", 300) + "\n",
		HTML:        `<!DOCTYPE html><p>Noordzee = Logistiek</p><img src="cid:cost">`,
		Images:      []Part{{Name: "cost", ContentType: "image/png", Data: []byte("\x89PNG\r\n\x1a\nnot much of one")}},
		Attachments: []Part{{Name: "calls.csv", ContentType: "text/csv; charset=utf-8", Data: []byte("a;b\r\n1;2\r\n")}},
		MessageID:   "abc@partner.example",
		Date:        time.Date(2026, 11, 16, 7, 0, 0, 0, time.FixedZone("CET", 3600)),
		ReportID:    "eqvnpnrgkr7ha7g7",
		Unsubscribe: "usage@partner.example",
	}
}

func seal(t testing.TB, m Message) []byte {
	t.Helper()
	raw, err := m.Seal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// leaf is one part of a message that is no multipart.
type leaf struct {
	path, body string
	header     map[string][]string
}

// leaves parses a message with the standard library only.
func leaves(t testing.TB, contentType, encoding string, header map[string][]string, body io.Reader, path string) []leaf {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	path += "/" + kind
	if !strings.HasPrefix(kind, "multipart/") {
		if encoding == "quoted-printable" {
			body = quotedprintable.NewReader(body)
		} else if encoding == "base64" {
			body = base64.NewDecoder(base64.StdEncoding, body)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		return []leaf{{path, string(b), header}}
	}
	var all []leaf
	for r := multipart.NewReader(body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, leaves(t, part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part.Header, part, path)...)
	}
}

func parse(t testing.TB, raw []byte) (netmail.Header, []leaf) {
	t.Helper()
	msg, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return msg.Header, leaves(t, msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Header, msg.Body, "")
}

func TestSeal_TwiceGivesTheSameBytes(t *testing.T) {
	m := message()
	first := seal(t, m)
	if second := seal(t, m); !bytes.Equal(first, second) {
		t.Fatalf("the second sealing differs:\n%s\n---\n%s", first, second)
	}
	m.ReportID = "eqvnpnrgkr7ha7g8"
	if other := seal(t, m); bytes.Equal(first, other) {
		t.Error("another report gives the same bytes")
	}
}

func TestSeal_AStrangerReadsEveryPart(t *testing.T) {
	header, parts := parse(t, seal(t, message()))
	for _, p := range []struct{ path, body string }{
		{"/multipart/mixed/multipart/related/multipart/alternative/text/plain", "Noordzee Logistiek"},
		{"/multipart/mixed/multipart/related/multipart/alternative/text/html", "<p>Noordzee = Logistiek</p>"},
		{"/multipart/mixed/multipart/related/image/png", "\x89PNG\r\n\x1a\nnot much of one"},
		{"/multipart/mixed/text/csv", "a;b\r\n1;2\r\n"},
	} {
		if len(parts) > 0 && p.path == "/multipart/mixed/multipart/related/image/png" {
			if id := parts[0].header["Content-Id"]; len(id) != 1 || id[0] != "<cost>" || !strings.HasPrefix(parts[0].header["Content-Disposition"][0], "inline") {
				t.Errorf("the image has content id %q and %q", id, parts[0].header["Content-Disposition"])
			}
		}
		if len(parts) == 0 || parts[0].path != p.path || !strings.Contains(parts[0].body, p.body) {
			t.Fatalf("part %s with %q is not next in %+v", p.path, p.body, parts)
		}
		parts = parts[1:]
	}
	if len(parts) != 0 {
		t.Errorf("there are further parts: %+v", parts)
	}
	for name, want := range map[string]string{
		"Message-Id": "<abc@partner.example>", "Date": "Mon, 16 Nov 2026 07:00:00 +0100", "Auto-Submitted": "auto-generated",
		"X-Report-Id": "eqvnpnrgkr7ha7g7", "List-Unsubscribe": "<mailto:usage@partner.example>", "User-Agent": "", "X-Mailer": "",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
	if err != nil || subject != message().Subject {
		t.Errorf("subject reads as %q, %v", subject, err)
	}
	for name, want := range map[string]netmail.Address{"From": message().From, "To": message().To, "Reply-To": *message().ReplyTo} {
		list, err := header.AddressList(name)
		if err != nil || len(list) != 1 || *list[0] != want {
			t.Errorf("%s reads as %v, %v; want %v", name, list, err, want)
		}
	}
}

func TestSeal_AnImageIsShownOnce(t *testing.T) {
	image := Part{Name: "cost", ContentType: "image/png", Data: []byte("x")}
	for name, images := range map[string][]Part{"another name": {{Name: "other", ContentType: "image/png", Data: []byte("x")}}, "twice": {image, image}} {
		m := message()
		m.Images = images
		if _, err := m.Seal(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSeal_WithoutAttachmentHasOneLevel(t *testing.T) {
	m := message()
	m.Attachments, m.Images = nil, nil
	_, parts := parse(t, seal(t, m))
	if len(parts) != 2 || parts[0].path != "/multipart/alternative/text/plain" {
		t.Errorf("parts are %+v, want an alternative of text and HTML", parts)
	}
}

func TestSeal_LinesAreShortAndEndWithCRLF(t *testing.T) {
	for line := range bytes.SplitSeq(bytes.TrimSuffix(seal(t, message()), []byte("\r\n")), []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
			t.Errorf("line %q is too long or holds a lone line break", line)
		}
	}
}

// injections are what must not make a header of its own.
func injections() []string {
	return []string{"x\r\nBcc: evil@elsewhere.example", "x\nBcc: evil@elsewhere.example", "x\rBcc: evil@elsewhere.example",
		"x\x00y", "x\u2028Bcc: evil@elsewhere.example", "x\r\n\r\n<script>", "x\u0085Bcc: evil@elsewhere.example"}
}

func TestSeal_NoValueCanAddAHeader(t *testing.T) {
	for name, set := range map[string]func(*Message, string){
		"subject":           func(m *Message, s string) { m.Subject = s },
		"sender name":       func(m *Message, s string) { m.From.Name = s },
		"sender address":    func(m *Message, s string) { m.From.Address = s + "@partner.example" },
		"sender domain":     func(m *Message, s string) { m.From.Address = "a@" + s },
		"recipient name":    func(m *Message, s string) { m.To.Name = s },
		"recipient address": func(m *Message, s string) { m.To.Address = "a@partner.example" + s },
		"reply-to name":     func(m *Message, s string) { m.ReplyTo.Name = s },
		"reply-to address":  func(m *Message, s string) { m.ReplyTo.Address = s },
		"message id":        func(m *Message, s string) { m.MessageID = s + "@partner.example" },
		"report id":         func(m *Message, s string) { m.ReportID = s },
		"unsubscribe":       func(m *Message, s string) { m.Unsubscribe = s },
		"attachment name":   func(m *Message, s string) { m.Attachments[0].Name = s },
		"image name":        func(m *Message, s string) { m.Images[0].Name = s },
		"image type":        func(m *Message, s string) { m.Images[0].ContentType = "image/png" + s },
		"attachment type":   func(m *Message, s string) { m.Attachments[0].ContentType = "text/csv" + s },
	} {
		for _, injection := range injections() {
			m := message()
			set(&m, injection)
			if raw, err := m.Seal(); err == nil {
				t.Errorf("%s %q was sealed:\n%s", name, injection, raw[:min(len(raw), 900)])
			}
		}
	}
}

func TestSeal_AnySubjectAndNameReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message()
		m.Subject = rapid.StringMatching(`[^\x00-\x1f\x7f-\x9f\x{2028}\x{2029} ][^\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]{0,120}`).Draw(t, "subject")
		m.To.Name = rapid.StringMatching(`[a-zA-Zé"<>@,:;=?_ ]{0,40}`).Draw(t, "name")
		raw, err := m.Seal()
		if err != nil {
			t.Fatalf("seal: %v", err)
		}
		msg, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		if len(msg.Header) != 11 {
			t.Fatalf("there are %d headers: %v", len(msg.Header), msg.Header)
		}
		to, err := msg.Header.AddressList("To")
		if err != nil || len(to) != 1 || to[0].Address != m.To.Address {
			t.Fatalf("To reads as %v, %v", to, err)
		}
	})
}

func TestSeal_DomainsArePunycodeAndLocalPartsASCII(t *testing.T) {
	m := message()
	m.To.Address = "joerg@müller.example"
	header, _ := parse(t, seal(t, m))
	if list, err := header.AddressList("To"); err != nil || list[0].Address != "joerg@xn--mller-kva.example" {
		t.Errorf("To reads as %v, %v", list, err)
	}
	for _, bad := range []string{"jörg@partner.example", "", "a", "@b.example", "a@", "a b@c.example", "a@b@c.example", "a,b@c.example", "<a@b.example>", "a@b..example", "a@-b.example"} {
		if err := CheckAddress(bad); err == nil {
			t.Errorf("address %q was accepted", bad)
		}
		m.To.Address = bad
		if _, err := m.Seal(); err == nil {
			t.Errorf("mail to %q was sealed", bad)
		}
	}
}

func TestSeal_RefusesContentThatHoldsTheBoundary(t *testing.T) {
	m := message()
	m.Text = "--" + boundaryPrefix + digest(m.ReportID, "0") + "\n"
	if _, err := m.Seal(); err == nil {
		t.Error("a text with the boundary in it was sealed")
	}
}

func TestNewMessageID_FollowsFromItsParts(t *testing.T) {
	id := func(parts ...string) string {
		s, err := NewMessageID("Partner.Example", parts...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a := id("weekly", "sales_agent", "anna@partner.example")
	if !strings.HasSuffix(a, "@partner.example") || len(a) != 26+len("@partner.example") {
		t.Errorf("id is %q, want 26 characters and the domain", a)
	}
	if a != id("weekly", "sales_agent", "anna@partner.example") {
		t.Error("the same parts give another id")
	}
	if a == id("weeklysales_agent", "", "anna@partner.example") {
		t.Error("moving text between parts gives the same id")
	}
	if _, err := NewMessageID("not a domain"); err == nil {
		t.Error("a domain with spaces was accepted")
	}
}

// noDot stands for a ledger that always agrees.
func noDot() error { return nil }

func TestFiles_WritesTheBytesAndNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	raw := seal(t, message())
	var s Sender = Files{Dir: dir}
	for range 2 { // a second time replaces
		if r := s.Send(t.Context(), Envelope{To: "zoe@partner.example", Name: "weekly-zoe"}, raw, noDot); r.Outcome != Sent {
			t.Fatal(r.Err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "weekly-zoe.eml" {
		t.Fatalf("the folder holds %v, %v; want weekly-zoe.eml", entries, err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "weekly-zoe.eml")); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("the file differs from the message: %v", err)
	}
}

func TestFiles_ErrorsLeaveNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken.eml"), 0o777); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	refused := errors.New("taken over")
	for name, send := range map[string]func() Result{
		"a name that is a path":  func() Result { return Files{dir}.Send(t.Context(), Envelope{Name: "../x"}, []byte("x"), noDot) },
		"a name that is hidden":  func() Result { return Files{dir}.Send(t.Context(), Envelope{Name: ".x"}, []byte("x"), noDot) },
		"no name":                func() Result { return Files{dir}.Send(t.Context(), Envelope{}, []byte("x"), noDot) },
		"a folder in the way":    func() Result { return Files{dir}.Send(t.Context(), Envelope{Name: "taken"}, []byte("x"), noDot) },
		"a file for a folder":    func() Result { return Files{"/dev/null/x"}.Send(t.Context(), Envelope{Name: "a"}, []byte("x"), noDot) },
		"a run that was stopped": func() Result { return Files{dir}.Send(cancelled, Envelope{Name: "a"}, []byte("x"), noDot) },
		"a dot that is refused": func() Result {
			return Files{dir}.Send(t.Context(), Envelope{Name: "a"}, []byte("x"), func() error { return refused })
		},
	} {
		if r := send(); r.Outcome == Sent || r.Outcome == Unknown || r.Err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v, %v; want only what was there", entries, err)
	}
}
