//go:build shareddata

package focus

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/datatest"
)

// sharedFolder returns the folder with the FOCUS sample (FinOps Foundation, CC
// BY 4.0), which is not part of the repository: TIDEMARK_SHARED_DATA, else
// ../shared/data beside the repository.
func sharedFolder(t testing.TB) string {
	t.Helper()
	root := os.Getenv("TIDEMARK_SHARED_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "focus")
	if _, err := os.Stat(filepath.Join(dir, "focus_sample.csv")); err != nil {
		t.Fatalf("%v: set TIDEMARK_SHARED_DATA to the folder that holds focus/focus_sample.csv, or test without -tags shareddata", err)
	}
	return dir
}

func TestSample_EveryProvider(t *testing.T) {
	got := read(t, Options{Path: sharedFolder(t), Providers: []string{"all"}, Lenient: true}, nil)
	if got.err != nil || len(got.bad) > 0 || got.tally.LeftOut != nil || got.tally.Rounded > 0 {
		t.Fatalf("%v, %d bad, left out %v, %d rounded", got.err, len(got.bad), got.tally.LeftOut, got.tally.Rounded)
	}
	accounts := map[string]int{}
	cost := map[string]data.Decimal{}
	var effective, quantity data.Decimal
	quantities := 0
	for _, r := range got.rows {
		accounts[r.Origin.Scope]++
		if r.ChargeCategory != data.ChargeTax {
			cost[r.Category], _ = cost[r.Category].Add(*r.Cost)
			effective, _ = effective.Add(*r.EffectiveCost)
		}
		if r.Quantity != nil {
			quantity, _ = quantity.Add(*r.Quantity)
			quantities++
		}
		if r.CostUSD == nil || *r.CostUSD != *r.Cost {
			t.Errorf("a row in USD has the cost %s and in USD %v", r.Cost, r.CostUSD)
		}
	}
	wantAccounts := map[string]int{"1234567890123": 942, "/providers/microsoft.billing/billingaccounts/8611537": 51, "20209880": 7}
	if diff := cmp.Diff(wantAccounts, accounts); diff != "" {
		t.Errorf("rows by account: want -, got +:\n%s", diff)
	}
	// Computed by Python's decimal: the sum of BilledCost by ServiceCategory of
	// every row whose ChargeCategory is not Tax.
	checkCosts(t, cost, map[string]string{
		"AI and Machine Learning": "-0.15189756178", "Compute": "17.56473934470", "Databases": "1.12763032714", "Identity": "0.00416666670",
		"Integration": "0.00008580060", "Management and Governance": "0.22020958380", "Networking": "0.49177673460", "Other": "0.46277298090",
		"Security": "0.00894444450", "Storage": "0.79179840783",
	})
	// Likewise the sums of EffectiveCost, and of ConsumedQuantity over the 999
	// rows that have one.
	if effective != *dec("14.97651418586") || quantities != 999 || quantity != *dec("13438.712904456820057") {
		t.Errorf("effective cost %s, quantity %s of %d rows", effective, quantity, quantities)
	}
}

func checkCosts(t *testing.T, got map[string]data.Decimal, want map[string]string) {
	t.Helper()
	sums := map[string]data.Decimal{}
	for category, s := range want {
		sums[category] = *dec(s)
	}
	if diff := cmp.Diff(sums, got); diff != "" {
		t.Errorf("cost by category: want -, got +:\n%s", diff)
	}
}

func TestSample_MicrosoftByDefault(t *testing.T) {
	got := read(t, Options{Path: sharedFolder(t), Lenient: true}, nil)
	if diff := cmp.Diff(map[string]int64{"provider AWS": 942, "provider Oracle": 7}, got.tally.LeftOut); diff != "" {
		t.Errorf("left out: want -, got +:\n%s", diff)
	}
	cost := map[string]data.Decimal{}
	subscriptions := map[data.SubscriptionID]bool{}
	for _, r := range got.rows {
		cost[r.Category], _ = cost[r.Category].Add(*r.Cost)
		subscriptions[*r.SubscriptionID] = true
		if len(*r.SubscriptionID) != 36 || *r.BillingPeriod != "2024-09" || *r.Origin.CustomerName != "SunBird" || r.CustomerID != "/providers/microsoft.billing/billingaccounts/8611537" {
			t.Errorf("row %+v", r)
		}
	}
	if len(got.rows) != 51 || got.tally.Read != 51 || len(got.bad) > 0 || len(subscriptions) != 4 {
		t.Errorf("%d rows of %d subscriptions, %d read, %d bad", len(got.rows), len(subscriptions), got.tally.Read, len(got.bad))
	}
	// Computed by Python's decimal, as above, over the rows of Microsoft.
	checkCosts(t, cost, map[string]string{"AI and Machine Learning": "-0.15189756178", "Compute": "1.75656109020", "Databases": "0.37096774194", "Storage": "0.00088291550"})
}

func TestSample_StrictSaysWhatLenientAccepts(t *testing.T) {
	got := read(t, Options{Path: sharedFolder(t)}, nil)
	if len(got.rows) != 0 || len(got.bad) != 51 || got.tally.LeftOut["provider AWS"] != 942 {
		t.Errorf("%d rows, %d bad, left out %v", len(got.rows), len(got.bad), got.tally.LeftOut)
	}
}

func TestSample_KeepsTheContract(t *testing.T) {
	datatest.TestSource(t, func(t *testing.T) data.UsageSource {
		s, err := New(Options{Path: sharedFolder(t), Providers: []string{"all"}, Lenient: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
