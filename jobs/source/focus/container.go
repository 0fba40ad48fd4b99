package focus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Container is an Azure Blob container with exports: a SAS or an app
// registration opens it.
type Container struct {
	URL string // https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]
	SAS string // shared access signature with the rights to read and to list

	Tenant, ClientID, Secret string // an app with the role Storage Blob Data Reader, instead of SAS
	Login                    string // where the app signs in; "" for https://login.microsoftonline.com

	TempDir string // where blobs lie while they are read; "" for the system's

	pause time.Duration // before a request is repeated; 0 for the library's
}

// blobs is a store in an Azure Blob container.
type blobs struct {
	client  *container.Client
	at      string // address of the container, without a signature
	prefix  string // of the names that are read
	temp    string
	secrets []string
	ends    string // when the signature ends, as it says itself; empty for a token
}

// ParseContainer reads the address of a container. It may hold no signature:
// addresses stand in logs.
func ParseContainer(text string) (*url.URL, error) {
	if strings.ContainsAny(text, "?#@") {
		return nil, errors.New("a container's address has no query, fragment or user: give the signature apart, as sas")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("not an address: want https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]")
	}
	switch name, _, _ := strings.Cut(strings.Trim(u.Path, "/"), "/"); {
	case !private(u):
		return nil, errors.New("not encrypted: want https")
	case !loopback(u) && !strings.Contains(u.Host, ".blob."):
		return nil, errors.New("not a host of Blob Storage: want https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]")
	case name == "":
		return nil, errors.New("no container is named: want https://ACCOUNT.blob.core.windows.net/CONTAINER[/PREFIX]")
	}
	return u, nil
}

// private reports whether nobody on the way can read what is sent.
func private(u *url.URL) bool { return u.Scheme == "https" || u.Scheme == "http" && loopback(u) }

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// newBlobs checks the options; nothing is sent yet.
func newBlobs(c Container) (*blobs, error) {
	u, err := ParseContainer(c.URL)
	if err != nil {
		return nil, fmt.Errorf("container: %w", err)
	}
	name, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if prefix != "" {
		prefix += "/"
	}
	b := &blobs{at: u.Scheme + "://" + u.Host + "/" + url.PathEscape(name), prefix: prefix, temp: c.TempDir}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // sizes are those of the blobs as they lie there
	transport.ResponseHeaderTimeout = time.Minute
	options := &container.ClientOptions{ClientOptions: policy.ClientOptions{
		InsecureAllowCredentialWithHTTP: u.Scheme == "http", // on this machine only
		Retry:                           policy.RetryOptions{RetryDelay: c.pause, MaxRetries: 5},
		// No redirect is followed: it would tell the next host the signature.
		Transport: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}}
	switch {
	case c.SAS != "" && c.Secret != "":
		return nil, errors.New("container: a SAS and an app's secret are both given: take one of them away")
	case c.SAS != "":
		b.client, err = b.withSAS(c.SAS, options)
	case c.Secret != "":
		b.client, err = b.withApp(c, options)
	default:
		return nil, errors.New("container: nothing opens it: give sas, or tenant, client_id and client_secret")
	}
	if err != nil {
		return nil, fmt.Errorf("container: %w", b.explain(err))
	}
	return b, nil
}

// withSAS takes a signature, also as the end of a whole address, which is what the
// portal offers to copy.
func (b *blobs) withSAS(sas string, o *container.ClientOptions) (*container.Client, error) {
	if _, query, found := strings.Cut(sas, "?"); found {
		sas = query
	}
	sas = strings.TrimSpace(sas)
	values, err := url.ParseQuery(sas)
	if err != nil || values.Get("sig") == "" {
		return nil, errors.New("sas is no shared access signature: want sv=…&sp=rl&sig=…")
	}
	b.secrets = append(b.secrets, values.Get("sig"), url.QueryEscape(values.Get("sig")), sas)
	b.ends = values.Get("se")
	return container.NewClientWithNoCredential(b.at+"?"+sas, o)
}

