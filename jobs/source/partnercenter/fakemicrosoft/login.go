package fakemicrosoft

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Resources that tokens are made for.
const (
	ResourceAPI     = "https://api.partnercenter.microsoft.com"
	ResourceGraph   = "https://graph.microsoft.com"
	ResourceStorage = "https://storage.azure.com"
	ResourceOutlook = "https://outlook.office365.com" // of Exchange Online's mail protocols
	resourceAADG    = "https://graph.windows.net"     // what app-only sign-in to Partner Center documents
)

// hostOf returns the host that tokens for a resource are good for, "" for a
// resource that is not in a tenant of the cloud.
func hostOf(cloud, resource string) string {
	api, graph, outlook := []string{ResourceAPI, resourceAADG}, ResourceGraph, ResourceOutlook
	switch cloud {
	case "usgov":
		api, graph = []string{ResourceAPI}, "https://graph.microsoft.us"
		outlook = "https://outlook.office365.us"
	case "china":
		api, graph = []string{"https://partner.partnercenterapi.microsoftonline.cn"}, "https://microsoftgraph.chinacloudapi.cn"
		outlook = "https://partner.outlook.cn"
	}
	switch resource = strings.TrimRight(resource, "/"); {
	case slices.Contains(api, resource):
		return API
	case resource == graph:
		return Graph
	case resource == ResourceStorage:
		return Storage
	case resource == outlook:
		return Exchange
	}
	return ""
}

// token is an access token that was handed out.
type token struct {
	host    string
	user    bool // app and user, not the app alone
	mfa     bool
	expires time.Time
	uses    int // requests it was sent with
}

// tokens are all tokens of a server.
type tokens struct {
	access  map[string]*token
	refresh map[string]bool // good, or revoked
	coded   bool            // the code of the user who signed in was exchanged
	leaks   []Leak
	made    int
}

func newTokens(o LoginOptions) tokens {
	return tokens{access: make(map[string]*token), refresh: map[string]bool{o.RefreshToken: true}}
}

// bearer returns the token that a request carries, "" if none.
func bearer(r *http.Request) string {
	if t := r.Header.Get("X-AadUserTicket"); t != "" {
		return t
	}
	scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(t)
}

// watch notes a token that reaches a host it was not made for. The caller holds
// the lock.
func (t *tokens) watch(host string, r *http.Request) {
	if host == Blob && r.Header.Get("Authorization") != "" {
		made := ""
		if tok := t.access[bearer(r)]; tok != nil {
			made = tok.host
		}
		t.leaks = append(t.leaks, Leak{Host: host, Path: r.URL.Path, Token: made})
		return
	}
	b := bearer(r)
	if b == "" {
		return
	}
	tok := t.access[b]
	if tok != nil && tok.host != host || tok == nil && host == Login {
		leak := Leak{Host: host, Path: r.URL.Path}
		if tok != nil {
			leak.Token = tok.host
		}
		t.leaks = append(t.leaks, leak)
	}
}

// check returns the token of a request if it is good for host, and otherwise why not.
func (s *Server) check(host string, r *http.Request) (tok token, reason string) {
	return s.judge(host, bearer(r))
}

// Admits reports whether a mail protocol of Exchange Online, which this package does not
// speak, takes a token.
func (s *Server) Admits(token string) bool {
	_, reason := s.judge(Exchange, token)
	return reason == ""
}

// judge returns a token if it is good for host, and otherwise why not.
func (s *Server) judge(host, b string) (tok token, reason string) {
	if b == "" {
		return token{}, "missing"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens.access[b]
	switch {
	case t == nil:
		return token{}, "unknown"
	case t.host != host:
		return token{}, "audience"
	}
	t.uses++
	if !s.now().Before(t.expires) || s.opt.Login.TokenUses > 0 && t.uses > s.opt.Login.TokenUses {
		return *t, "expired"
	}
	return *t, ""
}

// Revoke makes every refresh token handed out so far useless.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.tokens.refresh {
		s.tokens.refresh[t] = false
	}
}

