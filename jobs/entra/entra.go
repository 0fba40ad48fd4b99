// Package entra reads from a tenant of Microsoft Entra who has which role.
//
//  1. A [Directory] asks Microsoft Graph for the groups and directory roles that the
//     configuration gives each role, and for everybody in them, through groups in
//     groups;
//  2. whoever cannot be mailed is left out, with the reason;
//  3. a [Keeper] keeps the [List] in a file, and falls back on the one before for
//     some days when Graph cannot be read.
//
// Names and addresses are whatever the tenant's administrators and guests typed.
package entra

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	netmail "net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"tidemark/jobs/microsoft"
	"tidemark/reports/mail"
)

// Wanted names where the people of a role are.
type Wanted struct {
	Groups         []string `json:"groups,omitempty"`          // by display name or object id
	DirectoryRoles []string `json:"directory_roles,omitempty"` // by name or template id, e.g. "Global Administrator"
}

// Empty reports whether nobody is wanted.
func (w Wanted) Empty() bool { return len(w.Groups)+len(w.DirectoryRoles) == 0 }

// Question is what is asked of a tenant. A list answers one question only.
type Question struct {
	Tenant  string            `json:"tenant"`
	Roles   map[string]Wanted `json:"roles"`             // by role, e.g. "sales_agent"
	Guests  bool              `json:"guests,omitempty"`  // guests are people, too
	Domains []string          `json:"domains,omitempty"` // where mail may go; empty: anywhere
}

// List is who has which role, as it was read at a time.
type List struct {
	At    time.Time       `json:"at"`
	Asked Question        `json:"asked"`
	Roles map[string]Role `json:"roles"`
}

// Role is who has one role, by address, and who of them is left out.
type Role struct {
	People  []Person  `json:"people"`
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// Person is somebody who can be mailed.
type Person struct {
	ID       string   `json:"id"`
	Address  string   `json:"address"`
	Name     string   `json:"name"`
	Language string   `json:"language,omitempty"` // e.g. nl-NL; empty: not set
	Via      []string `json:"via"`                // e.g. "group SalesAgents"
}

// LeftOut is somebody who has a role and gets no mail.
type LeftOut struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Why  string `json:"why"`
	Odd  bool   `json:"odd,omitempty"` // somebody should look at it
}

// Directory asks a tenant.
type Directory struct {
	Graph *microsoft.API
	Question
	Now func() time.Time
}

// user is a person as Graph has it.
type user struct {
	Kind      string `json:"@odata.type"`
	ID        string `json:"id"`
	Name      string `json:"displayName"`
	Mail      string `json:"mail"`
	Principal string `json:"userPrincipalName"`
	Enabled   *bool  `json:"accountEnabled"`
	Type      string `json:"userType"`
	Language  string `json:"preferredLanguage"`
}

const userFields = "id,displayName,mail,userPrincipalName,accountEnabled,userType,preferredLanguage"

// longestRead bounds the time of one reading, waits that Graph asks for included.
const longestRead = 5 * time.Minute

// Read asks who has which role. The error names the first role that cannot be read.
func (d *Directory) Read(ctx context.Context) (List, error) {
	d.Graph.Client.Allow(d.Now().Add(longestRead))
	d.Graph.Hint = hint
	r := &reading{Directory: d, groups: map[string][]user{}}
	list := List{At: d.Now().UTC().Truncate(time.Second), Asked: d.Question, Roles: map[string]Role{}}
	for _, name := range slices.Sorted(maps.Keys(d.Roles)) {
		if d.Roles[name].Empty() {
			continue
		}
		role, err := r.role(ctx, d.Roles[name])
		if err != nil {
			return List{}, fmt.Errorf("read who is %s: %w", name, err)
		}
		list.Roles[name] = role
	}
	return list, nil
}

// reading is one Read: what is asked for twice is read once.
type reading struct {
	*Directory
	groups map[string][]user // members, by id
	roles  []directoryRole   // nil until they are needed
}

type directoryRole struct {
	ID       string `json:"id"`
	Template string `json:"roleTemplateId"`
	Name     string `json:"displayName"`
}

