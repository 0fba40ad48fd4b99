package inbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ours = "eqvnpnrgkr7ha7g7abcdefghij@partner.example"

// bounced is the judgement of a bounce of our mail to anna.
func bounced(status, said string, addresses ...string) Judgement {
	if addresses == nil {
		addresses = []string{"anna@partner.example"}
	}
	return Judgement{Kind: Bounce, Original: ours, Failed: []Failed{{Addresses: addresses, Status: status, Said: said}}}
}

// judged is what the messages of testdata are, which are in the form of what real servers
// send, after RFC 3464 and 3834.
func judged() map[string]Judgement {
	cut := bounced("5.1.1", "")
	cut.Original = ""
	return map[string]Judgement{
		"postfix-unknown-user":         bounced("5.1.1", "smtp; 550 5.1.1 <anna@partner.example>: Recipient address rejected: User unknown"),
		"postfix-headers-only":         bounced("5.7.1", "smtp; 554 5.7.1 blocked"),
		"exchange-ndr":                 bounced("5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"),
		"gmail-no-such-user":           bounced("5.1.1", "smtp; 550-5.1.1 The email account that you tried to reach does not exist."),
		"alias-original-recipient":     bounced("5.0.0", "", "a.devries@other.example", "anna@partner.example"),
		"gateway-disclaimer":           bounced("5.1.1", ""), // put around it by a gateway
		"mailbox-full":                 bounced("5.2.2", "smtp; 552 5.2.2 mailbox is full"),
		"expired-after-five-days":      bounced("4.4.1", "X-Postfix; connect to mail.partner.example[192.0.2.7]:25: Connection timed out"),
		"delayed-warning":              {Kind: Delayed, Original: ours},
		"delivered-receipt":            {Kind: Receipt, Original: ours},
		"two-recipients-one-failed":    bounced("5.1.1", ""),
		"status-in-base64":             bounced("5.1.1", ""),
		"status-only-in-diagnostic":    bounced("5.1.1", "smtp; 550 5.1.1 no such user"),
		"exim-plain-text":              bounced("5.1.1", ""),
		"out-of-office-exchange":       {Kind: Auto},
		"out-of-office-vacation":       {Kind: Auto},
		"autoreply-of-before-rfc-3834": {Kind: Auto},
		"mailing-list":                 {Kind: List},
		"read-receipt":                 {Kind: Receipt},
		"answer-of-a-person":           {Kind: Other},
		"person-who-quotes-a-bounce":   {Kind: Other},
		"report-without-boundary":      {Kind: Other},
		"report-cut-off":               cut,
		"no-message-at-all":            {Kind: Other},
		"nested-report":                {Kind: Other}, // an attachment is no notification
	}
}

func TestJudge_RealMessages(t *testing.T) {
	want := judged()
	seen := 0
	for m, err := range (Maildir{"testdata/maildir"}).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(m.ID, "new/")
		seen++
		expected, known := want[name]
		if !known {
			t.Errorf("%s has no judgement", name)
			continue
		}
		if diff := cmp.Diff(expected, Judge(m.Raw)); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", name, diff)
		}
		// Line ends of a file, instead of those of the wire, change nothing.
		if diff := cmp.Diff(expected, Judge([]byte(strings.ReplaceAll(string(m.Raw), "\r\n", "\n")))); diff != "" {
			t.Errorf("%s with other line ends: want -, got +:\n%s", name, diff)
		}
	}
	if seen != len(want) {
		t.Errorf("%d messages, want %d", seen, len(want))
	}
}

func TestFailed_Hard(t *testing.T) {
	for status, want := range map[string]bool{"5.1.1": true, "5.7.1": true, "5.2.2": false, "4.4.1": false, "": false} {
		if got := (Failed{Status: status}).Hard(); got != want {
			t.Errorf("%q: hard %v", status, got)
		}
	}
}

