package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
)

// The profile of the files: what every Parquet reader takes, with bytes that
// depend on the rows alone.
const (
	rowGroupRows  = 1_000_000
	pageBuffer    = 256 << 10
	dictionaryMax = 16 << 20
	boundsSize    = 64 // the default of 16 bytes cuts GUIDs
	schemaKey     = "tidemark.schema"
	contentKey    = "tidemark.content_sha256"
	writeRows     = 1024 // rows handed to parquet-go at once
)

func writerOptions(l *layout, codec compress.Codec) []parquet.WriterOption {
	var sorting []parquet.SortingColumn
	for _, c := range l.columns[:l.lead] {
		by := parquet.Ascending(c.name)
		if c.nullable {
			by = parquet.NullsFirst(by)
		}
		sorting = append(sorting, by)
	}
	options := []parquet.WriterOption{
		l.parquet,
		parquet.CreatedBy("tidemark", "1", "archive"),
		parquet.DataPageVersion(1),
		// Page headers would hold each bound twice, uncompressed, and those of
		// decimals wrong. The row groups and the column index have them.
		parquet.DataPageStatistics(false),
		parquet.Compression(codec),
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.DictionaryMaxBytes(dictionaryMax),
		parquet.MaxRowsPerRowGroup(rowGroupRows),
		parquet.PageBufferSize(pageBuffer),
		parquet.ColumnIndexSizeLimit(func([]string) int { return boundsSize }),
		parquet.SortingWriterConfig(parquet.SortingColumns(sorting...)),
		parquet.KeyValueMetadata(schemaKey, string(l.table)+"/1"),
	}
	long := []string{"scope", "request", "document", "digest", "used"} // whose bounds would be the text twice more
	for _, c := range l.columns {
		if c.kind == kindDecimal || slices.Contains(long, c.name) { // parquet-go bounds decimals as if they had no sign
			options = append(options, parquet.SkipPageBounds(c.name))
		}
	}
	return options
}

// written is a file that was written and waits for its commit.
type written struct {
	part  Part
	facts *facts
}

// partWriter writes the file of one part, row key by row key in order.
type partWriter[T any] struct {
	layout  *layout
	part    Part
	object  Object
	hash    hash.Hash
	size    int64
	parquet *parquet.GenericWriter[T]
	decoder *decoder[T]
	rows    []T
	facts   *facts
}

// newPartWriter begins the file of a part, whose Path is set.
func newPartWriter[T any](ctx context.Context, b Bucket, l *layout, code func(*rowCoder, *T), p Part) (*partWriter[T], error) {
	object, err := b.Create(ctx, p.key(l.table))
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", p.key(l.table), err)
	}
	w := &partWriter[T]{layout: l, part: p, object: object, hash: sha256.New(), decoder: newDecoder(code), facts: newFacts(l)}
	w.parquet = parquet.NewGenericWriter[T](writerFunc(w.write), l.options...)
	return w, nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (w *partWriter[T]) write(p []byte) (int, error) {
	n, err := w.object.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	w.hash.Write(p[:n])
	w.size += int64(n)
	return n, err
}

func (w *partWriter[T]) add(key []byte) error {
	if err := w.facts.add(key); err != nil {
		return w.fail(err)
	}
	w.rows = append(w.rows, w.decoder.row(key))
	if len(w.rows) == writeRows {
		return w.flush()
	}
	return nil
}

func (w *partWriter[T]) flush() error {
	n, err := w.parquet.Write(w.rows)
	if err == nil && n < len(w.rows) {
		err = io.ErrShortWrite
	}
	w.rows = w.rows[:0]
	return w.fail(err)
}

func (w *partWriter[T]) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write %s: %w", w.part.key(w.layout.table), err)
}

func (w *partWriter[T]) abort() error { return w.fail(w.object.Abort()) }

