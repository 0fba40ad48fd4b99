package archive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// defaultPiecesFrom spares the log the hashes of small files, which take longer to read there than
// the whole file takes to hash.
const defaultPiecesFrom = 256 << 10

// span is a piece of a file.
type span struct{ from, to int64 }

// heldPieces keeps pieces of a file from their hash to their decoding, so that they are read
// once. The next file has the same memory.
type heldPieces struct {
	memory []byte
	spans  []span // which lie in memory one after another
	used   int
}

// mostHeld is up to which size a file is held.
const mostHeld = 16 << 20

// heldBuffer is as readBuffer of a file that is held.
const heldBuffer = 16 << 10

// hold returns the memory of another piece.
func (h *heldPieces) hold(p span) []byte {
	from, n := h.used, int(p.to-p.from)
	h.used += n
	h.spans = append(h.spans, p)
	if h.used > len(h.memory) { // pieces before it lie where they were
		h.memory = append(h.memory[:from], make([]byte, n)...)
	}
	return h.memory[from:h.used]
}

// ReadAt reads from what is held, else from the file.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if f.held != nil {
		from := 0
		for _, p := range f.held.spans {
			if at >= p.from && at+int64(len(b)) <= p.to {
				return copy(b, f.held.memory[from+int(at-p.from):]), nil
			}
			from += int(p.to - p.from)
		}
	}
	return f.reader.ReadAt(b, at)
}

// hashBuffer is how much of a file that is not held is read for its hash at once.
const hashBuffer = 64 << 10

// sum returns the hash of pieces of the file as Part.PieceSHA256 has it.
func (f *file) sum(pieces ...span) (string, error) {
	h := sha256.New()
	for _, p := range pieces {
		if f.held != nil {
			b := f.held.hold(p)
			if n, err := f.reader.ReadAt(b, p.from); n < len(b) {
				return "", err
			}
			h.Write(b)
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
	if _, err := f.reader.ReadAt(tail[:], size-footerTail); err != nil {
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
		if err := f.checkSum("column "+name, sums[at], f.chunks(at)...); err != nil {
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
func (f *file) chunks(column int) []span {
	var all []span
	for _, g := range f.file.Metadata().RowGroups {
		c := g.Columns[column].MetaData
		from := c.DataPageOffset
		if c.DictionaryPageOffset > 0 {
			from = min(from, c.DictionaryPageOffset)
		}
		all = append(all, span{from, from + c.TotalCompressedSize})
	}
	return all
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
		sum, err := f.sum(f.chunks(at)...)
		if err != nil {
			return "", err
		}
		sums = append(sums, sum)
	}
	return strings.Join(sums, " "), nil
}
