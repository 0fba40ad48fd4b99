package reports

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"tidemark/data"
)

// Figure is one row of the long form of a document: the schema of its Parquet
// and, in the same order, of its CSV. Metric says which of the others are set;
// docs/metrics.md has the list. What is unknown is nil, and Note says why.
type Figure struct {
	Metric         string               `parquet:"metric,dict"`                      // e.g. "cost_by_category"
	Date           *data.Day            `parquet:"date,optional,date"`               // first day of a period of the trend
	Category       *string              `parquet:"category,optional,dict"`           // nil: all together; "": none given
	CustomerID     *data.CustomerID     `parquet:"customer_id,optional,dict"`        // nil: all together
	SubscriptionID *data.SubscriptionID `parquet:"subscription_id,optional,dict"`    //
	Name           *string              `parquet:"name,optional,dict"`               // of the customer or subscription, as archived
	Currency       *string              `parquet:"currency,optional,dict"`           // ISO 4217
	Unit           *string              `parquet:"unit,optional,dict"`               // of a quantity
	Rank           *int32               `parquet:"rank,optional"`                    // 1 is the first
	Value          *data.Decimal        `parquet:"value,optional,decimal(18:38)"`    // an amount, a quantity, a count, days or a score
	Previous       *data.Decimal        `parquet:"previous,optional,decimal(18:38)"` // of the previous period
	Change         *float64             `parquet:"change,optional"`                  // (value - previous) / previous, four decimals
	Note           *string              `parquet:"note,optional,dict"`               // a reason, or the state of a risk

	bare bool // value and previous are no amounts: CSV has them without the two decimals of one
}

// String returns the figure for messages: what it is of, and its values.
func (f Figure) String() string {
	var b strings.Builder
	b.WriteString(f.Metric)
	if f.Date != nil {
		fmt.Fprintf(&b, " %s", f.Date)
	}
	for _, of := range []*string{f.Category, (*string)(f.CustomerID), (*string)(f.SubscriptionID), f.Currency, f.Unit} {
		if of != nil {
			fmt.Fprintf(&b, " %q", *of)
		}
	}
	if f.Rank != nil {
		fmt.Fprintf(&b, " rank %d", *f.Rank)
	}
	b.WriteString(": " + amountText(f.Value) + ", before " + amountText(f.Previous))
	if f.Note != nil {
		fmt.Fprintf(&b, " (%s)", *f.Note)
	}
	return b.String()
}

func amountText(d *data.Decimal) string {
	if d == nil {
		return "unknown"
	}
	return d.String()
}

// Figures returns the document in its long form, a row per figure.
func (d *Document) Figures() []Figure {
	var out []Figure
	for _, c := range d.AllCounts() {
		out = append(out, Figure{Metric: c.Key, Value: whole(c.Value), Previous: whole(c.Previous), Change: c.Change, Note: c.Reason, bare: true})
	}
	if d.Costs != nil {
		for _, c := range d.Cost {
			out = append(out, c.figure("cost"))
		}
		for _, c := range d.ByCategory {
			f := c.figure("cost_by_category")
			f.Category = new(c.Category)
			out = append(out, f)
		}
		for _, c := range d.ByDay {
			out = append(out, Figure{Metric: "cost_by_day", Date: new(c.Date), Currency: new(c.Currency), Value: new(c.Value)})
		}
	}
	for _, t := range d.TopCustomers {
		f := Figure{Metric: "top_customers", Category: t.Category, CustomerID: new(t.CustomerID), Name: t.Name.known(),
			Unit: t.Unit, Rank: new(int32(t.Rank)), Value: t.Quantity, Previous: t.Previous}
		if t.TopCost != nil && t.Cost != nil {
			f.Value, f.Currency = t.Cost, t.Currency
		}
		out = append(out, f)
	}
	for _, s := range d.AtRisk {
		out = append(out, Figure{Metric: "at_risk", CustomerID: new(s.CustomerID), SubscriptionID: new(s.SubscriptionID), Name: s.Name.known(),
			Value: exactScore(s.Score), Note: new(string(s.State)), bare: true})
	}
	for _, s := range d.WithoutUsage {
		f := Figure{Metric: "subscriptions_without_usage", Date: s.LastUsage, CustomerID: new(s.CustomerID), SubscriptionID: new(s.SubscriptionID),
			Name: s.Name.known(), bare: true}
		if s.DaysIdle != nil {
			f.Value = new(data.DecimalFromInt(int64(*s.DaysIdle)))
		}
		out = append(out, f)
	}
	for _, c := range d.ChurnByDate {
		out = append(out, Figure{Metric: "active", Date: new(c.Date), Value: whole(&c.Active), bare: true},
			Figure{Metric: "deprovisioned_on", Date: new(c.Date), Value: whole(&c.Deprovisioned), bare: true})
	}
	return append(out, d.Details.figures()...)
}

