package archive

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a Bucket in memory, for tests and for looking at figures without
// leaving files behind.
type Memory struct {
	mu    sync.Mutex
	files map[string][]byte // a file's bytes never change
}

// NewMemory returns an empty Bucket.
func NewMemory() *Memory { return &Memory{files: map[string][]byte{}} }

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// Open returns the file under key.
func (m *Memory) Open(ctx context.Context, key string) (Reader, error) {
	if err := cmp.Or(ctx.Err(), checkKey("open", key)); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, found := m.files[key]
	if !found {
		return nil, fmt.Errorf("open %s: %w", key, fs.ErrNotExist)
	}
	return memoryReader{bytes.NewReader(b)}, nil
}

// Create begins a file.
func (m *Memory) Create(ctx context.Context, key string) (Object, error) {
	if err := cmp.Or(ctx.Err(), checkKey("create", key)); err != nil {
		return nil, err
	}
	return &memoryObject{bucket: m, key: key}, nil
}

type memoryObject struct {
	bytes.Buffer
	bucket *Memory
	key    string
	done   bool
}

func (o *memoryObject) Commit() error {
	o.bucket.mu.Lock()
	defer o.bucket.mu.Unlock()
	if o.done {
		return fmt.Errorf("commit %s: %w", o.key, fs.ErrClosed)
	}
	o.done = true
	if _, taken := o.bucket.files[o.key]; taken {
		return fmt.Errorf("commit %s: %w", o.key, fs.ErrExist)
	}
	o.bucket.files[o.key] = o.Bytes()
	return nil
}

func (o *memoryObject) Abort() error {
	o.done = true
	return nil
}

// Replace puts a file under key.
func (m *Memory) Replace(ctx context.Context, key string, content []byte) error {
	if err := cmp.Or(ctx.Err(), checkKey("replace", key)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[key] = bytes.Clone(content)
	return nil
}

// Delete removes the file under key.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := cmp.Or(ctx.Err(), checkKey("delete", key)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, key)
	return nil
}

// List yields the files below prefix, as they were when it began.
func (m *Memory) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		m.mu.Lock()
		files := maps.Clone(m.files)
		m.mu.Unlock()
		for _, key := range slices.Sorted(maps.Keys(files)) {
			if err := ctx.Err(); err != nil {
				yield(Info{}, err)
				return
			}
			if strings.HasPrefix(key, prefix) && !yield(Info{Key: key, Size: int64(len(files[key]))}, nil) {
				return
			}
		}
	}
}
