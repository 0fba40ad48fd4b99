package churn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
)

func mustPrior(t testing.TB) *Model {
	t.Helper()
	m, err := Prior(DefaultHorizon)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// randomUses is a portfolio of subscriptions of many kinds over some days.
func randomUses(seed uint64, subscriptions, days int) []use {
	r := rand.New(rand.NewPCG(seed, 4))
	type kind struct{ often, cost, until, from float64 }
	kinds := make([]kind, subscriptions)
	for i := range kinds {
		kinds[i] = kind{often: r.Float64(), cost: math.Exp(3 * r.NormFloat64()), until: float64(days)}
		if r.Float64() < .4 {
			kinds[i].until *= r.Float64()
		}
		if r.Float64() < .3 {
			kinds[i].from = r.Float64() * kinds[i].until
		}
		if r.Float64() < .4 {
			kinds[i].often = 1
		}
	}
	var uses []use
	for d := range days {
		for i, k := range kinds {
			if float64(d) < k.from || float64(d) > k.until || r.Float64() > k.often {
				continue
			}
			for s := range 1 + r.IntN(3) {
				uses = append(uses, use{monday - data.Day(days-1-d), fmt.Sprintf("sub-%03d", i), fmt.Sprint("service ", s), math.Round(100*k.cost*(1+.2*r.NormFloat64()))/100 + 1})
			}
		}
	}
	return uses
}

func scoresOf(t testing.TB, m *Model, uses []use, on data.Day, days int) map[string]row {
	t.Helper()
	return assess(t, m, Inputs{On: on, History: historyOf(t, daysUpTo(on, days), uses)})
}

func TestScores_ScaleOfCostAndWholeWeeksChangeNothing(t *testing.T) {
	m := mustPrior(t)
	for seed := range uint64(5) {
		uses := randomUses(seed, 60, 150)
		before := scoresOf(t, m, uses, monday, 150)
		scaled, moved := slices.Clone(uses), slices.Clone(uses)
		for i := range uses {
			scaled[i].cost = math.Round(scaled[i].cost*37*100) / 100
			moved[i].day += 7 * 13
		}
		for name, r := range scoresOf(t, m, scaled, monday, 150) {
			if math.Abs(r.Score-before[name].Score) > 1e-4 || r.Band != before[name].Band {
				t.Errorf("%s: costs times 37: %.4f, before %.4f", name, r.Score, before[name].Score)
			}
		}
		for name, r := range scoresOf(t, m, moved, monday+7*13, 150) {
			if r.Score != before[name].Score || r.Band != before[name].Band {
				t.Errorf("%s: thirteen weeks later: %.4f, before %.4f", name, r.Score, before[name].Score)
			}
		}
	}
}

func TestScores_NothingAfterTheDayIsLookedAt(t *testing.T) {
	m := mustPrior(t)
	for seed := range uint64(5) {
		uses := randomUses(seed, 60, 200)
		on := monday - 40
		early := slices.DeleteFunc(slices.Clone(uses), func(u use) bool { return u.day > on })
		a := scoresOf(t, m, early, on, 160)
		b := assess(t, m, Inputs{On: on, History: historyOf(t, daysUpTo(monday, 200), uses)})
		for name := range a {
			if a[name] != b[name] {
				t.Errorf("%s: %+v without the later rows, %+v with them", name, a[name], b[name])
			}
		}
		// The same for what a model learns: rows after the day change nothing.
		first, err := Train(Inputs{On: on, History: historyOf(t, daysUpTo(on, 160), early)}, 28)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Train(Inputs{On: on, History: historyOf(t, daysUpTo(monday, 200), uses)}, 28)
		if err != nil {
			t.Fatal(err)
		}
		if first.Name() != second.Name() {
			t.Errorf("the model of %s differs when later rows are there", on)
		}
	}
}

// TestScores_ACurrencyOrACategoryThatComesLaterChangesNothing has a feed that changes after
// the day: half of the subscriptions are billed in dollars, fifty times as much, and all of
// them use a second category.
func TestScores_ACurrencyOrACategoryThatComesLaterChangesNothing(t *testing.T) {
	m := mustPrior(t)
	on := monday - 40
	var early, euros, dollars []use
	for _, u := range randomUses(7, 60, 200) {
		u.category = "Storage"
		switch later := u.day > on; {
		case !later:
			early, euros = append(early, u), append(euros, u)
		case u.sub[len(u.sub)-1]%2 == 0:
			u.cost *= 50
			dollars = append(dollars, u)
		default:
			euros = append(euros, u, use{u.day, u.sub, "Compute", 1})
		}
	}
	a, b := dailyRecordIn(memory.DefaultAllocator, "EUR", euros), dailyRecordIn(memory.DefaultAllocator, "USD", dollars)
	defer a.Release()
	defer b.Release()
	all, err := ReadHistory(daysUpTo(monday, 200), func(yield func(arrow.Record, error) bool) { _ = yield(a, nil) && yield(b, nil) })
	if err != nil {
		t.Fatal(err)
	}
	before := historyOf(t, daysUpTo(on, 160), early)
	want, got := assess(t, m, Inputs{On: on, History: before}), assess(t, m, Inputs{On: on, History: all})
	if len(want) < 40 {
		t.Fatalf("%d subscriptions", len(want))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %+v, without the later rows %+v", name, got[name], want[name])
		}
	}
	first, err := Train(Inputs{On: on, History: before}, 28)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Train(Inputs{On: on, History: all}, 28)
	if err != nil {
		t.Fatal(err)
	}
	if first.Name() != second.Name() {
		t.Error("the trained model differs when later rows are there")
	}
}

