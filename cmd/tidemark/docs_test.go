package main

import (
	"bufio"
	"bytes"
	"cmp"
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
	"github.com/spf13/pflag"

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

// programOf is the program that a command starts.
func programOf(text string) string {
	program, _, _ := strings.Cut(text, " ")
	return program
}

// The tests of make test-deploy that run commands of other programs than tidemark.
const (
	onHost    = "TestDeploy_DocsHost"
	onMachine = "TestDeploy_DocsMachine"
	inDocker  = "TestDeploy_DocsDocker"
)

// ranBy is the test that runs a page's commands of another program than tidemark and make, ""
// if nobody has thought of one.
func ranBy(page, program string) string {
	switch page {
	case "docs/deploy.md":
		switch program {
		case "docker":
			return inDocker
		case "sudo", "systemctl", "systemd-analyze", "journalctl", "sha256sum", "tar", "cd":
			return onMachine
		}
	case "docs/web.md":
		if program == "ssh" {
			return onMachine
		}
	case "docs/microsoft365.md", "docs/partnercenter.md", "docs/operations.md", "docs/feedback.md":
		switch program {
		case "openssl", "cat", "curl", "chmod", "sqlite3":
			return onHost
		}
	}
	return ""
}

// inlineCommands are the commands that a page names in its text, those of tidemark or of other
// programs.
func inlineCommands(t *testing.T, page, programs string) []docCommand {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:" + programs + ") [^`\n]+)`")
	var all []docCommand
	for i, line := range strings.Split(string(b), "\n") {
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			all = append(all, docCommand{page: page, line: i + 1, text: m[1]})
		}
	}
	return all
}

const otherPrograms = "curl|openssl|docker|systemctl|systemd-[a-z]+|journalctl|sqlite3|tar|sha256sum|sudo|install|cat|chmod|cp|kill|ssh|psql|git|go|npm|python3?"

// docFile is the content of a file that a page shows.
type docFile struct {
	line       int
	name, text string
}

// docFiles are the blocks of a page after a line that ends with the file's name in backticks,
// with a few words perhaps, and a colon.
func docFiles(t *testing.T, page string) []docFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all []docFile
	for _, m := range regexp.MustCompile("(?m)^.*`([a-z/]+\\.(?:csv|yaml))`[^`\n]*:\n+```[a-z]*\n((?s:.*?))```").FindAllStringSubmatchIndex(string(b), -1) {
		all = append(all, docFile{bytes.Count(b[:m[0]], []byte("\n")) + 1, string(b[m[2]:m[3]]), string(b[m[4]:m[5]])})
	}
	return all
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
func (s *sandbox) microsoft() { s.tenant(fakemicrosoft.Options{}, `client_secret: "file:secret"`) }

// tenant is a Microsoft side, and a configuration that signs in there by these keys.
func (s *sandbox) tenant(o fakemicrosoft.Options, keys string) (at fakemicrosoft.Endpoints, id string) {
	s.t.Helper()
	now, err := time.Parse(time.RFC3339, docsNow)
	if err != nil {
		s.t.Fatal(err)
	}
	p := fakemicrosoft.NewPartner(1, fakemicrosoft.Size{Customers: 3, Azure: 4, Lines: 1, Days: 20, Today: now})
	o.Export.Polls, o.Budget.Requests = -1, -1
	server := fakemicrosoft.NewWith(p, func() time.Time { return now }, o)
	if at, err = server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := server.Close(); err != nil {
			s.t.Error(err)
		}
	})
	s.write("secret", "client-secret")
	s.write("tidemark.yaml", fmt.Sprintf(`source: {kind: partnercenter, tenant: %s, client_id: %s, %s, currencies: [EUR], endpoints: {login: %q, api: %q, graph: %q}}
`, p.TenantID, fakemicrosoft.DefaultClient, keys, at.Login, at.API, at.Graph))
	return at, p.TenantID
}

// TestDocs_EveryCommandRuns runs the commands of every page in their order, each page in a
// folder of its own.
func TestDocs_EveryCommandRuns(t *testing.T) {
	begin := map[string]func(*sandbox){"README.md": func(*sandbox) {}, "docs/quickstart.md": func(*sandbox) {}, "docs/deploy.md": func(*sandbox) {}, "docs/partnercenter.md": (*sandbox).microsoft, "docs/microsoft365.md": (*sandbox).microsoft}
	ran := 0
	for _, page := range allPages(t) {
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
			for _, f := range docFiles(t, page) {
				s.write(f.name, f.text)
			}
			for _, c := range commands {
				s.command(c)
			}
		})
	}
	if ran < 6 {
		t.Errorf("only %d pages have commands", ran)
	}
}

