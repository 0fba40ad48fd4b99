package main

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"

	"tidemark/jobs/microsoft"
	"tidemark/reports/mail"
)

// tenantConfig is the app registration that mail, recipients and the inbox of
// Microsoft 365 are reached with. Where it is left out, that of the source
// partnercenter is.
type tenantConfig struct {
	Tenant       string          `yaml:"tenant"` // id or domain
	ClientID     string          `yaml:"client_id"`
	ClientSecret string          `yaml:"client_secret"` // env:NAME or file:PATH
	Certificate  string          `yaml:"certificate"`   // file:PATH or env:NAME, PEM with key; instead of client_secret
	Cloud        string          `yaml:"cloud"`         // global, usgov or china
	Endpoints    endpointsConfig `yaml:"endpoints"`
}

// graphConfig is the mailbox that Microsoft Graph sends from.
type graphConfig struct {
	Mailbox string `yaml:"mailbox"` // default: the address of mail.from
}

// tenantOf is the app registration in force, and the key that it stands at.
func (c *config) tenantOf() (tenantConfig, string) {
	if c.Microsoft != (tenantConfig{}) {
		return c.Microsoft, "microsoft"
	}
	for _, s := range []struct {
		key string
		*sourceConfig
	}{{"source", &c.Source}, {"sources.usage", c.Sources.Usage}, {"sources.inventory", c.Sources.Inventory}} {
		if s.sourceConfig != nil && s.Kind == "partnercenter" {
			return tenantConfig{s.Tenant, s.ClientID, s.ClientSecret, s.Certificate, s.Cloud, s.Endpoints}, s.key
		}
	}
	return tenantConfig{}, "microsoft"
}

// usesTenant are the keys that want an app registration.
func (c *config) usesTenant() []string {
	var uses []string
	if c.Mail.Kind == "graph" {
		uses = append(uses, "mail.kind")
	}
	if c.Mail.Inbox.Kind == "graph" {
		uses = append(uses, "mail.inbox.kind")
	}
	if c.Mail.Inbox.Kind == "imap" && c.Mail.Inbox.Auth == "xoauth2" {
		uses = append(uses, "mail.inbox.auth")
	}
	if c.Mail.Kind == "smtp" && c.Mail.SMTP.Auth == "xoauth2" {
		uses = append(uses, "mail.smtp.auth")
	}
	if c.Recipients.Entra != nil {
		uses = append(uses, "recipients.entra")
	}
	return uses
}

func (k *checker) tenant() {
	t, key := k.c.tenantOf()
	uses := k.c.usesTenant()
	if t == (tenantConfig{}) {
		for _, use := range uses {
			k.report(use, "wants an app registration, and there is none", "add microsoft: {tenant: …, client_id: …, client_secret: env:NAME}")
		}
		return
	}
	if key != "microsoft" { // checked with the source
		return
	}
	if t.Tenant == "" || t.ClientID == "" {
		k.report("microsoft", "has no tenant or no client_id", "add the id or the domain of the tenant, and the application id of the app registration")
	}
	if (t.ClientSecret == "") == (t.Certificate == "") {
		k.report("microsoft", "wants client_secret or certificate, one of them", "write client_secret: env:NAME, or certificate: file:PATH")
	}
	k.secret("microsoft.client_secret", t.ClientSecret)
	k.secret("microsoft.certificate", t.Certificate)
	k.oneOf("microsoft.cloud", t.Cloud, microsoft.Clouds()...)
	k.endpoints("microsoft", t.Endpoints)
}

// endpoints checks that they are addresses.
func (k *checker) endpoints(key string, e endpointsConfig) {
	for name, address := range map[string]string{"login": e.Login, "api": e.API, "graph": e.Graph} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			k.report(key+".endpoints."+name, fmt.Sprintf("%q is not an address", address), "want https://HOST")
		}
	}
}

// tenant opens the tenant of the configuration. Nothing is sent yet.
func (a *app) tenant(c *config) (*microsoft.Tenant, error) {
	t, key := c.tenantOf()
	if t == (tenantConfig{}) {
		return nil, errors.New("microsoft: there is no app registration: add microsoft: {tenant: …, client_id: …, client_secret: env:NAME}")
	}
	secret, err := a.secret(c, key+".client_secret", t.ClientSecret)
	if err != nil {
		return nil, err
	}
	certificate, err := a.secret(c, key+".certificate", t.Certificate)
	if err != nil {
		return nil, err
	}
	tenant, err := microsoft.Open(microsoft.Options{
		Credentials: microsoft.Credentials{Tenant: t.Tenant, ClientID: t.ClientID, Secret: secret, Certificate: []byte(certificate)},
		Cloud:       t.Cloud, Endpoints: microsoft.Endpoints(t.Endpoints), Now: a.now, Waiting: a.tellWait,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return tenant, nil
}

// graphSender sends through Microsoft Graph.
func (a *app) graphSender(c *config) (*mail.Graph, error) {
	tenant, err := a.tenant(c)
	if err != nil {
		return nil, err
	}
	return mail.NewGraph(mail.GraphOptions{Client: tenant.Client(), Host: tenant.Host(), Mailbox: c.mailbox(c.Mail.Graph.Mailbox), Now: a.now})
}

// mailbox is the one that is named, else that of mail.from.
func (c *config) mailbox(named string) string {
	if from, err := netmail.ParseAddress(c.Mail.From); err == nil && named == "" {
		return from.Address
	}
	return named
}

// isExchange reports whether mail leaves through Exchange Online, which takes so many
// mails a minute from one mailbox.
func (c *config) isExchange() bool {
	return c.Mail.Kind == "graph" || c.Mail.Kind == "smtp" && onExchange(c.Mail.SMTP.Host)
}

// onExchange reports whether a host is one of Exchange Online's.
func onExchange(host string) bool {
	hosts := []string{".office365.com", ".outlook.com", ".office365.us", ".outlook.cn"}
	return slices.ContainsFunc(hosts, func(end string) bool { return strings.HasSuffix(strings.ToLower(host), end) })
}
