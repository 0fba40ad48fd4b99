package transform

import (
	"testing"

	"pgregory.net/rapid"
)

// TestSpots_AreOneForEachCustomerAndKind enters kinds as there are in no real partner, too: with
// more categories, units and currencies than a table has places, and more kinds than are found
// by place.
func TestSpots_AreOneForEachCustomerAndKind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(most int32) *rapid.Generator[int32] { return rapid.Int32Range(NoID, most) }
		categories, units, currencies := rapid.SampledFrom([]int32{3, 900}).Draw(t, "categories"), rapid.SampledFrom([]int32{3, 300}).Draw(t, "units"), rapid.SampledFrom([]int32{1, 9}).Draw(t, "currencies")
		type key struct {
			customer int32
			kind     kind
		}
		var s spots
		numbers, sums := map[key]int32{}, map[key]uint32{}
		for range rapid.IntRange(1, 2000).Draw(t, "rows") {
			k := key{rapid.Int32Range(0, 4).Draw(t, "customer"), kind{id(categories).Draw(t, "category"), id(units).Draw(t, "unit"), id(currencies).Draw(t, "currency")}}
			at := s.of(k.customer, s.kinds.of(k.kind))
			if want, found := numbers[k]; found && want != at || !found && int(at) != len(numbers) {
				t.Fatalf("%+v is %d, and was %d, of %d", k, at, want, len(numbers))
			}
			numbers[k] = at
			s.sums[current].at(at).costRows++
			sums[k]++
		}
		if len(s.all) != len(numbers) {
			t.Fatalf("%d spots, want %d", len(s.all), len(numbers))
		}
		for k, at := range numbers {
			if got := s.all[at]; got.customer != k.customer || s.kinds.all[got.kind] != k.kind {
				t.Errorf("spot %d is of %+v, want %+v", at, got, k)
			}
			if got := s.sums[current].of(at).costRows; got != sums[k] {
				t.Errorf("%+v has %d rows, want %d", k, got, sums[k])
			}
			if s.sums[previous].of(at) != nil {
				t.Errorf("%+v has sums of the other side", k)
			}
		}
	})
}
