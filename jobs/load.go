package jobs

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// Query says which figures of the archive are wanted.
type Query struct {
	Period     data.PeriodSpec
	Ref        data.Day     // what relative periods count from
	SettleDays int          // how many days before the newest usage day count as complete
	Model      *churn.Model // nil: the one in use in the view
	Trend      bool         // the periods before are added up, too: reports tell of them, metrics do not
	Details    bool         // the document has its Details, the trend among them; reports have none
}

// Watermark returns the last day whose usage counts as complete: the newest
// day with usage minus settleDays. It is nil while nothing is archived.
func Watermark(view *archive.View, settleDays int) *data.Day {
	days := view.UsageDays()
	for _, d := range slices.Backward(days) {
		if d.Rows > 0 {
			return new(d.Day - data.Day(settleDays))
		}
	}
	return nil
}

// Load reads what the figures of a period are computed from and scores the
// subscriptions as of the period's and the previous period's last known day.
// The caller must Release the portfolio.
func Load(ctx context.Context, view *archive.View, q Query) (*reports.Portfolio, error) {
	watermark := Watermark(view, q.SettleDays)
	period, err := q.Period.Resolve(q.Ref, watermark)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transform.ErrNoKnownDay, err)
	}
	l := &loader{view: view, mem: memory.DefaultAllocator, model: q.Model, trend: q.Trend || q.Details}
	l.p = &reports.Portfolio{KnownAt: view.KnownAt(), Seal: view.Seal()}
	l.p.Inputs.Period, l.p.Inputs.Watermark, l.p.Inputs.Details = period, watermark, q.Details
	for _, d := range view.UsageDays() {
		l.p.Inputs.Extracted = append(l.p.Inputs.Extracted, d.Day)
	}
	if l.model == nil {
		if l.model, err = ModelIn(ctx, view); err != nil {
			return nil, err
		}
	}
	l.p.Model, l.p.NoSignal = l.model.Name(), l.model.NoSignal()
	l.p.Freshness = freshness(view)
	l.p.Versions = versionsOf(view)
	if len(l.p.Inputs.Known(period)) == 0 {
		return nil, noKnownDay(view, l.p.Inputs)
	}
	if err := l.all(ctx); err != nil {
		l.p.Release()
		return nil, err
	}
	return l.p, nil
}

// freshness says what the newest extraction was like.
func freshness(view *archive.View) reports.Freshness {
	f := reports.Freshness{Sources: view.Sources()}
	if known := view.KnownAt(); !known.IsZero() {
		f.Extracted = new(data.DayOf(known.UTC()))
	}
	for _, t := range []archive.Table{archive.Customers, archive.Subscriptions, archive.UsageTable} {
		f.Quarantined += view.Quarantined(t)
	}
	return f
}

func noKnownDay(view *archive.View, in transform.Inputs) error {
	period, watermark := in.Period, in.Watermark
	if watermark == nil && len(in.Extracted) > 0 {
		return fmt.Errorf("period %s: %w: days from %s to %s are archived, and none has usage; extract days that have", period, transform.ErrNoKnownDay, in.Extracted[0], in.Extracted[len(in.Extracted)-1])
	}
	if watermark == nil {
		return fmt.Errorf("period %s: %w", period, noUsage(view))
	}
	return fmt.Errorf("period %s: %w: usage is archived from %s and complete up to %s; ask for a period inside, or extract its days",
		period, transform.ErrNoKnownDay, in.Extracted[0], *watermark)
}

// noUsage says that no day of usage is archived, and what to do about it.
func noUsage(view *archive.View) error {
	if days := view.ArchivedDays(); len(days) > 0 && days[len(days)-1].Awaits != "" {
		last := days[len(days)-1]
		return fmt.Errorf("%w: usage is archived up to %s, and none of its days counts yet, since they wait for %s; see what the last extraction warned of", transform.ErrNoKnownDay, last.Day, last.Awaits)
	}
	if days := view.Snapshots(archive.Customers); len(days) > 0 {
		return fmt.Errorf("%w: customers are archived, the newest on %s, and no usage; extract days on which they used something", transform.ErrNoKnownDay, days[len(days)-1])
	}
	return fmt.Errorf("%w: nothing is archived yet; run `tidemark extract`", transform.ErrNoKnownDay)
}

