package archive

import (
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
)

// reader gives the cells of a record by column name.
type reader struct{ rec arrow.Record }

func (r reader) column(name string) arrow.Array {
	return r.rec.Column(r.rec.Schema().FieldIndices(name)[0])
}

// text returns a cell of a dictionary or text column, nil for null.
func cell[T ~string](r reader, name string, row int) *T {
	c := r.column(name)
	if c.IsNull(row) {
		return nil
	}
	var s T
	switch c := c.(type) {
	case *array.Dictionary:
		s = T(c.Dictionary().(*array.String).Value(c.GetValueIndex(row)))
	case *array.String:
		s = T(c.Value(row))
	}
	return &s
}

func (r reader) day(name string, row int) *data.Day {
	c := r.column(name).(*array.Date32)
	if c.IsNull(row) {
		return nil
	}
	return new(data.Day(c.Value(row)))
}

func (r reader) bool(name string, row int) *bool {
	c := r.column(name).(*array.Boolean)
	if c.IsNull(row) {
		return nil
	}
	return new(c.Value(row))
}

func (r reader) decimal(name string, row int) (*data.Decimal, bool) {
	c := r.column(name).(*array.Decimal128)
	if c.IsNull(row) {
		return nil, true
	}
	d, ok := data.DecimalFromArrow(c.Value(row))
	return &d, ok
}

func (r reader) count(name string, row int) int64 { return r.column(name).(*array.Int64).Value(row) }

func customerRows(rec arrow.Record) iter.Seq[data.Customer] {
	r := reader{rec}
	return func(yield func(data.Customer) bool) {
		for i := range int(rec.NumRows()) {
			if !yield(data.Customer{
				CustomerID: *cell[data.CustomerID](r, "customer_id", i), Name: cell[string](r, "name", i),
				Domain: cell[string](r, "domain", i), Country: cell[string](r, "country", i), FirstSeen: r.day("first_seen", i),
				Contact: cell[string](r, "contact", i), Phone: cell[string](r, "phone", i), Email: cell[string](r, "email", i),
				Source: *cell[string](r, "source", i),
			}) {
				return
			}
		}
	}
}

func subscriptionRows(rec arrow.Record) iter.Seq[data.Subscription] {
	r := reader{rec}
	return func(yield func(data.Subscription) bool) {
		for i := range int(rec.NumRows()) {
			if !yield(data.Subscription{
				SubscriptionID: *cell[data.SubscriptionID](r, "subscription_id", i), CustomerID: *cell[data.CustomerID](r, "customer_id", i),
				PlanID: cell[string](r, "plan_id", i), Name: cell[string](r, "name", i), Offer: cell[string](r, "offer", i),
				Status: *cell[data.Status](r, "status", i), Created: r.day("created", i), CreatedBasis: cell[data.Basis](r, "created_basis", i),
				CommitmentEnd: r.day("commitment_end", i), AutoRenew: r.bool("auto_renew", i), RenewedAt: r.day("renewed_at", i),
				EndedAt: r.day("ended_at", i), Trial: r.bool("trial", i), FirstUsage: r.day("first_usage", i), LastUsage: r.day("last_usage", i),
			}) {
				return
			}
		}
	}
}

// dailyRows turns a rollup's columns into rows for the Parquet writer.
func dailyRows(rec arrow.Record) iter.Seq2[data.UsageDaily, error] {
	r := reader{rec}
	return func(yield func(data.UsageDaily, error) bool) {
		for i := range int(rec.NumRows()) {
			row := data.UsageDaily{
				CustomerID: *cell[data.CustomerID](r, "customer_id", i), SubscriptionID: cell[data.SubscriptionID](r, "subscription_id", i),
				Category: *cell[string](r, "category", i), Unit: cell[string](r, "unit", i), Currency: *cell[string](r, "currency", i),
				ChargeCategory: *cell[data.ChargeCategory](r, "charge_category", i),
				Rows:           r.count("rows", i), UsageRows: r.count("usage_rows", i), CostRows: r.count("cost_rows", i), USDRows: r.count("usd_rows", i),
				Services: r.column("services").(*array.Int32).Value(i),
			}
			var err error
			for name, d := range map[string]**data.Decimal{"cost": &row.Cost, "effective_cost": &row.EffectiveCost, "cost_usd": &row.CostUSD, "quantity": &row.Quantity} {
				var ok bool
				if *d, ok = r.decimal(name, i); !ok {
					err = data.ErrOverflow
				}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}
