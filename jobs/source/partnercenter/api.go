package partnercenter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tidemark/jobs/source/partnercenter/retry"
)

// api is one host that answers in JSON: Partner Center REST or Microsoft Graph.
type api struct {
	client  *retry.Client
	bearer  *bearer
	host    *url.URL
	version string // the path's first segment, e.g. "v1"
	id      string // header for the GUID of a request
	limited bool   // requests count for the budget
}

// newAPI makes the client of a host. Redirects are not followed: the token goes
// nowhere that it is not meant for.
func newAPI(o Options, sign *signIn, host *url.URL, resources ...string) *api {
	c := newClient(o)
	b := &bearer{next: o.Transport, sign: sign, host: host, resources: resources}
	c.HTTP = &http.Client{Transport: b, CheckRedirect: noRedirect}
	a := &api{client: c, bearer: b, host: host}
	b.admit = func(ctx context.Context) error { return c.Admit(ctx, a.limited) }
	return a
}

// signIn tries the sign-in and says how it is done.
func (a *api) signIn(ctx context.Context) (how string, err error) {
	for _, r := range a.bearer.resources {
		if _, err = a.bearer.sign.token(ctx, r, ""); !errors.Is(err, errNoResource) {
			break
		}
	}
	if a.bearer.sign.RefreshToken != "" {
		return "app+user", err
	}
	return "app-only", err
}

// maxPage bounds one JSON answer.
const maxPage = 64 << 20

// withoutBOM cuts off the byte order mark that some JSON answers begin with,
// although they may not.
func withoutBOM(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")) }

// get reads one JSON answer into v. An answer that breaks off is asked for
// again. It returns the headers.
func (a *api) get(ctx context.Context, u *url.URL, header http.Header, v any) (http.Header, error) {
	r := retry.Request{URL: u, Header: header, ID: a.id, Limited: a.limited, EmptyIsLater: true}
	return a.do(ctx, r, v)
}

func (a *api) do(ctx context.Context, r retry.Request, v any) (http.Header, error) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept", "application/json")
	var header http.Header
	err := a.client.Do(ctx, r, func(resp *http.Response) error {
		header = resp.Header
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		switch {
		case err != nil:
			return err
		case len(body) > maxPage:
			return fmt.Errorf("%s: answer of more than %d MiB", r.URL.Path, maxPage>>20)
		case v == nil:
			return nil
		}
		if err := json.Unmarshal(withoutBOM(body), v); err != nil {
			return retry.Again(fmt.Errorf("not the JSON that is expected: %w", err))
		}
		return nil
	})
	return header, explain(err)
}

// resolve makes an address of a link, which may be absolute or relative, with
// or without the version. Another host is refused here, before any request.
func (a *api) resolve(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("link %q cannot be read", shorten(link))
	}
	if u.Host != "" {
		if u.Host != a.host.Host || u.Scheme != a.host.Scheme {
			return nil, fmt.Errorf("a link leads to another host, %q: nothing was sent there", shorten(u.Host))
		}
		return u, nil
	}
	path := strings.TrimPrefix(u.Path, "/")
	if first, _, _ := strings.Cut(path, "/"); !strings.EqualFold(first, a.version) {
		path = a.version + "/" + path
	}
	out := a.host.JoinPath(path)
	out.RawQuery = u.RawQuery
	return out, nil
}

// page is one page of a collection of Partner Center.
type page[T any] struct {
	Items []T   `json:"items"`
	Next  *link `json:"next,omitempty"`
}

// link is the way to the next page: its address, and headers that all have to
// be sent along.
type link struct {
	URI     string `json:"uri"`
	Headers []struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	} `json:"headers"`
}

// readPage reads the page that a link leads to.
func readPage[T any](ctx context.Context, a *api, at link) (page[T], error) {
	u, err := a.resolve(at.URI)
	if err != nil {
		return page[T]{}, err
	}
	header := http.Header{}
	for _, h := range at.Headers {
		if strings.EqualFold(h.Key, "Authorization") || strings.EqualFold(h.Key, "Host") {
			continue // not the remote side's to set
		}
		header.Add(h.Key, h.Value)
	}
	var body struct {
		Items *[]T `json:"items"`
		Links struct {
			Next *link `json:"next"`
		} `json:"links"`
	}
	if _, err := a.get(ctx, u, header, &body); err != nil {
		return page[T]{}, err
	}
	if body.Items == nil {
		return page[T]{}, &retry.GaveUp{Err: fmt.Errorf("GET %s: an answer without items", u.Path)}
	}
	if n := body.Links.Next; n != nil && n.URI == "" {
		body.Links.Next = nil
	}
	return page[T]{*body.Items, body.Links.Next}, nil
}

// maxPages bounds the pages of one collection, maxRepeats how often one of them
// is asked for.
const (
	maxPages   = 100_000
	maxRepeats = 3
)

var errEndless = errors.New("the pages lead in a circle")

// readAll follows the links of a collection from its first page. Pages that the
// checkpoint has are not read again; where the link on its last page has ended
// since, the collection is read anew.
func readAll[T any](ctx context.Context, a *api, cp *checkpoint, first string) ([]T, error) {
	all, err := readRound[T](ctx, a, cp, first, "page ")
	var refused *retry.StatusError
	if cp.resumed && errors.As(err, &refused) && (refused.Status == http.StatusBadRequest || refused.Status == http.StatusNotFound || refused.Status == http.StatusGone) {
		return readRound[T](ctx, a, cp, first, "anew ")
	}
	return all, err
}

func readRound[T any](ctx context.Context, a *api, cp *checkpoint, first, prefix string) ([]T, error) {
	var all []T
	asked := map[string]int{}
	for at := (link{URI: first}); ; {
		key := at.key()
		if asked[key]++; asked[key] > maxRepeats || len(asked) > maxPages {
			return nil, fmt.Errorf("read %s: %w", first, errEndless)
		}
		if n := asked[key]; n > 1 { // the page before came twice, with its link
			key = fmt.Sprintf("%s, time %d", key, n)
		}
		p, err := once(cp, prefix+key, func() (page[T], error) { return readPage[T](ctx, a, at) })
		if err != nil {
			return nil, err
		}
		all = append(all, p.Items...)
		if p.Next == nil {
			return all, nil
		}
		at = *p.Next
	}
}

// key tells two links apart.
func (l link) key() string {
	parts := []string{l.URI}
	for _, h := range l.Headers {
		parts = append(parts, h.Key+"="+h.Value)
	}
	return strings.Join(parts, " ")
}
