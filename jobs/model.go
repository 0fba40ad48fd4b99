package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/reports"
	"tidemark/transform"
	"tidemark/transform/churn"
)

// ModelIn returns the churn model that was in use in a view: the one that the newest training
// chose, else the prior.
func ModelIn(ctx context.Context, view *archive.View) (*churn.Model, error) {
	newest, found, err := view.Training(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the churn model: %w", err)
	}
	if !found {
		return churn.Prior(churn.DefaultHorizon)
	}
	return modelNamed(ctx, view, newest.Used)
}

// modelNamed returns a model by the name that is stored beside its scores.
func modelNamed(ctx context.Context, view *archive.View, name string) (*churn.Model, error) {
	prior, err := churn.Prior(churn.DefaultHorizon)
	if err != nil || name == prior.Name() {
		return prior, err
	}
	if strings.Contains(name, "/") || len(name) != 64 {
		return nil, fmt.Errorf("model %s: this program does not know it; it has %s and trained ones", name, prior.Name())
	}
	raw, err := view.Kept(ctx, archive.Models, name)
	if err != nil {
		return nil, err
	}
	return churn.ReadModel(raw)
}

// ChurnQuery says on what churn models are trained and tried.
type ChurnQuery struct {
	SettleDays int
	Watermark  *data.Day // instead of the newest usage day minus SettleDays
	Horizon    int
	Population churn.Population
}

// ChurnInputs reads everything that is known up to the watermark. The caller must Release
// Subscriptions, which may be nil.
func ChurnInputs(ctx context.Context, view *archive.View, q ChurnQuery) (churn.Inputs, error) {
	watermark := Watermark(view, q.SettleDays)
	if q.Watermark != nil {
		watermark = q.Watermark
	}
	in := churn.Inputs{Population: q.Population}
	if watermark == nil {
		return in, noUsage(view)
	}
	in.On = *watermark
	if days := view.UsageDays(); len(days) > 0 {
		in.On = min(in.On, days[len(days)-1].Day) // nothing after it is known, whatever counts as complete
	}
	var known []data.Day
	for _, d := range view.UsageDays() {
		if d.Day <= in.On {
			known = append(known, d.Day)
		}
	}
	if len(known) == 0 {
		return in, fmt.Errorf("%w: no day is archived up to %s", transform.ErrNoKnownDay, in.On)
	}
	var err error
	all := data.Period{From: known[0], To: in.On}
	if in.History, err = churn.ReadHistory(known, view.Scan(ctx, archive.UsageDaily, all, churn.HistoryColumns()...)); err != nil {
		return in, err
	}
	in.Subscriptions, in.Statuses, err = subscriptionsAsOf(ctx, view, in.On)
	return in, err
}

// subscriptionsAsOf returns the subscriptions as they were on a day, as scores of that day see
// them, and their statuses over time; nil without an inventory. It takes all snapshots, one at
// a time: many sources state a status but not since when, and who is gone today was there before.
func subscriptionsAsOf(ctx context.Context, view *archive.View, on data.Day) (arrow.Record, *transform.Statuses, error) {
	days := view.Snapshots(archive.Subscriptions)
	if len(days) == 0 {
		return nil, nil, nil
	}
	course := transform.NewCourse(memory.DefaultAllocator)
	defer course.Release()
	for _, day := range days {
		rec, err := view.Snapshot(ctx, archive.Subscriptions, day, churn.SubscriptionColumns()...)
		if err != nil {
			return nil, nil, err
		}
		err = course.Add(day, rec)
		rec.Release()
		if err != nil {
			return nil, nil, err
		}
	}
	latest, err := course.Latest(on)
	return latest, course.Statuses(), err
}

// Trained is what a training came to.
type Trained struct {
	Model    *churn.Model // the new one
	Used     *churn.Model // the one in use from now on
	Previous *churn.Model // the one before
	Why      string
}

// worseBy is by how much a new model's error may be above that of the one in use before that
// one stays.
const worseBy = 1.05

// Train fits a churn model to what the archive holds and stores it, with the choice: the
// one before stays in use when it was made as of a later day, and when it judged the newest
// day whose outcome is known better than a model made on that day.
func Train(ctx context.Context, arc *archive.Archive, run archive.RunInfo, q ChurnQuery, now time.Time, producer string) (Trained, error) {
	view, err := arc.View(ctx, nil)
	if err != nil {
		return Trained{}, err
	}
	out, err := TryTraining(ctx, view, q)
	if err != nil {
		return out, err
	}
	return out, out.store(ctx, arc, run, now, producer)
}

// TryTraining is Train, but stores nothing: the model in use stays whatever the choice.
func TryTraining(ctx context.Context, view *archive.View, q ChurnQuery) (out Trained, err error) {
	in, err := ChurnInputs(ctx, view, q)
	if err != nil {
		return out, err
	}
	if in.Subscriptions != nil {
		defer in.Subscriptions.Release()
	}
	if out.Previous, err = ModelIn(ctx, view); err != nil {
		return out, err
	}
	if out.Model, err = churn.Train(in, q.Horizon); err != nil {
		return out, err
	}
	if err := out.Model.SetData(versionsOf(view), view.KnownAt().UTC()); err != nil {
		return out, err
	}
	return out, out.choose(in)
}

