package partnercenter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// Usage yields the daily rated usage: of each currency the unbilled usage of the
// current and the last billing period, and the billed usage of the invoices that
// the archive lacks, which takes the place of what was unbilled. Each export is
// all there is of its billing period. Everything is on disk, and whole, before
// the first row is yielded.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		_, err := within(ctx, s, func(timed context.Context) (struct{}, error) {
			feeds, err := s.fetchAll(timed, want, tally)
			if err != nil {
				return struct{}{}, s.failed(err)
			}
			r := &reading{source: s, want: want, tally: tally, yield: yield}
			return struct{}{}, r.all(ctx, feeds)
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(data.Usage{}, err)
		}
	}
}

// errStopped says that the consumer wants no more rows.
var errStopped = errors.New("stopped")

// fetchAll downloads what is wanted, in the order of periods and currencies.
func (s *Source) fetchAll(ctx context.Context, want *data.Period, tally *data.Tally) ([]*feed, error) {
	if len(s.currencies) == 0 {
		return nil, errors.New("currencies is missing: name the billing currencies of the partner, e.g. [EUR]; an export is of one")
	}
	todo, others, err := s.invoicesFor(ctx, want, tally)
	if err != nil {
		return nil, err
	}
	feeds, err := s.fetchBilled(ctx, want, tally, todo, others)
	if err != nil {
		return nil, err
	}
	unbilled, err := s.fetchUnbilled(ctx, want, feeds)
	if err != nil {
		return nil, err
	}
	feeds = append(feeds, unbilled...)
	all, invoices := slices.Clone(feeds), slices.Concat(todo, others)
	feeds = slices.DeleteFunc(feeds, func(f *feed) bool {
		whole := s.isWhole(f.period, all, invoices)
		if !whole {
			tally.Warnings = append(tally.Warnings, fmt.Sprintf("usage of %s in %s is there, that in another currency is not yet: the month stays as it is", f.period, f.Currency))
		}
		return !whole
	})
	if want == nil { // a part of its days does not make an invoice read
		s.keepBilled(feeds)
	}
	months := map[data.Day]bool{}
	for _, f := range feeds {
		for _, b := range f.blobs {
			tally.TotalBytes += b.Size
		}
		if first, err := data.ParseDay(f.period + "-01"); err == nil {
			months[first] = true
		}
	}
	today := data.DayOf(s.o.Now().UTC())
	tally.Covers = []data.Period{}
	for _, first := range slices.Sorted(maps.Keys(months)) {
		tally.Covers = append(tally.Covers, data.Period{From: first, To: max(first, min(firstOfMonth(first+31)-1, today))})
	}
	return feeds, nil
}

// patience is how long an invoice without data is waited for: then it has no usage.
const patience = 72 * time.Hour

// fetchBilled downloads the invoices that the archive lacks. Together with one
// are read all others of its billing period: they replace what was there. While one
// of them has no data yet, what others have of the period is not the whole.
func (s *Source) fetchBilled(ctx context.Context, want *data.Period, tally *data.Tally, todo, others []invoice) ([]*feed, error) {
	var feeds []*feed
	periods, waiting := map[string]bool{}, map[string]bool{}
	latest := monthOf(data.DayOf(s.o.Now().UTC()))
	for len(todo) > 0 {
		for _, inv := range todo {
			f, err := s.fetch(ctx, export{Invoice: inv.ID, Currency: inv.Currency})
			if err != nil {
				return nil, err
			}
			if f == nil || f.lines() == 0 {
				if s.waitsFor(inv, want) {
					waiting[inv.Currency+" "+inv.about()] = true
					tally.Warnings = append(tally.Warnings, fmt.Sprintf("invoice %s has no usage yet: %s stays as it is", shorten(inv.ID), firstOf(inv.about(), "its month")))
				}
				continue
			}
			if err := f.place(inv.month(), latest); err != nil {
				return nil, err
			}
			periods[f.key()] = true
			feeds = append(feeds, f)
		}
		var rest []invoice
		todo = nil
		for _, inv := range others {
			if known := s.billed[inv.ID]; known.Period != "" && periods[known.key()] {
				todo = append(todo, inv)
			} else {
				rest = append(rest, inv)
			}
		}
		others = rest
	}
	return slices.DeleteFunc(feeds, func(f *feed) bool { return waiting[f.key()] }), nil
}

