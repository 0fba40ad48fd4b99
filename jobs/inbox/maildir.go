package inbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Maildir is a folder in the form that qmail, Postfix, Dovecot and fetching programs write
// (cr.yp.to/proto/maildir.html): new messages in new, those that somebody has seen in cur,
// with an S among the flags of their name.
type Maildir struct{ Dir string }

// Messages yields what is in new, and what is in cur without the flag S, by name.
func (d Maildir) Messages(ctx context.Context) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for _, folder := range []string{"new", "cur"} {
			entries, err := os.ReadDir(filepath.Join(d.Dir, folder))
			if err != nil {
				yield(Message{}, fmt.Errorf("read maildir %s: %w", d.Dir, err))
				return
			}
			for _, e := range entries {
				_, flags, _ := strings.Cut(e.Name(), ":2,")
				if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") || folder == "cur" && strings.Contains(flags, "S") {
					continue
				}
				if err := ctx.Err(); err != nil {
					yield(Message{}, err)
					return
				}
				m := Message{ID: folder + "/" + e.Name()}
				m.Raw, err = readSome(filepath.Join(d.Dir, folder, e.Name()))
				if errors.Is(err, fs.ErrNotExist) {
					continue // another program has moved it
				}
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxMessage))
	return b, errors.Join(err, f.Close())
}

// Done moves a message to cur, with the flag S. One that another program has moved since
// is done.
func (d Maildir) Done(_ context.Context, m Message) error {
	folder, name, _ := strings.Cut(m.ID, "/")
	base, flags, _ := strings.Cut(name, ":2,")
	all := append([]rune(flags), 'S')
	slices.Sort(all) // as the form wants them
	err := os.Rename(filepath.Join(d.Dir, folder, name), filepath.Join(d.Dir, "cur", base+":2,"+string(slices.Compact(all))))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
