package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tidemark/data"
)

// The tests of this file change objects so that their hash of themselves holds,
// as somebody would who knows the format.

// sign puts the hash of a text into it, whatever stood there.
func sign(text []byte) []byte {
	self := regexp.MustCompile(`("self": ?")[^"]*"`)
	return withSelf(self.ReplaceAll(text, []byte(`${1}"`)))
}

// forge changes a run record.
func forge(t testing.TB, b *Memory, run string, change func(*RunRecord)) {
	t.Helper()
	var r RunRecord
	if err := json.Unmarshal(b.files[runKey(run)], &r); err != nil {
		t.Fatal(err)
	}
	change(&r)
	r.Seal = seal(r.Heads)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	b.files[runKey(r.Run)] = sign(append(text, '\n'))
}

func TestVerify_FindsForgedRunRecords(t *testing.T) {
	for name, c := range map[string]struct {
		run       string
		change    func(*RunRecord)
		key, want string
	}{
		"a head before the first": {"run10", func(r *RunRecord) { r.Heads[UsageTable] = Head{Version: -1} }, "runs/run10.json", "it has entry -1"},
		"a head far off":          {"run10", func(r *RunRecord) { r.Heads[UsageTable] = Head{Version: math.MaxInt64} }, entryKey(UsageTable, math.MaxInt64), "is missing"},
		"a record put in later":   {"run3", func(r *RunRecord) { r.Run = "run3b" }, "runs/run3b.json", "put here later"},
		"a time that goes back":   {"run10", func(r *RunRecord) { r.Finished = newClock().now() }, "runs/run10.json", "finished no later than run"},
	} {
		_, b := museum(t)
		b.files[entryKey(UsageTable, -1)] = []byte("x")
		forge(t, b, c.run, c.change)
		out := verifyMuseum(t, b)
		if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Key == c.key && strings.Contains(f.Problem, c.want) }) {
			t.Errorf("%s: findings %v, want one on %s with %q", name, out.Findings, c.key, c.want)
		}
	}
}

// TestVerify_FindsCommitsThatGiveUpTooMuch has a commit say of files that it gave
// them up, so that their absence would be in order.
func TestVerify_FindsCommitsThatGiveUpTooMuch(t *testing.T) {
	f, b := museum(t)
	ctx := t.Context()
	base, err := f.refresh(ctx, Customers)
	if err != nil {
		t.Fatal(err)
	}
	active := base.sorted()[0]
	r := f.begin()
	info := r.commitInfo(Customers, Delivery{Source: "tidemark"}, "retention")
	info.Operation = opPrune
	info.Deleted = []Deleted{{active.key(Customers), active.SHA256}, {"runs/run8.json", hexSum(b.files["runs/run8.json"])},
		{entryKey(UsageTable, 0), hexSum(b.files[entryKey(UsageTable, 0)])}, {lastCheckpointKey(Customers), ""}}
	always := func(*state) (plan, error) { return plan{always: true}, nil }
	if _, err := r.commit(ctx, base, change{info, always, func(Part) bool { return false }}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	for _, d := range info.Deleted {
		delete(b.files, d.Key)
	}
	out := verifyMuseum(t, b)
	entry := entryKey(Customers, base.version()+1)
	for _, d := range info.Deleted {
		for key, want := range map[string]string{entry: "it gives up " + d.Key, d.Key: "is missing"} {
			if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Key == key && strings.Contains(f.Problem, want) }) {
				t.Errorf("%s: not found: %s, in %v", key, want, out.Findings)
			}
		}
	}
}

func TestVerify_FindsAFileThatIsAddedTwice(t *testing.T) {
	for name, c := range map[string]struct {
		path, want string
	}{
		"the same file":     {"", "is part of the table already"},
		"the same identity": {"usage_date=2026-11-20/again.parquet", "holds the same day, feed and billing period"},
	} {
		b := NewMemory()
		f := newFixture(t, b)
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
		base, err := f.refresh(t.Context(), UsageTable)
		if err != nil {
			t.Fatal(err)
		}
		p := base.sorted()[0]
		if c.path != "" {
			b.files["usage/"+c.path] = b.files[p.key(UsageTable)]
			p.Path = c.path
		}
		r := f.begin()
		again := func(*state) (plan, error) {
			return plan{adds: []written{{part: p, facts: newFacts(f.layouts[UsageTable])}}}, nil
		}
		if _, err := r.commit(t.Context(), base, change{r.commitInfo(UsageTable, Delivery{Source: "tables"}, ""), again, func(Part) bool { return false }}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		out := verifyMuseum(t, b)
		if !slices.ContainsFunc(out.Findings, func(f Finding) bool {
			return f.Key == entryKey(UsageTable, 1) && strings.Contains(f.Problem, c.want)
		}) {
			t.Errorf("%s: findings %v, want %q", name, out.Findings, c.want)
		}
	}
}

// TestVerify_SurvivesHostileValues puts bad values in the place of each value of
// each log entry and run record.
func TestVerify_SurvivesHostileValues(t *testing.T) {
	b := NewMemory()
	f := newFixtureWith(t, b, Options{CheckpointEvery: 2})
	for i := range 3 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", fmt.Sprint(i)))
	}
	newest, all := runKey("run3"), 0
	for key, text := range b.files {
		if !strings.HasSuffix(key, ".json") {
			continue
		}
		sep := "\n"
		if strings.HasPrefix(key, runFolder) {
			sep = "\x00" // one value over many lines
		}
		lines := strings.Split(strings.TrimSuffix(string(text), "\n"), sep)
		for i, line := range lines {
			for hostile := range hostiles(t, line) {
				all++
				m := copyOf(b)
				changed := slices.Clone(lines)
				changed[i] = hostile
				m.files[key] = sign([]byte(strings.Join(changed, sep) + "\n"))
				if out := verifyMuseum(t, m); out.OK() && key != newest && !bytes.Equal(m.files[key], text) {
					t.Errorf("%s with %s: no finding", key, hostile)
				}
			}
		}
	}
	t.Logf("%d values", all)
}

