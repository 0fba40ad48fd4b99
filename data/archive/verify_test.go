package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

// museum is an archive with one of everything: two feeds and billing periods,
// restated and empty days, an inventory replaced, quarantine of a run that went
// on and of one that was refused, a lifted hold, reports with mails and inputs,
// models with trainings and scores, checkpoints, and a run that died.
func museum(t testing.TB) (*fixture, *Memory) {
	t.Helper()
	b := NewMemory()
	f := newFixtureWith(t, b, Options{CheckpointEvery: 2})
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		r := f.begin()
		if i == 1 {
			must(r.Quarantine(UsageTable, &data.RowError{File: "usage.csv", Line: 3, Column: "cost", Value: "x", Reason: "not a decimal number"}))
		}
		if i == 0 {
			h, err := r.AddHold(ctx, Hold{Reason: "audit"})
			must(err)
			_, err = r.LiftHold(ctx, h.ID, "closed")
			must(err)
		}
		f.stage(r, "tables", row("2026-11-20", "a", fmt.Sprint(1+i)), row("2026-11-21", "b", "2.5"), row("2026-11-21", "ü", "-1"))
		_, err := r.CommitUsage(ctx, Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-22")})
		must(err)
		_, err = r.Rollup(ctx, rollup)
		must(err)
		_, err = r.Condense(ctx, []data.Day{day("2026-11-20"), day("2026-11-21")}, listing())
		must(err)
		_, err = r.CommitCustomers(ctx, day("2026-11-22"), []data.Customer{customer("a", fmt.Sprint("name ", i)), customer("b", "b")}, Delivery{Source: "tables"})
		must(err)
		_, err = r.CommitSubscriptions(ctx, day("2026-11-22"), []data.Subscription{{SubscriptionID: "s", CustomerID: "a", Status: data.StatusActive, Trial: new(i == 0)}}, Delivery{Source: "tables"})
		must(err)
		_, err = r.Finish(ctx)
		must(err)
	}
	for i := range 2 {
		f.usage(Delivery{Source: "focus", Days: days("2026-11-21", "2026-11-21"), Full: true},
			scoped(row("2026-11-21", "c", fmt.Sprint(i)), "acc/1", "2026-11"), scoped(row("2026-11-21", "c", "7"), "acc/1", "2026-10"))
		r := f.begin()
		row := report(fmt.Sprint("r", i), "anna@partner.example")
		var err error
		row.EMLSHA256, err = r.Keep(ctx, Mails, fmt.Appendf(nil, "Subject: %d\r\n\r\nmail\r\n", i))
		must(err)
		sum, err := r.Keep(ctx, Inputs, fmt.Appendf(nil, "customer_id,address\na,%d\n", i))
		must(err)
		row.Ownership = &sum
		_, err = r.CommitReports(ctx, day("2026-11-23"), []data.Report{row})
		must(err)
		made, err := r.Keep(ctx, Models, fmt.Appendf(nil, "{\"model\": %d}", i))
		must(err)
		_, err = r.CommitTraining(ctx, data.Training{Day: day("2026-11-23"), Model: made, Used: made, Why: "fitted", Horizon: 28})
		must(err)
		_, err = r.CommitScores(ctx, day("2026-11-23"), []data.Score{{SubscriptionID: "s", CustomerID: "a", Model: made}, {SubscriptionID: "t", CustomerID: "a", Model: "usage-1/prior"}})
		must(err)
		_, err = r.Finish(ctx)
		must(err)
	}
	refused := f.begin()
	must(refused.Quarantine(Customers, &data.RowError{File: "customers.csv", Line: 2, Reason: "no id"}))
	must(refused.Refuse(ctx, "1 of 1 rows are bad"))
	dead := f.begin()
	f.stage(dead, "tables", row("2026-11-23", "a", "9"))
	_, err := dead.CommitUsage(ctx, Delivery{Source: "tables", Days: days("2026-11-23", "2026-11-23")})
	must(err)
	f.usage(Delivery{Source: "tables", Days: days("2026-11-23", "2026-11-23")}, row("2026-11-23", "a", "9"))
	return f, b
}

