package archive

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// Runs returns every run record, in the order in which the runs finished.
func (a *Archive) Runs(ctx context.Context) ([]RunRecord, error) {
	stored, err := a.records(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]RunRecord, len(stored))
	for i, r := range stored {
		all[i] = r.RunRecord
	}
	return all, nil
}

// storedRecord is a run record with the hash of its file.
type storedRecord struct {
	RunRecord
	sha256 string
}

// runRecords are all run records of an archive.
type runRecords []storedRecord

// records reads every run record, in the order in which the runs finished.
func (a *Archive) records(ctx context.Context) (runRecords, error) {
	var all runRecords
	seen := map[string]bool{} // a listing may show a key twice
	for info, err := range a.bucket.List(ctx, runFolder) {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", runFolder, err)
		}
		if seen[info.Key] {
			continue
		}
		seen[info.Key] = true
		b, err := readAll(ctx, a.bucket, info.Key)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		r := storedRecord{sha256: hexSum(b)}
		if err := json.Unmarshal(b, &r.RunRecord); err != nil {
			return nil, fmt.Errorf("read %s: %w: the record is damaged, restore it from a copy", info.Key, err)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(x, y storedRecord) int {
		return cmp.Or(x.Finished.Compare(y.Finished), strings.Compare(x.Run, y.Run))
	})
	return all, nil
}

// lastRecord returns the record whose name sorts last, which is that of the newest run where ids begin with
// the time. found says whether there are records; one that cannot be read is zero: verify tells of it.
func (a *Archive) lastRecord(ctx context.Context) (last RunRecord, found bool, err error) {
	var key string
	for info, err := range a.bucket.List(ctx, runFolder) {
		if err != nil {
			return RunRecord{}, false, fmt.Errorf("list %s: %w", runFolder, err)
		}
		key = info.Key
	}
	if key == "" {
		return RunRecord{}, false, nil
	}
	b, err := readAll(ctx, a.bucket, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return RunRecord{}, true, fmt.Errorf("read %s: %w", key, err)
	}
	if json.Unmarshal(b, &last) != nil || checkSelfHash(b, last.Self) != nil {
		last = RunRecord{}
	}
	return last, true, nil
}

// hasHeads checks that the logs have what a run record has as their newest entries: a log that
// lost its end, or is gone as a whole, looks like a shorter one.
func (a *Archive) hasHeads(r RunRecord) error {
	for _, t := range Tables() {
		h, found := r.Heads[t]
		if !found || h.Version < 0 {
			continue
		}
		s := a.newest[t]
		if s.version() < h.Version {
			return fmt.Errorf("table %s: %w: it has %d entries, run %s left %d", t, errLog, len(s.heads), r.Run, h.Version+1)
		}
		if sum := s.heads[h.Version].sha256; sum != h.SHA256 {
			return fmt.Errorf("log entry %s: %w: its SHA-256 is %.16s…, run %s has %.16s…", entryKey(t, h.Version), errLog, sum, r.Run, h.SHA256)
		}
	}
	return nil
}

// finished returns when the last run finished; the zero time without one.
func (all runRecords) finished() time.Time {
	if len(all) == 0 {
		return time.Time{}
	}
	return all[len(all)-1].Finished
}

// tips returns the records that no other record names.
func (all runRecords) tips() []RunRef {
	named := map[string]bool{}
	for _, r := range all {
		for _, p := range r.Previous {
			named[p.Run] = true
		}
	}
	tips := []RunRef{}
	for _, r := range all {
		if !named[r.Run] {
			tips = append(tips, RunRef{r.Run, r.sha256})
		}
	}
	return tips
}

// files returns the hashes of the files that the records name, by key.
func (all runRecords) files() map[string]string {
	sums := map[string]string{}
	for _, r := range all {
		maps.Copy(sums, r.Files)
	}
	return sums
}

// newestStates returns every table that has a version, at its newest.
func (a *Archive) newestStates(ctx context.Context) (map[Table]*state, error) {
	states := map[Table]*state{}
	for _, t := range Tables() {
		s, err := a.refresh(ctx, t)
		if err != nil {
			return nil, err
		}
		if s.version() >= 0 {
			states[t] = s
		}
	}
	return states, nil
}

func heads(tables map[Table]*state) map[Table]Head {
	heads := map[Table]Head{}
	for t, s := range tables {
		h := s.head()
		heads[t] = Head{h.version, h.knownAt, h.sha256}
	}
	return heads
}

// unfinished returns the runs that committed and have no record, but for one
// and those that a record names already.
func (all runRecords) unfinished(tables map[Table]*state, but string) []string {
	known := map[string]bool{but: true}
	for _, r := range all {
		known[r.Run] = true
		for _, id := range r.Unfinished {
			known[id] = true
		}
	}
	var missing []string
	for _, s := range tables {
		for _, h := range s.heads {
			if !known[h.run] {
				known[h.run] = true
				missing = append(missing, h.run)
			}
		}
	}
	slices.Sort(missing)
	return missing
}
