package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tidemark/data"
)

// recordedFile is a small file that a run record has the hash of.
type recordedFile struct{ sha256, run string }

// readRuns reads the run records. What they say is checked later, but what they
// have the hash of is known from here on.
func (v *verifier) readRuns(ctx context.Context) error {
	for _, key := range v.below(runFolder) {
		b, err := v.read(ctx, key)
		if err != nil {
			return err
		}
		if b == nil {
			continue
		}
		r := storedRecord{sha256: hexSum(b)}
		if err := json.Unmarshal(b, &r.RunRecord); err != nil {
			v.found(key, "is not a run record: %v", err)
			continue
		}
		v.out.Runs++
		switch err := checkSelfHash(b, r.Self); {
		case err != nil:
			v.found(key, "%v", err)
			continue
		case runKey(r.Run) != key:
			v.found(key, "it is the record of run %s", r.Run)
			continue
		}
		v.runs = append(v.runs, r)
		for name, sum := range r.Files {
			v.sums[name] = recordedFile{sum, r.Run}
		}
	}
	return nil
}

// records checks what the run records say, and that every run that committed has
// one.
func (v *verifier) records(ctx context.Context) error {
	for _, r := range v.runs {
		err := v.guarded(runKey(r.Run), func() error { return v.record(ctx, r) })
		if err != nil {
			return err
		}
	}
	v.namedBefore()
	v.loose()
	v.unrecorded()
	return v.quarantined(ctx)
}

// record checks what a run record says about the logs, and the files it names.
func (v *verifier) record(ctx context.Context, r storedRecord) error {
	key := runKey(r.Run)
	for _, t := range Tables() {
		if head, found := r.Heads[t]; found {
			v.head(r, t, head)
		}
	}
	if want := seal(r.Heads); r.Seal != want {
		v.found(key, "its seal is %s, that of its heads is %s", r.Seal, want)
	}
	for t, q := range r.Quarantine {
		if err := v.quarantineFile(ctx, r.Run, t, q.SHA256, "the record of the run", &q.Rows); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if !v.there(name, fmt.Sprintf("run %s wrote it", r.Run)) {
			continue
		}
		b, err := v.read(ctx, name)
		if err != nil {
			return err
		}
		if b != nil {
			v.sum(name, b, r.Files[name], "the record of run "+r.Run)
		}
	}
	return nil
}

// head compares what a run record has as the newest entry of a log with the log.
func (v *verifier) head(r storedRecord, t Table, head Head) {
	if head.Version < 0 {
		v.found(runKey(r.Run), "it has entry %d as the newest of %s", head.Version, t)
		return
	}
	entry, entries := entryKey(t, head.Version), v.tables[t].entries
	if !v.there(entry, fmt.Sprintf("run %s has it as the newest", r.Run)) || head.Version >= int64(len(entries)) {
		return
	}
	v.recorded[t] = max(v.recorded[t], head.Version)
	if sum := entries[head.Version].sha256; sum != head.SHA256 && !v.bad[entry] {
		v.found(entry, "its SHA-256 is %.16s…, run %s has %.16s…", sum, r.Run, head.SHA256)
	}
}

// namedBefore checks that each record that another one names is there and is
// what it was.
func (v *verifier) namedBefore() {
	byRun := map[string]storedRecord{}
	for _, r := range v.runs {
		byRun[r.Run] = r
	}
	for _, r := range v.runs {
		for _, p := range r.Previous {
			key := runKey(p.Run)
			if !v.there(key, fmt.Sprintf("run %s names it", r.Run)) || v.bad[key] {
				continue
			}
			before := byRun[p.Run]
			switch {
			case before.sha256 != p.SHA256:
				v.found(key, "its SHA-256 is %.16s…, run %s has %.16s…", before.sha256, r.Run, p.SHA256)
			case !before.Finished.Before(r.Finished):
				v.found(runKey(r.Run), "it finished no later than run %s, which it follows", p.Run)
			}
		}
	}
}

// maxSkew is by how much the clocks of two machines that write one archive may
// differ without one's run being blamed for what the other's clock says.
const maxSkew = 5 * time.Minute

// loose finds records that none names although a run began after them: a run
// names every record that it finds when it ends.
func (v *verifier) loose() {
	named, newest := map[string]bool{}, storedRecord{}
	for _, r := range v.runs {
		for _, p := range r.Previous {
			named[p.Run] = true
		}
		if r.Started.After(newest.Started) {
			newest = r
		}
	}
	if v.badRecord() {
		return // the one that named it may be among those
	}
	for _, r := range v.runs {
		if !named[r.Run] && newest.Started.After(r.Finished.Add(maxSkew)) {
			v.found(runKey(r.Run), "run %s began after it had finished, and no record names it: it was put here later", newest.Run)
		}
	}
}