// loader reads one portfolio. What it has read belongs to the portfolio.
type loader struct {
	view  *archive.View
	mem   memory.Allocator
	model *churn.Model
	usage *churn.History
	trend bool
	p     *reports.Portfolio
}

// readBack is how many days up to the end of the previous period are looked at; of the first
// of them only who used something, unless the monthly cost, the small charts or a score need more.
const readBack = 112

func (l *loader) all(ctx context.Context) error {
	in := &l.p.Inputs
	on, before := in.Until(), min(in.Period.Previous().To, *in.Watermark)
	window := data.Period{From: min(in.Period.Previous().From, before-readBack+1), To: max(in.Period.To, on)}
	looked := window.From
	window.From = max(window.From, min(in.Period.Previous().From, l.needed(on, before)))
	if err := l.daily(ctx, window); err != nil {
		return fmt.Errorf("read usage %s to %s: %w", window.From, window.To, err)
	}
	var err error
	others := l.view.Scan(ctx, archive.UsageDaily, data.Period{From: looked, To: window.From - 1}, "customer_id")
	if in.Others, err = transform.Customers(l.mem, others); err != nil {
		return fmt.Errorf("read usage %s to %s: %w", looked, window.From-1, err)
	}
	if err := l.inventory(ctx); err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	if err := l.refused(ctx); err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	if err := l.history(ctx, window); err != nil {
		return fmt.Errorf("add up the periods before: %w", err)
	}
	if l.usage, err = l.usageHistory(ctx, window, max(on, before), min(on, before)); err != nil {
		return fmt.Errorf("read the history of usage: %w", err)
	}
	if in.Usage, err = l.usageSpan(); err != nil {
		return fmt.Errorf("find first and last usage days: %w", err)
	}
	if l.p.Scores, err = l.score(on); err != nil {
		return fmt.Errorf("score %s: %w", on, err)
	}
	if l.p.PreviousScores, err = l.score(before); err != nil {
		return fmt.Errorf("score %s: %w", before, err)
	}
	l.p.MonthlyCost, err = churn.MonthlyCost(l.mem, in.Daily, l.known(on), on)
	return err
}

// needed is the first day whose rows are looked at one by one: by the monthly cost of a day,
// by the scores of two, and by what became of scores of earlier days.
func (l *loader) needed(on, before data.Day) data.Day {
	known := l.known(on)
	first := min(on, before) - data.Day(l.model.Reach()) + 1
	return min(first, known[max(len(known)-churn.CostDays, 0)], on-paidReach+1)
}

// daily reads the days of a window: those before the previous period with the columns that
// costs of a month, histories and charts look at, the others with all, for the metrics.
func (l *loader) daily(ctx context.Context, window data.Period) error {
	in := &l.p.Inputs
	metrics := data.Period{From: in.Period.Previous().From, To: window.To}
	earlier := data.Period{From: window.From, To: metrics.From - 1}
	columns := slices.Concat(churn.HistoryColumns(), transform.HistoryColumns())
	for _, rows := range []iter.Seq2[arrow.Record, error]{l.view.Scan(ctx, archive.UsageDaily, earlier, columns...), l.view.Scan(ctx, archive.UsageDaily, metrics)} {
		for rec, err := range rows {
			if err != nil {
				return err
			}
			rec.Retain()
			in.Daily = append(in.Daily, rec)
		}
	}
	return nil
}

