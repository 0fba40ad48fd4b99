package data

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// ReplaceFile writes a file under its name only when it is complete and on disk: a crash
// leaves the old one or the new one. A symbolic link stays, with its target replaced.
func ReplaceFile(path string, content []byte, perm fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".tidemark-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncFolder(dir)
}

// SyncFolder makes the renames in a folder last. Windows has no such thing: it refuses to
// flush a folder, and its file systems keep a journal of names.
func SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
