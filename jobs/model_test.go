package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform/churn"
)

// fading is a partner whose subscriptions are used less and less before they go.
func fading(t *testing.T) (*lab, data.Period) {
	t.Helper()
	const days, subscriptions = 220, 120
	r := rand.New(rand.NewPCG(3, 8))
	window := data.Period{From: day0, To: day0 + days - 1}
	f := &fakeSource{kind: "test"}
	for i := range subscriptions {
		id := fmt.Sprintf("s%03d", i)
		stop := days
		if i%2 == 0 {
			stop = 60 + r.IntN(days-60)
		}
		for d := range days {
			if d < stop && r.Float64() < map[bool]float64{true: .9, false: .25}[d < stop-28] {
				f.usage = append(f.usage, used(day0+data.Day(d), "c"+id, id))
			}
		}
		f.customers = append(f.customers, data.Customer{CustomerID: data.CustomerID("c" + id), Name: &id})
		f.subscriptions = append(f.subscriptions, data.Subscription{SubscriptionID: data.SubscriptionID(id), CustomerID: data.CustomerID("c" + id), Status: data.StatusActive})
	}
	l := newLab(t)
	if _, err := l.extract(Extract{Usage: f, Inventory: f, InventoryDay: window.To, Days: &window}); err != nil {
		t.Fatal(err)
	}
	return l, window
}

func (l *lab) train(q ChurnQuery) (Trained, error) {
	l.runs++
	return Train(context.Background(), l.arc, archive.RunInfo{ID: fmt.Sprintf("run%03d", l.runs), Job: "train", Source: "tidemark", Started: l.now}, q, l.now, "test")
}