func TestJudge_Bounds(t *testing.T) {
	header := "From: a@b.example\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 900)+"\r\n", 400) + "\r\nbody"
	if got := Judge([]byte(header)); got.Kind != Other {
		t.Errorf("a header of %d bytes: %+v", len(header), got)
	}
	deep := "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n" + strings.Repeat("--x\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nFinal-Recipient: rfc822; a@b.example\r\n\r\n", 5000)
	if got := Judge([]byte(deep)); len(got.Failed) > maxParts {
		t.Errorf("%d recipients", len(got.Failed))
	}
	long := "X-Failed-Recipients: " + strings.Repeat("a@b.example, ", 10_000) + "\r\n\r\n"
	if got := Judge([]byte(long)); len(got.Failed) > maxParts {
		t.Errorf("%d recipients", len(got.Failed))
	}
}

func FuzzJudge(f *testing.F) {
	files, err := filepath.Glob("testdata/maildir/new/*")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		j := Judge(raw)
		if len(j.Failed) > maxParts || (len(j.Failed) > 0) != (j.Kind == Bounce) && j.Kind != Bounce || strings.ContainsAny(j.Original, "<> \r\n") {
			t.Errorf("%+v", j)
		}
		for _, failed := range j.Failed {
			if len([]rune(failed.Said)) > maxSaid+1 || strings.ContainsAny(failed.Said, "\r\n\x00") {
				t.Errorf("%q", failed.Said)
			}
		}
	})
}

// testBox is the suite of every Box. fill puts messages into an empty one.
func testBox(t *testing.T, open func(t *testing.T) (b Box, fill func(raw ...string))) {
	read := func(t *testing.T, b Box) (all []Message) {
		t.Helper()
		for m, err := range b.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	}
	texts := []string{"Subject: one\r\n\r\n1", "Subject: two\r\n\r\n2", "Subject: three\r\n\r\n3"}
	t.Run("each message is there until it is done", func(t *testing.T) {
		b, fill := open(t)
		if got := read(t, b); len(got) != 0 {
			t.Fatalf("an empty box has %d", len(got))
		}
		fill(texts...)
		for range 2 {
			var got []string
			for _, m := range read(t, b) {
				got = append(got, string(m.Raw))
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(texts)); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		all := read(t, b)
		if err := b.Done(t.Context(), all[1]); err != nil {
			t.Fatal(err)
		}
		if left := read(t, b); len(left) != 2 || slices.ContainsFunc(left, func(m Message) bool { return string(m.Raw) == string(all[1].Raw) }) {
			t.Errorf("%d are left", len(left))
		}
		for _, m := range read(t, b) {
			if err := errors.Join(b.Done(t.Context(), m), b.Done(t.Context(), m)); err != nil {
				t.Fatal(err)
			}
		}
		if left := read(t, b); len(left) != 0 {
			t.Errorf("%d are left", len(left))
		}
	})
	t.Run("a reader may stop", func(t *testing.T) {
		b, fill := open(t)
		fill(texts...)
		for range b.Messages(t.Context()) {
			break
		}
		if got := read(t, b); len(got) != 3 {
			t.Errorf("%d are there", len(got))
		}
	})
	t.Run("a large one is cut", func(t *testing.T) {
		b, fill := open(t)
		fill("Subject: large\r\n\r\n" + strings.Repeat("x", MaxMessage))
		if got := read(t, b); len(got) != 1 || len(got[0].Raw) != MaxMessage {
			t.Errorf("%d messages", len(got))
		}
	})
}

func TestMaildir_IsABox(t *testing.T) {
	testBox(t, func(t *testing.T) (Box, func(...string)) {
		dir := t.TempDir()
		for _, folder := range []string{"new", "cur", "tmp"} {
			if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		return Maildir{dir}, func(raw ...string) {
			names := []string{"new/1.host", "cur/2.host:2,", "cur/3.host:2,FR"}
			for i, text := range raw {
				if err := os.WriteFile(filepath.Join(dir, names[i]), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "cur/4.host:2,S"), []byte("seen"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a folder that is none", func(t *testing.T) {
		for _, err := range (Maildir{t.TempDir()}).Messages(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), "read maildir") {
				t.Errorf("err = %v", err)
			}
		}
	})
	t.Run("flags stay, in order", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "cur"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cur/a:2,FT"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (Maildir{dir}).Done(t.Context(), Message{ID: "cur/a:2,FT"}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "cur/a:2,FST")); err != nil {
			t.Error(err)
		}
	})
}
