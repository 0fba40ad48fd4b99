package partnercenter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// export is one export of the partner billing API of Microsoft Graph: unbilled
// usage of a currency and period, or the usage of an invoice.
type export struct {
	Currency string
	Period   string // "current" or "last"; empty for an invoice
	Invoice  string
}

func (e export) String() string {
	if e.Invoice != "" {
		return "invoice " + e.Invoice
	}
	return fmt.Sprintf("unbilled usage in %s, %s period", e.Currency, e.Period)
}

// key is what the checkpoint keeps the operation of an export under.
func (e export) key() string { return "operation " + e.String() }

// order is the request that starts the export. All attributes are asked for:
// the meter's category is not among the basic ones.
func (e export) order() (path string, body map[string]string) {
	const root = "reports/partners/billing/usage/"
	if e.Invoice != "" {
		return root + "billed/export", map[string]string{"invoiceId": e.Invoice, "attributeSet": "full"}
	}
	return root + "unbilled/export", map[string]string{"currencyCode": e.Currency, "billingPeriod": e.Period, "attributeSet": "full"}
}

// operation is an export on its way. Its success holds the manifest, or a link
// to it.
type operation struct {
	Type     string          `json:"@odata.type"`
	Status   text            `json:"status"`
	Error    json.RawMessage `json:"error"`
	Manifest json.RawMessage `json:"resourceLocation"`
	Link     string          `json:"resourceLocation@odata.navigationLink"`
}

// manifest lists the blobs of a finished export.
type manifest struct {
	ETag      text   `json:"eTag"`
	Root      string `json:"rootDirectory"`
	SAS       string `json:"sasToken"` // secret; it is never written anywhere
	Format    string `json:"dataFormat"`
	BlobCount *int   `json:"blobCount"`
	Blobs     []struct {
		Name string `json:"name"`
		Size int64  `json:"sizeInBytes"` // 0: not stated
	} `json:"blobs"`
}

var (
	// errNoData says that an export has no usage, which is no fault.
	errNoData = errors.New("no data available")
	// errEnded says that an export is not there any more and has to be ordered anew.
	errEnded = errors.New("the export has ended")
)

const (
	pollEvery = 10 * time.Second // without a Retry-After
	pollFor   = 30 * time.Minute
)

// prepare orders an export, or goes on with the one that the checkpoint has, and
// waits for its manifest. One that is not there any more, since it is of an earlier
// run or the remote side gave it up, is ordered anew.
func (s *Source) prepare(ctx context.Context, e export) (*manifest, error) {
	m, err := s.follow(ctx, e)
	if errors.Is(err, errEnded) {
		m, err = s.follow(ctx, e)
	}
	return m, err
}

// follow waits for an export. After an error that another order may mend the
// checkpoint has the operation no more.
func (s *Source) follow(ctx context.Context, e export) (*manifest, error) {
	m, err := s.poll(ctx, e)
	var failed *exportError
	if errors.Is(err, errEnded) || errors.Is(err, errNoData) || errors.As(err, &failed) {
		err = errors.Join(err, s.cp.forget(e.key()))
	}
	return m, err
}

// exportError says what is wrong with an export itself.
type exportError struct{ text string }

func (e *exportError) Error() string { return e.text }

func (s *Source) poll(ctx context.Context, e export) (*manifest, error) {
	at, err := once(s.cp, e.key(), func() (string, error) { return s.startExport(ctx, e) })
	if err != nil {
		return nil, err
	}
	u, err := s.graph.Resolve(at)
	if err != nil {
		return nil, err
	}
	for until := s.o.Now().Add(pollFor); ; {
		var op operation
		header, err := s.graph.Get(ctx, u, nil, &op)
		if gone(err) {
			return nil, fmt.Errorf("%w: %w", errEnded, err)
		}
		if err != nil {
			return nil, err
		}
		switch strings.ToLower(string(op.Status)) {
		case "succeeded", "completed":
			return s.manifest(ctx, op)
		case "failed":
			return nil, op.failure()
		case "notstarted", "running", "":
		default:
			return nil, &exportError{fmt.Sprintf("the operation's status %q is not known", microsoft.Shorten(string(op.Status)))}
		}
		wait, ok := retry.After(header, s.o.Now())
		if !ok {
			wait = pollEvery
		}
		if s.o.Now().Add(wait).After(until) {
			return nil, &exportError{fmt.Sprintf("it is still running after %s: run again later, it is ordered anew then", pollFor)}
		}
		if err := s.graph.Client.Pause(ctx, max(wait, time.Second)); err != nil {
			return nil, err
		}
	}
}

