package fakemicrosoft

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Container is the name of the storage container.
const Container = "exports"

// container is what the storage host holds.
type container struct {
	files map[string]stored
	sas   map[string]time.Time // signatures and when they end
	puts  int
}

type stored struct {
	body []byte
	at   time.Time
	etag string
}

func (c *container) signatures() []string { return slices.Sorted(maps.Keys(c.sas)) }

// Put puts files into the container, over those of the same name.
func (s *Server) Put(files ...File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files.files == nil {
		s.files.files = make(map[string]stored)
	}
	for _, f := range files {
		s.files.puts++
		s.files.files[f.Name] = stored{f.Body, s.now(), fmt.Sprintf(`"0x8D%08X"`, s.files.puts)}
	}
}

// Delete takes a file out of the container.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files.files, name)
}

// ContainerSAS signs for reading and listing the container, for so long.
func (s *Server) ContainerSAS(life time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files.sas == nil {
		s.files.sas = make(map[string]time.Time)
	}
	sig, end := fmt.Sprintf("storage-sig-%d-%s", len(s.files.sas)+1, s.opt.Marker), s.now().Add(life)
	s.files.sas[sig] = end
	return fmt.Sprintf("sv=2022-11-02&se=%s&sr=c&sp=rl&sig=%s", url.QueryEscape(stamp(end)), url.QueryEscape(sig))
}

// serveStorage lists the container and gives its blobs, to a token for storage or
// a signature.
func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-ms-version", "2022-11-02")
	if code, text := s.storageAccess(r); code != "" {
		status := http.StatusForbidden
		if code == "InvalidAuthenticationInfo" || code == "NoAuthenticationInformation" {
			status = http.StatusUnauthorized
		}
		xmlError(w, status, code, text)
		return
	}
	name, inside := strings.CutPrefix(r.URL.Path, "/"+Container+"/")
	q := r.URL.Query()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		xmlError(w, 405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
	case strings.TrimRight(r.URL.Path, "/") == "/"+Container && q.Get("restype") == "container" && q.Get("comp") == "list":
		s.listBlobs(w, q)
	case !inside:
		xmlError(w, 404, "ContainerNotFound", "The specified container does not exist.")
	default:
		s.storedBlob(w, r, name)
	}
}

// storageAccess returns the code of the refusal, "" if access is granted.
func (s *Server) storageAccess(r *http.Request) (code, text string) {
	if sig := r.URL.Query().Get("sig"); sig != "" {
		s.mu.Lock()
		end, known := s.files.sas[sig]
		s.mu.Unlock()
		if !known || r.URL.Query().Get("se") != stamp(end) {
			return "AuthenticationFailed", "The signature is wrong."
		}
		if !s.now().Before(end) {
			return "AuthenticationFailed", "Signature not valid in the specified time frame: Expiry [" + end.UTC().Format(time.RFC1123) + "]"
		}
		return "", ""
	}
	switch _, reason := s.check(Storage, r); {
	case reason == "missing":
		return "NoAuthenticationInformation", "Server failed to authenticate the request."
	case reason != "":
		return "InvalidAuthenticationInfo", "The token is " + reason + "."
	case r.Header.Get("x-ms-version") == "":
		return "AuthenticationFailed", "A token needs the header x-ms-version."
	}
	return "", ""
}

// listing is the answer of List Blobs.
type listing struct {
	XMLName    xml.Name `xml:"EnumerationResults"`
	Container  string   `xml:"ContainerName,attr"`
	Prefix     string
	Marker     string
	MaxResults int
	Blobs      struct {
		Blob       []listed
		BlobPrefix []prefix
	}
	NextMarker string
}

type listed struct {
	Name       string
	Properties struct {
		LastModified  string `xml:"Last-Modified"`
		Etag          string
		ContentLength int    `xml:"Content-Length"`
		ContentType   string `xml:"Content-Type"`
		BlobType      string
	}
}

type prefix struct{ Name string }

// listBlobs gives a page of names in order; the marker is opaque.
func (s *Server) listBlobs(w http.ResponseWriter, q url.Values) {
	limit := 5000
	if v := q.Get("maxresults"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			xmlError(w, 400, "OutOfRangeQueryParameterValue", "maxresults is out of range.")
			return
		}
		limit = min(limit, n)
	}
	from, err := base64.URLEncoding.DecodeString(q.Get("marker"))
	if err != nil {
		xmlError(w, 400, "InvalidQueryParameterValue", "The marker is not valid.")
		return
	}
	out := listing{Container: s.at.Storage + "/" + Container, Prefix: q.Get("prefix"), Marker: q.Get("marker"), MaxResults: limit}
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(s.files.files)) {
		if !strings.HasPrefix(name, out.Prefix) {
			continue
		}
		entry, folder := name, false
		if d := q.Get("delimiter"); d != "" {
			if i := strings.Index(name[len(out.Prefix):], d); i >= 0 {
				entry, folder = name[:len(out.Prefix)+i+len(d)], true
			}
		}
		if entry < string(from) || seen[entry] {
			continue
		}
		if len(out.Blobs.Blob)+len(out.Blobs.BlobPrefix) == limit {
			out.NextMarker = base64.URLEncoding.EncodeToString([]byte(entry))
			break
		}
		seen[entry] = true
		if folder {
			out.Blobs.BlobPrefix = append(out.Blobs.BlobPrefix, prefix{entry})
		} else {
			out.Blobs.Blob = append(out.Blobs.Blob, s.files.files[name].listed(name))
		}
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprint(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(out) // an error is the reader's having gone away
}

func (f stored) listed(name string) listed {
	l := listed{Name: name}
	l.Properties.LastModified, l.Properties.Etag = f.at.UTC().Format(http.TimeFormat), strings.Trim(f.etag, `"`)
	l.Properties.ContentLength, l.Properties.ContentType, l.Properties.BlobType = len(f.body), "application/octet-stream", "BlockBlob"
	return l
}

func (s *Server) storedBlob(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	f, ok := s.files.files[name]
	s.mu.Unlock()
	if !ok {
		xmlError(w, 404, "BlobNotFound", "The specified blob does not exist.")
		return
	}
	if part := r.Header.Get("x-ms-range"); part != "" {
		r.Header.Set("Range", part) // it goes before Range
	}
	w.Header().Set("ETag", f.etag)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("x-ms-blob-type", "BlockBlob")
	http.ServeContent(w, r, "", f.at, bytes.NewReader(f.body))
}
