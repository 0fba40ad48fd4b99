package fakemicrosoft

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Template ids of directory roles, the same in every tenant (Microsoft Entra,
// built-in roles).
const (
	GlobalAdministrator = "62e90394-69f5-4237-9190-012177145e10"
	UserAdministrator   = "fe930be7-5e62-47db-91af-98c3a49a38b1"
)

// Directory is what Microsoft Entra knows of the partner's own people.
type Directory struct {
	Users  []*User
	Groups []*Group
	Roles  []*DirectoryRole // activated ones
}

// User is a person.
type User struct {
	ID       string
	Name     string
	Mail     string // empty: no mailbox
	UPN      string
	Language string // nl-NL; empty: not set
	Disabled bool
	Guest    bool
}

// Group is a security or Microsoft 365 group.
type Group struct {
	ID      string
	Name    string
	Members []string // ids of users, of groups, and of things that are neither
}

// DirectoryRole is a role that somebody was given at some time.
type DirectoryRole struct {
	ID       string
	Template string
	Name     string
	Members  []string
}

// Application permissions of Microsoft Graph that the directory asks for.
const (
	directoryRead = "Directory.Read.All"
	groupRead     = "GroupMember.Read.All"
	userRead      = "User.Read.All"
	roleRead      = "RoleManagement.Read.Directory"
)

// may reports whether the app was given one of the permissions.
func (s *Server) may(permissions ...string) bool {
	return s.opt.Granted == nil || slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(s.opt.Granted, p) })
}

// serveDirectory answers requests for groups, directory roles and users (Graph API
// reference: list groups, list transitive members, list directoryRoles and their
// members, get a user); false for any other request.
func (s *Server) serveDirectory(w http.ResponseWriter, r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, "/v1.0/")
	parts := strings.Split(path, "/")
	if !ok || r.Method != http.MethodGet || !slices.Contains([]string{"groups", "directoryRoles", "users"}, parts[0]) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, refused := &s.partner.Directory, func() {
		s.graphError(w, r, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	}
	switch {
	case parts[0] == "groups" && !s.may(groupRead, "Group.Read.All", directoryRead),
		parts[0] == "directoryRoles" && !s.may(roleRead, directoryRead),
		parts[0] == "users" && !s.may(userRead, directoryRead):
		refused()
	case path == "groups":
		s.listGroups(w, r, d)
	case path == "directoryRoles":
		var all []object
		for _, role := range d.Roles {
			all = append(all, object{"id": role.ID, "roleTemplateId": role.Template, "displayName": role.Name, "description": "", "deletedDateTime": nil})
		}
		s.writePage(w, r, "directoryRoles", all)
	case len(parts) == 2 && parts[0] == "groups":
		if g := d.group(parts[1]); g != nil {
			writeJSON(w, http.StatusOK, groupJSON(g))
		} else {
			s.notFound(w, r, parts[1])
		}
	case len(parts) == 2 && parts[0] == "users":
		if u := d.user(parts[1]); u != nil {
			writeJSON(w, http.StatusOK, chosen(userJSON(u), r.URL.Query().Get("$select")))
		} else {
			s.notFound(w, r, parts[1])
		}
	case len(parts) >= 3 && parts[0] == "groups" && parts[2] == "transitiveMembers":
		s.listTransitive(w, r, d, parts)
	case len(parts) == 3 && parts[0] == "directoryRoles" && parts[2] == "members":
		s.listRoleMembers(w, r, d, parts[1])
	default:
		s.graphError(w, r, 404, "ResourceNotFound", "Resource not found for the segment.")
	}
	return true
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request, id string) {
	s.graphError(w, r, 404, "Request_ResourceNotFound", "Resource '"+id+"' does not exist or one of its queried reference-property objects are not present.")
}