func (b *blobs) withApp(c Container, o *container.ClientOptions) (*container.Client, error) {
	switch {
	case c.Tenant == "" || strings.ContainsAny(c.Tenant, "/?#%\\ "):
		return nil, errors.New("tenant is neither an id nor a domain: give that of the storage account")
	case c.ClientID == "":
		return nil, errors.New("client_id is missing: give the application id of the app registration")
	}
	login := strings.TrimSuffix(c.Login, "/")
	if login == "" {
		login = "https://login.microsoftonline.com"
	}
	if u, err := url.Parse(login); err != nil || u.Host == "" || !private(u) {
		return nil, errors.New("the address to sign in at is none or not encrypted: want https://HOST")
	}
	b.secrets = append(b.secrets, c.Secret, url.QueryEscape(c.Secret))
	client := &http.Client{Transport: o.Transport.(*http.Client).Transport, Timeout: time.Minute}
	app := &appToken{client, clientcredentials.Config{ClientID: c.ClientID, ClientSecret: c.Secret,
		TokenURL: login + "/" + c.Tenant + "/oauth2/v2.0/token", AuthStyle: oauth2.AuthStyleInParams}}
	return container.NewClient(b.at, app, o)
}

// appToken signs in as an app.
type appToken struct {
	client *http.Client
	config clientcredentials.Config
}

// GetToken gets a token for Blob Storage; the library keeps it until it ends.
func (a *appToken) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	config := a.config
	config.Scopes = o.Scopes
	t, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, a.client))
	if err != nil {
		return azcore.AccessToken{}, &signInError{err}
	}
	return azcore.AccessToken{Token: t.AccessToken, ExpiresOn: t.Expiry}, nil
}

// signInError says that a token could not be had.
type signInError struct{ err error }

func (e *signInError) Error() string {
	var refused *oauth2.RetrieveError
	if errors.As(e.err, &refused) && refused.ErrorCode != "" {
		text, _, _ := strings.Cut(refused.ErrorDescription, "\n")
		return fmt.Sprintf("sign-in is refused (%s: %s): check tenant, client_id and client_secret", refused.ErrorCode, strings.TrimSpace(text))
	}
	return "sign-in: " + withoutAddress(e.err).Error()
}

// NonRetriable tells the library not to repeat a refused sign-in.
func (e *signInError) NonRetriable() {}

func (b *blobs) place(name string) string {
	if name == "" {
		return b.at + "/" + b.prefix
	}
	return b.at + "/" + name
}

func (b *blobs) list(ctx context.Context) ([]object, error) {
	var all []object
	pager := b.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{Prefix: &b.prefix})
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, b.failed(ctx, "list "+b.place(""), err)
		}
		for _, item := range page.Segment.BlobItems {
			if item.Name == nil || item.Properties == nil || item.Properties.ContentLength == nil {
				continue // a folder of a hierarchical namespace
			}
			if hidden(strings.TrimPrefix(*item.Name, b.prefix)) {
				continue
			}
			o := object{name: *item.Name, size: *item.Properties.ContentLength}
			if tag := item.Properties.ETag; tag != nil {
				o.version = `"` + strings.Trim(string(*tag), `"`) + `"`
			}
			all = append(all, o)
		}
	}
	return all, nil
}

// open streams a blob, and goes on where the connection broke. A blob that was
// replaced since it was listed is an error.
func (b *blobs) open(ctx context.Context, o object) (io.ReadCloser, error) {
	var same *blob.AccessConditions
	if o.version != "" {
		tag := azcore.ETag(o.version)
		same = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &tag}}
	}
	answer, err := b.client.NewBlobClient(o.name).DownloadStream(ctx, &blob.DownloadStreamOptions{AccessConditions: same})
	if err != nil {
		return nil, b.failed(ctx, "read "+b.place(o.name), err)
	}
	return &download{answer.NewRetryReader(ctx, &blob.RetryReaderOptions{MaxRetries: 5}), b, ctx, o}, nil
}

// download is a blob being read, whose errors tell no secret.
type download struct {
	io.ReadCloser
	blobs *blobs
	ctx   context.Context
	of    object
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = d.blobs.failed(d.ctx, "read "+d.blobs.place(d.of.name), err)
	}
	return n, err
}

// local spools a blob to a temporary file: Parquet is read from its end.
func (b *blobs) local(ctx context.Context, o object) (path string, done func() error, err error) {
	in, err := b.open(ctx, o)
	if err != nil {
		return "", nil, err
	}
	f, err := os.CreateTemp(b.temp, "tidemark-focus-*")
	if err != nil {
		return "", nil, errors.Join(err, in.Close())
	}
	n, err := io.Copy(f, io.LimitReader(in, o.size+1))
	if err == nil && n != o.size {
		err = fmt.Errorf("read %s: %d bytes came instead of %d: run again", b.place(o.name), n, o.size)
	}
	if err = errors.Join(err, in.Close(), f.Close()); err != nil {
		return "", nil, errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), func() error { return os.Remove(f.Name()) }, nil
}
