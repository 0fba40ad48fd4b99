package main

import (
	"cmp"
	"encoding/binary"
	"io"
	"iter"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tidemark/data"
)

// foreignColumn is one column of a file as other programs write it: every one
// may be null.
type foreignColumn struct {
	name  string
	scale int // of an INT64 decimal; 0 for a text
	text  func(*data.Usage) *string
	value func(*data.Usage) *data.Decimal
}

func opt[T ~string](s *T) *string {
	if s == nil {
		return nil
	}
	return req(*s)
}

func req[T ~string](s T) *string { return new(string(s)) }

// The scales are those of the made-up partner's numbers, so that nothing is cut.
const (
	quantityScale = 6
	costScale     = 12
)

// foreignColumns returns the columns in the order of their names, which is the
// order that parquet.Group gives them.
func foreignColumns() []foreignColumn {
	columns := []foreignColumn{
		{name: "customer_id", text: func(u *data.Usage) *string { return req(u.CustomerID) }},
		{name: "subscription_id", text: func(u *data.Usage) *string { return opt(u.SubscriptionID) }},
		{name: "category", text: func(u *data.Usage) *string { return req(u.Category) }},
		{name: "service", text: func(u *data.Usage) *string { return u.Service }},
		{name: "meter_id", text: func(u *data.Usage) *string { return u.MeterID }},
		{name: "region", text: func(u *data.Usage) *string { return u.Region }},
		{name: "unit", text: func(u *data.Usage) *string { return u.Unit }},
		{name: "currency", text: func(u *data.Usage) *string { return req(u.Currency) }},
		{name: "charge_category", text: func(u *data.Usage) *string { return req(u.ChargeCategory) }},
		{name: "billing_period", text: func(u *data.Usage) *string { return u.BillingPeriod }},
		{name: "quantity", scale: quantityScale, value: func(u *data.Usage) *data.Decimal { return u.Quantity }},
		{name: "cost", scale: costScale, value: func(u *data.Usage) *data.Decimal { return u.Cost }},
		{name: "effective_cost", scale: costScale, value: func(u *data.Usage) *data.Decimal { return u.EffectiveCost }},
		{name: "cost_usd", scale: costScale, value: func(u *data.Usage) *data.Decimal { return u.CostUSD }},
	}
	slices.SortFunc(columns, func(a, b foreignColumn) int { return cmp.Compare(a.name, b.name) })
	return columns
}

// node is the column's type: a text with a dictionary, or a decimal without one.
func (c foreignColumn) node(e encoding) parquet.Node {
	switch {
	case c.scale == 0:
		return parquet.Optional(parquet.Encoded(parquet.String(), &parquet.RLEDictionary))
	case e == int64s:
		return parquet.Optional(parquet.Encoded(parquet.Decimal(c.scale, 18, parquet.Int64Type), &parquet.Plain))
	}
	return parquet.Optional(parquet.Encoded(parquet.Decimal(data.Scale, data.Precision, parquet.ByteArrayType), &parquet.Plain))
}

// of returns the column's value of a row.
func (c foreignColumn) of(u *data.Usage, e encoding) parquet.Value {
	if c.scale == 0 {
		if s := c.text(u); s != nil {
			return parquet.ByteArrayValue([]byte(*s))
		}
		return parquet.NullValue()
	}
	switch d := c.value(u); {
	case d == nil:
		return parquet.NullValue()
	case e == int64s:
		return parquet.Int64Value(unscaled(*d, c.scale))
	default:
		return parquet.ByteArrayValue(shortest(*d))
	}
}

// unscaled returns a decimal as so many units of 10^-scale. It has no more places.
func unscaled(d data.Decimal, scale int) int64 {
	negative := d.Sign() < 0
	if negative {
		d = d.Neg()
	}
	unit := uint64(1)
	for range data.Scale - scale {
		unit *= 10
	}
	hi, lo := d.Parts()
	n, _ := bits.Div64(uint64(hi), lo, unit)
	if negative {
		return -int64(n)
	}
	return int64(n)
}

// shortest returns the fewest big-endian bytes that hold the unscaled value.
func shortest(d data.Decimal) []byte {
	hi, lo := d.Parts()
	b := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(hi)), lo)
	for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
		b = b[1:]
	}
	return b
}

// writeForeign writes rows with every column optional and decimals as INT64 or
// byte arrays, under zstd.
func writeForeign(w io.Writer, rows iter.Seq[data.Usage], e encoding) error {
	columns, group := foreignColumns(), parquet.Group{}
	for _, c := range columns {
		group[c.name] = c.node(e)
	}
	out := parquet.NewGenericWriter[any](w, parquet.NewSchema("usage", group), parquet.Compression(&zstd.Codec{}),
		parquet.CreatedBy("foreign", "1", "bench"))
	const batch = 4096
	var pending []parquet.Row
	flush := func() error {
		_, err := out.WriteRows(pending)
		pending = pending[:0]
		return err
	}
	for u := range rows {
		row := make(parquet.Row, len(columns))
		for i, c := range columns {
			v, level := c.of(&u, e), 1
			if v.IsNull() {
				level = 0
			}
			row[i] = v.Level(0, level, i)
		}
		if pending = append(pending, row); len(pending) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	return out.Close()
}
