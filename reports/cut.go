package reports

import (
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/transform"
)

// cut leaves of the inputs what a scope may see, without the money columns
// unless money is to be seen. The caller must call free.
func (p *Portfolio) cut(mem memory.Allocator, scope Scope, money bool) (out transform.Inputs, free func(), err error) {
	p.prepared.Do(p.prepare)
	in, free := p.Inputs, func() {}
	if !scope.all() {
		p.indexed.Do(func() { p.index, p.indexErr = transform.NewIndex(p.Inputs) })
		if p.indexErr != nil {
			return transform.Inputs{}, nil, p.indexErr
		}
		if in, free, err = p.index.Filter(mem, inScope(p.index, scope)); err != nil {
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
func inScope(x *transform.Index, scope Scope) map[data.CustomerID]bool {
	if !scope.others {
		return scope.listed
	}
	found := make(map[data.CustomerID]bool)
	for c := range x.Customers() {
		if scope.Contains(c) {
			found[c] = true
		}
	}
	return found
}
