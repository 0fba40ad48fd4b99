package entra_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "tidemark/jobs/entra"
	"tidemark/jobs/microsoft"
	fake "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const (
	anna, bram, ada, umut, gerda = "id-anna", "id-bram", "id-ada", "id-umut", "id-gerda"
	sales, south, admins         = "0d1e0000-0000-4000-8000-000000000011", "id-south", "id-admins"
)

func people() fake.Directory {
	user := func(id, name, language string) *fake.User {
		return &fake.User{ID: id, Name: name, Mail: strings.ToLower(name) + "@partner.example", UPN: strings.ToLower(name) + "@partner.example", Language: language}
	}
	return fake.Directory{
		Users: []*fake.User{user(anna, "Anna", "nl-NL"), user(bram, "Bram", ""), user(ada, "Ada", "en-GB"), user(umut, "Umut", ""), user(gerda, "Gerda", "")},
		Groups: []*fake.Group{
			{ID: sales, Name: "SalesAgents", Members: []string{anna, south, "a-device"}},
			{ID: south, Name: "Sales 'South'", Members: []string{bram, anna, sales}}, // in a circle, and somebody twice
			{ID: admins, Name: "AdminAgents", Members: []string{ada}},
		},
		Roles: []*fake.DirectoryRole{
			{ID: "role-1", Template: fake.GlobalAdministrator, Name: "Globale beheerder", Members: []string{gerda, ada, admins, "an-app"}},
			{ID: "role-2", Template: "00000000-0000-4000-8000-000000000099", Name: "Helpdesk Administrator", Members: []string{umut}},
		},
	}
}

// tenant is a tenant of the fake side, and a keeper of its people.
type tenant struct {
	*fake.Server
	Keeper
	partner *fake.Partner
	clock   time.Time
	slept   time.Duration
}

