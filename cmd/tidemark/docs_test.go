package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tidemark/jobs"
	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// docCommand is a command that a page shows.
type docCommand struct {
	page string
	line int
	text string
	exit int // that the page says, else 0
}

// docCommands are the commands of a page's shell blocks, in their order.
func docCommands(t *testing.T, page string) []docCommand {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	says := regexp.MustCompile(`#.*\bexit (\d+)`)
	var all []docCommand
	shell, joined := false, ""
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"): // also of a list's item
			kind := strings.TrimSpace(line)
			shell = kind == "```sh" || kind == "```console"
			continue
		case !shell:
			continue
		}
		if rest, more := strings.CutSuffix(line, `\`); more {
			joined += rest
			continue
		}
		text, comment, _ := strings.Cut(joined+line, " #")
		joined = ""
		if text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "$ ")); text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		c := docCommand{page: page, line: i + 1, text: text}
		if m := says.FindStringSubmatch("#" + comment); m != nil {
			if c.exit, err = strconv.Atoi(m[1]); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, c)
	}
	return all
}

// notRun are commands of other programs that pages show, and why no test runs them.
func notRun() map[string]string {
	return map[string]string{
		"make":             "its targets are looked up in the Makefile",
		"cd":               "a test has its own folder",
		"cat":              "shows a file",
		"cp":               "of files that only a real machine has",
		"chmod":            "of files that only a real machine has",
		"curl":             "asks another machine",
		"ssh":              "asks another machine",
		"openssl":          "a program that may not be there",
		"docker":           "needs its daemon",
		"systemctl":        "needs systemd as the first process",
		"systemd-sysusers": "makes a user of this machine",
		"install":          "writes outside of the test's folder",
		"journalctl":       "reads the machine's journal",
		"sqlite3":          "a program that may not be there",
		"tar":              "of a release, which make test-release checks",
		"sha256sum":        "of a release, which make test-release checks",
		"kill":             "reload.txtar sends that signal",
	}
}

// sandbox is a folder in which a page's commands run.
type sandbox struct {
	t   *testing.T
	dir string
	env []string
}

const docsNow = "2026-11-16T07:00:00Z"

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	// No PATH: nothing that a page opens may open on this machine.
	return &sandbox{t, t.TempDir(), []string{"TIDEMARK_NOW=" + docsNow, "PATH=", "TIDEMARK_CONFIG="}}
}

func (s *sandbox) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// extracted is the sandbox of a page that takes an archive, jobs and mails for granted.
func (s *sandbox) extracted() {
	s.t.Helper()
	s.write("tidemark.yaml", `source: {kind: sample, customers: 8, subscriptions: 20}
partner: {name: Polder Cloud, locale: en, timezone: Europe/Amsterdam}
mail: {from: "Polder Cloud <usage@partner.example>"}
operators: {webhook: "file:hook"}
ownership: {file: owners.csv}
recipients:
  - {address: anna@partner.example, role: sales_agent}
  - {address: ada@partner.example, role: admin_agent}
jobs:
  - {name: nightly, cron: "30 2 * * *", do: extract}
  - {name: weekly-sales, cron: "0 7 * * MON", do: digest, role: sales_agent, period: latest-7d, send: true}
`)
	s.write("owners.csv", "customer_id,address\n*,anna@partner.example\n")
	s.write("hook", "http://127.0.0.1:1/") // nobody is told anything
	for _, args := range []string{"run nightly --slot 2026-11-16T01:30:00Z", "run weekly-sales --slot 2026-11-16T06:00:00Z"} {
		if code, out := s.run(strings.Fields(args)); code != exitDone {
			s.t.Fatalf("tidemark %s: exit %d\n%s", args, code, out)
		}
	}
}

// run runs tidemark to its end; one that serves until it is stopped is stopped once it serves.
func (s *sandbox) run(args []string) (code int, out string) {
	s.t.Helper()
	cmd := process(s.dir, s.env, args...)
	var both bytes.Buffer
	cmd.Stdout = &both
	serves := args[0] == "serve" || args[0] == "preview" && !slices.Contains(args, "--out")
	if !serves {
		cmd.Stderr = &both
		return exitOf(s.t, cmd.Run()), both.String()
	}
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	stop := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stop.Stop()
	var log strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "msg=serving") || strings.Contains(lines.Text(), "http://127.0.0.1") {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	return exitOf(s.t, cmd.Wait()), both.String() + log.String()
}

func exitOf(t *testing.T, err error) int {
	t.Helper()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return exitDone
}

// mail is the newest mail that was written.
func (s *sandbox) mail() string {
	s.t.Helper()
	all, err := filepath.Glob(filepath.Join(s.dir, "outbox", "sales_agent-*.eml"))
	if err != nil || len(all) == 0 {
		s.t.Fatalf("no mail: %v", err)
	}
	b, err := os.ReadFile(all[len(all)-1])
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// microsoft is the sandbox of a page about Partner Center.
func (s *sandbox) microsoft() {
	s.t.Helper()
	now, err := time.Parse(time.RFC3339, docsNow)
	if err != nil {
		s.t.Fatal(err)
	}
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 3, Azure: 4, Lines: 1, Days: 20, Today: now})
	server := fakemicrosoft.NewWith(p, func() time.Time { return now }, fakemicrosoft.Options{Export: fakemicrosoft.ExportOptions{Polls: -1}, Budget: fakemicrosoft.BudgetOptions{Requests: -1}})
	at, err := server.Start()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.write("secret", "client-secret")
	s.write("tidemark.yaml", fmt.Sprintf(`source: {kind: partnercenter, tenant: %s, client_id: %s, client_secret: "file:secret", currencies: [EUR], endpoints: {login: %q, api: %q, graph: %q}}
`, p.TenantID, fakemicrosoft.DefaultClient, at.Login, at.API, at.Graph))
}

// TestDocs_EveryCommandRuns runs the commands of every page in their order, each page in a
// folder of its own.
func TestDocs_EveryCommandRuns(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) < 8 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	begin := map[string]func(*sandbox){"README.md": func(*sandbox) {}, "docs/quickstart.md": func(*sandbox) {}, "docs/partnercenter.md": (*sandbox).microsoft, "docs/microsoft365.md": (*sandbox).microsoft}
	ran := 0
	for _, path := range append(pages, filepath.Join(root, "README.md")) {
		page, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		commands := docCommands(t, page)
		if len(commands) == 0 {
			continue
		}
		ran++
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			if start := begin[page]; start != nil {
				start(s)
			} else {
				s.extracted()
			}
			s.files(page)
			for _, c := range commands {
				s.command(c)
			}
		})
	}
	if ran < 6 {
		t.Errorf("only %d pages have commands", ran)
	}
}

// files writes what a page shows as the content of a file: a block after a line that ends with
// the file's name in backticks and a colon.
func (s *sandbox) files(page string) {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^.*`([a-z/]+\\.(?:csv|yaml))`[^`\n]*:\n+```[a-z]*\n((?s:.*?))```").FindAllStringSubmatch(string(b), -1) {
		s.write(m[1], m[2])
	}
}

