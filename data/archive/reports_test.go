package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

func report(id, recipient string) data.Report {
	return data.Report{Day: day("2026-11-20"), ReportID: id, MessageID: id + "@partner.example", Role: "sales_agent", Recipient: recipient,
		Job: new("weekly"), PeriodFrom: day("2026-11-06"), PeriodTo: day("2026-11-12"), Scope: `["a"]`, Versions: `{"usage":0}`,
		KnownAt: "2026-11-20T02:30:01.000000Z", Seal: "0123456789abcdef", Producer: "tidemark test", Request: "{}", Document: "{}",
		Digest: `{"Subject":"<b>"}`, EMLSHA256: strings.Repeat("a", 64)}
}

func TestReports_AddedNeverReplaced(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	seal := f.view().Seal()
	want := []data.Report{report("r1", "anna@partner.example"), report("r2", "bram@partner.example"), report("r1", "anna@partner.example")}
	for _, rows := range [][]data.Report{want[:2], want[2:]} {
		r := f.begin()
		done, err := r.CommitReports(t.Context(), day("2026-11-20"), rows)
		if err != nil || done.Rows != int64(len(rows)) || done.Removed != 0 {
			t.Fatalf("commit = %+v, %v", done, err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var got []data.Report
	for row, err := range f.view().Reports(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	// A mail's seal is over the data: it must not change with the mails built from them.
	if got := f.view().Seal(); got != seal {
		t.Errorf("seal %s, before the reports %s", got, seal)
	}
}

func TestKeep_NamesFilesByTheirHash(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	var sum string
	for range 2 {
		var err error
		if sum, err = r.Keep(t.Context(), Mails, []byte("Subject: x\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if keys := keysIn(t, f.bucket, "mails/"); len(keys) != 1 || keys[0] != "mails/"+sum+".eml" {
		t.Errorf("keys %q", keys)
	}
	if b, err := f.Kept(t.Context(), Mails, sum); err != nil || string(b) != "Subject: x\r\n" {
		t.Errorf("kept %q, %v", b, err)
	}
	for _, other := range []string{"", "../x", strings.Repeat("0", 64)} {
		if _, err := f.Kept(t.Context(), Mails, other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("hash %q: %v, want fs.ErrNotExist", other, err)
		}
	}
	if err := f.bucket.Replace(t.Context(), "mails/"+sum+".eml", []byte("Subject: y\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Kept(t.Context(), Mails, sum); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed file: %v, want ErrDamaged", err)
	}
}

func TestViewAt_IsTheViewOfThoseVersions(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	before := f.view()
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "2"))
	again, err := f.ViewAt(t.Context(), before.Versions())
	if err != nil {
		t.Fatal(err)
	}
	if again.Seal() != before.Seal() || !again.KnownAt().Equal(before.KnownAt()) || f.view().Seal() == before.Seal() {
		t.Errorf("seal %s known at %s, want %s %s", again.Seal(), again.KnownAt(), before.Seal(), before.KnownAt())
	}
	for name, versions := range map[string]map[Table]int64{"a version to come": {UsageTable: 9}, "another table": {Reports: 0}, "no table": {"x": 0}} {
		if _, err := f.ViewAt(t.Context(), versions); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFinish_RunsThatEndTogetherAreBothNamed has two runs end on the same
// records: the next one names both, so that neither can vanish unseen.
func TestFinish_RunsThatEndTogetherAreBothNamed(t *testing.T) {
	f := newFixture(t, NewMemory())
	dead := f.begin()
	f.stage(dead, "tables", row("2026-11-19", "a", "1"))
	if _, err := dead.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-19", "2026-11-19")}); err != nil {
		t.Fatal(err)
	}
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	// The twin of run2: the same record under another id.
	twin := strings.ReplaceAll(content(t, f.bucket, "runs/run2.json"), `"run2"`, `"run9"`)
	if err := create(t, f.bucket, "runs/run9.json", twin); err != nil {
		t.Fatal(err)
	}
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "2"))
	var second, third RunRecord
	for id, record := range map[string]*RunRecord{"run2": &second, "run3": &third} {
		if err := json.Unmarshal([]byte(content(t, f.bucket, "runs/"+id+".json")), record); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"run1"}, second.Unfinished); diff != "" || len(third.Unfinished) != 0 {
		t.Errorf("run2 finds unfinished (-want +got):\n%s\nrun3: %q, want none", diff, third.Unfinished)
	}
	want := []RunRef{{"run2", hexSum([]byte(content(t, f.bucket, "runs/run2.json")))}, {"run9", hexSum([]byte(twin))}}
	if diff := cmp.Diff(want, third.Previous); diff != "" {
		t.Errorf("run3 names (-want +got):\n%s", diff)
	}
}

func TestEvolves_OnlyNewColumnsThatMayBeNull(t *testing.T) {
	schema := func(fields ...string) string { return `{"type":"struct","fields":[` + strings.Join(fields, ",") + `]}` }
	const a, b = `{"name":"a","type":"string","nullable":false,"metadata":{}}`, `{"name":"b","type":"decimal(38,18)","nullable":true,"metadata":{}}`
	for _, c := range []struct{ name, from, to, want string }{
		{"the same", schema(a, b), schema(a, b), ""},
		{"a nullable column more", schema(a), schema(b, a), ""},
		{"a required column more", schema(b), schema(a, b), "column a must be one that may be null"},
		{"a column that only the table has", schema(a, b), schema(a), "column b that this program does not know"},
		{"another scale", schema(a, b), schema(a, strings.Replace(b, "38,18", "38,10", 1)), "column b is optional decimal(38,18) in the table and optional decimal(38,10)"},
		{"null no more", schema(a, b), schema(a, strings.Replace(b, "true", "false", 1)), "column b is optional"},
		{"no schema", "", schema(a), "schema in the log"},
	} {
		err := evolves(c.from, c.to)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		} else if c.want != "" {
			t.Errorf("%s: no error, want %q", c.name, c.want)
		}
	}
}

// TestCommit_ATableGainsAColumn writes with a layout that lacks the last
// columns, as an earlier release would, and goes on with the full one.
func TestCommit_ATableGainsAColumn(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-19", "2026-11-19")}, row("2026-11-19", "a", "1"))
	s, err := f.refresh(t.Context(), UsageTable)
	if err != nil {
		t.Fatal(err)
	}
	older := s.clone()
	older.schema = strings.Replace(s.schema, `,{"name":"cost_usd","type":"decimal(38,18)","nullable":true,"metadata":{}}`, "", 1)
	if older.schema == s.schema {
		t.Fatalf("no column cost_usd in %s", s.schema)
	}
	f.newest[UsageTable] = older
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "1"))
	entry := content(t, f.bucket, entryKey(UsageTable, 1))
	if !strings.Contains(entry, `"metaData":{"id":"`+s.id+`"`) || !strings.Contains(entry, "cost_usd") {
		t.Errorf("the entry does not give the table its new schema under its id:\n%s", entry)
	}
	if s, err = f.refresh(t.Context(), UsageTable); err != nil {
		t.Fatal(err)
	}
	newer := s.clone()
	newer.schema = strings.Replace(s.schema, `"fields":[`, `"fields":[{"name":"tax_id","type":"string","nullable":true,"metadata":{}},`, 1)
	f.newest[UsageTable] = newer
	r := f.begin()
	f.stage(r, "tables", row("2026-11-21", "a", "1"))
	_, err = r.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-21", "2026-11-21")})
	if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "tax_id") {
		t.Errorf("writing to a newer table: %v, want ErrSchema naming tax_id", err)
	}
}