func newTenant(t *testing.T, o fake.Options) *tenant {
	t.Helper()
	e := &tenant{partner: &fake.Partner{TenantID: "t1", Directory: people()}, clock: time.Date(2026, 11, 16, 7, 0, 0, 0, time.UTC)}
	now := func() time.Time { return e.clock }
	e.Server = fake.NewWith(e.partner, now, o)
	at, err := e.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := microsoft.Open(microsoft.Options{
		Credentials: microsoft.Credentials{Tenant: "t1", ClientID: fake.DefaultClient, Secret: "client-secret"},
		Endpoints:   microsoft.Endpoints{Login: at.Login, API: at.API, Graph: at.Graph}, Now: now,
		Sleep: func(_ context.Context, d time.Duration) error { e.slept += d; e.clock = e.clock.Add(d); return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Keeper = Keeper{Path: filepath.Join(t.TempDir(), "recipients.json"), Directory: &Directory{Graph: m.Graph(), Now: now, Question: Question{
		Tenant: "t1", Domains: []string{"partner.example"},
		Roles: map[string]Wanted{"sales_agent": {Groups: []string{"SalesAgents"}}, "admin_agent": {Groups: []string{"AdminAgents"}},
			"global_admin": {DirectoryRoles: []string{"Global Administrator"}}, "user_admin": {DirectoryRoles: []string{"User Administrator"}}}}}}
	return e
}

// who lists the addresses of each role.
func who(l List) map[string]string {
	all := map[string]string{}
	for role, r := range l.Roles {
		var names []string
		for _, p := range r.People {
			name, _, _ := strings.Cut(p.Address, "@")
			names = append(names, name)
		}
		all[role] = strings.Join(names, " ")
	}
	return all
}

func (e *tenant) must(t *testing.T) Answer {
	t.Helper()
	a, err := e.Keeper.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRead_FindsEverybodyOfEachRole(t *testing.T) {
	e := newTenant(t, fake.Options{DirectoryPage: 1})
	a := e.must(t)
	want := map[string]string{"sales_agent": "anna bram", "admin_agent": "ada", "global_admin": "ada gerda", "user_admin": ""}
	if diff := cmp.Diff(want, who(a.List)); diff != "" || a.Failed != nil || len(a.Warnings) > 0 {
		t.Errorf("-want +got:\n%s\n%v %q", diff, a.Failed, a.Warnings)
	}
	if p := a.Roles["sales_agent"].People[0]; p.Language != "nl-NL" || p.Name != "Anna" || !slices.Equal(p.Via, []string{"group SalesAgents"}) {
		t.Errorf("%+v", p)
	}
	if via := a.Roles["global_admin"].People[0].Via; len(via) != 1 { // herself, and by a group that has the role
		t.Errorf("ada by %q", via)
	}
	info, err := os.Stat(e.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if leaks := e.Leaks(); len(leaks) > 0 {
		t.Errorf("leaks %v", leaks)
	}
}

func TestRead_FindsByIDNameAndTemplate(t *testing.T) {
	e := newTenant(t, fake.Options{})
	e.Roles = map[string]Wanted{
		"sales_agent": {Groups: []string{strings.ToUpper(sales)}},
		"admin_agent": {Groups: []string{"Sales 'South'", "AdminAgents"}, DirectoryRoles: []string{fake.GlobalAdministrator}},
		"user_admin":  {DirectoryRoles: []string{"helpdesk administrator"}},
	}
	want := map[string]string{"sales_agent": "anna bram", "admin_agent": "ada anna bram gerda", "user_admin": "umut"}
	a := e.must(t)
	if diff := cmp.Diff(want, who(a.List)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if via := a.Roles["admin_agent"].People[0].Via; len(via) != 2 {
		t.Errorf("ada by %q, want the group and the role", via)
	}
}

func TestRead_LeavesOutWhoCannotBeMailed(t *testing.T) {
	cases := map[string]struct {
		change func(*fake.User)
		why    string
		odd    bool
		guests bool
	}{
		"an account that is disabled":          {func(u *fake.User) { u.Disabled = true }, "disabled", false, false},
		"a guest":                              {func(u *fake.User) { u.Guest = true }, "guest", false, false},
		"a guest who is wanted":                {func(u *fake.User) { u.Guest = true }, "", false, true},
		"no mail, a user name that is allowed": {func(u *fake.User) { u.Mail = "" }, "", false, false},
		"no mail, a user name that is not":     {func(u *fake.User) { u.Mail, u.UPN = "", "anna@tenant.onmicrosoft.example" }, "no mail address", true, false},
		"mail elsewhere":                       {func(u *fake.User) { u.Mail = "anna@elsewhere.example" }, "mail.allow_domains", true, false},
		"mail that looks allowed":              {func(u *fake.User) { u.Mail = "anna@elsewhere.example@partner.example" }, "none that every mail server takes", true, false},
		"an address with another one behind":   {func(u *fake.User) { u.Mail = "anna@partner.example, eve@partner.example" }, "none that every mail server takes", true, false},
		"an address with a name":               {func(u *fake.User) { u.Mail = "Eve <anna@partner.example>" }, "none that every mail server takes", true, false},
		"an address with a line break":         {func(u *fake.User) { u.Mail = "anna@partner.example\r\nBcc: eve@partner.example" }, "none that every mail server takes", true, false},
		"the address of somebody else":         {func(u *fake.User) { u.Mail = "BRAM@partner.example" }, "", false, false}, // Bram's id comes later
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := newTenant(t, fake.Options{})
			e.Guests = c.guests
			e.Update(func(p *fake.Partner) { c.change(p.Directory.Users[0]) })
			a := e.must(t)
			role := a.Roles["sales_agent"]
			if name == "the address of somebody else" {
				if len(role.People) != 1 || len(role.LeftOut) != 1 || !role.LeftOut[0].Odd || len(a.Warnings) != 1 {
					t.Errorf("%+v", role)
				}
				return
			}
			if c.why == "" {
				if len(role.LeftOut) != 0 || role.People[0].Address != "anna@partner.example" {
					t.Errorf("%+v", role)
				}
				return
			}
			if len(role.People) != 1 || len(role.LeftOut) != 1 || !strings.Contains(role.LeftOut[0].Why, c.why) || role.LeftOut[0].Odd != c.odd {
				t.Fatalf("%+v", role)
			}
			if c.odd != (len(a.Warnings) == 1) {
				t.Errorf("warnings %q", a.Warnings)
			}
		})
	}
}

func TestRead_SaysWhatIsWrong(t *testing.T) {
	cases := map[string]struct {
		granted []string
		change  func(*fake.Partner)
		want    []string
	}{
		"a name that two groups have": {change: func(p *fake.Partner) {
			p.Directory.Groups = append(p.Directory.Groups, &fake.Group{ID: "id-other", Name: "salesagents"})
		}, want: []string{"2 groups have this name", sales, "id-other"}},
		"a group that is gone": {change: func(p *fake.Partner) { p.Directory.Groups = p.Directory.Groups[:2] },
			want: []string{`admin_agent: group "AdminAgents": no group of the tenant has this name`}},
		"no permission for groups":  {granted: []string{"User.Read.All", "RoleManagement.Read.Directory"}, want: []string{"GroupMember.Read.All"}},
		"no permission for users":   {granted: []string{"GroupMember.Read.All", "RoleManagement.Read.Directory"}, want: []string{"User.Read.All"}},
		"no permission for roles":   {granted: []string{"GroupMember.Read.All", "User.Read.All"}, want: []string{"RoleManagement.Read.Directory"}},
		"one permission for all":    {granted: []string{"Directory.Read.All"}},
		"the least permissions":     {granted: []string{"GroupMember.Read.All", "User.Read.All", "RoleManagement.Read.Directory"}},
		"no permission of any kind": {granted: []string{}, want: []string{"403"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := newTenant(t, fake.Options{Granted: c.granted})
			if c.change != nil {
				e.Update(c.change)
			}
			_, err := e.Keeper.Read(t.Context())
			if (err == nil) != (c.want == nil) {
				t.Fatalf("err = %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q", err, want)
				}
			}
		})
	}
}

func TestRead_OutlastsWhatGoesWrongForAMoment(t *testing.T) {
	faults := map[string]fake.Fault{
		"throttling":            fake.TooMany(40).On(fake.Graph, "transitiveMembers"),
		"a bad gateway":         fake.Failing(502).On(fake.Graph, "groups"),
		"a dropped connection":  fake.Dropped().On(fake.Graph, "members"),
		"a body that breaks":    fake.CutAt(40).On(fake.Graph, "transitiveMembers"),
		"a token that is ended": fake.Refused(401, "").On(fake.Graph, "groups").At(2),
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			e := newTenant(t, fake.Options{DirectoryPage: 1})
			e.Script(f)
			if got := who(e.must(t).List)["sales_agent"]; got != "anna bram" {
				t.Errorf("sales agents %q", got)
			}
			if p := e.Pending(); len(p) > 0 {
				t.Errorf("%v never struck", p)
			}
			if name == "throttling" && e.slept < 40*time.Second {
				t.Errorf("waited %s, want the 40 s that were asked for", e.slept)
			}
		})
	}
}

func TestRead_FollowsALinkOnTheSameHostOnly(t *testing.T) {
	e := newTenant(t, fake.Options{DirectoryPage: 1})
	evil := func(body []byte) []byte {
		return []byte(strings.ReplaceAll(string(body), "http://127.0.0.1", "http://elsewhere.example"))
	}
	e.Script(fake.Fault{Name: "another host", Host: fake.Graph, Path: sales + "/transitiveMembers", Edit: evil})
	if _, err := e.Keeper.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("err = %v", err)
	}
}

