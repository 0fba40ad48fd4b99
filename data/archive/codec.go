package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"tidemark/data"
)

// Feed is one stream of usage that is restated as a whole.
type Feed struct {
	Source   string // the source's kind, e.g. "focus"
	Scope    string // e.g. a billing account; "" = the source as one
	Currency string
}

// String joins the parts with slashes; a slash inside a part is %2F and a
// percent sign %25, so that two feeds never read alike.
func (f Feed) String() string {
	esc := strings.NewReplacer("%", "%25", "/", "%2F")
	return esc.Replace(f.Source) + "/" + esc.Replace(f.Scope) + "/" + esc.Replace(f.Currency)
}

// A staged usage row is encoded so that comparing bytes compares rows: day,
// feed, billing period, then customer, subscription, category, meter and the
// other columns, null before any value. A text ends with 00 01, a zero byte
// inside it is 00 FF.

func appendText[T ~string](b []byte, s *T) []byte {
	if s == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	for i := range len(*s) {
		if b = append(b, (*s)[i]); (*s)[i] == 0 {
			b = append(b, 0xff)
		}
	}
	return append(b, 0, 1)
}

func appendDecimal(b []byte, d *data.Decimal) []byte {
	if d == nil {
		return append(b, 0)
	}
	b = append(b, 1, d[0]^0x80) // two's complement sorts after its sign bit is turned
	return append(b, d[1:]...)
}

func encodeUsage(b []byte, row data.Usage, feed Feed) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(row.Day)^1<<31)
	b = appendText(b, &feed.Source)
	b = appendText(b, &feed.Scope)
	b = appendText(b, &row.Currency)
	b = appendText(b, row.BillingPeriod)
	b = appendText(b, &row.CustomerID)
	b = appendText(b, row.SubscriptionID)
	b = appendText(b, &row.Category)
	b = appendText(b, row.MeterID)
	b = appendText(b, row.Service)
	b = appendText(b, row.Region)
	b = appendText(b, row.Unit)
	b = appendText(b, &row.ChargeCategory)
	b = appendDecimal(b, row.Quantity)
	b = appendDecimal(b, row.Cost)
	b = appendDecimal(b, row.EffectiveCost)
	return appendDecimal(b, row.CostUSD)
}

// decoder reads an encoded row from the front.
type decoder struct {
	b   []byte
	err error
}

var errDamaged = errors.New("a spilled row is damaged")

func decodeText[T ~string](d *decoder) *T {
	if len(d.b) == 0 {
		d.err = errDamaged
		return nil
	}
	present := d.b[0] == 1
	d.b = d.b[1:]
	if !present {
		return nil
	}
	var text []byte
	for {
		i := bytes.IndexByte(d.b, 0)
		if i < 0 || i+1 >= len(d.b) {
			d.err = errDamaged
			return nil
		}
		text = append(text, d.b[:i]...)
		end := d.b[i+1] == 1
		d.b = d.b[i+2:]
		if end {
			s := T(text)
			return &s
		}
		text = append(text, 0)
	}
}

func decodeRequired[T ~string](d *decoder) T {
	if s := decodeText[T](d); s != nil {
		return *s
	}
	d.err = errDamaged
	return ""
}

func (d *decoder) decimal() *data.Decimal {
	if len(d.b) == 0 || d.b[0] == 1 && len(d.b) < 17 {
		d.err = errDamaged
		return nil
	}
	present := d.b[0] == 1
	d.b = d.b[1:]
	if !present {
		return nil
	}
	var v data.Decimal
	copy(v[:], d.b)
	v[0] ^= 0x80
	d.b = d.b[16:]
	return &v
}

func decodeUsage(b []byte) (data.Usage, Feed, error) {
	if len(b) < 4 {
		return data.Usage{}, Feed{}, errDamaged
	}
	var row data.Usage
	var feed Feed
	row.Day = data.Day(binary.BigEndian.Uint32(b) ^ 1<<31)
	d := &decoder{b: b[4:]}
	feed.Source = decodeRequired[string](d)
	feed.Scope = decodeRequired[string](d)
	feed.Currency = decodeRequired[string](d)
	row.Currency = feed.Currency
	row.BillingPeriod = decodeText[string](d)
	row.CustomerID = decodeRequired[data.CustomerID](d)
	row.SubscriptionID = decodeText[data.SubscriptionID](d)
	row.Category = decodeRequired[string](d)
	row.MeterID = decodeText[string](d)
	row.Service = decodeText[string](d)
	row.Region = decodeText[string](d)
	row.Unit = decodeText[string](d)
	row.ChargeCategory = decodeRequired[data.ChargeCategory](d)
	row.Quantity = d.decimal()
	row.Cost = d.decimal()
	row.EffectiveCost = d.decimal()
	row.CostUSD = d.decimal()
	return row, feed, d.err
}