// hostiles yields a JSON text with each of its values replaced.
func hostiles(t testing.TB, text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var whole any
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		var walk func(at any, put func(any)) bool
		walk = func(at any, put func(any)) bool {
			for _, v := range []any{nil, -1, math.MaxInt64, "", "../x", []any{}, map[string]any{}} {
				put(v)
				changed, err := json.Marshal(whole)
				if err != nil {
					t.Fatal(err)
				}
				if !yield(string(changed)) {
					return false
				}
			}
			put(at)
			switch at := at.(type) {
			case map[string]any:
				for _, key := range slices.Sorted(maps.Keys(at)) {
					if !walk(at[key], func(v any) { at[key] = v }) {
						return false
					}
				}
			case []any:
				for i := range at {
					if !walk(at[i], func(v any) { at[i] = v }) {
						return false
					}
				}
			}
			return true
		}
		walk(whole, func(v any) { whole = v })
	}
}

// TestVerify_ADamagedCheckpointTakesNoMemory flips a bit in the length of the
// footer, for which the decoder alone would make two gigabytes.
func TestVerify_ADamagedCheckpointTakesNoMemory(t *testing.T) {
	_, b := museum(t)
	key := checkpointKey(UsageTable, 2)
	b.files[key][len(b.files[key])-5] ^= 1 << 7
	for _, what := range []string{"a run record has its hash", "none has"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out := verifyMuseum(t, b)
		runtime.ReadMemStats(&after)
		if made := after.TotalAlloc - before.TotalAlloc; made > 256<<20 {
			t.Errorf("%s: %d MiB were made", what, made>>20)
		}
		if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Key == key }) {
			t.Errorf("%s: it is not among %v", what, out.Findings)
		}
		for run := range 10 {
			if run := fmt.Sprint("run", run+1); b.files[runKey(run)] != nil {
				forge(t, b, run, func(r *RunRecord) { delete(r.Files, key) })
			}
		}
	}
}

// TestVerify_ARunThatDiedAtACheckpointIsAllThatIsFound takes away what a run
// writes after its checkpoint, one by one.
func TestVerify_ARunThatDiedAtACheckpointIsAllThatIsFound(t *testing.T) {
	f, b := museum(t)
	hint := b.files[lastCheckpointKey(Customers)]
	r := f.begin()
	for _, d := range []string{"2026-11-24", "2026-11-25"} {
		if _, err := r.CommitCustomers(t.Context(), day(d), []data.Customer{customer("a", "a")}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, undo := range []func(){
		func() { delete(b.files, runKey("run11")) },
		func() { b.files[lastCheckpointKey(Customers)] = hint },
		func() { delete(b.files, checkpointKey(Customers, 4)) },
	} {
		undo()
		out := verifyMuseum(t, b)
		if len(out.Findings) != 1 || out.Findings[0].Key != runKey("run11") {
			t.Errorf("findings %v, want one on the run", out.Findings)
		}
	}
}

// TestVerify_AllowsForClocksThatDiffer has the last two runs not know each other,
// as those that end side by side, the one by the other's clock already over when
// it began.
func TestVerify_AllowsForClocksThatDiffer(t *testing.T) {
	for skew, want := range map[time.Duration]bool{maxSkew: false, maxSkew + time.Second: true} {
		_, b := museum(t)
		var before RunRecord
		forge(t, b, "run8", func(r *RunRecord) { before = *r })
		forge(t, b, "run10", func(r *RunRecord) {
			r.Previous, r.Started = before.Previous, before.Finished.Add(skew)
			r.Finished = r.Started.Add(time.Minute)
		})
		out := verifyMuseum(t, b)
		blamed := slices.ContainsFunc(out.Findings, func(f Finding) bool {
			return f.Key == runKey("run8") && strings.Contains(f.Problem, "put here later")
		})
		if blamed != want {
			t.Errorf("%s apart: blamed is %v: %v", skew, blamed, out.Findings)
		}
	}
}
