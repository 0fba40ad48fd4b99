package microsoft

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

	"tidemark/jobs/microsoft/retry"
)

// API is one host that answers in JSON: Partner Center REST or Microsoft Graph.
type API struct {
	Client  *retry.Client
	Host    *url.URL
	Version string // the path's first segment, e.g. "v1"
	ID      string // header for the GUID of a request; empty for none
	Limited bool   // requests count for the client's budget

	// Hint says what to do about a refusal, "" where there is nothing to say; nil for
	// no hints at all.
	Hint func(*retry.StatusError, Error) string

	bearer *bearer
}

// NewAPI makes the client of a host, with tokens for the likeliest of the resources
// that it accepts. Redirects are not followed: the token goes nowhere that it is not
// meant for. The client's HTTP is set.
func NewAPI(client *retry.Client, next http.RoundTripper, sign *SignIn, host *url.URL, resources ...string) *API {
	b := &bearer{next: next, sign: sign, host: host, resources: resources}
	client.HTTP = &http.Client{Transport: b, CheckRedirect: NoRedirect}
	a := &API{Client: client, Host: host, bearer: b}
	b.admit = func(ctx context.Context) error { return client.Admit(ctx, a.Limited) }
	return a
}

// NoRedirect is for clients that follow no redirect.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// SignIn tries the sign-in and says how it is done.
func (a *API) SignIn(ctx context.Context) (how string, err error) {
	for _, r := range a.bearer.resources {
		if _, err = a.bearer.sign.Token(ctx, r, ""); !errors.Is(err, ErrNoResource) {
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

// WithoutBOM cuts off the byte order mark that some JSON answers begin with,
// although they may not.
func WithoutBOM(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF")) }

// Get reads one JSON answer into v. An answer that breaks off is asked for
// again. It returns the headers.
func (a *API) Get(ctx context.Context, u *url.URL, header http.Header, v any) (http.Header, error) {
	r := retry.Request{URL: u, Header: header, ID: a.ID, Limited: a.Limited, EmptyIsLater: true}
	return a.Do(ctx, r, v)
}

// Do sends a request and reads the JSON answer into v; nil for none.
func (a *API) Do(ctx context.Context, r retry.Request, v any) (http.Header, error) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Accept", "application/json")
	var header http.Header
	err := a.Client.Do(ctx, r, func(resp *http.Response) error {
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
		if err := json.Unmarshal(WithoutBOM(body), v); err != nil {
			return retry.Again(fmt.Errorf("not the JSON that is expected: %w", err))
		}
		return nil
	})
	return header, a.explain(err)
}

// Bytes reads an answer that is no JSON, up to a number of bytes.
func (a *API) Bytes(ctx context.Context, u *url.URL, most int64) (content []byte, err error) {
	err = a.Client.Do(ctx, retry.Request{URL: u, Header: http.Header{}, ID: a.ID, Limited: a.Limited}, func(resp *http.Response) error {
		content, err = io.ReadAll(io.LimitReader(resp.Body, most))
		return err
	})
	return content, a.explain(err)
}

// Patch changes what an address names; it may be sent twice.
func (a *API) Patch(ctx context.Context, u *url.URL, changes any) error {
	body, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	_, err = a.Do(ctx, retry.Request{Method: http.MethodPatch, URL: u, Header: http.Header{"Content-Type": {"application/json"}}, Body: body, ID: a.ID, Limited: a.Limited}, nil)
	return err
}

// Resolve makes an address of a link, which may be absolute or relative, with
// or without the version. Another host is refused here, before any request.
func (a *API) Resolve(link string) (*url.URL, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("link %q cannot be read", Shorten(link))
	}
	if u.Host != "" {
		if u.Host != a.Host.Host || u.Scheme != a.Host.Scheme {
			return nil, fmt.Errorf("a link leads to another host, %q: nothing was sent there", Shorten(u.Host))
		}
		return u, nil
	}
	path := strings.TrimPrefix(u.Path, "/")
	if first, _, _ := strings.Cut(path, "/"); !strings.EqualFold(first, a.Version) {
		path = a.Version + "/" + path
	}
	out := a.Host.JoinPath(path)
	out.RawQuery = u.RawQuery
	return out, nil
}

// explain adds to a refusal what the remote side said, and what to do about it.
func (a *API) explain(err error) error {
	var refused *retry.StatusError
	if !errors.As(err, &refused) {
		return err
	}
	e, hint := ParseError(refused.Body), ""
	if a.Hint != nil {
		hint = a.Hint(refused, e)
	}
	if hint == "" {
		return fmt.Errorf("%w%s", err, e.Said())
	}
	return fmt.Errorf("%w%s; %s", err, e.Said(), hint)
}
