package reports

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tidemark/data"
)

// attached returns the fields of a column of an attachment by customer id.
func attached(t *testing.T, file []byte, column string) map[string]string {
	t.Helper()
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(file, []byte(byteOrderMark))))
	rows, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	id, at := slices.Index(rows[0], "Customer ID"), slices.Index(rows[0], column)
	if at < 0 {
		t.Fatalf("no column %q in %q", column, rows[0])
	}
	fields := make(map[string]string)
	for _, row := range rows[1:] {
		fields[row[id]] = row[at]
	}
	return fields
}

// TestAttachment_HasEveryCustomerThatTheMailCounts has thirteen customers without a sales
// agent, one of them without any subscription, and seven new ones.
func TestAttachment_HasEveryCustomerThatTheMailCounts(t *testing.T) {
	in := fixtureInput(t, AdminAgent, "en")
	want := map[string]string{"c01": "anna@partner.example", "c02": "anna@partner.example", "c03": "bram@partner.example", "c05": "bram@partner.example",
		"c06": "none", "c07": "anna@partner.example · bram@partner.example", "c08": "none"}
	since := map[string]string{"c05": "2026-11-08"}
	for i := range 11 {
		id := data.CustomerID(fmt.Sprintf("n%02d", i))
		want[string(id)] = "none"
		in.Document.Background.Customers[id] = Customer{Name: fmt.Sprintf("Nieuw %02d", i)}
		if i > 0 {
			r := fixtureRisks(t)[6]
			r.customer = fmt.Sprintf("Nieuw %02d", i)
			addFixtureRisk(t, in.Document, id, data.SubscriptionID(id), r)
		}
		if i < 6 {
			in.Document.Background.New[id] = day(t, "2026-11-07") + data.Day(i)
			since[string(id)] = (day(t, "2026-11-07") + data.Day(i)).String()
		}
	}
	in.Document.NewCustomers = newCount(new(int64(7)), new(int64(0)), nil)
	_, r := render(t, in)
	if got := attached(t, r.CSV, "Sales agent"); !maps.Equal(got, want) {
		t.Errorf("sales agents\n%v, want\n%v", got, want)
	}
	got := attached(t, r.CSV, "New customer since")
	maps.DeleteFunc(got, func(_, v string) bool { return v == "" })
	if !maps.Equal(got, since) {
		t.Errorf("new customers\n%v, want\n%v", got, since)
	}
	for _, want := range []string{"3 more in the attachment", "New: Nieuw 00, Huisartsenpost Eemland, Nieuw 01, Nieuw 02, Nieuw 03 and 2 more."} {
		if text := strings.Join(strings.Fields(r.Text), " "); !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, r.Text)
		}
	}
	if !strings.Contains(string(r.Page), "Nieuw 03 and 2 more.") {
		t.Error("the page names no new customer")
	}
	in = fixtureInput(t, SalesAgent, "en")
	if _, r = render(t, in); strings.Contains(string(r.CSV), "Sales agent") {
		t.Error("a sales agent is shown who else sees a customer")
	}
}
