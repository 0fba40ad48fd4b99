package archive

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		{charge("2026-11-01", "a", "", "1", "one"), false}, {charge("2026-11-01", "b", "", "1", "two"), false}, {charge("2026-11-01", "a", "", "1", "two"), true},
	} {
		if err := r.AddUsage(c.row, Feed{"focus", c.row.Origin.Scope, "EUR"}); (err != nil) != c.refused {
			t.Errorf("row %d: %v", i, err)
		}
	}
}
