package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	parquetformat "github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"

	"tidemark/data"
)

// foreignColumn is how another writer may have written a column.
type foreignColumn struct {
	node  parquet.Node
	value func(u data.UsageDaily) parquet.Value // null: none
}

// amountForms are the ways to write amounts with some digits after the point.
func amountForms(scale int) map[string]func(v *big.Int) (parquet.Node, parquet.Value) {
	bytesOf := func(v *big.Int, size int) []byte {
		n := new(big.Int).And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(size*8)), big.NewInt(1)))
		return n.FillBytes(make([]byte, size))
	}
	return map[string]func(v *big.Int) (parquet.Node, parquet.Value){
		"int32": func(v *big.Int) (parquet.Node, parquet.Value) {
			return parquet.Decimal(scale, 9, parquet.Int32Type), parquet.Int32Value(int32(v.Int64()))
		},
		"int64": func(v *big.Int) (parquet.Node, parquet.Value) {
			return parquet.Decimal(scale, 18, parquet.Int64Type), parquet.Int64Value(v.Int64())
		},
		"7 bytes": func(v *big.Int) (parquet.Node, parquet.Value) {
			return parquet.Decimal(scale, 16, parquet.FixedLenByteArrayType(7)), parquet.FixedLenByteArrayValue(bytesOf(v, 7))
		},
		"16 bytes": func(v *big.Int) (parquet.Node, parquet.Value) {
			return parquet.Decimal(scale, 38, parquet.FixedLenByteArrayType(16)), parquet.FixedLenByteArrayValue(bytesOf(v, 16))
		},
		"bytes": func(v *big.Int) (parquet.Node, parquet.Value) {
			return parquet.Decimal(scale, 38, parquet.ByteArrayType), parquet.ByteArrayValue(bytesOf(v, v.BitLen()/8+1))
		},
	}
}

func textForm(of func(u data.UsageDaily) *string) foreignColumn {
	return foreignColumn{parquet.String(), func(u data.UsageDaily) parquet.Value {
		if s := of(u); s != nil {
			return parquet.ByteArrayValue([]byte(*s))
		}
		return parquet.NullValue()
	}}
}

// foreignColumns draws a form for each column of usage_daily.
func foreignColumns(t *rapid.T) map[string]foreignColumn {
	columns := map[string]foreignColumn{
		"customer_id":     textForm(func(u data.UsageDaily) *string { return new(string(u.CustomerID)) }),
		"subscription_id": textForm(func(u data.UsageDaily) *string { return (*string)(u.SubscriptionID) }),
		"category":        textForm(func(u data.UsageDaily) *string { return &u.Category }),
		"unit":            textForm(func(u data.UsageDaily) *string { return u.Unit }),
		"currency":        textForm(func(u data.UsageDaily) *string { return &u.Currency }),
		"charge_category": textForm(func(u data.UsageDaily) *string { return new(string(u.ChargeCategory)) }),
		"services":        {parquet.Int(32), func(u data.UsageDaily) parquet.Value { return parquet.Int32Value(u.Services) }},
	}
	for name, of := range map[string]func(u data.UsageDaily) int64{
		"rows": func(u data.UsageDaily) int64 { return u.Rows }, "usage_rows": func(u data.UsageDaily) int64 { return u.UsageRows },
		"cost_rows": func(u data.UsageDaily) int64 { return u.CostRows }, "usd_rows": func(u data.UsageDaily) int64 { return u.USDRows },
	} {
		columns[name] = foreignColumn{parquet.Int(64), func(u data.UsageDaily) parquet.Value { return parquet.Int64Value(of(u)) }}
	}
	if rapid.Bool().Draw(t, "day column") {
		columns["usage_date"] = foreignColumn{parquet.Date(), func(u data.UsageDaily) parquet.Value { return parquet.Int32Value(int32(u.Day)) }}
	}
	for name, of := range map[string]func(u data.UsageDaily) *data.Decimal{
		"cost": func(u data.UsageDaily) *data.Decimal { return u.Cost }, "effective_cost": func(u data.UsageDaily) *data.Decimal { return u.EffectiveCost },
		"cost_usd": func(u data.UsageDaily) *data.Decimal { return u.CostUSD }, "quantity": func(u data.UsageDaily) *data.Decimal { return u.Quantity },
	} {
		columns[name] = amountColumn(t, name, of)
	}
	return columns
}

