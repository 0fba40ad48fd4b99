package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tidemark/data"
)

// writerOptions is the profile that every Parquet reader took: pages of version
// 1, plain or dictionary encoding only, zstd; no bounds for decimals, whose
// order parquet-go gets wrong below zero.
func writerOptions(t Table, sorting ...string) []parquet.WriterOption {
	options := []parquet.WriterOption{
		parquet.DataPageVersion(1),
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain),
		parquet.DictionaryMaxBytes(16 << 20),
		parquet.MaxRowsPerRowGroup(1 << 20),
		parquet.PageBufferSize(256 << 10),
		parquet.ColumnIndexSizeLimit(func([]string) int { return 64 }),
		parquet.KeyValueMetadata("tidemark.schema", "1"),
		parquet.CreatedBy("tidemark", "1", "archive"),
	}
	for _, name := range t.decimals() {
		options = append(options, parquet.SkipPageBounds(name))
	}
	var columns []parquet.SortingColumn
	for _, name := range sorting {
		columns = append(columns, parquet.NullsFirst(parquet.Ascending(name)))
	}
	if len(columns) > 0 {
		options = append(options, parquet.SortingWriterConfig(parquet.SortingColumns(columns...)))
	}
	return options
}

// stats is what is counted while a file is written and again when it is read
// back.
type stats struct {
	rows  int64
	nulls map[string]int64
	sums  map[string]data.Decimal // per currency and decimal column, "EUR cost"
	min   map[string]string       // texts
	max   map[string]string
}

// add adds an amount to a sum and refuses to wrap.
func (s *stats) add(key string, d data.Decimal) error {
	sum, ok := s.sums[key].Add(d)
	if !ok {
		return fmt.Errorf("the sum of %s needs more than 38 digits", key)
	}
	s.sums[key] = sum
	return nil
}

// partWriter writes one file: rows in, an add action out.
type partWriter[T any] struct {
	a       *Archive
	table   Table
	key     string
	object  Object
	file    hash.Hash
	content hash.Hash
	size    int64
	rows    int64
	parquet *parquet.GenericWriter[T]
	buffer  []T
	text    func(*line, *T)
	line    line
}

func newPartWriter[T any](ctx context.Context, a *Archive, t Table, path string, text func(*line, *T), sorting ...string) (*partWriter[T], error) {
	key := string(t) + "/" + path
	o, err := a.bucket.Create(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", key, err)
	}
	w := &partWriter[T]{a: a, table: t, key: key, object: o, file: sha256.New(), content: sha256.New(), text: text}
	w.parquet = parquet.NewGenericWriter[T](w, writerOptions(t, sorting...)...)
	return w, nil
}

// Write counts and hashes what goes into the file.
func (w *partWriter[T]) Write(b []byte) (int, error) {
	n, err := w.object.Write(b)
	w.size += int64(n)
	w.file.Write(b[:n])
	return n, err
}

const writeBatch = 1024

func (w *partWriter[T]) add(row T) error {
	w.line.b, w.line.n, w.line.bad = w.line.b[:0], 0, ""
	w.text(&w.line, &row)
	if w.line.bad != "" {
		return fmt.Errorf("write %s: row %d: column %s is not UTF-8", w.key, w.rows+1, w.line.bad)
	}
	w.content.Write(append(w.line.b, '\n'))
	w.rows++
	if w.buffer = append(w.buffer, row); len(w.buffer) < writeBatch {
		return nil
	}
	return w.flush()
}

func (w *partWriter[T]) flush() error {
	n, err := w.parquet.Write(w.buffer)
	if err == nil && n < len(w.buffer) {
		err = errors.New("short write")
	}
	clear(w.buffer)
	w.buffer = w.buffer[:0]
	if err != nil {
		return fmt.Errorf("write %s: %w", w.key, err)
	}
	return nil
}

// finish completes the Parquet file; it is not visible before commit.
func (w *partWriter[T]) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.parquet.Close(); err != nil {
		return fmt.Errorf("write %s: %w", w.key, err)
	}
	return nil
}

func (w *partWriter[T]) contentHash() string { return hex.EncodeToString(w.content.Sum(nil)) }

