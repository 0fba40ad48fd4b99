package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testBucket is the suite that every bucket passes.
func testBucket(t *testing.T, open func(t *testing.T) Bucket) {
	ctx := context.Background()
	write := func(t *testing.T, b Bucket, key, content string) error {
		t.Helper()
		o, err := b.Create(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		return o.Commit()
	}
	read := func(t *testing.T, b Bucket, key string) string {
		t.Helper()
		r, err := b.Open(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		content := make([]byte, r.Size())
		if _, err := r.ReadAt(content, 0); err != nil && len(content) > 0 {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	keys := func(t *testing.T, b Bucket, prefix string) []string {
		t.Helper()
		var all []string
		for key, err := range b.List(ctx, prefix) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, key)
		}
		return all
	}
	t.Run("an object appears at commit and not before", func(t *testing.T) {
		b := open(t)
		o, err := b.Create(ctx, "a/b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open before commit: %v, want not exist", err)
		}
		if got := keys(t, b, ""); got != nil {
			t.Errorf("list before commit: %v", got)
		}
		if err := o.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := read(t, b, "a/b"); got != "half" {
			t.Errorf("content %q", got)
		}
	})
	t.Run("an aborted object leaves nothing", func(t *testing.T) {
		b := open(t)
		o, err := b.Create(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Abort(); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, b, ""); got != nil {
			t.Errorf("list: %v", got)
		}
	})
	t.Run("a key is written once", func(t *testing.T) {
		b := open(t)
		if err := write(t, b, "a", "first"); err != nil {
			t.Fatal(err)
		}
		if err := write(t, b, "a", "second"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("second commit: %v, want exist", err)
		}
		if got := read(t, b, "a"); got != "first" {
			t.Errorf("content %q, want the first", got)
		}
	})
	t.Run("of many writers one wins each key", func(t *testing.T) {
		b := open(t)
		for i := range 50 {
			key := "race/" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			var wins atomic.Int32
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					o, err := b.Create(ctx, key)
					if err == nil && o.Commit() == nil {
						wins.Add(1)
					}
				})
			}
			wg.Wait()
			if wins.Load() != 1 {
				t.Fatalf("%d writers won %s", wins.Load(), key)
			}
		}
	})
	t.Run("a listing is ordered and cut by prefix", func(t *testing.T) {
		b := open(t)
		for _, key := range []string{"runs/2.json", "runs/10.json", "run", "runs/1/x", "other/1"} {
			if err := write(t, b, key, ""); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(keys(t, b, "runs/"), []string{"runs/1/x", "runs/10.json", "runs/2.json"}); diff != "" {
			t.Errorf("keys (-got +want):\n%s", diff)
		}
		if got := keys(t, b, "none/"); got != nil {
			t.Errorf("keys under nothing: %v", got)
		}
	})
}

func TestMemory_IsABucket(t *testing.T) {
	testBucket(t, func(*testing.T) Bucket { return NewMemory() })
}

func TestDir_IsABucket(t *testing.T) {
	testBucket(t, func(t *testing.T) Bucket { return NewDir(filepath.Join(t.TempDir(), "new")) })
}

func TestDir_CommittedAndAbortedObjectsLeaveNoTemporaries(t *testing.T) {
	root := t.TempDir()
	b := NewDir(root)
	for i, end := range []func(Object) error{Object.Commit, Object.Abort} {
		o, err := b.Create(context.Background(), "x/"+string(rune('a'+i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := end(o); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(filepath.Join(root, "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}
