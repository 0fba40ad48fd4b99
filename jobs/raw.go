package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v17/arrow"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform"
)

// ErrDisagree says that the rows of usage give other figures than usage_daily, which was
// rolled up from them. The error that wraps it names the first one.
var ErrDisagree = errors.New("usage and usage_daily disagree: run `tidemark archive verify`, and extract the days again")

// RawProof says what figures were computed from once more.
type RawProof struct {
	Files   int
	Rows    int64
	Figures int // that agree
}

// ProveFromRaw computes a document of the whole portfolio anew from the rows of usage of both
// periods, each by a worker of its own, and compares every figure. What usage_daily says alone,
// scores and the days before the periods, is the same on both sides. Days whose usage is past
// its retention are an error that names the first.
func ProveFromRaw(ctx context.Context, view *archive.View, p *reports.Portfolio, doc *reports.Document) (RawProof, error) {
	proof, err := proveFromRaw(ctx, view, p, doc)
	if err != nil {
		return RawProof{}, fmt.Errorf("compute %s from usage: %w", p.Inputs.Period, err)
	}
	return proof, nil
}

func proveFromRaw(ctx context.Context, view *archive.View, p *reports.Portfolio, doc *reports.Document) (RawProof, error) {
	in := &p.Inputs
	periods := []data.Period{in.Period, in.Period.Previous()}
	var proof RawProof
	for _, period := range periods {
		if err := proof.count(view, period, *in); err != nil {
			return RawProof{}, err
		}
		in.Raw = append(in.Raw, rawUsage(ctx, view, period))
	}
	defer func() { in.Raw = nil }()
	again, err := Figures(p)
	if err != nil {
		return RawProof{}, err
	}
	proof.Figures, err = compareFigures(doc.Figures(), again.Figures())
	return proof, err
}

func rawUsage(ctx context.Context, view *archive.View, p data.Period) transform.RawRows {
	return func(wanted func() []string) iter.Seq2[arrow.Record, error] {
		return view.ScanWanted(ctx, archive.UsageTable, p, wanted)
	}
}

// count adds the files of a period, whose known days must all have their usage still.
func (r *RawProof) count(view *archive.View, p data.Period, in transform.Inputs) error {
	have := map[data.Day]bool{}
	for _, part := range view.Parts(archive.UsageTable) {
		if p.Contains(part.Day) {
			have[part.Day] = true
			r.Files++
			r.Rows += part.Rows
		}
	}
	for _, d := range view.UsageDays() {
		if p.Contains(d.Day) && in.IsKnown(d.Day) && d.Rows > 0 && !have[d.Day] {
			return fmt.Errorf("the usage of %s is past its retention, only usage_daily is left: ask for a later period, or leave --from-raw out", d.Day)
		}
	}
	return nil
}

// compareFigures returns how many figures agree: all, or there is an error.
func compareFigures(daily, raw []reports.Figure) (int, error) {
	for i := range max(len(daily), len(raw)) {
		switch {
		case i >= len(raw):
			return 0, fmt.Errorf("%w: %s is in usage_daily alone", ErrDisagree, daily[i])
		case i >= len(daily):
			return 0, fmt.Errorf("%w: %s is in usage alone", ErrDisagree, raw[i])
		case daily[i].String() != raw[i].String():
			return 0, fmt.Errorf("%w: %s by usage_daily, %s by usage", ErrDisagree, daily[i], raw[i])
		}
	}
	return len(daily), nil
}