func amountColumn(t *rapid.T, name string, of func(u data.UsageDaily) *data.Decimal) foreignColumn {
	scale := rapid.SampledFrom([]int{3, 6}).Draw(t, name+" scale") // the amounts have three digits after the point
	form := amountForms(scale)[rapid.SampledFrom([]string{"int32", "int64", "7 bytes", "16 bytes", "bytes"}).Draw(t, name+" form")]
	node, _ := form(new(big.Int))
	return foreignColumn{node, func(u data.UsageDaily) parquet.Value {
		d := of(u)
		if d == nil {
			return parquet.NullValue()
		}
		unscaled := d.Arrow().BigInt()
		_, v := form(unscaled.Quo(unscaled, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(data.Scale-scale)), nil)))
		return v
	}}
}

// encoded draws an encoding that a writer may choose for a column.
func encoded(t *rapid.T, name string, n parquet.Node) parquet.Node {
	choices := []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary}
	switch n.Type().Kind() {
	case parquet.Int32, parquet.Int64:
		choices = append(choices, &parquet.DeltaBinaryPacked)
	case parquet.ByteArray:
		if _, isText := n.Type().LogicalType().Value.(*parquetformat.StringType); isText {
			choices = append(choices, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray)
		}
	}
	return parquet.Encoded(n, rapid.SampledFrom(choices).Draw(t, name+" encoding"))
}

func anyForeignRows(t *rapid.T) []data.UsageDaily {
	amount := func(name string) *data.Decimal {
		n := rapid.IntRange(-900_000, 900_000).Draw(t, name)
		if n%3 == 0 {
			return nil
		}
		d, _, err := data.ParseDecimal(fmt.Sprintf("%de-3", n))
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	text := func(name string) string {
		return rapid.SampledFrom([]string{"", "a", "bb", "ü\x00 ccc", strings.Repeat("d", 70)}).Draw(t, name)
	}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) data.UsageDaily {
		u := data.UsageDaily{
			Day: 20000, CustomerID: data.CustomerID(text("customer")), SubscriptionID: data.Optional(data.SubscriptionID(text("subscription"))),
			Category: text("category"), Unit: data.Optional(text("unit")), Currency: "EUR", ChargeCategory: data.ChargeUsage,
			Cost: amount("cost"), EffectiveCost: amount("effective"), CostUSD: amount("usd"), Quantity: amount("quantity"),
			Rows: int64(rapid.IntRange(0, 5).Draw(t, "rows")), UsageRows: 1, CostRows: 2, USDRows: 3, Services: int32(rapid.IntRange(0, 3).Draw(t, "services")),
		}
		return u
	}), 1, 80).Draw(t, "rows")
}

// writeForeign writes rows as another writer may.
func writeForeign(t *rapid.T, rows []data.UsageDaily) []byte {
	columns := foreignColumns(t)
	group := parquet.Group{}
	optional := map[string]bool{"subscription_id": true, "unit": true, "cost": true, "effective_cost": true, "cost_usd": true, "quantity": true}
	for name, c := range columns {
		group[name] = encoded(t, name, c.node)
		if optional[name] = optional[name] || rapid.Bool().Draw(t, name+" optional"); optional[name] {
			group[name] = parquet.Optional(group[name])
		}
	}
	names := slices.Sorted(maps.Keys(columns))
	var out bytes.Buffer
	w := parquet.NewWriter(&out, parquet.NewSchema("x", group), parquet.PageBufferSize(rapid.SampledFrom([]int{40, 300, 1 << 16}).Draw(t, "page")),
		parquet.MaxRowsPerRowGroup(int64(rapid.SampledFrom([]int{7, 1000}).Draw(t, "group"))), parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(t, "version")),
		parquet.Compression(rapid.SampledFrom([]compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd}).Draw(t, "codec")), parquet.DictionaryMaxBytes(int64(rapid.SampledFrom([]int{0, 60}).Draw(t, "dictionary"))))
	for _, u := range rows {
		var row parquet.Row
		for i, name := range names {
			v, level := columns[name].value(u), 0
			if optional[name] && !v.IsNull() {
				level = 1
			}
			row = append(row, v.Level(0, level, i))
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestScanFile_ReadsWhateverFormAnotherWriterChose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := anyForeignRows(t)
		file := writeForeign(t, rows)
		mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
		in := File{Name: "x.parquet", Reader: bytes.NewReader(file), Size: int64(len(file)), Day: 20000, Allocator: mem}
		want := expect("usage_date", func(u data.UsageDaily) data.Day { return u.Day }, rows)
		var got []string
		for rec, err := range ScanFile(context.Background(), in, UsageDaily) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, dumpRecord(rec)...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("rows (-want +got):\n%s", diff)
		}
		if n := mem.CurrentAlloc(); n != 0 {
			t.Fatalf("%d bytes are still held", n)
		}
	})
}