// command runs a command of tidemark, and refuses others that nobody has thought of.
func (s *sandbox) command(c docCommand) {
	s.t.Helper()
	words := shellWords(c.text)
	switch name := words[0]; name {
	case "tidemark", "bin/tidemark":
	case "make":
		return // TestDocs_NameTargetsThatThereAre
	default:
		if ranBy(c.page, name) == "" {
			s.t.Errorf("%s:%d: no test runs %q", c.page, c.line, c.text)
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

// allPages are the pages of the docs, and those beside them.
func allPages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d pages, %v", len(files), err)
	}
	pages := []string{"README.md", "CONTRIBUTING.md"}
	for _, f := range files {
		pages = append(pages, "docs/"+filepath.Base(f))
	}
	return pages
}

// TestDocs_CommandsInTextAreRun finds each command that a page names in its text among those
// that scripts or the pages' blocks run: the same command, with these flags and arguments.
func TestDocs_CommandsInTextAreRun(t *testing.T) {
	a := &app{environment: environment{getenv: func(string) string { return "" }}}
	ran := map[string][][]string{}
	add := func(text string) {
		if path, rest := invoked(a.command(), text); path != "" {
			ran[path] = append(ran[path], rest)
		}
	}
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) < 20 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, script := range scripts {
		b, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:exitcode (?:3|10|11|12|13|14) )?(?:exec )?(?:tidemark|(serve))( .*)?$`).FindAllStringSubmatch(string(b), -1) {
			add(m[1] + m[2])
		}
	}
	for _, page := range allPages(t) {
		for _, c := range docCommands(t, page) {
			if text, ok := strings.CutPrefix(strings.TrimPrefix(c.text, "bin/"), "tidemark "); ok {
				add(text)
			}
		}
	}
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range allPages(t) {
		for _, c := range inlineCommands(t, page, "tidemark|bin/tidemark") {
			_, text, _ := strings.Cut(c.text, " ")
			path, want := invoked(a.command(), text)
			if path == "" || !slices.ContainsFunc(ran[path], func(got []string) bool { return hasWords(got, want) }) {
				t.Errorf("%s:%d: no test runs `%s`", page, c.line, c.text)
			}
		}
		for _, c := range inlineCommands(t, page, otherPrograms) {
			if ranBy(page, programOf(c.text)) == "" && !inCI(string(ci), c.text) {
				t.Errorf("%s:%d: no test runs `%s`", page, c.line, c.text)
			}
		}
	}
}

// inCI reports whether .ci/run runs each part of a command.
func inCI(ci, text string) bool {
	return !slices.ContainsFunc(strings.Split(text, " && "), func(part string) bool { return !strings.Contains(ci, " "+part+"\n") })
}

// invoked is the command that arguments of tidemark name, and the words after it; "" if there
// is none.
func invoked(root *cobra.Command, text string) (path string, rest []string) {
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(shellWords(text))
	if err != nil || cmd == root {
		return "", nil
	}
	if len(rest) > 0 { // a name alone is no call
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !slices.Contains(rest, "--"+f.Name) {
				path = "lacks --" + f.Name
			}
		})
	}
	return cmp.Or(path, cmd.CommandPath()), rest
}

// hasWords reports whether a command that ran has every word of the one that is named; a word in
// capitals stands for any.
func hasWords(ran, named []string) bool {
	for i, word := range named {
		stands := regexp.MustCompile(`^[A-Z]+(\.eml)?$`).MatchString(word)
		switch {
		case stands && i > 0 && strings.HasPrefix(named[i-1], "--"):
			// the flag before it has been found, and has a value
		case stands && !slices.ContainsFunc(ran, func(w string) bool { return !strings.HasPrefix(w, "-") }):
			return false
		case !stands && !slices.Contains(ran, word):
			return false
		}
	}
	return true
}

// TestDocs_EveryBlockIsLookedAt keeps commands out of blocks that nothing runs.
func TestDocs_EveryBlockIsLookedAt(t *testing.T) {
	by := map[string]string{
		"sh": "TestDocs_EveryCommandRuns and make test-deploy", "sql": "make test-interop", "csv": "docFiles", "yaml": "docFiles, or parts of a configuration",
		"text":       "no test: parts of another program's configuration",
		"powershell": "TestDocs_ExchangeCommands",
	}
	for _, page := range allPages(t) {
		b, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		kind, inside := "", false
		for i, line := range strings.Split(string(b), "\n") {
			fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
			switch {
			case isFence && inside:
				inside = false
			case isFence:
				kind, inside = fence, true
				if by[kind] == "" {
					t.Errorf("%s:%d: nothing looks at blocks of kind %q", page, i+1, kind)
				}
			case inside && kind == "text" && regexp.MustCompile(`^\W*(?:tidemark|bin/tidemark|make|`+otherPrograms+`) `).MatchString(line):
				t.Errorf("%s:%d: a command in a block that is not run: %s", page, i+1, line)
			}
		}
	}
}

// TestDocs_NameTargetsThatThereAre looks up the targets of make that pages name; .ci/run calls
// those that the README shows.
func TestDocs_NameTargetsThatThereAre(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range allPages(t) {
		for _, c := range append(docCommands(t, page), inlineCommands(t, page, "make")...) {
			words := strings.Fields(c.text)
			if words[0] == "make" && !strings.Contains(string(makefile), "\n"+words[1]+":") {
				t.Errorf("%s:%d: there is no target %q", page, c.line, words[1])
			}
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
