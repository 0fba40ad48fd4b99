package transform

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"pgregory.net/rapid"

	"tidemark/data"
)

// TestRowLines_SayWhatEachRowIsOf reads records with dictionaries of their own one after another,
// also such as have too many combinations to be looked up by place.
func TestRowLines_SayWhatEachRowIsOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem, done := checked(t)
		defer done()
		u := newUsage(Inputs{}, new(IDs), new(IDs))
		for range rapid.IntRange(1, 3).Draw(t, "records") {
			rows := anyLines(t)
			rec := usageRecord(mem, rows)
			c, err := u.columns(rec)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time with the same dictionaries
				u.lines.read(&c, &u.spots.kinds)
			}
			for i, row := range rows {
				l := u.lines.of[i]
				k := u.spots.kinds.all[l.kind()]
				got := fmt.Sprintf("%s/%s/%s %v %v", u.categories.Text(k.category), optionalText(&u.units, k.unit), u.currencies.Text(k.currency), l.countsQuantity() == 1, l.countsCost() == 1)
				want := fmt.Sprintf("%s/%s/%s %v %v", row.Category, textOf(row.Unit), row.Currency, row.ChargeCategory == data.ChargeUsage, row.ChargeCategory != data.ChargeTax)
				if got != want {
					t.Fatalf("row %d is %s, want %s", i, got, want)
				}
			}
			rec.Release()
		}
	})
}

func anyLines(t *rapid.T) []data.Usage {
	rows := make([]data.Usage, rapid.SampledFrom([]int{1, 7, 400}).Draw(t, "rows"))
	for i := range rows {
		rows[i] = anyUsage(t)
		if len(rows) == 400 {
			unit := fmt.Sprint("unit ", i)
			rows[i].Category, rows[i].Unit = fmt.Sprint("category ", i), &unit
		}
	}
	return rows
}

// optionalText writes a text as textOf does.
func optionalText(ids *IDs, id int32) string {
	if id == NoID {
		return "null"
	}
	return strconv.Quote(ids.Text(id))
}

func TestUsage_RefusesMoreRowsThanItsCountsHold(t *testing.T) {
	rec := usageRecord(memory.DefaultAllocator, make([]data.Usage, 2))
	defer rec.Release()
	p := mustPeriod("2026-11-06")
	u := newUsage(Inputs{}, new(IDs), new(IDs))
	u.rows = mostRows - 2
	days := newCalendar(Inputs{Period: p}, &comparison{})
	if err := u.add(rec, days); err != nil {
		t.Fatal(err)
	}
	if err := u.add(rec, days); !errors.Is(err, data.ErrOverflow) {
		t.Fatal(err)
	}
}
