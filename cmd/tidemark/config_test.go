package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// parse reads a configuration text as readConfig does.
func parse(text string) (*config, error) {
	return parseConfig(&config{file: "tidemark.yaml", dir: ".", where: map[string]position{}}, []byte(text))
}

func TestStarter_IsAValidConfiguration(t *testing.T) {
	c, err := parse(starterConfig)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Recipients.List) != 4 || c.settleDays() != 3 {
		t.Errorf("recipients %d, settle days %d", len(c.Recipients.List), c.settleDays())
	}
	// What is commented out must be valid as well.
	var b strings.Builder
	for line := range strings.Lines(starterConfig) {
		if rest, found := strings.CutPrefix(line, "# jobs:"); found {
			line = "jobs:" + rest
		} else if rest, found := strings.CutPrefix(line, "#   - {"); found {
			line = "   - {" + rest
		} else if rest, found := strings.CutPrefix(line, "#      role"); found {
			line = "      role" + rest
		}
		b.WriteString(line)
	}
	if c, err := parse(b.String()); err != nil || len(c.Jobs) != 2 {
		t.Errorf("the commented jobs: %v", err)
	}
}

func TestConfig_TheContractKeysAreRead(t *testing.T) {
	c, err := parse(`
source: {kind: tables, path: ./in, settle_days: 0, lenient: true}
archive: {path: ./archive}
ledger: {path: ./tidemark.db}
partner: {name: Polder Cloud, locale: nl, timezone: Europe/Amsterdam, logo: ./logo.png, accent: "#0b6e4f"}
ownership: {file: owners.csv}
recipients: {file: people.csv}
roles: {sales_agent: {money: hide}}
cover: [{absent: anna@partner.example, by: bram@partner.example, from: 2026-12-21, to: 2027-01-04}]
mail: {kind: smtp, out: ./outbox, from: "Polder Cloud <usage@partner.example>", allow_domains: [partner.example], divert: ops@partner.example,
  smtp: {host: mail.partner.example, port: 587, tls: starttls, username: u, password: env:SMTP_PASSWORD}}
operators: {mail: [ops@partner.example], webhook: env:TEAMS_URL, ping: env:PING_URL}
web: {listen: "127.0.0.1:8440"}
jobs:
  - {name: nightly, cron: "30 2 * * *", do: extract}
  - {name: weekly-sales, cron: "0 7 * * MON", timezone: Europe/Amsterdam, do: digest, role: sales_agent, period: latest-7d,
     after: nightly, wait: 3h, otherwise: send, catch_up: latest, send: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.settleDays() != 0 || c.Recipients.File != "people.csv" || c.Roles["sales_agent"].Money != "hide" || !c.Jobs[1].Send || c.Mail.SMTP.Port != 587 {
		t.Errorf("read as %+v", c)
	}
}

func TestConfig_TwoSources(t *testing.T) {
	c, err := parse("sources: {inventory: {kind: tables, path: ./in}, usage: {kind: focus, path: ./exports, providers: [Microsoft, AWS]}}")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.usageConfig(); got.Kind != "focus" || !reflect.DeepEqual([]string(got.Providers), []string{"Microsoft", "AWS"}) {
		t.Errorf("usage source %+v", got)
	}
	if _, err := parse("sources: {inventory: {kind: focus, path: ./x}, usage: {kind: focus, path: ./x}}"); err == nil {
		t.Error("focus is accepted as an inventory")
	}
}

func TestConfig_PagesNeedAPlainAddress(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://pages.example.com": true, "https://pages.example.com/azure/": true, "https://pages.example.com:8443/a%20b": true,
		`https://x/a b"c`: false, "https://x/r?token=1": false, "https://x/r#f": false, "https://u:p@x/r": false, "http://x/r": false, "https:///r": false,
	} {
		if _, err := parse(fmt.Sprintf("source: {kind: sample}\npages: {path: p, base_url: %q}\n", base)); (err == nil) != ok {
			t.Errorf("pages.base_url %s: %v", base, err)
		}
	}
}

func TestConfig_OneAddressIsOneHoweverItIsWritten(t *testing.T) {
	for other, ok := range map[string]bool{
		"jo@xn--mller-kva.example": false, "JO@Müller.example": false, "jo@MÜLLER.example": false, "jo@muller.example": true, "ja@müller.example": true,
	} {
		_, err := parse(fmt.Sprintf("source: {kind: sample}\nrecipients:\n  - {address: jo@müller.example, role: admin_agent}\n  - {address: %s, role: admin_agent}\n", other))
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), "again for the same role") {
			t.Errorf("jo@müller.example and %s: %v", other, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(starterConfig)
	f.Add("source: {kind: tables, path: ./in}\nrecipients: {file: x}")
	f.Add("a: &a [*a]")
	f.Add("source: !!binary x\n---\n{}")
	f.Add("jobs: [{cron: \"TZ=0\"}]")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := parse(text)
		var problems *configError
		if err != nil && (!errors.As(err, &problems) || len(problems.problems) == 0) {
			t.Errorf("an error without a problem: %v", err)
		}
	})
}

func TestConfig_AnEmptyFileIsNamed(t *testing.T) {
	for _, text := range []string{"", "\n", "# only a remark\n", "---\n"} {
		file := filepath.Join(t.TempDir(), "tidemark.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := readConfig(file); err == nil || !strings.HasPrefix(err.Error(), file+": source: has no kind") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
