package focus

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidemark/data"
	"tidemark/data/archive"
)

// The scopes of the exports in these tests.
const (
	ofAccount = "/providers/microsoft.billing/billingaccounts/acct"
	ofC1      = ofAccount + "/customers/c1"
	ofC2      = ofAccount + "/customers/c2"
	ofS1      = "/subscriptions/s1"
)

// report is a run of an export that has a row of 1.00 of each charge on each day.
type report struct {
	dir, scope, month, submitted string
	from, to                     int      // days of the month with rows; 0 for none
	late                         int      // a day with rows beside; 0 for none
	charges                      []string // customer/subscription, either may be empty
	currency                     string   // "" for EUR
	parts                        int      // 0: 1
	bare                         bool     // its manifest is still to come
	cut                          bool     // its last part is not there
	torn                         bool     // its manifest breaks off
	other                        bool     // its manifest is something else's
	undated                      bool     // its manifest does not say its month
}

// files are the report's files by name.
func (r report) files() map[string]string {
	parts := make([]string, max(1, r.parts))
	for i := range parts {
		parts[i] = "ChargePeriodStart,BillingPeriodStart,BilledCost,BillingCurrency,BillingAccountId,ProviderName,ChargeCategory,ConsumedQuantity,ConsumedUnit,x_CustomerId,SubAccountId\n"
	}
	rows := 0
	for day := max(1, r.from); day <= max(r.to, r.late); day++ {
		if day > r.to && day != r.late {
			continue
		}
		for _, charge := range r.charges {
			customer, subscription, _ := strings.Cut(charge, "/")
			currency := r.currency
			if currency == "" {
				currency = "EUR"
			}
			parts[rows%len(parts)] += fmt.Sprintf("%s-%02dT00:00:00Z,%s-01T00:00:00Z,1,%s,acct,Microsoft,Usage,1,h,%s,%s\n", r.month, day, r.month, currency, customer, subscription)
			rows++
		}
	}
	files := map[string]string{}
	var blobs []map[string]any
	for i, text := range parts {
		name := fmt.Sprintf("%s/part_%d.csv", r.dir, i)
		blobs = append(blobs, map[string]any{"blobName": name, "byteCount": len(text)})
		if !r.cut || i < len(parts)-1 {
			files[name] = text
		}
	}
	info := map[string]any{"submittedTime": r.submitted, "startDate": r.month + "-01T00:00:00", "endDate": r.month + "-28T00:00:00", "runId": r.dir}
	if r.undated {
		info = map[string]any{"runId": r.dir}
	}
	manifest := map[string]any{"blobCount": len(blobs), "dataRowCount": rows, "blobs": blobs, "runInfo": info,
		"exportConfig": map[string]any{"exportName": "e", "resourceId": r.scope + "/providers/Microsoft.CostManagement/exports/e", "type": "FocusCost"}}
	if r.other {
		manifest, files = map[string]any{"name": "app", "icons": []string{}}, map[string]string{}
	}
	b, err := json.Marshal(manifest)
	if err != nil {
		panic(err)
	}
	if r.torn {
		b = b[:len(b)/2]
	}
	if !r.bare {
		files[r.dir+"/manifest.json"] = string(b)
	}
	return files
}

// night extracts from a folder that holds just these reports.
func (n *nights) night(reports ...report) error {
	n.t.Helper()
	_, err := n.extract(Options{Path: lay(n.t, reports...)})
	return err
}

func lay(t *testing.T, reports ...report) string {
	t.Helper()
	root := t.TempDir()
	for _, r := range reports {
		put(t, root, r.files())
	}
	return root
}

// october is a report of the whole month.
func october(dir, scope string, charges ...string) report {
	return report{dir: dir, scope: scope, month: "2026-10", submitted: "2026-11-05T04:00:00Z", to: 31, charges: charges}
}

func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

