package archive

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// hostile are texts that break what is not careful.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "A", "\x00", "a\x00", "a\x00\x01", "\x01", "a\r\nb", "\\N", "\t", "=cmd()", "<script>", "\u2028", "ä", "a\u0308",
			"\U0010ffff", strings.Repeat("\uffff", 40), strings.Repeat("x", 200), `"self":""`, "../../etc", "%2F", "null"}),
		rapid.String(),
	)
}

func id() *rapid.Generator[string] { return rapid.SampledFrom([]string{"c1", "c2", "c3", "\x00", ""}) }

func optional[T any](t *rapid.T, g *rapid.Generator[T], name string) *T {
	if rapid.Bool().Draw(t, name+"?") {
		return new(g.Draw(t, name))
	}
	return nil
}

// decimals of every size; extreme ones only where they are not added up.
func anyDecimal(extreme bool) *rapid.Generator[data.Decimal] {
	return rapid.Custom(func(t *rapid.T) data.Decimal {
		digits := rapid.StringMatching(`-?[0-9]{1,17}(\.[0-9]{1,18})?`).Draw(t, "digits")
		if extreme {
			digits = rapid.SampledFrom([]string{digits, "99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999",
				"0", "-0.000000000000000001", "0.000000000000000001", "18446744073709551616"}).Draw(t, "extreme")
		}
		d, _, err := data.ParseDecimal(digits)
		if err != nil {
			t.Fatal(err)
		}
		return d
	})
}

func anyUsage() *rapid.Generator[data.Usage] {
	return rapid.Custom(func(t *rapid.T) data.Usage {
		text := hostile().Filter(func(s string) bool { return s != "" })
		return data.Usage{
			Day: data.Day(rapid.Int32Range(20000, 20003).Draw(t, "day")), CustomerID: data.CustomerID(id().Draw(t, "customer")),
			SubscriptionID: optional(t, rapid.Map(id(), func(s string) data.SubscriptionID { return data.SubscriptionID(s) }), "subscription"),
			Category:       hostile().Draw(t, "category"), Service: optional(t, hostile(), "service"), MeterID: optional(t, id(), "meter"),
			Region: optional(t, hostile(), "region"), Unit: optional(t, hostile(), "unit"),
			Currency:       rapid.SampledFrom([]string{"EUR", "USD"}).Draw(t, "currency"),
			ChargeCategory: rapid.SampledFrom([]data.ChargeCategory{data.ChargeUsage, data.ChargeTax}).Draw(t, "charge"),
			BillingPeriod:  optional(t, text, "billing"), Quantity: optional(t, anyDecimal(true), "quantity"),
			Cost: optional(t, anyDecimal(false), "cost"), EffectiveCost: optional(t, anyDecimal(false), "effective"),
			CostUSD: optional(t, anyDecimal(false), "usd"), PartnerCreditApplied: optional(t, rapid.Bool(), "credit"),
			PartnerCreditRate: optional(t, anyDecimal(true), "rate"),
		}
	})
}

