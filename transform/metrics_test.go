package transform

import (
	"errors"
	"maps"
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

// inputs puts a world into records of at most n usage rows. The function
// releases them.
func (w world) inputs(mem memory.Allocator, n int) (Inputs, func()) {
	in := Inputs{Period: w.period, Watermark: w.watermark, Extracted: w.extracted, FirstSnapshot: w.firstSnapshot}
	in.Daily = split(w.daily, n, func(rows []data.UsageDaily) arrow.Record { return dailyRecord(mem, rows) })
	made := slices.Clone(in.Daily)
	for _, s := range w.snapshots {
		day := s.day
		c := recordOf(mem, data.CustomersSchema(), s.customers, func(data.Customer) data.Day { return day })
		x := recordOf(mem, data.SubscriptionsSchema(), s.subscriptions, func(data.Subscription) data.Day { return day })
		made = append(made, c, x)
		in.Inventory = append(in.Inventory, Snapshot{Day: day, Customers: c, Subscriptions: x})
	}
	if w.span != nil {
		b := array.NewRecordBuilder(mem, UsageSpanSchema())
		defer b.Release()
		for id, p := range w.span {
			if err := b.Field(0).(*array.BinaryDictionaryBuilder).AppendString(string(id)); err != nil {
				panic(err)
			}
			b.Field(1).(*array.Date32Builder).Append(arrow.Date32(p.From))
			b.Field(2).(*array.Date32Builder).Append(arrow.Date32(p.To))
		}
		in.Usage = b.NewRecord()
		made = append(made, in.Usage)
	}
	return in, func() { releaseAll(made) }
}

// tables renders the tables, each line with the name of its table.
func (t *Tables) lines() []string {
	var out []string
	for _, table := range []struct {
		name string
		rec  arrow.Record
	}{
		{"summary", t.Summary}, {"cost", t.Cost}, {"category", t.CostByCategory}, {"customer", t.CostByCustomer}, {"day", t.CostByDay},
		{"top", t.TopCustomers}, {"idle", t.WithoutUsage}, {"churn", t.ChurnByDate}, {"new", t.NewCustomers},
	} {
		for _, line := range lines(table.rec) {
			out = append(out, table.name+": "+line)
		}
	}
	return out
}

func (o *oracle) lines() []string {
	var out []string
	add := func(name string, lines []string) {
		for _, line := range lines {
			out = append(out, name+": "+line)
		}
	}
	add("summary", o.summary())
	if !o.noMoney {
		add("cost", o.cost())
		add("category", o.costByCategory())
		add("customer", o.costByCustomer())
		add("day", o.costByDay())
	}
	add("top", o.topCustomers())
	add("idle", o.withoutUsage())
	add("churn", o.churnByDate())
	add("new", o.newCustomersTable())
	return out
}

var anyCustomer = rapid.SampledFrom([]data.CustomerID{"c1", "c2", "c3", "c4", "c5", "c6", hostile})

func anyWorld(t *rapid.T) world {
	w := world{period: oneOf(t, "period", mustPeriod("2026-11-06..2026-11-08"), mustPeriod("2026-11-06..2026-11-06"), mustPeriod("2026-W46"), mustPeriod("2026-03"), mustPeriod("2026-02"))}
	from, to := w.period.Previous().From-3, w.period.To+3
	sparse := rapid.IntRange(0, 2).Draw(t, "gaps")
	start := from
	if rapid.Bool().Draw(t, "young archive") {
		start += data.Day(rapid.IntRange(0, 2*w.period.Days()).Draw(t, "start"))
	}
	for d := start; d <= to; d++ {
		if sparse == 0 || rapid.IntRange(0, 5).Draw(t, "known") > 0 {
			w.extracted = append(w.extracted, d)
		}
	}
	if rapid.IntRange(0, 19).Draw(t, "watermark") > 0 {
		w.watermark = new(to - data.Day(rapid.IntRange(0, 5).Draw(t, "late")))
	}
	overflow := rapid.IntRange(0, 9).Draw(t, "overflow") == 0
	usd := rapid.IntRange(0, 2).Draw(t, "usd") == 0
	w.daily = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.UsageDaily { return anyDaily(t, from, to, overflow, usd) }), 0, 60).Draw(t, "daily")
	w.snapshots = anySnapshots(t, from, to)
	if len(w.snapshots) > 0 && rapid.Bool().Draw(t, "older snapshots") {
		w.firstSnapshot = new(w.snapshots[0].day - data.Day(rapid.IntRange(0, 20).Draw(t, "first snapshot")))
	}
	if rapid.Bool().Draw(t, "has span") {
		w.span = map[data.SubscriptionID]data.Period{}
		for _, id := range []data.SubscriptionID{"s1", "s3", "elsewhere"} {
			w.span[id] = data.Period{From: from - 100, To: to - data.Day(rapid.IntRange(3, 100).Draw(t, "last"))}
		}
	}
	return w
}

