package mail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Envelope is what a transport needs beside the bytes. Headers are not
// looked at.
type Envelope struct {
	From string // e.g. "usage@partner.example"
	To   string // one recipient
	Name string // name of the message without ending, e.g. "weekly-sales-anna"; used by Files
}

// Outcome is what became of one attempt to hand a mail on.
type Outcome int

// The outcomes. Only Unsent may be tried again without a person's word.
const (
	Sent    Outcome = iota // the next hop took responsibility
	Unsent                 // surely not taken: try again later
	Refused                // refused for good
	Unknown                // the answer to the final dot was lost: it may have been taken
)

// Result is an outcome with what the next hop said.
type Result struct {
	Outcome Outcome
	Reply   string // the next hop's answer, e.g. "250 2.0.0 Ok: queued as 4F1"; for people
	Err     error  // why it was not sent, nil for Sent
	Down    bool   // with Unsent or Unknown: nobody could be reached or logged in to, so another mail would fare no better

	Wait time.Duration // with Unsent: how long the next hop asks to be left alone; 0 where it does not say
}

// Sender hands sealed bytes on to one recipient. dot is called when everything
// but the last step is done, from which on the mail may arrive; an error of it
// stops the mail, which then is Unsent. A Sender is used by one goroutine.
type Sender interface {
	Send(ctx context.Context, e Envelope, raw []byte, dot func() error) Result
	Close() error
}

// Files is a Sender that writes NAME.eml into a folder.
type Files struct {
	Dir string // created when missing
}

// Close implements Sender; there is nothing to close.
func (Files) Close() error { return nil }

// Send writes the bytes under their final name only when they are complete and
// on disk. An existing file of that name is replaced.
func (f Files) Send(ctx context.Context, e Envelope, raw []byte, dot func() error) Result {
	unsent := func(err error) Result {
		return Result{Outcome: Unsent, Reply: err.Error(), Err: fmt.Errorf("write mail to %s: %w", e.To, err)}
	}
	if err := ctx.Err(); err != nil {
		return unsent(err)
	}
	if e.Name == "" || strings.ContainsAny(e.Name, `/\`) || strings.HasPrefix(e.Name, ".") || hasControl(e.Name) {
		err := fmt.Errorf("write mail to %s: %q is not a file name", e.To, e.Name)
		return Result{Outcome: Refused, Reply: err.Error(), Err: err}
	}
	if err := os.MkdirAll(f.Dir, 0o777); err != nil {
		return unsent(err)
	}
	path := filepath.Join(f.Dir, e.Name+".eml")
	if err := writeFile(path, raw, dot); err != nil {
		return unsent(err)
	}
	return Result{Outcome: Sent, Reply: "written to " + path}
}

func writeFile(path string, raw []byte, dot func() error) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".eml-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // closed already when only the rename failed
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(raw); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = dot(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename survive a power cut; Windows refuses to flush a folder.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