func verifyMuseum(t testing.TB, b Bucket) Verification {
	t.Helper()
	out, err := Verify(context.Background(), b, VerifyOptions{CheckpointEvery: 2, Condenser: listing()})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVerify_ASoundArchiveHasNoFinding(t *testing.T) {
	f, b := museum(t)
	out := verifyMuseum(t, b)
	for _, finding := range out.Findings {
		t.Error(finding)
	}
	if out.Unreferenced != 0 || out.Objects != len(b.files) || out.Rows == 0 || out.Files == 0 {
		t.Errorf("verified %+v, there are %d objects", out, len(b.files))
	}
	last := out.Seals[len(out.Seals)-1]
	if last.Seal != f.view().Seal() || !last.KnownAt.Equal(f.view().KnownAt()) {
		t.Errorf("newest seal %+v, the view's is %s at %s", last, f.view().Seal(), f.view().KnownAt())
	}
	quick, err := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 2, Quick: true})
	if err != nil || !quick.OK() || quick.Rows != 0 || quick.Files != out.Files {
		t.Errorf("quick: %+v, %v", quick, err)
	}
	for _, s := range out.Seals {
		at, err := f.View(t.Context(), &s.KnownAt)
		if err != nil || at.Seal() != s.Seal {
			t.Errorf("as of %s the view has seal %s, want %s, %v", s.KnownAt, at.Seal(), s.Seal, err)
		}
	}
}

// TestVerify_QuickMissesNoMailAndNoInput deletes each mail, and deletes and cuts
// each input. A mail that was cut takes reading it.
func TestVerify_QuickMissesNoMailAndNoInput(t *testing.T) {
	_, b := museum(t)
	mails, inputs := keysIn(t, b, "mails/"), keysIn(t, b, "inputs/")
	if len(mails) == 0 || len(inputs) == 0 {
		t.Fatalf("mails %q, inputs %q", mails, inputs)
	}
	check := func(key, what string) {
		t.Helper()
		out, err := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 2, Quick: true})
		if err != nil || len(out.Findings) != 1 || out.Findings[0].Key != key {
			t.Errorf("%s %s: found %v, %v", what, key, out.Findings, err)
		}
	}
	for _, key := range slices.Concat(mails, inputs) {
		whole := b.files[key]
		delete(b.files, key)
		check(key, "deleted")
		if strings.HasPrefix(key, "inputs/") {
			b.files[key] = whole[:len(whole)-1]
			check(key, "cut")
		}
		b.files[key] = whole
	}
}

// kindOfObject groups the objects that can stand in for each other.
func kindOfObject(key string) string {
	switch {
	case strings.HasSuffix(key, ".checkpoint.parquet"):
		return "checkpoint"
	case strings.Contains(key, "/_delta_log/"):
		return "entry"
	case strings.HasSuffix(key, ".parquet"):
		return "data"
	}
	kind, _, _ := strings.Cut(key, "/")
	return kind
}

// damages yields every way in which an object is damaged.
func damages(b *Memory, key string, do func(what string, damage func(*Memory))) {
	whole := b.files[key]
	put := func(content []byte) func(*Memory) { return func(m *Memory) { m.files[key] = content } }
	for i := range 8 {
		at := i * (len(whole) - 1) / 7
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << (i % 8)
		do(fmt.Sprintf("bit flipped at %d", at), put(flipped))
	}
	do("cut by one byte", put(whole[:len(whole)-1]))
	do("cut in half", put(whole[:len(whole)/2]))
	do("emptied", put(nil))
	do("extended by a line break", put(append(bytes.Clone(whole), '\n')))
	do("extended by a zero", put(append(bytes.Clone(whole), 0)))
	do("deleted", func(m *Memory) { delete(m.files, key) })
	others := 0
	for _, other := range slices.Sorted(maps.Keys(b.files)) {
		if other == key || kindOfObject(other) != kindOfObject(key) || bytes.Equal(b.files[other], whole) || others == 4 {
			continue
		}
		others++
		do("replaced by "+other, put(b.files[other]))
		do("swapped with "+other, func(m *Memory) { m.files[key], m.files[other] = m.files[other], m.files[key] })
	}
}

