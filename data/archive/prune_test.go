package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// readable dumps what can be read of a table as of a time, for days from one on.
func readable(t testing.TB, a *Archive, table Table, asOf time.Time, from data.Day) []string {
	t.Helper()
	v, err := a.View(context.Background(), &asOf)
	if err != nil {
		t.Fatal(err)
	}
	return dump(t, v.Scan(context.Background(), table, data.Period{From: from, To: day("2026-12-31")}))
}

// TestPrune_KeepsEveryDayOfTheRetentionAsOfEveryTimeInIt draws histories in which
// days are restated while time passes.
func TestPrune_KeepsEveryDayOfTheRetentionAsOfEveryTimeInIt(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := NewMemory()
		f := newFixtureWith(t, b, Options{CheckpointEvery: 2})
		f.clock.t = day("2026-11-01").Time()
		var times []time.Time
		for i := range rapid.IntRange(1, 8).Draw(rt, "runs") {
			d := day("2026-10-20") + data.Day(rapid.IntRange(0, 11).Draw(rt, "day"))
			f.usage(Delivery{Source: "tables", Days: data.Period{From: d, To: d + 1}},
				row(d.String(), "a", fmt.Sprint(rapid.IntRange(0, 2).Draw(rt, "cost"))), row((d+1).String(), "b", fmt.Sprint(i)))
			times = append(times, f.clock.t)
			f.clock.t = f.clock.t.AddDate(0, 0, rapid.IntRange(0, 4).Draw(rt, "days"))
		}
		keep := rapid.IntRange(1, 25).Draw(rt, "retention")
		keepUsage := rapid.IntRange(1, keep).Draw(rt, "retention of usage")
		now := f.clock.t
		horizon := data.DayOf(now) - data.Day(keep)
		type reading struct {
			at   time.Time
			rows []string
		}
		var before []reading
		for _, at := range append(times, now) {
			if now.Sub(at) <= time.Duration(keep)*24*time.Hour {
				before = append(before, reading{at, readable(t, f.Archive, UsageDaily, at, horizon)})
			}
		}
		held := rapid.Bool().Draw(rt, "held")
		files := maps.Clone(b.files)
		if held {
			r := f.begin()
			if _, err := r.AddHold(t.Context(), Hold{Reason: "audit", Table: UsageDaily}); err != nil {
				rt.Fatal(err)
			}
			if _, err := r.Finish(t.Context()); err != nil {
				rt.Fatal(err)
			}
		}
		r := f.begin()
		if _, err := r.Prune(t.Context(), Retention{Tables: map[Table]int{UsageTable: keepUsage, UsageDaily: keep}}, true); err != nil {
			rt.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			rt.Fatal(err)
		}
		a := openFor(t, b)
		for _, reading := range before {
			if diff := cmp.Diff(reading.rows, readable(t, a, UsageDaily, reading.at, horizon)); diff != "" {
				rt.Errorf("as of %s, days from %s on (-before +after the prune):\n%s", reading.at, horizon, diff)
			}
		}
		for key := range files {
			if _, there := b.files[key]; !there && held && strings.HasPrefix(key, "usage_daily/") {
				rt.Errorf("%s was held", key)
			}
		}
		for _, d := range a.newest[UsageDaily].sorted() {
			if !held && d.Day < horizon {
				rt.Errorf("%s is still part of the table, the horizon is %s", d.Path, horizon)
			}
		}
		if out := verifyMuseum(t, b); !out.OK() {
			rt.Errorf("after the prune: %v", out.Findings)
		}
		// The rollups of pruned usage survive the next extraction.
		rows := readable(t, a, UsageDaily, f.clock.t, horizon)
		r = f.begin()
		if _, err := r.Rollup(t.Context(), rollup); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(rows, readable(t, f.Archive, UsageDaily, f.clock.t, horizon)); diff != "" {
			rt.Errorf("after the next rollup (-before +after):\n%s", diff)
		}
	})
}

// aged is a museum whose usage is past its retention, with an old mail.
func aged(t testing.TB) (*fixture, *Memory, Retention) {
	f, b := museum(t)
	f.clock.t = day("2026-12-22").Time()
	return f, b, Retention{Tables: map[Table]int{UsageTable: 30, Customers: 29}, Mails: 28}
}