// gone reports whether a thing is not there, or not any more.
func gone(err error) bool {
	var refused *retry.StatusError
	return errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusGone)
}

func badRequest(err error) bool {
	var refused *retry.StatusError
	return errors.As(err, &refused) && refused.Status == http.StatusBadRequest
}

// startExport orders an export and returns where to ask for it.
func (s *Source) startExport(ctx context.Context, e export) (string, error) {
	path, fields := e.order()
	body, err := json.Marshal(fields)
	if err != nil {
		return "", err
	}
	r := retry.Request{Method: http.MethodPost, URL: s.graph.Host.JoinPath(s.graph.Version, path), Body: body,
		Header: http.Header{"Content-Type": {"application/json"}}, ID: s.graph.ID}
	header, err := s.graph.Do(ctx, r, nil)
	if err != nil {
		return "", err
	}
	at := header.Get("Location")
	if at == "" {
		return "", errors.New("the export was accepted without saying where to ask for it (no Location)")
	}
	return at, nil
}

func (op operation) failure() error {
	e := microsoft.ParseError(op.Error)
	if e.Code == codeNoData || strings.EqualFold(e.Message, errNoData.Error()) {
		return errNoData
	}
	return &exportError{"the export failed" + e.Said() + ": run again later"}
}

func (s *Source) manifest(ctx context.Context, op operation) (*manifest, error) {
	m := new(manifest)
	switch {
	case len(op.Manifest) > 0 && op.Manifest[0] == '{':
		if err := json.Unmarshal(op.Manifest, m); err != nil {
			return nil, &exportError{fmt.Sprintf("read manifest: %v", err)}
		}
	case op.Link != "":
		u, err := s.graph.Resolve(op.Link)
		if err != nil {
			return nil, err
		}
		if _, err := s.graph.Get(ctx, u, nil, m); gone(err) {
			return nil, fmt.Errorf("%w: %w", errEnded, err)
		} else if err != nil {
			return nil, err
		}
	default:
		return nil, &exportError{"the export succeeded without a manifest: run again later"}
	}
	return m, m.check()
}

func (m *manifest) check() error {
	root, err := url.Parse(m.Root)
	switch {
	case err != nil || root.Host == "":
		return &exportError{"the manifest's rootDirectory is not an address: run again later"}
	case m.Blobs == nil:
		return &exportError{"the manifest does not list its blobs, so nobody knows whether there is usage: run again later"}
	case m.BlobCount != nil && *m.BlobCount != len(m.Blobs):
		return &exportError{fmt.Sprintf("the manifest states %d blobs and lists %d: run again later", *m.BlobCount, len(m.Blobs))}
	}
	seen := map[string]bool{}
	for _, b := range m.Blobs {
		at := root.JoinPath(b.Name).Path
		if seen[at] {
			return &exportError{fmt.Sprintf("the manifest lists the blob %q twice, so its usage would count twice: run again later", microsoft.Shorten(b.Name))}
		}
		seen[at] = true
	}
	return microsoft.MustEncrypt(root)
}

// blobURL is the address of a blob, its signature included: a secret.
func (m *manifest) blobURL(name string) (*url.URL, error) {
	root, err := url.Parse(m.Root)
	if err != nil {
		return nil, errors.New("the manifest's rootDirectory is not an address")
	}
	u := root.JoinPath(name)
	if u.RawQuery = strings.TrimPrefix(m.SAS, "?"); u.Host != root.Host || !strings.HasPrefix(u.Path, strings.TrimSuffix(root.Path, "/")+"/") {
		return nil, fmt.Errorf("the blob %q lies outside the export", microsoft.Shorten(name))
	}
	return u, nil
}
