package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"tidemark/data"
)

// takenFile is a data file with what was found in it.
type takenFile struct {
	layout *layout
	part   *verifiedPart
	facts  written
	err    error
}

// files checks every data file that was ever added, several at a time.
func (v *verifier) files(ctx context.Context) error {
	var todo []takenFile
	total, done := int64(0), int64(0)
	for _, t := range Tables() {
		for _, p := range v.tables[t].parts {
			if v.present(v.tables[t].layout, p) {
				todo = append(todo, takenFile{layout: v.tables[t].layout, part: p})
				total += p.Size
			}
		}
	}
	waiting, taken := make(chan takenFile), make(chan takenFile)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for f := range waiting {
				f.facts, f.err = v.takeFacts(ctx, f.layout, f.part.Part)
				taken <- f
			}
		})
	}
	go func() {
		defer close(taken)
		defer workers.Wait()
		defer close(waiting)
		for _, f := range todo {
			if ctx.Err() != nil {
				return
			}
			waiting <- f
		}
	}()
	for f := range taken {
		v.taken(f)
		if done += f.part.Size; v.Progress != nil {
			v.Progress(done, total)
		}
	}
	return ctx.Err()
}

// present checks that a file is there with its size, and reports whether it is to
// be read.
func (v *verifier) present(l *layout, p *verifiedPart) bool {
	key := p.key(l.table)
	if !v.there(key, fmt.Sprintf("entry %d of the log added it", p.from)+v.doubt(l.table)) {
		return false
	}
	size := v.objects[key].Size
	v.out.Files++
	v.out.Bytes += size
	switch want := p.add.Size; {
	case size != want:
		v.foundIn(l.table, p, "it has %d bytes, the log says %d", size, want)
	case v.Quick:
	case p.foreign:
		v.found(key, "another program added it: there is no hash to check it with")
	default:
		return true
	}
	return false
}

// taken notes what is wrong with a file that was read.
func (v *verifier) taken(f takenFile) {
	t := f.layout.table
	switch {
	case errors.Is(f.err, context.Canceled):
	case errors.Is(f.err, ErrDamaged), errors.Is(f.err, ErrSchema):
		v.foundIn(t, f.part, "%s", strings.TrimPrefix(f.err.Error(), "read "+f.part.key(t)+": "))
	case f.err != nil:
		v.found(f.part.key(t), "cannot be read: %v", f.err)
	default:
		v.out.Rows += f.facts.facts.rows
		v.compare(f.layout, f.part, f.facts)
	}
}

// takeFacts reads a whole file: size, hash, schema, the CRC of every page, and
// every row.
func (v *verifier) takeFacts(ctx context.Context, l *layout, p Part) (w written, err error) {
	defer func() {
		if p := recover(); p != nil { // parquet-go panics on some damage
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	f, err := v.archive.open(ctx, l, p)
	if err != nil {
		return w, err
	}
	w.part = p
	if w.facts, err = f.facts(ctx, v.archive, p); err == nil && p.PieceSHA256 != "" {
		w.part.PieceSHA256, err = f.pieceSums()
	}
	return w, errors.Join(err, f.close())
}

// compare sets what the log says about a file beside what is in it.
func (v *verifier) compare(l *layout, p *verifiedPart, w written) {
	w.facts.into(&w.part)
	if w.part.Rows != p.Rows {
		v.foundIn(l.table, p, "it has %d rows, the log says %d", w.part.Rows, p.Rows)
	}
	if w.part.ContentSHA256 != p.ContentSHA256 {
		v.foundIn(l.table, p, "its rows have another content hash than the log says")
	}
	if !slices.Equal(w.part.Sums, p.Sums) {
		v.foundIn(l.table, p, "its sums are %v, the log says %v", w.part.Sums, p.Sums)
	}
	if p.PieceSHA256 != "" && w.part.PieceSHA256 != p.PieceSHA256 {
		v.foundIn(l.table, p, "its pieces have other hashes than the log says")
	}
	want, err := newAdd(l, w, data.Day(0).Time())
	if err != nil {
		v.foundIn(l.table, p, "%v", err)
		return
	}
	if want.Stats != p.add.Stats {
		v.foundIn(l.table, p, "its statistics in the log are not those of its rows")
	}
}

// rollups compares every usage_daily part with the usage part it was made from.
func (v *verifier) rollups(context.Context) error {
	usage, daily := v.tables[UsageTable], v.tables[UsageDaily]
	if usage.doubted || daily.doubted {
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

// checkpoint compares the checkpoint of a version, if there is one, with the state
// that the log has come to. It is decoded only when a run record has its hash: of
// damaged bytes the decoder may make gigabytes.
func (v *verifier) checkpoint(ctx context.Context, table *verifiedTable, version int64) error {
	key := checkpointKey(table.layout.table, version)
	recorded, isRecorded := v.sums[key]
	_, found := v.objects[key]
	if !found && !isRecorded {
		return nil
	}
	rows := table.replayed.rows()
	if isRecorded {
		table.hints, table.hintDue = nil, true // an older one will not do any more
	}
	table.hints = append(table.hints, string(lastCheckpoint{version, int64(len(rows))}.encode()))
	if !found {
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		return err
	}
	if isRecorded {
		v.sum(key, b, recorded.sha256, "the record of run "+recorded.run)
	}
	if v.bad[key] || table.doubted {
		return nil
	}
	if isRecorded {
		err = sameCheckpoint(b, rows)
	} else if made, e := encodeCheckpoint(rows); e != nil || !bytes.Equal(made, b) {
		err = errOtherCheckpoint
	}
	if err != nil {
		v.found(key, "%v", err)
	}
	return nil
}

// checkpoints checks that those that are due are there, and the file that names
// the newest.
func (v *verifier) checkpoints(ctx context.Context) error {
	for _, t := range Tables() {
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
		if table.hintDue {
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
	case !table.doubted && !slices.Contains(table.hints, string(b)) && !v.cameSince(ctx, checkpointKey(t, last.Version)):
		v.found(key, "it says %s instead of %s", b, strings.Join(table.hints, " or "))
	}
	return nil
}
