package sample

import (
	"bytes"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
	"tidemark/data/datatest"
)

func day(t testing.TB, s string) data.Day {
	t.Helper()
	d, err := data.ParseDay(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func usage(t testing.TB, s *Source, want *data.Period) []data.Usage {
	t.Helper()
	var rows []data.Usage
	for row, err := range s.Usage(t.Context(), want, new(data.Tally)) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func customers(t testing.TB, s *Source) map[data.CustomerID]data.Customer {
	t.Helper()
	all := map[data.CustomerID]data.Customer{}
	for row, err := range s.Customers(t.Context(), new(data.Tally)) {
		if err != nil {
			t.Fatal(err)
		}
		all[row.CustomerID] = row
	}
	return all
}

func subscriptions(t testing.TB, s *Source) []data.Subscription {
	t.Helper()
	var all []data.Subscription
	for row, err := range s.Subscriptions(t.Context(), new(data.Tally)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

func TestSource_KeepsTheContract(t *testing.T) {
	for name, late := range map[string]bool{"on time": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			datatest.TestSource(t, func(t *testing.T) data.UsageSource {
				return open(t, Options{To: day(t, "2026-11-15"), Customers: 12, Subscriptions: 30, Late: late})
			})
		})
	}
}

func TestNew_RefusesWhatMakesNoPartner(t *testing.T) {
	to := day(t, "2026-11-15")
	for name, o := range map[string]Options{
		"no last day":            {},
		"fewer than no customer": {To: to, Customers: -1},
		"fewer than none":        {To: to, Subscriptions: -1},
		"first day after last":   {To: to, From: to + 1},
	} {
		if s, err := New(o); err == nil {
			t.Errorf("%s: New gives %v", name, s)
		}
	}
}

func TestSource_SeedsDiffer(t *testing.T) {
	to := day(t, "2026-11-15")
	one := usage(t, open(t, Options{To: to, From: to}), nil)
	if diff := cmp.Diff(one, usage(t, open(t, Options{To: to, From: to, Seed: 1}), nil)); diff != "" {
		t.Errorf("seed 0 is not seed 1:\n%s", diff)
	}
	if cmp.Equal(one, usage(t, open(t, Options{To: to, From: to, Seed: 2}), nil)) {
		t.Errorf("seeds 1 and 2 give the same rows")
	}
}

// activity is what a person who looks at a calendar of used days would note.
type activity struct {
	used map[data.Day]bool
	last data.Day
}

func activities(rows []data.Usage, until data.Day) map[data.SubscriptionID]*activity {
	all := map[data.SubscriptionID]*activity{}
	for _, r := range rows {
		if r.SubscriptionID == nil || r.Day > until || r.ChargeCategory != data.ChargeUsage || r.Quantity == nil || r.Quantity.Sign() <= 0 {
			continue
		}
		a := all[*r.SubscriptionID]
		if a == nil {
			a = &activity{used: map[data.Day]bool{}}
			all[*r.SubscriptionID] = a
		}
		a.used[r.Day] = true
		a.last = max(a.last, r.Day)
	}
	return all
}

func (a *activity) days(from, to data.Day) int {
	n := 0
	for d := range a.used {
		if from <= d && d <= to {
			n++
		}
	}
	return n
}

func TestStory_IsToldAtTheDefaultSize(t *testing.T) {
	for seed := range int64(10) {
		to := day(t, "2026-11-15")
		s := open(t, Options{Seed: seed, To: to})
		until := to - 3
		acts := activities(usage(t, s, nil), until)
		var alarming, silent, active, suspended, back int
		for _, sub := range subscriptions(t, s) {
			a := acts[sub.SubscriptionID]
			if sub.EndedAt != nil && *sub.EndedAt > to-10 && *sub.EndedAt <= until {
				suspended++
			}
			if sub.Status != data.StatusActive {
				continue
			}
			switch {
			case a == nil || a.last <= until-28:
				silent++
				continue
			case a.last <= until-7 && a.days(a.last-27, a.last) >= 20:
				alarming++
			case a.last > until-7 && a.days(until-13, until-8) == 0 && a.days(until-60, until-30) >= 18:
				back++
			}
			active++
		}
		if alarming < 3 || alarming > 6 || active < 60 || silent < 5 || suspended < 2 || back < 2 {
			t.Errorf("seed %d: of %d active subscriptions %d stopped suddenly and %d came back; %d without usage, %d ended in the week",
				seed, active, alarming, back, silent, suspended)
		}
	}
}

func TestStory_HeroStopsNineDaysBeforeItsDay(t *testing.T) {
	to := day(t, "2026-11-15")
	s := open(t, Options{To: to})
	var hero data.Customer
	for _, c := range customers(t, s) {
		if *c.Name == "Noordzee Logistiek" {
			hero = c
		}
	}
	if hero.Phone == nil || *hero.Phone != "010 555 01 23" || hero.Contact == nil {
		t.Errorf("hero = %+v", hero)
	}
	acts := activities(usage(t, s, nil), to)
	month := data.Decimal{}
	for _, r := range usage(t, s, &data.Period{From: to - 39, To: to - 10}) {
		if r.CustomerID == hero.CustomerID && r.ChargeCategory == data.ChargeUsage {
			month, _ = month.Add(*r.Cost)
		}
	}
	if month.Cmp(data.DecimalFromInt(2600)) < 0 || month.Cmp(data.DecimalFromInt(2900)) > 0 {
		t.Errorf("the hero's last 30 days cost %s EUR, want about 2750", month)
	}
	owned := 0
	for _, sub := range subscriptions(t, s) {
		if sub.CustomerID != hero.CustomerID {
			continue
		}
		owned++
		a := acts[sub.SubscriptionID]
		if got := a.days(to-9-56, to-10); got != 56 || a.last != to-10 {
			t.Errorf("%s: used on %d of 56 days, last on %s, want each of them and %s", *sub.Name, got, a.last, to-10)
		}
	}
	if owned != 2 {
		t.Errorf("the hero has %d subscriptions, want 2", owned)
	}
}

func TestUsage_HasEveryKindOfCharge(t *testing.T) {
	rows := usage(t, open(t, Options{To: day(t, "2026-11-15")}), nil)
	seen := map[string]int{}
	for _, r := range rows {
		seen[string(r.ChargeCategory)]++
		seen[r.Currency]++
		if r.SubscriptionID == nil {
			seen["of the customer only"]++
		}
		if r.Cost.Sign() < 0 {
			seen["negative"]++
		}
		if r.CostUSD != nil {
			seen["with cost_usd"]++
		}
		if r.Cost.Cmp(*r.EffectiveCost) != 0 {
			seen["amortised"]++
		}
		if _, fraction, _ := strings.Cut(r.Cost.String(), "."); len(fraction) > 10 {
			seen["more than ten decimals"]++
		}
		if (r.Currency == "USD") != (r.CostUSD != nil) {
			t.Fatalf("currency %s with cost_usd %v", r.Currency, r.CostUSD)
		}
	}
	for _, kind := range []string{"usage", "purchase", "credit", "tax", "adjustment", "EUR", "USD", "GBP", "of the customer only", "negative",
		"with cost_usd", "amortised", "more than ten decimals"} {
		if seen[kind] == 0 {
			t.Errorf("no row is %s", kind)
		}
	}
	if 10*seen["EUR"] < 6*len(rows) {
		t.Errorf("%d of %d rows are in EUR, want most", seen["EUR"], len(rows))
	}
}

func TestInventory_HasEveryKindOfSubscription(t *testing.T) {
	to := day(t, "2026-11-15")
	s := open(t, Options{To: to})
	owners := customers(t, s)
	seen := map[string]int{}
	for _, sub := range subscriptions(t, s) {
		if _, found := owners[sub.CustomerID]; !found {
			t.Errorf("subscription %s belongs to nobody", sub.SubscriptionID)
		}
		seen[string(sub.Status)]++
		if (sub.EndedAt != nil) != sub.Status.Ended() {
			t.Errorf("status %s with ended_at %v", sub.Status, sub.EndedAt)
		}
		if sub.RenewedAt != nil && *sub.RenewedAt > to-17 && *sub.RenewedAt <= to {
			seen["renewed lately"]++
		}
		if sub.AutoRenew != nil && !*sub.AutoRenew && *sub.CommitmentEnd > to {
			seen["running out"]++
		}
		if *sub.Created > to-22 {
			seen["new"]++
		}
		if *sub.Created > to {
			t.Errorf("subscription %s is of the future", sub.SubscriptionID)
		}
	}
	for _, kind := range []string{"active", "suspended", "deprovisioned", "renewed lately", "running out", "new"} {
		if seen[kind] < 2 {
			t.Errorf("%d subscriptions are %s", seen[kind], kind)
		}
	}
	young := 0
	for _, c := range owners {
		if *c.FirstSeen > to-22 {
			young++
		}
	}
	if young < 1 || young > 6 {
		t.Errorf("%d of %d customers are new", young, len(owners))
	}
}

func TestNames_HoldEveryTrick(t *testing.T) {
	s := open(t, Options{To: day(t, "2026-11-15")})
	var all []string
	addressed := 0
	for _, c := range customers(t, s) {
		all = append(all, *c.Name)
		if c.Email != nil {
			addressed++
			if !strings.HasSuffix(*c.Email, ".example") || c.Phone == nil || c.Contact == nil {
				t.Errorf("contact of %q: %v %v", *c.Name, *c.Email, c.Phone)
			}
		}
		if !strings.HasSuffix(*c.Domain, ".example") {
			t.Errorf("domain %q", *c.Domain)
		}
	}
	for _, sub := range subscriptions(t, s) {
		all = append(all, *sub.Name)
	}
	text := strings.Join(all, "\n")
	for _, trick := range []string{"</script><script>alert(1)</script>", "=cmd|' /C calc'!A0", "Evil\r\nBcc: x@y.example", "__f__window.X=1__f__",
		"<!--<script>", "A$& {b} {c}", `"><img src=x onerror=alert(1)>`, "山田", "Ελλην", "شركة", "Производство", "🚀"} {
		if !strings.Contains(text, trick) {
			t.Errorf("no name holds %q", trick)
		}
	}
	longest := 0
	for _, name := range all {
		longest = max(longest, len([]rune(name)))
	}
	if longest < 190 {
		t.Errorf("the longest name has %d characters", longest)
	}
	if addressed != 10 {
		t.Errorf("%d of 40 customers have a contact, want 10", addressed)
	}
}

func TestNames_AreDistinctInLargePortfolios(t *testing.T) {
	s := open(t, Options{To: day(t, "2026-11-15"), Customers: 3000, Subscriptions: 6000})
	names := map[string]bool{}
	for _, c := range customers(t, s) {
		if names[*c.Name] {
			t.Fatalf("two customers are called %q", *c.Name)
		}
		names[*c.Name] = true
	}
}

func TestUsage_SourcesOfOneStoryAgreeOnSettledDays(t *testing.T) {
	from := day(t, "2026-07-19")
	rapid.Check(t, func(rt *rapid.T) {
		o := Options{From: from, Customers: 8, Subscriptions: 20, Late: rapid.Bool().Draw(rt, "late")}
		o.To = from + data.Day(rapid.IntRange(20, 160).Draw(rt, "to"))
		early := open(t, o)
		o.To += data.Day(rapid.IntRange(1, 10).Draw(rt, "later"))
		later := open(t, o)
		settled := data.Period{From: early.Settled() - 9, To: early.Settled()}
		if diff := cmp.Diff(usage(t, early, &settled), usage(t, later, &settled)); diff != "" {
			rt.Fatalf("settled days differ:\n%s", diff)
		}
		if later.Settled() < early.Settled() {
			rt.Fatalf("settled until %s, and later until %s", early.Settled(), later.Settled())
		}
	})
}

func TestLate_FeedIsAsLateAsARealOne(t *testing.T) {
	from := day(t, "2026-07-19")
	deliver := func(to data.Day) (newest data.Day, rows []data.Usage) {
		s := open(t, Options{From: from, To: to, Late: true})
		rows = usage(t, s, &data.Period{From: to - 8, To: to})
		for _, r := range rows {
			newest = max(newest, r.Day)
		}
		return newest, rows
	}
	count := func(rows []data.Usage, d data.Day) (n int, cost data.Decimal) {
		for _, r := range rows {
			if r.Day == d {
				n++
				cost, _ = cost.Add(*r.Cost)
			}
		}
		return n, cost
	}
	full := usage(t, open(t, Options{From: from, To: day(t, "2026-11-15")}), nil)

	to := day(t, "2026-10-20")
	newest, rows := deliver(to)
	if newest != to-1 {
		t.Errorf("newest day of the feed of %s is %s", to, newest)
	}
	for age := data.Day(1); age <= 6; age++ {
		got, cost := count(rows, to-age)
		want, wantCost := count(full, to-age)
		if settled := age >= 4; settled != (got == want) || settled != (cost == wantCost) {
			t.Errorf("%d days old: %d rows of %s, finally %d of %s", age, got, cost, want, wantCost)
		}
	}
	for _, to := range []string{"2026-11-01", "2026-11-03", "2026-11-05"} {
		if newest, _ := deliver(day(t, to)); newest != day(t, "2026-10-30") {
			t.Errorf("at the start of the month, on %s, the newest day is %s", to, newest)
		}
	}
	if newest, _ := deliver(day(t, "2026-11-06")); newest != day(t, "2026-11-05") {
		t.Errorf("on 6 November the newest day is %s", newest)
	}
	missing := 0
	for to := day(t, "2026-10-07"); to < day(t, "2026-10-31"); to++ {
		if newest, _ := deliver(to); newest == to-2 {
			missing++
		} else if newest != to-1 {
			t.Errorf("on %s the newest day is %s", to, newest)
		}
	}
	if missing != 1 {
		t.Errorf("%d nights are missing, want 1", missing)
	}
}

func TestTimes_IsExact(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := rapid.Int64Range(-1e9, 1e9).Draw(rt, "quantity")
		p := rapid.Int64Range(0, 1e13).Draw(rt, "price")
		hi, lo := times(q, p).Parts()
		got := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(hi), 64), new(big.Int).SetUint64(lo))
		want := new(big.Int).Mul(new(big.Int).Mul(big.NewInt(q), big.NewInt(p)), big.NewInt(100))
		if got.Cmp(want) != 0 {
			rt.Fatalf("times(%d, %d) = %s, want %s", q, p, got, want)
		}
	})
}

