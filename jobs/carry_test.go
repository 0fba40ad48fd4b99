package jobs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
)

func TestCarry(t *testing.T) {
	type row struct {
		id  string
		new bool
	}
	id := func(r row) string { return r.id }
	before := []row{{"a", false}, {"b", false}, {"c", false}}
	now := []row{{"b", true}, {"d", true}}
	for _, c := range []struct {
		name string
		only func(row) bool
		want []row
	}{
		{"all that are absent", nil, []row{{"b", true}, {"d", true}, {"a", false}, {"c", false}}},
		{"those absent that are asked for", func(r row) bool { return r.id != "a" }, []row{{"b", true}, {"d", true}, {"c", false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := carry(before, slices.Clone(now), id, c.only); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// partner is a partner with four customers of one subscription each, used from
// day0 on. A row that is bad could not be read.
func partner(badCustomers, badSubscriptions, badUsage int) *fakeSource {
	s := &fakeSource{kind: "tables"}
	bad := &data.RowError{File: "a file", Line: 2, Column: "created", Value: "x", Reason: "not a day"}
	pick := func(good any, isBad bool) any {
		if isBad {
			return bad
		}
		return good
	}
	for i, id := range []string{"a", "b", "c", "d"} {
		s.customers = append(s.customers, pick(data.Customer{CustomerID: data.CustomerID(id), Name: new(id)}, i < badCustomers))
		s.subscriptions = append(s.subscriptions, pick(data.Subscription{SubscriptionID: data.SubscriptionID("s" + id), CustomerID: data.CustomerID(id), Status: data.StatusActive}, i < badSubscriptions))
		for d := range data.Day(9) {
			s.usage = append(s.usage, pick(used(day0+d, id, "s"+id), d == 0 && i < badUsage))
		}
	}
	return s
}

// TestExtract_WhatCouldNotBeReadDidNotEnd has rows of an inventory quarantined:
// they must not count as subscriptions or customers that are gone.
func TestExtract_WhatCouldNotBeReadDidNotEnd(t *testing.T) {
	l := newLab(t)
	extract := func(s *fakeSource, on data.Day) []string {
		t.Helper()
		out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: on, MaxBad: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		return out.Warnings
	}
	extract(partner(0, 0, 0), day0+7)
	warnings := extract(partner(1, 2, 0), day0+8)
	for _, want := range []string{"1 customers that this inventory lacks are kept", "2 subscriptions that this inventory lacks are kept"} {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("warnings %q lack %q", warnings, want)
		}
	}
	if subscriptions := l.subscriptions(); len(subscriptions) != 4 || subscriptions["sa"].LastUsage == nil {
		t.Errorf("subscriptions %v, want all four with their usage days", subscriptions)
	}
	ended, active := churnAt(t, l, day0+8)
	if ended != 0 || active != 4 {
		t.Errorf("%d ended and %d active, want 0 and 4", ended, active)
	}

	// Once everything can be read again, one that is really gone ends.
	mended := partner(0, 0, 0)
	mended.subscriptions = mended.subscriptions[1:]
	extract(mended, day0+9)
	if ended, active := churnAt(t, l, day0+9); ended != 1 || active != 3 {
		t.Errorf("after a whole inventory %d ended and %d active, want 1 and 3", ended, active)
	}
}

// TestExtract_ABadRowHidesNoEndingButItsOwn has one row that stays bad while
// others are gone for good: with its id known only that one is kept.
func TestExtract_ABadRowHidesNoEndingButItsOwn(t *testing.T) {
	for _, c := range []struct {
		name, id      string
		ended, active int64
		warning       string
	}{
		{"the id is known", "sa", 2, 2, "1 subscriptions that this inventory lacks are kept as they were last known: their rows could not be read"},
		{"the id is not known", "", 0, 4, "3 subscriptions that this inventory lacks are kept as they were last known: 1 bad rows do not tell their id and may be of any of them; if each is of one, at least 2 have ended and show so once these rows are mended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			bad := partner(0, 1, 0)
			bad.subscriptions = bad.subscriptions[:2] // sc and sd are gone
			bad.subscriptions[0].(*data.RowError).ID = c.id
			for i, s := range []*fakeSource{partner(0, 0, 0), bad, bad} {
				out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 6 + data.Day(i), MaxBad: 0.5})
				if err != nil {
					t.Fatal(err)
				}
				if i > 0 && i < 2 && !slices.Contains(out.Warnings, c.warning) {
					t.Errorf("warnings %q lack %q", out.Warnings, c.warning)
				}
			}
			if ended, active := churnAt(t, l, day0+8); ended != c.ended || active != c.active {
				t.Errorf("%d ended and %d active, want %d and %d", ended, active, c.ended, c.active)
			}
		})
	}
}

// TestExtract_KeepsNothingOfAnExcludedCustomer has a customer excluded while a bad
// row does not tell whose it is.
func TestExtract_KeepsNothingOfAnExcludedCustomer(t *testing.T) {
	l := newLab(t)
	for i, s := range []*fakeSource{partner(0, 0, 0), partner(1, 1, 0)} {
		x := Extract{Usage: s, Inventory: s, InventoryDay: day0 + 7 + data.Day(i), MaxBad: 0.5}
		if i == 1 {
			x.Exclude = map[data.CustomerID]bool{"d": true}
		}
		if _, err := l.extract(x); err != nil {
			t.Fatal(err)
		}
	}
	if s := l.subscriptions(); len(s) != 3 || s["sd"].CustomerID != "" {
		t.Errorf("subscriptions %v, want those of a, b and c", s)
	}
}

// churnAt returns what the metrics of the week up to a day say.
func churnAt(t *testing.T, l *lab, last data.Day) (ended, active int64) {
	t.Helper()
	spec, err := data.ParsePeriod(data.Period{From: last - 6, To: last}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(t.Context(), l.view(), Query{Period: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	doc, err := Figures(p)
	if err != nil || doc.Counts.Deprovisioned.Value == nil || doc.Counts.ActiveAtEnd.Value == nil {
		t.Fatalf("counts %+v, %v", doc, err)
	}
	return *doc.Counts.Deprovisioned.Value, *doc.Counts.ActiveAtEnd.Value
}

// TestExtract_TagsEachTableWithWhatCouldNotBeRead has bad rows in every table,
// then the same input mended one by one.
func TestExtract_TagsEachTableWithWhatCouldNotBeRead(t *testing.T) {
	l := newLab(t)
	failed := func() map[archive.Table]int {
		most := map[archive.Table]int{}
		for _, table := range archive.DataTables() {
			for _, p := range l.view().Parts(table) {
				most[table] = max(most[table], p.Coverage.Failed)
				if p.Coverage.Complete() != (p.Coverage.Failed == 0) {
					t.Errorf("%s of %s is tagged %+v", table, p.Day, p.Coverage)
				}
			}
		}
		return most
	}
	for _, c := range []struct {
		name                            string
		customers, subscriptions, usage int
	}{
		{"all read", 0, 0, 0},
		{"bad rows everywhere", 1, 2, 3},
		{"the usage mended", 1, 2, 0},
		{"the customers mended", 0, 2, 0},
		{"all mended", 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := partner(c.customers, c.subscriptions, c.usage)
			x := Extract{Usage: s, Inventory: s, InventoryDay: day0 + 8, MaxBad: 0.5}
			if _, err := l.extract(x); err != nil {
				t.Fatal(err)
			}
			want := map[archive.Table]int{archive.Customers: c.customers, archive.Subscriptions: c.subscriptions, archive.UsageTable: c.usage, archive.UsageDaily: c.usage}
			if diff := cmp.Diff(failed(), want); diff != "" {
				t.Errorf("failed by table (-got +want):\n%s", diff)
			}
			if again, err := l.extract(x); err != nil || again.Changed() {
				t.Errorf("the same again: changed %v, %v", again.Changed(), err)
			}
		})
	}
	for c, err := range l.arc.History(t.Context(), archive.Subscriptions) {
		if err != nil || c.RowsIn != 4 { // the bad ones are read, too
			t.Errorf("version %d: %d rows in, want 4; %v", c.Version, c.RowsIn, err)
		}
	}
}

// TestExtract_ABadUsageRowConcernsItsOwnDay has one bad row, then more, and looks
// which days are written again and which are tagged as not whole.
func TestExtract_ABadUsageRowConcernsItsOwnDay(t *testing.T) {
	type bad struct {
		at  int       // which of the usage rows of customer a
		day *data.Day // as far as it can be read
	}
	steps := []struct {
		name  string
		bad   []bad
		added int    // usage days written
		whole string // a letter for each day of nine: w whole, x not
	}{
		{"all read", nil, 9, "wwwwwwwww"},
		{"one bad row", []bad{{4, new(day0 + 4)}}, 1, "wwwwxwwww"},
		{"the same again", []bad{{4, new(day0 + 4)}}, 0, "wwwwxwwww"},
		{"one more on another day", []bad{{4, new(day0 + 4)}, {7, new(day0 + 7)}}, 1, "wwwwxwwxw"},
		{"a row whose day cannot be read", []bad{{4, new(day0 + 4)}, {2, nil}}, 2, "wwxwxwwxw"},
		{"all mended", nil, 3, "wwwwwwwww"},
	}
	l := newLab(t)
	for _, step := range steps {
		s := partner(0, 0, 0)
		for _, b := range step.bad {
			s.usage[b.at] = &data.RowError{File: "usage.csv", Line: 2, Column: "cost", Value: "x", Reason: "not a decimal number", Day: b.day}
		}
		out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 8, MaxBad: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Committed {
			if (c.Table == archive.UsageTable || c.Table == archive.UsageDaily) && c.Added != step.added {
				t.Errorf("%s: %d days of %s written, want %d", step.name, c.Added, c.Table, step.added)
			}
		}
		for _, table := range []archive.Table{archive.UsageTable, archive.UsageDaily} {
			whole := ""
			for _, p := range l.view().Parts(table) {
				whole += map[bool]string{true: "w", false: "x"}[p.Coverage.Complete()]
			}
			if whole != step.whole {
				t.Errorf("%s: %s is whole %s, want %s", step.name, table, whole, step.whole)
			}
		}
	}
}

// TestExtract_NoMoreCustomersFailThanThereAre has more bad rows than customers.
func TestExtract_NoMoreCustomersFailThanThereAre(t *testing.T) {
	l := newLab(t)
	s := partner(0, 0, 0)
	for i := range 5 {
		s.usage = append(s.usage, &data.RowError{File: "usage.csv", Line: int64(i), Reason: "x", Day: new(day0)})
	}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 8, MaxBad: 0.5}); err != nil {
		t.Fatal(err)
	}
	if c := l.view().Parts(archive.UsageTable)[0].Coverage; c != (archive.Coverage{Expected: 4, Failed: 4}) {
		t.Errorf("coverage %+v, want all four failed", c)
	}
}

func TestExtract_SaysThatALessCompleteInventoryReplacesACompleteOne(t *testing.T) {
	l := newLab(t)
	for i, s := range []*fakeSource{partner(0, 0, 0), partner(0, 2, 0), partner(0, 2, 0)} {
		out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 8, MaxBad: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		said := slices.ContainsFunc(out.Warnings, func(w string) bool {
			return strings.HasSuffix(w, "replaces one of the same day that had no bad subscriptions row")
		})
		if said != (i == 1) {
			t.Errorf("run %d: warnings %q", i, out.Warnings)
		}
	}
	if n := len(l.subscriptions()); n != 4 {
		t.Errorf("%d subscriptions, want 4", n)
	}
}

func TestExtract_SaysThatAMuchSmallerInventoryReplacesOneOfTheSameDay(t *testing.T) {
	for _, c := range []struct {
		kept int
		day  data.Day
		said bool
	}{{3, day0 + 8, false}, {2, day0 + 8, true}, {2, day0 + 9, false}} {
		l := newLab(t)
		s := partner(0, 0, 0)
		if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: day0 + 8}); err != nil {
			t.Fatal(err)
		}
		s.subscriptions = s.subscriptions[:c.kept]
		out, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: c.day})
		if err != nil {
			t.Fatal(err)
		}
		want := "replaces one of the same day that had 4 subscriptions by one of 2: extract again if rows are missing in the input"
		if said := slices.ContainsFunc(out.Warnings, func(w string) bool { return strings.HasSuffix(w, want) }); said != c.said {
			t.Errorf("%d of 4 on %s: warnings %q", c.kept, c.day, out.Warnings)
		}
	}
}