// listGroups filters by an equal display name.
func (s *Server) listGroups(w http.ResponseWriter, r *http.Request, d *Directory) {
	filter, name := r.URL.Query().Get("$filter"), ""
	if filter != "" {
		m := regexp.MustCompile(`^displayName eq '((?:[^']|'')*)'$`).FindStringSubmatch(filter)
		if m == nil {
			s.graphError(w, r, 400, "BadRequest", "Invalid filter clause.")
			return
		}
		name = strings.ReplaceAll(m[1], "''", "'")
	}
	var all []object
	for _, g := range d.Groups {
		if filter == "" || strings.EqualFold(g.Name, name) {
			all = append(all, chosen(groupJSON(g), r.URL.Query().Get("$select")))
		}
	}
	s.writePage(w, r, "groups", all)
}

// listTransitive lists everybody in a group and in the groups inside it. A cast to
// a type is an advanced query: it wants ConsistencyLevel and $count.
func (s *Server) listTransitive(w http.ResponseWriter, r *http.Request, d *Directory, parts []string) {
	g := d.group(parts[1])
	q := r.URL.Query()
	cast := len(parts) == 4
	switch {
	case g == nil:
		s.notFound(w, r, parts[1])
		return
	case len(parts) > 4 || cast && parts[3] != "microsoft.graph.user":
		s.graphError(w, r, 400, "Request_UnsupportedQuery", "Unsupported query.")
		return
	case cast && (!strings.EqualFold(r.Header.Get("ConsistencyLevel"), "eventual") || q.Get("$count") != "true"):
		s.graphError(w, r, 400, "Request_UnsupportedQuery", "The specified filter to the reference property query is currently not supported.")
		return
	}
	var all []object
	for _, id := range d.inside(g) {
		if o := s.member(d, id); o != nil && (!cast || o["@odata.type"] == "#microsoft.graph.user") {
			if cast {
				delete(o, "@odata.type")
			}
			all = append(all, chosen(o, q.Get("$select")))
		}
	}
	s.writePage(w, r, "directoryObjects", all)
}

// listRoleMembers lists who was given a role, with the properties that a listing has
// by default: accountEnabled and userType are not among them.
func (s *Server) listRoleMembers(w http.ResponseWriter, r *http.Request, d *Directory, id string) {
	i := slices.IndexFunc(d.Roles, func(x *DirectoryRole) bool { return x.ID == id || x.Template == id })
	if i < 0 {
		s.notFound(w, r, id)
		return
	}
	var all []object
	for _, id := range d.Roles[i].Members {
		o := s.member(d, id)
		delete(o, "accountEnabled")
		delete(o, "userType")
		all = append(all, o)
	}
	s.writePage(w, r, "directoryObjects", all)
}

// member is an object as a list of members has it. Of a type that the app may not
// read only the id is told, the rest is null.
func (s *Server) member(d *Directory, id string) object {
	kind, o, readable := "#microsoft.graph.servicePrincipal", object{"id": id, "displayName": "an app"}, true
	if u := d.user(id); u != nil {
		kind, o, readable = "#microsoft.graph.user", userJSON(u), s.may(userRead, directoryRead)
	} else if g := d.group(id); g != nil {
		kind, o, readable = "#microsoft.graph.group", groupJSON(g), s.may(groupRead, directoryRead)
	}
	if !readable {
		for key := range o {
			if key != "id" {
				o[key] = nil
			}
		}
	}
	o["@odata.type"] = kind
	return o
}

// inside returns the ids of all that is in a group, through groups in it, once each.
func (d *Directory) inside(g *Group) []string {
	var ids []string
	open := []*Group{g}
	for len(open) > 0 {
		for _, id := range open[0].Members {
			if slices.Contains(ids, id) {
				continue
			}
			ids = append(ids, id)
			if inner := d.group(id); inner != nil && inner != g {
				open = append(open, inner)
			}
		}
		open = open[1:]
	}
	return ids
}

func (d *Directory) user(id string) *User {
	if i := slices.IndexFunc(d.Users, func(u *User) bool { return u.ID == id || strings.EqualFold(u.UPN, id) }); i >= 0 {
		return d.Users[i]
	}
	return nil
}

func (d *Directory) group(id string) *Group {
	if i := slices.IndexFunc(d.Groups, func(g *Group) bool { return g.ID == id }); i >= 0 {
		return d.Groups[i]
	}
	return nil
}

