package reports

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"tidemark/data"
)

func TestFiguresParquet_HasTheSchemaOfTheDocumentation(t *testing.T) {
	content, err := FiguresParquet(Coverage{KnownDays: 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	want := `message Figure {
	required binary metric (STRING);
	optional int32 date (DATE);
	optional binary category (STRING);
	optional binary customer_id (STRING);
	optional binary subscription_id (STRING);
	optional binary name (STRING);
	optional binary currency (STRING);
	optional binary unit (STRING);
	optional int32 rank (INT(32,true));
	optional fixed_len_byte_array(16) value (DECIMAL(38,18));
	optional fixed_len_byte_array(16) previous (DECIMAL(38,18));
	optional double change;
	optional binary note (STRING);
}`
	if diff := gocmp.Diff(want, f.Schema().String()); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if v, _ := f.Lookup("tidemark.schema"); v != "metrics/1" {
		t.Errorf("tidemark.schema is %q", v)
	}
	if v, _ := f.Lookup("tidemark.coverage"); !strings.Contains(v, `"known_days":7`) {
		t.Errorf("tidemark.coverage is %q", v)
	}
}

func drawFigure(t *rapid.T) Figure {
	texts := []string{"", "Storage", "=1+1", "@x", "'-quoted", "日本\n\"x\",;", "\x00"}
	text := func(label string) *string {
		if rapid.Bool().Draw(t, label+" is known") {
			return new(rapid.SampledFrom(texts).Draw(t, label))
		}
		return nil
	}
	number := func(label string) *data.Decimal {
		s := rapid.SampledFrom([]string{"", "0", "-0.000000000000000001", "12.5", "310.1234567891", "99999999999999999999.999999999999999999", "-99999999999999999999.999999999999999999"}).Draw(t, label)
		if s == "" {
			return nil
		}
		d, _, err := data.ParseDecimal(s)
		if err != nil {
			t.Fatal(err)
		}
		return &d
	}
	f := Figure{Metric: rapid.SampledFrom([]string{"cost", "quantities"}).Draw(t, "metric"), Category: text("category"), Name: text("name"), Currency: text("currency"),
		Unit: text("unit"), Note: text("note"), Value: number("value"), Previous: number("previous"),
		CustomerID: (*data.CustomerID)(text("customer")), SubscriptionID: (*data.SubscriptionID)(text("subscription"))}
	if rapid.Bool().Draw(t, "dated") {
		f.Date = new(data.Day(rapid.IntRange(-10, 30000).Draw(t, "date")))
	}
	if rapid.Bool().Draw(t, "ranked") {
		f.Rank = new(int32(rapid.IntRange(0, 5).Draw(t, "rank")))
	}
	if rapid.Bool().Draw(t, "changed") {
		f.Change = new(rapid.SampledFrom([]float64{0, -1, 0.3333, 1e6}).Draw(t, "change"))
	}
	return f
}

// known renders a value that may be missing.
func known[T any](v *T, text func(T) string) string {
	if v == nil {
		return "NULL"
	}
	return text(*v)
}

func same[T ~string](s T) string { return "=" + string(s) }

// TestFigures_AreTheSameInParquetAndCSV reads both with what is not ours and
// compares them with the figures.
func TestFigures_AreTheSameInParquetAndCSV(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		figures := rapid.SliceOfN(rapid.Custom(drawFigure), 0, 40).Draw(rt, "figures")
		var want [][]string
		for _, f := range figures {
			decimal := func(d data.Decimal) string { return d.String() }
			want = append(want, []string{same(f.Metric), known(f.Date, data.Day.String), known(f.Category, same[string]), known(f.CustomerID, same[data.CustomerID]),
				known(f.SubscriptionID, same[data.SubscriptionID]), known(f.Name, same[string]), known(f.Currency, same[string]), known(f.Unit, same[string]),
				known(f.Rank, func(n int32) string { return fmt.Sprint(n) }), known(f.Value, decimal), known(f.Previous, decimal),
				known(f.Change, func(c float64) string { return strconv.FormatFloat(c, 'f', -1, 64) }), known(f.Note, same[string])})
		}
		content, err := FiguresParquet(Coverage{}, figures)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := gocmp.Diff(want, parquetCells(rt, content)); diff != "" {
			rt.Fatalf("parquet (-want +got):\n%s", diff)
		}
		var out bytes.Buffer
		if err := WriteFiguresCSV(&out, figures); err != nil {
			rt.Fatal(err)
		}
		rows, err := csv.NewReader(&out).ReadAll()
		if err != nil {
			rt.Fatal(err)
		}
		for i, row := range rows[1:] {
			for j, cell := range row {
				if cell != "" && strings.ContainsAny(cell[:1], "=+@\t\r\n") || j < 8 && strings.HasPrefix(cell, "-") {
					rt.Fatalf("a spreadsheet takes %q for a formula", cell)
				}
				expected := strings.TrimPrefix(want[i][j], "NULL")
				if text, found := strings.CutPrefix(expected, "="); found {
					cell, expected = withoutGuard(cell), text
				}
				if cell != strings.ReplaceAll(expected, "\r\n", "\n") {
					rt.Fatalf("row %d, column %s: %q, want %q", i, rows[0][j], cell, expected)
				}
			}
		}
		if len(rows) != len(figures)+1 {
			rt.Fatalf("%d rows for %d figures", len(rows)-1, len(figures))
		}
	})
}

