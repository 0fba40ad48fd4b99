package reports

import (
	"slices"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tidemark/data"
	"tidemark/transform"
)

// Portfolio is everything that is known for a period before it is cut down to
// what somebody may see. Its records belong to it until Release.
type Portfolio struct {
	Inputs transform.Inputs

	Scores         arrow.Record // churn.Schema, as of the end of the period; nil when nothing could be scored
	PreviousScores arrow.Record // churn.Schema, as of the end of the previous period; may be nil
	MonthlyCost    arrow.Record // churn.MonthlyCostSchema; may be nil

	Model     string           // that scored, e.g. "usage-1/prior"
	NoSignal  bool             // the model says that past churn did not follow usage: there are no scores to tell
	Versions  map[string]int64 // version of each table, e.g. "usage": 12
	KnownAt   time.Time        // the archive's time: what was known then
	Seal      string           // digits over the heads of the archive
	Freshness Freshness

	prepared sync.Once
	indexed  sync.Once // with the first scope that is not of everybody
	index    *transform.Index
	indexErr error
}

// Freshness is how complete the extraction behind a portfolio was.
type Freshness struct {
	Extracted   *data.Day // day of the newest extraction
	Sources     []string  // kinds, e.g. "tables"
	Failed      []FailedCustomer
	Unreachable []data.CustomerID // customers that refuse for long: neither expected nor told
	Quarantined int64             // rows that were not accepted
}

// FailedCustomer is a customer that the extraction could not read.
type FailedCustomer struct {
	ID     data.CustomerID
	Name   string // empty: unknown
	Reason string
}

// Release gives back every record of the portfolio, those of Inputs included.
func (p *Portfolio) Release() {
	for _, r := range p.records() {
		r.Release()
	}
	*p = Portfolio{}
}

func (p *Portfolio) records() []arrow.Record {
	all := append([]arrow.Record{p.Scores, p.PreviousScores, p.MonthlyCost, p.Inputs.Usage, p.Inputs.History, p.Inputs.Others}, p.Inputs.Daily...)
	for _, s := range p.Inputs.Inventory {
		all = append(all, s.Customers, s.Subscriptions)
	}
	return slices.DeleteFunc(all, func(r arrow.Record) bool { return r == nil })
}

// prepare makes the portfolio safe for many readers at a time: Arrow makes the
// values of a dictionary column when they are first asked for, without a lock.
func (p *Portfolio) prepare() {
	for _, r := range p.records() {
		for _, col := range r.Columns() {
			if d, ok := col.(*array.Dictionary); ok {
				d.Dictionary()
			}
		}
	}
}
