package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// busy returns an archive with a history: restated days, an empty day, hostile
// names, two snapshots.
func busy(t *testing.T, b Bucket) *fixture {
	f := newFixture(t, b)
	hostile := row("2026-11-21", "a", "-0.000000000000000001")
	hostile.Service, hostile.Unit, hostile.CostUSD = new(strings.Repeat("ÿ", 50)), new("a\r\n\x00\"self\":\"\""), dec("1.5")
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-22")}, row("2026-11-20", "a", "1"), hostile)
	f.usage(Delivery{Source: "tables", Days: days("2026-11-21", "2026-11-22")}, row("2026-11-22", "b", "2"))
	f.usage(Delivery{Source: "focus", Days: days("2026-11-21", "2026-11-21"), Full: true}, scoped(row("2026-11-21", "b", "2"), "acc/1 ü", "2026-11"))
	for i := range 2 {
		r := f.begin()
		if _, err := r.CommitCustomers(t.Context(), day("2026-11-22"), []data.Customer{customer("a", fmt.Sprint("name ", i))}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitSubscriptions(t.Context(), day("2026-11-22"), []data.Subscription{{SubscriptionID: "s", CustomerID: "a",
			Status: data.StatusActive, Created: new(data.Day(20000)), Trial: new(false)}}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitReports(t.Context(), day("2026-11-23"), []data.Report{report(fmt.Sprint("r", i), "anna@partner.example")}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitScores(t.Context(), day("2026-11-22"), []data.Score{score(fmt.Sprint("s", i))}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitTraining(t.Context(), data.Training{Day: day("2026-11-23"), TrainedAt: fmt.Sprint(i), Used: "prior"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.condense(day("2026-11-20"), day("2026-11-21")+data.Day(i))
	}
	return f
}

// TestLog_ChainHoldsByRecomputation follows the definition in words: previous is
// the hash of the file before, self the hash of the file with self emptied.
func TestLog_ChainHoldsByRecomputation(t *testing.T) {
	f := busy(t, NewMemory())
	self := regexp.MustCompile(`"self":"([0-9a-f]{64})"`)
	for _, table := range Tables() {
		previous, last := "", ""
		for i, key := range keysIn(t, f.bucket, string(table)+"/_delta_log/") {
			if want := fmt.Sprintf("%s/_delta_log/%020d.json", table, i); key != want {
				t.Fatalf("entry %d is %s, want %s", i, key, want)
			}
			raw := []byte(content(t, f.bucket, key))
			found := self.FindSubmatch(raw)
			if found == nil {
				t.Fatalf("%s has no hash of itself", key)
			}
			sum := sha256.Sum256(self.ReplaceAll(raw, []byte(`"self":""`)))
			if got := hex.EncodeToString(sum[:]); got != string(found[1]) {
				t.Errorf("%s: self is %s, recomputed %s", key, found[1], got)
			}
			var first struct {
				CommitInfo struct {
					Previous string
					KnownAt  string `json:"known_at"`
				}
			}
			if err := json.Unmarshal(bytes.SplitN(raw, []byte("\n"), 2)[0], &first); err != nil {
				t.Fatal(err)
			}
			if first.CommitInfo.Previous != previous {
				t.Errorf("%s: previous is %q, want %q", key, first.CommitInfo.Previous, previous)
			}
			if first.CommitInfo.KnownAt <= last {
				t.Errorf("%s: known at %s, after %s", key, first.CommitInfo.KnownAt, last)
			}
			last = first.CommitInfo.KnownAt
			whole := sha256.Sum256(raw)
			previous = hex.EncodeToString(whole[:])
		}
		if previous == "" {
			t.Errorf("%s has no log", table)
		}
	}
}

// deltaLog reads a log the way the protocol describes it, sharing no code with
// the archive.
type deltaLog struct {
	testing.TB
	bucket Bucket
	table  Table
	fields map[string]map[string]any // of schemaString
	active map[string]map[string]any
	txn    float64
}

func TestLog_ConformsToTheDeltaProtocol(t *testing.T) {
	f := busy(t, NewMemory())
	for _, table := range Tables() {
		l := &deltaLog{TB: t, bucket: f.bucket, table: table, active: map[string]map[string]any{}, txn: -1}
		for version, key := range keysIn(t, f.bucket, string(table)+"/_delta_log/") {
			l.entry(version, key)
		}
		got := slices.Sorted(maps.Keys(l.active))
		var want []string
		for _, p := range f.view().Parts(table) {
			want = append(want, p.Path)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: active files (-archive +protocol):\n%s", table, diff)
		}
	}
}

func (l *deltaLog) entry(version int, key string) {
	l.Helper()
	text := content(l, l.bucket, key)
	if !strings.HasSuffix(text, "\n") {
		l.Errorf("%s does not end with a line break", key)
	}
	kinds := []string{}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		var act map[string]map[string]any
		if err := json.Unmarshal([]byte(line), &act); err != nil || len(act) != 1 {
			l.Fatalf("%s: not one action: %v: %s", key, err, line)
		}
		for kind, fields := range act {
			kinds = append(kinds, kind)
			switch kind {
			case "commitInfo":
				l.commitInfo(key, fields)
			case "protocol":
				if fields["minReaderVersion"] != 1.0 || fields["minWriterVersion"] != 2.0 {
					l.Errorf("%s: protocol %v", key, fields)
				}
			case "metaData":
				l.metaData(key, fields)
			case "txn":
				if fields["appId"] != "tidemark/"+string(l.table) || fields["version"].(float64) <= l.txn {
					l.Errorf("%s: txn %v after version %v", key, fields, l.txn)
				}
				l.txn = fields["version"].(float64)
			case "add", "remove":
				p := l.path(key, fields)
				if seen[p] {
					l.Errorf("%s: two actions on %s", key, p)
				}
				seen[p] = true
				if kind == "add" {
					l.add(key, p, fields)
				} else {
					l.remove(key, p, fields)
				}
			default:
				l.Errorf("%s: unknown action %s", key, kind)
			}
		}
	}
	want := []string{"commitInfo", "txn"}
	if version == 0 {
		want = []string{"commitInfo", "protocol", "metaData", "txn"}
	}
	if !slices.Equal(kinds[:len(want)], want) {
		l.Errorf("%s: actions %v, want them to begin with %v", key, kinds, want)
	}
}

func (l *deltaLog) commitInfo(key string, fields map[string]any) {
	l.Helper()
	at, err := time.Parse(time.RFC3339, fields["known_at"].(string))
	if err != nil || float64(at.UnixMilli()) != fields["timestamp"] {
		l.Errorf("%s: timestamp %v, known at %v", key, fields["timestamp"], fields["known_at"])
	}
	for _, name := range []string{"operation", "engineInfo", "run"} {
		if s, _ := fields[name].(string); s == "" {
			l.Errorf("%s: commitInfo without %s", key, name)
		}
	}
	if _, named := fields["usage_version"].(float64); named != (l.table == UsageDaily || l.table == UsagePast) {
		l.Errorf("%s: usage_version = %v", key, fields["usage_version"])
	}
}

func (l *deltaLog) metaData(key string, fields map[string]any) {
	l.Helper()
	if ok, _ := regexp.MatchString(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, fields["id"].(string)); !ok {
		l.Errorf("%s: id %v", key, fields["id"])
	}
	if fields["format"].(map[string]any)["provider"] != "parquet" {
		l.Errorf("%s: format %v", key, fields["format"])
	}
	want := map[string]any{"delta.logRetentionDuration": "interval 36500 days", "delta.deletedFileRetentionDuration": "interval 36500 days",
		"delta.enableExpiredLogCleanup": "false"}
	if diff := cmp.Diff(want, fields["configuration"]); diff != "" {
		l.Errorf("%s: configuration (-want +got):\n%s", key, diff)
	}
	var schema struct {
		Type   string
		Fields []map[string]any
	}
	if err := json.Unmarshal([]byte(fields["schemaString"].(string)), &schema); err != nil || schema.Type != "struct" {
		l.Fatalf("%s: schemaString: %v", key, err)
	}
	l.fields = map[string]map[string]any{}
	for _, f := range schema.Fields {
		l.fields[f["name"].(string)] = f
		if !slices.Contains([]any{"string", "date", "boolean", "long", "integer", "decimal(38,18)"}, f["type"]) {
			l.Errorf("%s: column %v", key, f)
		}
		if _, ok := f["metadata"].(map[string]any); !ok {
			l.Errorf("%s: column %v has no metadata", key, f)
		}
	}
	last := schema.Fields[len(schema.Fields)-1]
	if diff := cmp.Diff([]any{last["name"]}, fields["partitionColumns"]); diff != "" || last["type"] != "date" {
		l.Errorf("%s: partition column %v, last column %v", key, fields["partitionColumns"], last)
	}
}

func (l *deltaLog) path(key string, fields map[string]any) string {
	l.Helper()
	p, err := url.PathUnescape(fields["path"].(string))
	if err != nil {
		l.Fatalf("%s: %v", key, err)
	}
	values := fields["partitionValues"].(map[string]any)
	if len(values) != 1 {
		l.Fatalf("%s: partition values %v", key, values)
	}
	for column, value := range values {
		if l.fields[column]["type"] != "date" || path.Dir(p) != fmt.Sprintf("%s=%s", column, value) {
			l.Errorf("%s: %s has partition value %s=%v", key, p, column, value)
		}
		if _, err := time.Parse(time.DateOnly, value.(string)); err != nil {
			l.Errorf("%s: %v", key, err)
		}
	}
	if ok, _ := regexp.MatchString(`^part-[A-Za-z0-9_.-]+\.parquet$`, path.Base(p)); !ok {
		l.Errorf("%s: file name %s", key, p)
	}
	if fields["dataChange"] != true {
		l.Errorf("%s: dataChange %v", key, fields["dataChange"])
	}
	return p
}

func (l *deltaLog) remove(key, p string, fields map[string]any) {
	l.Helper()
	if l.active[p] == nil || fields["deletionTimestamp"].(float64) <= 0 || fields["size"] != l.active[p]["size"] {
		l.Errorf("%s: remove %v of %v", key, fields, l.active[p])
	}
	delete(l.active, p)
}

func (l *deltaLog) add(key, p string, fields map[string]any) {
	l.Helper()
	l.active[p] = fields
	raw := content(l, l.bucket, string(l.table)+"/"+p)
	sum := sha256.Sum256([]byte(raw))
	tags := fields["tags"].(map[string]any)
	if fields["size"] != float64(len(raw)) || tags["sha256"] != hex.EncodeToString(sum[:]) || fields["modificationTime"].(float64) <= 0 {
		l.Errorf("%s: %s: size %v of %d, hash %v", key, p, fields["size"], len(raw), tags["sha256"])
	}
	for tag, v := range tags {
		if _, ok := v.(string); !ok {
			l.Errorf("%s: tag %s is no text: %v", key, tag, v)
		}
	}
	file, err := parquet.OpenFile(strings.NewReader(raw), int64(len(raw)))
	if err != nil {
		l.Fatal(err)
	}
	columns := []string{}
	for _, c := range file.Schema().Fields() {
		columns = append(columns, c.Name())
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(l.fields)), func(name string) bool { return strings.HasSuffix(name, "_date") })
	if diff := cmp.Diff(want, sorted(columns)); diff != "" {
		l.Errorf("%s: %s: columns of the file (-schema +file):\n%s", key, p, diff)
	}
	l.stats(key, p, fields, file, want)
}

func (l *deltaLog) stats(key, p string, fields map[string]any, file *parquet.File, columns []string) {
	l.Helper()
	var stats struct {
		NumRecords           int64
		MinValues, MaxValues map[string]any
		NullCount            map[string]int64
	}
	if err := json.Unmarshal([]byte(fields["stats"].(string)), &stats); err != nil {
		l.Fatal(err)
	}
	if stats.NumRecords != file.NumRows() || fields["tags"].(map[string]any)["rows"] != fmt.Sprint(file.NumRows()) {
		l.Errorf("%s: %s: %d records, the file has %d", key, p, stats.NumRecords, file.NumRows())
	}
	if diff := cmp.Diff(columns, slices.Sorted(maps.Keys(stats.NullCount))); diff != "" {
		l.Errorf("%s: %s: nullCount (-want +got):\n%s", key, p, diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(stats.MinValues)), slices.Sorted(maps.Keys(stats.MaxValues))); diff != "" {
		l.Errorf("%s: %s: bounds (-min +max):\n%s", key, p, diff)
	}
	nulls, values := columnValues(l, file)
	for name, n := range nulls {
		if stats.NullCount[name] != n {
			l.Errorf("%s: %s: %s has %d nulls, stats say %d", key, p, name, n, stats.NullCount[name])
		}
	}
	for name, low := range stats.MinValues {
		kind, high := l.fields[name]["type"], stats.MaxValues[name]
		if kind != "string" && kind != "date" {
			l.Errorf("%s: %s: bounds of %s, a %v", key, p, name, kind)
		}
		for _, v := range values[name] {
			text := v.String()
			if kind == "date" {
				text = data.Day(v.Int32()).String()
			}
			if text < low.(string) || text > high.(string) {
				l.Errorf("%s: %s: %s is %q, outside %q to %q", key, p, name, text, low, high)
			}
		}
	}
}

// columnValues reads every value of a file the plainest way.
func columnValues(t testing.TB, file *parquet.File) (nulls map[string]int64, values map[string][]parquet.Value) {
	t.Helper()
	nulls, values = map[string]int64{}, map[string][]parquet.Value{}
	for _, g := range file.RowGroups() {
		rows := make([]parquet.Row, g.NumRows())
		reader := g.Rows()
		n, _ := reader.ReadRows(rows)
		if int64(n) != g.NumRows() {
			t.Fatalf("%d rows, want %d", n, g.NumRows())
		}
		for _, r := range rows {
			for _, v := range r {
				name := file.Schema().Columns()[v.Column()][0]
				if v.IsNull() {
					nulls[name]++
				} else {
					values[name] = append(values[name], v.Clone())
				}
			}
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return nulls, values
}

func TestHistory_TellsWhatEachCommitDid(t *testing.T) {
	f := busy(t, NewMemory())
	var got []string
	for c, err := range f.History(t.Context(), UsageTable) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s %s +%d -%d %s", c.Version, c.Run, c.Source, len(c.Added), len(c.Removed), c.Producer))
	}
	want := []string{"0 run1 tables +3 -0 tidemark test", "1 run2 tables +2 -2 tidemark test", "2 run3 focus +1 -0 tidemark test"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}
