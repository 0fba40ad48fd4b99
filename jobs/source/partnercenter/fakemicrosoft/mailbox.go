package fakemicrosoft

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"
)

// Mail is a mail that Exchange accepted.
type Mail struct {
	Mailbox string   // that it was sent from, as it was asked for
	To      []string // by its headers: there is no envelope
	Raw     []byte
}

// mailSend is the permission to send as any mailbox.
const mailSend = "Mail.Send"

// largestRequest is how long the body of a request to Graph may be.
const largestRequest = 4 << 20

// Mails returns what was accepted so far.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// serveMailbox answers sendMail with MIME content: base64 with the content type
// text/plain, 202 without a body once it is accepted (Graph API reference, send mail);
// false for any other request.
func (s *Server) serveMailbox(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0/"), "/")
	if len(parts) != 3 || parts[0] != "users" || !strings.EqualFold(parts[2], "sendMail") || r.Method != http.MethodPost {
		return false
	}
	mailbox, err := url.PathUnescape(parts[1])
	if err != nil {
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return true
	}
	if m := s.take(w, r, mailbox, body); m != nil {
		if s.opt.Accepted != nil {
			s.opt.Accepted(*m)
		}
		w.WriteHeader(http.StatusAccepted)
	}
	return true
}

// take is the mail that was accepted, nil where it was refused.
func (s *Server) take(w http.ResponseWriter, r *http.Request, mailbox string, body []byte) *Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.may(mailSend) || s.opt.SendAs != nil && !slices.ContainsFunc(s.opt.SendAs, func(m string) bool { return strings.EqualFold(m, mailbox) }):
		s.graphError(w, r, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	case !s.isMailbox(mailbox):
		s.graphError(w, r, 404, "ErrorInvalidUser", "The requested user '"+mailbox+"' is invalid.")
	case r.ContentLength > largestRequest:
		s.graphError(w, r, 413, "RequestEntityTooLarge", "The request is too large.")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain"):
		s.graphError(w, r, 400, "RequestBodyRead", "The payload is no MIME content.")
	default:
		return s.accept(w, r, mailbox, body)
	}
	return nil
}

// accept takes a mail to whom its headers name. The caller holds the lock.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, mailbox string, body []byte) *Mail {
	raw, err := base64.StdEncoding.DecodeString(string(body))
	if err != nil {
		s.graphError(w, r, 400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
		return nil
	}
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		s.graphError(w, r, 400, "ErrorMimeContentInvalid", "The MIME content is invalid.")
		return nil
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || !strings.EqualFold(from[0].Address, s.addressOf(mailbox)) {
		s.graphError(w, r, 403, "ErrorSendAsDenied", "The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account.")
		return nil
	}
	var to []string
	for _, key := range []string{"To", "Cc", "Bcc"} {
		list, _ := m.Header.AddressList(key) // none is an error, too
		for _, a := range list {
			to = append(to, a.Address)
		}
	}
	if len(to) == 0 {
		s.graphError(w, r, 400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
		return nil
	}
	s.mails = append(s.mails, Mail{Mailbox: mailbox, To: to, Raw: raw})
	return &s.mails[len(s.mails)-1]
}

// isMailbox reports whether somebody has the mailbox.
func (s *Server) isMailbox(name string) bool { return s.addressOf(name) != "" }

// addressOf is the address of a mailbox, which may be named by its owner's id or name.
func (s *Server) addressOf(name string) string {
	for _, u := range s.partner.Directory.Users {
		if u.Mail != "" && (u.ID == name || strings.EqualFold(u.UPN, name) || strings.EqualFold(u.Mail, name)) {
			return u.Mail
		}
	}
	return ""
}

// nowhere is the answer of a request that is done and whose answer is lost.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
