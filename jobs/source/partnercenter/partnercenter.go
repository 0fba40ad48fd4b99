// Package partnercenter extracts from Microsoft: the inventory from Partner
// Center's REST API, usage and cost from the partner billing export of Microsoft
// Graph.
//
//  1. [New] checks the options; [Source.Probe] tries sign-in, permissions and one
//     page of each resource;
//  2. [Source.Customers] follows the pages of the partner's customers,
//     [Source.Subscriptions] reads for each its subscriptions and, for an Azure
//     plan, the Azure subscriptions inside (entitlements). A customer who cannot
//     be read is a [*data.CustomerError]; the others go on;
//  3. [Source.Usage] has Graph prepare one export for each currency and period
//     (unbilled: current and last; billed: the invoices that the archive lacks),
//     downloads their blobs, checks them whole, and yields one row a line. The
//     Azure subscription's id joins the two sides;
//  4. every answer is kept in a checkpoint as it comes. A run that was stopped
//     goes on there; [Source.Done] clears it once the archive has all.
//
// Requests that fail for a moment are package retry's concern.
package partnercenter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidemark/data"
	"tidemark/jobs/microsoft"
	"tidemark/jobs/microsoft/retry"
)

// Options say what to read, and as whom.
type Options struct {
	microsoft.Credentials
	Cloud      string              // "" or "global", "usgov", "china"
	Endpoints  microsoft.Endpoints // hosts that differ from the cloud's
	Currencies []string            // billing currencies of the partner, e.g. EUR; required for usage
	Invoices   []string            // billed invoices to read, where the list of invoices is not open to the app
	Backfill   int                 // months of billed invoices to read, beside the newest; 0 for none
	Exclude    []string            // ids of customers that are not asked for
	Work       string              // folder for the checkpoint; required

	TimeLimit time.Duration // of all reading; 0 means three hours
	Parallel  int           // customers read at a time; 0 means 4
	PageSize  int           // customers on a page; 0 means 500
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error // nil for a timer
	Transport http.RoundTripper                          // nil for the usual one
	Waiting   func(retry.Wait)                           // told of each pause, so that a person sees why nothing moves
	Progress  func(what string, done, of int)            // told how far "customers" are, and the blobs of an export
}

// Source reads one partner. It is used by one goroutine.
type Source struct {
	o          Options
	pc, graph  *microsoft.API
	blobs      *retry.Client
	login      *retry.Client
	currencies []string
	exclude    map[data.CustomerID]bool

	cp      *checkpoint       // of the sequence that is being read
	ends    time.Time         // of the time allowed; zero until something was read
	billed  map[string]billed // to be kept once the archive has them; nil: as it was
	stale   map[string]bool   // ids of those whose month the archive has otherwise by now
	stopped string            // how far it was when the time was over

	archived *archived // what the archive has; nil: not known
}

var (
	_ data.UsageSource     = (*Source)(nil)
	_ data.InventorySource = (*Source)(nil)
)

// requestsAMinute is what Partner Center allows a tenant for customers and
// subscriptions.
const requestsAMinute = 500

// New checks the options. Nothing is sent yet.
func New(o Options) (*Source, error) {
	s, err := newSource(o)
	if err != nil {
		return nil, fmt.Errorf("source partnercenter: %w", err)
	}
	return s, nil
}

