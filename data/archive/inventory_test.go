package archive

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

func drawDay(t *rapid.T, name string) *data.Day {
	return rapid.SampledFrom([]*data.Day{nil, new(data.Day(0)), new(data.Day(20000)), new(data.Day(-5))}).Draw(t, name)
}

func drawBool(t *rapid.T, name string) *bool {
	return rapid.SampledFrom([]*bool{nil, new(true), new(false)}).Draw(t, name)
}

func drawSubscription(t *rapid.T) data.Subscription {
	return data.Subscription{
		SubscriptionID: data.SubscriptionID(drawText(t, "id")), CustomerID: data.CustomerID(drawText(t, "customer")),
		PlanID: data.Optional(drawText(t, "plan")), Name: data.Optional(drawText(t, "name")), Offer: data.Optional(drawText(t, "offer")),
		Status: rapid.SampledFrom([]data.Status{data.StatusActive, data.StatusSuspended}).Draw(t, "status"), Created: drawDay(t, "created"),
		CreatedBasis: rapid.SampledFrom([]*data.Basis{nil, new(data.BasisSource)}).Draw(t, "basis"), CommitmentEnd: drawDay(t, "end"),
		AutoRenew: drawBool(t, "auto"), RenewedAt: drawDay(t, "renewed"), EndedAt: drawDay(t, "ended"), Trial: drawBool(t, "trial"),
		FirstUsage: drawDay(t, "first"), LastUsage: drawDay(t, "last"),
	}
}

func drawCustomer(t *rapid.T) data.Customer {
	return data.Customer{CustomerID: data.CustomerID(drawText(t, "id")), Name: data.Optional(drawText(t, "name")), Domain: data.Optional(drawText(t, "domain")),
		Country: data.Optional(drawText(t, "country")), FirstSeen: drawDay(t, "seen"), Contact: data.Optional(drawText(t, "contact")),
		Phone: data.Optional(drawText(t, "phone")), Email: data.Optional(drawText(t, "email")), Source: "tables"}
}

func TestInventory_WhatIsWrittenIsReadBack(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t, NewMemory())
		customers := rapid.SliceOfNDistinct(rapid.Custom(drawCustomer), 0, 20, func(c data.Customer) string { return string(c.CustomerID) }).Draw(rt, "customers")
		subscriptions := rapid.SliceOfNDistinct(rapid.Custom(drawSubscription), 0, 20, func(s data.Subscription) string { return string(s.SubscriptionID) }).Draw(rt, "subscriptions")
		commit := func(run string) (c, s Committed) {
			r, err := f.arc.Begin(ctx, RunInfo{ID: run})
			if err == nil {
				c, err = r.CommitCustomers(ctx, 20000, customers, Delivery{Source: "tables"})
			}
			if err == nil {
				s, err = r.CommitSubscriptions(ctx, 20000, subscriptions, Delivery{Source: "tables"})
			}
			if err == nil {
				_, err = r.Finish(ctx)
			}
			if err != nil {
				rt.Fatal(err)
			}
			return c, s
		}
		commit("one")
		v, err := f.arc.View(ctx, nil)
		if err != nil {
			rt.Fatal(err)
		}
		gotC, gotS := map[data.CustomerID]data.Customer{}, map[data.SubscriptionID]data.Subscription{}
		for c, err := range v.Customers(ctx) {
			if err != nil {
				rt.Fatal(err)
			}
			gotC[c.CustomerID] = c
		}
		for s, err := range v.Subscriptions(ctx) {
			if err != nil {
				rt.Fatal(err)
			}
			gotS[s.SubscriptionID] = s
		}
		wantC, wantS := map[data.CustomerID]data.Customer{}, map[data.SubscriptionID]data.Subscription{}
		for _, c := range customers {
			wantC[c.CustomerID] = c
		}
		for _, s := range subscriptions {
			wantS[s.SubscriptionID] = s
		}
		if diff := cmp.Diff(gotC, wantC) + cmp.Diff(gotS, wantS); diff != "" {
			rt.Fatalf("read back (-got +want):\n%s", diff)
		}
		f.mem.AssertSize(t, 0)
		if c, s := commit("two"); c.Changed || s.Changed {
			rt.Fatalf("the same inventory again committed %+v and %+v", c, s)
		}
	})
}

func TestCommitCustomers_AChangedInventoryReplacesTheDay(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t, NewDir(t.TempDir()))
	for i := range 3 {
		r, err := f.arc.Begin(ctx, RunInfo{ID: fmt.Sprint("run", i)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.CommitCustomers(ctx, 20000, []data.Customer{{CustomerID: "c", Name: new(fmt.Sprint("name ", i)), Source: "tables"}}, Delivery{Source: "tables"}); err != nil {
			t.Fatal(err)
		}
		record, err := r.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if (record.Previous == nil) != (i == 0) {
			t.Errorf("run %d names the run before it: %v", i, record.Previous)
		}
	}
	v, err := f.arc.View(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if parts := v.Parts(Customers); len(parts) != 1 || v.Versions()[Customers] != 2 {
		t.Errorf("%d active files at version %d, want 1 at 2", len(parts), v.Versions()[Customers])
	}
	for c, err := range v.Customers(ctx) {
		if err != nil || *c.Name != "name 2" {
			t.Errorf("customer %v, %v", *c.Name, err)
		}
	}
}
