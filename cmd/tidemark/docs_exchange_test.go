package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// exchange stands in for Exchange Online, as far as the commands go that the docs show: what each
// takes, and what an app may do afterwards (Microsoft's reference of the module
// ExchangeOnlineManagement).
type exchange struct {
	principals map[string]string          // application id by object id
	scopes     map[string]string          // the one mailbox of a management scope, by its name
	roles      map[string]map[string]bool // mailboxes by role and object id, as "role object"
	access     map[string]bool            // full access, as "mailbox object"
	smtp, imap map[string]bool            // by mailbox
}

func newExchange() *exchange {
	return &exchange{map[string]string{}, map[string]string{}, map[string]map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
}

// cmdlets are the parameters of each command, those that it wants first.
func cmdlets() map[string]struct{ wants, takes []string } {
	return map[string]struct{ wants, takes []string }{
		"Connect-ExchangeOnline":             {},
		"New-ServicePrincipal":               {wants: []string{"AppId", "ObjectId"}, takes: []string{"DisplayName"}},
		"New-ManagementScope":                {wants: []string{"Name", "RecipientRestrictionFilter"}},
		"New-ManagementRoleAssignment":       {wants: []string{"App", "Role"}, takes: []string{"CustomResourceScope"}},
		"Test-ServicePrincipalAuthorization": {wants: []string{"Identity"}, takes: []string{"Resource"}},
		"Add-MailboxPermission":              {wants: []string{"Identity", "User", "AccessRights"}},
		"Set-CASMailbox":                     {wants: []string{"Identity"}, takes: []string{"SmtpClientAuthenticationDisabled", "ImapEnabled"}},
	}
}

// run runs one command, and returns what it prints.
func (x *exchange) run(line string) (out string, err error) {
	command, pipe, piped := strings.Cut(line, " | ")
	if piped && pipe != "Format-Table" {
		return "", fmt.Errorf("%s is not known", pipe)
	}
	words := shellWords(command)
	known, found := cmdlets()[words[0]]
	if !found || len(words)%2 == 0 {
		return "", fmt.Errorf("%s is not known, or a parameter has no value", words[0])
	}
	p := map[string]string{}
	for i := 1; i < len(words); i += 2 {
		name, isName := strings.CutPrefix(words[i], "-")
		if !isName || !slices.Contains(slices.Concat(known.wants, known.takes), name) {
			return "", fmt.Errorf("%s has no parameter %s", words[0], words[i])
		}
		p[name] = words[i+1]
	}
	for _, name := range known.wants {
		if p[name] == "" {
			return "", fmt.Errorf("%s wants -%s", words[0], name)
		}
	}
	return x.do(words[0], p)
}

func (x *exchange) do(cmdlet string, p map[string]string) (string, error) {
	principal := func(object string) error {
		if x.principals[object] == "" {
			return fmt.Errorf("%s: there is no service principal %s", cmdlet, object)
		}
		return nil
	}
	switch cmdlet {
	case "New-ServicePrincipal":
		x.principals[p["ObjectId"]] = p["AppId"]
	case "New-ManagementScope":
		only := regexp.MustCompile(`^PrimarySmtpAddress -eq '([^']+)'$`).FindStringSubmatch(p["RecipientRestrictionFilter"])
		if only == nil {
			return "", fmt.Errorf("%s: the filter %q is of more than one mailbox", cmdlet, p["RecipientRestrictionFilter"])
		}
		x.scopes[p["Name"]] = only[1]
	case "New-ManagementRoleAssignment":
		mailbox, found := x.scopes[p["CustomResourceScope"]]
		if !found || !slices.Contains([]string{"Application Mail.Send", "Application Mail.ReadWrite"}, p["Role"]) {
			return "", fmt.Errorf("%s: there is no scope %q or role %q", cmdlet, p["CustomResourceScope"], p["Role"])
		}
		x.roles[p["Role"]+" "+p["App"]] = map[string]bool{mailbox: true}
		return "", principal(p["App"])
	case "Test-ServicePrincipalAuthorization":
		return fmt.Sprintf("InScope: %s", map[bool]string{true: "True", false: "False"}[x.mayMail(p["Identity"], p["Resource"])]), principal(p["Identity"])
	case "Add-MailboxPermission":
		if p["AccessRights"] != "FullAccess" {
			return "", fmt.Errorf("%s: %s is not enough", cmdlet, p["AccessRights"])
		}
		x.access[p["Identity"]+" "+p["User"]] = true
		return "", principal(p["User"])
	case "Set-CASMailbox":
		for name, set := range map[string]func(bool){"SmtpClientAuthenticationDisabled": func(off bool) { x.smtp[p["Identity"]] = !off }, "ImapEnabled": func(on bool) { x.imap[p["Identity"]] = on }} {
			if value := p[name]; value == "$true" || value == "$false" {
				set(value == "$true")
			} else if value != "" {
				return "", fmt.Errorf("%s: -%s %s", cmdlet, name, value)
			}
		}
	}
	return "", nil
}

// mayMail reports whether an app may send as a mailbox, through Graph.
func (x *exchange) mayMail(object, mailbox string) bool {
	return x.roles["Application Mail.Send "+object][mailbox]
}

// TestDocs_ExchangeCommands runs each block of docs/microsoft365.md for Exchange Online's own shell,
// and asks what the app may do then.
func TestDocs_ExchangeCommands(t *testing.T) {
	const mailbox, other, object = "usage@partner.example", "somebody@partner.example", "OBJECT-ID"
	b, err := os.ReadFile(filepath.Join(root, "docs", "microsoft365.md"))
	if err != nil {
		t.Fatal(err)
	}
	var after []*exchange
	for _, block := range regexp.MustCompile("(?s)```powershell\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		x := newExchange()
		for line := range strings.Lines(strings.TrimRight(block[1], " ")) {
			command, says, _ := strings.Cut(line, "#")
			got, err := x.run(strings.TrimSpace(command))
			if err != nil || got != strings.TrimSpace(says) {
				t.Errorf("%s: %q, %v", strings.TrimSpace(line), got, err)
			}
		}
		after = append(after, x)
	}
	if len(after) != 3 {
		t.Fatalf("%d blocks, want 3: Graph, SMTP, IMAP", len(after))
	}
	graph, smtp, imap := after[0], after[1], after[2]
	if !smtp.access[mailbox+" "+object] || !smtp.smtp[mailbox] || smtp.imap[mailbox] {
		t.Errorf("the app may not send as %s over SMTP: %+v", mailbox, smtp)
	}
	if !imap.access[mailbox+" "+object] || !imap.imap[mailbox] || imap.smtp[mailbox] {
		t.Errorf("the app may not read %s over IMAP: %+v", mailbox, imap)
	}
	may := []string{}
	for _, m := range []string{mailbox, other} {
		if graph.mayMail(object, m) {
			may = append(may, m)
		}
	}
	for from, want := range map[string]string{mailbox: "Microsoft Graph lets us send", other: "problem  mail.graph"} {
		s := newSandbox(t)
		s.tenant(fakemicrosoft.Options{SendAs: may}, `client_secret: "file:secret"`)
		config, err := os.ReadFile(filepath.Join(s.dir, "tidemark.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		s.write("tidemark.yaml", string(config)+"mail: {kind: graph, from: "+from+"}\n")
		if _, out := s.run([]string{"check"}); !strings.Contains(out, want) {
			t.Errorf("mail from %s: no %q in\n%s", from, want, out)
		}
	}
}