func anySubscriptionID(t *rapid.T) data.SubscriptionID {
	return oneOf[data.SubscriptionID](t, "subscription", "s1", "s2", "s3", "s4", "s5", hostile)
}

func anyDaily(t *rapid.T, from, to data.Day, overflow, usd bool) data.UsageDaily {
	r := data.UsageDaily{
		Day: from + data.Day(rapid.IntRange(0, int(to-from)).Draw(t, "day")), CustomerID: anyCustomer.Draw(t, "customer"),
		Category: oneOf(t, "category", "", "Storage", "SQL"), Unit: data.Optional(oneOf(t, "unit", "", "GB", "Hours")),
		Currency:       oneOf(t, "currency", "EUR", "USD", "JPY"),
		ChargeCategory: oneOf(t, "charge", data.ChargeUsage, data.ChargeUsage, data.ChargePurchase, data.ChargeTax, data.ChargeCredit),
		Cost:           anyAmount(t, "cost", overflow), CostUSD: anyAmount(t, "usd", false), Quantity: anyAmount(t, "quantity", overflow),
		Rows: 2, UsageRows: int64(rapid.IntRange(0, 1).Draw(t, "usage rows")),
	}
	if rapid.IntRange(0, 4).Draw(t, "has subscription") > 0 {
		r.SubscriptionID = new(anySubscriptionID(t))
	}
	if usd {
		r.CostUSD = r.Cost
	}
	r.CostRows, r.USDRows = int64(btoi(r.Cost != nil)), int64(btoi(r.CostUSD != nil))
	return r
}

func anySnapshots(t *rapid.T, from, to data.Day) []worldSnapshot {
	days := rapid.SliceOfNDistinct(rapid.IntRange(0, int(to-from)+10), 0, 6, rapid.ID).Draw(t, "snapshot days")
	slices.Sort(days)
	plans := rapid.IntRange(0, 2).Draw(t, "plans")
	date := func(t *rapid.T, label string, odds int) *data.Day {
		if rapid.IntRange(0, odds).Draw(t, label) > 0 {
			return nil
		}
		return new(from + data.Day(rapid.IntRange(-5, int(to-from)+5).Draw(t, label+" day")))
	}
	var out []worldSnapshot
	for _, d := range days {
		s := worldSnapshot{day: from + data.Day(d)}
		for _, id := range []data.CustomerID{"c1", "c2", "c3", hostile} {
			if rapid.IntRange(0, 3).Draw(t, "has customer") > 0 {
				s.customers = append(s.customers, data.Customer{CustomerID: id, Name: data.Optional(oneOf(t, "name", "", "A", "B")), Source: "test"})
			}
		}
		for _, id := range []data.SubscriptionID{"s1", "s2", "s3", "s4", hostile} {
			if rapid.IntRange(0, 5).Draw(t, "has subscription") == 0 {
				continue
			}
			x := data.Subscription{SubscriptionID: id, CustomerID: anyCustomer.Draw(t, "owner"), Name: data.Optional(oneOf(t, "label", "", "x")),
				Status:  oneOf(t, "status", data.StatusActive, data.StatusActive, data.StatusActive, data.StatusSuspended, data.StatusDeprovisioned, data.StatusExpired, data.StatusUnknown),
				Created: date(t, "created", 1), EndedAt: date(t, "ended", 6)}
			if plans > 0 {
				x.PlanID, x.CommitmentEnd = data.Optional(oneOf(t, "plan", "", "p1", "p2")), date(t, "commitment", 1)
			}
			if plans > 1 {
				x.RenewedAt = date(t, "renewed", 2)
			}
			s.subscriptions = append(s.subscriptions, x)
		}
		out = append(out, s)
	}
	return out
}