// choose decides which model is in use from now on.
func (t *Trained) choose(in churn.Inputs) error {
	m := t.Model
	if m.Horizon() != churn.DefaultHorizon {
		// Reports tell of one horizon; what is found out about another one says nothing of it.
		t.Used = t.Previous
		t.Why = fmt.Sprintf("the new model looks %d days ahead; reports tell of %d: it is kept, and the one in use stays", m.Horizon(), churn.DefaultHorizon)
		return nil
	}
	if !m.Population().Usual() {
		// Whom it does not score would be missing from the mails.
		t.Used = t.Previous
		t.Why = "the new model scores a population of its own (--active-window, --active-min); reports tell of everybody used in the horizon: it is kept, and the one in use stays"
		return nil
	}
	p := t.Previous
	rival := p.Kind() != churn.KindPrior && p.Horizon() == m.Horizon() && p.Population().Usual()
	if had, made := p.Training().Watermark, m.Training().Watermark; rival && had > made {
		t.Used = p
		t.Why = fmt.Sprintf("the model in use was made as of %s, the new one as of %s: the newer one stays", had, made)
		return nil
	}
	t.Used, t.Why = m, because(m)
	if m.NoSignal() {
		return nil
	}
	if m.Name() == p.Name() {
		t.Why = "the data are as they were when the model in use was made: it is the same"
		return nil
	}
	if !rival || p.NoSignal() {
		return nil
	}
	trial, ok, err := p.Try(in)
	if err != nil {
		return err
	}
	if ok && trial.New > trial.InUse*worseBy {
		t.Used = p
		t.Why = fmt.Sprintf("of %s the model in use judged better (Brier %.4f) than one made anew on that day (%.4f): it stays", trial.On, trial.InUse, trial.New)
	}
	return nil
}

// because says what a new model is made of.
func because(m *churn.Model) string {
	training := m.Training()
	switch {
	case m.NoSignal():
		return "past churn does not follow usage here: no scores are given"
	case m.Kind() == churn.KindRate:
		return fmt.Sprintf("%d of %d subscriptions were lost: too few on one side for a fit, so only the level is yours", training.Lost, training.Subscriptions)
	}
	return fmt.Sprintf("fitted to what became of %d subscriptions, %d of them lost", training.Subscriptions, training.Lost)
}

func (t *Trained) store(ctx context.Context, arc *archive.Archive, info archive.RunInfo, now time.Time, producer string) (err error) {
	run, err := arc.Begin(ctx, info)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, run.Abort())
		}
	}()
	raw, err := t.Model.Encode()
	if err != nil {
		return err
	}
	sum, err := run.Keep(ctx, archive.Models, raw)
	if err != nil {
		return err
	}
	training := t.Model.Training()
	row := data.Training{Day: data.DayOf(now), TrainedAt: now.UTC().Format(time.RFC3339Nano), Model: sum, Used: t.Used.Name(), Why: t.Why,
		Horizon: int32(t.Model.Horizon()), KnownAt: training.KnownAt.Format(time.RFC3339Nano), Producer: producer}
	for text, value := range map[*string]any{&row.Training: training, &row.Versions: training.Versions} {
		doc, err := json.Marshal(value)
		if err != nil {
			return err
		}
		*text = string(doc)
	}
	if _, err := run.CommitTraining(ctx, row); err != nil {
		return err
	}
	_, err = run.Finish(ctx)
	return err
}

// scoreRows are the scores of a portfolio as the archive keeps them.
func scoreRows(p *reports.Portfolio, producer string) ([]data.Score, error) {
	versions, err := json.Marshal(p.Versions)
	if err != nil {
		return nil, err
	}
	rows, err := churn.Stored(p.Scores)
	for i := range rows {
		rows[i].Versions, rows[i].KnownAt, rows[i].Producer = string(versions), p.KnownAt.UTC().Format(time.RFC3339Nano), producer
	}
	return rows, err
}

// recordScores stores the scores that reports are about to tell, unless the same model has
// made them from the same versions already.
func (r *Recording) recordScores(ctx context.Context) error {
	p := r.digests.Portfolio
	if p.Scores == nil || p.Scores.NumRows() == 0 {
		return nil
	}
	rows, err := scoreRows(p, r.Producer)
	if err != nil {
		return err
	}
	view, err := r.Archive.View(ctx, nil)
	if err != nil {
		return err
	}
	day := rows[0].Day
	for old, err := range view.ScoresIn(ctx, data.Period{From: day, To: day}) {
		if err != nil {
			return err
		}
		if old.Model == rows[0].Model && old.Versions == rows[0].Versions && old.Producer == rows[0].Producer {
			return nil
		}
	}
	_, err = r.run.CommitScores(ctx, day, rows)
	return err
}
