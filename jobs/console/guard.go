package console

import (
	"net"
	"net/http"
	"path"
	"strings"
)

// The limits of what is accepted; [Serve] has those of connections.
const (
	maxURL    = 2048     // bytes of the address
	maxHeader = 16 << 10 // bytes of all header fields
)

// policy is what a page of the console may do: nothing that is not its own file.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard stands before every route: it refuses what only an attack or a mistake
// sends, and sets the headers that every answer has.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if status, why := refuse(r); status != 0 {
			if status == http.StatusMethodNotAllowed {
				h.Set("Allow", "GET, HEAD")
			}
			if r.ContentLength != 0 {
				h.Set("Connection", "close") // the body is not read
			}
			http.Error(w, why, status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse returns the status with which a request is refused, 0 for none.
func refuse(r *http.Request) (status int, why string) {
	switch {
	case !isLoopback(r.Host):
		// A name that leads here is not enough: another site could have it resolved.
		return http.StatusForbidden, "this is for this machine alone: the host must be localhost or a loopback address"
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "nothing can be changed here"
	case len(r.RequestURI) > maxURL:
		return http.StatusRequestURITooLong, "the address is too long"
	case r.ContentLength != 0:
		return http.StatusRequestEntityTooLarge, "a request has no body here"
	case !isPlainPath(r):
		return http.StatusBadRequest, "the path is not one of a page"
	case isForAnotherSite(r):
		return http.StatusForbidden, "another site may link here, and use nothing from here"
	}
	return 0, ""
}

// isForAnotherSite reports whether a page of another site asks, other than by a link.
func isForAnotherSite(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate" || origin != "" && origin != "http://"+r.Host
}

// isPlainPath reports whether a path is written in the only way a page has it:
// no step up, no second slash, no slash or NUL in disguise.
func isPlainPath(r *http.Request) bool {
	p := r.URL.Path
	raw := strings.ToLower(r.URL.EscapedPath())
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsAny(p, "\\\x00\r\n") &&
		!strings.Contains(raw, "%2f") && !strings.Contains(raw, "%2e") && !strings.Contains(raw, "%5c")
}

// isLoopback reports whether the host of a request or of an address to listen on
// is this machine alone; a port is not looked at.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else { // the usual port is not named
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
