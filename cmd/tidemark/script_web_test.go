package main

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// served is a `tidemark serve` that a script has started.
type served struct {
	process *exec.Cmd
	log     *sharedLog
	ended   chan error
}

// serveCommand is `serve [ARG…]`: it starts `tidemark serve` and sets $URL, and
// $ADDRESS without its scheme, once its pages can be asked for.
func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: serve [ARG…]")
	}
	program := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "tidemark")); err == nil && program == "" {
			program = filepath.Join(dir, "tidemark")
		}
	}
	s := &served{process: exec.Command(program, append([]string{"serve"}, args...)...), log: &sharedLog{}, ended: make(chan error, 1)}
	s.process.Dir = ts.MkAbs(".")
	s.process.Env = append(os.Environ(), "TIDEMARK_NOW="+ts.Getenv("TIDEMARK_NOW"))
	stderr, err := s.process.StderrPipe()
	ts.Check(err)
	ts.Check(s.process.Start())
	url := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		found := regexp.MustCompile(`msg=web url=(\S+)/`)
		for lines.Scan() {
			s.log.add(lines.Text())
			if m := found.FindStringSubmatch(lines.Text()); m != nil {
				url <- m[1]
			}
		}
		close(url)
		s.ended <- errors.Join(lines.Err(), s.process.Wait())
	}()
	ts.Value(serving{}).(*servedBy).now = s
	at, up := <-url
	if !up {
		ts.Fatalf("serve ended: %v\n%s", <-s.ended, s.log)
	}
	ts.Setenv("URL", at)
	ts.Setenv("ADDRESS", strings.TrimPrefix(at, "http://"))
	ts.Defer(func() { _ = s.stop() }) // stopserve says how it ended
}

// sharedLog is written by one goroutine and read by another.
type sharedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *sharedLog) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serving is the key of a script's servedBy.
type serving struct{}

// servedBy is the serve that a script started last.
type servedBy struct{ now *served }

// stop asks the process to end, and waits for that.
func (s *served) stop() error {
	_ = s.process.Process.Signal(syscall.SIGTERM) // it may have ended
	err := <-s.ended
	s.ended <- err
	return err
}

// stopCommand is `stopserve`: what serve logged is then stderr.
func stopCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: stopserve")
	}
	s := ts.Value(serving{}).(*servedBy).now
	err := s.stop()
	_, _ = io.WriteString(ts.Stderr(), s.log.String())
	ts.Check(err)
}

// terminateCommand is `terminate`: serve is asked to end, and is not waited for.
func terminateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: terminate")
	}
	ts.Check(ts.Value(serving{}).(*servedBy).now.process.Process.Signal(syscall.SIGTERM))
}

// hangupCommand is `hangup`: serve is told to read its configuration again.
func hangupCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: hangup")
	}
	ts.Check(ts.Value(serving{}).(*servedBy).now.process.Process.Signal(syscall.SIGHUP))
}

// awaitLogCommand is `awaitlog REGEXP`: it waits until serve has logged that.
func awaitLogCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaitlog REGEXP")
	}
	want, s := regexp.MustCompile("(?m)"+args[0]), ts.Value(serving{}).(*servedBy).now
	for end := time.Now().Add(time.Minute); time.Now().Before(end); runtime.Gosched() {
		if want.MatchString(s.log.String()) {
			return
		}
	}
	ts.Fatalf("serve has not logged %q within a minute:\n%s", args[0], s.log)
}

// fetch asks the served pages and returns the status, the headers and the body.
func fetch(ts *testscript.TestScript, path string, header ...string) (int, string) {
	r, err := http.NewRequest(http.MethodGet, ts.Getenv("URL")+path, nil)
	ts.Check(err)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Host":
			r.Host = value
		case "Method":
			r.Method = value
		default:
			r.Header.Set(name, value)
		}
	}
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	body, err := io.ReadAll(answer.Body)
	ts.Check(errors.Join(err, answer.Body.Close()))
	var all strings.Builder
	ts.Check(answer.Header.Write(&all))
	return answer.StatusCode, all.String() + "\n" + string(body)
}

// fetchCommand is `fetch STATUS PATH [HEADER…]`: headers and body of the answer
// are then stdout. The headers Host and Method stand for those of the request.
func fetchCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fetch STATUS PATH [HEADER…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	status, body := fetch(ts, args[1], args[2:]...)
	_, _ = io.WriteString(ts.Stdout(), body)
	if status != want {
		ts.Fatalf("%s: status %d, want %d\n%s", args[1], status, want, body)
	}
}

// awaitCommand is `await PATH REGEXP`: it asks until the answer matches.
func awaitCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await PATH REGEXP")
	}
	want := regexp.MustCompile("(?m)" + args[1])
	body := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if _, body = fetch(ts, args[0]); want.MatchString(body) {
			_, _ = io.WriteString(ts.Stdout(), body)
			return
		}
	}
	ts.Fatalf("%s does not match %q within a minute:\n%s", args[0], args[1], body)
}
