package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// listing is a Condenser whose rows list, by subscription, the days with rows: as text in
// used, so that whatever it was given shows.
func listing() Condenser {
	return Condenser{Columns: []string{"usage_date", "subscription_id"}, Condense: func(_ context.Context, c Condensing) (arrow.Record, error) {
		days := map[string]string{}
		if c.Past != nil {
			for i := range int(c.Past.NumRows()) {
				days[cellText(c.Past, "subscription_id", i)] = cellText(c.Past, "used", i)
			}
		}
		for rec, err := range c.Rows {
			if err != nil {
				return nil, err
			}
			for i := range int(rec.NumRows()) {
				days[cellText(rec, "subscription_id", i)] += rec.Column(0).(*array.Date32).Value(i).FormattedString() + " "
			}
		}
		b := array.NewRecordBuilder(memory.NewGoAllocator(), data.UsagePastSchema())
		defer b.Release()
		for id, list := range days {
			for i, f := range b.Schema().Fields() {
				switch f.Name {
				case "until_date":
					b.Field(i).(*array.Date32Builder).Append(arrow.Date32(c.Until))
				case "subscription_id":
					if err := b.Field(i).(*array.BinaryDictionaryBuilder).AppendString(id); err != nil {
						return nil, err
					}
				case "used":
					b.Field(i).(*array.StringBuilder).Append(list)
				default:
					b.Field(i).AppendNull()
				}
			}
		}
		return b.NewRecord(), nil
	}}
}

func cellText(rec arrow.Record, column string, row int) string {
	return rec.Column(rec.Schema().FieldIndices(column)[0]).ValueStr(row)
}

// condense runs Condense alone.
func (f *fixture) condense(due ...data.Day) Committed {
	f.Helper()
	r := f.begin()
	done, err := r.Condense(context.Background(), due, listing())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := r.Finish(context.Background()); err != nil {
		f.Fatal(err)
	}
	return done
}

// daysOf lists the days with rows, by subscription, that a view has up to one.
func daysOf(t testing.TB, v *View, until data.Day) map[string]string {
	t.Helper()
	days := map[string]string{}
	for rec, err := range v.Scan(t.Context(), UsageDaily, data.Period{From: -1 << 30, To: until}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			days[cellText(rec, "subscription_id", i)] += rec.Column(0).(*array.Date32).Value(i).FormattedString() + " "
		}
	}
	return days
}

// checkPast has what a view finds condensed compared with its rows, and returns whether there
// is any.
func checkPast(t testing.TB, v *View, before data.Day) bool {
	t.Helper()
	rec, until, err := v.Past(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	if rec == nil {
		return false
	}
	defer rec.Release()
	got := map[string]string{}
	for i := range int(rec.NumRows()) {
		got[cellText(rec, "subscription_id", i)] = cellText(rec, "used", i)
	}
	if diff := cmp.Diff(daysOf(t, v, until), got); diff != "" || until >= before {
		t.Errorf("condensed up to %s, before %s (-rows +condensed):\n%s", until, before, diff)
	}
	return true
}

// TestPast_IsWhatTheRowsOfAViewComeTo restates, condenses and prunes at random, and looks at
// every time in between.
func TestPast_IsWhatTheRowsOfAViewComeTo(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixtureWith(t, NewMemory(), Options{CheckpointEvery: 3})
		first := day("2026-10-01")
		for i := range rapid.IntRange(2, 8).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1:
				d := first + data.Day(rapid.IntRange(0, 9).Draw(rt, "day"))
				f.usage(Delivery{Source: "tables", Days: data.Period{From: d, To: d + 2}},
					row(d.String(), fmt.Sprint("c", rapid.IntRange(0, 2).Draw(rt, "customer")), fmt.Sprint(i)), row((d+2).String(), "c0", "1"))
			case 2:
				r := f.begin()
				if _, err := r.Prune(t.Context(), Retention{Tables: map[Table]int{UsageDaily: rapid.IntRange(38, 52).Draw(rt, "kept")}}, true); err != nil {
					rt.Fatal(err)
				}
				if _, err := r.Finish(t.Context()); err != nil {
					rt.Fatal(err)
				}
			default:
				due := rapid.SliceOfN(rapid.IntRange(0, 12), 0, 3).Draw(rt, "due")
				var days []data.Day
				for _, n := range due {
					days = append(days, first+data.Day(n))
				}
				f.condense(days...)
			}
			if out := verifyListed(t, f.bucket); len(out.Findings) > 0 {
				rt.Fatalf("verify: %v", out.Findings)
			}
		}
		for version := range f.view().Version(UsageDaily) + 1 {
			v, err := f.ViewAt(t.Context(), map[Table]int64{UsageDaily: version})
			if err != nil {
				rt.Fatal(err)
			}
			for before := first; before <= first+13; before++ {
				if readableDays(v) && checkPast(t, v, before) {
					found++
				}
			}
		}
	})
	if found < 100 {
		t.Errorf("only %d times something was condensed", found)
	}
}