// assertMetrics compares the metrics of inputs with those of a world.
func assertMetrics(t *rapid.T, mem memory.Allocator, in Inputs, w world) {
	o, known := newOracle(w)
	got, err := Metrics(mem, in)
	if !known {
		if !errors.Is(err, ErrNoKnownDay) || got != nil {
			t.Fatalf("error %v, want that no day is known", err)
		}
		return
	}
	want := o.lines()
	if o.overflow {
		if !errors.Is(err, data.ErrOverflow) || got != nil {
			t.Fatalf("error %v, want an overflow", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if diff := cmp.Diff(want, got.lines()); diff != "" {
		t.Fatalf("metrics (-definition +got):\n%s", diff)
	}
	if got.Previous != o.prev || got.KnownDays != len(o.days[0]) || got.PreviousKnownDays != len(o.knownIn(o.prev)) || got.Complete != o.complete {
		t.Fatalf("previous %s, %d and %d known days, complete %v; want %s, %d, %d, %v", got.Previous, got.KnownDays, got.PreviousKnownDays, got.Complete,
			o.prev, len(o.days[0]), len(o.knownIn(o.prev)), o.complete)
	}
}

func TestMetrics_AgreeWithTheirDefinitionsInAnyOrderAndSplit(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := anyWorld(rt)
		for range 2 {
			mem, done := checked(rt)
			in, release := w.inputs(mem, rapid.IntRange(1, 61).Draw(rt, "batch"))
			assertMetrics(rt, mem, in, w)
			release()
			done()
			w.daily = rapid.Permutation(w.daily).Draw(rt, "order")
			for i, s := range w.snapshots {
				w.snapshots[i].subscriptions = rapid.Permutation(s.subscriptions).Draw(rt, "subscriptions")
			}
		}
	})
}

func TestMetrics_OfFilteredInputsAreThoseOfTheCustomersLeft(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		w := anyWorld(rt)
		in, release := w.inputs(mem, 20)
		scope := map[data.CustomerID]bool{}
		for _, id := range []data.CustomerID{"c1", "c2", hostile} {
			scope[id] = rapid.Bool().Draw(rt, "in scope")
		}
		filtered, free, err := filterInputs(mem, in, scope)
		if err != nil {
			rt.Fatal(err)
		}
		out := func(id data.CustomerID) bool { return !scope[id] }
		w.daily = slices.DeleteFunc(slices.Clone(w.daily), func(r data.UsageDaily) bool { return out(r.CustomerID) })
		for i := range w.snapshots {
			s := &w.snapshots[i]
			s.customers = slices.DeleteFunc(slices.Clone(s.customers), func(c data.Customer) bool { return out(c.CustomerID) })
			s.subscriptions = slices.DeleteFunc(slices.Clone(s.subscriptions), func(x data.Subscription) bool { return out(x.CustomerID) })
		}
		assertMetrics(rt, mem, filtered, w)
		assertNoTrace(rt, filtered, w)
		free()
		release()
		done()
	})
}

// assertNoTrace fails when a dictionary of the inputs holds a value that no row
// of the world has.
func assertNoTrace(t *rapid.T, in Inputs, w world) {
	allowed := map[string]bool{}
	for _, r := range w.daily {
		allowed[string(r.CustomerID)], allowed[r.Category], allowed[r.Currency], allowed[string(r.ChargeCategory)] = true, true, true, true
		for _, s := range []*string{(*string)(r.SubscriptionID), r.Unit} {
			if s != nil {
				allowed[*s] = true
			}
		}
	}
	for _, s := range w.snapshots {
		for _, c := range s.customers {
			allowed[string(c.CustomerID)], allowed[c.Source] = true, true
		}
		for _, x := range s.subscriptions {
			allowed[string(x.SubscriptionID)], allowed[string(x.CustomerID)], allowed[string(x.Status)] = true, true, true
			if x.PlanID != nil {
				allowed[*x.PlanID] = true
			}
		}
	}
	records := slices.Clone(in.Daily)
	for _, s := range in.Inventory {
		records = append(records, s.Customers, s.Subscriptions)
	}
	if in.Usage != nil {
		records = append(records, in.Usage)
	}
	for _, rec := range records {
		for i, col := range rec.Columns() {
			dict, ok := col.(*array.Dictionary)
			if !ok {
				continue
			}
			values := dict.Dictionary().(*array.String)
			for j := range values.Len() {
				if !allowed[values.Value(j)] {
					t.Fatalf("column %s still names %q", rec.ColumnName(i), values.Value(j))
				}
			}
		}
	}
}

