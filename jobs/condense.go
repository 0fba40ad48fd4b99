package jobs

import (
	"context"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform/churn"
)

// A weekly digest looks at the days one by one that the scores of two weeks need, and takes
// what came before them condensed. So once a week a day is condensed that lies before those: the
// last days may not count as complete yet, and then the one of the week before will do.
const (
	pastWeeks = 2
	leastPast = 28 // days that are worth it
)

// Condenser makes usage_past of an archive.
func Condenser() archive.Condenser {
	return archive.Condenser{Columns: churn.HistoryColumns(), Condense: func(_ context.Context, c archive.Condensing) (arrow.Record, error) {
		var past *churn.Past
		if c.Past != nil {
			past = &churn.Past{Until: c.Since, Rows: c.Past}
		}
		return churn.Condense(memory.DefaultAllocator, c.Until, c.Known, past, c.Rows)
	}}
}

// condensedDays are the days up to which the usage of some days is to be condensed: the last
// Sundays before the days that a digest of a week reads.
func condensedDays(days []archive.DayState) (due []data.Day) {
	if len(days) == 0 {
		return nil
	}
	newest := days[len(days)-1].Day - data.Day(7+churn.Reach(churn.DefaultHorizon))
	newest -= data.Day(newest.Weekday() - time.Sunday)
	for day := newest; day > newest-7*pastWeeks && day >= days[0].Day+leastPast-1; day -= 7 {
		due = append(due, day)
	}
	return due
}

// condense keeps up what the days before those that digests read come to.
func (x *extraction) condense(ctx context.Context) error {
	view, err := x.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	due := condensedDays(view.UsageDays())
	if len(due) == 0 && len(view.Parts(archive.UsagePast)) == 0 {
		return nil
	}
	done, err := x.run.Condense(ctx, due, Condenser())
	if err != nil {
		return err
	}
	if done.Changed {
		x.out.Committed = append(x.out.Committed, done)
	}
	return nil
}
