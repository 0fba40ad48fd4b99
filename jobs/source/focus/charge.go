package focus

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// The columns of FOCUS that are read, in the order of columns.
const (
	colStart = iota
	colCost
	colCurrency
	colAccount
	colProvider
	colCategory
	colAccountName
	colEffective
	colUSD
	colQuantity
	colUnit
	colPeriod
	colService
	colServiceCategory
	colMeterCategory
	colMeter
	colSKU
	colRegion
	colSubAccount
	colSubAccountName
	colCustomer
	colCustomerName
	colCommitment
	colCredit
	colCreditRate
)

func columns() []flatfile.Column {
	return []flatfile.Column{
		colStart:           {Name: "ChargePeriodStart", Required: true},
		colCost:            {Name: "BilledCost", Required: true},
		colCurrency:        {Name: "BillingCurrency", Required: true},
		colAccount:         {Name: "BillingAccountId", Required: true},
		colProvider:        {Name: "ProviderName", Alias: "ServiceProviderName", Required: true},
		colCategory:        {Name: "ChargeCategory", Required: true},
		colAccountName:     {Name: "BillingAccountName"},
		colEffective:       {Name: "EffectiveCost"},
		colUSD:             {Name: "x_BilledCostInUsd"},
		colQuantity:        {Name: "ConsumedQuantity"},
		colUnit:            {Name: "ConsumedUnit"},
		colPeriod:          {Name: "BillingPeriodStart"},
		colService:         {Name: "ServiceName"},
		colServiceCategory: {Name: "ServiceCategory"},
		colMeterCategory:   {Name: "x_SkuMeterCategory"},
		colMeter:           {Name: "x_SkuMeterId"},
		colSKU:             {Name: "SkuId"},
		colRegion:          {Name: "RegionId"},
		colSubAccount:      {Name: "SubAccountId"},
		colSubAccountName:  {Name: "SubAccountName"},
		colCustomer:        {Name: "x_CustomerId"},
		colCustomerName:    {Name: "x_CustomerName"},
		colCommitment:      {Name: "CommitmentDiscountStatus"},
		colCredit:          {Name: "x_PartnerCreditApplied"},
		colCreditRate:      {Name: "x_PartnerCreditRate"},
	}
}

// charge is one row of an export.
type charge struct {
	*flatfile.Row
	run     *run // nil for a file without manifest
	lenient bool
	tally   *data.Tally
	warn    func(text string) // tells a text once
}

// usage maps the charge to a usage row of the given day.
func (c charge) usage(day data.Day) data.Usage {
	account := data.CleanID(c.must(colAccount))
	u := data.Usage{
		Day:            day,
		CustomerID:     data.CustomerID(c.id(colCustomer)),
		SubscriptionID: data.Optional(data.SubscriptionID(c.id(colSubAccount))),
		Category:       c.either(colMeterCategory, colServiceCategory),
		Service:        data.Optional(c.text(colService)),
		MeterID:        data.Optional(data.CleanID(c.either(colMeter, colSKU))),
		Region:         data.Optional(c.text(colRegion)),
		Unit:           data.Optional(c.text(colUnit)),
		BillingPeriod:  c.month(colPeriod),
		Quantity:       c.decimal(colQuantity),
		Cost:           c.decimal(colCost),
		EffectiveCost:  c.decimal(colEffective),
		CostUSD:        c.decimal(colUSD),
		Origin: data.Origin{
			Scope:            account,
			CustomerName:     data.Optional(c.either(colCustomerName, colAccountName)),
			SubscriptionName: data.Optional(c.text(colSubAccountName)),
		},
	}
	if u.CustomerID == "" && c.run != nil {
		u.CustomerID = data.CustomerID(customerOf(c.run.scope))
	}
	if u.CustomerID == "" {
		u.CustomerID = data.CustomerID(account)
	}
	c.ofRun(&u)
	if strings.EqualFold(c.text(colCommitment), "Unused") {
		u.Quantity = nil // a reservation that nobody used is cost, not usage
	}
	u.PartnerCreditApplied, u.PartnerCreditRate = c.creditApplied(), c.creditRate()
	if kind := flatfile.Parse(c.Row, colCategory, data.ParseChargeCategory); kind != nil {
		u.ChargeCategory = *kind
	} else {
		c.must(colCategory)
	}
	if currency := flatfile.Parse(c.Row, colCurrency, data.ParseCurrency); currency != nil {
		u.Currency = *currency
	} else {
		c.must(colCurrency)
	}
	if u.CostUSD == nil && u.Currency == "USD" {
		u.CostUSD = u.Cost
	}
	return u
}