func TestKeeper_GivesTheLastListForAWhile(t *testing.T) {
	e := newTenant(t, fake.Options{})
	first := e.must(t)
	e.Update(func(p *fake.Partner) { p.Directory.Groups[2].Members = nil })
	e.Script(fake.Refused(403, "").On(fake.Graph, "/groups").Repeated(-1))
	e.clock = e.clock.Add(6 * 24 * time.Hour)
	a := e.must(t)
	if diff := cmp.Diff(first.Roles, a.Roles); diff != "" || a.Failed == nil || len(a.Warnings) != 1 ||
		!strings.Contains(a.Warnings[0], "those of 2026-11-16T07:00:00Z") || !strings.Contains(a.Warnings[0], "GroupMember.Read.All") {
		t.Errorf("-want +got:\n%s\n%q", diff, a.Warnings)
	}
	e.clock = e.clock.Add(2 * 24 * time.Hour)
	if _, err := e.Keeper.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "older than recipients.entra.max_age") {
		t.Errorf("err = %v", err)
	}
	e.ClearScript()
	a = e.must(t)
	if got := who(a.List)["admin_agent"]; got != "" || a.Failed != nil || a.Before == nil || len(a.Before.Roles["admin_agent"].People) != 1 {
		t.Errorf("%+v", a)
	}
	if again := e.must(t); again.Before.At != a.At {
		t.Errorf("the list before is of %s, want %s", again.Before.At, a.At)
	}
}

