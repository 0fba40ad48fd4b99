package transform

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// Used returns the subscriptions that had usage on a known day of a period, as
// far as Inputs.Daily reaches.
func Used(in Inputs, period data.Period) (map[data.SubscriptionID]bool, error) {
	used := map[data.SubscriptionID]bool{}
	for _, rec := range in.Daily {
		var subscriptions IDs
		c := ColumnsOf(rec)
		day, subscription, rows := c.Days("usage_date"), c.IDs("subscription_id", &subscriptions), c.Int64s("usage_rows")
		if c.Err() != nil {
			return nil, fmt.Errorf("used subscriptions: %w", c.Err())
		}
		for i := range c.Rows() {
			d, _ := day.At(i)
			n, _ := rows.At(i)
			if id := subscription.At(i); n > 0 && id != NoID && period.Contains(data.Day(d)) && in.IsKnown(data.Day(d)) {
				used[data.SubscriptionID(subscriptions.Text(id))] = true
			}
		}
	}
	return used, nil
}

// EndedIn returns the subscriptions of a record of data.SubscriptionsSchema that
// were suspended or ended in a period.
func EndedIn(rec arrow.Record, period data.Period) (map[data.SubscriptionID]bool, error) {
	var subscriptions, statuses IDs
	c := ColumnsOf(rec)
	id, status, ended := c.IDs("subscription_id", &subscriptions), c.IDs("status", &statuses), c.Days("ended_at")
	if c.Err() != nil {
		return nil, fmt.Errorf("ended subscriptions: %w", c.Err())
	}
	out := map[data.SubscriptionID]bool{}
	for i := range c.Rows() {
		s := status.At(i)
		if s == NoID || !data.Status(statuses.Text(s)).Ended() {
			continue
		}
		if d, known := ended.At(i); known && period.Contains(data.Day(d)) {
			out[data.SubscriptionID(subscriptions.Text(id.At(i)))] = true
		}
	}
	return out, nil
}
