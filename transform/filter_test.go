package transform

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// mixed is a record with a column of every type that a record here may have.
func mixed(mem memory.Allocator) arrow.Record {
	b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{
		{Name: "customer_id", Type: data.DictType()},
		{Name: "text", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
		{Name: "amount", Type: data.DecimalType(), Nullable: true},
		{Name: "count", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "small", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "flag", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		{Name: "kind", Type: data.DictType(), Nullable: true},
	}, nil))
	defer b.Release()
	for i, customer := range []string{"mine", "other", "", "mine", hostile} {
		w := &writer{b: b}
		if customer == "" {
			w.null()
		} else {
			w.text(customer)
		}
		if i == 3 {
			for range 8 {
				w.null()
			}
			continue
		}
		w.text("text of " + customer)
		w.day(data.Day(20000 + i))
		w.decimal(data.DecimalFromInt(int64(i)))
		w.int64(int64(i))
		w.int32(int32(i))
		w.next().(*array.Float64Builder).Append(float64(i) / 2)
		w.bool(i%2 == 0)
		w.text("kind of " + customer)
	}
	return b.NewRecord()
}

// filterInputs indexes inputs and cuts them down.
func filterInputs(mem memory.Allocator, in Inputs, customers map[data.CustomerID]bool) (Inputs, func(), error) {
	x, err := NewIndex(in)
	if err != nil {
		return Inputs{}, nil, err
	}
	return x.Filter(mem, customers)
}

// filterRecord cuts one record down.
func filterRecord(mem memory.Allocator, rec arrow.Record, customers map[data.CustomerID]bool) (arrow.Record, error) {
	in, _, err := filterInputs(mem, Inputs{Daily: []arrow.Record{rec}}, customers)
	if err != nil {
		return nil, err
	}
	return in.Daily[0], nil
}

func TestFilter_KeepsWholeRowsAndNothingOfOthers(t *testing.T) {
	mem, done := checked(t)
	defer done()
	rec := mixed(mem)
	defer rec.Release()
	tests := []struct {
		name string
		in   map[data.CustomerID]bool
		want []string
	}{
		{"one customer", map[data.CustomerID]bool{"mine": true, "other": false}, []string{
			`"mine"|"text of mine"|2424-10-04|0.00|0|0|0|true|"kind of mine"`,
			`"mine"|null|null|null|null|null|null|null|null`,
		}},
		{"a hostile id", map[data.CustomerID]bool{hostile: true}, lines(rec)[4:]},
		{"nobody", nil, []string{}},
	}
	tests[0].want[0] = lines(rec)[0]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := filterRecord(mem, rec, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			assertLines(t, "rows", tt.want, lines(got))
			if !got.Schema().Equal(rec.Schema()) {
				t.Errorf("schema %v", got.Schema())
			}
			for _, name := range []string{"customer_id", "kind"} {
				values := got.Column(got.Schema().FieldIndices(name)[0]).(*array.Dictionary).Dictionary()
				if n := min(1, len(tt.want)); values.Len() != n {
					t.Errorf("the dictionary of %s holds %v, want %d values", name, values, n)
				}
			}
		})
	}
}

// A slice of a record has offsets in every buffer.
func TestFilter_OfASliceTakesTheRightRows(t *testing.T) {
	mem, done := checked(t)
	defer done()
	rec := mixed(mem)
	defer rec.Release()
	slice := rec.NewSlice(1, 5)
	defer slice.Release()
	got, err := filterRecord(mem, slice, map[data.CustomerID]bool{"mine": true, hostile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	assertLines(t, "rows", lines(rec)[3:], lines(got))
}

func TestFilter_RefusesRecordsItCannotCut(t *testing.T) {
	mem, done := checked(t)
	defer done()
	build := func(fields ...arrow.Field) arrow.Record {
		b := array.NewRecordBuilder(mem, arrow.NewSchema(fields, nil))
		defer b.Release()
		return b.NewRecord()
	}
	id := arrow.Field{Name: "customer_id", Type: data.DictType()}
	tests := []struct {
		name string
		rec  arrow.Record
		want string
	}{
		{"no customer_id", build(arrow.Field{Name: "x", Type: data.DictType()}), "column customer_id: missing"},
		{"customer_id is no text", build(arrow.Field{Name: "customer_id", Type: arrow.PrimitiveTypes.Int64}), "column customer_id: unexpected type int64"},
		{"a type that no table has, after columns that were copied", build(id, arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int8}), "column x: unexpected type int8"},
		{"a dictionary of another index", build(id, arrow.Field{Name: "x", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}), "column x: unexpected type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.rec.Release()
			_, err := filterRecord(mem, tt.rec, nil)
			assertError(t, err, "usage: ", tt.want)
		})
	}
}