// ofRun takes over what the manifest says: what the run restates is its scope and
// month as a whole, whatever its rows say of their billing periods.
func (c charge) ofRun(u *data.Usage) {
	if c.run == nil {
		return
	}
	if c.run.scope != "" {
		u.Origin.Scope = c.run.scope
	}
	if c.run.month != 0 {
		u.BillingPeriod = new(period(c.run.month))
	}
}

// creditApplied reads whether the partner earned a credit. How exports write it is
// not documented, so that what cannot be read is unknown and told, and spoils no
// row.
func (c charge) creditApplied() *bool {
	switch s := strings.ToLower(c.text(colCredit)); s {
	case "":
		return nil
	case "1", "true", "yes":
		return new(true)
	case "0", "false", "no":
		return new(false)
	}
	c.warn("x_PartnerCreditApplied is taken for unknown where it is neither 1, 0, true nor false")
	return nil
}

// creditRate reads the share of the price that the credit is: 0.15, 15 or 15%.
func (c charge) creditRate() *data.Decimal {
	s := c.text(colCreditRate)
	if s == "" {
		return nil
	}
	number, percent := strings.CutSuffix(s, "%")
	d, _, err := data.ParseDecimal(strings.TrimSpace(number))
	if err != nil {
		c.warn("x_PartnerCreditRate is taken for unknown where it is no number")
		return nil
	}
	if percent || d.Float64() > 1 {
		d, _ = d.MulRatio(1, 100)
	}
	return &d
}

// text returns a cell. The text NULL is empty to a lenient source and a problem
// to a strict one, since no real name or id is spelt so.
func (c charge) text(col int) string {
	s := c.Text(col)
	if s != "NULL" {
		return s
	}
	if !c.lenient {
		c.Fail(col, "the text NULL is no value; lenient takes it for empty")
	}
	return ""
}

// must returns a cell that may not be empty.
func (c charge) must(col int) string {
	s := c.text(col)
	if s == "" {
		c.Fail(col, "missing: every row needs one")
	}
	return s
}

// either returns the first of two cells that is not empty.
func (c charge) either(first, second int) string {
	if s := c.text(first); s != "" {
		return s
	}
	return c.text(second)
}

const zeroGUID = "00000000-0000-0000-0000-000000000000"

// id returns an identifier without the prefix that Azure puts before
// subscriptions; older exports write a zero GUID where there is none.
func (c charge) id(col int) string {
	id := strings.TrimPrefix(data.CleanID(c.text(col)), "/subscriptions/")
	if id == zeroGUID {
		return ""
	}
	return id
}

func (c charge) decimal(col int) *data.Decimal {
	s := c.text(col)
	if s == "" {
		return nil
	}
	d, rounded, err := data.ParseDecimal(s)
	if err != nil {
		c.Fail(col, err.Error())
		return nil
	}
	if rounded {
		c.tally.Rounded++
	}
	return &d
}

// month returns the month of a date, e.g. "2024-09".
func (c charge) month(col int) *string {
	s := c.text(col)
	if s == "" {
		return nil
	}
	day, err := parseDay(s, c.lenient)
	if err != nil {
		c.Fail(col, err.Error())
		return nil
	}
	return new(day.Time().Format("2006-01"))
}

// parseDay returns the UTC day of a FOCUS date: 1.0 writes 2024-01-01T00:00Z,
// later versions 2024-01-01T00:00:00Z, and a Parquet date is a day already.
func parseDay(s string, lenient bool) (data.Day, error) {
	if s == "" || lenient && s == "NULL" {
		return 0, errors.New("missing: every row needs one")
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return data.DayOf(t.UTC()), nil
		}
	}
	err := errors.New("not a date: want YYYY-MM-DDTHH:MM:SSZ")
	t, timeErr := time.Parse(time.DateTime, s)
	switch {
	case timeErr != nil:
		return 0, err
	case !lenient:
		return 0, fmt.Errorf("%w; lenient accepts YYYY-MM-DD HH:MM:SS as UTC", err)
	}
	return data.DayOf(t), nil
}
