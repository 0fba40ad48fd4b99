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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// served is a `tidemark serve` that a script has started.
type served struct {
	process *exec.Cmd
	log     *strings.Builder
	ended   chan error
}

// serveCommand is `serve [ARG…]`: it starts `tidemark serve` and sets $URL once
// its pages can be asked for.
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
	s := &served{process: exec.Command(program, append([]string{"serve"}, args...)...), log: &strings.Builder{}, ended: make(chan error, 1)}
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
			s.log.WriteString(lines.Text() + "\n")
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
	ts.Defer(func() { _ = s.stop() }) // stopserve says how it ended
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
