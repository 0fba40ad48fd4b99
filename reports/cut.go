package reports

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// cut leaves of the inputs what a scope may see, without the money columns
// unless money is to be seen. The caller must call free.
func cut(mem memory.Allocator, in transform.Inputs, scope Scope, money bool) (out transform.Inputs, free func(), err error) {
	free = func() {}
	if !scope.all() {
		if in, free, err = transform.FilterInputs(mem, in, inScope(in, scope)); err != nil {
			return transform.Inputs{}, nil, err
		}
	}
	if money {
		return in, free, nil
	}
	bare, freeBare := transform.InputsWithoutMoney(in)
	freeScoped := free
	return bare, func() { freeBare(); freeScoped() }, nil
}

// inScope returns the customers of the inputs that belong to a scope.
func inScope(in transform.Inputs, scope Scope) map[data.CustomerID]bool {
	found := make(map[data.CustomerID]bool)
	add := func(id string) {
		if c := data.CustomerID(id); scope.Contains(c) {
			found[c] = true
		}
	}
	for _, rec := range in.Daily {
		eachCustomer(rec, add)
	}
	for _, s := range in.Inventory {
		eachCustomer(s.Customers, add)
		eachCustomer(s.Subscriptions, add)
	}
	return found
}

// eachCustomer calls add at least once for every customer of a record. It looks
// at the dictionary of the column, which is much shorter than the column.
func eachCustomer(rec arrow.Record, add func(string)) {
	r := reader{rec: rec}
	if dict, ok := r.column("customer_id").(*array.Dictionary); ok {
		if values, ok := dict.Dictionary().(*array.String); ok {
			for i := range values.Len() {
				add(values.Value(i))
			}
			return
		}
	}
	id := r.text("customer_id")
	for i := range r.rows() {
		if v := id(i); v != nil {
			add(*v)
		}
	}
}
