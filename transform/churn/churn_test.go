package churn

import (
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidemark/data"
)

// use is one usage_daily row of a test.
type use struct {
	day      data.Day
	sub      string // "" = null
	category string
	rows     int64
}

func dailyRecord(mem memory.Allocator, uses []use) arrow.Record {
	s := data.UsageDailySchema()
	var keep []arrow.Field
	for _, f := range s.Fields() {
		switch f.Name {
		case "usage_date", "subscription_id", "category", "usage_rows":
			keep = append(keep, f)
		}
	}
	b := array.NewRecordBuilder(mem, arrow.NewSchema(keep, nil))
	defer b.Release()
	for _, u := range uses {
		b.Field(0).(*array.Date32Builder).Append(arrow.Date32(u.day))
		appendText(b.Field(1), u.sub)
		appendText(b.Field(2), u.category)
		b.Field(3).(*array.Int64Builder).Append(u.rows)
	}
	return b.NewRecord()
}

func appendText(b array.Builder, s string) {
	if s == "" {
		b.AppendNull()
		return
	}
	if err := b.(*array.BinaryDictionaryBuilder).AppendString(s); err != nil {
		panic(err)
	}
}

// sub is one subscription of a test.
type sub struct {
	id                       string
	status                   data.Status
	created, ended, lastUsed *data.Day
}

func subscriptionRecord(mem memory.Allocator, subs []sub) arrow.Record {
	s := data.SubscriptionsSchema()
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	for _, x := range subs {
		days := map[string]*data.Day{"created": x.created, "ended_at": x.ended, "last_usage": x.lastUsed}
		for i, f := range s.Fields() {
			switch f.Name {
			case "subscription_id":
				appendText(b.Field(i), x.id)
			case "customer_id":
				appendText(b.Field(i), "customer of "+x.id)
			case "status":
				appendText(b.Field(i), string(x.status))
			case "snapshot_date":
				b.Field(i).(*array.Date32Builder).Append(0)
			default:
				if d := days[f.Name]; d != nil {
					b.Field(i).(*array.Date32Builder).Append(arrow.Date32(*d))
				} else {
					b.Field(i).AppendNull()
				}
			}
		}
	}
	return b.NewRecord()
}

// assessment is one row of an assessment.
type assessment struct {
	ID, Customer string
	State        State
	Score        float64
	Band         Band
	Idle         int // -1 for null
	Reasons      []Reason
}

// portfolio is the input of a test.
type portfolio struct {
	on      data.Day
	horizon int
	known   []data.Day
	uses    []use
	subs    []sub
}

func (p portfolio) assess(t testing.TB) []assessment {
	t.Helper()
	return p.assessBatches(t, len(p.uses)+1)
}