// waitsFor notes that an invoice has no data, and reports whether some may still
// come.
func (s *Source) waitsFor(inv invoice, want *data.Period) bool {
	first, asked := s.billed[inv.ID]
	if !asked {
		first = billed{Currency: inv.Currency, Read: s.o.Now().UTC()}
		if want == nil {
			s.billed[inv.ID] = first
		}
	}
	return first.Period == "" && s.o.Now().Sub(first.Read) < patience
}

// keepBilled notes the invoices that are read as a whole.
func (s *Source) keepBilled(feeds []*feed) {
	for _, f := range feeds {
		if f.Invoice != "" {
			s.billed[f.Invoice] = billed{Currency: f.Currency, Period: f.period, ETag: f.etag, Read: s.o.Now().UTC()}
		}
	}
}

// isWhole reports whether a month is known in every currency that the partner uses:
// one that comes later makes it unknown until then. A currency without any export is
// not used; one without an invoice, where others have theirs, has no usage.
func (s *Source) isWhole(month string, feeds []*feed, invoices []invoice) bool {
	if month >= monthOf(data.DayOf(s.o.Now().UTC())) {
		return true
	}
	used, has, invoiced := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range feeds {
		used[f.Currency] = true
		has[f.Currency] = has[f.Currency] || f.period == month
	}
	for _, inv := range invoices {
		if inv.about() == month {
			invoiced[inv.Currency] = true
		}
	}
	for currency := range used {
		if has[currency] || s.archived != nil && s.archived(currency, month) {
			continue
		}
		if invoiced[currency] || len(invoiced) == 0 {
			return false
		}
	}
	return true
}

// fetchUnbilled downloads what is not billed yet: an invoice has the last word
// about its period, whatever is still exported as unbilled.
func (s *Source) fetchUnbilled(ctx context.Context, want *data.Period, invoiced []*feed) ([]*feed, error) {
	current := firstOfMonth(data.DayOf(s.o.Now().UTC()))
	latest := monthOf(current)
	taken := map[string]bool{}
	for _, b := range s.billed {
		taken[b.key()] = true
	}
	for _, f := range invoiced {
		taken[f.key()] = true
	}
	var feeds []*feed
	for _, currency := range s.currencies {
		for _, first := range []data.Day{firstOfMonth(current - 1), current} {
			e := export{Currency: currency, Period: "current"}
			if first < current {
				e.Period = "last"
			}
			if want != nil && want.To < first || e.Period == "last" && taken[currency+" "+monthOf(first)] {
				continue
			}
			f, err := s.fetch(ctx, e)
			if err != nil {
				return nil, err
			}
			if f == nil || f.lines() == 0 {
				continue
			}
			if err := f.place("", latest); err != nil {
				return nil, err
			}
			if !taken[f.key()] {
				feeds = append(feeds, f)
			}
		}
	}
	return feeds, nil
}

func monthOf(d data.Day) string { return d.Time().Format("2006-01") }

func firstOfMonth(d data.Day) data.Day {
	t := d.Time()
	return d - data.Day(t.Day()-1)
}

// fewLines is the share of an export's lines that do not decide about its period.
const fewLines = .05

// place finds the currency and, unless the invoice says it, the billing period of
// an export in its lines: the latest month in which charges began, those of a few
// lines aside. Late usage carries the month before, and what "current" means changes
// on a day that only the remote side knows, so neither the request nor the calendar
// says it; after the latest month, in which today is, it never lies.
func (f *feed) place(stated, latest string) error {
	months := map[string]int64{}
	for _, b := range f.blobs {
		f.Currency = firstOf(f.Currency, b.Currency)
		for month, n := range b.Months {
			months[month] += n
		}
	}
	f.period = stated
	for month, n := range months {
		if stated == "" && month <= latest && float64(n) >= fewLines*float64(f.lines()) {
			f.period = max(f.period, month)
		}
	}
	if f.period == "" || f.Currency == "" {
		return fmt.Errorf("%s: none of its %d lines says of which month and in which currency it is", f.export, f.lines())
	}
	return nil
}