func TestTrain_IsUsedFromThenOnAndExplainsWhatItScored(t *testing.T) {
	ctx := context.Background()
	l, window := fading(t)
	before := l.now
	q := ChurnQuery{Horizon: churn.DefaultHorizon}
	trained, err := l.train(q)
	if err != nil {
		t.Fatal(err)
	}
	if trained.Used != trained.Model || trained.Previous.Kind() != churn.KindPrior || trained.Model.Kind() != churn.KindFitted {
		t.Fatalf("%s model, used %s, before %s: %s", trained.Model.Kind(), trained.Used.Name(), trained.Previous.Name(), trained.Why)
	}
	if tr := trained.Model.Training(); tr.Versions["usage_daily"] != 0 || tr.KnownAt == nil || tr.Watermark != window.To {
		t.Errorf("it was trained on %+v", tr)
	}
	now, err := ModelIn(ctx, l.view())
	if err != nil || now.Name() != trained.Model.Name() {
		t.Fatalf("in use is %v, %v", now, err)
	}
	// What was known before the training is still scored by the prior.
	old, err := l.arc.View(ctx, &before)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ModelIn(ctx, old); err != nil || m.Kind() != churn.KindPrior {
		t.Errorf("as of before the training: %v, %v", m, err)
	}
	spec, err := data.ParsePeriod(data.Period{From: window.To - 6, To: window.To}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(ctx, l.view(), Query{Period: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	if p.Model != trained.Model.Name() || p.NoSignal {
		t.Errorf("the portfolio was scored by %s", p.Model)
	}
	if m, err := modelNamed(ctx, l.view(), p.Model); err != nil || m.Name() != p.Model {
		t.Errorf("a report of it is explained by %v, %v", m, err)
	}
	if _, err := modelNamed(ctx, l.view(), "rules-1"); err == nil || !strings.Contains(err.Error(), "rules-1") {
		t.Errorf("a model of an old program: %v", err)
	}
}

// forged is a model with some of its file changed.
func forged(t *testing.T, m *churn.Model, change func(file, training map[string]any)) *churn.Model {
	t.Helper()
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]any
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	change(file, file["training"].(map[string]any))
	if raw, err = json.Marshal(file); err != nil {
		t.Fatal(err)
	}
	out, err := churn.ReadModel(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTrain_TheBetterOfTwoIsUsed tries models in use on outcomes that they say they had not
// seen: one that in truth has and is surer of them, and one that expects the worst of everybody.
func TestTrain_TheBetterOfTwoIsUsed(t *testing.T) {
	l, window := fading(t)
	first, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	in, err := ChurnInputs(context.Background(), l.view(), ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Subscriptions.Release()
	early := (window.To - 28).String()
	unseen := func(surer, intercept float64) *churn.Model {
		return forged(t, first.Model, func(file, training map[string]any) {
			terms := file["terms"].([]any)
			for i := range terms {
				terms[i] = surer * terms[i].(float64)
			}
			file["intercept"], training["watermark"] = file["intercept"].(float64)+intercept, early
		})
	}
	signalless := forged(t, first.Model, func(file, training map[string]any) { file["no_signal"], training["watermark"] = true, early })
	for name, c := range map[string]struct {
		inUse *churn.Model
		stays bool
		why   string
	}{
		"one that judges better stays":          {unseen(1.2, .5), true, "judged better"},
		"one that judges worse goes":            {unseen(1, 5), false, "fitted to"},
		"one that gives no scores goes":         {signalless, false, "fitted to"},
		"one that saw the outcomes goes":        {forged(t, unseen(1.2, .5), func(_, tr map[string]any) { tr["watermark"] = (window.To - 27).String() }), false, "fitted to"},
		"the prior goes":                        {first.Previous, false, "fitted to"},
		"one that looks further ahead goes":     {forged(t, unseen(1.2, .5), func(file, _ map[string]any) { file["horizon_days"] = 56 }), false, "fitted to"},
		"one made as of a later day stays":      {forged(t, first.Model, func(_, tr map[string]any) { tr["watermark"] = (window.To + 1).String() }), true, "the newer one stays"},
		"one of a population of its own goes":   {forged(t, unseen(1.2, .5), func(file, _ map[string]any) { file["population"] = churn.Population{Window: 60, Least: 5} }), false, "fitted to"},
		"the same model is no worse than it is": {first.Model, false, "it is the same"},
	} {
		second := Trained{Model: first.Model, Previous: c.inUse}
		if err := second.choose(in); err != nil {
			t.Fatal(err)
		}
		if stays := second.Used == c.inUse && c.inUse != first.Model; stays != c.stays || !strings.Contains(second.Why, c.why) {
			t.Errorf("%s: stays %v: %s", name, stays, second.Why)
		}
	}
	// The same data again make the same model.
	again, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	if again.Used.Name() != first.Model.Name() || again.Model.Name() != first.Model.Name() || !strings.Contains(again.Why, "the same") {
		t.Errorf("trained again: used %s, made %s: %s", again.Used.Name(), again.Model.Name(), again.Why)
	}
}

// TestTrain_AnOlderDayDoesNotReplaceANewerModel would else turn the mails back by months.
func TestTrain_AnOlderDayDoesNotReplaceANewerModel(t *testing.T) {
	l, window := fading(t)
	newer, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	older, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon, Watermark: new(window.To - 60)})
	if err != nil {
		t.Fatal(err)
	}
	inUse, err := ModelIn(context.Background(), l.view())
	if err != nil {
		t.Fatal(err)
	}
	if inUse.Name() != newer.Model.Name() || !strings.Contains(older.Why, (window.To-60).String()) {
		t.Errorf("in use: the model of %s; %s", inUse.Training().Watermark, older.Why)
	}
}

// TestTrain_AnotherHorizonIsNotPutInUse would else tell of another time in the mails, and
// bypass what was found out about the one they tell of.
func TestTrain_AnotherHorizonIsNotPutInUse(t *testing.T) {
	l, _ := fading(t)
	for _, before := range []churn.Kind{churn.KindPrior, churn.KindFitted} {
		other, err := l.train(ChurnQuery{Horizon: 14})
		if err != nil {
			t.Fatal(err)
		}
		inUse, err := ModelIn(context.Background(), l.view())
		if err != nil {
			t.Fatal(err)
		}
		if inUse.Kind() != before || inUse.Horizon() != churn.DefaultHorizon || other.Model.Horizon() != 14 || !strings.Contains(other.Why, "14 days ahead") {
			t.Errorf("in use: %s of %d days; %s", inUse.Kind(), inUse.Horizon(), other.Why)
		}
		if _, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrain_APopulationOfItsOwnIsNotPutInUse would else leave people out of the mails.
func TestTrain_APopulationOfItsOwnIsNotPutInUse(t *testing.T) {
	l, _ := fading(t)
	for _, p := range []churn.Population{{Window: 60}, {Least: 5}} {
		foreign, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon, Population: p})
		if err != nil {
			t.Fatal(err)
		}
		inUse, err := ModelIn(context.Background(), l.view())
		if err != nil {
			t.Fatal(err)
		}
		if inUse.Kind() != churn.KindPrior || foreign.Used != foreign.Previous || !strings.Contains(foreign.Why, "population") {
			t.Errorf("%+v: in use: %s; %s", p, inUse.Kind(), foreign.Why)
		}
	}
	usual, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon, Population: churn.Population{Least: 1}})
	if err != nil || usual.Used != usual.Model {
		t.Errorf("everybody used at all: %s, %v", usual.Why, err)
	}
}

// TestTrain_CountsLossesThatOnlyAStatusTells has an inventory that says who is suspended
// today, not since when, beside one that still had everybody.
func TestTrain_CountsLossesThatOnlyAStatusTells(t *testing.T) {
	told, window := fading(t)
	without, err := told.train(ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	for _, snapshots := range [][]data.Day{{window.To}, {window.From, window.To}} {
		l, _ := fading(t)
		for _, day := range snapshots {
			f := inventoryAt(day == window.To)
			if _, err := l.extract(Extract{Usage: f, Inventory: f, InventoryDay: day, Days: &data.Period{From: window.To + 1, To: window.To + 1}}); err != nil {
				t.Fatal(err)
			}
		}
		trained, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := trained.Model.Training().Churned, without.Model.Training().Churned; got < want || want < 50 {
			t.Errorf("snapshots %v: %d lost outcomes, %d by usage alone", snapshots, got, want)
		}
	}
}

// inventoryAt is the inventory of fading; suspended says whether who went silent is suspended in it.
func inventoryAt(suspended bool) *fakeSource {
	f := &fakeSource{kind: "test"}
	for i := range 120 {
		id, status := fmt.Sprintf("s%03d", i), data.StatusActive
		if suspended && i%2 == 0 {
			status = data.StatusSuspended
		}
		f.customers = append(f.customers, data.Customer{CustomerID: data.CustomerID("c" + id), Name: &id})
		f.subscriptions = append(f.subscriptions, data.Subscription{SubscriptionID: data.SubscriptionID(id), CustomerID: data.CustomerID("c" + id), Status: status})
	}
	return f
}

func TestTrain_WithoutAnyOutcomeChangesNothing(t *testing.T) {
	l, window := fading(t)
	if _, err := l.train(ChurnQuery{Horizon: churn.DefaultHorizon, Watermark: new(window.From + 60)}); !errors.Is(err, churn.ErrNoLabels) {
		t.Errorf("error %v", err)
	}
	if _, found, err := l.view().Training(context.Background()); found || err != nil {
		t.Errorf("a training is stored: %v", err)
	}
}

// TestScores_AreStoredOnceForAllWhoAreTold records two roles' reports of one portfolio.
func TestScores_AreStoredOnceForAllWhoAreTold(t *testing.T) {
	ctx := context.Background()
	l, window := fading(t)
	spec, err := data.ParsePeriod(data.Period{From: window.To - 6, To: window.To}.String())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p, err := Load(ctx, l.view(), Query{Period: spec})
		if err != nil {
			t.Fatal(err)
		}
		l.runs++
		rec := Recorder{Archive: l.arc, Run: archive.RunInfo{ID: fmt.Sprintf("run%03d", l.runs), Started: l.now}, Producer: "test"}.Begin(Digests{Portfolio: p})
		if err := rec.start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := rec.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		p.Release()
	}
	stored, scored := 0, 0
	for s, err := range l.view().ScoresIn(ctx, data.Period{From: window.From, To: window.To}) {
		if err != nil {
			t.Fatal(err)
		}
		stored++
		if s.Score != nil {
			scored++
			if s.Detail == nil || s.Model != "usage-1/prior" || !strings.Contains(s.Versions, `"usage_daily":0`) || s.Day != window.To {
				t.Fatalf("%+v", s)
			}
		}
	}
	if stored != 120 || scored < 50 {
		t.Errorf("%d scores are stored, %d with a number; there are 120 subscriptions", stored, scored)
	}
}

// comingBack is fading with a third of the subscriptions suspended for three weeks before
// they come back, with nothing extracted after a day.
func comingBack(t *testing.T, until data.Day) *lab {
	t.Helper()
	window := data.Period{From: day0, To: day0 + 219}
	r := rand.New(rand.NewPCG(4, 9))
	f := &fakeSource{kind: "test"}
	for i := range 120 {
		id := fmt.Sprintf("s%03d", i)
		for d := window.From; d <= until; d++ {
			if r.Float64() < .7 {
				f.usage = append(f.usage, used(d, "c"+id, id))
			}
		}
	}
	l := newLab(t)
	for n, day := range []data.Day{window.From + 60, window.From + 120, window.From + 141, window.To} {
		if day > until {
			break
		}
		inventory := inventoryAt(false)
		for i := range inventory.subscriptions {
			if n == 1 && i%3 == 0 {
				row := inventory.subscriptions[i].(data.Subscription)
				row.Status = data.StatusSuspended
				inventory.subscriptions[i] = row
			}
		}
		inventory.usage = f.usage
		if _, err := l.extract(Extract{Usage: inventory, Inventory: inventory, InventoryDay: day, Days: &data.Period{From: window.From, To: until}}); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestBacktest_IsWhatWasScoredOnTheDay compares it with the scores that an archive gives that
// ends on the day. Those who are suspended then have none, though they came back.
func TestBacktest_IsWhatWasScoredOnTheDay(t *testing.T) {
	ctx := context.Background()
	on := day0 + 130
	in, err := ChurnInputs(ctx, comingBack(t, day0+219).view(), ChurnQuery{Horizon: churn.DefaultHorizon})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Subscriptions.Release()
	b, err := churn.RunBacktest(in, churn.DefaultHorizon, []data.Day{on}, []string{"prior"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, p := range b.Models["prior"].Predictions {
		got[p.Subscription] = p.Score
	}
	spec, err := data.ParsePeriod(data.Period{From: on - 6, To: on}.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(ctx, comingBack(t, on).view(), Query{Period: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	rows, err := churn.Stored(p.Scores)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for _, row := range rows {
		if row.Score != nil {
			want[string(row.SubscriptionID)] = row.Score.Float64()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 80 {
		t.Errorf("%d were scored then; the backtest differs (-then +backtest):\n%s", len(want), diff)
	}
}

// highWater is an allocator that remembers the most it was asked to hold at once.
type highWater struct {
	memory.Allocator
	held, most int
}

func (h *highWater) note(bytes int) { h.held += bytes; h.most = max(h.most, h.held) }

func (h *highWater) Allocate(size int) []byte { h.note(size); return h.Allocator.Allocate(size) }

func (h *highWater) Reallocate(size int, b []byte) []byte {
	h.note(size - len(b))
	return h.Allocator.Reallocate(size, b)
}

func (h *highWater) Free(b []byte) { h.note(-len(b)); h.Allocator.Free(b) }

func TestChurnInputs_HoldsOneSnapshotAtATime(t *testing.T) {
	ctx := context.Background()
	most := func(nights int) int {
		l, mem := newLab(t), &highWater{Allocator: memory.NewGoAllocator()}
		arc, err := archive.Open(ctx, archive.NewMemory(), archive.Options{Producer: "test", TempDir: t.TempDir(), Allocator: mem,
			Now: func() time.Time { l.now = l.now.Add(time.Second); return l.now }})
		if err != nil {
			t.Fatal(err)
		}
		l.arc = arc
		f := inventoryAt(false)
		f.usage = []any{used(day0, "cs001", "s001")}
		for n := range nights {
			if _, err := l.extract(Extract{Usage: f, Inventory: f, InventoryDay: day0 + data.Day(n), Days: &data.Period{From: day0, To: day0}}); err != nil {
				t.Fatal(err)
			}
		}
		view := l.view()
		mem.held, mem.most = 0, 0
		in, err := ChurnInputs(ctx, view, ChurnQuery{Horizon: churn.DefaultHorizon})
		if err != nil {
			t.Fatal(err)
		}
		in.Subscriptions.Release()
		return mem.most
	}
	if few, many := most(3), most(30); many > few*3/2 {
		t.Errorf("30 snapshots take %d bytes at once, 3 take %d", many, few)
	}
}
