package data

import "github.com/apache/arrow/go/v17/arrow"

// The Arrow form of the tables, column for column what is in the Parquet files
// plus, as the first column, the partition day. Texts of few distinct values
// and ids are dictionaries with int32 indexes (int8 and int16 dictionaries wrap
// silently in arrow/go/v17). Every record of a table has exactly these fields
// in this order, unless a column selection or a money-free view left some out;
// readers look columns up by name.

// DecimalType is the Arrow type of every amount and quantity.
func DecimalType() *arrow.Decimal128Type {
	return &arrow.Decimal128Type{Precision: Precision, Scale: Scale}
}

// DictType is the Arrow type of ids and enum-like texts.
func DictType() *arrow.DictionaryType {
	return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
}

func dict(name string) arrow.Field { return arrow.Field{Name: name, Type: DictType()} }
func dictOpt(name string) arrow.Field {
	return arrow.Field{Name: name, Type: DictType(), Nullable: true}
}
func text(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.BinaryTypes.String}
}
func textOpt(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}
}
func decimalOpt(name string) arrow.Field {
	return arrow.Field{Name: name, Type: DecimalType(), Nullable: true}
}
func day(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.FixedWidthTypes.Date32}
}
func dayOpt(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.FixedWidthTypes.Date32, Nullable: true}
}
func boolOpt(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.FixedWidthTypes.Boolean, Nullable: true}
}
func count(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64}
}

// UsageSchema is the schema of the usage table.
func UsageSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("usage_date"), dict("customer_id"), dictOpt("subscription_id"), dict("category"),
		dictOpt("service"), dictOpt("meter_id"), dictOpt("region"), dictOpt("unit"),
		dict("currency"), dict("charge_category"), dictOpt("billing_period"),
		decimalOpt("quantity"), decimalOpt("cost"), decimalOpt("effective_cost"), decimalOpt("cost_usd"),
		boolOpt("partner_credit_applied"), decimalOpt("partner_credit_rate"),
	}, nil)
}

// UsageDailySchema is the schema of the usage_daily table.
func UsageDailySchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("usage_date"), dict("customer_id"), dictOpt("subscription_id"), dict("category"),
		dictOpt("unit"), dict("currency"), dict("charge_category"),
		decimalOpt("cost"), decimalOpt("effective_cost"), decimalOpt("cost_usd"), decimalOpt("quantity"),
		count("rows"), count("usage_rows"), count("cost_rows"), count("usd_rows"),
		{Name: "services", Type: arrow.PrimitiveTypes.Int32},
	}, nil)
}

// UsagePastSchema is the schema of the usage_past table.
func UsagePastSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("until_date"), dictOpt("subscription_id"), dictOpt("category"), dictOpt("currency"),
		{Name: "appeared", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		dayOpt("first_usage"), dayOpt("last_usage"), textOpt("used"), textOpt("cost"),
	}, nil)
}

// CustomersSchema is the schema of the customers table.
func CustomersSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("snapshot_date"), dict("customer_id"), textOpt("name"), textOpt("domain"), dictOpt("country"),
		dayOpt("first_seen"), textOpt("contact"), textOpt("phone"), textOpt("email"), dict("source"),
		dictOpt("refused"), dayOpt("refused_since"), {Name: "refused_nights", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	}, nil)
}

// SubscriptionsSchema is the schema of the subscriptions table.
func SubscriptionsSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("snapshot_date"), dict("subscription_id"), dict("customer_id"), dictOpt("plan_id"),
		textOpt("name"), dictOpt("offer"), dict("status"), dayOpt("created"), dictOpt("created_basis"),
		dayOpt("commitment_end"), boolOpt("auto_renew"), dayOpt("renewed_at"), dayOpt("ended_at"),
		boolOpt("trial"), dayOpt("first_usage"), dayOpt("last_usage"),
	}, nil)
}

// ScoresSchema is the schema of the scores table.
func ScoresSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("score_date"), dict("customer_id"), dict("subscription_id"), {Name: "horizon_days", Type: arrow.PrimitiveTypes.Int32},
		dict("state"), decimalOpt("score"), dictOpt("band"), dict("model"),
		{Name: "idle_days", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, text("reasons"), text("flags"), textOpt("detail"),
		dict("versions"), dict("known_at"), dict("producer"),
	}, nil)
}

// TrainingsSchema is the schema of the trainings table.
func TrainingsSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("training_date"), text("trained_at"), text("model_sha256"), text("used"), text("why"), {Name: "horizon_days", Type: arrow.PrimitiveTypes.Int32},
		text("training"), text("versions"), text("known_at"), text("producer"),
	}, nil)
}

// ReportsSchema is the schema of the reports table.
func ReportsSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		day("report_date"), text("report_id"), text("message_id"), dict("role"), text("recipient"),
		{Name: "edition", Type: arrow.PrimitiveTypes.Int32}, dictOpt("job"), textOpt("slot"),
		day("period_from"), day("period_to"), text("scope"), text("versions"), text("known_at"), text("seal"),
		dictOpt("model"), textOpt("previous_report"), textOpt("config_sha256"), textOpt("ownership_sha256"),
		textOpt("recipients_sha256"), dict("producer"), text("request"), text("document"), text("digest"), text("eml_sha256"),
	}, nil)
}
