package focus

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// plan is what a reading of the store takes.
type plan struct {
	files    []exported
	leftOut  map[string]int // files passed over, by reason
	warnings []string
	runs     []*run                   // that count
	covers   []data.Period            // the runs' months, in order; nil where one does not say its own
	awaits   []data.Awaited           // days for which a scope is behind the others
	notes    []string                 // worth telling, with nothing that must be done
	archived map[string]data.Restated // what the archive has, by the key of a run
	lost     []lost                   // what may be of a newer run than those that can be read
	passed   map[string]bool          // keys of which the archive has something newer than every run: none is read
	horizon  data.Day                 // last day that a run says it has; 0 where none says so
}

// exported is one file of an export.
type exported struct {
	object
	run      *run     // nil for a file without manifest
	rows     *int64   // rows that the manifest states for it
	manifest *counted // rows that the manifest states in all; nil for none
}

// from names where the file comes from, as far as rows of one charge may come
// from one such place only.
func (p exported) from() string {
	switch {
	case p.run == nil:
		return "folder " + path.Dir(p.name)
	case p.run.scope == "" || p.run.month == 0:
		return p.run.place
	}
	return "the export of " + p.run.scope
}

// counted compares the rows of a manifest's files with the number it states.
type counted struct {
	place string
	want  *int64
	files int // files still to be read
	rows  int64
}

// check compares the rows read of the file with what its manifest states, and
// the rows of all files of the manifest once the last of them is read.
func (p exported) check(place string, rows int64) error {
	if p.rows != nil && *p.rows != rows {
		return fmt.Errorf("%s: %d rows instead of the %d that its manifest states: copy the export again", place, rows, *p.rows)
	}
	c := p.manifest
	if c == nil {
		return nil
	}
	c.rows += rows
	c.files--
	if c.want != nil && c.files == 0 && c.rows != *c.want {
		return fmt.Errorf("%s: its files hold %d rows instead of the %d that it states: copy the export again", c.place, c.rows, *c.want)
	}
	return nil
}

// plan lists the store and decides which files count: those of the newest whole
// run of each scope and month or, where no manifest is at all, every one.
func (s *Source) plan(ctx context.Context) (*plan, error) {
	all, err := s.store.list(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string]object{}
	var runs []*run
	var foreign []string
	for _, o := range all {
		switch {
		case strings.EqualFold(path.Base(o.name), manifestName):
			r, err := s.readRun(ctx, o)
			if err != nil {
				return nil, err
			}
			if r.isNone() {
				foreign = append(foreign, r.place)
				continue
			}
			runs = append(runs, r)
		case flatfile.Form(o.name) != "":
			files[o.name] = o
		}
	}
	slices.SortFunc(runs, func(a, b *run) int { return cmp.Compare(a.dir, b.dir) })
	p := &plan{leftOut: map[string]int{}, archived: s.archived, passed: map[string]bool{}}
	if len(foreign) > 0 {
		p.notes = append(p.notes, "manifest.json of something that is no export, left out: "+several(foreign))
	}
	if len(runs) == 0 {
		if s.hasRuns() {
			return nil, fmt.Errorf("%s holds no manifest, and the archive has usage by runs of exports, which have one: what lies there is not all of them, so nothing is read; copy the exports again with their manifest.json, or run again once they have come", s.store.place(""))
		}
		for _, o := range files {
			p.files = append(p.files, exported{object: o})
		}
	} else if err := p.choose(runs, files, s.excluded); err != nil {
		return nil, err
	}
	if len(p.files) == 0 && len(p.runs) == 0 {
		if len(p.warnings) == 0 {
			return nil, p.nothing(s.store.place(""))
		}
		p.covers = []data.Period{} // what there is is still to come whole: no day is known by it
	}
	slices.SortFunc(p.files, func(a, b exported) int { return cmp.Compare(a.name, b.name) })
	return p, nil
}

// nothing explains why no file counts.
func (p *plan) nothing(where string) error {
	for reason := range p.leftOut {
		return fmt.Errorf("%s holds no export in FOCUS format (%s): create an export of type FocusCost", where, reason)
	}
	return fmt.Errorf("%s holds no export: put .csv, .csv.gz or .parquet files there", where)
}

