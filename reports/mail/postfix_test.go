//go:build postfix

package mail

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// postfix is a Postfix of its own on loopback, with everything in one folder.
type postfix struct {
	dir                     string
	plain, starttls, secure int // ports
	ca                      []byte
}

// freePort finds a port that nobody uses.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func startPostfix(t *testing.T) *postfix {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("Postfix needs root; run `make test-postfix` as root, in a container")
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatalf("%v: install postfix (Debian: apt-get install postfix)", err)
	}
	dir, err := os.MkdirTemp("", "postfix-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &postfix{dir: dir, plain: freePort(t), starttls: freePort(t), secure: freePort(t)}
	cert, ca := certificate(t)
	p.ca = ca
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log/mail.log
maillog_file_prefixes = %[1]s
myhostname = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
virtual_mailbox_domains = partner.example
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_uid_maps = static:%[2]s
virtual_gid_maps = static:%[3]s
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_tls_security_level = may
strict_rfc821_envelopes = yes
smtpd_recipient_restrictions = check_recipient_access inline:{{refused@partner.example = 550 5.1.1 no such person}, {grey@partner.example = 450 4.2.0 greylisted}}, permit_mynetworks, reject
`, dir, owner.Uid, owner.Gid)
	master := fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:%d inet n - n - - smtpd
127.0.0.1:%d inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, p.plain, p.starttls, p.secure)
	for name, text := range map[string]string{"main.cf": main, "master.cf": master,
		"cert.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})),
		"key.pem":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"chmod", "755", dir}, {"mkdir", dir + "/queue", dir + "/data", dir + "/mail", dir + "/log"},
		{"chown", "postfix", dir + "/data", dir + "/mail"}, {"postfix", "-c", dir, "start"}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log", "mail.log"))
			t.Fatalf("%s: %v\n%s\n%s", args, err, out, log)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("postfix", "-c", dir, "stop").CombinedOutput(); err != nil {
			t.Errorf("stop postfix: %v\n%s", err, out)
		}
	})
	return p
}

// stored waits until so many mails lie in the mailbox and returns them.
func (p *postfix) stored(t *testing.T, want int) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		files, err := filepath.Glob(filepath.Join(p.dir, "mail", "all", "new", "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) >= want {
			tick.Stop()
			var mails [][]byte
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				mails = append(mails, b)
			}
			return mails
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log", "mail.log"))
			t.Fatalf("%d of %d mails were stored\n%s", len(files), want, log)
		}
	}
}

// TestPostfix_TakesAndStoresWhatWeSend over every kind of connection, refuses
// and greylists as told.
func TestPostfix_TakesAndStoresWhatWeSend(t *testing.T) {
	p := startPostfix(t)
	raw := seal(t, message())
	options := map[string]SMTPOptions{"none": {Port: p.plain}, "starttls": {Port: p.starttls}, "tls": {Port: p.secure}}
	for kind, o := range options {
		o.Host, o.TLS, o.CA, o.Now = "localhost", kind, p.ca, time.Now
		s := newSMTP(t, o)
		send := func(to string) Result {
			return s.Send(t.Context(), Envelope{From: "usage@partner.example", To: to}, raw, noDot)
		}
		if r := send("refused@partner.example"); r.Outcome != Refused || !strings.Contains(r.Reply, "no such person") {
			t.Errorf("%s: a refused recipient: %d %q", kind, r.Outcome, r.Reply)
		}
		if r := send("grey@partner.example"); r.Outcome != Unsent || !strings.Contains(r.Reply, "greylisted") {
			t.Errorf("%s: a greylisted recipient: %d %q", kind, r.Outcome, r.Reply)
		}
		// The same connection goes on after both.
		if r := send("anna@partner.example"); r.Outcome != Sent || !strings.Contains(r.Reply, "queued as") {
			t.Errorf("%s: %d %q %v", kind, r.Outcome, r.Reply, r.Err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", kind, err)
		}
	}
	unix := func(b []byte) []byte { return bytes.TrimSpace(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))) }
	for _, stored := range p.stored(t, len(options)) {
		if !bytes.HasSuffix(unix(stored), unix(raw)) {
			t.Error("Postfix stored other bytes than were sealed")
		}
	}
}