// command runs a command of tidemark, and refuses others that nobody has thought of.
func (s *sandbox) command(c docCommand) {
	s.t.Helper()
	words := shellWords(c.text)
	name := strings.TrimPrefix(words[0], "sudo ")
	if name == "sudo" {
		words, name = words[1:], words[1]
	}
	if name != "tidemark" && name != "bin/tidemark" {
		if notRun()[name] == "" {
			s.t.Errorf("%s:%d: %q is neither run nor left out for a reason", c.page, c.line, c.text)
		}
		if name == "make" {
			makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
			if err != nil || len(words) < 2 || !strings.Contains(string(makefile), "\n"+words[1]+":") {
				s.t.Errorf("%s:%d: there is no target %q, %v", c.page, c.line, c.text, err)
			}
		}
		return
	}
	for i, w := range words {
		switch w {
		case "monday.eml":
			s.write(w, s.mail())
		case "RUN":
			words[i] = "weekly-sales@2026-11-16T06:00:00Z"
		}
	}
	if code, out := s.run(words[1:]); code != c.exit {
		s.t.Errorf("%s:%d: %s: exit %d, want %d\n%s", c.page, c.line, c.text, code, c.exit, out)
	}
}

// shellWords splits a command at blanks outside of quotes.
func shellWords(text string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`).FindAllStringSubmatch(text, -1) {
		words = append(words, m[1]+m[2]+m[3])
	}
	return words
}

// TestDocs_NameCommandsThatThereAre looks up every command and flag that a page names in
// its text.
func TestDocs_NameCommandsThatThereAre(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	a := &app{environment: environment{getenv: func(string) string { return "" }}}
	for _, path := range append(pages, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(?:bin/)?tidemark ([^`\n]+)`").FindAllStringSubmatch(string(b), -1) {
			checkNamed(t, filepath.Base(path), a.command(), m[1])
		}
	}
}

// checkNamed looks up one command with its flags.
func checkNamed(t *testing.T, page string, root *cobra.Command, text string) {
	t.Helper()
	cmd, rest, err := root.Find(strings.Fields(text))
	if err != nil || cmd == root {
		if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "help") {
			return
		}
		t.Errorf("%s names `tidemark %s`: %v", page, text, err)
		return
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		t.Errorf("%s names `tidemark %s`: there is no %s", page, text, rest[0])
	}
	for _, word := range rest {
		flag, _, _ := strings.Cut(strings.TrimRight(word, ",;)]"), "=")
		name, long := strings.CutPrefix(strings.TrimLeft(flag, "["), "--")
		if long && cmd.Flags().Lookup(name) == nil && root.PersistentFlags().Lookup(name) == nil {
			t.Errorf("%s names `tidemark %s`: there is no flag --%s", page, text, name)
		}
	}
}

// TestDocs_TheRunbookHasEveryAlarm finds the keys that alarms are raised with in the code.
func TestDocs_TheRunbookHasEveryAlarm(t *testing.T) {
	headings := map[string]string{ // of what stands in a call
		"alarmMail": "mail", "alarmStandstill": "standstill", "alarmReload": "reload",
		"key": "", // of jobs.Alarms.Ended, of recipients and of suppressed addresses, below
	}
	wanted := []string{"mail", "standstill", "reload", alarmRecipients + "ROLE", jobs.AlarmOf("NAME"), jobs.AlarmOfSuppressed("ADDRESS")}
	runbook, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range wanted {
		if !strings.Contains(string(runbook), "\n### "+key+"\n") {
			t.Errorf("docs/operations.md has no heading %q", key)
		}
	}
	calls := 0
	for _, pattern := range []string{"cmd/tidemark/*.go", "jobs/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range regexp.MustCompile(`\.Raise\(ctx, (?:s\.ledger|l), (\w+),`).FindAllStringSubmatch(string(b), -1) {
				calls++
				if _, known := headings[m[1]]; !known {
					t.Errorf("%s raises an alarm %s that docs/operations.md does not know", filepath.Base(file), m[1])
				}
			}
			if n := strings.Count(string(b), ".Raise("); n != len(regexp.MustCompile(`\.Raise\(ctx, (?:s\.ledger|l), (\w+),`).FindAllString(string(b), -1)) {
				t.Errorf("%s raises an alarm in a way that this test does not see", filepath.Base(file))
			}
		}
	}
	if calls != 6 {
		t.Errorf("%d places raise alarms: look whether docs/operations.md has them all", calls)
	}
}