// choose takes the files of the runs that count, and tells what is passed over.
func (p *plan) choose(runs []*run, files map[string]object, excluded map[string]bool) error {
	sizes := statesGzipSizes(runs, files)
	why := map[string]string{} // why a file is passed over
	copies := map[string][]*run{}
	for _, r := range runs {
		r.resolve(files, sizes)
	}
	p.lose(runs, files)
	for i, r := range runs {
		key := cmp.Or(r.key(), fmt.Sprint("run ", i))
		switch {
		case r.Export.Type != "" && !strings.EqualFold(r.Export.Type, "FocusCost"):
			r.because(why, "file of another dataset, "+flatfile.Shorten(r.Export.Type))
		case r.odd != "":
			p.warn("%s is left out: %s, not one month: export by month, e.g. month to date", r.describe(), r.odd)
			r.because(why, "file of a run that is not of one month")
		default:
			copies[key] = append(copies[key], r)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(copies)) {
		if err := p.newest(copies[key], why, excluded[customerOf(copies[key][0].scope)]); err != nil {
			return err
		}
	}
	if err := p.take(); err != nil {
		return err
	}
	p.count(runs, files, why)
	p.span()
	p.await(p.reaches(slices.Collect(maps.Values(copies))), excluded)
	return nil
}

func (r *run) because(why map[string]string, reason string) {
	for _, f := range r.files {
		why[f.name] = reason
	}
}

func (p *plan) warn(format string, args ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, args...))
}

// newest takes the newest whole run of several copies of one scope and month. Nobody need
// mend those of a customer who is excluded.
func (p *plan) newest(copies []*run, why map[string]string, excluded bool) error {
	for _, r := range copies {
		if len(copies) > 1 && r.submitted.IsZero() {
			return fmt.Errorf("%s does not say when it was submitted, and %s is of the same export and month: keep the newer one only",
				r.place, other(copies, r).place)
		}
	}
	for _, r := range copies {
		if len(copies) > 1 && len(r.Blobs) == 0 { // alone it may be that of a month that has just begun
			r.note("lists no file")
		}
	}
	slices.SortFunc(copies, func(a, b *run) int { // newest first
		return cmp.Or(b.submitted.Compare(a.submitted), cmp.Compare(b.Run.ID, a.Run.ID), cmp.Compare(b.dir, a.dir))
	})
	at := slices.IndexFunc(copies, func(r *run) bool { return r.unready == "" })
	passed, by := false, ""
	if at >= 0 {
		passed, by = p.archivedAfter(copies[at], at > 0)
		p.passed[copies[at].key()] = passed
	}
	for i, r := range copies {
		switch {
		case i == at && !passed:
			p.runs = append(p.runs, r)
		case at >= 0 && i >= at:
			r.because(why, "file of an older run of its export")
		default:
			r.because(why, "file of a run that is not whole")
		}
	}
	switch newest := copies[0]; {
	case excluded:
	case passed && at > 0:
		p.warn("%s is not whole: it %s; %s stays as it is archived, which is from a newer run than that of %s: copy it again", newest.describe(), newest.unready,
			period(newest.month), stamp(copies[at].submitted))
	case passed && by != "":
		p.warn("%s is older than what the archive has of %s, and %s cannot be told to be of any run: it may be the newer one; %s stays as it is archived: copy the newer run again, or run the export again",
			newest.describe(), period(newest.month), by, period(newest.month))
	case passed:
		p.warn("%s is older than what the archive has of %s, with days that come after it; they stay as they are archived: copy the newer run again, or run the export again", newest.describe(), period(newest.month))
	case at > 0:
		p.warn("%s is not whole yet: it %s; the run of %s counts until it is", newest.describe(), newest.unready, stamp(copies[at].submitted))
	case at < 0 && newest.month == 0:
		p.warn("%s is not whole: %s", newest.describe(), newest.unready)
	case at < 0:
		what := "nothing of %s is archived yet"
		if _, archived := p.archived[newest.key()]; archived {
			what = "%s stays as it is archived"
		}
		p.warn("%s is not whole: it %s; "+what+": copy it again", newest.describe(), newest.unready, period(newest.month))
	}
	return nil
}

