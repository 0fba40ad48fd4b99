package microsoft

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"tidemark/data"
	"tidemark/jobs/microsoft/retry"
)

// Credentials are what the program signs in with: a secret or a certificate of
// the app registration and, for the secure application model, the refresh token
// of a user who consented with multi-factor authentication.
type Credentials struct {
	Tenant       string // id or domain of the partner's tenant
	ClientID     string
	Secret       string
	Certificate  []byte // PEM with the certificate and its RSA key, instead of Secret
	RefreshToken string // path of the file that holds it; a rotated one is written back. Empty: app-only
}

// SignIn mints tokens. One is kept per resource and renewed before it ends.
type SignIn struct {
	Credentials
	login *url.URL
	http  *http.Client // whose Transport repeats what fails for a moment
	now   func() time.Time
	key   *rsa.PrivateKey // of the certificate
	thumb string          // SHA-256 thumbprint of the certificate

	mu     sync.Mutex
	tokens map[string]*oauth2.Token // by resource
}

// NewSignIn checks the credentials. The token endpoint is the first version's,
// whose form the secure application model documents.
func NewSignIn(c Credentials, login *url.URL, client *retry.Client) (*SignIn, error) {
	s := &SignIn{Credentials: c, login: login, now: client.Now, tokens: map[string]*oauth2.Token{},
		http: &http.Client{Transport: &repeated{client}}}
	switch {
	case c.Tenant == "":
		return nil, errors.New("tenant is missing: give the id or the domain of the partner's tenant")
	case strings.ContainsAny(c.Tenant, "/?#%\\ "):
		return nil, fmt.Errorf("tenant %q is neither an id nor a domain", c.Tenant)
	case c.ClientID == "":
		return nil, errors.New("client_id is missing: give the application id of the app registration")
	case c.Secret == "" && len(c.Certificate) == 0:
		return nil, errors.New("client_secret or certificate is missing: give one of them")
	case c.Secret != "" && len(c.Certificate) > 0:
		return nil, errors.New("client_secret and certificate are both given: take one of them away")
	}
	if len(c.Certificate) > 0 {
		if err := s.readCertificate(); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	return s, nil
}

func (s *SignIn) readCertificate() error {
	pair, err := tls.X509KeyPair(s.Certificate, s.Certificate)
	if err != nil {
		return errors.New("want one PEM text with the certificate and its private key")
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return errors.New("its key is not RSA, as Microsoft Entra asks for")
	}
	if now := s.now(); now.After(leaf.NotAfter) {
		return fmt.Errorf("it ended on %s: make a new one and add it to the app registration", leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	sum := sha256.Sum256(leaf.Raw)
	s.key, s.thumb = key, base64.RawURLEncoding.EncodeToString(sum[:])
	return nil
}

// renewBefore is how long before its end a token is renewed.
const renewBefore = time.Minute

// Token returns a bearer token for a resource. One that was refused is not
// given again.
func (s *SignIn) Token(ctx context.Context, resource, refused string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[resource]; t != nil && t.AccessToken != refused && t.Expiry.Sub(s.now()) > renewBefore {
		return t.AccessToken, nil
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.http)
	t, err := s.mint(ctx, resource)
	if err != nil {
		return "", explainSignIn(err, s.RefreshToken)
	}
	s.tokens[resource] = t
	return t.AccessToken, nil
}

func (s *SignIn) mint(ctx context.Context, resource string) (*oauth2.Token, error) {
	endpoint := s.login.JoinPath(s.Tenant, "oauth2", "token").String()
	form, err := s.proof(endpoint)
	if err != nil {
		return nil, err
	}
	form.Set("resource", resource)
	if s.RefreshToken == "" {
		c := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: s.Secret, TokenURL: endpoint,
			AuthStyle: oauth2.AuthStyleInParams, EndpointParams: form}
		return c.Token(ctx)
	}
	held, err := os.ReadFile(s.RefreshToken)
	if err != nil {
		return nil, fmt.Errorf("read refresh token: %w; get one by consenting once, docs/partnercenter.md says how", err)
	}
	old := strings.TrimSpace(string(held))
	c := oauth2.Config{ClientID: s.ClientID, ClientSecret: s.Secret,
		Endpoint: oauth2.Endpoint{TokenURL: endpoint, AuthStyle: oauth2.AuthStyleInParams}}
	options := []oauth2.AuthCodeOption{oauth2.SetAuthURLParam("grant_type", "refresh_token"),
		oauth2.SetAuthURLParam("refresh_token", old), oauth2.SetAuthURLParam("scope", "openid")}
	for name, values := range form {
		options = append(options, oauth2.SetAuthURLParam(name, values[0]))
	}
	t, err := c.Exchange(ctx, "", options...)
	if err != nil {
		return nil, err
	}
	if t.RefreshToken != "" && t.RefreshToken != old {
		if err := data.ReplaceFile(s.RefreshToken, []byte(t.RefreshToken+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("keep the rotated refresh token: %w", err)
		}
	}
	return t, nil
}

// proof returns the form fields that prove a certificate (RFC 7523); none for a
// secret.
func (s *SignIn) proof(endpoint string) (url.Values, error) {
	form := url.Values{}
	if s.key == nil {
		return form, nil
	}
	now := s.now()
	token := jwt.NewWithClaims(jwt.SigningMethodPS256, jwt.MapClaims{
		"iss": s.ClientID, "sub": s.ClientID, "aud": endpoint, "jti": uuid.NewString(),
		"nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	})
	token.Header["x5t#S256"] = s.thumb
	signed, err := token.SignedString(s.key)
	if err != nil {
		return nil, err
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", signed)
	return form, nil
}

// repeated is a transport that repeats requests to the token endpoint.
type repeated struct{ client *retry.Client }

func (r *repeated) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	out := &http.Response{Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	var answer []byte
	err = r.client.Do(req.Context(), retry.Request{Method: req.Method, URL: req.URL, Header: req.Header, Body: body}, func(resp *http.Response) error {
		out.StatusCode, out.Header = resp.StatusCode, resp.Header
		var err error
		answer, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		return err
	})
	var refused *retry.StatusError
	if errors.As(err, &refused) {
		out.StatusCode, out.Header, answer = refused.Status, refused.Header, refused.Body
	} else if err != nil {
		return nil, err
	}
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	return out, nil
}

// bearer is a transport that adds a token, for one host. To any other host it
// sends nothing.
type bearer struct {
	next      http.RoundTripper
	sign      *SignIn
	host      *url.URL
	resources []string                    // that the host may accept a token of, the likeliest first
	admit     func(context.Context) error // called before a request is sent once more

	mu sync.Mutex
	at int // the resource in use
}

// maxRenewals is how often a token that is refused is renewed for one request:
// others that run beside it may have used up a new one already.
const maxRenewals = 3

// RoundTrip adds the token. One that is refused, e.g. since it was revoked while
// pages are read, is renewed; then the next resource is tried. Where no token can be
// had for that, the refusal of the one before is the answer.
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != b.host.Host || req.URL.Scheme != b.host.Scheme {
		return nil, &retry.Fatal{Err: fmt.Errorf("the answer leads to %s://%s, but the token is for %s only: nothing was sent", req.URL.Scheme, req.URL.Host, b.host.Host)}
	}
	b.mu.Lock()
	at := b.at
	b.mu.Unlock()
	var denied *http.Response // by the resource before
	for sent, refused, renewed := 0, "", 0; ; {
		token, err := b.sign.Token(req.Context(), b.resources[at], refused)
		switch {
		case err == nil:
		case denied != nil && errors.Is(err, errNoToken):
			return denied, nil
		case errors.Is(err, ErrNoResource) && at+1 < len(b.resources):
			at, refused, renewed = at+1, "", 0
			continue
		default:
			return nil, errors.Join(&retry.Fatal{Err: err}, closed(denied))
		}
		if err := closed(denied); err != nil {
			return nil, err
		}
		denied = nil
		if sent++; sent > 1 {
			if err := b.admit(req.Context()); err != nil {
				return nil, err
			}
		}
		resp, last, err := b.send(req, token)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || last {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.at = at
			return resp, err
		}
		switch {
		case renewed < maxRenewals:
			refused, renewed = token, renewed+1
		case at+1 < len(b.resources):
			at, refused, renewed, denied = at+1, "", 0, resp
			continue
		default:
			return resp, nil
		}
		if err := closed(resp); err != nil {
			return nil, err
		}
	}
}

// closed closes the body of an answer that is not given on; nil is none.
func closed(resp *http.Response) error {
	if resp == nil {
		return nil
	}
	return resp.Body.Close()
}

// send sends the request with a token; last is true for a 401 that no other
// token would change.
func (b *bearer) send(req *http.Request, token string) (resp *http.Response, last bool, err error) {
	again := req.Clone(req.Context())
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return nil, false, err
		}
	}
	again.Header.Set("Authorization", "Bearer "+token)
	resp, err = b.next.RoundTrip(again)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, false, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	resp.Body = readClose{bytes.NewReader(body), resp.Body}
	return resp, err != nil || ParseError(body).Code == CodeNoMFA, nil
}

type readClose struct {
	io.Reader
	io.Closer
}
