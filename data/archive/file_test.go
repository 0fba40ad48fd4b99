package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"tidemark/data"
)

// foreign writes rows of any type with any options, and returns the part that
// a log would state for the file.
func foreign[T any](t testing.TB, b *Memory, table Table, rows []T, options ...parquet.WriterOption) Part {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[T](&out, options...)
	for i := range rows { // one by one, so that small page buffers have an effect
		if _, err := w.Write(rows[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p := Part{Day: 7, Size: int64(out.Len()), Rows: int64(len(rows)), SHA256: hexSum(out.Bytes())}
	p.Path = "x" + p.SHA256[:8] + ".parquet"
	b.files[p.key(table)] = out.Bytes()
	return p
}

func TestOpen_OtherSchemasAreRefusedByColumn(t *testing.T) {
	type base struct {
		CustomerID    string        `parquet:"customer_id,dict"`
		Subscription  *string       `parquet:"subscription_id,optional,dict"`
		Category      string        `parquet:"category,dict"`
		Unit          *string       `parquet:"unit,optional,dict"`
		Currency      string        `parquet:"currency,dict"`
		Charge        string        `parquet:"charge_category,dict"`
		EffectiveCost *data.Decimal `parquet:"effective_cost,optional,decimal(18:38)"`
		Rows          int64         `parquet:"rows"`
		UsageRows     int64         `parquet:"usage_rows"`
		CostRows      int64         `parquet:"cost_rows"`
		USDRows       int64         `parquet:"usd_rows"`
	}
	type good struct {
		base
		Services int32 `parquet:"services"`
	}
	type scale struct {
		good
		Cost *data.Decimal `parquet:"cost,optional,decimal(6:38)"`
	}
	type narrow struct {
		good
		Cost *int64 `parquet:"cost,optional,decimal(6:18)"`
	}
	type wide struct {
		base
		Services int64 `parquet:"services"`
	}
	type unsigned struct {
		base
		Services uint32 `parquet:"services"`
	}
	type required struct {
		good
		Cost data.Decimal `parquet:"cost,decimal(18:38)"`
	}
	type upper struct {
		good
		Cost *data.Decimal `parquet:"Cost,optional,decimal(18:38)"`
	}
	type extra struct {
		good
		Later string `parquet:"later"`
	}
	type list struct {
		good
		Cost []data.Decimal `parquet:"cost,decimal(18:38)"`
	}
	b := NewMemory()
	a := newFixture(t, b)
	for name, c := range map[string]struct {
		part Part
		want string // what the error says; empty when the file is fine
	}{
		"nullable columns are missing": {foreign(t, b, UsageDaily, []good{}), ""},
		"a column of a later version":  {foreign(t, b, UsageDaily, []extra{}), ""},
		"a required column is missing": {foreign(t, b, UsageDaily, []base{}), "column services is missing"},
		"another scale":                {foreign(t, b, UsageDaily, []scale{}), "column cost"},
		"a decimal of 64 bits":         {foreign(t, b, UsageDaily, []narrow{}), "column cost"},
		"a wider integer":              {foreign(t, b, UsageDaily, []wide{}), "column services"},
		"an unsigned integer":          {foreign(t, b, UsageDaily, []unsigned{}), "column services"},
		"required instead of optional": {foreign(t, b, UsageDaily, []required{}), "column cost"},
		"repeated instead of optional": {foreign(t, b, UsageDaily, []list{}), "column cost"},
		"a name in another case":       {foreign(t, b, UsageDaily, []upper{}), `column "Cost"`},
	} {
		f, err := a.open(t.Context(), a.layouts[UsageDaily], c.part)
		if err == nil {
			err = f.close()
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "usage_daily/x")):
			t.Errorf("%s: %v, want the file and %q", name, err, c.want)
		}
	}
}

func TestScan_MissingNullableColumnsAreNull(t *testing.T) {
	type old struct {
		CustomerID string  `parquet:"customer_id,dict"`
		Name       *string `parquet:"name,optional"`
		Source     string  `parquet:"source,dict"`
	}
	b := NewMemory()
	a := newFixture(t, b)
	p := foreign(t, b, Customers, []old{{"a", new("A"), "tables"}, {"b", nil, "tables"}})
	want := expect("snapshot_date", func(data.Customer) data.Day { return 7 }, []data.Customer{customer("a", "A"), customer("b", "")})
	if diff := cmp.Diff(want, scanFile(t, a, Customers, p, batchRows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// scanFile reads one file in batches of a size, and once more as one record;
// both must agree.
func scanFile(t testing.TB, a *fixture, table Table, p Part, batch int) []string {
	t.Helper()
	f, err := a.open(context.Background(), a.layouts[table], p)
	if err != nil {
		t.Fatal(err)
	}
	all, err := f.layout.selectColumns(nil)
	if err != nil {
		t.Fatal(err)
	}
	again := newReused(a.opts.Allocator)
	defer again.end()
	s := scan{f, p, again, all, batch}
	lines := []string{}
	s.records(context.Background(), func(rec arrow.Record, err error) bool {
		if err != nil {
			t.Fatal(err)
		}
		if rec.NumRows() > int64(batch) {
			t.Errorf("a record of %d rows", rec.NumRows())
		}
		checkDictionaries(t, rec)
		lines = append(lines, dumpRecord(rec)...)
		return true
	})
	s.batch = int(p.Rows)
	rec, err := s.whole(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if diff := cmp.Diff(lines, dumpRecord(rec)); diff != "" {
		t.Errorf("rows (-in batches +as one record):\n%s", diff)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// checkDictionaries makes sure that equal values have equal indexes.
func checkDictionaries(t testing.TB, rec arrow.Record) {
	t.Helper()
	for i, c := range rec.Columns() {
		d, isDict := c.(*array.Dictionary)
		if !isDict {
			continue
		}
		seen := map[string]bool{}
		values := d.Dictionary().(*array.String)
		for v := range values.Len() {
			if seen[values.Value(v)] {
				t.Fatalf("dictionary of %s has %q twice", rec.ColumnName(i), values.Value(v))
			}
			seen[values.Value(v)] = true
		}
	}
}

// TestScan_PagesOfEveryShape reads files with many small pages, with
// dictionaries that the writer gave up, and with several row groups.
func TestScan_PagesOfEveryShape(t *testing.T) {
	var rows []data.Usage
	for i := range 700 {
		u := row("2026-11-20", fmt.Sprint("customer ", i%7), fmt.Sprint(i, ".", i))
		u.Service = new(fmt.Sprint("service ", i*i%400, strings.Repeat("x", i%50)))
		if i%3 == 0 {
			u.Cost, u.SubscriptionID, u.Service = nil, nil, nil
		}
		if i >= 200 && i < 500 {
			u.Region = new(fmt.Sprint("region ", i))
		}
		u.Day = 7
		rows = append(rows, u)
	}
	want := expect("usage_date", func(u data.Usage) data.Day { return u.Day }, rows)
	plain := parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.Plain)
	for name, options := range map[string][]parquet.WriterOption{
		"as written":                   {plain},
		"small pages":                  {plain, parquet.PageBufferSize(64)},
		"dictionary given up":          {plain, parquet.PageBufferSize(256), parquet.DictionaryMaxBytes(600)},
		"several row groups":           {plain, parquet.MaxRowsPerRowGroup(97), parquet.PageBufferSize(128)},
		"row groups and plain pages":   {plain, parquet.MaxRowsPerRowGroup(150), parquet.PageBufferSize(256), parquet.DictionaryMaxBytes(300)},
		"data pages of version 2":      {plain, parquet.DataPageVersion(2), parquet.PageBufferSize(300)},
		"length-delta encoded strings": {parquet.PageBufferSize(300), parquet.DictionaryMaxBytes(300)},
	} {
		for _, batch := range []int{1, 10, 64, batchRows} {
			b := NewMemory()
			a := newFixture(t, b)
			p := foreign(t, b, UsageTable, rows, options...)
			if diff := cmp.Diff(want, scanFile(t, a, UsageTable, p, batch)); diff != "" {
				t.Errorf("%s in batches of %d (-want +got):\n%.2000s", name, batch, diff)
			}
		}
	}
}

func TestWriter_FollowsTheProfile(t *testing.T) {
	f := newFixture(t, NewMemory())
	f.usage(Delivery{Source: "tables", Days: days("2026-11-20", "2026-11-20")}, row("2026-11-20", "a", "-1"), row("2026-11-20", "b", "1"))
	p := f.view().Parts(UsageTable)[0]
	raw := content(t, f.bucket, p.key(UsageTable))
	file, err := parquet.OpenFile(strings.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	m := file.Metadata()
	if !strings.HasPrefix(m.CreatedBy, "tidemark version 1") {
		t.Errorf("created by %q", m.CreatedBy)
	}
	if got, _ := file.Lookup("tidemark.content_sha256"); got != p.ContentSHA256 || len(m.KeyValueMetadata) != 2 {
		t.Errorf("metadata = %v", m.KeyValueMetadata)
	}
	names := []string{}
	for _, s := range file.RowGroups()[0].SortingColumns() {
		names = append(names, fmt.Sprint(s.Path()[0], " ", s.Descending(), " ", s.NullsFirst()))
	}
	want := []string{"customer_id false false", "subscription_id false true", "category false false", "meter_id false true"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("sorting columns (-want +got):\n%s", diff)
	}
	for _, c := range m.RowGroups[0].Columns {
		name := c.MetaData.PathInSchema[0]
		for _, e := range c.MetaData.Encoding {
			if s := e.String(); s != "PLAIN" && s != "RLE" && s != "RLE_DICTIONARY" {
				t.Errorf("column %s is encoded %s", name, s)
			}
		}
		if c.MetaData.Codec.String() != "ZSTD" {
			t.Errorf("column %s is compressed with %s", name, c.MetaData.Codec)
		}
		stats := c.MetaData.Statistics
		if isMoney := strings.Contains(name, "cost") || name == "quantity"; isMoney && len(stats.MinValue)+len(stats.Min) > 0 {
			t.Errorf("column %s has bounds %x to %x, which take no account of the sign", name, stats.MinValue, stats.MaxValue)
		}
	}
}
