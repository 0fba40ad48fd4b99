package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/reports/mail"
	"tidemark/templates"
)

// defaultFrom stands in where no mail.from is set; nothing can be sent from it.
const defaultFrom = "tidemark <tidemark@localhost.localdomain>"

// recipients returns the recipients that the configuration itself names, each once
// for a role.
func (c *config) recipients() ([]reports.Recipient, error) {
	list := c.Recipients.List
	if c.Recipients.File != "" {
		file, err := readRecipients(c.path(c.Recipients.File))
		if err != nil {
			return nil, err
		}
		for _, r := range file {
			if !slices.ContainsFunc(c.Recipients.List, func(o recipientConfig) bool { return o.Role == r.Role && mail.Key(o.Address) == mail.Key(r.Address) }) {
				list = append(list, r)
			}
		}
	}
	all := make([]reports.Recipient, 0, len(list))
	for _, r := range list {
		role, err := reports.ParseRole(r.Role)
		if err != nil {
			return nil, err
		}
		all = append(all, reports.Recipient{Address: r.Address, Name: r.Name, Role: role, Locale: c.locale(r.Locale)})
	}
	return all, nil
}

// readRecipients reads a CSV file with the columns address, name, role, locale.
func readRecipients(file string) ([]recipientConfig, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read recipients: %w", err)
	}
	in := csv.NewReader(f)
	list, err := parseRecipients(file, in)
	return list, errors.Join(err, f.Close())
}

func parseRecipients(file string, in *csv.Reader) ([]recipientConfig, error) {
	header, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("read recipients %s: %w; want a header row address,name,role,locale", file, err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	for i, name := range header {
		header[i] = data.CleanID(name)
	}
	if !slices.Contains(header, "address") || !slices.Contains(header, "role") {
		return nil, fmt.Errorf("%s:1:1: the header row %q does not name address and role", file, strings.Join(header, ","))
	}
	var list []recipientConfig
	seen := map[string]int{} // line of a role and address
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("read recipients %s: %w", file, err)
		}
		var r recipientConfig
		for i, name := range header {
			switch name {
			case "address":
				r.Address = strings.TrimSpace(row[i])
			case "name":
				r.Name = row[i]
			case "role":
				r.Role = strings.TrimSpace(row[i])
			case "locale":
				r.Locale = strings.TrimSpace(row[i])
			}
		}
		line, _ := in.FieldPos(0)
		k := &checker{c: &config{}}
		k.address("address", r.Address, true)
		k.role("role", r.Role)
		k.oneOf("locale", r.Locale, templates.Languages()...)
		if id := r.Role + " " + mail.Key(r.Address); seen[id] > 0 {
			k.report("address", fmt.Sprintf("%s stands already in line %d for the same role", r.Address, seen[id]), "")
		} else {
			seen[id] = line
		}
		if len(k.problems) > 0 {
			return nil, fmt.Errorf("%s:%d: %s: %s", file, line, k.problems[0].key, k.problems[0].message)
		}
		list = append(list, r)
	}
}

// locale returns the wanted locale, else the partner's, else English.
func (c *config) locale(wanted string) string { return cmp.Or(wanted, c.Partner.Locale, "en") }

// ownership is that of the file; nil when none is configured. Whoever covers for
// somebody who is away on the day owns what that person owns.
func (c *config) ownership(day data.Day) (*reports.Ownership, error) {
	o, err := c.ownershipFile()
	if err != nil || o == nil {
		return nil, err
	}
	var away []reports.Absence
	for _, cover := range c.covering(day) {
		away = append(away, reports.Absence{Absent: cover.Absent, By: cover.By})
	}
	o.Cover(away)
	return o, nil
}

// ownershipFile reads the ownership file; nil when none is configured.
func (c *config) ownershipFile() (*reports.Ownership, error) {
	if c.Ownership.File == "" {
		return nil, nil
	}
	file := c.path(c.Ownership.File)
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read ownership: %w: %w", jobs.ErrHeld, err)
	}
	o, err := reports.ReadOwnership(c.Ownership.File, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read ownership: %w: %w", jobs.ErrHeld, err)
	}
	if len(o.Customers()) == 0 && len(o.Owners("")) == 0 {
		return nil, fmt.Errorf("read ownership: %w: %w by %s; fill in the addresses (`tidemark owners template` lists the customers)", jobs.ErrHeld, errNobodyAssigned, c.Ownership.File)
	}
	return o, nil
}

// covering are the covers for whoever is away on a day.
func (c *config) covering(day data.Day) []coverConfig {
	return slices.DeleteFunc(slices.Clone(c.Cover), func(cover coverConfig) bool {
		from, to := cover.days()
		return day < from || day > to
	})
}

// days are the first and the last day of a cover.
func (c coverConfig) days() (from, to data.Day) {
	from, _ = data.ParseDay(c.From) // validated with the configuration
	to, _ = data.ParseDay(c.To)
	return from, to
}

// covers says of everybody who covers for others on a day for whom, and how long.
func (c *config) covers(day data.Day, recipients []reports.Recipient) map[string][]reports.Cover {
	by := map[string][]reports.Cover{}
	for _, cover := range c.covering(day) {
		_, until := cover.days()
		name := cover.Absent
		for _, r := range recipients {
			if strings.EqualFold(r.Address, cover.Absent) && r.Name != "" {
				name = r.Name
			}
		}
		key := strings.ToLower(cover.By)
		by[key] = append(by[key], reports.Cover{Name: name, Until: until})
	}
	return by
}