// assessBatches assesses the usage in records of n rows.
func (p portfolio) assessBatches(t testing.TB, n int) []assessment {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	in := Inputs{On: p.on, Horizon: p.horizon, Known: p.known, Subscriptions: subscriptionRecord(mem, p.subs)}
	for batch := range slices.Chunk(p.uses, n) {
		in.Daily = append(in.Daily, dailyRecord(mem, batch))
	}
	rec, err := Rules().Assess(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	var out []assessment
	text := func(col, row int) string { return rec.Column(col).ValueStr(row) }
	for i := range int(rec.NumRows()) {
		a := assessment{ID: text(0, i), Customer: text(1, i), State: State(text(2, i)), Idle: -1}
		if scores := rec.Column(3).(*array.Float64); scores.IsValid(i) {
			a.Score = scores.Value(i)
		}
		if rec.Column(4).IsValid(i) {
			a.Band = Band(text(4, i))
		}
		if idle := rec.Column(9).(*array.Int32); idle.IsValid(i) {
			a.Idle = int(idle.Value(i))
		}
		if err := json.Unmarshal([]byte(rec.Column(10).(*array.String).Value(i)), &a.Reasons); err != nil {
			t.Fatalf("reasons of %s: %v", a.ID, err)
		}
		out = append(out, a)
	}
	rec.Release()
	for _, r := range append(in.Daily, in.Subscriptions) {
		r.Release()
	}
	if size := mem.CurrentAlloc(); size != 0 {
		t.Fatalf("%d bytes are still held", size)
	}
	return out
}

// only assesses a portfolio of one subscription.
func (p portfolio) only(t testing.TB) assessment {
	t.Helper()
	got := p.assess(t)
	if len(got) != 1 {
		t.Fatalf("%d assessments, want 1", len(got))
	}
	return got[0]
}

const sunday = data.Day(20779) // 2026-11-22

func daysUpTo(on data.Day, n int) []data.Day {
	var out []data.Day
	for d := on - data.Day(n) + 1; d <= on; d++ {
		out = append(out, d)
	}
	return out
}

// silentFor is a portfolio of one old subscription used by a rule and silent
// for the last n days.
func silentFor(n int, usedOn func(data.Day) bool) portfolio {
	p := portfolio{on: sunday, known: daysUpTo(sunday, 200), subs: []sub{{id: "s", status: data.StatusActive}}}
	for _, d := range p.known {
		if d <= p.on-data.Day(n) && usedOn(d) {
			p.uses = append(p.uses, use{d, "s", "Storage", 3})
		}
	}
	return p
}

func always(data.Day) bool { return true }

func weekdays(d data.Day) bool { return d.Weekday() != time.Saturday && d.Weekday() != time.Sunday }

func TestRules_ToyPortfolioBehavesAsDocumented(t *testing.T) {
	if sunday.Weekday() != time.Sunday {
		t.Fatal("the test's day is no Sunday")
	}
	tests := []struct {
		name     string
		p        portfolio
		from, to float64
		band     Band
	}{
		{"always-on used today", silentFor(0, always), .009, .011, BandLow},
		{"always-on silent 1 day", silentFor(1, always), .015, .03, BandLow},
		{"always-on silent 2 days", silentFor(2, always), .03, .05, BandLow},
		{"always-on silent 3 days", silentFor(3, always), .05, .08, BandLow},
		{"always-on silent 4 days is alarming", silentFor(4, always), .10, .11, BandMedium},
		{"always-on silent 5 days", silentFor(5, always), .18, .21, BandMedium},
		{"always-on silent 7 days", silentFor(7, always), .69, .71, BandHigh},
		{"always-on silent 10 days", silentFor(10, always), .75, .85, BandHigh},
		{"always-on silent 14 days", silentFor(14, always), .86, .92, BandHigh},
		{"always-on silent 21 days", silentFor(21, always), .93, .95, BandHigh},
		{"weekdays only on a Sunday", silentFor(0, weekdays), .01, .02, BandLow},
		{"weekdays only silent 9 days", silentFor(9, weekdays), .15, .40, BandMedium},
		{"weekdays only silent 16 days", silentFor(16, weekdays), .5, .95, BandHigh},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.p.only(t)
			if got.State != StateScored || got.Score < tt.from || got.Score > tt.to || got.Band != tt.band {
				t.Errorf("%s %.4f %s, want scored %.3f to %.3f %s", got.State, got.Score, got.Band, tt.from, tt.to, tt.band)
			}
		})
	}
}

// usesOf draws a usage pattern over the days given.
func usesOf(t *rapid.T, id string, days []data.Day) []use {
	var out []use
	dense := rapid.IntRange(1, 10).Draw(t, "dense")
	for _, d := range days {
		if rapid.IntRange(1, 10).Draw(t, "used") <= dense {
			out = append(out, use{d, id, rapid.SampledFrom([]string{"Storage", "SQL", "<VM>"}).Draw(t, "category"), int64(rapid.IntRange(1, 3).Draw(t, "rows"))})
		}
	}
	return out
}

