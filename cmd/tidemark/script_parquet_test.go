package main

import (
	"encoding/csv"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"
)

// parquetCSVCommand is `parquetcsv IN OUT`: it writes a Parquet file of figures as
// their CSV is written, knowing of it nothing but the types of its columns.
func parquetCSVCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: parquetcsv IN OUT")
	}
	in, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer func() { ts.Check(in.Close()) }()
	info, err := in.Stat()
	ts.Check(err)
	f, err := parquet.OpenFile(in, info.Size())
	ts.Check(err)
	var head []string
	for _, field := range f.Schema().Fields() {
		head = append(head, field.Name())
	}
	records := [][]string{head}
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		buffer := make([]parquet.Row, 64)
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				record := make([]string, len(row))
				for i, v := range row {
					record[i] = cellOf(f.Schema().Fields()[i].Type(), v, row[0].String())
				}
				records = append(records, record)
			}
			if err == io.EOF {
				break
			}
			ts.Check(err)
		}
		ts.Check(rows.Close())
	}
	path := ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	out, err := os.Create(path)
	ts.Check(err)
	ts.Check(csv.NewWriter(out).WriteAll(records))
	ts.Check(out.Close())
}

// cellOf writes a value: an amount with two decimals at least, a count without any.
func cellOf(typ parquet.Type, v parquet.Value, metric string) string {
	logical := typ.LogicalType()
	switch {
	case v.IsNull():
		return ""
	case logical == nil:
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	case typ.Kind() == parquet.ByteArray:
		text := v.String()
		if strings.HasPrefix(text, "=") {
			text = "'" + text
		}
		return text
	case typ.String() == "DATE":
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case typ.Kind() == parquet.Int32:
		return strconv.Itoa(int(v.Int32()))
	}
	n := new(big.Int).SetBytes(v.ByteArray())
	if v.ByteArray()[0] > 127 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	whole, decimals, _ := strings.Cut(new(big.Rat).SetFrac(n, big.NewInt(1e18)).FloatString(18), ".")
	amount := strings.Contains(metric, "cost") || strings.HasPrefix(metric, "grew") || strings.HasPrefix(metric, "fell") ||
		metric == "quantities" || metric == "top_customers"
	if amount {
		return whole + "." + decimals[:2] + strings.TrimRight(decimals[2:], "0")
	}
	return strings.TrimRight(whole+"."+strings.TrimRight(decimals, "0"), ".")
}
