// Package console shows what a serving tidemark does, to people and to monitors
// on the same machine: pages, their live progress, health, and metrics in the
// format of Prometheus. It only looks: it is given a ledger that refuses changes,
// and has no route that would make one.
//
// [Console] is the handler; [guard] stands before every route of it. A runner
// tells the [Board] what it does ([jobs.Watch]), and [Listen] serves a console on
// an address that only this machine can reach.
//
// Every text that is shown is hostile: templates escape it by its place, and the
// content security policy of a page runs no script but the console's own file. The
// interactive page of a report is the one exception, see report.go.
package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tidemark/data/archive"
	"tidemark/jobs/ledger"
	"tidemark/templates"
)

// Options are what a console shows; all are required but Zone.
type Options struct {
	Ledger *ledger.Ledger // opened with ledger.OpenReadOnly
	// Archive opens the archive, or returns the one that is open. The error is
	// fs.ErrNotExist while there is none yet.
	Archive func(context.Context) (*archive.Archive, error)
	Status  func(context.Context) (Status, error)
	Board   *Board
	Tick    time.Duration // how often the scheduler looks for due slots
	Version string        // of the program
	Now     func() time.Time
	Zone    *time.Location // of the times on pages; nil: UTC
	Log     *slog.Logger
}

// Console is the handler of every route. It may be used by many goroutines.
type Console struct {
	o       Options
	pages   map[string]*template.Template
	handler http.Handler

	unwell  unwell
	stop    sync.Once
	stopped chan struct{} // closed by Stop
	streams chan struct{} // holds one for each open event stream
	reading chan struct{} // held while a report is read, which takes memory
}

// New makes the handler.
func New(o Options) (*Console, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	c := &Console{o: o, stopped: make(chan struct{}), streams: make(chan struct{}, maxStreams), reading: make(chan struct{}, 1)}
	var err error
	if c.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	metrics, err := c.metrics()
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	mux := http.NewServeMux()
	for pattern, page := range map[string]func(*http.Request) (page, error){
		"/{$}": c.overview, "/runs": c.runs, "/runs/{id}": c.run, "/deliveries": c.deliveries, "/deliveries/{id}": c.delivery,
		"/jobs": c.jobs, "/archive": c.archive, "/reports": c.reportDays, "/reports/{day}": c.reports,
	} {
		mux.HandleFunc(pattern, c.show(page))
	}
	mux.HandleFunc("/", c.show(func(*http.Request) (page, error) { return nil, errNotFound }))
	mux.HandleFunc("/deliveries/{id}/mail.eml", c.mail)
	mux.HandleFunc("/reports/{day}/{id}", c.report)
	mux.HandleFunc("/events", c.events)
	mux.HandleFunc("/static/{file}", c.static)
	mux.HandleFunc("/healthz", c.healthz)
	mux.HandleFunc("/readyz", c.readyz)
	mux.Handle("/metrics", metrics)
	c.handler = guard(mux)
	return c, nil
}

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// Stop says that the program is ending: it is not ready any more, and event
// streams end.
func (c *Console) Stop() { c.stop.Do(func() { close(c.stopped) }) }

func (c *Console) isStopped() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// page is what one page shows: finished texts.
type page interface{ about() meta }

// meta is what the layout must know of a page.
type meta struct {
	file  string // its template
	Title string
	Here  string // the entry of the navigation that it belongs to
}

func (m meta) about() meta { return m }

// shown is what a layout sees.
type shown struct {
	meta
	Version string
	Made    Moment
	Page    page
}

// The errors that a page ends with on purpose.
var (
	errNotFound = errors.New("there is no such page")
	errQuestion = errors.New("the address asks for something that is not possible")
)

// show makes the handler of a page.
func (c *Console) show(make func(*http.Request) (page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := make(r)
		status := http.StatusOK
		if err != nil {
			p, status = c.failed(r, err)
		}
		c.write(w, r, status, p)
	}
}

// failed is the page that stands in for one that cannot be shown.
func (c *Console) failed(r *http.Request, err error) (page, int) {
	switch {
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, errNotFound), errors.Is(err, fs.ErrNotExist):
		return newFailure("Not found", "There is no such page, or what it showed is not kept any more."), http.StatusNotFound
	case errors.Is(err, errQuestion):
		return newFailure("Not possible", "The address asks for something that is not possible."), http.StatusBadRequest
	case r.Context().Err() == nil:
		c.o.Log.Error("console", "path", r.URL.Path, "err", err)
	}
	return newFailure("Cannot be shown", "What this page shows cannot be read now. The log of tidemark says why."), http.StatusInternalServerError
}

type failure struct {
	meta
	Text string
}

func newFailure(title, text string) failure {
	return failure{meta{file: "failure", Title: title}, text}
}

// write lays a page out; one that cannot be laid out is never shown in part.
func (c *Console) write(w http.ResponseWriter, r *http.Request, status int, p page) {
	var out bytes.Buffer
	if err := c.pages[p.about().file].ExecuteTemplate(&out, "layout", shown{p.about(), c.o.Version, c.moment(c.o.Now()), p}); err != nil {
		c.o.Log.Error("console", "path", r.URL.Path, "err", err)
		http.Error(w, "this page cannot be laid out", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the reader may have gone
}

// parsePages parses the layout once for each page.
func parsePages() (map[string]*template.Template, error) {
	files := templates.Console()
	names, err := fs.Glob(files, "*.html.tmpl")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, file := range names {
		name := file[:len(file)-len(".html.tmpl")]
		if name == "layout" {
			continue
		}
		if pages[name], err = template.New(name).Funcs(template.FuncMap{
			"segment": url.PathEscape, // one segment of a path, whatever it holds
		}).ParseFS(files, "layout.html.tmpl", file); err != nil {
			return nil, err
		}
	}
	return pages, nil
}
