package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/data/archive"
	"tidemark/jobs"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
	"tidemark/jobs/source/focus"
	"tidemark/jobs/source/partnercenter"
	"tidemark/jobs/source/sample"
	"tidemark/jobs/source/tables"
)

// sourceConfig is one source. Which keys belong to which kind is checked.
type sourceConfig struct {
	Kind       string       `yaml:"kind"`        // sample, tables, focus or partnercenter
	SettleDays *int         `yaml:"settle_days"` // default 3
	MaxBad     *shareConfig `yaml:"max_bad"`     // share of bad rows that is accepted, default 0.01
	Exclude    []string     `yaml:"exclude"`     // ids of customers that extractions leave out

	Path      string      `yaml:"path"`      // tables, focus
	Lenient   bool        `yaml:"lenient"`   // tables, focus
	Providers namesConfig `yaml:"providers"` // focus: all, or a list of names; default Microsoft
	Container string      `yaml:"container"` // focus, instead of path: https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]
	SAS       string      `yaml:"sas"`       // opens the container; env:NAME or file:PATH

	Seed          int64 `yaml:"seed"` // sample
	Customers     int   `yaml:"customers"`
	Subscriptions int   `yaml:"subscriptions"`
	Late          bool  `yaml:"late"`

	Tenant       string          `yaml:"tenant"` // partnercenter; up to client_secret, cloud and endpoints.login also a focus container
	ClientID     string          `yaml:"client_id"`
	ClientSecret string          `yaml:"client_secret"` // env:NAME or file:PATH
	Certificate  string          `yaml:"certificate"`   // file:PATH or env:NAME, PEM with key
	RefreshToken string          `yaml:"refresh_token"` // file:PATH; a rotated token is written back
	Cloud        string          `yaml:"cloud"`         // global, usgov or china
	Endpoints    endpointsConfig `yaml:"endpoints"`
	Currencies   namesConfig     `yaml:"currencies"` // billing currencies, e.g. EUR
	Invoices     []string        `yaml:"invoices"`   // where the app may not list them
	Work         string          `yaml:"work"`       // folder for what is read while it goes on, default ./work
	TimeLimit    string          `yaml:"time_limit"` // e.g. 3h, the default
}

// endpointsConfig are hosts that differ from the cloud's.
type endpointsConfig struct {
	Login string `yaml:"login"`
	API   string `yaml:"api"`
	Graph string `yaml:"graph"`
}

type sourcesConfig struct {
	Inventory *sourceConfig `yaml:"inventory"`
	Usage     *sourceConfig `yaml:"usage"`
}

func sourceKinds() []string { return []string{"sample", "tables", "focus", "partnercenter"} }

func (k *checker) sources() {
	c := k.c
	if c.Sources.Inventory == nil && c.Sources.Usage == nil {
		k.source("source", c.Source)
		return
	}
	if c.Source.Kind != "" {
		k.report("source", "stands beside sources", "give one source, or sources with inventory and usage")
	}
	if c.Sources.Usage == nil {
		k.report("sources", "has no usage source", "add sources.usage: {kind: …}")
		return
	}
	k.source("sources.usage", *c.Sources.Usage)
	if inv := c.Sources.Inventory; inv != nil {
		k.source("sources.inventory", *inv)
		if inv.Kind == "focus" {
			k.report("sources.inventory.kind", "focus has no inventory", "take partnercenter or tables, or leave sources.inventory out: it is then derived from the usage")
		}
	}
}

func (k *checker) source(key string, s sourceConfig) {
	kinds := sourceKinds()
	if s.Kind == "" {
		k.report(key, "has no kind", "add kind: one of "+strings.Join(kinds, ", "))
		return
	}
	k.oneOf(key+".kind", s.Kind, kinds...)
	if s.Path == "" && s.Kind == "tables" {
		k.report(key, "has no path", "add path: the folder with the input files")
	}
	k.container(key, s)
	if s.SettleDays != nil && (*s.SettleDays < 0 || *s.SettleDays > 60) {
		k.report(key+".settle_days", "must lie between 0 and 60", "3 fits Azure usage, which is one to three days late")
	}
	if s.MaxBad != nil && (*s.MaxBad <= 0 || *s.MaxBad > 1) {
		k.report(key+".max_bad", "must lie above 0 and at most 1", "0.01 accepts one bad row in a hundred")
	}
	k.partnerCenter(key, s)
	if s.Customers < 0 || s.Subscriptions < 0 {
		k.report(key, "customers and subscriptions must not be negative", "")
	}
}

