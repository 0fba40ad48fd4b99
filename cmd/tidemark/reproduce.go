package main

import (
	"bytes"
	"context"
	"fmt"
	netmail "net/mail"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
)

func (a *app) reproduceCommand() *cobra.Command {
	var explain, format string
	cmd := &cobra.Command{
		Use:   "reproduce REPORT|FILE.eml",
		Short: "Make a mailed report again from the archive, and say whether it is the same",
		Long: `Make a mailed report again from the archive and answer three questions:
are the sealed bytes there and unchanged, are the numbers recomputed from the
archived versions the mailed ones, and has the mail built again the same bytes.
The last is promised for the version that built it: another version that renders
it otherwise answers "n/a", and that is no contradiction.

REPORT is the report id in the footer of the mail; FILE.eml is the mail as
somebody has it, whatever headers it was given on its way. Exit code 13 when an
answer is NO.

With --explain METRIC one number is traced to its files instead: value, table
version, files with hashes, rows, and the DuckDB query that gives it when run in
the archive's folder.`,
		Example: `  tidemark reproduce 3fbq2k7xw5n4u6ha
  tidemark reproduce monday.eml
  tidemark reproduce monday.eml --explain cost`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, arc, err := a.configured(ctx)
			if err != nil {
				return err
			}
			row, given, err := findReport(ctx, arc, args[0])
			if err != nil {
				return err
			}
			if explain != "" {
				return a.explain(ctx, arc, row, explain, format)
			}
			charts, err := newCharts(c)
			if err != nil {
				return err
			}
			r, err := jobs.Reproduce(ctx, arc, row, given, jobs.Maker{Producer: producer(), Charts: charts})
			if err != nil {
				return err
			}
			if format == "json" {
				err = a.printJSON(r)
			} else {
				a.printReproduction(r)
			}
			if err == nil && !r.OK() {
				err = fmt.Errorf("reproduce report %s: %w", r.Report, errNotVerified)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&explain, "explain", "", "trace one number of the mail: `METRIC` is one of "+strings.Join(jobs.Explained(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("explain", cobra.FixedCompletions(jobs.Explained(), cobra.ShellCompDirectiveNoFileComp))
	a.archiveFlag(cmd)
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// findReport finds a report by its id, or by a mail, which it also returns.
func findReport(ctx context.Context, arc *archive.Archive, what string) (row data.Report, given []byte, err error) {
	if !strings.HasSuffix(strings.ToLower(what), ".eml") {
		row, err = jobs.FindReport(ctx, arc, func(r data.Report) bool { return r.ReportID == what })
		if err != nil {
			err = fmt.Errorf("%w; want the report id in a mail's footer, or the mail as FILE.eml", err)
		}
		return row, nil, err
	}
	given, err = os.ReadFile(what)
	if err != nil {
		return row, nil, err
	}
	row, err = reportOfMail(ctx, arc, what, given)
	return row, given, err
}

// reportOfMail finds the report that a mail says it is; file names the mail.
func reportOfMail(ctx context.Context, arc *archive.Archive, file string, raw []byte) (row data.Report, err error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return row, fmt.Errorf("read %s: %w", file, err)
	}
	report, message := m.Header.Get("X-Report-Id"), strings.Trim(m.Header.Get("Message-Id"), "<>")
	if report == "" {
		return row, fmt.Errorf("read %s: it has no header X-Report-Id: it is not a mail of tidemark", file)
	}
	row, err = jobs.FindReport(ctx, arc, func(r data.Report) bool { return r.ReportID == report && r.MessageID == message })
	if err != nil {
		err = fmt.Errorf("report %s of %s: %w: it was made from another archive, or its record was removed", printable(report), file, err)
	}
	return row, err
}

func (a *app) printReproduction(r jobs.Reproduction) {
	a.printf("report %s: %s for %s, %s, known at %s, built by %s\n", r.Report, r.Role, printable(r.Recipient), r.Period, r.Known, r.Producer)
	for _, q := range []struct {
		name string
		jobs.Answer
	}{{"sealed", r.Sealed}, {"numbers", r.Numbers}, {"rendering", r.Rendering}} {
		word := "yes"
		switch {
		case q.NotPromised:
			word = "n/a"
		case !q.OK:
			word = "NO "
		}
		a.printf("%-10s %s  %s\n", q.name, word, printable(q.Text))
		for _, d := range q.Differences {
			a.printf("               %s\n", printable(d))
		}
	}
}

// explain prints where a number of a report comes from.
func (a *app) explain(ctx context.Context, arc *archive.Archive, row data.Report, metric, format string) error {
	if !slices.Contains(jobs.Explained(), metric) {
		return usagef("--explain %q: want one of %s", metric, strings.Join(jobs.Explained(), ", "))
	}
	e, err := jobs.Explain(ctx, arc, row, metric)
	if err != nil {
		return err
	}
	if format == "json" {
		return a.printJSON(e)
	}
	a.printf("report %s, %s, %s to %s\n", e.Report, e.Metric, e.Period.From, e.Period.To)
	if e.Reason != nil {
		a.printf("value      not known: %s\n", printable(*e.Reason))
	}
	for _, r := range e.Result {
		a.printf("value      %s\n", printable(strings.Join(r, "  ")))
	}
	if e.Again != nil {
		a.printf("recomputed it is another value:\n")
	}
	for _, r := range e.Again {
		a.printf("again      %s\n", printable(strings.Join(r, "  ")))
	}
	for _, t := range e.Tables {
		a.printf("from       %s, version %d, %d files, %d rows\n", t.Table, t.Version, len(t.Files), t.Rows)
		for _, f := range t.Files {
			a.printf("  %s  %9d rows  %s\n", f.SHA256, f.Rows, printable(f.Path))
		}
	}
	if e.Query != "" {
		a.printf("\nIn the archive's folder this gives the value (duckdb):\n\n%s\n", printableLines(e.Query))
	}
	return nil
}

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}
