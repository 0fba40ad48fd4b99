package churn

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/data"
)

// TestReasons_UnknownDaysAreNoFall has subscriptions whose use rose, or whose cost fell by
// 15 %, and days of the last four weeks that were not read.
func TestReasons_UnknownDaysAreNoFall(t *testing.T) {
	var uses []use
	for d := 119; d >= 0; d-- { // days before the last
		day := monday - data.Day(d)
		cost := 100.0
		if d < 28 {
			cost = 85
		}
		uses = append(uses, use{day, "cheaper", "Storage", cost})
		if d < 28 || d%2 == 0 {
			uses = append(uses, use{day, "more", "Storage", 5})
		}
		if d >= 28 || d%4 == 0 {
			uses = append(uses, use{day, "less", "Storage", 5})
		}
		if d >= 28 {
			uses = append(uses, use{day, "less", "Compute", 5})
		}
	}
	told := func(unknown int, name string, g Group) (Reason, bool) { // of the newest days but three
		known := slices.DeleteFunc(daysUpTo(monday, 120), func(d data.Day) bool { return d <= monday-3 && d > monday-3-data.Day(unknown) })
		h := historyOf(t, known, uses)
		v := view{History: h, windows: windowsOf(28), t: h.place(monday)}
		id, _ := h.subscriptions.Find(name)
		x := v.vector(&h.accounts[id], v.t)
		return v.reason(g, &x)
	}
	for unknown, want := range map[int]string{0: "2380.00 of 2800.00", 7: "2380.00 of 2800.00", 8: ""} {
		got := ""
		if r, ok := told(unknown, "cheaper", GroupCostTrend); ok {
			got = fmt.Sprintf("%s of %s", r.Cost, r.Before)
		}
		if got != want {
			t.Errorf("%d unknown days: cost %q, want %q", unknown, got, want)
		}
		if r, ok := told(unknown, "more", GroupActivity); ok && r.Code == "trend" {
			t.Errorf("%d unknown days: more use is told as %+v", unknown, r)
		}
		if r, ok := told(unknown, "less", GroupActivity); !ok || r.Code != "trend" || r.Of != 28-unknown || r.Usual != 28 || r.UsualOf != 28 {
			t.Errorf("%d unknown days: less use is told as %+v", unknown, r)
		}
		if _, ok := told(unknown, "less", GroupServices); ok != (unknown <= 7) {
			t.Errorf("%d unknown days: a service that was not seen is told %v", unknown, ok)
		}
	}
	if r, ok := told(22, "less", GroupActivity); ok {
		t.Errorf("of six known days %+v is told", r)
	}
}

func TestReasons_NoUsageIsToldOnce(t *testing.T) {
	var uses []use
	for d := 119; d >= 40; d -= 7 {
		uses = append(uses, use{monday - data.Day(d), "s", "Storage", 5})
	}
	h := historyOf(t, daysUpTo(monday, 120), uses)
	v := view{History: h, windows: windowsOf(28), t: h.place(monday)}
	x := v.vector(&h.accounts[0], v.t)
	x.facts.before = 0 // no fall, only little
	for _, p := range []parts{{GroupSilence: 2, GroupActivity: 1}, {GroupSilence: 1, GroupActivity: 2}} {
		if got := v.reasons(p, &x); len(got) != 1 || got[0].Code != "silence" {
			t.Errorf("%v: %+v", p, got)
		}
	}
	if got := v.reasons(parts{GroupActivity: 1}, &x); len(got) != 1 || got[0].Code != "activity" || got[0].Days != 0 {
		t.Errorf("activity alone: %+v", got)
	}
}

func TestReasons_ASilenceWithUnknownDaysSaysSo(t *testing.T) {
	var uses []use
	for d := 99; d >= 10; d-- {
		uses = append(uses, use{monday - data.Day(d), "s", "Storage", 5})
	}
	h := historyOf(t, slices.DeleteFunc(daysUpTo(monday, 100), func(d data.Day) bool { return d > monday-8 && d < monday-2 }), uses)
	v := view{History: h, windows: windowsOf(28), t: h.place(monday)}
	x := v.vector(&h.accounts[0], v.t)
	if r, ok := v.reason(GroupStop, &x); !ok || r.Days != 5 || r.Of != 10 {
		t.Errorf("%+v", r)
	}
}

// TestStates_NobodyIsDormantForUnknownDays knows two of the last 28 days.
func TestStates_NobodyIsDormantForUnknownDays(t *testing.T) {
	var uses []use
	for d := 119; d >= 0; d-- {
		for i := range 30 {
			if d%7 == i%7 {
				uses = append(uses, use{monday - data.Day(d), fmt.Sprintf("s%02d", i), "Storage", 5})
			}
		}
		if d > 60 {
			uses = append(uses, use{monday - data.Day(d), "long gone", "Storage", 5})
		}
	}
	known := slices.DeleteFunc(daysUpTo(monday, 120), func(d data.Day) bool { return d > monday-28 && d < monday-1 })
	for name, r := range assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, known, uses)}) {
		want := StateScored
		if name == "long gone" {
			want = StateDormant
		}
		if r.State != want {
			t.Errorf("%s is %s", name, r.State)
		}
	}
	// Ten known days do not tell whether somebody was silent for 28.
	list := []subject{{text: "s00", status: data.StatusActive}, {text: "never", status: data.StatusActive}}
	for days, want := range map[int]State{10: StateNoSignal, 28: StateDormant} {
		inv := inventory(t, list...)
		got := assess(t, mustPrior(t), Inputs{On: monday, History: historyOf(t, daysUpTo(monday, days), uses), Subscriptions: inv})
		inv.Release()
		if got["never"].State != want || got["s00"].State != StateScored || !strings.HasPrefix(got["s00"].Reasons, "[") {
			t.Errorf("%d known days: %+v", days, got)
		}
	}
}
