package focus

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// snapshot is one run of an export, as it lies in a folder.
type snapshot struct {
	dir, scope, month, submitted string
	parts                        [][]string // subscriptions of each part, a row each
	cut                          int        // the part that is missing or too short, from 1; 0: none
	short                        bool       // it is too short
	late                         bool       // the manifest itself is not there yet
	broken                       bool       // the manifest is half written
	kind                         string     // dataset; "" for FocusCost
	end                          string     // "" for the month's
}

// files are the run's files by name.
func (s snapshot) files(zip bool) map[string]string {
	files := map[string]string{}
	var blobs []map[string]any
	rows := 0
	for i, subs := range s.parts {
		text := shortHeader
		for _, sub := range subs {
			text += fmt.Sprintf("%s-09T00:00:00Z,1,EUR,account,Microsoft,Usage,%s\n", s.month, sub)
			rows++
		}
		name := fmt.Sprintf("part_0_%04d.csv", i+1)
		size := len(text)
		if zip {
			name += ".gz"
			text = gzipped(text)
			size = len(text)
		}
		blobs = append(blobs, map[string]any{"blobName": "focus/e/" + s.dir + "/" + name, "byteCount": size})
		switch {
		case s.cut != i+1:
			files[s.dir+"/"+name] = text
		case s.short:
			files[s.dir+"/"+name] = text[:size/2]
		}
	}
	kind, end := s.kind, s.end
	if kind == "" {
		kind = "FocusCost"
	}
	if end == "" {
		end = s.month + "-28"
	}
	b, err := json.Marshal(map[string]any{"blobCount": len(blobs), "dataRowCount": rows, "blobs": blobs,
		"exportConfig": map[string]any{"exportName": "e", "resourceId": s.scope + "/providers/Microsoft.CostManagement/exports/e", "type": kind},
		"runInfo":      map[string]any{"submittedTime": s.submitted, "startDate": s.month + "-01T00:00:00", "endDate": end + "T00:00:00", "runId": s.dir}})
	if err != nil {
		panic(err)
	}
	switch {
	case s.late:
	case s.broken:
		files[s.dir+"/manifest.json"] = string(b[:len(b)/2])
	default:
		files[s.dir+"/manifest.json"] = string(b)
	}
	return files
}

