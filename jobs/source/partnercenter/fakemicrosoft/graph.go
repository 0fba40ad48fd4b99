package fakemicrosoft

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const billing = "/v1.0/reports/partners/billing"

// operation is an export under way.
type operation struct {
	id       string
	feed     Feed
	basic    bool
	polls    int  // that still find it running
	late     bool // it has not started when it is first asked for
	done     string
	inline   bool
	fail     string
	message  string
	created  time.Time
	manifest string
}

// manifest is what an export has made.
type manifest struct {
	id      string
	feed    Feed
	basic   bool
	created time.Time
}

// signature is a shared access signature for one version of a manifest.
type signature struct {
	root    string
	expires time.Time
}

type exports struct {
	operations map[string]*operation
	manifests  map[string]*manifest
	roots      map[string]root
	sas        map[string]signature // by what stands behind sig=
	made       int
}

// root is a directory of blobs: a feed in one version.
type root struct {
	feed  Feed
	basic bool
}

func newExports() exports {
	return exports{operations: make(map[string]*operation), manifests: make(map[string]*manifest), roots: make(map[string]root),
		sas: make(map[string]signature)}
}

// serveGraph is the partner billing export of Microsoft Graph: export, operation,
// manifest, blobs (Graph API reference, partner billing).
func (s *Server) serveGraph(w http.ResponseWriter, r *http.Request) {
	if s.serveControl(w, r) {
		return
	}
	w.Header().Set("request-id", "6d1b3d0e-0000-4000-8000-000000000001")
	if id := r.Header.Get("client-request-id"); id != "" {
		w.Header().Set("client-request-id", id)
	}
	tok, reason := s.check(Graph, r)
	if reason != "" {
		s.graphError(w, r, 401, "InvalidAuthenticationToken", "Access token is "+reason+".")
		return
	}
	if s.opt.DenyGraph || s.opt.AppGraph && tok.user {
		s.graphError(w, r, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
		return
	}
	if s.serveMailbox(w, r) || s.serveInbox(w, r) || s.serveDirectory(w, r) {
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, billing)
	operation, isOperation := strings.CutPrefix(path, "/operations/")
	manifest, isManifest := strings.CutPrefix(path, "/manifests/")
	post := r.Method == http.MethodPost
	switch {
	case !ok:
		s.graphError(w, r, 404, "ResourceNotFound", "Resource not found for the segment.")
	case path == "/usage/unbilled/export" && post:
		s.startExport(w, r, false)
	case path == "/usage/billed/export" && post:
		s.startExport(w, r, true)
	case isOperation && r.Method == http.MethodGet:
		s.pollOperation(w, r, operation)
	case isManifest && r.Method == http.MethodGet:
		s.readManifest(w, r, manifest)
	default:
		s.graphError(w, r, 404, "ResourceNotFound", "Resource not found for the segment.")
	}
}

// startExport accepts an export and names its operation in Location.
func (s *Server) startExport(w http.ResponseWriter, r *http.Request, billed bool) {
	var ask struct{ CurrencyCode, BillingPeriod, InvoiceID, AttributeSet string }
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		s.graphError(w, r, 400, "badRequest", "The body is not JSON.")
		return
	}
	def(&ask.AttributeSet, "full")
	switch {
	case ask.AttributeSet != "full" && ask.AttributeSet != "basic":
		s.graphError(w, r, 400, "badRequest", "attributeSet must be full or basic.")
		return
	case billed && ask.InvoiceID == "":
		s.graphError(w, r, 400, "badRequest", "invoiceId is required.")
		return
	case !billed && (len(ask.CurrencyCode) != 3 || ask.BillingPeriod != "current" && ask.BillingPeriod != "last"):
		s.graphError(w, r, 400, "badRequest", "currencyCode and billingPeriod (current, last) are required.")
		return
	}
	feed := Feed{Currency: ask.CurrencyCode, Period: ask.BillingPeriod, Version: 1, Today: s.now()}
	if billed {
		feed = Feed{Invoice: ask.InvoiceID, Version: 1, Today: s.now()}
	}
	f := exportFault(r)
	op := &operation{feed: feed, basic: ask.AttributeSet == "basic", polls: max(0, s.opt.Export.Polls), done: s.opt.Export.Done,
		inline: s.opt.Export.Inline || f.Inline, fail: f.Fail, message: f.Message, created: s.now()}
	if f.Polls > 0 {
		op.polls = f.Polls
	}
	if f.Done != "" {
		op.done = f.Done
	}
	op.late = op.polls > 1
	if op.fail == "" && (s.partner.Usage == nil || s.partner.Usage.Blobs(feed) == 0) {
		op.fail, op.message = "5000", "No data available"
	}
	s.mu.Lock()
	s.exports.made++
	op.id = fmt.Sprintf("op-%04d", s.exports.made)
	s.exports.operations[op.id] = op
	s.mu.Unlock()
	w.Header().Set("Location", s.at.Graph+billing+"/operations/"+op.id)
	w.WriteHeader(http.StatusAccepted)
}