func TestUsage_StreamsInFlatMemory(t *testing.T) {
	to := day(t, "2026-11-15")
	s := open(t, Options{From: to - 399, To: to, Customers: 3000, Subscriptions: 20_000})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	base, peak := heap(), uint64(0)
	rows := 0
	// Ten days at either end of the 400: what lies between is computed alike.
	for _, from := range []data.Day{to - 399, to - 9} {
		for _, err := range s.Usage(t.Context(), &data.Period{From: from, To: from + 9}, new(data.Tally)) {
			if err != nil {
				t.Fatal(err)
			}
			if rows++; rows%50_000 == 0 {
				peak = max(peak, heap())
			}
		}
	}
	if rows < 500_000 {
		t.Errorf("%d rows only", rows)
	}
	if over := int64(peak) - int64(base); over > 32<<20 {
		t.Errorf("the heap grows by %d MiB over %d rows", over>>20, rows)
	}
}

func TestUsage_IsPinned(t *testing.T) {
	// The first amounts of seed 1, written down once: another machine or release
	// must give the same.
	to := day(t, "2026-11-15")
	var b bytes.Buffer
	for i, row := range usage(t, open(t, Options{To: to}), &data.Period{From: to - 20, To: to - 20}) {
		if i < 3 {
			b.WriteString(string(*row.SubscriptionID) + " " + row.Category + " " + row.Quantity.String() + " " + row.Cost.String() + " " + row.Currency + "\n")
		}
	}
	want := "a0567ef8-0ded-45cb-be32-1f2189e34de1 Virtual Machines 68.9525 14.755835 EUR\n" +
		"a0567ef8-0ded-45cb-be32-1f2189e34de1 Storage 0.1387 16.4043264 EUR\n" +
		"a0567ef8-0ded-45cb-be32-1f2189e34de1 Storage 58.2277 1.027136628 EUR\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
