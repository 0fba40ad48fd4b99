package archive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// charge is a row of a customer's subscription in a scope and November.
func charge(d, customer, subscription, cost, scope string) data.Usage {
	u := scoped(row(d, customer, cost), scope, "2026-11")
	u.SubscriptionID = data.Optional(data.SubscriptionID(subscription))
	return u
}

// dollars is a row in another currency.
func dollars(u data.Usage) data.Usage {
	u.Currency = "USD"
	return u
}

// restating is a delivery that has November of a scope in every currency.
func restating(d Delivery, scope string) Delivery {
	d.Restates = []data.Restated{{Scope: scope, Period: "2026-11"}}
	return d
}

// costs are the rows of usage as customer, subscription, cost and scope.
func costs(t *testing.T, f *fixture) []string {
	t.Helper()
	var all []string
	v := f.view()
	for _, p := range v.Parts(UsageTable) {
		for _, s := range p.Sums {
			if s.Column == "cost" {
				all = append(all, fmt.Sprint(p.Day, " ", p.Feed.Scope, " ", p.BillingPeriod, " ", s.Amount))
			}
		}
	}
	var daily []string
	for _, p := range v.Parts(UsageDaily) {
		for _, s := range p.Sums {
			if s.Column == "cost" {
				daily = append(daily, fmt.Sprint(p.Day, " ", p.Feed.Scope, " ", p.BillingPeriod, " ", s.Amount))
			}
		}
	}
	if diff := cmp.Diff(all, daily); diff != "" {
		t.Errorf("usage -, usage_daily +:\n%s", diff)
	}
	return all
}

func TestCommitUsage_AnotherScopeTakesOverWhatItDeliversWhole(t *testing.T) {
	whole := Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-02"), Full: true}
	october := scoped(row("2026-11-01", "a", "9"), "account", "2026-10")
	start := []data.Usage{
		charge("2026-11-01", "a", "s1", "1", "account"), charge("2026-11-02", "b", "s2", "2", "account"), charge("2026-11-02", "b", "", "4", "account"), october,
	}
	for name, c := range map[string]struct {
		delivery Delivery
		rows     []data.Usage
		want     []string // nil: refused
	}{
		"one scope a customer, all of them": {
			whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "of a"), charge("2026-11-02", "b", "s2", "3", "of b"), charge("2026-11-02", "b", "", "4", "of b")},
			[]string{"2026-11-01 account 2026-10 9.00", "2026-11-01 of a 2026-11 1.00", "2026-11-02 of b 2026-11 7.00"},
		},
		"all of them, a day less": {
			whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "of a"), charge("2026-11-01", "b", "s2", "3", "of b"), charge("2026-11-01", "b", "", "4", "of b")}, nil,
		},
		"all of them, under other customers' names": {
			whole, []data.Usage{charge("2026-11-01", "x", "s1", "1", "of x"), charge("2026-11-02", "y", "s2", "3", "of x"), charge("2026-11-02", "b", "", "4", "of x")},
			[]string{"2026-11-01 account 2026-10 9.00", "2026-11-01 of x 2026-11 1.00", "2026-11-02 of x 2026-11 7.00"},
		},
		"one of them, under another customer's name": {whole, []data.Usage{charge("2026-11-01", "x", "s1", "1", "of x")}, nil},
		"all of them in another currency, delivered in every one": {
			restating(whole, "of all"), []data.Usage{dollars(charge("2026-11-01", "a", "s1", "1", "of all")), dollars(charge("2026-11-02", "b", "s2", "3", "of all")), dollars(charge("2026-11-02", "b", "", "4", "of all"))},
			[]string{"2026-11-01 account 2026-10 9.00", "2026-11-01 of all 2026-11 1.00", "2026-11-02 of all 2026-11 7.00"},
		},
		"one of them in another currency, delivered in every one": {restating(whole, "of a"), []data.Usage{dollars(charge("2026-11-01", "a", "s1", "1", "of a"))}, nil},
		"the same scope in another currency, delivered in every one": {
			restating(whole, "account"), []data.Usage{dollars(charge("2026-11-01", "a", "s1", "5", "account"))},
			[]string{"2026-11-01 account 2026-10 9.00", "2026-11-01 account 2026-11 5.00"},
		},
		"the same scope in another currency, which may be one of two": {
			whole, []data.Usage{dollars(charge("2026-11-01", "a", "s1", "5", "account"))},
			[]string{"2026-11-01 account 2026-10 9.00", "2026-11-01 account 2026-11 1.00", "2026-11-01 account 2026-11 5.00", "2026-11-02 account 2026-11 6.00"},
		},
		"one customer of two":                 {whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "of a")}, nil},
		"all but what has no subscription":    {whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "x"), charge("2026-11-02", "b", "s2", "2", "x")}, nil},
		"another customer beside":             {whole, []data.Usage{charge("2026-11-01", "c", "s3", "1", "of c")}, []string{"2026-11-01 account 2026-10 9.00", "2026-11-01 account 2026-11 1.00", "2026-11-01 of c 2026-11 1.00", "2026-11-02 account 2026-11 6.00"}},
		"another subscription of a customer":  {whole, []data.Usage{charge("2026-11-01", "a", "s9", "1", "s9")}, []string{"2026-11-01 account 2026-10 9.00", "2026-11-01 account 2026-11 1.00", "2026-11-01 s9 2026-11 1.00", "2026-11-02 account 2026-11 6.00"}},
		"a day asked for, and all it has":     {Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-01")}, []data.Usage{charge("2026-11-01", "a", "s1", "5", "of a")}, []string{"2026-11-01 account 2026-10 9.00", "2026-11-01 of a 2026-11 5.00", "2026-11-02 account 2026-11 6.00"}},
		"the same customer of another source": {Delivery{Source: "partnercenter", Days: days("2026-11-01", "2026-11-01"), Full: true}, []data.Usage{charge("2026-11-01", "a", "s1", "5", "of a")}, []string{"2026-11-01 account 2026-10 9.00", "2026-11-01 account 2026-11 1.00", "2026-11-01 of a 2026-11 5.00", "2026-11-02 account 2026-11 6.00"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, NewMemory())
			f.usage(whole, start...)
			before := costs(t, f)
			if c.want != nil {
				f.usage(c.delivery, c.rows...)
				got := costs(t, f)
				slices.Sort(got)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				return
			}
			r := f.begin()
			f.stage(r, c.delivery.Source, c.rows...)
			_, err := r.CommitUsage(t.Context(), c.delivery)
			if err == nil || !strings.Contains(err.Error(), "focus/account/EUR") || !strings.Contains(err.Error(), "customer b ") || !strings.Contains(err.Error(), "take 2026-11 out of feed focus/") {
				t.Errorf("committed with %v, want both feeds, customer b and what to do", err)
			}
			if diff := cmp.Diff(before, costs(t, f)); diff != "" {
				t.Errorf("before -, after +:\n%s", diff)
			}
		})
	}
}