func score(subscription string) data.Score {
	p, _, err := data.ParseDecimal("0.7215")
	if err != nil {
		panic(err)
	}
	return data.Score{Day: day("2026-11-22"), CustomerID: "a", SubscriptionID: data.SubscriptionID(subscription), Horizon: 28, State: "scored", Score: &p,
		Band: new("High"), Model: "usage-1/prior", IdleDays: new(int32(3)), Reasons: "[]", Flags: "[]", Detail: new("{}"), Versions: "{}", KnownAt: "2026-11-23T00:00:00Z", Producer: "test"}
}

func TestScores_StayBesideEachOther(t *testing.T) {
	f := newFixture(t, NewMemory())
	for i := range 2 {
		r := f.begin()
		without := score("without")
		without.Score, without.Band, without.IdleDays, without.Detail = nil, nil, nil, nil
		if _, err := r.CommitScores(t.Context(), day("2026-11-22"), []data.Score{score(fmt.Sprint("s", i)), without}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitTraining(t.Context(), data.Training{Day: day("2026-11-23") + data.Day(i), TrainedAt: fmt.Sprint(i), Model: fmt.Sprint("m", i)}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var got []data.Score
	for s, err := range f.view().ScoresIn(t.Context(), allDays) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if len(got) != 4 || got[0].Day != day("2026-11-22") {
		t.Fatalf("%d scores, the first of %s", len(got), got[0].Day)
	}
	slices.SortFunc(got, func(a, b data.Score) int { return strings.Compare(string(a.SubscriptionID), string(b.SubscriptionID)) })
	if diff := cmp.Diff(score("s1"), got[1], cmp.Comparer(func(a, b data.Decimal) bool { return a.Cmp(b) == 0 })); diff != "" {
		t.Errorf("score (-want +got):\n%s", diff)
	}
	if got[3].Score != nil || got[3].IdleDays != nil {
		t.Errorf("without a score: %+v", got[3])
	}
	if newest, found, err := f.view().Training(t.Context()); !found || err != nil || newest.Model != "m1" {
		t.Errorf("training %+v %v %v", newest, found, err)
	}
}