// unrecorded finds runs that committed and left no trace but that.
func (v *verifier) unrecorded() {
	known := map[string]bool{}
	for _, r := range v.runs {
		known[r.Run] = true
		for _, id := range r.Unfinished {
			known[id] = true
		}
	}
	for _, t := range Tables() {
		for version, e := range v.tables[t].entries {
			if key := runKey(e.run); e.run != "" && !known[e.run] && !v.bad[key] {
				known[e.run] = true
				v.died = append(v.died, Finding{key, fmt.Sprintf("is missing: run %s committed entry %d of %s and left no record; it still goes on, it died, or its record was removed (the next run notes it)", e.run, version, t)})
			}
		}
	}
	if v.badRecord() || len(v.died) > 1 {
		for i := range v.died {
			v.died[i].Problem += "; a run record that may note it is not what it was or is gone" + restoreFirst
		}
	}
}

// badRecord reports whether a run record has a finding.
func (v *verifier) badRecord() bool {
	for key := range v.bad {
		if strings.HasPrefix(key, runFolder) {
			return true
		}
	}
	return false
}

// quarantined checks the quarantine files that commits name.
func (v *verifier) quarantined(ctx context.Context) error {
	for _, t := range Tables() {
		for _, q := range v.tables[t].quarantine {
			if err := v.quarantineFile(ctx, q.run, t, q.sha256, q.entry, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// quarantineFile checks one quarantine file; rows is nil where nobody says how
// many there are.
func (v *verifier) quarantineFile(ctx context.Context, run string, t Table, sum, who string, rows *int64) error {
	key := "quarantine/" + run + "/" + string(t) + ".jsonl"
	if !v.there(key, who+" has its hash") {
		return nil
	}
	b, err := v.read(ctx, key)
	if b == nil {
		return err
	}
	v.sum(key, b, sum, who)
	if n := int64(bytes.Count(b, []byte("\n"))); rows != nil && n != *rows && !v.bad[key] {
		v.found(key, "it has %d rows, %s says %d", n, who, *rows)
	}
	return nil
}

// named checks that the files which rows name by their hash are kept.
func (v *verifier) named(ctx context.Context) error {
	tables := map[Table]func(context.Context, Part) error{Reports: v.reportFiles, Scores: v.scoreFiles, Trainings: v.trainingFiles}
	for _, t := range []Table{Reports, Scores, Trainings} {
		for _, p := range v.tables[t].parts {
			key := p.key(t)
			if v.bad[key] || v.gone[key] || p.foreign {
				continue
			}
			if err := v.guarded(key, func() error { return v.namedIn(ctx, t, p.Part, tables[t]) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) namedIn(ctx context.Context, t Table, p Part, files func(context.Context, Part) error) error {
	f, err := v.archive.open(ctx, v.archive.layouts[t], p)
	if err == nil {
		err = f.close()
	}
	if err == nil {
		err = files(ctx, p)
	}
	if err != nil {
		return v.unreadable(ctx, p.key(t), err)
	}
	return nil
}

func (v *verifier) reportFiles(ctx context.Context, p Part) error {
	for row, err := range tableRows(ctx, v.one(Reports, p), Reports, codeReport, data.Period{From: p.Day, To: p.Day}) {
		if err != nil {
			return err
		}
		r := row.row
		v.there(Mails.key(r.EMLSHA256), "report "+r.ReportID+" is this mail"+v.doubt(Reports))
		for _, sum := range []*string{r.Config, r.Ownership, r.Recipients} {
			if sum != nil {
				v.there(Inputs.key(*sum), "report "+r.ReportID+" was made with it")
			}
		}
		if r.Model != nil {
			v.model(*r.Model, "report "+r.ReportID+" was scored with it")
		}
	}
	return nil
}

// scoreFiles reads the models' names alone: there is a row for each subscription and day.
func (v *verifier) scoreFiles(ctx context.Context, p Part) error {
	for rec, err := range v.one(Scores, p).Scan(ctx, Scores, data.Period{From: p.Day, To: p.Day}, "model") {
		if err != nil {
			return err
		}
		last, models := "", rec.Column(0)
		for i := range models.Len() {
			if name := models.ValueStr(i); name != last {
				v.model(name, "scores of "+p.Day.String()+" were made with it")
				last = name
			}
		}
	}
	return nil
}

func (v *verifier) trainingFiles(ctx context.Context, p Part) error {
	for row, err := range tableRows(ctx, v.one(Trainings, p), Trainings, codeTraining, data.Period{From: p.Day, To: p.Day}) {
		if err != nil {
			return err
		}
		v.model(row.row.Model, "the training of "+row.row.TrainedAt+" made it")
		v.model(row.row.Used, "since the training of "+row.row.TrainedAt+" it is in use")
	}
	return nil
}

// model checks that a model is kept; the name of one that is not trained is no hash.
func (v *verifier) model(name, because string) {
	if len(name) == 64 && strings.Trim(name, "0123456789abcdef") == "" {
		v.there(Models.key(name), because)
	}
}