// Expire makes every access token handed out so far expired.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens.access {
		t.expires = time.Time{}
	}
}

// serveLogin is the token endpoint, version 1 with a resource and numbers as
// strings, version 2 with scopes (Partner Center REST authentication).
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	tenant, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	v2 := strings.EqualFold(path, "oauth2/v2.0/token")
	switch {
	case !v2 && !strings.EqualFold(path, "oauth2/token"):
		http.NotFound(w, r)
		return
	case r.Method != http.MethodPost:
		s.loginError(w, 400, "invalid_request", 900561, "The endpoint only accepts POST requests.")
		return
	case r.ParseForm() != nil:
		s.loginError(w, 400, "invalid_request", 900144, "The request body cannot be read.")
		return
	case !strings.EqualFold(tenant, s.partner.TenantID):
		s.loginError(w, 400, "invalid_request", 90002, "Tenant '"+tenant+"' not found.")
		return
	}
	if id, secret, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		r.PostForm.Set("client_id", id)
		r.PostForm.Set("client_secret", secret)
	}
	if !s.knownClient(w, r) {
		return
	}
	resource := r.PostForm.Get("resource")
	if v2 {
		resource = scopeResource(r.PostForm.Get("scope"))
	}
	host := hostOf(s.opt.Login.Cloud, resource)
	if host == "" || s.opt.Login.NoAADGraph && strings.TrimRight(resource, "/") == resourceAADG {
		s.loginError(w, 400, "invalid_resource", 500011, "The resource principal named "+resource+" was not found in the tenant.")
		return
	}
	s.grant(w, r, host, resource, v2)
}

// knownClient checks the app and its secret or assertion.
func (s *Server) knownClient(w http.ResponseWriter, r *http.Request) bool {
	o, form := s.opt.Login, r.PostForm
	if !strings.EqualFold(form.Get("client_id"), o.ClientID) {
		s.loginError(w, 400, "unauthorized_client", 700016, "Application with identifier '"+form.Get("client_id")+"' was not found in the directory.")
		return false
	}
	if assertion := form.Get("client_assertion"); assertion != "" {
		if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			s.loginError(w, 400, "invalid_request", 900144, "The client_assertion_type is not supported.")
			return false
		}
		if code, err := s.verifyAssertion(assertion, r.URL.Path); err != nil {
			s.loginError(w, 401, "invalid_client", code, "Client assertion: "+err.Error()+".")
			return false
		}
		return true
	}
	switch {
	case form.Get("client_secret") == "":
		s.loginError(w, 401, "invalid_client", 7000218, "The request body must contain 'client_assertion' or 'client_secret'.")
	case form.Get("client_secret") != o.ClientSecret:
		s.loginError(w, 401, "invalid_client", 7000215, "Invalid client secret provided.")
	case o.SecretExpired:
		s.loginError(w, 401, "invalid_client", 7000222, "The provided client secret keys are expired.")
	default:
		return true
	}
	return false
}

