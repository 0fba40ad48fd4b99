//go:build postfix

package mail

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRate_BesideSMTPSource sends sealed mails of 150 KB to Postfix's smtp-sink,
// beside Postfix's own smtp-source on the same sink, interleaved, and over TLS on
// one connection to a real Postfix beside a connection for each mail. It prints
// figures; it fails where reusing the connection is not five times as fast.
func TestRate_BesideSMTPSource(t *testing.T) {
	const mails, rounds = 400, 5
	port := freePort(t)
	sink := exec.Command("smtp-sink", "-u", "nobody", fmt.Sprintf("127.0.0.1:%d", port), "1000")
	if err := sink.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Process.Kill(); _ = sink.Wait() })
	m := message()
	m.Attachments = []Part{{Name: "a.csv", ContentType: "text/csv", Data: bytes.Repeat([]byte("0123456789abcde\n"), 6800)}}
	raw := seal(t, m)
	plain := SMTPOptions{Host: "127.0.0.1", Port: port, TLS: "none", Now: time.Now}
	send := func(o SMTPOptions, n int, fresh bool) float64 {
		t.Helper()
		start := time.Now()
		s := newSMTP(t, o)
		for range n {
			if r := s.Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, raw, noDot); r.Outcome != Sent {
				t.Fatalf("%d: %v", r.Outcome, r.Err)
			}
			if fresh {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
		}
		return float64(n) / time.Since(start).Seconds()
	}
	waitFor(t, port)
	var ours, theirs, ratios []float64
	for range rounds {
		a := send(plain, mails, false)
		start := time.Now()
		if out, err := exec.Command("smtp-source", "-d", "-s", "1", "-m", fmt.Sprint(mails), "-l", fmt.Sprint(len(raw)), "-f", "a@partner.example", "-t", "b@partner.example",
			fmt.Sprintf("127.0.0.1:%d", port)).CombinedOutput(); err != nil {
			t.Fatalf("smtp-source: %v\n%s", err, out)
		}
		b := float64(mails) / time.Since(start).Seconds()
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
	}
	t.Logf("%d bytes a mail, one connection: ours %.0f mails/s, smtp-source %.0f, ratio %.2f (medians of %d)", len(raw), median(ours), median(theirs), median(ratios), rounds)

	p := startPostfix(t)
	secure := SMTPOptions{Host: "localhost", Port: p.starttls, CA: p.ca, Now: time.Now}
	// Judged within a round: what else the machine does in it slows both.
	var reused, each, times []float64
	for range rounds {
		a, b := send(secure, 100, false), send(secure, 30, true)
		reused, each, times = append(reused, a), append(each, b), append(times, a/b)
	}
	t.Logf("STARTTLS to Postfix: %.0f mails/s on one connection, %.0f with a connection each, %.1f times (medians of %d)", median(reused), median(each), median(times), rounds)
	if median(times) < 5 {
		t.Errorf("reusing the connection is %.1f times as fast only", median(times))
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// waitFor waits until the port answers.
func waitFor(t *testing.T, port int) {
	t.Helper()
	for tries := 0; ; tries++ {
		s := newSMTP(t, SMTPOptions{Host: "127.0.0.1", Port: port, TLS: "none", Now: time.Now})
		r := s.Send(t.Context(), Envelope{From: "a@partner.example", To: "b@partner.example"}, []byte("x"), noDot)
		if r.Outcome == Sent {
			return
		}
		if tries > 100 || !strings.Contains(r.Reply, "refused") {
			t.Fatal(r.Err)
		}
		<-time.After(20 * time.Millisecond)
	}
}
