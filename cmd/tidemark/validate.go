package main

import (
	"fmt"
	"maps"
	netmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs"
	"tidemark/reports"
	"tidemark/reports/mail"
	"tidemark/templates"
)

// checker collects problems.
type checker struct {
	c        *config
	problems []problem
}

func (k *checker) report(key, message, hint string) {
	k.problems = append(k.problems, problem{key, message, hint, k.place(key)})
}

// place is where a key stands, or the nearest key above it.
func (k *checker) place(key string) position {
	for key != "" {
		if p, found := k.c.where[key]; found {
			return p
		}
		cut := strings.LastIndexAny(key, ".[")
		key = key[:max(cut, 0)]
	}
	return position{}
}

// validate checks what the values mean, everything at once.
func (c *config) validate() []problem {
	k := &checker{c: c}
	k.sources()
	k.retention()
	k.partner()
	k.people()
	k.entra()
	k.tenant()
	k.mail()
	k.inbox()
	k.answers()
	k.jobs()
	k.web()
	return k.problems
}

func (k *checker) oneOf(key, value string, allowed ...string) {
	if value != "" && !slices.Contains(allowed, value) {
		k.report(key, fmt.Sprintf("%q is not possible", value), "want one of "+strings.Join(allowed, ", "))
	}
}

// retention refuses what would take away what every mail is made from: the
// digests read up to a year of the rollup and of the inventory.
func (k *checker) retention() {
	const least = 400
	r := k.c.Archive.Retention
	for key, days := range map[string]int{"customers": r.Customers, "subscriptions": r.Subscriptions, "usage_daily": r.UsageDaily} {
		if days != 0 && days < least {
			k.report("archive.retention."+key, fmt.Sprintf("%d days are too few", days), fmt.Sprintf("want 0 for ever, or at least %d: the figures compare with the year before", least))
		}
	}
	for key, days := range map[string]int{"usage": r.Usage, "reports": r.Reports, "scores": r.Scores, "mails": value(r.Mails)} {
		if days != 0 && days < 31 {
			k.report("archive.retention."+key, fmt.Sprintf("%d days are too few", days), "want 0 for ever, or at least 31")
		}
	}
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

func (k *checker) partner() {
	p := k.c.Partner
	k.oneOf("partner.locale", p.Locale, templates.Languages()...)
	if p.Timezone != "" {
		if _, err := time.LoadLocation(p.Timezone); err != nil || p.Timezone == "Local" {
			k.report("partner.timezone", fmt.Sprintf("%q is not a time zone", p.Timezone), "want an IANA name such as Europe/Amsterdam")
		}
	}
	if p.Accent != "" && !regexp.MustCompile(`^#[0-9a-fA-F]{6}$`).MatchString(p.Accent) {
		k.report("partner.accent", fmt.Sprintf("%q is not a colour", p.Accent), `want "#rrggbb", quoted`)
	}
}

func (k *checker) people() {
	seen := map[string]string{}
	for i, r := range k.c.Recipients.List {
		key := k.c.Recipients.place(i)
		k.address(key+".address", r.Address, true)
		k.role(key+".role", r.Role)
		k.oneOf(key+".locale", r.Locale, templates.Languages()...)
		id := r.Role + " " + mail.Key(r.Address)
		if first, found := seen[id]; found {
			k.report(key, fmt.Sprintf("names %s again for the same role", r.Address), "it stands already at "+first)
		}
		seen[id] = key
	}
	for _, name := range slices.Sorted(maps.Keys(k.c.Roles)) {
		k.role("roles."+name, name)
		k.oneOf("roles."+name+".money", k.c.Roles[name].Money, "show", "hide")
	}
	for i, cover := range k.c.Cover {
		key := fmt.Sprintf("cover[%d]", i)
		k.address(key+".absent", cover.Absent, true)
		k.address(key+".by", cover.By, true)
		from, errFrom := data.ParseDay(cover.From)
		to, errTo := data.ParseDay(cover.To)
		switch {
		case errFrom != nil:
			k.report(key+".from", fmt.Sprintf("%q is %v", cover.From, errFrom), "")
		case errTo != nil:
			k.report(key+".to", fmt.Sprintf("%q is %v", cover.To, errTo), "")
		case to < from:
			k.report(key+".to", "is before from", "")
		}
		if cover.By != "" && mail.Key(cover.Absent) == mail.Key(cover.By) {
			k.report(key+".by", "is the one who is away", "name somebody else")
		}
	}
}

func (k *checker) role(key, role string) {
	if _, err := reports.ParseRole(role); err != nil {
		k.report(key, err.Error(), "")
	}
}

func (k *checker) address(key, address string, required bool) {
	if address == "" && !required {
		return
	}
	if a, err := netmail.ParseAddress(address); err != nil || a.Address != address {
		k.report(key, fmt.Sprintf("%q is not a mail address", address), "want name@domain, without a display name")
	} else if err := mail.CheckAddress(address); err != nil {
		k.report(key, err.Error(), "not every mail server on the way takes it")
	}
}

func (k *checker) secret(key, value string) {
	if value != "" && !strings.HasPrefix(value, "env:") && !strings.HasPrefix(value, "file:") {
		k.report(key, "holds a secret in plain text", "write env:NAME or file:PATH, and change the secret: it has been in a file")
	}
}

func (k *checker) mail() {
	m := k.c.Mail
	k.oneOf("mail.kind", m.Kind, "files", "smtp", "graph")
	if m.From != "" {
		if from, err := netmail.ParseAddress(m.From); err != nil {
			k.report("mail.from", fmt.Sprintf("%q is not a mail address", m.From), `want "Polder Cloud <usage@partner.example>"`)
		} else if err := mail.CheckAddress(from.Address); err != nil {
			k.report("mail.from", err.Error(), "not every mail server on the way takes it")
		}
	}
	k.address("mail.reply_to", m.ReplyTo, false)
	k.address("mail.divert", m.Divert, false)
	for i, domain := range m.AllowDomains {
		if _, err := mail.ASCIIDomain(domain); err != nil {
			k.report(fmt.Sprintf("mail.allow_domains[%d]", i), fmt.Sprintf("%q is not a domain", domain), "want what stands behind the @, e.g. partner.example")
		}
	}
	if m.Kind == "smtp" && m.SMTP.Host == "" {
		k.report("mail.smtp", "has no host", "add mail.smtp: {host: …, port: 587, tls: starttls}")
	}
	k.oneOf("mail.smtp.auth", m.SMTP.Auth, "plain", "login", "xoauth2")
	if m.SMTP.Auth == "xoauth2" && m.SMTP.Username == "" {
		k.report("mail.smtp", "has no username", "with auth: xoauth2 it is the address of the mailbox that sends")
	}
	if m.Kind == "graph" && m.Graph.Mailbox == "" && m.From == "" {
		k.report("mail.graph", "has no mailbox", "add mail.graph: {mailbox: …}, or mail.from, whose address it then is")
	}
	k.oneOf("mail.smtp.tls", m.SMTP.TLS, "starttls", "tls")
	k.secret("mail.smtp.password", m.SMTP.Password)
	k.secret("mail.dkim.key", m.DKIM.Key)
	if d := m.DKIM; d != (dkimConfig{}) && (d.Domain == "" || d.Selector == "" || d.Key == "") {
		k.report("mail.dkim", "is not complete", "want domain, selector and key: file:PATH of the private key in PEM")
	}
	if m.DailyLimit < 0 {
		k.report("mail.daily_limit", "must not be negative", "0 sets no limit")
	}
	if m.Pace < 0 {
		k.report("mail.pace", "must not be negative", "mails a minute; 0 is 25 for Exchange Online and no limit elsewhere")
	}
	if d, err := time.ParseDuration(m.Within); m.Within != "" && (err != nil || d <= 0) {
		k.report("mail.deliver_within", fmt.Sprintf("%q is not a duration", m.Within), "want e.g. 12h, the default")
	}
	k.brake()
	if p := k.c.Pages; p.BaseURL != "" {
		if u, err := url.Parse(p.BaseURL); err != nil || u.Scheme != "https" || u.Host == "" || u.String() != p.BaseURL || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			k.report("pages.base_url", fmt.Sprintf("%q is not an address", p.BaseURL), "want https://HOST/FOLDER")
		}
		if p.Path == "" {
			k.report("pages", "has no path", "add path: the folder that base_url shows")
		}
	}
	k.secret("operators.webhook", k.c.Operators.Webhook)
	k.secret("operators.ping", k.c.Operators.Ping)
	for i, e := range k.c.Operators.Expiry {
		if _, err := data.ParseDay(e.On); err != nil || e.What == "" {
			k.report(fmt.Sprintf("operators.expiry[%d]", i), "needs what and on", "want {what: SMTP password, on: 2027-01-31}")
		}
	}
	for i, a := range k.c.Operators.Mail {
		k.address(fmt.Sprintf("operators.mail[%d]", i), a, true)
	}
}