// anyPortfolio draws subscriptions of all kinds, known days with gaps, and rows
// on known, unknown and later days.
func anyPortfolio(t *rapid.T) portfolio {
	p := portfolio{on: sunday + data.Day(rapid.IntRange(0, 6).Draw(t, "weekday"))}
	for _, d := range daysUpTo(p.on+4, rapid.IntRange(1, 150).Draw(t, "archive")) {
		if rapid.IntRange(0, 9).Draw(t, "known") > 0 {
			p.known = append(p.known, d)
		}
	}
	for i, id := range []string{"a", "b'; --", "<c>", "ü\n"}[:rapid.IntRange(1, 4).Draw(t, "subs")] {
		x := sub{id: id, status: rapid.SampledFrom([]data.Status{data.StatusActive, data.StatusActive, data.StatusSuspended,
			data.StatusDeprovisioned, data.StatusExpired, data.StatusUnknown}).Draw(t, "status")}
		if rapid.Bool().Draw(t, "has created") {
			x.created = new(p.on - data.Day(rapid.IntRange(-3, 200).Draw(t, "created")))
		}
		if i%2 == 0 && rapid.Bool().Draw(t, "has ended") {
			x.ended = new(p.on - data.Day(rapid.IntRange(-5, 50).Draw(t, "ended")))
		}
		p.subs = append(p.subs, x)
		p.uses = append(p.uses, usesOf(t, id, daysUpTo(p.on+5, 160))...)
	}
	return p
}

func TestRules_LongerSilenceNeverLowersTheScore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lastUse := sunday - 40
		p := portfolio{subs: []sub{{id: "s", status: data.StatusActive}}}
		if rapid.Bool().Draw(rt, "has created") {
			p.subs[0].created = new(lastUse - data.Day(rapid.IntRange(0, 150).Draw(rt, "age")))
		}
		p.uses = append(usesOf(rt, "s", daysUpTo(lastUse-1, 139)), use{lastUse, "s", "Storage", 1})
		before := 0.0
		for silent := range 28 {
			p.on = lastUse + data.Day(silent)
			p.known = daysUpTo(p.on, 140+silent)
			got := p.only(t)
			if got.State == StateNew {
				continue
			}
			if got.State != StateScored || got.Idle != silent || got.Score < before {
				rt.Fatalf("silent %d days: %s %.4f, idle %d; a day before %.4f", silent, got.State, got.Score, got.Idle, before)
			}
			before = got.Score
		}
	})
}

func TestRules_NothingAfterTheDayOrOnUnknownDaysMatters(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := anyPortfolio(rt)
		want := p.assess(t)
		p.known = slices.DeleteFunc(p.known, func(d data.Day) bool { return d > p.on })
		p.uses = slices.DeleteFunc(p.uses, func(u use) bool { return !slices.Contains(p.known, u.day) })
		if diff := cmp.Diff(want, p.assess(t)); diff != "" {
			rt.Fatalf("without the rows of later and unknown days (-with +without):\n%s", diff)
		}
	})
}

func TestRules_UnknownDaysAreNotSilence(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := portfolio{on: sunday - 10, known: daysUpTo(sunday-10, 80), subs: []sub{{id: "s", status: data.StatusActive}}}
		p.uses = usesOf(rt, "s", p.known)
		want := p.only(t)
		p.on += data.Day(rapid.IntRange(1, 10).Draw(rt, "late")) // a feed that stands still
		if diff := cmp.Diff(want, p.only(t)); diff != "" {
			rt.Fatalf("while the feed stands still (-before +later):\n%s", diff)
		}
	})
}

func TestRules_WholeWeeksLaterIsTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := anyPortfolio(rt)
		want := p.assess(t)
		shift := 7 * data.Day(rapid.IntRange(1, 60).Draw(rt, "weeks"))
		later := func(d *data.Day) *data.Day {
			if d == nil {
				return nil
			}
			return new(*d + shift)
		}
		p.on += shift
		for i := range p.known {
			p.known[i] += shift
		}
		for i := range p.uses {
			p.uses[i].day += shift
		}
		for i, s := range p.subs {
			p.subs[i].created, p.subs[i].ended = later(s.created), later(s.ended)
		}
		for i := range want {
			for j, r := range want[i].Reasons {
				want[i].Reasons[j].Since = later(r.Since)
			}
		}
		if diff := cmp.Diff(want, p.assess(t)); diff != "" {
			rt.Fatalf("whole weeks later (-before +later):\n%s", diff)
		}
	})
}