func userJSON(u *User) object {
	orNull := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	kind := "Member"
	if u.Guest {
		kind = "Guest"
	}
	return object{"id": u.ID, "displayName": u.Name, "mail": orNull(u.Mail), "userPrincipalName": u.UPN, "accountEnabled": !u.Disabled,
		"userType": kind, "preferredLanguage": orNull(u.Language)}
}

func groupJSON(g *Group) object { return object{"id": g.ID, "displayName": g.Name} }

// chosen keeps the properties that $select names.
func chosen(o object, names string) object {
	if names == "" {
		return o
	}
	out := object{}
	for _, name := range strings.Split(names, ",") {
		if v, found := o[name]; found {
			out[name] = v
		}
	}
	if kind, found := o["@odata.type"]; found {
		out["@odata.type"] = kind
	}
	return out
}

// writePage writes one page of a collection: of $top, at most 999, else of 100. The
// caller holds the lock.
func (s *Server) writePage(w http.ResponseWriter, r *http.Request, kind string, all []object) {
	q := r.URL.Query()
	size := 100
	if top := q.Get("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 || n > 999 {
			s.graphError(w, r, 400, "BadRequest", "Invalid page size specified: '"+top+"'. Must be between 1 and 999 inclusive.")
			return
		}
		size = n
	}
	if s.opt.DirectoryPage > 0 {
		size = min(size, s.opt.DirectoryPage)
	}
	from := 0
	if token := q.Get("$skiptoken"); token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			from, err = strconv.Atoi(string(b))
		}
		if err != nil || from < 0 || from > len(all) {
			s.graphError(w, r, 400, "Directory_ExpiredPageToken", "The specified page token value has expired.")
			return
		}
	}
	to := min(from+size, len(all))
	page := object{"@odata.context": s.at.Graph + "/v1.0/$metadata#" + kind, "value": append([]object{}, all[from:to]...)}
	if to < len(all) {
		next := url.Values{}
		for key, v := range q {
			next[key] = v
		}
		next.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(to))))
		page["@odata.nextLink"] = s.at.Graph + r.URL.EscapedPath() + "?" + next.Encode()
	}
	writeJSON(w, http.StatusOK, page)
}

// newDirectory makes up the people of a partner, for trying by hand: two sales
// agents, one of them in a group inside the group, and one person for each other role.
func newDirectory() Directory {
	id := func(n string) string { return "0d1e0000-0000-4000-8000-0000000000" + n }
	return Directory{
		Users: []*User{
			{ID: id("01"), Name: "Anna de Vries", Mail: "anna@partner.example", UPN: "anna@partner.example", Language: "nl-NL"},
			{ID: id("02"), Name: "Bram Bakker", Mail: "bram@partner.example", UPN: "bram@partner.example", Language: "en-GB"},
			{ID: id("03"), Name: "Ada Admin", Mail: "ada@partner.example", UPN: "ada@partner.example"},
			{ID: id("04"), Name: "Umut Users", Mail: "umut@partner.example", UPN: "umut@partner.example"},
			{ID: id("05"), Name: "Gerda Global", Mail: "gerda@partner.example", UPN: "gerda@partner.example"},
			{ID: id("06"), Name: "Otto Oud", Mail: "otto@partner.example", UPN: "otto@partner.example", Disabled: true},
			{ID: id("07"), Name: "Gast", Mail: "gast@elsewhere.example", UPN: "gast_elsewhere.example#EXT#@partner.example", Guest: true},
			{ID: id("08"), Name: "Azure usage", Mail: "usage@partner.example", UPN: "usage@partner.example"},
		},
		Groups: []*Group{
			{ID: id("11"), Name: "SalesAgents", Members: []string{id("01"), id("13"), id("06"), id("07")}},
			{ID: id("12"), Name: "AdminAgents", Members: []string{id("03")}},
			{ID: id("13"), Name: "Sales South", Members: []string{id("02")}},
		},
		Roles: []*DirectoryRole{
			{ID: id("21"), Template: GlobalAdministrator, Name: "Global Administrator", Members: []string{id("05")}},
			{ID: id("22"), Template: UserAdministrator, Name: "User Administrator", Members: []string{id("04")}},
		},
	}
}
