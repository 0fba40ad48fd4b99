package fakemicrosoft_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

const usage = "usage@partner.example"

func TestInbox_ListsReadsAndMarks(t *testing.T) {
	f := start(t, nil, Options{DirectoryPage: 2})
	tok := f.token(ResourceGraph)
	for i := range 5 {
		if err := f.Receive(usage, fmt.Appendf(nil, "Subject: %d\r\n\r\nbody %d\r\n", i, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Receive("anna@partner.example", []byte("Subject: hers\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := f.Receive("nobody@partner.example", nil); err == nil {
		t.Error("a mailbox that there is not has received")
	}
	box := f.at.Graph + "/v1.0/users/" + usage
	unread := box + "/mailFolders/inbox/messages?%24filter=isRead+eq+false&%24top=100"
	subjects, pages := f.names(tok, unread, "subject")
	if !slices.Equal(subjects, []string{"4", "3", "2", "1", "0"}) || pages != 3 {
		t.Fatalf("%d pages of %q, want the newest first on three", pages, subjects)
	}
	ids, _ := f.names(tok, unread+"&%24select=id", "id")
	if a := f.get(box+"/messages/"+ids[1]+"/$value", tok); a.body != "Subject: 3\r\n\r\nbody 3\r\n" || a.header.Get("Content-Type") != "text/plain" {
		t.Errorf("MIME %q", a.body)
	}
	mark := func(id, body string) answer {
		return f.do(http.MethodPatch, box+"/messages/"+id, tok, body, "Content-Type", "application/json")
	}
	wantStatus(t, mark(ids[1], `{"isRead": true}`), 200, `"isRead":true`)
	if subjects, _ = f.names(tok, unread, "subject"); len(subjects) != 4 || slices.Contains(subjects, "3") || f.Unread(usage) != 4 {
		t.Errorf("not read: %q", subjects)
	}
	wantStatus(t, mark(ids[1], `{}`), 400, "RequestBodyRead")
	wantStatus(t, mark("none", `{"isRead": true}`), 404, "ErrorItemNotFound")
	wantStatus(t, f.get(f.at.Graph+"/v1.0/users/anna@partner.example/messages/"+ids[0], tok), 404, "ErrorItemNotFound")
	wantStatus(t, f.get(f.at.Graph+"/v1.0/users/nobody@partner.example/mailFolders/inbox/messages", tok), 404, "ErrorInvalidUser")
	wantStatus(t, f.get(box+"/mailFolders/other/messages", tok), 404, "ErrorItemNotFound")
	wantStatus(t, f.get(box+"/mailFolders/inbox/messages?%24top=1001", tok), 400, "ErrorInvalidUrlQuery")
	wantStatus(t, f.get(box+"/mailFolders/inbox/messages?%24filter=x", tok), 400, "ErrorInvalidUrlQueryFilter")
	f.Expire()
	wantStatus(t, f.get(unread, tok), 401, "InvalidAuthenticationToken")
}

func TestInbox_AsksForThePermission(t *testing.T) {
	f := start(t, nil, Options{Granted: []string{"Mail.Read"}})
	tok := f.token(ResourceGraph)
	if err := f.Receive(usage, []byte("Subject: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	box := f.at.Graph + "/v1.0/users/" + usage
	ids, _ := f.names(tok, box+"/mailFolders/inbox/messages", "id")
	wantStatus(t, f.do(http.MethodPatch, box+"/messages/"+ids[0], tok, `{"isRead": true}`), 403, "ErrorAccessDenied")
	f = start(t, nil, Options{Granted: []string{"Mail.Send"}})
	wantStatus(t, f.get(f.at.Graph+"/v1.0/users/"+usage+"/mailFolders/inbox/messages", f.token(ResourceGraph)), 403, "ErrorAccessDenied")
}

func TestControl_PutsMailIntoAnInbox(t *testing.T) {
	f := start(t, nil, Options{})
	wantStatus(t, f.do(http.MethodPost, f.at.Graph+"/control/inbox/"+usage, "", "Subject: x\r\n\r\n"), 201, "")
	wantStatus(t, f.do(http.MethodPost, f.at.Graph+"/control/inbox/nobody@partner.example", "", "x"), 404, "nobody has the mailbox")
	if f.Unread(usage) != 1 {
		t.Errorf("%d are not read", f.Unread(usage))
	}
	wantStatus(t, f.get(f.at.Graph+"/control/sent/1", ""), 404, "0 mails were sent")
	wantStatus(t, f.get(f.at.Graph+"/control/other", ""), 404, "")
}
