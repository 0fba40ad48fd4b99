package churn

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
)

// Rules returns the model "rules-1".
func Rules() Model { return rules{} }

type rules struct{}

func (rules) Name() string { return "rules-1" }

func (rules) Assess(mem memory.Allocator, in Inputs) (arrow.Record, error) {
	b := array.NewRecordBuilder(mem, Schema())
	defer b.Release()
	return b.NewRecord(), nil
}

// MonthlyCost gives the mean monthly cost per subscription and currency.
func MonthlyCost(mem memory.Allocator, daily []arrow.Record, known []data.Day, on data.Day) (arrow.Record, error) {
	b := array.NewRecordBuilder(mem, MonthlyCostSchema())
	defer b.Release()
	return b.NewRecord(), nil
}
