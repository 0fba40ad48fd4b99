package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidemark/jobs/microsoft"
)

// exchange is the inbox of one mailbox as Microsoft Graph documents it: a list in pages
// with @odata.nextLink, $value for MIME, isRead to be changed by PATCH.
type exchange struct {
	t    *testing.T
	mu   sync.Mutex
	url  string
	raw  []string
	read map[string]bool
	busy int // requests that are throttled before the next one is answered
	deny bool
}

func (e *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	if strings.HasSuffix(r.URL.Path, "/oauth2/token") {
		answer(map[string]string{"token_type": "Bearer", "access_token": "token", "expires_in": "3600"})
		return
	}
	const messages = "/v1.0/users/reports@partner.example/messages/"
	switch {
	case r.Header.Get("Authorization") != "Bearer token":
		w.WriteHeader(http.StatusUnauthorized)
	case e.deny:
		w.WriteHeader(http.StatusForbidden)
		answer(map[string]any{"error": map[string]string{"code": "ErrorAccessDenied", "message": "Access is denied."}})
	case e.busy > 0:
		e.busy--
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case r.Method == http.MethodGet && r.URL.Path == "/v1.0/users/reports@partner.example/mailFolders/inbox/messages":
		if q := r.URL.Query(); q.Get("$filter") != "isRead eq false" || q.Get("$select") != "id" {
			e.t.Errorf("asked for %s", r.URL.RawQuery)
		}
		e.list(r, answer)
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, messages) && strings.HasSuffix(r.URL.Path, "/$value"):
		var i int
		if _, err := fmt.Sscanf(strings.TrimPrefix(r.URL.Path, messages), "AAMk%d=/$value", &i); err != nil || i >= len(e.raw) {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, e.raw[i])
	case r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, messages):
		var change struct{ IsRead bool }
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil || !change.IsRead {
			e.t.Errorf("PATCH with %+v, %v", change, err)
		}
		e.read[strings.TrimPrefix(r.URL.Path, messages)] = true
		answer(map[string]string{})
	default:
		e.t.Errorf("%s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotFound)
	}
}

// list gives two messages a page.
func (e *exchange) list(r *http.Request, answer func(any)) {
	skip, value := 0, []map[string]string{}
	_, _ = fmt.Sscanf(r.URL.Query().Get("$skiptoken"), "%d", &skip) // none on the first page
	page := map[string]any{}
	for i := skip; i < len(e.raw); i++ {
		id := fmt.Sprintf("AAMk%d=", i)
		if e.read[id] {
			continue
		}
		if len(value) == 2 {
			query := r.URL.Query()
			query.Set("$skiptoken", fmt.Sprint(i))
			page["@odata.nextLink"] = e.url + r.URL.Path + "?" + query.Encode()
			break
		}
		value = append(value, map[string]string{"id": id})
	}
	page["value"] = value
	answer(page)
}

func newExchange(t *testing.T) (*exchange, Graph) {
	t.Helper()
	e := &exchange{t: t, read: map[string]bool{}}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	e.url = server.URL
	tenant, err := microsoft.Open(microsoft.Options{Credentials: microsoft.Credentials{Tenant: "partner.example", ClientID: "app", Secret: "secret"},
		Endpoints: microsoft.Endpoints{Login: server.URL, Graph: server.URL}, Now: time.Now,
		Sleep: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return e, NewGraph(tenant.Graph(), "reports@partner.example")
}

func TestGraph_IsABox(t *testing.T) {
	testBox(t, func(t *testing.T) (Box, func(...string)) {
		e, g := newExchange(t)
		return g, func(raw ...string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.raw, e.busy = raw, 2
		}
	})
	t.Run("without the permission", func(t *testing.T) {
		e, g := newExchange(t)
		e.deny = true
		for _, err := range g.Messages(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), "list messages of reports@partner.example") || !strings.Contains(err.Error(), "Mail.ReadWrite") {
				t.Errorf("err = %v", err)
			}
		}
	})
	t.Run("a link to another host is not followed", func(t *testing.T) {
		e, g := newExchange(t)
		e.raw, e.url = []string{"a", "b", "c"}, "https://elsewhere.example"
		for _, err := range g.Messages(t.Context()) {
			if err == nil || !strings.Contains(err.Error(), "another host") {
				t.Errorf("err = %v", err)
			}
		}
	})
}
