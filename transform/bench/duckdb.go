package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"tidemark/data"
)

// threads is how many both sides use.
const threads = 2

// openDuckDB opens a DuckDB in memory that loads nothing from anywhere. It has
// one connection, so that temporary tables are seen by every query. The caller
// must Close it.
func openDuckDB(ctx context.Context) (*sql.DB, error) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, set := range []string{
		"autoinstall_known_extensions = false",
		"autoload_known_extensions = false",
		"allow_community_extensions = false",
		"preserve_insertion_order = false",
		fmt.Sprintf("threads = %d", threads),
	} {
		if _, err := db.ExecContext(ctx, "SET "+set); err != nil {
			return nil, errors.Join(fmt.Errorf("open DuckDB: set %s: %w", set, err), db.Close())
		}
	}
	return db, nil
}

// theirs has DuckDB compute the results of a set in one shape of SQL.
type theirs struct {
	set    set
	folder string
	shape  sqlShape
	out    string
	single bool // the single sum only
}

func (t theirs) compute(ctx context.Context) (err error) {
	db, err := openDuckDB(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	p := t.set.month()
	statements := []string{t.view(p), macros}
	queries := map[result]string{oneSum: `SELECT subscription_id, CAST(sum(cost) AS DECIMAL(38, 18)) FROM usage GROUP BY ALL`}
	if !t.single {
		statements, queries = append(statements, t.shape.stages...), t.shape.queries(p)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("compute %s: %w", t.set.Name, err)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(queries)) {
		if _, err := db.ExecContext(ctx, `COPY (`+queries[r]+`) TO `+quoted(r.path(t.out))+` (FORMAT csv, HEADER false)`); err != nil {
			return fmt.Errorf("compute %s: %s: %w", t.set.Name, r, err)
		}
	}
	return nil
}

// view names the rows of both periods. now is true for those of the period.
func (t theirs) view(p data.Period) string {
	var paths []string
	for _, f := range t.set.within(data.Period{From: p.Previous().From, To: p.To}) {
		paths = append(paths, quoted(filepath.Join(t.folder, f.Path)))
	}
	partitions := "hive_partitioning = true, hive_types = {'usage_date': DATE}"
	if t.set.Encoding == byDuckDB {
		partitions = "hive_partitioning = false"
	}
	return fmt.Sprintf("CREATE OR REPLACE TEMP VIEW usage AS SELECT *, usage_date >= DATE '%s' AS now FROM read_parquet([%s], %s)",
		p.From, strings.Join(paths, ", "), partitions)
}

// runVersion prints DuckDB's version.
func runVersion(ctx context.Context, _ []string, out io.Writer) (err error) {
	db, err := openDuckDB(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var version string
	if err := db.QueryRowContext(ctx, "SELECT version()").Scan(&version); err != nil {
		return err
	}
	_, err = io.WriteString(out, version)
	return err
}
