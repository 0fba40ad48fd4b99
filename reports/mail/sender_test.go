package mail

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testSender is the suite that every Sender passes. open returns a Sender and
// what has arrived so far, by the name of the envelope.
func testSender(t *testing.T, open func(t *testing.T) (Sender, func() map[string]string)) {
	raw := seal(t, message())
	envelope := func(name string) Envelope {
		return Envelope{From: "usage@partner.example", To: name + "@partner.example", Name: name}
	}
	unix := func(s string) string { return strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")) }
	t.Run("a mail arrives once and whole, after one dot", func(t *testing.T) {
		s, arrived := open(t)
		dots := 0
		r := s.Send(t.Context(), envelope("anna"), raw, func() error {
			dots++
			if len(arrived()) > 0 {
				t.Error("the mail arrived before the dot was allowed")
			}
			return nil
		})
		if r.Outcome != Sent || r.Err != nil || r.Reply == "" || dots != 1 {
			t.Fatalf("%+v after %d dots", r, dots)
		}
		if got := arrived(); len(got) != 1 || unix(got["anna"]) != unix(string(raw)) {
			t.Errorf("arrived: %d mails, or other bytes", len(got))
		}
	})
	t.Run("a dot that is refused stops the mail", func(t *testing.T) {
		s, arrived := open(t)
		taken := errors.New("taken over")
		if r := s.Send(t.Context(), envelope("anna"), raw, func() error { return taken }); r.Outcome != Unsent || !errors.Is(r.Err, taken) {
			t.Errorf("%+v", r)
		}
		if r := s.Send(t.Context(), envelope("bram"), raw, noDot); r.Outcome != Sent {
			t.Fatalf("the next mail: %+v", r)
		}
		if got := arrived(); len(got) != 1 || got["bram"] == "" {
			t.Errorf("arrived: %d mails", len(got))
		}
	})
	t.Run("a cancelled context sends nothing", func(t *testing.T) {
		s, arrived := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r := s.Send(ctx, envelope("anna"), raw, noDot); r.Outcome != Unsent || r.Err == nil {
			t.Errorf("%+v", r)
		}
		if got := arrived(); len(got) != 0 {
			t.Errorf("arrived: %d mails", len(got))
		}
	})
	t.Run("closing twice is no error", func(t *testing.T) {
		s, _ := open(t)
		if r := s.Send(t.Context(), envelope("anna"), raw, noDot); r.Outcome != Sent {
			t.Fatal(r.Err)
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestFiles_IsASender(t *testing.T) {
	testSender(t, func(t *testing.T) (Sender, func() map[string]string) {
		dir := t.TempDir()
		return Files{Dir: dir}, func() map[string]string {
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
	})
}

func TestSMTP_IsASender(t *testing.T) {
	testSender(t, func(t *testing.T) (Sender, func() map[string]string) {
		r := &relay{}
		s := newSMTP(t, r.serve(t, false))
		return s, func() map[string]string {
			r.mu.Lock()
			defer r.mu.Unlock()
			all := map[string]string{}
			for to, eml := range r.stored {
				all[strings.TrimSuffix(to, "@partner.example")] = eml
			}
			return all
		}
	})
}
