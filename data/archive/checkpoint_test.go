package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheckpoint_HoldsTheStateOfTheLog replays the log as JSON, by the words of
// the protocol, and compares it with what the checkpoints hold.
func TestCheckpoint_HoldsTheStateOfTheLog(t *testing.T) {
	f := newFixtureWith(t, NewMemory(), Options{CheckpointEvery: 3})
	for i := range 8 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-21")},
			row("2026-11-20", "a", fmt.Sprint(i)), row("2026-11-21", `a"\=,x`, fmt.Sprint(i/2)))
	}
	for _, table := range []Table{UsageTable, UsageDaily} {
		for _, version := range []int64{3, 6} {
			active := map[string]bool{}
			removed := map[string]bool{}
			for v := range version + 1 {
				actions, _, err := decodeEntry([]byte(content(t, f.bucket, entryKey(table, v))))
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range actions {
					if a.Remove != nil {
						delete(active, a.Remove.Path)
						removed[a.Remove.Path] = true
					}
					if a.Add != nil {
						active[a.Add.Path] = true
					}
				}
			}
			rows, err := decodeCheckpoint([]byte(content(t, f.bucket, checkpointKey(table, version))))
			if err != nil {
				t.Fatal(err)
			}
			got := [2]map[string]bool{{}, {}}
			var protocols, metas int
			for _, r := range rows {
				switch {
				case r.Add != nil:
					got[0][r.Add.Path] = true
					if r.Add.Tags["sha256"] == "" || len(r.Add.PartitionValues) != 1 || r.Add.Size == 0 {
						t.Errorf("add %+v", r.Add)
					}
				case r.Remove != nil:
					got[1][r.Remove.Path] = true
				case r.MetaData != nil:
					metas++
				case r.Protocol != nil:
					protocols++
				case r.Txn == nil || r.Txn.Version != version:
					t.Errorf("row %+v", r)
				}
			}
			if diff := cmp.Diff([2]map[string]bool{active, removed}, got); diff != "" || protocols != 1 || metas != 1 {
				t.Errorf("%s at %d, %d protocols, %d metaData: files (-log +checkpoint):\n%s", table, version, protocols, metas, diff)
			}
		}
		var last lastCheckpoint
		if err := json.Unmarshal([]byte(content(t, f.bucket, lastCheckpointKey(table))), &last); err != nil || last.Version != 6 {
			t.Errorf("%s: last checkpoint %+v, %v", table, last, err)
		}
	}
}

// TestCheckpoint_ARunThatDiedIsMadeGood has runs die after their commits, with
// and without the checkpoint, and with the hint missing or left behind.
func TestCheckpoint_ARunThatDiedIsMadeGood(t *testing.T) {
	f := newFixtureWith(t, NewMemory(), Options{CheckpointEvery: 2})
	for i := range 3 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", fmt.Sprint(i)))
	}
	key := checkpointKey(UsageTable, 2)
	want, err := decodeCheckpoint([]byte(content(t, f.bucket, key)))
	if err != nil {
		t.Fatal(err)
	}
	for name, lost := range map[string][]string{"died before the checkpoint": {key, "runs/run3.json"}, "died before the record": {"runs/run3.json"},
		"no hint": {lastCheckpointKey(UsageTable)}, "an old hint": nil} {
		for _, k := range lost {
			if err := f.bucket.Delete(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		f.runs = 2 // run3 again
		switch name {
		case "no hint":
			f.runs = 7
		case "an old hint":
			f.runs = 9
			if err := f.bucket.Replace(t.Context(), lastCheckpointKey(UsageTable), lastCheckpoint{1, 3}.encode()); err != nil {
				t.Fatal(err)
			}
		}
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "2"))
		got, err := decodeCheckpoint([]byte(content(t, f.bucket, key)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		records, err := f.records(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if recorded := records.files()[key]; recorded != hexSum([]byte(content(t, f.bucket, key))) {
			t.Errorf("%s: the record has hash %s", name, recorded)
		}
		if got := content(t, f.bucket, lastCheckpointKey(UsageTable)); got != fmt.Sprintf(`{"version":2,"size":%d}`, len(want)) {
			t.Errorf("%s: the hint is %s", name, got)
		}
	}
}

// TestCheckpoint_DamageIsAnErrorNeverAPanic flips one bit in every seventh byte.
func TestCheckpoint_DamageIsAnErrorNeverAPanic(t *testing.T) {
	f := newFixtureWith(t, NewMemory(), Options{CheckpointEvery: 2})
	for i := range 4 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", fmt.Sprint(i)))
	}
	whole := []byte(content(t, f.bucket, checkpointKey(UsageTable, 2)))
	want, err := decodeCheckpoint(whole)
	if err != nil {
		t.Fatal(err)
	}
	unseen := 0
	for at := 0; at < len(whole); at += 7 {
		b := slices.Clone(whole)
		b[at] ^= 1 << (at % 8)
		if got, err := decodeCheckpoint(b); err == nil && cmp.Equal(want, got) {
			unseen++ // a byte that carries nothing, e.g. of statistics
		}
	}
	t.Logf("%d of %d flipped bits change nothing that is read", unseen, len(whole)/7)
	for _, b := range [][]byte{nil, whole[:len(whole)/2], whole[1:], []byte("PAR1PAR1")} {
		if _, err := decodeCheckpoint(b); err == nil {
			t.Errorf("%d bytes of %d: no error", len(b), len(whole))
		}
	}
}

// TestCheckpoint_OneThatNoRecordVouchesForIsNotDecoded leaves a damaged checkpoint
// of a run that died, for which the decoder alone would make two gigabytes.
func TestCheckpoint_OneThatNoRecordVouchesForIsNotDecoded(t *testing.T) {
	f := newFixtureWith(t, NewMemory(), Options{CheckpointEvery: 2})
	for i := range 3 {
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", fmt.Sprint(i)))
	}
	if err := f.bucket.Delete(t.Context(), runKey("run3")); err != nil {
		t.Fatal(err)
	}
	key := checkpointKey(UsageTable, 2)
	b := f.bucket.(*Memory).files[key]
	b[len(b)-5] ^= 1 << 7
	r := f.begin()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := r.Finish(t.Context())
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 256<<20 {
		t.Errorf("%d MiB were made", made>>20)
	}
	if !errors.Is(err, errOtherCheckpoint) || !strings.Contains(err.Error(), key+": no run record has its hash") {
		t.Errorf("error %v", err)
	}
	if err := f.bucket.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	record, err := r.Finish(t.Context())
	if err != nil || record.Files[key] == "" {
		t.Errorf("once it is removed: %v, files %v", err, record.Files)
	}
}
