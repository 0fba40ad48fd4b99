package archive

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tidemark/data"
)

// kind is what a column holds.
type kind uint8

const (
	kindText kind = iota
	kindDecimal
	kindDate
	kindInt64
	kindInt32
	kindBool
)

// column is one column of a table's files.
type column struct {
	name     string
	kind     kind
	nullable bool
}

// layout is everything that differs between the tables. It is made once, when
// the archive is opened, and never changes.
type layout struct {
	table     Table
	partition string   // name of the day column, which is not in the files
	columns   []column // in the order that rows are sorted by
	lead      int      // how many of columns the files declare as sorted
	arrow     *arrow.Schema
	parquet   *parquet.Schema
	leaves    map[string]parquet.Node
	options   []parquet.WriterOption
}

// leadColumns are the columns that rows are sorted by first, as far as a table has
// them; all others follow in the order of the schema.
func leadColumns() []string {
	return []string{"customer_id", "subscription_id", "category", "meter_id"}
}

func newLayout(t Table, schema *arrow.Schema, row any) (*layout, error) {
	l := &layout{table: t, partition: schema.Field(0).Name, arrow: schema, parquet: parquet.SchemaOf(row)}
	l.leaves = map[string]parquet.Node{}
	for _, f := range l.parquet.Fields() {
		l.leaves[f.Name()] = f
	}
	lead := leadColumns()
	for _, name := range lead {
		if c, found := l.field(name); found {
			l.columns = append(l.columns, c)
		}
	}
	l.lead = len(l.columns)
	for _, f := range schema.Fields()[1:] {
		if !slices.Contains(lead, f.Name) {
			c, _ := l.field(f.Name)
			l.columns = append(l.columns, c)
		}
	}
	for _, c := range l.columns {
		if leaf := l.leaves[c.name]; leaf == nil || leaf.Optional() != c.nullable {
			return nil, fmt.Errorf("table %s: column %s differs between the row and the Arrow schema", t, c.name)
		}
	}
	if len(l.leaves) != len(l.columns) {
		return nil, fmt.Errorf("table %s: the row has %d columns, the Arrow schema %d", t, len(l.leaves), len(l.columns))
	}
	return l, nil
}

func (l *layout) field(name string) (column, bool) {
	at := l.arrow.FieldIndices(name)
	if len(at) == 0 {
		return column{}, false
	}
	f := l.arrow.Field(at[0])
	return column{name, kindOf(f.Type), f.Nullable}, true
}

func kindOf(t arrow.DataType) kind {
	switch t.ID() {
	case arrow.DECIMAL128:
		return kindDecimal
	case arrow.DATE32:
		return kindDate
	case arrow.INT64:
		return kindInt64
	case arrow.INT32:
		return kindInt32
	case arrow.BOOL:
		return kindBool
	}
	return kindText
}

// newLayouts returns the layouts of the tables named, of every table without any.
func newLayouts(only ...Table) (map[Table]*layout, error) {
	layouts := map[Table]*layout{}
	codec := &zstd.Codec{Level: zstd.SpeedDefault} // shared, since it keeps its encoders for the next file
	for _, t := range []struct {
		table  Table
		schema *arrow.Schema
		row    any
	}{
		{Customers, data.CustomersSchema(), data.Customer{}},
		{Subscriptions, data.SubscriptionsSchema(), data.Subscription{}},
		{UsageTable, data.UsageSchema(), data.Usage{}},
		{UsageDaily, data.UsageDailySchema(), data.UsageDaily{}},
		{UsagePast, data.UsagePastSchema(), data.UsagePast{}},
		{Reports, data.ReportsSchema(), data.Report{}},
		{Scores, data.ScoresSchema(), data.Score{}},
		{Trainings, data.TrainingsSchema(), data.Training{}},
	} {
		if len(only) > 0 && !slices.Contains(only, t.table) {
			continue
		}
		l, err := newLayout(t.table, t.schema, t.row)
		if err != nil {
			return nil, err
		}
		l.options = writerOptions(l, codec)
		layouts[t.table] = l
	}
	return layouts, nil
}
