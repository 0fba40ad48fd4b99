package jobs

import (
	"maps"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/reports"
)

// Figures computes the document of the whole portfolio, money included: what
// the commands print.
func Figures(p *reports.Portfolio) (*reports.Document, error) {
	return p.Document(memory.DefaultAllocator, reports.Everyone(), true)
}

// CustomerIDs returns every customer of the portfolio in order.
func CustomerIDs(p *reports.Portfolio) ([]data.CustomerID, error) {
	doc, err := Figures(p)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(doc.Background.Customers)), nil
}