// TestExtract_NoChargeCountsTwice has what an export delivers delivered again by
// another one, in one store or the next night.
func TestExtract_NoChargeCountsTwice(t *testing.T) {
	start := october("a", ofC1, "c1/s1")
	for name, c := range map[string]struct {
		first, then []report
		want        map[string]int64
		refused     string // what the second night's error says
	}{
		"two scopes at once, one without the customer": {nil, []report{start, october("b", ofS1, "/s1")}, nil, "subscription s1 is delivered twice for 2026-10-01"},
		"the customer's scope, then the account's, neither naming the customer": {
			[]report{october("a", ofC1, "/s1")}, []report{october("b", ofAccount, "/s1")}, map[string]int64{ofAccount + " 2026-10": 3100}, ""},
		"the customer's scope, then the subscription's, without the customer": {
			[]report{start}, []report{october("b", ofS1, "/s1")}, map[string]int64{ofS1 + " 2026-10": 3100}, ""},
		"half a copy without manifest, then the whole": {
			[]report{changed(october("a", ofC1, "/s1"), func(r *report) { r.bare = true })}, []report{october("a", ofC1, "/s1")}, map[string]int64{ofC1 + " 2026-10": 3100}, ""},
		"another scope in another currency": {
			[]report{start}, []report{changed(october("b", ofAccount, "c1/s1"), func(r *report) { r.currency = "USD" })}, map[string]int64{ofAccount + " 2026-10": 3100}, ""},
		"the same scope in another currency": {
			[]report{start}, []report{changed(start, func(r *report) { r.currency = "USD" })}, map[string]int64{ofC1 + " 2026-10": 3100}, ""},
		"a wider scope of fewer days": {
			[]report{start}, []report{changed(october("b", ofAccount, "c1/s1"), func(r *report) { r.to = 5 })}, map[string]int64{ofC1 + " 2026-10": 3100},
			"subscription s1 of customer c1 on 2026-10-06 is not there"},
		"a wider scope of fewer subscriptions": {
			[]report{october("a", ofC1, "c1/s1", "c1/s2")}, []report{october("b", ofAccount, "c1/s1")}, map[string]int64{ofC1 + " 2026-10": 6200}, "take 2026-10 out of feed focus/"},
		"a scope of one month and a wider one of the next, at once": {
			nil, []report{{dir: "a", scope: ofC1, month: "2026-09", submitted: "2026-10-05T04:00:00Z", to: 30, charges: []string{"c1/s1"}}, october("b", ofAccount, "c1/s1")},
			map[string]int64{ofC1 + " 2026-09": 3000, ofAccount + " 2026-10": 3100}, ""},
		"a subscription that changes accounts within a month, and a later charge of the first": {
			nil, []report{changed(october("a", ofAccount, "c1/s1"), func(r *report) { r.to, r.late = 14, 31 }), changed(october("b", ofAccount+"2", "c1/s1"), func(r *report) { r.from, r.to = 15, 30 })},
			map[string]int64{ofAccount + " 2026-10": 1500, ofAccount + "2 2026-10": 1600}, ""},
		"a later charge of a day that the second has as well": {
			nil, []report{changed(october("a", ofAccount, "c1/s1"), func(r *report) { r.to, r.late = 14, 20 }), changed(october("b", ofAccount+"2", "c1/s1"), func(r *report) { r.from = 15 })},
			nil, "subscription s1 is delivered twice for 2026-10-20"},
		"a subscription that changes accounts within a month": {
			nil, []report{changed(october("a", ofAccount, "c1/s1"), func(r *report) { r.to = 14 }), changed(october("b", ofAccount+"2", "c1/s1"), func(r *report) { r.from = 15 })},
			map[string]int64{ofAccount + " 2026-10": 1400, ofAccount + "2 2026-10": 1700}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t)
			n.now = date("2026-11-16").Time()
			if c.first != nil {
				if err := n.night(c.first...); err != nil {
					t.Fatal(err)
				}
			}
			err := n.night(c.then...)
			if (err != nil) != (c.refused != "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("the second night ends with %v, want %q", err, c.refused)
			}
			want := c.want
			if want == nil {
				want = map[string]int64{}
			}
			if diff := cmp.Diff(want, n.cents()); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// TestExtract_WhatARefusedNightSaysToDoWorks takes the month out of the newer feed.
func TestExtract_WhatARefusedNightSaysToDoWorks(t *testing.T) {
	n := newNights(t)
	n.now = date("2026-11-16").Time()
	if err := n.night(october("a", ofC1, "c1/s1", "c1/s2")); err != nil {
		t.Fatal(err)
	}
	november := report{dir: "c", scope: ofAccount, month: "2026-11", submitted: "2026-11-16T04:00:00Z", to: 15, charges: []string{"c1/s1"}}
	root := lay(t, october("b", ofAccount, "c1/s1"), november)
	if _, err := n.extract(Options{Path: root}); err == nil || !strings.Contains(err.Error(), "take 2026-10 out of feed focus/") {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.extract(Options{Path: root}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int64{ofC1 + " 2026-10": 6200, ofAccount + " 2026-11": 1500}, n.cents()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// known are the days that count as extracted, as ranges.
func (n *nights) known() (all []string) {
	n.t.Helper()
	v, err := n.arc.View(n.t.Context(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	var p data.Period
	for _, d := range v.UsageDays() {
		switch {
		case p.To == 0:
			p.From = d.Day
		case d.Day != p.To+1:
			all = append(all, fmt.Sprintf("%s..%s", p.From, p.To))
			p.From = d.Day
		}
		p.To = d.Day
	}
	if p.To > 0 {
		all = append(all, fmt.Sprintf("%s..%s", p.From, p.To))
	}
	return all
}

// TestExtract_AMonthThatIsTakenAwayStaysAsItWasArchived has a month between two
// others go whose last days have no row.
func TestExtract_AMonthThatIsTakenAwayStaysAsItWasArchived(t *testing.T) {
	n := newNights(t)
	n.now = date("2026-11-16").Time()
	august := report{dir: "a", scope: ofC1, month: "2026-08", submitted: "2026-11-05T04:00:00Z", to: 31, charges: []string{"c1/s1"}}
	september := report{dir: "b", scope: ofC1, month: "2026-09", submitted: "2026-11-05T04:00:00Z", from: 3, to: 20, charges: []string{"c1/s1"}}
	want := []string{"2026-08-01..2026-10-31"}
	for _, night := range [][]report{{august, september, october("c", ofC1, "c1/s1")}, {august, october("c", ofC1, "c1/s1")}} {
		if err := n.night(night...); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, n.known()); diff != "" {
			t.Errorf("days that are known: want -, got +:\n%s", diff)
		}
	}
}

// TestExtract_NoMonthGoesBackToAnOlderRun has the newest run, which is archived, lose
// a part or vanish, while an older one is whole.
func TestExtract_NoMonthGoesBackToAnOlderRun(t *testing.T) {
	older := changed(october("a", ofC1, "c1/s1"), func(r *report) { r.submitted, r.to = "2026-10-21T04:00:00Z", 20 })
	newer := changed(october("b", ofC1, "c1/s1"), func(r *report) { r.submitted, r.parts = "2026-11-01T04:00:00Z", 2 })
	between := changed(october("c", ofC1, "c1/s1"), func(r *report) { r.submitted, r.to = "2026-10-26T04:00:00Z", 25 })
	lost := changed(newer, func(r *report) { r.cut = true })
	whole := changed(october("a", ofC1, "c1/s1"), func(r *report) { r.submitted = "2026-11-03T04:00:00Z" })
	restated := october("b", ofC1, "c1/s1", "c1/s2")
	september := report{dir: "20260901-20260930/x", scope: ofC1, month: "2026-09", submitted: "2026-10-05T04:00:00Z", to: 30, charges: []string{"c1/s1"}}
	for name, c := range map[string]struct {
		nights [][]report
		cents  int64
		warns  string
	}{
		"a part of the newer is lost": {[][]report{{older, newer}, {older, lost}}, 3100, "2026-10 stays as it is archived, which is from a newer run than that of 2026-10-21 04:00 UTC"},
		"the newer is lost":           {[][]report{{older, newer}, {older}}, 3100, "is older than what the archive has of 2026-10"},
		"the newer is taken out, of the same days": {[][]report{{between, changed(between, func(r *report) {
			r.dir, r.submitted, r.charges = "d", "2026-10-26T08:00:00Z", append(r.charges, "c1/s2")
		})}, {between}}, 2500, ""},
		"one between is whole and newer":     {[][]report{{older}, {older, between, lost}}, 2500, "the run of 2026-10-26 04:00 UTC counts until it is"},
		"the same once more":                 {[][]report{{older, between}, {older, between, lost}}, 2500, "the run of 2026-10-26 04:00 UTC counts until it is"},
		"the newer is lost, of one day more": {[][]report{{older, changed(older, func(r *report) { r.dir, r.submitted, r.to = "b", "2026-10-22T04:00:00Z", 21 })}, {older}}, 2100, "is older than what the archive has of 2026-10"},
		"the month's end is lost": {[][]report{{changed(older, func(r *report) { r.submitted, r.to = "2026-10-31T04:00:00Z", 30 }), newer}, {changed(older, func(r *report) { r.submitted, r.to = "2026-10-31T04:00:00Z", 30 })}}, 3100,
			"is older than what the archive has of 2026-10"},
		"the newer's manifest is torn":              {[][]report{{whole, restated}, {whole, changed(restated, func(r *report) { r.torn = true })}}, 6200, "b/manifest.json cannot be told to be of any run: it may be the newer one; 2026-10 stays"},
		"the newer's manifest is lost":              {[][]report{{whole, restated}, {whole, changed(restated, func(r *report) { r.bare = true })}}, 6200, "b/part_0.csv cannot be told to be of any run: it may be the newer one; 2026-10 stays"},
		"a torn manifest of another month":          {[][]report{{whole, restated}, {whole, changed(september, func(r *report) { r.torn = true })}}, 3100, "not a manifest"},
		"files of another month without a manifest": {[][]report{{whole, restated}, {whole, changed(september, func(r *report) { r.bare = true })}}, 3100, "files without a manifest"},
		"it is whole again":                         {[][]report{{older, newer}, {older, lost}, {older, newer}}, 3100, ""},
		"nothing of it was archived before":         {[][]report{{older, lost}}, 2000, "the run of 2026-10-21 04:00 UTC counts until it is"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t)
			n.now = date("2026-11-16").Time()
			var warnings string
			for _, night := range c.nights {
				out, err := n.extract(Options{Path: lay(t, night...)})
				if err != nil {
					t.Fatal(err)
				}
				warnings = strings.Join(out.Warnings, "\n")
			}
			if diff := cmp.Diff(map[string]int64{ofC1 + " 2026-10": c.cents}, n.cents()); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			if c.warns == "" && warnings != "" || !strings.Contains(warnings, c.warns) {
				t.Errorf("warnings %q, want %q", warnings, c.warns)
			}
		})
	}
}

// TestArchived_WithoutATimeTheLastDayDecides is of what an archive has that was made
// before the times of runs were kept.
func TestArchived_WithoutATimeTheLastDayDecides(t *testing.T) {
	root := lay(t, changed(october("a", ofC1, "c1/s1"), func(r *report) { r.submitted, r.to = "2026-10-21T04:00:00Z", 20 }))
	for last, want := range map[string]int{"2026-10-20": 20, "2026-10-21": 20, "2026-10-22": 0} {
		s, err := New(Options{Path: root})
		if err != nil {
			t.Fatal(err)
		}
		s.Archived([]data.Restated{{Scope: ofC1, Period: "2026-10", Last: date(last)}})
		rows := 0
		for _, err := range s.Usage(t.Context(), nil, &data.Tally{}) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
		if rows != want {
			t.Errorf("archived up to %s: %d rows, want %d", last, rows, want)
		}
	}
}

// TestExtract_AScopeThatIsBehindMakesNoDaysWithoutUsage has one customer's export
// stop while another's goes on.
func TestExtract_AScopeThatIsBehindMakesNoDaysWithoutUsage(t *testing.T) {
	of := func(scope, charge, month, submitted string, to int) report {
		return report{dir: charge + month + submitted[:10], scope: scope, month: month, submitted: submitted + "T04:00:00Z", to: to, charges: []string{charge}}
	}
	const one, two = "c1/s1", "c2/s2"
	start := []report{of(ofC1, one, "2026-10", "2026-11-01", 31), of(ofC2, two, "2026-10", "2026-11-01", 31)}
	fourth := append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-05", 4), of(ofC2, two, "2026-11", "2026-11-05", 4))
	all := append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-15", 14))
	const behind = "an export is behind, others reach 2026-11-14: " + ofC2 + ", which ends with "
	for name, c := range map[string]struct {
		nights  [][]report
		exclude string
		known   string // from October on
		says    string // of the one warning or note; "" for none
	}{
		"its newest run is old": {[][]report{append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-15", 14))}, "", "2026-10-01..2026-11-04", "warning: " + behind + "2026-11-04"},
		"it has no run of the month": {[][]report{append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14))}, "", "2026-10-01..2026-10-31",
			"warning: " + behind + "2026-10-31; the days between, but for those that were known before, are in no report"},
		"others have some of the day they ran on": {[][]report{append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-15", 15)), append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-16", 16))}, "", "2026-10-01..2026-11-04",
			"warning: an export is behind, others reach 2026-11-15: "},
		"it is as late as the night": {[][]report{append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-14", 13))}, "", "2026-10-01..2026-11-13", ""},
		"it comes later": {[][]report{append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-15", 14)),
			append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-15", 9))}, "", "2026-10-01..2026-11-14", ""},
		"what was known stays known": {[][]report{append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14)),
			append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-15", 14)),
			append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-05", 4))}, "", "2026-10-01..2026-11-14", "warning: "},
		"its customer is excluded": {[][]report{append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-15", 14))}, "C2", "2026-10-01..2026-11-14", ""},
		"its files are taken out":  {[][]report{append(fourth[:4:4], of(ofC1, one, "2026-11", "2026-11-15", 14)), {of(ofC1, one, "2026-10", "2026-11-01", 31), of(ofC1, one, "2026-11", "2026-11-15", 14)}}, "", "2026-10-01..2026-11-14", ""},
		"a wider scope goes on":    {[][]report{append(start[:2:2], report{dir: "all", scope: ofAccount, month: "2026-11", submitted: "2026-11-15T04:00:00Z", to: 14, charges: []string{one, two}})}, "", "2026-10-01..2026-11-14", ""},
		"a scope that is new":      {[][]report{append(start[:1:1], of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-15", 14))}, "", "2026-10-01..2026-11-14", ""},
		"it ended more than a month ago": {[][]report{{of(ofC2, two, "2026-10", "2026-10-14", 13), of(ofC1, one, "2026-10", "2026-11-01", 31), of(ofC1, one, "2026-11", "2026-11-15", 14)}}, "", "2026-10-01..2026-11-14",
			"warning: an export is behind, others reach 2026-11-14, and is not waited for any more: " + ofC2 + ", which ends with 2026-10-13"},
		"it ended long ago": {[][]report{{of(ofC2, two, "2026-08", "2026-09-01", 31), of(ofC1, one, "2026-10", "2026-11-01", 31), of(ofC1, one, "2026-11", "2026-11-15", 14)}}, "", "2026-10-01..2026-11-14",
			"note: an export ended long ago and is not waited for: " + ofC2},
		"its newest run is not whole": {[][]report{append(start[:2:2], of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.parts, r.cut = 2, true }))}, "",
			"2026-10-01..2026-10-31", "warning: "},
		"its only run is written over": {[][]report{fourth, {start[0], start[1], of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.torn = true })}}, "",
			"2026-10-01..2026-11-04", "warning: " + behind + "2026-11-04"},
		"all there is of it is written over": {[][]report{fourth, {of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.torn = true })}}, "",
			"2026-10-01..2026-11-04", "warning: " + behind + "2026-11-04"},
		"all there is of it is still to come": {[][]report{fourth, {of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.bare = true })}}, "",
			"2026-10-01..2026-11-04", "warning: " + behind + "2026-11-04"},
		"all there is of it is written over, its customer is excluded": {[][]report{fourth, {of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.bare = true })}}, "C2",
			"2026-10-01..2026-11-14", "files without a manifest"},
		"a new one's manifest breaks off": {[][]report{{of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.torn = true })}}, "",
			"", "not a manifest"},
		"a new one's manifest is still to come": {[][]report{{of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.bare, r.dir = true, "c2/20261101-20261130/run" })}}, "",
			"", "files without a manifest"},
		"a new one's part is cut, and then its manifest": {[][]report{
			{of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.parts, r.cut = 2, true })},
			{of(ofC1, one, "2026-11", "2026-11-16", 15), changed(of(ofC2, two, "2026-11", "2026-11-16", 15), func(r *report) { r.torn = true })}}, "", "", "not a manifest"},
		"a run that failed left a file": {[][]report{{changed(of(ofC1, one, "2026-11", "2026-11-15", 14), func(r *report) { r.dir = "c1/20261101-20261130/second" }),
			changed(of(ofC1, one, "2026-11", "2026-11-14", 13), func(r *report) { r.bare, r.dir = true, "c1/20261101-20261130/first" })}}, "", "2026-11-01..2026-11-14", "files without a manifest"},
		"its newest run has no row any more": {[][]report{fourth, {of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-15", 0)}}, "",
			"2026-10-01..2026-11-04", "has no row: what the archive has of its month stays"},
		"an excluded customer's run is cut": {[][]report{{of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.parts, r.cut = 2, true })}}, "C2",
			"2026-11-01..2026-11-14", ""},
		"a manifest of something else": {[][]report{{of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-05", 4), {dir: "app", other: true}}}, "",
			"2026-11-01..2026-11-04", "note: manifest.json of something that is no export, left out: "},
		"a run that does not say its month": {[][]report{{of(ofC1, one, "2026-11", "2026-11-15", 14), of(ofC2, two, "2026-11", "2026-11-05", 4), {dir: "all", scope: ofAccount, month: "2026-10", undated: true, to: 31, charges: []string{"c3/s3"}}}}, "",
			"2026-10-01..2026-11-04", "an export is behind"},
		"its only run is not whole": {[][]report{{start[0], of(ofC1, one, "2026-11", "2026-11-15", 14), changed(of(ofC2, two, "2026-11", "2026-11-15", 14), func(r *report) { r.parts, r.cut = 2, true })}}, "",
			"2026-10-01..2026-10-31", "warning: an export is behind, others reach 2026-11-14: " + ofC2 + ", of which no run is whole yet"},
		"its only run is not whole, of a month in which others have no day yet": {[][]report{{start[0], changed(of(ofC2, two, "2026-11", "2026-11-01", 14), func(r *report) { r.parts, r.cut = 2, true })}}, "",
			"2026-10-01..2026-10-31", "nothing of 2026-11 is archived yet: copy it again"},
		"the end of a month is in no run, months ago": {[][]report{{of(ofC1, one, "2026-09", "2026-09-30", 29), start[0], of(ofC1, one, "2026-11", "2026-11-15", 14)}}, "", "2026-10-01..2026-11-14",
			"note: 2026-09-30 to 2026-09-30 are in no run of the export of " + ofC1 + ", and therefore not known: "},
		"a month is in no run of one of two": {[][]report{append(all[:4:4], of(ofC1, one, "2026-08", "2026-09-01", 31), of(ofC2, two, "2026-08", "2026-09-01", 31), of(ofC2, two, "2026-09", "2026-10-01", 30))}, "", "",
			"warning: 2026-09-01 to 2026-09-30 are in no run of the export of " + ofC1 + ", and count as days without usage: "},
		"a month long ago is in no run of one of two": {[][]report{append(all[:4:4], of(ofC1, one, "2026-07", "2026-08-01", 31), of(ofC1, one, "2026-09", "2026-10-01", 30), of(ofC2, two, "2026-07", "2026-08-01", 31),
			of(ofC2, two, "2026-08", "2026-09-01", 31), of(ofC2, two, "2026-09", "2026-10-01", 30))}, "", "", "note: 2026-08-01 to 2026-08-31 are in no run of the export of " + ofC1 + ", and count as days without usage: "},
		"a month is in no run at all": {[][]report{append(all[:4:4], of(ofC1, one, "2026-07", "2026-08-01", 31), of(ofC1, one, "2026-09", "2026-10-01", 30))}, "", "", ""},
		"the end of a month is in no run": {[][]report{{of(ofC1, one, "2026-10", "2026-10-31", 30), of(ofC1, one, "2026-11", "2026-11-15", 14)}}, "", "2026-10-01..2026-10-30 2026-11-01..2026-11-14",
			"note: 2026-10-31 to 2026-10-31 are in no run of the export of " + ofC1},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t)
			n.now = date("2026-11-16").Time()
			var got string
			for _, night := range c.nights {
				out, err := n.extract(Options{Path: lay(t, night...), Exclude: []string{c.exclude}})
				if err != nil {
					t.Fatal(err)
				}
				got = ""
				for _, w := range out.Warnings {
					got += "warning: " + w + "\n"
				}
				for _, w := range out.Notes {
					got += "note: " + w + "\n"
				}
			}
			known := n.known()
			known = slices.DeleteFunc(known, func(p string) bool { return p < "2026-10" })
			if diff := cmp.Diff(c.known, strings.Join(known, " ")); diff != "" {
				t.Errorf("days that are known: want -, got +:\n%s", diff)
			}
			if c.says == "" && got != "" || !strings.Contains(got, c.says) {
				t.Errorf("told %q, want %q", got, c.says)
			}
			verified, err := archive.Verify(t.Context(), archive.NewDir(n.dir), archive.VerifyOptions{})
			if err != nil || !verified.OK() {
				t.Errorf("verify: %v, %+v", err, verified)
			}
		})
	}
}

