package reports

import (
	"fmt"
	"strings"
	"testing"
)

// TestTextTable_LettersOfEastAsiaTakeTwoColumns has the width of each line counted by
// hand: in Latin letters one column each, in the others two.
func TestTextTable_LettersOfEastAsiaTakeTwoColumns(t *testing.T) {
	table := textTable(Table{Head: []string{"Klant", "Dag"}, Rows: [][]Cell{{{Text: "東京物流"}, {Text: "5 nov"}}, {{Text: "Noordzee"}, {Text: "12 nov"}}}})
	lines := strings.Split(table, "\n")
	for i, want := range []string{
		"Klant" + strings.Repeat(" ", 63+5) + "Dag", "東京物流" + strings.Repeat(" ", 60+3) + "5 nov", "Noordzee" + strings.Repeat(" ", 60+2) + "12 nov",
	} {
		if lines[i] != want {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], want)
		}
	}
	folded := fold("東京物流株式会社", 6)
	if want := []string{"東京物", "流株式", "会社"}; strings.Join(folded, "|") != strings.Join(want, "|") {
		t.Errorf("folded %q, want %q", folded, want)
	}
	if rule("東京") != "----" {
		t.Errorf("the rule under 東京 is %q", rule("東京"))
	}
}

// TestBuild_OfYearsInDays has more days than a chart shows.
func TestBuild_OfYearsInDays(t *testing.T) {
	in := fixtureInput(t, SalesAgent, "en")
	in.Document.Period.From = in.Document.Period.To - 2500
	in.Document.ByDay, in.Document.ChurnByDate = nil, nil
	for d := in.Document.Period.From; d <= in.Document.Period.To; d++ {
		in.Document.ByDay = append(in.Document.ByDay, DayCost{Date: d, Currency: "EUR", Value: dec(t, "1")})
		in.Document.ChurnByDate = append(in.Document.ChurnByDate, ChurnDay{Date: d, Active: 11, Deprovisioned: int64(d % 2)})
	}
	_, r := render(t, in)
	checkMail(t, r.HTML)
	checkText(t, r.Text)
	ended := 0
	for _, d := range in.Document.ChurnByDate {
		ended += int(d.Deprovisioned)
	}
	if want := fmt.Sprintf("and 1,%d more days", ended-maxDays-1000); !strings.Contains(r.Text, want) {
		t.Errorf("the days that are left out are not counted:\n%s", r.Text)
	}
}