func TestMetrics_WithoutMoneyHaveNoCost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		w := anyWorld(rt)
		in, release := w.inputs(mem, 20)
		w.noMoney = true
		free, freed := InputsWithoutMoney(in)
		assertMetrics(rt, mem, free, w)
		for _, rec := range free.Daily {
			for _, f := range rec.Schema().Fields() {
				if strings.Contains(f.Name, "cost") || strings.Contains(f.Name, "usd") {
					rt.Fatalf("column %s is still there", f.Name)
				}
			}
		}
		if tables, err := Metrics(mem, free); err == nil {
			if tables.Cost != nil || tables.CostByCategory != nil || tables.CostByCustomer != nil || tables.CostByDay != nil {
				rt.Fatalf("there is a cost table")
			}
			tables.Release()
		}
		freed()
		release()
		done()
	})
}

func TestMetrics_AdjoiningPeriodsAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := anyWorld(rt)
		w.period = data.Period{From: mustDay("2026-11-06"), To: mustDay("2026-11-15")}
		w.extracted = slices.Collect(data.Period{From: w.period.From - 30, To: w.period.To}.All())
		w.watermark = &w.period.To
		for i := range w.daily {
			w.daily[i].Day = w.period.From + w.daily[i].Day%10
			w.daily[i].CostUSD, w.daily[i].Quantity = nil, nil
			w.daily[i].Cost = rapid.SampledFrom([]*data.Decimal{nil, dec("1.1"), dec("-0.000000000000000003")}).Draw(rt, "cost")
		}
		whole := addable(rt, w)
		left, right := w, w
		left.period.To = w.period.From + data.Day(rapid.IntRange(0, 8).Draw(rt, "cut"))
		right.period.From = left.period.To + 1
		parts := addable(rt, left)
		for key, v := range addable(rt, right) {
			parts[key] = sumOf(parts[key], v)
		}
		if diff := cmp.Diff(whole, parts); diff != "" {
			rt.Fatalf("%s and %s against %s (-whole +parts):\n%s", left.period, right.period, w.period, diff)
		}
	})
}

func sumOf(a, b data.Decimal) data.Decimal {
	sum, ok := a.Add(b)
	if !ok {
		panic("too large for this test")
	}
	return sum
}

// addable returns the numbers of a world that add up over time, zeros left out.
func addable(t *rapid.T, w world) map[string]data.Decimal {
	mem, done := checked(t)
	defer done()
	in, release := w.inputs(mem, 20)
	defer release()
	tables, err := Metrics(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Release()
	out := map[string]data.Decimal{}
	add := func(key, value string) {
		if value != "null" && !dec(value).IsZero() {
			out[key] = sumOf(out[key], *dec(value))
		}
	}
	for _, line := range lines(tables.Cost) {
		cells := strings.Split(line, "|")
		add("cost "+cells[0], cells[1])
	}
	for _, line := range lines(tables.CostByCategory) {
		cells := strings.Split(line, "|")
		add("category "+cells[0]+cells[1], cells[2])
		add("cost of categories "+cells[1], cells[2])
	}
	for _, line := range lines(tables.CostByDay) {
		cells := strings.Split(line, "|")
		add("cost of days "+cells[1], cells[2])
	}
	for _, line := range lines(tables.Summary) {
		switch cells := strings.Split(line, "|"); cells[0] {
		case `"subscriptions_sold"`, `"new_customers"`, `"deprovisioned"`:
			add(cells[0], cells[1])
		}
	}
	for _, line := range lines(tables.ChurnByDate) {
		add("churn", strings.Split(line, "|")[2])
	}
	for _, of := range []string{"cost of categories ", "cost of days "} {
		for key, v := range out {
			if currency, found := strings.CutPrefix(key, "cost "+`"`); found && out[of+`"`+currency] != v {
				t.Fatalf("%s\"%s adds up to %s, not %s", of, currency, out[of+`"`+currency], v)
			}
		}
	}
	return out
}

func TestLatest_IsTheNewestRowWithTheStatusOfTheDay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem, done := checked(rt)
		defer done()
		w := anyWorld(rt)
		w.watermark, w.extracted = &w.period.To, []data.Day{w.period.To}
		o, _ := newOracle(w)
		in, release := w.inputs(mem, 20)
		defer release()
		on := w.period.From + data.Day(rapid.IntRange(-5, 5).Draw(rt, "on"))
		got, err := Latest(mem, in.Inventory, on)
		if err != nil {
			rt.Fatal(err)
		}
		defer got.Release()
		var rows []data.Subscription
		days := map[data.SubscriptionID]data.Day{}
		for _, id := range o.subs {
			h, vanished := o.history(id)
			x := o.newest(id)
			if x.Created != nil && *x.Created > on {
				continue
			}
			days[id] = h[len(h)-1].day
			if end := o.stated(id); end != nil {
				x.EndedAt = end
			} else if x.EndedAt = vanished; x.Status.Ended() {
				for _, s := range slices.Backward(h) {
					if !s.row.Status.Ended() {
						break
					}
					x.EndedAt = new(s.day)
				}
			}
			if x.EndedAt != nil && *x.EndedAt > on {
				x.EndedAt = nil
			}
			x.Status = o.status(id, on)
			rows = append(rows, x)
		}
		want := recordOf(mem, data.SubscriptionsSchema(), rows, func(x data.Subscription) data.Day { return days[x.SubscriptionID] })
		defer want.Release()
		assertLines(rt, "latest subscriptions", lines(want), lines(got))

		states, err := States(in.Inventory, on)
		if err != nil || len(states) != len(rows) {
			rt.Fatalf("%d states of %d subscriptions, %v", len(states), len(rows), err)
		}
		for _, x := range rows {
			var endings []data.Day
			for _, d := range slices.Sorted(maps.Keys(o.endings(x.SubscriptionID))) {
				if d <= on {
					endings = append(endings, d)
				}
			}
			if s := states[x.SubscriptionID]; s.Status != x.Status || !slices.Equal(s.Endings, endings) {
				rt.Fatalf("%s is %s and ended on %v, want %s and %v", x.SubscriptionID, s.Status, s.Endings, x.Status, endings)
			}
		}
	})
}

