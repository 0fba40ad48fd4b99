// Package archive keeps every snapshot for audits: Delta tables of Parquet
// files over a small Bucket, written row by row and read back into Arrow.
//
//	customers/      snapshot_date=2026-11-20/part-….parquet   one full inventory a day
//	subscriptions/  snapshot_date=2026-11-20/part-….parquet
//	usage/          usage_date=2026-11-20/part-….parquet      one file per feed and billing period
//	usage_daily/    usage_date=2026-11-20/part-….parquet      rolled up from usage
//	<table>/_delta_log/00000000000000000000.json              numbered commits
//	quarantine/<run>/usage.jsonl                              rows that were refused
//	runs/<run>.json                                           heads of all tables after a run
//	tmp/                                                      unfinished files, never read
//
// The log follows the Delta protocol (reader 1, writer 2), so any Delta reader
// opens the tables. What an audit needs rides in it: hashes and sums of every
// file, and a hash chain over the commits.
package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Bucket is where the archive's objects live. Keys are slash-separated.
type Bucket interface {
	// Open opens an object; a key that does not exist is fs.ErrNotExist. The
	// caller must Close the reader.
	Open(ctx context.Context, key string) (Reader, error)
	// Create starts an object that appears under its key at Commit.
	Create(ctx context.Context, key string) (Object, error)
	// List yields the keys with the prefix in ascending order, unfinished
	// objects excepted.
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Reader reads one object at any offset.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Object is an object being written. There is no Close on purpose: a library
// that closes what it writes to must not publish half an object.
type Object interface {
	io.Writer
	// Commit makes the object durable and visible, all at once, if its key does
	// not exist yet; else it is fs.ErrExist and nothing changes.
	Commit() error
	// Abort throws the object away. After Commit it does nothing.
	Abort() error
}

// Dir is a Bucket in a folder of the file system.
type Dir struct{ root string }

// NewDir returns the bucket in the folder; it is created when first written to.
func NewDir(root string) *Dir { return &Dir{root} }

func (d *Dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

type fileReader struct {
	*os.File
	size int64
}

func (f fileReader) Size() int64 { return f.size }

// Open implements Bucket.
func (d *Dir) Open(_ context.Context, key string) (Reader, error) {
	f, err := os.Open(d.path(key))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return fileReader{f, info.Size()}, nil
}

// Create implements Bucket. The temporary file lies in tmp/ of the same folder,
// so that it can be linked into place.
func (d *Dir) Create(_ context.Context, key string) (Object, error) {
	tmp := filepath.Join(d.root, "tmp")
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(tmp, rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &fileObject{File: f, final: d.path(key), root: d.root}, nil
}

type fileObject struct {
	*os.File
	final string
	root  string
	done  bool
}

func (o *fileObject) Commit() error {
	err := errors.Join(o.Sync(), o.Close())
	if err == nil {
		err = os.MkdirAll(filepath.Dir(o.final), 0o755)
	}
	if err == nil {
		// Link, unlike Rename, never replaces: of two writers one wins.
		err = os.Link(o.Name(), o.final)
	}
	o.done = true
	return errors.Join(err, os.Remove(o.Name()), syncParents(filepath.Dir(o.final), o.root, err))
}

func (o *fileObject) Abort() error {
	if o.done {
		return nil
	}
	o.done = true
	return errors.Join(o.Close(), os.Remove(o.Name()))
}

// syncParents makes the new name durable, and the folders above it, which may
// be new as well.
func syncParents(dir, root string, failed error) error {
	if failed != nil {
		return nil
	}
	for {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		if dir == root || len(dir) <= len(root) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// List implements Bucket.
func (d *Dir) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		base := prefix[:strings.LastIndexByte(prefix, '/')+1]
		var keys []string
		err := filepath.WalkDir(d.path(base), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(d.root, path)
			if key := filepath.ToSlash(rel); err == nil && strings.HasPrefix(key, prefix) && !strings.HasPrefix(key, "tmp/") {
				keys = append(keys, key)
			}
			return errors.Join(err, ctx.Err())
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield("", fmt.Errorf("list %s: %w", prefix, err))
			return
		}
		slices.Sort(keys)
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

// Memory is a Bucket in memory, safe for several goroutines.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// NewMemory returns an empty bucket in memory.
func NewMemory() *Memory { return &Memory{objects: map[string][]byte{}} }

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// Open implements Bucket.
func (m *Memory) Open(_ context.Context, key string) (Reader, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, found := m.objects[key]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: key, Err: fs.ErrNotExist}
	}
	return memoryReader{bytes.NewReader(b)}, nil
}

// Create implements Bucket.
func (m *Memory) Create(_ context.Context, key string) (Object, error) {
	return &memoryObject{m: m, key: key}, nil
}

type memoryObject struct {
	bytes.Buffer
	m   *Memory
	key string
}

func (o *memoryObject) Commit() error {
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	if _, found := o.m.objects[o.key]; found {
		return &fs.PathError{Op: "commit", Path: o.key, Err: fs.ErrExist}
	}
	o.m.objects[o.key] = slices.Clone(o.Bytes())
	return nil
}

func (o *memoryObject) Abort() error { return nil }

// List implements Bucket.
func (m *Memory) List(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		m.mu.Lock()
		keys := slices.Sorted(maps.Keys(m.objects))
		m.mu.Unlock()
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return
			}
		}
	}
}