// A record that is kept stays what it was, whatever is read after it.
func TestScan_KeptRecordsKeepTheirRows(t *testing.T) {
	var file bytes.Buffer
	rows := manyRows(100_000)
	if err := WriteUsageFile(&file, slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	mem := memory.NewCheckedAllocator(memory.NewGoAllocator())
	in := File{Name: "x.parquet", Reader: bytes.NewReader(file.Bytes()), Size: int64(file.Len()), Day: rows[0].Day, Allocator: mem}
	var kept []arrow.Record
	for range 2 { // the second time over memory that the first gave back
		for rec, err := range ScanFile(t.Context(), in, UsageTable) {
			if err != nil {
				t.Fatal(err)
			}
			rec.Retain()
			kept = append(kept, rec)
		}
	}
	want := expect("usage_date", func(u data.Usage) data.Day { return u.Day }, rows)
	at := 0
	for _, rec := range kept {
		for _, line := range dumpRecord(rec) {
			if line != want[at%len(want)] {
				t.Fatalf("row %d is\n%s, want\n%s", at, line, want[at%len(want)])
			}
			at++
		}
		rec.Release()
	}
	if at != 2*len(want) || len(kept) < 4 {
		t.Errorf("%d rows in %d records", at, len(kept))
	}
	mem.AssertSize(t, 0)
}

func TestScanFile_PassesOverRowGroupsOfOtherDays(t *testing.T) {
	type snapshot struct {
		Day        int32  `parquet:"snapshot_date,date"`
		CustomerID string `parquet:"customer_id,dict"`
		Source     string `parquet:"source"`
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[snapshot](&out, parquet.MaxRowsPerRowGroup(10))
	for i := range 50 {
		if _, err := w.Write([]snapshot{{int32(100 + i/10), fmt.Sprint("c", i), "x"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in := File{Name: "x.parquet", Reader: bytes.NewReader(out.Bytes()), Size: int64(out.Len()), Days: data.Period{From: 102, To: 103}}
	if rows := dump(t, ScanFile(t.Context(), in, Customers)); len(rows) != 20 || !strings.HasPrefix(rows[0], `snapshot_date=102 customer_id="c20" `) {
		t.Errorf("%d rows: %q", len(rows), rows)
	}
}

func TestScanFile_RefusesByColumn(t *testing.T) {
	type nullable struct {
		CustomerID *string `parquet:"customer_id,optional,dict"`
		Source     string  `parquet:"source"`
	}
	type number struct {
		CustomerID int64  `parquet:"customer_id"`
		Source     string `parquet:"source"`
	}
	type without struct {
		CustomerID string `parquet:"customer_id"`
	}
	for name, c := range map[string]struct {
		rows func(w io.Writer) error
		want string
	}{
		"a null too many":    {writeRowsOf(nullable{new("c"), "x"}, nullable{nil, "x"}), "column customer_id"},
		"a number as text":   {writeRowsOf(number{1, "x"}), "column customer_id"},
		"a missing column":   {writeRowsOf(without{"c"}), "column source is missing"},
		"not a Parquet file": {func(w io.Writer) error { _, err := w.Write([]byte("customer_id,source\nc,x\n")); return err }, "parquet"},
	} {
		var out bytes.Buffer
		if err := c.rows(&out); err != nil {
			t.Fatal(err)
		}
		in := File{Name: "other.parquet", Reader: bytes.NewReader(out.Bytes()), Size: int64(out.Len())}
		var got error
		for _, err := range ScanFile(t.Context(), in, Customers) {
			got = errors.Join(got, err)
		}
		if got == nil || !strings.Contains(got.Error(), "read other.parquet: ") || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%s: %v, want the file and %q", name, got, c.want)
		}
	}
}

// writeRowsOf returns what writes a file of rows.
func writeRowsOf[T any](rows ...T) func(w io.Writer) error {
	return func(w io.Writer) error { return parquet.Write(w, rows) }
}

func TestScanFile_RefusesAnAmountThatIsTooLarge(t *testing.T) {
	type row struct {
		CustomerID string   `parquet:"customer_id"`
		Category   string   `parquet:"category"`
		Currency   string   `parquet:"currency"`
		Charge     string   `parquet:"charge_category"`
		Rows       int64    `parquet:"rows"`
		UsageRows  int64    `parquet:"usage_rows"`
		CostRows   int64    `parquet:"cost_rows"`
		USDRows    int64    `parquet:"usd_rows"`
		Services   int32    `parquet:"services"`
		Cost       [16]byte `parquet:"cost,decimal(3:38)"`
	}
	for digits, fits := range map[int]bool{23: true, 24: false} { // 3 of them after the point; 18 after it leave 20 before
		n, _ := new(big.Int).SetString(strings.Repeat("9", digits), 10)
		var out bytes.Buffer
		if err := writeRowsOf(row{Cost: [16]byte(n.FillBytes(make([]byte, 16)))})(&out); err != nil {
			t.Fatal(err)
		}
		in := File{Name: "x.parquet", Reader: bytes.NewReader(out.Bytes()), Size: int64(out.Len())}
		for _, err := range ScanFile(t.Context(), in, UsageDaily) {
			if fits != (err == nil) || err != nil && !(errors.Is(err, data.ErrOverflow) && strings.Contains(err.Error(), "column cost")) {
				t.Errorf("%d digits: %v", digits, err)
			}
		}
	}
}

// Columns are found by name, whatever stands before them and has leaves of its own.
func TestScanFile_FindsColumnsBehindNestedOnes(t *testing.T) {
	type nested struct {
		Tags struct {
			Name  string `parquet:"name"`
			Value string `parquet:"value"`
		} `parquet:"tags"`
		CustomerID string  `parquet:"customer_id,dict"`
		Name       *string `parquet:"name,optional"`
		Source     string  `parquet:"source"`
	}
	row := nested{CustomerID: "c1", Name: new("Ada"), Source: "x"}
	row.Tags.Name, row.Tags.Value = "k", "v"
	var out bytes.Buffer
	if err := writeRowsOf(row)(&out); err != nil {
		t.Fatal(err)
	}
	in := File{Name: "x.parquet", Reader: bytes.NewReader(out.Bytes()), Size: int64(out.Len())}
	got := dump(t, ScanFile(t.Context(), in, Customers, "customer_id", "name", "source"))
	if want := []string{`customer_id="c1" name="Ada" source="x" `}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// A value that a foreign dictionary has twice moves no other.
func TestDictionary_AddsBehindValuesThatAreThereTwice(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{"a", "a", "b"}, nil)
	d := dictionary{made: b.NewArray()}
	for value, want := range map[string]int32{"b": 2, "c": 3} {
		if got := d.index([]byte(value)); got != want {
			t.Errorf("%s is %d, want %d", value, got, want)
		}
	}
	if all := d.values(memory.DefaultAllocator).(*array.String); all.Value(2) != "b" || all.Value(3) != "c" {
		t.Errorf("values %v", all)
	}
}

func TestScanFile_RefusesAmountsThatOnlyTheirBytesHold(t *testing.T) {
	type row struct {
		CustomerID string   `parquet:"customer_id"`
		Category   string   `parquet:"category"`
		Currency   string   `parquet:"currency"`
		Charge     string   `parquet:"charge_category"`
		Rows       int64    `parquet:"rows"`
		UsageRows  int64    `parquet:"usage_rows"`
		CostRows   int64    `parquet:"cost_rows"`
		USDRows    int64    `parquet:"usd_rows"`
		Services   int32    `parquet:"services"`
		Cost       [16]byte `parquet:"cost,decimal(3:38)"`
		USD        [16]byte `parquet:"cost_usd,decimal(18:38)"`
	}
	least, most := [16]byte{0: 0x80}, [16]byte{0: 0x7f, 15: 0xff}
	for _, r := range []row{{Cost: least}, {USD: least}, {USD: most}} {
		var out bytes.Buffer
		if err := writeRowsOf(r)(&out); err != nil {
			t.Fatal(err)
		}
		in := File{Name: "x.parquet", Reader: bytes.NewReader(out.Bytes()), Size: int64(out.Len())}
		for _, err := range ScanFile(t.Context(), in, UsageDaily) {
			if !errors.Is(err, data.ErrOverflow) {
				t.Errorf("%x, %x: %v", r.Cost, r.USD, err)
			}
		}
	}
}

// Whatever byte of a file is another, there are rows or an error, and never a panic.
func TestScanFile_SurvivesEveryDamagedByte(t *testing.T) {
	var out bytes.Buffer
	var rows []data.Usage
	for i := range 30 {
		rows = append(rows, row("2026-11-20", fmt.Sprint("c", i%3), fmt.Sprint(i)))
	}
	if err := WriteUsageFile(&out, slices.Values(rows)); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := range out.Len() {
		file := bytes.Clone(out.Bytes())
		file[at] ^= 0xff
		in := File{Name: "x.parquet", Reader: bytes.NewReader(file), Size: int64(len(file))}
		for rec, err := range ScanFile(t.Context(), in, UsageTable) {
			if err != nil {
				failed++
				break
			}
			dumpRecord(rec)
		}
	}
	if failed < out.Len()/2 {
		t.Errorf("%d of %d damages were noticed", failed, out.Len())
	}
}
