package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Look into the audit archive",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.archiveLsCommand(), a.archiveShowCommand(), a.archiveVerifyCommand(), a.archiveExportCommand(), a.archivePruneCommand(), a.archiveHoldCommand())
	return cmd
}

// archiveListing is the JSON of `archive ls`.
type archiveListing struct {
	KnownAt *time.Time     `json:"known_at"` // null while the archive is empty
	Seal    string         `json:"seal"`
	Tables  []tableListing `json:"tables"`
}

type tableListing struct {
	Table   archive.Table `json:"table"`
	Version int64         `json:"version"`
	First   *data.Day     `json:"first"` // first and last day with a file, also with zero rows
	Last    *data.Day     `json:"last"`
	Days    int           `json:"days"`
	Files   int           `json:"files"`
	Rows    int64         `json:"rows"`
	Bytes   int64         `json:"bytes"`
	Parts   []partListing `json:"parts,omitempty"` // with --files
}

type partListing struct {
	Day    data.Day `json:"day"`
	Path   string   `json:"path"`
	Rows   int64    `json:"rows"`
	Bytes  int64    `json:"bytes"`
	SHA256 string   `json:"sha256"`
}

func (a *app) archiveLsCommand() *cobra.Command {
	var asOf moment
	var format string
	var files, orphans bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the tables of the archive: versions, days, files, rows, bytes",
		Example: "  tidemark archive ls\n  tidemark archive ls --files --as-of 2026-11-20\n  tidemark archive ls --orphans",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if orphans {
				return a.listOrphans(cmd.Context(), format)
			}
			listing, err := a.listArchive(cmd.Context(), asOf.at, files)
			if err != nil {
				return err
			}
			if format == "json" {
				return a.printJSON(listing)
			}
			if asOf.at != nil && listing.KnownAt == nil {
				a.printf("nothing was in the archive at %s\n", &asOf)
				return nil
			}
			a.printListing(listing)
			return nil
		},
	}
	asOfFlag(cmd, &asOf)
	cmd.Flags().BoolVar(&files, "files", false, "also every file with its hash")
	cmd.Flags().BoolVar(&orphans, "orphans", false, "instead, the objects that nothing refers to")
	cmd.MarkFlagsMutuallyExclusive("files", "orphans")
	cmd.MarkFlagsMutuallyExclusive("as-of", "orphans")
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "table", "table", "json")
	return cmd
}

func (a *app) listArchive(ctx context.Context, asOf *time.Time, files bool) (archiveListing, error) {
	_, arc, err := a.configured(ctx)
	if err != nil {
		return archiveListing{}, err
	}
	view, err := arc.View(ctx, asOf)
	if err != nil {
		return archiveListing{}, err
	}
	listing := archiveListing{Seal: view.Seal(), Tables: []tableListing{}}
	if t := view.KnownAt(); !t.IsZero() {
		listing.KnownAt = &t
	}
	for _, table := range archive.Tables() {
		version := view.Version(table)
		if version < 0 {
			continue
		}
		listing.Tables = append(listing.Tables, listTable(table, version, view.Parts(table), files))
	}
	return listing, nil
}

func listTable(table archive.Table, version int64, parts []archive.Part, files bool) tableListing {
	l := tableListing{Table: table, Version: version, Files: len(parts)}
	days := map[data.Day]bool{}
	for _, p := range parts {
		days[p.Day] = true
		l.Rows += p.Rows
		l.Bytes += p.Size
		if l.First == nil || p.Day < *l.First {
			l.First = new(p.Day)
		}
		if l.Last == nil || p.Day > *l.Last {
			l.Last = new(p.Day)
		}
		if files {
			l.Parts = append(l.Parts, partListing{p.Day, p.Path, p.Rows, p.Size, p.SHA256})
		}
	}
	l.Days = len(days)
	return l
}

func (a *app) printListing(l archiveListing) {
	if l.KnownAt == nil {
		a.printf("the archive is empty\n")
		return
	}
	a.printf("known at %s, seal %s\n", l.KnownAt.Format(time.RFC3339Nano), l.Seal)
	a.printf("%-14s %7s  %-10s  %-10s %6s %6s %12s %12s\n", "table", "version", "first", "last", "days", "files", "rows", "bytes")
	for _, t := range l.Tables {
		first, last := "-", "-"
		if t.First != nil {
			first, last = t.First.String(), t.Last.String()
		}
		a.printf("%-14s %7d  %-10s  %-10s %6d %6d %12d %12d\n", t.Table, t.Version, first, last, t.Days, t.Files, t.Rows, t.Bytes)
		for _, p := range t.Parts {
			a.printf("  %s  %9d rows %9d bytes  %s  %s/%s\n", p.Day, p.Rows, p.Bytes, p.SHA256, t.Table, printable(p.Path))
		}
	}
}
