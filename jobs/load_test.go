package jobs

import (
	"errors"
	"strings"
	"testing"

	"tidemark/data"
	"tidemark/transform"
)

// TestLoad_WithoutUsageTellsWhetherSomethingIsArchived has an empty archive, and one with
// customers who used nothing.
func TestLoad_WithoutUsageTellsWhetherSomethingIsArchived(t *testing.T) {
	l := newLab(t)
	spec, err := data.ParsePeriod("2026-W46")
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		_, loading := Load(t.Context(), l.view(), Query{Period: spec})
		_, training := ChurnInputs(t.Context(), l.view(), ChurnQuery{})
		for _, err := range []error{loading, training} {
			if !errors.Is(err, transform.ErrNoKnownDay) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
	}
	check("nothing is archived yet; run `tidemark extract`")
	s := &fakeSource{kind: "tables", customers: []any{data.Customer{CustomerID: "c1", Source: "tables"}}}
	if _, err := l.extract(Extract{Usage: s, Inventory: s, InventoryDay: data.Day(20770)}); err != nil {
		t.Fatal(err)
	}
	check("customers are archived, the newest on " + data.Day(20770).String() + ", and no usage; extract days on which they used something")
}
