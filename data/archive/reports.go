package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"tidemark/data"
)

// Folder holds files that are named by their hash.
type Folder string

// The folders of an archive that hold files named by their SHA-256.
const (
	Mails  Folder = "mails"  // sealed mails
	Inputs Folder = "inputs" // configuration, ownership, recipients
	Models Folder = "models"
)

// Folders returns every such folder.
func Folders() []Folder { return []Folder{Inputs, Mails, Models} }

func (f Folder) key(sum string) string {
	switch f {
	case Mails:
		return string(f) + "/" + sum + ".eml"
	case Models:
		return string(f) + "/" + sum + ".json"
	}
	return string(f) + "/" + sum
}

// Keep puts a file under its hash, which it returns, unless it is there.
func (r *Run) Keep(ctx context.Context, f Folder, content []byte) (sha256 string, err error) {
	if r.ended {
		return "", errEnded
	}
	sum := hexSum(content)
	// Mostly it is there: a configuration changes less often than mails go out.
	if there, err := readAll(ctx, r.archive.bucket, f.key(sum)); err == nil && hexSum(there) == sum {
		return sum, nil
	}
	err = r.put(ctx, f.key(sum), content)
	if errors.Is(err, errLost) {
		err = fmt.Errorf("keep %s: %w", f.key(sum), ErrDamaged)
	}
	return sum, err
}

// Kept returns a file by its hash, and checks that it has it.
func (a *Archive) Kept(ctx context.Context, f Folder, sha256 string) ([]byte, error) {
	if b, err := hex.DecodeString(sha256); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("read %s: %q is not a SHA-256: %w", f, sha256, fs.ErrNotExist)
	}
	b, err := readAll(ctx, a.bucket, f.key(sha256))
	if err == nil && hexSum(b) != sha256 {
		err = ErrDamaged
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.key(sha256), err)
	}
	return b, nil
}

// CommitReports adds the reports of one day. They stay beside those that are
// there: a report that was built is a fact. A run may call it several times.
func (r *Run) CommitReports(ctx context.Context, day data.Day, rows []data.Report) (Committed, error) {
	if r.ended {
		return Committed{}, errEnded
	}
	l := r.archive.layouts[Reports]
	keys, err := sortedKeys(l, codeReport, rows)
	if err != nil {
		return Committed{}, fmt.Errorf("commit %s of %s: %w", Reports, day, err)
	}
	base, err := r.archive.refresh(ctx, Reports)
	if err != nil {
		return Committed{}, err
	}
	// A part of its own for each run, and for each commit of a run.
	r.reports++
	id := partID{day: day, feed: Feed{Source: "tidemark", Scope: fmt.Sprintf("%s/%d", r.info.ID, r.reports)}}
	made, err := writePart(ctx, r, l, codeReport, source{id, Coverage{}, "", "", noErrors(keys)})
	if err != nil {
		return Committed{}, err
	}
	ours := func(p Part) bool { return p.id() == id }
	makePlan := func(at *state) (plan, error) {
		if old, found := at.byID()[id]; found {
			return plan{}, fmt.Errorf("commit %s of %s: the run has committed %s already", Reports, day, old.Path)
		}
		return plan{adds: []written{made.written}}, nil
	}
	n := int64(len(rows))
	d := Delivery{Source: "tidemark", RowsIn: n, RowsOut: n}
	return r.commit(ctx, base, change{r.commitInfo(Reports, d, "append"), makePlan, ours})
}

// Reports yields every report in the view, in the order of their days.
func (v *View) Reports(ctx context.Context) iter.Seq2[data.Report, error] {
	parts := v.Parts(Reports)
	if len(parts) == 0 {
		return func(func(data.Report, error) bool) {}
	}
	return v.ReportsIn(ctx, data.Period{From: parts[0].Day, To: parts[len(parts)-1].Day})
}

// ReportsIn yields the reports of some days.
func (v *View) ReportsIn(ctx context.Context, days data.Period) iter.Seq2[data.Report, error] {
	return func(yield func(data.Report, error) bool) {
		for row, err := range tableRows(ctx, v, Reports, codeReport, days) {
			row.row.Day = row.day
			if !yield(row.row, err) || err != nil {
				return
			}
		}
	}
}
