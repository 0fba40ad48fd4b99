package jobs

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// commitUsage commits the staged rows and rolls up every part that has no
// rollup yet, those of an earlier run that died in between included.
func (x *extraction) commitUsage(ctx context.Context) error {
	staged := x.run.Staged()
	days := x.Days
	switch c := x.tally.Covers; {
	case days != nil && c != nil:
		covered := slices.DeleteFunc(slices.Clone(c), func(p data.Period) bool { return p.To < days.From || p.From > days.To })
		if len(covered) == 0 {
			why := slices.Concat([]string{"nothing was extracted"}, x.tally.Warnings)
			return fmt.Errorf("read usage: the source has none of %s to %s: %s", days.From, days.To, strings.Join(why, "; "))
		}
		days = &data.Period{From: max(days.From, covered[0].From), To: min(days.To, covered[len(covered)-1].To)}
	case days == nil && staged.Rows > 0:
		days = &data.Period{From: staged.First, To: staged.Last}
		if len(c) > 0 {
			days.From = min(c[0].From, days.To)
		}
	}
	if days == nil {
		x.out.Warnings = append(x.out.Warnings, "the input has no usage row")
	} else {
		committed, err := x.run.CommitUsage(ctx, x.delivery(*days, staged.Rows))
		if err != nil {
			return err
		}
		x.out.Days = days
		x.warnOfDropped(*days, staged.Rows, committed)
		x.out.Committed = append(x.out.Committed, committed)
	}
	rolled, err := x.run.Rollup(ctx, func(_ context.Context, _ archive.Part, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
		return transform.Rollup(memory.DefaultAllocator, batches)
	})
	if err != nil {
		return err
	}
	x.out.Committed = append(x.out.Committed, rolled)
	return x.condense(ctx)
}

// warnOfDropped tells of usage that the archive had of the days and the input
// has no more: it may have been left out by mistake.
func (x *extraction) warnOfDropped(days data.Period, rows int64, c archive.Committed) {
	if rows == 0 && c.Removed > 0 {
		x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("the input has no usage row for %s to %s: %d files with rows were replaced by empty days",
			days.From, days.To, c.Removed))
		return
	}
	for _, f := range c.Dropped {
		x.out.Warnings = append(x.out.Warnings, fmt.Sprintf("the input has no usage in %s for %s to %s, the archive had: what it had of these days was removed",
			f.Currency, days.From, days.To))
	}
}

func (x *extraction) delivery(days data.Period, rows int64) archive.Delivery {
	d := archive.Delivery{
		Source: x.Usage.Kind(), Days: days, Full: x.Days == nil,
		Covers: x.tally.Covers, Restates: x.tally.Restates, Awaits: x.tally.Awaits, RowsIn: x.tally.Read, RowsOut: rows, Quarantined: x.out.Quarantined[string(archive.UsageTable)],
		FailedOn: x.badDays, Undated: x.undated,
	}
	x.coverage(&d, 0)
	return d
}

// coverage says how many customers the inventory told of that are expected to be
// read, and how many of them are not whole: they refused, or there are bad rows,
// each of them another customer's at worst.
func (x *extraction) coverage(d *archive.Delivery, bad int64) {
	d.Failed = int(bad) + len(x.refused) - x.unreachable
	d.Expected = x.named - x.unreachable
	if d.Expected > 0 {
		d.Failed = min(d.Failed, d.Expected)
	}
	d.Read = max(0, d.Expected-d.Failed)
}

// inventoryDelivery is the delivery of an inventory table, with the rows that
// were read well and those that are committed.
func (x *extraction) inventoryDelivery(t archive.Table, good, rows int) archive.Delivery {
	d := archive.Delivery{Source: x.inventoryKind(), Quarantined: x.out.Quarantined[string(t)], RowsOut: int64(rows)}
	d.RowsIn = int64(good) + d.Quarantined
	x.coverage(&d, d.Quarantined)
	return d
}

// commitInventory completes the inventory with what the usage says and commits
// it as the snapshot of the day.
func (x *extraction) commitInventory(ctx context.Context) error {
	view, err := x.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	spans, err := usageSpans(ctx, view)
	if err != nil {
		return fmt.Errorf("find first and last usage days: %w", err)
	}
	if x.Inventory == nil {
		if err := x.derive(ctx, view, spans); err != nil {
			return fmt.Errorf("derive inventory from usage: %w", err)
		}
	}
	goodCustomers, goodSubscriptions := len(x.customers), len(x.subscriptions)-x.carried
	if err := x.carryUnread(ctx, view); err != nil {
		return fmt.Errorf("read the inventory before: %w", err)
	}
	for i, s := range x.subscriptions {
		if span, found := spans[s.SubscriptionID]; found {
			x.subscriptions[i].FirstUsage, x.subscriptions[i].LastUsage = new(span.From), new(span.To)
		}
	}
	x.out.Customers, x.out.Subs = len(x.customers), len(x.subscriptions)
	customers, err := x.run.CommitCustomers(ctx, x.InventoryDay, x.customers, x.inventoryDelivery(archive.Customers, goodCustomers, len(x.customers)))
	if err != nil {
		return err
	}
	subscriptions, err := x.run.CommitSubscriptions(ctx, x.InventoryDay, x.subscriptions, x.inventoryDelivery(archive.Subscriptions, goodSubscriptions, len(x.subscriptions)))
	if err != nil {
		return err
	}
	x.out.Committed = append(x.out.Committed, customers, subscriptions)
	return nil
}

func (x *extraction) inventoryKind() string {
	if x.Inventory != nil {
		return x.Inventory.Kind()
	}
	return x.Usage.Kind()
}

// usageSpans returns the first and the last day with usage of every
// subscription, exact whatever was restated.
func usageSpans(ctx context.Context, view *archive.View) (map[data.SubscriptionID]data.Period, error) {
	days := view.ArchivedDays()
	if len(days) == 0 {
		return nil, nil
	}
	unread := data.Period{From: days[0].Day, To: days[len(days)-1].Day}
	past, until, err := view.Past(ctx, unread.To+1)
	if err != nil {
		return nil, err
	}
	spans := map[data.SubscriptionID]data.Period{}
	if past != nil {
		defer past.Release()
		unread.From = until + 1
		if spans, err = churn.PastSpans(past); err != nil {
			return nil, err
		}
	}
	rec, err := transform.UsageSpan(memory.DefaultAllocator, view.Scan(ctx, archive.UsageDaily, unread, transform.SpanColumns()...))
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	later, err := transform.Spans(rec)
	if err != nil {
		return nil, err
	}
	for id, span := range later {
		if before, found := spans[id]; found {
			span.From = before.From
		}
		spans[id] = span
	}
	return spans, nil
}
