package fakemicrosoft_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	. "tidemark/jobs/source/partnercenter/fakemicrosoft"
)

func TestMailbox_AcceptsMIMEInBase64(t *testing.T) {
	f := start(t, nil, Options{SendAs: []string{"usage@partner.example", "nobody@partner.example"}})
	tok := f.token(ResourceGraph)
	mime := func(from string) string {
		return base64.StdEncoding.EncodeToString([]byte("From: " + from + "\r\nTo: Anna <anna@partner.example>\r\nSubject: x\r\n\r\ny\r\n"))
	}
	send := func(mailbox, kind, body string) answer {
		return f.do(http.MethodPost, f.at.Graph+"/v1.0/users/"+mailbox+"/sendMail", tok, body, "Content-Type", kind)
	}
	good := mime("usage@partner.example")
	if a := send("usage@partner.example", "text/plain", good); a.status != 202 || a.body != "" || a.header.Get("request-id") == "" {
		t.Fatalf("%d %q", a.status, a.body)
	}
	for _, c := range []struct {
		mailbox, kind, body string
		status              int
		code                string
	}{
		{"ada@partner.example", "text/plain", good, 403, "ErrorAccessDenied"},
		{"nobody@partner.example", "text/plain", good, 404, "ErrorInvalidUser"},
		{"usage@partner.example", "application/json", "{}", 400, "RequestBodyRead"},
		{"usage@partner.example", "text/plain", "?", 400, "ErrorMimeContentInvalidBase64String"},
		{"usage@partner.example", "text/plain", "", 400, "ErrorMimeContentInvalid"},
		{"usage@partner.example", "text/plain", mime("ada@partner.example"), 403, "ErrorSendAsDenied"},
		{"usage@partner.example", "text/plain", strings.Repeat("A", 4<<20+4), 413, "RequestEntityTooLarge"},
	} {
		wantStatus(t, send(c.mailbox, c.kind, c.body), c.status, c.code)
	}
	f.Script(Lost().On(Graph, "sendMail"))
	if _, err := f.try(http.MethodPost, f.at.Graph+"/v1.0/users/usage@partner.example/sendMail", tok, good, "Content-Type", "text/plain"); err == nil {
		t.Error("the answer that is lost came")
	}
	if mails := f.Mails(); len(mails) != 2 || mails[0].To[0] != "anna@partner.example" || !strings.HasPrefix(string(mails[1].Raw), "From: usage") {
		t.Errorf("%d mails: %+v", len(mails), mails)
	}
}
