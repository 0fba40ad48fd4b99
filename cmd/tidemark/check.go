package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/jobs/source/partnercenter"
	"tidemark/reports"
	"tidemark/templates"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and everything it names: every problem at once",
		Long: `Check the configuration and everything it names: sources, archive, ownership,
recipients, outbox, schedules, and logs in to the mail relay. It changes and sends
nothing and reports every problem at once, each with what to do.`,
		Example: "  tidemark check\n  tidemark --config /etc/tidemark/tidemark.yaml check",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.check(cmd.Context(), c)
		},
	}
}

// checks is a list of findings being printed.
type checks struct {
	a        *app
	problems []string
	warnings []string
}

func (k *checks) ok(format string, args ...any) { k.a.printf("ok       "+format+"\n", args...) }

// problem tells a problem, once: what several of the keys lack is one thing to mend.
func (k *checks) problem(err error) {
	if text := err.Error(); !slices.Contains(k.problems, text) {
		k.problems = append(k.problems, text)
		k.a.printf("problem  %v\n", err)
	}
}

func (k *checks) warn(format string, args ...any) {
	k.warnings = append(k.warnings, fmt.Sprintf(format, args...))
	k.a.printf("warning  "+format+"\n", args...)
}

func (a *app) check(ctx context.Context, c *config) error {
	k := &checks{a: a}
	k.ok("configuration %s", c.file)
	k.source(ctx, c)
	k.archive(ctx, c)
	k.people(ctx, c)
	k.jobs(c)
	k.relay(ctx, c)
	k.inbox(ctx, c)
	k.answers(c)
	if _, ok := templates.ChartScript(); !ok {
		a.printf("note     charts are missing: this build has no chart script, pages show tables only; build with `make build`\n")
	}
	if len(k.problems) > 0 {
		return usagef("check %s: problems found: %d, see above", c.file, len(k.problems))
	}
	if len(k.warnings) > 0 {
		return errWarnings
	}
	return nil
}

// source tries every source for what it is to give: one that can be probed says
// itself what works, of others the first rows are read.
func (k *checks) source(ctx context.Context, c *config) {
	usage, inventory, err := k.a.sources(c, 0)
	if err != nil {
		k.problem(err)
		return
	}
	if arc, err := k.a.openArchive(ctx, c, true); err == nil {
		_ = tellArchived(ctx, arc, usage) // what is wrong with the archive is told below
	}
	one := inventory != nil && any(inventory) == any(usage)
	probed := k.probe(ctx, usage, partnercenter.Probing{Inventory: one, Usage: true})
	if !probed {
		k.usage(ctx, usage)
	}
	switch {
	case inventory == nil:
		k.ok("inventory is derived from the usage")
	case one && probed:
	case k.probe(ctx, inventory, partnercenter.Probing{Inventory: true}):
	default:
		k.inventory(ctx, inventory)
	}
}

// probe tries a source that reads over a network; false for others.
func (k *checks) probe(ctx context.Context, source any, p partnercenter.Probing) bool {
	s, ok := source.(*partnercenter.Source)
	if ok {
		p.OK = func(found string) { k.ok("source %s", found) }
		p.Warn = func(what string) { k.warn("source %s", what) }
		p.Problem = func(err error) { k.problem(fmt.Errorf("source %w", err)) }
		s.Probe(ctx, p)
	}
	return ok
}

func (k *checks) usage(ctx context.Context, usage data.UsageSource) {
	if d, ok := usage.(interface {
		Describe(ctx context.Context) (found string, warnings []string, err error)
	}); ok {
		found, warnings, err := d.Describe(ctx)
		if err != nil {
			k.problem(fmt.Errorf("source %s: %w", usage.Kind(), err))
			return
		}
		k.ok("source %s: %s", usage.Kind(), found)
		for _, w := range warnings {
			k.warn("source %s: %s", usage.Kind(), w)
		}
	}
	const look = 1000
	n := 0
	for _, err := range usage.Usage(ctx, nil, &data.Tally{}) {
		var bad *data.RowError
		if err != nil && !errors.As(err, &bad) {
			k.problem(err)
			return
		} else if err != nil {
			k.warn("%s usage: %v", usage.Kind(), bad)
		}
		if n++; n >= look {
			break
		}
	}
	k.ok("source %s: usage can be read (%d rows looked at)", usage.Kind(), n)
}

func (k *checks) inventory(ctx context.Context, inventory data.InventorySource) {
	customers := 0
	for _, err := range inventory.Customers(ctx, &data.Tally{}) {
		var bad *data.RowError
		if err != nil && !errors.As(err, &bad) {
			k.problem(err)
			return
		} else if err != nil {
			k.warn("%s customers: %v", inventory.Kind(), bad)
		}
		customers++
	}
	k.ok("source %s: %d customers", inventory.Kind(), customers)
}

func (k *checks) archive(ctx context.Context, c *config) {
	arc, err := k.a.openArchive(ctx, c, true)
	if errors.Is(err, fs.ErrNotExist) {
		k.ok("archive is not there yet; `tidemark extract` makes it")
		return
	} else if err != nil {
		k.problem(err)
		return
	}
	view, err := arc.View(ctx, nil)
	if err != nil {
		k.problem(err)
		return
	}
	if w := jobs.Watermark(view, c.settleDays()); w != nil {
		k.ok("archive: usage complete up to %s, seal %s", *w, view.Seal())
	} else {
		k.ok("archive: empty")
	}
}