func TestRules_OrderAndSizeOfBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := anyPortfolio(rt)
		want := p.assess(t)
		p.uses = rapid.Permutation(p.uses).Draw(rt, "order")
		p.subs = rapid.Permutation(p.subs).Draw(rt, "subscriptions")
		if diff := cmp.Diff(want, p.assessBatches(t, rapid.IntRange(1, 50).Draw(rt, "batch"))); diff != "" {
			rt.Fatalf("in another order (-sorted +shuffled):\n%s", diff)
		}
	})
}

func TestRules_States(t *testing.T) {
	used := func(days ...int) []use {
		var out []use
		for _, n := range days {
			out = append(out, use{sunday - data.Day(n), "s", "Storage", 1})
		}
		return out
	}
	ago := func(n int) *data.Day { return new(sunday - data.Day(n)) }
	tests := []struct {
		name  string
		s     sub
		uses  []use
		known int
		want  State
		idle  int
	}{
		{"active and used is scored", sub{status: data.StatusActive}, used(3), 60, StateScored, 3},
		{"used on the last day of the horizon is scored", sub{status: data.StatusActive}, used(27), 60, StateScored, 27},
		{"active and unused in the horizon is dormant", sub{status: data.StatusActive}, used(28), 60, StateDormant, 28},
		{"never used is dormant without idle days", sub{status: data.StatusActive}, nil, 60, StateDormant, -1},
		{"a last usage before the history counts the known days since", sub{status: data.StatusActive, lastUsed: ago(130)}, nil, 200, StateDormant, 130},
		{"a last usage after the day is not looked at", sub{status: data.StatusActive, lastUsed: ago(-2)}, nil, 60, StateDormant, -1},
		{"six days old is new", sub{status: data.StatusActive, created: ago(6)}, used(0, 1), 60, StateNew, 0},
		{"seven days old is scored", sub{status: data.StatusActive, created: ago(7)}, used(0, 1), 60, StateScored, 0},
		{"suspended", sub{status: data.StatusSuspended, ended: ago(2)}, used(3), 60, StateSuspended, 3},
		{"deprovisioned", sub{status: data.StatusDeprovisioned, ended: ago(2)}, used(3), 60, StateEnded, 3},
		{"expired", sub{status: data.StatusExpired}, nil, 60, StateEnded, -1},
		{"ended later was still active", sub{status: data.StatusSuspended, ended: ago(-2)}, used(3), 60, StateScored, 3},
		{"an end day stands above a status that does not know of it", sub{status: data.StatusActive, ended: ago(0)}, used(3), 60, StateEnded, 3},
		{"six known days are no signal", sub{status: data.StatusActive}, used(0), 6, StateNoSignal, 0},
		{"seven known days are one", sub{status: data.StatusActive}, used(0), 7, StateScored, 0},
		{"unknown status with usage is scored", sub{status: data.StatusUnknown}, used(0), 60, StateScored, 0},
		{"pending without usage is no signal", sub{status: data.StatusPending}, nil, 60, StateNoSignal, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.id = "s"
			p := portfolio{on: sunday, known: daysUpTo(sunday, tt.known), uses: tt.uses, subs: []sub{tt.s}}
			got := p.only(t)
			if got.State != tt.want || got.Idle != tt.idle || (got.State == StateScored) != (got.Band != "") {
				t.Errorf("%s, idle %d, band %q; want %s, idle %d", got.State, got.Idle, got.Band, tt.want, tt.idle)
			}
		})
	}
	t.Run("not created yet has no row", func(t *testing.T) {
		p := portfolio{on: sunday, known: daysUpTo(sunday, 60), subs: []sub{{id: "s", status: data.StatusActive, created: ago(-1)}}}
		if got := p.assess(t); len(got) != 0 {
			t.Errorf("got %v, want no row", got)
		}
	})
}