func TestFilterInputs_HoldsNothingWhenARecordIsRefused(t *testing.T) {
	mem, done := checked(t)
	defer done()
	daily := dailyRecord(mem, []data.UsageDaily{{CustomerID: "c", Currency: "EUR", ChargeCategory: data.ChargeUsage}})
	bad := array.NewRecord(arrow.NewSchema(nil, nil), nil, 0)
	customers := recordOf(mem, data.CustomersSchema(), []data.Customer{{CustomerID: "c"}}, func(data.Customer) data.Day { return 0 })
	defer releaseAll([]arrow.Record{daily, bad, customers})
	tests := []struct {
		name string
		in   Inputs
		want string
	}{
		{"usage", Inputs{Daily: []arrow.Record{daily, bad}}, "usage: "},
		{"customers", Inputs{Daily: []arrow.Record{daily}, Inventory: []Snapshot{{Day: 20000, Customers: bad}}}, "inventory of 2024-10-04: "},
		{"subscriptions", Inputs{Daily: []arrow.Record{daily}, Inventory: []Snapshot{{Day: 20000, Customers: customers, Subscriptions: bad}}}, "inventory of 2024-10-04: "},
		{"span", Inputs{Daily: []arrow.Record{daily}, Usage: bad}, "first and last usage days: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, release, err := filterInputs(mem, tt.in, map[data.CustomerID]bool{"c": true})
			assertError(t, err, tt.want)
			if release != nil {
				t.Error("there is something to release")
			}
		})
	}
}

