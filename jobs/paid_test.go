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

// TestDidItPay_CountsWhatBecameOfTheNewestScoresThatAreOldEnough has reports of
// four days, written by hand.
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
		t.Errorf("without reports: %+v, %v", got, err)
	}

	origin := end - churn.DefaultHorizon
	run, err := l.arc.Begin(ctx, archive.RunInfo{ID: "mailed", Job: "weekly", Started: l.now})
	if err != nil {
		t.Fatal(err)
	}
	mail, err := run.Keep(ctx, archive.Mails, []byte("Subject: x\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, report := range []struct {
		origin data.Day
		scores string
	}{
		{origin - 1, "kept High .9, calm High .9, silent High .9, surprise High .9, unsaid High .9"},
		{origin, "kept High .8, silent Medium .3"},
		{origin, "calm Low .1, surprise Low .2, silent Medium .3"},
		{end - 7, "kept High .9, calm High .9"},
	} {
		var rows []string
		for s := range strings.SplitSeq(report.scores, ", ") {
			var id, band, score string
			if _, err := fmt.Sscan(s, &id, &band, &score); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, fmt.Sprintf(`{"subscription_id": %q, "state": "scored", "score": 0%s, "band": %q, "origin": %q, "horizon_days": 28}`, id, score, band, report.origin))
		}
		rows = append(rows, fmt.Sprintf(`{"subscription_id": "unsaid", "state": "dormant", "score": null, "band": null, "origin": %q, "horizon_days": 28}`, report.origin))
		_, err := run.CommitReports(ctx, report.origin+3, []data.Report{{Day: report.origin + 3, ReportID: fmt.Sprint("r", i), MessageID: fmt.Sprint("m", i), Role: "sales_agent",
			Recipient: fmt.Sprintf("p%d@partner.example", i), PeriodFrom: report.origin - 6, PeriodTo: report.origin, KnownAt: "2026-11-16T00:00:00Z",
			Document: `{"at_risk": [` + strings.Join(rows, ",") + `]}`, EMLSHA256: mail, Scope: "[]", Versions: "{}", Request: "{}", Digest: "{}"}})
		if err != nil {
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
