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

// Kept is Archive.Kept of the view's archive.
func (v *View) Kept(ctx context.Context, f Folder, sha256 string) ([]byte, error) {
	return v.archive.Kept(ctx, f, sha256)
}

// CommitReports adds the reports of one day. They stay beside those that are
// there: a report that was built is a fact. A run may call it several times.
func (r *Run) CommitReports(ctx context.Context, day data.Day, rows []data.Report) (Committed, error) {
	return addRows(ctx, r, Reports, codeReport, day, rows)
}

// addRows adds rows of one day to a table, beside those that are there.
func addRows[T any](ctx context.Context, r *Run, t Table, code func(*rowCoder, *T), day data.Day, rows []T) (Committed, error) {
	if r.ended {
		return Committed{}, errEnded
	}
	l := r.archive.layouts[t]
	keys, err := sortedKeys(l, code, rows)
	if err != nil {
		return Committed{}, fmt.Errorf("commit %s of %s: %w", t, day, err)
	}
	base, err := r.archive.refresh(ctx, t)
	if err != nil {
		return Committed{}, err
	}
	// A part of its own for each run, and for each commit of a run.
	r.added++
	id := partID{day: day, feed: Feed{Source: "tidemark", Scope: fmt.Sprintf("%s/%d", r.info.ID, r.added)}}
	made, err := writePart(ctx, r, l, code, source{id: id, rows: noErrors(keys)})
	if err != nil {
		return Committed{}, err
	}
	ours := func(p Part) bool { return p.id() == id }
	makePlan := func(at *state) (plan, error) {
		if old, found := at.byID()[id]; found {
			return plan{}, fmt.Errorf("commit %s of %s: the run has committed %s already", t, day, old.Path)
		}
		return plan{adds: []written{made.written}}, nil
	}
	n := int64(len(rows))
	d := Delivery{Source: "tidemark", RowsIn: n, RowsOut: n}
	return r.commit(ctx, base, change{r.commitInfo(t, d, "append"), makePlan, ours})
}

// rowsIn yields the rows of some days of a table, each with its day set.
func rowsIn[T any](ctx context.Context, v *View, t Table, code func(*rowCoder, *T), days data.Period, set func(*T, data.Day)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for row, err := range tableRows(ctx, v, t, code, days) {
			set(&row.row, row.day)
			if !yield(row.row, err) || err != nil {
				return
			}
		}
	}
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
	return rowsIn(ctx, v, Reports, codeReport, days, func(r *data.Report, d data.Day) { r.Day = d })
}

// CommitScores adds scores as of one day, beside those that are there: what somebody was
// told is a fact.
func (r *Run) CommitScores(ctx context.Context, day data.Day, rows []data.Score) (Committed, error) {
	return addRows(ctx, r, Scores, codeScore, day, rows)
}

// ScoresIn yields the stored scores as of some days.
func (v *View) ScoresIn(ctx context.Context, days data.Period) iter.Seq2[data.Score, error] {
	return rowsIn(ctx, v, Scores, codeScore, days, func(r *data.Score, d data.Day) { r.Day = d })
}

// CommitTraining adds what one training of the churn model made.
func (r *Run) CommitTraining(ctx context.Context, row data.Training) (Committed, error) {
	return addRows(ctx, r, Trainings, codeTraining, row.Day, []data.Training{row})
}

// Training returns the newest training in the view; found is false without one.
func (v *View) Training(ctx context.Context) (newest data.Training, found bool, err error) {
	parts := v.Parts(Trainings)
	if len(parts) == 0 {
		return newest, false, nil
	}
	last := parts[len(parts)-1].Day
	for row, err := range rowsIn(ctx, v, Trainings, codeTraining, data.Period{From: last, To: last}, func(r *data.Training, d data.Day) { r.Day = d }) {
		if err != nil {
			return newest, false, err
		}
		if !found || row.TrainedAt > newest.TrainedAt {
			newest, found = row, true
		}
	}
	return newest, found, nil
}
