package mail

import (
	"bytes"
	"context"
	"errors"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fault is something that goes wrong with one mail of a Sender.
type fault struct {
	name    string
	meets   func() func() // makes it happen to the next mail; what it returns mends it, nil: it is used up by that mail
	want    Outcome
	arrives bool   // the mail, all the same
	dots    int    // how often the last step is allowed
	hint    string // in the reply
	down    bool   // no other mail would fare better
	raw     []byte // what is sent; nil: an ordinary mail
}

func (f fault) bytes(ordinary []byte) []byte {
	if f.raw != nil {
		return f.raw
	}
	return ordinary
}

// testSender is the suite that every Sender passes. open returns a Sender, what
// has arrived so far, by the name of the envelope, and the faults that can be
// played to it, of which there must be one for Unsent.
func testSender(t *testing.T, open func(t *testing.T) (Sender, func() map[string]string, []fault)) {
	raw := func(name string) []byte {
		m := message()
		m.To = netmail.Address{Name: "Zoë", Address: name + "@partner.example"}
		return seal(t, m)
	}
	envelope := func(name string) Envelope {
		return Envelope{From: "usage@partner.example", To: name + "@partner.example", Name: name}
	}
	unix := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	t.Run("a mail arrives once and whole, after one dot", func(t *testing.T) {
		s, arrived, _ := open(t)
		dots := 0
		r := s.Send(t.Context(), envelope("anna"), raw("anna"), func() error {
			dots++
			if len(arrived()) > 0 {
				t.Error("the mail arrived before the dot was allowed")
			}
			return nil
		})
		if r.Outcome != Sent || r.Err != nil || r.Reply == "" || dots != 1 {
			t.Fatalf("%+v after %d dots", r, dots)
		}
		if got := arrived(); len(got) != 1 || unix(got["anna"]) != unix(string(raw("anna"))) {
			t.Errorf("arrived: %d mails, or other bytes", len(got))
		}
	})
	t.Run("a dot that is refused stops the mail", func(t *testing.T) {
		s, arrived, _ := open(t)
		taken := errors.New("taken over")
		if r := s.Send(t.Context(), envelope("anna"), raw("anna"), func() error { return taken }); r.Outcome != Unsent || !errors.Is(r.Err, taken) {
			t.Errorf("%+v", r)
		}
		if r := s.Send(t.Context(), envelope("bram"), raw("bram"), noDot); r.Outcome != Sent {
			t.Fatalf("the next mail: %+v", r)
		}
		if got := arrived(); len(got) != 1 || got["bram"] == "" {
			t.Errorf("arrived: %d mails", len(got))
		}
	})
	t.Run("a cancelled context sends nothing", func(t *testing.T) {
		s, arrived, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r := s.Send(ctx, envelope("anna"), raw("anna"), noDot); r.Outcome != Unsent || r.Err == nil {
			t.Errorf("%+v", r)
		}
		if got := arrived(); len(got) != 0 {
			t.Errorf("arrived: %d mails", len(got))
		}
	})
	_, _, faults := open(t)
	if !slices.ContainsFunc(faults, func(f fault) bool { return f.want == Unsent }) {
		t.Error("no fault leaves a mail unsent")
	}
	for i := range faults {
		t.Run(faults[i].name, func(t *testing.T) {
			s, arrived, faults := open(t)
			f, dots := faults[i], 0
			mend := f.meets()
			got := s.Send(t.Context(), envelope("anna"), f.bytes(raw("anna")), func() error { dots++; return nil })
			if mend != nil {
				mend()
			}
			if got.Outcome != f.want || (got.Err == nil) != (f.want == Sent) || got.Reply == "" || !strings.Contains(got.Reply, f.hint) || got.Down != f.down {
				t.Errorf("%+v; want outcome %d, down %v", got, f.want, f.down)
			}
			if dots != f.dots {
				t.Errorf("the last step was allowed %d times, want %d", dots, f.dots)
			}
			if _, has := arrived()["anna"]; has != f.arrives {
				t.Errorf("the mail arrived: %v, want %v", has, f.arrives)
			}
			// Whatever happened to one mail, the next goes through, once.
			if next := s.Send(t.Context(), envelope("next"), raw("next"), noDot); next.Outcome != Sent {
				t.Errorf("the next mail: %+v", next)
			}
			if next := arrived()["next"]; unix(next) != unix(string(raw("next"))) {
				t.Errorf("of the next mail %d bytes arrived, want %d", len(next), len(raw("next")))
			}
		})
	}
	t.Run("closing twice is no error", func(t *testing.T) {
		s, _, _ := open(t)
		if r := s.Send(t.Context(), envelope("anna"), raw("anna"), noDot); r.Outcome != Sent {
			t.Fatal(r.Err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestFiles_IsASender(t *testing.T) {
	testSender(t, func(t *testing.T) (Sender, func() map[string]string, []fault) {
		dir := filepath.Join(t.TempDir(), "outbox")
		arrived := func() map[string]string {
			all := map[string]string{}
			files, err := filepath.Glob(filepath.Join(dir, "*.eml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				all[strings.TrimSuffix(filepath.Base(f), ".eml")] = string(b)
			}
			return all
		}
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		return Files{Dir: dir}, arrived, []fault{
			{name: "a file stands where the folder should", want: Unsent, meets: func() func() {
				check(os.WriteFile(dir, nil, 0o600))
				return func() { check(os.Remove(dir)) }
			}},
			{name: "a folder has the name of the mail", want: Unsent, dots: 1, meets: func() func() {
				name := filepath.Join(dir, "anna.eml")
				check(os.MkdirAll(filepath.Join(name, "sub"), 0o700))
				return func() { check(os.RemoveAll(name)) }
			}},
		}
	})
}

func TestSMTP_IsASender(t *testing.T) {
	ordinary := seal(t, message())
	tooMuch := append(bytes.Clone(ordinary), bytes.Repeat([]byte("x"), 8<<20)...) // more than the sockets hold
	testSender(t, func(t *testing.T) (Sender, func() map[string]string, []fault) {
		r := &relay{}
		o := r.serve(t, false)
		arrived := func() map[string]string {
			r.mu.Lock()
			defer r.mu.Unlock()
			all := map[string]string{}
			for to, eml := range r.stored {
				all[strings.TrimSuffix(to, "@partner.example")] = eml
			}
			return all
		}
		s := newSMTP(t, o)
		faults := []fault{
			{name: "mail 451", want: Unsent},
			{name: "mail 550", want: Refused, hint: "give it the right, or change mail.from"},
			{name: "mail 421", want: Unsent},
			{name: "rcpt 450", want: Unsent},
			{name: "rcpt 421", want: Unsent},
			{name: "rcpt 550", want: Refused},
			{name: "rcpt 5.7.30", want: Refused, hint: "Exchange Online"},
			{name: "data 421", want: Unsent, dots: 1},
			{name: "data 451", want: Unsent, dots: 1},
			{name: "data 554", want: Refused, dots: 1},
			{name: "data 552", want: Refused, dots: 1},
			{name: "lost at rcpt", want: Unsent},
			{name: "lost in content", want: Unsent, raw: tooMuch},
			{name: "lost after the dot, taken", want: Unknown, arrives: true, dots: 1},
			{name: "lost after the dot, not taken", want: Unknown, dots: 1},
			{name: "answer too late", want: Unknown, arrives: true, dots: 1},
			{name: "lost after the 250", want: Sent, arrives: true, dots: 1},
		}
		for i := range faults {
			name := faults[i].name
			faults[i].meets = func() func() {
				r.mu.Lock()
				r.fault = name
				r.mu.Unlock()
				if name == "answer too late" {
					s.o.DotTimeout = 50 * time.Millisecond
				}
				return func() { s.o.DotTimeout = o.DotTimeout }
			}
		}
		faults = append(faults, fault{name: "nobody listens", want: Unsent, down: true, hint: "connection refused", meets: func() func() {
			s.o.Port = 1
			return func() { s.o.Port = o.Port }
		}})
		return s, arrived, faults
	})
}