func TestMetrics_TopCustomersAreFiveAndTiesGoByNameThenID(t *testing.T) {
	d := mustDay("2026-11-12")
	row := func(customer data.CustomerID, currency, cost, usd string) data.UsageDaily {
		r := data.UsageDaily{Day: d, CustomerID: customer, Category: "Storage", Currency: currency, ChargeCategory: data.ChargeUsage, Cost: dec(cost), CostRows: 1}
		if usd != "" {
			r.CostUSD, r.USDRows = dec(usd), 1
		}
		return r
	}
	called := func(id data.CustomerID, name string) data.Customer {
		return data.Customer{CustomerID: id, Name: data.Optional(name)}
	}
	names := worldSnapshot{day: d, customers: []data.Customer{called("c1", "Zebra"), called("c2", "Albatros"), called("c3", "Zebra"), called("b9", "")}}
	tie := []data.UsageDaily{row("c3", "EUR", "1", ""), row("c2", "EUR", "1", ""), row("c1", "EUR", "1", ""), row("b9", "EUR", "1", ""), row("a0", "EUR", "0.9", ""), row("a1", "EUR", "0.8", "")}
	both := []data.UsageDaily{row("c1", "EUR", "1", "1.2"), row("c2", "USD", "1.1", "1.1"), row("c1", "USD", "0.5", "0.5")}
	partly := append(both[:2:2], row("c1", "USD", "0.5", ""))
	tests := []struct {
		name  string
		daily []data.UsageDaily
		want  []string // of all categories
	}{
		{"ties and the sixth", tie, []string{"1|c2|EUR|1.00", "2|c1|EUR|1.00", "3|c3|EUR|1.00", "4|b9|EUR|1.00", "5|a0|EUR|0.90"}},
		{"one ranking in USD where every cost has it", both, []string{"1|c1|USD|1.70", "2|c2|USD|1.10"}},
		{"one ranking per currency otherwise", partly, []string{"1|c1|EUR|1.00", "1|c2|USD|1.10", "2|c1|USD|0.50"}},
		{"one currency needs no USD", both[:1], []string{"1|c1|EUR|1.00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem, done := checked(t)
			defer done()
			in, release := world{period: data.Period{From: d, To: d}, watermark: &d, extracted: []data.Day{d}, daily: tt.daily, snapshots: []worldSnapshot{names}}.inputs(mem, 2)
			defer release()
			tables, err := Metrics(mem, in)
			if err != nil {
				t.Fatal(err)
			}
			defer tables.Release()
			var got []string
			for _, line := range lines(tables.TopCustomers) {
				if rest, all := strings.CutPrefix(line, "null|"); all {
					cells := strings.Split(strings.ReplaceAll(rest, `"`, ""), "|")
					got = append(got, strings.Join(cells[:4], "|"))
				}
			}
			assertLines(t, "top customers", tt.want, got)
		})
	}
}