func (r *reading) role(ctx context.Context, w Wanted) (Role, error) {
	found, via := map[string]user{}, map[string][]string{}
	add := func(from string, users []user) {
		for _, u := range users {
			if u.ID != "" && !slices.Contains(via[u.ID], from) {
				found[u.ID], via[u.ID] = u, append(via[u.ID], from)
			}
		}
	}
	for _, name := range w.Groups {
		id, err := r.groupID(ctx, name)
		if err != nil {
			return Role{}, err
		}
		users, err := r.members(ctx, id)
		if err != nil {
			return Role{}, fmt.Errorf("group %q: %w", name, err)
		}
		add("group "+name, users)
	}
	for _, name := range w.DirectoryRoles {
		users, err := r.holders(ctx, name)
		if err != nil {
			return Role{}, fmt.Errorf("directory role %q: %w", name, err)
		}
		add("directory role "+name, users)
	}
	return r.sort(found, via)
}

// sort says of everybody whether and where they are mailed.
func (r *reading) sort(found map[string]user, via map[string][]string) (Role, error) {
	role := Role{People: []Person{}}
	by := map[string]string{} // ids by address
	for _, id := range slices.Sorted(maps.Keys(found)) {
		u := found[id]
		u.Name = clean(u.Name)
		if u.Name == "" && u.Mail == "" && u.Principal == "" && u.Enabled == nil {
			return role, errors.New("people are named by their ids only: give the app registration the application permission User.Read.All, and grant admin consent")
		}
		address, why, odd := r.addressOf(u)
		if why == "" && by[mail.Key(address)] != "" {
			why, odd = "has the address of "+by[mail.Key(address)], true
		}
		if why != "" {
			role.LeftOut = append(role.LeftOut, LeftOut{ID: id, Name: cmp.Or(u.Name, u.Principal, id), Why: why, Odd: odd})
			continue
		}
		by[mail.Key(address)] = id
		role.People = append(role.People, Person{ID: id, Address: address, Name: u.Name, Language: u.Language, Via: via[id]})
	}
	slices.SortFunc(role.People, func(a, b Person) int { return cmp.Compare(mail.Key(a.Address), mail.Key(b.Address)) })
	return role, nil
}

// addressOf is where a person is mailed, or why not; odd where somebody should look
// at it.
func (r *reading) addressOf(u user) (address, why string, odd bool) {
	switch {
	case u.Enabled == nil:
		return "", "Graph does not say whether the account is enabled", true
	case !*u.Enabled:
		return "", "the account is disabled", false
	case strings.EqualFold(u.Type, "Guest") && !r.Guests:
		return "", "is a guest", false
	}
	address = u.Mail
	if address == "" && len(r.Domains) > 0 && r.allowed(u.Principal) {
		address = u.Principal
	}
	switch a, err := netmail.ParseAddress(address); {
	case address == "":
		return "", "has no mail address", true
	case err != nil || a.Address != address || mail.CheckAddress(address) != nil:
		return "", fmt.Sprintf("the mail address %q is none that every mail server takes", microsoft.Shorten(address)), true
	case !r.allowed(address):
		return "", fmt.Sprintf("%s is not in mail.allow_domains", address), true
	}
	return address, "", false
}

// clean is a name without what would break a line or a header.
func clean(name string) string {
	const most = 100
	name = strings.Join(strings.FieldsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || unicode.In(r, unicode.Cf) }), " ")
	if r := []rune(name); len(r) > most {
		return string(r[:most])
	}
	return name
}

// allowed reports whether mail may go to an address.
func (r *reading) allowed(address string) bool {
	_, domain, _ := strings.Cut(address, "@")
	is, err := mail.ASCIIDomain(domain)
	return len(r.Domains) == 0 || err == nil && slices.ContainsFunc(r.Domains, func(d string) bool {
		allowed, err := mail.ASCIIDomain(d)
		return err == nil && allowed == is
	})
}

// isID reports whether a name is an object id.
func isID(name string) bool {
	return regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString(name)
}