// localDay is the day that it is at the partner's.
func (c *config) localDay(now time.Time) data.Day {
	zone, err := time.LoadLocation(c.Partner.Timezone) // "" is UTC
	if err != nil {                                    // validated with the configuration
		zone = time.UTC
	}
	return data.DayOf(now.In(zone))
}

// currentOwners is the ownership to start a template from: that of the file, or
// none while there is no file or it assigns nobody. A file that is empty or
// cannot be read is an error: it may have held what must not be lost. Who only covers for
// somebody is not in it.
func (c *config) currentOwners() (*reports.Ownership, error) {
	file := c.path(c.Ownership.File)
	info, err := os.Stat(file)
	if c.Ownership.File == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() == 0 {
		return nil, fmt.Errorf("read ownership: %s is empty; if it was emptied by a redirection, restore it and use `tidemark owners template --out FILE`", c.Ownership.File)
	}
	o, err := c.ownershipFile()
	if errors.Is(err, errNobodyAssigned) {
		return nil, nil
	}
	return o, err
}

// errNobodyAssigned says that an ownership file is in order and assigns nobody.
var errNobodyAssigned = errors.New("no customer is assigned")

func (c *config) partner() reports.Partner {
	return reports.Partner{Name: cmp.Or(c.Partner.Name, "tidemark"), Accent: c.Partner.Accent, Locale: c.locale("")}
}

// logo reads the partner's logo; nil when none is configured.
func (c *config) logo() (*reports.Logo, error) {
	if c.Partner.Logo == "" {
		return nil, nil
	}
	f, err := os.Open(c.path(c.Partner.Logo))
	if err != nil {
		return nil, fmt.Errorf("partner.logo: %w", err)
	}
	logo, err := reports.ReadLogo(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("partner.logo %s: %w", c.Partner.Logo, err)
	}
	return logo, nil
}

// mailedBefore adds what everybody was sent before, which nobody was while there
// is no ledger, and for global admins what became of what earlier reports said.
func (a *app) mailedBefore(ctx context.Context, c *config, arc *archive.Archive, d *jobs.Digests) (err error) {
	if d.Role == reports.GlobalAdmin {
		view, err := arc.View(ctx, nil)
		if err != nil {
			return err
		}
		if d.Outcome, err = jobs.DidItPay(ctx, view, d.Portfolio); err != nil {
			return err
		}
	}
	if !exists(c.ledgerPath()) {
		return a.addAnswers(ctx, c, nil, d)
	}
	l, err := a.openLedger(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	period := d.Portfolio.Inputs.Period
	if d.Role == reports.GlobalAdmin {
		if d.Mailed, err = jobs.MailedIn(ctx, l, period); err != nil {
			return err
		}
	}
	if d.Last, err = jobs.LastMails(ctx, l, arc, d.Role, period); err != nil {
		return err
	}
	return a.addAnswers(ctx, c, l, d)
}

// digests wires the build of one role's digests.
func (a *app) digests(ctx context.Context, c *config, arc *archive.Archive, p *reports.Portfolio, to people, role reports.Role) (jobs.Digests, error) {
	today := c.localDay(a.now())
	ownership, err := c.ownership(today)
	if err != nil && role.Policy().OwnOnly {
		return jobs.Digests{}, fmt.Errorf("digest %s: %w", role, err)
	} else if err != nil {
		a.log().Warn("ownership cannot be used", "err", err)
	}
	from, err := netmail.ParseAddress(cmp.Or(c.Mail.From, defaultFrom))
	if err != nil {
		return jobs.Digests{}, fmt.Errorf("mail.from: %w", err)
	}
	d := jobs.Digests{Portfolio: p, Role: role, Recipients: to.all, Found: to.found, Ownership: ownership, Partner: c.partner(),
		HideMoney: c.Roles[string(role)].Money == "hide", From: *from, Date: a.now().UTC()}
	if role.Policy().OwnOnly {
		d.Covers = c.covers(today, to.all)
	}
	d.Without = append(d.Without, to.warnings...)
	if d.Partner.Logo, err = c.logo(); err != nil { // no reason to mail nobody
		d.Without = append(d.Without, fmt.Sprintf("the logo cannot be used; mails go without it: %v", err))
	}
	if d.Charts, err = newCharts(c); err != nil {
		return d, err
	}
	for _, err := range unreadable(d.Charts) {
		d.Without = append(d.Without, fmt.Sprintf("charts are drawn without it: %v", err))
	}
	if d.Pages.Folder, err = c.pages(); err != nil {
		d.Without = append(d.Without, fmt.Sprintf("interactive pages are not written, and no mail links to one: %v", err))
	} else {
		d.Pages.Base = c.Pages.BaseURL
	}
	if err := a.mailedBefore(ctx, c, arc, &d); err != nil {
		return d, err
	}
	if c.Mail.ReplyTo != "" {
		d.ReplyTo = &netmail.Address{Address: c.Mail.ReplyTo}
	}
	return d, nil
}