func TestScores_OrderOfRowsChangesNothing(t *testing.T) {
	m := mustPrior(t)
	uses := randomUses(3, 60, 150)
	before := scoresOf(t, m, uses, monday, 150)
	shuffled := slices.Clone(uses)
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, got := range scoresOf(t, m, shuffled, monday, 150) {
		if math.Abs(got.Score-before[name].Score) > 1e-4 || got.Band != before[name].Band {
			t.Errorf("%s: %+v, before %+v", name, got, before[name])
		}
	}
}

func TestScores_AddUpFromTheirContributions(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	uses := randomUses(8, 120, 150)
	rec, err := mustPrior(t).Assess(mem, Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 150), uses)})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	rows, err := Stored(rec)
	if err != nil {
		t.Fatal(err)
	}
	scored, risky := 0, 0
	for _, r := range rows {
		if r.Score == nil {
			if r.Detail != nil || r.Band != nil {
				t.Errorf("%s in state %s has a detail", r.SubscriptionID, r.State)
			}
			continue
		}
		scored++
		var d struct {
			Logit, Reference float64
			Contributions    map[Group]float64
			Features         map[string]float64
		}
		if err := json.Unmarshal([]byte(*r.Detail), &d); err != nil {
			t.Fatal(err)
		}
		sum := d.Reference
		for _, c := range d.Contributions {
			sum += c
		}
		if math.Abs(sum-d.Logit) > 1e-9 {
			t.Errorf("%s: the parts add up to %v, the logit is %v", r.SubscriptionID, sum, d.Logit)
		}
		if got := clamp(sigmoid(d.Logit), leastScore, mostScore); math.Abs(got-r.Score.Float64()) > 5e-5 {
			t.Errorf("%s: score %s, of its logit %v", r.SubscriptionID, r.Score, got)
		}
		if len(d.Features) != features+2 {
			t.Errorf("%s: %d features", r.SubscriptionID, len(d.Features))
		}
		var reasons []Reason
		if err := json.Unmarshal([]byte(r.Reasons), &reasons); err != nil {
			t.Fatal(err)
		}
		if *r.Band == string(BandLow) {
			continue
		}
		risky++
		if len(reasons) == 0 {
			t.Errorf("%s is %s and nothing says why: %+v", r.SubscriptionID, *r.Band, d.Contributions)
			continue
		}
		groups := map[string][]Group{"stop": {GroupStop, GroupSilence}, "silence": {GroupSilence, GroupStop}, "trend": {GroupActivityTrend, GroupActivity}, "activity": {GroupActivity, GroupActivityTrend},
			"cost": {GroupCostTrend}, "drop": {GroupDrop}, "services": {GroupServices}, "tenure": {GroupTenure}, "volatility": {GroupVolatility}}
		// Without the group of the first reason the score is lower.
		if !slices.ContainsFunc(groups[reasons[0].Code], func(g Group) bool { return sigmoid(d.Logit-d.Contributions[g]) < sigmoid(d.Logit) }) {
			t.Errorf("%s: first reason %+v of %+v", r.SubscriptionID, reasons[0], d.Contributions)
		}
	}
	if scored < 60 || risky < 5 {
		t.Errorf("%d scored, %d at risk", scored, risky)
	}
}

