package archive

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// sorter is an external merge sort of keys. It holds a bounded number of keys;
// more are spilled as sorted runs to temporary files and merged.
type sorter struct {
	folder func() (string, error) // where runs are spilled
	limit  int                    // keys held
	fanIn  int                    // runs merged at once, each an open file

	arena []byte // the keys held, one after the other
	ends  []int  // where each ends
	runs  []*os.File
}

// roomPerKey bounds the memory when keys are unusually long, in bytes.
const roomPerKey = 1 << 10

// maxFanIn stays well below what a process may open.
const maxFanIn = 100

func newSorter(folder func() (string, error), limit int) *sorter {
	return &sorter{folder: folder, limit: limit, fanIn: maxFanIn}
}

// add takes in a key, which it copies.
func (s *sorter) add(key []byte) error {
	s.arena = append(s.arena, key...)
	s.ends = append(s.ends, len(s.arena))
	if len(s.ends) < s.limit && len(s.arena) < s.limit*roomPerKey {
		return nil
	}
	return s.spill()
}

// held returns the keys held, sorted. They are good until the next add.
func (s *sorter) held() [][]byte {
	keys := make([][]byte, len(s.ends))
	start := 0
	for i, end := range s.ends {
		keys[i] = s.arena[start:end:end]
		start = end
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

// spill writes the keys held as a run.
func (s *sorter) spill() error {
	if len(s.runs) == s.fanIn {
		if err := s.mergeRuns(); err != nil {
			return err
		}
	}
	if err := s.writeRun(noErrors(s.held())); err != nil {
		return err
	}
	s.arena, s.ends = s.arena[:0], s.ends[:0]
	return nil
}

func noErrors(keys [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// mergeRuns makes one run of all.
func (s *sorter) mergeRuns() error {
	old := s.runs
	s.runs = nil
	if err := s.writeRun(merge(old, nil)); err != nil {
		return errors.Join(err, closeAll(old))
	}
	return closeAll(old)
}

func closeAll(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return err
}

// writeRun writes sorted keys to a new file. Neighbours share long beginnings,
// so each key is written as the length of what it shares with the one before,
// the length of the rest, and the rest.
func (s *sorter) writeRun(keys iter.Seq2[[]byte, error]) error {
	folder, err := s.folder()
	if err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	f, err := os.CreateTemp(folder, "run-*")
	if err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 64<<10)
	var before, head []byte
	for key, err := range keys {
		if err != nil {
			return err
		}
		n := shared(before, key)
		head = binary.AppendUvarint(binary.AppendUvarint(head[:0], uint64(n)), uint64(len(key)-n))
		if _, err := w.Write(head); err != nil {
			return fmt.Errorf("spill: %w", err)
		}
		if _, err := w.Write(key[n:]); err != nil {
			return fmt.Errorf("spill: %w", err)
		}
		before = append(before[:0], key...)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	return nil
}

func shared(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// sorted yields every key in order; each is good until the next. It may be
// ranged over again.
func (s *sorter) sorted() iter.Seq2[[]byte, error] {
	held := s.held()
	if len(s.runs) == 0 {
		return noErrors(held)
	}
	return merge(s.runs, held)
}

// close removes the spilled runs.
func (s *sorter) close() error {
	runs := s.runs
	s.runs, s.arena, s.ends = nil, nil, nil
	return closeAll(runs)
}

// cursor reads one sorted run.
type cursor struct {
	next func() error // moves to the next key; io.EOF after the last
	key  []byte
}

func fileCursor(f *os.File) (*cursor, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(f, 64<<10)
	c := &cursor{}
	c.next = func() error {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return err // io.EOF before the first byte of a key
		}
		rest, err := binary.ReadUvarint(r)
		if err != nil {
			return io.ErrUnexpectedEOF
		}
		c.key = slices.Grow(c.key[:n], int(rest))[:n+rest]
		if _, err := io.ReadFull(r, c.key[n:]); err != nil {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	return c, nil
}

func heldCursor(keys [][]byte) *cursor {
	c := &cursor{}
	c.next = func() error {
		if len(keys) == 0 {
			return io.EOF
		}
		c.key, keys = keys[0], keys[1:]
		return nil
	}
	return c
}

type cursors []*cursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return bytes.Compare(c[i].key, c[j].key) < 0 }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)        { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// merge yields the keys of several runs, and of those held, in order.
func merge(runs []*os.File, held [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		open := make(cursors, 0, len(runs)+1)
		for _, f := range runs {
			c, err := fileCursor(f)
			if err != nil {
				yield(nil, fmt.Errorf("read spilled rows: %w", err))
				return
			}
			open = append(open, c)
		}
		open = append(open, heldCursor(held))
		ready := open[:0]
		for _, c := range open {
			switch err := c.next(); {
			case err == nil:
				ready = append(ready, c)
			case !errors.Is(err, io.EOF):
				yield(nil, fmt.Errorf("read spilled rows: %w", err))
				return
			}
		}
		for heap.Init(&ready); len(ready) > 0; {
			if !yield(ready[0].key, nil) {
				return
			}
			switch err := ready[0].next(); {
			case err == nil:
				heap.Fix(&ready, 0)
			case errors.Is(err, io.EOF):
				heap.Pop(&ready)
			default:
				yield(nil, fmt.Errorf("read spilled rows: %w", err))
				return
			}
		}
	}
}
