package data

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDaySet_HasWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s DaySet
		want := map[Day]bool{}
		day := rapid.Map(rapid.Int32Range(-200, 200), func(n int32) Day { return Day(n) })
		for _, d := range rapid.SliceOf(day).Draw(t, "days") {
			s.Add(d)
			want[d] = true
		}
		for d := Day(-300); d < 300; d++ {
			if s.Contains(d) != want[d] {
				t.Errorf("%d: %v", d, s.Contains(d))
			}
		}
	})
}
