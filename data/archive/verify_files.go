package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tidemark/data"
)

// files checks every data file that was ever added.
func (v *verifier) files(ctx context.Context) error {
	total, done := int64(0), int64(0)
	for _, t := range v.tables {
		for _, p := range t.parts {
			total += p.Size
		}
	}
	for _, t := range Tables() {
		for _, p := range v.tables[t].parts {
			if err := v.file(ctx, v.tables[t].layout, p); err != nil {
				return err
			}
			if done += p.Size; v.Progress != nil {
				v.Progress(done, total)
			}
		}
	}
	return nil
}

func (v *verifier) file(ctx context.Context, l *layout, p *verifiedPart) error {
	key := p.key(l.table)
	if !v.there(key, fmt.Sprintf("entry %d of the log added it", p.from)) {
		return nil
	}
	v.out.Files++
	size := v.objects[key].Size
	v.out.Bytes += size
	switch want := p.add.Size; {
	case size != want:
		v.found(key, "it has %d bytes, the log says %d", size, want)
		return nil
	case v.Quick:
		return nil
	case p.foreign:
		v.found(key, "another program added it: there is no hash to check it with")
		return nil
	}
	return v.guarded(key, func() error {
		w, err := v.takeFacts(ctx, l, p.Part)
		if err != nil {
			if ctx.Err() == nil && (errors.Is(err, ErrDamaged) || errors.Is(err, ErrSchema)) {
				v.found(key, "%v", err)
				return nil
			}
			return v.unreadable(ctx, key, err)
		}
		v.out.Rows += w.facts.rows
		v.compare(key, l, p, w)
		return nil
	})
}

// takeFacts reads a whole file: size, hash, schema, the CRC of every page, and
// every row.
func (v *verifier) takeFacts(ctx context.Context, l *layout, p Part) (w written, err error) {
	f, err := v.archive.open(ctx, l, p)
	if err != nil {
		return w, err
	}
	w.part = p
	w.facts, err = f.facts(ctx, v.archive, p)
	return w, errors.Join(err, f.close())
}

// compare sets what the log says about a file beside what is in it.
func (v *verifier) compare(key string, l *layout, p *verifiedPart, w written) {
	w.facts.into(&w.part)
	if w.part.Rows != p.Rows {
		v.found(key, "it has %d rows, the log says %d", w.part.Rows, p.Rows)
	}
	if w.part.ContentSHA256 != p.ContentSHA256 {
		v.found(key, "its rows have another content hash than the log says")
	}
	if !slices.Equal(w.part.Sums, p.Sums) {
		v.found(key, "its sums are %v, the log says %v", w.part.Sums, p.Sums)
	}
	want, err := newAdd(l, w, data.Day(0).Time())
	if err != nil {
		v.found(key, "%v", err)
		return
	}
	if want.Stats != p.add.Stats {
		v.found(key, "its statistics in the log are not those of its rows")
	}
}

// rollups compares every usage_daily part with the usage part it was made from.
func (v *verifier) rollups(context.Context) error {
	usage, daily := v.tables[UsageTable], v.tables[UsageDaily]
	if usage.broken || daily.broken {
		return nil // named already; what follows from them is not known
	}
	bySum := map[string][]*verifiedPart{} // several after equal rows came back
	for _, p := range usage.parts {
		bySum[p.SHA256] = append(bySum[p.SHA256], p)
	}
	for _, p := range daily.parts {
		key, named := p.key(UsageDaily), daily.entries[p.from].usage
		if v.bad[key] || named == nil || p.foreign {
			continue
		}
		from := bySum[p.FromSHA256]
		there := func(u *verifiedPart) bool {
			return u.id() == p.id() && u.from <= *named && (u.to < 0 || u.to > *named)
		}
		switch {
		case len(from) == 0:
			v.found(key, "it was rolled up from a usage file that the log does not know")
		case !slices.ContainsFunc(from, there):
			v.found(key, "it was rolled up from %s, which version %d of usage does not have for this day, feed and billing period", from[0].Path, *named)
		case !slices.Equal(from[0].Sums, p.Sums):
			v.found(key, "its sums are %v, those of %s are %v", p.Sums, from[0].Path, from[0].Sums)
		}
	}
	return nil
}

// checkpoint compares a checkpoint, if it is there, with the state that the log
// has come to.
func (v *verifier) checkpoint(ctx context.Context, table *verifiedTable, version int64) error {
	key := checkpointKey(table.layout.table, version)
	if _, found := v.objects[key]; !found {
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		return err
	}
	rows := table.replayed.rows()
	table.hint = string(lastCheckpoint{version, int64(len(rows))}.encode())
	if err := sameCheckpoint(key, b, rows); err != nil {
		v.found(key, "%v", err)
	}
	return nil
}

// checkpoints checks that those that are due are there, and the file that names
// the newest.
func (v *verifier) checkpoints(ctx context.Context) error {
	for _, t := range Tables() {
		for _, key := range v.below(logFolder(t)) {
			if strings.HasSuffix(key, ".checkpoint.parquet") {
				v.used[key] = true
			}
		}
		// Those that are due have a run that finished since.
		for version := v.CheckpointEvery; version <= v.recorded[t]; version += v.CheckpointEvery {
			v.there(checkpointKey(t, version), "it is due since that version")
		}
		if err := v.hint(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// hint checks the file that names the newest checkpoint.
func (v *verifier) hint(ctx context.Context, t Table) error {
	key, table := lastCheckpointKey(t), v.tables[t]
	if _, found := v.objects[key]; !found {
		if table.hint != "" {
			v.there(key, "there are checkpoints")
		}
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		return err
	}
	var last lastCheckpoint
	switch err := json.Unmarshal(b, &last); {
	case err != nil || string(b) != string(last.encode()):
		v.found(key, "it does not name a checkpoint")
	case !table.broken && string(b) != table.hint:
		v.found(key, "it says %s instead of %s", b, table.hint)
	}
	return nil
}