// container checks where focus reads, and what opens a container.
func (k *checker) container(key string, s sourceConfig) {
	if s.Kind != "focus" {
		for name, value := range map[string]string{"container": s.Container, "sas": s.SAS} {
			if value != "" {
				k.report(key+"."+name, "is of focus, the source is "+s.Kind, "take it out, or make it kind: focus")
			}
		}
		return
	}
	switch {
	case s.Path == "" && s.Container == "":
		k.report(key, "has neither path nor container", "add path: the folder with the exports, or container: the address of their container")
	case s.Path != "" && s.Container != "":
		k.report(key, "has both path and container", "take one of them out")
	case s.Path != "" && s.SAS != "":
		k.report(key+".sas", "opens a container, the source reads a folder", "take it out, or give container instead of path")
	}
	if s.Container == "" {
		return
	}
	if _, err := focus.ParseContainer(s.Container); err != nil {
		k.report(key+".container", "is not possible: "+err.Error(), "")
	}
	k.secret(key+".sas", s.SAS)
	app := s.Tenant != "" || s.ClientID != "" || s.ClientSecret != ""
	switch {
	case s.SAS == "" && !app:
		k.report(key, "has nothing that opens the container", "add sas: env:NAME, or tenant, client_id and client_secret: env:NAME")
	case s.SAS != "" && app:
		k.report(key, "has both a SAS and an app that open the container", "take one of them out")
	case app && (s.Tenant == "" || s.ClientID == "" || s.ClientSecret == ""):
		k.report(key, "signs in with an app and lacks a part of it", "give tenant, client_id and client_secret")
	}
	k.secret(key+".client_secret", s.ClientSecret)
	k.oneOf(key+".cloud", s.Cloud, microsoft.Clouds()...)
}

// partnerCenter checks the keys of the source of that kind, and that they stand
// with no other.
func (k *checker) partnerCenter(key string, s sourceConfig) {
	given := map[string]string{"tenant": s.Tenant, "client_id": s.ClientID, "client_secret": s.ClientSecret, "certificate": s.Certificate,
		"refresh_token": s.RefreshToken, "cloud": s.Cloud, "currencies": strings.Join(s.Currencies, ""), "invoices": strings.Join(s.Invoices, ""),
		"work": s.Work, "time_limit": s.TimeLimit}
	if s.Kind == "focus" && s.Container != "" { // checked by container
		for _, name := range []string{"tenant", "client_id", "client_secret", "cloud"} {
			delete(given, name)
		}
	}
	if s.Kind != "partnercenter" {
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if given[name] != "" {
				k.report(key+"."+name, "is of partnercenter, the source is "+s.Kind, "take it out, or make it kind: partnercenter")
			}
		}
		return
	}
	for _, name := range []string{"tenant", "client_id"} {
		if given[name] == "" {
			k.report(key, "has no "+name, map[string]string{"tenant": "add the id or the domain of the partner's tenant", "client_id": "add the application id of the app registration"}[name])
		}
	}
	if len(s.Currencies) == 0 && key != "sources.inventory" {
		k.report(key, "has no currencies", "add the billing currencies of the partner, e.g. currencies: [EUR]; an export is of one")
	}
	if (s.ClientSecret == "") == (s.Certificate == "") {
		k.report(key, "wants client_secret or certificate, one of them", "write client_secret: env:NAME, or certificate: file:PATH")
	}
	k.secret(key+".client_secret", s.ClientSecret)
	k.secret(key+".certificate", s.Certificate)
	if s.RefreshToken != "" && !strings.HasPrefix(s.RefreshToken, "file:") {
		k.report(key+".refresh_token", "must be file:PATH", "Microsoft rotates it: the new one is written back to the file")
	}
	k.oneOf(key+".cloud", s.Cloud, microsoft.Clouds()...)
	k.endpoints(key, s.Endpoints)
	if d, err := time.ParseDuration(s.TimeLimit); s.TimeLimit != "" && (err != nil || d < time.Minute || d > 20*time.Hour) {
		k.report(key+".time_limit", fmt.Sprintf("%q is not possible", s.TimeLimit), "want 1m to 20h, e.g. 3h")
	}
}