func (k *checker) jobs() {
	// What a run's id, a shell and the path of a ping can all carry.
	jobName := regexp.MustCompile(`^[\pL\pN][\pL\pN._-]*$`)
	names := map[string]bool{}
	for i, j := range k.c.Jobs {
		key := fmt.Sprintf("jobs[%d]", i)
		switch {
		case j.Name == "":
			k.report(key, "has no name", "")
		case j.Name == "heartbeat":
			k.report(key+".name", `"heartbeat" is tidemark's own job`, "take another name")
		case names[j.Name]:
			k.report(key+".name", fmt.Sprintf("%q is used twice", j.Name), "")
		case !jobName.MatchString(j.Name):
			k.report(key+".name", fmt.Sprintf("%q is not a name", j.Name), "want letters, digits, hyphens, underscores and points")
		}
		names[j.Name] = true
		if _, err := jobs.ParseSchedule(j.Cron, j.Timezone); err != nil {
			k.report(key+".cron", err.Error(), `want five fields, e.g. "0 7 * * MON"`)
		}
		if j.Do == "" {
			k.report(key, "has no do", "add do: extract, digest, inbox or train")
		}
		k.oneOf(key+".do", j.Do, "extract", "digest", "inbox", "train")
		if j.Do == "digest" {
			k.role(key+".role", j.Role)
			if _, err := data.ParsePeriod(j.Period); err != nil {
				k.report(key+".period", err.Error(), "")
			}
		}
		k.after(key+".after", j)
		if j.Wait != "" {
			if d, err := time.ParseDuration(j.Wait); err != nil || d < 0 {
				k.report(key+".wait", fmt.Sprintf("%q is not a duration", j.Wait), "want e.g. 3h")
			}
		}
		k.oneOf(key+".otherwise", j.Otherwise, "send", "skip")
		k.oneOf(key+".catch_up", j.CatchUp, "latest", "all", "none")
	}
}