// TestScores_AHighLevelIsAReason has a portfolio of rare users that are much alike: most are
// at risk and few stand out.
func TestScores_AHighLevelIsAReason(t *testing.T) {
	var uses []use
	for i := range 60 {
		for d := 199 - i%20; d >= 20; d -= 20 {
			uses = append(uses, use{monday - data.Day(d-i%20), fmt.Sprintf("s%02d", i), "Storage", 5})
		}
	}
	high := 0
	for name, r := range scoresOf(t, mustPrior(t), uses, monday, 200) {
		if r.State == StateScored && r.Band != BandLow && r.Reasons == "[]" {
			t.Errorf("%s: %+v", name, r)
		}
		if strings.Contains(r.Reasons, `"code":"base","share":0.`) {
			high++
		}
	}
	if high == 0 {
		t.Error("the level of the portfolio is nobody's reason")
	}
}

// TestScores_TheWeekBeforeIsTheScoreOfThen compares what a score is said to have been with an
// assessment of that day.
func TestScores_TheWeekBeforeIsTheScoreOfThen(t *testing.T) {
	h := historyOf(t, daysUpTo(monday, 150), randomUses(8, 120, 150))
	rec, err := mustPrior(t).Assess(memory.DefaultAllocator, Inputs{On: monday, History: h})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	rows, err := Stored(rec)
	if err != nil {
		t.Fatal(err)
	}
	then, rose := assess(t, mustPrior(t), Inputs{On: monday - 7, History: h}), 0
	for _, r := range rows {
		var d Detail
		if r.Detail == nil {
			continue
		}
		if err := json.Unmarshal([]byte(*r.Detail), &d); err != nil {
			t.Fatal(err)
		}
		if d.WhyNow == nil {
			continue
		}
		if rose++; d.WhyNow.Before != then[string(r.SubscriptionID)].Score {
			t.Errorf("%s: before %.4f, on that day %+v", r.SubscriptionID, d.WhyNow.Before, then[string(r.SubscriptionID)])
		}
	}
	if rose < 3 {
		t.Errorf("%d rose", rose)
	}
}

// TestScores_AreOfThePopulationThatWasTrainedOn states who is scored when it trains.
func TestScores_AreOfThePopulationThatWasTrainedOn(t *testing.T) {
	uses := randomUses(9, 80, 200)
	h := historyOf(t, daysUpTo(monday, 200), uses)
	m, err := Train(Inputs{On: monday, History: h, Population: Population{Window: 60, Least: 5}}, 28)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if m, err = ReadModel(raw); err != nil {
		t.Fatal(err)
	}
	m.file.NoSignal = false
	few, many := 0, 0
	for name, r := range assess(t, m, Inputs{On: monday, History: h}) {
		days := map[data.Day]bool{}
		for _, u := range uses {
			if u.sub == name && u.day > monday-60 {
				days[u.day] = true
			}
		}
		if scored := r.State == StateScored; scored != (len(days) >= 5) {
			t.Errorf("%s, used on %d of 60 days, is %s", name, len(days), r.State)
		} else if scored {
			many++
		} else {
			few++
		}
	}
	if few < 3 || many < 20 {
		t.Errorf("%d scored, %d not", many, few)
	}
}

