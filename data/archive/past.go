package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// usage_past holds what usage_daily comes to up to some days, so that a figure that depends
// on all days need not read them all. Nothing in it is new: a file is made from the files of
// usage_daily up to its day, and counts for a view that has exactly these, whenever it was
// made. Without it the same figures take longer.

// Condensing is what a Condenser is given.
type Condensing struct {
	Until data.Day
	Known []data.Day // that were extracted up to Until, in order
	// Past is what the days up to Since come to (data.UsagePastSchema), borrowed; nil: Rows
	// are those of all days.
	Past  arrow.Record
	Since data.Day
	Rows  iter.Seq2[arrow.Record, error] // of usage_daily, on the days after Since up to Until
}

// Condenser makes usage_past.
type Condenser struct {
	Columns []string // of usage_daily that it reads
	// Condense returns what the days up to one come to (data.UsagePastSchema). The caller must
	// Release the record.
	Condense func(ctx context.Context, c Condensing) (arrow.Record, error)
}

// Condense sees to it that usage_past has the days given, made from usage_daily as that is
// now, and drops what was made from other files of it.
func (r *Run) Condense(ctx context.Context, due []data.Day, by Condenser) (Committed, error) {
	if r.ended {
		return Committed{}, errEnded
	}
	for range maxAttempts {
		done, err := r.condense(ctx, due, by)
		if err == nil || !errors.Is(err, errLost) {
			return done, err
		}
		// Another run condensed in between, perhaps the same days: look again.
	}
	return Committed{}, fmt.Errorf("commit %s: %w", UsagePast, ErrConflict)
}

func (r *Run) condense(ctx context.Context, due []data.Day, by Condenser) (Committed, error) {
	past, err := r.archive.refresh(ctx, UsagePast)
	if err != nil {
		return Committed{}, err
	}
	daily, err := r.archive.refresh(ctx, UsageDaily)
	if err != nil {
		return Committed{}, err
	}
	v := &View{archive: r.archive, states: map[Table]*state{UsageDaily: daily, UsagePast: past}}
	p, err := r.condensed(ctx, v, due, by)
	if err != nil {
		return Committed{}, err
	}
	info := r.commitInfo(UsagePast, Delivery{Source: string(UsageDaily)}, "condense")
	info.UsageVersion = new(daily.version())
	for _, w := range p.adds {
		info.RowsOut += w.part.Rows
	}
	return r.attempt(ctx, past, change{info: info, plan: func(*state) (plan, error) { return p, nil }})
}

// condensed makes what is due and not there, each day from the one before it.
func (r *Run) condensed(ctx context.Context, v *View, due []data.Day, by Condenser) (p plan, err error) {
	l, sums := r.archive.layouts[UsagePast], v.pastSums(due)
	there := map[data.Day]bool{}
	for _, part := range v.parts(UsagePast) {
		if there[part.Day] = part.FromSHA256 == sums[part.Day]; !there[part.Day] {
			p.removes = append(p.removes, part)
		}
	}
	var made condensedDay
	defer func() { made.release() }()
	for _, day := range slices.Compact(slices.Sorted(slices.Values(due))) {
		switch {
		case there[day]:
			p.unchanged++
			continue
		case sums[day] == "":
			continue // no day up to it was extracted
		}
		next, err := v.condenseUpTo(ctx, day, made, by)
		if err != nil {
			return plan{}, fmt.Errorf("condense %s up to %s: %w", UsageDaily, day, err)
		}
		made.release()
		made = next
		id := partID{day: day, feed: Feed{Source: string(UsageDaily)}}
		keys, err := recordKeysOf(l, Part{Day: day}, made.rows)
		if err != nil {
			return plan{}, err
		}
		d, err := writePart(ctx, r, l, codePast, source{id: id, from: sums[day], rows: noErrors(keys)})
		if err != nil {
			return plan{}, err
		}
		p.adds = append(p.adds, d.written)
	}
	return p, nil
}

// condensedDay is what the days up to one come to; without rows it is none.
type condensedDay struct {
	until data.Day
	rows  arrow.Record
}

func (c condensedDay) release() {
	if c.rows != nil {
		c.rows.Release()
	}
}

// condenseUpTo condenses the days up to one: from the newest that is there, or that was made
// before it, on.
func (v *View) condenseUpTo(ctx context.Context, day data.Day, made condensedDay, by Condenser) (condensedDay, error) {
	c := Condensing{Until: day, Past: made.rows, Since: made.until}
	if made.rows == nil {
		rec, until, err := v.Past(ctx, day)
		if err != nil {
			return condensedDay{}, err
		}
		if rec != nil {
			defer rec.Release()
			c.Past, c.Since = rec, until
		}
	}
	for _, d := range v.UsageDays() {
		if d.Day <= day {
			c.Known = append(c.Known, d.Day)
		}
	}
	from := c.Known[0]
	if c.Past != nil {
		from = c.Since + 1
	}
	c.Rows = v.Scan(ctx, UsageDaily, data.Period{From: from, To: day}, by.Columns...)
	rec, err := by.Condense(ctx, c)
	return condensedDay{day, rec}, err
}

// pastSums returns, for days and for those that usage_past has, the hash over the files of
// usage_daily up to them; none where there is no file.
func (v *View) pastSums(days []data.Day) map[data.Day]string {
	for _, p := range v.parts(UsagePast) {
		days = append(days[:len(days):len(days)], p.Day)
	}
	return sumsUpTo(v.parts(UsageDaily), slices.Compact(slices.Sorted(slices.Values(days))))
}

// sumsUpTo hashes the days and the hashes of parts, in their order, up to each of some days.
func sumsUpTo(parts []Part, days []data.Day) map[data.Day]string {
	sums, h, line := map[data.Day]string{}, sha256.New(), []byte(nil)
	for i, day := range days {
		n := 0
		for ; n < len(parts) && parts[n].Day <= day; n++ {
			line = fmt.Appendf(line[:0], "%s %s\n", parts[n].Day, parts[n].SHA256)
			h.Write(line)
		}
		if parts = parts[n:]; n > 0 || i > 0 && sums[days[i-1]] != "" {
			sums[day] = hex.EncodeToString(h.Sum(nil))
		}
	}
	return sums
}

// Past returns what usage_daily comes to up to the newest day before the one given that
// usage_past has (data.UsagePastSchema), made from exactly the files of the view; nil when
// there is none. The caller must Release the record.
func (v *View) Past(ctx context.Context, before data.Day) (rec arrow.Record, until data.Day, err error) {
	sums := v.pastSums(nil)
	for _, p := range slices.Backward(v.parts(UsagePast)) {
		if p.Day >= before || p.FromSHA256 != sums[p.Day] {
			continue
		}
		rec, err := v.whole(ctx, v.archive.layouts[UsagePast], p, nil)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrPruned) {
			continue // it was dropped since; what is older will do
		}
		return rec, p.Day, err
	}
	return nil, 0, nil
}
