package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	netmail "net/mail"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// exitCodeCommand is `exitcode CODE COMMAND…`: the command must end with
// exactly that code. Its output is what stdout and stderr match afterwards.
func exitCodeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// gzipCommand is `gzip IN OUT`.
func gzipCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: gzip IN OUT")
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}

// truncateCommand is `truncate FILE BYTES`: it cuts the last bytes off.
func truncateCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE BYTES")
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()-n))
}

// editCommand is `edit FILE OLD NEW`: it replaces the first OLD, which must be
// there.
func editCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o644))
}

// reportIDCommand is `reportid FILE.eml VAR`: it puts the report id of a mail
// into a variable.
func reportIDCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: reportid FILE.eml VAR")
	}
	m, err := netmail.ReadMessage(strings.NewReader(ts.ReadFile(args[0])))
	ts.Check(err)
	ts.Setenv(args[1], m.Header.Get("X-Report-Id"))
}

// deliveryIDCommand is `deliveryid STATE VAR`: it puts the id of the delivery in a
// state into a variable.
func deliveryIDCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: deliveryid STATE VAR")
	}
	out, err := os.ReadFile(ts.MkAbs("deliveries.json"))
	ts.Check(err)
	var all []struct{ ID, State string }
	ts.Check(json.Unmarshal(out, &all))
	for _, d := range all {
		if d.State == args[0] {
			ts.Setenv(args[1], d.ID)
			return
		}
	}
	ts.Fatalf("no delivery is %s", args[0])
}

// truncateLastCommand is `truncatelast DIR BYTES`: truncate for the last file
// below a folder, whose name a script cannot know.
func truncateLastCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncatelast DIR BYTES")
	}
	last := ""
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			last = path
		}
		return err
	}))
	truncateCommand(ts, false, []string{last, args[1]})
}

// storageCommand is `storage DIR`: a container of Azure Blob Storage with the
// files of a folder, at $CONTAINER and opened by $EXPORTS_SAS, which ends after
// an hour, or by $OLD_SAS, which has ended.
func storageCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: storage DIR")
	}
	now := time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)
	s := fakemicrosoft.NewWith(&fakemicrosoft.Partner{}, func() time.Time { return now }, fakemicrosoft.Options{Marker: "MARKED"})
	at, err := s.Start()
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		body, err := os.ReadFile(path)
		s.Put(fakemicrosoft.File{Name: filepath.ToSlash(name), Body: body})
		return err
	}))
	ts.Setenv("CONTAINER", at.Storage+"/"+fakemicrosoft.Container)
	ts.Setenv("EXPORTS_SAS", s.ContainerSAS(time.Hour))
	ts.Setenv("OLD_SAS", s.ContainerSAS(-time.Hour))
}

// bounceCommand is `bounce FILE ID ADDRESS STATUS`: it writes the notice of a mail server
// (RFC 3464) that the mail with that Message-ID did not reach the address.
func bounceCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: bounce FILE ID ADDRESS STATUS")
	}
	const form = "From: MAILER-DAEMON@mx.example\r\nTo: usage@partner.example\r\nSubject: Undelivered Mail Returned to Sender\r\nAuto-Submitted: auto-replied\r\n" +
		"Message-ID: <%[1]s@mx.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\nFinal-Recipient: rfc822; %[3]s\r\nAction: failed\r\nStatus: %[4]s\r\nDiagnostic-Code: smtp; 550 no such user\r\n" +
		"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <%[2]s>\r\n--b--\r\n"
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, form, filepath.Base(args[0]), args[1], args[2], args[3]), 0o600))
}

// answerCommand is `answer FILE HTML LINK FROM`: it writes the mail that a reader sends who
// follows the first link of that text in a mail.
func answerCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: answer FILE HTML LINK FROM")
	}
	m := regexp.MustCompile(`href="(mailto:[^"]*)"[^>]*>` + regexp.QuoteMeta(args[2]) + `<`).FindStringSubmatch(ts.ReadFile(args[1]))
	if m == nil {
		ts.Fatalf("no link %q in %s", args[2], args[1])
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, "From: %s\r\nTo: %s\r\nSubject: Re: %s\r\nMessage-ID: <%s@partner.example>\r\n\r\nok\r\n",
		args[3], u.Opaque, u.Query().Get("subject"), filepath.Base(args[0])), 0o644))
}
