package jobs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform/churn"
)

// TestDidItPay_CountsWhatBecameOfTheNewestScoresThatAreOldEnough has scores of three
// days, one of them scored twice. No report is stored: who was mailed does not matter.
func TestDidItPay_CountsWhatBecameOfTheNewestScoresThatAreOldEnough(t *testing.T) {
	ctx := context.Background()
	sub := func(id string, until int, status data.Status) estateCustomer {
		return estateCustomer{id: "c" + id, name: id, owner: "anna@partner.example", factor: 1,
			subs: []estateSub{{id: id, name: id, status: status, until: until, cents: 100, currency: "EUR"}}}
	}
	e := estate{[]estateCustomer{sub("kept", estateDays, data.StatusActive), sub("calm", estateDays, data.StatusActive),
		sub("silent", 10, data.StatusActive), sub("surprise", 14, data.StatusActive), sub("unsaid", 10, data.StatusActive)}}
	l, end := e.archived(t), e.window().To

	load := func(period data.Period) *reports.Portfolio {
		spec, err := data.ParsePeriod(period.String())
		if err != nil {
			t.Fatal(err)
		}
		p, err := Load(ctx, l.view(), Query{Period: spec})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := load(data.Period{From: end - 6, To: end})
	defer p.Release()
	if got, err := DidItPay(ctx, l.view(), p); err != nil || got != nil {
		t.Errorf("without scores: %+v, %v", got, err)
	}

	origin := end - churn.DefaultHorizon
	run, err := l.arc.Begin(ctx, archive.RunInfo{ID: "mailed", Job: "weekly", Started: l.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range []struct {
		origin data.Day
		known  string // in which order does not follow from the text
		scores string
	}{
		{origin - 1, "2026-11-15T00:00:00Z", "kept High .9, calm High .9, silent High .9, surprise High .9, unsaid High .9"},
		{origin, "2026-11-17T00:00:00.5Z", "kept Low .1, calm High .9, surprise High .9, unsaid High .9"}, // with hindsight
		{origin, "2026-11-17T00:00:00Z", "kept High .8, silent Medium .3, calm Low .1, surprise Low .2"},
		{end - 7, "2026-12-01T00:00:00Z", "kept High .9, calm High .9"},
	} {
		row := data.Score{Horizon: 28, Model: "m", Reasons: "[]", Flags: "[]", Versions: "{}", KnownAt: told.known, Producer: "test"}
		var rows []data.Score
		for s := range strings.SplitSeq(told.scores, ", ") {
			var id, band, score string
			if _, err := fmt.Sscan(s, &id, &band, &score); err != nil {
				t.Fatal(err)
			}
			p, _, err := data.ParseDecimal("0" + score)
			if err != nil {
				t.Fatal(err)
			}
			row.SubscriptionID, row.CustomerID, row.State, row.Score, row.Band = data.SubscriptionID(id), data.CustomerID("c"+id), "scored", &p, &band
			rows = append(rows, row)
		}
		row.SubscriptionID, row.CustomerID, row.State, row.Score, row.Band = "dormant", "cunsaid", "dormant", nil, nil
		if _, err := run.CommitScores(ctx, told.origin, append(rows, row)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run.Finish(ctx); err != nil {
		t.Fatal(err)
	}
	want := &reports.Outcome{Origin: origin, HorizonDays: 28, Scored: 4, Lost: 2, Flagged: 2, FlaggedLost: 1}
	got, err := DidItPay(ctx, l.view(), p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}

	early := load(data.Period{From: end - 14, To: end - 8})
	defer early.Release()
	if got, err := DidItPay(ctx, l.view(), early); err != nil || got != nil {
		t.Errorf("before any horizon is over: %+v, %v", got, err)
	}
}
