//go:build unix

package archive

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDir_OpensNoPipe would not end if it opened one: nobody writes to it.
func TestDir_OpensNoPipe(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "part.parquet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(dir).Open(t.Context(), "part.parquet"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a pipe: %v, want fs.ErrNotExist", err)
	}
}
