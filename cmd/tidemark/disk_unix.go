//go:build unix

package main

import "syscall"

// diskFree returns how many bytes are free for this user where a path lies; ok
// is false where that cannot be told.
func diskFree(path string) (free uint64, ok bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(path, &s) != nil {
		return 0, false
	}
	return uint64(s.Bavail) * uint64(s.Bsize), true
}