// commit makes the file visible, reads it back whole and returns its add action
// without tags beyond its own. A writer's nil error is not evidence: versions of
// parquet-go have lost rows and reported success.
func (w *partWriter[T]) commit(ctx context.Context, day data.Day, tags map[string]string) (addedFile, error) {
	if err := w.object.Commit(); err != nil {
		return addedFile{}, fmt.Errorf("write %s: %w", w.key, err)
	}
	sum := hex.EncodeToString(w.file.Sum(nil))
	path := strings.TrimPrefix(w.key, string(w.table)+"/")
	part := Part{Table: w.table, Day: day, Path: path, Size: w.size, Rows: w.rows, SHA256: sum}
	s, err := w.a.measure(ctx, part)
	if err == nil && s.rows != w.rows {
		err = fmt.Errorf("%d rows were written and %d are read back", w.rows, s.rows)
	}
	if err != nil {
		return addedFile{}, fmt.Errorf("check %s: %w", w.key, err)
	}
	tags = maps.Clone(tags)
	tags["sha256"], tags["content_sha256"] = sum, w.contentHash()
	tags["rows"] = fmt.Sprint(w.rows)
	sums, err := json.Marshal(s.sums)
	if err != nil {
		return addedFile{}, err
	}
	tags["sums"] = string(sums)
	text, err := s.delta()
	return addedFile{Path: path, PartitionValues: map[string]string{w.table.partition(): day.String()}, Size: w.size,
		ModificationTime: w.a.o.Now().UnixMilli(), DataChange: true, Stats: text, Tags: tags}, err
}

// delta is the stats text of Delta's add action. Bounds are for texts only,
// shortened to 32 characters, the upper one rounded up.
func (s *stats) delta() (string, error) {
	const limit = 32
	lower, upper := map[string]string{}, map[string]string{}
	for name, v := range s.min {
		lower[name] = string([]rune(v)[:min(limit, len([]rune(v)))])
	}
	for name, v := range s.max {
		if r := []rune(v); len(r) <= limit {
			upper[name] = v
		} else if up, ok := roundUp(r[:limit]); ok {
			upper[name] = up
		}
	}
	b, err := json.Marshal(struct {
		NumRecords int64             `json:"numRecords"`
		MinValues  map[string]string `json:"minValues"`
		MaxValues  map[string]string `json:"maxValues"`
		NullCount  map[string]int64  `json:"nullCount"`
	}{s.rows, lower, upper, s.nulls})
	return string(b), err
}

// roundUp returns a text that sorts after every text that starts with r.
func roundUp(r []rune) (string, bool) {
	for i := len(r) - 1; i >= 0; i-- {
		if next := r[i] + 1; next < 0xd800 || next > 0xdfff && next <= 0x10ffff {
			return string(append(slices.Clone(r[:i]), next)), true
		}
	}
	return "", false
}

// measure reads a file whole, as any reader would, and counts what it holds.
func (a *Archive) measure(ctx context.Context, p Part) (*stats, error) {
	s := &stats{nulls: map[string]int64{}, sums: map[string]data.Decimal{}, min: map[string]string{}, max: map[string]string{}}
	for rec, err := range a.readPart(ctx, p, nil) {
		if err != nil {
			return nil, err
		}
		s.rows += rec.NumRows()
		currency := rec.Schema().FieldIndices("currency")
		for i, f := range rec.Schema().Fields()[1:] {
			column := rec.Column(i + 1)
			s.nulls[f.Name] += int64(column.NullN())
			switch c := column.(type) {
			case *array.Dictionary:
				s.bounds(f.Name, c)
			case *array.Decimal128:
				if err := s.addColumn(f.Name, c, rec.Column(currency[0]).(*array.Dictionary)); err != nil {
					return nil, err
				}
			}
		}
	}
	return s, nil
}

func (s *stats) bounds(name string, c *array.Dictionary) {
	values := c.Dictionary().(*array.String)
	for i := range values.Len() {
		v := values.Value(i)
		if lowest, found := s.min[name]; !found || v < lowest {
			s.min[name] = v
		}
		if highest, found := s.max[name]; !found || v > highest {
			s.max[name] = v
		}
	}
}

// addColumn adds a decimal column up per currency.
func (s *stats) addColumn(name string, c *array.Decimal128, currency *array.Dictionary) error {
	names := currency.Dictionary().(*array.String)
	sums := make([]data.Decimal, names.Len())
	for i := range c.Len() {
		if c.IsNull(i) {
			continue
		}
		d, _ := data.DecimalFromArrow(c.Value(i)) // the column reader has refused larger ones
		at := currency.GetValueIndex(i)
		var ok bool
		if sums[at], ok = sums[at].Add(d); !ok {
			return fmt.Errorf("the sum of %s in %s needs more than 38 digits", name, names.Value(at))
		}
	}
	for i, d := range sums {
		if err := s.add(names.Value(i)+" "+name, d); err != nil {
			return err
		}
	}
	return nil
}