func TestStates_NewIsSeenByItsFirstUsage(t *testing.T) {
	var uses []use
	for d := 99; d >= 0; d-- {
		for name, age := range map[string]int{"old": 100, "six days": 6, "seven days": 7, "bought long ago": 3} {
			if d < age {
				uses = append(uses, use{monday - data.Day(d), name, "Storage", 5})
			}
		}
	}
	inv := inventory(t, subject{text: "old", status: data.StatusActive}, subject{text: "six days", status: data.StatusActive},
		subject{text: "seven days", status: data.StatusActive}, subject{text: "bought long ago", status: data.StatusActive, created: new(monday - 80)})
	defer inv.Release()
	want := map[string]State{"old": StateScored, "six days": StateNew, "seven days": StateScored, "bought long ago": StateScored}
	for name, r := range assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 100), uses), Subscriptions: inv}) {
		if r.State != want[name] {
			t.Errorf("%s is %s", name, r.State)
		}
	}
	// Nobody is new in an archive that is no older than its usage.
	for name, r := range assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 12), uses), Subscriptions: inv}) {
		if name == "six days" && r.State != StateScored {
			t.Errorf("in an archive of twelve days %s is %s", name, r.State)
		}
	}
}

func TestScores_UnknownDaysAreNotSilence(t *testing.T) {
	m := mustPrior(t)
	var uses []use
	for i := range 40 {
		for d := range 120 {
			uses = append(uses, use{monday - data.Day(119-d), fmt.Sprintf("s%02d", i), "Storage", 5})
		}
	}
	// The last ten days were not extracted.
	known := daysUpTo(monday-10, 110)
	got := assess(t, m, Inputs{On: monday, History: historyOf(t, known, uses)})["s00"]
	all := assess(t, m, Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 120), uses)})["s00"]
	if got.State != StateScored || got.Band != BandLow || got.Score > all.Score+.01 {
		t.Errorf("with ten unknown days %+v, with all known %+v", got, all)
	}
	// A hole in the middle is no pause either.
	hole := slices.DeleteFunc(daysUpTo(monday, 120), func(d data.Day) bool { return d > monday-40 && d < monday-20 })
	if got := assess(t, m, Inputs{On: monday, History: historyOf(t, hole, uses)})["s00"]; got.Band != BandLow || got.Reasons != "[]" {
		t.Errorf("with a hole %+v", got)
	}
}

// inventory is a record of subscriptions, of one customer where none is given.
func inventory(t testing.TB, rows ...subject) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, data.SubscriptionsSchema())
	defer b.Release()
	day := func(f array.Builder, d *data.Day) {
		if d == nil {
			f.AppendNull()
		} else {
			f.(*array.Date32Builder).Append(arrow.Date32(*d))
		}
	}
	for _, s := range rows {
		for i, f := range b.Schema().Fields() {
			switch f.Name {
			case "subscription_id":
				appendText(b.Field(i), s.text)
			case "customer_id":
				appendText(b.Field(i), cmp.Or(s.customer, "customer"))
			case "status":
				appendText(b.Field(i), string(s.status))
			case "created":
				day(b.Field(i), s.created)
			case "ended_at":
				day(b.Field(i), s.ended)
			case "last_usage":
				day(b.Field(i), s.lastUsage)
			case "commitment_end":
				day(b.Field(i), s.commitmentEnd)
			case "auto_renew":
				if s.autoRenew == nil {
					b.Field(i).AppendNull()
				} else {
					b.Field(i).(*array.BooleanBuilder).Append(*s.autoRenew)
				}
			case "snapshot_date":
				b.Field(i).(*array.Date32Builder).Append(0)
			default:
				b.Field(i).AppendNull()
			}
		}
	}
	return b.NewRecord()
}