// rows yields the rows of usage_daily from a day to the end of what is read already: what
// lies before that with the columns given, the rest as it was read.
func (l *loader) rows(ctx context.Context, read data.Period, from data.Day, columns []string) iter.Seq2[arrow.Record, error] {
	return func(yield func(arrow.Record, error) bool) {
		if from < read.From {
			for rec, err := range l.view.Scan(ctx, archive.UsageDaily, data.Period{From: from, To: read.From - 1}, columns...) {
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
		for _, rec := range l.p.Inputs.Daily {
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// usageHistory reads who used what on the days that are known up to one, for scores of days
// from the first given on. The days before those that are read already come condensed, as far
// as the archive has that, else from their rows.
func (l *loader) usageHistory(ctx context.Context, read data.Period, until, first data.Day) (*churn.History, error) {
	from := l.p.Inputs.Extracted[0]
	rows, day, err := l.view.Past(ctx, min(read.From, first-data.Day(l.model.Reach())+1))
	if err != nil {
		return nil, err
	}
	var past *churn.Past
	if rows != nil {
		defer rows.Release()
		past, from = &churn.Past{Until: day, Rows: rows}, day+1
	}
	return churn.ReadHistorySince(l.known(until), past, l.rows(ctx, read, from, churn.HistoryColumns()))
}

// usageSpan finds the first and the last day with usage of every subscription up to the end
// of the period: the history has those of known days, the rows that are read have the others.
func (l *loader) usageSpan() (arrow.Record, error) {
	days, err := l.usage.UsageDays(l.mem)
	if err != nil {
		return nil, err
	}
	defer days.Release()
	return transform.UsageSpan(l.mem, func(yield func(arrow.Record, error) bool) {
		for _, rec := range append([]arrow.Record{days}, l.p.Inputs.Daily...) {
			if !yield(rec, nil) {
				return
			}
		}
	})
}

// history adds up the periods of the trend.
func (l *loader) history(ctx context.Context, read data.Period) (err error) {
	in := &l.p.Inputs
	if !l.trend {
		return nil
	}
	in.History, err = transform.History(l.mem, *in, l.rows(ctx, read, in.Trend()[0].From, transform.HistoryColumns()))
	return err
}

// versionsOf is the version of each table of a view by name, as it is stored.
func versionsOf(view *archive.View) map[string]int64 {
	versions := map[string]int64{}
	for table, version := range view.Versions() {
		versions[string(table)] = version
	}
	return versions
}

// refused notes the customers whom the newest snapshot could not read: those
// that are new to it or may pass, and how many are not expected any more.
func (l *loader) refused(ctx context.Context) error {
	for c, err := range l.view.Customers(ctx) {
		switch {
		case err != nil:
			return err
		case c.Refused == nil:
		case c.Unreachable():
			l.p.Freshness.Unreachable = append(l.p.Freshness.Unreachable, c.CustomerID)
		default:
			f := reports.FailedCustomer{ID: c.CustomerID, Reason: *c.Refused}
			if c.Name != nil {
				f.Name = *c.Name
			}
			l.p.Freshness.Failed = append(l.p.Freshness.Failed, f)
		}
	}
	return nil
}

// inventory reads the snapshots from the last one at or before the previous
// period to the first one after the period, and the newest.
func (l *loader) inventory(ctx context.Context) error {
	in := &l.p.Inputs
	days := l.view.Snapshots(archive.Subscriptions)
	if len(days) == 0 {
		return nil
	}
	in.FirstSnapshot = new(days[0])
	for _, day := range wanted(days, in.Period) {
		subscriptions, err := l.view.Snapshot(ctx, archive.Subscriptions, day)
		if err != nil {
			return err
		}
		customers, err := l.view.Snapshot(ctx, archive.Customers, day)
		if err != nil {
			subscriptions.Release()
			return err
		}
		source, err := transform.MainSource(customers)
		in.Inventory = append(in.Inventory, transform.Snapshot{Day: day, Customers: customers, Subscriptions: subscriptions, Source: source})
		if err != nil {
			return err
		}
	}
	return nil
}

// wanted picks the snapshot days that matter for a period.
func wanted(days []data.Day, p data.Period) []data.Day {
	first, found := slices.BinarySearch(days, p.Previous().From)
	if !found {
		first = max(first-1, 0)
	}
	last, found := slices.BinarySearch(days, p.To)
	if !found {
		last--
	}
	last = min(max(last+1, first), len(days)-1)
	picked := slices.Clone(days[first : last+1])
	if newest := days[len(days)-1]; newest != picked[len(picked)-1] {
		picked = append(picked, newest)
	}
	return picked
}

func (l *loader) known(on data.Day) []data.Day {
	in := l.p.Inputs
	return in.Known(data.Period{From: in.Extracted[0], To: on})
}

// score assesses every subscription as of one day; a day before everything
// that is known gives no scores.
func (l *loader) score(on data.Day) (arrow.Record, error) {
	in := l.p.Inputs
	if len(in.Inventory) == 0 || len(l.known(on)) == 0 {
		return nil, nil
	}
	latest, err := transform.Latest(l.mem, in.Inventory, on)
	if err != nil {
		return nil, err
	}
	defer latest.Release()
	return l.model.Assess(l.mem, churn.Inputs{On: on, History: l.usage, Subscriptions: latest})
}
