package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// encoding is how the rows of a set are stored.
type encoding string

const (
	// realArchive is an archive as an extraction leaves it: log, hashes, rollups.
	realArchive encoding = "archive"
	// ownProfile are files as the archive writes them, without an archive around.
	ownProfile encoding = "profile"
	// byDuckDB are the files of the base set read and written anew by DuckDB:
	// every column optional, its own dictionaries, the day in the file.
	byDuckDB encoding = "duckdb"
	// int64s are plain INT64 decimals under zstd.
	int64s encoding = "int64"
	// byteArrays are decimals of any length.
	byteArrays encoding = "bytes"
)

// set is one stored data set, as set.json in its folder describes it.
type set struct {
	Name     string   `json:"name"`
	Shape    shape    `json:"shape"`
	Shuffled bool     `json:"shuffled"`
	Encoding encoding `json:"encoding"`
	Format   int      `json:"format"` // of the files and the log around them, formatNow when they were stored

	Stored int64  `json:"rows_stored"`
	Bytes  int64  `json:"bytes"`
	Files  []file `json:"files"` // those of usage, by day
}

// file is one stored file of usage.
type file struct {
	Path string   `json:"path"` // below the folder of all sets
	Day  data.Day `json:"day"`
	Rows int64    `json:"rows"`
}

// formatNow is what the archive writes now: 1, hashes of columns in the log.
const formatNow = 1

// complete reads the description of a set that is stored already. It is the last
// file to be written, so a set that has one is whole.
func (s *set) complete(folder string) (bool, error) {
	stored, err := readSet(folder, s.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if stored.Shape != s.Shape || stored.Shuffled != s.Shuffled || stored.Encoding != s.Encoding || stored.Format != formatNow {
		return false, fmt.Errorf("set %s in %s is of another shape or of a program before: remove its folder or give another one", s.Name, folder)
	}
	*s = stored
	return true, nil
}

func readSet(folder, name string) (s set, err error) {
	b, err := os.ReadFile(filepath.Join(folder, name, "set.json"))
	if err != nil {
		return set{}, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return set{}, fmt.Errorf("read the description of set %s: %w", name, err)
	}
	return s, nil
}

// generate stores a set, unless it is stored already.
func (s *set) generate(ctx context.Context, folder string) error {
	done, err := s.complete(folder)
	if done || err != nil {
		return err
	}
	dir := filepath.Join(folder, s.Name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	if s.Encoding == realArchive {
		err = s.extract(ctx, folder)
	} else {
		err = s.writeFiles(ctx, folder)
	}
	if err != nil {
		return fmt.Errorf("generate set %s: %w", s.Name, err)
	}
	for _, f := range s.Files {
		info, err := os.Stat(filepath.Join(folder, f.Path))
		if err != nil {
			return err
		}
		s.Stored, s.Bytes = s.Stored+f.Rows, s.Bytes+info.Size()
	}
	s.Format = formatNow
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "set.json"), b, 0o644)
}

// archiveFolder is where a set of encoding realArchive has its archive.
func (s *set) archiveFolder(folder string) string { return filepath.Join(folder, s.Name, "archive") }

// extract commits the rows to an archive and rolls them up, as an extraction does.
func (s *set) extract(ctx context.Context, folder string) error {
	started := s.Shape.From.Time()
	arc, err := archive.Open(ctx, archive.NewDir(s.archiveFolder(folder)), archive.Options{Producer: "tidemark bench",
		Now: func() time.Time { return started.AddDate(0, 0, s.Shape.Days) }, TempDir: filepath.Join(folder, s.Name)})
	if err != nil {
		return err
	}
	run, err := arc.Begin(ctx, archive.RunInfo{ID: "bench", Job: "extract", Source: "sample", Started: started})
	if err != nil {
		return err
	}
	if err := s.commit(ctx, run); err != nil {
		return errors.Join(err, run.Abort())
	}
	view, err := arc.View(ctx, nil)
	if err != nil {
		return err
	}
	for _, p := range view.Parts(archive.UsageTable) {
		s.Files = append(s.Files, file{filepath.Join(s.Name, "archive", string(archive.UsageTable), p.Path), p.Day, p.Rows})
	}
	return nil
}

func (s *set) commit(ctx context.Context, run *archive.Run) error {
	for f := range s.wanted() {
		for u := range f.rows {
			if err := run.AddUsage(u, archive.Feed{Source: "sample", Currency: f.currency}); err != nil {
				return err
			}
		}
	}
	rows := run.Staged().Rows
	if _, err := run.CommitUsage(ctx, archive.Delivery{Source: "sample", Days: s.Shape.period(), RowsIn: rows, RowsOut: rows}); err != nil {
		return err
	}
	_, err := run.Rollup(ctx, func(_ context.Context, _ archive.Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		return transform.Rollup(memory.DefaultAllocator, batches)
	})
	if err != nil {
		return err
	}
	_, err = run.Finish(ctx)
	return err
}

// wantedFile is one file to be: the rows of a day in a currency.
type wantedFile struct {
	day      data.Day
	currency string
	rows     iter.Seq[data.Usage]
}

// wanted yields the files of the set in order of day and currency.
func (s *set) wanted() iter.Seq[wantedFile] {
	return func(yield func(wantedFile) bool) {
		p := newPartner(s.Shape)
		for d := range s.Shape.period().All() {
			for _, currency := range []string{"EUR", "USD"} {
				rows := p.usage(d, currency)
				if s.Shuffled {
					rows = shuffled(rows, s.Shape.Seed, d)
				}
				if !yield(wantedFile{d, currency, rows}) {
					return
				}
			}
		}
	}
}

// month is the newest month of the set, whose metrics are computed. The month
// before it is in the set as well.
func (s *set) month() data.Period { return data.MonthOf(s.Shape.period().To) }

// within returns the files with rows of a period's days.
func (s *set) within(p data.Period) []file {
	return slices.DeleteFunc(slices.Clone(s.Files), func(f file) bool { return !p.Contains(f.Day) })
}