// TestExtract_ADayReadAloneMakesNoOthersKnown has one of two exports written over after a
// single day was read of both.
func TestExtract_ADayReadAloneMakesNoOthersKnown(t *testing.T) {
	of := func(scope, charge, submitted string, to int) report {
		return report{dir: charge, scope: scope, month: "2026-11", submitted: submitted, to: to, charges: []string{charge}}
	}
	fourth := []report{of(ofC1, "c1/s1", "2026-11-05T04:00:00Z", 4), of(ofC2, "c2/s2", "2026-11-05T04:00:00Z", 4)}
	all := []report{of(ofC1, "c1/s1", "2026-11-15T04:00:00Z", 14), of(ofC2, "c2/s2", "2026-11-15T04:00:00Z", 14)}
	n := newNights(t)
	n.now = date("2026-11-16").Time()
	for _, night := range []struct {
		reports []report
		days    *data.Period
		known   string
	}{
		{fourth, nil, "2026-11-01..2026-11-04"},
		{all, &data.Period{From: date("2026-11-12"), To: date("2026-11-12")}, "2026-11-01..2026-11-04 2026-11-12..2026-11-12"},
		{[]report{all[0], changed(all[1], func(r *report) { r.torn = true })}, nil, "2026-11-01..2026-11-04 2026-11-12..2026-11-12"},
		{all, &data.Period{From: date("2026-11-13"), To: date("2026-11-20")}, "2026-11-01..2026-11-04 2026-11-12..2026-11-14"},
		{all, nil, "2026-11-01..2026-11-14"},
	} {
		if _, err := n.extractDays(Options{Path: lay(t, night.reports...)}, night.days); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(night.known, strings.Join(n.known(), " ")); diff != "" {
			t.Errorf("days that are known: want -, got +:\n%s", diff)
		}
	}
}