func TestAddUsage_WhatTwoScopesDeliverForTheSameDaysIsRefused(t *testing.T) {
	r := newFixture(t, NewMemory()).begin()
	october := charge("2026-10-31", "a", "s1", "1", "two")
	october.BillingPeriod = data.Optional("2026-10")
	for i, c := range []struct {
		row     data.Usage
		refused bool
	}{
		{charge("2026-11-01", "a", "s1", "1", "one"), false}, {charge("2026-11-01", "a", "s2", "1", "two"), false},
		{october, false}, {charge("2026-11-02", "a", "s1", "1", "three"), false},
		{charge("2026-11-01", "a", "s1", "1", "two"), true}, {charge("2026-11-02", "b", "s1", "1", "one"), true},
		{charge("2026-11-09", "a", "s1", "1", "one"), false}, {charge("2026-11-05", "a", "s1", "1", "two"), false}, {charge("2026-11-09", "a", "s1", "1", "two"), true},
		{charge("2026-11-01", "a", "", "1", "one"), false}, {charge("2026-11-01", "b", "", "1", "two"), false}, {charge("2026-11-01", "a", "", "1", "two"), true},
	} {
		if err := r.AddUsage(c.row, Feed{"focus", c.row.Origin.Scope, "EUR"}); (err != nil) != c.refused {
			t.Errorf("row %d: %v", i, err)
		}
	}
}