// excluded are the ids of the customers that extractions leave out, whichever
// source names them: they are left out of every table, so no source asks for them.
func (c *config) excluded() (ids []string) {
	for _, s := range []*sourceConfig{&c.Source, c.Sources.Inventory, c.Sources.Usage} {
		if s != nil {
			for _, id := range s.Exclude {
				ids = append(ids, data.CleanID(id))
			}
		}
	}
	return ids
}

// fullSource is a source of usage and of inventory.
type fullSource interface {
	data.UsageSource
	data.InventorySource
}

// sources returns the usage and the inventory source of the configuration; the
// inventory is nil when it is to be derived from the usage.
func (a *app) sources(c *config, backfill int) (data.UsageSource, data.InventorySource, error) {
	if c.Sources.Usage == nil {
		return a.source(c, "source", c.Source, backfill)
	}
	usage, _, err := a.source(c, "sources.usage", *c.Sources.Usage, backfill)
	if err != nil || c.Sources.Inventory == nil {
		return usage, nil, err
	}
	_, inventory, err := a.source(c, "sources.inventory", *c.Sources.Inventory, backfill)
	return usage, inventory, err
}

func (a *app) source(c *config, key string, s sourceConfig, backfill int) (data.UsageSource, data.InventorySource, error) {
	var full fullSource
	var err error
	switch s.Kind {
	case "focus":
		usage, err := a.focus(c, key, s)
		return usage, nil, err
	case "tables":
		full, err = tables.New(tables.Options{Path: c.path(s.Path), Today: a.today(), Lenient: s.Lenient})
	case "partnercenter":
		full, err = a.partnerCenter(c, key, s, backfill)
	default:
		full, err = sample.New(sample.Options{Seed: s.Seed, Customers: s.Customers, Subscriptions: s.Subscriptions,
			To: a.today() - 1, Late: s.Late})
	}
	if err != nil {
		return nil, nil, err
	}
	return full, full, nil
}

func (a *app) focus(c *config, key string, s sourceConfig) (*focus.Source, error) {
	o := focus.Options{Path: c.path(s.Path), Providers: s.Providers, Exclude: c.excluded(), Today: a.today(), Lenient: s.Lenient}
	if s.Container != "" {
		sas, err := a.secret(c, key+".sas", s.SAS)
		if err != nil {
			return nil, err
		}
		secret, err := a.secret(c, key+".client_secret", s.ClientSecret)
		if err != nil {
			return nil, err
		}
		hosts, err := microsoft.HostsOf(s.Cloud)
		if err != nil {
			return nil, err
		}
		o.Container = focus.Container{URL: s.Container, SAS: sas, Tenant: s.Tenant, ClientID: s.ClientID, Secret: secret,
			Login: cmp.Or(s.Endpoints.Login, hosts.Login)}
	}
	return focus.New(o)
}

func (a *app) partnerCenter(c *config, key string, s sourceConfig, backfill int) (*partnercenter.Source, error) {
	o := partnercenter.Options{
		Credentials: microsoft.Credentials{Tenant: s.Tenant, ClientID: s.ClientID, RefreshToken: c.path(strings.TrimPrefix(s.RefreshToken, "file:"))},
		Cloud:       s.Cloud, Endpoints: microsoft.Endpoints(s.Endpoints), Currencies: s.Currencies, Invoices: s.Invoices, Backfill: backfill,
		Exclude: c.excluded(), Work: c.path(cmp.Or(s.Work, "work")), Now: a.now, Waiting: a.tellWait,
	}
	certificate, err := a.secret(c, key+".certificate", s.Certificate)
	if err == nil {
		o.Certificate = []byte(certificate)
		o.Secret, err = a.secret(c, key+".client_secret", s.ClientSecret)
	}
	if err != nil {
		return nil, err
	}
	if s.TimeLimit != "" {
		if o.TimeLimit, err = time.ParseDuration(s.TimeLimit); err != nil {
			return nil, fmt.Errorf("%s.time_limit: %w", key, err)
		}
	}
	o.Progress = a.steps()
	return partnercenter.New(o)
}