func TestStates(t *testing.T) {
	var uses []use
	daily := func(name string, from, until int) { // days before the last
		for d := from; d >= until; d-- {
			uses = append(uses, use{monday - data.Day(d), name, "Storage", 5})
		}
	}
	for _, name := range []string{"scored", "suspended", "ended", "expired", "ended later", "pending"} {
		daily(name, 99, 0)
	}
	daily("dormant", 99, 30)
	daily("pending idle", 99, 30)
	daily("new", 3, 0)
	daily("not yet", 0, 0)
	inv := inventory(t,
		subject{text: "scored", status: data.StatusActive, commitmentEnd: new(monday + 20), autoRenew: new(false)},
		subject{text: "suspended", status: data.StatusSuspended}, subject{text: "ended", status: data.StatusActive, ended: new(monday - 1)},
		subject{text: "expired", status: data.StatusExpired}, subject{text: "ended later", status: data.StatusDeprovisioned, ended: new(monday + 3)},
		subject{text: "pending", status: data.StatusPending}, subject{text: "dormant", status: data.StatusActive},
		subject{text: "pending idle", status: data.StatusPending}, subject{text: "new", status: data.StatusActive, created: new(monday - 3)},
		subject{text: "never", status: data.StatusActive}, subject{text: "not yet", status: data.StatusActive, created: new(monday + 1)})
	defer inv.Release()
	got := assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 100), uses), Subscriptions: inv})
	want := map[string]State{"scored": StateScored, "suspended": StateSuspended, "ended": StateEnded, "expired": StateEnded, "ended later": StateScored,
		"pending": StateScored, "dormant": StateDormant, "pending idle": StateNoSignal, "new": StateNew, "never": StateDormant}
	for name, state := range want {
		if got[name].State != state {
			t.Errorf("%s is %q, want %q", name, got[name].State, state)
		}
	}
	if _, there := got["not yet"]; there {
		t.Error("a subscription that is created later is assessed")
	}
	few := assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 6), uses), Subscriptions: inv})
	if few["scored"].State != StateNoSignal {
		t.Errorf("with six known days %+v", few["scored"])
	}
}

func TestFlags(t *testing.T) {
	s := subject{commitmentEnd: new(monday + 60), autoRenew: new(false), trial: true}
	if got := fmt.Sprint(s.flags(monday)); got != fmt.Sprint([]Flag{{"renewal", new(monday + 60), 60}, {"no_auto_renew", new(monday + 60), 0}, {"trial", nil, 0}}) {
		t.Errorf("flags %s", got)
	}
	if got := s.flags(monday - 1); len(got) != 1 {
		t.Errorf("61 days before the end: %v", got)
	}
	if got := s.flags(monday + 61); len(got) != 1 {
		t.Errorf("after the end: %v", got)
	}
}

func TestLabel_MovedIsNotLost(t *testing.T) {
	var uses []use
	for d := 99; d >= 0; d-- {
		day := monday - data.Day(d)
		if d > 20 {
			uses = append(uses, use{day, "old", "Storage", 100}, use{day, "gone", "Storage", 100})
		} else {
			uses = append(uses, use{day, "successor", "Storage", 90})
		}
		uses = append(uses, use{day, "steady", "Storage", 5})
	}
	ended := new(monday - 20)
	list := []subject{{text: "old", customer: "a", status: data.StatusDeprovisioned, ended: ended}, {text: "successor", customer: "a", status: data.StatusActive},
		{text: "gone", customer: "b", status: data.StatusDeprovisioned, ended: ended}, {text: "steady", customer: "b", status: data.StatusActive}}
	h := historyOf(t, daysUpTo(monday, 100), uses)
	for i := range list {
		list[i].account, _ = h.subscriptions.Find(list[i].text)
	}
	s := newStudy(mustPrior(t).terms, h, 28, Population{}, list)
	for name, want := range map[string][2]bool{"old": {false, false}, "gone": {true, true}, "steady": {false, true}} {
		id, _ := h.subscriptions.Find(name)
		if churned, known := s.label(id, h.place(monday-30)); known != want[1] || known && churned != want[0] {
			t.Errorf("%s: churned %v, known %v", name, churned, known)
		}
	}
	id, _ := h.subscriptions.Find("steady")
	if _, known := s.label(id, h.place(monday-27)); known {
		t.Error("a label is known before its horizon has passed")
	}
}

// TestTrain_LearnsFromLossesWithoutADate has subscriptions that went, once with the day on
// which they did and once with nothing but the status of today.
func TestTrain_LearnsFromLossesWithoutADate(t *testing.T) {
	const days, subscriptions = 200, 60
	var dated, undated []subject
	var uses []use
	losses := 0
	for i := range subscriptions {
		name, stop := fmt.Sprintf("s%02d", i), days
		s := subject{text: name, status: data.StatusActive}
		if i%3 == 0 {
			stop = 100 + i
			s.status, s.ended = []data.Status{data.StatusSuspended, data.StatusDeprovisioned, data.StatusExpired}[i/3%3], new(monday-data.Day(days-1-stop))
		}
		dated = append(dated, s)
		s.ended = nil
		undated = append(undated, s)
		for d := range stop {
			uses = append(uses, use{monday - data.Day(days-1-d), name, "Storage", 5})
		}
		// Origins lie a week apart from day 56 to day 171, all of them known to be over by day 199.
		for o := days - 1 - 28; o >= 56; o -= 7 {
			if stop < days && o < stop && stop <= o+28 {
				losses++
			}
		}
	}
	h := historyOf(t, daysUpTo(monday, days), uses)
	for what, list := range map[string][]subject{"dated": dated, "undated": undated} {
		m, err := Train(Inputs{On: monday, History: h, Subscriptions: inventory(t, list...)}, 28)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Training().Churned; got != losses || losses < 50 {
			t.Errorf("%s: %d lost outcomes, there are %d", what, got, losses)
		}
	}
}

