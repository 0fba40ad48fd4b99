package jobs

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// proved loads a week of the lab and computes it from usage once more.
func proved(t *testing.T, l *lab) (RawProof, error) {
	t.Helper()
	spec, err := data.ParsePeriod("2026-11-09..2026-11-15")
	if err != nil {
		t.Fatal(err)
	}
	view := l.view()
	p, err := Load(t.Context(), view, Query{Period: spec, Details: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	doc, err := Figures(p)
	if err != nil {
		t.Fatal(err)
	}
	return ProveFromRaw(t.Context(), view, p, doc)
}

// twoWeeks has usage of two customers on each day from 2 to 15 November 2026.
func twoWeeks() *fakeSource {
	s := &fakeSource{kind: "tables"}
	for i := range 14 {
		day := data.Day(20759) + data.Day(i)
		s.usage = append(s.usage, used(day, "c1", "s1"), used(day, "c2", "s2"))
	}
	return s
}

func TestProveFromRaw_EveryFigureAgrees(t *testing.T) {
	l := newLab(t)
	if _, err := l.extract(Extract{Usage: twoWeeks()}); err != nil {
		t.Fatal(err)
	}
	proof, err := proved(t, l)
	if err != nil || proof.Rows != 28 || proof.Files != 14 || proof.Figures < 20 {
		t.Errorf("%+v, %v", proof, err)
	}
}

// A rollup that counts the rows of a customer twice is found out.
func TestProveFromRaw_ARollupThatIsWrongIsFoundOut(t *testing.T) {
	l := newLab(t)
	if _, err := l.extract(Extract{Usage: twoWeeks()}); err != nil {
		t.Fatal(err)
	}
	l.rollUpWrongly(used(data.Day(20769), "c1", "s1"))
	_, err := proved(t, l)
	if !errors.Is(err, ErrDisagree) || !strings.Contains(err.Error(), `cost "EUR": `) {
		t.Error(err)
	}
}

// rollUpWrongly restates a day with a row, which is rolled up as if it were two.
func (l *lab) rollUpWrongly(row data.Usage) {
	l.t.Helper()
	r, err := l.arc.Begin(l.t.Context(), archive.RunInfo{ID: "wrong", Started: l.now})
	if err != nil {
		l.t.Fatal(err)
	}
	feed := archive.Feed{Source: "tables", Currency: row.Currency}
	if err := r.AddUsage(row, feed); err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.CommitUsage(l.t.Context(), archive.Delivery{Source: "tables", Days: data.Period{From: row.Day, To: row.Day}}); err != nil {
		l.t.Fatal(err)
	}
	twice := func(_ context.Context, _ archive.Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		return transform.Rollup(memory.DefaultAllocator, func(yield func(arrow.Record, error) bool) {
			for rec, err := range batches {
				for range 2 {
					if !yield(rec, err) {
						return
					}
				}
			}
		})
	}
	if _, err := r.Rollup(l.t.Context(), twice); err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.Finish(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

func TestProveFromRaw_UsagePastItsRetentionIsSaid(t *testing.T) {
	l := newLab(t)
	if _, err := l.extract(Extract{Usage: twoWeeks()}); err != nil {
		t.Fatal(err)
	}
	l.prune(archive.Retention{Tables: map[archive.Table]int{archive.UsageTable: 3}})
	if _, err := proved(t, l); err == nil || !strings.Contains(err.Error(), "the usage of 2026-11-09 is past its retention") {
		t.Error(err)
	}
}
