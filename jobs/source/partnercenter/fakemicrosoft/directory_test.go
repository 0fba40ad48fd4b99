package fakemicrosoft_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

// names reads a collection to its end and returns a property of each object.
func (f *fixture) names(tok, address, property string, header ...string) (names []string, pages int) {
	f.t.Helper()
	for address != "" {
		a := f.get(address, tok, header...)
		wantStatus(f.t, a, 200, "")
		o := a.object(f.t)
		for _, item := range o["value"].([]any) {
			name, _ := item.(map[string]any)[property].(string)
			names = append(names, name)
		}
		pages++
		address, _ = o["@odata.nextLink"].(string)
	}
	return names, pages
}

func TestDirectory_ListsGroupsMembersAndRoles(t *testing.T) {
	f := start(t, nil, Options{DirectoryPage: 2})
	tok := f.token(ResourceGraph)
	query := func(path string, q url.Values) string { return f.at.Graph + "/v1.0/" + path + "?" + q.Encode() }
	ids, _ := f.names(tok, query("groups", url.Values{"$filter": {"displayName eq 'salesagents'"}}), "id")
	if len(ids) != 1 {
		t.Fatalf("groups %v", ids)
	}
	members := "groups/" + ids[0] + "/transitiveMembers/microsoft.graph.user"
	ask := url.Values{"$count": {"true"}, "$select": {"id,mail,accountEnabled"}, "$top": {"999"}}
	mails, pages := f.names(tok, query(members, ask), "mail", "ConsistencyLevel", "eventual")
	slices.Sort(mails)
	if got := strings.Join(mails, " "); got != "anna@partner.example bram@partner.example gast@elsewhere.example otto@partner.example" || pages != 2 {
		t.Errorf("%d pages: %s", pages, got)
	}
	wantStatus(t, f.get(query(members, ask), tok), 400, "Request_UnsupportedQuery")
	wantStatus(t, f.get(query("groups", url.Values{"$filter": {"displayName ne 'x'"}}), tok), 400, "BadRequest")
	wantStatus(t, f.get(query("groups", url.Values{"$top": {"1000"}}), tok), 400, "BadRequest")
	wantStatus(t, f.get(query("groups/none", nil), tok), 404, "Request_ResourceNotFound")
	roles, _ := f.names(tok, query("directoryRoles", nil), "roleTemplateId")
	if !slices.Equal(roles, []string{GlobalAdministrator, UserAdministrator}) {
		t.Errorf("roles %v", roles)
	}
	mails, _ = f.names(tok, query("directoryRoles/"+GlobalAdministrator+"/members", nil), "mail")
	if !slices.Equal(mails, []string{"gerda@partner.example"}) {
		t.Errorf("global administrators %v", mails)
	}
	f.Expire()
	wantStatus(t, f.get(query("groups", nil), tok), 401, "InvalidAuthenticationToken")
}

func TestDirectory_TellsWhatThePermissionsAllow(t *testing.T) {
	f := start(t, nil, Options{Granted: []string{"GroupMember.Read.All"}})
	tok := f.token(ResourceGraph)
	group := f.p.Directory.Groups[0].ID
	names, _ := f.names(tok, f.at.Graph+"/v1.0/groups/"+group+"/transitiveMembers/microsoft.graph.user?$count=true", "displayName", "ConsistencyLevel", "eventual")
	if len(names) != 4 || strings.Join(names, "") != "" {
		t.Errorf("names %q, want four that are null", names)
	}
	for _, path := range []string{"directoryRoles", "users/" + f.p.Directory.Users[0].ID} {
		wantStatus(t, f.do(http.MethodGet, f.at.Graph+"/v1.0/"+path, tok, ""), 403, "Authorization_RequestDenied")
	}
}