// pollOperation always answers 200; its type and status tell how far it is.
func (s *Server) pollOperation(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := s.exports.operations[id]
	if op == nil {
		s.graphError(w, r, 404, "itemNotFound", "The operation was not found.")
		return
	}
	const kind = "#microsoft.graph.partners.billing."
	o := object{"@odata.context": s.at.Graph + "/v1.0/$metadata#reports/partners/billing/operations/$entity", "id": op.id,
		"createdDateTime": op.created.UTC().Format("2006-01-02T15:04:05"), "lastActionDateTime": s.now().UTC().Format("2006-01-02T15:04:05.99Z")}
	switch {
	case op.polls > 0:
		op.polls--
		o["@odata.type"], o["status"] = kind+"runningOperation", "running"
		if op.late {
			o["status"], op.late = "notStarted", false
		}
		w.Header().Set("Retry-After", fmt.Sprint(s.opt.Export.RetryAfter))
	case op.fail != "":
		o["@odata.type"], o["status"] = kind+"failedOperation", "failed"
		o["error"] = object{"code": op.fail, "message": op.message}
	default:
		o["@odata.type"], o["status"] = kind+"exportSuccessOperation", op.done
		m := s.manifestOf(op)
		if op.inline {
			o["resourceLocation"] = s.manifestJSON(m, ExportFault{})
		} else {
			o["resourceLocation@odata.navigationLink"] = s.at.Graph + billing + "/manifests/" + m.id
		}
	}
	writeJSON(w, http.StatusOK, o)
}

// manifestOf returns the manifest of an export that is done. The caller holds the lock.
func (s *Server) manifestOf(op *operation) *manifest {
	if op.manifest == "" {
		op.manifest = strings.Replace(op.id, "op", "mf", 1)
		s.exports.manifests[op.manifest] = &manifest{id: op.manifest, feed: op.feed, basic: op.basic, created: s.now()}
	}
	return s.exports.manifests[op.manifest]
}

// readManifest answers with a fresh signature each time.
func (s *Server) readManifest(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.exports.manifests[id]
	if m == nil {
		s.graphError(w, r, 404, "itemNotFound", "The manifest was not found.")
		return
	}
	f := exportFault(r)
	if f.NewVersion {
		m.feed.Version++
	}
	writeJSON(w, http.StatusOK, s.manifestJSON(m, f))
}

// ChangeData gives every manifest another eTag and root directory; what the old
// one named stays readable.
func (s *Server) ChangeData() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.exports.manifests {
		m.feed.Version++
	}
}

// manifestJSON names the blobs and signs for them. The caller holds the lock.
func (s *Server) manifestJSON(m *manifest, f ExportFault) object {
	dir := m.dir(s.partner.TenantID)
	s.exports.roots[dir] = root{m.feed, m.basic}
	expires := s.now().Add(s.opt.Export.SASLife)
	if f.ExpiredSAS {
		expires = s.now().Add(-time.Minute)
	}
	s.exports.made++
	sig := fmt.Sprintf("sig-%d-%s", s.exports.made, s.opt.Marker)
	s.exports.sas[sig] = signature{root: dir, expires: expires}
	n := s.partner.Usage.Blobs(m.feed)
	blobs := make([]any, 0, n)
	for i := range n {
		blobs = append(blobs, object{"name": blobName(i), "partitionValue": "default"})
	}
	return object{"id": m.id, "schemaVersion": "1", "dataFormat": s.opt.Export.DataFormat, "createdDateTime": stamp(m.created),
		"eTag": fmt.Sprintf("etag-%s-%d", m.id, m.feed.Version), "partnerTenantId": s.partner.TenantID,
		"rootDirectory": s.at.Blob + dir, "partitionType": "Default", "blobCount": n, "blobs": blobs,
		"sasToken": fmt.Sprintf("skoid=fake&sv=2021-08-06&se=%s&sr=d&sp=rl&sdd=7&sig=%s", url.QueryEscape(stamp(expires)), url.QueryEscape(sig))}
}

// dir is the directory of a version of the data: the version is in the path.
func (m *manifest) dir(tenant string) string {
	fragment := "full"
	if m.basic {
		fragment = "basic"
	}
	d := fmt.Sprintf("/export/unbilledusage/v1/PartnerTenantId=%s/Currency=%s/Period=%s/Version=%d", tenant, m.feed.Currency, m.feed.Period,
		m.feed.Version)
	if m.feed.Invoice != "" {
		d = fmt.Sprintf("/export/billedusage/v1/PartnerTenantId=%s/InvoiceId=%s/InvoiceVersion=%d", tenant, m.feed.Invoice, m.feed.Version)
	}
	return d + "/Manifest=" + m.id + "/Fragment=" + fragment + "/PartitionType=default"
}

func blobName(i int) string { return fmt.Sprintf("part-%05d.json.gz", i) }

func (s *Server) graphError(w http.ResponseWriter, r *http.Request, status int, code, text string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, status, object{"error": object{"code": code, "message": text, "innerError": object{
		"date": s.now().UTC().Format("2006-01-02T15:04:05"), "request-id": "6d1b3d0e-0000-4000-8000-000000000001",
		"client-request-id": r.Header.Get("client-request-id")}}})
}
