package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"tidemark/data"
)

// TestLog_IsADeltaLog reads the log as the Delta protocol describes it, without
// the package's own types: what another engine needs must be there, and the
// chain of hashes must hold.
func TestLog_IsADeltaLog(t *testing.T) {
	m := NewMemory()
	f := newFixture(t, m)
	for i := range 3 {
		if _, _, err := f.run("s", data.Period{From: 20000, To: 20001}, true, []data.Usage{row(20000, "ä long customer id of more than thirty-two characters", "EUR", fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	active, previous := map[string]bool{}, ""
	for version := range 3 {
		content := m.objects[fmt.Sprintf("usage/_delta_log/%020d.json", version)]
		kinds := map[string]int{}
		for scan := bufio.NewScanner(bytes.NewReader(content)); scan.Scan(); {
			var line map[string]map[string]any
			if err := json.Unmarshal(scan.Bytes(), &line); err != nil || len(line) != 1 {
				t.Fatalf("version %d: %v: not one action a line: %s", version, err, scan.Text())
			}
			for kind, a := range line {
				kinds[kind]++
				checkAction(t, m, kind, a, active)
				if kind == "commitInfo" && a["previous"] != previous {
					t.Errorf("version %d: previous %v, want %s", version, a["previous"], previous)
				}
			}
		}
		if kinds["commitInfo"] != 1 || kinds["txn"] != 1 || (version == 0) != (kinds["protocol"] == 1 && kinds["metaData"] == 1) {
			t.Errorf("version %d has the actions %v", version, kinds)
		}
		sum := sha256.Sum256(content)
		previous = hex.EncodeToString(sum[:])
	}
	if len(active) != 2 {
		t.Errorf("%d active files, want 2 (one a day)", len(active))
	}
}

func checkAction(t *testing.T, m *Memory, kind string, a map[string]any, active map[string]bool) {
	t.Helper()
	path, _ := a["path"].(string)
	switch kind {
	case "protocol":
		if a["minReaderVersion"] != 1.0 || a["minWriterVersion"] != 2.0 {
			t.Errorf("protocol %v", a)
		}
	case "metaData":
		schema, _ := a["schemaString"].(string)
		if !strings.Contains(schema, `{"name":"cost","type":"decimal(38,18)","nullable":true,"metadata":{}}`) ||
			!strings.HasSuffix(schema, `{"name":"usage_date","type":"date","nullable":false,"metadata":{}}]}`) {
			t.Errorf("schemaString %s", schema)
		}
		if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(fmt.Sprint(a["id"])) {
			t.Errorf("id %v is not a UUID", a["id"])
		}
	case "remove":
		if !active[path] {
			t.Errorf("removes %s, which is not active", path)
		}
		delete(active, path)
	case "add":
		active[path] = true
		file := m.objects["usage/"+path]
		sum := sha256.Sum256(file)
		tags := a["tags"].(map[string]any)
		if a["size"] != float64(len(file)) || tags["sha256"] != hex.EncodeToString(sum[:]) {
			t.Errorf("size or hash of %s is wrong", path)
		}
		day := a["partitionValues"].(map[string]any)["usage_date"]
		if !strings.HasPrefix(path, fmt.Sprintf("usage_date=%s/part-", day)) || !strings.HasSuffix(path, ".parquet") {
			t.Errorf("path %s in partition %v", path, day)
		}
		var stats struct {
			NumRecords int
			MinValues  map[string]string
			MaxValues  map[string]string
		}
		if err := json.Unmarshal([]byte(a["stats"].(string)), &stats); err != nil {
			t.Errorf("stats: %v", err)
		}
		if _, found := stats.MinValues["cost"]; found {
			t.Error("a decimal has bounds")
		}
		const id = "ä long customer id of more than thirty-two characters"
		if stats.NumRecords > 0 && (stats.MinValues["customer_id"] > id || stats.MaxValues["customer_id"] < id || len([]rune(stats.MaxValues["customer_id"])) > 32) {
			t.Errorf("bounds of customer_id: %q to %q", stats.MinValues["customer_id"], stats.MaxValues["customer_id"])
		}
	}
}

func TestHistory_AChangedEntryBreaksTheChain(t *testing.T) {
	m := NewMemory()
	f := newFixture(t, m)
	for i := range 3 {
		if _, _, err := f.run("s", data.Period{From: 20000, To: 20000}, true, []data.Usage{row(20000, "c", "EUR", fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	key := UsageTable.logKey(1)
	good := m.objects[key]
	for _, c := range []struct{ name, old, new string }{
		{"a changed number of rows", `"rows_in":0`, `"rows_in":9`},
		{"a changed file hash", `"sha256":"`, `"sha256":"0`},
		{"a changed run", `"run":"run0002"`, `"run":"run0009"`},
	} {
		m.objects[key] = bytes.Replace(good, []byte(c.old), []byte(c.new), 1)
		if bytes.Equal(m.objects[key], good) {
			t.Fatalf("%s: nothing to change", c.name)
		}
		var err error
		for _, err = range f.arc.History(context.Background(), UsageTable) {
			if err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: error %v, want one that names %s", c.name, err, key)
		}
	}
}
