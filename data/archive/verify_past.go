package archive

import (
	"context"
	"errors"
	"slices"

	"tidemark/data"
)

// pasts compares every usage_past part with the usage_daily parts that it was made from, and
// makes those anew that still count.
func (v *verifier) pasts(ctx context.Context) error {
	daily, past := v.tables[UsageDaily], v.tables[UsagePast]
	if daily.doubted || past.doubted {
		return nil // named already; what follows from them is not known
	}
	for _, p := range past.parts {
		key, named := p.key(UsagePast), past.entries[p.from].usage
		if v.bad[key] || named == nil || p.foreign {
			continue
		}
		parts := daily.at(*named)
		if sum := sumsUpTo(parts, []data.Day{p.Day})[p.Day]; sum != p.FromSHA256 {
			v.found(key, "it was not made from the files that version %d of %s has up to %s", *named, UsageDaily, p.Day)
		}
	}
	if v.Quick || v.Condenser.Condense == nil {
		return nil
	}
	return v.condenseAgain(ctx)
}

// at returns the parts of a table at a version, in order.
func (t *verifiedTable) at(version int64) []Part {
	var parts []Part
	for _, p := range t.parts {
		if p.from <= version && (p.to < 0 || p.to > version) {
			parts = append(parts, p.Part)
		}
	}
	slices.SortFunc(parts, compareParts)
	return parts
}

// newest is a table as its log leaves it, for reading.
func (t *verifiedTable) newest() *state {
	s := emptyState(t.layout.table)
	for _, p := range t.at(int64(len(t.entries))) {
		s.parts[p.Path] = p
	}
	return s
}

// condenseAgain makes every part that counts for the newest usage_daily anew, from the days
// alone, and compares the rows.
func (v *verifier) condenseAgain(ctx context.Context) error {
	daily, past := v.tables[UsageDaily], v.tables[UsagePast]
	for _, p := range daily.parts {
		if p.to < 0 && v.bad[p.key(UsageDaily)] {
			return nil // named already
		}
	}
	view := &View{archive: v.archive, states: map[Table]*state{UsageDaily: daily.newest(), UsagePast: past.newest()}}
	sums, parts := view.pastSums(nil), view.Parts(UsagePast)
	view.states[UsagePast] = emptyState(UsagePast) // nothing of it is believed
	var made condensedDay
	defer func() { made.release() }()
	for _, p := range parts {
		if key := p.key(UsagePast); v.bad[key] || p.FromSHA256 != sums[p.Day] {
			continue
		}
		next, err := view.condenseUpTo(ctx, p.Day, made, v.Condenser)
		if err != nil {
			return v.unreadable(ctx, p.key(UsagePast), err)
		}
		made.release()
		made = next
		if err := v.samePast(p, made); err != nil {
			v.found(p.key(UsagePast), "%v", err)
		}
	}
	return nil
}

var errOtherPast = errors.New("its rows are not what the days of usage_daily come to")

// samePast compares a part with what the days come to.
func (v *verifier) samePast(p Part, made condensedDay) error {
	l := v.archive.layouts[UsagePast]
	keys, err := recordKeysOf(l, p, made.rows)
	if err != nil {
		return err
	}
	f := newFacts(l)
	for _, key := range keys {
		if err := f.add(key); err != nil {
			return err
		}
	}
	if f.content() != p.ContentSHA256 {
		return errOtherPast
	}
	return nil
}