// TestCommitUsage_AwaitedDaysDoNotBecomeKnown has days on which one scope is behind,
// with rows of another and without any.
func TestCommitUsage_AwaitedDaysDoNotBecomeKnown(t *testing.T) {
	f := newFixture(t, NewMemory())
	d := Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-04"), Full: true}
	rows := []data.Usage{charge("2026-11-01", "a", "s1", "1", "of a"), charge("2026-11-03", "a", "s1", "1", "of a")}
	known := func() (all []string) {
		for _, s := range f.view().UsageDays() {
			all = append(all, s.Day.String())
		}
		return all
	}
	awaiting := func(from, to string) Delivery {
		d := d
		d.Awaits = []data.Awaited{{Days: days(from, to), Scope: "of b"}}
		return d
	}
	for i, c := range []struct {
		delivery Delivery
		want     []string
	}{
		{awaiting("2026-11-02", "2026-11-04"), []string{"2026-11-01"}},
		{awaiting("2026-11-02", "2026-11-04"), []string{"2026-11-01"}},
		{awaiting("2026-11-04", "2026-11-04"), []string{"2026-11-01", "2026-11-02", "2026-11-03"}},
		{awaiting("2026-11-02", "2026-11-04"), []string{"2026-11-01", "2026-11-02", "2026-11-03"}},
		{d, []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"}},
		{awaiting("2026-11-01", "2026-11-04"), []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"}},
	} {
		f.usage(c.delivery, rows...)
		if diff := cmp.Diff(c.want, known()); diff != "" {
			t.Errorf("delivery %d: days that are known: want -, got +:\n%s", i, diff)
		}
		if n := len(f.view().ArchivedDays()); n != 4 {
			t.Errorf("delivery %d: %d days are archived", i, n)
		}
	}
	first, err := f.ViewAt(t.Context(), map[Table]int64{UsageTable: 0, UsageDaily: 0})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(first.UsageDays()); n != 1 || first.ArchivedDays()[1].Awaits != "of b" {
		t.Errorf("as of the first night %d days are known: %+v", n, first.ArchivedDays())
	}
}

// TestCommitUsage_NothingCountsTwiceAndNothingIsLost has any scopes deliver any
// charges, under any customer's name and each night in any currency.
func TestCommitUsage_NothingCountsTwiceAndNothingIsLost(t *testing.T) {
	type on struct {
		day          data.Day
		subscription string
	}
	period := days("2026-11-01", "2026-11-03")
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, NewMemory())
		stored := func() map[on]string {
			state, err := f.refresh(t.Context(), UsageTable)
			if err != nil {
				rt.Fatal(err)
			}
			all := map[on]string{}
			for _, p := range state.sorted() {
				if p.Rows == 0 {
					continue
				}
				err := f.charges(t.Context(), UsageTable, p, func(_, subscription string) {
					at := on{p.Day, subscription}
					if by, twice := all[at]; twice {
						rt.Errorf("%v counts twice, by %s and %s", at, by, p.Feed)
					}
					all[at] = p.Feed.Scope
				})
				if err != nil {
					rt.Fatal(err)
				}
			}
			return all
		}
		before := stored()
		for range rapid.IntRange(2, 4).Draw(rt, "nights") {
			r := f.begin()
			d := Delivery{Source: "focus", Days: period, Full: true}
			refused := false
			currency := rapid.SampledFrom([]string{"EUR", "USD"}).Draw(rt, "currency")
			for _, scope := range []string{"account", "of a", "of b"} {
				if !rapid.Bool().Draw(rt, "delivers "+scope) {
					continue
				}
				d.Restates = append(d.Restates, data.Restated{Scope: scope, Period: "2026-11"})
				first := rapid.IntRange(1, 2).Draw(rt, "first")
				last := rapid.IntRange(first, 3).Draw(rt, "last")
				for _, subscription := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s1", "s2", "s3"}), 1, 3, rapid.ID).Draw(rt, "subscriptions") {
					for at := first; at <= last; at++ {
						u := charge(fmt.Sprintf("2026-11-0%d", at), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "customer"), subscription, "1", scope)
						u.Currency = currency
						if err := r.AddUsage(u, Feed{"focus", scope, currency}); err != nil {
							refused = true
						}
					}
				}
			}
			if r.Staged().Rows == 0 || refused {
				continue // as one extraction would end
			}
			if _, err := r.CommitUsage(t.Context(), d); err != nil {
				continue
			}
			after := stored()
			for at, scope := range before {
				if _, kept := after[at]; !kept && !slices.ContainsFunc(d.Restates, func(r data.Restated) bool { return r.Scope == scope }) {
					rt.Errorf("%v of %s is lost", at, scope)
				}
			}
			before = after
		}
	})
}