// TestVerify_FindsEveryDamage damages each object of an archive in every way, and
// then each that a prune made or changed. What is as it was is not blamed, unless
// with the remark that it may be the damaged object that is wrong about it.
func TestVerify_FindsEveryDamage(t *testing.T) {
	_, whole := museum(t)
	damaged, all, found := 0, atomic.Int64{}, atomic.Int64{}
	t.Run("objects", func(t *testing.T) {
		for _, b := range []*Memory{whole, pruned(t)} {
			for _, key := range slices.Sorted(maps.Keys(b.files)) {
				if b != whole && bytes.Equal(b.files[key], whole.files[key]) {
					continue
				}
				damaged++
				t.Run(key, func(t *testing.T) {
					t.Parallel()
					damages(b, key, func(what string, damage func(*Memory)) {
						all.Add(1)
						m := copyOf(b)
						damage(m)
						if named(t, what, key, b, m) {
							found.Add(1)
						}
					})
				})
			}
		}
	})
	t.Logf("%d of %d damages of %d objects found and named", found.Load(), all.Load(), damaged)
}

// named reports whether verify names a damaged object, and no sound one.
func named(t *testing.T, what, key string, sound, damaged *Memory) bool {
	out := verifyMuseum(t, damaged)
	found := slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Key == key })
	if !found {
		t.Errorf("%s: not named in %v", what, out.Findings)
	}
	for _, f := range out.Findings {
		now, there := damaged.files[f.Key]
		before, was := sound.files[f.Key]
		if there == was && bytes.Equal(now, before) && !strings.HasSuffix(f.Problem, restoreFirst) {
			t.Errorf("%s: blamed is %s", what, f)
		}
	}
	return found
}

// pruned is a museum of which usage, customers and a mail were given up.
func pruned(t testing.TB) *Memory {
	t.Helper()
	f, b, keep := aged(t)
	r := f.begin()
	if _, err := r.Prune(context.Background(), keep, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(context.Background()); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVerify_CannotSeeThatTheNewestRunIsGone is the documented limit; a seal
// from outside shows it.
func TestVerify_CannotSeeThatTheNewestRunIsGone(t *testing.T) {
	_, b := museum(t)
	before := verifyMuseum(t, b)
	m := copyOf(b)
	const newest = "run10"
	for key, content := range b.files {
		if strings.Contains(key, newest) || kindOfObject(key) == "entry" && bytes.Contains(content, []byte(`"run":"`+newest+`"`)) {
			delete(m.files, key)
		}
	}
	if len(m.files) == len(b.files) {
		t.Fatal("nothing was removed")
	}
	out := verifyMuseum(t, m)
	for _, f := range out.Findings {
		if f.Key != runKey("run9") { // it died, and what noted that is gone
			t.Error(f)
		}
	}
	witness := before.Seals[len(before.Seals)-1].Seal
	if slices.ContainsFunc(out.Seals, func(s Sealed) bool { return s.Seal == witness }) {
		t.Errorf("the archive still knows seal %s", witness)
	}
}

func TestVerify_NamesForeignAndLooseObjects(t *testing.T) {
	_, b := museum(t)
	foreign := `{"commitInfo":{"timestamp":1,"operation":"OPTIMIZE","engineInfo":"Apache-Spark/3.5"}}` + "\n" +
		`{"add":{"path":"usage_date=2026-11-20/x.parquet","partitionValues":{"usage_date":"2026-11-20"},"size":3,"modificationTime":1,"dataChange":false}}` + "\n"
	next := 0
	for ; b.files[entryKey(UsageTable, int64(next))] != nil; next++ {
	}
	for key, content := range map[string]string{
		entryKey(UsageTable, int64(next)): foreign, "usage/usage_date=2026-11-20/x.parquet": "abc",
		"usage/_delta_log/.00.json.crc": "x", "runs/x.json": "{}", "mails/x.eml": "x", "usage/usage_date=2026-11-20/loose.parquet": "x", "notes.txt": "x",
	} {
		if err := create(t, b, key, content); err != nil {
			t.Fatal(err)
		}
	}
	out := verifyMuseum(t, b)
	want := map[string]string{
		entryKey(UsageTable, int64(next)): "another program (OPTIMIZE Apache-Spark/3.5)", "usage/usage_date=2026-11-20/x.parquet": "another program added it",
		"usage/_delta_log/.00.json.crc": "no part of the log", "runs/x.json": "hash of itself", "mails/x.eml": "not named by its hash",
	}
	for _, f := range out.Findings {
		if w, expected := want[f.Key]; !expected || !strings.Contains(f.Problem, w) {
			t.Errorf("%s, want %q", f, w)
		}
		delete(want, f.Key)
	}
	if len(want) > 0 || out.Unreferenced != 2 {
		t.Errorf("not found: %v; %d unreferenced, want 2", want, out.Unreferenced)
	}
}

// TestVerify_FindsWhatOnlyContradictionsShow rewrites log and records so that
// every hash holds.
func TestVerify_FindsWhatOnlyContradictionsShow(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*add)
		want   string
	}{
		"rows":       {func(a *add) { a.Tags["rows"] = "5" }, "the log says 5"},
		"sums":       {func(a *add) { a.Tags["sums"] = `[{"column":"cost","currency":"EUR","amount":"999"}]` }, "its sums are"},
		"content":    {func(a *add) { a.Tags["content_sha256"] = strings.Repeat("0", 64) }, "another content hash"},
		"pieces":     {func(a *add) { a.Tags["piece_sha256"] += "A" }, "its pieces have other hashes"},
		"statistics": {func(a *add) { a.Stats = strings.Replace(a.Stats, `"customer_id":"a"`, `"customer_id":"b"`, 1) }, "statistics"},
		"partition":  {func(a *add) { a.PartitionValues["usage_date"] = "2026-11-25" }, "it is of 2026-11-25"},
	} {
		b := NewMemory()
		f := newFixture(t, b)
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
		key := entryKey(UsageTable, 0)
		actions, _, err := decodeEntry(b.files[key])
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			if a.CommitInfo != nil {
				a.CommitInfo.Self = ""
			}
			if a.Add != nil {
				c.change(a.Add)
			}
		}
		entry, err := encodeEntry(actions)
		if err != nil {
			t.Fatal(err)
		}
		record := bytes.ReplaceAll(b.files["runs/run1.json"], []byte(hexSum(b.files[key])), []byte(hexSum(entry)))
		b.files[key] = entry
		b.files["runs/run1.json"] = record
		out := verifyMuseum(t, b)
		part := f.view().Parts(UsageTable)[0].key(UsageTable)
		if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Key == part && strings.Contains(f.Problem, c.want) }) {
			t.Errorf("%s: findings %v, want one on %s with %q", name, out.Findings, part, c.want)
		}
	}
}

