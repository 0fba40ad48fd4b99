//go:build kill

package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"tidemark/jobs/ledger"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// flaky is a relay that takes its time and drops one connection in forty after
// it has taken the mail.
type flaky struct {
	mu       sync.Mutex
	taken    map[string]int // mails by recipient
	dropped  int
	accepted chan struct{}
}

func (f *flaky) NewSession(c *smtp.Conn) (smtp.Session, error) { return &flakySession{f: f, c: c}, nil }

type flakySession struct {
	f  *flaky
	c  *smtp.Conn
	to string
}

func (s *flakySession) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *flakySession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }
func (*flakySession) Reset()                                      {}
func (*flakySession) Logout() error                               { return nil }

func (s *flakySession) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err // cut before the dot: nothing is taken
	}
	s.f.mu.Lock()
	s.f.taken[s.to]++
	drop := rand.IntN(40) == 0
	if drop {
		s.f.dropped++
	}
	s.f.mu.Unlock()
	select {
	case s.f.accepted <- struct{}{}:
	default:
	}
	<-time.After(time.Duration(2+rand.IntN(10)) * time.Millisecond) // a relay that scans
	if drop {
		return s.c.Conn().Close()
	}
	return nil
}

// killing is how many people are mailed, and how often the program is killed.
type killing struct {
	recipients, times int
	gently            bool // it is asked to end, and may finish what it has begun
}

// TestKill_NobodyIsMailedTwiceAndNobodyIsLost kills the program without warning,
// again and again, while it delivers to 300 people over a relay that loses
// answers, until it ends by itself. Then every person has exactly one mail, or
// the delivery is listed as unknown and held.
func TestKill_NobodyIsMailedTwiceAndNobodyIsLost(t *testing.T) {
	f := &flaky{taken: map[string]int{}, accepted: make(chan struct{}, 1)}
	ca, port := f.serve(t)
	killing{recipients: 300, times: 50}.run(t, f, overRelay(port), ca)
}

// TestKill_AskedToEndNothingIsLeftUnknown sends SIGTERM in the middle of it: what has begun
// to leave is finished, so that only the answers which the relay loses are not known.
func TestKill_AskedToEndNothingIsLeftUnknown(t *testing.T) {
	f := &flaky{taken: map[string]int{}, accepted: make(chan struct{}, 1)}
	ca, port := f.serve(t)
	killing{recipients: 100, times: 15, gently: true}.run(t, f, overRelay(port), ca)
}

