package archive

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"
)

// Bucket is where an archive's files are. Keys are slash-separated paths as
// fs.ValidPath has them. A file appears under its key complete or not at all,
// and what Create made never changes.
type Bucket interface {
	// Open returns the file under key; the error wraps fs.ErrNotExist when there
	// is none. The caller must Close the Reader.
	Open(ctx context.Context, key string) (Reader, error)
	// Create begins a file that Commit will put under key. Until then nobody
	// sees it. The caller must end the Object with Commit or Abort.
	Create(ctx context.Context, key string) (Object, error)
	// Replace puts a small file under key in the place of what was there, at
	// once: readers see the one or the other. Only hints are kept that way.
	Replace(ctx context.Context, key string, content []byte) error
	// Delete removes the file under key; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// List yields the files whose key begins with prefix, in the order of the
	// keys' bytes. A prefix without any file yields nothing. Unfinished files
	// are listed only under the prefix [Temporaries].
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// Reader reads one file of a Bucket at any offset, from several goroutines.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Object is a file being written. It has no Close on purpose: libraries close
// what they are handed, also after a failure, and that must not publish it.
type Object interface {
	io.Writer
	// Commit makes the file durable and puts it under its key, unless the key is
	// taken: then the error wraps fs.ErrExist. After any other error the file
	// may or may not be there. The Object is used up either way.
	Commit() error
	// Abort drops what was written. After Commit it does nothing.
	Abort() error
}

// Info is one file in a listing.
type Info struct {
	Key     string
	Size    int64
	ModTime time.Time // zero when the Bucket does not keep it
}

// Temporaries is the prefix of unfinished files, outside every table. Nothing is
// created or opened in it.
const Temporaries = "tmp/"

func checkKey(operation, key string) error {
	if !fs.ValidPath(key) || key == "." || strings.HasPrefix(key+"/", Temporaries) && operation != "delete" {
		return fmt.Errorf("%s %q: %w", operation, key, fs.ErrInvalid)
	}
	return nil
}