// NamedCount is one count of a document with its key.
type NamedCount struct {
	Key string
	Count
}

// AllCounts returns the counts of the document in the order they are printed in.
func (d *Document) AllCounts() []NamedCount {
	return []NamedCount{
		{"subscriptions_sold", d.SubscriptionsSold}, {"customers_with_usage", d.CustomersWithUsage},
		{"customers_without_usage", d.CustomersWithoutUsage}, {"new_customers", d.NewCustomers},
		{"subscriptions_renewed", d.SubscriptionsRenewed}, {"at_risk_high", d.Counts.AtRiskHigh},
		{"subscriptions_without_usage", d.Counts.WithoutUsage}, {"active_at_end", d.Counts.ActiveAtEnd},
		{"deprovisioned", d.Counts.Deprovisioned},
	}
}

// Figures returns the groups in the long form of a document.
func (g Groups) Figures() []Figure {
	var out []Figure
	for _, group := range g.Groups {
		f := group.figure("cost_by_" + string(g.GroupBy))
		f.Category, f.CustomerID, f.Note = group.Category, group.CustomerID, group.Reason
		if group.Name != nil {
			f.Name = group.Name.known()
		}
		out = append(out, f)
	}
	return out
}

func (c Cost) figure(metric string) Figure {
	return Figure{Metric: metric, Currency: new(c.Currency), Value: c.Value, Previous: c.Previous, Change: c.Change}
}

// known returns the name, nil for an unknown one.
func (n Name) known() *string {
	if n == "" {
		return nil
	}
	return new(string(n))
}

func whole(n *int64) *data.Decimal {
	if n == nil {
		return nil
	}
	return new(data.DecimalFromInt(*n))
}

// exactScore returns a score of four decimals as the decimal that is written like it.
func exactScore(s *float64) *data.Decimal {
	if s == nil {
		return nil
	}
	d, _ := data.DecimalFromInt(int64(math.Round(*s*1e4))).MulRatio(1, 1e4) // it only gets smaller
	return &d
}

// WriteFiguresCSV writes figures as CSV with a header: unknown is empty, amounts
// are exact, and a text that a spreadsheet would take for a formula is guarded.
func WriteFiguresCSV(w io.Writer, figures []Figure) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"metric", "date", "category", "customer_id", "subscription_id", "name", "currency", "unit", "rank",
		"value", "previous", "change", "note"}); err != nil {
		return err
	}
	for _, f := range figures {
		if err := out.Write(f.fields()); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (f Figure) fields() []string {
	var date, rank, change string
	if f.Date != nil {
		date = f.Date.String()
	}
	if f.Rank != nil {
		rank = strconv.Itoa(int(*f.Rank))
	}
	if f.Change != nil {
		change = strconv.FormatFloat(*f.Change, 'f', -1, 64)
	}
	return []string{f.Metric, date, guardedText(f.Category), guardedText(f.CustomerID), guardedText(f.SubscriptionID), guardedText(f.Name),
		guardedText(f.Currency), guardedText(f.Unit), rank, f.number(f.Value), f.number(f.Previous), change, guardedText(f.Note)}
}

func guardedText[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return Guarded(string(*s))
}

func (f Figure) number(d *data.Decimal) string {
	switch {
	case d == nil:
		return ""
	case f.bare:
		return strings.TrimRight(strings.TrimRight(d.String(), "0"), ".")
	}
	return d.String()
}