// readableDays reports whether every file of a view is still there.
func readableDays(v *View) bool {
	for _, err := range v.Scan(context.Background(), UsageDaily, allDays) {
		if err != nil {
			return false
		}
	}
	return true
}

func verifyListed(t testing.TB, b Bucket) Verification {
	t.Helper()
	out, err := Verify(t.Context(), b, VerifyOptions{CheckpointEvery: 3, Condenser: listing()})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPast_NamesTheFilesItWasMadeFrom follows the definition in words: the SHA-256 of a line
// for each file of usage_daily up to the day, its day and its SHA-256, in the order of the table.
func TestPast_NamesTheFilesItWasMadeFrom(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-10-01", "2026-10-09")}, row("2026-10-01", "a", "1"), row("2026-10-05", "b", "2"))
	until := day("2026-10-05")
	f.condense(until)
	var lines strings.Builder
	for _, p := range f.view().Parts(UsageDaily) {
		if p.Day <= until {
			fmt.Fprintf(&lines, "%s %s\n", p.Day, p.SHA256)
		}
	}
	parts := f.view().Parts(UsagePast)
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte(lines.String()))); len(parts) != 1 || parts[0].FromSHA256 != want {
		t.Errorf("made from %v, want %s", parts, want)
	}
}

// TestPast_OneThatIsGoneIsPassedOver has a file that was deleted since a view was made, and
// one that was damaged.
func TestPast_OneThatIsGoneIsPassedOver(t *testing.T) {
	b := NewMemory()
	f := newFixture(t, b)
	f.usage(Delivery{Source: "tables", Days: days("2026-10-01", "2026-10-09")}, row("2026-10-01", "a", "1"), row("2026-10-05", "b", "2"))
	f.condense(day("2026-10-03"), day("2026-10-06"))
	v := f.view()
	parts := v.Parts(UsagePast)
	newest := parts[1].key(UsagePast)
	kept := b.files[newest]
	delete(b.files, newest)
	rec, until, err := v.Past(t.Context(), day("2026-10-09"))
	if err != nil || rec == nil || until != day("2026-10-03") {
		t.Fatalf("got %v up to %s, %v; want what goes up to 3 October", rec, until, err)
	}
	rec.Release()
	b.files[newest] = bytes.ToUpper(kept)
	if _, _, err := v.Past(t.Context(), day("2026-10-09")); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), newest) {
		t.Errorf("got %v, want that %s is damaged", err, newest)
	}
}

// TestVerify_FindsCondensedUsageThatIsNotWhatTheDaysComeTo has rows that somebody made up, with
// logs that hold.
func TestVerify_FindsCondensedUsageThatIsNotWhatTheDaysComeTo(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-10-01", "2026-10-09")}, row("2026-10-01", "a", "1"), row("2026-10-05", "b", "2"))
	r := f.begin()
	forged := listing()
	forged.Condense = func(ctx context.Context, c Condensing) (arrow.Record, error) {
		c.Rows = func(yield func(arrow.Record, error) bool) {}
		return listing().Condense(ctx, c)
	}
	if _, err := r.Condense(t.Context(), []data.Day{day("2026-10-06")}, forged); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := f.view().Parts(UsagePast)[0].key(UsagePast)
	out := verifyListed(t, f.bucket)
	if !slices.ContainsFunc(out.Findings, func(found Finding) bool { return found.Key == key && found.Problem == errOtherPast.Error() }) {
		t.Errorf("findings %v, want one about %s", out.Findings, key)
	}
}
