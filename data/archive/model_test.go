package archive

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// modelPart names a part in the model.
type modelPart struct {
	day            data.Day
	scope, billing string
	empty          bool // the mark of a day without rows
}

// model is what an archive should hold of one source: the rows of each part.
type model map[modelPart][]string

// deliver follows the rule of restatement in words: what is delivered replaces
// what the archive has in the delivered scopes and days; the scope "" always
// counts as delivered, another by (scope, billing period); a full delivery
// reaches beyond its days; a day without a row is marked.
func (m model) deliver(days data.Period, full bool, rows []data.Usage) model {
	next := model{}
	type scopePeriod struct{ scope, billing string }
	delivered := map[scopePeriod]bool{}
	for _, u := range rows {
		delivered[scopePeriod{u.Origin.Scope, deref(u.BillingPeriod)}] = true
	}
	for part, content := range m {
		inDays := part.day >= days.From && part.day <= days.To
		replaced := false
		if part.scope == "" {
			replaced = inDays
		} else if delivered[scopePeriod{part.scope, part.billing}] {
			replaced = inDays || full
		}
		if !replaced {
			next[part] = content
		}
	}
	hasRows := map[data.Day]bool{}
	for _, u := range rows {
		part := modelPart{u.Day, u.Origin.Scope, deref(u.BillingPeriod), false}
		next[part] = append(next[part], expect("usage_date", func(u data.Usage) data.Day { return u.Day }, []data.Usage{u})...)
		hasRows[u.Day] = true
	}
	for d := days.From; d <= days.To; d++ {
		if !hasRows[d] {
			next[modelPart{d, "", "", true}] = nil
		}
	}
	return next
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (m model) rows() []string {
	rows := []string{}
	for _, content := range m {
		rows = append(rows, content...)
	}
	return sorted(rows)
}

func (m model) parts() []string {
	names := []string{}
	for p, content := range m {
		names = append(names, fmt.Sprint(p.day, " ", p.scope, " ", p.billing, " ", p.empty, " ", len(content)))
	}
	return sorted(names)
}

func viewParts(v *View, table Table) []string {
	names := []string{}
	for _, p := range v.Parts(table) {
		rows := p.Rows
		names = append(names, fmt.Sprint(p.Day, " ", p.Feed.Scope, " ", p.BillingPeriod, " ", p.Feed.Currency == "", " ", rows))
	}
	return sorted(names)
}

func TestCommitUsage_AgreesWithAModelAtEveryTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := rapidFixture(t, Options{BufferRows: 5})
		want := model{}
		history := map[time.Time]model{}
		for i := range rapid.IntRange(1, 5).Draw(rt, "runs") {
			from := data.Day(rapid.Int32Range(100, 103).Draw(rt, "from"))
			period := data.Period{From: from, To: from + data.Day(rapid.Int32Range(0, 2).Draw(rt, "length"))}
			full := rapid.Bool().Draw(rt, "full")
			rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.Usage {
				scope := rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "scope")
				u := scoped(row("2026-11-20", "customer of "+scope, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "cost")), scope,
					rapid.SampledFrom([]string{"", "2026-10", "2026-11"}).Draw(t, "billing"))
				u.Day = data.Day(rapid.Int32Range(int32(period.From), int32(period.To)).Draw(t, "day"))
				return u
			}), 0, 8).Draw(rt, "rows")
			r, err := a.Begin(context.Background(), RunInfo{ID: fmt.Sprint("run", i)})
			if err != nil {
				rt.Fatal(err)
			}
			for _, u := range rows {
				if err := r.AddUsage(u, Feed{"k", u.Origin.Scope, u.Currency}); err != nil {
					rt.Fatal(err)
				}
			}
			before := want.parts()
			next := want.deliver(period, full, rows)
			committed, err := r.CommitUsage(context.Background(), Delivery{Source: "k", Days: period, Full: full})
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := r.Rollup(context.Background(), rollup); err != nil {
				rt.Fatal(err)
			}
			if _, err := r.Finish(context.Background()); err != nil {
				rt.Fatal(err)
			}
			if same := slices.Equal(before, next.parts()) && slices.Equal(want.rows(), next.rows()); same == committed.Changed {
				rt.Fatalf("changed = %v, but the rows are the same: %v", committed.Changed, same)
			}
			want = next
			v, err := a.View(context.Background(), nil)
			if err != nil {
				rt.Fatal(err)
			}
			history[v.KnownAt()] = want
		}
		for _, at := range slices.SortedFunc(maps.Keys(history), time.Time.Compare) {
			v, err := a.View(context.Background(), &at)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(history[at].rows(), sorted(dump(t, v.Scan(context.Background(), UsageTable, allDays)))); diff != "" {
				rt.Fatalf("rows as of %v (-want +got):\n%s", at, diff)
			}
			if diff := cmp.Diff(history[at].parts(), viewParts(v, UsageTable)); diff != "" {
				rt.Fatalf("parts as of %v (-want +got):\n%s", at, diff)
			}
			daily := map[string]bool{}
			for _, p := range v.Parts(UsageDaily) {
				daily[p.FromSHA256] = true
			}
			for _, p := range v.Parts(UsageTable) {
				if !daily[p.SHA256] {
					rt.Fatalf("as of %v: %s has no rollup", at, p.Path)
				}
			}
			if len(daily) > len(v.Parts(UsageDaily)) {
				rt.Fatalf("as of %v: rollups of files that are gone", at)
			}
		}
	})
}