// line is the canonical text of a row: the columns in table order, a tab
// between, null as \N, a line feed behind. Its hash decides whether two
// extractions found the same.
type line struct {
	b   []byte
	bad string // first column with text that is not UTF-8
	n   int    // columns so far
}

func (l *line) sep() {
	if l.n++; l.n > 1 {
		l.b = append(l.b, '\t')
	}
}

func lineText[T ~string](l *line, column string, s *T) {
	l.sep()
	if s == nil {
		l.b = append(l.b, '\\', 'N')
		return
	}
	if !utf8.ValidString(string(*s)) && l.bad == "" {
		l.bad = column
	}
	for i := range len(*s) {
		switch c := (*s)[i]; c {
		case '\\':
			l.b = append(l.b, '\\', '\\')
		case '\t':
			l.b = append(l.b, '\\', 't')
		case '\n':
			l.b = append(l.b, '\\', 'n')
		case '\r':
			l.b = append(l.b, '\\', 'r')
		default:
			l.b = append(l.b, c)
		}
	}
}

func lineOther[T fmt.Stringer](l *line, v *T) {
	l.sep()
	if v == nil {
		l.b = append(l.b, '\\', 'N')
		return
	}
	l.b = append(l.b, (*v).String()...)
}

func (l *line) bool(v *bool) {
	l.sep()
	if v == nil {
		l.b = append(l.b, '\\', 'N')
		return
	}
	l.b = strconv.AppendBool(l.b, *v)
}

func (l *line) int(v int64) {
	l.sep()
	l.b = strconv.AppendInt(l.b, v, 10)
}

func (l *line) usage(r *data.Usage) {
	lineText(l, "customer_id", &r.CustomerID)
	lineText(l, "subscription_id", r.SubscriptionID)
	lineText(l, "category", &r.Category)
	lineText(l, "service", r.Service)
	lineText(l, "meter_id", r.MeterID)
	lineText(l, "region", r.Region)
	lineText(l, "unit", r.Unit)
	lineText(l, "currency", &r.Currency)
	lineText(l, "charge_category", &r.ChargeCategory)
	lineText(l, "billing_period", r.BillingPeriod)
	for _, d := range []*data.Decimal{r.Quantity, r.Cost, r.EffectiveCost, r.CostUSD} {
		lineOther(l, d)
	}
}

func (l *line) daily(r *data.UsageDaily) {
	lineText(l, "customer_id", &r.CustomerID)
	lineText(l, "subscription_id", r.SubscriptionID)
	lineText(l, "category", &r.Category)
	lineText(l, "unit", r.Unit)
	lineText(l, "currency", &r.Currency)
	lineText(l, "charge_category", &r.ChargeCategory)
	for _, d := range []*data.Decimal{r.Cost, r.EffectiveCost, r.CostUSD, r.Quantity} {
		lineOther(l, d)
	}
	for _, n := range []int64{r.Rows, r.UsageRows, r.CostRows, r.USDRows, int64(r.Services)} {
		l.int(n)
	}
}

func (l *line) customer(r *data.Customer) {
	lineText(l, "customer_id", &r.CustomerID)
	lineText(l, "name", r.Name)
	lineText(l, "domain", r.Domain)
	lineText(l, "country", r.Country)
	lineOther(l, r.FirstSeen)
	lineText(l, "contact", r.Contact)
	lineText(l, "phone", r.Phone)
	lineText(l, "email", r.Email)
	lineText(l, "source", &r.Source)
}

func (l *line) subscription(r *data.Subscription) {
	lineText(l, "subscription_id", &r.SubscriptionID)
	lineText(l, "customer_id", &r.CustomerID)
	lineText(l, "plan_id", r.PlanID)
	lineText(l, "name", r.Name)
	lineText(l, "offer", r.Offer)
	lineText(l, "status", &r.Status)
	lineOther(l, r.Created)
	lineText(l, "created_basis", r.CreatedBasis)
	lineOther(l, r.CommitmentEnd)
	l.bool(r.AutoRenew)
	lineOther(l, r.RenewedAt)
	lineOther(l, r.EndedAt)
	l.bool(r.Trial)
	lineOther(l, r.FirstUsage)
	lineOther(l, r.LastUsage)
}
