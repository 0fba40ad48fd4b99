package fakemicrosoft

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveBlob gives a blob of an export to whoever has a signature for its
// directory. The lines are made while they are sent.
func (s *Server) serveBlob(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		xmlError(w, 400, "InvalidAuthenticationInfo", "Authentication information is not given in the correct format.")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		xmlError(w, 405, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
		return
	}
	if strings.HasPrefix(r.URL.Path, "/rep/") {
		s.serveReport(w, r)
		return
	}
	i := strings.LastIndex(r.URL.Path, "/")
	dir, name := r.URL.Path[:max(0, i)], r.URL.Path[i+1:]
	s.mu.Lock()
	sas, signed := s.exports.sas[r.URL.Query().Get("sig")]
	data, found := s.exports.roots[dir]
	s.mu.Unlock()
	switch {
	case !signed:
		xmlError(w, 403, "AuthenticationFailed", "Server failed to authenticate the request. The signature is missing or wrong.")
		return
	case !s.now().Before(sas.expires) || r.URL.Query().Get("se") != stamp(sas.expires):
		xmlError(w, 403, "AuthenticationFailed", "Signature not valid in the specified time frame: Expiry ["+sas.expires.UTC().Format(time.RFC1123)+"]")
		return
	case sas.root != dir:
		xmlError(w, 403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
		return
	}
	var blob int
	if _, err := fmt.Sscanf(name, "part-%05d.json.gz", &blob); err != nil || !found || blobName(blob) != name || blob >= s.partner.Usage.Blobs(data.feed) {
		xmlError(w, 404, "BlobNotFound", "The specified blob does not exist.")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", fmt.Sprintf(`"0x%d"`, data.feed.Version))
	if r.Method == http.MethodHead {
		var size counter
		s.streamLines(&size, r, data, blob)
		w.Header().Set("Content-Length", strconv.FormatInt(int64(size), 10))
		return
	}
	s.streamLines(w, r, data, blob)
}

// streamLines writes gzip JSON lines. An error is the reader's having gone away.
func (s *Server) streamLines(w io.Writer, r *http.Request, data root, blob int) {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return
	}
	lw := lineWriter{basic: data.basic}
	if f := faultOf(r).Lines; f != nil {
		lw.missing, lw.extra = f.Missing, f.Extra
	}
	buf := make([]byte, 0, 1<<16)
	for l := range s.partner.Usage.Lines(data.feed, blob) {
		buf = lw.append(buf, l)
		if len(buf) < 1<<15 {
			continue
		}
		if _, err := zip.Write(buf); err != nil {
			return
		}
		buf = buf[:0]
	}
	if _, err := zip.Write(buf); err == nil {
		_ = zip.Close()
	}
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func storageError(code, text string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, text)
}

// xmlError answers in the shape of storage errors.
func xmlError(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, storageError(code, text))
}
