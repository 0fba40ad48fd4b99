package churn

import (
	"fmt"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// history is what a subscription did on the known days, counted by position in
// them: unknown days do not exist for a score.
type history struct {
	rows       map[int]int64           // usage rows by position, only days with usage
	categories map[int]map[string]bool // categories used by position
}

// used returns the positions with usage in order.
func (h *history) used() []int { return slices.Sorted(maps.Keys(h.rows)) }

// usedIn counts the days with usage among the positions from..to.
func (h *history) usedIn(from, to int) int {
	n := 0
	for at := range h.rows {
		if from <= at && at <= to {
			n++
		}
	}
	return n
}

// rowsIn adds the usage rows of the positions from..to up.
func (h *history) rowsIn(from, to int) int64 {
	n := int64(0)
	for at, rows := range h.rows {
		if from <= at && at <= to {
			n += rows
		}
	}
	return n
}

// categoriesIn returns the categories used at the positions from..to, in order.
func (h *history) categoriesIn(from, to int) []string {
	all := map[string]bool{}
	for at, categories := range h.categories {
		if from <= at && at <= to {
			maps.Copy(all, categories)
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// longestPause is the longest run of known days without usage between two days
// with usage.
func (h *history) longestPause() int {
	longest, used := 0, h.used()
	for i := 1; i < len(used); i++ {
		longest = max(longest, used[i]-used[i-1]-1)
	}
	return longest
}

// position returns the known days at or before on that a model looks back at,
// and where each stands among them.
func window(known []data.Day, on data.Day) ([]data.Day, map[data.Day]int) {
	end, found := slices.BinarySearch(known, on)
	if found {
		end++
	}
	start, _ := slices.BinarySearch(known, on-HistoryDays+1)
	days := known[min(start, end):end]
	at := make(map[data.Day]int, len(days))
	for i, d := range days {
		at[d] = i
	}
	return days, at
}

// readHistories collects the usage of every subscription on the known days.
func readHistories(daily []arrow.Record, at map[data.Day]int) (map[string]*history, error) {
	all := map[string]*history{}
	for _, rec := range daily {
		days, ok := column(rec, "usage_date").(*array.Date32)
		rows, isCount := column(rec, "usage_rows").(*array.Int64)
		if !ok || !isCount {
			return nil, fmt.Errorf("read usage: column usage_date or usage_rows is missing or of another type")
		}
		subscriptions, categories := column(rec, "subscription_id"), column(rec, "category")
		for i := range int(rec.NumRows()) {
			position, known := at[data.Day(days.Value(i))]
			id, present := text(subscriptions, i)
			if !known || !present || rows.Value(i) == 0 {
				continue
			}
			h := all[id]
			if h == nil {
				h = &history{rows: map[int]int64{}, categories: map[int]map[string]bool{}}
				all[id] = h
			}
			h.rows[position] += rows.Value(i)
			if h.categories[position] == nil {
				h.categories[position] = map[string]bool{}
			}
			if category, ok := text(categories, i); ok && category != "" {
				h.categories[position][category] = true
			}
		}
	}
	return all, nil
}

// column returns a named column, nil when there is none.
func column(rec arrow.Record, name string) arrow.Array {
	at := rec.Schema().FieldIndices(name)
	if len(at) == 0 {
		return nil
	}
	return rec.Column(at[0])
}

// text reads a cell of a dictionary or text column.
func text(c arrow.Array, row int) (string, bool) {
	if c == nil || c.IsNull(row) {
		return "", false
	}
	switch c := c.(type) {
	case *array.Dictionary:
		return c.Dictionary().(*array.String).Value(c.GetValueIndex(row)), true
	case *array.String:
		return c.Value(row), true
	}
	return "", false
}

// day reads a cell of a date column, nil for null.
func day(c arrow.Array, row int) *data.Day {
	d, ok := c.(*array.Date32)
	if !ok || d.IsNull(row) {
		return nil
	}
	return new(data.Day(d.Value(row)))
}
