package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data/archive"
)

func (a *app) archiveShowCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "show [RUN | TABLE@VERSION | FILE]",
		Short: "Show a run, a commit or a file: what came when, from where, and what replaced it",
		Long: `Show what the archive knows about a run, a commit (for example usage@12) or a data
file (its path below the archive). Without an argument the newest runs are listed.`,
		Example: `  tidemark archive show
  tidemark archive show 20261120t023001z-4kzq7a
  tidemark archive show usage@12
  tidemark archive show usage/usage_date=2026-11-20/part-tables--eur-20261120t023001z-4kzq7a-0001.parquet`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			_, arc, err := a.configured(ctx)
			if err != nil {
				return err
			}
			shown, err := show(ctx, arc, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printJSON(shown)
			}
			a.printShown(shown)
			return nil
		},
	}
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// shown is the JSON of `archive show`: what was asked for, the rest is empty.
type shown struct {
	Runs    []archive.RunRecord `json:"runs,omitempty"`
	Commits []archive.Commit    `json:"commits,omitempty"`
	File    *shownFile          `json:"file,omitempty"`

	list bool // of runs, not one
}

// shownFile is the life of one data file.
type shownFile struct {
	Key     string          `json:"key"`
	Part    archive.Part    `json:"part"`
	Added   archive.Commit  `json:"added"`
	Removed *archive.Commit `json:"removed"` // null: it is part of the newest version
	Deleted *archive.Commit `json:"deleted"` // null: it is still there
}

func show(ctx context.Context, arc *archive.Archive, what string) (shown, error) {
	runs, err := arc.Runs(ctx)
	if err != nil {
		return shown{}, err
	}
	if what == "" {
		slices.Reverse(runs)
		return shown{Runs: runs[:min(len(runs), 20)], list: true}, nil
	}
	if table, version, found := strings.Cut(what, "@"); found {
		return showCommit(ctx, arc, archive.Table(table), version)
	}
	if table, path, found := strings.Cut(what, "/"); found {
		return showFile(ctx, arc, archive.Table(table), path)
	}
	var out shown
	for _, r := range runs {
		if r.Run == what {
			out.Runs = []archive.RunRecord{r}
		}
	}
	for _, t := range archive.Tables() {
		for c, err := range arc.History(ctx, t) {
			if err != nil {
				return out, err
			}
			if c.Run == what {
				out.Commits = append(out.Commits, c)
			}
		}
	}
	if out.Runs == nil && out.Commits == nil {
		return out, fmt.Errorf("show %q: there is no such run; want a run, a commit such as usage@12, or the path of a file", what)
	}
	return out, nil
}

func showCommit(ctx context.Context, arc *archive.Archive, t archive.Table, version string) (shown, error) {
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil || !slices.Contains(archive.Tables(), t) {
		return shown{}, fmt.Errorf("show %s@%s: want TABLE@VERSION with one of %v", t, version, archive.Tables())
	}
	for c, err := range arc.History(ctx, t) {
		if err != nil {
			return shown{}, err
		}
		if c.Version == n {
			return shown{Commits: []archive.Commit{c}}, nil
		}
	}
	return shown{}, fmt.Errorf("show %s@%d: the table has no such version", t, n)
}

func showFile(ctx context.Context, arc *archive.Archive, t archive.Table, path string) (shown, error) {
	if !slices.Contains(archive.Tables(), t) {
		return shown{}, fmt.Errorf("show %s/%s: want the path of a data file, as `tidemark archive ls --files` lists them", t, path)
	}
	var f *shownFile
	for c, err := range arc.History(ctx, t) {
		if err != nil {
			return shown{}, err
		}
		for _, p := range c.Added {
			if p.Path == path {
				f = &shownFile{Key: string(t) + "/" + path, Part: p, Added: c}
			}
		}
		if f != nil && slices.Contains(c.Removed, path) {
			f.Removed = &c
		}
		if f != nil && slices.ContainsFunc(c.Deleted, func(d archive.Deleted) bool { return d.Key == f.Key }) {
			f.Deleted = &c
		}
	}
	if f == nil {
		return shown{}, fmt.Errorf("show %s/%s: no commit added such a file", t, path)
	}
	return shown{File: f}, nil
}

