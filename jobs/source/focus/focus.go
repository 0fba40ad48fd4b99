// Package focus reads usage and cost from Azure Cost Management exports in FOCUS
// 1.0, 1.0r2 or 1.2, as CSV, CSV.gz or Parquet, in a folder or in an Azure Blob
// container.
//
//  1. [Source.Usage] lists the store and reads every manifest.json. Each names
//     the files of one run, a full copy of one scope and month: only the newest
//     run whose files are all there counts. Without any manifest every file does;
//  2. rows of other providers and of days that are not wanted are passed over;
//  3. every other row becomes a [data.Usage] whose Origin carries the export's
//     scope, else the billing account, and the names of customer and
//     subscription: FOCUS has no inventory;
//  4. a charge that two exports deliver ends the reading: it would count twice;
//  5. days for which the export of one scope is behind that of another are told,
//     so that they do not count as known.
package focus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// Options says what to read.
type Options struct {
	Path      string    // folder with the exports
	Container Container // or the container
	Providers []string  // names of the providers wanted, nil for Microsoft, "all" for every one
	Exclude   []string  // ids of customers whose exports are not waited for
	Today     data.Day  // charges after this day are refused; 0: no limit
	Lenient   bool      // the text NULL is empty, dates may read 2024-09-01 00:00:00
}

// Source reads a folder of exports. It keeps no file open between two readings
// and may be read any number of times.
type Source struct {
	store   store
	lenient bool
	today   data.Day
	wanted  map[string]bool // providers in lower case; nil for all

	excluded map[string]bool
	archived map[string]data.Restated // what the archive has, by the key of a run
}

var _ data.UsageSource = (*Source)(nil)

// New checks the options. The store is looked at when it is read.
func New(o Options) (*Source, error) {
	var from store = localFolder(o.Path)
	switch {
	case o.Path != "" && o.Container.URL != "":
		return nil, errors.New("source focus: path and container are both given: take one of them away")
	case o.Container.URL != "":
		b, err := newBlobs(o.Container)
		if err != nil {
			return nil, fmt.Errorf("source focus: %w", err)
		}
		from = b
	case o.Path == "":
		return nil, errors.New("source focus: nothing is given to read: set path to the folder with the exports, or container to their container")
	}
	s := &Source{store: from, lenient: o.Lenient, today: o.Today, wanted: map[string]bool{}, excluded: map[string]bool{}}
	for _, id := range o.Exclude {
		s.excluded[data.CleanID(id)] = true
	}
	delete(s.excluded, "") // no customer: a wider scope is of none
	if o.Providers == nil {
		s.wanted["microsoft"] = true
	}
	for _, p := range o.Providers {
		s.wanted[data.CleanID(p)] = true
	}
	if s.wanted["all"] {
		s.wanted = nil
	} else if len(s.wanted) == 0 || s.wanted[""] {
		return nil, errors.New("source focus: providers holds no name: leave it out for Microsoft, or list names, or all")
	}
	return s, nil
}

// Archived tells the source what the archive has of its scopes and months, so that
// none goes back to an older run.
func (s *Source) Archived(has []data.Restated) {
	s.archived = map[string]data.Restated{}
	for _, r := range has {
		s.archived[keyOf(r.Scope, r.Period)] = r
	}
}

// hasRuns reports whether the archive has usage of runs, which say when they were made.
func (s *Source) hasRuns() bool {
	for _, has := range s.archived {
		if !has.AsOf.IsZero() {
			return true
		}
	}
	return false
}

// Kind is "focus".
func (s *Source) Kind() string { return "focus" }

// Usage yields the charges of the wanted providers. The rows of others are
// counted in the tally by name. A row count that a manifest states and a file
// does not have ends the sequence.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		plan, err := s.plan(ctx)
		if err != nil {
			yield(data.Usage{}, err)
			return
		}
		plan.beyond(want)
		for reason, n := range plan.leftOut {
			for range n {
				tally.Skip(reason)
			}
		}
		for _, f := range plan.files {
			tally.TotalBytes += f.size
		}
		tally.Warnings = append(tally.Warnings, plan.warnings...)
		tally.Notes = append(tally.Notes, plan.notes...)
		tally.Covers, tally.Restates, tally.Awaits = plan.covers, plan.restates(), plan.awaits
		r := &reading{source: s, want: want, tally: tally, yield: yield, owners: owners{}, warned: map[string]bool{}}
		for _, f := range plan.files {
			if !r.file(ctx, f) {
				return
			}
		}
	}
}

