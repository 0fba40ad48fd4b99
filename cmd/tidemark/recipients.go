package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"tidemark/jobs"
	"tidemark/jobs/entra"
	"tidemark/jobs/ledger"
	"tidemark/reports"
	"tidemark/reports/mail"
	"tidemark/templates"
)

// recipientsConfig is a list of recipients, or where they are found: several places
// are added up.
type recipientsConfig struct {
	List  []recipientConfig `yaml:"list"`
	File  string            `yaml:"file"`
	Entra *entraConfig      `yaml:"entra"`

	listed bool // List is the value itself, not below a key
}

// entraConfig asks Microsoft Entra who has which role.
type entraConfig struct {
	Roles  map[string]entraRoleConfig `yaml:"roles"`   // in place of the default of each role named; {} for nobody
	Guests bool                       `yaml:"guests"`  // guests are mailed, too
	MaxAge string                     `yaml:"max_age"` // how long the last good list stands in, e.g. 168h, the default
}

type entraRoleConfig struct {
	Groups         []string `yaml:"groups"`          // by display name or object id
	DirectoryRoles []string `yaml:"directory_roles"` // by name or template id
}

func (r *recipientsConfig) UnmarshalYAML(b []byte) error {
	if yaml.Unmarshal(b, &r.List) == nil {
		r.listed = true
		return nil
	}
	var form struct {
		List  []recipientConfig `yaml:"list"`
		File  string            `yaml:"file"`
		Entra *entraConfig      `yaml:"entra"`
	}
	err := yaml.Unmarshal(b, &form)
	r.List, r.File, r.Entra = form.List, form.File, form.Entra
	return err
}

// place is the key of the ith recipient of the list.
func (r recipientsConfig) place(i int) string {
	if r.listed {
		return fmt.Sprintf("recipients[%d]", i)
	}
	return fmt.Sprintf("recipients.list[%d]", i)
}

// wanted are the groups and directory roles of each role: the configuration's, else
// those that Partner Center makes and a tenant always has.
func (e *entraConfig) wanted() map[string]entra.Wanted {
	roles := map[string]entra.Wanted{
		string(reports.SalesAgent):  {Groups: []string{"SalesAgents"}},
		string(reports.AdminAgent):  {Groups: []string{"AdminAgents"}},
		string(reports.UserAdmin):   {DirectoryRoles: []string{"User Administrator"}},
		string(reports.GlobalAdmin): {DirectoryRoles: []string{"Global Administrator"}},
	}
	for name, r := range e.Roles {
		roles[name] = entra.Wanted(r)
	}
	return roles
}

func (e *entraConfig) maxAge() time.Duration {
	d, _ := time.ParseDuration(e.MaxAge) // validated with the configuration
	return cmp.Or(d, entra.DefaultMaxAge)
}

func (k *checker) entra() {
	e := k.c.Recipients.Entra
	if e == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(e.Roles)) {
		key := "recipients.entra.roles." + name
		k.role(key, name)
		for list, names := range map[string][]string{"groups": e.Roles[name].Groups, "directory_roles": e.Roles[name].DirectoryRoles} {
			if slices.Contains(names, "") {
				k.report(key+"."+list, "holds an empty name", "write a display name or an id")
			}
		}
	}
	if d, err := time.ParseDuration(e.MaxAge); e.MaxAge != "" && (err != nil || d < time.Hour || d > 31*24*time.Hour) {
		k.report("recipients.entra.max_age", fmt.Sprintf("%q is not possible", e.MaxAge), "want 1h to 744h; 168h, a week, is the default")
	}
}

// people are the recipients, and how they were found.
type people struct {
	all      []reports.Recipient
	found    *jobs.Found // nil: all of them are in the configuration
	entra    *entra.Answer
	warnings []string
}

