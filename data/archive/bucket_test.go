package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// buckets are the implementations that the conformance suite runs on.
func buckets(t *testing.T, test func(t *testing.T, b Bucket)) {
	t.Run("Dir", func(t *testing.T) { test(t, NewDir(filepath.Join(t.TempDir(), "not", "there", "yet"))) })
	t.Run("Memory", func(t *testing.T) { test(t, NewMemory()) })
}

func create(t testing.TB, b Bucket, key, content string) error {
	t.Helper()
	o, err := b.Create(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(o, content); err != nil {
		t.Fatal(err)
	}
	return o.Commit()
}

func keysIn(t testing.TB, b Bucket, prefix string) []string {
	t.Helper()
	keys := []string{}
	for info, err := range b.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func content(t testing.TB, b Bucket, key string) string {
	t.Helper()
	r, err := b.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestBucket_ReadsBackWhatWasCommitted(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		if err := create(t, b, "a/b c/%25=ä.txt", "hello"); err != nil {
			t.Fatal(err)
		}
		if got := content(t, b, "a/b c/%25=ä.txt"); got != "hello" {
			t.Errorf("content = %q, want hello", got)
		}
		r, err := b.Open(t.Context(), "a/b c/%25=ä.txt")
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 3)
		if n, err := r.ReadAt(part, 1); n != 3 || err != nil || string(part) != "ell" {
			t.Errorf("ReadAt = %d %v %q", n, err, part)
		}
		if n, err := r.ReadAt(part, 4); n != 1 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt past the end = %d %v, want 1 and EOF", n, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestBucket_PutsOnlyIfAbsent(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		if err := create(t, b, "x", "first"); err != nil {
			t.Fatal(err)
		}
		if err := create(t, b, "x", "second"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("second commit: %v, want fs.ErrExist", err)
		}
		if got := content(t, b, "x"); got != "first" {
			t.Errorf("content = %q, want first", got)
		}
	})
}

func TestBucket_OfTwoRacingWritersOneWins(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		const keys, writers = 40, 2
		wins := make([][]string, writers)
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for k := range keys {
					key, who := "race/"+string(rune('a'+k)), string(rune('0'+w))
					err := create(t, b, key, who)
					if err == nil {
						wins[w] = append(wins[w], key)
					} else if !errors.Is(err, fs.ErrExist) {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if got := len(wins[0]) + len(wins[1]); got != keys {
			t.Errorf("%d wins of %d keys", got, keys)
		}
		for w, won := range wins {
			for _, key := range won {
				if got := content(t, b, key); got != string(rune('0'+w)) {
					t.Errorf("%s holds the bytes of writer %s, but %d won", key, got, w)
				}
			}
		}
	})
}

// TestDir_OfTwoRacingProcessesOneWins runs this test binary twice as a writer.
func TestDir_OfTwoRacingProcessesOneWins(t *testing.T) {
	const keys = 1000 // of log entries
	if root := os.Getenv("ARCHIVE_TEST_RACE"); root != "" {
		b := NewDir(root)
		for k := range keys {
			err := create(t, b, entryKey(UsageTable, int64(k)), os.Getenv("ARCHIVE_TEST_WRITER"))
			if err == nil {
				t.Logf("won %d", k)
			} else if !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
		return
	}
	root := t.TempDir()
	var outputs [2]bytes.Buffer
	var writers [2]*exec.Cmd
	for i := range writers {
		writers[i] = exec.Command(os.Args[0], "-test.run=^TestDir_OfTwoRacingProcessesOneWins$", "-test.v")
		writers[i].Env = append(os.Environ(), "ARCHIVE_TEST_RACE="+root, "ARCHIVE_TEST_WRITER="+string(rune('0'+i)))
		writers[i].Stdout = &outputs[i]
		if err := writers[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range writers {
		if err := writers[i].Wait(); err != nil {
			t.Fatalf("writer %d: %v\n%s", i, err, &outputs[i])
		}
	}
	won := strings.Count(outputs[0].String(), ": won ") + strings.Count(outputs[1].String(), ": won ")
	if won != keys {
		t.Errorf("%d wins of %d keys", won, keys)
	}
	if got := keysIn(t, NewDir(root), ""); len(got) != keys {
		t.Errorf("%d files, want %d", len(got), keys)
	}
	first := strings.Count(outputs[0].String(), ": won ")
	if first == 0 || first == keys { // a second of writing each: they meet, unless something keeps them apart
		t.Errorf("the first process won %d of %d: they did not race", first, keys)
	}
	t.Logf("%d of %d won by the first process", first, keys)
}

func TestBucket_NothingIsSeenBeforeCommit(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		o, err := b.Create(t.Context(), "t/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Open(t.Context(), "t/x"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open before commit: %v, want fs.ErrNotExist", err)
		}
		if got := keysIn(t, b, ""); len(got) != 0 {
			t.Errorf("listed before commit: %q", got)
		}
		if err := o.Abort(); err != nil {
			t.Fatal(err)
		}
		if got := keysIn(t, b, ""); len(got) != 0 {
			t.Errorf("listed after abort: %q", got)
		}
		if err := o.Commit(); err == nil {
			t.Error("commit after abort succeeds")
		}
		if d, isDir := b.(*Dir); isDir {
			left, err := os.ReadDir(filepath.Join(d.root, Temporaries))
			if err != nil || len(left) != 0 {
				t.Errorf("temporaries after abort: %v %v", left, err)
			}
		}
	})
}

