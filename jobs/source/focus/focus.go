// Package focus reads usage and cost from a folder of Azure Cost Management
// exports in FOCUS 1.0, 1.0r2 or 1.2 (preview), as CSV, CSV.gz or Parquet. It
// needs no API credentials.
//
//  1. [Source.Usage] walks the folder in name order. In a folder with a
//     manifest.json only the files that it lists count, and of several runs of
//     one export and month only the newest, since each is a full copy;
//  2. rows of other providers and of days that are not wanted are passed over;
//  3. every other row becomes a [data.Usage] whose Origin carries the billing
//     account as scope, and the names of customer and subscription: FOCUS has
//     no inventory.
package focus

import (
	"context"
	"errors"
	"iter"
	"strings"

	"tidemark/data"
	"tidemark/jobs/source/flatfile"
)

// Options says what to read.
type Options struct {
	Path      string   // folder with the exports; required
	Providers []string // names of the providers wanted, nil for Microsoft, "all" for every one
	Today     data.Day // charges after this day are refused; 0: no limit
	Lenient   bool     // the text NULL is empty, dates may read 2024-09-01 00:00:00
}

// Source reads a folder of exports. It keeps no file open between two readings
// and may be read any number of times.
type Source struct {
	path    string
	lenient bool
	today   data.Day
	wanted  map[string]bool // providers in lower case; nil for all
}

var _ data.UsageSource = (*Source)(nil)

// New checks the options. The folder is looked at when it is read.
func New(o Options) (*Source, error) {
	if o.Path == "" {
		return nil, errors.New("source focus: no folder is given: set path to the folder with the exports")
	}
	s := &Source{path: o.Path, lenient: o.Lenient, today: o.Today, wanted: map[string]bool{}}
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

// Kind is "focus".
func (s *Source) Kind() string { return "focus" }

// Usage yields the charges of the wanted providers. The rows of others are
// counted in the tally by name. A row count that a manifest states and a file
// does not have ends the sequence.
func (s *Source) Usage(ctx context.Context, want *data.Period, tally *data.Tally) iter.Seq2[data.Usage, error] {
	return func(yield func(data.Usage, error) bool) {
		plan, err := s.plan()
		if err != nil {
			yield(data.Usage{}, err)
			return
		}
		for reason, n := range plan.leftOut {
			for range n {
				tally.Skip(reason)
			}
		}
		for _, f := range plan.files {
			tally.TotalBytes += f.size
		}
		r := &reading{source: s, want: want, tally: tally, yield: yield}
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
}

// file yields the rows of one file; false ends the sequence.
func (r *reading) file(ctx context.Context, f exported) bool {
	spec := flatfile.Spec{Columns: columns(), Bytes: func(n int64) { r.tally.Bytes += n }}
	rows := int64(0)
	for row, err := range flatfile.Rows(ctx, f.path, spec) {
		if err != nil {
			r.yield(data.Usage{}, err)
			return false
		}
		rows++
		if !r.row(f.name, row) {
			return false
		}
	}
	if err := f.check(rows); err != nil {
		r.yield(data.Usage{}, err)
		return false
	}
	return true
}

// row yields one row, unless it is to be passed over; false ends the sequence.
func (r *reading) row(file string, row *flatfile.Row) bool {
	usage, wanted := data.Usage{}, true
	if row.Problem() == nil {
		c := charge{Row: row, lenient: r.source.lenient, tally: r.tally}
		usage, wanted = r.usage(c)
	}
	if !wanted {
		return true
	}
	r.tally.Read++
	if p := row.Problem(); p != nil {
		return r.yield(data.Usage{}, &data.RowError{File: file, Line: row.Line, Column: p.Column, Value: p.Value, Reason: p.Reason})
	}
	return r.yield(usage, nil)
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
