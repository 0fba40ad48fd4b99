package partnercenter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tidemark/data"
	"tidemark/jobs/microsoft"
)

// reading is one pass over the rows.
type reading struct {
	source *Source
	today  data.Day // usage after it is refused
	want   *data.Period
	tally  *data.Tally
	yield  func(data.Usage, error) bool
}

func (r *reading) all(ctx context.Context, feeds []*feed) error {
	for _, f := range feeds {
		for _, b := range f.blobs {
			if err := r.blob(ctx, f, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reading) blob(ctx context.Context, f *feed, b blobFile) error {
	file, err := os.Open(b.Path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	before, counted := r.tally.Bytes, &counter{Reader: file}
	n := int64(0)
	err = eachLine(counted, func(line []byte) error {
		n++
		r.tally.Bytes = before + counted.n
		if n%1024 == 1 && ctx.Err() != nil {
			return ctx.Err()
		}
		return r.line(ctx, f, b, n, line)
	})
	if err == nil {
		r.tally.Bytes = before + b.Size
	}
	return err
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// line yields one line; errStopped ends the sequence.
func (r *reading) line(ctx context.Context, f *feed, b blobFile, n int64, line []byte) error {
	u, err := r.usage(f, line)
	switch bad := (*data.RowError)(nil); {
	case errors.As(err, &bad) && bad.Day != nil && r.want != nil && !r.want.Contains(*bad.Day):
		return nil
	case errors.As(err, &bad):
		bad.File, bad.Line = f.String()+"/"+filepath.Base(b.Name), n
	case r.want != nil && !r.want.Contains(u.Day):
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.tally.Read++
	if !r.yield(u, err) {
		return errStopped
	}
	return nil
}

// rated is a line of daily rated usage, as far as it is used.
type rated struct {
	PartnerID              text
	CustomerID             text
	CustomerName           text
	EntitlementID          text
	EntitlementDescription text
	UsageDate              text
	MeterCategory          text
	MeterSubCategory       text
	MeterID                text
	MeterRegion            text
	ResourceLocation       text
	ConsumedService        text
	ProductName            text
	Unit                   text
	UnitType               text
	Quantity               text
	ChargeType             text
	BillingPreTaxTotal     text
	BillingCurrency        text
	PricingPreTaxTotal     text
	PricingCurrency        text

	PartnerEarnedCreditPercentage text
}

const zeroGUID = "00000000-0000-0000-0000-000000000000"

// usage maps a line; its error is a *data.RowError without a place.
func (r *reading) usage(f *feed, line []byte) (data.Usage, error) {
	var l rated
	if err := json.Unmarshal(line, &l); err != nil {
		return data.Usage{}, &data.RowError{Value: microsoft.Shorten(strings.ToValidUTF8(string(line), "\uFFFD")), Reason: "not a JSON object"}
	}
	row := cells{tally: r.tally}
	u := data.Usage{
		Day:            row.day("UsageDate", l.UsageDate, r.today),
		CustomerID:     data.CustomerID(row.must("CustomerId", data.CleanID(string(l.CustomerID)))),
		SubscriptionID: data.Optional(data.SubscriptionID(guid(l.EntitlementID))),
		Category:       clean(l.MeterCategory),
		Service:        data.Optional(cmp.Or(clean(l.ConsumedService), clean(l.MeterSubCategory))),
		MeterID:        data.Optional(guid(l.MeterID)),
		Region:         data.Optional(cmp.Or(clean(l.ResourceLocation), clean(l.MeterRegion))),
		Unit:           data.Optional(cmp.Or(clean(l.UnitType), clean(l.Unit))),
		Currency:       row.currency("BillingCurrency", cmp.Or(clean(l.BillingCurrency), f.Currency)),
		ChargeCategory: chargeCategory(l.ChargeType),
		BillingPeriod:  &f.period,
		Quantity:       row.decimal("Quantity", l.Quantity),
		Cost:           row.decimal("BillingPreTaxTotal", l.BillingPreTaxTotal),
	}
	if u.Category == "" {
		u.Category = clean(l.ProductName)
	}
	if percent := row.decimal("PartnerEarnedCreditPercentage", l.PartnerEarnedCreditPercentage); percent != nil {
		u.PartnerCreditApplied = new(!percent.IsZero())
		if rate, ok := percent.MulRatio(1, 100); ok {
			u.PartnerCreditRate = &rate
		}
	}
	priced := row.decimal("PricingPreTaxTotal", l.PricingPreTaxTotal)
	switch {
	case u.Currency == "USD":
		u.CostUSD = u.Cost
	case strings.EqualFold(clean(l.PricingCurrency), "USD"):
		u.CostUSD = priced
	}
	u.Origin = data.Origin{Scope: cmp.Or(guid(l.PartnerID), data.CleanID(r.source.o.Tenant)) + " " + strings.ToLower(u.Currency),
		CustomerName: data.Optional(clean(l.CustomerName)), SubscriptionName: data.Optional(clean(l.EntitlementDescription))}
	if u.Currency != f.Currency && f.Invoice == "" {
		row.fail("BillingCurrency", u.Currency, "not the currency that was asked for, "+f.Currency)
	}
	if row.bad == nil {
		return u, nil
	}
	if d := dayOf(l.UsageDate); d != nil && d.Implausible(r.today) == "" {
		row.bad.Day = d
	}
	return data.Usage{}, row.bad
}

func guid(t text) string {
	if id := data.CleanID(string(t)); id != zeroGUID {
		return id
	}
	return ""
}

// chargeCategory maps the type of a charge. All of it is usage, but for what
// takes some back.
func chargeCategory(t text) data.ChargeCategory {
	switch data.CleanID(string(t)) {
	case "refund", "cancel", "credit":
		return data.ChargeCredit
	}
	return data.ChargeUsage
}

// cells reads the values of one line and keeps the first problem.
type cells struct {
	tally *data.Tally
	bad   *data.RowError
}

func (c *cells) fail(column, value, reason string) {
	if c.bad == nil {
		c.bad = &data.RowError{Column: column, Value: microsoft.Shorten(strings.ToValidUTF8(value, "\uFFFD")), Reason: reason}
	}
}

func (c *cells) must(column, value string) string {
	if value == "" {
		c.fail(column, "", "missing: every row needs one")
	}
	return value
}

func (c *cells) day(column string, t text, today data.Day) data.Day {
	d := dayOf(t)
	if d == nil {
		c.fail(column, string(t), "not a date: want YYYY-MM-DDTHH:MM:SSZ")
		return 0
	}
	if why := d.Implausible(today); why != "" {
		c.fail(column, string(t), why)
	}
	return *d
}

func (c *cells) decimal(column string, t text) *data.Decimal {
	if t == "" {
		return nil
	}
	d, rounded, err := data.ParseDecimal(string(t))
	if err != nil {
		c.fail(column, string(t), err.Error())
		return nil
	}
	if rounded {
		c.tally.Rounded++
	}
	return &d
}

func (c *cells) currency(column, code string) string {
	parsed, err := data.ParseCurrency(code)
	if err != nil {
		c.fail(column, strings.ToUpper(code), err.Error())
	}
	return parsed
}
