package microsoft

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tidemark/jobs/microsoft/retry"
)

// Options say which tenant is signed in to, as which app, and where its hosts are.
type Options struct {
	Credentials
	Cloud     string    // "" or "global", "usgov", "china"
	Endpoints Endpoints // hosts that differ from the cloud's

	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error // nil for a timer
	Transport http.RoundTripper                          // nil for the usual one
	Waiting   func(retry.Wait)                           // told of each pause; nil for none
}

// Tenant is a tenant of Microsoft Entra that the program signs in to as an app.
type Tenant struct {
	o        Options
	sign     *SignIn
	graph    *url.URL
	resource string // of Graph, whatever host stands in for it
	exchange string
}

// Open checks the options. Nothing is sent yet.
func Open(o Options) (*Tenant, error) {
	cloud, err := HostsOf(o.Cloud)
	if err != nil {
		return nil, err
	}
	hosts := o.Endpoints.Or(cloud)
	login, err := ParseHost("login", hosts.Login)
	if err != nil {
		return nil, err
	}
	graph, err := ParseHost("graph", hosts.Graph)
	if err != nil {
		return nil, err
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	client := &retry.Client{Now: o.Now, Sleep: o.Sleep, Told: o.Waiting, HTTP: &http.Client{Transport: o.Transport, CheckRedirect: NoRedirect}}
	sign, err := NewSignIn(o.Credentials, login, client)
	if err != nil {
		return nil, err
	}
	return &Tenant{o, sign, graph, cloud.Graph, exchangeOf(o.Cloud)}, nil
}

// Graph returns a client of Microsoft Graph that repeats what fails for a moment.
func (t *Tenant) Graph() *API {
	a := NewAPI(&retry.Client{Now: t.o.Now, Sleep: t.o.Sleep, Told: t.o.Waiting}, t.o.Transport, t.sign, t.graph, t.resource)
	a.Version, a.ID = "v1.0", "client-request-id"
	return a
}

// Client returns a client of Microsoft Graph that sends each request once, but for a
// token that is refused.
func (t *Tenant) Client() *http.Client { return t.Graph().Client.HTTP }

// Host is the address of Microsoft Graph, without a path.
func (t *Tenant) Host() string { return t.graph.String() }

// Check signs in for Microsoft Graph.
func (t *Tenant) Check(ctx context.Context) error {
	_, err := t.sign.Token(ctx, t.resource, "")
	return err
}

// ExchangeToken returns a token for the mail protocols of Exchange Online. One that was
// refused is not given again.
func (t *Tenant) ExchangeToken(ctx context.Context, refused string) (string, error) {
	return t.sign.Token(ctx, t.exchange, refused)
}

// exchangeOf is the resource of Exchange Online's mail protocols, by Microsoft's page on
// authenticating an SMTP connection with OAuth.
func exchangeOf(cloud string) string {
	switch cloud {
	case "usgov":
		return "https://outlook.office365.us"
	case "china":
		return "https://partner.outlook.cn"
	}
	return "https://outlook.office365.com"
}

// Collection reads all pages of a collection of Graph (https://learn.microsoft.com/graph/paging),
// which a link in each page leads on to, of the same host.
func Collection[T any](ctx context.Context, a *API, first string, header http.Header) ([]T, error) {
	const maxPages = 10_000
	var all []T
	seen := map[string]bool{}
	for at := first; ; {
		if seen[at] || len(seen) == maxPages {
			return nil, fmt.Errorf("read %s: the pages lead in a circle", pathOf(first))
		}
		seen[at] = true
		u, err := a.Resolve(at)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value *[]json.RawMessage `json:"value"`
			Next  string             `json:"@odata.nextLink"`
		}
		if _, err := a.Get(ctx, u, header.Clone(), &page); err != nil {
			return nil, err
		}
		if page.Value == nil {
			return nil, fmt.Errorf("GET %s: an answer without value", u.Path)
		}
		for _, raw := range *page.Value {
			var item T
			if err := json.Unmarshal(raw, &item); err != nil {
				return nil, fmt.Errorf("GET %s: not what is expected: %w", u.Path, err)
			}
			all = append(all, item)
		}
		if page.Next == "" {
			return all, nil
		}
		at = page.Next
	}
}

// pathOf is an address without its query, for messages.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return Shorten(address)
	}
	return u.Path
}