// outdated takes all usage out of the table by its retention; the rollups stay.
func outdated(t testing.TB, f *fixture) {
	t.Helper()
	at := f.clock.t
	f.clock.t = day("2027-06-01").Time()
	r := f.begin()
	if _, err := r.Prune(t.Context(), Retention{Tables: map[Table]int{UsageTable: 31}}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if parts := f.view().Parts(UsageTable); len(parts) > 0 {
		t.Fatalf("the prune leaves %v", parts)
	}
	f.clock.t = at
}

// TestRollup_WhatIsPrunedGoesOnlyWhereItIsRestated delivers days again whose usage
// was pruned, in whole or in part.
func TestRollup_WhatIsPrunedGoesOnlyWhereItIsRestated(t *testing.T) {
	whole := Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-02"), Full: true, Covers: []data.Period{days("2026-11-01", "2026-11-02")}}
	later := Delivery{Source: "focus", Days: days("2026-12-01", "2026-12-01"), Full: true, Covers: []data.Period{days("2026-12-01", "2026-12-01")}}
	december := func(d, cost string) data.Usage {
		u := charge(d, "a", "s1", cost, "of a")
		u.BillingPeriod = new("2026-12")
		return u
	}
	for name, c := range map[string]struct {
		delivery Delivery
		rows     []data.Usage
		want     []string // rollups; nil: refused
	}{
		"a correction in a later month": {later, []data.Usage{december("2026-12-01", "1"), december("2026-11-01", "-0.5")},
			[]string{"2026-11-01 of a 2026-11 1.00", "2026-11-01 of a 2026-12 -0.50", "2026-11-01 of b 2026-11 2.00", "2026-11-02 of a 2026-11 3.00", "2026-12-01 of a 2026-12 1.00"}},
		"one scope of two again": {whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "of a"), charge("2026-11-02", "a", "s1", "3", "of a")},
			[]string{"2026-11-01 of a 2026-11 1.00", "2026-11-01 of b 2026-11 2.00", "2026-11-02 of a 2026-11 3.00"}},
		"one scope again, without one of its days": {whole, []data.Usage{charge("2026-11-01", "a", "s1", "5", "of a")},
			[]string{"2026-11-01 of a 2026-11 5.00", "2026-11-01 of b 2026-11 2.00"}},
		"one day of one scope": {Delivery{Source: "focus", Days: days("2026-11-01", "2026-11-01")}, []data.Usage{charge("2026-11-01", "a", "s1", "5", "of a")},
			[]string{"2026-11-01 of a 2026-11 5.00", "2026-11-01 of b 2026-11 2.00", "2026-11-02 of a 2026-11 3.00"}},
		"one scope again in another currency, delivered in every one": {restating(whole, "of a"), []data.Usage{dollars(charge("2026-11-02", "a", "s1", "5", "of a"))},
			[]string{"2026-11-01 of b 2026-11 2.00", "2026-11-02 of a 2026-11 5.00"}},
		"a wider scope takes over": {whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "all"), charge("2026-11-01", "b", "s2", "1", "all"), charge("2026-11-02", "a", "s1", "1", "all")},
			[]string{"2026-11-01 all 2026-11 2.00", "2026-11-02 all 2026-11 1.00"}},
		"a wider scope of less": {whole, []data.Usage{charge("2026-11-01", "a", "s1", "1", "all"), charge("2026-11-01", "b", "s2", "1", "all")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, NewMemory())
			f.usage(whole, charge("2026-11-01", "a", "s1", "1", "of a"), charge("2026-11-01", "b", "s2", "2", "of b"), charge("2026-11-02", "a", "s1", "3", "of a"))
			rollups := func() (all []string) {
				for _, p := range f.view().Parts(UsageDaily) {
					for _, s := range p.Sums {
						if s.Column == "cost" {
							all = append(all, fmt.Sprint(p.Day, " ", p.Feed.Scope, " ", p.BillingPeriod, " ", s.Amount))
						}
					}
				}
				slices.Sort(all)
				return all
			}
			before := rollups()
			outdated(t, f)
			if diff := cmp.Diff(before, rollups()); diff != "" {
				t.Fatalf("before -, after + the prune:\n%s", diff)
			}
			if c.want == nil {
				r := f.begin()
				f.stage(r, "focus", c.rows...)
				if _, err := r.CommitUsage(t.Context(), c.delivery); err == nil || !strings.Contains(err.Error(), "subscription s1 of customer a on 2026-11-02 is not there") {
					t.Errorf("committed with %v", err)
				}
				c.want = before
			} else {
				f.usage(c.delivery, c.rows...)
			}
			for range 2 {
				if diff := cmp.Diff(c.want, rollups()); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
				outdated(t, f)
			}
			verified, err := Verify(t.Context(), f.bucket, VerifyOptions{})
			if err != nil || !verified.OK() {
				t.Errorf("verify: %v, %+v", err, verified)
			}
		})
	}
}