// parquetCells reads the values of a file by its columns.
func parquetCells(t *rapid.T, content []byte) [][]string {
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for _, group := range f.RowGroups() {
		rows := group.Rows()
		buffer := make([]parquet.Row, 7)
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				var cells []string
				for i, v := range row {
					cells = append(cells, parquetCell(f.Schema().Fields()[i].Name(), v))
				}
				out = append(out, cells)
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func parquetCell(column string, v parquet.Value) string {
	switch {
	case v.IsNull():
		return "NULL"
	case column == "date":
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case column == "rank":
		return fmt.Sprint(v.Int32())
	case column == "change":
		return strconv.FormatFloat(v.Double(), 'f', -1, 64)
	case column == "value", column == "previous":
		n := new(big.Int).SetBytes(v.ByteArray())
		if v.ByteArray()[0] > 127 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
		}
		text := new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)).FloatString(18)
		whole, decimals, _ := strings.Cut(text, ".")
		return whole + "." + decimals[:2] + strings.TrimRight(decimals[2:], "0")
	}
	return "=" + string(v.ByteArray())
}

func TestFigures_CountsAndScoresHaveNoDecimalsOfAmounts(t *testing.T) {
	d := &Document{AtRisk: []AtRisk{{SubscriptionID: "s1", Score: new(0.8)}, {SubscriptionID: "s2", Score: new(1.0)}, {SubscriptionID: "s3", Score: new(0.0001)}, {SubscriptionID: "s4"}},
		Costs: &Costs{Cost: []Cost{newCost("EUR", new(dec(t, "100")), nil)}}}
	d.SubscriptionsSold = newCount(new(int64(100)), new(int64(0)), nil)
	var got []string
	for _, f := range d.Figures() {
		if f.Value != nil {
			cells := f.fields()
			got = append(got, cells[0]+" "+cells[9]+" "+cells[10])
		}
	}
	want := []string{"subscriptions_sold 100 0", "cost 100.00 ", "at_risk 0.8 ", "at_risk 1 ", "at_risk 0.0001 "}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
}

// TestFigures_AreAllInTheDocumentation fails when a column or a metric is not in
// docs/metrics.md.
func TestFigures_AreAllInTheDocumentation(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(text), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz_", r) })
	p := rowsPortfolio(t, mem, []usageRow{{worldFrom, "c1", "Storage", "EUR", "10", "3"}, {worldFrom + 8, "c2", "SQL", "EUR", "5.5", "2"}}, worldFrom, "c1", "c2")
	defer p.Release()
	doc := document(t, mem, p, Everyone(), true)
	figures := doc.Figures()
	for _, by := range []GroupKey{ByCustomer, ByCategory, ByCurrency} {
		figures = append(figures, doc.GroupBy(by).Figures()...)
	}
	metrics := map[string]bool{}
	for _, f := range figures {
		metrics[f.Metric] = true
	}
	for _, c := range doc.AllCounts() {
		delete(metrics, c.Key) // "each count by its key"
	}
	if len(metrics) < 18 {
		t.Errorf("%d metrics only", len(metrics))
	}
	for _, field := range parquet.SchemaOf(Figure{}).Fields() {
		metrics[field.Name()] = true
	}
	for name := range metrics {
		if !slices.Contains(words, name) {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
	}
}
