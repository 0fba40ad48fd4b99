package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
)

// nightly is a partner whose inventory is read night after night.
type nightly struct {
	*lab
	day data.Day
}

func newNightly(t *testing.T) *nightly {
	return &nightly{newLab(t), data.DayOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))}
}

// entitled is a subscription of which only the plan's date is known.
func entitled(id, customer string) data.Subscription {
	created, basis := data.DayOf(time.Date(2024, 3, 11, 0, 0, 0, 0, time.UTC)), data.BasisPlan
	return data.Subscription{SubscriptionID: data.SubscriptionID(id), CustomerID: data.CustomerID(customer), Status: data.StatusActive,
		Created: &created, CreatedBasis: &basis}
}

func refuses(customer, reason string, permanent bool) error {
	return &data.CustomerError{CustomerID: data.CustomerID(customer), Reason: reason, Permanent: permanent, Err: errors.New("answered " + reason)}
}

// night takes one snapshot; rows are those of subscriptions, or errors.
func (n *nightly) night(customers []string, rows ...any) Extracted {
	n.t.Helper()
	return n.nightWithout("", customers, rows...)
}

// nightWithout is a night with one customer excluded.
func (n *nightly) nightWithout(excluded data.CustomerID, customers []string, rows ...any) Extracted {
	n.t.Helper()
	n.day++
	source := &fakeSource{kind: "net", subscriptions: rows, usage: []any{used(n.day-1, customers[0], "s1")}}
	for _, id := range customers {
		source.customers = append(source.customers, data.Customer{CustomerID: data.CustomerID(id)})
	}
	out, err := n.extract(Extract{Usage: source, Inventory: source, InventoryDay: n.day, Exclude: map[data.CustomerID]bool{excluded: true}})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// snapshot is the newest file of subscriptions.
func (n *nightly) snapshot() archive.Part {
	n.t.Helper()
	parts := n.view().Parts(archive.Subscriptions)
	return parts[len(parts)-1]
}

// told is what a night's warnings and notes say, shortened to what matters here.
func told(out Extracted) string {
	var all []string
	for _, w := range slices.Concat(out.Warnings, out.Notes) {
		for _, what := range []string{"could not be read", "is unreachable since", "can be read again"} {
			if strings.Contains(w, what) {
				all = append(all, what)
			}
		}
	}
	return strings.Join(all, ", ")
}

func TestRefused_ThreeNightsAndBack(t *testing.T) {
	n := newNightly(t)
	both := []string{"a", "b"}
	gone := refuses("b", "403 20002", true)
	steps := []struct {
		rows     []any
		told     string
		coverage archive.Coverage
	}{
		{[]any{entitled("s1", "a"), entitled("s2", "b")}, "", archive.Coverage{Expected: 2, Read: 2}},
		{[]any{entitled("s1", "a"), gone}, "could not be read", archive.Coverage{Expected: 2, Read: 1, Failed: 1}},
		{[]any{entitled("s1", "a"), gone}, "could not be read", archive.Coverage{Expected: 2, Read: 1, Failed: 1}},
		{[]any{entitled("s1", "a"), gone}, "is unreachable since", archive.Coverage{Expected: 1, Read: 1}},
		{[]any{entitled("s1", "a"), gone}, "", archive.Coverage{Expected: 1, Read: 1}},
		{[]any{entitled("s1", "a"), gone}, "", archive.Coverage{Expected: 1, Read: 1}},
		{[]any{entitled("s1", "a"), entitled("s2", "b")}, "can be read again", archive.Coverage{Expected: 2, Read: 2}},
		{[]any{entitled("s1", "a"), gone}, "could not be read", archive.Coverage{Expected: 2, Read: 1, Failed: 1}},
	}
	for i, step := range steps {
		out := n.night(both, step.rows...)
		if got := told(out); got != step.told {
			t.Errorf("night %d: told %q, want %q (%q)", i+1, got, step.told, out.Warnings)
		}
		l := &loader{view: n.view(), p: &reports.Portfolio{}}
		if err := l.refused(n.t.Context()); err != nil {
			t.Fatal(err)
		}
		if f := l.p.Freshness; len(f.Failed) != step.coverage.Failed || len(f.Unreachable) != 2-step.coverage.Expected {
			t.Errorf("night %d: freshness %+v", i+1, f)
		}
		parts := n.view().Parts(archive.Subscriptions)
		last := parts[len(parts)-1]
		if last.Coverage != step.coverage || last.Rows != 2 {
			t.Errorf("night %d: coverage %+v, %d subscriptions, want %+v and 2", i+1, last.Coverage, last.Rows, step.coverage)
		}
	}
}

func TestRefused_InAnotherWayCountsAnew(t *testing.T) {
	n := newNightly(t)
	var got []string
	for _, err := range []error{refuses("b", "403 20002", true), refuses("b", "403 20002", true), refuses("b", "404 60003", true), refuses("b", "404 60003", true),
		refuses("b", "500", false), refuses("b", "500", false), refuses("b", "500", false), refuses("b", "500", false),
		refuses("b", "404 60003", true), refuses("b", "404 60003", true), refuses("b", "404 60003", true)} {
		got = append(got, told(n.night([]string{"a", "b"}, entitled("s1", "a"), err)))
	}
	// The third night of 404 counts although nights of 500 lie between.
	want := append(slices.Repeat([]string{"could not be read"}, 8), "is unreachable since", "", "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestRefused_APassingNightDoesNotStartAnew has a server fail for one night while
// a customer is unreachable.
func TestRefused_APassingNightDoesNotStartAnew(t *testing.T) {
	n := newNightly(t)
	gone, down := refuses("b", "403 20002", true), refuses("b", "500", false)
	var got []string
	for _, err := range []error{gone, gone, gone, gone, down, gone, down, gone} {
		got = append(got, told(n.night([]string{"a", "b"}, entitled("s1", "a"), err)))
	}
	if want := []string{"could not be read", "could not be read", "is unreachable since", "", "", "", "", ""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRefused_TheSameNightAgainChangesNothing(t *testing.T) {
	n := newNightly(t)
	rows := []any{entitled("s1", "a"), refuses("b", "403 20002", true)}
	n.night([]string{"a", "b"}, entitled("s1", "a"), entitled("s2", "b"))
	first := n.night([]string{"a", "b"}, rows...)
	n.day--
	again := n.night([]string{"a", "b"}, rows...)
	if again.Changed() || told(again) != told(first) {
		t.Errorf("changed %v, told %q", again.Changed(), told(again))
	}
}

// TestRefused_ManyAreCounted keeps a bad night from filling the mail.
func TestRefused_ManyAreCounted(t *testing.T) {
	n := newNightly(t)
	customers, rows := []string{"a"}, []any{entitled("s1", "a")}
	for i := range 30 {
		id := fmt.Sprintf("c%02d", i)
		customers, rows = append(customers, id), append(rows, refuses(id, "500", false))
	}
	out := n.night(customers, rows...)
	if len(out.Warnings) != maxNamed+1 || out.Warnings[maxNamed] != "20 more customers could not be read" {
		t.Errorf("warnings %q", out.Warnings)
	}
}

// TestFirstSeen_OfACustomerWhoWasReadBefore has a customer who was read, without any
// subscription, refuse for a while, and then have its first one.
func TestFirstSeen_OfACustomerWhoWasReadBefore(t *testing.T) {
	n := newNightly(t)
	all := []string{"a", "b", "c"}
	down := refuses("b", "500", false)
	n.night(all, entitled("s1", "a"), refuses("c", "500", false)) // 2 November: b is read, c is not
	n.night(all, entitled("s1", "a"), down, refuses("c", "500", false))
	n.night([]string{"a"}, entitled("s1", "a")) // neither is listed
	n.night(all, entitled("s1", "a"), down, refuses("c", "500", false))
	n.night(all, entitled("s1", "a"), entitled("s2", "b"), entitled("s3", "c"))
	want := map[string]string{"s1": "2024-03-11 plan", "s2": "2026-11-06 first_seen", "s3": "2024-03-11 plan"}
	if diff := cmp.Diff(want, n.dates()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestFirstSeen_SnapshotsThatUsageAloneMade adds an inventory to an archive of usage:
// what idled until then is not new, whatever refuses meanwhile; what comes later is.
func TestFirstSeen_SnapshotsThatUsageAloneMade(t *testing.T) {
	n := newNightly(t)
	for range 2 {
		n.day++
		usage := &fakeSource{kind: "net", usage: []any{used(n.day-60, "a", "s0"), used(n.day-9, "a", "s1"), used(n.day-1, "d", "s4")}}
		if _, err := n.extract(Extract{Usage: usage, InventoryDay: n.day}); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"a", "b", "c"}
	rows := []any{entitled("s0", "a"), entitled("s1", "a"), entitled("idle1", "a"), entitled("idle2", "b")}
	n.night(all, append(rows, refuses("c", "500", false))...)
	n.night(all, append(rows, refuses("c", "500", false))...)
	n.night(append(all, "d", "e"), append(rows, entitled("idle3", "c"), entitled("idle4", "d"), entitled("new1", "b"), entitled("new2", "e"))...)
	want := map[string]string{
		"s0":    "2024-03-11 plan", // used from the first days on
		"s1":    "2026-10-25 first_usage",
		"idle1": "2024-03-11 plan",
		"idle2": "2024-03-11 plan",
		"idle3": "2024-03-11 plan", // of a customer who could not be read before
		"idle4": "2024-03-11 plan", // of one who is known by usage only
		"new1":  "2026-11-06 first_seen",
		"new2":  "2026-11-06 first_seen",
	}
	if diff := cmp.Diff(want, n.dates()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestFirstSeen_StaysOverANightWithoutInventory takes the inventory away for a night:
// what was dated before keeps its date.
func TestFirstSeen_StaysOverANightWithoutInventory(t *testing.T) {
	n := newNightly(t)
	rows := []any{entitled("s1", "a"), entitled("s2", "a")}
	n.night([]string{"a"}, rows[0])
	n.night([]string{"a"}, rows...)
	n.day++
	if _, err := n.extract(Extract{Usage: &fakeSource{kind: "net", usage: []any{used(n.day-1, "a", "s1")}}, InventoryDay: n.day}); err != nil {
		t.Fatal(err)
	}
	n.night([]string{"a"}, rows...)
	if diff := cmp.Diff(map[string]string{"s1": "2024-03-11 plan", "s2": "2026-11-03 first_seen"}, n.dates()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// TestFirstSeen_WhateverNightsThereWere has customers listed, refuse and be excluded
// in any order, and nights whose inventory is derived from usage, and dates what
// was read by what the nights before told.
func TestFirstSeen_WhateverNightsThereWere(t *testing.T) {
	customers := []string{"a", "b", "c"}
	rapid.Check(t, func(r *rapid.T) {
		n := newNightly(t)
		read, known, inventory := map[string]bool{"z": true}, map[string]bool{}, false
		had := map[string]string{} // dates by subscription
		for range rapid.IntRange(2, 6).Draw(r, "nights") {
			if rapid.IntRange(0, 4).Draw(r, "kind of night") == 0 {
				n.day++
				who := rapid.SampledFrom(customers).Draw(r, "who used something")
				if _, err := n.extract(Extract{Usage: &fakeSource{kind: "net", usage: []any{used(n.day-1, who, "used-"+who)}}, InventoryDay: n.day}); err != nil {
					r.Fatal(err)
				}
				known[who] = true
				continue
			}
			listed, excluded, rows := []string{"z"}, data.CustomerID(""), []any{entitled("z1", "z")}
			now := map[string]string{} // customer by subscription that is read
			for _, c := range customers {
				how := rapid.SampledFrom([]string{"read", "read", "not listed", "excluded", "refuses", "fails"}).Draw(r, c)
				if how == "not listed" || how == "excluded" && excluded != "" {
					continue
				}
				listed = append(listed, c)
				if how == "excluded" {
					excluded = data.CustomerID(c)
				}
				if how == "refuses" || how == "fails" {
					rows = append(rows, refuses(c, how, how == "refuses"))
					continue
				}
				for _, id := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{c + "1", c + "2"}), rapid.ID[string]).Draw(r, "subscriptions of "+c) {
					rows = append(rows, entitled(id, c))
					if how == "read" {
						now[id] = c
					}
				}
			}
			n.nightWithout(excluded, listed, rows...)
			for id, c := range now {
				switch {
				case had[id] != "":
				case inventory && (read[c] || !known[c]):
					had[id] = n.day.String() + " first_seen"
				default:
					had[id] = "2024-03-11 plan"
				}
			}
			inventory = true
			refused := map[data.CustomerID]bool{}
			for _, row := range rows {
				if e, ok := row.(*data.CustomerError); ok {
					refused[e.CustomerID] = true
				}
			}
			for _, c := range listed {
				known[c] = known[c] || data.CustomerID(c) != excluded
				read[c] = read[c] || data.CustomerID(c) != excluded && !refused[data.CustomerID(c)]
			}
			for id, date := range n.dates() {
				if id != "z1" && had[id] != "" && date != had[id] {
					r.Errorf("%s: %s is dated %s, want %s", n.day, id, date, had[id])
				}
			}
		}
	})
}

// TestRefused_WhatIsKeptOfIt tells that subscriptions are kept only where some are.
func TestRefused_WhatIsKeptOfIt(t *testing.T) {
	n := newNightly(t)
	all := []string{"a", "b", "c"}
	gone := refuses("b", "403 20002", true)
	says := func(out Extracted, want ...string) {
		t.Helper()
		if !slices.EqualFunc(out.Warnings, want, strings.Contains) {
			t.Errorf("warnings %q, want %q", out.Warnings, want)
		}
	}
	says(n.night(all, entitled("s1", "a"), entitled("s2", "b"), refuses("c", "500", false)), "no subscription of it is known")
	says(n.night(all, entitled("s1", "a"), gone, refuses("c", "500", false)), "its subscriptions are kept as they were on 2026-11-02", "no subscription of it is known")
	n.nightWithout("b", all, entitled("s1", "a"), gone)
	says(n.night(all, entitled("s1", "a"), gone), "no subscription of it is known")
}

// TestExclude_OneWhoRefusesIsNotMissing excludes a customer who refuses, and one
// whose row is bad, by a list that the source does not know.
func TestExclude_OneWhoRefusesIsNotMissing(t *testing.T) {
	n := newNightly(t)
	both := []string{"a", "b"}
	n.night(both, entitled("s1", "a"), entitled("s2", "b"))
	for night := range 4 {
		out := n.nightWithout("b", both, entitled("s1", "a"), refuses("b", "403 20002", true))
		if len(out.Warnings) > 0 || out.LeftOut["subscriptions: excluded customer"] != 1 {
			t.Errorf("night %d: warnings %q, left out %v", night, out.Warnings, out.LeftOut)
		}
		if last := n.snapshot(); last.Coverage != (archive.Coverage{Expected: 1, Read: 1}) || last.Rows != 1 {
			t.Errorf("night %d: coverage %+v, subscriptions %v", night, last.Coverage, n.dates())
		}
	}
	n.day++
	bad := &data.RowError{File: "customers", Line: 2, Column: "name", Reason: "bad", ID: "b"}
	source := &fakeSource{kind: "net", customers: []any{data.Customer{CustomerID: "a"}, bad}, subscriptions: []any{entitled("s1", "a")}, usage: []any{used(n.day-1, "a", "s1")}}
	out, err := n.extract(Extract{Usage: source, Inventory: source, InventoryDay: n.day, Exclude: map[data.CustomerID]bool{"b": true}})
	if err != nil || len(out.Quarantined) > 0 || out.LeftOut["customers: excluded customer"] != 1 {
		t.Errorf("a bad row of an excluded customer: %v, %+v", err, out)
	}
	if last := n.snapshot(); last.Coverage != (archive.Coverage{Expected: 1, Read: 1}) {
		t.Errorf("coverage %+v", last.Coverage)
	}
}

// dates are the creation dates of the newest snapshot.
func (n *nightly) dates() map[string]string {
	n.t.Helper()
	got := map[string]string{}
	for s, err := range n.view().Subscriptions(n.t.Context()) {
		if err != nil {
			n.t.Fatal(err)
		}
		if s.Created != nil {
			got[string(s.SubscriptionID)] = fmt.Sprintf("%s %s", s.Created, *s.CreatedBasis)
		}
	}
	return got
}

func TestFirstSeen(t *testing.T) {
	n := newNightly(t)
	all := []string{"a", "b", "c"}
	n.night(all, entitled("s1", "a"), entitled("s2", "a"), refuses("c", "500", false)) // 2 November, the first
	n.day += 9                                                                         // nothing for nine nights
	n.night(all, entitled("s1", "a"), entitled("s3", "b"), refuses("c", "500", false))
	n.night(all, entitled("s1", "a"), entitled("s3", "b"), entitled("s4", "c"), entitled("s2", "a"))
	n.night(all, entitled("s1", "a"), entitled("s3", "b"), entitled("s4", "c"), entitled("s2", "a"), entitled("s5", "c"))
	want := map[string]string{
		"s1": "2024-03-11 plan",       // there from the first snapshot on
		"s2": "2024-03-11 plan",       // away for a snapshot
		"s3": "2026-11-12 first_seen", // new after a gap: the first snapshot that has it
		"s4": "2024-03-11 plan",       // of a customer who could not be read before
		"s5": "2026-11-14 first_seen", // new, of that customer
	}
	if diff := cmp.Diff(want, n.dates()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestExclude_LeavesOutEverywhere(t *testing.T) {
	l := newLab(t)
	day := data.DayOf(l.now)
	source := &fakeSource{kind: "net", customers: []any{data.Customer{CustomerID: "a"}, data.Customer{CustomerID: "b"}},
		subscriptions: []any{entitled("s1", "a"), entitled("s2", "b")}, usage: []any{used(day-1, "a", "s1"), used(day-1, "b", "s2")}}
	out, err := l.extract(Extract{Usage: source, Inventory: source, InventoryDay: day, Exclude: map[data.CustomerID]bool{"b": true}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Customers != 1 || out.Subs != 1 || l.view().Parts(archive.UsageTable)[0].Rows != 1 {
		t.Errorf("extracted %+v", out)
	}
	if diff := cmp.Diff(map[string]int64{"customers: excluded customer": 1, "subscriptions: excluded customer": 1, "usage of an excluded customer": 1}, out.LeftOut); diff != "" {
		t.Errorf("left out: want -, got +:\n%s", diff)
	}
}

// TestExclude_KeepsWhatIsArchived has a customer excluded whose month is restated as
// a whole: it is no customer without usage, and its usage of before stays.
func TestExclude_KeepsWhatIsArchived(t *testing.T) {
	l := newLab(t)
	day := data.DayOf(l.now)
	row := func(d data.Day, customer, subscription string) data.Usage {
		u := used(d, customer, subscription)
		u.BillingPeriod, u.Origin.Scope = new("2026-11"), "account"
		return u
	}
	source := &fakeSource{kind: "focus", usage: []any{row(day-6, "a", "s1"), row(day-6, "b", "s2"), row(day-5, "a", "s1"), row(day-5, "b", "s2")}}
	if _, err := l.extract(Extract{Usage: source, InventoryDay: day}); err != nil {
		t.Fatal(err)
	}
	for night := range data.Day(3) {
		for _, customer := range []string{"a", "b"} { // history, too, that the archive never had
			source.usage = append(source.usage, row(day-20+night, customer, map[string]string{"a": "s1", "b": "s2"}[customer]), row(day-4+night, customer, map[string]string{"a": "s1", "b": "s2"}[customer]))
		}
		out, err := l.extract(Extract{Usage: source, InventoryDay: day + 1 + night, Exclude: map[data.CustomerID]bool{"b": true}})
		if err != nil {
			t.Fatal(err)
		}
		rows := map[data.Day]int64{}
		for _, p := range l.view().Parts(archive.UsageDaily) {
			if p.Rows > 0 {
				rows[p.Day] += p.Rows
			}
		}
		want := map[data.Day]int64{day - 6: 2, day - 5: 2}
		for d := range night + 1 {
			want[day-4+d], want[day-20+d] = 1, 1
		}
		if diff := cmp.Diff(want, rows); diff != "" || out.LeftOut["usage of an excluded customer"] != 2*(int64(night)+1) {
			t.Errorf("night %d, left out %v: rows by day: want -, got +:\n%s", night, out.LeftOut, diff)
		}
		if out.Customers != 1 || out.Subs != 1 || l.subscriptions()["s1"].CustomerID != "a" {
			t.Errorf("night %d: the derived inventory is %v", night, l.subscriptions())
		}
	}
	// Included again, it has all of its usage.
	if _, err := l.extract(Extract{Usage: source, InventoryDay: day + 5}); err != nil || len(l.subscriptions()) != 2 {
		t.Errorf("included again: %v, %v", err, l.subscriptions())
	}
}

// covering is a source that says what its input covers.
type covering struct {
	*fakeSource
	covers []data.Period
}

func (c *covering) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		tally.Covers = c.covers
		c.fakeSource.Usage(ctx, want, tally)(yield)
	}
}

// TestCovers_LateUsageAloneIsNoDay has a late row of a day that was never
// extracted: it must not make that day a known one, and belongs to it once it is.
func TestCovers_LateUsageAloneIsNoDay(t *testing.T) {
	l := newLab(t)
	day := data.DayOf(l.now)
	rows := []any{used(day-60, "a", "s1"), used(day-2, "a", "s1")}
	for i, from := range []data.Day{day - 30, day - 90, day - 30} {
		out, err := l.extract(Extract{Usage: &covering{&fakeSource{kind: "net", usage: rows}, []data.Period{{From: from, To: day}}}})
		if err != nil {
			t.Fatal(err)
		}
		days := l.view().UsageDays()
		want := []int{29, 89, 89}[i]
		late := []int64{1, 0, 0}[i]
		if len(days) != want || out.LeftOut[lateUsage] != late {
			t.Errorf("run %d: %d days from %s, left out %v; want %d days", i+1, len(days), days[0].Day, out.LeftOut, want)
		}
	}
}

// TestCovers_AGapStaysUnknown has a month between two that the source has nothing
// of: its days are not days without usage.
func TestCovers_AGapStaysUnknown(t *testing.T) {
	l := newLab(t)
	day := data.DayOf(l.now)
	source := &covering{&fakeSource{kind: "net", usage: []any{used(day-50, "a", "s1"), used(day-2, "a", "s1")}},
		[]data.Period{{From: day - 60, To: day - 41}, {From: day - 10, To: day}}}
	if _, err := l.extract(Extract{Usage: source}); err != nil {
		t.Fatal(err)
	}
	for _, d := range l.view().UsageDays() {
		if !within(source.covers, d.Day) {
			t.Errorf("%s counts as known", d.Day)
		}
	}
	if n := len(l.view().UsageDays()); n != 20+9 {
		t.Errorf("%d days are known", n)
	}
	if _, err := l.extract(Extract{Usage: source, Days: &data.Period{From: day - 35, To: day - 20}}); err == nil || !strings.Contains(err.Error(), "the source has none of") {
		t.Errorf("err = %v", err)
	}
}
