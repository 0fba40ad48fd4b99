//go:build deploy

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// TestDeploy_DocsHost runs the commands of programs that any machine may have, each in the
// folder that its page takes for granted, and has tidemark use what they made.
func TestDeploy_DocsHost(t *testing.T) {
	t.Run("docs/microsoft365.md", func(t *testing.T) {
		s := newSandbox(t)
		s.others("docs/microsoft365.md", nil)
		b, err := os.ReadFile(filepath.Join(s.dir, "cert.pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			t.Fatal("cert.pem is no PEM")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		s.tenant(fakemicrosoft.Options{Login: fakemicrosoft.LoginOptions{Certificate: cert}}, `certificate: "file:app.pem"`)
		s.checks()
	})
	t.Run("docs/partnercenter.md", func(t *testing.T) {
		s := newSandbox(t)
		at, tenant := s.tenant(fakemicrosoft.Options{}, `client_secret: "file:secret", refresh_token: "file:refresh-token"`)
		s.env = append(s.env, "TIDEMARK_CLIENT_SECRET=client-secret", "CODE=code")
		s.others("docs/partnercenter.md", strings.NewReplacer("https://login.microsoftonline.com", at.Login, "TENANT/", tenant+"/", "=CLIENT ", "="+fakemicrosoft.DefaultClient+" ", "REDIRECT", "http://localhost"))
		s.checks()
	})
	t.Run("docs/operations.md", func(t *testing.T) {
		s := newSandbox(t)
		s.extracted()
		before := s.succeeds("runs")
		s.others("docs/operations.md", nil)
		if err := os.Rename(filepath.Join(s.dir, "tidemark-backup.db"), filepath.Join(s.dir, "tidemark.db")); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"-wal", "-shm"} {
			if err := os.Remove(filepath.Join(s.dir, "tidemark.db"+part)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		if after := s.succeeds("runs"); after != before {
			t.Errorf("runs of the ledger that was backed up:\n%s\nwant\n%s", after, before)
		}
	})
	t.Run("docs/feedback.md", func(t *testing.T) {
		if out := newSandbox(t).others("docs/feedback.md", nil); !regexp.MustCompile(`^[0-9a-f]{64}\n$`).MatchString(out) {
			t.Errorf("a key is %q, want 32 bytes in hexadecimals", out)
		}
	})
}

// others runs a page's commands of other programs with a shell, and returns what they printed.
func (s *sandbox) others(page string, names *strings.Replacer) string {
	s.t.Helper()
	var out bytes.Buffer
	ran := 0
	for _, c := range append(docCommands(s.t, page), inlineCommands(s.t, page, otherPrograms)...) {
		if ranBy(page, programOf(c.text)) != onHost {
			continue
		}
		ran++
		if names != nil {
			c.text = names.Replace(c.text)
		}
		cmd := exec.Command("sh", "-ec", c.text)
		cmd.Dir, cmd.Env = s.dir, append(s.env, "PATH="+os.Getenv("PATH"))
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			s.t.Fatalf("%s:%d: %s: %v\n%s", page, c.line, c.text, err, out.String())
		}
	}
	if ran == 0 {
		s.t.Fatalf("%s has no command of another program", page)
	}
	return out.String()
}

// succeeds runs tidemark and returns what it printed.
func (s *sandbox) succeeds(args ...string) string {
	s.t.Helper()
	code, out := s.run(args)
	if code != exitDone {
		s.t.Fatalf("tidemark %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// checks has tidemark check find no problem; warnings are of what these pages are not about.
func (s *sandbox) checks() {
	s.t.Helper()
	if code, out := s.run([]string{"check"}); code != exitWarnings || strings.Contains(out, "problem") {
		s.t.Errorf("tidemark check: exit %d\n%s", code, out)
	}
}

// TestDeploy_DocsDocker has Docker's own daemon build and run the image as docs/deploy.md says.
func TestDeploy_DocsDocker(t *testing.T) {
	d := startDocker(t)
	ran := 0
	for _, c := range docCommands(t, "docs/deploy.md") {
		if ranBy(c.page, programOf(c.text)) != inDocker {
			continue
		}
		ran++
		out := d.run(strings.ReplaceAll(c.text, "CONTAINER", d.container))
		if strings.Contains(c.text, " -d ") {
			d.container = strings.TrimSpace(out)
			d.logs("msg=serving")
		}
	}
	if ran != 4 {
		t.Errorf("%d commands, want 4", ran)
	}
	d.logs("configuration read again")
	d.run("docker exec " + d.container + " /tidemark status --check")
	if out, err := d.try("docker run --rm --entrypoint /bin/sh tidemark"); err == nil {
		t.Errorf("the image has a shell: %s", out)
	}
	if id := strings.TrimSpace(d.run("docker image inspect -f '{{.Config.User}}' tidemark")); id != "65532:65532" {
		t.Errorf("the image's user is %q", id)
	}
	d.run("docker stop " + d.container)
	if code := strings.TrimSpace(d.run("docker inspect -f '{{.State.ExitCode}}' " + d.container)); code != "0" {
		t.Errorf("stopped, it ends with %s, want 0", code)
	}
}

// docker is a daemon of the test's own.
type docker struct {
	t         *testing.T
	dir, host string
	container string
}

// startDocker starts a daemon, with images of the names that the Dockerfile begins from: made
// of packages, since no registry of images can be taken for granted.
func startDocker(t *testing.T) *docker {
	t.Helper()
	d := &docker{t: t, dir: filepath.Join(t.TempDir(), "copy")}
	if exec.Command("docker", "version").Run() == nil {
		t.Fatal("a Docker daemon runs here already, and the test's own would share its network: stop it for this test")
	}
	base := t.TempDir()
	d.host = "unix://" + filepath.Join(base, "docker.sock")
	daemon := exec.Command("dockerd", "--data-root", filepath.Join(base, "data"), "--exec-root", filepath.Join(base, "exec"), "--pidfile", filepath.Join(base, "pid"), "--host", d.host)
	pipe, err := daemon.StderrPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.container != "" {
			d.run("docker rm -f -v " + d.container)
		}
		if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := daemon.Wait(); err != nil {
			t.Errorf("dockerd: %v", err)
		}
	})
	awaitLine(t, pipe, "API listen on")
	// The files as they are, without what is not under version control.
	if out, err := exec.Command("bash", "-o", "pipefail", "-c", `mkdir "$1" && git -C "$0" ls-files -z | tar -C "$0" --null -T - -c | tar -C "$1" -x`, root, d.dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, out)
	}
	certs := "/etc/ssl/certs/ca-certificates.crt" // of this machine, whose way to the registries may have one of its own
	d.run("tar -C " + machineRoot(t) + " -c . | docker import - packages")
	d.image("golang:1.26-bookworm", `ENV PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin`, map[string]string{goroot(t): "/usr/local/go", certs: certs})
	node, npm := lookPath(t, "node"), filepath.Dir(filepath.Dir(lookPath(t, "npm")))
	d.image("node:22-bookworm-slim", "RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/bin/npm\nENV NODE_EXTRA_CA_CERTS="+certs, map[string]string{node: "/usr/bin/node", npm: "/usr/lib/node_modules/npm", certs: certs})
	return d
}

// image makes an image of the Debian with some files of this machine.
func (d *docker) image(name, last string, files map[string]string) {
	d.t.Helper()
	text, from := "FROM packages\n", "tar -C /"
	for src, dst := range files {
		text += "COPY ." + src + " " + dst + "\n"
		from += " -c " + strings.TrimPrefix(src, "/")
	}
	file := filepath.Join(d.t.TempDir(), "Dockerfile")
	if err := os.WriteFile(file, []byte(text+last+"\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.run(fmt.Sprintf("%s -C %s Dockerfile | docker build -q -t %s -", from, filepath.Dir(file), name))
}

// run runs a command of docker, in a copy of the repository.
func (d *docker) run(command string) string {
	d.t.Helper()
	out, err := d.try(command)
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return out
}

func (d *docker) try(command string) (string, error) {
	cmd := exec.Command("bash", "-o", "pipefail", "-c", command)
	cmd.Dir, cmd.Env = d.dir, append(os.Environ(), "DOCKER_HOST="+d.host)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, tail(errs.String(), 2000))
	}
	return out.String(), nil
}

// logs waits until the container has written a line that has the text.
func (d *docker) logs(text string) {
	d.t.Helper()
	cmd := exec.Command("docker", "-H", d.host, "logs", "-f", d.container)
	pipe, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	awaitLine(d.t, pipe, text)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// TestDeploy_DocsMachine runs the commands of docs/deploy.md on a Debian with systemd as its
// first process, in namespaces of its own.
func TestDeploy_DocsMachine(t *testing.T) {
	work := t.TempDir()
	for _, name := range []string{"SHA256SUMS", "tidemark-1.0.0-linux-" + runtime.GOARCH + ".tar.gz"} {
		b, err := os.ReadFile(filepath.Join(root, "bin", "deploy", "release", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(work, name), b, 0o644)
		}
		if err != nil {
			t.Fatalf("%v: make test-deploy makes it", err)
		}
	}
	script, steps := machineScript(t)
	out := boot(t, work, script)
	results := regexp.MustCompile(`(?ms)^@@ (.*?)$(.*?)^@= (\d+) of (\d+)$`).FindAllStringSubmatch(out, -1)
	if steps < 25 || len(results) != steps {
		t.Errorf("%d of %d steps ended:\n%s", len(results), steps, out)
	}
	for _, r := range results {
		if r[3] != r[4] {
			t.Errorf("%s: exit %s, want %s%s", r[1], r[3], r[4], r[2])
		}
	}
}

// machineScript is what the machine runs: the commands of docs/deploy.md, the files that the page
// shows written between them, and looks at what they did. Each step prints its name, and how
// it ended.
func machineScript(t *testing.T) (script string, steps int) {
	t.Helper()
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	step := func(name, command string, exit int) {
		steps++
		say("echo '@@ %s'; %s; echo \"@= $? of %d\"", strings.ReplaceAll(name, "'", ""), command, exit)
	}
	say("set -o pipefail; cd /srv")
	files := docFiles(t, "docs/deploy.md")
	for _, c := range append(docCommands(t, "docs/deploy.md"), inlineCommands(t, "docs/deploy.md", otherPrograms)...) {
		for len(files) > 0 && files[0].line < c.line {
			say("cat > %s <<'END-OF-FILE'\n%sEND-OF-FILE", files[0].name, files[0].text)
			files = files[1:]
		}
		if program := programOf(c.text); program != "tidemark" && ranBy(c.page, program) != onMachine {
			continue
		}
		text := strings.ReplaceAll(c.text, "linux-amd64", "linux-"+runtime.GOARCH)
		switch {
		case strings.HasSuffix(text, " -f"): // follows, until it has shown what is waited for
			text = fmt.Sprintf("mkfifo /tmp/follow; { %s > /tmp/follow & }; grep -m 1 '\"msg\":\"serving\"' < /tmp/follow; found=$?; kill $!; test $found = 0", text)
		case strings.Contains(text, "systemctl edit"): // wants a terminal, and an editor
			say(`printf '#!/bin/sh\nprintf "[Timer]\\nOnCalendar=\\nOnCalendar=*-*-* 02:30:00 Europe/Amsterdam\\n" > "$1"\n' > /usr/local/bin/editor; chmod 755 /usr/local/bin/editor`)
			text = fmt.Sprintf("script -qec %q /dev/null", text)
		}
		step(fmt.Sprintf("%s:%d: %s", c.page, c.line, c.text), text, c.exit)
		if strings.Contains(text, "systemctl reload") {
			step("the reload is in the journal", "until journalctl -u tidemark | grep -q 'configuration read again'; do :; done", 0)
			step("a wrong configuration changes nothing", "sed -i 's/kind: sample/kind: sampel/' /etc/tidemark/tidemark.yaml; systemctl reload tidemark; until journalctl -u tidemark | grep -q 'stays as it was'; do :; done; "+
				"sed -i 's/sampel/sample/' /etc/tidemark/tidemark.yaml; systemctl is-active tidemark", 0)
			say("mkdir -p /run/sshd /root/.ssh; ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/id_ed25519; cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys; /usr/sbin/sshd")
			for _, tunnel := range docCommands(t, "docs/web.md") { // both ends are this machine: its end has another port
				forward := strings.NewReplacer("ssh ", "ssh -f -N -o StrictHostKeyChecking=no ", "-L 8440", "-L 18440", "user@host", "root@127.0.0.1").Replace(tunnel.text)
				step(fmt.Sprintf("%s:%d: %s", tunnel.page, tunnel.line, tunnel.text), forward+` && exec 3<> /dev/tcp/127.0.0.1/18440 && printf 'GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:8440\r\n\r\n' >&3 && grep 'ok ledger' <&3`, 0)
			}
		}
	}
	step("the exposure is at most 1.5", "systemd-analyze security --no-pager --threshold=15 tidemark | tail -1", 0)
	step("the job has run", "systemctl show -p Result tidemark@nightly | grep =success && systemctl show -p ExecMainExitTimestampMonotonic tidemark@nightly | grep -v =0", 0)
	step("what is kept is the user's alone", "stat -c '%U %a' /var/lib/tidemark | grep -x 'tidemark 700'", 0)
	step("the timer has its time", "systemctl cat tidemark@nightly.timer | grep Europe/Amsterdam", 0)
	return b.String(), steps
}

// boot starts the machine, which runs the script once it is up and is then switched off. The
// folder work is /srv there; nothing else of what it writes is kept.
func boot(t *testing.T, work, script string) (output string) {
	t.Helper()
	unit := "[Unit]\nAfter=basic.target dbus.service systemd-journald.service\nWants=dbus.service\n[Service]\nType=oneshot\nExecStart=/bin/bash /srv/script\nStandardOutput=append:/srv/output\nStandardError=inherit\n" +
		"ExecStopPost=/bin/systemctl --no-block poweroff\n"
	for name, text := range map[string]string{"script": script, "docs.service": unit, "output": ""} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// It has no network, so nothing may wait for one.
	cmd := exec.CommandContext(ctx, "systemd-nspawn", "--quiet", "--directory="+machineRoot(t), "--volatile=overlay", "--register=no", "--keep-unit", "--boot", "--console=pipe", "--private-network",
		"--machine=tidemark-docs", "--bind="+work+":/srv", "--bind-ro="+filepath.Join(work, "docs.service")+":/etc/systemd/system/docs.service",
		"--bind-ro=/dev/null:/etc/systemd/system/systemd-networkd-wait-online.service", "systemd.unit=docs.service")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	said, err := cmd.CombinedOutput()
	b, readErr := os.ReadFile(filepath.Join(work, "output"))
	if err != nil || readErr != nil {
		t.Errorf("systemd-nspawn: %v, %v\n%s", err, readErr, said)
	}
	return string(b)
}

// machineRoot is the folder of a Debian that make test-deploy has made.
func machineRoot(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TIDEMARK_MACHINE")
	if dir == "" || os.Getuid() != 0 {
		t.Fatal("make test-deploy runs this test, as root")
	}
	return dir
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// lookPath is the file of a program, without links.
func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitLine reads until a line has the text; the rest is read and left out.
func awaitLine(t *testing.T, from io.Reader, text string) {
	t.Helper()
	found := make(chan bool, 1)
	go func() {
		lines, seen := bufio.NewScanner(from), false
		for lines.Scan() {
			if !seen && strings.Contains(lines.Text(), text) {
				seen = true
				found <- true
			}
		}
		if !seen {
			found <- false
		}
	}()
	select {
	case ok := <-found:
		if !ok {
			t.Fatalf("it ended without %q", text)
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("no %q within two minutes", text)
	}
}

// tail is the end of a text.
func tail(text string, bytes int) string { return text[max(0, len(text)-bytes):] }
