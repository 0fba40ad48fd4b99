package archive

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/data"
)

// Dir is a Bucket in a folder of a file system with hard links.
type Dir struct{ root string }

// NewDir returns the Bucket in a folder, which need not exist yet.
func NewDir(path string) *Dir { return &Dir{path} }

func (d *Dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

type dirReader struct {
	*os.File
	size int64
}

func (r dirReader) Size() int64 { return r.size }

// Open returns the file under key.
func (d *Dir) Open(ctx context.Context, key string) (Reader, error) {
	if err := cmp.Or(ctx.Err(), checkKey("open", key)); err != nil {
		return nil, err
	}
	// Looked at before it is opened: to open a pipe waits for somebody who writes.
	info, err := os.Stat(d.path(key))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a file: %w", key, fs.ErrNotExist)
	}
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return dirReader{f, info.Size()}, nil
}

// Create begins a file under tmp/, which Commit links to its key.
func (d *Dir) Create(ctx context.Context, key string) (Object, error) {
	if err := cmp.Or(ctx.Err(), checkKey("create", key)); err != nil {
		return nil, err
	}
	f, err := d.temporary()
	if err != nil {
		return nil, err
	}
	return &dirObject{file: f, final: d.path(key)}, nil
}

func (d *Dir) temporary() (*os.File, error) {
	folder := d.path(Temporaries)
	if err := makeFolders(folder); err != nil {
		return nil, err
	}
	// Unlike os.CreateTemp this leaves the rights to the umask: other tools read
	// the archive, too.
	return os.OpenFile(filepath.Join(folder, "object-"+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

// Replace writes the file aside and renames it.
func (d *Dir) Replace(ctx context.Context, key string, content []byte) error {
	if err := cmp.Or(ctx.Err(), checkKey("replace", key)); err != nil {
		return err
	}
	f, err := d.temporary()
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	final := d.path(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = makeFolders(filepath.Dir(final))
	}
	if err == nil {
		err = os.Rename(f.Name(), final)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return data.SyncFolder(filepath.Dir(final))
}

// Delete removes a file.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(ctx.Err(), checkKey("delete", key)); err != nil {
		return err
	}
	err := os.Remove(d.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return data.SyncFolder(filepath.Dir(d.path(key)))
}

type dirObject struct {
	file  *os.File
	final string
	done  bool
}

func (o *dirObject) Write(p []byte) (int, error) { return o.file.Write(p) }

func (o *dirObject) Commit() error {
	if o.done {
		return fmt.Errorf("commit %s: %w", o.final, os.ErrClosed)
	}
	err := o.file.Sync()
	if err == nil {
		err = o.link()
	}
	return errors.Join(err, o.Abort())
}

// link publishes the file. Unlike a rename, a link never replaces: of two
// writers of one key exactly one succeeds.
func (o *dirObject) link() error {
	folder := filepath.Dir(o.final)
	if err := makeFolders(folder); err != nil {
		return err
	}
	if err := os.Link(o.file.Name(), o.final); err != nil {
		return err
	}
	return data.SyncFolder(folder)
}

func (o *dirObject) Abort() error {
	if o.done {
		return nil
	}
	o.done = true
	return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
}

// makeFolders makes a folder and those above it durable.
func makeFolders(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(path)
	if above != path {
		if err := makeFolders(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return data.SyncFolder(above)
}

// List yields the files below prefix.
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		above := prefix[:strings.LastIndexByte(prefix, '/')+1]
		d.walk(ctx, above, prefix, yield)
	}
}

// walk yields what lies in one folder, given as a key that ends in a slash, and
// reports whether to go on.
func (d *Dir) walk(ctx context.Context, folder, prefix string, yield func(Info, error) bool) bool {
	entries, err := os.ReadDir(d.path(folder))
	if err = cmp.Or(ctx.Err(), err); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		yield(Info{}, err)
		return false
	}
	// A folder takes its place by the name its keys go on with.
	name := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(name(a), name(b)) })
	for _, e := range entries {
		key := folder + name(e)
		switch {
		case key == Temporaries && !strings.HasPrefix(prefix, Temporaries):
		case e.IsDir():
			if strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key) {
				if !d.walk(ctx, key, prefix, yield) {
					return false
				}
			}
		case e.Type().IsRegular() && strings.HasPrefix(key, prefix):
			info, err := e.Info()
			if err != nil {
				yield(Info{}, err)
				return false
			}
			if !yield(Info{key, info.Size(), info.ModTime()}, nil) {
				return false
			}
		}
	}
	return true
}
