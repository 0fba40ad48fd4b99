package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
)

// Export takes rows out of the archive, for tools that read no Delta table.
type Export struct {
	View   *archive.View
	Tables []archive.Table
	Period data.Period
	Format string // "parquet" or "csv"
	Dir    string // that does not exist yet
}

// Manifest says what an export holds.
type Manifest struct {
	Period   data.Period             `json:"period"`
	Format   string                  `json:"format"`
	KnownAt  string                  `json:"known_at"`
	Seal     string                  `json:"seal"`
	Versions map[archive.Table]int64 `json:"versions"`
	Files    []ManifestFile          `json:"files"`
}

// ManifestFile is one file of an export.
type ManifestFile struct {
	Path   string        `json:"path"` // below the folder
	Table  archive.Table `json:"table"`
	Rows   int64         `json:"rows"`
	SHA256 string        `json:"sha256"`
}

// Export writes the rows whose day lies in the period. As Parquet they are the
// archive's own files, byte for byte; as CSV one file for each table, with the
// day first, amounts exact, null as an empty field, and texts that a spreadsheet
// would take for a formula behind an apostrophe. The folder appears when it is
// complete.
func (x Export) Export(ctx context.Context) (m Manifest, err error) {
	m = Manifest{Period: x.Period, Format: x.Format, KnownAt: x.View.KnownAt().Format("2006-01-02T15:04:05.000000Z"), Seal: x.View.Seal(),
		Versions: map[archive.Table]int64{}, Files: []ManifestFile{}}
	if _, err := os.Stat(x.Dir); err == nil {
		return m, fmt.Errorf("export: %s exists already; name a new folder", x.Dir)
	}
	if err := os.MkdirAll(filepath.Dir(x.Dir), 0o755); err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(x.Dir), ".export-*")
	if err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for _, t := range x.Tables {
		m.Versions[t] = x.View.Version(t)
		write := x.files
		if x.Format == "csv" {
			write = x.csv
		}
		if err := write(ctx, tmp, t, &m); err != nil {
			return m, fmt.Errorf("export %s: %w", t, err)
		}
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	if _, err := writeHashed(filepath.Join(tmp, "manifest.json"), func(w io.Writer) error { _, err := w.Write(append(b, '\n')); return err }); err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	if err := errors.Join(os.Chmod(tmp, 0o755), os.Rename(tmp, x.Dir)); err != nil {
		return m, fmt.Errorf("export: %w", err)
	}
	return m, nil
}

// files copies the archive's files.
func (x Export) files(ctx context.Context, dir string, t archive.Table, m *Manifest) error {
	for _, p := range x.View.Parts(t) {
		if !x.Period.Contains(p.Day) {
			continue
		}
		path := string(t) + "/" + p.Path
		sum, err := writeHashed(filepath.Join(dir, filepath.FromSlash(path)), func(w io.Writer) error { return x.View.CopyFile(ctx, t, p, w) })
		if err != nil {
			return err
		}
		m.Files = append(m.Files, ManifestFile{path, t, p.Rows, sum})
	}
	return nil
}

// csv writes one file with every row.
func (x Export) csv(ctx context.Context, dir string, t archive.Table, m *Manifest) error {
	rows := int64(0)
	name := string(t) + ".csv"
	sum, err := writeHashed(filepath.Join(dir, name), func(w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(t.Columns()); err != nil {
			return err
		}
		for rec, err := range x.View.Scan(ctx, t, x.Period) {
			if err != nil {
				return err
			}
			rows += rec.NumRows()
			if err := writeRecord(out, rec); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	})
	m.Files = append(m.Files, ManifestFile{name, t, rows, sum})
	return err
}

func writeRecord(out *csv.Writer, rec arrow.Record) error {
	row := make([]string, rec.NumCols())
	for i := range int(rec.NumRows()) {
		for j, c := range rec.Columns() {
			row[j] = cell(c, i)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return nil
}

// cell writes one value for a machine; null is empty.
func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return ""
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return reports.Guarded(a.Dictionary().(*array.String).Value(a.GetValueIndex(i)))
	case *array.String:
		return reports.Guarded(a.Value(i))
	case *array.Decimal128:
		d, _ := data.DecimalFromArrow(a.Value(i))
		return d.String()
	case *array.Date32:
		return data.Day(a.Value(i)).String()
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10)
	case *array.Int32:
		return strconv.FormatInt(int64(a.Value(i)), 10)
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i))
	}
	return a.ValueStr(i)
}

// WriteFile writes a file under its final name only when it is complete and on
// disk, and makes its folder.
func WriteFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return data.ReplaceFile(path, content, 0o644)
}

// writeHashed writes a file, makes it durable and returns its SHA-256.
func writeHashed(path string, write func(io.Writer) error) (sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	err = write(io.MultiWriter(f, h))
	return hex.EncodeToString(h.Sum(nil)), errors.Join(err, f.Sync(), f.Close())
}