// TestKill_ReadingTheConfigurationAgainDisturbsNoDelivery sends SIGHUP to serve while it
// delivers, with a configuration that is wrong every other time.
func TestKill_ReadingTheConfigurationAgainDisturbsNoDelivery(t *testing.T) {
	f := &flaky{taken: map[string]int{}, accepted: make(chan struct{}, 1)}
	ca, port := f.serve(t)
	k := killing{recipients: 100, times: 1, gently: true}
	dir := t.TempDir()
	bin := k.build(t, dir)
	k.writeInput(t, dir, overRelay(port), ca)
	file := filepath.Join(dir, "tidemark.yaml")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tidemark := func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin, append([]string{"--config", file}, args...)...)
		cmd.Env = append(os.Environ(), "TIDEMARK_NOW=")
		return cmd
	}
	if out, err := tidemark("extract").CombinedOutput(); err != nil {
		t.Fatalf("extract: %v\n%s", err, out)
	}
	begun := tidemark("run", "weekly", "--slot", "2026-11-16T06:00:00Z")
	if err := begun.Start(); err != nil {
		t.Fatal(err)
	}
	<-f.accepted
	_ = begun.Process.Signal(syscall.SIGTERM)
	_ = begun.Wait() // it was stopped, and says so
	serve := tidemark("serve", "--tick", "20ms")
	var log strings.Builder
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	reloads := 0
	for ended := false; !ended; {
		select {
		case <-f.accepted:
			content := good
			if reloads++; reloads%2 == 0 {
				content = []byte("source: {kind: nonsense}\n")
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_ = serve.Process.Signal(syscall.SIGHUP)
		case <-time.After(2 * time.Second): // nothing leaves any more
			ended = true
		}
	}
	_ = serve.Process.Signal(syscall.SIGTERM)
	if err := serve.Wait(); err != nil {
		t.Errorf("serve: %v\n%s", err, log.String())
	}
	for _, want := range []string{"configuration read again", "the configuration stays as it was", "nonsense"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	t.Logf("%d reloads", reloads)
	f.judge(t, dir, 1, k)
}

// overRelay is the part of the configuration that names the relay.
func overRelay(port int) map[string]any {
	return map[string]any{
		"mail": map[string]any{"kind": "smtp", "from": "usage@partner.example", "smtp": map[string]any{"host": "127.0.0.1", "port": port, "ca": "ca.pem"}},
	}
}

// TestKill_ThroughGraph does the same with a mailbox of Exchange Online that loses
// answers, fails for a moment and throttles.
func TestKill_ThroughGraph(t *testing.T) {
	f := &flaky{taken: map[string]int{}, accepted: make(chan struct{}, 1)}
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 1, Today: time.Now()})
	s := fakemicrosoft.NewWith(p, time.Now, fakemicrosoft.Options{Accepted: func(m fakemicrosoft.Mail) {
		f.mu.Lock()
		for _, to := range m.To {
			f.taken[to]++
		}
		f.mu.Unlock()
		select {
		case f.accepted <- struct{}{}:
		default:
		}
		<-time.After(time.Duration(2+rand.IntN(10)) * time.Millisecond)
	}})
	lost := fakemicrosoft.Lost().On(fakemicrosoft.Graph, "sendMail").EveryNth(23)
	s.Script(lost, fakemicrosoft.Refused(401, "").On(fakemicrosoft.Graph, "sendMail").EveryNth(19))
	at, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("client-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	killing{recipients: 120, times: 20}.run(t, f, map[string]any{
		"mail": map[string]any{"kind": "graph", "from": "usage@partner.example", "pace": 1_000_000},
		"microsoft": map[string]any{"tenant": p.TenantID, "client_id": fakemicrosoft.DefaultClient, "client_secret": "file:" + secret,
			"endpoints": map[string]any{"login": at.Login, "graph": at.Graph}},
	}, nil)
	for _, r := range s.Requests() {
		if r.Host == fakemicrosoft.Graph && r.Status == 0 {
			f.dropped++
		}
	}
	if f.dropped == 0 {
		t.Error("no answer was lost")
	}
	t.Logf("%d answers lost, %d mails accepted", f.dropped, len(s.Mails()))
}

// run delivers over a next hop, with the configuration's part that names it.
func (k killing) run(t *testing.T, f *flaky, hop map[string]any, ca []byte) {
	t.Helper()
	dir := t.TempDir()
	bin := k.build(t, dir)
	k.writeInput(t, dir, hop, ca)
	k.until(t, f, dir, bin)
}

// build builds the program into a folder.
func (killing) build(t *testing.T, dir string) (bin string) {
	t.Helper()
	bin = filepath.Join(dir, "tidemark")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// until runs the program until it ends by itself.
func (k killing) until(t *testing.T, f *flaky, dir, bin string) {
	t.Helper()
	tidemark := func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin, append([]string{"--config", filepath.Join(dir, "tidemark.yaml"), "-q"}, args...)...)
		cmd.Env = append(os.Environ(), "TIDEMARK_NOW=")
		return cmd
	}
	if out, err := tidemark("extract").CombinedOutput(); err != nil {
		t.Fatalf("extract: %v\n%s", err, out)
	}
	kills, starts := 0, 0
	run := func() bool { // reports whether the program ended by itself
		starts++
		cmd := tidemark("run", "weekly", "--slot", "2026-11-16T06:00:00Z")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if kills < k.times {
			select {
			case <-f.accepted:
				select {
				case <-time.After(time.Duration(rand.IntN(40)) * time.Millisecond):
				case <-ended:
					t.Fatalf("ended after %d kills: %s", kills, out.String())
				}
				if k.gently {
					_ = cmd.Process.Signal(syscall.SIGTERM)
				} else {
					_ = cmd.Process.Kill()
				}
				<-ended
				kills++
				return false
			case <-ended:
				t.Fatalf("ended after %d kills: %s", kills, out.String())
			}
		}
		<-ended
		t.Logf("at the end: %s", out.String())
		return true
	}
	for !run() {
		select { // what the killed one had begun
		case <-f.accepted:
		default:
		}
	}
	f.judge(t, dir, kills, k)
}

