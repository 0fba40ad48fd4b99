package fakemicrosoft

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	netmail "net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// control is the path of what a person, or a script, does in the world's place: it wants
// no token. See the package's documentation.
const control = "/control/"

// letter is a message in an inbox.
type letter struct {
	id       string
	address  string // of the mailbox
	received time.Time
	read     bool
	raw      []byte
}

// Receive puts a message into the inbox of a mailbox.
func (s *Server) Receive(mailbox string, raw []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	address := s.addressOf(mailbox)
	if address == "" {
		return fmt.Errorf("nobody has the mailbox %s", mailbox)
	}
	s.letters = append(s.letters, &letter{fmt.Sprintf("AAMkAGFake-%d=", len(s.letters)+1), address, s.now().UTC(), false, bytes.Clone(raw)})
	return nil
}

// Unread returns how many messages of a mailbox's inbox are not read.
func (s *Server) Unread(mailbox string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.letters {
		if !l.read && strings.EqualFold(l.address, s.addressOf(mailbox)) {
			n++
		}
	}
	return n
}

// serveControl answers what stands in no reference of Microsoft's; false for any other
// request.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) bool {
	path, ok := strings.CutPrefix(r.URL.Path, control)
	if !ok {
		return false
	}
	number, isSent := strings.CutPrefix(path, "sent/")
	mailbox, isInbox := strings.CutPrefix(path, "inbox/")
	switch mails := s.Mails(); {
	case isSent && r.Method == http.MethodGet:
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > len(mails) {
			http.Error(w, fmt.Sprintf("%d mails were sent", len(mails)), http.StatusNotFound)
			return true
		}
		_, _ = w.Write(mails[n-1].Raw)
	case isInbox && r.Method == http.MethodPost:
		raw, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.Receive(mailbox, raw)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return true
		}
		w.WriteHeader(http.StatusCreated)
	default:
		http.NotFound(w, r)
	}
	return true
}

// serveInbox answers requests for the messages of a mailbox (Graph API reference: list
// messages, get message with $value, update message); false for any other request.
func (s *Server) serveInbox(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0/"), "/")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			return false
		}
		parts[i] = part
	}
	if len(parts) < 4 || parts[0] != "users" || parts[2] != "mailFolders" && parts[2] != "messages" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	address, change := s.addressOf(parts[1]), r.Method == http.MethodPatch
	switch {
	case !s.may("Mail.ReadWrite") && (change || !s.may("Mail.Read")):
		s.graphError(w, r, 403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	case address == "":
		s.graphError(w, r, 404, "ErrorInvalidUser", "The requested user '"+parts[1]+"' is invalid.")
	case parts[2] == "mailFolders" && len(parts) == 5 && parts[4] == "messages" && r.Method == http.MethodGet:
		s.listMessages(w, r, address, parts[3])
	case parts[2] == "messages":
		s.oneMessage(w, r, address, parts[3:])
	default:
		s.graphError(w, r, 404, "ResourceNotFound", "Resource not found for the segment.")
	}
	return true
}

// listMessages lists the newest first, ten a page, or $top of up to 1,000; $skip stands in
// the link to the next page. The caller holds the lock.
func (s *Server) listMessages(w http.ResponseWriter, r *http.Request, address, folder string) {
	q := r.URL.Query()
	size, skip := 10, 0
	for key, to := range map[string]*int{"$top": &size, "$skip": &skip} {
		if text := q.Get(key); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || key == "$top" && (n < 1 || n > 1000) {
				s.graphError(w, r, 400, "ErrorInvalidUrlQuery", "The value of "+key+" is invalid.")
				return
			}
			*to = n
		}
	}
	filter := q.Get("$filter")
	switch {
	case !strings.EqualFold(folder, "inbox"):
		s.graphError(w, r, 404, "ErrorItemNotFound", "The specified object was not found in the store.")
		return
	case filter != "" && filter != "isRead eq false" && filter != "isRead eq true":
		s.graphError(w, r, 400, "ErrorInvalidUrlQueryFilter", "The query filter contains one or more invalid nodes.")
		return
	}
	all := []object{}
	for _, l := range slices.Backward(s.letters) {
		if l.address == address && (filter == "" || filter == fmt.Sprintf("isRead eq %t", l.read)) {
			all = append(all, chosen(l.json(), q.Get("$select")))
		}
	}
	if s.opt.DirectoryPage > 0 {
		size = min(size, s.opt.DirectoryPage)
	}
	from := min(skip, len(all))
	to := min(from+size, len(all))
	page := object{"@odata.context": s.at.Graph + "/v1.0/$metadata#users('" + address + "')/mailFolders('inbox')/messages", "value": all[from:to]}
	if to < len(all) {
		q.Set("$skip", strconv.Itoa(to))
		page["@odata.nextLink"] = s.at.Graph + r.URL.EscapedPath() + "?" + q.Encode()
	}
	writeJSON(w, http.StatusOK, page)
}

// oneMessage gives a message, as JSON or as MIME, or marks it. The caller holds the lock.
func (s *Server) oneMessage(w http.ResponseWriter, r *http.Request, address string, path []string) {
	i := slices.IndexFunc(s.letters, func(l *letter) bool { return l.id == path[0] && l.address == address })
	if i < 0 {
		s.graphError(w, r, 404, "ErrorItemNotFound", "The specified object was not found in the store.")
		return
	}
	l := s.letters[i]
	switch mime := len(path) == 2 && path[1] == "$value"; {
	case mime && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(l.raw)
	case len(path) == 1 && r.Method == http.MethodGet:
		writeJSON(w, http.StatusOK, chosen(l.json(), r.URL.Query().Get("$select")))
	case len(path) == 1 && r.Method == http.MethodPatch:
		var change struct{ IsRead *bool }
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil || change.IsRead == nil {
			s.graphError(w, r, 400, "RequestBodyRead", "The payload holds nothing that can be changed.")
			return
		}
		l.read = *change.IsRead
		writeJSON(w, http.StatusOK, l.json())
	default:
		s.graphError(w, r, 404, "ResourceNotFound", "Resource not found for the segment.")
	}
}

// json is some of a message's properties.
func (l *letter) json() object {
	subject, id := "", ""
	if m, err := netmail.ReadMessage(bytes.NewReader(l.raw)); err == nil {
		subject, id = m.Header.Get("Subject"), m.Header.Get("Message-ID")
	}
	return object{"id": l.id, "receivedDateTime": l.received.Format("2006-01-02T15:04:05Z"), "isRead": l.read, "subject": subject, "internetMessageId": id}
}
