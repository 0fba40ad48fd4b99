package fakemicrosoft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// The hosts, as faults, requests and counts name them.
const (
	Login   = "login"
	API     = "api"
	Graph   = "graph"
	Blob    = "blob"    // of the partner billing export: signed addresses only
	Storage = "storage" // the container with cost exports
)

// Exchange is what tokens for mail protocols are good for: no host of this package.
const Exchange = "exchange"

func hosts() []string { return []string{Login, API, Graph, Blob, Storage} }

// Endpoints are the hosts' addresses, without a slash at the end.
type Endpoints struct{ Login, API, Graph, Blob, Storage string }

// Server tells a partner over HTTP.
type Server struct {
	partner *Partner
	now     func() time.Time
	opt     Options
	index   map[string]*Customer
	servers []*http.Server
	at      Endpoints

	mu      sync.Mutex
	log     requestLog
	faults  []*scripted
	tokens  tokens
	exports exports
	budget  window
	pages   map[string][]byte // the last page of each path
	waiting map[string]int    // utilization records: how often not ready
	reports insights
	files   container
	mails   []Mail
	letters []*letter
}

// New makes a server with the options' defaults. The clock decides when tokens,
// signatures and windows end.
func New(p *Partner, now func() time.Time) *Server { return NewWith(p, now, Options{}) }

// NewWith makes a server.
func NewWith(p *Partner, now func() time.Time, o Options) *Server {
	s := &Server{partner: p, now: now, opt: o.withDefaults(), index: make(map[string]*Customer),
		pages: make(map[string][]byte), waiting: make(map[string]int)}
	s.log = requestLog{counts: make(map[string]int), limit: s.opt.Log}
	s.tokens = newTokens(s.opt.Login)
	s.exports = newExports()
	s.Update(func(*Partner) {})
	return s
}

// Update changes the truth between two extractions. What a customer or a
// subscription holds may be changed without it, customers may not come or go.
func (s *Server) Update(change func(*Partner)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.partner)
	clear(s.index)
	for _, c := range s.partner.Customers {
		s.index[fold(c.ID)] = c
	}
}

// Start listens on loopback, each host on a port of its own.
func (s *Server) Start() (Endpoints, error) {
	handlers := map[string]http.HandlerFunc{Login: s.serveLogin, API: s.serveAPI, Graph: s.serveGraph, Blob: s.serveBlob,
		Storage: s.serveStorage}
	urls := make(map[string]string)
	var listeners []net.Listener
	for i, host := range hosts() {
		port := 0
		if s.opt.Port != 0 {
			port = s.opt.Port + i
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			for _, l := range listeners {
				err = errors.Join(err, l.Close())
			}
			return Endpoints{}, fmt.Errorf("listen for %s: %w", host, err)
		}
		listeners = append(listeners, l)
		urls[host] = "http://" + l.Addr().String()
	}
	s.at = Endpoints{Login: urls[Login], API: urls[API], Graph: urls[Graph], Blob: urls[Blob], Storage: urls[Storage]}
	for i, host := range hosts() {
		srv := &http.Server{Handler: s.host(host, handlers[host]), ReadHeaderTimeout: time.Minute}
		s.servers = append(s.servers, srv)
		// Serve ends with ErrServerClosed once Close is called.
		go func() { _ = srv.Serve(listeners[i]) }()
	}
	return s.at, nil
}

// Close stops listening and cuts what is under way.
func (s *Server) Close() error {
	var err error
	for _, srv := range s.servers {
		err = errors.Join(err, srv.Close())
	}
	return err
}

// host wraps a host's handler with what all hosts do: the log, the look-out for
// leaked tokens, latency and faults.
func (s *Server) host(name string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		s.tokens.watch(name, r)
		f := s.fire(name, r)
		entry := s.log.add(name, r, body, f)
		s.mu.Unlock()
		if s.opt.Latency > 0 {
			select {
			case <-time.After(s.opt.Latency):
			case <-r.Context().Done():
				return
			}
		}
		rep := &reply{w: w, fault: f, status: http.StatusOK, gone: r.Context().Done()}
		defer func() {
			s.mu.Lock()
			entry.Status = rep.status
			s.mu.Unlock()
		}()
		s.answer(name, rep, r, h)
	})
}

