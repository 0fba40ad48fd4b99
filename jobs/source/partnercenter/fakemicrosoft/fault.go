package fakemicrosoft

import (
	"context"
	"net/http"
	"regexp"
	"time"
)

// Fault is one thing that goes wrong. Host, Path and Method choose the requests,
// Nth, Every and Times which of them; the first fault of the script that is due
// strikes, one a request. Of what follows, Drop, Lost and Status replace the answer,
// the rest change it.
//
// Go's own transport repeats a GET by itself when a connection that was used
// before is dropped: such a request is counted twice.
type Fault struct {
	Name   string
	Host   string // "": any
	Path   string // regular expression, on path?query without regard to case
	Method string
	Nth    int // the nth such request, counted from 1 and from the time of Script; 0: the next
	Every  int // every so many
	Times  int // how often it strikes; 0: once, or without end if Every is set; negative: without end

	Drop      bool // close the connection before the header
	Lost      bool // do what was asked, then close the connection without an answer
	Status    int
	Header    map[string]string
	RetryDate time.Duration // Retry-After as an HTTP date so far ahead of the clock
	Body      string
	Code      string              // without a body: the error's code, in the shape that the host's errors have,
	Text      string              // and what it says
	Repeat    bool                // send the page before again
	Cut       int                 // close the connection after so many bytes of body
	Piece     int                 // send the body in pieces of so many bytes,
	Gate      <-chan struct{}     // each when the gate gives a value; nil: at once
	Edit      func([]byte) []byte // change the body
	Export    *ExportFault
	Lines     *LineFault
}

// ExportFault changes an export when it is started or its manifest when it is read.
type ExportFault struct {
	Fail    string // error code that the operation ends with, e.g. 5000
	Message string
	Polls   int    // polls that find it running; 0: as in the options
	Done    string // succeeded, completed; "": as in the options
	Inline  bool
	// NewVersion gives the manifest another eTag and root directory from this
	// reading on. What the old one named stays.
	NewVersion bool
	ExpiredSAS bool // the signatures handed out are expired
}

// LineFault changes the lines of a blob.
type LineFault struct {
	Missing string // a column that is left out
	Extra   string // members that are added, e.g. `,"NewColumn":1`
}

// On narrows a fault to a host and a path.
func (f Fault) On(host, path string) Fault { f.Host, f.Path = host, path; return f }

// At makes a fault strike at the nth request.
func (f Fault) At(n int) Fault { f.Nth = n; return f }

// EveryNth makes a fault strike at every nth request.
func (f Fault) EveryNth(n int) Fault { f.Every = n; return f }

// Repeated makes a fault strike n times; negative: without end.
func (f Fault) Repeated(n int) Fault { f.Times = n; return f }

// scripted is a fault and how far it is.
type scripted struct {
	Fault
	path   *regexp.Regexp
	seen   int
	struck int
}

// Script adds faults. It panics if a Path is not a regular expression.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &scripted{Fault: f, path: regexp.MustCompile("(?i)" + f.Path)})
	}
}

// ClearScript takes all faults away.
func (s *Server) ClearScript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Pending returns the names of the faults that never struck.
func (s *Server) Pending() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, f := range s.faults {
		if f.struck == 0 {
			names = append(names, f.Name)
		}
	}
	return names
}

// fire returns the fault that strikes a request. The caller holds the lock.
func (s *Server) fire(host string, r *http.Request) *Fault {
	var hit *scripted
	target := r.URL.Path + "?" + r.URL.RawQuery
	for _, f := range s.faults {
		if f.Host != "" && f.Host != host || f.Method != "" && f.Method != r.Method || !f.path.MatchString(target) {
			continue
		}
		f.seen++
		if hit == nil && f.due() {
			hit = f
		}
	}
	if hit == nil {
		return nil
	}
	hit.struck++
	f := hit.Fault
	return &f
}

func (f *scripted) due() bool {
	times := f.Times
	if times == 0 && f.Every == 0 {
		times = 1
	}
	if times > 0 && f.struck >= times {
		return false
	}
	if f.Every > 0 {
		return f.seen%f.Every == 0
	}
	return f.seen >= f.Nth
}

type faultKey struct{}

func withFault(ctx context.Context, f *Fault) context.Context {
	return context.WithValue(ctx, faultKey{}, f)
}

// faultOf returns the fault that strikes r, for handlers that it changes inside.
func faultOf(r *http.Request) *Fault {
	if f, ok := r.Context().Value(faultKey{}).(*Fault); ok {
		return f
	}
	return &Fault{}
}

func exportFault(r *http.Request) ExportFault {
	if f := faultOf(r).Export; f != nil {
		return *f
	}
	return ExportFault{}
}