func newSource(o Options) (*Source, error) {
	cloud, err := microsoft.HostsOf(o.Cloud)
	if err != nil {
		return nil, err
	}
	hosts := o.Endpoints.Or(cloud)
	login, err := microsoft.ParseHost("login", hosts.Login)
	if err != nil {
		return nil, err
	}
	pcHost, err := microsoft.ParseHost("api", hosts.API)
	if err != nil {
		return nil, err
	}
	graphHost, err := microsoft.ParseHost("graph", hosts.Graph)
	if err != nil {
		return nil, err
	}
	if o.Work == "" {
		return nil, errors.New("work is missing: give a folder for what is read while it goes on")
	}
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 8
		o.Transport = t
	}
	o.Parallel, o.PageSize = cmp.Or(o.Parallel, 4), cmp.Or(o.PageSize, 500)
	o.TimeLimit = cmp.Or(o.TimeLimit, 3*time.Hour)
	s := &Source{o: o, exclude: map[data.CustomerID]bool{}}
	for _, id := range o.Exclude {
		s.exclude[data.CustomerID(data.CleanID(id))] = true
	}
	for _, name := range o.Currencies {
		c, err := data.ParseCurrency(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("currencies: %q is not an ISO 4217 code such as EUR", name)
		}
		if !slices.Contains(s.currencies, c) {
			s.currencies = append(s.currencies, c)
		}
	}
	s.login, s.blobs = newClient(o), newClient(o)
	s.login.HTTP = &http.Client{Transport: o.Transport, CheckRedirect: microsoft.NoRedirect}
	s.blobs.HTTP = &http.Client{Transport: o.Transport, CheckRedirect: microsoft.NoRedirect}
	s.blobs.Slowest = 2 * time.Hour
	sign, err := microsoft.NewSignIn(o.Credentials, login, s.login)
	if err != nil {
		return nil, err
	}
	app := sign // Graph's permission is the app's, also where a user signs in to Partner Center
	if o.RefreshToken != "" {
		o.Credentials.RefreshToken = ""
		if app, err = microsoft.NewSignIn(o.Credentials, login, s.login); err != nil {
			return nil, err
		}
	}
	// Tokens are for the cloud's own addresses, whatever hosts stand in for them.
	resources := []string{cloud.API}
	if (o.Cloud == "" || o.Cloud == "global") && app == sign {
		resources = append(resources, "https://graph.windows.net") // what app-only tokens were documented for
	}
	s.pc = s.newAPI(sign, pcHost, resources...)
	s.pc.Version, s.pc.ID, s.pc.Limited = "v1", "MS-RequestId", true
	s.pc.Client.Budget = retry.NewBudget(requestsAMinute, time.Minute)
	s.graph = s.newAPI(app, graphHost, cloud.Graph)
	s.graph.Version, s.graph.ID = "v1.0", "client-request-id"
	return s, nil
}

// newAPI makes the client of a host, which says what to do about refusals.
func (s *Source) newAPI(sign *microsoft.SignIn, host *url.URL, resources ...string) *microsoft.API {
	a := microsoft.NewAPI(newClient(s.o), s.o.Transport, sign, host, resources...)
	a.Hint = hint
	return a
}

func newClient(o Options) *retry.Client {
	return &retry.Client{Now: o.Now, Told: o.Waiting, Sleep: o.Sleep}
}

func (s *Source) progress(what string, done, of int) {
	if s.o.Progress != nil {
		s.o.Progress(what, done, of)
	}
}

// Kind is "partnercenter".
func (s *Source) Kind() string { return "partnercenter" }

func (s *Source) clients() []*retry.Client {
	return []*retry.Client{s.login, s.pc.Client, s.graph.Client, s.blobs}
}

// Stats are the requests sent so far, to every host.
func (s *Source) Stats() retry.Stats {
	var all retry.Stats
	for _, c := range s.clients() {
		n := c.Stats()
		all.Requests, all.Retries, all.Waited = all.Requests+n.Requests, all.Retries+n.Retries, all.Waited+n.Waited
	}
	return all
}

// begin opens the checkpoint for one sequence; end gives it back. The time that
// is allowed begins with the first sequence and holds for all until Done.
func (s *Source) begin(ctx context.Context) (_ context.Context, end func() error, err error) {
	now := s.o.Now()
	what := fmt.Sprintf("tenant %s, currencies %s", strings.ToLower(s.o.Tenant), strings.Join(s.currencies, " "))
	if s.cp, err = openCheckpoint(s.o.Work, what, now); err != nil {
		return nil, nil, err
	}
	if s.ends.IsZero() {
		s.ends = now.Add(s.o.TimeLimit)
	}
	for _, c := range s.clients() {
		c.Allow(s.ends)
	}
	ctx, cancel := context.WithTimeout(ctx, s.ends.Sub(now))
	return ctx, func() error { cancel(); return s.cp.close() }, nil
}

// within reads something while the checkpoint is open.
func within[T any](ctx context.Context, s *Source, read func(context.Context) (T, error)) (T, error) {
	var none T
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return none, err
	}
	v, err := read(ctx)
	return v, errors.Join(err, end())
}

// Done clears the checkpoint: the archive has what was read, as Archived was told
// since. The next reading begins anew.
func (s *Source) Done() error {
	_, end, err := s.begin(context.Background())
	if err != nil {
		return fmt.Errorf("source partnercenter: %w", err)
	}
	if s.billed != nil {
		s.keepContent()
		err = s.cp.writeBilled(s.billed)
	}
	if err == nil {
		err = s.cp.clear()
	}
	s.ends, s.billed, s.stale = time.Time{}, nil, nil
	return errors.Join(err, end())
}

// failed says how the reading ended, and what is kept.
func (s *Source) failed(err error) error {
	if errors.Is(err, retry.ErrNoTime) {
		return &data.Unfinished{Err: err, After: s.o.TimeLimit, Done: s.stopped}
	}
	return err
}