// tellWait logs a pause that a person would wonder about.
func (a *app) tellWait(w retry.Wait) {
	if w.For >= 10*time.Second {
		a.log().Info("waiting", "for", w.For.Round(time.Second).String(), "why", w.Why)
	}
}

// extraction wires one run of jobs.Extract.
func (a *app) extraction(ctx context.Context, c *config, arc *archive.Archive, days *data.Period, inventoryDay data.Day, backfill int) (jobs.Extract, error) {
	usage, inventory, err := a.sources(c, backfill)
	if err != nil {
		return jobs.Extract{}, err
	}
	if err := tellArchived(ctx, arc, usage); err != nil {
		return jobs.Extract{}, err
	}
	x := jobs.Extract{Archive: arc, Usage: usage, Inventory: inventory, Days: days, InventoryDay: inventoryDay,
		Run: a.newRunID(), Started: a.now(), Exclude: map[data.CustomerID]bool{}}
	for _, id := range c.excluded() {
		x.Exclude[data.CustomerID(id)] = true
	}
	if share := c.usageConfig().MaxBad; share != nil {
		x.MaxBad = float64(*share)
	}
	return x, nil
}

// tellArchived tells a source what the archive has of it already.
func tellArchived(ctx context.Context, arc *archive.Archive, usage data.UsageSource) error {
	view, err := arc.View(ctx, nil)
	if err != nil {
		return err
	}
	switch s := usage.(type) {
	case *focus.Source:
		s.Archived(view.Restated(s.Kind()))
	case *partnercenter.Source:
		s.Archived(monthsOf(view, s.Kind()))
	}
	return nil
}

// monthsOf returns what a view has of a source by currency and billing period, the
// days that are known, and those that wait for a part of the source.
func monthsOf(view *archive.View, source string) (months []partnercenter.Month, known, awaited []data.Day) {
	type key struct{ currency, period string }
	days, content := map[key]map[data.Day]bool{}, map[key][]string{}
	all := map[key]partnercenter.Month{}
	for _, p := range view.UsageParts() {
		if p.Feed.Source != source || p.Feed.Scope == "" {
			continue
		}
		at := key{p.Feed.Currency, p.BillingPeriod}
		if days[at] == nil {
			days[at] = map[data.Day]bool{}
		}
		m := all[at]
		if m.Rows += p.Rows; p.Rows > 0 {
			days[at][p.Day], m.Last = true, max(m.Last, p.Day)
		}
		all[at], content[at] = m, append(content[at], fmt.Sprintf("%s %s %s\n", p.Day, p.Feed.Scope, p.ContentSHA256))
	}
	for at, m := range all {
		slices.Sort(content[at])
		m.Currency, m.Period, m.Days = at.currency, at.period, len(days[at])
		m.Content = fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(content[at], ""))))
		months = append(months, m)
	}
	for _, d := range view.ArchivedDays() {
		if d.Awaits != "" {
			awaited = append(awaited, d.Day)
		} else {
			known = append(known, d.Day)
		}
	}
	return months, known, awaited
}

// resumable is a source that keeps what it reads until the archive has it.
type resumable interface{ Done() error }

// extract runs an extraction and has its sources forget what they kept for
// resuming, once it is committed.
func (a *app) extract(ctx context.Context, x jobs.Extract) (jobs.Extracted, error) {
	out, err := x.Extract(ctx)
	if err != nil {
		return out, err
	}
	if err := tellArchived(ctx, x.Archive, x.Usage); err != nil {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the extraction is committed, but the source cannot be told what the archive has now: %v; run again later", err))
	}
	var done []resumable
	for _, source := range []any{x.Usage, x.Inventory} {
		if r, ok := source.(resumable); ok && !slices.Contains(done, r) {
			done = append(done, r)
			if err := r.Done(); err != nil {
				out.Warnings = append(out.Warnings, fmt.Sprintf("the extraction is committed, but what was kept for resuming is not removed: %v", err))
			}
		}
	}
	for _, source := range done {
		if s, ok := source.(interface{ Stats() retry.Stats }); ok {
			n := s.Stats()
			a.log().Info("requests", "sent", n.Requests, "again", n.Retries, "waited", n.Waited.Round(time.Second).String())
		}
	}
	return out, nil
}
