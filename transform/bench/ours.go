package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// ours computes the results of a set as `tidemark metrics --from-raw` does.
type ours struct {
	set    set
	folder string
	out    string
	single bool // the single sum only
}

func (o ours) compute(ctx context.Context) error {
	shares, err := o.shares(ctx)
	if err != nil {
		return err
	}
	if o.single {
		err = o.sum(shares)
	} else {
		err = o.metrics(shares)
	}
	if err != nil {
		return fmt.Errorf("compute %s: %w", o.set.Name, err)
	}
	return nil
}

// shares spreads the rows of both periods over two workers, a period for each.
func (o ours) shares(ctx context.Context) ([]transform.RawRows, error) {
	p := o.set.month()
	periods := []data.Period{p, p.Previous()}
	shares := make([]transform.RawRows, len(periods))
	if o.set.Encoding != realArchive {
		for i, p := range periods {
			shares[i] = func(wanted func() []string) iter.Seq2[arrow.Record, error] { return o.scanFiles(ctx, p, wanted) }
		}
		return shares, nil
	}
	arc, err := archive.Open(ctx, archive.NewDir(o.set.archiveFolder(o.folder)), archive.Options{})
	if err != nil {
		return nil, err
	}
	view, err := arc.View(ctx, nil)
	if err != nil {
		return nil, err
	}
	for i, p := range periods {
		shares[i] = func(wanted func() []string) iter.Seq2[arrow.Record, error] {
			return view.ScanWanted(ctx, archive.UsageTable, p, wanted)
		}
	}
	return shares, nil
}

// scanFiles yields the rows of a period's files.
func (o ours) scanFiles(ctx context.Context, p data.Period, columns func() []string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		for _, f := range o.set.within(p) {
			if !o.scanFile(ctx, f, columns(), yield) {
				return
			}
		}
	}
}

func (o ours) scanFile(ctx context.Context, f file, columns []string, yield func(arrow.Record, error) bool) (more bool) {
	r, err := os.Open(filepath.Join(o.folder, f.Path))
	if err != nil {
		yield(nil, err)
		return false
	}
	defer func() {
		if err := r.Close(); err != nil && more {
			more = yield(nil, err)
		}
	}()
	info, err := r.Stat()
	if err != nil {
		yield(nil, err)
		return false
	}
	for rec, err := range archive.ScanFile(ctx, archive.File{Name: f.Path, Reader: r, Size: info.Size(), Day: f.Day}, archive.UsageTable, columns...) {
		if !yield(rec, err) || err != nil {
			return false
		}
	}
	return true
}

// metrics computes the whole job.
func (o ours) metrics(shares []transform.RawRows) error {
	p := o.set.month()
	in := transform.Inputs{Period: p, Watermark: &p.To, Raw: shares,
		Extracted: slices.Collect(data.Period{From: p.Previous().From, To: p.To}.All())}
	tables, err := transform.Metrics(memory.DefaultAllocator, in)
	if err != nil {
		return err
	}
	defer tables.Release()
	return o.write(tables)
}

func (o ours) write(t *transform.Tables) error {
	return errors.Join(
		writeRecord(costs.path(o.out), t.Cost),
		writeRecord(categories.path(o.out), t.CostByCategory),
		writeRecord(customers.path(o.out), t.CostByCustomer),
		writeRecord(days.path(o.out), t.CostByDay),
		writeRecord(top.path(o.out), t.TopCustomers),
		o.writeCounts(t))
}

// writeCounts writes how many customers and subscriptions had usage.
func (o ours) writeCounts(t *transform.Tables) error {
	keys, value, before := t.Summary.Column(0), t.Summary.Column(1), t.Summary.Column(2)
	at := 0
	for textAt(keys, at) != "customers_with_usage" {
		at++
	}
	line := fmt.Sprintf("%s,%s,%d,%d\n", cell(value, at), cell(before, at), t.UsedSubscriptions[0], t.UsedSubscriptions[1])
	return writeLines(counts.path(o.out), slices.Values([]string{line}))
}

// writeRecord writes a record as CSV.
func writeRecord(path string, rec arrow.Record) error {
	return writeLines(path, func(yield func(string) bool) {
		for i := range int(rec.NumRows()) {
			cells := make([]string, rec.NumCols())
			for at, c := range rec.Columns() {
				cells[at] = cell(c, i)
			}
			if !yield(strings.Join(cells, ",") + "\n") {
				return
			}
		}
	})
}

func writeLines(path string, lines iter.Seq[string]) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	for line := range lines {
		if _, err = w.WriteString(line); err != nil {
			break
		}
	}
	return errors.Join(err, w.Flush(), f.Close())
}

// cell writes one value as DuckDB's CSV has it: nothing for a null.
func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return ""
	}
	switch a := a.(type) {
	case *array.Decimal128:
		d, _ := data.DecimalFromArrow(a.Value(i))
		return places(d)
	case *array.Date32:
		return data.Day(a.Value(i)).String()
	case *array.Int32:
		return strconv.Itoa(int(a.Value(i)))
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10)
	}
	return field(textAt(a, i))
}

func textAt(a arrow.Array, i int) string {
	if d, ok := a.(*array.Dictionary); ok {
		return d.Dictionary().(*array.String).Value(d.GetValueIndex(i))
	}
	return a.(*array.String).Value(i)
}

// field quotes a text where CSV needs it.
func field(s string) string {
	if s == "" || strings.ContainsAny(s, "\",\r\n") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// places writes an amount with 18 decimals.
func places(d data.Decimal) string {
	s := d.String()
	if at := strings.IndexByte(s, '.'); at >= 0 {
		return s + strings.Repeat("0", data.Scale-(len(s)-at-1))
	}
	return s + "." + strings.Repeat("0", data.Scale)
}
