//go:build charts

package jobs

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"tidemark/data"
	"tidemark/reports"
	"tidemark/reports/chart/raster"
	"tidemark/templates"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenEstate has somebody to call, somebody lost, somebody quiet and a name that
// means harm.
func goldenEstate() estate {
	sub := func(id, name string, until int, cents int64, status data.Status) estateSub {
		return estateSub{id: id, name: name, status: status, until: until, cents: cents, currency: "EUR"}
	}
	return estate{[]estateCustomer{
		{id: "c1", name: "Noordzee Logistiek", owner: "anna@partner.example", factor: 1, subs: []estateSub{sub("s1", "productie", 37, 9120, data.StatusActive), sub("s2", "dwh", estateDays, 1210, data.StatusActive)}},
		{id: "c2", name: `</script><img src=x onerror=alert(1)> "& Zn`, owner: "anna@partner.example", factor: 1, subs: []estateSub{sub("s3", "=cmd|' /C calc'!A0", 36, 455, data.StatusActive)}},
		{id: "c3", name: "Bakkerij De Korenaar", owner: "anna@partner.example", factor: 1, subs: []estateSub{sub("s4", "kassa", estateDays, 30, data.StatusActive)}},
		{id: "c4", name: "Kwekerij Zonnedauw", owner: "anna@partner.example", factor: 1, subs: []estateSub{sub("s5", "kas-3", 20, 77, data.StatusSuspended)}},
	}}
}

// TestDigests_GoldenMails seals a mail for every role and language. In the golden
// file a picture is one line: its size and hash.
func TestDigests_GoldenMails(t *testing.T) {
	script, ok := templates.ChartScript()
	if !ok {
		t.Fatal("this build has no chart script; run make assets")
	}
	charts, err := raster.New(raster.Options{Script: script})
	if err != nil {
		t.Fatal(err)
	}
	e := goldenEstate()
	l := e.archived(t)
	latest, err := data.ParsePeriod("latest-7d")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Load(t.Context(), l.view(), Query{Period: latest, Trend: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	p.Seal = "9f2c4e17ab03d556" // a table's id is drawn, and with it the seal
	for _, role := range reports.Roles() {
		for _, locale := range templates.Languages() {
			name := string(role) + "_" + locale
			t.Run(name, func(t *testing.T) {
				d := e.mails(t, p, role)
				d.Charts = charts
				d.Recipients = append(d.Recipients, reports.Recipient{Address: "anna@partner.example", Name: "Anna de Vries", Role: role, Locale: locale})
				d.Only = "anna@partner.example"
				if role == reports.SalesAgent {
					d.Recipients = d.Recipients[len(d.Recipients)-1:]
				}
				for b, err := range d.Build(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					checkEML(t, b.EML)
					golden(t, name+".eml", withoutPictures(b.EML))
				}
			})
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s differs; when this is meant: make golden, and read the diff (-want +got):\n%s", path, diff)
	}
}

// withoutPictures replaces each picture of a mail by a line about it.
func withoutPictures(eml []byte) []byte {
	return regexp.MustCompile(`iVBORw0KGgo[A-Za-z0-9+/=\r\n]+`).ReplaceAllFunc(eml, func(text []byte) []byte {
		b, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(text), nil)))
		if err != nil {
			return text
		}
		size, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return text
		}
		return fmt.Appendf(nil, "[PNG of %d x %d, %d bytes, SHA-256 %x]\r\n\r\n", size.Width, size.Height, len(b), sha256.Sum256(b))
	})
}

// mimePart is a part of a mail as a reader's program sees it.
type mimePart struct {
	kind, id, disposition string
	body                  []byte
	parts                 []mimePart
}

func (p mimePart) String() string {
	if p.parts == nil {
		return p.kind
	}
	var words []string
	for _, part := range p.parts {
		words = append(words, part.String())
	}
	return p.kind + "(" + strings.Join(words, " ") + ")"
}

func parsePart(t *testing.T, head func(string) string, body io.Reader) mimePart {
	t.Helper()
	kind, params, err := mime.ParseMediaType(head("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	p := mimePart{kind: kind, id: strings.Trim(head("Content-Id"), "<>")}
	p.disposition, _, _ = mime.ParseMediaType(head("Content-Disposition"))
	if strings.HasPrefix(kind, "multipart/") {
		p.kind = strings.TrimPrefix(kind, "multipart/")
		for r := multipart.NewReader(body, params["boundary"]); ; {
			part, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return p
			}
			if err != nil {
				t.Fatal(err)
			}
			p.parts = append(p.parts, parsePart(t, part.Header.Get, part))
		}
	}
	switch encoding := strings.ToLower(head("Content-Transfer-Encoding")); encoding {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	default:
		t.Fatalf("transfer encoding %q", encoding)
	}
	if p.body, err = io.ReadAll(body); err != nil {
		t.Fatal(err)
	}
	return p
}

// checkEML checks a finished mail: its tree, that each picture is there and shown
// once, and that nothing in it is fetched, run or too large.
func checkEML(t *testing.T, eml []byte) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(eml))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.SplitSeq(eml, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") || slices.ContainsFunc(line, func(b byte) bool { return b >= 0x80 }) {
			t.Errorf("line %.80q is too long, or not 7-bit text", line)
		}
	}
	tree := parsePart(t, m.Header.Get, m.Body)
	if got := tree.String(); !regexp.MustCompile(`^mixed\(related\(alternative\(text/plain text/html\)( image/png)+\) text/csv\)$`).MatchString(got) {
		t.Fatalf("the tree is %s", got)
	}
	related := tree.parts[0].parts
	text, page := string(related[0].parts[0].body), string(related[0].parts[1].body)
	if len(text) < 500 || len(page) > 80<<10 {
		t.Errorf("%d bytes of text, %d of HTML", len(text), len(page))
	}
	var pictures []string
	for _, p := range related[1:] {
		size, err := png.DecodeConfig(bytes.NewReader(p.body))
		if err != nil || p.disposition != "inline" || p.id == "" || len(p.id) > 50 {
			t.Errorf("picture %q, %q: %v", p.id, p.disposition, err)
		}
		pictures = append(pictures, fmt.Sprintf("cid:%s %d %d", p.id, size.Width/2, size.Height/2))
	}
	if csv := tree.parts[1]; csv.disposition != "attachment" || !bytes.Contains(csv.body, []byte("\n")) {
		t.Errorf("attachment %q with %d bytes", csv.disposition, len(csv.body))
	}
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for n := range root.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "srcset" || a.Key == "background" {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
			if a.Key == "href" && !regexp.MustCompile(`^(https|mailto|tel):`).MatchString(a.Val) {
				t.Errorf("link to %q", a.Val)
			}
			if a.Key == "style" && regexp.MustCompile(`(?i)url\(|flex|grid|var\(|position`).MatchString(a.Val) {
				t.Errorf("style %q", a.Val)
			}
		}
		switch n.Data {
		case "script", "iframe", "object", "embed", "link", "form", "svg", "video", "base":
			if n.Type == html.ElementNode {
				t.Errorf("the mail has a <%s>", n.Data)
			}
		case "img":
			if len(attr["alt"]) < 5 {
				t.Errorf("image %s has the alt text %q", attr["src"], attr["alt"])
			}
			shown = append(shown, attr["src"]+" "+attr["width"]+" "+attr["height"])
		}
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(pictures)), slices.Sorted(slices.Values(shown))); diff != "" {
		t.Errorf("pictures (-there +shown):\n%s", diff)
	}
}
