package jobs

import (
	"context"
	"fmt"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/transform"
)

// archivedDays returns the days of which the archive has usage of each excluded
// customer. Of them the usage is still taken: a month that is restated as a whole
// would lose what was archived of the customer before.
func (x *extraction) archivedDays(ctx context.Context, view *archive.View) (map[data.CustomerID]data.DaySet, error) {
	archived := map[data.CustomerID]data.DaySet{}
	days := view.ArchivedDays()
	if len(x.Exclude) == 0 || len(days) == 0 {
		return archived, nil
	}
	all := data.Period{From: days[0].Day, To: days[len(days)-1].Day}
	for rec, err := range view.Scan(ctx, archive.UsageDaily, all, "usage_date", "customer_id") {
		if err != nil {
			return nil, fmt.Errorf("find what is archived of excluded customers: %w", err)
		}
		var ids transform.IDs
		c := transform.ColumnsOf(rec)
		at, id := c.Days("usage_date"), c.IDs("customer_id", &ids)
		if err := c.Err(); err != nil {
			return nil, fmt.Errorf("find what is archived of excluded customers: %w", err)
		}
		for i := range c.Rows() {
			if i > 0 && id.At(i) == id.At(i-1) {
				continue // of the same day: days and customers are in order
			}
			customer := data.CustomerID(ids.Text(id.At(i)))
			if day, dated := at.At(i); dated && x.Exclude[customer] {
				known := archived[customer]
				known.Add(data.Day(day))
				archived[customer] = known
			}
		}
	}
	return archived, nil
}
