package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"tidemark/data"
	"tidemark/data/archive"
)

// writeFiles writes the files of a set that is not an archive, in folders by day
// as the archive has them.
func (s *set) writeFiles(ctx context.Context, folder string) error {
	if s.Encoding == byDuckDB {
		return s.rewrite(ctx, folder)
	}
	for f := range s.wanted() {
		path := filepath.Join(s.Name, "usage_date="+f.day.String(), "usage-"+strings.ToLower(f.currency)+".parquet")
		rows, err := writeFile(filepath.Join(folder, path), f.rows, s.Encoding)
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		s.Files = append(s.Files, file{path, f.day, rows})
	}
	return nil
}

// counted returns a sequence and how many rows were taken from it.
func counted(rows iter.Seq[data.Usage]) (iter.Seq[data.Usage], *int64) {
	n := new(int64)
	return func(yield func(data.Usage) bool) {
		for u := range rows {
			*n++
			if !yield(u) {
				return
			}
		}
	}, n
}

// writeFile writes one file and returns how many rows it has.
func writeFile(path string, all iter.Seq[data.Usage], e encoding) (int64, error) {
	rows, n := counted(all)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	switch e {
	case ownProfile:
		err = archive.WriteUsageFile(w, rows)
	case int64s, byteArrays:
		err = writeForeign(w, rows, e)
	default:
		err = fmt.Errorf("there is no encoding %q", e)
	}
	return *n, errors.Join(err, w.Flush(), f.Close())
}

// rewrite has DuckDB read the base set and write its files anew.
func (s *set) rewrite(ctx context.Context, folder string) (err error) {
	base := set{Name: baseSet, Shape: s.Shape, Encoding: realArchive}
	if err := base.generate(ctx, folder); err != nil {
		return err
	}
	db, err := openDuckDB(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for i, f := range base.Files {
		path := filepath.Join(s.Name, fmt.Sprintf("usage-%s-%03d.parquet", f.Day, i))
		query := fmt.Sprintf("COPY (SELECT DATE '%s' AS usage_date, * FROM read_parquet(%s, hive_partitioning = false)) TO %s (FORMAT parquet, COMPRESSION zstd)",
			f.Day, quoted(filepath.Join(folder, f.Path)), quoted(filepath.Join(folder, path)))
		if _, err := db.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("rewrite %s: %w", f.Path, err)
		}
		s.Files = append(s.Files, file{path, f.Day, f.Rows})
	}
	return nil
}

// quoted returns a text as an SQL literal.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