// finish completes the file and puts it into its place, where nothing refers to
// it yet.
func (w *partWriter[T]) finish() (written, error) {
	if err := w.flush(); err != nil {
		return written{}, errors.Join(err, w.abort())
	}
	w.facts.into(&w.part)
	w.parquet.SetKeyValueMetadata(contentKey, w.part.ContentSHA256)
	if err := w.parquet.Close(); err != nil {
		return written{}, errors.Join(w.fail(err), w.abort())
	}
	w.part.Size, w.part.SHA256 = w.size, hex.EncodeToString(w.hash.Sum(nil))
	if err := w.object.Commit(); err != nil {
		return written{}, w.fail(err)
	}
	return written{w.part, w.facts}, nil
}

// verify opens a written file again, reads every row back, compares it with what was to be
// written and notes the hashes of its pieces, if it is large.
func (a *Archive) verify(ctx context.Context, l *layout, w *written) error {
	f, err := a.open(ctx, l, w.part)
	if err != nil {
		return err
	}
	again, err := f.facts(ctx, a, w.part)
	if err == nil && w.part.Size >= a.piecesFrom {
		w.part.PieceSHA256, err = f.pieceSums()
	}
	if err = errors.Join(err, f.close()); err != nil {
		return err
	}
	if diff := again.differs(w.facts); diff != "" {
		return fmt.Errorf("read %s back: %s", f.key, diff)
	}
	return nil
}

// facts reads every row of a file.
func (f *file) facts(ctx context.Context, a *Archive, p Part) (*facts, error) {
	if err := f.checkCounts(); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.key, err)
	}
	all, err := f.layout.selectColumns(nil)
	if err != nil {
		return nil, err
	}
	absent := make([]bool, len(f.layout.columns))
	for i, c := range f.layout.columns {
		_, there := f.leaves[c.name]
		absent[i] = !there
	}
	taken := newFactsWithout(f.layout, absent)
	a.rowsOf(ctx, f, p, all, func(rec arrow.Record, e error) bool {
		if err = e; err == nil {
			err = taken.addRecord(rec)
		}
		return err == nil
	})
	return taken, err
}

func (f *facts) addRecord(rec arrow.Record) error {
	keyOf, err := recordKeys(f.layout, rec)
	if err != nil {
		return err
	}
	var key []byte
	for i := range int(rec.NumRows()) {
		if key, err = keyOf(key[:0], i); err != nil {
			return err
		}
		if err := f.add(key); err != nil {
			return err
		}
	}
	return nil
}

// source is what writePart makes a file of.
type source struct {
	id       partID
	coverage Coverage
	from     string                   // SHA-256 of the file it is derived from
	known    string                   // content hash of the active part with this identity
	rows     iter.Seq2[[]byte, error] // row keys in order
	awaits   string                   // as in Part
	asOf     time.Time                // when the remote side made the rows; zero where it does not say
	someDays bool                     // as in Part
}

// writePart writes the file of a part and reads it back. When the content turns
// out to be what is already known, nothing is left on disk.
func writePart[T any](ctx context.Context, r *Run, l *layout, code func(*rowCoder, *T), s source) (delivered, error) {
	p := Part{Day: s.id.day, Feed: s.id.feed, BillingPeriod: s.id.billing, FromSHA256: s.from, Coverage: s.coverage, Awaits: s.awaits, AsOf: s.asOf, SomeDays: s.someDays}
	p.Path = r.newPath(l, s.id)
	w, err := newPartWriter(ctx, r.archive.bucket, l, code, p)
	if err != nil {
		return delivered{}, err
	}
	for key, err := range s.rows {
		if err = cmp.Or(err, ctx.Err()); err == nil {
			err = w.add(key)
		}
		if err != nil {
			return delivered{}, errors.Join(err, w.abort())
		}
	}
	if w.facts.content() == s.known {
		w.facts.into(&w.part)
		return delivered{written{w.part, w.facts}, false}, w.abort()
	}
	done, err := w.finish()
	if err == nil {
		err = r.archive.verify(ctx, l, &done)
	}
	return delivered{done, true}, err
}

// slug makes a text fit for a file name, for people; it is not unique.
func slug(s string) string {
	const most = 40
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	return strings.Trim(clean[:min(len(clean), most)], "-")
}