func (a *app) printShown(s shown) {
	if f := s.File; f != nil {
		a.printFile(f)
		return
	}
	for _, r := range s.Runs {
		if !s.list {
			a.printRecord(r)
			continue
		}
		a.printf("%s  %s  %-8s %s  seal %s\n", r.Finished.Format(time.RFC3339Nano), r.Run, printable(r.Job), printable(r.Source), r.Seal)
	}
	if s.list && len(s.Runs) == 0 {
		a.printf("the archive has no run yet\n")
	}
	for _, c := range s.Commits {
		a.printCommit(c)
	}
}

func (a *app) printRecord(r archive.RunRecord) {
	a.printf("run        %s, %s, source %s, by %s\n", r.Run, printable(r.Job), printable(r.Source), printable(r.Producer))
	a.printf("time       %s to %s\n", r.Started.Format(time.RFC3339Nano), r.Finished.Format(time.RFC3339Nano))
	a.printf("seal       %s\n", r.Seal)
	for _, p := range r.Previous {
		a.printf("follows    %s  %s\n", p.Run, p.SHA256)
	}
	for _, t := range archive.Tables() {
		if h, found := r.Heads[t]; found {
			a.printf("head       %s@%d  %s\n", t, h.Version, h.SHA256)
		}
		if q, found := r.Quarantine[t]; found {
			a.printf("quarantine %s: %d rows  %s\n", t, q.Rows, q.SHA256)
		}
	}
	if r.Refused != "" {
		a.printf("refused    %s\n", printable(r.Refused))
	}
	for _, id := range r.Unfinished {
		a.printf("found      run %s had committed and left no record\n", printable(id))
	}
}

func (a *app) printCommit(c archive.Commit) {
	a.printf("commit     %s@%d  %s, run %s, source %s, known at %s\n", c.Table, c.Version, printable(c.Operation), c.Run, printable(c.Source), c.KnownAt.Format(time.RFC3339Nano))
	a.printf("           %d rows in, %d rows out, %d quarantined; %d files added, %d removed, %d deleted  %s\n", c.RowsIn, c.RowsOut, c.Quarantined, len(c.Added), len(c.Removed), len(c.Deleted), c.SHA256)
	for _, p := range c.Added {
		a.printf("  +  %s  %9d rows  %s  %s/%s%s\n", p.Day, p.Rows, p.SHA256, c.Table, printable(p.Path), sums(p))
	}
	for _, path := range c.Removed {
		a.printf("  -  %s/%s\n", c.Table, printable(path))
	}
	for _, d := range c.Deleted {
		a.printf("  x  %s  %s\n", d.SHA256, printable(d.Key))
	}
}

// sums are the sums of a part's amounts, each in its currency.
func sums(p archive.Part) string {
	var out strings.Builder
	for _, s := range p.Sums {
		fmt.Fprintf(&out, "  %s %s %s", s.Column, s.Amount, printable(s.Currency))
	}
	return out.String()
}

func (a *app) printFile(f *shownFile) {
	p := f.Part
	a.printf("file       %s\n", printable(f.Key))
	a.printf("day        %s, feed %s, billing period %s\n", p.Day, printable(p.Feed.String()), orNone(p.BillingPeriod))
	a.printf("rows       %d in %d bytes%s\n", p.Rows, p.Size, sums(p))
	a.printf("customers  %d expected, %d read, %d failed\n", p.Coverage.Expected, p.Coverage.Read, p.Coverage.Failed)
	a.printf("sha256     %s\ncontent    %s\n", p.SHA256, p.ContentSHA256)
	a.printf("added      %s@%d, run %s, known at %s\n", f.Added.Table, f.Added.Version, f.Added.Run, f.Added.KnownAt.Format(time.RFC3339Nano))
	if f.Removed == nil {
		a.printf("current    yes\n")
	} else {
		a.printf("superseded %s@%d, run %s, known at %s\n", f.Removed.Table, f.Removed.Version, f.Removed.Run, f.Removed.KnownAt.Format(time.RFC3339Nano))
	}
	if f.Deleted != nil {
		a.printf("deleted    %s@%d, run %s, on %s\n", f.Deleted.Table, f.Deleted.Version, f.Deleted.Run, f.Deleted.KnownAt.Format(time.DateOnly))
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return printable(s)
}
