package archive

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// VerifyOptions are the settings of Verify; the zero value checks everything.
type VerifyOptions struct {
	Quick           bool                    // of data files only whether they are there with their size, of mails whether they are there
	Progress        func(done, total int64) // bytes of data files; nil for none
	CheckpointEvery int64                   // as in Options
	Condenser       Condenser               // makes usage_past again, to compare; the zero value: it is not made again
}

// Finding is one object that is not what it was, and how that shows.
type Finding struct {
	Key     string `json:"key"`
	Problem string `json:"problem"`
}

func (f Finding) String() string { return f.Key + ": " + f.Problem }

// Verification is what Verify found.
type Verification struct {
	Findings     []Finding `json:"findings"`
	Objects      int       `json:"objects"` // that there are
	Commits      int       `json:"commits"`
	Runs         int       `json:"runs"`
	Files        int       `json:"files"`        // data files checked, superseded ones too
	Rows         int64     `json:"rows"`         // in them; 0 when quick
	Bytes        int64     `json:"bytes"`        // of them
	Unreferenced int       `json:"unreferenced"` // objects that nothing refers to; no finding
	Seals        []Sealed  `json:"-"`
}

// Sealed is a state of the data tables that the archive was in.
type Sealed struct {
	Seal    string
	KnownAt time.Time
}

// OK reports whether nothing is wrong.
func (v Verification) OK() bool { return len(v.Findings) == 0 }

// verifier goes through an archive and notes everything that is wrong. It trusts
// nothing that it has not checked, and after a finding it goes on.
type verifier struct {
	VerifyOptions
	archive *Archive
	bucket  Bucket
	objects map[string]Info // what is there, by key
	used    map[string]bool // objects that something refers to
	bad     map[string]bool // keys with a finding
	gone    map[string]bool // keys that a commit gave up for good
	tables  map[Table]*verifiedTable

	runs     runRecords              // those that are what they were
	sums     map[string]recordedFile // small files that they name, by key
	recorded map[Table]int64         // newest version of each table that one of them has
	died     []Finding               // runs that committed and left no record

	out Verification
}

// Verify checks a whole archive: the logs and their chains, the run records,
// every data file with its pages, rows and sums, the rollups against the usage
// they are of, usage_past against the rollups, the checkpoints, the quarantine, and what is kept by hash. The
// error is of the bucket, or a cancelled ctx; whatever is wrong with an object is
// a finding. It cannot see that the newest run was removed as a whole.
func Verify(ctx context.Context, b Bucket, o VerifyOptions) (Verification, error) {
	v, err := newVerifier(ctx, b, o)
	if err != nil {
		return Verification{}, err
	}
	for _, step := range []func(context.Context) error{v.readRuns, v.logs, v.records, v.files, v.rollups, v.pasts, v.checkpoints, v.kept, v.named, v.strangers} {
		if err := step(ctx); err != nil {
			return v.out, fmt.Errorf("verify archive: %w", err)
		}
	}
	for _, f := range v.died {
		if !v.cameSince(ctx, f.Key) {
			v.out.Findings = append(v.out.Findings, f)
		}
	}
	v.out.Seals = v.seals()
	slices.SortStableFunc(v.out.Findings, func(a, b Finding) int { return strings.Compare(a.Key, b.Key) })
	return v.out, nil
}

// newVerifier lists what there is.
func newVerifier(ctx context.Context, b Bucket, o VerifyOptions) (*verifier, error) {
	layouts, err := newLayouts()
	if err != nil {
		return nil, err
	}
	if o.CheckpointEvery <= 0 {
		o.CheckpointEvery = defaultCheckpointEvery
	}
	v := &verifier{VerifyOptions: o, bucket: b, objects: map[string]Info{}, used: map[string]bool{}, bad: map[string]bool{},
		gone: map[string]bool{}, tables: map[Table]*verifiedTable{}, sums: map[string]recordedFile{}, recorded: map[Table]int64{}}
	v.archive = &Archive{bucket: b, opts: Options{Allocator: memory.NewGoAllocator()}, layouts: layouts, newest: map[Table]*state{}}
	if v.objects, err = listSteady(ctx, b); err != nil {
		return nil, err
	}
	v.out.Objects, v.out.Findings = len(v.objects), []Finding{}
	return v, nil
}

// listSteady lists an archive until a listing shows the same entries and records
// as the one before: those were all there at one time, also when runs go on. It
// gives up after some listings and returns the last.
func listSteady(ctx context.Context, b Bucket) (objects map[string]Info, err error) {
	for range 10 {
		before := objects
		objects = map[string]Info{}
		same := before != nil
		for info, err := range b.List(ctx, "") {
			if err != nil {
				return nil, fmt.Errorf("list archive: %w", err)
			}
			objects[info.Key] = info
			if _, found := before[info.Key]; !found && (isEntry(info.Key) || strings.HasPrefix(info.Key, runFolder)) {
				same = false
			}
		}
		if same {
			break
		}
	}
	return objects, nil
}

// cameSince reports whether an object that was not listed is there now: a run
// that goes on beside this has put it there.
func (v *verifier) cameSince(ctx context.Context, key string) bool {
	if _, found := v.objects[key]; found {
		return false
	}
	_, err := readAll(ctx, v.bucket, key)
	return err == nil
}

