package console

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidemark/jobs"
	"tidemark/jobs/ledger"
)

// bound is how long a test waits for what must come much sooner.
const bound = 20 * time.Second

// serve serves a plant on a free port.
func (p *plant) serve(l Limits) *Server {
	p.t.Helper()
	s, err := Listen(p.t.Context(), "127.0.0.1:0", p.Console, l)
	check(p.t, err)
	p.t.Cleanup(func() { check(p.t, s.Close(p.t.Context())) })
	return s
}

// raw sends bytes as they are and returns what comes back until the other side
// closes.
func raw(t *testing.T, s *Server, send string) string {
	t.Helper()
	c := dial(t, s)
	_, err := io.WriteString(c, send)
	check(t, err)
	got, err := io.ReadAll(c)
	if err, ok := err.(net.Error); ok && err.Timeout() {
		t.Fatalf("the connection is not closed within %s; %q came back", bound, got)
	}
	return string(got)
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.listener.Addr().String())
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	check(t, c.SetDeadline(time.Now().Add(bound)))
	return c
}

func TestListen_TakesAddressesOfThisMachineAlone(t *testing.T) {
	p := newPlant(t)
	for _, listen := range []string{"", ":8440", "0.0.0.0:0", "[::]:0", "192.0.2.1:80", "partner.example:80", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1:+80", "localhost.evil.example:0"} {
		if s, err := Listen(t.Context(), listen, p.Console, Limits{}); err == nil {
			t.Errorf("%q is listened on", listen)
			check(t, s.Close(t.Context()))
		}
	}
	for _, listen := range []string{"127.0.0.1:8440", "localhost:0", "[::1]:1", "127.1.2.3:65535"} {
		if err := CheckAddress(listen); err != nil {
			t.Errorf("%q: %v", listen, err)
		}
	}
}

// TestServer_CutsOffWhoIsSlow opens connections that say nothing, or only some of
// what they have to say; others are answered all the same.
func TestServer_CutsOffWhoIsSlow(t *testing.T) {
	p := newPlant(t)
	s := p.serve(Limits{Header: 100 * time.Millisecond, Read: 150 * time.Millisecond, Idle: 100 * time.Millisecond, Connections: 3})
	for _, some := range []string{"", "GET", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b"} {
		if got := raw(t, s, some); strings.Contains(got, "200 OK") {
			t.Errorf("%q is answered: %q", some, got)
		}
	}
	for range 3 { // as many as there may be
		dial(t, s)
	}
	if got := raw(t, s, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("behind silent connections: %q", got)
	}
	if got := raw(t, s, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); !strings.Contains(got, "200 OK") { // and then says nothing more
		t.Errorf("an idle connection: %q", got)
	}
}

func TestServer_RefusesWhatIsTooLarge(t *testing.T) {
	s := newPlant(t).serve(Limits{})
	host := "Host: 127.0.0.1\r\nConnection: close\r\n"
	for what, want := range map[string]string{
		"GET / HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n":     "431 ",
		"GET /?" + strings.Repeat("a", maxURL) + " HTTP/1.1\r\n" + host + "\r\n":                  "414 ",
		"GET /" + strings.Repeat("a", 2*maxHeader) + " HTTP/1.1\r\n" + host + "\r\n":              "431 ",
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello":                            "413 ",
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n": "413 ",
		"POST /runs HTTP/1.1\r\n" + host + "Content-Length: 99999999\r\n\r\n":                     "405 ",
		"GET http://evil.example/ HTTP/1.1\r\n" + host + "\r\n":                                   "403 ",
		"GET /static/../runs HTTP/1.1\r\n" + host + "\r\n":                                        "400 ",
		"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n":                       "403 ",
		"GET / HTTP/1.1\r\nConnection: close\r\n\r\n":                                             "400 ",
		"GET / HTTP/1.1\r\n" + host + "\r\n":                                                      "200 ",
	} {
		if got := raw(t, s, what); !strings.HasPrefix(got, "HTTP/1.1 "+want) {
			t.Errorf("%.60q: %.40q, want %s", what, got, want)
		}
	}
}

// TestEvents_TellWhatGoesOnForLongerThanAnyTimeout reads an event stream through
// several changes, each of which comes half a second after the one before.
func TestEvents_TellWhatGoesOnForLongerThanAnyTimeout(t *testing.T) {
	p := newPlant(t)
	s := p.serve(Limits{Read: 100 * time.Millisecond, Write: 100 * time.Millisecond})
	watch := p.o.Board.Watch()
	run := ledger.Run{ID: "nightly@2026-11-16T06:00:00Z", Job: "nightly", State: ledger.Running}
	c := dial(t, s)
	_, err := io.WriteString(c, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
	check(t, err)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %s", got)
	}
	lines := bufio.NewScanner(response.Body)
	read := func(want string) {
		t.Helper()
		for lines.Scan() {
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				if !strings.Contains(data, want) {
					t.Fatalf("event %s, want %s", data, want)
				}
				return
			}
		}
		t.Fatalf("the stream ended before %s: %v", want, lines.Err())
	}
	read("[]")
	watch.Began(run)
	read(`"job":"nightly","step":"begins"`)
	p.o.Board.Step(run.ID, "deliver mails", 12, 3400)
	read(`"step":"deliver mails","text":"12 of 3` + "\u202f" + `400","done":12,"of":3400`)
	p.o.Board.Step(run.ID, hostile, 1, 0)
	read(`\u003cscript\u003e`)
	watch.Ended(jobs.Stop{Run: run})
	read("[]")
	p.Stop()
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestEvents_CutOffWhoDoesNotRead sends more than any buffer on the way holds to
// somebody who takes none of it.
func TestEvents_CutOffWhoDoesNotRead(t *testing.T) {
	sent := make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent <- send(w, http.NewResponseController(w), strings.Repeat("x", 64<<20), 50*time.Millisecond)
	}))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	check(t, err)
	defer func() { check(t, c.Close()) }()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	check(t, err)
	select {
	case ok := <-sent:
		if ok {
			t.Error("it was all sent to somebody who does not read")
		}
	case <-time.After(bound):
		t.Fatal("it waits for ever")
	}
}

func TestEvents_AreNotMoreThanSomeAtATime(t *testing.T) {
	p := newPlant(t)
	s := p.serve(Limits{})
	var open []*bufio.Reader
	for range maxStreams {
		c := dial(t, s)
		_, err := fmt.Fprint(c, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		check(t, err)
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		check(t, err)
		if !strings.Contains(line, "200 OK") {
			t.Fatal(line)
		}
		open = append(open, r)
	}
	if got := raw(t, s, "GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "503 ") {
		t.Errorf("one more: %q", got)
	}
	if got := raw(t, s, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("a page beside %d streams: %.40q", len(open), got)
	}
}