// judge compares what arrived with what the ledger says.
func (f *flaky) judge(t *testing.T, dir string, kills int, k killing) {
	t.Helper()
	l, err := ledger.Open(context.Background(), filepath.Join(dir, "tidemark.db"), ledger.Options{Now: time.Now, Owner: "judge"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := l.Deliveries(context.Background(), ledger.Query{Limit: 10 * k.recipients})
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	states := map[ledger.DeliveryState]int{}
	duplicates, lost, arrived := 0, 0, 0
	for _, d := range all {
		states[d.State]++
		switch n := f.taken[d.Recipient]; {
		case n > 1:
			duplicates++
		case n == 0 && d.State != ledger.Unknown:
			lost++
		case n == 1 && d.State == ledger.Unknown:
			arrived++
		}
	}
	t.Logf("%d recipients, %d kills, %d answers dropped: %v, %d duplicates, %d lost; of the unknown %d arrived", len(all), kills, f.dropped, states, duplicates, lost, arrived)
	if k.gently && states[ledger.Unknown] > f.dropped {
		t.Error("asked to end, the program left mails of which nobody knows whether they arrived")
	}
	if len(all) != k.recipients || duplicates+lost > 0 || states[ledger.Sent]+states[ledger.Unknown] != k.recipients || kills < k.times {
		t.Fail()
	}
}

// serve starts the relay with STARTTLS and returns its authority and port.
func (f *flaky) serve(t *testing.T) (ca []byte, port int) {
	t.Helper()
	https := httptest.NewUnstartedServer(nil) // for its certificate
	https.StartTLS()
	t.Cleanup(https.Close)
	srv := smtp.NewServer(f)
	srv.Domain, srv.TLSConfig = "localhost", https.TLS
	srv.ErrorLog = quiet{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); _ = l.Close(); <-done })
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw}), l.Addr().(*net.TCPAddr).Port
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (k killing) writeInput(t *testing.T, dir string, hop map[string]any, ca []byte) {
	t.Helper()
	var owners, people, customers, subscriptions, usage strings.Builder
	owners.WriteString("customer_id,address\n")
	people.WriteString("address,name,role\n")
	customers.WriteString("customer_id,name\n")
	subscriptions.WriteString("subscription_id,customer_id,status\n")
	usage.WriteString("usage_date,customer_id,subscription_id,category,quantity,cost,currency\n")
	for i := range k.recipients {
		fmt.Fprintf(&owners, "c%d,p%d@partner.example\n", i, i)
		fmt.Fprintf(&people, "p%d@partner.example,Person %d,sales_agent\n", i, i)
		fmt.Fprintf(&customers, "c%d,Customer %d\n", i, i)
		fmt.Fprintf(&subscriptions, "s%d,c%d,active\n", i, i)
		for day := 1; day <= 9; day++ {
			fmt.Fprintf(&usage, "2026-11-%02d,c%d,s%d,Storage,1,1.00,EUR\n", day, i, i)
		}
	}
	settings := map[string]any{
		"source":     map[string]any{"kind": "tables", "path": "in", "settle_days": 0},
		"recipients": map[string]any{"file": "people.csv"}, "ownership": map[string]any{"file": "owners.csv"},
		"jobs": []any{map[string]any{"name": "weekly", "cron": "0 7 * * MON", "do": "digest", "role": "sales_agent", "period": "2026-11-03..2026-11-09", "send": true}},
	}
	maps.Copy(settings, hop)
	config, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"owners.csv": owners.String(), "people.csv": people.String(), "in/customers.csv": customers.String(),
		"in/subscriptions.csv": subscriptions.String(), "in/usage.csv": usage.String(), "tidemark.yaml": string(config), "ca.pem": string(ca)} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