func TestFit_MeetsTheConditionsOfAnOptimum(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n, k := rapid.IntRange(5, 80).Draw(rt, "rows"), rapid.IntRange(1, 5).Draw(rt, "terms")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 3))
		l := &labelled{}
		for range n {
			row := make([]float64, k)
			for j := range row {
				row[j] = 2 * r.NormFloat64()
			}
			l.add(row, r.Float64() < sigmoid(row[0]), .1+r.Float64())
		}
		var p penalty
		for range k {
			lo, hi := math.Inf(-1), math.Inf(1)
			switch r.IntN(3) {
			case 0:
				lo = 0
			case 1:
				hi = 0
			}
			p.add(clamp(r.NormFloat64(), lo, hi), 1/(.35*.35), lo, hi)
		}
		p.add(0, .1, math.Inf(-1), math.Inf(1))
		beta, err := fit(l, p)
		if err != nil {
			rt.Fatal(err)
		}
		// The loss, written once more, must not fall in any direction that is allowed.
		loss := func(b []float64) float64 {
			sum := 0.0
			for j := range b {
				sum += p.precision[j] * math.Pow(b[j]-p.mean[j], 2) / 2
			}
			for i, row := range l.rows {
				z := b[k]
				for j, x := range row {
					z += b[j] * x
				}
				q := 1 / (1 + math.Exp(-z))
				if l.churned[i] {
					sum -= l.weights[i] * math.Log(q)
				} else {
					sum -= l.weights[i] * math.Log(1-q)
				}
			}
			return sum
		}
		best := loss(beta)
		for j := range beta {
			for _, step := range []float64{1e-4, -1e-4} {
				other := slices.Clone(beta)
				other[j] = clamp(beta[j]+step, p.lo[j], p.hi[j])
				if loss(other) < best-1e-9 {
					rt.Fatalf("coefficient %d: the loss falls from %v to %v when it moves by %v", j, best, loss(other), step)
				}
			}
		}
	})
}

// history with churn that follows usage, or does not.
func historyWithChurn(t testing.TB, follows bool) Inputs {
	t.Helper()
	const days, subscriptions = 330, 260
	r := rand.New(rand.NewPCG(11, 5))
	var list []subject
	stop := make([]int, subscriptions)
	for i := range stop {
		stop[i] = days + 1
		if r.Float64() < .6 {
			stop[i] = 90 + r.IntN(days-90)
		}
		s := subject{text: fmt.Sprintf("s%03d", i), customer: fmt.Sprintf("c%03d", i), status: data.StatusActive}
		if stop[i] < days {
			s.status, s.ended = data.StatusDeprovisioned, new(monday-data.Day(days-1-stop[i]))
		}
		list = append(list, s)
	}
	var uses []use
	for d := range days {
		for i := range stop {
			often := .9
			switch {
			case d >= stop[i]:
				continue
			case follows && d > stop[i]-25:
				often = .25 // it fades before it goes
			}
			if r.Float64() < often {
				uses = append(uses, use{monday - data.Day(days-1-d), fmt.Sprintf("s%03d", i), "Storage", 10})
			}
		}
	}
	inv := inventory(t, list...)
	t.Cleanup(inv.Release)
	return Inputs{On: monday, History: historyOf(t, daysUpTo(monday, days), uses), Subscriptions: inv}
}

