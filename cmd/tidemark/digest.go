package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/ledger"
	"tidemark/reports"
)

func (a *app) reportCommand() *cobra.Command {
	var f figures
	var role, recipient, out string
	var open bool
	cmd := &cobra.Command{
		Use:   "report --role R --period P --out DIR",
		Short: "Preview: write exactly what would be mailed, and send nothing",
		Long: `Write exactly what would be mailed, and send nothing: for each recipient of the
role a sealed .eml, its .html and .txt, the interactive page and the attachment.`,
		Example: `  tidemark report --role sales_agent --recipient anna@partner.example --period latest-7d --out preview
  tidemark report --role global_admin --period 2026-10 --out preview`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var first string
			err := a.writeDigests(cmd.Context(), f, role, recipient, func(*config) string { return out }, func(dir string, b jobs.Built) error {
				if first == "" {
					first = filepath.Join(dir, b.Name+".html")
				}
				return a.writeAll(dir, b)
			}, false)
			if open && first != "" {
				if openErr := openInBrowser(first); openErr != nil {
					a.log().Warn("cannot open a browser", "err", openErr, "file", first)
				}
			}
			return err
		},
	}
	f.add(cmd, "")
	roleFlag(cmd, &role)
	cmd.Flags().StringVar(&recipient, "recipient", "", "only this `ADDRESS`")
	pathFlag(cmd, &out, "out", "`DIR` to write to")
	cmd.Flags().BoolVar(&open, "open", false, "open the first report in the browser")
	_ = cmd.MarkFlagRequired("out") // the flag exists
	return cmd
}

func (a *app) digestCommand() *cobra.Command {
	var f figures
	var role string
	var send bool
	cmd := &cobra.Command{
		Use:   "digest --role R --period P",
		Short: "Build every recipient's mail; with --send deliver it, once",
		Long: `Build every recipient's mail as a sealed .eml in mail.out (default outbox), and
record it in the archive, so that ` + "`tidemark reproduce`" + ` can make it again.

With --send the mails are delivered under the rules of the ledger: whoever was
sent the report of this period already is not mailed again, and what an earlier
run left unsent goes out. Without it nothing is sent. The digest of sales agents is held (exit 14) while ownership is missing,
unreadable or empty.`,
		Example: "  tidemark digest --role sales_agent --period latest-7d\n  tidemark digest --role global_admin --period last-month --send",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if send {
				return a.sendDigests(cmd.Context(), f, role)
			}
			return a.writeDigests(cmd.Context(), f, role, "", (*config).outbox, a.writeEML, true)
		},
	}
	f.add(cmd, "")
	roleFlag(cmd, &role)
	cmd.Flags().BoolVar(&send, "send", false, "deliver the mails")
	return cmd
}

// sendDigests runs an unscheduled digest through the ledger.
func (a *app) sendDigests(ctx context.Context, f figures, roleText string) (err error) {
	role, err := reports.ParseRole(roleText)
	if err != nil {
		return usagef("--role: %w", err)
	}
	m := mailing{role: role, ref: a.today(), zone: time.UTC, send: true, asOf: f.asOf.at}
	if m.period, err = data.ParsePeriod(f.period); err != nil {
		return usagef("--period: %w", err)
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	r, done, err := a.runner(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	job := jobs.Job{Name: "digest-" + string(role), Execute: func(ctx context.Context, run *ledger.Run) (jobs.Outcome, error) {
		return a.runDigest(ctx, c, r.Ledger, run, m)
	}}
	return a.execute(ctx, r, job, a.now().Truncate(time.Second), "", "")
}

func roleFlag(cmd *cobra.Command, role *string) {
	cmd.Flags().StringVar(role, "role", "", "`ROLE`: sales_agent, admin_agent, user_admin or global_admin")
	_ = cmd.MarkFlagRequired("role") // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"sales_agent", "admin_agent", "user_admin", "global_admin"}, cobra.ShellCompDirectiveNoFileComp))
}

// writeDigests builds the digests of a role, writes each with write and, with
// keep, records them in the archive.
func (a *app) writeDigests(ctx context.Context, f figures, roleText, only string, out func(*config) string, write func(string, jobs.Built) error, keep bool) error {
	role, err := reports.ParseRole(roleText)
	if err != nil {
		return usagef("--role: %w", err)
	}
	c, arc, err := a.configured(ctx)
	if err != nil {
		return err
	}
	f.trend = true
	p, err := a.portfolioOf(ctx, c, arc, f)
	if err != nil {
		return err
	}
	defer p.Release()
	to, err := a.recipients(ctx, c, false)
	if err != nil {
		return err
	}
	d, err := a.digests(ctx, c, arc, p, to, role)
	if err != nil {
		return err
	}
	d.Only = only
	var recorder jobs.Recorder
	if keep {
		recorder = a.recorder(c, arc, "digest", nil)
	}
	return a.writeBuilt(ctx, d, out(c), write, recorder)
}

// writeBuilt writes and records what can be built. A recipient whose digest
// fails never keeps another from getting theirs.
func (a *app) writeBuilt(ctx context.Context, d jobs.Digests, dir string, write func(string, jobs.Built) error, recorder jobs.Recorder) (err error) {
	rec := recorder.Begin(d)
	defer func() { err = errors.Join(err, rec.Abort()) }()
	var failed []error
	var skipped []string
	for b, err := range d.Build(ctx) {
		switch {
		case err != nil:
			failed = append(failed, err)
		case b.Skipped != "":
			skipped = append(skipped, fmt.Sprintf("%s gets no mail: %s", b.Recipient.Address, b.Skipped))
		default:
			if err := errors.Join(rec.Add(ctx, b), write(dir, b)); err != nil {
				failed = append(failed, err)
				continue
			}
			a.printf("%s\n    %s\n", filepath.Join(dir, b.Name+".eml"), b.Digest.Subject)
		}
	}
	if err := rec.Finish(ctx); err != nil {
		failed = append(failed, err)
	}
	a.warnOfMissing(d.Charts)
	if len(failed) > 0 {
		_ = a.warn(slices.Concat(d.Without, rec.Unwritten)) // the failure says more
		return errors.Join(failed...)
	}
	return a.warn(slices.Concat(d.Without, rec.Unwritten, skipped))
}

// writeEML writes the sealed message only.
func (a *app) writeEML(dir string, b jobs.Built) error {
	return writeFiles(dir, map[string][]byte{b.Name + ".eml": b.EML})
}

// writeAll writes everything that belongs to a digest.
func (a *app) writeAll(dir string, b jobs.Built) error {
	return writeFiles(dir, map[string][]byte{
		b.Name + ".eml": b.EML, b.Name + ".html": b.Rendered.Preview(), b.Name + ".txt": []byte(b.Rendered.Text),
		b.Name + ".csv": b.Rendered.CSV, b.Name + ".page.html": b.Rendered.Page,
	})
}

// writeFiles writes each file under its final name only when it is complete.
func writeFiles(dir string, files map[string][]byte) error {
	for name, content := range files {
		if err := jobs.WriteFile(filepath.Join(dir, name), content); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}
