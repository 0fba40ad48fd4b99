package archive

import (
	"encoding/json"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
)

// Table names one table of the archive.
type Table string

// The tables.
const (
	Customers     Table = "customers"
	Subscriptions Table = "subscriptions"
	UsageTable    Table = "usage"
	UsageDaily    Table = "usage_daily"
)

// Tables lists the tables in the order in which they are shown.
func Tables() []Table { return []Table{Customers, Subscriptions, UsageTable, UsageDaily} }

// Schema returns the Arrow schema of a table; its first field is the partition
// day, which is not in the files.
func (t Table) Schema() *arrow.Schema {
	switch t {
	case Customers:
		return data.CustomersSchema()
	case Subscriptions:
		return data.SubscriptionsSchema()
	case UsageTable:
		return data.UsageSchema()
	}
	return data.UsageDailySchema()
}

// partition is the name of the partition column.
func (t Table) partition() string { return t.Schema().Field(0).Name }

func (t Table) logKey(version int64) string {
	return fmt.Sprintf("%s/_delta_log/%020d.json", t, version)
}

// decimals are the names of the table's decimal columns.
func (t Table) decimals() []string {
	var names []string
	for _, f := range t.Schema().Fields() {
		if f.Type.ID() == arrow.DECIMAL128 {
			names = append(names, f.Name)
		}
	}
	return names
}

// sparkType is the name of an Arrow type in Spark's JSON schema.
func sparkType(t arrow.DataType) string {
	switch t.ID() {
	case arrow.DATE32:
		return "date"
	case arrow.INT64:
		return "long"
	case arrow.INT32:
		return "integer"
	case arrow.BOOL:
		return "boolean"
	case arrow.DECIMAL128:
		return fmt.Sprintf("decimal(%d,%d)", data.Precision, data.Scale)
	}
	return "string"
}

type sparkField struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Nullable bool     `json:"nullable"`
	Metadata struct{} `json:"metadata"`
}

// sparkSchema is the schemaString of Delta's metaData: the columns in file
// order, the partition column last.
func (t Table) sparkSchema() (string, error) {
	fields := t.Schema().Fields()
	var out []sparkField
	for _, f := range append(fields[1:len(fields):len(fields)], fields[0]) {
		out = append(out, sparkField{Name: f.Name, Type: sparkType(f.Type), Nullable: f.Nullable})
	}
	b, err := json.Marshal(struct {
		Type   string       `json:"type"`
		Fields []sparkField `json:"fields"`
	}{"struct", out})
	return string(b), err
}