func TestRules_ReasonsAreNumbersOfTheSubscription(t *testing.T) {
	falling := silentFor(0, func(d data.Day) bool { return d <= sunday-28 || (sunday-d)%7 == 0 })
	services := silentFor(0, always)
	for i, u := range services.uses {
		if u.day < sunday-30 {
			for _, category := range []string{"SQL", "\"Virtual\n<Machines>\""} {
				services.uses = append(services.uses, use{u.day, "s", category, 3})
			}
		}
		services.uses[i].rows = 30
	}
	young := silentFor(0, always)
	young.subs[0].created = new(sunday - 9)
	young.uses = slices.DeleteFunc(young.uses, func(u use) bool { return u.day < sunday-9 })
	week := silentFor(0, func(d data.Day) bool { return d <= sunday-35 || (sunday-d)%7 == 0 })
	week.known = daysUpTo(sunday, 28+13) // too little before to compare with
	tests := []struct {
		name string
		p    portfolio
		want []Reason
	}{
		{"steady daily use has none", silentFor(0, always), nil},
		{"always-on that stopped", silentFor(7, always), []Reason{{Code: "stop", Since: new(sunday - 7), Days: 7, Usual: 105}}},
		{"weekdays only", silentFor(9, weekdays), []Reason{{Code: "silence", Since: new(sunday - 9), Days: 9, Usual: 2}}},
		{"fewer days than before", falling, []Reason{{Code: "trend", Days: 4, Usual: 28, Of: 28}}},
		{"fewer days than 13 before", week, []Reason{{Code: "activity", Days: 4, Usual: 7, Of: 28}}},
		{"services that stopped", services, []Reason{{Code: "services", Days: 2, Of: 3, Names: []string{"\"Virtual\n<Machines>\"", "SQL"}}}},
		{"young", young, []Reason{{Code: "tenure", Days: 10}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(append([]Reason{}, tt.want...), tt.p.only(t).Reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRules_AnotherHorizonMovesDormancyOnly(t *testing.T) {
	p := silentFor(30, always)
	if got := p.only(t); got.State != StateDormant {
		t.Errorf("silent 30 days is %s, want dormant", got.State)
	}
	p.horizon = 56
	if got := p.only(t); got.State != StateScored || got.Score != .95 {
		t.Errorf("silent 30 days within 56 is %s %.4f, want scored 0.95", got.State, got.Score)
	}
}

func TestAssess_NoInputGivesNoRow(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rec, err := Rules().Assess(mem, Inputs{On: sunday})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if rec.NumRows() != 0 || !rec.Schema().Equal(Schema()) {
		t.Errorf("%d rows of %v, want 0 of the schema", rec.NumRows(), rec.Schema())
	}
}

func TestAssess_NamesTheColumnThatIsMissing(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	empty := array.NewRecord(arrow.NewSchema(nil, nil), nil, 0)
	for _, in := range []Inputs{{On: sunday, Daily: []arrow.Record{empty}}, {On: sunday, Subscriptions: empty}} {
		if _, err := Rules().Assess(mem, in); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("error %v, want one that names the missing column", err)
		}
	}
	broken := moneyRecord(mem, nil)
	defer broken.Release()
	cut := array.NewRecord(arrow.NewSchema(broken.Schema().Fields()[:8], nil), broken.Columns()[:8], 0)
	defer cut.Release()
	if _, err := MonthlyCost(mem, []arrow.Record{cut}, nil, sunday); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("error %v, want one that names the missing column", err)
	}
}

// charge is one usage_daily row with money.
type charge struct {
	Day             data.Day
	Sub, Currency   string
	Category        data.ChargeCategory
	Cost, Effective *data.Decimal
	Rows            int64
}

func moneyRecord(mem memory.Allocator, charges []charge) arrow.Record {
	s := data.UsageDailySchema()
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	for _, c := range charges {
		texts := map[string]string{"subscription_id": c.Sub, "currency": c.Currency, "charge_category": string(c.Category), "customer_id": "c", "category": "Storage"}
		amounts := map[string]*data.Decimal{"cost": c.Cost, "effective_cost": c.Effective}
		for i, f := range s.Fields() {
			switch b := b.Field(i).(type) {
			case *array.BinaryDictionaryBuilder:
				appendText(b, texts[f.Name])
			case *array.Decimal128Builder:
				if d := amounts[f.Name]; d != nil {
					b.Append(d.Arrow())
				} else {
					b.AppendNull()
				}
			case *array.Date32Builder:
				b.Append(arrow.Date32(c.Day))
			case *array.Int64Builder:
				b.Append(c.Rows)
			case *array.Int32Builder:
				b.Append(0)
			}
		}
	}
	return b.NewRecord()
}

func amount(s string) *data.Decimal {
	d, _, err := data.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return &d
}

// monthlyCost returns "subscription currency" to amount.
func monthlyCost(t testing.TB, charges []charge, known []data.Day, batch int) (map[string]string, error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer func() {
		if mem.CurrentAlloc() != 0 {
			t.Errorf("%d bytes are still held", mem.CurrentAlloc())
		}
	}()
	var daily []arrow.Record
	for c := range slices.Chunk(charges, batch) {
		rec := moneyRecord(mem, c)
		defer rec.Release()
		daily = append(daily, rec)
	}
	rec, err := MonthlyCost(mem, daily, known, sunday)
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	out := map[string]string{}
	for i := range int(rec.NumRows()) {
		d, _ := data.DecimalFromArrow(rec.Column(2).(*array.Decimal128).Value(i))
		out[rec.Column(0).ValueStr(i)+" "+rec.Column(1).ValueStr(i)] = d.String()
	}
	return out, nil
}

func TestMonthlyCost_IsThirtyTimesTheMeanOfTheKnownDaysSinceFirstUsage(t *testing.T) {
	charges := []charge{
		{sunday, "a", "EUR", data.ChargeUsage, amount("10"), amount("8"), 1},
		{sunday - 1, "a", "EUR", data.ChargeUsage, amount("4"), nil, 1},         // no effective cost: the cost
		{sunday - 2, "a", "EUR", data.ChargeUsage, amount("-7"), nil, 0},        // a day below 0 is 0
		{sunday - 3, "a", "EUR", data.ChargeUsage, amount("1"), nil, 1},         // first usage; 4 days of which 1 is unknown
		{sunday - 1, "a", "USD", data.ChargeUsage, amount("0.000001"), nil, 1},  // another currency, the same days
		{sunday, "a", "EUR", data.ChargePurchase, amount("1000"), nil, 1},       // no usage
		{sunday, "", "EUR", data.ChargeUsage, amount("1000"), nil, 1},           // nobody's
		{sunday + 1, "a", "EUR", data.ChargeUsage, amount("1000"), nil, 1},      // after the day
		{sunday - 85, "a", "EUR", data.ChargeUsage, amount("1000"), nil, 1},     // the 85th known day
		{sunday - 5, "b", "EUR", data.ChargeUsage, amount("0"), amount("0"), 0}, // nothing
	}
	known := append(slices.DeleteFunc(daysUpTo(sunday, 300), func(d data.Day) bool { return d == sunday-2 }), sunday+1)
	got, err := monthlyCost(t, charges, known, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a EUR": "130.00", "a USD": "0.00001"} // (8+4+1)/3*30
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("monthly cost (-want +got):\n%s", diff)
	}
}

func TestMonthlyCost_WithoutMoneyHasNoRows(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	daily := dailyRecord(mem, []use{{sunday, "a", "Storage", 1}})
	defer daily.Release()
	rec, err := MonthlyCost(mem, []arrow.Record{daily}, daysUpTo(sunday, 10), sunday)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if rec.NumRows() != 0 || !rec.Schema().Equal(MonthlyCostSchema()) {
		t.Errorf("%d rows of %v, want 0 of the schema", rec.NumRows(), rec.Schema())
	}
}

func TestMonthlyCost_RefusesWhatDoesNotFit(t *testing.T) {
	big := amount("99999999999999999999")
	_, err := monthlyCost(t, []charge{{sunday, "a", "EUR", data.ChargeUsage, big, nil, 1}}, daysUpTo(sunday, 9), 1)
	if !errors.Is(err, data.ErrOverflow) || !strings.Contains(err.Error(), `subscription "a" in EUR`) {
		t.Errorf("error %v, want an overflow that names the sum", err)
	}
}

// plainMonthlyCost is MonthlyCost by its definition, slowly.
func plainMonthlyCost(charges []charge, known []data.Day) map[string]string {
	known = slices.DeleteFunc(slices.Clone(known), func(d data.Day) bool { return d > sunday })
	known = known[max(0, len(known)-84):]
	out := map[string]string{}
	for _, of := range charges {
		total, days, began, priced := new(big.Int), int64(0), false, false
		for _, d := range known {
			day := new(big.Int)
			for _, c := range charges {
				value := c.Cost
				if c.Effective != nil {
					value = c.Effective
				}
				if c.Day != d || c.Sub != of.Sub || c.Category != data.ChargeUsage {
					continue
				}
				began = began || c.Rows > 0 || value != nil && !value.IsZero()
				if value != nil && c.Currency == of.Currency {
					priced = true
					day.Add(day, value.Arrow().BigInt())
				}
			}
			if day.Sign() > 0 {
				total.Add(total, day)
			}
			if began {
				days++
			}
		}
		if of.Sub == "" || !began || !priced {
			continue
		}
		// half-even: compare twice the remainder with the divisor
		q, r := new(big.Int).QuoRem(total.Mul(total, big.NewInt(30)), big.NewInt(days), new(big.Int))
		if c := r.Lsh(r, 1).Cmp(big.NewInt(days)); c > 0 || c == 0 && q.Bit(0) == 1 {
			q.Add(q, big.NewInt(1))
		}
		digits := q.String()
		digits = strings.Repeat("0", max(0, 19-len(digits))) + digits
		d, _, err := data.ParseDecimal(digits[:len(digits)-18] + "." + digits[len(digits)-18:])
		if err != nil {
			panic(err)
		}
		out[of.Sub+" "+of.Currency] = d.String()
	}
	return out
}

func TestMonthlyCost_AgreesWithItsDefinition(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.SampledFrom([]*data.Decimal{nil, nil, amount("0"), amount("0.000000000000000001"), amount("-3.5"), amount("12345678901234.000000000000000007"), amount("1")})
		charges := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) charge {
			return charge{sunday - data.Day(rapid.IntRange(-2, 99).Draw(t, "day")), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "sub"),
				rapid.SampledFrom([]string{"EUR", "USD"}).Draw(t, "currency"),
				rapid.SampledFrom([]data.ChargeCategory{data.ChargeUsage, data.ChargeUsage, data.ChargeCredit}).Draw(t, "charge"),
				value.Draw(t, "cost"), value.Draw(t, "effective"), int64(rapid.IntRange(0, 1).Draw(t, "rows"))}
		}), 1, 30).Draw(rt, "charges")
		known := slices.DeleteFunc(daysUpTo(sunday+2, 100), func(data.Day) bool { return rapid.IntRange(0, 9).Draw(rt, "unknown") == 0 })
		got, err := monthlyCost(t, charges, known, rapid.IntRange(1, 30).Draw(rt, "batch"))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(plainMonthlyCost(charges, known), got); diff != "" {
			rt.Fatalf("monthly cost (-definition +got):\n%s", diff)
		}
	})
}

func BenchmarkRules_TenThousandSubscriptions(b *testing.B) {
	p := portfolio{on: sunday, known: daysUpTo(sunday, HistoryDays)}
	for i := range 10000 {
		id := string(rune('a'+i%26)) + strings.Repeat("0", 20) + big.NewInt(int64(i)).String()
		p.subs = append(p.subs, sub{id: id, status: data.StatusActive})
	}
	mem := memory.NewGoAllocator()
	in := Inputs{On: p.on, Known: p.known, Subscriptions: subscriptionRecord(mem, p.subs)}
	rows := 0
	for _, d := range p.known {
		var uses []use
		for i, s := range p.subs {
			uses = append(uses, use{d, s.id, "Storage", 1}, use{d, s.id, []string{"SQL", "VM"}[i%2], 1})
		}
		rows += len(uses)
		in.Daily = append(in.Daily, dailyRecord(mem, uses))
	}
	for b.Loop() {
		rec, err := Rules().Assess(mem, in)
		if err != nil {
			b.Fatal(err)
		}
		rec.Release()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}
