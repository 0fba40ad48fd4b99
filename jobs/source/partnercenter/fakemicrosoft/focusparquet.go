package fakemicrosoft

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// encodeParquet writes a part in Parquet with Snappy: costs as decimals, other
// numbers as doubles, times as timestamps, and null where CSV has nothing.
func (e CostExports) encodeParquet(rows [][]string) []byte {
	header := e.header()
	at := make(map[string]int, len(header))
	group := parquet.Group{}
	for i, name := range header {
		at[name], group[name] = i, parquet.Optional(columnNode(name))
	}
	schema := parquet.NewSchema("focus", group)
	var b bytes.Buffer
	w := parquet.NewWriter(&b, schema, parquet.Compression(&parquet.Snappy))
	for _, record := range rows {
		row := make(parquet.Row, 0, len(header))
		for i, f := range schema.Fields() {
			row = append(row, columnValue(f.Name(), record[at[f.Name()]], i))
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			panic(err) // writing to memory what the schema says
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func columnNode(name string) parquet.Node {
	switch {
	case strings.HasSuffix(name, "PeriodStart"), strings.HasSuffix(name, "PeriodEnd"):
		return parquet.Timestamp(parquet.Microsecond)
	case strings.HasSuffix(name, "Cost"):
		return parquet.Decimal(2, 18, parquet.Int64Type)
	case strings.HasSuffix(name, "Quantity"), strings.HasSuffix(name, "InUsd"):
		return parquet.Leaf(parquet.DoubleType)
	}
	return parquet.String()
}

func columnValue(name, text string, column int) parquet.Value {
	if text == "" {
		return parquet.NullValue().Level(0, 0, column)
	}
	var v parquet.Value
	switch {
	case strings.HasSuffix(name, "PeriodStart"), strings.HasSuffix(name, "PeriodEnd"):
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t, _ = time.Parse("2006-01-02T15:04Z", text)
		}
		v = parquet.Int64Value(t.UnixMicro())
	case strings.HasSuffix(name, "Cost"):
		v = parquet.Int64Value(cents(text))
	case strings.HasSuffix(name, "Quantity"), strings.HasSuffix(name, "InUsd"):
		n, _ := strconv.ParseFloat(text, 64)
		v = parquet.DoubleValue(n)
	default:
		v = parquet.ByteArrayValue([]byte(text))
	}
	return v.Level(0, 1, column)
}
