package archive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// defaultPiecesFrom spares the log the hashes of small files, which take longer to read there than
// the whole file takes to hash.
const defaultPiecesFrom = 256 << 10

// span is a piece of a file.
type span struct{ from, to int64 }

// loadedPieces keeps pieces of a file from their hash to their decoding, so that they are read
// once. The next file has the same memory.
type loadedPieces struct {
	memory []byte
	spans  []span // which lie in memory one after another
	used   int
}

const defaultLoadedUpTo = 16 << 20

// room returns the memory of another piece.
func (l *loadedPieces) room(p span) []byte {
	from := l.used
	l.used += int(p.to - p.from)
	l.spans = append(l.spans, p)
	l.memory = slices.Grow(l.memory[:from], l.used-from)[:l.used] // pieces before it lie where they were
	return l.memory[from:]
}

// ReadAt reads from what is loaded, else from the file.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if f.loaded != nil {
		from := 0
		for _, p := range f.loaded.spans {
			if at >= p.from && at+int64(len(b)) <= p.to {
				return copy(b, f.loaded.memory[from+int(at-p.from):]), nil
			}
			from += int(p.to - p.from)
		}
	}
	return f.reader.ReadAt(b, at)
}

// hashBuffer is how much of a file that is not loaded is read for its hash at once.
const hashBuffer = 64 << 10

// sum returns the hash of pieces of the file as Part.PieceSHA256 has it.
func (f *file) sum(pieces ...span) (string, error) {
	h := sha256.New()
	for _, p := range pieces {
		if f.loaded != nil {
			b := f.loaded.room(p)
			n, err := f.reader.ReadAt(b, p.from)
			if n < len(b) && !errors.Is(err, io.EOF) {
				return "", err
			}
			h.Write(b[:n])
			continue
		}
		if f.buffer == nil {
			f.buffer = make([]byte, hashBuffer)
		}
		if _, err := io.CopyBuffer(h, io.NewSectionReader(f.reader, p.from, p.to-p.from), f.buffer); err != nil {
			return "", err
		}
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)), nil
}

// footerTail is the length of the footer and the magic number, with which a file ends.
const footerTail = 8

// footer returns where the footer lies.
func (f *file) footer() (span, error) {
	size := f.reader.Size()
	var tail [footerTail]byte
	if size < footerTail {
		return span{}, fmt.Errorf("%w: it has no footer", ErrDamaged)
	}
	if n, err := f.reader.ReadAt(tail[:], size-footerTail); n < footerTail {
		return span{}, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	if length > size-footerTail {
		return span{}, fmt.Errorf("%w: its footer is longer than the file", ErrDamaged)
	}
	return span{size - footerTail - length, size}, nil
}

// checkPieces checks the footer before it is decoded, and then the columns that are read.
func (f *file) checkPieces(p Part, footerSum string, sums, columns []string) error {
	footer, err := f.footer()
	if err != nil {
		return err
	}
	if err := f.checkSum("its footer", footerSum, footer); err != nil {
		return err
	}
	if err := f.decode(p); err != nil {
		return err
	}
	if n := len(f.file.Root().Columns()); n != len(sums) {
		return fmt.Errorf("%w: it has %d columns, the log has hashes of %d", ErrDamaged, n, len(sums))
	}
	for _, name := range columns {
		at, found := f.leaves[name]
		if !found {
			continue // it came with a later version of the table
		}
		chunks, err := f.chunks(at)
		if err == nil {
			err = f.checkSum("column "+name, sums[at], chunks...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *file) checkSum(name, want string, pieces ...span) error {
	sum, err := f.sum(pieces...)
	if err == nil && sum != want {
		err = fmt.Errorf("%w: the SHA-256 of %s is %.12s…, the log says %.12s…", ErrDamaged, name, sum, want)
	}
	return err
}

// chunks returns where the chunks of a column lie.
func (f *file) chunks(column int) ([]span, error) {
	var all []span
	for i, g := range f.file.Metadata().RowGroups {
		if column >= len(g.Columns) {
			return nil, fmt.Errorf("%w: row group %d has no column %d", ErrDamaged, i, column)
		}
		c := g.Columns[column].MetaData
		from := c.DataPageOffset
		if c.DictionaryPageOffset > 0 {
			from = min(from, c.DictionaryPageOffset)
		}
		if size := c.TotalCompressedSize; from < 0 || size < 0 || size > f.reader.Size()-from {
			return nil, fmt.Errorf("%w: column %d of row group %d lies outside of it", ErrDamaged, column, i)
		}
		all = append(all, span{from, from + c.TotalCompressedSize})
	}
	return all, nil
}

// pieceSums returns the hashes of an open file.
func (f *file) pieceSums() (string, error) {
	footer, err := f.footer()
	if err != nil {
		return "", err
	}
	sums := make([]string, 1, 1+len(f.leaves))
	if sums[0], err = f.sum(footer); err != nil {
		return "", err
	}
	for at := range f.file.Root().Columns() {
		chunks, err := f.chunks(at)
		if err != nil {
			return "", err
		}
		sum, err := f.sum(chunks...)
		if err != nil {
			return "", err
		}
		sums = append(sums, sum)
	}
	return strings.Join(sums, " "), nil
}
