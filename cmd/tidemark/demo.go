package main

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/source/sample"
	"tidemark/reports"
)

func (a *app) demoCommand() *cobra.Command {
	out := "out"
	cmd := &cobra.Command{
		Use:   "demo [--out DIR]",
		Short: "Run the whole pipeline on a built-in sample: archive, metrics, every role's mail",
		Long: `Run the whole pipeline on a built-in sample partner: extract, archive, roll up,
compute, score, and write every role's mail as .eml, .html and .txt, with the
interactive page and the attachment. It needs no configuration, no network and
no mail server, and sends nothing.`,
		Example: "  tidemark demo\n  tidemark demo --out /tmp/tidemark",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), out)
		},
	}
	pathFlag(cmd, &out, "out", "`DIR` to write to")
	return cmd
}

// demoRecipients are the people of the sample partner.
func demoRecipients() []reports.Recipient {
	return []reports.Recipient{
		{Address: "anna@partner.example", Name: "Anna de Vries", Role: reports.SalesAgent, Locale: "nl"},
		{Address: "bram@partner.example", Name: "Bram Jansen", Role: reports.SalesAgent, Locale: "en"},
		{Address: "ada@partner.example", Name: "Ada Admin", Role: reports.AdminAgent, Locale: "en"},
		{Address: "umut@partner.example", Name: "Umut Kaya", Role: reports.UserAdmin, Locale: "nl"},
		{Address: "gerda@partner.example", Name: "Gerda Global", Role: reports.GlobalAdmin, Locale: "en"},
	}
}

func (a *app) demo(ctx context.Context, out string) error {
	arc, err := a.openArchiveAt(ctx, filepath.Join(out, "archive"))
	if err != nil {
		return err
	}
	source, err := sample.New(sample.Options{To: a.today() - 1})
	if err != nil {
		return err
	}
	x := jobs.Extract{Archive: arc, Usage: source, Inventory: source, InventoryDay: a.today(), Run: a.newRunID(), Started: a.now()}
	bar := a.progress("extract")
	x.Progress = bar.update
	extracted, err := x.Extract(ctx)
	bar.done()
	if err != nil {
		return err
	}
	a.printExtracted(extracted)
	view, err := arc.View(ctx, nil)
	if err != nil {
		return err
	}
	latest, err := data.ParsePeriod("latest-7d")
	if err != nil {
		return err
	}
	p, err := jobs.Load(ctx, view, jobs.Query{Period: latest, Ref: a.today(), SettleDays: defaultSettleDays, Trend: true})
	if err != nil {
		return err
	}
	defer p.Release()
	return a.demoMails(ctx, p, out, a.recorder(&config{}, arc, "demo", nil))
}

// demoMails writes and records every role's mails and prints one finding for
// each.
func (a *app) demoMails(ctx context.Context, p *reports.Portfolio, out string, recorder jobs.Recorder) error {
	ownership, err := demoOwnership(p)
	if err != nil {
		return err
	}
	charts, err := newCharts(&config{})
	if err != nil {
		return err
	}
	d := jobs.Digests{Charts: charts, Portfolio: p, Recipients: demoRecipients(), Ownership: ownership,
		Partner: reports.Partner{Name: "Polder Cloud", Accent: "#0b6e4f", Locale: "en"},
		From:    netmail.Address{Name: "Polder Cloud", Address: "usage@partner.example"}, Date: a.now().UTC()}
	var failed []error
	for _, role := range reports.Roles() {
		d.Role = role
		recorder.Run.ID = a.newRunID()
		rec := recorder.Begin(d)
		a.printf("\n%s\n", role)
		for b, err := range d.Build(ctx) {
			if err == nil && b.Skipped == "" {
				err = errors.Join(rec.Add(ctx, b), a.writeAll(out, b))
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
			base := filepath.Join(out, b.Name)
			a.printf("  %s\n    %s.eml  .html  .txt  .csv  .page.html\n", b.Digest.Subject, base)
		}
		if err := rec.Finish(ctx); err != nil {
			failed = append(failed, err, rec.Abort())
		}
	}
	a.printf("\nopen %s in a browser, and %s in a mail program\n", filepath.Join(out, "sales_agent-anna-partner.example.html"), filepath.Join(out, "sales_agent-anna-partner.example.eml"))
	return errors.Join(failed...)
}

// demoOwnership splits the customers between the two sales agents and leaves
// one in fifteen unassigned.
func demoOwnership(p *reports.Portfolio) (*reports.Ownership, error) {
	ids, err := jobs.CustomerIDs(p)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("customer_id,address\n")
	for i, id := range ids {
		switch {
		case i%15 == 14:
			fmt.Fprintf(&b, "%s,\n", id)
		case i%2 == 0:
			fmt.Fprintf(&b, "%s,anna@partner.example\n", id)
		default:
			fmt.Fprintf(&b, "%s,bram@partner.example\n", id)
		}
	}
	return reports.ReadOwnership("demo owners", strings.NewReader(b.String()))
}

// exists reports whether there is a file or folder of that name.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