func TestPrune_WithoutApplyChangesNothing(t *testing.T) {
	f, b, keep := aged(t)
	before := maps.Clone(b.files)
	r := f.begin()
	out, err := r.Prune(t.Context(), keep, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Abort(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, b.files); diff != "" {
		t.Errorf("a dry run changed the archive:\n%s", diff)
	}
	files := map[string]int{}
	for _, p := range out {
		files[p.What] = p.Files
	}
	// Horizons: usage 22 Nov, customers 23 Nov, mails 24 Nov. Usage has files of
	// 20 and 21 Nov (3+1 of tables, 2+1 of focus); 22 Nov is on the horizon.
	want := map[string]int{"customers": 3, "mails": 2, "orphans": 0, "reports": 0, "scores": 0, "subscriptions": 0, "usage": 7, "usage_daily": 0}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestPrune_AfterAnyFaultACleanOneDoesTheRest fails every call in turn.
func TestPrune_AfterAnyFaultACleanOneDoesTheRest(t *testing.T) {
	run := func(b Bucket, id string, keep Retention) error {
		c := newClock()
		c.t = day("2026-12-22").Time()
		a, err := Open(context.Background(), b, Options{Producer: "tidemark test", Now: c.now, CheckpointEvery: 2})
		if err != nil {
			return err
		}
		r, err := a.Begin(context.Background(), RunInfo{ID: id, Job: "prune"})
		if err != nil {
			return err
		}
		_, err = r.Prune(context.Background(), keep, true)
		if err == nil {
			_, err = r.Finish(context.Background())
		}
		return errors.Join(err, r.Abort())
	}
	_, whole, keep := aged(t)
	clean := copyOf(whole)
	if err := run(clean, "prune", keep); err != nil {
		t.Fatal(err)
	}
	dataFiles := func(m *Memory) (keys []string) {
		for _, key := range slices.Sorted(maps.Keys(m.files)) {
			if kind := kindOfObject(key); kind == "data" || kind == "mails" {
				keys = append(keys, key)
			}
		}
		return keys
	}
	want := dataFiles(clean)
	if len(want) == len(dataFiles(whole)) {
		t.Fatal("nothing was pruned")
	}
	for _, mode := range []faultMode{faultPlain, faultShort, faultLostReply} {
		n := 1
		for ; ; n++ {
			m := copyOf(whole)
			f := &faulty{Bucket: m, mode: mode, left: n}
			if err := run(f, "first", keep); err == nil && f.fired && mode == faultPlain {
				t.Errorf("%s, call %d: no error", mode, n)
			}
			if !f.fired {
				break
			}
			if err := run(m, "second", keep); err != nil {
				t.Fatalf("%s, call %d: clean prune: %v", mode, n, err)
			}
			if diff := cmp.Diff(want, dataFiles(m)); diff != "" {
				t.Errorf("%s, call %d: files (-want +got):\n%s", mode, n, diff)
			}
			if out := verifyMuseum(t, m); !out.OK() {
				t.Errorf("%s, call %d: %v", mode, n, out.Findings)
			}
		}
		if n < 5 {
			t.Errorf("%s: only %d calls", mode, n)
		}
	}
}

func TestPrune_AReaderIsToldWhenAndByWhom(t *testing.T) {
	f, _, keep := aged(t)
	before := f.view()
	r := f.begin()
	if _, err := r.Prune(t.Context(), keep, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range before.Scan(t.Context(), UsageTable, days("2026-11-20", "2026-11-20")) {
		if !errors.Is(err, ErrPruned) || !strings.Contains(err.Error(), "pruned on 2026-12-22 by run run11") {
			t.Errorf("reading a pruned file: %v", err)
		}
	}
}

func TestPrune_RefusesAnArchiveWhoseLogIsNotSound(t *testing.T) {
	f, b, keep := aged(t)
	r := f.begin()
	key := entryKey(UsageTable, 1)
	b.files[key] = bytes.Replace(b.files[key], []byte(`"rows_in":0`), []byte(`"rows_in":7`), 1)
	if _, err := r.Prune(t.Context(), keep, true); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("error %v, want one that names %s", err, key)
	}
}

func TestHold_IsKeptChainedAndLifted(t *testing.T) {
	f, b, keep := aged(t)
	add := func(h Hold) Hold {
		t.Helper()
		r := f.begin()
		h, err := r.AddHold(t.Context(), h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := add(Hold{Reason: "audit", From: new(day("2026-11-20")), To: new(day("2026-11-20"))})
	add(Hold{Reason: "mails", Table: Reports})
	if h.ID != "h-20261222-1" {
		t.Errorf("id %s", h.ID)
	}
	prune := func() map[string]Pruned {
		t.Helper()
		r := f.begin()
		out, err := r.Prune(t.Context(), keep, false)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]Pruned{}
		for _, p := range out {
			all[p.What] = p
		}
		return all
	}
	if p := prune(); p["usage"].Files != 4 || p["usage"].Held != 3 || p["mails"].Files != 0 || p["mails"].Held != 2 || p["customers"].Files != 3 {
		t.Errorf("with holds: %+v", p)
	}
	r := f.begin()
	if _, err := r.LiftHold(t.Context(), h.ID, "closed"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := prune(); p["usage"].Files != 7 || p["usage"].Held != 0 {
		t.Errorf("after the hold: %+v", p)
	}
	for name, bad := range map[string]func(*Run) error{
		"no reason": func(r *Run) error { _, err := r.AddHold(t.Context(), Hold{Reason: " "}); return err },
		"wrong days": func(r *Run) error {
			_, err := r.AddHold(t.Context(), Hold{Reason: "x", From: new(day("2026-11-21")), To: new(day("2026-11-20"))})
			return err
		},
		"no such table": func(r *Run) error { _, err := r.AddHold(t.Context(), Hold{Reason: "x", Table: "y"}); return err },
		"no such hold":  func(r *Run) error { _, err := r.LiftHold(t.Context(), "h-1", "x"); return err },
		"lifted twice":  func(r *Run) error { _, err := r.LiftHold(t.Context(), h.ID, "x"); return err },
	} {
		if err := bad(f.begin()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if out := verifyMuseum(t, b); !out.OK() {
		t.Errorf("%v", out.Findings)
	}
	// A hold that somebody takes away or changes is missed.
	for name, change := range map[string]func(m *Memory){
		"deleted": func(m *Memory) { delete(m.files, holdKey(h.ID)) },
		"changed": func(m *Memory) {
			m.files[holdKey(h.ID)] = bytes.Replace(m.files[holdKey(h.ID)], []byte("audit"), []byte("Audit"), 1)
		},
	} {
		m := copyOf(b)
		change(m)
		if out := verifyMuseum(t, m); len(out.Findings) != 1 || out.Findings[0].Key != holdKey(h.ID) {
			t.Errorf("%s: %v", name, out.Findings)
		}
	}
}

func TestOrphans_ListsWhatNothingRefersTo(t *testing.T) {
	f := newFixture(t, NewDir(t.TempDir()))
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	if got, err := Orphans(t.Context(), f.bucket); err != nil || len(got) != 0 {
		t.Fatalf("orphans of a sound archive: %v, %v", got, err)
	}
	want := map[string]string{"usage/usage_date=2026-11-20/part-x.parquet": "no commit added it", "quarantine/x/usage.jsonl": "neither committed nor has a record",
		"mails/" + strings.Repeat("0", 64) + ".eml": "no row names it", "notes.txt": "does not belong"}
	for key := range want {
		if err := create(t, f.bucket, key, "x"); err != nil {
			t.Fatal(err)
		}
	}
	o, err := f.bucket.Create(t.Context(), "unfinished")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Abort() }) // its file is gone by then
	got, err := Orphans(t.Context(), f.bucket)
	if err != nil {
		t.Fatal(err)
	}
	unfinished := 0
	for _, o := range got {
		if strings.HasPrefix(o.Key, Temporaries) {
			unfinished++
		} else if w := want[o.Key]; w == "" || !strings.Contains(o.Why, w) || o.Size != 1 || o.ModTime.IsZero() {
			t.Errorf("orphan %+v, want %q", o, w)
		}
	}
	if len(got) != len(want)+1 || unfinished != 1 {
		t.Errorf("orphans %v", got)
	}
	// A week later all but what is not the archive's goes.
	f.clock.t = time.Now().AddDate(0, 0, 8) // file times are the machine's
	r := f.begin()
	if _, err := r.Prune(t.Context(), Retention{}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err = Orphans(t.Context(), f.bucket); err != nil || len(got) != 1 || got[0].Key != "notes.txt" {
		t.Errorf("after a prune: %v, %v", got, err)
	}
}