// reading is one pass over the files.
type reading struct {
	source *Source
	want   *data.Period
	tally  *data.Tally
	yield  func(data.Usage, error) bool
	others int // distinct reasons told so far for other providers
	owners owners
	warned map[string]bool
}

// warnOnce tells something that may hold for millions of rows.
func (r *reading) warnOnce(text string) {
	if !r.warned[text] {
		r.warned[text] = true
		r.tally.Warnings = append(r.tally.Warnings, text)
	}
}

// file yields the rows of one file; false ends the sequence.
func (r *reading) file(ctx context.Context, p exported) bool {
	err := ctx.Err()
	more := false
	if err == nil {
		var path string
		var done func() error
		if path, done, err = r.source.store.local(ctx, p.object); err == nil {
			more, err = r.rows(ctx, p, path)
			err = errors.Join(err, done())
		}
	}
	if err != nil {
		r.yield(data.Usage{}, err)
		return false
	}
	return more
}

// rows yields the rows of a file that lies at path; false for more ends the
// sequence. The error is still to be yielded.
func (r *reading) rows(ctx context.Context, p exported, path string) (more bool, err error) {
	place := r.source.store.place(p.name)
	spec := flatfile.Spec{Name: place, Columns: columns(), Bytes: func(n int64) { r.tally.Bytes += n }}
	rows := int64(0)
	for row, err := range flatfile.Rows(ctx, path, spec) {
		if err != nil {
			return false, err
		}
		rows++
		if more, err := r.row(p, row); err != nil || !more {
			return false, err
		}
	}
	if err := p.check(place, rows); err != nil {
		return true, err
	}
	if c := p.manifest; c != nil && c.files == 0 && c.rows == 0 {
		text := fmt.Sprintf("%s has no row: what the archive has of its month stays", p.run.describe())
		if _, archived := r.source.archived[p.run.key()]; c.want != nil && !archived { // as it states, e.g. of a month that has just begun
			r.tally.Notes = append(r.tally.Notes, text)
		} else {
			r.warnOnce(text)
		}
	}
	return true, nil
}

// row yields one row, unless it is to be passed over; false for more ends the
// sequence. The error is still to be yielded.
func (r *reading) row(p exported, row *flatfile.Row) (more bool, err error) {
	usage, wanted := data.Usage{}, true
	if row.Problem() == nil {
		c := charge{Row: row, run: p.run, lenient: r.source.lenient, tally: r.tally, warn: r.warnOnce}
		usage, wanted = r.usage(c)
	}
	if !wanted {
		return true, nil
	}
	if bad := row.Problem(); bad != nil {
		r.tally.Read++
		e := &data.RowError{File: p.name, Line: row.Line, Column: bad.Column, Value: bad.Value, Reason: bad.Reason}
		if day, err := parseDay(row.Text(colStart), r.source.lenient); bad.Column != "" && err == nil && day.Implausible(r.source.today) == "" {
			e.Day = &day
		}
		return r.yield(data.Usage{}, e), nil
	}
	if err := r.owners.add(&usage, p.from(), p.run == nil); err != nil {
		return false, err
	}
	r.tally.Read++
	return r.yield(usage, nil), nil
}

// usage makes a usage row of a charge; wanted is false for one to be passed over.
func (r *reading) usage(c charge) (u data.Usage, wanted bool) {
	provider := c.text(colProvider)
	ours := r.source.wanted == nil || r.source.wanted[strings.ToLower(provider)]
	if !ours && c.Problem() != nil {
		return u, true // a provider that cannot be read may be ours
	}
	day, err := parseDay(c.Text(colStart), c.lenient)
	if err == nil && r.want != nil && !r.want.Contains(day) {
		return u, false
	}
	if !ours {
		r.leaveOut(provider)
		return u, false
	}
	if err != nil {
		c.Fail(colStart, err.Error())
		return u, true
	}
	if why := day.Implausible(r.source.today); why != "" {
		c.Fail(colStart, why)
		return u, true
	}
	return c.usage(day), true
}

// maxProviders bounds how many other providers are told apart: their names come
// from the file.
const maxProviders = 100

func (r *reading) leaveOut(provider string) {
	reason := "provider " + flatfile.Shorten(provider)
	if provider == "" {
		reason = "no provider"
	}
	if _, known := r.tally.LeftOut[reason]; !known {
		if r.others++; r.others > maxProviders {
			reason = "other providers"
		}
	}
	r.tally.Skip(reason)
}