// recipients finds everybody who may get a report. With keep what Microsoft Entra says
// is kept for when it cannot be asked, and compared with the next time.
func (a *app) recipients(ctx context.Context, c *config, keep bool) (people, error) {
	all, err := c.recipients()
	if err != nil || c.Recipients.Entra == nil {
		return people{all: all}, err
	}
	tenant, err := a.tenant(c)
	if err != nil {
		return people{}, err
	}
	e := c.Recipients.Entra
	t, _ := c.tenantOf()
	k := entra.Keeper{Path: c.ledgerPath() + ".recipients.json", MaxAge: e.maxAge(), Look: !keep, Directory: &entra.Directory{Graph: tenant.Graph(), Now: a.now,
		Question: entra.Question{Tenant: t.Tenant, Roles: e.wanted(), Guests: e.Guests, Domains: c.Mail.AllowDomains}}}
	answer, err := k.Read(ctx)
	if err != nil {
		return people{}, fmt.Errorf("recipients.entra: %w", err)
	}
	p := people{all: c.join(all, answer.List), entra: &answer, warnings: answer.Warnings}
	p.found = &jobs.Found{Source: "entra", At: answer.At, Kept: answer.Failed != nil, Roles: map[string][]string{}}
	for _, r := range p.all {
		p.found.Roles[string(r.Role)] = append(p.found.Roles[string(r.Role)], strings.ToLower(r.Address))
	}
	if answer.Before != nil {
		for role, before := range answer.Before.Roles {
			if len(before.People) > 0 && len(p.found.Roles[role]) == 0 {
				p.found.Emptied = append(p.found.Emptied, role)
			}
		}
		slices.Sort(p.found.Emptied)
	}
	return p, nil
}

// join adds the people of a list to those of the configuration, which stand as they
// are.
func (c *config) join(all []reports.Recipient, l entra.List) []reports.Recipient {
	known := map[string]bool{}
	for _, r := range all {
		known[string(r.Role)+" "+mail.Key(r.Address)] = true
	}
	for _, role := range reports.Roles() {
		for _, p := range l.Roles[string(role)].People {
			if !known[string(role)+" "+mail.Key(p.Address)] {
				all = append(all, reports.Recipient{Address: p.Address, Name: p.Name, Role: role, Locale: c.locale(languageOf(p.Language))})
			}
		}
	}
	return all
}

// languageOf is the language of a tag such as nl-NL, "" where there are no texts in it.
func languageOf(tag string) string {
	language, _, _ := strings.Cut(strings.ToLower(tag), "-")
	if slices.Contains(templates.Languages(), language) {
		return language
	}
	return ""
}

// alarmRecipients is the key of the alarm about a role that nobody has.
const alarmRecipients = "recipients:"

// tellOfEmptyRoles tells the operators of each role that nobody has any more, or that a
// job mails and nobody has, once, and once that somebody has it again.
func (a *app) tellOfEmptyRoles(ctx context.Context, c *config, l *ledger.Ledger, f *jobs.Found) error {
	alarms, err := a.alarms(c)
	if err != nil {
		return err
	}
	var failed []error
	for _, role := range reports.Roles() {
		key, name := alarmRecipients+string(role), string(role)
		switch {
		case f != nil && c.lacks(f, name):
			failed = append(failed, alarms.Raise(ctx, l, key, "nobody is "+name, "tidemark: nobody is "+name,
				fmt.Sprintf("Microsoft Entra names nobody as %s who can be mailed.\nNobody gets the reports of this role until somebody is put into its group or directory role.\n\nNext: tidemark recipients\n", name)))
		case f == nil || len(f.Roles[name]) > 0:
			failed = append(failed, alarms.Clear(ctx, l, key, "tidemark: somebody is "+name+" again", "Reports of this role have a reader again."))
		}
	}
	return errors.Join(failed...)
}

// lacks reports whether nobody of those found has a role that somebody had, or that a job
// mails.
func (c *config) lacks(f *jobs.Found, role string) bool {
	return len(f.Roles[role]) == 0 && (slices.Contains(f.Emptied, role) || c.mails(role))
}

