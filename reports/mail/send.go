package mail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Envelope is what a transport needs beside the bytes. Headers are not
// looked at.
type Envelope struct {
	From string // e.g. "usage@partner.example"
	To   string // one recipient
	Name string // name of the message without ending, e.g. "weekly-sales-anna"; used by Files
}

// Sender hands sealed bytes on. A nil error means that the next hop took
// responsibility for them.
type Sender interface {
	Send(ctx context.Context, e Envelope, raw []byte) error
}

// Files is a Sender that writes NAME.eml into a folder.
type Files struct {
	Dir string // created when missing
}

// Send writes the bytes under their final name only when they are complete and
// on disk. An existing file of that name is replaced.
func (f Files) Send(ctx context.Context, e Envelope, raw []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Name == "" || strings.ContainsAny(e.Name, `/\`) || strings.HasPrefix(e.Name, ".") || hasControl(e.Name) {
		return fmt.Errorf("write mail to %s: %q is not a file name", e.To, e.Name)
	}
	if err := os.MkdirAll(f.Dir, 0o777); err != nil {
		return fmt.Errorf("write mail to %s: %w", e.To, err)
	}
	if err := writeFile(filepath.Join(f.Dir, e.Name+".eml"), raw); err != nil {
		return fmt.Errorf("write mail to %s: %w", e.To, err)
	}
	return nil
}

func writeFile(path string, raw []byte) (err error) {
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
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename survive a power cut.
func syncDir(dir string) error {
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
