package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/reports"
)

func (a *app) ownersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owners",
		Short: "Which sales agent owns which customer",
		Args:  cobra.NoArgs,
		RunE:  needsSubcommand,
	}
	cmd.AddCommand(a.ownersTemplateCommand(), a.ownersCheckCommand())
	return cmd
}

// newest loads the latest known week, for names and monthly costs.
func (a *app) newest(cmd *cobra.Command) (*config, *reports.Portfolio, error) {
	c, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	p, err := a.portfolio(cmd.Context(), c, figures{period: "latest-7d"})
	return c, p, err
}

func (a *app) ownersTemplateCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Print an ownership CSV of the archive's customers, largest first",
		Long: `Print an ownership CSV of the archive's customers, the largest first, with the
owners that are assigned now. Fill in the addresses and save it as ownership.file.
--out replaces a file only when the list is complete; a redirection to the
ownership file itself would empty it before it is read.`,
		Example: "  tidemark owners template --out owners.csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, p, err := a.newest(cmd)
			if err != nil {
				return err
			}
			defer p.Release()
			doc, err := jobs.Figures(p)
			if err != nil {
				return err
			}
			ownership, err := c.currentOwners()
			if err != nil {
				return err
			}
			if out == "" {
				return reports.WriteOwners(a.stdout, doc, ownership)
			}
			var b bytes.Buffer
			if err := reports.WriteOwners(&b, doc, ownership); err != nil {
				return err
			}
			if err := jobs.WriteFile(out, b.Bytes()); err != nil {
				return fmt.Errorf("write %s: %w", out, err)
			}
			a.printf("wrote %s\n", out)
			return nil
		},
	}
	pathFlag(cmd, &out, "out", "`FILE` to write or replace (default: print)")
	return cmd
}

func (a *app) ownersCheckCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "List unassigned customers, unknown customers in the file, and owners who are gone",
		Example: "  tidemark owners check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, p, err := a.newest(cmd)
			if err != nil {
				return err
			}
			defer p.Release()
			ownership, err := c.ownership(c.localDay(a.now()))
			if err != nil {
				return err
			}
			if ownership == nil {
				return usagef("ownership.file is not set; `tidemark owners template` writes one to start from")
			}
			doc, err := jobs.Figures(p)
			if err != nil {
				return err
			}
			to, err := a.recipients(cmd.Context(), c, false)
			if err != nil {
				return err
			}
			found := ownership.Check(slices.Sorted(maps.Keys(doc.Background.Customers)), jobs.WithRole(to.all, reports.SalesAgent))
			if format == "json" {
				err = a.printJSON(ownersReport{found.Unassigned, found.Unknown, found.Departed})
			} else {
				a.printOwners(found, doc.Background.Customers)
			}
			if err != nil {
				return err
			}
			if n := len(found.Unassigned) + len(found.Unknown) + len(found.Departed); n > 0 {
				return a.warn([]string{fmt.Sprintf("findings about owners: %d", n)})
			}
			return nil
		},
	}
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// ownersReport is the JSON of `owners check`.
type ownersReport struct {
	Unassigned []data.CustomerID `json:"unassigned"`
	Unknown    []data.CustomerID `json:"unknown"`
	Departed   []string          `json:"departed"`
}

func (a *app) printOwners(c reports.OwnershipCheck, names map[data.CustomerID]reports.Customer) {
	for _, id := range c.Unassigned {
		a.printf("unassigned  %s  %s\n", printable(string(id)), printable(names[id].Name))
	}
	for _, id := range c.Unknown {
		a.printf("unknown     %s  (in the file, not in the archive)\n", printable(string(id)))
	}
	for _, address := range c.Departed {
		a.printf("departed    %s  (owns customers, is no sales_agent recipient)\n", printable(address))
	}
	if len(c.Unassigned)+len(c.Unknown)+len(c.Departed) == 0 {
		a.printf("every customer has an owner who is a sales agent\n")
	}
}