func TestVerify_StopsWhenCancelledAndReportsBrokenReads(t *testing.T) {
	_, b := museum(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, b, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	small := NewMemory()
	f := newFixture(t, small)
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	fired := false
	for n := 2; ; n++ { // call 1 is the listing
		f := &faulty{Bucket: small, mode: faultPlain, left: n}
		out, err := Verify(t.Context(), f, VerifyOptions{CheckpointEvery: 2})
		if !f.fired {
			break
		}
		fired = true
		if err == nil && out.OK() {
			t.Errorf("call %d failed and nothing is said", n)
		}
	}
	if !fired {
		t.Error("no call failed")
	}
}

// FuzzVerify puts other bytes in the place of an object; signed, their hash of
// themselves holds, so that what they say is looked into.
func FuzzVerify(f *testing.F) {
	b := NewMemory()
	fix := newFixtureWith(f, b, Options{CheckpointEvery: 2})
	for i := range 3 {
		fix.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", fmt.Sprint(i)))
	}
	keys := slices.Sorted(maps.Keys(b.files))
	for i, key := range keys {
		f.Add(uint16(i), b.files[key], false)
		f.Add(uint16(i), b.files[key], true)
	}
	f.Fuzz(func(t *testing.T, which uint16, content []byte, signed bool) {
		key := keys[int(which)%len(keys)]
		if signed {
			content = sign(content)
		}
		m := copyOf(b)
		m.files[key] = content
		out := verifyMuseum(t, m)
		if out.OK() != bytes.Equal(content, b.files[key]) && !(signed && key == keys[len(keys)-1]) {
			t.Errorf("%s with other bytes: %v", key, out.Findings)
		}
	})
}

func TestCheckSelfHash_HoldsOnlyForTheWholeText(t *testing.T) {
	for _, text := range []string{`{"a":1,"self":""}` + "\n", "{\n  \"a\": 1,\n  \"self\": \"\"\n}\n"} {
		b := withSelf([]byte(text))
		if diff := cmp.Diff(text, string(b)); diff == "" {
			t.Fatal("no hash was put in")
		}
		self := b[bytes.Index(b, []byte(`"self"`))+len(`"self"`):]
		self = self[bytes.IndexAny(self, "0123456789abcdef"):][:64]
		if err := checkSelfHash(b, string(self)); err != nil {
			t.Error(err)
		}
		if err := checkSelfHash(append(b, ' '), string(self)); err == nil {
			t.Error("a longer text has the hash, too")
		}
	}
}