// rapidFixture is an archive for one check of a property.
func rapidFixture(t *testing.T, o Options) *Archive {
	c := newClock()
	o.Now, o.Producer, o.TempDir = c.now, "tidemark test", t.TempDir()
	a, err := Open(context.Background(), NewMemory(), o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func stageAll(t rapid.TB, a *Archive, runID string, rows []data.Usage) *Run {
	r, err := a.Begin(context.Background(), RunInfo{ID: runID})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := r.AddUsage(row, Feed{"tables", "", row.Currency}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// newest reads the newest usage, whether it was rolled up or not.
func newest(t rapid.TB, a *Archive, table Table) *View {
	s, err := a.refresh(context.Background(), table)
	if err != nil {
		t.Fatal(err)
	}
	return &View{a, map[Table]*state{table: s}}
}

func TestUsage_WriteThenReadIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(anyUsage(), 0, 30).Draw(rt, "rows")
		var parts [2][]Part
		for i, buffer := range []int{0, rapid.IntRange(1, 9).Draw(rt, "buffer")} {
			a := rapidFixture(t, Options{BufferRows: buffer})
			r := stageAll(rt, a, "run", rows)
			r.usage.fanIn = 3
			if _, err := r.CommitUsage(context.Background(), Delivery{Source: "tables", Days: data.Period{From: 20000, To: 20003}}); err != nil {
				rt.Fatal(err)
			}
			if err := r.Abort(); err != nil {
				rt.Fatal(err)
			}
			v := newest(rt, a, UsageTable)
			got := sorted(dump(t, v.Scan(context.Background(), UsageTable, allDays)))
			want := sorted(expect("usage_date", func(u data.Usage) data.Day { return u.Day }, rows))
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("buffer %d (-want +got):\n%s", buffer, diff)
			}
			parts[i] = v.Parts(UsageTable)
		}
		// Spilled or not, the files are the same to the last byte.
		if diff := cmp.Diff(parts[0], parts[1]); diff != "" {
			rt.Fatalf("parts (-in memory +spilled):\n%s", diff)
		}
	})
}

func TestInventory_WriteThenReadIsTheIdentity(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		anyDay := rapid.Map(rapid.Int32Range(-700000, 2900000), func(n int32) data.Day { return data.Day(n) })
		customers := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) data.Customer {
			return data.Customer{CustomerID: data.CustomerID(hostile().Draw(t, "id")), Name: optional(t, hostile(), "name"),
				Domain: optional(t, hostile(), "domain"), Country: optional(t, hostile(), "country"), FirstSeen: optional(t, anyDay, "first"),
				Contact: optional(t, hostile(), "contact"), Phone: optional(t, hostile(), "phone"), Email: optional(t, hostile(), "email"),
				Source: hostile().Draw(t, "source")}
		}), 0, 20, func(c data.Customer) data.CustomerID { return c.CustomerID }).Draw(rt, "customers")
		subscriptions := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) data.Subscription {
			return data.Subscription{SubscriptionID: data.SubscriptionID(hostile().Draw(t, "id")), CustomerID: data.CustomerID(hostile().Draw(t, "customer")),
				PlanID: optional(t, hostile(), "plan"), Name: optional(t, hostile(), "name"), Offer: optional(t, hostile(), "offer"),
				Status: rapid.SampledFrom([]data.Status{"", data.StatusActive, data.StatusExpired}).Draw(t, "status"), Created: optional(t, anyDay, "created"),
				CreatedBasis:  optional(t, rapid.SampledFrom([]data.Basis{data.BasisPlan, data.BasisSource}), "basis"),
				CommitmentEnd: optional(t, anyDay, "end"), AutoRenew: optional(t, rapid.Bool(), "renew"), RenewedAt: optional(t, anyDay, "renewed"),
				EndedAt: optional(t, anyDay, "ended"), Trial: optional(t, rapid.Bool(), "trial"), FirstUsage: optional(t, anyDay, "fu"), LastUsage: optional(t, anyDay, "lu")}
		}), 0, 20, func(s data.Subscription) data.SubscriptionID { return s.SubscriptionID }).Draw(rt, "subscriptions")
		a := rapidFixture(t, Options{})
		r := stageAll(rt, a, "run", nil)
		if _, err := r.CommitCustomers(context.Background(), 9, customers, Delivery{Source: "tables"}); err != nil {
			rt.Fatal(err)
		}
		if _, err := r.CommitSubscriptions(context.Background(), 9, subscriptions, Delivery{Source: "tables"}); err != nil {
			rt.Fatal(err)
		}
		v, err := a.View(context.Background(), nil)
		if err != nil {
			rt.Fatal(err)
		}
		want := sorted(expect("snapshot_date", func(data.Customer) data.Day { return 9 }, customers))
		if diff := cmp.Diff(want, sorted(dump(t, v.Scan(context.Background(), Customers, allDays)))); diff != "" {
			rt.Fatalf("customers (-want +got):\n%s", diff)
		}
		want = sorted(expect("snapshot_date", func(data.Subscription) data.Day { return 9 }, subscriptions))
		if diff := cmp.Diff(want, sorted(dump(t, v.Scan(context.Background(), Subscriptions, allDays)))); diff != "" {
			rt.Fatalf("subscriptions (-want +got):\n%s", diff)
		}
		i := 0
		slices.SortFunc(customers, func(a, b data.Customer) int { return strings.Compare(string(a.CustomerID), string(b.CustomerID)) })
		for c, err := range v.Customers(context.Background()) {
			if diff := cmp.Diff(customers[i], c); diff != "" || err != nil {
				rt.Fatalf("customer row (-want +got):\n%s%v", diff, err)
			}
			i++
		}
		if i != len(customers) {
			rt.Fatalf("%d customers, want %d", i, len(customers))
		}
	})
}

