package focus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// object is one file of a store.
type object struct {
	name    string // with slashes, below the folder or in the container
	size    int64
	version string // another one for other content; empty where the store has none
}

// store is where exports lie.
type store interface {
	// list returns every file but hidden ones: what a copying tool writes until it
	// is done.
	list(ctx context.Context) ([]object, error)
	// open returns what a file holds. The caller must close it.
	open(ctx context.Context, o object) (io.ReadCloser, error)
	// local returns a path on this machine with what a file holds; done gives it
	// up.
	local(ctx context.Context, o object) (path string, done func() error, err error)
	// place is what messages call a file, or the store as a whole for "".
	place(name string) string
}

// localFolder is a store in a local folder.
type localFolder string

func (f localFolder) place(name string) string {
	return filepath.Join(string(f), filepath.FromSlash(name))
}

// hidden reports whether a name below the store, or a folder of it, begins with
// a dot.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

func (f localFolder) list(ctx context.Context) ([]object, error) {
	var all []object
	err := fs.WalkDir(os.DirFS(string(f)), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		switch {
		case d.IsDir() && name != "." && hidden(name):
			return fs.SkipDir
		case d.IsDir() || hidden(name):
			return nil
		}
		info, err := os.Stat(f.place(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile, or a link to nowhere
		}
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			all = append(all, object{name: name, size: info.Size()})
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder %s does not exist: set the source's path to the folder with the exports", string(f))
	}
	return all, err
}

func (f localFolder) open(_ context.Context, o object) (io.ReadCloser, error) {
	return os.Open(f.place(o.name))
}

func (f localFolder) local(_ context.Context, o object) (string, func() error, error) {
	return f.place(o.name), func() error { return nil }, nil
}