// put writes files that are compressed already if their name says so.
func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUsage_OnlyTheNewestWholeRunCounts(t *testing.T) {
	one, two := [][]string{{"old"}}, [][]string{{"new1"}, {"new2"}}
	older := snapshot{dir: "a", scope: "/x", month: "2026-02", submitted: "2026-02-10T04:00:00.12Z", parts: one}
	newer := snapshot{dir: "b", scope: "/x", month: "2026-02", submitted: "2026-02-10T04:00:00.125Z", parts: two}
	change := func(s snapshot, f func(*snapshot)) snapshot { f(&s); return s }
	for name, c := range map[string]struct {
		runs []snapshot
		want []string
		says string // part of the one warning
		err  string
	}{
		"both whole":                            {[]snapshot{older, newer}, []string{"new1", "new2"}, "", ""},
		"a part of the newer is not there":      {[]snapshot{older, change(newer, func(s *snapshot) { s.cut = 2 })}, []string{"old"}, `is not whole yet: it lists "focus/e/b/part_0_0002`, ""},
		"a part of the newer is too short":      {[]snapshot{older, change(newer, func(s *snapshot) { s.cut, s.short = 1, true })}, []string{"old"}, "bytes, it has", ""},
		"the newer's manifest is half there":    {[]snapshot{older, change(newer, func(s *snapshot) { s.broken = true })}, []string{"old"}, "not a manifest", ""},
		"the newer's manifest is still to come": {[]snapshot{older, change(newer, func(s *snapshot) { s.late = true })}, []string{"old"}, "files without a manifest beside runs that have one are left out: 2", ""},
		"the older is not whole":                {[]snapshot{change(older, func(s *snapshot) { s.cut = 1 }), newer}, []string{"new1", "new2"}, "", ""},
		"none is whole": {[]snapshot{change(older, func(s *snapshot) { s.cut = 1 }), change(newer, func(s *snapshot) { s.cut = 1 })}, nil,
			"nothing of 2026-02 is archived yet", ""},
		"the only one is not of one month": {[]snapshot{change(newer, func(s *snapshot) { s.end = "2026-03-28" })}, nil, "not one month", ""},
		"one month is not whole, another is": {[]snapshot{change(newer, func(s *snapshot) { s.cut = 1 }), change(older, func(s *snapshot) { s.month = "2026-01" })},
			[]string{"old"}, "nothing of 2026-02 is archived yet", ""},
		"the scope's letters and slashes do not matter": {[]snapshot{change(older, func(s *snapshot) { s.scope = "X/" }), newer}, []string{"new1", "new2"}, "", ""},
		"another scope counts as well":                  {[]snapshot{change(older, func(s *snapshot) { s.scope = "/y" }), newer}, []string{"old", "new1", "new2"}, "", ""},
		"the newer lists no file":                       {[]snapshot{older, change(newer, func(s *snapshot) { s.parts = nil })}, []string{"old"}, "is not whole yet: it lists no file", ""},
		"the newer has no row":                          {[]snapshot{older, change(newer, func(s *snapshot) { s.parts = [][]string{{}} })}, nil, "note: ", ""},
		"another dataset is left out":                   {[]snapshot{older, change(newer, func(s *snapshot) { s.kind = "ActualCost" })}, []string{"old"}, "", ""},
		"nothing but another dataset":                   {[]snapshot{change(newer, func(s *snapshot) { s.kind = "ActualCost" })}, nil, "", "file of another dataset, ActualCost"},
		"more than a month is left out":                 {[]snapshot{older, change(newer, func(s *snapshot) { s.end = "2026-03-28" })}, []string{"old"}, "it is of 2026-02-01 to 2026-03-28, not one month", ""},
		"no time to tell copies apart":                  {[]snapshot{older, change(newer, func(s *snapshot) { s.submitted = "" })}, nil, "", "does not say when it was submitted"},
		"a time without a zone is in UTC":               {[]snapshot{older, change(newer, func(s *snapshot) { s.submitted = "2026-02-10T04:00:01" })}, []string{"new1", "new2"}, "", ""},
		"the same subscription by two scopes": {[]snapshot{older, change(newer, func(s *snapshot) { s.scope, s.parts = "/y", one })}, []string{"old"}, "",
			"customer account, subscription old is delivered twice for 2026-02-09, by the export of /x and by the export of /y"},
	} {
		for _, zip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, gzip %t", name, zip), func(t *testing.T) {
				root := t.TempDir()
				for _, r := range c.runs {
					put(t, root, r.files(zip))
				}
				got := read(t, Options{Path: root}, nil)
				var subs []string
				for _, r := range got.rows {
					subs = append(subs, string(*r.SubscriptionID))
				}
				if diff := cmp.Diff(c.want, subs); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				if (c.err == "") != (got.err == nil) || got.err != nil && !strings.Contains(got.err.Error(), c.err) {
					t.Errorf("the sequence ends with %v, want %q", got.err, c.err)
				}
				warnings := strings.Join(got.tally.Warnings, "\n")
				if len(got.tally.Notes) > 0 {
					warnings += "note: " + strings.Join(got.tally.Notes, "\n")
				}
				if c.says != "" && !strings.Contains(warnings, c.says) || (c.says == "" && warnings != "") {
					t.Errorf("warnings %q, want %q", got.tally.Warnings, c.says)
				}
			})
		}
	}
}

// TestUsage_GzipSizesAreBelievedOnceOneFits has manifests that state the size of
// the text, not that of the gzip file.
func TestUsage_GzipSizesAreBelievedOnceOneFits(t *testing.T) {
	files := snapshot{dir: "a", scope: "/x", month: "2026-02", submitted: "2026-02-10T04:00:00Z", parts: [][]string{{"s"}}}.files(true)
	files["a/manifest.json"] = strings.Replace(files["a/manifest.json"], `"byteCount":`, `"byteCount":9`, 1)
	root := t.TempDir()
	put(t, root, files)
	if got := read(t, Options{Path: root}, nil); got.err != nil || len(got.rows) != 1 || got.tally.Warnings != nil {
		t.Errorf("%d rows, %v, %q", len(got.rows), got.err, got.tally.Warnings)
	}
}

