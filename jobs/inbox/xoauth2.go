package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// mechanism is the log-in with an access token that Exchange Online and Gmail document
// (https://developers.google.com/gmail/imap/xoauth2-protocol).
const mechanism = "XOAUTH2"

// xoauth2 is the client's side of it. A server that refuses says why in a challenge, and
// ends the exchange once that is answered by nothing.
type xoauth2 struct {
	user, token string
	refused     bool
	said        string // about the refusal, in short; empty where there is nothing to be read
}

func (x *xoauth2) Start() (mech string, initial []byte, err error) {
	return mechanism, []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

func (x *xoauth2) Next(challenge []byte) ([]byte, error) {
	if x.refused {
		return nil, errors.New("the server asks on after its refusal")
	}
	x.refused = true
	var why struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(challenge, &why) == nil && why.Status != "" {
		x.said = "status " + oneLine(why.Status)
	}
	return nil, nil
}

// emptyAnswer is a connection on which an empty answer to a challenge is an empty line, as
// RFC 9051 has it. The library writes "=", which stands for it in a command only
// (RFC 4959), and strict servers take it for bad base64.
type emptyAnswer struct{ net.Conn }

func (c emptyAnswer) Write(b []byte) (int, error) {
	if string(b) != "=\r\n" {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(b[1:]); err != nil {
		return 0, err
	}
	return len(b), nil
}

// isRefused reports whether a server said no to a log-in, which another token may change.
func isRefused(err error) bool {
	var answer *imap.Error
	return errors.As(err, &answer) && answer.Type == imap.StatusResponseTypeNo && answer.Code != imap.ResponseCodeUnavailable
}

// explain says what to do about a refusal of Exchange Online's.
func (x *xoauth2) explain(err error) error {
	if !isRefused(err) {
		return err
	}
	said := ""
	if x.said != "" {
		said = " (" + x.said + ")"
	}
	return fmt.Errorf("%w%s; give the app the application permission IMAP.AccessAsApp of Office 365 Exchange Online with admin consent, then "+
		"New-ServicePrincipal and Add-MailboxPermission for %s, where IMAP must be on, too (docs/microsoft365.md)", err, said, x.user)
}

// explainSelect says what to do where Exchange Online took a token, but opens nothing.
func explainSelect(user string, err error) error {
	if !strings.Contains(err.Error(), "authenticated but not connected") {
		return err
	}
	return fmt.Errorf("%w; the app has no right to the mailbox: Add-MailboxPermission -Identity %s -User OBJECT-ID -AccessRights FullAccess, "+
		"with the object id of Enterprise applications, as in New-ServicePrincipal (docs/microsoft365.md)", err, user)
}
