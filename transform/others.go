package transform

import (
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// CustomersSchema is the schema of Inputs.Others.
func CustomersSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{{Name: "customer_id", Type: data.DictType()}}, nil)
}

// Customers returns every customer that has a row (CustomersSchema), in order of id; of the
// columns it reads customer_id. The caller must Release the record.
func Customers(mem memory.Allocator, batches iter.Seq2[arrow.Record, error]) (arrow.Record, error) {
	var customers IDs
	for rec, err := range batches {
		if err == nil {
			err = addCustomers(&customers, rec)
		}
		if err != nil {
			return nil, fmt.Errorf("customers: %w", err)
		}
	}
	w := newWriter(mem, CustomersSchema())
	defer w.release()
	for _, id := range customers.sorted() {
		w.id(id, &customers)
	}
	return w.finish()
}

func addCustomers(customers *IDs, rec arrow.Record) error {
	c := ColumnsOf(rec)
	id := c.IDs("customer_id", customers)
	if c.Err() != nil {
		return c.Err()
	}
	for i := range c.Rows() {
		id.At(i)
	}
	return nil
}