// groupID is the id of a group, which a display name need not be enough for.
func (r *reading) groupID(ctx context.Context, name string) (string, error) {
	if isID(name) {
		return strings.ToLower(name), nil
	}
	filter := url.Values{"$filter": {"displayName eq '" + strings.ReplaceAll(name, "'", "''") + "'"}, "$select": {"id,displayName"}}
	groups, err := microsoft.Collection[struct{ ID string }](ctx, r.Graph, "groups?"+filter.Encode(), nil)
	if err != nil {
		return "", fmt.Errorf("group %q: %w", name, err)
	}
	switch ids := idsOf(groups); len(ids) {
	case 0:
		return "", fmt.Errorf("group %q: no group of the tenant has this name", name)
	case 1:
		return ids[0], nil
	default:
		return "", fmt.Errorf("group %q: %d groups have this name; write the id of the right one: %s", name, len(ids), strings.Join(ids, ", "))
	}
}

func idsOf(groups []struct{ ID string }) (ids []string) {
	for _, g := range groups {
		ids = append(ids, g.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// members are the people in a group and in the groups in it. A list of one type is an
// advanced query (https://learn.microsoft.com/graph/aad-advanced-queries).
func (r *reading) members(ctx context.Context, id string) ([]user, error) {
	if users, read := r.groups[id]; read {
		return users, nil
	}
	q := url.Values{"$select": {userFields}, "$count": {"true"}, "$top": {"999"}}
	users, err := microsoft.Collection[user](ctx, r.Graph, "groups/"+url.PathEscape(id)+"/transitiveMembers/microsoft.graph.user?"+q.Encode(),
		map[string][]string{"Consistencylevel": {"eventual"}})
	if err == nil {
		r.groups[id] = users
	}
	return users, err
}

// holders are the people who have a directory role, themselves or by a group. A role
// that nobody was ever given is not in the tenant: nobody has it.
func (r *reading) holders(ctx context.Context, name string) ([]user, error) {
	if r.roles == nil {
		roles, err := microsoft.Collection[directoryRole](ctx, r.Graph, "directoryRoles", nil)
		if err != nil {
			return nil, err
		}
		r.roles = append([]directoryRole{}, roles...)
	}
	want := cmp.Or(templateOf(name), name)
	i := slices.IndexFunc(r.roles, func(role directoryRole) bool {
		return strings.EqualFold(role.Template, want) || strings.EqualFold(role.Name, name)
	})
	if i < 0 {
		return nil, nil
	}
	// A list of members lacks what tells whether an account is enabled.
	members, err := microsoft.Collection[user](ctx, r.Graph, "directoryRoles/"+url.PathEscape(r.roles[i].ID)+"/members", nil)
	if err != nil {
		return nil, err
	}
	var all []user
	for _, m := range members {
		switch m.Kind {
		case "#microsoft.graph.user":
			u, err := r.user(ctx, m.ID)
			if err != nil {
				return nil, err
			}
			all = append(all, u)
		case "#microsoft.graph.group":
			inside, err := r.members(ctx, m.ID)
			if err != nil {
				return nil, err
			}
			all = append(all, inside...)
		}
	}
	return all, nil
}

func (r *reading) user(ctx context.Context, id string) (u user, err error) {
	at, err := r.Graph.Resolve("users/" + url.PathEscape(id) + "?" + url.Values{"$select": {userFields}}.Encode())
	if err == nil {
		_, err = r.Graph.Get(ctx, at, nil, &u)
	}
	return u, err
}

// templateOf is the template id of a directory role by its English name, for tenants
// that show another one ("" for roles that are not the defaults).
func templateOf(name string) string {
	switch {
	case strings.EqualFold(name, "Global Administrator"):
		return "62e90394-69f5-4237-9190-012177145e10"
	case strings.EqualFold(name, "User Administrator"):
		return "fe930be7-5e62-47db-91af-98c3a49a38b1"
	}
	return ""
}

// same reports whether two questions are the same.
func (q Question) same(other Question) bool {
	a, errA := json.Marshal(q)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && string(a) == string(b)
}

func sortedRoles(roles map[string]Role) []string { return slices.Sorted(maps.Keys(roles)) }