func TestGate_TripsOnlyWhereChurnDoesNotFollowUsage(t *testing.T) {
	for _, follows := range []bool{true, false} {
		in := historyWithChurn(t, follows)
		m, err := Train(in, 28)
		if err != nil {
			t.Fatal(err)
		}
		if m.NoSignal() == follows {
			t.Errorf("churn follows usage: %v; no signal: %v, AUC %+v of %+v", follows, m.NoSignal(), m.Training().AUC, m.Training())
		}
		for name, r := range assess(t, m, in) {
			if !follows && r.State == StateScored {
				t.Fatalf("%s has a score where there is no signal", name)
			}
		}
	}
}

// TestTry_JudgesBothOnOutcomesThatNeitherSaw compares with a model trained on what there was
// on the day, and with Brier scores added up by hand.
func TestTry_JudgesBothOnOutcomesThatNeitherSaw(t *testing.T) {
	in := historyWithChurn(t, true)
	then := in
	then.On = monday - 28
	made, err := Train(then, 28)
	if err != nil {
		t.Fatal(err)
	}
	// What is made on that day is the very model in use: they are equally good.
	got, ok, err := made.Try(in)
	if err != nil || !ok || got.On != then.On || math.Abs(got.New-got.InUse) > 1e-9 {
		t.Fatalf("%+v, %v, %v", got, ok, err)
	}
	sum, n := 0.0, 0.0
	for name, r := range assess(t, made, then) {
		if r.State != StateScored {
			continue
		}
		id, _ := in.History.subscriptions.Find(name)
		lost := 1.0
		for d := monday - 27; d <= monday; d++ {
			if in.History.accounts[id].used.has(in.History.place(d)) {
				lost = 0
			}
		}
		c := dayEnded(t, in.Subscriptions, name)
		if c != nil && *c > then.On && *c <= monday {
			lost = 1
		}
		sum, n = sum+(r.Score-lost)*(r.Score-lost), n+1
	}
	if math.Abs(sum/n-got.InUse) > 1e-9 {
		t.Errorf("Brier %v, by hand %v of %v rows", got.InUse, sum/n, n)
	}
	late := in
	late.On = monday - 1
	if _, ok, err := made.Try(late); ok || err != nil {
		t.Errorf("tried on what it had seen: %v, %v", ok, err)
	}
}

func dayEnded(t testing.TB, inventory arrow.Record, name string) *data.Day {
	t.Helper()
	at := func(column string) arrow.Array { return inventory.Column(inventory.Schema().FieldIndices(column)[0]) }
	for i := range int(inventory.NumRows()) {
		if ended := at("ended_at").(*array.Date32); at("subscription_id").ValueStr(i) == name && ended.IsValid(i) {
			return new(data.Day(ended.Value(i)))
		}
	}
	return nil
}

func TestTrain_WithFewOutcomesTakesTheLevelOnly(t *testing.T) {
	uses := randomUses(2, 12, 120)
	in := Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 120), uses)}
	m, err := Train(in, 28)
	if err != nil {
		t.Fatal(err)
	}
	if m.Kind() != KindRate || m.Calibrated() || !slices.Equal(m.file.Terms, mustPrior(t).file.Terms) {
		t.Errorf("kind %s of %+v", m.Kind(), m.Training())
	}
	if _, err := Train(Inputs{On: monday - 60, History: in.History}, 28); err == nil {
		t.Error("trained without any outcome")
	}
}

// TestTrain_CountsWhoWasLostNotHowOften has losses that are four rows each.
func TestTrain_CountsWhoWasLostNotHowOften(t *testing.T) {
	for lost, want := range map[int]Kind{19: KindRate, 20: KindFitted} {
		var uses []use
		for i := range 80 {
			for d := 199; d >= 0 && (i >= lost || d > 30+i); d-- {
				uses = append(uses, use{monday - data.Day(d), fmt.Sprintf("s%02d", i), "Storage", 5})
			}
		}
		m, err := Train(Inputs{On: monday, History: historyOf(t, daysUpTo(monday, 200), uses)}, 28)
		if err != nil {
			t.Fatal(err)
		}
		if tr := m.Training(); m.Kind() != want || tr.Lost != lost || tr.Subscriptions != 80 || tr.Churned < 2*lost {
			t.Errorf("%d lost: %s, %+v", lost, m.Kind(), tr)
		}
	}
}