// found notes what is wrong with an object.
func (v *verifier) found(key, format string, args ...any) {
	v.note(key, format, args...)
	folder, _, inLog := strings.Cut(key, "/_delta_log/")
	if table := v.tables[Table(folder)]; inLog && table != nil && isEntry(key) {
		table.doubted = true
	}
}

// note is found for what leaves no doubt about the rest of a log.
func (v *verifier) note(key, format string, args ...any) {
	v.bad[key] = true
	v.out.Findings = append(v.out.Findings, Finding{key, fmt.Sprintf(format, args...)})
}

// foundIn is found for a data file, which is compared with the entry that added
// it.
func (v *verifier) foundIn(t Table, p *verifiedPart, format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	if v.bad[p.entry] && !p.foreign {
		problem += v.doubt(t)
	}
	v.found(p.key(t), "%s", problem)
}

// doubt ends a finding that a damaged log may be wrong about; it is empty for a
// sound one.
func (v *verifier) doubt(t Table) string {
	if !v.tables[t].doubted {
		return ""
	}
	return "; an entry of the log is not what it was or is gone" + restoreFirst
}

const restoreFirst = ": restore that first, then verify again"

// there reports whether an object that something refers to exists; its absence
// is a finding.
func (v *verifier) there(key, because string) bool {
	v.used[key] = true
	if _, found := v.objects[key]; found {
		return true
	}
	if !v.gone[key] && !v.bad[key] {
		v.found(key, "is missing: %s", because)
	}
	return false
}

// read returns an object that is listed; nil with a finding when it cannot be
// read.
func (v *verifier) read(ctx context.Context, key string) ([]byte, error) {
	v.used[key] = true
	b, err := readAll(ctx, v.bucket, key)
	if err != nil {
		return nil, v.unreadable(ctx, key, err)
	}
	return b, nil
}

// unreadable is a finding, unless it was ctx that ended.
func (v *verifier) unreadable(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	v.found(key, "cannot be read: %v", err)
	return nil
}

// sum compares the hash of an object with what it should be.
func (v *verifier) sum(key string, b []byte, want, who string) {
	if got := hexSum(b); got != want && !v.bad[key] {
		v.found(key, "its SHA-256 is %.16s…, %s has %.16s…", got, who, want)
	}
}

// kept checks the files that are named by their hash.
func (v *verifier) kept(ctx context.Context) error {
	for _, folder := range Folders() {
		for _, key := range v.below(string(folder) + "/") {
			name := strings.TrimPrefix(key, string(folder)+"/")
			sum, _, _ := strings.Cut(name, ".")
			if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 || folder.key(sum) != key {
				v.found(key, "is not named by its hash: it does not belong here")
				continue
			}
			if v.Quick && folder == Mails {
				continue // there may be years of them; whether one is missing shows in the reports
			}
			b, err := readAll(ctx, v.bucket, key)
			if err != nil {
				if err := v.unreadable(ctx, key, err); err != nil {
					return err
				}
				continue
			}
			v.sum(key, b, sum, "its name")
		}
	}
	return nil
}

// below returns the keys with a prefix, in order.
func (v *verifier) below(prefix string) []string {
	var keys []string
	for key := range v.objects {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// strangers counts what nothing refers to. In the folder of a log it is
// a finding: an object there has to be what its place says.
func (v *verifier) strangers(context.Context) error {
	for key := range v.objects {
		if v.used[key] || v.bad[key] {
			continue
		}
		if strings.Contains(key, "/_delta_log/") {
			v.found(key, "is no part of the log: another program wrote it")
			continue
		}
		v.out.Unreferenced++
	}
	return nil
}

// guarded turns a panic of a decoder into a finding on the object it was about.
func (v *verifier) guarded(key string, check func() error) (err error) {
	defer func() {
		if p := recover(); p != nil { // parquet-go panics on some damage
			v.found(key, "cannot be decoded: %v", p)
			err = nil
		}
	}()
	return check()
}

// seals returns every state of the data tables, the oldest first.
func (v *verifier) seals() []Sealed {
	var times []time.Time
	for _, t := range DataTables() {
		for _, e := range v.tables[t].entries {
			times = append(times, e.knownAt)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var all []Sealed
	for _, at := range slices.CompactFunc(times, time.Time.Equal) {
		if s := (Sealed{seal(v.headsAt(at)), at}); len(all) == 0 || all[len(all)-1].Seal != s.Seal {
			all = append(all, s)
		}
	}
	return all
}

// headsAt are the heads of the view as of a time.
func (v *verifier) headsAt(at time.Time) map[Table]Head {
	heads := map[Table]Head{}
	for _, t := range []Table{Customers, Subscriptions, UsageDaily} {
		entries := v.tables[t].entries
		for i := len(entries) - 1; i >= 0; i-- {
			if e := entries[i]; !e.knownAt.IsZero() && !e.knownAt.After(at) {
				heads[t] = Head{int64(i), e.knownAt, e.sha256}
				if n := e.usage; t == UsageDaily && n != nil && *n >= 0 && *n < int64(len(v.tables[UsageTable].entries)) {
					u := v.tables[UsageTable].entries[*n]
					heads[UsageTable] = Head{*n, u.knownAt, u.sha256}
				}
				break
			}
		}
	}
	return heads
}