// TestUsage_RunsInAnyOrderGiveTheNewestWhole compares the reading of any set of
// runs with the obvious rule: for each scope and month the newest whole run.
func TestUsage_RunsInAnyOrderGiveTheNewestWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		root, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		zip := rapid.Bool().Draw(rt, "gzip")
		overwrite := rapid.Bool().Draw(rt, "overwrite")
		var runs []snapshot
		for _, scope := range []string{"/a", "/b", "/c"} {
			for _, month := range []string{"2026-01", "2026-02"} {
				for i := range rapid.IntRange(0, 3).Draw(rt, scope+month) {
					s := snapshot{dir: fmt.Sprintf("d%02d", rapid.IntRange(0, 99).Draw(rt, "dir")) + scope + month + fmt.Sprint(i), scope: scope, month: month,
						submitted: fmt.Sprintf("2026-02-10T04:%02d:00Z", i*10+rapid.IntRange(0, 9).Draw(rt, "minute"))}
					for p := range rapid.IntRange(1, 3).Draw(rt, "parts") {
						s.parts = append(s.parts, []string{fmt.Sprintf("%s-%s-run%d-part%d", scope[1:], month, i, p)})
					}
					if rapid.IntRange(0, 3).Draw(rt, "whole?") == 0 {
						s.cut, s.short = rapid.IntRange(1, len(s.parts)).Draw(rt, "cut"), rapid.Bool().Draw(rt, "short") && !zip
					}
					if overwrite {
						s.dir, s.cut, s.short = "same"+scope+month, 0, false
					}
					runs = append(runs, s)
				}
			}
		}
		// Copies arrive in any order, overwritten reports in the order of their runs.
		order := rapid.Permutation(runs).Draw(rt, "order")
		if overwrite {
			order = runs
		}
		newest := map[string]snapshot{}
		for _, s := range order {
			if overwrite {
				if err := os.RemoveAll(filepath.Join(root, s.dir)); err != nil {
					rt.Fatal(err)
				}
			}
			put(t, root, s.files(zip))
			key := s.scope + s.month
			if old, found := newest[key]; s.cut == 0 && (!found || old.submitted < s.submitted) {
				newest[key] = s
			}
		}
		want := []string{}
		for _, s := range newest {
			for _, p := range s.parts {
				want = append(want, p...)
			}
		}
		got := read(t, Options{Path: root}, nil)
		subs := []string{}
		for _, r := range got.rows {
			subs = append(subs, string(*r.SubscriptionID))
			if r.BillingPeriod == nil || !strings.Contains(string(*r.SubscriptionID), *r.BillingPeriod) || r.Origin.Scope[1:] != string(*r.SubscriptionID)[:1] {
				rt.Errorf("row %+v", r)
			}
		}
		slices.Sort(want)
		slices.Sort(subs)
		if diff := cmp.Diff(want, subs); diff != "" || len(want) > 0 && got.err != nil {
			rt.Errorf("%v; want -, got +:\n%s", got.err, diff)
		}
	})
}

func TestUsage_CopiesWithoutManifestAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		says  string
	}{
		"two copies of a month": {map[string]string{"20260210/p.csv": part("s"), "20260211/p.csv": part("s")},
			"subscription s is delivered twice for 2026-02-09, by folder 20260210 and by folder 20260211"},
		"two parts in one folder":         {map[string]string{"a/p1.csv": part("s"), "a/p2.csv": part("s")}, ""},
		"a folder a subscription":         {map[string]string{"a/p.csv": part("s"), "b/p.csv": part("t")}, ""},
		"a folder a day":                  {map[string]string{"a/p.csv": part("s"), "b/p.csv": strings.ReplaceAll(part("s"), "-09,", "-10,")}, ""},
		"what a copying tool still hides": {map[string]string{"a/p.csv": part("s"), "b/.p.csv": part("s")}, ""},
		"what it still hides in a folder": {map[string]string{"a/p.csv": part("s"), ".~tmp~/p.csv": part("s"), "b/.copy/c/p.csv": part("s")}, ""},
		"a month that overlaps with days": {map[string]string{"a/p.csv": part("s") + strings.ReplaceAll(part("s")[len(shortHeader):], "-09,", "-20,"), "b/p.csv": strings.ReplaceAll(part("s"), "-09,", "-10,")},
			"by folder a and by folder b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, Options{Path: folder(t, c.files)}, nil)
			if (c.says == "") != (got.err == nil) || got.err != nil && !strings.Contains(got.err.Error(), c.says) {
				t.Errorf("the sequence ends with %v, want %q", got.err, c.says)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	root := t.TempDir()
	for i, s := range []snapshot{
		{dir: "a", scope: "/x", month: "2026-01", submitted: "2026-02-09T04:00:00Z", parts: [][]string{{"s"}}},
		{dir: "b", scope: "/x", month: "2026-02", submitted: "2026-02-09T04:00:00Z", parts: [][]string{{"s"}, {"t"}}},
		{dir: "c", scope: "/x", month: "2026-02", submitted: "2026-02-10T04:00:00Z", parts: [][]string{{"s"}}, cut: 1},
		{dir: "d", scope: "/y", month: "2026-02", submitted: "2026-02-10T04:00:00Z", parts: [][]string{{"u"}}},
	} {
		put(t, root, s.files(i > 9))
	}
	s, err := New(Options{Path: root})
	if err != nil {
		t.Fatal(err)
	}
	found, warnings, err := s.Describe(t.Context())
	if err != nil || !strings.Contains(found, "4 files with 0.0 MB, of 3 runs of 2 scopes, 2026-01 to 2026-02") || len(warnings) != 1 {
		t.Errorf("%s, %q, %v", found, warnings, err)
	}
	var tally data.Tally
	for range s.Usage(t.Context(), nil, &tally) {
		break
	}
	if diff := cmp.Diff([]data.Period{{From: date("2026-01-01"), To: date("2026-01-31")}, {From: date("2026-02-01"), To: date("2026-02-28")}}, tally.Covers); diff != "" {
		t.Errorf("covers: want -, got +:\n%s", diff)
	}
}