func (k *checks) people(ctx context.Context, c *config) {
	to, err := k.a.recipients(ctx, c, false)
	switch {
	case err != nil:
		k.problem(err)
	case to.entra != nil && to.entra.Failed != nil:
		k.problem(fmt.Errorf("recipients.entra: %w; until it can be read those of %s are mailed", to.entra.Failed, to.found.At.Format(time.RFC3339)))
	default:
		k.ok("%d recipients", len(to.all))
		for _, w := range to.warnings {
			k.warn("recipients: %s", w)
		}
		for _, j := range c.Jobs {
			if role := reports.Role(j.Role); j.Do == "digest" && len(jobs.WithRole(to.all, role)) == 0 {
				k.warn("job %s: nobody is %s, so nobody is mailed", j.Name, role)
			}
		}
	}
	switch ownership, err := c.ownership(c.localDay(k.a.now())); {
	case err != nil:
		k.problem(err)
	case ownership == nil:
		k.warn("ownership.file is not set: the digest of sales agents is held")
	default:
		k.ok("ownership %s: %d customers assigned by name", c.Ownership.File, len(ownership.Customers()))
	}
	if _, err := c.logo(); err != nil {
		k.problem(err)
	}
	k.covers(c, to.all)
	if charts, err := newCharts(c); err != nil {
		k.problem(err)
	} else {
		for _, err := range unreadable(charts) {
			k.problem(fmt.Errorf("charts: %w; mails are made without it: mend the file or leave it out of charts.fonts", err))
		}
	}
	if c.Pages.Path != "" {
		dir := c.path(c.Pages.Path)
		for !exists(dir) && dir != filepath.Dir(dir) { // it is made when it is needed
			dir = filepath.Dir(dir)
		}
		if err := writable(dir); err != nil {
			k.problem(fmt.Errorf("pages.path %s is not writable, mails are made without a page: %w", c.Pages.Path, err))
		}
	}
	if out := c.path(c.Mail.Out); out != "" && exists(out) {
		if err := writable(out); err != nil {
			k.problem(fmt.Errorf("mail.out %s is not writable: %w", out, err))
		}
	}
}

// covers warns of covers that let nobody see anything.
func (k *checks) covers(c *config, recipients []reports.Recipient) {
	agent := func(address string) bool {
		return slices.ContainsFunc(recipients, func(r reports.Recipient) bool {
			return r.Role == reports.SalesAgent && strings.EqualFold(r.Address, address)
		})
	}
	for i, cover := range c.Cover {
		from, to := cover.days()
		if !agent(cover.Absent) {
			k.warn("cover[%d]: %s, who is away, is no sales_agent among the recipients", i, cover.Absent)
		}
		if !agent(cover.By) {
			k.warn("cover[%d]: %s, who stands in, is no sales_agent among the recipients: nobody is mailed", i, cover.By)
		}
		for j, other := range c.Cover {
			if start, end := other.days(); j != i && strings.EqualFold(other.Absent, cover.By) && start <= to && from <= end {
				k.warn("cover[%d]: %s, who stands in, is away, too: cover[%d] covers their own customers only", i, cover.By, j)
			}
		}
	}
}

// jobs shows the next five times of every job.
func (k *checks) jobs(c *config) {
	for _, j := range c.Jobs {
		s, err := jobs.ParseSchedule(j.Cron, cmp.Or(j.Timezone, c.Partner.Timezone))
		if err != nil {
			k.problem(fmt.Errorf("job %s: %w", j.Name, err))
			continue
		}
		var next []string
		for at := s.Next(k.a.now()); len(next) < 5; at = s.Next(at) {
			next = append(next, at.Format("Mon 2006-01-02 15:04 MST"))
		}
		does := ""
		if j.Do == "digest" && !j.Send {
			does = "; without send: true it writes mails to " + c.outbox() + " and sends none"
		}
		k.ok("job %s: next due %s%s", j.Name, strings.Join(next, ", "), does)
		if w := s.Warning(); w != "" {
			k.warn("job %s: %s", j.Name, w)
		}
	}
	if len(c.Jobs) > 0 && c.Operators.Webhook == "" && c.Operators.Ping == "" {
		k.warn("alarms have no second way: set operators.webhook or operators.ping; mail cannot report that mail is down")
	}
	if _, err := k.a.alarms(c); err != nil {
		k.problem(err)
	}
}

// relay logs in to the next hop, if there is one, and sends nothing.
func (k *checks) relay(ctx context.Context, c *config) {
	sender, err := k.a.sender(c)
	if err != nil {
		k.problem(err)
		return
	}
	next, ok := sender.(interface {
		Check(context.Context) error
		Close() error
	})
	if !ok {
		return
	}
	if err := errors.Join(next.Check(ctx), next.Close()); err != nil {
		k.problem(fmt.Errorf("mail.%s: %w", c.Mail.Kind, err))
		return
	}
	if c.Mail.Kind == "graph" {
		k.ok("Microsoft Graph lets us send")
		return
	}
	k.ok("relay %s can be reached and lets us in", c.Mail.SMTP.Host)
}

// writable tries to create a file in a folder.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".tidemark-check-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(filepath.Join(dir, filepath.Base(f.Name()))))
}