// TestKey_OrderIsTheOrderOfTheRows compares with an order written down
// separately: nulls first, texts by bytes, numbers by value.
func TestKey_OrderIsTheOrderOfTheRows(t *testing.T) {
	a := rapidFixture(t, Options{})
	optText := func(a, b *string) int {
		switch {
		case a == nil || b == nil:
			return boolInt(a != nil) - boolInt(b != nil)
		}
		return strings.Compare(*a, *b)
	}
	rapid.Check(t, func(rt *rapid.T) {
		x, y := anyUsage().Draw(rt, "x"), anyUsage().Draw(rt, "y")
		if rapid.Bool().Draw(rt, "alike") {
			service, quantity := y.Service, y.Quantity
			y = x
			y.Service, y.Quantity = service, quantity
		}
		want := strings.Compare(string(x.CustomerID), string(y.CustomerID))
		if want == 0 {
			want = optText((*string)(x.SubscriptionID), (*string)(y.SubscriptionID))
		}
		if want == 0 {
			want = strings.Compare(x.Category, y.Category)
		}
		if want == 0 {
			want = optText(x.MeterID, y.MeterID)
		}
		if want == 0 {
			want = optText(x.Service, y.Service)
		}
		for _, pair := range [][2]*string{{x.Region, y.Region}, {x.Unit, y.Unit}, {&x.Currency, &y.Currency},
			{(*string)(&x.ChargeCategory), (*string)(&y.ChargeCategory)}, {x.BillingPeriod, y.BillingPeriod}} {
			if want == 0 {
				want = optText(pair[0], pair[1])
			}
		}
		for _, pair := range [][2]*data.Decimal{{x.Quantity, y.Quantity}, {x.Cost, y.Cost}, {x.EffectiveCost, y.EffectiveCost}, {x.CostUSD, y.CostUSD}} {
			if want != 0 {
				break
			}
			if pair[0] == nil || pair[1] == nil {
				want = boolInt(pair[0] != nil) - boolInt(pair[1] != nil)
			} else {
				want = pair[0].Cmp(*pair[1])
			}
		}
		kx, errX := encodeRow(nil, a.layouts[UsageTable], codeUsage, &x)
		ky, errY := encodeRow(nil, a.layouts[UsageTable], codeUsage, &y)
		if errX != nil || errY != nil {
			rt.Fatal(errX, errY)
		}
		if got := bytes.Compare(kx, ky); got != want {
			rt.Fatalf("keys compare as %d, rows as %d", got, want)
		}
		x.Day = 0
		if diff := cmp.Diff(x, newDecoder(codeUsage).row(kx)); diff != "" {
			rt.Fatalf("decoded (-want +got):\n%s", diff)
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestSorter_SortsWhateverIsSpilled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOf(rapid.Map(rapid.StringN(0, 6, -1), func(s string) []byte { return []byte(s) })).Draw(rt, "keys")
		s := newSorter(func() (string, error) { return t.TempDir(), nil }, rapid.IntRange(1, 10).Draw(rt, "limit"))
		s.fanIn = rapid.IntRange(1, 4).Draw(rt, "fan-in")
		for _, k := range keys {
			if err := s.add(slices.Clone(k)); err != nil {
				rt.Fatal(err)
			}
		}
		slices.SortFunc(keys, bytes.Compare)
		for range 2 { // it may be read again
			i := 0
			for k, err := range s.sorted() {
				if err != nil || !bytes.Equal(k, keys[i]) {
					rt.Fatalf("key %d = %q, %v, want %q", i, k, err, keys[i])
				}
				i++
			}
			if i != len(keys) {
				rt.Fatalf("%d keys, want %d", i, len(keys))
			}
		}
		if err := s.close(); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestStats_BoundsHoldForEveryText(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.OneOf(hostile(), rapid.StringN(30, 40, -1), rapid.Map(rapid.IntRange(0, 40), func(n int) string {
			return strings.Repeat("\U0010ffff", n) + "x"
		})).Draw(rt, "text")
		low := lowest(s)
		if low > s || utf8.RuneCountInString(low) > 32 {
			rt.Fatalf("minimum of %q = %q", s, low)
		}
		high, ok := highest(s)
		if ok && (high < s || utf8.RuneCountInString(high) > 32 || !utf8.ValidString(high)) {
			rt.Fatalf("maximum of %q = %q", s, high)
		}
		if !ok && !strings.HasPrefix(s, strings.Repeat("\U0010ffff", 32)) {
			rt.Fatalf("%q has no maximum", s)
		}
	})
}

func TestFeed_TextIsUnambiguous(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.OneOf(rapid.SampledFrom([]string{"", "/", "%", "%2F", "a/b"}), rapid.String())
		x := Feed{part.Draw(rt, "source"), part.Draw(rt, "scope"), part.Draw(rt, "currency")}
		back, err := ParseFeed(x.String())
		if err != nil || back != x {
			rt.Fatalf("%q reads back as %+v, %v", x.String(), back, err)
		}
	})
	for _, bad := range []string{"", "a/b", "a/b/c/d", "a/%/c"} {
		if f, err := ParseFeed(bad); err == nil {
			t.Errorf("ParseFeed(%q) = %+v, want an error", bad, f)
		}
	}
}