// TestExtract_WithoutAnyManifestNothingIsRead has a store that is written over, in which the
// manifests come last.
func TestExtract_WithoutAnyManifestNothingIsRead(t *testing.T) {
	n := newNights(t)
	n.now = date("2026-11-16").Time()
	whole := report{dir: "c1", scope: ofC1, month: "2026-11", submitted: "2026-11-14T04:00:00Z", to: 13, charges: []string{"c1/s1"}}
	if err := n.night(whole); err != nil {
		t.Fatal(err)
	}
	before := n.cents()
	half := changed(whole, func(r *report) { r.bare, r.to = true, 14 })
	if err := n.night(half); err == nil || !strings.Contains(err.Error(), "holds no manifest, and the archive has usage by runs of exports") {
		t.Errorf("err = %v", err)
	}
	if diff := cmp.Diff(before, n.cents()); diff != "" {
		t.Errorf("the archive changed:\n%s", diff)
	}
}

// TestExtract_ARunThatIsNotReadDeliversNothing has an older run in the store than the archive
// has some days of.
func TestExtract_ARunThatIsNotReadDeliversNothing(t *testing.T) {
	of := func(scope, charge, submitted string, to int) report {
		return report{dir: charge, scope: scope, month: "2026-11", submitted: submitted, to: to, charges: []string{charge}}
	}
	n := newNights(t)
	n.now = date("2026-11-26").Time()
	first := of(ofC1, "c1/s1", "2026-11-16T04:00:00Z", 15)
	newer, older := of(ofC1, "c1/s1", "2026-11-24T04:00:00Z", 23), of(ofC1, "c1/s1", "2026-11-22T04:00:00Z", 21)
	other := of(ofC2, "c2/s2", "2026-11-24T04:00:00Z", 23)
	for _, night := range []struct {
		reports []report
		days    *data.Period
		known   string
	}{
		{[]report{first, of(ofC2, "c2/s2", "2026-11-16T04:00:00Z", 15)}, nil, "2026-11-01..2026-11-15"},
		{[]report{newer, of(ofC2, "c2/s2", "2026-11-16T04:00:00Z", 15)}, &data.Period{From: date("2026-11-22"), To: date("2026-11-22")}, "2026-11-01..2026-11-15"},
		{[]report{older, other}, nil, "2026-11-01..2026-11-15"},
		{[]report{newer, other}, nil, "2026-11-01..2026-11-23"},
	} {
		if _, err := n.extractDays(Options{Path: lay(t, night.reports...)}, night.days); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(night.known, strings.Join(n.known(), " ")); diff != "" {
			t.Errorf("days that are known: want -, got +:\n%s", diff)
		}
	}
}