func TestFilterInputs_TakesSnapshotsWithoutARecord(t *testing.T) {
	mem, done := checked(t)
	defer done()
	in, release, err := filterInputs(mem, Inputs{Inventory: []Snapshot{{Day: 1}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if s := in.Inventory[0]; s.Customers != nil || s.Subscriptions != nil || s.Day != 1 {
		t.Errorf("snapshot %v, want one without records", s)
	}
}

func TestWithoutMoney_DropsTheMoneyColumnsOnly(t *testing.T) {
	mem, done := checked(t)
	defer done()
	usage, daily := usageRecord(mem, nil), dailyRecord(mem, nil)
	defer releaseAll([]arrow.Record{usage, daily})
	for _, rec := range []arrow.Record{usage, daily} {
		bare := WithoutMoney(rec)
		var names []string
		for _, f := range bare.Schema().Fields() {
			names = append(names, f.Name)
		}
		for _, f := range rec.Schema().Fields() {
			money := slices.Contains([]string{"cost", "effective_cost", "cost_usd", "cost_rows", "usd_rows"}, f.Name)
			if slices.Contains(names, f.Name) == money {
				t.Errorf("column %s: kept %v", f.Name, !money)
			}
		}
		bare.Release()
	}
}

// metricsError returns the error of inputs that are refused, and fails when
// something is held after it.
func metricsError(t *testing.T, w world, change func(mem memory.Allocator, in *Inputs) arrow.Record) error {
	t.Helper()
	mem, done := checked(t)
	defer done()
	in, release := w.inputs(mem, 10)
	defer release()
	if change != nil {
		if extra := change(mem, &in); extra != nil {
			defer extra.Release()
		}
	}
	got, err := Metrics(mem, in)
	if got != nil {
		t.Error("there are tables")
		got.Release()
	}
	return err
}

func TestMetrics_RefusedInputHoldsNothing(t *testing.T) {
	d := mustDay("2026-11-12")
	row := data.UsageDaily{Day: d, CustomerID: "c\x00", Category: "<b>", Currency: "EUR", ChargeCategory: data.ChargeUsage, Rows: 1}
	good := world{period: data.Period{From: d, To: d}, watermark: &d, extracted: []data.Day{d - 1, d}, daily: []data.UsageDaily{row},
		snapshots: []worldSnapshot{{day: d - 3}, {day: d}}}
	swap := func(rec func(mem memory.Allocator) arrow.Record, set func(in *Inputs, rec arrow.Record)) func(memory.Allocator, *Inputs) arrow.Record {
		return func(mem memory.Allocator, in *Inputs) arrow.Record {
			r := rec(mem)
			set(in, r)
			return r
		}
	}
	foreign := func(mem memory.Allocator) arrow.Record { return mixed(mem) }
	money := func(change func(*data.UsageDaily)) world {
		w, a := good, row
		change(&a)
		w.daily = []data.UsageDaily{a, a}
		return w
	}
	tests := []struct {
		name   string
		w      world
		change func(memory.Allocator, *Inputs) arrow.Record
		is     error
		want   []string
	}{
		{"usage of another table", good, swap(foreign, func(in *Inputs, r arrow.Record) { in.Daily = append(in.Daily, r) }), nil, []string{"usage: ", "missing"}},
		{"customers of another table", good, swap(foreign, func(in *Inputs, r arrow.Record) { in.Inventory[1].Customers = r }), nil, []string{"inventory of 2026-11-12", "missing"}},
		{"subscriptions of another table", good, swap(foreign, func(in *Inputs, r arrow.Record) { in.Inventory[1].Subscriptions = r }), nil, []string{"inventory of 2026-11-12", "missing"}},
		{"a span of another table", good, swap(foreign, func(in *Inputs, r arrow.Record) { in.Usage = r }), nil, []string{"usage span", "missing"}},
		{"snapshots out of order", good, func(_ memory.Allocator, in *Inputs) arrow.Record {
			slices.Reverse(in.Inventory)
			return nil
		}, nil, []string{"inventory of 2026-11-09: not after"}},
		{"nothing extracted", world{period: good.period, watermark: &d}, nil, ErrNoKnownDay, []string{"metrics of 2026-11-12"}},
		{"no watermark", world{period: good.period, extracted: good.extracted}, nil, ErrNoKnownDay, nil},
		{"everything after the watermark", world{period: good.period, extracted: good.extracted, watermark: new(d - 1)}, nil, ErrNoKnownDay, nil},
		{"a cost that does not fit", money(func(r *data.UsageDaily) { r.Cost = dec(extreme) }), nil, data.ErrOverflow, []string{"cost in EUR"}},
		{"a cost below what fits", money(func(r *data.UsageDaily) { r.Cost = dec("-" + extreme) }), nil, data.ErrOverflow, []string{"cost in EUR"}},
		{"a previous cost that does not fit", money(func(r *data.UsageDaily) { r.Day, r.Cost = d-1, dec(extreme) }), nil, data.ErrOverflow, []string{"previous cost in EUR"}},
		{"a quantity that does not fit", money(func(r *data.UsageDaily) { r.Quantity = dec(extreme) }), nil, data.ErrOverflow, []string{`quantity of customer "c\x00"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := metricsError(t, tt.w, tt.change)
			assertError(t, err, tt.want...)
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %v does not wrap %v", err, tt.is)
			}
		})
	}
}

func TestMetrics_ComparesTheSameDaysOfAMonth(t *testing.T) {
	row := func(day, cost string) data.UsageDaily {
		return data.UsageDaily{Day: mustDay(day), CustomerID: "c", Currency: "EUR", ChargeCategory: data.ChargeUsage, Cost: dec(cost)}
	}
	rows := []data.UsageDaily{row("2026-01-30", "1000"), row("2026-02-01", "1"), row("2026-02-28", "2"), row("2026-03-01", "10"), row("2026-03-28", "20"), row("2026-03-31", "40")}
	archive := slices.Collect(data.Period{From: mustDay("2026-01-01"), To: mustDay("2026-04-10")}.All())
	without := func(day string) []data.Day {
		return slices.DeleteFunc(slices.Clone(archive), func(d data.Day) bool { return d == mustDay(day) })
	}
	tests := []struct {
		name, period, watermark string
		extracted               []data.Day
		want                    string
	}{
		{"a whole month against a whole shorter one", "2026-03", "2026-04-10", archive, `"EUR"|70.00|3.00`},
		{"a month in progress against the same days", "2026-03", "2026-03-27", archive, `"EUR"|10.00|1.00`},
		{"a 31st has no like in February", "2026-03", "2026-04-10", without("2026-03-02"), `"EUR"|70.00|3.00`},
		{"a gap in the month before is not counted", "2026-03", "2026-04-10", without("2026-02-01"), `"EUR"|70.00|2.00`},
		{"a month before that was not observed from its start", "2026-03", "2026-04-10", archive[40:], `"EUR"|70.00|null`},
		{"the last days of a longer month before are left out while incomplete", "2026-02", "2026-02-27", archive, `"EUR"|1.00|0.00`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem, done := checked(t)
			defer done()
			w := world{period: mustPeriod(tt.period), watermark: new(mustDay(tt.watermark)), extracted: tt.extracted, daily: rows}
			in, release := w.inputs(mem, 10)
			defer release()
			got, err := Metrics(mem, in)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			assertLines(t, "cost", []string{tt.want}, lines(got.Cost))
		})
	}
}

// subscriptionsOf computes the summary of daily snapshots that each hold what
// is given, as "key value previous reason".
func TestMetrics_SubscriptionsOverTime(t *testing.T) {
	d := mustDay("2026-11-12") // the period is this day alone
	sub := func(status data.Status, change ...func(*data.Subscription)) []data.Subscription {
		x := data.Subscription{SubscriptionID: "s", CustomerID: "c", Status: status}
		for _, f := range change {
			f(&x)
		}
		return []data.Subscription{x}
	}
	ended := func(day data.Day) func(*data.Subscription) {
		return func(x *data.Subscription) { x.EndedAt = &day }
	}
	committed := func(day data.Day) func(*data.Subscription) {
		return func(x *data.Subscription) { x.PlanID, x.CommitmentEnd = new("p"), &day }
	}
	renewed := func(day data.Day) func(*data.Subscription) {
		return func(x *data.Subscription) { x.RenewedAt = &day }
	}
	snapshot := func(day data.Day, subs ...data.Subscription) worldSnapshot {
		return worldSnapshot{day: day, subscriptions: subs}
	}
	from := func(source string, s worldSnapshot, others ...string) worldSnapshot {
		for i, source := range append([]string{source, source}, others...) {
			s.customers = append(s.customers, data.Customer{CustomerID: data.CustomerID("abc"[i : i+1]), Source: source})
		}
		return s
	}
	active := sub(data.StatusActive)
	tests := []struct {
		name      string
		snapshots []worldSnapshot
		key, want string
	}{
		{"no snapshot", nil, "deprovisioned", `null|null|"no_inventory"`},
		{"suspended between two snapshots", []worldSnapshot{snapshot(d-1, active...), snapshot(d, sub(data.StatusSuspended)...)}, "deprovisioned", `1|null|"not_observed_before: 2026-11-11"`},
		{"suspended in the first snapshot is no change", []worldSnapshot{snapshot(d-3, sub(data.StatusSuspended)...), snapshot(d)}, "deprovisioned", "0|0|null"},
		{"suspended and then deprovisioned ends once", []worldSnapshot{snapshot(d-5, active...), snapshot(d-1, sub(data.StatusSuspended)...), snapshot(d, sub(data.StatusDeprovisioned)...)}, "deprovisioned", "0|1|null"},
		{"a stated day stands above the snapshots", []worldSnapshot{snapshot(d-5, active...), snapshot(d, sub(data.StatusSuspended, ended(d-1))...)}, "deprovisioned", "0|1|null"},
		{"suspended in the first inventory after derived ones", []worldSnapshot{from("focus", snapshot(d-1, active...)), from("tables", snapshot(d, sub(data.StatusSuspended)...))}, "deprovisioned", `0|null|"not_observed_before: 2026-11-11"`},
		{"gone from the first inventory of another source", []worldSnapshot{from("focus", snapshot(d-1, active...)), from("tables", snapshot(d))}, "deprovisioned", `0|null|"not_observed_before: 2026-11-11"`},
		{"suspended in the second inventory after derived ones", []worldSnapshot{from("focus", snapshot(d-2, active...)), from("tables", snapshot(d-1, active...)), from("tables", snapshot(d, sub(data.StatusSuspended)...))}, "deprovisioned", `1|0|null`},
		{"suspended while some customers are kept as they were derived", []worldSnapshot{from("focus", snapshot(d-1, active...)), from("tables", snapshot(d, sub(data.StatusSuspended)...), "focus")}, "deprovisioned", `0|null|"not_observed_before: 2026-11-11"`},
		{"gone from the newest snapshot", []worldSnapshot{snapshot(d-5, active...), snapshot(d)}, "deprovisioned", "1|0|null"},
		{"missing once is not gone", []worldSnapshot{snapshot(d-5, active...), snapshot(d), snapshot(d+1, active...)}, "deprovisioned", "0|0|null"},
		{"missing once is still active", []worldSnapshot{snapshot(d-5, active...), snapshot(d), snapshot(d+1, active...)}, "active_at_end", "1|1|null"},
		{"active before the first snapshot", []worldSnapshot{snapshot(d+5, active...)}, "active_at_end", "1|1|null"},
		{"not active before it was created", []worldSnapshot{snapshot(d+5, sub(data.StatusActive, func(x *data.Subscription) { x.Created = &d })...)}, "active_at_end", "1|0|null"},
		{"pending is not active", []worldSnapshot{snapshot(d-5, sub(data.StatusPending)...)}, "active_at_end", "0|0|null"},
		{"pay-as-you-go", []worldSnapshot{snapshot(d-5, active...)}, "subscriptions_renewed", `null|null|"not_applicable"`},
		{"a commitment that moved", []worldSnapshot{snapshot(d-1, sub(data.StatusActive, committed(d))...), snapshot(d, sub(data.StatusActive, committed(d+365))...)}, "subscriptions_renewed", `1|null|"not_observed_before: 2026-11-11"`},
		{"a commitment that moved back", []worldSnapshot{snapshot(d-5, sub(data.StatusActive, committed(d))...), snapshot(d, sub(data.StatusActive, committed(d-1))...)}, "subscriptions_renewed", "0|0|null"},
		{"a move that a date explains is on its day", []worldSnapshot{snapshot(d-1, sub(data.StatusActive, committed(d))...), snapshot(d, sub(data.StatusActive, committed(d+365), renewed(d-1))...)}, "subscriptions_renewed", "0|1|null"},
		{"a date before the first snapshot is known", []worldSnapshot{snapshot(d+5, sub(data.StatusActive, renewed(d-1))...)}, "subscriptions_renewed", "0|1|null"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem, done := checked(t)
			defer done()
			w := world{period: data.Period{From: d, To: d}, watermark: &d, extracted: []data.Day{d - 1, d}, snapshots: tt.snapshots}
			in, release := w.inputs(mem, 10)
			defer release()
			got, err := Metrics(mem, in)
			if err != nil {
				t.Fatal(err)
			}
			defer got.Release()
			if want := `"` + tt.key + `"|` + tt.want; !slices.Contains(lines(got.Summary), want) {
				t.Errorf("summary has not %s:\n%q", want, lines(got.Summary))
			}
		})
	}
}

// An inventory that was added lacks the only customer of a recipient: for the recipient, too,
// nothing ended.
func TestFilter_KeepsTheSourceOfASnapshotWithoutCustomersInScope(t *testing.T) {
	d := mustDay("2026-11-12")
	customers := func(source string, ids ...data.CustomerID) (all []data.Customer) {
		for _, id := range ids {
			all = append(all, data.Customer{CustomerID: id, Source: source})
		}
		return all
	}
	w := world{period: data.Period{From: d, To: d}, watermark: &d, extracted: []data.Day{d - 1, d}, snapshots: []worldSnapshot{
		{day: d - 1, customers: customers("focus", "a", "b"), subscriptions: []data.Subscription{{SubscriptionID: "s", CustomerID: "b", Status: data.StatusActive}}},
		{day: d, customers: customers("tables", "a")},
	}}
	mem := memory.NewGoAllocator()
	in, release := w.inputs(mem, 10)
	defer release()
	for i, s := range in.Inventory {
		source, err := MainSource(s.Customers)
		if err != nil {
			t.Fatal(err)
		}
		in.Inventory[i].Source = source
	}
	index, err := NewIndex(in)
	if err != nil {
		t.Fatal(err)
	}
	mine, free, err := index.Filter(mem, map[data.CustomerID]bool{"b": true})
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	tables, err := Metrics(mem, mine)
	if err != nil {
		t.Fatal(err)
	}
	defer tables.Release()
	found := false
	for _, line := range lines(tables.Summary) {
		if found = found || strings.HasPrefix(line, `"deprovisioned"|0|`); strings.HasPrefix(line, `"deprovisioned"|1|`) {
			t.Error(line)
		}
	}
	if !found {
		t.Errorf("no count of 0: %q", lines(tables.Summary))
	}
}