func TestSums_OverflowIsAnErrorNotANumber(t *testing.T) {
	f := newFixture(t, NewMemory())
	r := f.begin()
	huge := row("2026-11-20", "a", "99999999999999999999")
	f.stage(r, "tables", huge, huge)
	_, err := r.CommitUsage(t.Context(), Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")})
	if err == nil || !strings.Contains(err.Error(), "sum of cost in EUR") {
		t.Errorf("commit: %v", err)
	}
	if got := keysIn(t, f.bucket, ""); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

func TestFiles_EqualRowsGiveEqualBytes(t *testing.T) {
	rows := []data.Usage{row("2026-11-20", "a", "1"), row("2026-11-20", "b", "2"), row("2026-11-20", "c", "-3.25")}
	var sums []string
	for range 3 {
		rows = append(rows[1:], rows[0])
		f := newFixture(t, NewMemory())
		f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, rows...)
		sums = append(sums, f.view().Parts(UsageTable)[0].SHA256)
	}
	if sums[0] != sums[1] || sums[1] != sums[2] {
		t.Errorf("hashes of equal rows: %v", sums)
	}
}

func TestDecimal_ExtremesSurvive(t *testing.T) {
	f := newFixture(t, NewMemory())
	var rows []data.Usage
	for i, s := range []string{"99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999", "0", "-0.000000000000000001"} {
		u := row("2026-11-20", fmt.Sprint(i), "0")
		u.Quantity, u.Cost = dec(s), nil
		rows = append(rows, u)
	}
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, rows...)
	want := []string{"99999999999999999999999999999999999999", "-99999999999999999999999999999999999999", "0", "-1"}
	for i, line := range dump(t, f.view().Scan(t.Context(), UsageTable, allDays, "quantity")) {
		if line != "quantity="+want[i]+" " {
			t.Errorf("row %d: %s, want %s", i, line, want[i])
		}
	}
	if n := decimal128.FromI64(math.MinInt64); n.Sign() >= 0 {
		t.Error("the oracle's numbers have no sign")
	}
}
