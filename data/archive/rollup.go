package archive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"
)

// RollupFunc adds the rows of one usage part up to usage_daily rows. It returns
// a record with data.UsageDailySchema, which Rollup releases.
type RollupFunc func(ctx context.Context, p Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error)

// Rollup brings usage_daily up to the newest usage: it rolls exactly the usage
// parts whose rollup is missing, was made from another file or tells of other
// coverage or of another scope that is behind, whichever run committed them, and drops the rollups of parts that are
// gone, unless they were pruned and nothing restated them since. A run that died between its two commits is thus healed by the next.
func (r *Run) Rollup(ctx context.Context, fn RollupFunc) (Committed, error) {
	if r.ended {
		return Committed{}, errEnded
	}
	for range maxAttempts {
		done, err := r.rollup(ctx, fn)
		if err == nil || !errors.Is(err, errLost) {
			return done, err
		}
		// Another run rolled up in between, perhaps the same parts: look again.
	}
	return Committed{}, fmt.Errorf("commit %s: %w", UsageDaily, ErrConflict)
}

func (r *Run) rollup(ctx context.Context, fn RollupFunc) (Committed, error) {
	// In this order, so that usage is never older than what usage_daily names.
	daily, err := r.archive.refresh(ctx, UsageDaily)
	if err != nil {
		return Committed{}, err
	}
	usage, err := r.archive.refresh(ctx, UsageTable)
	if err != nil {
		return Committed{}, err
	}
	version := usage.version()
	if version < 0 {
		return Committed{Table: UsageDaily, Version: daily.version()}, nil
	}
	p, err := r.rollParts(ctx, usage, daily, fn)
	if err != nil {
		return Committed{}, err
	}
	named := daily.head().usage
	p.always = named == nil || *named != version
	info := r.commitInfo(UsageDaily, Delivery{Source: string(UsageTable)}, "roll up")
	info.UsageVersion = &version
	for _, w := range p.adds {
		info.RowsOut += w.part.Rows
	}
	return r.attempt(ctx, daily, change{info: info, plan: func(*state) (plan, error) { return p, nil }})
}

// rollParts rolls up what differs between usage and its rollup, two parts at a time.
func (r *Run) rollParts(ctx context.Context, usage, daily *state, fn RollupFunc) (plan, error) {
	var p plan
	var due []Part
	rolled := daily.byID()
	for _, part := range usage.sorted() {
		old, found := rolled[part.id()]
		delete(rolled, part.id())
		if found && old.FromSHA256 == part.SHA256 && old.Coverage.Complete() == part.Coverage.Complete() && old.Awaits == part.Awaits {
			p.unchanged++
			continue
		}
		due = append(due, part)
		if found {
			p.removes = append(p.removes, old)
		}
	}
	for two := range slices.Chunk(due, 2) {
		written, err := r.rollTwo(ctx, two, fn)
		if err != nil {
			return plan{}, err
		}
		p.adds = append(p.adds, written...)
	}
	for _, old := range daily.sorted() {
		// A rollup may be kept longer than the usage it was made from.
		if _, gone := rolled[old.id()]; gone {
			if _, kept := usage.pruned[old.id()]; !kept {
				p.removes = append(p.removes, old)
			}
		}
	}
	return p, nil
}

// rollTwo reads and adds up two parts at once, and writes one after the other.
func (r *Run) rollTwo(ctx context.Context, parts []Part, fn RollupFunc) ([]written, error) {
	keys := make([][][]byte, len(parts))
	workers, ctxOfBoth := errgroup.WithContext(ctx)
	for i, part := range parts {
		workers.Go(func() (err error) {
			if keys[i], err = r.rolledKeys(ctxOfBoth, part, fn); err != nil {
				return fmt.Errorf("roll up %s: %w", part.key(UsageTable), err)
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	l := r.archive.layouts[UsageDaily]
	var all []written
	for i, part := range parts {
		d, err := writePart(ctx, r, l, codeDaily, source{id: part.id(), coverage: part.Coverage, from: part.SHA256, rows: noErrors(keys[i]), awaits: part.Awaits})
		if err != nil {
			return nil, fmt.Errorf("roll up %s: %w", part.key(UsageTable), err)
		}
		all = append(all, d.written)
	}
	return all, nil
}

// rolledKeys has a part rolled up and returns the rows, sorted.
func (r *Run) rolledKeys(ctx context.Context, part Part, fn RollupFunc) (keys [][]byte, err error) {
	if part.Rows == 0 {
		return nil, nil
	}
	f, err := r.archive.open(ctx, r.archive.layouts[UsageTable], part)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	all, err := f.layout.selectColumns(nil)
	if err != nil {
		return nil, err
	}
	rec, err := fn(ctx, part, func(yield func(arrow.Record, error) bool) {
		r.archive.rowsOf(ctx, f, part, all, yield)
	})
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	return recordKeysOf(r.archive.layouts[UsageDaily], part, rec)
}

// recordKeysOf returns the rows of a part of a derived table, sorted.
func recordKeysOf(l *layout, part Part, rec arrow.Record) ([][]byte, error) {
	if err := checkDays(l, part, rec); err != nil {
		return nil, err
	}
	keyOf, err := recordKeys(l, rec)
	if err != nil {
		return nil, err
	}
	return sortedRecordKeys(keyOf, int(rec.NumRows()))
}

// checkDays makes sure that a record is of the day it is filed under.
func checkDays(l *layout, part Part, rec arrow.Record) error {
	at := rec.Schema().FieldIndices(l.partition)
	if len(at) != 1 {
		return fmt.Errorf("%s record: column %s is missing", l.table, l.partition)
	}
	days, ok := rec.Column(at[0]).(*array.Date32)
	if !ok {
		return fmt.Errorf("%s record: column %s is not a date", l.table, l.partition)
	}
	for i := range days.Len() {
		if days.IsNull(i) || days.Value(i) != arrow.Date32(part.Day) {
			return fmt.Errorf("%s record: row %d is not of %s", l.table, i, part.Day)
		}
	}
	return nil
}