func TestBucket_AbortAfterCommitKeepsTheFile(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		o, err := b.Create(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(o.Commit(), o.Abort()); err != nil {
			t.Fatal(err)
		}
		if got := content(t, b, "x"); got != "" {
			t.Errorf("content = %q, want an empty file", got)
		}
		if err := o.Commit(); err == nil {
			t.Error("a second commit succeeds")
		}
	})
}

func TestBucket_ListsInTheOrderOfKeys(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		// A folder's name and what follows it compare differently from the keys:
		// '.' is below '/', '0' above.
		keys := []string{"a/b", "a.c", "a0", "a/b.c/d", "a/b/c/d", "b", "a/b/c.x", "z/_delta_log/1.json"}
		for _, k := range slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == "a/b" }) {
			if err := create(t, b, k, k); err != nil {
				t.Fatal(err)
			}
		}
		keys = keys[1:]
		slices.Sort(keys)
		if diff := cmp.Diff(keys, keysIn(t, b, "")); diff != "" {
			t.Errorf("all keys (-want +got):\n%s", diff)
		}
		for _, prefix := range []string{"a", "a/", "a/b", "a/b/", "a/b/c", "z/_delta_log/", "nothing/", "nothing"} {
			want := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) })
			if diff := cmp.Diff(want, keysIn(t, b, prefix)); diff != "" {
				t.Errorf("prefix %q (-want +got):\n%s", prefix, diff)
			}
		}
		for info, err := range b.List(t.Context(), "") { // stopping early is fine
			if err != nil || info.Key != keys[0] || info.Size != int64(len(keys[0])) {
				t.Errorf("first = %v, %v", info, err)
			}
			break
		}
	})
}

func TestBucket_RefusesKeysOutsideIt(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		for _, key := range []string{"", ".", "..", "../x", "/x", "a//b", "a/../b", "a/", "tmp", "tmp/x"} {
			if _, err := b.Create(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("create %q: %v, want fs.ErrInvalid", key, err)
			}
			if _, err := b.Open(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("open %q: %v, want fs.ErrInvalid", key, err)
			}
		}
		if _, err := b.Open(t.Context(), "missing"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open a missing key: %v, want fs.ErrNotExist", err)
		}
	})
}

func TestBucket_ReplacesAndDeletes(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		for _, want := range []string{"first", "second, longer", ""} {
			if err := b.Replace(t.Context(), "a/hint", []byte(want)); err != nil {
				t.Fatal(err)
			}
			if got := content(t, b, "a/hint"); got != want {
				t.Errorf("content = %q, want %q", got, want)
			}
		}
		for range 2 { // the second time nothing is there
			if err := b.Delete(t.Context(), "a/hint"); err != nil {
				t.Fatal(err)
			}
			if keys := keysIn(t, b, ""); len(keys) != 0 {
				t.Errorf("after Delete: %q", keys)
			}
		}
		if keys := keysIn(t, b, Temporaries); len(keys) != 0 {
			t.Errorf("temporaries left: %q", keys)
		}
	})
}

func TestDir_ListsAndDeletesTemporariesOnlyByTheirPrefix(t *testing.T) {
	b := NewDir(t.TempDir())
	o, err := b.Create(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Abort() }) // its file is gone by then
	if keys := keysIn(t, b, ""); len(keys) != 0 {
		t.Errorf("listed: %q", keys)
	}
	keys := keysIn(t, b, Temporaries)
	if len(keys) != 1 {
		t.Fatalf("temporaries: %q, want one", keys)
	}
	if err := b.Delete(t.Context(), keys[0]); err != nil {
		t.Error(err)
	}
	if keys := keysIn(t, b, Temporaries); len(keys) != 0 {
		t.Errorf("after Delete: %q", keys)
	}
}

func TestBucket_StopsWhenCancelled(t *testing.T) {
	buckets(t, func(t *testing.T, b Bucket) {
		if err := create(t, b, "x", ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Open(ctx, "x"); !errors.Is(err, context.Canceled) {
			t.Errorf("open: %v", err)
		}
		if _, err := b.Create(ctx, "y"); !errors.Is(err, context.Canceled) {
			t.Errorf("create: %v", err)
		}
		for _, err := range b.List(ctx, "") {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("list: %v", err)
			}
		}
	})
}
