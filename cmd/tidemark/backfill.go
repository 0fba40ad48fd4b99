package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tidemark/data"
	"tidemark/jobs/source/partnercenter"
)

// fillFlags say how much billed usage is read beside the newest.
type fillFlags struct {
	months int
	yes    bool
}

func (f *fillFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.months, "backfill", 0, "read the billed usage of so many `MONTHS` back, the last two included (partnercenter; six are usual)")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask before filling back")
}

// confirmBackfill says how much there is to fill back and asks whether to, unless
// --yes was given.
func (a *app) confirmBackfill(cmd *cobra.Command, source data.UsageSource, f fillFlags) error {
	if f.months == 0 {
		return nil
	}
	offers, ok := source.(backfilling)
	switch {
	case f.months < 0 || f.months > 36:
		return usagef("--backfill %d: want 1 to 36 months", f.months)
	case !ok:
		return usagef("--backfill: the source %s has no invoices to read; give it the older files instead", source.Kind())
	}
	o, err := offers.Backfill(cmd.Context())
	if err != nil {
		return a.unfinished(err)
	}
	for _, w := range o.Warnings {
		a.printf("backfill: %s\n", w)
	}
	switch {
	case o.Invoices == 0 && len(o.Warnings) > 0:
		a.printf("backfill: no billed invoice is known that the archive lacks\n")
		return nil
	case o.Invoices == 0:
		a.printf("backfill: no billed invoice that the archive lacks\n")
		return nil
	}
	size := "of unknown size"
	if o.Bytes > 0 {
		size = bytesText(o.Bytes) + " to download"
	}
	from := ""
	if o.From != "" {
		from = " from " + o.From + " on"
	}
	a.printf("backfill: %d billed invoices%s, %d files, %s\n", o.Invoices, from, o.Blobs, size)
	if f.yes {
		return nil
	}
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("--backfill: nobody can be asked here; add --yes to read it")
	}
	a.printf("read it? [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil {
		return err
	}
	if s := strings.ToLower(strings.TrimSpace(answer)); s != "y" && s != "yes" {
		return usagef("nothing was read")
	}
	return nil
}

// offerBackfill tells of billed usage that could be read, after the first
// extraction of a source that has some.
func (a *app) offerBackfill(source data.UsageSource, first bool, f fillFlags) {
	if _, ok := source.(backfilling); ok && first && f.months == 0 {
		a.printf("the archive is new: `tidemark extract --backfill 6` reads the billed usage of the last six months, and says first how much is lacking\n")
	}
}

// backfilling is a source with invoices.
type backfilling interface {
	Backfill(context.Context) (partnercenter.Offer, error)
}

// bytesText is a size for a person.
func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}

// unfinished turns an extraction whose time was over into a warning: what was
// read is kept.
func (a *app) unfinished(err error) error {
	var u *data.Unfinished
	if !errors.As(err, &u) {
		return err
	}
	return a.warn([]string{u.Error()})
}