// grant hands out tokens.
func (s *Server) grant(w http.ResponseWriter, r *http.Request, host, resource string, v2 bool) {
	form, user, refresh := r.PostForm, false, ""
	switch form.Get("grant_type") {
	case "client_credentials":
		if v2 && !strings.HasSuffix(form.Get("scope"), "/.default") {
			s.loginError(w, 400, "invalid_scope", 1002012, "The provided value for scope is not valid: it must end in /.default.")
			return
		}
	case "authorization_code":
		user = true
		var code int
		if refresh, code = s.exchange(form.Get("code"), form.Get("redirect_uri")); code != 0 {
			s.loginError(w, 400, "invalid_grant", code, "The code is not valid, was used before, or is of another redirect address.")
			return
		}
	case "refresh_token":
		user = true
		if s.opt.Login.NeedMFA {
			s.loginError(w, 400, "invalid_grant", 50076, "You must use multi-factor authentication to access the resource.")
			return
		}
		var code int
		if refresh, code = s.rotate(form.Get("refresh_token")); code != 0 {
			s.loginError(w, 400, "invalid_grant", code, "The refresh token is not valid: it was revoked or has expired.")
			return
		}
		if v2 && !strings.Contains(" "+form.Get("scope")+" ", " offline_access ") {
			refresh = ""
		}
	default:
		s.loginError(w, 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
		return
	}
	life := s.opt.Login.TokenLife
	access := s.mint(token{host: host, user: user, mfa: !s.opt.Login.WithoutMFA, expires: s.now().Add(life)})
	writeJSON(w, http.StatusOK, s.tokenAnswer(access, refresh, resource, form.Get("scope"), user, v2))
}

// tokenAnswer is the token endpoint's answer: version 1 writes its numbers as strings.
func (s *Server) tokenAnswer(access, refresh, resource, scope string, user, v2 bool) map[string]any {
	seconds := int(s.opt.Login.TokenLife / time.Second)
	answer := map[string]any{"token_type": "Bearer", "access_token": access}
	if refresh != "" {
		answer["refresh_token"] = refresh
	}
	if v2 {
		answer["expires_in"], answer["ext_expires_in"] = seconds, seconds
		if user {
			answer["scope"] = scope
		}
		return answer
	}
	answer["expires_in"], answer["ext_expires_in"] = strconv.Itoa(seconds), strconv.Itoa(seconds)
	answer["not_before"] = strconv.FormatInt(s.now().Unix(), 10)
	answer["expires_on"] = strconv.FormatInt(s.now().Add(s.opt.Login.TokenLife).Unix(), 10)
	answer["resource"] = resource
	if user {
		answer["scope"] = "user_impersonation"
	}
	return answer
}

// mint keeps a token and returns its text.
func (s *Server) mint(t token) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.made++
	text := fmt.Sprintf("access-token-%s-%d-%s", t.host, s.tokens.made, s.opt.Marker)
	s.tokens.access[text] = &t
	return text
}

// exchange gives the first refresh token for the code of a user who signed in, once (Microsoft
// identity platform, authorization code flow).
func (s *Server) exchange(code, redirect string) (refresh string, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case code != s.opt.Login.Code:
		return "", 9002313
	case redirect == "":
		return "", 900144
	case s.tokens.coded:
		return "", 54005
	}
	s.tokens.coded = true
	return s.opt.Login.RefreshToken, 0
}

// rotate takes a refresh token and gives the next one, or the code of an error.
func (s *Server) rotate(old string) (next string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	good, known := s.tokens.refresh[old]
	switch {
	case !known:
		return "", 70008
	case !good:
		return "", 50173
	}
	if s.opt.Login.RevokeOld {
		s.tokens.refresh[old] = false
	}
	s.tokens.made++
	next = fmt.Sprintf("refresh-token-%d-%s", s.tokens.made, s.opt.Marker)
	s.tokens.refresh[next] = true
	return next, 0
}

// scopeResource returns the resource of the first scope that names one.
func scopeResource(scopes string) string {
	for _, scope := range strings.Fields(scopes) {
		if i := strings.LastIndex(scope, "/"); i > len("https://") {
			return scope[:i]
		}
	}
	return scopes
}

// loginError answers in the shape of the sign-in's errors.
func (s *Server) loginError(w http.ResponseWriter, status int, kind string, code int, text string) {
	at := s.now().UTC().Format("2006-01-02 15:04:05Z")
	const trace, correlation = "7a0c7e0e-5d5b-4d3b-9c2a-6a4f0a2b0300", "2f1b6c1d-0c43-4b51-8a35-9d6c51d3c5aa"
	writeJSON(w, status, map[string]any{"error": kind, "error_codes": []int{code}, "timestamp": at,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, text, trace, correlation, at),
		"trace_id":          trace, "correlation_id": correlation, "error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code)})
}