// archivedAfter reports whether the archive has a newer run of the same scope and
// month: going back to this one would take away what that had. Without a newer
// run in the store, which somebody may have taken out, it does so only where the
// archive has days that come after this one's. What is in the store and may be the
// newer run is named.
func (p *plan) archivedAfter(r *run, newer bool) (after bool, by string) {
	has, found := p.archived[r.key()]
	switch {
	case !found || r.key() == "" || r.submitted.IsZero():
		return false, ""
	case has.AsOf.IsZero(): // archived by a version that did not note it
		return has.Last > data.DayOf(r.submitted.UTC()), ""
	case !has.AsOf.After(r.submitted):
		return false, ""
	case newer || has.Last > r.through():
		return true, ""
	}
	if at := slices.IndexFunc(p.lost, func(l lost) bool { return l.mayBe(r.month) }); at >= 0 {
		return true, p.lost[at].name
	}
	return false, ""
}

// stamp is a time in messages.
func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

func other(copies []*run, r *run) *run {
	if copies[0] == r {
		return copies[1]
	}
	return copies[0]
}

// take takes the files of the runs that count.
func (p *plan) take() error {
	taken := map[string]*run{}
	for _, r := range p.runs {
		for _, f := range r.files {
			if by := taken[f.name]; by != nil {
				return fmt.Errorf("%s lists %q, which %s lists as well: copy the exports again", r.place, f.name, by.place)
			}
			taken[f.name] = r
			p.files = append(p.files, f)
		}
	}
	return nil
}

// count counts what is passed over. A file without manifest beside runs that have
// one belongs to a run whose manifest is still to come.
func (p *plan) count(runs []*run, files map[string]object, why map[string]string) {
	dirs := map[string]bool{}
	for _, r := range runs {
		dirs[r.dir] = true
	}
	taken := map[string]bool{}
	for _, f := range p.files {
		taken[f.name] = true
	}
	alone := 0
	example := ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case taken[name]:
		case why[name] != "":
			p.leftOut[why[name]]++
		case governed(dirs, name):
			p.leftOut["file that its manifest does not list"]++
		default:
			p.leftOut["file without a manifest"]++
			alone, example = alone+1, cmp.Or(example, name)
		}
	}
	if alone > 0 {
		p.warn("files without a manifest beside runs that have one are left out: %d, %s for one; their run is not whole yet, or they do not belong there", alone, example)
	}
}

// governed reports whether a manifest stands in the file's folder or above it.
func governed(dirs map[string]bool, name string) bool {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if dirs[dir] {
			return true
		}
		if dir == "." {
			return false
		}
	}
}

// span says which days the runs cover, if each says which month it is of.
func (p *plan) span() {
	months := map[data.Day]bool{}
	for _, r := range p.runs {
		if r.month == 0 {
			return
		}
		months[r.month] = true
	}
	for _, first := range slices.Sorted(maps.Keys(months)) {
		p.covers = append(p.covers, data.MonthOf(first))
	}
}

// restates is what the runs that count are full copies of.
func (p *plan) restates() []data.Restated {
	var all []data.Restated
	for _, r := range p.runs {
		if r.scope != "" && r.month != 0 {
			all = append(all, data.Restated{Scope: r.scope, Period: period(r.month), AsOf: r.submitted})
		}
	}
	return all
}

// period is the billing period that a month is.
func period(month data.Day) string { return month.Time().Format("2006-01") }

// Describe says what the source would read, and what somebody should look at.
func (s *Source) Describe(ctx context.Context) (found string, warnings []string, err error) {
	p, err := s.plan(ctx)
	if err != nil {
		return "", nil, err
	}
	size := int64(0)
	for _, f := range p.files {
		size += f.size
	}
	found = fmt.Sprintf("%s: %d files with %s", s.store.place(""), len(p.files), megabytes(size))
	switch {
	case len(p.runs) == 0 && len(p.files) == 0:
		return s.store.place("") + ": no run that is whole", p.warnings, nil
	case len(p.runs) == 0:
		return found + ", no manifest", p.warnings, nil
	}
	scopes := map[string]bool{}
	for _, r := range p.runs {
		scopes[cmp.Or(r.scope, r.Export.Name, r.dir)] = true
	}
	found += fmt.Sprintf(", of %d runs of %d scopes", len(p.runs), len(scopes))
	if n := len(p.covers); n > 0 {
		found += fmt.Sprintf(", %s to %s", p.covers[0].From.Time().Format("2006-01"), p.covers[n-1].To.Time().Format("2006-01"))
	}
	for _, note := range p.notes {
		found += "; " + note
	}
	passed := 0
	for _, n := range p.leftOut {
		passed += n
	}
	if passed > 0 {
		found += fmt.Sprintf("; passed over: %d files of older runs and the like", passed)
	}
	return found, p.warnings, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