// answer is the handler's answer, or the fault's in its place.
func (s *Server) answer(host string, rep *reply, r *http.Request, h http.HandlerFunc) {
	f := rep.fault
	switch {
	case f == nil:
		h(rep, r)
		return
	case f.Drop:
		rep.status = 0
		panic(http.ErrAbortHandler)
	case f.Lost:
		h(nowhere{http.Header{}}, r)
		rep.status = 0
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		s.standIn(host, rep, r, f)
		rep.finish()
		return
	case f.Repeat:
		s.mu.Lock()
		page := s.pages[strings.ToLower(r.URL.Path)]
		s.mu.Unlock()
		if page != nil {
			rep.Header().Set("Content-Type", jsonType)
			_, _ = rep.Write(page)
			rep.finish()
			return
		}
	}
	h(rep, r.WithContext(withFault(r.Context(), f)))
	rep.finish()
}

// standIn answers with the fault's own status, headers and body.
func (s *Server) standIn(host string, w http.ResponseWriter, r *http.Request, f *Fault) {
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	if f.RetryDate != 0 {
		w.Header().Set("Retry-After", s.now().Add(f.RetryDate).UTC().Format(http.TimeFormat))
	}
	body, kind := f.Body, jsonType
	if body == "" && f.Code != "" {
		body, kind = f.errorBody(host)
	}
	if body != "" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(f.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body)
	}
}

// errorBody is a fault's error in the shape that a host's errors have.
func (f *Fault) errorBody(host string) (body, kind string) {
	switch {
	case host == Login:
		return string(encode(object{"error": "temporarily_unavailable", "error_description": "AADSTS90033: " + f.Text, "error_codes": []int{90033}})), jsonType
	case host == Graph:
		code := f.Code
		switch {
		case f.Status == http.StatusUnauthorized:
			code = "InvalidAuthenticationToken"
		case f.Status == http.StatusForbidden:
			code = "Authorization_RequestDenied"
		case f.Status >= 500:
			code = "serviceNotAvailable"
		}
		return string(encode(object{"error": object{"code": code, "message": f.Text}})), jsonType
	case host == Blob || host == Storage:
		return storageError("ServerBusy", f.Text), "application/xml"
	case f.Status == http.StatusTooManyRequests:
		return string(encode(object{"statusCode": 429, "message": f.Text})), jsonType
	}
	return apiBody(f.Code, f.Text), jsonType
}

// reply writes an answer the way a fault wants it.
type reply struct {
	w      http.ResponseWriter
	fault  *Fault
	status int
	sent   int
	gone   <-chan struct{} // the reader went away
	buf    bytes.Buffer    // the whole body, if the fault edits it
}

func (p *reply) Header() http.Header { return p.w.Header() }

func (p *reply) WriteHeader(status int) {
	p.status = status
	if p.fault == nil || p.fault.Edit == nil {
		p.w.WriteHeader(status)
	}
}

func (p *reply) Write(b []byte) (int, error) {
	switch {
	case p.fault == nil:
		return p.w.Write(b)
	case p.fault.Edit != nil:
		return p.buf.Write(b)
	}
	return p.send(b)
}

// send writes through, cut or in small pieces.
func (p *reply) send(b []byte) (int, error) {
	f := p.fault
	if f.Cut > 0 && p.sent+len(b) >= f.Cut {
		_, _ = p.w.Write(b[:max(0, f.Cut-p.sent)])
		p.flush()
		panic(http.ErrAbortHandler)
	}
	if f.Piece <= 0 {
		n, err := p.w.Write(b)
		p.sent += n
		return n, err
	}
	for done := 0; done < len(b); {
		if f.Gate != nil {
			select {
			case <-f.Gate:
			case <-p.gone:
				panic(http.ErrAbortHandler)
			}
		}
		n, err := p.w.Write(b[done:min(len(b), done+f.Piece)])
		done += n
		p.sent += n
		if err != nil {
			return done, err
		}
		p.flush()
	}
	return len(b), nil
}

func (p *reply) flush() {
	// A connection that cannot flush is closed by the abort or by its end.
	_ = http.NewResponseController(p.w).Flush()
}

// finish sends a body that was held for editing.
func (p *reply) finish() {
	if p.fault == nil || p.fault.Edit == nil {
		return
	}
	body := p.fault.Edit(p.buf.Bytes())
	p.w.WriteHeader(p.status)
	_, _ = p.send(body)
}