// after refuses a job that would wait for itself, by whatever way round.
func (k *checker) after(key string, j jobConfig) {
	way := []string{j.Name}
	for next := j.After; next != ""; {
		at := slices.IndexFunc(k.c.Jobs, func(o jobConfig) bool { return o.Name == next })
		switch {
		case at < 0 && len(way) == 1:
			k.report(key, fmt.Sprintf("there is no job %q", next), "")
			return
		case at < 0:
			return // that job's own problem
		case next == j.Name:
			k.report(key, "the job waits for itself: "+strings.Join(append(way, next), " after "), "take one of them out")
			return
		case slices.Contains(way, next):
			return // a circle of others
		}
		way = append(way, next)
		next = k.c.Jobs[at].After
	}
}

// brake refuses thresholds that would hold everything or nothing by mistake.
func (k *checker) brake() {
	b := k.c.Mail.Brake
	for key, share := range map[string]float64{"max_change": b.MaxChange, "max_usage_drop": b.MaxUsageDrop,
		"max_recipient_drop": b.MaxRecipientDrop, "max_assigned_drop": b.MaxAssignedDrop} {
		most := 1.0
		if key == "max_change" {
			most = 10 // cost may rise more than twofold
		}
		if share < 0 || share > most {
			k.report("mail.brake."+key, fmt.Sprintf("%v is not a share", share), "want e.g. 0.4 for 40 %; 0 is the default")
		}
	}
}
