package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidemark/jobs"
	"tidemark/reports"
)

func (a *app) previewCommand() *cobra.Command {
	var f figures
	var listen string
	var open bool
	cmd := &cobra.Command{
		Use:   "preview --period P",
		Short: "Look at every role's and every recipient's report in the browser",
		Long: `Build the reports of every role and recipient, as they would be mailed, and show
them side by side in the browser: mail, plain text, attachment and interactive
page. It is served on this machine only, until it is told to stop; nothing is
sent, and nothing is written.`,
		Example: "  tidemark preview --period latest-7d --open",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _, err := net.SplitHostPort(listen)
			if err != nil || !thisMachine(host) {
				return usagef("--listen %q: want an address of this machine alone, e.g. 127.0.0.1:8080; reports are not for the network", listen)
			}
			g, err := a.gallery(cmd.Context(), f)
			if err != nil {
				return err
			}
			return a.serveGallery(cmd.Context(), g, listen, open)
		},
	}
	f.add(cmd, "")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` to serve on, of this machine alone; port 0 takes a free one")
	cmd.Flags().BoolVar(&open, "open", false, "open it in the browser")
	return cmd
}

// gallery is what preview shows: files by name, and an index.
type gallery struct {
	files  map[string]galleryFile
	Period string
	Roles  []galleryRole
}

type galleryFile struct {
	contentType string
	content     []byte
}

type galleryRole struct {
	Role    reports.Role
	Problem string // why nobody of the role gets one
	Mails   []galleryMail
}

type galleryMail struct{ Address, Name, Subject, Skipped string }

// gallery builds every report.
func (a *app) gallery(ctx context.Context, f figures) (*gallery, error) {
	c, arc, err := a.configured(ctx)
	if err != nil {
		return nil, err
	}
	f.trend = true
	p, err := a.portfolioOf(ctx, c, arc, f)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	period := p.Inputs.Period
	to, err := a.recipients(ctx, c, false)
	if err != nil {
		return nil, err
	}
	g := &gallery{files: map[string]galleryFile{}, Period: period.From.String() + " – " + period.To.String()}
	for _, role := range reports.Roles() {
		shown := galleryRole{Role: role}
		d, err := a.digests(ctx, c, arc, p, to, role)
		if err != nil {
			shown.Problem = err.Error()
			g.Roles = append(g.Roles, shown)
			continue
		}
		for b, err := range d.Build(ctx) {
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				shown.Problem = err.Error()
			default:
				shown.Mails = append(shown.Mails, g.add(b))
			}
		}
		g.Roles = append(g.Roles, shown)
	}
	return g, nil
}

func (g *gallery) add(b jobs.Built) galleryMail {
	m := galleryMail{Address: b.Recipient.Address, Name: b.Name, Subject: b.Digest.Subject, Skipped: b.Skipped}
	if b.Skipped == "" {
		g.files[b.Name+".html"] = galleryFile{"text/html; charset=utf-8", b.Rendered.Preview()}
		g.files[b.Name+".txt"] = galleryFile{"text/plain; charset=utf-8", []byte(b.Rendered.Text)}
		g.files[b.Name+".page.html"] = galleryFile{"text/html; charset=utf-8", b.Rendered.Page}
		g.files[b.Name+".csv"] = galleryFile{"text/csv; charset=utf-8", b.Rendered.CSV}
		g.files[b.Name+".eml"] = galleryFile{"message/rfc822", b.EML}
	}
	return m
}

// galleryPage lists the reports; every text in it is escaped by its place.
const galleryPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>tidemark preview</title>
<style>body{font:16px/24px system-ui,sans-serif;margin:24px;color:#24303a;background:#eceee9}h2{margin:32px 0 8px}
ul{display:flex;flex-wrap:wrap;gap:20px;list-style:none;padding:0}li{background:#fbfbf9;padding:12px;border-radius:4px;width:420px}
iframe{width:420px;height:600px;border:1px solid #d5d9d2;background:#fff}a{color:#0b6e4f;margin-right:12px}p{margin:4px 0}</style></head>
<body><h1>Reports of {{.Period}}</h1><p>Nothing of this was sent.</p>
{{range .Roles}}<h2>{{.Role}}</h2>{{with .Problem}}<p>{{.}}</p>{{end}}<ul>
{{range .Mails}}<li><p><strong>{{.Address}}</strong></p>{{if .Skipped}}<p>gets no mail: {{.Skipped}}</p>{{else}}<p>{{.Subject}}</p>
<p><a href="/{{.Name}}.html">mail</a><a href="/{{.Name}}.txt">text</a><a href="/{{.Name}}.page.html">page</a><a href="/{{.Name}}.csv">attachment</a><a href="/{{.Name}}.eml">.eml</a></p>
<iframe src="/{{.Name}}.html" title="{{.Address}}" loading="lazy" sandbox></iframe>{{end}}</li>
{{end}}</ul>
{{end}}</body></html>
`

// ServeHTTP shows the index and the files, to this machine only.
func (g *gallery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A name that leads here is not enough: another site could have it resolved.
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil { // port 80 is not named
		host = strings.Trim(r.Host, "[]")
	}
	if !thisMachine(host) {
		http.Error(w, "this is for this machine alone", http.StatusForbidden)
		return
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := template.Must(template.New("gallery").Parse(galleryPage)).Execute(w, g); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	f, found := g.files[name]
	if !found {
		http.NotFound(w, r)
		return
	}
	if !strings.HasSuffix(name, ".page.html") { // a page brings its own
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	}
	w.Header().Set("Content-Type", f.contentType)
	_, _ = w.Write(f.content) // the reader may have gone
}

// thisMachine reports whether a host is this machine alone.
func thisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// serveGallery serves until ctx ends.
func (a *app) serveGallery(ctx context.Context, g *gallery, listen string, open bool) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	url := "http://" + l.Addr().String() + "/"
	a.printf("%s  (stop with Ctrl-C)\n", url)
	server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_ = server.Shutdown(closing)
	})
	defer stop()
	if open {
		if err := openInBrowser(url); err != nil {
			a.log().Warn("cannot open a browser", "err", err, "url", url)
		}
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("preview: %w", err)
	}
	return nil
}

// openInBrowser has the desktop open a file or an address.
func openInBrowser(what string) error {
	switch runtime.GOOS {
	case "darwin":
		return exec.Command("open", what).Start()
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", what).Start()
	}
	return exec.Command("xdg-open", what).Start()
}
