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

// sorter is an external merge sort of byte strings: it holds a bounded number
// of them and spills sorted runs to temporary files.
type sorter struct {
	dir   string
	limit int
	arena []byte
	ends  []int // end of each string in arena
	files []*os.File
}

func (s *sorter) add(encode func([]byte) []byte) error {
	s.arena = encode(s.arena)
	s.ends = append(s.ends, len(s.arena))
	if len(s.ends) < s.limit {
		return nil
	}
	return s.spill()
}

// sorted returns what is held, in order.
func (s *sorter) sorted() [][]byte {
	rows := make([][]byte, len(s.ends))
	start := 0
	for i, end := range s.ends {
		rows[i] = s.arena[start:end]
		start = end
	}
	slices.SortFunc(rows, bytes.Compare)
	return rows
}

func (s *sorter) spill() error {
	f, err := os.CreateTemp(s.dir, "tidemark-sort-*")
	if err != nil {
		return fmt.Errorf("spill usage rows: %w", err)
	}
	s.files = append(s.files, f)
	w := bufio.NewWriterSize(f, 256<<10)
	var size [binary.MaxVarintLen64]byte
	for _, row := range s.sorted() {
		n := binary.PutUvarint(size[:], uint64(len(row)))
		if _, err := w.Write(size[:n]); err != nil {
			return fmt.Errorf("spill usage rows: %w", err)
		}
		if _, err := w.Write(row); err != nil {
			return fmt.Errorf("spill usage rows: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("spill usage rows: %w", err)
	}
	s.arena, s.ends = s.arena[:0], s.ends[:0]
	return nil
}

// stream is one sorted run being read.
type stream struct {
	row  []byte
	next func() ([]byte, error) // io.EOF at the end
}

// fileStream reads a spilled run; it may be started again for a second pass.
func fileStream(f *os.File) (*stream, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(f, 64<<10)
	return &stream{next: func() ([]byte, error) {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		row := make([]byte, n)
		_, err = io.ReadFull(r, row)
		return row, err
	}}, nil
}

func sliceStream(rows [][]byte) *stream {
	return &stream{next: func() ([]byte, error) {
		if len(rows) == 0 {
			return nil, io.EOF
		}
		row := rows[0]
		rows = rows[1:]
		return row, nil
	}}
}

// merge is a heap of streams by their current row.
type merge []*stream

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return bytes.Compare(m[i].row, m[j].row) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*stream)) }
func (m *merge) Pop() any {
	old := *m
	last := old[len(old)-1]
	*m = old[:len(old)-1]
	return last
}

// all yields every string in order. A row is valid until the next one.
func (s *sorter) all() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		m := merge{sliceStream(s.sorted())}
		for _, f := range s.files {
			st, err := fileStream(f)
			if err != nil {
				yield(nil, fmt.Errorf("read spilled rows: %w", err))
				return
			}
			m = append(m, st)
		}
		m = slices.DeleteFunc(m, func(st *stream) bool {
			var err error
			st.row, err = st.next()
			return err != nil
		})
		heap.Init(&m)
		for len(m) > 0 {
			if !yield(m[0].row, nil) {
				return
			}
			row, err := m[0].next()
			switch {
			case err == nil:
				m[0].row = row
				heap.Fix(&m, 0)
			case errors.Is(err, io.EOF):
				heap.Pop(&m)
			default:
				yield(nil, fmt.Errorf("read spilled rows: %w", err))
				return
			}
		}
	}
}

// close removes the spilled runs.
func (s *sorter) close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close(), os.Remove(f.Name()))
	}
	s.files, s.arena, s.ends = nil, nil, nil
	return errors.Join(errs...)
}