// TestRollup_APruneOfUsageChangesNoFigure has any scopes deliver any charges and
// wait for any days, into an archive that keeps its usage and into one that never does.
func TestRollup_APruneOfUsageChangesNoFigure(t *testing.T) {
	type night struct {
		delivery Delivery
		rows     []data.Usage
	}
	period := days("2026-11-01", "2026-11-03")
	rapid.Check(t, func(rt *rapid.T) {
		keeps, prunes := newFixture(t, NewMemory()), newFixture(t, NewMemory())
		for range rapid.IntRange(2, 4).Draw(rt, "nights") {
			n := night{delivery: Delivery{Source: "focus", Days: period, Full: true}}
			if rapid.Bool().Draw(rt, "covers less") {
				n.delivery.Covers = []data.Period{days("2026-11-01", "2026-11-02")}
			}
			if rapid.Bool().Draw(rt, "awaits") {
				n.delivery.Awaits = []data.Awaited{{Days: days("2026-11-02", "2026-11-03"), Scope: "of b"}}
			}
			currency := rapid.SampledFrom([]string{"EUR", "USD"}).Draw(rt, "currency")
			for _, scope := range []string{"account", "of a", "of b"} {
				if !rapid.Bool().Draw(rt, "delivers "+scope) {
					continue
				}
				if rapid.Bool().Draw(rt, "in every currency") {
					n.delivery.Restates = append(n.delivery.Restates, data.Restated{Scope: scope, Period: "2026-11"})
				}
				for _, subscription := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"s1", "s2", "s3"}), 1, 2, rapid.ID).Draw(rt, "subscriptions") {
					for at := range rapid.IntRange(1, 3).Draw(rt, "days") {
						u := charge(fmt.Sprintf("2026-11-0%d", at+1), "a", subscription, fmt.Sprint(rapid.IntRange(1, 3).Draw(rt, "cost")), scope)
						u.Currency = currency
						n.rows = append(n.rows, u)
					}
				}
			}
			if len(n.rows) == 0 {
				continue
			}
			extract := func(f *fixture) (text string, rows, known []string) {
				r := f.begin()
				for _, u := range n.rows {
					if err := r.AddUsage(u, Feed{"focus", u.Origin.Scope, u.Currency}); err != nil {
						return "refused", nil, nil
					}
				}
				if _, err := r.CommitUsage(t.Context(), n.delivery); err != nil {
					text = err.Error()
				}
				if _, err := r.Rollup(t.Context(), rollup); err != nil {
					rt.Fatal(err)
				}
				if _, err := r.Finish(t.Context()); err != nil {
					rt.Fatal(err)
				}
				for _, d := range f.view().UsageDays() {
					known = append(known, d.Day.String())
				}
				return text, dump(t, f.view().Scan(t.Context(), UsageDaily, allDays)), known
			}
			wantText, wantRows, wantKnown := extract(keeps)
			text, rows, known := extract(prunes)
			if text != wantText || !slices.Equal(rows, wantRows) || !slices.Equal(known, wantKnown) {
				rt.Errorf("with its usage -, without +: %s", cmp.Diff([]any{wantText, wantRows, wantKnown}, []any{text, rows, known}))
			}
			delivered := func(f *fixture) (all []string) {
				for _, p := range f.view().UsageParts() {
					all = append(all, fmt.Sprint(p.id(), p.Rows, p.ContentSHA256, p.AsOf))
				}
				slices.Sort(all)
				return all
			}
			if diff := cmp.Diff(delivered(keeps), delivered(prunes)); diff != "" {
				rt.Errorf("parts of usage that count, with its usage -, without +:\n%s", diff)
			}
			if len(prunes.view().Parts(UsageTable)) > 0 {
				outdated(t, prunes)
			}
		}
	})
}
