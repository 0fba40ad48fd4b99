package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"tidemark/templates"
)

// static gives the console's own style and script.
func (c *Console) static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	types := map[string]string{"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	content, err := fs.ReadFile(templates.Console(), name)
	if types[name] == "" || err != nil {
		p, status := c.failed(r, errNotFound)
		c.write(w, r, status, p)
		return
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", types[name])
	h.Set("Cache-Control", "no-cache") // kept, and asked about: they hold nothing private
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	if strings.HasSuffix(name, ".svg") {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