// key tells apart what is restated as a whole.
func (f *feed) key() string { return f.Currency + " " + f.period }

func (f *feed) lines() (n int64) {
	for _, b := range f.blobs {
		n += b.Lines
	}
	return n
}

// periodOf returns the month in which the charge of a line began, else that of its
// usage, and the currency it is billed in. Where they stand as they always did the
// line need not be decoded.
func periodOf(line []byte) (month, currency string) {
	month, currency = textIn(line, "ChargeStartDate", len("2026-11")), textIn(line, "BillingCurrency", len("EUR"))
	if !isMonth(month) || currency == "" {
		var l struct{ ChargeStartDate, UsageDate, BillingCurrency text }
		if json.Unmarshal(line, &l) != nil {
			return "", ""
		}
		month, currency = "", clean(l.BillingCurrency)
		for _, t := range []text{l.UsageDate, l.ChargeStartDate} {
			if day := dayOf(t); day != nil {
				month = monthOf(*day)
			}
		}
	}
	return month, strings.ToUpper(currency)
}

// textIn finds the beginning of a text column in a line without decoding it; ""
// where it does not stand as it always did.
func textIn(line []byte, column string, length int) string {
	_, rest, found := bytes.Cut(line, []byte(`"`+column+`":"`))
	if !found || len(rest) < length {
		return ""
	}
	return string(rest[:length])
}

func isMonth(s string) bool {
	_, err := data.ParseDay(s + "-01")
	return err == nil
}

// reading is one pass over the rows.
type reading struct {
	source *Source
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
		return data.Usage{}, &data.RowError{Value: shorten(strings.ToValidUTF8(string(line), "\uFFFD")), Reason: "not a JSON object"}
	}
	row := cells{tally: r.tally}
	u := data.Usage{
		Day:            row.day("UsageDate", l.UsageDate, data.DayOf(r.source.o.Now().UTC())),
		CustomerID:     data.CustomerID(row.must("CustomerId", data.CleanID(string(l.CustomerID)))),
		SubscriptionID: data.Optional(data.SubscriptionID(guid(l.EntitlementID))),
		Category:       clean(l.MeterCategory),
		Service:        data.Optional(firstOf(clean(l.ConsumedService), clean(l.MeterSubCategory))),
		MeterID:        data.Optional(guid(l.MeterID)),
		Region:         data.Optional(firstOf(clean(l.ResourceLocation), clean(l.MeterRegion))),
		Unit:           data.Optional(firstOf(clean(l.UnitType), clean(l.Unit))),
		Currency:       row.currency("BillingCurrency", firstOf(clean(l.BillingCurrency), f.Currency)),
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
	u.Origin = data.Origin{Scope: firstOf(guid(l.PartnerID), data.CleanID(r.source.o.Tenant)) + " " + strings.ToLower(u.Currency),
		CustomerName: data.Optional(clean(l.CustomerName)), SubscriptionName: data.Optional(clean(l.EntitlementDescription))}
	if u.Currency != f.Currency && f.Invoice == "" {
		row.fail("BillingCurrency", u.Currency, "not the currency that was asked for, "+f.Currency)
	}
	if row.bad == nil {
		return u, nil
	}
	if d := dayOf(l.UsageDate); d != nil && d.Implausible(data.DayOf(r.source.o.Now().UTC())) == "" {
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
		c.bad = &data.RowError{Column: column, Value: shorten(strings.ToValidUTF8(value, "\uFFFD")), Reason: reason}
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
	code = strings.ToUpper(code)
	if !regexp.MustCompile(`^[A-Z]{3}$`).MatchString(code) {
		c.fail(column, code, "not a currency: want an ISO 4217 code, e.g. EUR")
	}
	return code
}