func TestModel_IsReadAsItWasWritten(t *testing.T) {
	in := historyWithChurn(t, true)
	m, err := Train(in, 28)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadModel(raw)
	if err != nil {
		t.Fatal(err)
	}
	if again.Name() != m.Name() || len(m.Name()) != 64 {
		t.Errorf("name %q, written as %q", again.Name(), m.Name())
	}
	a, b := assess(t, m, in), assess(t, again, in)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s: %+v, read again %+v", name, a[name], b[name])
		}
	}
	for _, bad := range []string{"", "{}", `{"method":"usage-2"}`, `{"method":"usage-1","kind":"fitted","horizon_days":28,"terms":[1]}`} {
		if _, err := ReadModel([]byte(bad)); err == nil {
			t.Errorf("a model is read from %q", bad)
		}
	}
}

func TestBacktest_LearnsAndJudges(t *testing.T) {
	in := historyWithChurn(t, true)
	b, err := RunBacktest(in, 28, []data.Day{monday - 400, monday - 84, monday - 56, monday - 28, monday - 27}, []string{"prior", "trained"})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Origins) != 3 || len(b.Skipped) != 2 {
		t.Errorf("origins %v, skipped %v", b.Origins, b.Skipped)
	}
	trained := b.Models["trained"]
	if *trained.AUCWithin < .6 || trained.ECE > .06 || trained.Origins != 3 || len(trained.Predictions) != trained.Rows {
		t.Errorf("trained: AUC %.3f, ECE %.3f, %d origins", *trained.AUCWithin, trained.ECE, trained.Origins)
	}
	for _, name := range BacktestModels() {
		if m := b.Models[name]; m.Rows != trained.Rows || m.BaseRate != trained.BaseRate {
			t.Errorf("%s is judged on %d rows, base rate %v", name, m.Rows, m.BaseRate)
		}
	}
}

// TestBacktest_ComparesOnOriginsInCommon has an origin before any outcome was known, which the
// simple methods cannot score.
func TestBacktest_ComparesOnOriginsInCommon(t *testing.T) {
	in := historyWithChurn(t, true)
	late := []data.Day{monday - 84, monday - 56}
	early := in.History.on(60)
	both, err := RunBacktest(in, 28, append([]data.Day{early}, late...), []string{"prior"})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := RunBacktest(in, 28, late, []string{"prior"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prior", "recency", "rfm", "drop_ratio"} {
		if got, want := both.Models[name].AUCCommon, alone.Models[name].AUCWithin; *got != *want {
			t.Errorf("%s: in common %v, on those origins alone %v", name, *got, *want)
		}
		m := alone.Models[name]
		if got, want := *both.Models[name].Common, (Common{m.Brier, m.ECE, m.LiftTop10, m.Rows}); got.Brier != want.Brier || got.ECE != want.ECE || *got.LiftTop10 != *want.LiftTop10 || got.Rows != want.Rows {
			t.Errorf("%s: in common %+v, on those origins alone %+v", name, got, want)
		}
	}
	if both.SameRows() || !alone.SameRows() {
		t.Errorf("the same rows: %v with an origin that only the prior has, %v without", both.SameRows(), alone.SameRows())
	}
	if both.Models["prior"].Rows <= both.Models["recency"].Rows || both.Models["prior"].Origins != 3 {
		t.Errorf("prior is judged on %d rows of %d origins, recency on %d", both.Models["prior"].Rows, both.Models["prior"].Origins, both.Models["recency"].Rows)
	}
}

// TestBacktest_RanksBelowTheFloor has a portfolio of subscriptions that are nearly all as safe as
// a score of the prior can say; the order among them counts.
func TestBacktest_RanksBelowTheFloor(t *testing.T) {
	p := []Prediction{{"a", 0, leastScore, false, -9}, {"b", 0, leastScore, true, -6}, {"c", 0, leastScore, false, -7}, {"d", 0, .5, false, 0}}
	// Of the three pairs of lost and kept, b stands above a and c, and below d.
	if got := grade(p).within(grade(p).sorted(true), nil); math.Abs(got-2./3) > 1e-12 {
		t.Errorf("AUC %v", got)
	}
}