// TestKeeper_TheLastListAnswersTheSameQuestion keeps a list from giving people what the
// configuration does not give them any more.
func TestKeeper_TheLastListAnswersTheSameQuestion(t *testing.T) {
	for name, change := range map[string]func(*Keeper){
		"other groups":  func(k *Keeper) { k.Roles = map[string]Wanted{"sales_agent": {Groups: []string{south}}} },
		"other domains": func(k *Keeper) { k.Domains = nil },
		"guests":        func(k *Keeper) { k.Guests = true },
		"other tenant":  func(k *Keeper) { k.Tenant = "t2" },
	} {
		e := newTenant(t, fake.Options{})
		e.must(t)
		e.Script(fake.Refused(403, "").On(fake.Graph, "").Repeated(-1))
		e.must(t)
		change(&e.Keeper)
		if _, err := e.Keeper.Read(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestKeeper_WhenNobodyAnswers has every request broken off, for as long as it is tried.
func TestKeeper_WhenNobodyAnswers(t *testing.T) {
	e := newTenant(t, fake.Options{})
	e.must(t)
	e.Script(fake.Dropped().On(fake.Graph, "").Repeated(-1))
	began := e.clock
	a := e.must(t)
	if a.Failed == nil || who(a.List)["sales_agent"] != "anna bram" {
		t.Errorf("%+v", a)
	}
	e.ClearScript()
	e.Script(fake.TooMany(900).On(fake.Graph, "").Repeated(-1)) // asks for longer than a reading may take
	if a := e.must(t); a.Failed == nil || e.clock.Sub(began) > 10*time.Minute {
		t.Errorf("%v after %s", a.Failed, e.clock.Sub(began))
	}
}

func TestRead_CleansNames(t *testing.T) {
	e := newTenant(t, fake.Options{})
	e.Update(func(p *fake.Partner) {
		p.Directory.Users[0].Name = "  Anna\r\nBcc:\u202e eve " + strings.Repeat("x", 500)
	})
	if name := e.must(t).Roles["sales_agent"].People[0].Name; strings.ContainsAny(name, "\r\n\u202e") || !strings.HasPrefix(name, "Anna Bcc: eve x") || len(name) != 100 {
		t.Errorf("%q", name)
	}
}

func TestKeeper_ABrokenFileIsNoReasonToMailNobody(t *testing.T) {
	e := newTenant(t, fake.Options{})
	if err := os.WriteFile(e.Path, []byte(`{"at": `), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Script(fake.Refused(403, "").On(fake.Graph, "").Repeated(-1))
	if _, err := e.Keeper.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be used either") {
		t.Errorf("err = %v", err)
	}
	e.ClearScript()
	e.must(t)
	e.Path = filepath.Join(t.TempDir(), "none", "recipients.json")
	if a := e.must(t); len(a.Warnings) != 1 || !strings.Contains(a.Warnings[0], "cannot be kept") {
		t.Errorf("warnings %q", a.Warnings)
	}
}

func TestKeeper_AStopIsNoFailureOfGraph(t *testing.T) {
	e := newTenant(t, fake.Options{})
	e.must(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Keeper.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}
