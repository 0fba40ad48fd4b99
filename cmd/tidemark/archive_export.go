package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
)

func (a *app) archiveExportCommand() *cobra.Command {
	var period, format, out string
	var asOf moment
	var tables []string
	cmd := &cobra.Command{
		Use:   "export --period P --out DIR",
		Short: "Take rows out of the archive, as Parquet or CSV",
		Long: `Write the rows of a period into a new folder, as they are now or, with --as-of, as
they were known then. As parquet they are the archive's own files, byte for byte,
in folders by day; as csv one file for each table, with the day first. A
manifest.json says from which table versions, with rows and hashes.

In CSV amounts are exact, null is an empty field, and a text that a spreadsheet
would take for a formula stands behind an apostrophe.`,
		Example: `  tidemark archive export --period 2026-10 --format csv --out october
  tidemark archive export --period 2026-W46 --table usage --as-of 2026-11-16 --out week46`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			x := jobs.Export{Format: format, Dir: out}
			for _, name := range tables {
				t := archive.Table(name)
				if !slices.Contains(archive.Tables(), t) {
					return usagef("--table %q: want one of %v", name, archive.Tables())
				}
				x.Tables = append(x.Tables, t)
			}
			if x.Tables == nil {
				x.Tables = archive.Tables()
			}
			return a.export(cmd.Context(), x, period, asOf.at)
		},
	}
	cmd.Flags().StringVar(&period, "period", "", "`PERIOD`, as for metrics")
	asOfFlag(cmd, &asOf)
	cmd.Flags().StringSliceVar(&tables, "table", nil, "only this `TABLE`; may be given several times")
	pathFlag(cmd, &out, "out", "`DIR` to write to, which must not exist yet")
	_ = cmd.MarkFlagRequired("period") // the flags exist
	_ = cmd.MarkFlagRequired("out")
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "parquet", "parquet", "csv")
	return cmd
}

func (a *app) export(ctx context.Context, x jobs.Export, period string, asOf *time.Time) error {
	spec, err := data.ParsePeriod(period)
	if err != nil {
		return usagef("--period: %w", err)
	}
	c, err := a.readingConfig()
	if err != nil {
		return err
	}
	if x.View, err = a.view(ctx, c, asOf); err != nil {
		return err
	}
	if x.Period, err = spec.Resolve(a.today(), jobs.Watermark(x.View, c.settleDays())); err != nil {
		return err
	}
	m, err := x.Export(ctx)
	if err != nil {
		return err
	}
	rows := map[archive.Table]int64{}
	files := map[archive.Table]int{}
	for _, f := range m.Files {
		rows[f.Table] += f.Rows
		files[f.Table]++
	}
	for _, table := range x.Tables {
		a.printf("%-14s version %d: %d rows in %d files\n", table, m.Versions[table], rows[table], files[table])
	}
	a.printf("wrote %s, %s to %s, seal %s\n", x.Dir, m.Period.From, m.Period.To, m.Seal)
	return nil
}