// mails reports whether a job mails a role.
func (c *config) mails(role string) bool {
	return slices.ContainsFunc(c.Jobs, func(j jobConfig) bool { return j.Do == "digest" && j.Send && j.Role == role })
}

func (a *app) recipientsCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "recipients",
		Short: "List who gets the reports of each role, and who is left out and why",
		Long: `List who gets the reports of each role: the recipients of the configuration and,
with recipients.entra, whom the groups and directory roles of Microsoft Entra name
now, and who of them gets no mail and why. A role that nobody has any more, or that
a job mails and nobody has, is a warning. Nothing is changed.`,
		Example: "  tidemark recipients\n  tidemark recipients --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			p, err := a.recipients(cmd.Context(), c, false)
			if err != nil {
				return err
			}
			if format == "json" {
				err = a.printJSON(reportPeople(p))
			} else {
				a.printPeople(p)
			}
			if err != nil {
				return err
			}
			for _, role := range reports.Roles() {
				switch {
				case p.found == nil || !c.lacks(p.found, string(role)):
				case c.mails(string(role)):
					p.warnings = append(p.warnings, fmt.Sprintf("nobody is %s: its reports are held", role))
				default:
					p.warnings = append(p.warnings, fmt.Sprintf("nobody is %s any more", role))
				}
			}
			return a.warn(p.warnings)
		},
	}
	formatFlag(cmd, &format, "text", "text", "json")
	return cmd
}

// peopleReport is the JSON of `recipients`.
type peopleReport struct {
	ReadAt *time.Time                  `json:"read_at"` // from Microsoft Entra; null: not asked
	Kept   bool                        `json:"kept"`    // the last good list, since it could not be read
	Roles  map[string]peopleRoleReport `json:"roles"`
}

type peopleRoleReport struct {
	Recipients []recipientReport `json:"recipients"`
	LeftOut    []entra.LeftOut   `json:"left_out"`
}

type recipientReport struct {
	Address string   `json:"address"`
	Name    string   `json:"name"`
	Locale  string   `json:"locale"`
	From    []string `json:"from"` // "configuration", "group NAME", "directory role NAME"
}

func reportPeople(p people) peopleReport {
	out := peopleReport{Roles: map[string]peopleRoleReport{}}
	if p.found != nil {
		out.ReadAt, out.Kept = &p.found.At, p.found.Kept
	}
	for _, role := range reports.Roles() {
		r := peopleRoleReport{Recipients: []recipientReport{}, LeftOut: []entra.LeftOut{}}
		via := map[string][]string{}
		if p.entra != nil {
			r.LeftOut = append(r.LeftOut, p.entra.Roles[string(role)].LeftOut...)
			for _, person := range p.entra.Roles[string(role)].People {
				via[mail.Key(person.Address)] = person.Via
			}
		}
		for _, one := range jobs.WithRole(p.all, role) {
			from := via[mail.Key(one.Address)]
			if from == nil {
				from = []string{"configuration"}
			}
			r.Recipients = append(r.Recipients, recipientReport{one.Address, one.Name, one.Locale, from})
		}
		out.Roles[string(role)] = r
	}
	return out
}

func (a *app) printPeople(p people) {
	report := reportPeople(p)
	if report.ReadAt != nil {
		how := "read"
		if report.Kept {
			how = "not to be had now; this is"
		}
		a.printf("Microsoft Entra: %s %s\n", how, report.ReadAt.Format(time.RFC3339))
	}
	for _, role := range reports.Roles() {
		r := report.Roles[string(role)]
		a.printf("%s: %d\n", role, len(r.Recipients))
		for _, one := range r.Recipients {
			a.printf("  %-36s %-24s %s  %s\n", printable(one.Address), printable(one.Name), one.Locale, printable(strings.Join(one.From, ", ")))
		}
		for _, o := range r.LeftOut {
			a.printf("  left out: %s: %s\n", printable(o.Name), printable(o.Why))
		}
	}
}
