package fakemicrosoft

import (
	"maps"
	"net/http"
	"slices"
)

// Request is a request that a host received.
type Request struct {
	Host   string // API
	Method string
	Path   string
	Query  string // raw
	Header http.Header
	Body   string
	Status int    // answered; 0: the connection was dropped
	Fault  string // the name of the fault that struck
}

// requestLog keeps the first requests and counts all.
type requestLog struct {
	counts map[string]int
	kept   []*Request
	limit  int
}

// add logs a request. The caller holds the server's lock.
func (l *requestLog) add(host string, r *http.Request, body []byte, f *Fault) *Request {
	l.counts[host]++
	q := &Request{Host: host}
	if l.limit < 0 || len(l.kept) >= l.limit {
		return q
	}
	q.Method, q.Path, q.Query, q.Header, q.Body = r.Method, r.URL.Path, r.URL.RawQuery, r.Header, string(body)
	if f != nil {
		q.Fault = f.Name
	}
	l.kept = append(l.kept, q)
	return q
}

// Requests returns what the hosts received, in order, up to Options.Log.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Request, len(s.log.kept))
	for i, q := range s.log.kept {
		all[i] = *q
	}
	return all
}

// Count returns how many requests a host received.
func (s *Server) Count(host string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.counts[host]
}

// Forget empties the log, the counts and the leaks.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.kept = nil
	clear(s.log.counts)
	s.tokens.leaks = nil
}

// Leak is a token that was sent to a host it was not made for. It does not hold
// the token.
type Leak struct {
	Host  string // that received it
	Path  string
	Token string // the host it was made for; "" if it is not one of ours
}

// Leaks returns the tokens that went astray: any at Blob and Login, and at the
// other hosts those of another one.
func (s *Server) Leaks() []Leak {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tokens.leaks)
}

// Secrets returns all that must appear in no log, error or file: the client
// secret and every refresh token, access token and signature handed out so far.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []string{s.opt.Login.ClientSecret}
	all = append(all, slices.Sorted(maps.Keys(s.tokens.refresh))...)
	all = append(all, slices.Sorted(maps.Keys(s.tokens.access))...)
	all = append(all, slices.Sorted(maps.Keys(s.exports.sas))...)
	return append(all, s.files.signatures()...)
}
