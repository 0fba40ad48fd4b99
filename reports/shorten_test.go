package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidemark/data"
)

// addCurrencies bills the fixture's customers in more currencies, each with a
// ranking of five customers with long names.
func addCurrencies(t *testing.T, d *Document, n int) {
	t.Helper()
	for i := range n {
		currency := fmt.Sprintf("X%c%c", 'A'+i/26, 'A'+i%26)
		amount := new(dec(t, fmt.Sprint(1000+i)))
		d.Cost = append(d.Cost, newCost(currency, amount, new(dec(t, "900"))))
		d.AtRisk[0].MonthlyCost = append(d.AtRisk[0].MonthlyCost, data.Money{Currency: currency, Amount: *amount})
		d.AtRisk[0].ExpectedLoss = append(d.AtRisk[0].ExpectedLoss, data.Money{Currency: currency, Amount: dec(t, "30")})
		for rank := range 5 {
			id := data.CustomerID(fmt.Sprintf("y%02d-%d", i, rank))
			d.Background.Customers[id] = Customer{Name: fmt.Sprintf("Waterschap %02d-%d van Noord", i, rank)}
			d.TopCustomers = append(d.TopCustomers, TopCustomer{Rank: rank + 1, CustomerID: id, Previous: new(dec(t, "12")),
				TopCost: &TopCost{Currency: new(currency), Cost: new(dec(t, fmt.Sprint(99999-rank)))}})
		}
	}
}

// TestMail_OfManyCurrenciesNamesAFew has sixty-one, and says how many it leaves out.
func TestMail_OfManyCurrenciesNamesAFew(t *testing.T) {
	for _, role := range []Role{SalesAgent, AdminAgent, GlobalAdmin} {
		in := fixtureInput(t, role, "en")
		addCurrencies(t, in.Document, 60)
		d, r := render(t, in)
		checkMail(t, r.HTML)
		checkText(t, r.Text)
		if role == SalesAgent {
			checkWordsBeforeCharts(t, d)
		}
		if n := len(d.Subject); n > 140 || role != AdminAgent && !strings.Contains(d.Subject, "and 57 more currencies") {
			t.Errorf("%s: subject %q of %d bytes", role, d.Subject, n)
		}
		for _, want := range []string{"Azure purchase cost in EUR", "All categories, in EUR", "and 57 more currencies", "Stadsarchief Leiden is the largest customer in EUR: €1,960"} {
			if !strings.Contains(r.Text, want) {
				t.Errorf("%s: %q is not in\n%s", role, want, r.Text)
			}
		}
		if strings.Contains(r.Text, d.Shortened) || strings.Count(string(r.Page), "All categories, in X") < 60 {
			t.Errorf("%s: the mail is shortened, or currencies are not on the page", role)
		}
	}
}

// TestMail_ThatWouldBeTooLargeIsShortened has more text than a mail can show in
// every list that there is.
func TestMail_ThatWouldBeTooLargeIsShortened(t *testing.T) {
	for _, role := range Roles() {
		d, err := Build(fixtureInput(t, role, "en"))
		if err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(d.Sections)
		long := strings.Repeat("Waterleidingmaatschappij ", 20)
		var rows [][]Cell
		var bars []BarGroup
		for range 60 {
			rows = append(rows, []Cell{{Text: long}, {Text: "1", Number: true}, {Text: "2", Number: true}})
			bars = append(bars, BarGroup{Title: long, Bars: []Bar{{Label: long, Value: "1"}}})
		}
		for i := range d.Sections {
			d.Sections[i].Groups = append(d.Sections[i].Groups, bars...)
			for j := range d.Sections[i].Tables {
				for _, row := range rows {
					d.Sections[i].Tables[j].Rows = append(d.Sections[i].Tables[j].Rows, row[:len(d.Sections[i].Tables[j].Head)])
				}
			}
		}
		r, err := Render(d, nil)
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		checkMail(t, r.HTML)
		text := strings.Join(strings.Fields(r.Text), " ")
		if !strings.Contains(text, d.Shortened) || !strings.Contains(r.HTML, d.Shortened) {
			t.Errorf("%s: it is not said that the mail was shortened", role)
		}
		for i, s := range before {
			if s.Title != d.Sections[i].Title || !strings.Contains(text, s.Title) || len(d.Sections[i].Groups) < 60 {
				t.Errorf("%s: section %q is gone, or the digest itself was cut", role, s.Title)
			}
		}
	}
	d, err := Build(fixtureInput(t, SalesAgent, "en"))
	if err != nil {
		t.Fatal(err)
	}
	d.Headline = strings.Repeat("x", maxHTML)
	if _, err := Render(d, nil); err == nil {
		t.Error("a mail that cannot be shortened was accepted")
	}
}

// TestShorten_KeepsWhatASectionSaysOfTheRest has a list that says already how much more
// there is.
func TestShorten_KeepsWhatASectionSaysOfTheRest(t *testing.T) {
	const note = "Shortened."
	sections := []Section{{Lines: make([]string, 40), More: "54 more in the attachment"}, {Lines: make([]string, 39)}}
	for range 8 {
		sections, _ = shorten(sections, note)
	}
	if got, want := sections[0].More+"|"+sections[1].More, "54 more in the attachment. Shortened.|Shortened."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
