package archive

import (
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// recycler hands the buffers of released records out again, so that a scan takes
// new memory only as long as its records are kept.
type recycler struct {
	mem memory.Allocator

	mu    sync.Mutex
	free  [][]byte
	ended bool
}

// spareBuffers is how many buffers wait for their next use: at the end of a file, all that the pages
// of its columns had.
const spareBuffers = 64

// Allocate returns n bytes, which are not cleared.
func (r *recycler) Allocate(n int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.free, func(b []byte) bool { return cap(b) >= n && cap(b) <= 4*n })
	if at < 0 {
		return r.mem.Allocate(n)
	}
	b := r.free[at][:n]
	r.free = slices.Delete(r.free, at, at+1)
	return b
}

// Reallocate is part of memory.Allocator.
func (r *recycler) Reallocate(n int, b []byte) []byte {
	out := r.Allocate(n)
	copy(out, b)
	r.Free(b)
	return out
}

// Free takes a buffer back.
func (r *recycler) Free(b []byte) {
	b = b[:cap(b)] // as it was allocated
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || len(r.free) == spareBuffers {
		r.mem.Free(b)
		return
	}
	r.free = append(r.free, b)
}

// end gives back what waits. Buffers that records still have go straight back to the
// allocator then.
func (r *recycler) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.free {
		r.mem.Free(b)
	}
	r.free, r.ended = nil, true
}

// reused is memory that the files of a scan have after one another.
type reused struct {
	pieces  loadedPieces
	buffers *recycler
}

// newReused returns memory for the files of one scan. The caller must end it; records may outlive that.
func newReused(mem memory.Allocator) *reused { return &reused{buffers: &recycler{mem: mem}} }

func (r *reused) end() { r.buffers.end() }
