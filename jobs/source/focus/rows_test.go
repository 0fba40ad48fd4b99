package focus

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
)

const kindsHeader = "ChargePeriodStart,BilledCost,EffectiveCost,BillingCurrency,BillingAccountId,ProviderName,ChargeCategory,ChargeClass,CommitmentDiscountStatus," +
	"ConsumedQuantity,PublisherName,SubAccountId,x_CustomerId,x_SkuMeterCategory,ServiceCategory,x_PartnerCreditApplied,x_PartnerCreditRate\n"

// TestUsage_EveryKindOfCharge has, for each kind of row of an export, the row and
// what it must become, computed by hand.
func TestUsage_EveryKindOfCharge(t *testing.T) {
	const scope = "/providers/microsoft.billing/billingaccounts/00-aa:bb/customers/cust-9"
	sub := new(data.SubscriptionID("s1"))
	for name, c := range map[string]struct {
		cells string // after day and before x_CustomerId's default
		want  data.Usage
	}{
		"metered usage that earns a credit": {
			"1.84,1.84,EUR,acc,Microsoft,Usage,,,23.5,Microsoft,/subscriptions/S1,c1,Virtual Machines,Compute,1,0.15",
			data.Usage{SubscriptionID: sub, Category: "Virtual Machines", ChargeCategory: data.ChargeUsage, Quantity: dec("23.5"), Cost: dec("1.84"), EffectiveCost: dec("1.84"),
				PartnerCreditApplied: new(true), PartnerCreditRate: dec("0.15")}},
		"usage that a savings plan covers": {
			"0,1.2,EUR,acc,Microsoft,Usage,,Used,4,Microsoft,/subscriptions/S1,c1,Virtual Machines,Compute,false,",
			data.Usage{SubscriptionID: sub, Category: "Virtual Machines", ChargeCategory: data.ChargeUsage, Quantity: dec("4"), Cost: dec("0"), EffectiveCost: dec("1.2"),
				PartnerCreditApplied: new(false)}},
		"an unused reservation": {
			"0,0.37,EUR,acc,Microsoft,Usage,,Unused,,,,c1,,Compute,,",
			data.Usage{Category: "Compute", ChargeCategory: data.ChargeUsage, Cost: dec("0"), EffectiveCost: dec("0.37")}},
		"an unused reservation that states its hours": {
			"0,0.37,EUR,acc,Microsoft,Usage,,unused,24,,,c1,,Compute,,",
			data.Usage{Category: "Compute", ChargeCategory: data.ChargeUsage, Cost: dec("0"), EffectiveCost: dec("0.37")}},
		"the purchase of a reservation": {
			"42,0,EUR,acc,Microsoft,Purchase,,,,,,c1,,Compute,0,0",
			data.Usage{Category: "Compute", ChargeCategory: data.ChargePurchase, Cost: dec("42"), EffectiveCost: dec("0"), PartnerCreditApplied: new(false), PartnerCreditRate: dec("0")}},
		"its refund": {
			"-42,0,EUR,acc,Microsoft,Purchase,,,,,00000000-0000-0000-0000-000000000000,c1,,Compute,,",
			data.Usage{Category: "Compute", ChargeCategory: data.ChargePurchase, Cost: dec("-42"), EffectiveCost: dec("0")}},
		"a marketplace charge": {
			"10,10,EUR,acc,Microsoft,Usage,,,1,\"Contoso, Inc.\",/subscriptions/S1,c1,SaaS,Other,False,",
			data.Usage{SubscriptionID: sub, Category: "SaaS", ChargeCategory: data.ChargeUsage, Quantity: dec("1"), Cost: dec("10"), EffectiveCost: dec("10"), PartnerCreditApplied: new(false)}},
		"a credit": {
			"-1.25,-1.25,EUR,acc,Microsoft,Credit,,,,,,c1,,Other,,",
			data.Usage{Category: "Other", ChargeCategory: data.ChargeCredit, Cost: dec("-1.25"), EffectiveCost: dec("-1.25")}},
		"the correction of an earlier month": {
			"-0.07,-0.07,EUR,acc,Microsoft,Usage,Correction,,-1,Microsoft,/subscriptions/S1,c1,Storage,Storage,TRUE,15%",
			data.Usage{SubscriptionID: sub, Category: "Storage", ChargeCategory: data.ChargeUsage, Quantity: dec("-1"), Cost: dec("-0.07"), EffectiveCost: dec("-0.07"),
				PartnerCreditApplied: new(true), PartnerCreditRate: dec("0.15")}},
		"tax": {
			"0.21,0.21,EUR,acc,Microsoft,Tax,,,,,,c1,,Other,,",
			data.Usage{Category: "Other", ChargeCategory: data.ChargeTax, Cost: dec("0.21"), EffectiveCost: dec("0.21")}},
		"rounding": {
			"0.01,0.01,EUR,acc,Microsoft,Adjustment,,,,,,c1,,Other,,15",
			data.Usage{Category: "Other", ChargeCategory: data.ChargeAdjustment, Cost: dec("0.01"), EffectiveCost: dec("0.01"), PartnerCreditRate: dec("0.15")}},
		"a row that names no customer belongs to that of the export": {
			"3,3,EUR,acc,Microsoft,Purchase,,,,,,,,Compute,,",
			data.Usage{CustomerID: "cust-9", Category: "Compute", ChargeCategory: data.ChargePurchase, Cost: dec("3"), EffectiveCost: dec("3")}},
	} {
		t.Run(name, func(t *testing.T) {
			got := read(t, Options{Path: folder(t, map[string]string{
				"x/part.csv":      kindsHeader + "2026-02-09T00:00:00Z," + c.cells + "\n",
				"x/manifest.json": strings.Replace(manifestText("e", "2026-02-10T04:00:00Z", 1, "part.csv"), "/x/exports/e", scope+exportsBelow+"e", 1)})}, nil)
			want := c.want
			want.Day, want.Currency, want.BillingPeriod, want.Origin.Scope = date("2026-02-09"), "EUR", new("2026-02"), scope
			if want.CustomerID == "" {
				want.CustomerID = "c1"
			}
			if diff := cmp.Diff([]data.Usage{want}, got.rows); diff != "" || got.err != nil || got.tally.Warnings != nil {
				t.Errorf("%v, %v, %v; want -, got +:\n%s", got.err, got.bad, got.tally.Warnings, diff)
			}
		})
	}
}

func TestUsage_AnUnknownFormOfTheCreditIsToldOnce(t *testing.T) {
	line := "2026-02-09T00:00:00Z,1,1,EUR,acc,Microsoft,Usage,,,1,Microsoft,/subscriptions/S1,c1,Storage,Storage,Applied,fifteen\n"
	got := read(t, Options{Path: folder(t, map[string]string{"a.csv": kindsHeader + line + line})}, nil)
	if len(got.rows) != 2 || len(got.bad) > 0 || got.rows[0].PartnerCreditApplied != nil || got.rows[0].PartnerCreditRate != nil || len(got.tally.Warnings) != 2 {
		t.Errorf("%d rows, %v, warnings %q", len(got.rows), got.bad, got.tally.Warnings)
	}
}
